package call

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/queue"
	"github.com/bugle-voice/bugle/router"
)

// TestResolve is what agents can dial, and name in a transfer.
func TestResolve(t *testing.T) {
	refuse := config.Emergency{Action: "refuse", Prompt: config.EmergencyPrompt}
	help := config.Emergency{Action: "route", Trunks: []string{"local"}, From: "+4930123450"}
	outside := config.Outside{
		Trunks: []string{"german", "backup"}, From: "+4930123450",
		Allow: []string{"+49", "+1", "+4990099"}, Deny: []string{"+49900", "+1900", "+49123"},
	}
	off := func(c *config.Config) { c.Calls.Outside = config.Outside{} }
	abroad := func(c *config.Config) { c.Calls.Outside.Trunks = []string{"backup"} }
	toOutside := func(n string) Destination {
		return Destination{Kind: ToOutside, Number: n, Trunks: outside.Trunks}
	}
	for _, test := range []struct {
		dialled string
		edit    func(*config.Config)
		want    Destination
	}{
		{"112", nil, Destination{Kind: ToEmergency, Number: "112", Emergency: help, Trunks: help.Trunks}},
		{" 1-1.2 ", nil, Destination{Kind: ToEmergency, Number: "112", Emergency: help, Trunks: help.Trunks}},
		{"112", off, Destination{Kind: ToEmergency, Number: "112", Emergency: help, Trunks: help.Trunks}},
		{"911", nil, Destination{Kind: ToEmergency, Number: "911", Emergency: refuse}},
		{"999", nil, Destination{Kind: ToEmergency, Number: "999", Emergency: refuse}},

		{"anna", nil, Destination{Kind: ToAgent, Agent: "anna"}},
		{"1001", nil, Destination{Kind: ToAgent, Agent: "1001"}},
		{"Anna", nil, Destination{Refused: UnknownNumber}},
		{"7001", nil, Destination{Kind: ToQueue, Queue: "claims"}},
		{"claims", nil, Destination{Kind: ToQueue, Queue: "claims"}},
		{"helpline", nil, Destination{Kind: ToNumber, Number: "helpline"}},
		{"+4930123450", nil, Destination{Kind: ToNumber, Number: "+4930123450"}},
		{"030 123450", nil, Destination{Kind: ToNumber, Number: "+4930123450"}},

		{"+49301234567", nil, toOutside("+49301234567")},
		{"030/1234567", nil, toOutside("+49301234567")},
		{"0049301234567", nil, toOutside("+49301234567")},
		{"+1 212 555 0123", nil, toOutside("+12125550123")},
		{"0012125550123", nil, toOutside("+12125550123")},
		{"+49 900 1234567", nil, Destination{Refused: OutsideDenied}}, // premium
		{"0900 1234567", nil, Destination{Refused: OutsideDenied}},
		{"09009912345", nil, toOutside("+499009912345")}, // of the premium ones, what is allowed expressly
		{"+19005550100", nil, Destination{Refused: OutsideDenied}},
		{"+33142685300", nil, Destination{Refused: OutsideDenied}}, // no beginning fits
		{"+88213123456", nil, Destination{Refused: OutsideDenied}},
		{"+49301234567", off, Destination{Refused: OutsideOff}},
		{"030 1234567", off, Destination{Refused: UnknownNumber}}, // nothing tells the country
		{"030 1234567", abroad, Destination{Refused: UnknownNumber}},

		{"", nil, Destination{Refused: UnknownNumber}},
		{"+", nil, Destination{Refused: UnknownNumber}},
		{"+1", nil, Destination{Refused: UnknownNumber}},
		{"+49301234567890123", nil, Destination{Refused: UnknownNumber}},
		{"+49301234567@evil.example", nil, Destination{Refused: UnknownNumber}},
		{"+49301234567;phone-context=+1900", nil, Destination{Refused: UnknownNumber}},
		{"+49301234567\r\nX: y", nil, Destination{Refused: UnknownNumber}},
		{"+49٣٠١٢٣٤٥٦٧", nil, Destination{Refused: UnknownNumber}}, // digits, but not of a telephone
		{"sip:+49301234567", nil, Destination{Refused: UnknownNumber}},
	} {
		t.Run(test.dialled, func(t *testing.T) {
			c := &config.Config{
				Queues:  map[string]config.Queue{"claims": {}},
				Numbers: map[string]config.Number{"helpline": {}, "+4930123450": {}},
				SIP: config.SIP{Trunks: []config.Trunk{
					{Name: "local"}, {Name: "german", Country: "DE"}, {Name: "backup"},
				}},
				Calls: config.Calls{
					Extensions: map[string]string{"7001": "claims"},
					Outside:    outside,
					Emergency:  map[string]config.Emergency{"112": help},
				},
			}
			if test.edit != nil {
				test.edit(c)
			}
			got := conductorFor(t, c).Resolve(test.dialled)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%q goes to %+v, want %+v", test.dialled, got, test.want)
			}
		})
	}
}

// conductorFor makes a Conductor that has agents, and no calls.
func conductorFor(t *testing.T, c *config.Config) *Conductor {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	q, err := queue.Open(t.Context(), config.Redis{}, "test", "test", log)
	must(t, err)
	r := router.New(router.Options{Queue: q, Events: newFacts(), Log: log, Agents: map[string]config.Agent{"anna": {}, "1001": {}}})
	t.Cleanup(func() {
		r.Close()
		must(t, q.Close())
	})
	return New(Options{Config: c, Router: r, Log: log})
}
