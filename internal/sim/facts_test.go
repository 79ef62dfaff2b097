package sim

import (
	"bytes"
	"encoding/csv"
	"math"
	"strconv"
	"testing"
)

func numbers(t *testing.T, b []byte, header []string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range header {
		if rows[0][i] != n {
			t.Fatalf("header %q, want %q", rows[0], header)
		}
	}
	return rows[1:]
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 1 {
		t.Fatalf("%q: %v", s, err)
	}
	return v
}

func TestFacts(t *testing.T) {
	t.Parallel()
	c := small(t, 1, "")
	regions, seen := map[string]bool{}, map[string]bool{}
	for _, r := range numbers(t, c.Users(), []string{"asn", "region", "users", "population"}) {
		if number(t, r[2]) >= number(t, r[3]) || r[1] == "" || seen[r[0]+r[1]] {
			t.Errorf("%q", r)
		}
		regions[r[1]], seen[r[0]+r[1]] = true, true
	}
	if len(regions) != 8 {
		t.Errorf("users in %d regions", len(regions))
	}
	kinds := map[string]int{}
	for _, r := range numbers(t, c.Networks(), []string{"asn", "pool", "assignment", "shared"}) {
		number(t, r[1])
		kinds[r[2]+" "+r[3]]++
	}
	if kinds["static no"] < 5 || kinds["dynamic no"] < 5 || kinds["dynamic yes"] < 1 || len(kinds) != 3 {
		t.Errorf("%v", kinds)
	}
	sum, n := map[string]float64{}, map[string]float64{}
	for _, r := range numbers(t, c.Leases(), []string{"asn", "days", "weight", "table"}) {
		k := r[0] + r[3]
		d := number(t, r[1])
		n[k]++
		sum[k] += d / (d + leaseWindow)
	}
	// A host has about W/mean+1 assignments in W days, so that the mean of
	// d/(d+W) over the active ones is about mean/(mean+W): for dynamic lines.
	for i, want := range map[string]float64{"64512": 0, "64514": 0, "64520": 0} {
		asn, err := strconv.Atoi(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range c.geo.own() {
			if int(o.asn) != asn {
				continue
			}
			total, weights := 0, 0
			for _, l := range o.lines.leases {
				total, weights = total+l.days*l.weight, weights+l.weight
			}
			mean := float64(total) / float64(weights)
			// assignments of a line in the window; static lines have one
			dynamic := leaseWindow/mean + 1
			all := float64(o.lines.static) + float64(o.lines.dynamic)*dynamic
			want = (float64(o.lines.static) + float64(o.lines.dynamic)) / all
		}
		if got := sum[i] / n[i]; math.Abs(got/want-1) > .2 || n[i] < leaseSample || n[i+"old"] < oldLeaseSample {
			t.Errorf("AS%s: mean share %.3f of %v assignments, want about %.3f", i, got, n[i], want)
		}
	}
	disagree := 0
	for _, r := range numbers(t, c.Prefixes(), []string{"prefix", "asn", "as_name", "country", "registered"}) {
		if r[3] != r[4] {
			disagree++
		}
	}
	if disagree < 3 || disagree > 8 {
		t.Errorf("%d prefixes are registered elsewhere", disagree)
	}
}
