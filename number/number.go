// Package number brings telephone numbers into one form: the international one
// of E.164, where it can be known which that is.
//
// A carrier may write one caller as "+49301234567", "0049301234567",
// "49301234567" or "030 1234567"; only who knows the country can tell that they
// are the same. The package owns that knowledge, which is libphonenumber's, and
// the rule by which a number is taken for a national one. It does not own what is
// done with a number: room vault hashes it, and a trunk may want it on the wire.
//
// All of it is in this file.
package number

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Known reports whether a country, given by its two letters (ISO 3166: "DE"), has
// a numbering plan that is known here.
func Known(country string) bool { return phonenumbers.GetCountryCodeForRegion(country) != 0 }

// International gives a number as "+" and digits, if it is one that could be
// dialled in a country. What can't be made out, such as a name, a short code, a
// local number without its area, or anything without a country, comes back as it
// was.
//
// A number with "+" or 00, or with what is dialled in the country before foreign
// numbers (011 in the USA), is international. Of the others the country decides,
// since "18005550100" could be of Germany or of America:
//
//   - Where national numbers are written with a 0 that is dropped from abroad
//     (Germany, the United Kingdom), one that begins with 0 is national. One that
//     doesn't is international, with the "+" left out, if that makes a valid
//     number; else it is national, if that does.
//   - Where they are written without (the USA, Italy, Norway), it is the other way
//     round: first national, if that makes a valid number, then international.
func International(number, country string) string {
	if country == "" || strings.Trim(number, "+0123456789 ()./-\t") != "" {
		return number
	}
	text := strings.TrimSpace(number)
	if strings.HasPrefix(text, "+") {
		return first(number, possible(text, country))
	}
	if digits, ok := strings.CutPrefix(text, "00"); ok { // carriers send it so in any country
		if n := possible("+"+digits, country); n != "" {
			return n
		}
	}
	abroad, national := valid("+"+text, country), valid(text, country)
	switch {
	case !strings.HasPrefix(phonenumbers.GetNddPrefixForRegion(country, true), "0"):
		return first(number, national, abroad)
	case strings.HasPrefix(strings.TrimLeft(text, "("), "0"):
		return first(number, possible(text, country))
	}
	return first(number, abroad, national)
}

// Plain reports whether a number stands as it is dialled from abroad and no other way:
// "+", the code of a country, and as many digits as a number there has, without the 0
// that is dropped from abroad. "+490301234567" is reached by some carriers, and is not
// what "+4930" says.
func Plain(number string) bool { return number != "" && possible(number, "ZZ") == number }

// first gives the first form that a number has, or itself.
func first(number string, forms ...string) string {
	for _, form := range forms {
		if form != "" {
			return form
		}
	}
	return number
}

// possible reads what is at least as long as numbers of its country are: plans
// grow, and a caller must not become another one when this package learns of it.
func possible(text, country string) string {
	n, err := phonenumbers.Parse(text, country)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

// valid reads what is in a range that its country gives out.
func valid(text, country string) string {
	n, err := phonenumbers.Parse(text, country)
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

// National gives a number as it is dialled in a country, in digits alone: one of
// that country with its trunk prefix, if it has one there ("0301234567" in DE), one of
// another with the prefix that leads abroad ("00141..." in DE, "01149..." in US).
// What International can't make out comes back as it was.
func National(number, country string) string {
	inter := International(number, country)
	if !Known(country) || inter == "" || inter[0] != '+' {
		return number
	}
	n, err := phonenumbers.Parse(inter, country)
	if err != nil {
		return number
	}
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phonenumbers.FormatOutOfCountryCallingNumber(n, country))
}
