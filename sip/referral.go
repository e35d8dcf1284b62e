package sip

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
)

const sipfragType = "message/sipfrag"

// ReferTo says where to send the far end.
type ReferTo struct {
	URI      string    // sip or tel, without headers
	Replaces *Replaces // whose place to take there: the Dialog of another leg
	Quiet    bool      // how it goes need not be told (RFC 4488), if the far end can be so
}

// Referral is a REFER of ours, and what the far end tells of it.
type Referral struct {
	steps chan ReferStep
	over  bool // the leg's lock guards it
}

// ReferStep is one piece of news of a Referral.
type ReferStep struct {
	Code  int  // 100 to 199: under way; 200: the far end talks to the target; else it failed with that
	Final bool // nothing more is told
}

// Steps gives what becomes of the referral: first that it is accepted (100) or
// refused, then what the far end tells. It is closed after the last one, at the
// latest when the leg ends. A reader who falls 16 behind misses some.
func (r *Referral) Steps() <-chan ReferStep { return r.steps }

// Refer asks the far end to call somebody else in our place (RFC 3515): to send a
// caller on to another system. The leg goes on; when the far end tells of success
// it is usually the first to hang up. Errors: ErrOver, ErrState, ErrBusy if an
// earlier one is not over, or that the target cannot be written.
func (l *Leg) Refer(to ReferTo) (*Referral, error) {
	value, err := to.header()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state >= legEnding:
		return nil, ErrOver
	case l.state != legUp:
		return nil, ErrState
	case l.sent != nil:
		return nil, ErrBusy
	}
	r := &Referral{steps: make(chan ReferStep, 17)}
	l.sent = r
	req := l.dlg.request(gosip.REFER, 0)
	req.AppendHeader(l.dlg.via.contact(l.dlg.target.Scheme))
	req.AppendHeader(allowHeader)
	req.AppendHeader(gosip.NewHeader("Refer-To", value))
	req.AppendHeader(gosip.NewHeader("Referred-By", "<"+l.dlg.from.Address.String()+">"))
	if to.Quiet {
		req.AppendHeader(gosip.NewHeader("Refer-Sub", "false"))
		req.AppendHeader(gosip.NewHeader("Supported", "norefersub"))
	}
	req.SetBody(nil)
	l.ask(&l.dlg, req, func(res *gosip.Response, err error) { l.referAnswered(r, req, res, err) })
	return r, nil
}

// header gives the value of the Refer-To.
func (to ReferTo) header() (string, error) {
	var uri gosip.Uri
	if err := parseURI(to.URI, &uri); err != nil {
		return "", errors.New("referring: the target's address cannot be read") // which is private, as err may quote it
	}
	if uri.Scheme != "tel" && (!isSIP(&uri) || uri.Host == "") || !cleanURI(&uri) || strings.ContainsAny(to.URI, "<> ") || len(uri.Headers) > 0 {
		return "", errors.New("referring: the target's address is not a sip or tel URI")
	}
	v := "<" + to.URI
	if to.Replaces != nil {
		v += "?Replaces=" + url.QueryEscape(to.Replaces.String())
	}
	return v + ">", nil
}

// referAnswered takes the answer to our REFER.
func (l *Leg) referAnswered(r *Referral, req *gosip.Request, res *gosip.Response, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.over || l.lost(gosip.REFER, res, err):
	case res == nil:
		l.referStep(r, ReferStep{503, true})
	case !res.IsSuccess():
		l.referStep(r, ReferStep{res.StatusCode, true})
	default:
		// Without a subscription nothing more will be told.
		quiet := strings.EqualFold(strings.TrimSpace(header(res, "refer-sub", "")), "false")
		l.referStep(r, ReferStep{100, quiet})
	}
}

// referStep passes a piece of news on; l.mu is held.
func (l *Leg) referStep(r *Referral, step ReferStep) {
	if r.over {
		return
	}
	if step.Final || len(r.steps) < cap(r.steps)-1 { // the last one always finds room
		r.steps <- step
	}
	if step.Final {
		r.over = true
		close(r.steps)
		if l.sent == r {
			l.sent = nil
		}
	}
}

// notified takes a NOTIFY: news of our REFER. Of anything else there is no
// subscription.
func (l *Leg) notified(tx *serverTx, req *gosip.Request) {
	event, _, _ := strings.Cut(header(req, "event", "o"), ";")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent == nil || !strings.EqualFold(strings.TrimSpace(event), "refer") {
		l.reply(tx, req, 481, nil)
		return
	}
	state, _, _ := strings.Cut(header(req, "subscription-state", ""), ";")
	ended := strings.EqualFold(strings.TrimSpace(state), "terminated")
	code, ok := readSipfrag(req)
	switch {
	case !ok && !ended:
		l.reply(tx, req, 400, nil)
		return
	case !ok:
		code = 487 // it ended without telling how
	}
	l.reply(tx, req, 200, nil)
	l.referStep(l.sent, ReferStep{code, ended || code >= 200})
}

// readSipfrag reads the status line a NOTIFY brings (RFC 3420).
func readSipfrag(req *gosip.Request) (int, bool) {
	if mediaType(req) != sipfragType {
		return 0, false
	}
	line, _, _ := strings.Cut(string(req.Body()), "\n")
	version, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	digits, _, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(digits)
	return code, version == "SIP/2.0" && err == nil && len(digits) == 3 && code >= 100 && code <= 699
}

// dropReferrals ends what was asked of either end, with the leg; l.mu is held.
func (l *Leg) dropReferrals() {
	if r := l.refer; r != nil {
		asked := r.state == referAsked
		r.end()
		if asked { // and stays so: the leg is over, but nobody has refused it
			l.reply(r.tx, r.req, 481, nil)
			r.state = referAsked
		}
	}
	if l.sent != nil {
		l.referStep(l.sent, ReferStep{487, true})
	}
}
