// Package sip is Bugle's signalling: listeners, trunks, the registrar, and
// legs, each leg being one SIP dialog.
//
// The grammar and the reading of UDP are sipgo's, and nothing outside this package
// sees that library. Connections, transactions, dialogs, digest and bindings are ours: the
// races of RFC 5407 are decided by the order in which messages arrive, and
// sipgo hands each message to a goroutine of its own. Here every message of one
// Call-ID goes through one lane (lanes.go), so a leg hears them one after the
// other, as they came.
//
// The package carries session descriptions but does not read them: whoever
// answers or dials brings a Session, in practice a leg of room media. It knows
// no IVR, no queue and no Redis; bindings are kept by whatever is behind the
// Bindings interface.
//
// Open handler.go for what it asks of the rooms above, leg.go for what it
// gives them, and receive.go for the way of a message. TRAPS.md tells what sipgo does
// that one would not expect.
package sip
