package sip

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

const (
	maxContactLen = 512
	maxPath       = 8
)

// change is what a REGISTER asks for.
type change struct {
	put    []Binding
	drop   []string // contacts
	all    bool     // "*": drop every one
	callID string
	seq    uint32
}

// readChange reads the Contacts of a REGISTER (RFC 3261 section 10.3, steps 6
// and 7). One without any only asks what is bound.
func (r *registrar) readChange(user string, req *gosip.Request, f flow) (*change, *fault) {
	c := &change{callID: req.CallID().Value(), seq: req.CSeq().SeqNo}
	path, fault := readPath(req)
	if fault != nil {
		return nil, fault
	}
	for _, h := range headersOf(req, "contact", "m") {
		contact, ok := h.(*gosip.ContactHeader)
		if !ok {
			return nil, refusal(400)
		}
		if contact.Address.Wildcard {
			c.all = true
			continue
		}
		expires, fault := r.expires(contact, req)
		if fault != nil {
			return nil, fault
		}
		q, ok := readQ(contact)
		if !ok {
			return nil, refusal(400)
		}
		uri := contact.Address.String()
		if len(uri) > maxContactLen || contact.Address.Host == "" || !isSIP(&contact.Address) {
			return nil, refusal(400)
		}
		if expires == 0 {
			c.drop = append(c.drop, uri)
			continue
		}
		sender := ""
		if f.origin.known() {
			sender = f.sender()
		}
		c.put = append(c.put, Binding{
			User: user, Contact: uri, Source: f.String(), Sender: sender, Local: f.at.name(), Path: path,
			Q: q, Instance: readInstance(contact),
			UserAgent: shown(header(req, "user-agent", ""), maxWords),
			CallID:    c.callID, CSeq: c.seq, Expires: time.Now().Add(expires), Node: r.node,
		})
	}
	if c.all && (len(c.put) > 0 || len(c.drop) > 0 || header(req, "expires", "") != "0") {
		return nil, refusal(400) // "*" stands alone, and only to remove
	}
	return c, nil
}

// expires gives the lifetime granted to a contact; 0 removes it.
func (r *registrar) expires(contact *gosip.ContactHeader, req *gosip.Request) (time.Duration, *fault) {
	asked, ok := param(contact.Params, "expires")
	if !ok {
		asked = header(req, "expires", "")
	}
	if asked == "" {
		return r.longest, nil
	}
	secs, err := strconv.ParseUint(strings.TrimSpace(asked), 10, 32)
	if err != nil {
		return 0, refusal(400)
	}
	d := time.Duration(secs) * time.Second
	if d > 0 && d < minExpires && minExpires < r.longest {
		f := refusal(423)
		f.extra = gosip.NewHeader("Min-Expires", strconv.Itoa(int(minExpires/time.Second)))
		return 0, f
	}
	return min(d, r.longest), nil
}

// readQ gives a contact's preference in thousandths (RFC 3261 section 20.10). None
// is 1000; 0 becomes 1, so that it can be told from none.
func readQ(contact *gosip.ContactHeader) (int, bool) {
	text, ok := param(contact.Params, "q")
	if !ok {
		return 1000, true
	}
	q, err := strconv.ParseFloat(text, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 0, false
	}
	return max(1, int(q*1000+0.5)), true
}

// readInstance tells which phone a contact is of, and which of its connections,
// if it says both (RFC 5626 section 4.2).
func readInstance(contact *gosip.ContactHeader) string {
	instance, _ := param(contact.Params, "+sip.instance")
	id, _ := param(contact.Params, "reg-id")
	if instance == "" || id == "" || len(instance) > maxContactLen || len(id) > 10 {
		return ""
	}
	return instance + ";" + id
}

// isInstance reports whether a Contact tells which phone it is of.
func isInstance(h gosip.Header) bool {
	c, ok := h.(*gosip.ContactHeader)
	return ok && readInstance(c) != ""
}

// against checks a change against what is bound and completes it: a request
// of the same phone that is older than what it asked last changes nothing, and
// nobody binds more phones than he can answer.
func (c *change) against(before []Binding) *fault {
	bound, phones := make(map[string]bool), make(map[string]bool)
	for _, b := range c.put {
		bound[b.Contact] = true
		phones[b.Instance] = b.Instance != ""
	}
	for _, b := range before {
		if phones[b.Instance] && !c.touches(b.Contact) {
			c.drop = append(c.drop, b.Contact) // it has another address now (RFC 5626 section 6)
			continue
		}
		bound[b.Contact] = true
		if c.all {
			c.drop = append(c.drop, b.Contact)
		}
		if c.touches(b.Contact) && b.CallID == c.callID && c.seq <= b.CSeq {
			return &fault{code: 500, reason: "Out of Order"}
		}
	}
	if len(bound) > maxContacts && len(c.put) > 0 {
		return &fault{code: 403, reason: "Too Many Contacts"}
	}
	return nil
}

// touches reports whether a change is about a contact.
func (c *change) touches(contact string) bool {
	return slices.Contains(c.drop, contact) ||
		slices.ContainsFunc(c.put, func(b Binding) bool { return b.Contact == contact })
}

// readPath gives the proxies a REGISTER passed, nearest to us first (RFC 3327).
func readPath(req *gosip.Request) ([]string, *fault) {
	var path []string
	for _, h := range headersOf(req, "path", "") {
		for _, hop := range splitAddresses(h.Value()) {
			var uri gosip.Uri
			if _, err := parseAddress(hop, &uri, nil); err != nil || !isSIP(&uri) || !cleanURI(&uri) {
				return nil, refusal(400)
			}
			path = append(path, "<"+uri.String()+">")
		}
	}
	if len(path) > maxPath {
		return nil, refusal(400)
	}
	return path, nil
}

// splitAddresses splits a header's list at the commas outside <> and quotes.
func splitAddresses(s string) []string {
	var parts []string
	quoted, angle, start := false, false, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			parts = append(parts, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(s[start:]))
}

// listBindings writes Contacts into the answer to a REGISTER.
func listBindings(res *gosip.Response, bindings []Binding) {
	now := time.Now()
	for _, b := range bindings {
		left := int(b.Expires.Sub(now).Round(time.Second) / time.Second)
		if left > 0 {
			res.AppendHeader(gosip.NewHeader("Contact", "<"+b.Contact+">"+preference(b.Q)+";expires="+strconv.Itoa(left)))
		}
	}
}

// preference writes a q that is not 1.
func preference(q int) string {
	if q == 0 || q == 1000 {
		return ""
	}
	return ";q=" + strconv.FormatFloat(float64(q)/1000, 'f', -1, 64)
}

// Prefer orders the phones of an agent in which a node should ring them: first
// those it can reach, of them those preferred most (RFC 3261 section 20.10), of
// them the one registered last. A phone without a Path that is connected to another
// node cannot be reached.
func Prefer(all []Binding, node string) []Binding {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Binding) int {
		return cmp.Or(cmp.Compare(b.reach(node), a.reach(node)), cmp.Compare(b.q(), a.q()), b.Expires.Compare(a.Expires))
	})
	return all
}

func (b *Binding) q() int { return cmp.Or(b.Q, 1000) }

// reach is 1 if a node can send to the phone, else 0.
func (b *Binding) reach(node string) int {
	if len(b.Path) > 0 || b.Node == node || strings.HasPrefix(b.Source, "udp:") {
		return 1
	}
	return 0
}

func isSIP(u *gosip.Uri) bool { return u.Scheme == "sip" || u.Scheme == "sips" }

// param finds a header parameter whatever its case; sipgo minds it.
func param(ps gosip.HeaderParams, name string) (string, bool) {
	for _, p := range ps {
		if strings.EqualFold(p.K, name) {
			return p.V, true
		}
	}
	return "", false
}

// refusal is a fault with the status's own words.
func refusal(code int) *fault { return &fault{code: code, reason: reasonOf(code)} }
