package vault

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Clean has every number brought into one form before it is hashed, by a function
// that gives what it can't make out as it was: national and international
// spellings of a number have one hash then. It is to be called before anything
// is hashed, and with the same function wherever the keyset is used.
func (v *Vault) Clean(number func(string) string) { v.clean = number }

// hashSize is the length of a number's hash: 128 bits, so that no two numbers
// of the world share one.
const hashSize = 16

// Hash gives a caller's number a name of 32 hex digits, by which the caller is
// recognised without the number. It is keyed: without the keyset nobody can
// find a number by trying all of them. Rotation doesn't change it.
//
// However a number is written ("+1 (800) 555-0100", "001-800-5550100",
// "18005550100"), its hash is the same. A caller with a name in place of a
// number has one too. Who withholds the number ("", "anonymous") has none: "".
func (v *Vault) Hash(number string) string {
	if v.clean != nil {
		number = v.clean(number)
	}
	plain := normalise(number)
	if plain == "" {
		return ""
	}
	return v.keyed("number:" + plain)
}

// Mark gives a flow's far end, an agent's address, a name of 32 hex digits, keyed as
// Hash is: nodes know it again by that, and nobody reads it.
func (v *Vault) Mark(flow string) string { return v.keyed("flow:" + flow) }

func (v *Vault) keyed(plain string) string {
	sum, err := v.ring.Load().prf.ComputePRF([]byte(plain), hashSize)
	if err != nil {
		return "" // not with a length that a hash of 256 bits has
	}
	return hex.EncodeToString(sum)
}

// withheld is what stands for a number when there is none to see.
var withheld = []string{"anonymous", "private", "restricted", "unavailable", "unknown", "withheld"}

// normalise gives a number the one form that is hashed: its digits, without the
// plus or 00 of an international number.
func normalise(number string) string {
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t-./()", r) {
			return -1
		}
		return r
	}, strings.ToLower(number))
	digits, plus := strings.CutPrefix(text, "+")
	if strings.Trim(digits, "0123456789*#") != "" {
		if name := strings.TrimSpace(strings.ToLower(number)); !slices.Contains(withheld, name) {
			return name
		}
		return ""
	}
	if !plus {
		digits = strings.TrimPrefix(digits, "00")
	}
	return digits
}
