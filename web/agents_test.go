package web

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// busy is a desk whose one agent talks and is to be paused afterwards.
type busy struct{ desk }

func (*busy) Agents(context.Context) ([]Agent, error) {
	return []Agent{{ID: "anna", State: "talking", Pending: "lunch", Visit: "v7"}}, nil
}

// A pause that is to come, and the visit an agent is with, are shown.
func TestAnAgentOnACall(t *testing.T) {
	a := ask(t, serve(t, Options{Agents: &busy{}}), "GET", "/api/v1/agents", "")
	want := `{"agents":[{"id":"anna","name":"","tier":0,"state":"talking","pending":"lunch","visit":"v7","languages":null,"skills":null}]}` + "\n"
	if diff := cmp.Diff(want, a.body); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
