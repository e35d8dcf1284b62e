package call

import (
	"strings"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/number"
)

// Kind is what sort of place an agent's call or transfer goes to.
type Kind int

// The kinds, and there are no others.
const (
	Nowhere     Kind = iota // it is refused: Destination.Refused says why
	ToAgent                 // a colleague, by his id
	ToQueue                 // the callers' line, which he joins as they do
	ToNumber                // a number of ours, and its flow
	ToOutside               // a number outside that agents may call
	ToEmergency             // whatever else is the matter, somebody needs help
)

// String gives the word for the record.
func (k Kind) String() string {
	return [...]string{"nowhere", "agent", "queue", "flow", "number", "emergency"}[k]
}

// Destination is where a call or transfer of an agent's goes. Of its fields those
// are set that its Kind has.
type Destination struct {
	Kind      Kind
	Agent     string           // ToAgent
	Queue     string           // ToQueue
	Number    string           // ToNumber: the key of config's numbers; ToOutside: +49301234567; ToEmergency: the number itself
	Trunks    []string         // ToOutside, ToEmergency: by which it goes, in this order
	Emergency config.Emergency // ToEmergency: the rule. Without trunks it is not put through
	Refused   Termination      // Nowhere
}

// Resolve says where something goes that an agent dialled, or named in a transfer:
// the user part of the address, as it came. What it gives is allowed by the site, but
// for how often and how many at once: permit counts that, when it is done.
//
// What means several things means the first of these: an emergency number, an
// agent, an extension, a number of ours, a queue, a number outside.
func (c *Conductor) Resolve(dialled string) Destination {
	calls := &c.Config.Calls
	if n, rule, is := calls.EmergencyRule(dialled); is {
		d := Destination{Kind: ToEmergency, Number: n, Emergency: rule}
		if rule.Action == "route" {
			d.Trunks = rule.Trunks
		}
		return d
	}
	if c.Router.Knows(dialled) {
		return Destination{Kind: ToAgent, Agent: dialled}
	}
	if queue, ok := calls.Extensions[dialled]; ok {
		return Destination{Kind: ToQueue, Queue: queue}
	}
	if _, ours := c.Config.Numbers[dialled]; ours {
		return Destination{Kind: ToNumber, Number: dialled}
	}
	if _, ok := c.Config.Queues[dialled]; ok {
		return Destination{Kind: ToQueue, Queue: dialled}
	}
	return c.resolveOutside(dialled)
}

// resolveOutside resolves what is nothing of ours.
func (c *Conductor) resolveOutside(dialled string) Destination {
	o := &c.Config.Calls.Outside
	full := number.International(dialled, c.countryOf(o.Trunks))
	if _, ours := c.Config.Numbers[full]; ours {
		return Destination{Kind: ToNumber, Number: full}
	}
	switch {
	case !isNumber(full) || !number.Plain(full):
		return Destination{Refused: UnknownNumber}
	case len(o.Allow) == 0:
		return Destination{Refused: OutsideOff}
	case !o.Allows(full):
		return Destination{Refused: OutsideDenied}
	}
	return Destination{Kind: ToOutside, Number: full, Trunks: o.Trunks}
}

// countryOf gives the country in which a national number is read: that of the first
// of some trunks.
func (c *Conductor) countryOf(trunks []string) string {
	if len(trunks) == 0 {
		return ""
	}
	for _, t := range c.Config.SIP.Trunks {
		if t.Name == trunks[0] {
			return t.Country
		}
	}
	return ""
}

// isNumber tells whether a number could be reached from abroad: by "+" and 5 to 15
// digits (E.164).
func isNumber(n string) bool {
	digits, plus := strings.CutPrefix(n, "+")
	return plus && len(digits) >= 5 && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}

// shown gives what an agent dialled as it may stand in logs and events: a number
// outside is somebody's, and shortened.
func (d Destination) shown(dialled string) string {
	switch d.Kind {
	case ToAgent:
		return d.Agent
	case ToQueue:
		return d.Queue
	case ToNumber, ToEmergency:
		return d.Number
	case ToOutside:
		return Shorten(d.Number)
	default:
		return Shorten(dialled)
	}
}
