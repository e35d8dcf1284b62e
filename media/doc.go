// Package media is everything a caller or an agent hears: RTP in and out, plain
// or encrypted, and the reports on it (RTCP), G.711 and its two laws, keys as
// telephone events (RFC 4733) and tones, prompts and music, the bridge of two
// legs and the mix of more, recordings, and the SDP that agrees on it all.
//
// It owns the RTP sockets and their ports, the clocked engine that serves them
// and the meaning of an SDP body. It knows no SIP (room sip carries the bodies
// without reading them), no flow and no queue: what a leg plays and to whom it
// is bridged is decided by room call.
//
// The engine is a few shards, each one goroutine with a beat of 10 ms. A beat
// serves the legs whose turn it is, each leg every 20 ms, and takes no lock;
// whoever wants something of a leg sends the shard a command. Nothing is
// allocated for sound, whether played, passed on, mixed or encrypted. What is
// rare is: an event told (a key, the end of a clip), the source of a leg that has
// moved away from its shared port being learnt, the first packet of an SSRC and
// each that is not authentic under SRTP, of which a turn takes 64 at most.
//
// Open leg.go first: it is what the other rooms see. Then stream.go, the same
// leg as its shard sees it, and shard.go, the beat; sharedport.go for the legs
// that share a port.
package media
