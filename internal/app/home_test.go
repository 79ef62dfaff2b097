package app

import (
	"slices"
	"strings"
	"testing"
)

func TestCountries(t *testing.T) {
	list := strings.Fields(countries)
	if len(list) != 249 || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Errorf("%d countries, want 249 different ones in order", len(list))
	}
	for _, code := range list {
		if countryName(code) == "" {
			t.Errorf("%s has no name", code)
		}
	}
	for home, ok := range map[string]bool{"": true, "NL": true, "nl": true, "XK": true, "NM": false, "N": false, "NLD": false, "X1": false, "QQ": false, "ſK": false} {
		if err := CheckHome(home); (err == nil) != ok {
			t.Errorf("%q: %v", home, err)
		}
	}
}
