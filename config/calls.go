package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Calls says what agents may call from their phones. Each other, and the queues
// and numbers of this file, they may call in any case.
type Calls struct {
	Extensions map[string]string    `yaml:"extensions"` // short numbers of queues, which can be dialled by their names too
	Outside    Outside              `yaml:"outside"`    // what else they may call: nothing, unless it is said here
	Emergency  map[string]Emergency `yaml:"emergency"`  // by the number dialled: 112
	ThreeWay   string               `yaml:"three_way"`  // keys by which an agent joins his caller and whom he consults; default *3, "" none
}

// Outside says which numbers outside agents may call. A call of theirs can cost
// money, or earn somebody some, so nothing is allowed that is not said here.
type Outside struct {
	Trunks  []string `yaml:"trunks"`   // that take these calls: the first, and the next if it has no room or does not answer
	From    string   `yaml:"from"`     // the number of ours that is shown
	Display string   `yaml:"display"`  // name that goes with it; default none
	Allow   []string `yaml:"allow"`    // beginnings of international numbers: "+49"; default none
	Deny    []string `yaml:"deny"`     // "+49900"; of all beginnings that fit, the longest decides
	PerHour int      `yaml:"per_hour"` // calls an agent may make in any hour; default 20
	AtOnce  int      `yaml:"at_once"`  // and at the same time; default 2
}

// Emergency says what becomes of an agent's call to an emergency number. It is
// subject to no limit.
type Emergency struct {
	Action   string   `yaml:"action"`   // route, or refuse (default): the agent hears that he has to use another phone
	Trunks   []string `yaml:"trunks"`   // that take it, one after the other
	Number   string   `yaml:"number"`   // what is dialled there; default: what the agent dialled
	From     string   `yaml:"from"`     // the number at which those who help call back
	Location string   `yaml:"location"` // where the site is: the URI of its location (RFC 6442)
	Prompt   string   `yaml:"prompt"`   // what an agent hears whose call is refused, or could not be made; default emergency
}

// EmergencyPrompt is what an agent hears whose emergency call is not put through.
const EmergencyPrompt = "emergency"

// emergencyNumbers are known as such without being configured: what the agent hears
// then is the refusal.
var emergencyNumbers = []string{"000", "110", "112", "113", "115", "118", "119", "911", "999"}

// Best gives skills or languages by their levels, the highest first.
func Best(levels map[string]int) []string {
	return slices.SortedFunc(maps.Keys(levels), func(a, b string) int {
		return cmp.Or(cmp.Compare(levels[b], levels[a]), cmp.Compare(a, b))
	})
}

// EmergencyRule gives what becomes of a call to a number, and whether it is an
// emergency number at all. Spaces and the like do not matter.
func (c *Calls) EmergencyRule(dialled string) (number string, rule Emergency, is bool) {
	number = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ()./-", r) {
			return -1
		}
		return r
	}, dialled)
	rule, is = c.Emergency[number]
	if !is && slices.Contains(emergencyNumbers, number) {
		rule.defaults()
		is = true
	}
	return number, rule, is
}

// Allows tells whether agents may call a number, written as +49301234567.
func (o *Outside) Allows(number string) bool {
	return longest(o.Allow, number) > longest(o.Deny, number)
}

// longest gives the length of the longest of some beginnings that a number has; 0
// if it has none.
func longest(beginnings []string, number string) (most int) {
	for _, b := range beginnings {
		if strings.HasPrefix(number, b) {
			most = max(most, len(b))
		}
	}
	return most
}

func (c *Calls) defaults() {
	c.ThreeWay = "*3"
	c.Outside.defaults()
}

func (o *Outside) defaults() { o.PerHour, o.AtOnce = 20, 2 }

func (e *Emergency) defaults() { e.Action, e.Prompt = "refuse", EmergencyPrompt }

var (
	extension = regexp.MustCompile(`^[0-9*#]{1,15}$`)
	beginning = regexp.MustCompile(`^\+[0-9]{0,15}$`)
	outside   = regexp.MustCompile(`^\+?[0-9]{1,15}$`)
	code      = regexp.MustCompile(`^[*#][0-9*#]{1,7}$`)
	locator   = regexp.MustCompile(`^(https?|sips?|pres):[!-;=?-~]+$`) // no <, > or space
)

func (k *checker) calls() {
	queues := slices.Collect(maps.Keys(k.Queues))
	for id, queue := range sorted(k.Calls.Extensions) {
		path := at("calls", "extensions", id)
		k.known(fmt.Sprintf("extension %q is of", id), "queue", queue, queues, path)
		switch _, _, emergency := k.Calls.EmergencyRule(id); {
		case !extension.MatchString(id):
			k.badKey(path, fmt.Sprintf("extension %q cannot be dialled", id), "use up to 15 digits")
		case emergency:
			k.badKey(path, fmt.Sprintf("extension %q is an emergency number", id), "choose another")
		case strings.HasPrefix(id, "*"):
			k.badKey(path, fmt.Sprintf("extension %q begins with a star, as the codes for ready and pause do", id), "choose another")
		}
		k.twoMeanings("extension", id, path)
	}
	for id := range sorted(k.Agents) {
		if _, _, emergency := k.Calls.EmergencyRule(id); emergency {
			k.badKey(at("agents", id), fmt.Sprintf("agent %q has an emergency number for a name", id), "rename him: he could never be called")
		}
	}
	if way := k.Calls.ThreeWay; way != "" && !code.MatchString(way) {
		k.bad(at("calls", "three_way"), fmt.Sprintf("calls.three_way is %q, which is no code", way), `use * or # and up to 7 keys more, as "*3", or "" for none`)
	}
	k.outside()
	for id, e := range sorted(k.Calls.Emergency) {
		k.emergency(id, e, at("calls", "emergency", id))
	}
}

// twoMeanings notes what agents would dial in vain, as it means something else
// before.
func (k *checker) twoMeanings(kind, id string, path []string) {
	if _, clash := k.Agents[id]; clash {
		k.badKey(path, fmt.Sprintf("%s %q is also an agent", kind, id), "rename one: both are dialled as sip:"+id)
	}
	if _, clash := k.Numbers[id]; clash {
		k.badKey(path, fmt.Sprintf("%s %q is also a number", kind, id), "rename one: both are dialled as sip:"+id)
	}
}

func (k *checker) outside() {
	o, path := k.Calls.Outside, at("calls", "outside")
	k.callable(o.Trunks, extend(path, "trunks"))
	if len(o.Allow) > 0 && len(o.Trunks) == 0 {
		k.bad(extend(path, "allow"), "calls.outside allows calls, but by which trunk?", "add trunks: [NAME]")
	}
	if len(o.Allow) > 0 && o.From == "" {
		k.bad(extend(path, "allow"), "calls.outside allows calls, but who is calling?", `add the number of yours that is shown: from: "+4930123450"`)
	}
	k.ours(o.From, extend(path, "from"))
	for _, list := range []struct {
		name string
		all  []string
	}{{"allow", o.Allow}, {"deny", o.Deny}} {
		for i, b := range list.all {
			at := extend(path, list.name, strconv.Itoa(i))
			if !beginning.MatchString(b) {
				k.bad(at, fmt.Sprintf("%s is %q, which no international number begins with", name(at), b), `write "+" and digits: "+49"`)
			}
			if list.name == "deny" && slices.Contains(o.Allow, b) {
				k.bad(at, fmt.Sprintf("%q is allowed and denied", b), "remove one")
			}
			if list.name == "allow" && b == "+" {
				k.odd(at, "agents may call any number in the world: whoever gets hold of a password can, too", "allow the countries you call")
			}
		}
	}
	k.between(o.PerHour, 1, 10000, extend(path, "per_hour"))
	k.between(o.AtOnce, 1, 100, extend(path, "at_once"))
}

func (k *checker) emergency(id string, e Emergency, path []string) {
	if !extension.MatchString(id) {
		k.badKey(path, fmt.Sprintf("emergency number %q cannot be dialled", id), "use up to 15 digits")
	}
	k.twoMeanings("emergency number", id, path)
	k.oneOf(e.Action, extend(path, "action"), "route", "refuse")
	k.callable(e.Trunks, extend(path, "trunks"))
	k.ours(e.From, extend(path, "from"))
	if e.Number != "" && !outside.MatchString(e.Number) {
		k.bad(extend(path, "number"), fmt.Sprintf("%s is %q, which cannot be dialled", name(extend(path, "number")), e.Number), "use digits, perhaps with + before")
	}
	if e.Location != "" && !locator.MatchString(e.Location) {
		k.bad(extend(path, "location"), fmt.Sprintf("%s is %q, no URI of a location", name(extend(path, "location")), e.Location), "write it as https://location.example.org/site")
	}
	if !promptName.MatchString(e.Prompt) {
		k.bad(extend(path, "prompt"), fmt.Sprintf("emergency number %q speaks %q, which cannot be a prompt", id, e.Prompt), "write a NAME, with letters, digits, hyphens and underscores")
	}
	if e.Action != "route" {
		if len(e.Trunks) > 0 || e.Location != "" || e.Number != "" || e.From != "" {
			k.bad(path, fmt.Sprintf("calls to emergency number %q are refused, whatever else is said of them", id), "add action: route, or remove the rest")
		}
		return
	}
	if len(e.Trunks) == 0 {
		k.bad(path, fmt.Sprintf("calls to emergency number %q are to be routed, but by which trunk?", id), "add trunks: [NAME]")
	}
	if e.From == "" {
		k.bad(path, fmt.Sprintf("calls to emergency number %q do not say where to call back", id), `add from: "+4930123450"`)
	}
	if e.Location == "" {
		k.odd(path, fmt.Sprintf("calls to emergency number %q do not say where the site is", id), "add location: URI, unless the trunk's carrier knows it by the number")
	}
}

// callable checks the names of trunks that are to take calls.
func (k *checker) callable(trunks []string, path []string) {
	var all []string
	for _, t := range k.SIP.Trunks {
		if len(t.Hosts) > 0 {
			all = append(all, t.Name)
		}
	}
	for i, t := range trunks {
		at := extend(path, strconv.Itoa(i))
		if slices.ContainsFunc(k.SIP.Trunks, func(o Trunk) bool { return o.Name == t && len(o.Hosts) == 0 }) {
			k.bad(at, fmt.Sprintf("trunk %q has no hosts, so it cannot be called", t), "add hosts: [{host: sip.carrier.example}]")
			continue
		}
		k.known(name(at)+" is", "trunk", t, all, at)
	}
}

// ours checks a number that we call from.
func (k *checker) ours(number string, path []string) {
	if number != "" && !outside.MatchString(number) {
		k.bad(path, fmt.Sprintf("%s is %q, which is no number", name(path), number), `write it as "+4930123450"`)
	}
}
