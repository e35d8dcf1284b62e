package number

import "testing"

func TestInternational(t *testing.T) {
	for _, test := range []struct{ number, country, want string }{
		{"0049301234567", "DE", "+49301234567"},
		{"+49301234567", "DE", "+49301234567"},
		{"+49 (0)30 1234567", "DE", "+49301234567"},
		{"030 1234567", "DE", "+49301234567"},
		{"030/123-4567", "DE", "+49301234567"},
		{"49301234567", "DE", "+49301234567"}, // as trunks send it
		{"0301234", "DE", "+49301234"},
		{"030 1234567", "US", "+10301234567"}, // ten digits are a whole number there
		{"+1 (800) 555-0100", "DE", "+18005550100"},
		{"001-800-555-0100", "US", "+18005550100"},
		{"011 49 30 1234567", "US", "+49301234567"},
		{"8005550100", "US", "+18005550100"},
		{"1 800 555 0100", "US", "+18005550100"},
		{"18005550100", "US", "+18005550100"},
		{"555-0100", "US", "555-0100"}, // no area
		{"110", "DE", "110"},
		{"911", "US", "911"},
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
