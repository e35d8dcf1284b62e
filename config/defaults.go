package config

import (
	"os"
	"time"
)

func (c *Config) defaults() {
	c.Domain = "helpline"
	c.DataDir = "data"
	c.TimeZone = "UTC"
	c.Drain = Duration(5 * time.Minute)
	c.Log.defaults()
	c.HTTP.defaults()
	c.Events.defaults()
	c.Store.defaults()
	c.Vault.defaults()
	c.SIP.defaults()
	c.Media.defaults()
	c.Prompts.defaults()
	c.Calls.defaults()
}

func (l *Log) defaults() { l.Level, l.Format = "info", "text" }

func (h *HTTP) defaults() { h.Address = "127.0.0.1:8080" }

func (v *Vault) defaults() { v.Refresh = Duration(time.Minute) }

func (s *SIP) defaults() {
	s.Digest = "md5"
	s.SRTP = "off"
	s.MaxCalls = 2000
	s.RegisterExpires = Duration(10 * time.Minute)
	s.SessionExpires, s.MinSE = Duration(30*time.Minute), Duration(90*time.Second)
	s.RingLimit = Duration(4 * time.Minute)
	s.Trace.Memory = 16 << 20
	s.Limits = Limits{Source: 200, Total: 5000, Calls: 200, Failures: 20, Ban: Duration(time.Minute), LongestBan: Duration(24 * time.Hour)}
}

func (m *Media) defaults() {
	m.Ports = PortRange{First: 20000, Last: 29999}
	m.Silence = Duration(30 * time.Second)
	m.SharedPorts = 16
}

func (p *Prompts) defaults() { p.Dir = "prompts" }

func (q *Queue) defaults() {
	q.Goal = Duration(20 * time.Second)
	q.ShortAbandon = Duration(5 * time.Second)
	q.Ring = Duration(15 * time.Second)
	wrapUp := Duration(30 * time.Second)
	q.WrapUp = &wrapUp
	q.Class = "routine"
}

func (a *Agent) defaults() { a.Tier = 1 }

func (p *Play) defaults() {
	barge := true
	p.Barge = &barge
}

func (m *Menu) defaults() {
	m.Timeout = Duration(5 * time.Second)
	m.Tries = 3
}

func (c *Collect) defaults() {
	c.Min = 1
	c.Finish = "#"
	c.Timeout = Duration(5 * time.Second)
	c.InterDigit = Duration(3 * time.Second)
	c.Tries = 3
}

func (r *Record) defaults() {
	r.Min = Duration(time.Second)
	r.Max = Duration(3 * time.Minute)
	r.Silence = Duration(5 * time.Second)
	r.Finish = "#"
	r.Tries = 2
}

// derive fills in the defaults that follow from other values.
func (c *Config) derive() {
	if c.Node == "" {
		c.Node, _ = os.Hostname()
	}
	if len(c.SIP.Listeners) == 0 {
		return
	}
	host := c.SIP.Listeners[0].Address.Addr()
	if c.SIP.Domain == "" && host.IsValid() {
		c.SIP.Domain = host.WithZone("").String()
	}
	// With several hosts only the site knows where RTP can be sent to.
	if !c.Media.Address.IsValid() && !c.SIP.manyHosts() {
		c.Media.Address = host
	}
	if !c.Media.Advertise.IsValid() {
		c.Media.Advertise = c.Media.Address
	}
}
