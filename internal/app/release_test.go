package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// afterMonth is a time at which the month of the parcels is over.
func afterMonth() time.Time { return time.Date(2026, 4, 2, 8, 0, 0, 0, time.UTC) }

func usersFile(kind, body string) web.FactsRequest {
	return web.FactsRequest{Kind: kind, Name: "file.csv", From: "an office", Licence: "CC-BY-4.0", Date: "2026-01-02", Body: strings.NewReader(body)}
}

// TestFacts shows that facts are journalled with what the operator says of
// them, that they hold after a restart, and that they are no version of the
// annotations.
func TestFacts(t *testing.T) {
	dir := t.TempDir()
	r := begin(t, smallConfig(dir), Deps{Clock: afterMonth})
	version := r.reg.Enrichment()
	if f, err := r.Facts(); err != nil || len(f.Sources()) != 0 {
		t.Fatalf("at first: %+v, %v", f, err)
	}
	for _, x := range []web.FactsRequest{
		usersFile("users", "region,users\nNorth,10\n"),
		usersFile("networks", "asn,pool,assignment,shared\n64500,256,static,no\n"),
		usersFile("leases", "asn,days\n64500,7\n"),
		usersFile("users", "region,users\nNorth,20\n"),
	} {
		if err := r.ImportFacts(t.Context(), localScope, x); err != nil {
			t.Fatal(err)
		}
	}
	check := func(r *running) {
		t.Helper()
		f, err := r.Facts()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := f.RegionUsers("North")
		pool, _ := f.Network(64500)
		main, _ := f.Leases(64500)
		if n != 20 || pool.Pool != 256 || len(main) != 1 {
			t.Errorf("users %g, network %+v, leases %v", n, pool, main)
		}
		if again, err := r.Facts(); err != nil || again != f {
			t.Errorf("read twice: %v", err)
		}
		src, err := r.Sources(t.Context(), localScope)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(src, func(s web.Source) bool { return s.Name == "users (list), file.csv" })
		if i < 0 || src[i].Licence != "CC-BY-4.0" || src[i].Date != "2026-01-02" || src[i].Attribution != "an office" || len(src[i].SHA256) != 64 {
			t.Errorf("sources %+v", src)
		}
		if r.reg.Enrichment() != version {
			t.Errorf("version %d of the annotations, was %d", r.reg.Enrichment(), version)
		}
	}
	check(r)
	r.stop()
	r = begin(t, smallConfig(dir), Deps{Clock: afterMonth})
	check(r)
	for want, x := range map[string]web.FactsRequest{
		"line 2: users":          usersFile("users", "region,users\nNorth,-1\n"),
		"no kind of facts":       usersFile("planets", "asn,users\n1,1\n"),
		"--source TEXT":          {Kind: "users", Licence: "x", Date: "2026-01-02", Body: strings.NewReader("")},
		"--licence TEXT":         {Kind: "users", From: "x", Date: "2026-01-02", Body: strings.NewReader("")},
		"--date YYYY-MM-DD":      {Kind: "users", From: "x", Licence: "x", Body: strings.NewReader("")},
		"is yet to come":         {Kind: "users", From: "x", Licence: "x", Date: "2026-05-01", Body: strings.NewReader("")},
		"at most 400 bytes":      {Kind: "users", From: "x", Licence: "x", Date: "2026-01-02", Name: strings.Repeat("x", 500), Body: strings.NewReader("")},
		"file.csv: not a usable": usersFile("leases", ""),
	} {
		if err := r.ImportFacts(t.Context(), localScope, x); !errors.Is(err, web.ErrBadRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if err := r.ImportFacts(t.Context(), policy.For("x", policy.Analyst, nil, nil, true), usersFile("users", "asn,users\n1,1\n")); !errors.Is(err, web.ErrForbidden) {
		t.Errorf("an analyst: %v", err)
	}
	check(r)
}

// TestSimulatedFacts shows that a simulation brings facts of its own.
func TestSimulatedFacts(t *testing.T) {
	r := begin(t, smallConfig(t.TempDir()), Deps{})
	s := Simulation{
		Home: "XS", Prefixes: []byte("prefix,asn\n192.0.2.0/24,64500\n"), Organisations: []byte("organisation,network\nuni,192.0.2.0/24\n"),
		Users: []byte("asn,users\n64500,7\n"), Networks: []byte("asn,pool\n64500,256\n"),
		Deliveries: iter.Seq[SimulatedDelivery](func(func(SimulatedDelivery) bool) {}),
	}
	if err := r.Simulate(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	f, err := r.Facts()
	if err != nil {
		t.Fatal(err)
	}
	n, _ := f.Users(64500)
	if src := f.Sources(); n != 7 || len(src) != 2 || src[1].Name != "simulated" || src[1].Licence != "none needed" {
		t.Errorf("users %g, sources %+v", n, src)
	}
}

// loadedMonth is an app with networks, organisations and a parcel of each of three
// feeds.
func loadedMonth(t *testing.T, dir string) *running {
	t.Helper()
	r := begin(t, smallConfig(dir), Deps{Clock: afterMonth})
	r.reference(t)
	yes := true
	for feed := range 3 {
		p := parcelOf(feed, 0, 400)
		if _, err := r.SetFeed(t.Context(), localScope, web.FeedSettings{Name: p.feed, Historical: &yes}); err != nil {
			t.Fatal(err)
		}
		r.mustSend(t, p)
	}
	r.settle(t)
	return r
}

func march() query.Period {
	from := event.DayFrom(testDay)
	return query.Period{From: from, To: from + 30}
}

// TestRates shows that rates are of the figure and the facts, and for the team
// alone.
func TestRates(t *testing.T) {
	r := loadedMonth(t, t.TempDir())
	p := figure.Params{Period: march(), By: query.DimRegion}
	f, err := r.Figure(t.Context(), localScope, "infected-addresses", p)
	if err != nil || f.NoData || len(f.Breakdown.Rows) < 2 {
		t.Fatalf("%+v, %v", f, err)
	}
	without, err := r.Rates(t.Context(), localScope, "infected-addresses", p)
	if err != nil || without.Reason == "" || len(without.Rows) != len(f.Breakdown.Rows) {
		t.Errorf("without users: %+v, %v", without, err)
	}
	file := "region,users\nNowhere,1000\n"
	for _, row := range f.Breakdown.Rows {
		if row.Key != "" {
			file += row.Key + ",200000\n"
		}
	}
	for _, x := range []web.FactsRequest{
		usersFile("users", file),
		usersFile("users", "Country Name,Country Code,Indicator Name,Indicator Code,2024\nNetherlands,NLD,x,IT.NET.USER.ZS,90\n"),
		usersFile("users", "Country Name,Country Code,Indicator Name,Indicator Code,2024\nNetherlands,NLD,x,SP.POP.TOTL,1000000\n"),
	} {
		if err := r.ImportFacts(t.Context(), localScope, x); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Rates(t.Context(), localScope, "infected-addresses", p)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]figure.RateRow{}
	for _, x := range got.Rows {
		rows[x.Key] = x
	}
	for _, x := range f.Breakdown.Rows {
		want := figure.Decimal(x.Value.Float() / 2) // of 200,000
		if x.Key != "" && (rows[x.Key].Rate == nil || rows[x.Key].Rate.String() != want.String()) {
			t.Errorf("%s: %+v, want a rate of %s", x.Key, rows[x.Key], want)
		}
	}
	if n := rows["Nowhere"]; n.Rate == nil || *n.Rate != 0 {
		t.Errorf("a region where nothing was seen: %+v", n)
	}
	if got.Country.Year != 0 || got.Country.Rate == nil || len(got.Sources) != 3 {
		t.Errorf("country %+v, sources %+v: the Netherlands are not the home country", got.Country, got.Sources)
	}
	r.reference(t) // nothing of the annotations changes the facts
	for id, want := range map[string]error{"nope": query.ErrNotFound, "c2-abroad": web.ErrBadRequest} {
		if _, err := r.Rates(t.Context(), localScope, id, p); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, s := range []policy.Scope{{}, policy.For("x", policy.Organisation, []string{"org-0001"}, nil, true)} {
		if _, err := r.Rates(t.Context(), s, "infected-addresses", p); !errors.Is(err, web.ErrForbidden) {
			t.Errorf("%s: %v", s.Who(), err)
		}
	}
}

// TestRatesOfHome divides what is at home by the country's users.
func TestRatesOfHome(t *testing.T) {
	cfg := smallConfig(t.TempDir())
	cfg.Home = "NL"
	r := begin(t, cfg, Deps{Clock: afterMonth})
	if err := r.ImportRefdata(t.Context(), localScope, "p", strings.NewReader("prefix,asn,country\n192.0.2.0/24,64500,NL\n198.51.100.0/24,64501,DE\n")); err != nil {
		t.Fatal(err)
	}
	yes := true
	if _, err := r.SetFeed(t.Context(), localScope, web.FeedSettings{Name: "a", Historical: &yes}); err != nil {
		t.Fatal(err)
	}
	r.mustSend(t, parcel{feed: "a", name: "2026-03-01-event4_sinkhole_http-x.csv", body: []byte(`"timestamp","protocol","src_ip","src_port","dst_ip","dst_port","infection","family"
"2026-03-01 01:00:00","tcp","192.0.2.1",1,"203.0.113.1",80,"a","a"
"2026-03-01 01:00:00","tcp","198.51.100.1",1,"203.0.113.1",80,"a","a"
`)})
	r.settle(t)
	for _, x := range []web.FactsRequest{
		usersFile("users", "Country Name,Country Code,Indicator Name,Indicator Code,2024,2025\nNetherlands,NLD,x,IT.NET.USER.ZS,90,\n"),
		usersFile("users", "Country Name,Country Code,Indicator Name,Indicator Code,2024,2025\nNetherlands,NLD,x,SP.POP.TOTL,1000,1100\n"),
	} {
		if err := r.ImportFacts(t.Context(), localScope, x); err != nil {
			t.Fatal(err)
		}
	}
	from := event.DayFrom(testDay)
	got, err := r.Rates(t.Context(), localScope, "infected-addresses", figure.Params{Period: query.Period{From: from, To: from}, By: query.DimASN})
	if err != nil || got.Country.Year != 2024 || got.Country.Users.String() != "900.000" || got.Country.Value.Sum != 1 || got.Country.Rate.String() != "111.111" || len(got.Rows) != 2 {
		t.Errorf("%+v, %+v, %v", got.Country, got.Rows, err)
	}
}

// TestReleaseMarking holds that what a feed marks RED is in no released number,
// and in those of the team.
func TestReleaseMarking(t *testing.T) {
	t.Parallel()
	r := loadedMonth(t, t.TempDir())
	count := func(s policy.Scope) (sum int64) {
		f, err := r.Figure(t.Context(), s, "infected-addresses", figure.Params{Period: march(), By: query.DimRegion})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range f.Breakdown.Rows {
			sum += row.Value.Sum
		}
		if sum != f.Value.Sum {
			t.Errorf("the rows sum to %d, the value is %d", sum, f.Value.Sum)
		}
		return sum
	}
	team, public := count(localScope), count(policy.ForRelease())
	if team == 0 || team != public {
		t.Fatalf("%d for the team, %d to release", team, public)
	}
	p, red := parcelOf(0, 1, 400), "RED"
	p.feed = "secret-source"
	yes := true
	if _, err := r.SetFeed(t.Context(), localScope, web.FeedSettings{Name: p.feed, Historical: &yes, Marking: &red}); err != nil {
		t.Fatal(err)
	}
	r.mustSend(t, p)
	r.settle(t)
	if now := count(localScope); now <= team {
		t.Errorf("the team's number stays %d", now)
	}
	if now := count(policy.ForRelease()); now != public {
		t.Errorf("the number to release goes from %d to %d", public, now)
	}
}

// TestRelease shows that a month is released once and kept as it was released,
// whatever comes later; that a second takes a reason; and that anybody reads
// the bytes.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	r := loadedMonth(t, dir)
	for month, want := range map[string]string{"2026-04": "is not over", "2025-01": "nothing was delivered", "2026-3": "want YYYY-MM"} {
		if _, err := r.Release(t.Context(), localScope, month, ""); !errors.Is(err, web.ErrBadRequest) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", month, err)
		}
	}
	if _, err := r.Release(t.Context(), localScope, "2026-03", "for nothing"); !errors.Is(err, web.ErrBadRequest) {
		t.Errorf("a revision of nothing: %v", err)
	}
	if _, err := r.Release(t.Context(), policy.For("x", policy.Analyst, nil, nil, true), "2026-03", ""); !errors.Is(err, web.ErrForbidden) {
		t.Errorf("an analyst: %v", err)
	}

	// Asked for at the same time, one is made.
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = r.Release(t.Context(), localScope, "2026-03", "") })
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, web.ErrConflict) && strings.Contains(err.Error(), "was released on 2026-04-02") {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 3 {
		t.Fatalf("%d of 4 were refused: %v", refused, errs)
	}
	first, err := r.Released(t.Context(), policy.Scope{}, "2026-03", 0)
	if err != nil {
		t.Fatal(err)
	}
	x, err := figure.ParseRelease(first)
	if err != nil || x.Month != "2026-03" || x.Revision != 1 || x.Home != "XS" || !strings.HasPrefix(x.Note, "Data ends on 2026-03-") || len(x.Tables) != len(figure.ReleaseTables) || x.Period != march() {
		t.Fatalf("%+v, %v", x, err)
	}
	f, err := r.Figure(t.Context(), localScope, "infected-addresses", figure.Params{Period: march(), By: query.DimRegion})
	if err != nil {
		t.Fatal(err)
	}
	if tab := x.Tables[0]; tab.Figure != "infected-addresses" || len(tab.Rows) != len(f.Breakdown.Rows) || tab.Total == nil || !x.Tables[1].NoData {
		t.Errorf("%+v", x.Tables)
	}

	// What comes later changes the figure and not what was released.
	r.mustSend(t, parcelOf(0, 1, 400))
	r.settle(t)
	if now, err := r.Figure(t.Context(), localScope, "infected-addresses", figure.Params{Period: march(), By: query.DimRegion}); err != nil || now.Value.Sum == f.Value.Sum {
		t.Fatalf("the figure has not changed: %v", err)
	}
	if again, err := r.Released(t.Context(), policy.Scope{}, "2026-03", 1); err != nil || !bytes.Equal(again, first) {
		t.Errorf("released bytes have changed: %v", err)
	}
	second, err := r.Release(t.Context(), localScope, "2026-03", " a delivery came late ")
	if err != nil || second.Revision != 2 || second.Reason != "a delivery came late" {
		t.Fatalf("%+v, %v", second, err)
	}
	list, err := r.Releases(t.Context(), policy.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = begin(t, smallConfig(dir), Deps{Clock: afterMonth})
	again, err := r.Releases(t.Context(), policy.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(list)
	b, _ := json.Marshal(again)
	if len(again) != 2 || !bytes.Equal(a, b) || again[0].Revision != 2 {
		t.Errorf("after a restart: %s, before it %s", b, a)
	}
	for _, x := range again {
		body, err := r.Released(t.Context(), policy.Scope{}, x.Month, x.Revision)
		h := sha256.Sum256(body)
		if err != nil || hex.EncodeToString(h[:]) != x.SHA256 {
			t.Errorf("revision %d: %v", x.Revision, err)
		}
		if x.Revision == 1 && !bytes.Equal(body, first) {
			t.Error("the first release has changed")
		}
	}
	for _, x := range []struct {
		month    string
		revision int
	}{{"2026-03", 3}, {"2026-02", 0}} {
		if _, err := r.Released(t.Context(), policy.Scope{}, x.month, x.revision); !errors.Is(err, query.ErrNotFound) {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
