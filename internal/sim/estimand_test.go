package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dayState is what one day of the world looks like, written out in full.
type dayState struct {
	day         Day
	bots        []botState
	controllers []commander
	sites       []siteState
	services    []string
	serviceOrgs []string
}

type botState struct {
	host, address, org string
	asn                uint32
	family             string
	begun              Day
	by                 []commander
	static             bool // by what is published of its AS
}

// infection tells infections apart.
func (b *botState) infection() string { return b.host + b.family + b.begun.String() }

type commander struct {
	address, address6 string
	port              int
	lies, registered  string // countries
	org               string
}

type siteState struct{ domain, org, sector string }

// chronicle writes a whole country down, day by day.
func chronicle(c *Country) (days []dayState) {
	w := c.world()
	g := c.geo
	org := func(p place) string {
		if p.org < 0 {
			return ""
		}
		return owners[p.org].id
	}
	write := func(x *controller) commander {
		return commander{string(x.a.append(nil)), string(x.a6.append(nil)), x.port, g.countries[x.net.cc], g.countries[x.net.registered], org(x.net.place)}
	}
	static := string(c.Networks())
	for day := range c.days(w) {
		s := dayState{day: day}
		for _, x := range w.infections {
			l := x.host.line
			b := botState{strconv.FormatUint(x.host.id, 10), string(l.a.append(nil)), org(l.net.place), l.net.asn, families[x.fam].name, x.begun, nil, false}
			_, row, _ := strings.Cut(static, fmt.Sprintf("\n%d,", b.asn))
			row, _, _ = strings.Cut(row, "\n")
			b.static = strings.HasSuffix(row, ",static,no")
			for _, by := range x.by {
				if by != nil {
					b.by = append(b.by, write(by))
				}
			}
			s.bots = append(s.bots, b)
		}
		for _, x := range w.controllers {
			s.controllers = append(s.controllers, write(x))
		}
		for _, h := range w.hacks {
			if h.site.domain != "" && h.site.place.cc == 0 {
				v := siteState{domain: h.site.domain, org: org(h.site.place)}
				if v.org != "" {
					v.sector = owners[h.site.place.org].sector
				}
				s.sites = append(s.sites, v)
			}
		}
		for _, x := range w.services {
			s.services = append(s.services, fmt.Sprint(string(x.a.append(nil)), " ", x.port))
			s.serviceOrgs = append(s.serviceOrgs, org(x.net.place))
		}
		days = append(days, s)
	}
	return days
}

type set map[string]bool

// recount is a slow, obvious reading of the definitions.
func recount(days []dayState, from, to Day) map[string]float64 {
	out := map[string]float64{}
	n := float64(to - from + 1)
	ever := map[string]set{} // by id and key
	note := func(id, key string) {
		if ever[id] == nil {
			ever[id] = set{}
		}
		ever[id][key] = true
	}
	var lasted []float64
	countriesEver := map[string]set{} // of a host or address over the time, by id and key
	for i, s := range days {
		if s.day < from || s.day > to {
			continue
		}
		today := map[string]set{}
		mean := func(id, key string) {
			if today[id] == nil {
				today[id] = set{}
			}
			if !today[id][key] {
				today[id][key] = true
				out[id] += 1 / n
			}
		}
		countries := map[string]set{}
		infections := set{}
		for _, b := range s.bots {
			infections[b.infection()] = true
			if b.static {
				mean("hosts-infected-static", b.host)
			}
			note("organisations-affected infection", b.org)
			note("organisations-affected", b.org)
			watched := b.asn == 64512 || b.asn == 64513 || b.asn == 64521 || b.asn == 64528
			for unit, key := range map[string]string{"hosts": b.host, "addresses": b.address} {
				mean(unit+"-infected", key)
				mean(fmt.Sprintf("%s-infected %d", unit, b.asn), key)
				note(unit+"-infected-ever", key)
				note(fmt.Sprintf("%s-infected-ever %d", unit, b.asn), key)
				for _, by := range b.by {
					if (by.lies == Home) != (by.registered == Home) {
						mean(unit+"-controlled-undetermined", key)
					}
					if by.lies == Home || by.registered == Home {
						continue
					}
					for _, id := range []string{unit + "-controlled-abroad", unit + "-controlled-abroad-sensors"} {
						if strings.HasSuffix(id, "sensors") && !watched {
							continue
						}
						mean(id, key)
						mean(id+" "+by.lies, key)
						note(id+"-ever", key)
						note(id+"-ever "+by.lies, key)
						for _, m := range []map[string]set{countries, countriesEver} {
							if m[id+"|"+key] == nil {
								m[id+"|"+key] = set{}
							}
							m[id+"|"+key][by.lies] = true
						}
					}
				}
			}
		}
		for k, all := range countries {
			id, _, _ := strings.Cut(k, "|")
			for cc := range all {
				if len(all) == 1 {
					out[id+" "+cc+" exclusive"] += 1 / n
				} else {
					out[id+" "+cc+" shared"] += 1 / n
				}
			}
		}
		for _, c := range s.controllers {
			switch {
			case c.lies == Home && c.registered == Home:
				out["controllers-home"] += 1 / n
				note("organisations-affected controller", c.org)
				note("organisations-affected", c.org)
			case c.lies != Home && c.registered != Home:
				out["controllers-abroad"] += 1 / n
				out["controllers-abroad "+c.lies] += 1 / n
			default:
				out["controllers-undetermined"] += 1 / n
			}
		}
		before, hackedBefore := set{}, set{}
		if i > 0 {
			for _, b := range days[i-1].bots {
				before[b.infection()] = true
				if !infections[b.infection()] {
					lasted = append(lasted, float64(s.day-b.begun))
					if b.static {
						out["infections-cleaned-static"]++
					}
				}
			}
			for _, h := range days[i-1].sites {
				hackedBefore[h.domain] = true
			}
			for _, b := range s.bots {
				if !before[b.infection()] {
					out["infections-begun"]++
					if b.static {
						out["infections-begun-static"]++
					}
				}
			}
		}
		for _, h := range s.sites {
			note("sites-hacked", h.domain)
			note("organisations-affected hacked-site", h.org)
			note("organisations-affected", h.org)
			if h.sector == "government" {
				note("sites-hacked-government", h.domain)
			}
			if i > 0 && !hackedBefore[h.domain] {
				note("sites-hacked-begun", h.domain)
			}
		}
		for k, x := range s.services {
			mean("services-exposed", x)
			note("organisations-affected exposure", s.serviceOrgs[k])
		}
	}
	for id, keys := range ever {
		delete(keys, "") // no organisation
		out[id] = float64(len(keys))
	}
	for k, all := range countriesEver {
		id, _, _ := strings.Cut(k, "|")
		for cc := range all {
			if len(all) == 1 {
				out[id+"-ever "+cc+" exclusive"]++
			} else {
				out[id+"-ever "+cc+" shared"]++
			}
		}
	}
	out["infections-cleaned"] = float64(len(lasted))
	slices.Sort(lasted)
	if k := len(lasted); k > 0 {
		out["time-to-clean-median-days"] = (lasted[(k-1)/2] + lasted[k/2]) / 2
	}
	return out
}

// withChanges adds the comparison with the year before.
func withChanges(days []dayState, from, to Day) map[string]float64 {
	out := recount(days, from, to)
	fromThen, toThen := DayOf(from.Time().AddDate(-1, 0, 0)), DayOf(to.Time().AddDate(-1, 0, 0))
	if fromThen < days[0].day {
		return out
	}
	then := recount(days, fromThen, toThen)
	for _, id := range []string{"hosts-infected", "addresses-infected", "sites-hacked"} {
		if then[id] != 0 {
			out["change-"+id] = out[id] / then[id]
			out["change-"+id+" now"], out["change-"+id+" then"] = out[id], then[id]
		}
	}
	return out
}

func flat(list []Estimand) map[string]float64 {
	out := map[string]float64{}
	for _, e := range list {
		out[e.ID] = e.Value
		for k, v := range e.By {
			out[e.ID+" "+k] = v
		}
	}
	return out
}

// unlike lists the numbers in which two differ; one that is not there is 0.
func unlike(got, want map[string]float64) (diff []string) {
	both := maps.Clone(got)
	maps.Copy(both, want)
	for _, k := range slices.Sorted(maps.Keys(both)) {
		if math.Abs(got[k]-want[k]) > 1e-9*(1+math.Abs(want[k])) {
			diff = append(diff, fmt.Sprintf("%s: %v, want %v", k, got[k], want[k]))
		}
	}
	return diff
}

func TestEstimandsAgreeWithPlainCount(t *testing.T) {
	t.Parallel()
	c := small(t, 21, "")
	days := chronicle(c)
	for _, p := range [][2]Day{{c.To() - 27, c.To()}, {c.From(), c.To()}, {c.From() + 130, c.From() + 160}, {c.From(), c.From()}} {
		got := flat(c.Estimands(p[0], p[1]))
		if diff := unlike(got, withChanges(days, p[0], p[1])); len(diff) > 0 {
			t.Errorf("%s to %s: %d differences: %q", p[0], p[1], len(diff), diff[:min(len(diff), 5)])
		}
		if p[0] == c.To()-27 && (got["change-hosts-infected"] == 0 || math.Abs(got["change-hosts-infected"]-1) < .01) {
			t.Errorf("hosts-infected changed by %v in a year", got["change-hosts-infected"])
		}
	}
	if c.Estimands(c.To()+1, c.To()+5) != nil || unlike(flat(c.Estimands(c.From()-9, c.From())), flat(c.Estimands(c.From(), c.From()))) != nil {
		t.Error("days outside of the country are not cut off")
	}
}

// TestEstimandFaults changes one thing of one day in what the reference reads:
// each must show, and in the number that it is about.
func TestEstimandFaults(t *testing.T) {
	t.Parallel()
	c := small(t, 22, "")
	from, to := c.To()-27, c.To()
	want := flat(c.Estimands(from, to))
	first := func(days []dayState, f func(b *botState) bool) {
		for i := range days[len(days)-10:] {
			s := &days[len(days)-10+i]
			for k := range s.bots {
				if f(&s.bots[k]) {
					return
				}
			}
		}
	}
	for id, plant := range map[string]func([]dayState){
		"hosts-infected": func(d []dayState) { d[len(d)-1].bots = d[len(d)-1].bots[1:] },
		"addresses-infected-ever": func(d []dayState) {
			first(d, func(b *botState) bool { b.address = "elsewhere"; return true })
		},
		"hosts-controlled-abroad": func(d []dayState) {
			first(d, func(b *botState) bool {
				if len(b.by) == 1 && b.by[0].lies != Home && b.by[0].registered != Home {
					b.by[0].registered = Home
					return true
				}
				return false
			})
		},
		"infections-cleaned": func(d []dayState) { d[len(d)-3].bots = nil },
		"hosts-infected-static": func(d []dayState) {
			first(d, func(b *botState) bool { b.static = !b.static; return true })
		},
		"infections-begun-static": func(d []dayState) {
			for i := range d {
				for k := range d[i].bots {
					d[i].bots[k].static = true
				}
			}
		},
		"infections-cleaned-static": func(d []dayState) {
			for i := range d {
				for k := range d[i].bots {
					d[i].bots[k].static = false
				}
			}
		},
		"sites-hacked":       func(d []dayState) { d[len(d)-5].sites = append(d[len(d)-5].sites, siteState{domain: "new.example"}) },
		"services-exposed":   func(d []dayState) { d[len(d)-5].services = d[len(d)-5].services[1:] },
		"controllers-abroad": func(d []dayState) { d[len(d)-2].controllers = nil },
	} {
		days := chronicle(c)
		plant(days)
		if diff := unlike(want, withChanges(days, from, to)); !slices.ContainsFunc(diff, func(s string) bool { return strings.HasPrefix(s, id+":") }) {
			t.Errorf("%s: %q", id, diff)
		}
	}
}

// pairDifferences holds what the border sensors report against who commands
// whom.
func pairDifferences(t *testing.T, c *Country) (diff []string, pairs, seen int) {
	t.Helper()
	truth := map[Day]set{}
	for _, s := range chronicle(c) {
		truth[s.day] = set{}
		for _, b := range s.bots {
			for _, by := range b.by {
				to := by.address
				if strings.Contains(b.address, ":") {
					to = by.address6
				}
				truth[s.day][fmt.Sprint(b.address, b.family, to, by.port)] = true
				if slices.Contains(sensorNetworks[:], b.asn) {
					pairs++
				}
			}
		}
	}
	for d := range c.Deliveries() {
		if d.Feed != "border-sensor" {
			continue
		}
		for line := range bytes.Lines(d.Bytes) {
			var v map[string]any
			if json.Unmarshal(line, &v) != nil {
				continue // broken on purpose
			}
			at, err := time.Parse(time.RFC3339, fmt.Sprint(v["time.source"]))
			if err != nil {
				continue
			}
			seen++
			a := netip.MustParseAddr(v["source.ip"].(string))
			if a.Is6() {
				p, _ := a.Prefix(64)
				a = p.Addr()
			}
			k := fmt.Sprint(a, v["malware.name"], v["destination.ip"], v["destination.port"])
			if !truth[DayOf(at)][k] {
				diff = append(diff, k)
			}
			if v["extra.tocsin.peer"] != "c2" || v["classification.type"] != "infected-system" || v["feed.name"] != "border-sensor" {
				diff = append(diff, string(line))
			}
		}
	}
	return diff, pairs, seen
}

func TestSensorsNameTheControllers(t *testing.T) {
	t.Parallel()
	diff, pairs, seen := pairDifferences(t, small(t, 23, ""))
	if len(diff) > 0 {
		t.Errorf("%d of %d pairs are not true, such as %q", len(diff), seen, diff[0])
	}
	if seen < pairs*3/10 || seen > pairs*9/10 {
		t.Errorf("%d of %d pairs seen", seen, pairs)
	}
	if diff, _, _ := pairDifferences(t, small(t, 23, WrongController)); len(diff) == 0 {
		t.Error("a sinkhole in the place of controllers goes unnoticed")
	}
}

// TestHosts holds what is said of hosts, lines and addresses.
func TestHosts(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Seed: 24, To: lastDay, Rows: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	w := c.world()
	lineOf := map[uint64]uint64{}   // by host
	kept := map[uint64]address{}    // by static line
	holders := map[address]uint64{} // last line of an address
	last := map[uint64]address{}    // of a line
	behind := map[string]int{}      // most hosts of one address, by network
	moved, reused, dual, again := 0, 0, 0, 0
	gone := map[uint64]Day{}
	for day := range c.days(w) {
		byAddress := map[address]uint64{}
		hosts := map[address]set{}
		for _, x := range w.infections {
			h, l := x.host, x.host.line
			if at, ok := lineOf[h.id]; ok && at != l.id {
				t.Fatalf("host %d is behind two lines", h.id)
			}
			lineOf[h.id] = l.id
			if before, ok := gone[h.id]; ok && before < day-1 {
				again++
			}
			gone[h.id] = day
			if l.static {
				if a, ok := kept[l.id]; ok && a != l.a {
					t.Fatalf("static line %d at %v and %v", l.id, a, l.a)
				}
				kept[l.id] = l.a
			}
			if other, ok := byAddress[l.a]; ok && other != l.id && l.net.lines.share == 1 {
				t.Fatalf("%v is of two lines on %s", l.a, day)
			}
			byAddress[l.a] = l.id
			if was, ok := holders[l.a]; ok && was != l.id {
				reused++
			}
			holders[l.a] = l.id
			if was, ok := last[l.id]; ok && was != l.a {
				moved++
			}
			last[l.id] = l.a
			if a := addr6(l.a.hi, l.a.lo); l.a.is6() {
				if p, err := addr6(l.net.v6, 0).Prefix(l.net.v6net); err != nil || !p.Contains(a) {
					t.Fatalf("%s is not of %s", a, p)
				}
			} else if !l.net.prefix.Contains(addr4(uint32(l.a.lo))) {
				t.Fatalf("%v is not of %s", l.a, l.net.prefix)
			}
			if hosts[l.a] == nil {
				hosts[l.a] = set{}
			}
			hosts[l.a][strconv.FormatUint(h.id, 10)] = true
			if n := len(hosts[l.a]); n > behind[l.net.name] {
				behind[l.net.name] = n
			}
			if x.by[0] != nil && x.by[1] != nil {
				if x.by[0] == x.by[1] || x.by[0].fam != x.fam || x.by[1].fam != x.fam {
					t.Fatalf("commanded by %v", x.by)
				}
				if x.by[0].net.cc != x.by[1].net.cc {
					dual++
				}
			}
			for i, by := range x.by {
				if by != nil && by.gone || i == 0 && by == nil && lives(x.fam, int(day-c.from)*1000/int(c.to-c.from)) {
					t.Fatalf("%s: commanded by nobody who is there: %v", day, x)
				}
			}
		}
		if len(w.hosts) > len(w.infections) || len(w.lines) > len(w.hosts) {
			t.Fatalf("%d lines and %d hosts of %d infections", len(w.lines), len(w.hosts), len(w.infections))
		}
	}
	if behind["Hillwave Mobile"] < 2 || moved < 100 || reused < 20 || dual < 100 || again < 1 || len(kept) < 50 {
		t.Errorf("hosts of one address %v; %d moves, %d addresses used again, %d host-days under two countries, %d hosts infected again, %d static lines", behind, moved, reused, dual, again, len(kept))
	}
}

// TestFeedsDiffer holds what is said of the feeds.
func TestFeedsDiffer(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Seed: 25, To: lastDay, Rows: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReader(c.Prefixes(), c.Organisations())
	if err != nil {
		t.Fatal(err)
	}
	deliveries := map[string]map[Day]bool{}
	for d := range c.Deliveries() {
		if err := r.read(&d); err != nil {
			t.Fatal(err)
		}
		k := d.Feed + " " + d.Report
		if deliveries[k] == nil {
			deliveries[k] = map[Day]bool{}
		}
		deliveries[k][d.Day] = true
		if d.Feed == "sector-hub" && d.Day.Time().Weekday() != time.Monday {
			t.Errorf("%s on a %s", d.Name, d.Day.Time().Weekday())
		}
	}
	all := int(c.To()-c.From()) + 1
	for k, want := range map[string][2]int{
		"shadowserver event4_sinkhole_http": {all - 12, all}, "partner-idf ": {all - 25, all - 1},
		"border-sensor ": {all * 9 / 10, all - 5}, "sinkhole-north event4_sinkhole_http": {all * 55 / 100, all * 65 / 100}, "sector-hub ": {all/7 - 8, all/7 + 1},
	} {
		if n := len(deliveries[k]); n < want[0] || n > want[1] {
			t.Errorf("%s on %d days, want %v", k, n, want)
		}
	}
	by := map[string]set{} // address-days and domains by feed and class
	for _, e := range r.events {
		k := e.dims[FeedName] + " " + e.class
		if by[k] == nil {
			by[k] = set{}
		}
		by[k][fmt.Sprint(e.day, e.asset, e.dims[Family])] = true
		by[k][e.asset] = true
	}
	missing := 0
	for k := range by["sector-hub infection"] {
		if !by["shadowserver infection"][k] {
			missing++
		}
	}
	if n := len(by["sector-hub infection"]); n < 500 || missing > n/20 {
		t.Errorf("%d of %d things that the hub passes on are not its source's", missing, n)
	}
	if unseen := share(c, by["shadowserver hacked-site"], by["partner-idf hacked-site"]); unseen < .05 || unseen > .3 {
		t.Errorf("%.2f of hacked sites are never reported", unseen)
	}
	// The level of foxtail drops in one feed, and neither in the other nor in truth.
	at := c.From() + (c.To()-c.From())*sinkholeMoves/1000
	level := func(feed string, from Day) float64 {
		return float64(c.Truth().Count(Query{Infection, from, from + 39, []Cond{{Dim: Family, Value: "foxtail"}, {Dim: FeedName, Value: feed}}}).Events)
	}
	days := chronicle(c)
	truth := func(from Day) (n float64) {
		for _, s := range days[from-c.From() : from-c.From()+40] {
			for _, b := range s.bots {
				if b.family == "foxtail" {
					n++
				}
			}
		}
		return n
	}
	drop := level("partner-idf", at+1) / level("partner-idf", at-40)
	other := level("shadowserver", at+1) / level("shadowserver", at-40)
	real := truth(at+1) / truth(at-40)
	if drop > .6*real || real < .5 || other < drop*1.3 {
		t.Errorf("foxtail: %.2f in the feed whose sinkhole moves, %.2f in another, %.2f in truth", drop, other, real)
	}
	for _, f := range c.Feeds() {
		if f.Schedule != "daily" && f.Schedule != "weekly" || f.Upstream != "" && !slices.ContainsFunc(feeds, func(g Feed) bool { return g.Name == f.Upstream }) {
			t.Errorf("%+v", f)
		}
	}
}

// share gives how many of all sites that were hacked are in none of the sets.
func share(c *Country, sets ...set) float64 {
	hacked, unseen := set{}, 0
	for _, s := range chronicle(c) {
		for _, h := range s.sites {
			hacked[h.domain] = true
		}
	}
	for k := range hacked {
		if !slices.ContainsFunc(sets, func(s set) bool { return s[k] }) {
			unseen++
		}
	}
	return float64(unseen) / float64(len(hacked))
}

func TestEstimandsJSON(t *testing.T) {
	t.Parallel()
	c := small(t, 26, "")
	var alone, within bytes.Buffer
	if err := c.WriteEstimands(&alone); err != nil {
		t.Fatal(err)
	}
	if err := c.Truth().WriteJSON(&within); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bytes.Buffer{&alone, &within} {
		var doc struct {
			Simulated bool
			Estimands []struct {
				From, To  string
				Estimands []Estimand
			}
		}
		if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if !doc.Simulated || len(doc.Estimands) != 2 {
			t.Fatalf("%+v", doc)
		}
		for i, from := range []Day{c.To() - 27, c.From()} {
			p := doc.Estimands[i]
			if p.From != from.String() || p.To != c.To().String() || unlike(flat(p.Estimands), flat(c.Estimands(from, c.To()))) != nil {
				t.Errorf("%s to %s: %+v", p.From, p.To, p.Estimands)
			}
		}
	}
}
