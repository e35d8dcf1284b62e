package router

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
)

// What is known of the agents changes while they work: who learns a language is
// offered its callers at once, also who waited before; who is rung or talks is
// left in peace; who is removed is offline, after his talk if he is in one; who
// is added can register.
func TestAgentsChangeWhileTheyWork(t *testing.T) {
	virtual(t, func(d *desk) {
		ctx := context.Background()
		d.ready("anna", "bob", "sofia")
		d.told(registeredAndReady("anna", "bob", "sofia")...)
		waiting := d.join("v1", "claims", "fr") // nobody speaks it
		d.noOffer(waiting)
		talking := d.join("v2", "claims", "es")
		talk := d.answered(talking, d.offer(talking, "sofia"))

		agents := map[string]config.Agent{
			"anna": {Name: "Anna", Languages: map[string]int{"en": 3, "fr": 1}, Skills: map[string]int{"claims": 2}},
			"mia":  {Name: "Mia", Languages: map[string]int{"en": 1}, Skills: map[string]int{"claims": 1}},
		} // bob, who is ready, and sofia, who talks, have left
		d.SetAgents(agents)
		o := d.offer(waiting, "anna")
		for _, gone := range []string{"bob", "sofia"} {
			if err := d.SetState(ctx, gone, Ready, ""); !errors.Is(err, ErrUnknownAgent) {
				t.Errorf("%s: got %v", gone, err)
			}
		}
		live := func(id string) State {
			synctest.Wait()
			all, err := d.queue.Agents(ctx, []string{id})
			if err != nil {
				t.Fatal(err)
			}
			return all[0].State
		}
		if bob, sofia := live("bob"), live("sofia"); bob != Offline || sofia != Talking {
			t.Errorf("bob is %s and sofia is %s", bob, sofia)
		}
		talk.End(time.Second, 0)
		if sofia := live("sofia"); sofia != Offline {
			t.Errorf("after her talk sofia is %s", sofia)
		}
		d.Registered("sofia")
		d.Registered("mia")
		d.state("mia", Paused, "registered", "")
		if sofia := live("sofia"); sofia != Offline {
			t.Errorf("after she registered sofia is %s", sofia)
		}

		// While he is rung the offer stands, though it no longer fits.
		d.SetAgents(map[string]config.Agent{"anna": testAgents["anna"], "mia": agents["mia"]})
		d.state("anna", Reserved, "", "")
		d.answered(waiting, o).End(time.Second, 0)
		d.state("anna", WrapUp, "", "")
		time.Sleep(31 * time.Second)
		again := d.join("v3", "claims", "fr")
		d.noOffer(again)
		again.Leave("abandoned")
	})
}

func registeredAndReady(agents ...string) (facts []string) {
	for _, a := range agents {
		facts = append(facts, "agent.changed  {Agent:"+a+" From:offline To:paused Reason:registered After:0s}",
			"agent.changed  {Agent:"+a+" From:paused To:ready Reason: After:0s}")
	}
	return facts
}
