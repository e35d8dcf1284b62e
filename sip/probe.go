package sip

import (
	"fmt"

	gosip "github.com/emiago/sipgo/sip"
)

// Probe asks the far end whether an answered leg still stands, with OPTIONS
// within the dialog. 481, 408, or no answer within 64*T1 says no (RFC 3261
// section 12.2.1.2): the leg ends By failure. Any other answer changes nothing.
// It does not wait; in other states of the leg, and while an earlier question is
// open, it does nothing.
func (l *Leg) Probe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != legUp || l.probing {
		return
	}
	req := l.dlg.request(gosip.OPTIONS, l.dlg.next())
	req.AppendHeader(acceptHeader)
	req.SetBody(nil)
	dlg := l.dlg
	l.probing = l.s.spawn(func() { l.sendProbe(&dlg, req) })
}

func (l *Leg) sendProbe(dlg *dialog, req *gosip.Request) {
	conn, err := dlg.connect(l.s.ctx, req)
	if err == nil {
		_, err = l.s.request(req, conn,
			func(res *gosip.Response) {
				if !res.IsProvisional() {
					l.probed(res.StatusCode, fmt.Sprintf("%d to OPTIONS", res.StatusCode))
				}
			},
			func(err error) { l.probed(408, err.Error()+" to OPTIONS") })
	}
	if err != nil {
		l.probed(408, err.Error())
	}
}

// probed takes what came of a probe.
func (l *Leg) probed(code int, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.probing = false
	if l.state != legUp || code != 408 && code != 481 {
		return
	}
	if code == 408 {
		l.partingBye()
	}
	l.finish(End{code, reason, ByFailure})
}

// partingBye sends a BYE to an end that seems to be gone, for the case that
// only its answers are; nobody waits for what it says. l.mu is held.
func (l *Leg) partingBye() {
	bye := l.dlg.request(gosip.BYE, l.dlg.next())
	bye.SetBody(nil)
	dlg := l.dlg
	l.s.spawn(func() { l.sendAside(&dlg, bye) })
}
