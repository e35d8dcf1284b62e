package sip

import (
	"context"
	"time"
)

// Session is the media behind a leg, as far as signalling needs it: it makes
// and takes session descriptions (RFC 3264). Its methods may be called from
// several goroutines and must not block for long.
//
// An error with a method SIPCode() int chooses the answer the far end gets;
// any other error is a 488.
type Session interface {
	// Offer gives a description of ours, for an INVITE or an answer to one
	// that brought none.
	Offer() ([]byte, error)
	// Answer takes the far end's offer and gives our answer. It is called
	// again when the far end changes the session (re-INVITE, UPDATE).
	Answer(offer []byte) ([]byte, error)
	// Accept takes the far end's answer to our offer.
	Accept(answer []byte) error
}

// Handler is the room above: it conducts the calls that come in and hears of
// agents' phones coming and going.
type Handler interface {
	// Invite conducts an inbound leg, in a goroutine of its own. It may last as
	// long as the call and must return soon after the leg's Done is closed; a
	// leg still ringing when it returns is ended with 480. If it panics, the
	// leg is ended and nothing else.
	Invite(l *Leg)
	// Registered says that an agent's phone has registered or refreshed.
	Registered(agent string, b Binding)
	// Unregistered says that an agent's last binding is gone, removed or expired.
	Unregistered(agent string)
}

// Credentials knows the agents' digest secrets.
type Credentials interface {
	// HA1 gives the hex hash of "user:realm:password" under algorithm, which is
	// "MD5" or "SHA-256" (RFC 7616), and whether there is such a user. It is
	// called before a request has proved anything, so it must be quick.
	HA1(user, algorithm string) (string, bool)
}

// Bindings keeps registrations where every node can find them.
type Bindings interface {
	// Put keeps b, replacing what was there for the same user and contact.
	Put(ctx context.Context, b Binding) error
	// Get gives the unexpired bindings of a user, in any order.
	Get(ctx context.Context, user string) ([]Binding, error)
	// Remove forgets the binding of b's user and contact, unless another node has put
	// a later one there meanwhile. One that is not there is no error.
	Remove(ctx context.Context, b Binding) error
	// Senders gives a test of whether a flow is the Sender of a binding that has been
	// put, whoever's, and has not expired. It may be that of a binding removed meanwhile.
	Senders(ctx context.Context) (func(flow string) bool, error)
}

// Binding is one phone of an agent: where requests for the agent go
// (RFC 3261 section 10, RFC 3327). It is what Bindings keeps, as JSON.
type Binding struct {
	User      string    `json:"user"`                 // agent id
	Contact   string    `json:"contact"`              // the phone's URI, as it wrote it
	Source    string    `json:"source"`               // the flow it registered over: "udp:192.0.2.7:5062"
	Sender    string    `json:"sender,omitempty"`     // behind an edge proxy of ours: the phone's own flow, to that proxy
	Local     string    `json:"local"`                // our socket that flow ends at: "udp:198.51.100.1:5060"
	Path      []string  `json:"path,omitempty"`       // the proxies to pass, nearest first
	Q         int       `json:"q,omitempty"`          // how much it is preferred, in thousandths: 1 to 1000. 0, of an older node: 1000
	Instance  string    `json:"instance,omitempty"`   // which phone it is, whatever its address (RFC 5626): with reg-id, if it has given both
	UserAgent string    `json:"user_agent,omitempty"` // what the phone calls itself
	CallID    string    `json:"call_id"`              // of the REGISTER, with CSeq: tells old from new
	CSeq      uint32    `json:"cseq"`
	Expires   time.Time `json:"expires"`
	Node      string    `json:"node"` // the node that holds the flow
}
