package estimate_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/internal/estimate"
)

// shared returns the path of a file of the test data, which is no part of the
// project.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("TOCSIN_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	p := filepath.Join(dir, name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("the shared test data is absent (set TOCSIN_TESTDATA): %v", err)
	}
	return p
}

func near(t testing.TB, what string, got, want, rel float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rel*max(math.Abs(want), 1e-300)) {
		t.Errorf("%s is %.12g, want %.12g", what, got, want)
	}
}

func TestCasesOfOthers(t *testing.T) {
	t.Parallel()
	f, err := os.Open(shared(t, "estimator-cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	asked := map[string]bool{}
	for c := range estimate.Cases(f) {
		asked[c.Estimator] = true
		for _, d := range c.Check(c.Answer()) {
			t.Errorf("%s: %s", c.ID, d)
		}
	}
	for _, name := range estimate.Estimators() {
		if !asked[name] {
			t.Errorf("no case asks %s", name)
		}
	}
}

// answers reads cases and gives their answers as JSON lines.
func answers(t testing.TB, in string) string {
	t.Helper()
	var out strings.Builder
	for c := range estimate.Cases(strings.NewReader(in)) {
		b, err := json.Marshal(c.Answer())
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		out.Write(append(b, '\n'))
	}
	return out.String()
}

func TestWrongCases(t *testing.T) {
	t.Parallel()
	f := func(in, want string) {
		t.Helper()
		if got := answers(t, in); !strings.Contains(got, want) {
			t.Errorf("%.200s\ngot  %.300s\nwant %s", in, got, want)
		}
	}
	one := func(name, in, want string) {
		t.Helper()
		f(`[{"id":"x","estimator":"`+name+`","in":`+in+`}]`, want)
	}
	one("chapman", `{"n1":5,"n2":6}`, `{"id":"x","error":"in.m is missing: want a whole number`)
	one("chapman", `{"n1":5,"n2":6,"m":7}`, `cannot exceed n1 = 5`)
	one("chapman", `{"n1":-5,"n2":6,"m":0}`, `in.n1 is \"-5\": want a whole number`)
	one("chapman", `{"n1":5.5,"n2":6,"m":0}`, `want a whole number`)
	one("chapman", `{"n1":NaN,"n2":6,"m":0}`, `"id":"x","error":"in.n1`)
	one("chapman", `{"n1":1e999,"n2":6,"m":0}`, `in.n1`)
	one("chapman", `{"n1":1e300,"n2":6,"m":0}`, `in.n1`)
	one("chapman", `{"n1":"5","n2":6,"m":0}`, `in.n1`)
	one("chapman", `[1]`, `must be an object`)
	one("chapman", `{"n1":0,"n2":6,"m":0}`, `n1 is 0`)
	one("nonsense", `{}`, `use one of [address-host-factor`)
	one("poisson-rate", `{"k":1,"exposure":0}`, `exposure is 0: it must be a finite number above zero`)
	one("poisson-rate", `{"k":1,"exposure":-Infinity}`, `in.exposure`)
	one("rate-ratio-exact", `{"k":[1],"exposure":[1,1]}`, `a list of 2`)
	one("rate-ratio-exact", `{"k":[0,0],"exposure":[1,1]}`, `nothing to estimate`)
	one("rate-ratio-exact", `{"k":[3,0],"exposure":[1,1]}`, `"ci95":[0.41`)
	one("rate-ratio-exact", `{"k":[3,null],"exposure":[1,1]}`, `in.k`)
	one("quasi-poisson-ratio", `{"current":0,"prior":1,"phi":1}`, `use rate-ratio-exact`)
	one("chao1", `{"S_obs":10,"f1":8,"f2":4,"n":100}`, `cannot exceed S_obs`)
	one("chao1", `{"S_obs":10,"f1":2,"f2":2,"n":5}`, `take at least 24 detections`)
	one("three-lists", `{"z111":0,"z110":0,"z101":0,"z011":0,"z100":1,"z010":1,"z001":1}`, `no id is on two lists`)
	one("matched-panel", `{"prior":{"A":null},"current":{"A":5}}`, `"comparable":false,"entries":5,"exits":0,"matched_change":null`)
	one("matched-panel", `{"prior":{"A":-1},"current":{"A":5}}`, `prior.A is -1`)
	one("cardcount", `{"ips":5,"window_days":7}`, `in.durations_days is missing`)
	one("cardcount", `{"ips":5,"durations_days":[],"window_days":7}`, `publish addresses`)
	one("cardcount", `{"ips":5,"durations_days":[1],"window_days":0}`, `window_days is 0`)
	one("cardcount", `{"ips":5,"durations_days_weighted":[[1]],"window_days":7}`, `[days, weight]`)
	one("cardcount", `{"ips":500,"durations_days":[1],"window_days":7,"pool":1000}`, `"refused":{"test":"pool"`)
	one("quantile-ranks", `{"n":5,"p":0.5}`, `too few values`)
	one("quantile-ranks", `{"n":50,"p":1}`, `between 0 and 1`)
	one("controller-columns", `{"total":1,"by_country":{"A":2}}`, `a part cannot exceed the whole`)
	one("lognormal-from-90", `{"p05":2,"p95":1}`, `below p05`)
	one("pert", `{"min":3,"mode":2,"max":4}`, `they must rise`)
	one("compound-poisson-lognormal", `{"lambda":1,"mu":900,"sigma":1}`, `no finite number`)
	one("address-host-factor", `{"addresses":1,"hosts":0}`, `hosts is 0`)

	f(`{"cases":[{"estimator":"chapman"}]}`, `{"id":"case 1","error":"\"in\" is missing`)
	f(`{"cases":[{"id":7,"estimator":"chapman","in":{}}]}`, `id is \"7\": want text`)
	f(`{"cases":[{"id":"a"}, 5]}`, `{"id":"case 2","error":"a case must be an object"}`)
	f(`{"cases":{}}`, `must be a list`)
	f(``, `there is no case`)
	f(`{"cases":[]}`, `there is no case`)
	f(`5`, `want an object`)
	f(`{"cases":[{"id":"a","estimator":"chapman","in":{"n1":1`, `after 0 cases, at byte`)
	f(strings.Repeat("[", 2_000_000), `depth`)
	f(strings.Repeat(`{"in":`, 100_000), `depth`)
	f(`{"id":"a","estimator":"address-host-factor","in":{"addresses":4,"hosts":2}}`+"\n"+`{"id":"b","estimator":"address-host-factor","in":{"addresses":6,"hosts":2}}`+"\nnonsense",
		`{"id":"a","out":{"factor":2}}`+"\n"+`{"id":"b","out":{"factor":3}}`+"\n"+`{"id":"file","error":"after 2 cases`)
	f(`{"id":"a \"NaN\\","estimator":"x"}`, `a \"NaN\\`)
	f(`[{"id":"long","estimator":"chapman","in":{"x":"`+strings.Repeat("a", 9<<20)+`"}}]`, `split it`)
	f(strings.Repeat(" ", 64<<20+1), `more than 64 MiB`)
}

func TestTooManyCases(t *testing.T) {
	t.Parallel()
	n, last := 0, estimate.Case{}
	for c := range estimate.Cases(strings.NewReader("[" + strings.Repeat("0,", 1_000_002) + "0]")) {
		n, last = n+1, c
	}
	if n != 1_000_001 || last.Err == nil || !strings.Contains(last.Err.Error(), "split the file") {
		t.Errorf("%d cases, then %v", n, last.Err)
	}
}

func TestLargeTableIsSuppressedInTime(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 9))
	table := make([][]int, 100)
	for i := range table {
		for range 100 {
			table[i] = append(table[i], rng.IntN(100)*rng.IntN(2))
		}
	}
	start := time.Now()
	s, err := estimate.Suppress(table)
	if err != nil || s.Total {
		t.Error(s.Total, err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestCheckNamesDifferences(t *testing.T) {
	t.Parallel()
	f := func(out, want string) {
		t.Helper()
		for c := range estimate.Cases(strings.NewReader(`[{"id":"x","estimator":"poisson-rate","in":{"k":137,"exposure":24.19893},"tol":1e-5,"out":` + out + `}]`)) {
			if got := strings.Join(c.Check(c.Answer()), "; "); got != want {
				t.Errorf("%s: got %q, want %q", out, got, want)
			}
		}
	}
	f(`{"rate":5.661407,"ci95":[4.753125,6.692709]}`, "")
	f(`{"rate":5.6615}`, "out.rate is 5.661407343217241, want 5.6615")
	f(`{"ci95":[4.753125]}`, "out.ci95 is [4.75312480484875,6.692709334176073], want [4.753125]")
	f(`{"x":true}`, "out.x is missing")
	f(`{"rate":true}`, "out.rate is 5.661407343217241, want true")
}

// The Poisson and binomial sums, term by term.
func poissonTerms(k int, mean float64) float64 {
	p, sum := math.Exp(-mean), 0.0
	for i := range k + 1 {
		sum += p
		p *= mean / float64(i+1)
	}
	return sum
}

func binomialTerms(k, n int, p float64) float64 {
	sum := 0.0
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

func TestExactIntervalsAgainstSums(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(0, 300).Draw(t, "k")
		r, err := estimate.PoissonRate(k, 2)
		if err != nil {
			t.Fatal(err)
		}
		// At the upper end k or fewer come in 2.5 % of cases, at the lower end k or more.
		if p := poissonTerms(k, 2*r.CI.Hi); math.Abs(p-.025) > 1e-6 {
			t.Errorf("upper end: %g", p)
		}
		if k > 0 {
			if p := 1 - poissonTerms(k-1, 2*r.CI.Lo); math.Abs(p-.025) > 1e-6 {
				t.Errorf("lower end: %g", p)
			}
		}
		n := rapid.IntRange(max(k, 1), 400).Draw(t, "n")
		ci := estimate.ClopperPearson(k, n)
		if k < n {
			if p := binomialTerms(k, n, ci.Hi); math.Abs(p-.025) > 1e-6 {
				t.Errorf("binomial upper end: %g", p)
			}
		}
		if k > 0 {
			if p := 1 - binomialTerms(k-1, n, ci.Lo); math.Abs(p-.025) > 1e-6 {
				t.Errorf("binomial lower end: %g", p)
			}
		}
		p := rapid.Float64Range(.05, .95).Draw(t, "p")
		q, err := estimate.QuantileRanks(n, p)
		if err != nil {
			return
		}
		if math.Abs(q.Coverage-(binomialTerms(q.Hi-1, n, p)-binomialTerms(q.Lo-1, n, p))) > 1e-8 {
			t.Errorf("coverage %g", q.Coverage)
		}
		// One rank closer on either side would leave out more than 2.5 %.
		if q.Coverage < .95 || binomialTerms(q.Lo, n, p) <= .025-1e-9 || binomialTerms(q.Hi-2, n, p) >= .975+1e-9 {
			t.Errorf("ranks %v", q)
		}
	})
}

func TestLargeCountsMeetTheNormal(t *testing.T) {
	t.Parallel()
	for _, k := range []int{5_000, 99_999, 100_001, 10_000_000, 1 << 53} {
		r, err := estimate.PoissonRate(k, 1)
		if err != nil {
			t.Fatal(err)
		}
		sd := math.Sqrt(float64(k))
		near(t, fmt.Sprint("width of ", k), (r.CI.Hi-r.CI.Lo)/sd, 2*1.959964, .02)
		ci := estimate.ClopperPearson(k/2, k)
		near(t, fmt.Sprint("binomial width of ", k), (ci.Hi-ci.Lo)*sd, 1.959964, .02)
		near(t, fmt.Sprint("middle of ", k), (ci.Hi+ci.Lo)/2, .5, 1e-3)
		q, err := estimate.QuantileRanks(k, .5)
		if err != nil {
			t.Fatal(err)
		}
		near(t, fmt.Sprint("ranks of ", k), float64(q.Hi-q.Lo)/sd, 1.959964, .03)
	}
}

func TestCaptureProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.IntRange(1, 1<<40).Draw(t, "a"), rapid.IntRange(1, 1<<40).Draw(t, "b")
		m := rapid.IntRange(0, min(a, b)).Draw(t, "m")
		x, err := estimate.Chapman(a, b, m)
		y, err2 := estimate.Chapman(b, a, m)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if x != y && !math.IsNaN(x.CI.Lo) {
			t.Errorf("the order of the lists matters: %v %v", x, y)
		}
		if seen := float64(a + b - m); x.CI.Known() && (x.CI.Lo < seen || !x.CI.Has(x.Estimate)) {
			t.Errorf("%v with %g seen", x, seen)
		}
		seen := rapid.IntRange(1, 1000).Draw(t, "seen")
		f1 := rapid.IntRange(0, seen).Draw(t, "f1")
		f2 := rapid.IntRange(0, seen-f1).Draw(t, "f2")
		c, err := estimate.Chao1(seen, f1, f2, f1+2*f2+3*(seen-f1-f2)+rapid.IntRange(0, 1000).Draw(t, "more"))
		if err != nil {
			t.Fatal(err)
		}
		if c.Estimate < float64(seen) || math.IsNaN(c.SE) || c.CI.Known() && c.CI.Lo < float64(seen) {
			t.Errorf("%v with %d seen", c, seen)
		}
	})
}

// fair is two lists with which nothing is wrong.
func fair() estimate.Lists {
	return estimate.Lists{
		WindowDays: 7, Stable: true, Upstreams: []string{"a", "b"},
		Pair:   estimate.Pair{N1: 400, N2: 500, M: 200},
		Strata: []estimate.Pair{{N1: 200, N2: 250, M: 100}, {N1: 200, N2: 250, M: 100}},
		Halves: []estimate.Pair{{N1: 225, N2: 225, M: 50}}, Turns: [2][2]int{{50, 45}, {48, 52}},
		Times: []int{230, 110, 40, 15, 5}, TimesBy: [][]int{{115, 55, 20, 8, 2}, {115, 55, 20, 7, 3}},
	}
}

func TestUnseenRefuses(t *testing.T) {
	t.Parallel()
	f := func(want string, change func(*estimate.Lists)) {
		t.Helper()
		l := fair()
		change(&l)
		c, r, err := estimate.Unseen(l)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r != nil {
			got = r.Test
		}
		if got != want || r == nil && c.Estimate == 0 || r != nil && c.Estimate != 0 {
			t.Errorf("got %v %v, want %s", c, r, want)
		}
	}
	f("", func(*estimate.Lists) {})
	f("window", func(l *estimate.Lists) { l.WindowDays = 8 })
	f("ids", func(l *estimate.Lists) { l.Stable = false })
	f("upstream", func(l *estimate.Lists) { l.Upstreams[1] = "a" })
	f("overlap", func(l *estimate.Lists) { l.Pair.M = 6 })
	f("strata", func(l *estimate.Lists) { l.Strata = nil })
	f("strata", func(l *estimate.Lists) {
		l.Strata = []estimate.Pair{{N1: 350, N2: 100, M: 70}, {N1: 50, N2: 400, M: 30}}
	})
	f("closed", func(l *estimate.Lists) { l.Turns = [2][2]int{} })
	f("closed", func(l *estimate.Lists) { l.Turns = [2][2]int{{80, 30}, {30, 80}} })
	f("halves", func(l *estimate.Lists) { l.Halves = []estimate.Pair{{N1: 225, N2: 225, M: 100}} })
	f("singletons", func(l *estimate.Lists) { l.Times[0] = 400 })
	f("singletons", func(l *estimate.Lists) { l.Times = nil })
	if _, r, err := estimate.AtLeast(fair()); r != nil || err != nil {
		t.Error(r, err)
	}
	l := fair()
	l.TimesBy = [][]int{{30, 85, 40, 15, 5}, {200, 25, 0, 0, 0}}
	if _, r, err := estimate.AtLeast(l); err != nil || r == nil || r.Test != "strata" {
		t.Error(r, err)
	}
}

func TestCARDCount(t *testing.T) {
	t.Parallel()
	fair := func() estimate.Network {
		n := estimate.Network{Addresses: 5000, WindowDays: 28, Pool: 200_000, DailyAddresses: 1125, Events: 28 * 24 * 1000, IDsPerAddress: 1}
		for range 100 {
			n.Durations = append(n.Durations, estimate.Duration{Days: 7, Weight: 1})
		}
		n.Plausible = [][]estimate.Duration{{{Days: 6, Weight: 1}}, {{Days: 8, Weight: 1}}}
		return n
	}
	h, r, err := estimate.CARDCount(fair())
	if r != nil || err != nil {
		t.Fatal(r, err)
	}
	near(t, "7-day leases", h.Hosts, 1000, 1e-9)
	if !h.Sensitivity.Has(1000) || !h.CI.Has(1000) || h.Sensitivity.Lo > 900 || h.Sensitivity.Hi < 1100 {
		t.Errorf("%+v", h)
	}
	f := func(want string, change func(*estimate.Network)) {
		t.Helper()
		n := fair()
		change(&n)
		if _, r, err := estimate.CARDCount(n); err != nil || r == nil || r.Test != want {
			t.Errorf("got %v %v, want %s", r, err, want)
		}
	}
	f("durations", func(n *estimate.Network) { n.Durations = nil })
	f("pool", func(n *estimate.Network) { n.Pool = 99_999 })
	f("pool", func(n *estimate.Network) { n.Pool = 0 })
	f("sightings", func(n *estimate.Network) { n.Events /= 24 })
	f("activity", func(n *estimate.Network) { n.DailyAddresses = 0 })
	f("activity", func(n *estimate.Network) { n.DailyAddresses, n.Events = 900, 28*24*900 })
	f("sightings", func(n *estimate.Network) { // once a day, and leases of 30 days
		n.Addresses, n.Events = 2000, 28*1034
		for i := range n.Durations {
			n.Durations[i].Days = 30
		}
		n.DailyAddresses = 1034
	})
	f("durations", func(n *estimate.Network) { n.DailyAddresses = 1400 })
	f("sharing", func(n *estimate.Network) { n.IDsPerAddress = 1.5 })
	f("sharing", func(n *estimate.Network) { n.SharesAddresses = true })
}

// What CARDCount expects of a day, against hosts whose days are walked one by
// one: it takes the number that they are seen on, and not a fifth less or more.
func TestCARDCountExpectsWhatADayShows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 5))
		const hosts, window = 2_000, 20
		lease, rate := .7+5*rng.Float64(), 4+60*rng.Float64()
		n := estimate.Network{WindowDays: window, Pool: 1e9, IDsPerAddress: 1}
		days := 0
		for range hosts {
			begun, ends := -lease*rng.ExpFloat64(), lease*rng.ExpFloat64()
			for {
				noted := false
				for day := max(0, math.Floor(begun)); day < min(window, ends); day++ {
					events := 0
					for at := max(0, begun, day) + rng.ExpFloat64()/rate; at < min(ends, day+1, window); at += rng.ExpFloat64() / rate {
						events++
					}
					if n.Events += events; events > 0 {
						days++
						noted = true
					}
				}
				if noted {
					n.Addresses++
					n.Durations = append(n.Durations, estimate.Duration{Days: ends - begun, Weight: 1})
				}
				if ends >= window {
					break
				}
				begun, ends = ends, ends+lease*rng.ExpFloat64()
			}
		}
		n.DailyAddresses = float64(days) / window
		_, r, err := estimate.CARDCount(n)
		if err != nil || r != nil && !(r.Test == "sightings" && lease*rate < 30) {
			t.Errorf("leases of %.1f days, %.0f sightings a day: %v %v", lease, rate, r, err)
		}
		for test, f := range map[string]float64{"activity": .8, "durations": 1.2} {
			if x := n; r == nil {
				x.DailyAddresses *= f
				if _, r, err := estimate.CARDCount(x); err != nil || r == nil || r.Test != test {
					t.Errorf("%g times the addresses a day: %v %v, want %s", f, r, err, test)
				}
			}
		}
	}
}

func clusters(n int) []estimate.Cluster {
	rng := rand.New(rand.NewPCG(1, 2))
	var out []estimate.Cluster
	for i := range n {
		a := 50 + rng.Float64()*100
		out = append(out, estimate.Cluster{AS: uint32(i), Then: a, Now: a * (.7 + .2*rng.Float64())})
	}
	return out
}

func TestYearOnYear(t *testing.T) {
	t.Parallel()
	y := estimate.Years{Clusters: clusters(40), Then: 4500, Now: 3600, Seed: 7}
	a, r, err := estimate.YearOnYear(y)
	if r != nil || err != nil {
		t.Fatal(r, err)
	}
	if !a.CI.Has(a.Ratio.Ratio) || !a.ClearChange || a.CI.Lo < .75 || a.CI.Hi > .85 {
		t.Errorf("%+v", a)
	}
	near(t, "waterfall", a.Then+(a.MatchedNow-a.MatchedThen)+a.Entries-a.Exits, a.Now, 1e-12)
	slices.Reverse(y.Clusters)
	if b, _, _ := estimate.YearOnYear(y); b != a {
		t.Errorf("the order of the clusters matters: %+v %+v", a, b)
	}
	f := func(want string, change func(*estimate.Years)) {
		t.Helper()
		y := y
		change(&y)
		if _, r, err := estimate.YearOnYear(y); err != nil || r == nil || r.Test != want {
			t.Errorf("got %v %v, want %s", r, err, want)
		}
	}
	f("matched", func(y *estimate.Years) { y.Now = 9000 })
	f("break", func(y *estimate.Years) { y.Breaks = []string{"sinkhole moved"} })
	f("clusters", func(y *estimate.Years) { y.Clusters = clusters(11); y.Then, y.Now = 2000, 1100 })
}

// However many clusters vanish or appear, the interval has two ends and the
// ratio lies within.
func TestYearOnYearProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		y := estimate.Years{Draws: 200, Seed: rapid.Uint64().Draw(t, "seed")}
		for i := range rapid.IntRange(12, 30).Draw(t, "n") {
			v := rapid.SampledFrom([]float64{0, 0, 1, 10, 11, 12})
			c := estimate.Cluster{AS: uint32(i), Then: v.Draw(t, "then"), Now: v.Draw(t, "now")}
			y.Clusters = append(y.Clusters, c)
			y.Then, y.Now = y.Then+c.Then, y.Now+c.Now
		}
		out, r, err := estimate.YearOnYear(y)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil && !(out.CI.Lo <= out.Ratio.Ratio && out.Ratio.Ratio <= out.CI.Hi) {
			t.Errorf("%+v", out)
		}
	})
}

func TestMatchedDays(t *testing.T) {
	t.Parallel()
	a, b, c := estimate.Cell{Witness: "a"}, estimate.Cell{Witness: "b"}, estimate.Cell{Witness: "c"}
	got, err := estimate.MatchedDays(
		map[estimate.Cell][]bool{a: {true, true, false}, b: {true, false, false}, c: {true, true, true}},
		map[estimate.Cell][]bool{a: {false, true, true}, b: {false, true, true}})
	if err != nil || len(got) != 1 || !slices.Equal(got[a], []bool{false, true, false}) {
		t.Error(got, err)
	}
	if _, err := estimate.MatchedDays(map[estimate.Cell][]bool{a: {true}}, map[estimate.Cell][]bool{a: {true, true}}); err == nil {
		t.Error("unequal periods pass")
	}
}

func TestMatchedPanelAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.MapOf(rapid.StringMatching(`[a-f]`), rapid.Float64Range(0, 1e6))
		then, now := cells.Draw(t, "then"), cells.Draw(t, "now")
		w, err := estimate.MatchedPanel(then, now)
		if err != nil {
			return
		}
		if math.Abs(w.Then+(w.MatchedNow-w.MatchedThen)+w.Entries-w.Exits-w.Now) > 1e-6 || w.Entries < 0 || w.Exits < 0 {
			t.Errorf("%+v", w)
		}
	})
}

func TestSharesAndRegions(t *testing.T) {
	t.Parallel()
	// Newcombe (1998), Statistics in Medicine 17, 857, table I: 81/263.
	_, ci, err := estimate.Wilson(81, 263)
	if err != nil || math.Abs(ci.Lo-.2553) > 5e-5 || math.Abs(ci.Hi-.3662) > 5e-5 {
		t.Error(ci, err)
	}
	regions := []estimate.Region{{"large", 1000, 1e6}, {"small", 5, 1000}, {"middle", 90, 1e5}, {"other", 30, 50_000}}
	got, err := estimate.Shrink(regions)
	if err != nil {
		t.Fatal(err)
	}
	if s := got[1]; !(s.Shrunk < s.Rate) || !s.CI.Has(s.Shrunk) {
		t.Errorf("the small region is not drawn to the others: %+v", s)
	}
	for _, r := range got {
		if !(r.Within998.Lo <= r.Within95.Lo && r.Within95.Hi <= r.Within998.Hi) {
			t.Errorf("%+v", r)
		}
	}
	near(t, "funnel", got[1].Within95.Hi, 1e5*3/1000, 1e-9) // expected .98: P(X <= 2) = .926, P(X <= 3) = .983
}

func TestLoss(t *testing.T) {
	t.Parallel()
	x := estimate.LogNormal{Mu: 8, Sigma: 1}
	p, err := estimate.PERT(0, 2, 10, 4)
	if err != nil {
		t.Fatal(err)
	}
	l := estimate.Losses{Seed: 5, Draws: 20_000, Categories: []estimate.LossCategory{
		{Name: "fraud", Kind: estimate.LossDirect, LambdaLo: 100, LambdaHi: 100, LogNormal: &x, Source: "survey 2025"},
		{Name: "cleaning", Kind: estimate.LossDefence, LambdaLo: 10, LambdaHi: 40, PERT: &p},
		{Name: "abroad", Kind: estimate.LossDirect, LambdaLo: 10, LambdaHi: 40, PERT: &p, Scaled: true},
	}}
	a, err := estimate.Loss(l)
	if err != nil {
		t.Fatal(err)
	}
	b, err := estimate.Loss(l)
	if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("the same seed gives another report: %v", err)
	}
	// The sum of 100 is skewed, but its median and width are near those of a normal.
	mean, sd, err := estimate.CompoundPoisson(100, x)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "median", a.Kinds[estimate.LossDirect].Median, mean, .03)
	near(t, "width", a.Categories[0].CI90.Hi-a.Categories[0].CI90.Lo, 2*1.6449*sd, .06)
	near(t, "PERT median", a.Categories[1].Median, 20*3, .05)
	if len(a.Kinds) != 2 || a.Tornado[0].Name != "fraud: cost of a case" || a.Tornado[1].Source != "assumption" {
		t.Errorf("%+v", a)
	}
	l.ShockSigma = .5
	c, err := estimate.Loss(l)
	if err != nil || c.Categories[0].CI90.Hi-c.Categories[0].CI90.Lo < 1.5*(a.Categories[0].CI90.Hi-a.Categories[0].CI90.Lo) {
		t.Error("a shock widens nothing", err)
	}
}

// TestLossOfMany holds that drawing some of many costs keeps mean and standard
// deviation of all of them, and that scaled categories move nothing.
func TestLossOfMany(t *testing.T) {
	t.Parallel()
	x := estimate.LogNormal{Mu: 8, Sigma: 1}
	mean, sd, err := estimate.CompoundPoisson(5000, x)
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{0, 50, 500} {
		l := estimate.Losses{Seed: 5, Draws: 4000, MostDrawn: most, Categories: []estimate.LossCategory{
			{Name: "many", Kind: estimate.LossDirect, LambdaLo: 5000, LambdaHi: 5000, LogNormal: &x},
			{Name: "abroad", Kind: estimate.LossDirect, LambdaLo: 10, LambdaHi: 40, LogNormal: &x, Scaled: true},
		}}
		a, err := estimate.Loss(l)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "median", a.Categories[0].Median, mean, .01)
		near(t, "width", a.Categories[0].CI90.Hi-a.Categories[0].CI90.Lo, 2*1.6449*sd, .08)
		if len(a.Tornado) != 2 || a.Kinds[estimate.LossDirect] != a.Categories[0] {
			t.Errorf("a scaled category counts: %+v", a)
		}
	}
	l := estimate.Losses{Categories: []estimate.LossCategory{{Name: "many", Kind: estimate.LossDirect, LambdaLo: 1, LambdaHi: 20_001, LogNormal: &x}}}
	if _, err := estimate.Loss(l); err == nil {
		t.Error("more cases than are drawn, and no error")
	}
	l.MostDrawn, l.Categories[0].LambdaHi = 100, 2e9
	if _, err := estimate.Loss(l); err == nil {
		t.Error("two billion cases, and no error")
	}
}

func TestTurnbull(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	// Without censoring it is the empirical distribution.
	s, err := estimate.Turnbull([]estimate.Spell{{0, 1, 2}, {0, 2, 3}, {0, 3, 4}, {0, 4, 5}})
	if err != nil || len(s.Steps) != 4 || !s.Settled || s.Median != (estimate.Interval{Lo: 2, Hi: 3}) {
		t.Errorf("%+v %v", s, err)
	}
	near(t, "survival", s.At(3).Lo, .5, 1e-6)
	// Right-censored alone it is Kaplan and Meier's: 1, 2+, 3: 1/3, then all of the rest.
	s, err = estimate.Turnbull([]estimate.Spell{{0, .999, 1}, {0, 2, inf}, {0, 2.999, 3}})
	if err != nil || len(s.Steps) != 2 {
		t.Fatalf("%+v %v", s, err)
	}
	near(t, "first step", s.Steps[0].Mass, 1./3, 1e-6)
	// Delayed entry: seen only from 2 on, so that those who ended before are
	// missing. Exponential durations with a half-life of 3 days.
	rng := rand.New(rand.NewPCG(3, 4))
	var spells []estimate.Spell
	for len(spells) < 3000 {
		d, entry := rng.ExpFloat64()*3/math.Ln2, math.Floor(rng.Float64()*4)
		if look := math.Floor(d); look >= entry {
			until := look + 1
			if d > 12 {
				look, until = 12, inf
			}
			spells = append(spells, estimate.Spell{Entry: entry, After: look, Until: until})
		}
	}
	s, err = estimate.Turnbull(spells)
	if err != nil || !s.Settled {
		t.Fatal(err, s.Settled)
	}
	for day := 1.0; day <= 10; day++ {
		if got, want := s.At(day).Lo, math.Pow(.5, day/3); math.Abs(got-want) > .04 {
			t.Errorf("after %g days %g last, want %g", day, got, want)
		}
	}
}

func TestCoverageBreaks(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	series := func(level float64, at int, factor float64) []float64 {
		out := make([]float64, 90)
		for i := range out {
			x := level
			if i >= at {
				x *= factor
			}
			out[i] = math.Round(x + math.Sqrt(x)*rng.NormFloat64())
		}
		return out
	}
	got, err := estimate.CoverageBreaks(map[string][]float64{"a": series(1000, 45, .5), "b": series(800, 90, 1)})
	if err != nil || len(got) != 1 || got[0].Feed != "a" || got[0].Day < 43 || got[0].Day > 47 {
		t.Error(got, err)
	}
	got, err = estimate.CoverageBreaks(map[string][]float64{"a": series(1000, 45, .5), "b": series(800, 45, .6)})
	if err != nil || len(got) != 0 {
		t.Error("a shift of all feeds is real:", got, err)
	}
	clean := slices.Concat(slices.Repeat([]float64{40}, 45), slices.Repeat([]float64{4}, 45))
	got, err = estimate.CoverageBreaks(map[string][]float64{"a": clean, "b": series(800, 90, 1)})
	if err != nil || len(got) != 1 || got[0] != (estimate.Break{Feed: "a", Day: 45, Before: 40, After: 4}) {
		t.Error("a clean step:", got, err)
	}
	if got, err = estimate.CoverageBreaks(map[string][]float64{"a": clean}); err != nil || len(got) != 1 || got[0].Day != 45 {
		t.Error("a clean step of a feed alone:", got, err)
	}
}

// What a family does is no break of a feed, and does not hide one.
func TestCoverageBreaksAreSteps(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	series := func(level float64, curve func(day float64) float64) []float64 {
		out := make([]float64, 120)
		for i := range out {
			x := level * curve(float64(i))
			if i%7 > 4 {
				x *= .6
			}
			out[i] = math.Round(max(0, x+math.Sqrt(x)*rng.NormFloat64()))
		}
		return out
	}
	fades := func(day float64) float64 { return max(.4, 1-max(0, day-40)*.6/28) } // over four weeks
	step := func(at, factor float64) func(day float64) float64 {
		return func(day float64) float64 {
			if day < at {
				return 1
			}
			return factor
		}
	}
	with := func(f, g func(day float64) float64) func(day float64) float64 {
		return func(day float64) float64 { return f(day) * g(day) }
	}
	for _, x := range []struct {
		name string
		of   map[string][]float64
		want []int // days of breaks of a
	}{
		{"a lone feed fades", map[string][]float64{"a": series(200, fades)}, nil},
		{"both fade", map[string][]float64{"a": series(46, fades), "b": series(400, fades)}, nil},
		{"a step while both fade", map[string][]float64{"a": series(400, with(fades, step(54, 2))), "b": series(300, fades)}, []int{54}},
		{"a step that the other takes five days later", map[string][]float64{"a": series(168, step(50, .6)), "b": series(86, step(55, .6))}, nil},
		{"a lone step", map[string][]float64{"a": series(200, step(60, .5))}, []int{60}},
		{"no days", map[string][]float64{"a": {}}, nil},
		{"a few days", map[string][]float64{"a": series(10, fades)[:9], "b": make([]float64, 9)}, nil},
	} {
		got, err := estimate.CoverageBreaks(x.of)
		if err != nil || len(got) != len(x.want) {
			t.Errorf("%s: %+v %v", x.name, got, err)
			continue
		}
		for i, b := range got {
			if b.Feed != "a" || math.Abs(float64(b.Day-x.want[i])) > 2 {
				t.Errorf("%s: %+v", x.name, b)
			}
		}
	}
}

// hideable counts the values that each suppressed cell of a table could have:
// all tables with the released cells and totals, cells up to 9.
func hideable(table [][]int, s estimate.Suppressed) [][]map[int]bool {
	rows, cols := len(table), len(table[0])
	seen := make([][]map[int]bool, rows)
	for i := range seen {
		seen[i] = make([]map[int]bool, cols)
		for j := range seen[i] {
			seen[i][j] = map[int]bool{}
		}
	}
	x := make([][]int, rows)
	for i := range x {
		x[i] = make([]int, cols)
	}
	sums := func(v [][]int) (r, c []int, t int) {
		r, c = make([]int, rows), make([]int, cols)
		for i := range v {
			for j, n := range v[i] {
				r[i], c[j], t = r[i]+n, c[j]+n, t+n
			}
		}
		return r, c, t
	}
	wr, wc, wt := sums(table)
	var try func(k int)
	try = func(k int) {
		if k == rows*cols {
			r, c, t := sums(x)
			for i := range r {
				if !s.Rows[i] && r[i] != wr[i] {
					return
				}
			}
			for j := range c {
				if !s.Columns[j] && c[j] != wc[j] {
					return
				}
			}
			if !s.Total && t != wt {
				return
			}
			for i := range x {
				for j, n := range x[i] {
					seen[i][j][n] = true
				}
			}
			return
		}
		i, j := k/cols, k%cols
		if !s.Cells[i][j] {
			x[i][j] = table[i][j]
			try(k + 1)
			return
		}
		for n := max(0, table[i][j]-2); n <= table[i][j]+2; n++ {
			x[i][j] = n
			try(k + 1)
		}
	}
	try(0)
	return seen
}

func TestSuppressedCellsCannotBeComputed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 3).Draw(t, "rows"), rapid.IntRange(1, 3).Draw(t, "cols")
		table := make([][]int, rows)
		for i := range table {
			for range cols {
				table[i] = append(table[i], rapid.SampledFrom([]int{0, 0, 1, 2, 4, 5, 6, 9, 20}).Draw(t, "cell"))
			}
		}
		s, err := estimate.Suppress(table)
		if err != nil {
			t.Fatal(err)
		}
		could := hideable(table, s)
		for i := range table {
			for j, v := range table[i] {
				if v > 0 && v < 5 && !s.Cells[i][j] {
					t.Errorf("%v: %d is released", table, v)
				}
				if s.Cells[i][j] && len(could[i][j]) < 2 {
					t.Errorf("%v: row %d, column %d can be computed from %+v", table, i, j, s)
				}
			}
		}
	})
	s, err := estimate.Suppress([][]int{{50, 3, 20}, {10, 60, 70}, {90, 80, 30}})
	if err != nil || s.Total || slices.Contains(s.Rows, true) {
		t.Errorf("more than needed is left out: %+v %v", s, err)
	}
}

func FuzzCases(f *testing.F) {
	f.Add(`{"cases":[{"id":"x","estimator":"chapman","in":{"n1":10,"n2":15,"m":5},"out":{"se":5},"tol":1}]}`)
	f.Add(`[{"id":"x","estimator":"cardcount","in":{"ips":5,"durations_days_weighted":[[1,2],[3,4]],"window_days":7}}]`)
	f.Add(`{"estimator":"rate-ratio-exact","in":{"k":[3,0],"exposure":[1,1e-300]}}` + "\n" + `{"estimator":"quantile-ranks","in":{"n":9007199254740992,"p":1e-300}}`)
	f.Add(`{"estimator":"poisson-rate","in":{"k":9007199254740992,"exposure":NaN}}`)
	f.Add(`[{"estimator":"matched-panel","in":{"prior":{"a":1,"b":null},"current":{"a":2}}},{"estimator":"pert","in":{"min":-1e308,"mode":0,"max":1e308}}]`)
	f.Add(`[{"estimator":"chao1","in":{"S_obs":9,"f1":4,"f2":0,"n":99}},{"estimator":"controller-columns","in":{"total":5,"by_country":{"a":3}}}]`)
	f.Fuzz(func(t *testing.T, in string) {
		for c := range estimate.Cases(strings.NewReader(in)) {
			a := c.Answer()
			if (a.Error == "") == (a.Out == nil) {
				t.Errorf("neither or both of answer and error: %+v", a)
			}
			if _, err := json.Marshal(a); err != nil {
				t.Errorf("%+v: %v", a, err)
			}
			c.Check(a)
		}
	})
}
