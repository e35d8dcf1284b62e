package config

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (k *checker) sip() {
	if len(k.SIP.Listeners) == 0 {
		k.bad(at("sip", "listeners"), "sip.listeners is missing: nobody could call",
			`add a list such as [{network: udp, address: "192.0.2.10:5060"}]`)
	}
	for i, l := range k.SIP.Listeners {
		path := at("sip", "listeners", strconv.Itoa(i))
		k.oneOf(l.Network, extend(path, "network"), "udp", "tcp", "tls")
		k.certificate(l, path)
		k.concrete(l.Address.Addr(), extend(path, "address"))
	}
	k.host(k.SIP.Domain, at("sip", "domain"))
	k.oneOf(k.SIP.Digest, at("sip", "digest"), "md5", "sha-256", "both")
	k.between(k.SIP.MaxCalls, 1, 1<<20, at("sip", "max_calls"))
	k.lasting(k.SIP.RegisterExpires, shortestExpiry, longestExpiry, at("sip", "register_expires"))
	k.lasting(k.SIP.MinSE, shortestSession, longestExpiry, at("sip", "min_se"))
	if k.SIP.SessionExpires != 0 {
		k.lasting(k.SIP.SessionExpires, k.SIP.MinSE.D(), longestExpiry, at("sip", "session_expires"))
	}
	k.lasting(k.SIP.RingLimit, time.Second, longestRing, at("sip", "ring_limit"))
	k.srtp(k.SIP.SRTP, false, at("sip", "srtp"))
	if k.SIP.Trace.Memory != 0 {
		k.between(k.SIP.Trace.Memory, 1<<20, 1<<34, at("sip", "trace", "memory"))
	}
	k.webSocket()
	k.trunks()
	k.limits()
	k.edges()
}

const (
	shortestSession = 90 * time.Second // RFC 4028 section 4
	longestRing     = time.Hour
)

// mostRate is beyond what any node can read.
const mostRate = 1 << 20

func (k *checker) limits() {
	l := k.SIP.Limits
	k.between(l.Source, 0, mostRate, at("sip", "limits", "source"))
	k.between(l.Total, 0, mostRate, at("sip", "limits", "total"))
	k.between(l.Calls, 0, mostRate, at("sip", "limits", "calls"))
	k.between(l.Failures, 0, mostRate, at("sip", "limits", "failures"))
	k.lasting(l.Ban, time.Second, longestBan, at("sip", "limits", "ban"))
	k.lasting(l.LongestBan, time.Second, longestBan, at("sip", "limits", "longest_ban"))
	if l.LongestBan < l.Ban {
		k.bad(at("sip", "limits", "longest_ban"), fmt.Sprintf("sip.limits.longest_ban is %s, shorter than the first ban of %s", l.LongestBan, l.Ban),
			"make it at least as long")
	}
	for i, p := range l.Trusted {
		if p.IsValid() && p.Bits() < widestTrunk {
			k.odd(at("sip", "limits", "trusted", strconv.Itoa(i)), fmt.Sprintf("%s is trusted: nearly anyone could flood this node or guess passwords", p),
				"name the networks of your own proxies and offices")
		}
	}
}

func (k *checker) edges() {
	for i, p := range k.SIP.Edges {
		if p.IsValid() && p.Bits() < widestTrunk {
			k.odd(at("sip", "edges", strconv.Itoa(i)), fmt.Sprintf("%s may say whom a request is from: nearly anyone could call as any trunk", p),
				"name the addresses of your edge proxies alone, such as 10.0.0.5/32")
		}
	}
}

// A path is one that room web has no use for itself.
var webPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

func (k *checker) webSocket() {
	w := k.SIP.WebSocket
	p := w.Path
	switch taken := p == "/metrics" || p == "/healthz" || p == "/readyz" || p == "/api" || strings.HasPrefix(p, "/api/"); {
	case p == "" && len(w.Origins) > 0:
		k.bad(at("sip", "websocket"), "sip.websocket has origins, but no path where they could connect", "add path: /sip")
	case p != "" && !webPath.MatchString(p):
		k.bad(at("sip", "websocket", "path"), fmt.Sprintf("sip.websocket.path is %q", p), "write it as /sip")
	case taken:
		k.bad(at("sip", "websocket", "path"), fmt.Sprintf("sip.websocket.path is %q, which is taken", p), "write another, such as /sip")
	}
	for i, o := range w.Origins {
		if _, err := path.Match(o, ""); err != nil || o == "" || o == "*" {
			k.bad(at("sip", "websocket", "origins", strconv.Itoa(i)), fmt.Sprintf("sip.websocket.origins[%d] is %q", i, o), "write a host, or many as *.example.org")
		}
	}
}

// longestBan bounds bans: addresses change hands.
const longestBan = 7 * 24 * time.Hour

// srtp checks how RTP is to be encrypted. Its keys travel in the signalling: where
// that is encrypted nowhere, no call would have them; out says that we connect by TLS
// ourselves.
func (k *checker) srtp(degree string, out bool, path []string) {
	k.oneOf(degree, path, "off", "offer", "require")
	encrypted := slices.ContainsFunc(k.SIP.Listeners, func(l Listener) bool { return l.Network == "tls" || l.Network == "wss" })
	if encrypted || out || k.SIP.WebSocket.Path != "" && k.HTTP.Certificate != "" || k.SIP.SRTPInClear {
		return
	}
	const remedy = "add a listener with network tls, or sip.srtp_in_clear: true if nobody can read along on your network"
	switch degree {
	case "offer":
		k.odd(path, name(path)+" is offer, but no listener could tell the keys: no call will be encrypted", remedy)
	case "require":
		k.bad(path, name(path)+" is require, but no listener could tell the keys: no call could be taken", remedy)
	}
}

// certificate checks that a listener has a certificate where it needs one.
func (k *checker) certificate(l Listener, path []string) {
	for _, f := range []struct{ name, value string }{{"certificate", l.Certificate}, {"key", l.Key}} {
		switch {
		case l.Network == "tls" && f.value == "":
			k.bad(path, fmt.Sprintf("%s of network tls has no %s", name(path), f.name), "name its PEM file: "+f.name+": FILE")
		case (l.Network == "udp" || l.Network == "tcp") && f.value != "":
			k.bad(extend(path, f.name), fmt.Sprintf("%s has a %s, but %s is not encrypted", name(path), f.name, l.Network), "write network: tls, or remove it")
		}
	}
	if (l.Network == "udp" || l.Network == "tcp") && l.ClientCA != "" {
		k.bad(extend(path, "client_ca"), fmt.Sprintf("%s has a client_ca, but %s is not encrypted", name(path), l.Network), "write network: tls, or remove it")
	}
}

// A shorter registration keeps phones and us busy with nothing else; a longer
// one holds a phone for there that has long gone.
const (
	shortestExpiry = 10 * time.Second
	longestExpiry  = 24 * time.Hour
)

func (k *checker) lasting(d Duration, low, high time.Duration, path []string) {
	if d.D() < low || d.D() > high {
		k.bad(path, fmt.Sprintf("%s is %s", name(path), d), fmt.Sprintf("it must be from %s to %s", low, high))
	}
}

// RFC 3261 section 25.1: the last label begins with a letter, so that 1.2.3 is
// neither a name nor an address.
var hostName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// host notes what cannot be the host part of a SIP address. An empty one
// follows from the listeners, whose absence is noted.
func (k *checker) host(host string, path []string) {
	address, err := netip.ParseAddr(host)
	if host == "" || err == nil && address.Zone() == "" || len(host) < 254 && hostName.MatchString(host) {
		return
	}
	k.bad(path, fmt.Sprintf("%s is %q, neither a host name nor an address", name(path), host),
		"write it as sip.example.org or 192.0.2.10")
}

// concrete notes an address that cannot be told to a peer.
func (k *checker) concrete(a netip.Addr, path []string) {
	switch {
	case !a.IsValid():
		k.bad(path, name(path)+" is missing", "write one of this machine's addresses")
	case a.IsUnspecified():
		k.bad(path, fmt.Sprintf("%s is %s, which a phone cannot send to", name(path), a),
			"write one of this machine's addresses; list several if there are several")
	}
}

func (k *checker) media() {
	k.rtpHosts()
	p := k.Media.Ports
	switch path := at("media", "ports"); {
	case p.First > p.Last:
		k.bad(path, fmt.Sprintf("media.ports ends before it begins: %s", p), fmt.Sprintf("write %d-%d", p.Last, p.First))
	case p.First < 1024:
		k.bad(path, fmt.Sprintf("media.ports begins at %d, among the system's own ports", p.First), "begin at 1024 or above")
	case p.pairs() < 2:
		k.bad(path, fmt.Sprintf("media.ports %s has no room for a call", p), "a call takes four ports, two for each of its legs")
	}
	if room := p.pairs(); room > 1 && room < k.SIP.MaxCalls {
		path := at("sip", "max_calls")
		if _, written := k.source.values[pathKey(path)]; !written {
			path = at("media", "ports")
		}
		k.odd(path, fmt.Sprintf("sip.max_calls is %d, but media.ports %s have room for %d legs", k.SIP.MaxCalls, p, room),
			"lower the one or widen the other: a caller takes two ports, and two more while an agent talks with him")
	}
	k.notNegative(k.Media.Silence, at("media", "silence"))
	for i, name := range k.Media.Codecs {
		k.oneOf(name, at("media", "codecs", strconv.Itoa(i)), "g722", "opus")
	}
	k.between(k.Media.Shards, 0, 1024, at("media", "shards"))
	k.between(k.Media.SharedPorts, 0, 1024, at("media", "shared_ports"))
}

// rtpHosts checks where RTP is received. What was left out follows from the
// listeners, whose own faults are noted already.
func (k *checker) rtpHosts() {
	m := k.Media
	if !m.Address.IsValid() && k.SIP.manyHosts() {
		k.bad(at("media", "address"), "media.address is missing, and sip.listeners have several hosts",
			"write the one that every phone can send RTP to")
	}
	for _, a := range []struct {
		name  string
		value netip.Addr
	}{{"address", m.Address}, {"advertise", m.Advertise}} {
		if !a.value.IsValid() {
			continue
		}
		path := at("media", a.name)
		k.concrete(a.value, path)
		if !a.value.Unmap().Is4() {
			k.bad(path, fmt.Sprintf("%s is %s, but RTP runs over IPv4 only", name(path), a.value), "write an IPv4 address")
		}
	}
	if m.Address.IsLoopback() && m.Advertise.IsLoopback() {
		for i, l := range k.SIP.Listeners {
			if a := l.Address.Addr(); a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() {
				k.bad(at("media", "address"), fmt.Sprintf("media.address is %s, where no phone that calls %s can send RTP to", m.Address, name(at("sip", "listeners", strconv.Itoa(i)))),
					"write an address of this machine that phones can reach")
				return
			}
		}
	}
}

// manyHosts says whether the listeners differ in their hosts.
func (s SIP) manyHosts() bool {
	first := netip.Addr{}
	for _, l := range s.Listeners {
		switch host := l.Address.Addr().Unmap(); {
		case !host.IsValid() || host == first:
		case first.IsValid():
			return true
		default:
			first = host
		}
	}
	return false
}

// ports notes two sockets that want the same place. Port 0 is whichever the
// system gives and clashes with nothing.
func (k *checker) ports() {
	http := k.HTTP.addrPort()
	for i, l := range k.SIP.Listeners {
		path := at("sip", "listeners", strconv.Itoa(i), "address")
		if !l.Address.IsValid() || l.Address.Port() == 0 {
			continue
		}
		if j := slices.IndexFunc(k.SIP.Listeners, func(o Listener) bool { return o.Address == l.Address && o.stream() == l.stream() }); j < i {
			k.bad(path, fmt.Sprintf("%s %s is listened on twice", l.Network, l.Address), "remove one")
		}
		if l.stream() && http.Port() == l.Address.Port() && sameHost(http.Addr(), l.Address.Addr()) {
			k.bad(path, fmt.Sprintf("%s %s is also http.address", l.Network, l.Address), "give one of them another port")
		}
		if p := k.Media.Ports; l.Network == "udp" && p.First <= l.Address.Port() && l.Address.Port() <= p.Last &&
			sameHost(k.Media.Address, l.Address.Addr()) {
			k.bad(path, fmt.Sprintf("udp %s lies within media.ports %s", l.Address, p), "move one of them")
		}
	}
}

// stream reports whether it is a TCP socket.
func (l Listener) stream() bool { return l.Network == "tcp" || l.Network == "tls" }

// addrPort is where the HTTP listener will be, as far as that can be known
// without asking DNS; port 0 if it cannot.
func (h HTTP) addrPort() netip.AddrPort {
	host, port, err := net.SplitHostPort(h.Address)
	if err != nil {
		return netip.AddrPort{}
	}
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	a, _ := netip.ParseAddrPort(net.JoinHostPort(host, port)) // else the zero value
	return a
}

// pairs counts the pairs of an even port and the odd one after it, for RTP and
// RTCP.
func (r PortRange) pairs() int { return (int(r.Last)+1)/2 - (int(r.First)+1)/2 }

// sameHost says whether sockets at both addresses would meet.
func sameHost(a, b netip.Addr) bool {
	return a == b || a.IsValid() && a.IsUnspecified()
}
