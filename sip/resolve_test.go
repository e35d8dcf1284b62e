package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bugle-voice/bugle/config"
	gosip "github.com/emiago/sipgo/sip"
)

// zone is a Resolver with a few names, which counts what it is asked.
type zone struct {
	srv   map[string][]*net.SRV
	hosts map[string][]string
	down  bool
	asked []string
}

func (z *zone) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	q := "_" + service + "._" + proto + "." + name
	z.asked = append(z.asked, q)
	if r := z.srv[q]; r != nil && !z.down {
		return q, r, nil
	}
	return "", nil, &net.DNSError{Err: "no such host", Name: q, IsNotFound: !z.down}
}

func (z *zone) LookupNetIP(_ context.Context, family, host string) ([]netip.Addr, error) {
	z.asked = append(z.asked, family+" "+host)
	var ips []netip.Addr
	for _, a := range z.hosts[host] {
		ip := netip.MustParseAddr(a)
		if !z.down && (family == "ip" || (family == "ip4") == ip.Is4()) {
			ips = append(ips, ip)
		}
	}
	if ips == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: !z.down}
	}
	return ips, nil
}

func addrs(hops []hop) string {
	var out []string
	for _, h := range hops {
		out = append(out, h.addr)
	}
	return strings.Join(out, " ")
}

func TestResolve(t *testing.T) {
	z := &zone{
		srv: map[string][]*net.SRV{
			"_sip._udp.carrier.example":  {{Target: "b.carrier.example.", Port: 5062, Priority: 20}, {Target: "a.carrier.example.", Port: 5061, Priority: 10}},
			"_sips._tcp.carrier.example": {{Target: "a.carrier.example.", Port: 5061}},
			"_sip._udp.closed.example":   {{Target: "."}},
			"_sip._udp.empty.example":    {{Target: "gone.example.", Port: 5060}},
			"_sip._udp.half.example":     {{Target: "gone.example.", Port: 5060, Priority: 1}, {Target: "a.carrier.example.", Port: 5060, Priority: 2}},
		},
		hosts: map[string][]string{
			"a.carrier.example": {"192.0.2.1", "2001:db8::1"}, "b.carrier.example": {"192.0.2.2", "192.0.2.3"},
			"plain.example": {"192.0.2.9"}, "closed.example": {"192.0.2.10"}, "empty.example": {"192.0.2.11"},
			"many.example": {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"},
		},
	}
	for _, test := range []struct {
		network, family, host string
		port                  int
		want                  string
	}{
		{"udp", "ip4", "192.0.2.7", 0, "192.0.2.7:5060"},
		{"tls", "ip4", "192.0.2.7", 0, "192.0.2.7:5061"},
		{"udp", "ip6", "2001:db8::7", 5070, "[2001:db8::7]:5070"},
		{"udp", "ip4", "carrier.example", 0, "192.0.2.1:5061 192.0.2.2:5062 192.0.2.3:5062"},
		{"tls", "ip", "carrier.example", 0, "192.0.2.1:5061 [2001:db8::1]:5061"},
		{"udp", "ip6", "carrier.example", 0, "[2001:db8::1]:5061"},
		{"udp", "ip4", "a.carrier.example", 5065, "192.0.2.1:5065"},
		{"tcp", "ip4", "plain.example", 0, "192.0.2.9:5060"},
		{"udp", "ip4", "half.example", 0, "192.0.2.1:5060"},
		{"udp", "ip4", "many.example", 0, "192.0.2.1:5060 192.0.2.2:5060 192.0.2.3:5060 192.0.2.4:5060"},
		{"udp", "ip4", "closed.example", 0, ""},
		{"udp", "ip4", "empty.example", 0, ""}, // its own address is no SIP server
		{"udp", "ip6", "plain.example", 0, ""},
		{"udp", "ip4", "nowhere.example", 0, ""},
	} {
		r := resolver{ask: z}
		got, err := r.hops(t.Context(), []config.TrunkHost{{Host: test.host, Port: test.port}}, test.network, test.family)
		// Addresses of one record have no order of their own.
		if sorted(addrs(got)) != sorted(test.want) || (err != nil) != (test.want == "") {
			t.Errorf("%s %s %s %d: %s (%v), want %s", test.network, test.family, test.host, test.port, addrs(got), err, test.want)
		}
		if test.host == "carrier.example" && test.family == "ip4" && !strings.HasPrefix(addrs(got), "192.0.2.1:5061 ") {
			t.Errorf("the record of priority 10 is not first: %s", addrs(got))
		}
	}
}

func sorted(s string) string {
	f := strings.Fields(s)
	for i := range f {
		for j := i; j > 0 && f[j] < f[j-1]; j-- {
			f[j], f[j-1] = f[j-1], f[j]
		}
	}
	return strings.Join(f, " ")
}

// TestResolveRemembers: an answer is kept for a while, a failure for less, and the
// last answer for as long as the DNS is silent.
func TestResolveRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{hosts: map[string][]string{"sbc.example": {"192.0.2.1"}}}
		r := resolver{ask: z}
		look := func(want string, asked int) {
			t.Helper()
			z.asked = nil
			got, err := r.hops(t.Context(), []config.TrunkHost{{Host: "sbc.example", Port: 5060}}, "udp", "ip4")
			if addrs(got) != want || (err != nil) != (want == "") || len(z.asked) != asked {
				t.Errorf("%s (%v) with %d questions, want %s with %d", addrs(got), err, len(z.asked), want, asked)
			}
		}
		z.down = true
		look("", 1)
		look("", 0)
		z.down = false
		look("", 0)
		time.Sleep(failureLife)
		look("192.0.2.1:5060", 1)
		z.hosts["sbc.example"] = []string{"192.0.2.2"}
		time.Sleep(answerLife - 1)
		look("192.0.2.1:5060", 0)
		time.Sleep(time.Nanosecond)
		look("192.0.2.2:5060", 1)
		z.down = true
		time.Sleep(answerLife)
		look("192.0.2.2:5060", 1)
		look("192.0.2.2:5060", 0)
		time.Sleep(failureLife)
		look("192.0.2.2:5060", 1)
	})
}

// deaf is a Resolver whose questions for SRV are lost.
type deaf struct{ *zone }

func (deaf) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true}
}

// TestLostSRV: a question for SRV that is lost does not send calls to whatever is at the
// address of the name itself.
func TestLostSRV(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{srv: map[string][]*net.SRV{"_sip._udp.carrier.example": {{Target: "a.carrier.example.", Port: 5061}}},
			hosts: map[string][]string{"a.carrier.example": {"192.0.2.1"}, "carrier.example": {"192.0.2.80"}}}
		r := resolver{ask: deaf{z}}
		look := func(want string) {
			t.Helper()
			got, err := r.hops(t.Context(), []config.TrunkHost{{Host: "carrier.example"}}, "udp", "ip4")
			if addrs(got) != want || (err != nil) != (want == "") {
				t.Errorf("%s (%v), want %s", addrs(got), err, want)
			}
		}
		look("")
		r.ask = z
		time.Sleep(failureLife)
		look("192.0.2.1:5061")
		r.ask = deaf{z}
		time.Sleep(answerLife)
		look("192.0.2.1:5061")
	})
}

// slow is a Resolver that answers when it is let.
type slow struct {
	zone
	let chan struct{}
}

func (s *slow) LookupNetIP(ctx context.Context, family, host string) ([]netip.Addr, error) {
	select {
	case <-s.let:
		return s.zone.LookupNetIP(ctx, family, host)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestResolveTimesOut: a DNS that never answers costs a call three seconds.
func TestResolveTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := resolver{ask: &slow{let: make(chan struct{})}}
		begun := time.Now()
		_, err := r.hops(t.Context(), []config.TrunkHost{{Host: "sbc.example", Port: 5060}}, "udp", "ip4")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != lookupTimeout {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// TestGivenUpLookupIsForOthersToo: a caller who hangs up while his is the look-up leaves no
// failure to the next, and who waits for it does not wait longer than he wants.
func TestGivenUpLookupIsForOthersToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{zone: zone{hosts: map[string][]string{"sbc.example": {"192.0.2.1"}}}, let: make(chan struct{})}
		r := resolver{ask: s}
		look := func(ctx context.Context) (string, error) {
			found, err := r.hops(ctx, []config.TrunkHost{{Host: "sbc.example", Port: 5060}}, "udp", "ip4")
			return addrs(found), err
		}
		first, hangUp := context.WithCancel(t.Context())
		second, hangUpToo := context.WithCancel(t.Context())
		failed := make(chan error, 2)
		for _, ctx := range []context.Context{first, second} {
			go func() { _, err := look(ctx); failed <- err }()
			synctest.Wait()
		}
		begun := time.Now()
		hangUpToo()
		if err := <-failed; !errors.Is(err, context.Canceled) || time.Since(begun) != 0 {
			t.Errorf("who waits for another's look-up, and hangs up: %v after %s", err, time.Since(begun))
		}
		hangUp()
		if err := <-failed; !errors.Is(err, context.Canceled) || time.Since(begun) != 0 {
			t.Errorf("who hangs up: %v after %s", err, time.Since(begun))
		}
		close(s.let)
		if got, err := look(t.Context()); err != nil || got != "192.0.2.1:5060" {
			t.Errorf("the next call: %q, %v", got, err)
		}
	})
}

// TestDrawn: the lowest priority comes first, and within it each as often as its
// weight says.
func TestDrawn(t *testing.T) {
	type record struct {
		name             string
		priority, weight int
	}
	in := []record{{"late", 2, 100}, {"a", 1, 3}, {"b", 1, 1}, {"never first", 1, 0}}
	first := map[string]int{}
	const rounds = 4000
	for range rounds {
		out := drawn(in, func(r record) (int, int) { return r.priority, r.weight })
		if len(out) != len(in) || out[3].name != "late" {
			t.Fatalf("drawn %v", out)
		}
		first[out[0].name]++
	}
	// Ten standard deviations: three quarters of 4000 are 3000, give or take 27.
	if n := first["a"]; n < 2730 || n > 3270 || first["never first"] != 0 {
		t.Errorf("first of %d: %v", rounds, first)
	}
	if got := fmt.Sprint(in[0].name); got != "late" {
		t.Error("the list itself was changed")
	}
}

// TestResolveURI: the next hop of a request within a call is found as RFC 3263 says.
func TestResolveURI(t *testing.T) {
	defer func(was Resolver) { names = was }(names)
	z := &zone{
		srv:   map[string][]*net.SRV{"_sip._udp.proxy.example": {{Target: "a.proxy.example", Port: 5070, Priority: 2}, {Target: "b.proxy.example", Port: 5080, Priority: 1}}},
		hosts: map[string][]string{"a.proxy.example": {"192.0.2.1"}, "b.proxy.example": {"192.0.2.2", "2001:db8::2"}, "proxy.example": {"192.0.2.9"}, "six.example": {"2001:db8::6"}},
	}
	four := &listener{network: "udp", addr: netip.MustParseAddrPort("192.0.2.50:5060")}
	six := &listener{network: "udp", addr: netip.MustParseAddrPort("[2001:db8::50]:5060")}
	for _, c := range []struct {
		ask  Resolver
		at   *listener
		uri  string
		want string
	}{
		{z, four, "sip:x@192.0.2.7", "192.0.2.7:5060"},
		{z, four, "sip:x@192.0.2.7:5099", "192.0.2.7:5099"},
		{z, six, "sip:[2001:db8::7]", "[2001:db8::7]:5060"},
		{z, four, "sip:proxy.example", "192.0.2.2:5080"},
		{z, six, "sip:proxy.example", "[2001:db8::2]:5080"},
		{z, four, "sip:proxy.example:5061", "192.0.2.9:5061"},
		{deaf{z}, four, "sip:proxy.example", "192.0.2.9:5060"},
		{z, four, "sip:x@proxy.example;maddr=192.0.2.3", "192.0.2.3:5060"},
		{z, six, "sip:six.example", "[2001:db8::6]:5060"},
		{z, four, "sip:six.example", ""},
		{z, four, "sip:nowhere.example", ""},
		{z, four, "sip:x@192.0.2.7:99999", ""},
	} {
		names = c.ask
		var u gosip.Uri
		if err := parseURI(c.uri, &u); err != nil {
			t.Fatal(err)
		}
		if got, err := resolve(t.Context(), &u, c.at); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s from %s: %q (%v), want %q", c.uri, c.at.addr, got, err, c.want)
		}
	}
}
