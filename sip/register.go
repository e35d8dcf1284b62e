package sip

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Registration is what a phone tells a registrar.
type Registration struct {
	Registrar string // "sip:127.0.0.1:5060;transport=tcp"
	User      string
	Password  string
	Expires   time.Duration // asked for; default 5 minutes
}

// Registered is a registration that is kept up until it is closed.
type Registered struct {
	s      *Server
	r      Registration
	uri    gosip.Uri
	ln     *listener
	callID gosip.CallIDHeader
	tag    string
	seq    uint32

	contact string // as it was told last

	stop func() // ends the loop that refreshes
	done chan struct{}
	once sync.Once
	err  error
}

const (
	registerTimeout = 10 * time.Second
	registerRetry   = 5 * time.Second
)

// Register binds this server's address to a user at a registrar and keeps the
// binding alive. It returns once the first registration is accepted, or with
// the reason it was not. ctx limits the first one alone.
func (s *Server) Register(ctx context.Context, r Registration) (*Registered, error) {
	reg := &Registered{
		s: s, r: r, callID: gosip.CallIDHeader(token() + token()), tag: token(), done: make(chan struct{}),
	}
	if reg.r.Expires <= 0 {
		reg.r.Expires = 5 * time.Minute
	}
	if err := parseURI(r.Registrar, &reg.uri); err != nil || !isSIP(&reg.uri) || !cleanURI(&reg.uri) {
		return nil, fmt.Errorf("registering %s: %q is not a sip: URI", r.User, r.Registrar)
	}
	network := transportOf(&reg.uri, "udp")
	reg.ln = s.listenerFor(network, "")
	if reg.ln == nil {
		return nil, fmt.Errorf("registering %s: no listener for %s", r.User, network)
	}
	granted, err := reg.send(ctx, reg.r.Expires)
	if err != nil {
		return nil, fmt.Errorf("registering %s: %w", r.User, err)
	}
	loop, stop := context.WithCancel(s.ctx)
	reg.stop = stop
	if !s.spawn(func() { reg.keep(loop, granted) }) {
		stop()
		return nil, ErrClosed
	}
	return reg, nil
}

// Close takes the binding back. It may be called more than once.
func (reg *Registered) Close() error {
	reg.once.Do(func() {
		reg.stop()
		<-reg.done
		ctx, cancel := context.WithTimeout(reg.s.ctx, registerTimeout)
		defer cancel()
		if _, err := reg.send(ctx, 0); err != nil {
			reg.err = fmt.Errorf("unregistering %s: %w", reg.r.User, err)
		}
	})
	return reg.err
}

// keep refreshes at half of what was granted, and soon again after a failure.
func (reg *Registered) keep(ctx context.Context, granted time.Duration) {
	defer close(reg.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(granted / 2):
		}
		next, err := reg.send(ctx, reg.r.Expires)
		if err != nil {
			reg.s.log.Warn("registration not refreshed", "agent", reg.r.User, "error", err)
			next = 2 * registerRetry
		}
		granted = next
	}
}

// send makes one REGISTER, answers a challenge, and gives the lifetime granted.
func (reg *Registered) send(ctx context.Context, expires time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	var proof gosip.Header
	for range 1 + maxProofs {
		res, err := reg.try(ctx, expires, proof)
		if err != nil {
			return 0, err
		}
		switch {
		case res.IsSuccess():
			return grantedBy(res, expires, reg.contact), nil
		case res.StatusCode == 401 || res.StatusCode == 407:
			proof, err = prove(res, gosip.REGISTER, reg.requestURI().String(), Auth{reg.r.User, reg.r.Password})
			if err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("%d %s", res.StatusCode, shown(res.Reason, maxWords))
		}
	}
	return 0, errors.New("the registrar does not accept the password")
}

func (reg *Registered) requestURI() *gosip.Uri {
	return &gosip.Uri{Scheme: reg.uri.Scheme, Host: reg.uri.Host, Port: reg.uri.Port}
}

func (reg *Registered) try(ctx context.Context, expires time.Duration, proof gosip.Header) (*gosip.Response, error) {
	addr, err := resolve(ctx, &reg.uri, reg.ln)
	if err != nil {
		return nil, err
	}
	reg.seq++
	aor := gosip.Uri{Scheme: "sip", User: escapeUser(reg.r.User), Host: reg.uri.Host}
	req := gosip.NewRequest(gosip.REGISTER, *reg.requestURI())
	req.AppendHeader(viaOf(reg.ln))
	mf := maxForwards
	req.AppendHeader(&mf)
	req.AppendHeader(&gosip.FromHeader{Address: aor, Params: gosip.HeaderParams{{K: "tag", V: reg.tag}}})
	req.AppendHeader(&gosip.ToHeader{Address: aor})
	req.AppendHeader(&reg.callID)
	req.AppendHeader(&gosip.CSeqHeader{SeqNo: reg.seq, MethodName: gosip.REGISTER})
	req.AppendHeader(agentHeader)
	if proof != nil {
		req.AppendHeader(proof)
	}
	req.SetTransport(strings.ToUpper(reg.ln.network))
	req.SetDestination(addr)
	f := flow{at: reg.ln, remote: addr}
	conn, err := f.dial(ctx, req)
	if err != nil {
		return nil, err
	}
	contact := f.contact(reg.uri.Scheme).Address
	contact.User = escapeUser(reg.r.User)
	reg.contact = "<" + contact.String() + ">"
	req.AppendHeader(gosip.NewHeader("Contact", reg.contact))
	req.AppendHeader(gosip.NewHeader("Expires", strconv.Itoa(int(expires/time.Second))))
	req.SetBody(nil)
	return reg.s.do(ctx, req, conn)
}

// grantedBy reads the lifetime from the answer to a REGISTER: that of our own
// Contact; if the registrar has rewritten it, the shortest of all, others' too.
func grantedBy(res *gosip.Response, asked time.Duration, own string) time.Duration {
	granted := asked
	take := func(v string) {
		if secs, err := strconv.Atoi(v); err == nil && secs > 0 {
			granted = min(granted, time.Duration(secs)*time.Second)
		}
	}
	take(header(res, "expires", ""))
	for _, h := range headersOf(res, "contact", "m") {
		c, ok := h.(*gosip.ContactHeader)
		if !ok {
			continue
		}
		v, ok := param(c.Params, "expires")
		if ok && "<"+c.Address.String()+">" == own {
			granted = asked
			take(v)
			break
		}
		if ok {
			take(v)
		}
	}
	return granted
}
