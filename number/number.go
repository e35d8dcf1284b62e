// Package number brings telephone numbers into one form: the international one
// of E.164, where it can be known which that is.
//
// A carrier may write one caller as "+49301234567", "0049301234567" or
// "030 1234567"; only who knows the country can tell that they are the same. The
// package owns that knowledge, which is libphonenumber's. It does not own what is
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
func International(number, country string) string {
	if country == "" || strings.Trim(number, "+0123456789 ()./-\t") != "" {
		return number
	}
	text := number
	if digits, ok := strings.CutPrefix(strings.TrimSpace(number), "00"); ok {
		text = "+" + digits // carriers send it so in any country, whatever people dial there
	}
	n, err := phonenumbers.Parse(text, country)
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return number
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}
