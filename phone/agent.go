package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/bugle-voice/bugle/media"
	"github.com/bugle-voice/bugle/sip"
)

// AgentOptions say how an agent behaves.
type AgentOptions struct {
	ID, Password string
	Server       string        // host:port of Bugle
	AnswerAfter  time.Duration // rings for so long
	Talk         time.Duration // hangs up after so long; 0 leaves that to the caller
	Say          *media.Clip   // spoken over and over while talking
	Ready        bool          // dials *70 once registered, and *72 after each call
	Log          *slog.Logger  // told of calls; default: none

	Phone Options // where the phone stands; User and OnInvite are set here
}

// Agent is an agent's phone that answers by itself.
type Agent struct {
	*Phone
	options    AgentOptions
	registered *sip.Registered
	ctx        context.Context
	cancel     context.CancelFunc
}

// StartAgent registers an agent's phone, makes him ready if wished, and answers
// his calls until Close.
func StartAgent(ctx context.Context, o AgentOptions) (*Agent, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{options: o}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	o.Phone.User, o.Phone.OnInvite = o.ID, a.answer
	var err error
	if a.Phone, err = New(o.Phone); err != nil {
		return nil, err
	}
	if a.registered, err = a.sip.Register(ctx, sip.Registration{
		Registrar: "sip:" + o.Server + a.transport(), User: o.ID, Password: o.Password,
	}); err != nil {
		a.cancel()
		return nil, fmt.Errorf("register %s: %w", o.ID, errors.Join(err, a.Phone.Close()))
	}
	if o.Ready {
		if err := a.Dial(ctx, "*70"); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

// Dial dials a feature code and waits until it has been confirmed.
func (a *Agent) Dial(ctx context.Context, code string) error {
	result, err := a.Call(ctx, CallOptions{
		URI:  "sip:" + code + "@" + a.options.Server + a.transport(),
		From: a.options.ID + "@" + hostOf(a.options.Server),
		Auth: &sip.Auth{User: a.options.ID, Password: a.options.Password},
	})
	if err == nil && !result.Answered {
		err = fmt.Errorf("dial %s: %d %s", code, result.End.Code, result.End.Reason)
	}
	return err
}

// Close takes the agent's phone off the line.
func (a *Agent) Close() error {
	a.cancel()
	err := a.registered.Close()
	return errors.Join(err, a.Phone.Close())
}

// hostOf gives the host of host or host:port.
func hostOf(server string) string {
	if host, _, err := net.SplitHostPort(server); err == nil {
		return host
	}
	return server
}

func (a *Agent) transport() string {
	if n := a.options.Phone.Network; n != "" && n != "udp" {
		return ";transport=" + n
	}
	return ""
}

// answer takes one call.
func (a *Agent) answer(leg *sip.Leg) {
	o := a.options
	defer leg.Hangup()
	if err := leg.Ringing(); err != nil {
		return
	}
	if !a.pause(leg, o.AnswerAfter) {
		return
	}
	side, err := a.media.NewLeg(media.LegOptions{Latch: true})
	if err != nil {
		_ = leg.Reject(503, "No Media")
		return
	}
	defer side.Close()
	if err := leg.Answer(side); err != nil {
		return
	}
	o.Log.Info("answered", "agent", o.ID)
	if o.Say != nil {
		side.PlayMusic(o.Say)
	}
	if o.Talk == 0 {
		o.Talk = -1
	}
	a.pause(leg, o.Talk)
	leg.Hangup()
	<-leg.Done()
	o.Log.Info("hung up", "agent", o.ID)
	if o.Ready {
		if err := a.Dial(a.ctx, "*72"); err != nil {
			o.Log.Debug("wrap-up", "agent", o.ID, "error", err) // it may have ended by itself
		}
	}
}

// pause waits, for ever if the time is negative, and says whether the leg is
// still there.
func (a *Agent) pause(leg *sip.Leg, d time.Duration) bool {
	var over <-chan time.Time
	if d >= 0 {
		over = time.After(d)
	}
	select {
	case <-over:
		return true
	case <-leg.Done():
	case <-a.ctx.Done():
	}
	return false
}
