package sip

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Refer is the far end's wish that we call somebody in its place: a transfer (RFC
// 3515). Whether that happens is the room above's to say, by Accept or Reject
// within referPatience, and then how it goes, by Notify. Its methods may be called
// from any goroutine and do not wait.
type Refer struct {
	To       string    // the URI to call, without headers; sip, sips or tel
	User     string    // its user part, as people write it: an extension, a number
	Replaces *Replaces // attended: the dialog to replace, which may be one of ours (Server.Find)
	By       string    // the URI in Referred-By, "" if none; unproved

	l     *Leg
	tx    *serverTx
	req   *gosip.Request
	event string // value of the NOTIFYs' Event
	quiet bool   // no NOTIFYs wanted (RFC 4488)

	// The leg's lock guards these.
	state  referState
	queue  []sipfrag // NOTIFYs to send, one after the other
	timer  *time.Timer
	flying bool // a NOTIFY is not answered yet
	heard  bool
}

type referState int

const (
	referAsked referState = iota
	referTaken            // 202 sent
	referDone             // refused, or its last NOTIFY is queued
)

// sipfrag is the status a NOTIFY tells.
type sipfrag struct {
	code   int
	reason string
}

const (
	referPatience = 5 * time.Second // well within the far end's Timer F
	referExpires  = 180             // seconds a NOTIFY promises to go on
	maxReferTo    = 1024
)

// Refers gives the transfers that the far end asks for. Until it is called for the
// first time, they are declined (603); so is one that comes before the last is over.
func (l *Leg) Refers() <-chan *Refer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refers == nil {
		l.refers = make(chan *Refer, 1)
	}
	return l.refers
}

// referred takes a REFER within the dialog.
func (l *Leg) referred(tx *serverTx, req *gosip.Request) {
	r, fault := readRefer(req)
	if fault != nil {
		l.reply(tx, req, fault.code, nil)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == legEnding:
		l.reply(tx, req, 481, nil)
	case l.state != legUp && l.state != legAnswered:
		l.answerLater(tx, req)
	case l.refers == nil || l.refer != nil || len(l.refers) > 0:
		l.reply(tx, req, 603, nil)
	default:
		r.l, r.tx, r.req = l, tx, req
		l.refer = r
		r.timer = l.s.after(referPatience, func() { _ = r.Reject(603) })
		l.refers <- r
	}
}

// readRefer reads a REFER: one Refer-To, to be called by INVITE (RFC 3515 section 2).
func readRefer(req *gosip.Request) (*Refer, *fault) {
	tos := headersOf(req, "refer-to", "r")
	if len(tos) != 1 || len(tos[0].Value()) > maxReferTo {
		return nil, refusal(400)
	}
	var uri gosip.Uri
	if _, err := parseAddress(tos[0].Value(), &uri, nil); err != nil || !cleanURI(&uri) {
		return nil, refusal(400)
	}
	if uri.Scheme != "tel" && (!isSIP(&uri) || !isHost(uri.Host)) {
		return nil, refusal(416)
	}
	if m, ok := param(uri.UriParams, "method"); ok && !strings.EqualFold(m, "INVITE") {
		return nil, refusal(603)
	}
	replaces, err := uriReplaces(&uri)
	if err != nil {
		return nil, refusal(400)
	}
	bare := uri.Clone()
	bare.Headers = nil
	r := &Refer{
		To: bare.String(), User: uriUser(&uri), Replaces: replaces, event: "refer;id=" + strconv.FormatUint(uint64(req.CSeq().SeqNo), 10),
		quiet: strings.EqualFold(strings.TrimSpace(header(req, "refer-sub", "")), "false"),
	}
	var by gosip.Uri
	if _, err := parseAddress(header(req, "referred-by", "b"), &by, nil); err == nil && cleanURI(&by) {
		r.By = by.String()
	}
	return r, nil
}

// Accept says that the transfer is being tried (202) and opens the far end's
// subscription to how it goes.
func (r *Refer) Accept() error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if err := r.open(); err != nil {
		return err
	}
	res := response(r.req, r.tx.flow, 202, reasonOf(202), r.l.dlg.localTag)
	res.AppendHeader(r.tx.flow.contact(r.req.Recipient.Scheme))
	if r.quiet {
		res.AppendHeader(gosip.NewHeader("Refer-Sub", "false"))
		res.AppendHeader(gosip.NewHeader("Supported", "norefersub"))
	}
	if err := r.tx.respond(res); err != nil {
		r.end()
		return fmt.Errorf("accepting a transfer: %w", err)
	}
	stop(r.timer)
	r.state = referTaken
	r.tell(100, "Trying")
	return nil
}

// Reject declines the transfer with a status of 400 to 699.
func (r *Refer) Reject(code int) error { return r.reject(code, nil) }

// RejectFor is Reject, and says why in plain words, for whoever looks for a
// fault (Warning, RFC 3261 section 20.43).
func (r *Refer) RejectFor(code int, why string) error {
	return r.reject(code, gosip.NewHeader("Warning", "399 bugle "+quote(why)))
}

func (r *Refer) reject(code int, extra gosip.Header) error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if code < 400 || code > 699 {
		return fmt.Errorf("%d is no refusal", code)
	}
	if err := r.open(); err != nil {
		return err
	}
	r.end()
	r.l.reply(r.tx, r.req, code, extra)
	r.heard = true
	return nil
}

// Heard says whether the far end knows how the transfer ended: it was refused, or has
// taken the last NOTIFY. A phone that hangs up before has only heard that it is tried.
func (r *Refer) Heard() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.heard
}

// open says whether the REFER still waits for its answer.
func (r *Refer) open() error {
	switch {
	case r.state != referAsked:
		return ErrState
	case r.l.state >= legEnding:
		return ErrOver
	}
	return nil
}

// Notify tells the far end how the call to the target goes, by the status it got:
// 180, 200, 486. The first final one ends the subscription, and the Refer with it.
func (r *Refer) Notify(code int) error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	switch {
	case code < 100 || code > 699:
		return fmt.Errorf("%d is no status", code)
	case r.l.state >= legEnding:
		return ErrOver
	case r.state != referTaken:
		return ErrState
	}
	r.tell(code, reasonOf(code))
	return nil
}

// tell queues a NOTIFY; the leg's lock is held.
func (r *Refer) tell(code int, reason string) {
	if code >= 200 {
		r.end()
	}
	if r.quiet {
		return
	}
	r.queue = append(r.queue, sipfrag{code, reason})
	r.next()
}

// next sends the next NOTIFY once the last is answered: UDP would let one overtake
// another.
func (r *Refer) next() {
	if r.flying || len(r.queue) == 0 || r.l.state >= legEnding {
		return
	}
	f := r.queue[0]
	r.queue = r.queue[1:]
	r.flying = true
	req := r.l.dlg.request(gosip.NOTIFY, 0)
	req.AppendHeader(r.l.dlg.via.contact(r.l.dlg.target.Scheme))
	req.AppendHeader(gosip.NewHeader("Event", r.event))
	state := "active;expires=" + strconv.Itoa(referExpires)
	if f.code >= 200 {
		state = "terminated;reason=noresource"
	}
	req.AppendHeader(gosip.NewHeader("Subscription-State", state))
	ct := gosip.ContentTypeHeader(sipfragType + ";version=2.0")
	req.AppendHeader(&ct)
	req.SetBody([]byte("SIP/2.0 " + strconv.Itoa(f.code) + " " + f.reason + "\r\n"))
	r.l.ask(&r.l.dlg, req, r.notified)
}

// notified takes the answer to a NOTIFY.
func (r *Refer) notified(res *gosip.Response, err error) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.flying = false
	switch {
	case res != nil && (res.StatusCode == 481 || res.StatusCode == 489):
		// It knows of no subscription, which need not mean that the dialog is gone.
		r.queue, r.quiet = nil, true
	case r.l.lost(gosip.NOTIFY, res, err):
		return
	}
	r.heard = r.state == referDone && len(r.queue) == 0 && res != nil && res.StatusCode < 300
	r.next()
}

// end lets the next REFER come; the leg's lock is held.
func (r *Refer) end() {
	r.state = referDone
	stop(r.timer)
	if r.l.refer == r {
		r.l.refer = nil
	}
}
