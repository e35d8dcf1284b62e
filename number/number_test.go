package number

import "testing"

func TestInternational(t *testing.T) {
	for _, test := range []struct{ number, country, want string }{
		// However it is written, it is marked as international.
		{"+49301234567", "DE", "+49301234567"},
		{"0049301234567", "DE", "+49301234567"},
		{"+49 (0)30 1234567", "DE", "+49301234567"},
		{"+1 (800) 555-0100", "DE", "+18005550100"},
		{"001-800-555-0100", "US", "+18005550100"},
		{"011 49 30 1234567", "US", "+49301234567"},
		{"0011 49 30 1234567", "AU", "+49301234567"},
		{"010 49 30 1234567", "JP", "+49301234567"},

		// Countries whose national numbers have a 0 that is dropped from abroad.
		{"030 1234567", "DE", "+49301234567"},
		{"030/123-4567", "DE", "+49301234567"},
		{"(030) 1234567", "DE", "+49301234567"},
		{"0301234", "DE", "+49301234"},
		{"0176 12345678", "DE", "+4917612345678"},
		{"020 7946 0000", "GB", "+442079460000"},
		{"01 42 68 53 00", "FR", "+33142685300"},
		{"02 9374 4000", "AU", "+61293744000"},
		{"03-1234-5678", "JP", "+81312345678"},
		{"098765 43210", "IN", "+919876543210"},
		{"06 1 234 5678", "HU", "+3612345678"},
		// International ones there, without the plus: as trunks send them.
		{"49301234567", "DE", "+49301234567"},
		{"18005550100", "DE", "+18005550100"},
		{"12125550123", "GB", "+12125550123"},
		{"442079460000", "DE", "+442079460000"},
		{"33142685300", "DE", "+33142685300"},
		{"390612345678", "DE", "+390612345678"},
		{"4915112345678", "AT", "+4915112345678"},
		{"79161234567", "FR", "+79161234567"},
		{"919876543210", "GB", "+919876543210"},
		// And national ones without the 0, where they are of no other country.
		{"301234567", "DE", "+49301234567"},
		{"17612345678", "DE", "+4917612345678"},
		{"2079460000", "GB", "+442079460000"},
		{"7911123456", "GB", "+447911123456"},
		{"142685300", "FR", "+33142685300"},
		{"9876543210", "IN", "+919876543210"},

		// Countries whose national numbers are written without.
		{"8005550100", "US", "+18005550100"},
		{"(212) 555-0123", "US", "+12125550123"},
		{"4582345678", "US", "+14582345678"}, // Oregon, though Denmark has a +45 82345678
		{"6562345678", "US", "+16562345678"}, // Florida, though Singapore has a +65 62345678
		{"4162345678", "CA", "+14162345678"},
		{"1 800 555 0100", "US", "+18005550100"},
		{"18005550100", "US", "+18005550100"},
		{"06 12345678", "IT", "+390612345678"}, // the 0 stays
		{"347 123 4567", "IT", "+393471234567"},
		{"390612345678", "IT", "+390612345678"},
		{"22 34 56 78", "NO", "+4722345678"},
		{"32 12 34 56", "DK", "+4532123456"},
		{"612 345 678", "ES", "+34612345678"},
		{"6123 4567", "SG", "+6561234567"},
		{"8 (495) 123-45-67", "RU", "+74951234567"},
		{"495 123-45-67", "RU", "+74951234567"},
		// International ones there, without the plus.
		{"49301234567", "US", "+49301234567"},
		{"442079460000", "US", "+442079460000"},
		{"18005550100", "IT", "+18005550100"},
		{"18005550100", "NO", "+18005550100"},
		{"4722345678", "NO", "+4722345678"},
		{"79161234567", "ES", "+79161234567"},

		// What can't be made out.
		{"030 1234567", "US", "030 1234567"}, // no area begins with 0 there
		{"555-0100", "US", "555-0100"},       // no area
		{"110", "DE", "110"},
		{"911", "US", "911"},
		{"112", "IT", "112"},
		{"*71", "DE", "*71"},
		{"anonymous", "DE", "anonymous"},
		{"+1800flowers", "US", "+1800flowers"},
		{"", "DE", ""},
		{"+", "DE", "+"},
		{"030 1234567", "", "030 1234567"},
		{"030 1234567", "XX", "030 1234567"},
	} {
		if got := International(test.number, test.country); got != test.want {
			t.Errorf("%q in %q is %q, want %q", test.number, test.country, got, test.want)
		}
	}
}

func TestKnown(t *testing.T) {
	for country, want := range map[string]bool{"DE": true, "US": true, "XX": false, "": false, "de": false, "Germany": false} {
		if Known(country) != want {
			t.Errorf("%q is known: %t", country, !want)
		}
	}
}

// Trunks that write one caller in different ways make one caller of him.
func TestNotationsAreOneNumber(t *testing.T) {
	for country, spellings := range map[string][]string{
		"DE": {"+18005550100", "0018005550100", "18005550100", "+1 800 555 0100"},
		"US": {"+18005550100", "0018005550100", "18005550100", "8005550100", "1 (800) 555-0100"},
		"GB": {"+442079460000", "00442079460000", "442079460000", "02079460000", "2079460000"},
		"IT": {"+390612345678", "00390612345678", "390612345678", "0612345678"},
	} {
		for _, s := range spellings {
			if got := International(s, country); got != spellings[0] {
				t.Errorf("%q in %s is %q, want %q", s, country, got, spellings[0])
			}
		}
	}
}

// One form is the same for ever: what has been made international stays.
func FuzzInternational(f *testing.F) {
	f.Add("030 1234567", "DE")
	f.Add("0049301234567", "US")
	f.Fuzz(func(t *testing.T, number, country string) {
		once := International(number, country)
		if twice := International(once, country); twice != once {
			t.Errorf("%q in %q is %q, and then %q", number, country, once, twice)
		}
	})
}

func TestNational(t *testing.T) {
	for _, test := range []struct{ number, country, want string }{
		{"+49301234567", "DE", "0301234567"},
		{"0301234567", "DE", "0301234567"},
		{"+18005550100", "DE", "0018005550100"},
		{"+12025550123", "US", "12025550123"},
		{"+49301234567", "US", "01149301234567"},
		{"+390612345678", "IT", "0612345678"},
		{"110", "DE", "110"},
		{"anna", "DE", "anna"},
		{"+", "DE", "+"},
		{"", "DE", ""},
		{"+49301234567", "", "+49301234567"},
	} {
		if got := National(test.number, test.country); got != test.want {
			t.Errorf("%q in %q is %q, want %q", test.number, test.country, got, test.want)
		}
	}
}

func TestPlain(t *testing.T) {
	for n, want := range map[string]bool{
		"+49301234567": true, "+18005550100": true, "+390612345678": true, "+49900123456": true,
		"+490900123456": false, "+4900900123456": false, "+440900123456": false, "+44000900123456": false,
		"+4930 1234567": false, "49301234567": false, "+112": false, "": false,
	} {
		if got := Plain(n); got != want {
			t.Errorf("%q: %v", n, got)
		}
	}
}
