package sip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Histories: calls whose messages are lost, doubled, late and out of order, with
// everything that legs can do going on meanwhile. Whatever came of them, an hour
// later nothing may be left: no leg, no transaction, no goroutine, and no call that
// one end thinks is up. BUGLE_HISTORIES sets how many are run.

// histories gives how many histories a test runs; the fraction is its share.
func histories(share int) int {
	n := 2000
	if testing.Short() {
		n = 200
	}
	if v, err := strconv.Atoi(os.Getenv("BUGLE_HISTORIES")); err == nil {
		n = v
	}
	return max(n/share, 1)
}

// perBubble is how many histories share servers, and the wait for what they leave.
const perBubble = 50

// inHistories runs f for each history, with dice, in bubbles of servers of their own.
// Conductors hang up after patience.
func inHistories(t *testing.T, n int, patience time.Duration, f func(t *testing.T, e *ether, servers []*Server, name string, roll func(int) int)) {
	for from := 0; from < n; from += perBubble {
		ok := t.Run(fmt.Sprintf("%d", from), func(t *testing.T) {
			virtual(t, func(t *testing.T, e *ether) {
				roll := dice(uint64(from))
				desk := newDesk(conductWildly(roll, patience))
				servers := []*Server{startIn(t, e, Options{Handler: desk}), startIn(t, e, Options{Handler: desk})}
				for i := from; i < min(from+perBubble, n); i++ {
					f(t, e, servers, fmt.Sprintf("history-%d", i), roll)
				}
				e.weather(nil)
			})
		})
		if !ok {
			return
		}
	}
}

// moody is a Session that now and then refuses.
type moody struct {
	media
	roll func(int) int
}

func (m *moody) mood() error {
	if m.roll(12) == 0 {
		return busy{}
	}
	return nil
}

func (m *moody) Offer() ([]byte, error) {
	sdp, _ := m.media.Offer()
	return sdp, m.mood()
}

func (m *moody) Answer(offer []byte) ([]byte, error) {
	sdp, _ := m.media.Answer(offer)
	return sdp, m.mood()
}

func (m *moody) Accept([]byte) error { return m.mood() }

// stormy loses, doubles and delays packets.
func stormy(rnd func(int) int) func() []time.Duration {
	return func() []time.Duration {
		var copies []time.Duration
		for range []int{0, 1, 1, 1, 1, 1, 1, 2, 2, 3}[rnd(10)] {
			copies = append(copies, []time.Duration{0, 0, 0, 1, 20, 300, 900}[rnd(7)]*time.Millisecond)
		}
		return copies
	}
}

// dice are rolled by many goroutines.
func dice(seed uint64) func(int) int {
	rnd := rand.New(rand.NewPCG(seed, 7))
	c := make(chan int, 1)
	c <- 0
	return func(n int) int {
		<-c
		v := rnd.IntN(n)
		c <- 0
		return v
	}
}

// conductWildly conducts an inbound leg in any way a room above might.
func conductWildly(roll func(int) int, patience time.Duration) func(*Leg) {
	return func(l *Leg) {
		pause := func() {
			if roll(2) == 0 {
				time.Sleep(time.Duration(roll(1500)) * time.Millisecond)
			}
		}
		pause()
		m := &moody{roll: roll}
		for range roll(4) {
			switch roll(6) {
			case 0, 1:
				_ = l.Ringing()
			case 2, 3:
				_ = l.AnswerEarly(m)
			case 4:
				_ = l.Reject(486, "")
			default:
				if roll(4) == 0 {
					l.Hangup()
				}
			}
			pause()
		}
		if roll(10) > 0 {
			_ = l.Answer(m)
		}
		talkWildly(l, roll)
		select {
		case <-l.Done():
		case <-time.After(patience):
			l.Hangup()
		}
	}
}

// talkWildly does to a leg what can be done to one, whether it is up or not.
func talkWildly(l *Leg, roll func(int) int) {
	refers := l.Refers()
	for range roll(6) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(roll(5000))*time.Millisecond)
		switch roll(10) {
		case 0:
			_ = l.Reinvite(ctx)
		case 1:
			_ = l.Update(ctx)
		case 2:
			_ = l.Hold(ctx)
		case 3:
			_ = l.Resume(ctx)
		case 4:
			l.Probe()
		case 5:
			_, _ = l.Refer(ReferTo{URI: "sip:x@127.0.0.1"})
		case 6:
			_, _ = l.State()
		default:
			select {
			case r := <-refers:
				_ = r.Accept()
				_ = r.Notify(180)
				_ = r.Notify([]int{200, 486}[roll(2)])
			case <-ctx.Done():
			case <-l.Done():
			}
		}
		cancel()
	}
}

// TestHistoriesOfTwoServers has two of our servers call each other in a storm. One
// end at most hangs up: the other must find out by itself.
func TestHistoriesOfTwoServers(t *testing.T) {
	t.Parallel()
	inHistories(t, histories(2), 24*time.Hour, func(t *testing.T, e *ether, servers []*Server, name string, roll func(int) int) {
		e.weather(stormy(roll))
		from, to := servers[roll(2)], servers[roll(2)]
		l, err := from.Dial(Target{URI: to.uri("helpline", "udp"), From: "x", Call: name, AskOffer: roll(5) == 0}, &moody{roll: roll})
		if err != nil {
			return
		}
		go func() {
			if roll(3) > 0 {
				select {
				case <-l.Answered():
				case <-l.Done():
				case <-time.After(time.Duration(roll(40000)) * time.Millisecond):
				}
			} else {
				time.Sleep(time.Duration(roll(3000)) * time.Millisecond)
			}
			talkWildly(l, roll)
			l.Hangup()
		}()
		if roll(3) == 0 {
			time.Sleep(time.Duration(roll(2000)) * time.Millisecond)
		}
	})
}

// script is a far end that says, in any order, what could be said in a call.
type script struct {
	*wire
	roll             func(int) int
	callID, us, them string // From and To as they are to be written
}

// learn takes from what was received the tags to be used.
func (c *script) learn() {
	for {
		m, ok := c.await(0, func(string, bool) bool { return true })
		if !ok {
			return
		}
		from, to := field(m, "From"), field(m, "To")
		if strings.HasPrefix(m, "SIP/2.0") && strings.Contains(to, ";tag=") && field(m, "Call-ID") == c.callID {
			c.them = to
		}
		if strings.HasPrefix(m, "INVITE") && c.callID == "" {
			c.callID, c.them, c.us = field(m, "Call-ID"), from, to
		}
		if !strings.HasPrefix(m, "SIP/2.0") && !strings.HasPrefix(m, "ACK") && c.roll(3) > 0 {
			c.reply(m)
		}
	}
}

var statuses = []string{"100 Trying", "180 Ringing", "183 Progress", "200 OK", "200 OK", "200 OK", "302 Moved", "401 Who", "408 Late", "422 Brief", "481 Gone", "486 Busy", "491 Glare", "500 Oops", "503 Full"}

// reply answers a request in some way.
func (c *script) reply(m string) {
	for range 1 + c.roll(3) {
		var extra []string
		if c.roll(3) == 0 {
			extra = append(extra, "Require: 100rel", fmt.Sprintf("RSeq: %d", 1+c.roll(4)))
		}
		if c.roll(4) == 0 {
			extra = append(extra, "Session-Expires: "+strconv.Itoa(c.roll(2000)), "Min-SE: "+strconv.Itoa(c.roll(4000)), "Allow: UPDATE")
		}
		status := statuses[c.roll(len(statuses))]
		if status == "401 Who" {
			extra = append(extra, `WWW-Authenticate: Digest realm="r",nonce="n"`)
		}
		if c.roll(2) == 0 {
			extra = append(extra, answerSDP...)
		}
		c.answer(m, status, []string{"one", "two"}[c.roll(2)], extra...)
	}
}

// request says one of the requests of a call.
func (c *script) request() {
	method := []string{"INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "OPTIONS", "REFER", "NOTIFY", "MESSAGE"}[c.roll(13)]
	seq := 1 + c.roll(6)
	lines := []string{
		method + " sip:helpline@" + c.to.String() + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d", c.addr(), c.callID, c.roll(8)),
		"From: " + c.us, "To: " + c.them, "Call-ID: " + c.callID, fmt.Sprintf("CSeq: %d %s", seq, method),
		"Contact: <sip:caller@" + c.addr() + ">",
	}
	if method == "INVITE" && c.roll(2) == 0 {
		lines[3] = "To: <sip:helpline@" + c.to.String() + ">"
	}
	for _, h := range []string{
		"Supported: 100rel, timer", "Require: 100rel", "Session-Expires: 300;refresher=uac", "RAck: 1 1 INVITE", "Allow: UPDATE",
		"Refer-To: <sip:200@h>", "Event: refer", "Subscription-State: terminated", "Reason: SIP;cause=200", "Record-Route: <sip:" + c.addr() + ";lr>",
	} {
		if c.roll(4) == 0 {
			lines = append(lines, h)
		}
	}
	if tag, ok := strings.CutPrefix(c.them[strings.LastIndexByte(c.them, ';')+1:], "tag="); ok && c.roll(8) == 0 {
		lines = append(lines, "Replaces: "+Replaces{c.callID, tag, "one", c.roll(2) == 0}.String())
	}
	if c.roll(2) == 0 {
		lines = append(lines, offer...)
	}
	c.send(lines...)
}

// TestHistoriesOfAStranger has a far end that keeps no rule at all, in both roles.
func TestHistoriesOfAStranger(t *testing.T) {
	t.Parallel()
	inHistories(t, histories(2), time.Minute, func(t *testing.T, e *ether, servers []*Server, name string, roll func(int) int) {
		s := servers[0]
		w := newWire(t, s)
		c := &script{wire: w, roll: roll}
		if roll(2) == 0 {
			l, err := s.Dial(Target{URI: "sip:agent@" + w.addr(), From: "x", AskOffer: roll(4) == 0, Auth: &Auth{"a", "b"}}, &moody{roll: roll})
			if err != nil {
				return
			}
			go func() {
				talkWildly(l, roll)
				time.Sleep(time.Duration(roll(5000)) * time.Millisecond)
				l.Hangup()
			}()
			synctest.Wait()
			invite, sent := w.within("INVITE", time.Second)
			if !sent {
				return // hung up at once
			}
			c.callID, c.us, c.them = field(invite, "Call-ID"), field(invite, "To")+";tag=one", field(invite, "From")
			c.reply(invite)
		} else {
			c.callID, c.us, c.them = name, "<sip:x@h>;tag=one", "<sip:helpline@"+w.to.String()+">"
		}
		for range roll(20) {
			c.request()
			if roll(3) == 0 {
				time.Sleep(time.Duration(roll(1000)) * time.Millisecond)
			}
			synctest.Wait()
			c.learn()
		}
		for range 5 {
			time.Sleep(time.Duration(roll(3000)) * time.Millisecond)
			c.learn()
		}
	})
}

// TestGhost cuts the network in a talk: an end that hears no BYE finds out by the
// session timer, whoever of the two refreshes.
func TestGhost(t *testing.T) {
	for _, callerHangsUp := range []bool{true, false} {
		virtual(t, func(t *testing.T, e *ether) {
			d := answering(t, &media{})
			callee, caller := startIn(t, e, Options{Handler: d}), startIn(t, e, Options{})
			out, err := caller.Dial(Target{URI: callee.uri("x", "udp"), From: "x"}, &media{})
			if err != nil {
				t.Fatal(err)
			}
			in := next(t, "leg", d.legs)
			wait(t, "answered", out.Answered())
			synctest.Wait()
			e.weather(func() []time.Duration { return nil })
			ghost := in
			if callerHangsUp {
				out.Hangup()
			} else {
				in.Hangup()
				ghost = out
			}
			time.Sleep(31 * time.Minute)
			wantEnd(t, ghost, 408, ByFailure)
		})
	}
}
