package call

import (
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/media"
)

// TestTalkKeepsTheCallersLaw holds that an agent whose phone takes both laws of G.711, and
// more, talks in the one that the caller has: so what a text telephone or a relay
// service says arrives as it was said (see media's TestTTYPassesUnaltered).
func TestTalkKeepsTheCallersLaw(t *testing.T) {
	for _, law := range []media.Codec{media.PCMU, media.PCMA} {
		t.Run(law.String(), func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, func(c *config.Config) { c.Media.Codecs = []string{"g722", "opus"} })
				h.register("anna")
				caller := h.dialAs("helpline", media.LegOptions{Prefer: []media.Codec{law}})
				h.await("the answer", caller.leg.Answered())
				must(t, caller.media.SendKeys("1"))
				agent := h.ringingAs(media.LegOptions{Latch: true, Prefer: []media.Codec{media.G722, media.Opus, media.PCMU, media.PCMA}})
				must(t, agent.leg.Answer(agent.media))
				if _, ok := h.facts.await(t, "visit.ended").(event.VisitEnded); !ok {
					t.Fatal("no talk")
				}
				if caller.media.Codec() != law || agent.media.Codec() != law {
					t.Errorf("the caller has %v, the agent %v, want %v", caller.media.Codec(), agent.media.Codec(), law)
				}
				caller.leg.Hangup()
				h.nothingLeft()
			})
		})
	}
}
