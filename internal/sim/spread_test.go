package sim

import (
	"testing"
)

// TestSpread holds that assets at home lie in so many networks that years can be
// compared by networks, in every month, and that three providers have about half
// of the hosts.
func TestSpread(t *testing.T) {
	t.Parallel()
	c, err := New(Config{Seed: 1, To: lastDay})
	if err != nil {
		t.Fatal(err)
	}
	truth := c.Truth()
	for month := c.From().Time(); month.Before(lastDay); month = month.AddDate(0, 1, 0) {
		from, to := DayOf(month), DayOf(month.AddDate(0, 1, 0))-1
		for _, class := range []string{Infection, HackedSite, Exposure} {
			q := Query{Class: class, From: from, To: to, Where: []Cond{{Dim: CountryCode, Value: Home}}}
			sum, squares, n := 0., 0., 0
			for _, v := range truth.Breakdown(q, ASN) {
				x := float64(v.Distinct)
				if class == Infection {
					x = 0
					for _, d := range v.Daily {
						x += float64(d)
					}
				}
				n, sum, squares = n+1, sum+x, squares+x*x
			}
			if eff := sum * sum / squares; n < 30 || eff < 10 {
				t.Errorf("%s, %s: %d networks, as unequal as %.1f equal ones", month.Format("2006-01"), class, n, eff)
			} else {
				t.Logf("%s, %s: %.0f in %d networks, as unequal as %.1f equal ones", month.Format("2006-01"), class, sum, n, eff)
			}
		}
	}
	all, large := 0., 0.
	for _, e := range c.Estimands(c.From(), c.To()) {
		if e.ID != "hosts-infected" {
			continue
		}
		all = e.Value
		for _, asn := range []string{"64512", "64513", "64516"} {
			large += e.By[asn]
		}
	}
	if share := large / all; share < .25 || share > .6 {
		t.Errorf("three providers have %.2f of the infected hosts", share)
	}
	rows := 0
	for _, d := range truth.Deliveries() {
		rows += d.Received
	}
	t.Logf("%d rows", rows)
	if rows < 285_000 || rows > 315_000 {
		t.Errorf("%d rows by default, want about %d", rows, DefaultRows)
	}
}
