// Package config is Bugle's one YAML file: its types, their defaults, and the
// strict loading that turns a mistake into a file, a line and a remedy.
//
// It owns what a site may set and nothing of what is done with it: it imports
// no other room, and every room may use its types. What can be checked without
// running anything (unknown keys, wrong types, missing references, clashing
// ports) is checked here; flows are checked further by room ivr.
//
// Read config.go for the types, load.go for how a file becomes a Config.
package config

import (
	"net/netip"
	"slices"
	"time"
)

// Config is a whole configuration file with every default filled in.
//
// Secrets (http.token, redis.password, store.postgres) need not stand in the file: "${NAME}" in
// them is taken from the environment, and "file:PATH" is read from a file. One
// that turns out empty is a mistake, since it would be off without a word.
type Config struct {
	Domain    string            `yaml:"domain"`    // routing domain: one helpline. Part of every Redis key
	Node      string            `yaml:"node"`      // this node's name, unique in the domain; default: the host's name
	DataDir   string            `yaml:"data_dir"`  // belongs to this node alone
	TimeZone  string            `yaml:"time_zone"` // the site's, by its IANA name ("Europe/Berlin"); default UTC. Figures are by its days
	Country   string            `yaml:"country"`   // in which callers' national numbers are (ISO 3166: "DE"); default none: they are not made international
	Log       Log               `yaml:"log"`
	HTTP      HTTP              `yaml:"http"`
	Redis     Redis             `yaml:"redis"`
	Events    Events            `yaml:"events"`
	Store     Store             `yaml:"store"`
	Vault     Vault             `yaml:"vault"`
	SIP       SIP               `yaml:"sip"`
	Media     Media             `yaml:"media"`
	Prompts   Prompts           `yaml:"prompts"`
	Drain     Duration          `yaml:"drain"`     // how long SIGTERM waits for calls to end; default 5m
	Languages []string          `yaml:"languages"` // the languages the helpline speaks, as BCP 47 tags ("en")
	Skills    []string          `yaml:"skills"`    // the abilities agents can have beside languages
	Queues    map[string]Queue  `yaml:"queues"`
	Agents    map[string]Agent  `yaml:"agents"`  // by id, which is also the user part of the agent's SIP address
	Numbers   map[string]Number `yaml:"numbers"` // by dialled number: the user part of the Request-URI
	Flows     map[string]Flow   `yaml:"flows"`
	Calls     Calls             `yaml:"calls"` // what agents may call themselves

	source   *source  // where each value stands in the file; see Problems
	warnings Problems // see Warnings
}

// Duration is a time.Duration written as in Go: "20s", "1m30s".
type Duration time.Duration

// D gives the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Log says how the node's own log is written.
type Log struct {
	Level  string `yaml:"level"`  // debug, info (default), warn, error
	Format string `yaml:"format"` // text (default), json
}

// HTTP is the listener for API, metrics and health.
type HTTP struct {
	Address     string `yaml:"address"`     // host:port; default 127.0.0.1:8080
	Certificate string `yaml:"certificate"` // PEM files for HTTPS, which are looked at again while the node runs; default: HTTP
	Key         string `yaml:"key"`
	Token       string `yaml:"token" secret:"yes"` // bearer token of the API; without one the API answers loopback only
}

// Redis is where nodes meet. Without an address an embedded one is run.
type Redis struct {
	Addr     string `yaml:"addr"`
	Username string `yaml:"username"`
	Password string `yaml:"password" secret:"yes"`
	DB       int    `yaml:"db"`
	TLS      bool   `yaml:"tls"`
}

// Vault says where the keyset is read from that private values are sealed with.
// Without either key it is keyset.json in data_dir.
type Vault struct {
	Keyset  string   `yaml:"keyset"`  // file:PATH, a file of mode 0600; env:NAME, an environment variable
	Command []string `yaml:"command"` // a program with its arguments that prints the keyset, such as a key service's client
	Refresh Duration `yaml:"refresh"` // how often a node runs the command again, to take up a rotation; default 1m, 0s for never
}

// SIP is the signalling side.
type SIP struct {
	Listeners       []Listener     `yaml:"listeners"`
	TrustedCA       string         `yaml:"trusted_ca"`        // PEM file of the authorities believed when we connect over TLS; default: the system's
	Domain          string         `yaml:"domain"`            // host part of our agents' addresses and digest realm; default: the first listener's host
	Digest          string         `yaml:"digest"`            // md5 (default), sha-256, both
	Trunks          []Trunk        `yaml:"trunks"`            // who may send us calls, and takes ours
	MaxCalls        int            `yaml:"max_calls"`         // callers and agents' own calls at once on this node; past it callers get 503. Default 2000
	Limits          Limits         `yaml:"limits"`            // what strangers may send
	Trace           Trace          `yaml:"trace"`             // messages kept for bugle trace
	Edges           []netip.Prefix `yaml:"edges"`             // proxies of our own that say in X-Edge-Source whom a request is from
	RegisterExpires Duration       `yaml:"register_expires"`  // longest registration granted, 10s to 24h; default 10m
	SessionExpires  Duration       `yaml:"session_expires"`   // within which the ends of a call assure each other that they are there (RFC 4028); default 30m, 0s: none
	MinSE           Duration       `yaml:"min_se"`            // the shortest such interval taken from others; default and least 90s
	RingLimit       Duration       `yaml:"ring_limit"`        // how long any call of ours rings at most; default 4m
	ReadyOnRegister bool           `yaml:"ready_on_register"` // a registering agent is ready at once instead of paused
	SRTP            string         `yaml:"srtp"`              // encryption of RTP with agents' phones: off (default), offer, require
	WebSocket       WebSocket      `yaml:"websocket"`         // SIP from browsers, over the HTTP listener
	SRTPInClear     bool           `yaml:"srtp_in_clear"`     // its keys may be told over UDP and TCP, too, where others can read them
}

// Limits is what may be sent to a node. Those of messages and failures are for
// whoever is neither a trunk nor trusted; zero is no limit.
type Limits struct {
	Source     int            `yaml:"source"`      // messages a second from one address; default 200
	Total      int            `yaml:"total"`       // messages a second from all of them; default 5000
	Calls      int            `yaml:"calls"`       // new calls a second on this node; past it 503. Default 200
	Failures   int            `yaml:"failures"`    // failures in a minute for which a source is banned; default 20
	Ban        Duration       `yaml:"ban"`         // the first ban of a source; each further one is twice as long. Default 1m
	LongestBan Duration       `yaml:"longest_ban"` // and none longer; default 24h
	Trusted    []netip.Prefix `yaml:"trusted"`     // sources besides the trunks that are neither limited nor banned
}

// Trace is what is kept of the messages of calls, in memory alone, for bugle trace.
type Trace struct {
	Memory int `yaml:"memory"` // bytes; default 16777216 (16 MiB), 0: nothing is kept
}

// WebSocket is where the HTTP listener takes SIP (RFC 7118).
type WebSocket struct {
	Path    string   `yaml:"path"`    // "/sip"; default: nowhere
	Origins []string `yaml:"origins"` // hosts whose pages may connect, beside the listener's own: "desk.example.org", "*.example.org"
}

// Listener is one socket that takes SIP.
type Listener struct {
	Network string         `yaml:"network"` // udp, tcp, tls
	Address netip.AddrPort `yaml:"address"` // concrete: 0.0.0.0 cannot stand in a Contact

	// Of TLS: PEM files, which are looked at again while the node runs.
	Certificate string `yaml:"certificate"` // the certificate, and behind it those that lead to its authority
	Key         string `yaml:"key"`         // its private key
	ClientCA    string `yaml:"client_ca"`   // authorities that must have signed the certificates of who connects; default: none is asked for
}

// SRTPWith gives the encryption of RTP with a trunk, given by its name, or, for
// an empty name, with an agent's phone.
func (s *SIP) SRTPWith(trunk string) string {
	if trunk == "" {
		return s.SRTP
	}
	for _, t := range s.Trunks {
		if t.Name == trunk {
			return t.SRTP
		}
	}
	return "off"
}

// SharesPorts tells whether calls of a trunk, given by its name, may share RTP
// ports.
func (s *SIP) SharesPorts(trunk string) bool {
	i := slices.IndexFunc(s.Trunks, func(t Trunk) bool { return t.Name == trunk })
	return i >= 0 && s.Trunks[i].SharedPorts
}

// Media is the RTP side.
type Media struct {
	Address   netip.Addr `yaml:"address"`   // where RTP sockets are bound; default: the SIP listeners' host, if they have one
	Advertise netip.Addr `yaml:"advertise"` // the address written in SDP, for NAT; default: Address
	Ports     PortRange  `yaml:"ports"`     // default 20000-29999
	Silence   Duration   `yaml:"silence"`   // no RTP for so long ends a call; default 30s, 0 turns it off
	Codecs    []string   `yaml:"codecs"`    // beyond G.711, passed on between caller and agent: g722, opus, best first; default: none
	Shards    int        `yaml:"shards"`    // engine goroutines; default: the number of cores

	// SharedPorts is how many ports of a shard may be shared by legs of trunks;
	// default 16, 0 turns sharing off. See Trunk.SharedPorts.
	SharedPorts int `yaml:"shared_ports"`
}

// PortRange is written "20000-29999"; both ends belong to it.
type PortRange struct{ First, Last uint16 }

// Prompts says where what is spoken lies.
type Prompts struct {
	Dir   string `yaml:"dir"`   // DIR/LANGUAGE/NAME.wav; a file in DIR/recordings/LANGUAGE/ wins over it
	Music string `yaml:"music"` // WAV file for callers in line; default: music.wav in Dir
}

// Queue is a named line of waiting calls with a service goal.
type Queue struct {
	Requires     map[string]int `yaml:"requires"`      // skill: least level, beside the caller's language
	Goal         Duration       `yaml:"goal"`          // T of the service level; default 20s
	ShortAbandon Duration       `yaml:"short_abandon"` // a caller who leaves within it is a short abandon; default 5s
	HeadStart    Duration       `yaml:"head_start"`    // priority, as seconds of waiting given in advance
	Ring         Duration       `yaml:"ring"`          // how long an agent is rung; default 15s
	WrapUp       *Duration      `yaml:"wrap_up"`       // limit of the agent's time after a call; default 30s, 0s for none
	Class        string         `yaml:"class"`         // subject class for handling time: routine (default), clinical
}

// Agent seeds one agent. His HA1 is kept apart from this file.
type Agent struct {
	Name      string         `yaml:"name"`
	Tier      int            `yaml:"tier"`      // 1 first contact (default), 2 clinical and claims, 3 escalation
	Languages map[string]int `yaml:"languages"` // language: level 1 to 5
	Skills    map[string]int `yaml:"skills"`    // skill: level 1 to 5
}

// Number is one dialled number of ours.
type Number struct {
	Flow     string `yaml:"flow"`
	Language string `yaml:"language"` // spoken until the caller chooses
}
