package figure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"tocsin/internal/estimate"
	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// RecordDefinition is one row of the table of published records. As with
// [Definition], a change of meaning is a new Version.
type RecordDefinition struct {
	ID, Title, Unit string
	Text            string // the definition in plain words
	Caveats         []string
	Version         int
	Estimate        bool // a model's number, beside what was observed

	compute func(*asker, context.Context, policy.Scope, *Record) error
}

const onlySeen = "Only what the witnesses see is counted; who they are, and on how many days they looked, stands beside it."

// RecordDefinitions is the table of the records, in the order of the statement.
var RecordDefinitions = []RecordDefinition{
	{
		ID: "infected-addresses-home", Title: "Addresses at home with an infected host", Unit: "addresses", Version: 1,
		Text:    "The mean over the period's days of the distinct IPv4 addresses and IPv6 /64 networks at home from which an infected host was seen that day.",
		Caveats: []string{"An address is not a host: several can share one, and one host that changes its address is counted at each.", onlySeen},
		compute: counted("infected-addresses", true),
	},
	{
		ID: "infected-hosts", Title: "Infected hosts at a time", Unit: "estimated hosts", Version: 2, Estimate: true,
		Text: "The mean number of infected hosts at a time, in the networks of which it is known how they hand out addresses: one for each address where assignments are static, CARDCount (Boeck et al., NDSS 2023) over the last 28 days where they change. " +
			"No number is given for networks that share addresses, use too much of their pool, are seen too rarely, have fewer or more addresses a day than such hosts would, or are not known.",
		Caveats: []string{"It is no number of hosts that ever were infected.", "Networks without a number are listed with the reason and are not in the sum."},
		compute: (*asker).hosts,
	},
	{
		ID: "infections", Title: "Infections at a time", Unit: "episodes", Version: 1,
		Text: "The mean over the period's days of the infection episodes at home that the day lies in: an address in a condition from the first day that any witness saw it to the last, with gaps of no more than 2 to 14 days (docs/episodes.md).",
		Caveats: []string{
			"On dynamic addresses an episode lasts no longer than the lease, and a host has one for each address and family.", onlySeen,
		},
		compute: (*asker).prevalence,
	},
	{
		ID: "infections-begun", Title: "New infections at lasting addresses", Unit: "episodes", Version: 1,
		Text: "Infection episodes that began in the period, first seen by a witness that had been looking for longer than its gap, in the networks at home whose addresses do not change. " +
			"Elsewhere a host begins a new episode with each new address.",
		Caveats: []string{
			"Episodes first seen by witnesses who had only begun to look, or looked again after an outage, are not counted: they may be old.",
			"A host with two families has two infections.",
		},
		compute: (*asker).incidence,
	},
	{
		ID: "infections-ended", Title: "Infections at lasting addresses that ended", Unit: "episodes", Version: 1,
		Text: "Infection episodes whose last day lies in the period, and after which a witness that had seen them looked on for longer than its gap and saw nothing, in the networks at home whose addresses do not change. " +
			"Elsewhere an episode ends with the lease.",
		Caveats: []string{
			"A host that is switched off, or whose malware falls silent, has ended too.", "Episodes whose witnesses stopped looking are censored, not ended.",
		},
		compute: (*asker).ended,
	},
	{
		ID: "time-to-clean", Title: "Time until half were clean", Unit: "days", Version: 1, Estimate: true,
		Text:    "The median duration of episodes of hacked sites and exposed services at home that began in the period or were open in it, by Turnbull's estimate: the end lies between the last sighting and the first clean look, open ones are right-censored.",
		Caveats: []string{"Assets at changing addresses are left out: there it would measure the lease."},
		compute: (*asker).clean,
	},
	{
		ID: "hosts-controlled-abroad", Title: "Infected addresses controlled from abroad", Unit: "addresses", Version: 1,
		Text: "The mean over the period's days of the infected addresses at home that were seen, by a feed that sees both ends, to exchange traffic with a controller that is located and registered abroad. A sinkhole is no controller.",
		Caveats: []string{
			"The country is that of the controller's address. It is not that of whoever commands it.",
			"Only networks that such feeds see are counted: the number is a floor for the country.",
			"An address may be controlled from several countries: the countries' totals sum to more than the whole.",
		},
		compute: (*asker).controlled,
	},
	{
		ID: "controllers-home", Title: "Controllers at home", Unit: "addresses", Version: 1,
		Text:    "The mean over the period's days of the distinct addresses at home that were reported as command and control servers that day. Sinkholes are not counted.",
		Caveats: []string{"A proxy that hides a controller is counted where the proxy is.", onlySeen},
		compute: counted("c2-home", false),
	},
	{
		ID: "controllers-abroad", Title: "Controllers abroad", Unit: "addresses", Version: 1,
		Text:    "The mean over the period's days of the distinct addresses abroad that were reported as command and control servers that day. Sinkholes are not counted.",
		Caveats: []string{"Only controllers that a feed reports to this constituency are seen: it says nothing of how many there are in the world."},
		compute: counted("c2-abroad", false, query.DimCountry),
	},
	{
		ID: "hacked-sites-home", Title: "Hacked sites at home", Unit: "registrable domains", Version: 1,
		Text:    "The distinct registrable domains at home (addresses, where there is no name) that were reported in the period as defaced, backdoored, or serving phishing or malware.",
		Caveats: []string{"Phishing and malware are also put on domains registered for it: those are not told apart from hacked ones.", "One server with many sites is many sites.", onlySeen},
		compute: counted("hacked-sites", true),
	},
	{
		ID: "hacked-sites-all", Title: "Hacked sites, with those that nobody reported", Unit: "registrable domains", Version: 1, Estimate: true,
		Text:    "The hacked sites at home of the period's last 7 days, with those that no witness saw, from how many of them two independent witnesses both reported (Chapman 1951), after the tests that refuse it.",
		Caveats: []string{"It is for the last 7 days and cannot be compared with the period's number."},
		compute: (*asker).unseenSites,
	},
	{
		ID: "exposed-services-home", Title: "Exposed and vulnerable services at home", Unit: "services", Version: 1,
		Text:    "The mean over the period's days of the distinct services (address, port, transport) at home that were reported as vulnerable or open to abuse that day.",
		Caveats: []string{"A feed that scans once a week makes the daily number jump: compare whole weeks.", onlySeen},
		compute: counted("exposed-services", true),
	},
	{
		ID: "attack-attempts-seen", Title: "Attack attempts recorded", Unit: "attempts", Version: 1,
		Text:    "Events of the period in which a sensor recorded an attempt: brute force, exploit, scan, denial of service.",
		Caveats: []string{"The number follows the number of sensors and how finely they record. An attempt is not a success, and no number of attackers or victims."},
		compute: counted("attack-attempts", false),
	},
	{
		ID: "organisations-affected", Title: "Organisations affected", Unit: "organisations", Version: 1,
		Text:    "The organisations of the constituency with at least one infected address or hacked site in the period.",
		Caveats: []string{"Assets that no organisation is known to answer for are in none.", onlySeen},
		compute: (*asker).organisations,
	},
}

// LookupRecord returns the definition of a record.
func LookupRecord(id string) (*RecordDefinition, bool) {
	i := slices.IndexFunc(RecordDefinitions, func(d RecordDefinition) bool { return d.ID == id })
	if i < 0 {
		return nil, false
	}
	return &RecordDefinitions[i], true
}

// asker asks for the parts of records, and remembers what several of them need.
type asker struct {
	src   Source
	p     Params
	since event.Day
	cov   map[event.Class]query.Coverage
	eps   map[bool]*EpisodeCounts // of infections: at lasting addresses, and of all

	lasting      []query.Cond // the networks at home whose addresses do not change; nil if not asked for yet
	lastingShare float64      // of the infected addresses of a day
}

// Records evaluates every record for a period. The scope must see all: these
// are national numbers.
func Records(ctx context.Context, src Source, scope policy.Scope, p Params) ([]Record, error) {
	list := make([]Record, 0, len(RecordDefinitions))
	a := &asker{src: src, p: p, since: p.Since, cov: map[event.Class]query.Coverage{}}
	for i := range RecordDefinitions {
		r, err := a.record(ctx, scope, &RecordDefinitions[i])
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// EvaluateRecord evaluates one record.
func EvaluateRecord(ctx context.Context, src Source, scope policy.Scope, def *RecordDefinition, p Params) (Record, error) {
	a := &asker{src: src, p: p, since: p.Since, cov: map[event.Class]query.Coverage{}}
	return a.record(ctx, scope, def)
}

func (a *asker) record(ctx context.Context, scope policy.Scope, def *RecordDefinition) (Record, error) {
	r := Record{
		ID: def.ID, Title: def.Title, Unit: def.Unit, Definition: def.Text, Version: def.Version, Estimate: def.Estimate,
		Period: a.p.Period, Geography: a.p.Home, Caveats: slices.Clone(def.Caveats), Sensitivity: []Sensitivity{}, Breakdown: []Lines{},
		Coverage: Coverage{Lost: []string{}, Gained: []string{}, Breaks: []string{}},
		Panel:    Panel{Witnesses: []string{}},
		Input:    Input{Enrichment: a.p.Enrichment, Version: def.Version},
	}
	if err := a.p.Validate(); err != nil {
		return r, err
	}
	if a.p.Home == "" {
		r.refuse("home", "No home country is configured: say `home: NL`, or yours, in tocsin.yaml.")
	} else if err := def.compute(a, ctx, scope, &r); err != nil {
		return r, fmt.Errorf("count %s: %w", def.ID, err)
	}
	r.check()
	return r, nil
}

func (r *Record) refuse(test, why string, args ...any) {
	r.Value, r.Refusal = nil, &Refusal{Test: test, Why: fmt.Sprintf(why, args...)}
}

// home is the condition of what is at home.
func (a *asker) home() []query.Cond { return []query.Cond{{Dim: query.DimCountry, Value: a.p.Home}} }

func (a *asker) coverage(ctx context.Context, scope policy.Scope, class event.Class) (query.Coverage, error) {
	if c, ok := a.cov[class]; ok {
		return c, nil
	}
	c, err := a.src.Covered(ctx, scope, []event.Class{class}, a.p.Period)
	if err == nil {
		a.cov[class] = c
	}
	return c, err
}

func (a *asker) address(path string, class event.Class, extra url.Values) string {
	v := url.Values{"from": {a.p.Period.From.String()}, "to": {a.p.Period.To.String()}, "country": {a.p.Home}}
	if class != event.ClassOther {
		v.Set("class", class.String())
	}
	maps.Copy(v, extra)
	return path + "?" + v.Encode()
}

// counted gives the computation of a record that is a definition of
// [Definitions], at home where it does not say so itself.
func counted(id string, atHome bool, by ...query.Dim) func(*asker, context.Context, policy.Scope, *Record) error {
	return func(a *asker, ctx context.Context, scope policy.Scope, r *Record) error {
		def, ok := Lookup(id)
		if !ok {
			return fmt.Errorf("no figure %q", id)
		}
		var narrow []query.Cond
		extra := url.Values{"country": nil}
		if atHome {
			narrow, extra = a.home(), nil
		}
		where, _ := And(def.Where, def.place(a.p.Home), narrow)
		q := query.Count{Period: a.p.Period, Class: def.Class, Where: where, Enrichment: a.p.Enrichment}
		r.Evidence = a.address("/figures/"+id, event.ClassOther, extra)
		return a.count(ctx, scope, r, def, q, by)
	}
}

func (a *asker) count(ctx context.Context, scope policy.Scope, r *Record, def *Definition, q query.Count, by []query.Dim) error {
	v, err := a.src.Count(ctx, scope, q)
	if err != nil {
		return err
	}
	cov, err := a.coverage(ctx, scope, q.Class)
	if err != nil {
		return err
	}
	look := lookers(cov, q.Class)
	r.Panel = look.panel()
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of what the witnesses reported"}
	r.Input.Rows = v.Events
	days := float64(q.Period.Days())
	measure, n, scale := query.AssetDays, sum(v.Daily), days
	switch def.Headline {
	case Distinct:
		measure, n, scale = query.Assets, v.Distinct, 1
	case Events:
		measure, n, scale = query.EventRows, v.Events, 1
	case MeanDaily:
	}
	if v.Events == 0 && r.Panel.FeedDaysPresent == 0 {
		r.refuse("data", "Nobody looked: no delivery of the period reports this.")
		return nil
	}
	r.Value = value(float64(n) / scale)
	if measure == query.AssetDays {
		r.Cumulative, r.CumulativeLabel = value(float64(v.Distinct)), def.Cumulative
	}
	daily := v.Daily
	if measure == query.EventRows && len(v.DailyEvents) == len(v.Daily) {
		daily = v.DailyEvents
	}
	for i, n := range daily {
		r.Series = append(r.Series, Point{q.Period.From + event.Day(i), n})
	}
	var users *Decimal
	if measure != query.EventRows {
		if users, err = a.reach(ctx, scope, q); err != nil {
			return err
		}
		if err := a.without(ctx, scope, r, query.Sole{Count: q, Measure: measure, Witness: look.witnesses()}, n, scale); err != nil {
			return err
		}
	}
	if err := a.parts(ctx, scope, r, def, q, n, scale); err != nil {
		return err
	}
	for _, d := range by {
		if err := a.breakdown(ctx, scope, r, def, q, d, n, scale); err != nil {
			return err
		}
	}
	if a.p.Enrichment == 0 {
		r.Comparability, r.Coverage, err = a.year(ctx, scope, r.ID, r.Version, q, measure, n, cov)
	}
	r.Coverage.ShareOfUsers = users
	return err
}

// reach says which share of the internet's users at home is in networks in
// which the panel has seen anything of the class.
func (a *asker) reach(ctx context.Context, scope policy.Scope, q query.Count) (*Decimal, error) {
	all := a.src.AllUsers()
	if all <= 0 {
		return nil, nil //nolint:nilnil // it is not known
	}
	groups, err := a.src.Breakdown(ctx, scope, q, query.DimASN)
	if err != nil {
		return nil, err
	}
	var list []float64
	for _, g := range groups {
		asn, err := strconv.ParseUint(cmp.Or(g.Key, "0"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("AS %q: %w", g.Key, err)
		}
		if n, ok := a.src.Users(uint32(asn)); ok && g.Value.Events > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list) // sums of floats depend on their order
	seen := 0.0
	for _, n := range list {
		seen += n
	}
	return value(100 * seen / all), nil
}

// without says what the value would be without each witness in turn.
func (a *asker) without(ctx context.Context, scope policy.Scope, r *Record, q query.Sole, n int64, scale float64) error {
	sole, err := a.src.Sole(ctx, scope, q)
	if err != nil || len(r.Panel.Witnesses) == 0 {
		return err
	}
	s := Sensitivity{What: "without each witness in turn"}
	for _, w := range r.Panel.Witnesses {
		s.Each = append(s.Each, Without{w, Decimal(float64(n-sole[w]) / scale)})
	}
	byValue := func(x, y Without) int { return cmp.Compare(x.Value, y.Value) }
	s.Range = Range{slices.MinFunc(s.Each, byValue).Value, slices.MaxFunc(s.Each, byValue).Value}
	r.Sensitivity = append(r.Sensitivity, s)
	return nil
}

// parts adds the kinds of a condition and the shares of groups.
func (a *asker) parts(ctx context.Context, scope policy.Scope, r *Record, def *Definition, q query.Count, n int64, scale float64) error {
	for _, of := range []struct {
		by   string
		list []Part
	}{{"kind", def.Kinds}, {"group", def.Shares}} {
		if len(of.list) == 0 {
			continue
		}
		l := Lines{By: of.by, Kind: Overlapping, Rows: []Line{}}
		for _, p := range of.list {
			w, ok := And(q.Where, p.Where)
			if !ok {
				continue
			}
			x := q
			x.Where = w
			v, err := a.src.Count(ctx, scope, x)
			if err != nil {
				return err
			}
			m := def.number(v, q.Period.Days()).Sum
			line := Line{Key: p.Title, Value: Decimal(float64(m) / scale)}
			if n > 0 {
				line.Share = value(100 * float64(m) / float64(n))
			}
			l.Sum += line.Value
			l.Rows = append(l.Rows, line)
		}
		if of.by == "kind" {
			l.Overlap = l.Sum - Decimal(float64(n)/scale)
		}
		r.Breakdown = append(r.Breakdown, l)
	}
	return nil
}

func (a *asker) breakdown(ctx context.Context, scope policy.Scope, r *Record, def *Definition, q query.Count, by query.Dim, n int64, scale float64) error {
	groups, err := a.src.Breakdown(ctx, scope, q, by)
	if err != nil {
		return err
	}
	l := Lines{By: string(by), Kind: def.Breakdowns[by], Rows: []Line{}}
	for _, g := range groups {
		m := def.number(g.Value, q.Period.Days()).Sum
		l.Rows = append(l.Rows, Line{Key: g.Key, Value: Decimal(float64(m) / scale)})
		l.Sum += Decimal(float64(m)) // whole until the end, so that the order does not matter
	}
	l.Sum = Decimal(float64(l.Sum) / scale)
	l.Overlap = l.Sum - Decimal(float64(n)/scale)
	slices.SortFunc(l.Rows, func(x, y Line) int { return cmp.Or(cmp.Compare(y.Value, x.Value), cmp.Compare(x.Key, y.Key)) })
	r.Breakdown = append(r.Breakdown, l)
	return nil
}

// controlled computes who is controlled from abroad.
func (a *asker) controlled(ctx context.Context, scope policy.Scope, r *Record) error {
	q := query.Control{Period: a.p.Period, Where: a.home()}
	c, err := a.src.Controlled(ctx, scope, q)
	if err != nil {
		return err
	}
	r.Evidence = a.address("/events", event.ClassInfection, nil)
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of what was seen between infected addresses and controllers"}
	if len(c.Feeds) == 0 {
		r.refuse("pairs", "Not measurable with these feeds: none of them reports both ends, the infected address and its real controller. Sinkhole data is no evidence of a controller.")
		return nil
	}
	cov, err := a.coverage(ctx, scope, event.ClassInfection)
	if err != nil {
		return err
	}
	look := lookers(cov, event.ClassInfection)
	of := look.witnesses()
	for cell := range look.rows { // the panel is those who see both ends
		if !slices.ContainsFunc(c.Feeds, func(f string) bool { return cmp.Or(of[f], f) == cell.Witness }) {
			delete(look.rows, cell)
		}
	}
	r.Panel = look.panel()
	r.Evidence = a.address("/events", event.ClassInfection, url.Values{"feed": c.Feeds})
	days := float64(a.p.Period.Days())
	r.Value, r.Cumulative, r.CumulativeLabel = value(float64(sum(c.Daily))/days), value(float64(c.Distinct)), "distinct addresses over the period, as bulletins print it (not hosts)"
	for i, n := range c.Daily {
		r.Series = append(r.Series, Point{a.p.Period.From + event.Day(i), n})
	}
	l := Lines{By: "controller country", Kind: Overlapping, Rows: []Line{}}
	for _, x := range c.Countries {
		l.Rows = append(l.Rows, Line{
			Key: x.CC, Value: Decimal(float64(x.Total)), Exclusive: value(float64(x.Exclusive)), Shared: value(float64(x.Shared)),
			Note: fmt.Sprintf("%.2f a day", x.Mean),
		})
		l.Sum += Decimal(float64(x.Total))
	}
	l.Overlap = l.Sum - Decimal(float64(c.Distinct))
	r.Breakdown = append(r.Breakdown, l)
	where, _ := And(q.Where, []query.Cond{{Dim: query.DimSector, Value: "hosting"}})
	servers, err := a.src.Controlled(ctx, scope, query.Control{Period: q.Period, Where: where})
	if err != nil {
		return err
	}
	r.Breakdown = append(r.Breakdown, Lines{By: "side of the controllers, distinct over the period", Kind: Partition, Sum: Decimal(float64(c.Evidence)), Rows: []Line{
		{Key: "abroad", Value: Decimal(float64(c.Distinct))},
		{Key: "at home alone", Value: Decimal(float64(c.AtHome))},
		{Key: "undetermined: located and registered in different places, or not known", Value: Decimal(float64(c.Undetermined))},
	}}, Lines{By: "kind", Kind: Overlapping, Sum: Decimal(float64(servers.Distinct)), Rows: []Line{
		{Key: "servers: in networks of hosting providers", Value: Decimal(float64(servers.Distinct)), Note: fmt.Sprintf("%.2f a day", float64(sum(servers.Daily))/days)},
	}})
	all, err := a.src.Count(ctx, scope, query.Count{Period: a.p.Period, Class: event.ClassInfection, Where: a.home()})
	if err != nil {
		return err
	}
	if n := sum(all.Daily); n > 0 {
		r.Part = value(100 * float64(sum(c.EvidenceDaily)) / float64(n))
		r.Caveats = append(r.Caveats, fmt.Sprintf("The controller was seen of %.1f %% of the infected addresses of a day: feeds that see both ends (%s) cover some networks only.",
			100*float64(sum(c.EvidenceDaily))/float64(n), join(c.Feeds)))
	}
	r.Input.Rows = sum(c.EvidenceDaily)
	return nil
}

// organisations counts who is affected.
func (a *asker) organisations(ctx context.Context, scope policy.Scope, r *Record) error {
	hit := map[string]bool{}
	l := Lines{By: "condition", Kind: Overlapping, Rows: []Line{}}
	for _, class := range []event.Class{event.ClassInfection, event.ClassSite} {
		groups, err := a.src.Breakdown(ctx, scope, query.Count{Period: a.p.Period, Class: class, Where: a.home(), Enrichment: a.p.Enrichment}, query.DimOrganisation)
		if err != nil {
			return err
		}
		n := 0
		for _, g := range groups {
			if g.Key != "" && g.Value.Events > 0 {
				hit[g.Key] = true
				n++
				r.Input.Rows += g.Value.Events
			}
		}
		l.Rows = append(l.Rows, Line{Key: class.String(), Value: Decimal(n)})
		l.Sum += Decimal(n)
		cov, err := a.coverage(ctx, scope, class)
		if err != nil {
			return err
		}
		p := lookers(cov, class).panel()
		for _, w := range p.Witnesses {
			if !slices.Contains(r.Panel.Witnesses, w) {
				r.Panel.Witnesses = append(r.Panel.Witnesses, w)
			}
		}
		r.Panel.FeedDaysPresent += p.FeedDaysPresent
		r.Panel.FeedDaysExpected += p.FeedDaysExpected
	}
	slices.Sort(r.Panel.Witnesses)
	r.Value = value(float64(len(hit)))
	l.Overlap = l.Sum - *r.Value
	r.Breakdown = append(r.Breakdown, l)
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of what the witnesses reported"}
	r.Evidence = a.address("/figures/infected-addresses", event.ClassOther, url.Values{"by": {"organisation"}})
	return nil
}

// unseenSites estimates the hacked sites that nobody reported.
func (a *asker) unseenSites(ctx context.Context, scope policy.Scope, r *Record) error {
	const window = 7
	p := a.p.Period
	p.From = max(p.From, p.To-window+1)
	cov, err := a.coverage(ctx, scope, event.ClassSite)
	if err != nil {
		return err
	}
	look := lookers(cov, event.ClassSite)
	of := look.witnesses()
	r.Evidence = a.address("/figures/hacked-sites", event.ClassOther, nil)
	r.Uncertainty = Uncertainty{Kind: UncertaintySampling, Level: .95, Method: "Chapman, log-normal interval in the unseen part"}
	type site struct {
		days map[string][]event.Day // by witness
		kind event.Type
	}
	var sites []site
	seen := map[string]int{}
	if err := a.src.Sightings(ctx, scope, query.Count{Period: p, Class: event.ClassSite, Where: a.home()}, func(list []query.Seen) {
		s := site{map[string][]event.Day{}, list[0].Type}
		for _, x := range list {
			w := cmp.Or(of[x.Feed], x.Feed)
			if !slices.Contains(s.days[w], x.Day) {
				s.days[w] = append(s.days[w], x.Day)
			}
		}
		for w := range s.days {
			seen[w]++
		}
		sites = append(sites, s)
		r.Input.Rows += int64(len(list))
	}); err != nil {
		return err
	}
	names := slices.SortedFunc(maps.Keys(seen), func(x, y string) int { return cmp.Or(cmp.Compare(seen[y], seen[x]), cmp.Compare(x, y)) })
	r.Panel = Panel{Witnesses: slices.Clone(names), FeedDaysPresent: look.panel().FeedDaysPresent, FeedDaysExpected: look.panel().FeedDaysExpected}
	slices.Sort(r.Panel.Witnesses)
	if len(names) < 2 {
		r.refuse("upstream", "It takes two independent witnesses; in the last 7 days there were %d.", len(names))
		return nil
	}
	l := estimate.Lists{WindowDays: float64(p.Days()), Stable: true, Upstreams: names[:2]}
	strata, times := map[event.Type]*estimate.Pair{}, map[event.Type][]int{}
	halves := [2]estimate.Pair{}
	for _, s := range sites {
		st := strata[s.kind]
		if st == nil {
			st = &estimate.Pair{}
			strata[s.kind] = st
		}
		on, in := [2]bool{}, [2][2]bool{}
		for i, w := range names[:2] {
			days := s.days[w]
			on[i] = len(days) > 0
			half := [2]bool{}
			for _, d := range days {
				half[min(1, 2*int(d-p.From)/p.Days())] = true
			}
			addPair(&halves[i], half)
			in[i] = half
		}
		for i, first := range in[0] {
			for j, second := range in[1] {
				if first && second {
					l.Turns[i][j]++
				}
			}
		}
		addPair(st, on)
		addPair(&l.Pair, on)
		if n := len(s.days[names[0]]); n > 0 {
			l.Times = tally(l.Times, n)
			times[s.kind] = tally(times[s.kind], n)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(strata)) {
		l.Strata = append(l.Strata, *strata[t])
		l.TimesBy = append(l.TimesBy, times[t])
	}
	l.Halves = halves[:]
	res, refusal, err := estimate.Unseen(l)
	switch {
	case err != nil:
		r.refuse("input", "The two largest lists cannot be compared: %v.", err)
	case refusal != nil:
		r.refuse(refusal.Test, "%s", refusal.Why)
	default:
		r.Value = value(res.Estimate)
		r.Uncertainty.Range = rangeOf(res.CI)
	}
	r.Caveats = append(r.Caveats, fmt.Sprintf("%d sites were seen in these days: %d by %s, %d by %s, %d by both.", len(sites), l.Pair.N1, names[0], l.Pair.N2, names[1], l.Pair.M))
	return nil
}

func addPair(p *estimate.Pair, on [2]bool) {
	if on[0] {
		p.N1++
	}
	if on[1] {
		p.N2++
	}
	if on[0] && on[1] {
		p.M++
	}
}

// tally counts one more id that was detected n times.
func tally(times []int, n int) []int {
	for len(times) < n {
		times = append(times, 0)
	}
	times[n-1]++
	return times
}

// hosts estimates the hosts behind infected addresses.
func (a *asker) hosts(ctx context.Context, scope policy.Scope, r *Record) error {
	const window = 28
	p := a.p.Period
	p.From = max(p.From, p.To-window+1)
	w := float64(p.Days())
	cov, err := a.coverage(ctx, scope, event.ClassInfection)
	if err != nil {
		return err
	}
	r.Panel = lookers(cov, event.ClassInfection).panel()
	r.Evidence = a.address("/figures/infected-addresses", event.ClassOther, url.Values{"by": {"asn"}})
	r.Uncertainty = Uncertainty{Kind: UncertaintyModel, Method: "range over the plausible tables of assignment durations; re-use of addresses within the window and assignments that nobody saw are not in it"}
	groups, err := a.src.Breakdown(ctx, scope, query.Count{Period: p, Class: event.ClassInfection, Where: a.home(), Enrichment: a.p.Enrichment}, query.DimASN)
	if err != nil {
		return err
	}
	slices.SortFunc(groups, func(x, y query.Group) int {
		return cmp.Or(cmp.Compare(y.Value.Distinct, x.Value.Distinct), cmp.Compare(x.Key, y.Key))
	})
	l := Lines{By: "asn", Kind: Partition, Rows: []Line{}}
	refused := map[string]int64{}
	why := map[string]string{}
	var total, lo, hi, variance float64
	var inside, all int64
	for _, g := range groups {
		asn, err := strconv.ParseUint(cmp.Or(g.Key, "0"), 10, 32)
		if err != nil {
			return fmt.Errorf("AS %q: %w", g.Key, err)
		}
		daily := sum(g.Value.Daily)
		all += daily
		r.Input.Rows += g.Value.Events
		line, hosts, refusal, err := a.network(uint32(asn), g, w)
		if err != nil {
			return err
		}
		if refusal != nil {
			refused[refusal.Test] += daily
			why[refusal.Test] = refusal.Why
			line.Value, line.Note = Decimal(nan), refusal.Test+": "+refusal.Why
			l.Rows = append(l.Rows, line)
			continue
		}
		inside += daily
		total += hosts.Hosts
		lo, hi = lo+hosts.Sensitivity.Lo, hi+hosts.Sensitivity.Hi
		if hosts.CI.Known() {
			half := (hosts.CI.Hi - hosts.CI.Lo) / 2 / 1.96
			variance += half * half
		}
		l.Rows = append(l.Rows, line)
		l.Sum += line.Value
	}
	r.Breakdown = append(r.Breakdown, l)
	if inside == 0 {
		tests := slices.SortedFunc(maps.Keys(refused), func(x, y string) int { return cmp.Or(cmp.Compare(refused[y], refused[x]), cmp.Compare(x, y)) })
		if len(tests) == 0 {
			r.refuse("data", "No infected address was seen.")
			return nil
		}
		r.refuse(tests[0], "In no network may hosts be estimated. Most often: %s Publish addresses.", why[tests[0]])
		return nil
	}
	r.Value = value(total)
	r.Uncertainty.Range = &Range{Decimal(lo), Decimal(hi)}
	half := 1.96 * sqrt(variance)
	r.Sensitivity = append(r.Sensitivity, Sensitivity{What: "sampling of addresses and durations, 95 %, networks taken as independent", Range: Range{Decimal(max(0, total-half)), Decimal(total + half)}})
	r.Part = value(100 * float64(inside) / float64(all))
	r.Caveats = append(r.Caveats, fmt.Sprintf("The networks with a number have %.1f %% of the infected addresses of a day; nothing is said of the others.", 100*float64(inside)/float64(all)))
	return nil
}

// network estimates the hosts of one AS over w days.
func (a *asker) network(asn uint32, g query.Group, w float64) (line Line, h estimate.Hosts, refusal *Refusal, err error) {
	line = Line{Key: g.Key}
	n := a.src.Network(asn)
	daily := sum(g.Value.Daily)
	mean := float64(daily) / w
	switch {
	case !n.Known:
		return line, h, &Refusal{Test: "network", Why: "It is not known how this network hands out addresses: import it with tocsin refdata networks."}, nil
	case n.Shared:
		return line, h, &Refusal{Test: "sharing", Why: "Hosts share addresses here."}, nil
	case n.Static:
		line.Value, line.Note = Decimal(mean), "static: a host for each address of a day"
		return line, estimate.Hosts{Hosts: mean, CI: estimate.None(), Sensitivity: estimate.Interval{Lo: mean, Hi: mean}}, nil, nil
	}
	h, refusal, err = estimate.CARDCount(estimate.Network{
		Addresses: int(g.Value.Distinct), WindowDays: w, Durations: n.Leases, Plausible: n.Plausible, Pool: n.Pool,
		DailyAddresses: mean, Events: int(g.Value.Events), SharesAddresses: n.Shared,
	})
	if err != nil || refusal != nil {
		return line, h, refusal, err
	}
	line.Value, line.Interval = Decimal(h.Hosts), rangeOf(h.CI)
	line.Note = fmt.Sprintf("%d addresses in %.0f days", g.Value.Distinct, w)
	return line, h, nil, nil
}

// episodes counts the infections at home, all or those at lasting addresses,
// once for all records that need them. Where no address is known to last it
// refuses and gives nil.
func (a *asker) episodes(ctx context.Context, scope policy.Scope, r *Record, lasting bool) (*EpisodeCounts, error) {
	cov, err := a.coverage(ctx, scope, event.ClassInfection)
	if err != nil {
		return nil, err
	}
	r.Panel = lookers(cov, event.ClassInfection).panel()
	where := a.home()
	if lasting {
		if where, err = a.lastingNetworks(ctx, scope); err != nil {
			return nil, err
		}
		if len(where) == 0 {
			r.refuse("lasting", "Of no network with infections is it known that its addresses do not change, and elsewhere an episode measures the lease: import the networks with tocsin refdata networks.")
			return nil, nil //nolint:nilnil // it is refused
		}
		r.Part = value(100 * a.lastingShare)
		r.Caveats = append(r.Caveats, fmt.Sprintf("These networks have %.1f %% of the infected addresses of a day; nothing is said of the others.", 100*a.lastingShare))
	}
	if c := a.eps[lasting]; c != nil {
		return c, nil
	}
	c, err := a.src.Episodes(ctx, scope, query.Episodes{Period: a.p.Period, Classes: []event.Class{event.ClassInfection}, Where: where})
	if err == nil && len(c.Covering) != a.p.Period.Days() {
		err = errors.New("the episodes are not of the days that were asked for")
	}
	if err != nil {
		return nil, err
	}
	if a.eps == nil {
		a.eps = map[bool]*EpisodeCounts{}
	}
	a.eps[lasting] = &c
	return &c, nil
}

// lastingNetworks are the conditions of what is in a network at home whose
// addresses do not change and have one host each; none where there is none.
func (a *asker) lastingNetworks(ctx context.Context, scope policy.Scope) ([]query.Cond, error) {
	if a.lasting != nil {
		return a.lasting, nil
	}
	groups, err := a.src.Breakdown(ctx, scope, query.Count{Period: a.p.Period, Class: event.ClassInfection, Where: a.home(), Enrichment: a.p.Enrichment}, query.DimASN)
	if err != nil {
		return nil, err
	}
	list, all, in := []query.Cond{}, int64(0), int64(0)
	for _, g := range groups {
		n := sum(g.Value.Daily)
		all += n
		asn, err := strconv.ParseUint(cmp.Or(g.Key, "0"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("AS %q: %w", g.Key, err)
		}
		if x := a.src.Network(uint32(asn)); x.Known && x.Static && !x.Shared {
			list = append(list, query.Cond{Dim: query.DimASN, Value: g.Key})
			in += n
		}
	}
	if len(list) > 0 {
		list, _ = And(list, a.home())
		a.lastingShare = float64(in) / float64(max(1, all))
	}
	a.lasting = list
	return list, nil
}

// gaps adds what the value would be with other gaps.
func (r *Record) gaps(c *EpisodeCounts, of func(EpisodeTotals) float64) {
	if !c.Known || r.Value == nil {
		return
	}
	half, double := of(c.Half), of(c.Double)
	r.Sensitivity = append(r.Sensitivity, Sensitivity{
		What:  "with gaps half and twice as long",
		Range: Range{Decimal(min(half, double, float64(*r.Value))), Decimal(max(half, double, float64(*r.Value)))},
		Each:  []Without{{"gaps half as long", Decimal(half)}, {"gaps twice as long", Decimal(double)}},
	})
}

// inLasting adds the conditions of lasting networks to an address.
func (a *asker) inLasting(v url.Values) url.Values {
	for _, c := range a.lasting {
		if c.Dim == query.DimASN {
			v.Add(string(c.Dim), c.Value)
		}
	}
	return v
}

func (a *asker) prevalence(ctx context.Context, scope policy.Scope, r *Record) error {
	c, err := a.episodes(ctx, scope, r, false)
	if err != nil {
		return err
	}
	r.Evidence = a.address("/episodes", event.ClassInfection, nil)
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of episodes; how long a gap may be is a choice"}
	n := sum(c.Covering)
	r.Value, r.Input.Rows = value(float64(n)/float64(a.p.Period.Days())), n
	for i, n := range c.Covering {
		r.Series = append(r.Series, Point{a.p.Period.From + event.Day(i), n})
	}
	r.gaps(c, func(t EpisodeTotals) float64 { return t.Covering })
	return nil
}

func (a *asker) incidence(ctx context.Context, scope policy.Scope, r *Record) error {
	c, err := a.episodes(ctx, scope, r, true)
	if err != nil {
		return err
	}
	r.Evidence = a.address("/episodes", event.ClassInfection, a.inLasting(url.Values{"started": {"1"}, "incident": {"1"}}))
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of episodes; how long a gap may be is a choice"}
	if c == nil {
		return nil
	}
	n := sum(c.Begun)
	r.Value, r.Input.Rows = value(float64(n)), n
	for i, n := range c.Begun {
		r.Series = append(r.Series, Point{a.p.Period.From + event.Day(i), n})
	}
	r.gaps(c, func(t EpisodeTotals) float64 { return float64(t.Begun) })
	if u := sum(c.Uncounted); u > 0 {
		r.Caveats = append(r.Caveats, fmt.Sprintf("%d more episodes were first seen in the period by witnesses who had only begun to look, or looked again after an outage.", u))
	}
	return nil
}

func (a *asker) ended(ctx context.Context, scope policy.Scope, r *Record) error {
	c, err := a.episodes(ctx, scope, r, true)
	if err != nil {
		return err
	}
	r.Evidence = a.address("/episodes", event.ClassInfection, a.inLasting(url.Values{"state": {"closed"}}))
	r.Uncertainty = Uncertainty{Kind: UncertaintyNone, Method: "a complete count of episodes that a clean look closed"}
	if c == nil {
		return nil
	}
	n := sum(c.Closed)
	r.Value, r.Input.Rows = value(float64(n)), n
	return nil
}

// clean estimates how long it took until assets were clean.
func (a *asker) clean(ctx context.Context, scope policy.Scope, r *Record) error {
	classes := []event.Class{event.ClassSite, event.ClassExposure}
	r.Uncertainty = Uncertainty{Kind: UncertaintyModel, Method: "Turnbull; the range is within which the median is not identified, and no confidence interval"}
	r.Evidence = a.address("/episodes", event.ClassSite, nil)
	l := Lines{By: "class", Kind: Overlapping, Rows: []Line{}}
	for _, class := range classes {
		cov, err := a.coverage(ctx, scope, class)
		if err != nil {
			return err
		}
		p := lookers(cov, class).panel()
		sp, err := a.src.Spells(ctx, scope, query.Episodes{Period: a.p.Period, Classes: []event.Class{class}, Where: a.home()})
		if err != nil {
			return err
		}
		line := Line{Key: class.String(), Value: Decimal(nan), Evidence: a.address("/episodes", class, nil)}
		line.Note = fmt.Sprintf("%d episodes of stable assets; %d of others are left out", sp.Stable, sp.Others)
		if len(sp.List) < minSpells {
			line.Note += fmt.Sprintf("; fewer than %d: no number", minSpells)
		} else {
			s, err := estimate.Turnbull(sp.List)
			if err != nil {
				return err
			}
			line.Interval = rangeOf(s.Median)
			if class == event.ClassSite && s.CI.Hi < inf {
				r.Sensitivity = append(r.Sensitivity, Sensitivity{What: "sampling of episodes, 95 %", Range: *asIs(s.CI)})
			}
			if mid := (s.Median.Lo + s.Median.Hi) / 2; mid < inf {
				line.Value = Decimal(mid)
			} else {
				line.Note += fmt.Sprintf("; fewer than half had ended after %.0f days", s.Median.Lo)
			}
		}
		l.Rows = append(l.Rows, line)
		if class == event.ClassSite {
			r.Panel = p
			r.Input.Rows = int64(len(sp.List))
			if line.Interval != nil && line.Value.known() {
				r.Value, r.Uncertainty.Range = value(float64(line.Value)), line.Interval
			} else {
				r.refuse("few", "Hacked sites: %s.", line.Note)
			}
		}
	}
	l.Overlap = Decimal(nan)
	r.Breakdown = append(r.Breakdown, l)
	return nil
}

// minSpells is how many durations a median takes.
const minSpells = 20
