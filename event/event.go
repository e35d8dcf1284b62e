// Package event is what happened: the closed set of facts about calls, visits,
// offers and agents, and the node's own log of them.
//
// Every figure, history, webhook and live page comes from these facts and from
// nothing else. A fact is a plain struct with a Kind; the log stamps it with
// the node's sequence number and the time, and appends it, sealed, to a file
// before Emit returns. Who must have every fact, also after a crash or an hour
// without its database, reads the log by offset. The package owns the files and
// their format, when they are deleted, and what is lost or cut when a disk or a
// node fails. It does not own what the facts add up to, which is room report's,
// nor the keys, which are room vault's. It imports no other room, and every room
// may use it.
//
// Read fact.go for the facts, log.go and write.go for how they are kept,
// record.go and segment.go for what stands in the files, reader.go for how they
// are read back.
package event

import "time"

// Event is one fact with its place in the node's log.
type Event struct {
	Seq  uint64    // counts up from 1 on each node, without gaps; 0 if it could not be kept
	At   time.Time // when it happened, to the millisecond, UTC
	Call string    // id of the call it is about; empty if about none
	Fact Fact
}

// Fact is one of the types of fact.go.
type Fact interface {
	// Kind names the fact in the log: "visit.joined".
	Kind() string
}

// Emitter takes facts as they happen. *Log is the one of a running node.
type Emitter interface {
	// Emit records a fact about a call ("" if about none). It returns after
	// the fact has been handed to the operating system, so it survives the
	// death of the process.
	Emit(call string, f Fact)
}
