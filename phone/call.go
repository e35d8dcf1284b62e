package phone

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// CallOptions say whom to call and what to do there.
type CallOptions struct {
	URI   string        // "sip:helpline@127.0.0.1:5060", ";transport=tcp" for TCP
	Press []string      // keys, one entry after the other
	Every time.Duration // wait before each entry; default 1.5 s
	Say   *media.Clip   // spoken over and over; nil says nothing but sends silence
	For   time.Duration // hang up after so long since the answer; 0: when the other side does
	From  string        // own address, USER@HOST; default: the phone's user at its own address
	Auth  *sip.Auth     // for an agent who dials a code

	// Record gets a stereo WAV: left what was heard, right what was said. It is
	// complete when Call returns.
	Record io.WriteSeeker
}

// Result is how a call went.
type Result struct {
	Answered bool
	Setup    time.Duration // from INVITE to answer
	Talk     time.Duration // from answer to end
	End      sip.End
	Media    media.Stats
}

// patience is how long somebody who gives up waits for the far end to notice.
const patience = 2 * time.Second

// Call calls somebody and returns when the call is over. The error is why no
// call came about; a call that was refused or not answered has none, and tells
// of it in the Result. The end of ctx hangs up.
func (p *Phone) Call(ctx context.Context, o CallOptions) (Result, error) {
	side, err := p.media.NewLeg(media.LegOptions{Latch: true})
	if err != nil {
		return Result{}, fmt.Errorf("call: %w", err)
	}
	defer side.Close()
	began := time.Now()
	if o.From == "" {
		o.From = p.user
	}
	user, host := splitAddress(o.From)
	leg, err := p.sip.Dial(sip.Target{URI: o.URI, From: user, FromHost: host, Auth: o.Auth}, side)
	if err != nil {
		return Result{}, fmt.Errorf("call %s: %w", o.URI, err)
	}
	defer leg.Hangup()
	select {
	case <-leg.Answered():
	case <-leg.Done():
		return Result{End: leg.End()}, nil
	case <-ctx.Done():
		leg.Hangup()
		select {
		case <-leg.Done():
			return Result{End: leg.End()}, nil
		case <-time.After(patience):
			return Result{End: sip.End{Code: 487, Reason: "Request Terminated", By: sip.ByLocal}}, nil
		}
	}
	result := Result{Answered: true, Setup: time.Since(began)}
	var tape *media.Recording
	if o.Record != nil {
		if tape, err = side.Record(o.Record); err != nil {
			return result, fmt.Errorf("record the call: %w", err)
		}
	}
	answered := time.Now()
	converse(ctx, leg, side, o)
	leg.Hangup()
	<-leg.Done()
	result.Talk, result.End, result.Media = time.Since(answered), leg.End(), side.Stats()
	side.Close()
	if tape != nil {
		if err := tape.Close(); err != nil {
			return result, fmt.Errorf("record the call: %w", err)
		}
	}
	return result, nil
}

// splitAddress splits USER@HOST; a host that is not given is empty.
func splitAddress(address string) (user, host string) {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i+1:]
	}
	return address, ""
}

// converse presses the keys and stays until either side has had enough.
func converse(ctx context.Context, leg *sip.Leg, side *media.Leg, o CallOptions) {
	every := o.Every
	if every == 0 {
		every = 1500 * time.Millisecond
	}
	if o.Say != nil {
		side.PlayMusic(o.Say)
	}
	var enough <-chan time.Time
	if o.For > 0 {
		enough = time.After(o.For)
	}
	keys := o.Press
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-leg.Done():
			return
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-next.C:
			if len(keys) > 0 {
				_ = side.SendKeys(keys[0]) // who takes no keys hears none
				keys = keys[1:]
				next.Reset(every)
			}
		case <-side.Events():
		case <-leg.Infos():
		}
	}
}
