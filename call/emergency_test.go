package call

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bugle-voice/bugle/config"
	"github.com/bugle-voice/bugle/event"
	"github.com/bugle-voice/bugle/ivr"
	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/router"
	"github.com/bugle-voice/bugle/sip"
)

// help lets 112 be called by two trunks.
func help(c *config.Config) {
	c.Calls.Emergency = map[string]config.Emergency{"112": {
		Action: "route", Trunks: []string{"carrier", "backup"}, From: "+4930123450", Prompt: "emergency",
	}}
}

// An emergency call passes every limit and says where the site is.
func TestEmergencyIsRouted(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) {
			c.SIP.Trunks[0].MaxCalls = 1
			c.Calls.Emergency = map[string]config.Emergency{"112": {
				Action: "route", Trunks: []string{"carrier", "backup"}, From: "+4930123450", Location: "https://lis.example.org/site-1",
			}}
		})
		h.register("anna")
		h.full.Store(false)
		other := h.dial("goodbye") // takes the only place of the trunk
		h.await("the answer", other.leg.Answered())
		h.full.Store(true)

		call := h.dials("anna", "112")
		must(t, h.ringing().leg.Reject(486, "")) // whatever the first trunk says, the next is asked
		far := h.ringing()
		if far.leg.Number() != "112" || far.leg.Caller() != "+4930123450" {
			t.Errorf("%s is called by %s", far.leg.Number(), far.leg.Caller())
		}
		if l, r := far.leg.Header("Geolocation"), far.leg.Header("Geolocation-Routing"); l != "<https://lis.example.org/site-1>" || r != "yes" {
			t.Errorf("Geolocation: %q, %q", l, r)
		}
		must(t, far.leg.Answer(far.media))
		h.await("the answer", call.leg.Answered())
		h.hears(far, call)
		h.state("anna", router.Talking)
		call.leg.Hangup()
		h.await("the end", far.leg.Done())
		h.state("anna", router.Ready)
		h.counted("bugle_emergency_calls_total", 1)
		h.counted("bugle_emergency_calls_failed_total", 0)
		h.nothingLeft()
	})
}

// An emergency call that is not put through is answered by a voice that says so.
func TestEmergencyIsRefusedAloud(t *testing.T) {
	routed := map[string]config.Emergency{"911": {Action: "route", Trunks: []string{"carrier", "backup"}, Prompt: "emergency"}}
	for _, c := range []struct {
		name  string
		rules map[string]config.Emergency
		fails int
		end   Termination
		cause int
	}{
		{"nothing configured", nil, 0, EmergencyRefused, 21},
		{"every trunk fails", routed, 2, EmergencyFailed, 38},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, func(conf *config.Config) { conf.Calls.Emergency = c.rules })
				h.calls.Prompts[ivr.Prompt{Language: "en", Name: "emergency"}] = media.Tone(700, time.Second)
				h.register("anna")
				must(t, h.queue.Close()) // nothing waits for Redis
				call := h.dials("anna", "911")
				for range c.fails {
					must(t, h.ringing().leg.Reject(503, ""))
				}
				h.await("the answer", call.leg.Answered())
				began := time.Now()
				h.await("the end", call.leg.Done())
				if spoken := time.Since(began); spoken < 2*time.Second {
					t.Errorf("ended after %v", spoken)
				}
				if s := call.media.Stats(); s.PacketsIn < 100 {
					t.Errorf("heard %d packets", s.PacketsIn)
				}
				if got := call.leg.End().Cause; got.Protocol != "Q.850" || got.Code != c.cause {
					t.Errorf("ended for %+v", got)
				}
				h.ended(c.end)
				if audited := h.facts.await(t, "audit.entry").(event.Audited); !strings.HasPrefix(audited.Action, "emergency.") {
					t.Errorf("audited as %+v", audited)
				}
				h.counted("bugle_emergency_calls_total", 1)
				h.counted("bugle_emergency_calls_failed_total", 1)
				h.nobodyRung()
			})
		})
	}
}

// A call for help is one even if the phone wants it to take the place of another.
func TestEmergencyInPlaceOfATalk(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) {
			c.Calls.Emergency = map[string]config.Emergency{"112": {Action: "route", Trunks: []string{"carrier"}}}
		})
		h.register("anna")
		caller, anna := h.talk()
		call := h.replaces("anna", "112", anna.leg.Dialog())
		far := h.pickUp()
		h.await("the answer", call.leg.Answered())
		h.hears(far, call)
		call.leg.Hangup()
		h.ended(CallerHungUp)
		h.over(caller)
	})
}

// An emergency number may begin as the codes for ready and pause do.
func TestEmergencyNumberWithAStar(t *testing.T) {
	virtual(t, func(t *testing.T) {
		h := newHouse(t, func(c *config.Config) {
			c.Calls.Emergency = map[string]config.Emergency{"*55": {Action: "route", Trunks: []string{"carrier"}, Number: "112"}}
		})
		h.register("anna")
		call := h.dials("anna", "*55")
		h.pickUp()
		h.await("the answer", call.leg.Answered())
		call.leg.Hangup()
		h.counted("bugle_emergency_calls_total", 1)
		h.nothingLeft()
	})
}

// counted checks the sum of a metric of this room.
func (h *house) counted(name string, want float64) {
	h.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(h.calls.Collectors()...)
	families, err := registry.Gather()
	must(h.t, err)
	sum := 0.
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	if sum != want {
		h.t.Errorf("%s is %v, want %v", name, sum, want)
	}
}

// An agent may send his caller to an emergency number, and it is a call for help like
// one that he dials: every trunk is tried, and whatever becomes of it is told.
func TestTransferToAnEmergencyNumber(t *testing.T) {
	const answers, callerLeaves, ringsOn = 0, -1, -2
	refuse := func(*config.Config) {}
	impatient := func(c *config.Config) {
		help(c)
		c.SIP.RingLimit = config.Duration(time.Second)
	}
	for _, c := range []struct {
		name   string
		rule   func(*config.Config)
		fars   []int // what each trunk that is tried says
		code   int
		result string
		why    Termination // zero: it has not failed
	}{
		{name: "routed", rule: help, fars: []int{answers}, code: 200, result: "done"},
		{name: "the first trunk is busy", rule: help, fars: []int{486, answers}, code: 200, result: "done"},
		{name: "the first trunk does not know it", rule: help, fars: []int{404, answers}, code: 200, result: "done"},
		{name: "the first trunk declines", rule: help, fars: []int{603, answers}, code: 200, result: "done"},
		{name: "the first trunk rings on", rule: impatient, fars: []int{ringsOn, answers}, code: 200, result: "done"},
		{name: "every trunk fails", rule: help, fars: []int{503, 486}, code: 486, result: "busy", why: EmergencyFailed},
		{name: "refused by rule", rule: refuse, code: 503, result: "failed", why: EmergencyRefused},
		{name: "the caller leaves", rule: help, fars: []int{callerLeaves}, code: 487, result: "caller_left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, c.rule)
				h.register("anna")
				caller, anna := h.talk()
				r := h.refer(anna, sip.ReferTo{URI: "112"})
				var far party
				for _, code := range c.fars {
					far = h.ringing()
					switch code {
					case answers:
						must(t, far.leg.Answer(far.media))
					case callerLeaves:
						caller.leg.Hangup()
					case ringsOn:
						h.await("the end of the ringing", far.leg.Done())
					default:
						must(t, far.leg.Reject(code, ""))
					}
				}
				h.told(r, c.code)
				h.transferred(event.Transferred{Agent: "anna", How: event.Blind, To: "emergency", Result: c.result})
				failed := 0.
				if c.why != (Termination{}) {
					failed = 1
					if a := h.facts.await(t, "audit.entry").(event.Audited); a.Actor != "agent:anna" || a.Detail != c.why.Reason+" 112" {
						t.Errorf("audited as %+v", a)
					}
				}
				h.counted("bugle_emergency_calls_total", 1)
				h.counted("bugle_emergency_calls_failed_total", failed)
				switch {
				case c.result == "done":
					h.hear("help", far, caller)
				case c.why != (Termination{}):
					h.hear("the agent", anna, caller)
				}
				h.over(caller)
			})
		})
	}
}

// Whom an agent calls outside may be handed on while he is still called: the trunks that
// are left are tried for the caller then.
func TestAttendedTransferKeepsTheTrunks(t *testing.T) {
	for _, c := range []struct {
		number, to string
		first      int // what the first trunk says
		alarms     float64
	}{{"112", "emergency", 486, 1}, {"+4930123456", "number", 503, 0}} {
		t.Run(c.to, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, help, outside)
				h.silent.Store(true)
				h.register("anna")
				caller, anna := h.talk()
				own, to := h.consults("anna", anna, c.number)
				first := h.ringing()
				r := h.refer(anna, h.early(own, to))
				h.await("the consultation to end", own.leg.Done())
				must(t, first.leg.Reject(c.first, ""))
				far := h.pickUp()
				h.told(r, 200)
				h.transferred(event.Transferred{Agent: "anna", How: event.Attended, To: c.to, Result: "done"})
				h.hear("the far end", far, caller)
				caller.leg.Hangup()
				h.ended(HandedOver)
				h.ended(CallerHungUp)
				h.counted("bugle_emergency_calls_total", c.alarms)
				h.counted("bugle_emergency_calls_failed_total", 0)
				h.nothingLeft()
			})
		})
	}
}

// Whatever keeps a call for help from being put through is told, but for the agent's
// own hanging up.
func TestEmergencyThatFailsByUs(t *testing.T) {
	g729 := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n"
	for _, c := range []struct {
		name   string
		edit   []func(*config.Config)
		offer  string // of the agent's phone; "" is one that can be agreed to
		act    func(h *house, own *sip.Leg)
		end    Termination
		failed float64
	}{
		{name: "no port", edit: []func(*config.Config){pairs(1)}, act: func(*house, *sip.Leg) {}, end: NoPort, failed: 1},
		{name: "no codec", offer: g729, end: NoCodec, failed: 1, act: func(h *house, _ *sip.Leg) {
			h.pickUp()
		}},
		{name: "drained", end: Drained, failed: 1, act: func(h *house, _ *sip.Leg) { h.ringing(); h.calls.Close() }},
		{name: "panic", end: Crashed, failed: 1, act: func(h *house, _ *sip.Leg) {
			h.facts.setTrap(func(f event.Fact) {
				if _, ok := f.(event.CallAnswered); ok {
					panic("trapped")
				}
			})
			h.pickUp()
		}},
		{name: "hung up", end: LeftRinging, act: func(h *house, own *sip.Leg) { h.ringing(); own.Hangup() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, func(t *testing.T) {
				h := newHouse(t, append(c.edit, help)...)
				if c.edit != nil {
					h.join() // takes the only pair
				}
				side, err := h.ears.NewLeg(media.LegOptions{})
				must(t, err)
				t.Cleanup(side.Close)
				var session sip.Session = side
				if c.offer != "" {
					session = offering(c.offer)
				}
				own, err := h.phones.Dial(sip.Target{
					URI: "sip:112@" + h.address(), From: "anna", FromHost: "127.0.0.1", Auth: &sip.Auth{User: "anna", Password: "pw-anna"},
				}, session)
				must(t, err)
				c.act(h, own)
				h.await("the end", own.Done())
				h.ended(c.end)
				h.counted("bugle_emergency_calls_total", 1)
				h.counted("bugle_emergency_calls_failed_total", c.failed)
			})
		})
	}
}
