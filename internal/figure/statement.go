package figure

import (
	"context"
	"fmt"
	"math"
	"strings"

	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Statement says a period in plain words, as somebody would have to read it
// out: each sentence with the number as bulletins print it and the one that
// can be stood for. Its fields are written out: they are never removed.
type Statement struct {
	Period     query.Period `json:"period"`
	Prior      query.Period `json:"prior"` // the same days of last year
	Home       string       `json:"home"`
	HomeName   string       `json:"home_name"`
	Simulated  bool         `json:"simulated"`
	Enrichment uint32       `json:"enrichment"` // version of the reference data
	Sentences  []Sentence   `json:"sentences"`
	Records    []Record     `json:"records"`
	Loss       *LossSummary `json:"loss"` // null without inputs
}

// Sentence is one matter of a statement.
type Sentence struct {
	ID      string   `json:"id"`
	Heading string   `json:"heading"`
	Text    string   `json:"text"`    // what is read out
	Printed string   `json:"printed"` // the number as bulletins print it; "" where there is none
	Honest  string   `json:"honest"`  // the number that can be stood for, or that there is none
	Why     string   `json:"why"`     // why the two differ
	Records []string `json:"records"` // that it rests on
	Truth   []Truth  `json:"truth,omitzero"`

	truths []string // ids of what is known of it in a simulated country
}

// Truth is what is so in a simulated country, by the simulator's own state.
type Truth struct {
	ID     string  `json:"id"`
	Text   string  `json:"text"`
	Number string  `json:"number"` // the value in words
	Value  Decimal `json:"value"`
}

// LossSummary is what the loss page says, for the statement.
type LossSummary struct {
	Currency string     `json:"currency"`
	Kinds    []LossLine `json:"kinds"`
	Assumed  int        `json:"assumptions"` // inputs without a source
	Why      string     `json:"why"`         // why there is no single number, or no number at all
}

// LossLine is one kind of loss, in the currency.
type LossLine struct {
	Kind   string  `json:"kind"`
	Median Decimal `json:"median"`
	Range  Range   `json:"range"` // 90 %
}

// Extra is what a statement takes beside the records.
type Extra struct {
	HomeName  string
	Simulated bool
	Loss      *LossSummary
}

// MakeStatement evaluates every record and says what they add up to.
func MakeStatement(ctx context.Context, src Source, scope policy.Scope, p Params, x Extra) (Statement, error) {
	records, err := Records(ctx, src, scope, p)
	if err != nil {
		return Statement{}, err
	}
	s := Statement{
		Period: p.Period, Prior: LastYear(p.Period), Home: p.Home, HomeName: x.HomeName, Simulated: x.Simulated, Enrichment: p.Enrichment,
		Records: records, Loss: x.Loss,
	}
	for _, f := range []func(*Statement) Sentence{sayHosts, sayAbroad, sayControllers, saySites, sayChange, sayAttempts, sayCleaned, sayLoss} {
		s.Sentences = append(s.Sentences, f(&s))
	}
	return s, nil
}

// Reveal puts what is so in a simulated country beside the sentences.
func (s *Statement) Reveal(truth []Truth) {
	for i := range s.Sentences {
		x := &s.Sentences[i]
		x.Truth = nil
		for _, id := range x.truths {
			for _, t := range truth {
				if t.ID == id {
					t.Number = Words(t.Value)
					if strings.HasPrefix(id, "change-") {
						t.Number = change(t.Value)
					}
					x.Truth = append(x.Truth, t)
				}
			}
		}
	}
}

// Marshal writes the statement as one line of JSON and a newline.
func (s Statement) Marshal() ([]byte, error) { return marshal(s) }

// Record returns the record of that id.
func (s *Statement) Record(id string) *Record {
	for i := range s.Records {
		if s.Records[i].ID == id {
			return &s.Records[i]
		}
	}
	return &Record{ID: id, Refusal: &Refusal{Test: "unknown", Why: "There is no such record."}}
}

// groups stands between groups of three digits: a narrow space that keeps them
// together, as on all pages.
const groups = "\u202f"

// Words writes a number as text has it: grouped, and without decimals from 10
// on.
func Words(r Decimal) string {
	f := float64(r)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "no number"
	}
	neg := f < 0
	f = math.Abs(f)
	digits := 0
	if f < 10 && f != math.Trunc(f) {
		digits = 1
	}
	t := fmt.Sprintf("%.*f", digits, f)
	whole, frac, _ := strings.Cut(t, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + groups + whole[i:]
	}
	if frac != "" {
		whole += "." + frac
	}
	if neg && strings.Trim(whole, "0."+groups) != "" {
		whole = "-" + whole
	}
	return whole
}

// WordsRange writes a range as text has it.
func WordsRange(r *Range) string {
	if r == nil {
		return ""
	}
	return Words(r[0]) + " to " + Words(r[1])
}

// change writes a ratio as a change: "12 % more".
func change(ratio Decimal) string {
	p := 100 * (float64(ratio) - 1)
	digits := 0
	if math.Abs(p) < 9.95 {
		digits = 1
	}
	switch {
	case math.Abs(p) < .05:
		return "as many"
	case p > 0:
		return fmt.Sprintf("%.*f %% more", digits, p)
	default:
		return fmt.Sprintf("%.*f %% fewer", digits, -p)
	}
}

func (r *Record) number() string {
	if !r.Publishable() {
		return "no number"
	}
	return Words(*r.Value)
}

// no says why a record has no number.
func (r *Record) no() string {
	switch {
	case r.Refusal != nil:
		return r.Refusal.Why
	case len(r.NotMet) > 0:
		return "It is not publishable: " + join(r.NotMet) + " missing."
	}
	return ""
}

func sayHosts(st *Statement) Sentence {
	a, h, e := st.Record("infected-addresses-home"), st.Record("infected-hosts"), st.Record("infections-begun")
	s := Sentence{
		ID: "hosts", Heading: "Hosts hijacked", Records: []string{a.ID, h.ID, "infections", e.ID}, truths: []string{"hosts-infected", "addresses-infected", "hosts-infected-ever", "infections-begun-static"},
		Why: "The printed number counts every address once in the period. A host whose address changes is counted at each of them, several hosts behind one address are counted once, and the number grows with the length of the period. Addresses are not computers.",
	}
	if !a.Publishable() {
		s.Text, s.Honest = "How many hosts are hijacked is not known. "+a.no(), "no number"
		return s
	}
	s.Printed = Words(*a.Cumulative) + " computers infected"
	s.Honest = a.number() + " addresses a day"
	s.Text = fmt.Sprintf("On a day of the period, on average, %s addresses in %s had an infected host behind them.", a.number(), st.HomeName)
	if h.Publishable() {
		s.Text += fmt.Sprintf(" In networks with %s %% of these addresses the hosts can be estimated: about %s were infected at a time", Words(*h.Part), h.number())
		if h.Uncertainty.Range != nil {
			s.Text += fmt.Sprintf(", %s by the tables that could be true", WordsRange(h.Uncertainty.Range))
			s.Honest += fmt.Sprintf("; %s hosts at a time (%s) behind %s %% of them", h.number(), WordsRange(h.Uncertainty.Range), Words(*h.Part))
		}
		s.Text += "."
	} else {
		s.Text += " No number of hosts can be given. " + h.no()
	}
	if e.Publishable() {
		s.Text += fmt.Sprintf(" At addresses that do not change, %s %% of them, %s infections began in the period.", Words(*e.Part), e.number())
	}
	return s
}

func sayAbroad(st *Statement) Sentence {
	r := st.Record("hosts-controlled-abroad")
	s := Sentence{
		ID: "abroad", Heading: "Controlled from overseas", Records: []string{r.ID}, truths: []string{"hosts-controlled-abroad", "addresses-controlled-abroad", "addresses-controlled-abroad-ever", "hosts-controlled-abroad-sensors", "addresses-controlled-abroad-sensors"},
		Why: "The printed number is cumulative and adds the countries up, though one host can have controllers in several. The country is that of the controller's address and not of whoever stands behind it; a sinkhole is no controller.",
	}
	if !r.Publishable() {
		s.Text, s.Honest = "How many of them are controlled from overseas: "+r.no(), "not measurable with these feeds"
		return s
	}
	s.Honest = r.number() + " addresses a day, where both ends are seen"
	s.Text = fmt.Sprintf("Of the infected addresses whose controller was seen, %s a day were controlled from abroad.", r.number())
	for _, l := range r.Breakdown {
		if l.By != "controller country" {
			continue
		}
		s.Printed = Words(l.Sum) + " computers controlled from abroad"
		var top []string
		for i, row := range l.Rows {
			if i < 3 {
				top = append(top, fmt.Sprintf("%s %s (%s from there alone)", row.Key, Words(row.Value), Words(*row.Exclusive)))
			}
		}
		if len(top) > 0 {
			s.Text += fmt.Sprintf(" Over the whole period it was %s distinct addresses; most from %s.", Words(*r.Cumulative), join(top))
		}
	}
	if n := len(r.Caveats); n > 0 {
		s.Text += " " + r.Caveats[n-1]
	}
	return s
}

func sayControllers(st *Statement) Sentence {
	h, a := st.Record("controllers-home"), st.Record("controllers-abroad")
	s := Sentence{
		ID: "controllers", Heading: "Controllers", Records: []string{h.ID, a.ID}, truths: []string{"controllers-home", "controllers-abroad"},
		Why: "The printed number counts every address that was a controller on any day of the period.",
	}
	if !h.Publishable() && !a.Publishable() {
		s.Text, s.Honest = "Controllers are not known. "+h.no(), "no number"
		return s
	}
	s.Text = fmt.Sprintf("On a day of the period, %s command and control servers were known at home and %s abroad.", h.number(), a.number())
	s.Honest = h.number() + " at home, " + a.number() + " abroad, a day"
	if h.Cumulative != nil && a.Cumulative != nil {
		s.Printed = Words(*h.Cumulative+*a.Cumulative) + " control servers"
	}
	return s
}

func saySites(st *Statement) Sentence {
	r, all := st.Record("hacked-sites-home"), st.Record("hacked-sites-all")
	s := Sentence{
		ID: "sites", Heading: "Sites hacked", Records: []string{r.ID, all.ID}, truths: []string{"sites-hacked", "sites-hacked-government"},
		Why: "The printed number counts reports: one site with a hundred pages, or seen by five feeds, counts a hundred or five times. Here a registrable domain counts once in the period.",
	}
	if !r.Publishable() {
		s.Text, s.Honest = "How many sites were hacked is not known. "+r.no(), "no number"
		return s
	}
	s.Printed = Words(Decimal(r.Input.Rows)) + " hacked pages"
	s.Honest = r.number() + " sites"
	s.Text = fmt.Sprintf("%s sites at home were reported hacked in the period", r.number())
	for _, l := range r.Breakdown {
		for _, row := range l.Rows {
			if l.By == "group" && row.Share != nil {
				s.Text += fmt.Sprintf("; %s of them, %.1f %%, are the government's", Words(row.Value), float64(*row.Share))
				s.Honest += ", " + Words(row.Value) + " of the government"
			}
		}
	}
	s.Text += "."
	if all.Publishable() {
		s.Text += fmt.Sprintf(" With those that nobody reported, it was about %s in the last 7 days (%s).", all.number(), WordsRange(all.Uncertainty.Range))
	} else {
		s.Text += " How many more nobody reported cannot be said: " + all.no()
	}
	return s
}

func sayChange(st *Statement) Sentence {
	s := Sentence{
		ID: "change", Heading: "Against the same days of last year", truths: []string{"change-hosts-infected", "change-addresses-infected", "change-sites-hacked"},
		Why: "The printed change compares whatever was counted then and now. A feed that joined or left, an outage, or a sinkhole that moved changes it without any host being infected or cleaned. Here only days count on which the same witnesses looked in both years.",
	}
	var text, printed, honest []string
	for _, x := range []struct{ id, what string }{{"infected-addresses-home", "Infected addresses"}, {"hacked-sites-home", "Hacked sites"}} {
		r := st.Record(x.id)
		s.Records = append(s.Records, x.id)
		c := r.Comparability
		if c == nil || !r.Publishable() {
			text = append(text, x.what+": no comparison. "+r.no())
			continue
		}
		if c.Raw != nil {
			printed = append(printed, x.what+": "+change(*c.Raw))
		}
		switch {
		case !c.OK:
			text = append(text, fmt.Sprintf("%s: no percentage is given. %s", x.what, c.Why))
			honest = append(honest, x.what+": no percentage")
		case !c.ClearChange:
			text = append(text, fmt.Sprintf("%s: no clear change (between %s and %s, like for like).", x.what, change(c.Interval[0]), change(c.Interval[1])))
			honest = append(honest, x.what+": no clear change")
		default:
			text = append(text, fmt.Sprintf("%s: %s than in the same days of last year, between %s and %s, like for like.", x.what, change(*c.Ratio), change(c.Interval[0]), change(c.Interval[1])))
			honest = append(honest, x.what+": "+change(*c.Ratio))
		}
	}
	s.Text, s.Printed, s.Honest = strings.Join(text, " "), strings.Join(printed, "; "), strings.Join(honest, "; ")
	return s
}

func sayAttempts(st *Statement) Sentence {
	r := st.Record("attack-attempts-seen")
	s := Sentence{
		ID: "attempts", Heading: "Attack attempts", Records: []string{r.ID},
		Why: "It is the same number under another name. Attempts are what sensors record: they follow the number of sensors, are no successes, and are never added to infections.",
	}
	if !r.Publishable() {
		s.Text, s.Honest = "Attack attempts are not known. "+r.no(), "no number"
		return s
	}
	s.Printed, s.Honest = r.number()+" cyber attacks", r.number()+" attempts recorded"
	s.Text = fmt.Sprintf("Sensors recorded %s attempts. That says how much they record, and not how often anybody was harmed.", r.number())
	return s
}

func sayCleaned(st *Statement) Sentence {
	e, t := st.Record("infections-ended"), st.Record("time-to-clean")
	s := Sentence{
		ID: "cleaned", Heading: "Cleaned", Records: []string{e.ID, t.ID}, truths: []string{"infections-cleaned-static", "infections-cleaned", "time-to-clean-median-days"},
		Why: "Bulletins take what is no longer reported for cleaned. Here an infection has ended only if a witness that had seen it looked on and saw nothing, and even then its address may only have changed.",
	}
	if e.Publishable() {
		s.Honest = e.number() + " ended, at addresses that do not change"
		s.Text = fmt.Sprintf("At addresses that do not change, %s infections ended in the period.", e.number())
	} else {
		s.Honest, s.Text = "no number", "How many infections ended is not known. "+e.no()
	}
	if t.Publishable() {
		s.Text += fmt.Sprintf(" Half of the hacked sites were clean after %s days", t.number())
		if r := t.Uncertainty.Range; r != nil && r[0] != r[1] {
			s.Text += " (" + WordsRange(r) + ")"
		}
		s.Text += "."
	} else {
		s.Text += " How long it takes until half are clean cannot be said: " + t.no()
	}
	return s
}

func sayLoss(st *Statement) Sentence {
	s := Sentence{
		ID: "loss", Heading: "Loss", Records: []string{}, Honest: "no single number",
		Why: "A single loss multiplies infections by a cost that nobody has measured, and adds what criminals take to what defence costs. Here each kind has a range of its own, with the inputs that drive it and where they come from.",
	}
	l := st.Loss
	if l == nil || len(l.Kinds) == 0 {
		s.Text = "What it cost is not said: there are no inputs to compute it from."
		if l != nil && l.Why != "" {
			s.Text += " " + l.Why
		}
		return s
	}
	var parts, honest []string
	for _, k := range l.Kinds {
		parts = append(parts, fmt.Sprintf("%s losses between %s and %s %s (median %s)", k.Kind, Words(k.Range[0]), Words(k.Range[1]), l.Currency, Words(k.Median)))
		honest = append(honest, fmt.Sprintf("%s %s to %s %s", k.Kind, Words(k.Range[0]), Words(k.Range[1]), l.Currency))
	}
	s.Text = "By the model whose inputs stand on the loss page: " + join(parts) + "; they are not to be added."
	if l.Assumed > 0 {
		s.Text += fmt.Sprintf(" %d of the inputs are assumptions.", l.Assumed)
	}
	s.Honest = strings.Join(honest, "; ")
	return s
}
