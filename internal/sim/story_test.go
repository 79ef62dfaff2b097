package sim

import (
	"math"
	"slices"
	"testing"
)

// state counts, on each day, what is so in the country of what a happening
// names, as far as its feed can see it at all.
func state(c *Country, h Happening) []float64 {
	var out []float64
	w := c.world()
	for range c.days(w) {
		n := 0
		for _, x := range w.infections {
			switch {
			case h.Class != Infection, h.Family != "" && families[x.fam].name != h.Family,
				h.Feed == feeds[feedBorder].Name && !watched(x.host.line.net),
				h.Feed == feeds[feedPartner].Name && families[x.fam].bits&seesPartner == 0,
				h.Feed == feeds[feedNorth].Name && families[x.fam].bits&seesNorth == 0:
			default:
				n++
			}
		}
		for _, s := range w.services {
			if h.Class == Exposure && (h.Family == "" || h.Family == idWebVulnerable && s.rep == repWebVulnerable || h.Family == idTelnet && s.rep == repTelnet) {
				n++
			}
		}
		for _, x := range w.hacks {
			if h.Class == HackedSite && (h.Family != idDefacement || x.how == defaced) {
				n++
			}
		}
		out = append(out, float64(n))
	}
	return out
}

// told counts, on each day, what reports say of the same.
func told(c *Country, h Happening) []float64 {
	q := Query{Class: h.Class, From: c.From(), To: c.To()}
	switch h.Family {
	case "":
	case idWebVulnerable:
		q.Where = append(q.Where, Cond{Dim: ReportType, Value: "scan_http_vulnerable"})
	case idTelnet:
		q.Where = append(q.Where, Cond{Dim: ReportType, Value: "scan_telnet"})
	case idDefacement:
		q.Where = append(q.Where, Cond{Dim: Type, Value: "unauthorised-information-modification"})
	default:
		q.Where = append(q.Where, Cond{Dim: Family, Value: h.Family})
	}
	if h.Feed != "" {
		q.Where = append(q.Where, Cond{Dim: FeedName, Value: h.Feed})
	}
	var out []float64
	for _, n := range c.Truth().Count(q).Daily {
		out = append(out, float64(n))
	}
	return out
}

// change gives the logarithm by which a series changes over some days: from the
// 14 before them to the days themselves, to their end, or to the 14 after them,
// whichever is most.
func change(s []float64, from, to int) float64 {
	mean := func(from, to int) float64 {
		sum := 0.
		for _, v := range s[max(from, 0):min(to+1, len(s))] {
			sum += v
		}
		return (sum + .5) / float64(min(to+1, len(s))-max(from, 0))
	}
	before, most := mean(from-14, from-1), 0.
	for _, after := range []float64{mean(from, to), mean(to-2, to), mean(to+1, to+14)} {
		if x := math.Log(after / before); math.Abs(x) > math.Abs(most) {
			most = x
		}
	}
	return most
}

// TestStoryIsTrue holds each happening against the state of the country and
// against the reports: where the view changed, the feed's numbers did and the
// country did not; where the world changed, it did.
func TestStoryIsTrue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		c, err := New(Config{Seed: 1 + seed, To: lastDay})
		if err != nil {
			t.Fatal(err)
		}
		story := c.Story()
		for _, h := range story {
			if h.From < c.From() || h.To > c.To() || h.From > h.To || !slices.Contains(Classes, h.Class) || h.What == "" {
				t.Fatalf("%+v", h)
			}
			from, to := int(h.From-c.From()), int(h.To-c.From())
			feed := change(told(c, h), from, to)
			if h.Class == Victim { // floods are known by their packets alone
				if feed < math.Log(1.5) {
					t.Errorf("%+v: reports change by %.2f", h, feed)
				}
				continue
			}
			if h.View && h.Family == "" && slices.ContainsFunc(story, func(o Happening) bool {
				return o.Family != "" && o.View && o.From == h.From && o.To == h.To && o.Feed == h.Feed && o.Class == h.Class && o.What == h.What
			}) {
				continue // the class as a whole changes by as much as the family, be that much or little
			}
			world := change(state(c, h), from, to)
			t.Logf("%d %s to %s, %s %s %s, view %v: world %.2f, reports %.2f", 1+seed, h.From, h.To, h.Class, h.Family, h.Feed, h.View, world, feed)
			switch {
			case h.View && (math.Abs(feed) < .2 || math.Abs(world) > math.Abs(feed)/2):
				t.Errorf("%+v: the world changes by %.2f, reports by %.2f", h, world, feed)
			case !h.View && (math.Abs(world) < .02 || feed*world < -.01):
				t.Errorf("%+v: the world changes by %.2f, reports by %.2f", h, world, feed)
			}
		}
	}
	for _, days := range []int{0, 1, 5, 300} {
		c, err := New(Config{Seed: 1, From: lastDay.AddDate(0, 0, -days), To: lastDay})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range c.Story() {
			if h.From < c.From() || h.To > c.To() || h.From > h.To {
				t.Errorf("in %d days: %+v", days+1, h)
			}
		}
	}
}
