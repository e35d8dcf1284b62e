// Package router brings callers and agents together: agents, their states and
// skills, offers and their ends, and why a match was made.
//
// It owns the policy of matching (a caller goes to the longest-ready agent who
// has his language and the queue's skills; an agent takes the caller with the
// earliest place in line he fits) and tells the event log all that comes of
// it. The atomic steps themselves are scripts of room queue, which decides who
// was first; what it decided comes back through the node's inbox, also from
// other nodes.
//
// It does not own calls and phones: room call conducts them. It asks for a
// place in line with [Router.Join], hears of offers on a channel of the
// [Waiting], rings the agent, and says how that ended.
//
// Open router.go first; then waiting.go for a caller's way and agent.go for an
// agent's.
package router
