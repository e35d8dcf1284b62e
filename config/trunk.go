package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Trunk is a carrier or SBC that sends us calls and takes ours. One without
// hosts only sends; one without addresses only takes.
type Trunk struct {
	Name      string         `yaml:"name"`
	Addresses []netip.Prefix `yaml:"addresses"` // its source addresses

	// SharedPorts lets its calls share RTP ports of ours, which are told apart by
	// the far ends' addresses; default true.
	SharedPorts bool `yaml:"shared_ports"`

	SRTP string `yaml:"srtp"` // encryption of its RTP: off (default), offer, require

	Hosts     []TrunkHost `yaml:"hosts"`     // where it is called
	Transport string      `yaml:"transport"` // udp (default), tcp, tls
	Domain    string      `yaml:"domain"`    // host part of the addresses we call and call from; default: the host called, and sip.domain

	Username string   `yaml:"username"`              // who we are to it: answers its challenges, and is registered
	Password string   `yaml:"password" secret:"yes"` // the user's
	Register bool     `yaml:"register"`              // keep username registered there, so that it knows where to send calls
	Expires  Duration `yaml:"expires"`               // lifetime asked for; default 10m

	Timeout   Duration `yaml:"timeout"`    // a host silent for so long loses the call to the next; default 4s
	Rest      Duration `yaml:"rest"`       // how long a host that failed is left alone, unless it says; default 30s
	Options   Duration `yaml:"options"`    // how often each host is asked whether it is there; default 30s, 0s for never
	DownAfter int      `yaml:"down_after"` // so many times no good answer, and it is down; default 3

	MaxCalls       int `yaml:"max_calls"`        // calls at once, in and out together; default 0: no limit of its own
	CallsPerSecond int `yaml:"calls_per_second"` // new calls each second, in and out each; default 0: no limit

	Country string `yaml:"country"` // whose national numbers it writes (ISO 3166: "DE"); default none: numbers stay as they come
	Dial    string `yaml:"dial"`    // how it wants numbers: plus (default) +4930…, e164 4930…, national 030…
	Prefix  string `yaml:"prefix"`  // dialled before each number, to get a line
	Trusted bool   `yaml:"trusted"` // P-Asserted-Identity is believed, and told even if the caller withholds his number; default true
}

// TrunkHost is one place where a trunk takes calls.
type TrunkHost struct {
	Host     string `yaml:"host"`     // name or address; of a name without a port the DNS is asked for SRV, then for addresses
	Port     int    `yaml:"port"`     // default: by SRV, else 5060, of tls 5061
	Priority int    `yaml:"priority"` // the lowest is tried first; default 0
	Weight   int    `yaml:"weight"`   // share of the calls among those of one priority; default 1
}

func (t *Trunk) defaults() {
	t.SharedPorts = true
	t.SRTP = "off"
	t.Transport = "udp"
	t.Expires = Duration(10 * time.Minute)
	t.Timeout = Duration(4 * time.Second)
	t.Rest = Duration(30 * time.Second)
	t.Options = Duration(30 * time.Second)
	t.DownAfter = 3
	t.Dial = "plus"
	t.Trusted = true
}

func (h *TrunkHost) defaults() { h.Weight = 1 }

// widestTrunk is the shortest prefix that can be one carrier's: fc00::/7 is the
// widest private network.
const widestTrunk = 7

// timerB is how long RFC 3261 waits for any answer to an INVITE.
const timerB = 32 * time.Second

func (k *checker) trunks() {
	seen := map[string]bool{}
	for i, t := range k.SIP.Trunks {
		path := at("sip", "trunks", strconv.Itoa(i))
		k.nameIn("trunk", t.Name, extend(path, "name"))
		if seen[t.Name] {
			k.bad(extend(path, "name"), fmt.Sprintf("trunk %q is given twice", t.Name), "give each trunk its own name")
		}
		seen[t.Name] = true
		k.srtp(t.SRTP, t.Transport == "tls" && len(t.Hosts) > 0, extend(path, "srtp"))
		if len(t.Addresses) == 0 && len(t.Hosts) == 0 {
			k.bad(extend(path, "addresses"), fmt.Sprintf("trunk %q has neither addresses, so it cannot call, nor hosts, so it cannot be called", t.Name),
				"add those it sends from: addresses: [192.0.2.0/24]")
		}
		for j, a := range t.Addresses {
			if a.IsValid() && a.Bits() < widestTrunk {
				k.odd(extend(path, "addresses", strconv.Itoa(j)), fmt.Sprintf("trunk %q may send from %s: nearly anyone could call as it", t.Name, a),
					"name the networks of the carrier")
			}
		}
		k.trunkHosts(t, path)
		k.trunkUser(t, path)
		k.trunkNumbers(t, path)
		k.between(t.MaxCalls, 0, 1<<20, extend(path, "max_calls"))
		k.between(t.CallsPerSecond, 0, 10000, extend(path, "calls_per_second"))
	}
}

// trunkHosts checks where a trunk is called, and how it is found to be down.
func (k *checker) trunkHosts(t Trunk, path []string) {
	k.oneOf(t.Transport, extend(path, "transport"), "udp", "tcp", "tls")
	k.host(t.Domain, extend(path, "domain"))
	for i, h := range t.Hosts {
		at := extend(path, "hosts", strconv.Itoa(i))
		if h.Host == "" {
			k.bad(extend(at, "host"), name(extend(at, "host"))+" is missing", "write a name or an address: sbc.example.org")
		}
		k.host(h.Host, extend(at, "host"))
		k.between(h.Port, 0, 65535, extend(at, "port"))
		k.between(h.Priority, 0, 65535, extend(at, "priority"))
		k.between(h.Weight, 0, 65535, extend(at, "weight"))
	}
	if len(t.Hosts) > 0 && t.Transport == "udp" && !k.listensOn("udp") {
		k.bad(extend(path, "hosts"), fmt.Sprintf("trunk %q is called over udp, which no listener is for", t.Name), "add a listener with network udp, or write transport: tcp")
	}
	k.lasting(t.Timeout, 100*time.Millisecond, timerB-time.Second, extend(path, "timeout"))
	k.lasting(t.Rest, time.Second, time.Hour, extend(path, "rest"))
	if t.Options != 0 {
		k.lasting(t.Options, time.Second, time.Hour, extend(path, "options"))
	}
	k.between(t.DownAfter, 1, 100, extend(path, "down_after"))
}

func (k *checker) listensOn(network string) bool {
	for _, l := range k.SIP.Listeners {
		if l.Network == network {
			return true
		}
	}
	return false
}

// trunkUser checks who we are to a trunk.
func (k *checker) trunkUser(t Trunk, path []string) {
	switch {
	case t.Username == "" && t.Password != "":
		k.bad(extend(path, "password"), fmt.Sprintf("trunk %q has a password, but no username", t.Name), "add username")
	case t.Username != "" && t.Password == "":
		k.bad(extend(path, "username"), fmt.Sprintf("trunk %q has a username, but no password", t.Name), "add password: file:PATH or ${NAME}")
	}
	if t.Register && t.Username == "" {
		k.bad(extend(path, "register"), fmt.Sprintf("trunk %q is to be registered with, but as whom?", t.Name), "add username and password")
	}
	if t.Register && len(t.Hosts) == 0 {
		k.bad(extend(path, "register"), fmt.Sprintf("trunk %q is to be registered with, but where?", t.Name), "add hosts")
	}
	k.lasting(t.Expires, time.Minute, 24*time.Hour, extend(path, "expires"))
}

// trunkNumbers checks how a trunk writes numbers.
func (k *checker) trunkNumbers(t Trunk, path []string) {
	if t.Country != "" && !country.MatchString(t.Country) {
		k.bad(extend(path, "country"), fmt.Sprintf("%s is %q", name(extend(path, "country")), t.Country), "write its two letters: DE")
	}
	k.oneOf(t.Dial, extend(path, "dial"), "plus", "e164", "national")
	if t.Dial == "national" && t.Country == "" {
		k.bad(extend(path, "dial"), fmt.Sprintf("trunk %q wants national numbers, but of which country?", t.Name), "add country: DE")
	}
	for _, r := range t.Prefix {
		if (r < '0' || r > '9') && r != '*' && r != '#' {
			k.bad(extend(path, "prefix"), fmt.Sprintf("%s is %q, which is not dialled", name(extend(path, "prefix")), t.Prefix), "use digits, * and #")
			break
		}
	}
}
