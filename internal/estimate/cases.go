package estimate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Bounds of what is read: bytes of a file and of a case, and how many cases.
const (
	maxFile  = 64 << 20
	maxCase  = 8 << 20
	maxCases = 1_000_000
)

// Case is one question to an estimator, and the answer that is expected.
type Case struct {
	ID        string
	Estimator string
	In        json.RawMessage
	Out       json.RawMessage // empty where no answer is expected
	Tol       float64         // allowed difference, absolute
	TolRel    float64         // allowed difference, as a part of the expected value
	Err       error           // what is wrong with the case itself
}

// Answer is what an estimator gives to a case: Out or Error.
type Answer struct {
	ID    string         `json:"id"`
	Out   map[string]any `json:"out,omitempty"`
	Error string         `json:"error,omitempty"`
}

// estimators is the table of what can be asked by name: each reads its fields
// and gives those of its answer.
var estimators = map[string]func(*fields) (map[string]any, error){
	"chapman": func(f *fields) (map[string]any, error) {
		n1, n2, m := f.count("n1"), f.count("n2"), f.count("m")
		return run(f, func() (map[string]any, error) {
			c, err := Chapman(n1, n2, m)
			return c.fields(), err
		})
	},
	"chao1": func(f *fields) (map[string]any, error) {
		s, f1, f2, n := f.count("S_obs"), f.count("f1"), f.count("f2"), f.count("n")
		return run(f, func() (map[string]any, error) {
			c, err := Chao1(s, f1, f2, n)
			return c.fields(), err
		})
	},
	"three-lists": func(f *fields) (map[string]any, error) {
		z := Three{f.count("z111"), f.count("z110"), f.count("z101"), f.count("z011"), f.count("z100"), f.count("z010"), f.count("z001")}
		return run(f, func() (map[string]any, error) {
			r, err := ThreeLists(z)
			return map[string]any{"sample_coverage_estimate": r.Estimate, "coverage": r.Coverage, "distinct_overlap_mean": r.Overlap, "point_estimate_publishable": false}, err
		})
	},
	"poisson-rate": func(f *fields) (map[string]any, error) {
		k, e := f.count("k"), f.number("exposure")
		return run(f, func() (map[string]any, error) {
			r, err := PoissonRate(k, e)
			return map[string]any{"rate": r.Rate, "ci95": r.CI}, err
		})
	},
	"rate-ratio-exact": func(f *fields) (map[string]any, error) {
		k, e := f.counts("k", 2), f.numbers("exposure", 2)
		return run(f, func() (map[string]any, error) {
			r, err := RateRatio(k[0], k[1], e[0], e[1])
			return r.fields(), err
		})
	},
	"quasi-poisson-ratio": func(f *fields) (map[string]any, error) {
		a, b, phi := f.number("current"), f.number("prior"), f.number("phi")
		return run(f, func() (map[string]any, error) {
			r, err := QuasiPoissonRatio(a, b, phi)
			return r.fields(), err
		})
	},
	"matched-panel": func(f *fields) (map[string]any, error) {
		then, now := f.named("prior"), f.named("current")
		return run(f, func() (map[string]any, error) {
			w, err := MatchedPanel(then, now)
			out := map[string]any{
				"raw_change": w.RawChange(), "matched_change": w.MatchedChange(), "entries": w.Entries, "exits": w.Exits,
				"matched_share": w.MatchedShare(), "comparable": true,
			}
			if r := w.Refused(); r != nil {
				out["comparable"], out["refused"] = false, r
			}
			return out, err
		})
	},
	"cardcount":           cardcount,
	"address-host-factor": addressHostFactor,
	"quantile-ranks": func(f *fields) (map[string]any, error) {
		n, p := f.count("n"), f.number("p")
		return run(f, func() (map[string]any, error) {
			r, err := QuantileRanks(n, p)
			return map[string]any{"ranks_1based": []int{r.Lo, r.Hi}, "coverage": r.Coverage}, err
		})
	},
	"controller-columns": func(f *fields) (map[string]any, error) {
		total, by := f.number("total"), f.named("by_country")
		return run(f, func() (map[string]any, error) {
			c, err := ControllerColumns(total, by)
			return map[string]any{"sum_of_parts": c.Sum, "partition": c.Partition}, err
		})
	},
	"lognormal-from-90": func(f *fields) (map[string]any, error) {
		lo, hi := f.number("p05"), f.number("p95")
		return run(f, func() (map[string]any, error) {
			l, err := LogNormalFrom90(lo, hi)
			return map[string]any{"mu": l.Mu, "sigma": l.Sigma, "median": l.Median(), "mean": l.Mean()}, err
		})
	},
	"pert": func(f *fields) (map[string]any, error) {
		lo, mode, hi, lambda := f.number("min"), f.number("mode"), f.number("max"), 4.0
		if f.has("lambda") {
			lambda = f.number("lambda")
		}
		return run(f, func() (map[string]any, error) {
			p, err := PERT(lo, mode, hi, lambda)
			return map[string]any{"mean": p.Mean, "alpha": p.Alpha, "beta": p.Beta}, err
		})
	},
	"compound-poisson-lognormal": func(f *fields) (map[string]any, error) {
		lambda, x := f.number("lambda"), LogNormal{f.number("mu"), f.number("sigma")}
		return run(f, func() (map[string]any, error) {
			mean, sd, err := CompoundPoisson(lambda, x)
			return map[string]any{"mean": mean, "sd": sd}, err
		})
	},
}

// run calls f unless a field was wrong.
func run(in *fields, f func() (map[string]any, error)) (map[string]any, error) {
	if in.err != nil {
		return nil, in.err
	}
	return f()
}

func (c Closed) fields() map[string]any {
	out := map[string]any{"estimate": c.Estimate, "se": c.SE}
	if c.CI.Known() {
		out["ci95"] = c.CI
	}
	return out
}

func (r Ratio) fields() map[string]any {
	return map[string]any{"ratio": r.Ratio, "ci95": r.CI, "clear_change": r.ClearChange}
}

// cardcount takes the durations as a list, or as a list of [days, weight]. What
// else is known of the network is optional, and may refuse.
func cardcount(f *fields) (map[string]any, error) {
	n, w := f.count("ips"), f.number("window_days")
	var d []Duration
	if f.has("durations_days_weighted") {
		var rows [][]float64
		f.read("durations_days_weighted", "a list of [days, weight]", &rows)
		for _, r := range rows {
			if len(r) != 2 {
				f.fail("durations_days_weighted", "a list of [days, weight]")
				break
			}
			d = append(d, Duration{r[0], r[1]})
		}
	} else {
		for _, x := range f.numbers("durations_days", -1) {
			d = append(d, Duration{x, 1})
		}
	}
	pool := math.Inf(1)
	if f.has("pool") {
		pool = f.number("pool")
	}
	return run(f, func() (map[string]any, error) {
		h, err := CARDHosts(n, d, w)
		out := map[string]any{"hosts": h}
		if float64(n) > .05*pool {
			out["refused"] = refuse("pool", "%d addresses are more than 5 %% of the network's %.0f: they are assigned again within the window.", n, pool)
		}
		return out, err
	})
}

func addressHostFactor(f *fields) (map[string]any, error) {
	a, h := f.count("addresses"), f.count("hosts")
	return run(f, func() (map[string]any, error) {
		x, err := AddressHostFactor(a, h)
		return map[string]any{"factor": x}, err
	})
}

// Estimators gives the names that can be asked for, sorted.
func Estimators() []string { return slices.Sorted(maps.Keys(estimators)) }

// Answer asks the case's estimator. It never fails: what is wrong with the case
// stands in Error, with what to mend.
func (c Case) Answer() Answer {
	a := Answer{ID: c.ID}
	out, err := c.ask()
	if err != nil {
		a.Error = err.Error()
		return a
	}
	for k, v := range out {
		if x, ok := v.(float64); ok {
			out[k] = finite(x)
		}
	}
	a.Out = out
	return a
}

func (c Case) ask() (map[string]any, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	f, ok := estimators[c.Estimator]
	if !ok {
		return nil, fmt.Errorf("estimator %.60q is not known: use one of %v", c.Estimator, Estimators())
	}
	in := &fields{}
	if len(c.In) == 0 || c.In[0] != '{' {
		return nil, errors.New(`"in" is missing: it must be an object with the estimator's fields`)
	}
	if err := json.Unmarshal(c.In, &in.m); err != nil {
		return nil, fmt.Errorf("in: %w", err)
	}
	return f(in)
}

// fields reads the fields of a case by name and keeps the first mistake.
type fields struct {
	m   map[string]json.RawMessage
	err error
}

func (f *fields) has(name string) bool {
	raw, ok := f.m[name]
	return ok && string(raw) != "null"
}

func (f *fields) fail(name, want string) {
	if f.err != nil {
		return
	}
	if !f.has(name) {
		f.err = fmt.Errorf("in.%s is missing: want %s", name, want)
		return
	}
	f.err = fmt.Errorf("in.%s is %.60q: want %s", name, f.m[name], want)
}

func (f *fields) read(name, want string, v any) bool {
	if !f.has(name) || json.Unmarshal(f.m[name], v) != nil {
		f.fail(name, want)
		return false
	}
	return true
}

func (f *fields) number(name string) float64 {
	var x float64
	f.read(name, "a finite number", &x)
	return x
}

// asCount reports whether x is a whole number from 0 to 2^53.
func asCount(x float64) bool { return x >= 0 && x <= most && x == math.Trunc(x) }

// count reads a whole number; 5.0 and 5e0 are 5.
func (f *fields) count(name string) int {
	const want = "a whole number from 0 to 2^53"
	var x float64
	if f.read(name, want, &x) && !asCount(x) {
		f.fail(name, want)
		return 0
	}
	return int(x)
}

// list reads a list of size elements, any number where size is negative; null
// is no number.
func (f *fields) list(name, want string, size int, ok func(float64) bool) []float64 {
	var p []*float64
	out := make([]float64, max(size, 0))
	if !f.read(name, want, &p) {
		return out
	}
	if size >= 0 && len(p) != size || slices.ContainsFunc(p, func(x *float64) bool { return x == nil || !ok(*x) }) {
		f.fail(name, want)
		return out
	}
	out = out[:0]
	for _, x := range p {
		out = append(out, *x)
	}
	return out
}

func (f *fields) numbers(name string, size int) []float64 {
	want := "a list of finite numbers"
	if size >= 0 {
		want = "a list of " + strconv.Itoa(size) + " finite numbers"
	}
	return f.list(name, want, size, func(float64) bool { return true })
}

func (f *fields) counts(name string, size int) []int {
	out := make([]int, 0, size)
	for _, x := range f.list(name, "a list of "+strconv.Itoa(size)+" whole numbers from 0 to 2^53", size, asCount) {
		out = append(out, int(x))
	}
	return out
}

// named reads numbers by name; those that are null are left out.
func (f *fields) named(name string) map[string]float64 {
	var p map[string]*float64
	f.read(name, "an object of finite numbers, null where there is none", &p)
	out := make(map[string]float64, len(p))
	for k, v := range p {
		if v != nil {
			out[k] = *v
		}
	}
	return out
}

// Cases reads {"cases":[...]}, [...], or one case after the other (JSON lines).
// A case that is wrong comes with Err; where the JSON itself breaks, one with
// Err says where, and is the last. At most 64 MiB are read, 8 MiB a case, and a
// million cases. NaN and Infinity, which some programs write, are taken as words
// where a number should be.
func Cases(r io.Reader) iter.Seq[Case] {
	return func(yield func(Case) bool) {
		b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
		if err == nil && len(b) > maxFile {
			err = fmt.Errorf("the file has more than %d MiB: split it", maxFile>>20)
		}
		if err != nil {
			yield(Case{ID: "file", Err: err})
			return
		}
		d := &reader{yield: yield}
		d.dec = json.NewDecoder(bytes.NewReader(quoteNaN(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))))
		err = d.all()
		if err == nil && d.n == 0 {
			err = errors.New(`there is no case: want {"cases":[{"id":…,"estimator":…,"in":{…}}]}`)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(Case{ID: "file", Err: fmt.Errorf("after %d cases, at byte %d: %w", d.n, d.dec.InputOffset(), err)})
		}
	}
}

var errStop = errors.New("nobody wants more")

// reader walks through a file.
type reader struct {
	dec   *json.Decoder
	yield func(Case) bool
	n     int // cases so far
}

func (d *reader) all() error {
	for {
		t, err := d.dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'):
			err = d.object()
		case json.Delim('['):
			err = d.array()
		default:
			err = fmt.Errorf("%.60q is no case: want an object", fmt.Sprint(t))
		}
		if err != nil {
			return err
		}
	}
}

// array reads the cases of a list whose bracket has been read.
func (d *reader) array() error {
	for d.dec.More() {
		var raw json.RawMessage
		if err := d.dec.Decode(&raw); err != nil {
			return err
		}
		c := Case{Err: errors.New("a case must be an object")}
		var m map[string]json.RawMessage
		if len(raw) > maxCase {
			c.Err = errLong
		} else if raw[0] == '{' && json.Unmarshal(raw, &m) == nil {
			c = newCase(m)
		}
		if err := d.emit(c); err != nil {
			return err
		}
	}
	_, err := d.dec.Token()
	return err
}

var errLong = fmt.Errorf("the case has more than %d MiB: split it", maxCase>>20)

// object reads an object whose bracket has been read: cases, or a case.
func (d *reader) object() error {
	m := map[string]json.RawMessage{}
	wrapped, size := false, 0
	for d.dec.More() {
		k, err := d.dec.Token()
		if err != nil {
			return err
		}
		key, _ := k.(string)
		if key == "cases" {
			wrapped = true
			t, err := d.dec.Token()
			if err != nil {
				return err
			}
			if t != json.Delim('[') {
				return errors.New(`"cases" must be a list`)
			}
			if err := d.array(); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := d.dec.Decode(&raw); err != nil {
			return err
		}
		switch key {
		case "id", "estimator", "in", "out", "tol", "tol_rel":
			m[key] = raw
			size += len(raw)
		}
	}
	if _, err := d.dec.Token(); err != nil || wrapped {
		return err
	}
	c := newCase(m)
	if size > maxCase {
		c.Err = errLong
	}
	return d.emit(c)
}

func (d *reader) emit(c Case) error {
	if d.n == maxCases {
		return errors.New("these are all that are read at once: split the file")
	}
	d.n++
	if c.ID == "" {
		c.ID = "case " + strconv.Itoa(d.n)
	}
	if !d.yield(c) {
		return errStop
	}
	return nil
}

func newCase(m map[string]json.RawMessage) Case {
	c := Case{In: m["in"], Out: m["out"]}
	for _, x := range []struct {
		name string
		to   any
		want string
	}{{"id", &c.ID, "text"}, {"estimator", &c.Estimator, "text"}, {"tol", &c.Tol, "a number"}, {"tol_rel", &c.TolRel, "a number"}} {
		if raw, ok := m[x.name]; ok && json.Unmarshal(raw, x.to) != nil && c.Err == nil {
			c.Err = fmt.Errorf("%s is %.60q: want %s", x.name, raw, x.want)
		}
	}
	if _, ok := m["estimator"]; !ok && c.Err == nil {
		c.Err = fmt.Errorf(`"estimator" is missing: use one of %v`, Estimators())
	}
	return c
}

// quoteNaN puts NaN, Infinity and -Infinity outside of text between quotes: a
// file with one of them loses one case and not all.
func quoteNaN(b []byte) []byte {
	if !bytes.Contains(b, []byte("NaN")) && !bytes.Contains(b, []byte("Infinity")) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	quoted := false
	for i := 0; i < len(b); i++ {
		if !quoted {
			if w := noNumber(b[i:]); w != "" {
				out = append(append(append(out, '"'), w...), '"')
				i += len(w) - 1
				continue
			}
		}
		out = append(out, b[i])
		switch {
		case b[i] == '"':
			quoted = !quoted
		case b[i] == '\\' && quoted && i+1 < len(b):
			i++
			out = append(out, b[i])
		}
	}
	return out
}

func noNumber(b []byte) string {
	for _, w := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(w)) {
			return w
		}
	}
	return ""
}

// Check names where the answer differs from what the case expects, by more than
// its tolerance (1e-9 of the value where it names none). What an answer has
// beyond that is not looked at.
func (c Case) Check(a Answer) []string {
	if len(c.Out) == 0 || c.Err != nil {
		return nil
	}
	if a.Error != "" {
		return []string{"there is no answer: " + a.Error}
	}
	var want, got any
	b, err := json.Marshal(a.Out)
	if err == nil {
		err = errors.Join(json.Unmarshal(b, &got), json.Unmarshal(c.Out, &want))
	}
	if err != nil {
		return []string{err.Error()}
	}
	tol, rel := c.Tol, c.TolRel
	if tol == 0 && rel == 0 {
		rel = 1e-9
	}
	return differ(nil, "out", want, got, tol, rel)
}

func differ(list []string, at string, want, got any, tol, rel float64) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			x, ok := g[k]
			if !ok {
				list = append(list, at+"."+k+" is missing")
				continue
			}
			list = differ(list, at+"."+k, w[k], x, tol, rel)
		}
		return list
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			list = differ(list, at+"."+strconv.Itoa(i), w[i], g[i], tol, rel)
		}
		return list
	case float64:
		if g, ok := got.(float64); ok && math.Abs(g-w) <= tol+rel*math.Abs(w) {
			return list
		}
	default:
		if want == got {
			return list
		}
	}
	return append(list, fmt.Sprintf("%s is %.60s, want %.60s", at, text(got), text(want)))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
