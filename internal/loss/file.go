package loss

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tocsin/internal/estimate"
)

// Problem is one thing that is wrong with a file of inputs, and what to write
// instead. Line and column begin at 1; both are 0 where the file as a whole is
// meant.
type Problem struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

// Error gives the problem with its place.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Text
	}
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text)
}

// Problems are all that is wrong with a file, in its order, 20 at most.
type Problems []Problem

const maxProblems = 20

// Error gives one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a file of inputs. What is wrong with it comes as [Problems].
func Parse(b []byte) (Inputs, error) {
	switch {
	case len(b) > MaxBytes:
		return Inputs{}, Problems{{Text: fmt.Sprintf("the file has %d bytes; at most %d", len(b), MaxBytes)}}
	case !utf8.Valid(b):
		return Inputs{}, Problems{{Text: "the file is not UTF-8"}}
	}
	root, err := tree(b)
	if err != nil {
		return Inputs{}, Problems{*err}
	}
	sum := sha256.Sum256(b)
	r := reader{}
	in := r.inputs(root)
	in.SHA256 = hex.EncodeToString(sum[:])
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
		return Inputs{}, r.problems
	}
	return in, nil
}

// maxDepth bounds how deep brackets may stand in each other, and how many
// dashes may open a line, before the parser, which calls itself, sees them.
// Depth by indentation is bounded by the size of the file.
const maxDepth = 64

// tree parses the one document of a file. Nothing is built from it: the reader
// walks the nodes, so that an alias is a node that it does not know.
func tree(b []byte) (root ast.Node, problem *Problem) {
	if p := deep(b); p != nil {
		return nil, p
	}
	defer func() {
		if v := recover(); v != nil { // a library must not end the program over a file
			root, problem = nil, &Problem{Text: "this is no YAML that can be read"}
		}
	}()
	f, err := parser.ParseBytes(b, 0)
	if err != nil {
		p := &Problem{Text: err.Error()}
		if e, ok := errors.AsType[yaml.Error](err); ok {
			p.Text = e.GetMessage()
			if tk := e.GetToken(); tk != nil && tk.Position != nil {
				p.Line, p.Column = tk.Position.Line, tk.Position.Column
			}
		}
		return nil, p
	}
	var docs []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	if len(docs) != 1 {
		return nil, &Problem{Text: fmt.Sprintf("the file has %d documents; it wants one, as `tocsin loss example` prints it", len(docs))}
	}
	return docs[0], nil
}

// deep refuses nesting that no file of inputs has.
func deep(b []byte) *Problem {
	line, col, open, marks, begins := 1, 0, 0, 0, true
	for _, c := range b {
		col++
		switch c {
		case '\n':
			line, col, marks, begins = line+1, 0, 0, true
			continue
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '-', '?', ':':
			if begins {
				marks++
			}
		case ' ', '\t':
		default:
			begins = false
		}
		if open > maxDepth || marks > maxDepth {
			return &Problem{line, col, "the file is nested too deeply: inputs stand at most five deep"}
		}
	}
	return nil
}

// reader walks the nodes and collects what is wrong.
type reader struct{ problems Problems }

func (r *reader) bad(n ast.Node, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		return
	}
	p := Problem{Text: fmt.Sprintf(format, args...)}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			p.Line, p.Column = tk.Position.Line, tk.Position.Column
		}
	}
	r.problems = append(r.problems, p)
}

// fields gives the values of a mapping by key, nil where the node is none. Keys
// that are not known are wrong, and so is a key that stands there twice.
func (r *reader) fields(n ast.Node, what string, known ...string) map[string]ast.Node {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		r.bad(n, "%s: want %s", what, strings.Join(known, ", "))
		return nil
	}
	m := map[string]ast.Node{}
	for _, p := range pairs {
		k, ok := scalar(p.Key)
		switch {
		case !ok || !slices.Contains(known, k):
			r.bad(p.Key, "%s does not know the key %q; it knows %s", what, short(k), strings.Join(known, ", "))
		case m[k] != nil:
			r.bad(p.Key, "%s has %s twice", what, k)
		default:
			m[k] = p.Value
		}
	}
	return m
}

// scalar gives the text of a node that is neither a list nor a mapping.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "..."
	}
	return s
}

// text reads a line of text; "" where it is wrong.
func (r *reader) text(n ast.Node, what string, most int) string {
	s, ok := scalar(n)
	s = strings.TrimSpace(s)
	if !ok || s == "" || len(s) > most || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		r.bad(n, "%s: want a line of at most %d bytes", what, most)
		return ""
	}
	return s
}

var numberForm = regexp.MustCompile(`^[0-9][0-9.]*([eE][+-]?[0-9]{1,3})?$`)

// number reads a number of lo to hi; that it is left out is wrong too.
func (r *reader) number(parent ast.Node, m map[string]ast.Node, key string, lo, hi float64) float64 {
	n := m[key]
	if n == nil {
		r.bad(parent, "%s is missing", key)
		return 0
	}
	s, _ := scalar(n)
	x, err := strconv.ParseFloat(s, 64)
	if !numberForm.MatchString(s) || err != nil || x < lo || x > hi {
		r.bad(n, "%s: want a number of %s to %s", key, plain(lo), plain(hi))
		return 0
	}
	return x
}

// plain writes a number as people do.
func plain(x float64) string { return strconv.FormatFloat(x, 'g', 12, 64) }

// Bounds of numbers in a file.
const (
	least     = 1e-9
	mostCases = 1e9
	mostCost  = 1e15
	mostRatio = 1e6 // of the upper to the lower end of a range
	mostShock = 2
)

func (r *reader) inputs(root ast.Node) (in Inputs) {
	m := r.fields(root, "the file", "currency", "shock_sigma", "draws", "seed", "categories")
	if m == nil {
		return in
	}
	if n := m["currency"]; n == nil {
		r.bad(root, "currency is missing: three letters, such as EUR")
	} else if s, _ := scalar(n); !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(s) {
		r.bad(n, "currency: want three capital letters, such as EUR")
	} else {
		in.Currency = s
	}
	if n := m["shock_sigma"]; n == nil {
		r.bad(root, "shock_sigma is missing: a number such as 0.3, or none")
	} else if s, _ := scalar(n); s != "none" {
		in.ShockSigma = r.number(root, m, "shock_sigma", .001, mostShock)
	}
	in.Draws = 10_000
	if m["draws"] != nil {
		in.Draws = int(r.number(root, m, "draws", 1000, maxDraws))
	}
	in.Seed = 1
	if n := m["seed"]; n != nil {
		s, _ := scalar(n)
		x, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			r.bad(n, "seed: want a whole number")
		}
		in.Seed = x
	}
	list, ok := m["categories"].(*ast.SequenceNode)
	switch {
	case !ok:
		r.bad(root, "categories is missing, or no list: each with name, kind, cases and cost")
		return in
	case len(list.Values) == 0 || len(list.Values) > MaxCategories:
		r.bad(list, "%d categories: want 1 to %d", len(list.Values), MaxCategories)
		return in
	case len(list.Values)*in.Draws > maxWork:
		r.bad(list, "%d draws of %d categories are too many: want draws of at most %d", in.Draws, len(list.Values), maxWork/len(list.Values))
	}
	names := map[string]bool{}
	for _, n := range list.Values {
		c := r.category(n)
		if c.Name != "" && names[c.Name] {
			r.bad(n, "the name %q stands there twice", short(c.Name))
		}
		names[c.Name] = true
		in.Categories = append(in.Categories, c)
	}
	return in
}

var kinds = []estimate.LossKind{estimate.LossDirect, estimate.LossIndirect, estimate.LossDefence}

func (r *reader) category(n ast.Node) (c Category) {
	m := r.fields(n, "a category", "name", "kind", "cases", "cost")
	if m == nil {
		return c
	}
	for _, k := range []string{"name", "kind", "cases", "cost"} {
		if m[k] == nil {
			r.bad(n, "a category lacks its %s", k)
		}
	}
	if x := m["name"]; x != nil {
		c.Name = r.text(x, "name", maxName)
	}
	if x := m["kind"]; x != nil {
		s, _ := scalar(x)
		if c.Kind = estimate.LossKind(s); !slices.Contains(kinds, c.Kind) {
			r.bad(x, "kind: want direct, indirect or defence")
		}
	}
	if x := m["cases"]; x != nil {
		c.From, c.Cases = r.cases(x)
	}
	if x := m["cost"]; x != nil {
		c.Cost = r.cost(x)
	}
	return c
}

// origin reads where an input comes from.
func (r *reader) origin(n ast.Node, m map[string]ast.Node) (o Origin) {
	if x := m["source"]; x != nil {
		o.Source = r.text(x, "source", maxText)
	}
	if x := m["date"]; x != nil {
		if o.Date, _ = scalar(x); !regexp.MustCompile(`^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$`).MatchString(o.Date) {
			r.bad(x, "date: want YYYY, YYYY-MM or YYYY-MM-DD")
		}
	}
	if (m["source"] == nil) != (m["date"] == nil) {
		r.bad(n, "source and date go together; an input without both is an assumption")
	}
	if x := m["scaled"]; x != nil {
		b, ok := x.(*ast.BoolNode)
		if !ok {
			r.bad(x, "scaled: want true or false")
			return o
		}
		o.Scaled = b.Value
	}
	return o
}

// spread reads lo and hi.
func (r *reader) spread(n ast.Node, m map[string]ast.Node, most float64) (lo, hi float64) {
	lo, hi = r.number(n, m, "lo", least, most), r.number(n, m, "hi", least, most)
	switch {
	case lo == 0 || hi == 0: // told already
	case hi < lo:
		r.bad(m["hi"], "hi is %s, below lo = %s", plain(hi), plain(lo))
	case hi/lo > mostRatio:
		r.bad(m["hi"], "hi is more than a million times lo: such a range says nothing")
	}
	return lo, hi
}

// cases reads what counts: a range, or a share of a figure.
func (r *reader) cases(n ast.Node) (from string, x Range) {
	m := r.fields(n, "cases", "lo", "hi", "per", "from", "share", "source", "date", "scaled")
	if m == nil {
		return from, x
	}
	if m["from"] == nil {
		if s := m["share"]; s != nil {
			r.bad(s, "share goes with from")
		}
		x.Lo, x.Hi = r.spread(n, m, mostCases)
		x.Origin = r.origin(n, m)
		switch s, _ := scalar(m["per"]); s {
		case "year":
			x.PerYear = true
		case "period":
		default:
			r.bad(or(m["per"], n), "per: want year, or period for a number that holds whatever the period")
		}
		return from, x
	}
	for _, k := range []string{"lo", "hi", "per", "source", "date", "scaled"} {
		if m[k] != nil {
			r.bad(m[k], "%s belongs into share where cases come from a figure", k)
		}
	}
	from, _ = scalar(m["from"])
	i := slices.IndexFunc(Figures, func(f Figure) bool { return f.ID == from })
	if i < 0 {
		ids := make([]string, len(Figures))
		for i, f := range Figures {
			ids[i] = f.ID
		}
		r.bad(m["from"], "from: want one of %s", strings.Join(ids, ", "))
		return "", x
	}
	if m["share"] == nil {
		r.bad(n, "share is missing: what part of %s are cases that cost something, {lo, hi, source, date}", from)
		return from, x
	}
	return from, r.share(m["share"], Figures[i])
}

func (r *reader) share(n ast.Node, f Figure) (x Range) {
	m := r.fields(n, "share", "lo", "hi", "per", "source", "date", "scaled")
	if m == nil {
		return x
	}
	most := 1.0
	if f.Stock {
		most = 1000
	}
	x.Lo, x.Hi = r.spread(n, m, most)
	x.Origin = r.origin(n, m)
	per, _ := scalar(m["per"])
	switch x.PerYear = per == "year"; {
	case f.Stock && !x.PerYear:
		r.bad(or(m["per"], n), "%s is a number at a time, so that its share needs `per: year`: costly cases a year for each", f.ID)
	case !f.Stock && m["per"] != nil:
		r.bad(m["per"], "%s is a number of the period already: leave per out", f.ID)
	}
	return x
}

func or(a, b ast.Node) ast.Node {
	if a != nil {
		return a
	}
	return b
}

// cost reads the cost of a case.
func (r *reader) cost(n ast.Node) (c Cost) {
	m := r.fields(n, "cost", "lo", "hi", "least", "mode", "most", "zero", "source", "date", "scaled")
	if m == nil {
		return c
	}
	c.Origin = r.origin(n, m)
	if m["zero"] != nil {
		c.Zero = r.number(n, m, "zero", 0, .999)
	}
	two, three := m["lo"] != nil || m["hi"] != nil, m["least"] != nil || m["mode"] != nil || m["most"] != nil
	switch {
	case two && three:
		r.bad(n, "cost: give lo and hi, or least, mode and most, not both")
	case three:
		c.Least, c.Mode, c.Most = r.number(n, m, "least", 0, mostCost), r.number(n, m, "mode", 0, mostCost), r.number(n, m, "most", least, mostCost)
		if _, err := estimate.PERT(c.Least, c.Mode, c.Most, 4); err != nil {
			r.bad(n, "cost: least, mode and most must rise, and least be below most")
		}
	default:
		c.Lo, c.Hi = r.spread(n, m, mostCost)
	}
	return c
}
