package call

import (
	"maps"
	"net/netip"
	"time"

	"github.com/bugle-voice/bugle/sip"
)

// elsewhere sends an agent's call to the node that has the one in which he talks: a
// caller can be handed on only to whom the same node has. The edge proxy that both are
// behind does it. One for help stays where it is.
func (c *Conductor) elsewhere(leg *sip.Leg) bool {
	if leg.Agent() == "" || !leg.ByEdge() || c.urgent(leg) {
		return false
	}
	said, err := c.Router.Elsewhere(c.ctx, leg.Agent())
	if err != nil {
		c.Log.Warn("an agent's call may be at another node than the one he talks in", "call", leg.ID(), "agent", leg.Agent(), "error", err)
	}
	there, err := netip.ParseAddrPort(said)
	if err != nil || c.sentOn(leg.SIPCallID()) {
		return false
	}
	c.Log.Info("an agent's call goes to the node where he talks", "call", leg.ID(), "agent", leg.Agent(), "node", said)
	_ = leg.Redirect(there) // one that is over already needs none
	return true
}

// sentOnce is how long it is remembered that a call was sent on.
const sentOnce = time.Minute

// sentOn notes that a call is sent to another node, by its Call-ID. One that was sent on
// already has come back, as that node does not answer: it stays.
func (c *Conductor) sentOn(id string) (before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(c.sent, func(_ string, at time.Time) bool { return now.Sub(at) > sentOnce })
	_, before = c.sent[id]
	c.sent[id] = now
	return before
}
