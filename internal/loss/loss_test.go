package loss_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"tocsin/internal/estimate"
	"tocsin/internal/loss"
)

var update = flag.Bool("update", false, "rewrite golden files")

// values are the figures of the tests.
func values(id string) loss.Value {
	switch id {
	case "hacked-sites":
		return loss.Value{Lo: 412, Hi: 412, OK: true}
	case "infections-begun":
		return loss.Value{Lo: 8000, Hi: 13000, OK: true}
	case "attack-attempts":
		return loss.Value{OK: true}
	case "exposed-services":
		return loss.Value{Lo: 90_000.5, Hi: 90_000.5, OK: true}
	}
	return loss.Value{Why: "not counted yet"}
}

func parse(t testing.TB, text string) loss.Inputs {
	t.Helper()
	in, err := loss.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func evaluate(t testing.TB, text string, days int) loss.Report {
	t.Helper()
	r, err := loss.Evaluate(parse(t, text), values, days)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const head = "currency: EUR\nshock_sigma: none\nseed: 7\ncategories:\n"

// one is a file with one category; the lines given take the place of its cases
// and cost.
func one(cases, cost string) string {
	return head + "  - name: a\n    kind: direct\n    cases: " + cases + "\n    cost: " + cost + "\n"
}

// TestCompoundPoisson holds medians and intervals against the known mean and
// standard deviation of a Poisson number of log-normal costs: of so many cases
// the sum is near normal.
func TestCompoundPoisson(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, cases, cost string
		days              int
		lambda, lo, hi    float64
	}{
		{"as given", "{lo: 400, hi: 400, per: period}", "{lo: 10, hi: 40}", 30, 400, 10, 40},
		{"a year", "{lo: 3652.5, hi: 3652.5, per: year}", "{lo: 10, hi: 40}", 40, 400, 10, 40},
		{"some cost nothing", "{lo: 800, hi: 800, per: period}", "{lo: 10, hi: 40, zero: 0.5}", 30, 400, 10, 40},
		{"a share of a figure", "{from: hacked-sites, share: {lo: 0.5, hi: 0.5}}", "{lo: 10, hi: 40}", 30, 206, 10, 40},
		{"a share a year of a stock", "{from: exposed-services, share: {lo: 0.05, hi: 0.05, per: year}}", "{lo: 10, hi: 40}", 73, 90_000.5 * .05 * 73 / 365.25, 10, 40},
		{"more than are drawn", "{lo: 1000000, hi: 1000000, per: period}", "{lo: 10, hi: 1000}", 30, 1e6, 10, 1000},
	} {
		x, err := estimate.LogNormalFrom90(tt.lo, tt.hi)
		if err != nil {
			t.Fatal(err)
		}
		mean, sd, err := estimate.CompoundPoisson(tt.lambda, x)
		if err != nil {
			t.Fatal(err)
		}
		got := evaluate(t, one(tt.cases, tt.cost), tt.days).Categories[0].Amount
		if math.Abs(got.Median-mean) > .012*mean || math.Abs(got.Hi-got.Lo-2*1.6449*sd) > .08*2*1.6449*sd+.01*mean {
			t.Errorf("%s: %+v, want about %g and a width of %g", tt.name, got, mean, 2*1.6449*sd)
		}
	}
}

// TestRanges holds that ranges of a figure and of its share multiply, and that a
// range of cases goes into the interval.
func TestRanges(t *testing.T) {
	t.Parallel()
	r := evaluate(t, one("{from: infections-begun, share: {lo: 0.01, hi: 0.04}}", "{least: 99, mode: 100, most: 101}"), 30)
	a := r.Categories[0]
	mid, w := math.Sqrt(8000*13000*.01*.04), math.Hypot(math.Log(13./8), math.Log(4))/2
	if math.Abs(a.CasesLo/(mid*math.Exp(-w))-1) > .01 || math.Abs(a.CasesHi/(mid*math.Exp(w))-1) > .01 {
		t.Errorf("cases %g to %g, want %g to %g", a.CasesLo, a.CasesHi, mid*math.Exp(-w), mid*math.Exp(w))
	}
	if math.Abs(a.Amount.Median/(100*mid)-1) > .03 || math.Abs(a.Amount.Hi/(100*mid*math.Exp(w))-1) > .05 {
		t.Errorf("%+v", a.Amount)
	}
	if len(r.Drivers) != 3 || r.Drivers[0].Name != "a: share of infections-begun" || r.Drivers[1].Name != "a: infections-begun" || r.Drivers[2].Name != "a: cost of a case" {
		t.Errorf("%+v", r.Drivers)
	}
	if d := r.Drivers[1]; d.Assumption || math.Abs(d.Hi/d.Lo-13./8) > .02 {
		t.Errorf("%+v", d)
	}
}

// TestGolden writes the report of a file with everything in it; the same
// document comes again from the same file.
func TestGolden(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/loss.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"report": b, "example": loss.Example, "simulated": loss.Simulated} {
		var docs [2][]byte
		for i := range docs {
			if docs[i], err = json.MarshalIndent(evaluate(t, string(file), 31), "", "  "); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(docs[0], docs[1]) {
			t.Errorf("%s: the same inputs give another report", name)
		}
		path := "testdata/" + name + ".golden.json"
		if *update {
			if err := os.WriteFile(path, append(docs[0], '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(append(docs[0], '\n'), want) {
			t.Errorf("%s: not as in %s (go test -update): %v\n%s", name, path, err, docs[0])
		}
	}
}

// TestLeftOut holds that what has no number is named, and is in no sum.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	cost := "    cost: {lo: 10, hi: 20}\n"
	r := evaluate(t, head+
		"  - name: counted\n    kind: direct\n    cases: {lo: 10, hi: 20, per: period}\n"+cost+
		"  - name: refused\n    kind: direct\n    cases: {from: hosts-infected, share: {lo: 0.1, hi: 0.2, per: year}}\n"+cost+
		"  - name: foreign\n    kind: direct\n    cases: {lo: 10, hi: 20, per: period, scaled: true}\n"+cost+
		"  - name: none\n    kind: defence\n    cases: {from: attack-attempts, share: {lo: 0.1, hi: 0.2}}\n"+cost+
		"  - name: alone\n    kind: indirect\n    cases: {from: hosts-infected, share: {lo: 0.1, hi: 0.2, per: year}}\n"+cost, 30)
	if c := r.Categories[1]; c.Amount != nil || c.Why != "no number: not counted yet" {
		t.Errorf("%+v", c)
	}
	if c := r.Categories[3]; c.Amount == nil || *c.Amount != (loss.Amount{}) {
		t.Errorf("no case: %+v", c)
	}
	direct, indirect, defence := r.Kinds[0], r.Kinds[1], r.Kinds[2]
	if *direct.Amount != *r.Categories[0].Amount || direct.Of != 1 || fmt.Sprint(direct.Without) != "[refused foreign]" {
		t.Errorf("%+v", direct)
	}
	if indirect.Amount != nil || indirect.Of != 0 || fmt.Sprint(indirect.Without) != "[alone]" {
		t.Errorf("%+v", indirect)
	}
	if *defence.Amount != (loss.Amount{}) || defence.Of != 1 {
		t.Errorf("%+v", defence)
	}
	for _, d := range r.Drivers {
		if !strings.HasPrefix(d.Name, "counted: ") {
			t.Errorf("a driver of what is in no sum: %+v", d)
		}
	}
	if len(r.LeftOut) != 3 || !strings.Contains(r.Headline, "10 of 10 inputs are assumptions, and 3 of 5 categories are in no sum") {
		t.Errorf("%s %+v", r.Headline, r.LeftOut)
	}
	// All of it refused is a report without a number, and no error.
	r = evaluate(t, one("{from: hosts-infected, share: {lo: 0.1, hi: 0.2, per: year}}", "{lo: 1, hi: 2}"), 30)
	if r.Kinds[0].Amount != nil || len(r.Drivers) != 0 || !strings.HasPrefix(r.Headline, "No single number is given.") {
		t.Errorf("%+v", r)
	}
	if r, err := loss.Evaluate(loss.Inputs{}, values, 30); err != nil || r.Given || !strings.HasPrefix(r.Headline, "No number is given") {
		t.Errorf("%+v %v", r, err)
	}
	for _, v := range []loss.Value{{Lo: 0, Hi: 5, OK: true}, {Lo: -1, Hi: 5, OK: true}, {Lo: 5, Hi: 4, OK: true}, {Lo: math.NaN(), Hi: 4, OK: true}, {Lo: 1, Hi: math.Inf(1), OK: true}, {Lo: 1e12, Hi: 1e12, OK: true}} {
		r, err := loss.Evaluate(parse(t, one("{from: hacked-sites, share: {lo: 0.1, hi: 0.2}}", "{lo: 1, hi: 2}")), func(string) loss.Value { return v }, 30)
		if err != nil || r.Categories[0].Amount != nil || !strings.HasPrefix(r.Categories[0].Why, "no number: ") {
			t.Errorf("%+v: %+v %v", v, r.Categories, err)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

// TestScaledIsInNoSum holds that marking a category scaled takes it out of its
// kind, and leaves its own number.
func TestScaledIsInNoSum(t *testing.T) {
	t.Parallel()
	two := func(mark string) loss.Report {
		return evaluate(t, head+
			"  - name: a\n    kind: direct\n    cases: {lo: 10, hi: 20, per: period}\n    cost: {lo: 10, hi: 20}\n"+
			"  - name: b\n    kind: direct\n    cases: {lo: 10, hi: 20, per: period}\n    cost: {lo: 10, hi: 20"+mark+"}\n", 30)
	}
	with, without := two(""), two(", scaled: true")
	if with.Kinds[0].Of != 2 || without.Kinds[0].Of != 1 || *without.Kinds[0].Amount != *without.Categories[0].Amount || *with.Categories[1].Amount != *without.Categories[1].Amount {
		t.Errorf("%+v\n%+v", with, without)
	}
}

// TestRefusals holds what is refused, and where.
func TestRefusals(t *testing.T) {
	t.Parallel()
	good := one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 2}")
	parse(t, good)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		p := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+p+",", 9), ","))
	}
	for name, tt := range map[string]struct{ text, want string }{
		"empty":             {"", "0 documents"},
		"two documents":     {good + "---\n" + good, "2 documents"},
		"no mapping":        {"- a\n", "line 1, column 1: the file: want currency"},
		"no YAML":           {"a: [", "line 1, column"},
		"not UTF-8":         {"currency: \xff", "not UTF-8"},
		"too large":         {good + "#" + strings.Repeat("x", loss.MaxBytes), "at most 65536"},
		"unknown key":       {good + "total: 5\n", `line 9, column 1: the file does not know the key "total"`},
		"unknown deep key":  {one("{lo: 1, hi: 2, per: year, median: 3}", "{lo: 1, hi: 2}"), `line 7, column 38: cases does not know the key "median"`},
		"key twice":         {"currency: EUR\ncurrency: USD\n", "line 2, column 1"},
		"currency":          {strings.Replace(good, "EUR", "euro", 1), "line 1, column 11: currency"},
		"no shock":          {strings.Replace(good, "shock_sigma: none\n", "", 1), "shock_sigma is missing"},
		"shock":             {strings.Replace(good, "sigma: none", "sigma: 3", 1), "line 2, column 14: shock_sigma: want a number of 0.001 to 2"},
		"draws":             {"draws: 100\n" + good, "draws: want a number of 1000 to 100000"},
		"seed":              {strings.Replace(good, "seed: 7", "seed: -7", 1), "seed: want a whole number"},
		"alias bomb":        {bomb + good, "nested too deeply|does not know the key"},
		"alias":             {"x: &x 1\n" + good, `does not know the key "x"`},
		"alias in place":    {one("&c {lo: 1, hi: 2, per: year}", "*c"), "want"},
		"merge":             {strings.Replace(good, "categories:", "<<: {a: b}\ncategories:", 1), "does not know the key"},
		"tag":               {strings.Replace(good, "seed: 7", "seed: !!binary 7", 1), "seed: want"},
		"deep":              {strings.Repeat("[", 1000), "nested too deeply"},
		"dashes":            {strings.Repeat("- ", 1000), "nested too deeply"},
		"no categories":     {"currency: EUR\nshock_sigma: none\n", "categories is missing"},
		"too many":          {head + strings.Repeat("  - {name: a}\n", 101), "101 categories: want 1 to 100"},
		"too much work":     {"draws: 100000\n" + head + strings.Repeat("  - {name: a}\n", 21), "want draws of at most 95238"},
		"no name":           {strings.Replace(good, "name: a", "name: ''", 1), "name: want a line"},
		"name":              {strings.Replace(good, "name: a", `name: "a\u202eb"`, 1), "name: want a line"},
		"name twice":        {good + strings.TrimPrefix(good, head), `the name "a" stands there twice`},
		"kind":              {strings.Replace(good, "direct", "total", 1), "line 6, column 11: kind: want direct"},
		"lacks":             {head + "  - name: a\n    kind: direct\n", "a category lacks its cases"},
		"turned range":      {one("{lo: 3, hi: 2, per: year}", "{lo: 1, hi: 2}"), "line 7, column 24: hi is 2, below lo = 3"},
		"endless range":     {one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 2000000}"), "says nothing"},
		"zero":              {one("{lo: 0, hi: 2, per: year}", "{lo: 1, hi: 2}"), "lo: want a number of 1e-09 to"},
		"infinity":          {one("{lo: 1, hi: .inf, per: year}", "{lo: 1, hi: 2}"), "hi: want a number"},
		"huge":              {one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 1e999}"), "hi: want a number"},
		"hexadecimal":       {one("{lo: 0x1p3, hi: 20, per: year}", "{lo: 1, hi: 2}"), "lo: want a number"},
		"no hi":             {one("{lo: 1, per: year}", "{lo: 1, hi: 2}"), "hi is missing"},
		"no per":            {one("{lo: 1, hi: 2}", "{lo: 1, hi: 2}"), "per: want year, or period"},
		"unknown figure":    {one("{from: infected-addresses, share: {lo: 0.1, hi: 0.2}}", "{lo: 1, hi: 2}"), "from: want one of infections-begun, hosts-infected"},
		"no share":          {one("{from: hacked-sites}", "{lo: 1, hi: 2}"), "share is missing"},
		"share alone":       {one("{lo: 1, hi: 2, per: year, share: {lo: 0.1, hi: 0.2}}", "{lo: 1, hi: 2}"), "share goes with from"},
		"figure and range":  {one("{from: hacked-sites, lo: 1, share: {lo: 0.1, hi: 0.2}}", "{lo: 1, hi: 2}"), "lo belongs into share"},
		"share above 1":     {one("{from: hacked-sites, share: {lo: 0.1, hi: 2}}", "{lo: 1, hi: 2}"), "hi: want a number of 1e-09 to 1"},
		"stock":             {one("{from: exposed-services, share: {lo: 0.1, hi: 0.2}}", "{lo: 1, hi: 2}"), "needs `per: year`"},
		"no stock":          {one("{from: hacked-sites, share: {lo: 0.1, hi: 0.2, per: year}}", "{lo: 1, hi: 2}"), "leave per out"},
		"both costs":        {one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 2, mode: 3}"), "not both"},
		"PERT":              {one("{lo: 1, hi: 2, per: year}", "{least: 3, mode: 2, most: 4}"), "must rise"},
		"all cost nothing":  {one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 2, zero: 1}"), "zero: want a number of 0 to 0.999"},
		"source only":       {one("{lo: 1, hi: 2, per: year, source: x}", "{lo: 1, hi: 2}"), "source and date go together"},
		"date only":         {one("{lo: 1, hi: 2, per: year}", "{lo: 1, hi: 2, date: 2025}"), "source and date go together"},
		"date":              {one("{lo: 1, hi: 2, per: year, source: x, date: lately}", "{lo: 1, hi: 2}"), "date: want YYYY"},
		"scaled":            {one("{lo: 1, hi: 2, per: year, scaled: perhaps}", "{lo: 1, hi: 2}"), "scaled: want true or false"},
		"list for a number": {one("{lo: [1], hi: 2, per: year}", "{lo: 1, hi: 2}"), "lo: want a number"},
		"null":              {one("~", "~"), "cases: want lo, hi"},
	} {
		began := time.Now()
		_, err := loss.Parse([]byte(tt.text))
		ps, ok := errors.AsType[loss.Problems](err)
		found := false
		for w := range strings.SplitSeq(tt.want, "|") {
			found = found || ok && strings.Contains(err.Error(), w)
		}
		if !found || len(ps) > 20 {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s took %s", name, d)
		}
	}
}

// TestTime holds that no file takes long to refuse: each of these fills the
// bound with one construct.
func TestTime(t *testing.T) {
	t.Parallel()
	for _, x := range []string{
		"a: ", "a\n", "- a\n", "{a: ", "? a\n", "*a ", "&a ", "!a ", "'", "\"", "\"\\", "|\n ", ">\n", "#\n", ",", "[],", "a: b\n", "%a\n", "---\n", "...\n", "\t", " ", "\r", "<<: *a\n", "\n", "a:\n ", "1,", "- - ", "\\u", "日",
	} {
		began := time.Now()
		_, err := loss.Parse([]byte(strings.Repeat(x, loss.MaxBytes/len(x))))
		if err == nil {
			t.Errorf("%q: taken", x)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%q takes %s", x, d)
		}
	}
}

// FuzzParse holds that no file ends the program, that what is accepted can be
// evaluated, and that a refusal says why.
func FuzzParse(f *testing.F) {
	f.Add(loss.Example)
	f.Add(loss.Simulated)
	if b, err := os.ReadFile("testdata/loss.yaml"); err == nil {
		f.Add(b)
	}
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("? - : [{\n<<: *x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := loss.Parse(b)
		if err != nil {
			if err.Error() == "" {
				t.Error("refused without a reason")
			}
			return
		}
		// One category of few cases: time is for files, not for dice.
		in.Draws, in.Categories = 1000, in.Categories[:1]
		if c := in.Categories[0].Cases; c.Hi > 20 {
			return
		}
		r, err := loss.Evaluate(in, func(string) loss.Value { return loss.Value{Lo: 3, Hi: 4, OK: true} }, 31)
		if err != nil {
			t.Fatalf("accepted, and cannot be evaluated: %v\n%s", err, b)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Categories {
			if a := c.Amount; a != nil && !(a.Lo <= a.Median && a.Median <= a.Hi && a.Lo >= 0) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func BenchmarkEvaluate(b *testing.B) {
	in := parse(b, string(loss.Simulated))
	for b.Loop() {
		if _, err := loss.Evaluate(in, values, 31); err != nil {
			b.Fatal(err)
		}
	}
}
