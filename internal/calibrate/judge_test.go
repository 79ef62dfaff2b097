package main

import (
	"io"
	"strings"
	"testing"
)

// The reduced runs of the rules, and of the faults that must break them.
func TestCalibration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault plant
		red   string // an estimator whose rules must be broken
	}{{"", ""}, {halfSE, "chapman"}, {swapFeeds, "year-on-year"}} {
		t.Run("plant "+string(tt.fault), func(t *testing.T) {
			t.Parallel()
			scores, err := judge(60, 1, tt.fault, "")
			if err != nil {
				t.Fatal(err)
			}
			red := ""
			for _, s := range scores {
				if len(s.broken) > 0 {
					red += s.estimator + " in " + string(s.world) + ": " + strings.Join(s.broken, "; ") + "\n"
				}
			}
			if tt.red == "" && red != "" || tt.red != "" && !strings.Contains(red, tt.red) {
				t.Errorf("broken:\n%s", red)
			}
			if err := report(io.Discard, scores); (err != nil) != (tt.red != "") {
				t.Errorf("report: %v", err)
			}
		})
	}
}

// The same seed gives the same judgement on any number of CPUs.
func TestSameSeedSameJudgement(t *testing.T) {
	t.Parallel()
	var out [2]strings.Builder
	for i := range out {
		scores, err := judge(5, 3, "", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = report(&out[i], scores) // five runs may break rules
	}
	if out[0].String() != out[1].String() {
		t.Error("two runs with one seed differ")
	}
}
