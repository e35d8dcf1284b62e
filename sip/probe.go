package sip

import gosip "github.com/emiago/sipgo/sip"

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
	req := l.dlg.request(gosip.OPTIONS, 0)
	req.AppendHeader(acceptHeader)
	req.SetBody(nil)
	l.probing = true
	l.ask(&l.dlg, req, func(res *gosip.Response, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.probing = false
		l.lost(gosip.OPTIONS, res, err)
	})
}
