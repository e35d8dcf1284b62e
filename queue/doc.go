// Package queue is what is live: the visits that wait, the agents who are
// ready, and the offers between them, in Redis, where the nodes of a routing
// domain meet.
//
// It owns the Redis client, every key and every script. A script is one .lua
// file that stands beside the Go method running it (join.lua is [Queue.Join])
// and is atomic: whoever asks first wins, and everyone else is told so. What
// a script decides about another node's call or agent is written to that
// node's inbox, a stream this package reads and hands to a [Handler].
//
// It does not own policy: who may set which state, how long a phone rings,
// what is told to the world. That is room router, the only one to call this
// one. Nothing personal is written here, only ids and times.
//
// Keys, all beginning with "bugle:{DOMAIN}:":
//
//	visits            hash    visit -> record (records.lua): also what holds an agent by name
//	agents            hash    agent -> record
//	waiting           zset    non-empty groups of visits, by their heads
//	waiting:GROUP     zset    visits of one queue and requirement, by joined - head start
//	ready             zset    non-empty profiles of ready agents, by their heads
//	ready:PROFILE     zset    agents with the same skills, by when they became ready
//	fits              hash    profile and group -> 1 or 0, worked out once
//	engaged           hash    agent -> calls beside visits that hold him (engage.lua)
//	outside           hash    agent -> calls outside that he has now (outside.lua)
//	hour:AGENT        zset    calls outside of the last hour, by when they were made
//	seq               string  counts every decision of the domain
//	fences            zset    node -> which of its steps are too late (order.go)
//	bind:USER         hash    contact -> expiry and binding
//	node:NODE:inbox   stream  what others decided about NODE's calls and agents
//	node:NODE:visits  set     visits whose calls are on NODE
//	node:NODE:agents  set     agents whose session is on NODE
//	node:NODE:address string  where NODE takes calls, for 15 seconds
//	node:NODE:boot    string  counts NODE's starts; the first half of its tokens
//
// Open queue.go first, then visit.go; match.lua is the heart.
package queue
