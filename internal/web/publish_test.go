package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// rateUsers are the users of the fake's regions and networks.
var rateUsers = figure.Users{
	By:      map[string]float64{"Northmark": 1_000_000, "Westerly": 400_000, "The Isles": 20_000, "64512": 900_000, "65001": 0},
	Country: 2_000_000, Year: 2025,
	Sources: []figure.UsersSource{{Name: "Statistics Simuland", Licence: "CC-BY-4.0", Date: "2026-06-30", SHA256: strings.Repeat("cd", 32)}},
}

func (f *fake) Rates(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.RateTable, error) {
	if !s.All() {
		return figure.RateTable{}, web.ErrForbidden
	}
	if id == "c2-abroad" {
		return figure.RateTable{}, web.ErrBadRequest
	}
	v, err := f.Figure(ctx, s, id, p)
	if err != nil {
		return figure.RateTable{}, err
	}
	u := rateUsers
	if f.asNames["64500"] == evil {
		u.By = map[string]float64{evil: 5}
		u.Sources = []figure.UsersSource{{Name: evil, Licence: evil, Attribution: evil, Date: evil, SHA256: evil}}
	}
	return figure.Rates(&v, &v, u)
}

func (f *fake) ImportFacts(_ context.Context, s policy.Scope, r web.FactsRequest) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	return f.act(s, fmt.Sprintf("facts %s %s %s %s %s %s", r.Kind, r.Name, r.From, r.Licence, r.Date, b))
}

func (f *fake) Release(_ context.Context, s policy.Scope, month, revise string) (web.Released, error) {
	if month == "2026-10" && revise == "" {
		return web.Released{}, web.ErrConflict
	}
	return web.Released{Month: month, Revision: 1, Reason: revise}, f.act(s, "release "+month+" "+revise)
}

func (f *fake) Releases(context.Context, policy.Scope) (out []web.Released, _ error) {
	for _, r := range slices.Backward(f.released) {
		b, err := r.Marshal()
		if err != nil {
			return nil, err
		}
		h := sha256.Sum256(b)
		out = append(out, web.Released{Month: r.Month, Revision: r.Revision, Reason: r.Reason, At: f.status.Now, SHA256: hex.EncodeToString(h[:])})
	}
	return out, f.fail
}

func (f *fake) Released(_ context.Context, _ policy.Scope, month string, revision int) ([]byte, error) {
	for _, r := range slices.Backward(f.released) {
		if r.Month == month && (revision == 0 || r.Revision == revision) {
			return r.Marshal()
		}
	}
	return nil, query.ErrNotFound
}

// publish makes releases, the second a revision.
func (f *fake) publish() {
	day := event.Day(20_000)
	for i, why := range []string{"", "a delivery of two weeks came late"} {
		f.released = append(f.released, figure.Release{
			Month: "2026-10", Revision: i + 1, Reason: why, Simulated: true, Period: query.Period{From: day, To: day + 30}, Method: figure.ReleaseMethod,
			Tables: []figure.ReleasedTable{
				{
					Figure: "infected-addresses", Title: "Addresses", Unit: "addresses", By: query.DimRegion, Kind: figure.Partition, Version: 1,
					Rows:  []figure.ReleasedRow{{Key: "North", Value: new(int64(12_345))}, {Key: "South", Suppressed: true}, {Key: "West", Suppressed: true}},
					Total: new(int64(12_360)), Caveats: []string{"not hosts"},
				},
				{
					Figure: "hacked-sites", Title: "Sites", Unit: "sites", By: query.DimSector, Kind: figure.Overlapping, Version: 1,
					Rows: []figure.ReleasedRow{{Key: "", Value: new(int64(7))}}, Total: new(int64(7)), Distinct: new(int64(6)),
				},
				{Figure: "exposed-services", Title: "Services", Unit: "services", By: query.DimRegion, NoData: true},
			},
		})
	}
}

// publishEvil makes releases with evil in every text.
func (f *fake) publishEvil() {
	f.publish()
	for i := range f.released {
		r := &f.released[i]
		r.Reason, r.Note, r.Method = evil, evil, []string{evil}
		t := &r.Tables[0]
		t.Title, t.Unit, t.Figure, t.Caveats, t.Headline, t.By = evil, evil, evil, []string{evil}, evil, evil
		t.Rows[0].Key = evil
	}
}

// TestReleasedIsForAll shows that anybody reads what was released, byte for
// byte, and that the public is shown nothing else there.
func TestReleasedIsForAll(t *testing.T) {
	t.Parallel()
	f := world(40, 8)
	s := serverOf(t, f, web.Config{})
	for i, r := range f.released {
		want, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256(want)
		for _, as := range []string{"", "nobody", "pusher", "org", "analyst", "admin"} {
			at := fmt.Sprintf("/released?month=2026-10&revision=%d", i+1)
			if w := get(s, as, at+"&format=json"); w.Body.String() != string(want) {
				t.Errorf("%q: %d, not the bytes that were released: %s", as, w.Code, w.Body)
			}
			w := get(s, as, at)
			for _, text := range []string{hex.EncodeToString(h[:]), "subtracted from each other", "suppressed", "12\u202f345", "SIMULATED", "No data", r.Reason} {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("%q %s: %d, lacks %q", as, at, w.Code, text)
				}
			}
		}
	}
	if w := get(s, "", "/released?month=2026-10&format=csv"); !strings.Contains(w.Body.String(), `"2026-10",2,"infected-addresses","addresses","","region","row","South",,"true",1`) {
		t.Errorf("CSV: %s", w.Body)
	}
	f.released = nil
	if w := get(s, "", "/released"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Nothing is released yet") {
		t.Errorf("nothing released: %d", w.Code)
	}
}

// TestRatesPage shows what a table of rates says, and to whom.
func TestRatesPage(t *testing.T) {
	t.Parallel()
	s := serverOf(t, world(60, 16), web.Config{})
	const at = "/rates?from=2026-10-01&to=2026-10-31"
	for as, code := range map[string]int{"": 401, "nobody": 403, "org": 403, "pusher": 403, "analyst": 200} {
		if w := get(s, as, at); w.Code != code {
			t.Errorf("%q: %d, want %d", as, w.Code, code)
		}
	}
	body := get(s, "analyst", at).Body.String()
	for _, text := range []string{
		"addresses per 100,000 users", "A stock is no Poisson count", "the mean daily number, rounded", "Statistics Simuland", "data of 2026-06-30",
		"users of 2025", "no users known", "the home country", "/figures/infected-addresses?from=2026-10-01&amp;region=Northmark&amp;to=2026-10-31",
	} {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if w := get(s, "analyst", at+"&format=csv"); !strings.Contains(w.Body.String(), `"no users known"`) || !strings.Contains(w.Body.String(), `"Statistics Simuland 2026-06-30"`) {
		t.Errorf("CSV: %s", w.Body)
	}
	if w := get(s, "analyst", at+"&by=asn&format=json"); !strings.Contains(w.Body.String(), `"no users: the source says less than one"`) && !strings.Contains(w.Body.String(), `"key":"64512"`) {
		t.Errorf("JSON: %s", w.Body)
	}
}

// TestPublisherAPI shows that facts and releases are for those who administer.
func TestPublisherAPI(t *testing.T) {
	t.Parallel()
	f := world(3, 2)
	s := serverOf(t, f, web.Config{})
	facts := "/api/v1/refdata/users?name=u.csv&source=office&licence=CC0&date=2026-01-02"
	for _, tt := range []struct {
		as, target, body string
		code             int
	}{
		{"", facts, "asn,users\n1,2\n", 401},
		{"analyst", facts, "asn,users\n1,2\n", 403},
		{"admin", facts, "asn,users\n1,2\n", 200},
		{"admin", facts + "&what=1", "", 400},
		{"analyst", "/api/v1/releases/2026-09", "{}", 403},
		{"admin", "/api/v1/releases/2026-09", "{}", 201},
		{"admin", "/api/v1/releases/2026-10", "{}", 409},
		{"admin", "/api/v1/releases/2026-10", `{"revise":"late"}`, 201},
		{"admin", "/api/v1/releases/2026-10", `{"force":true}`, 400},
	} {
		if w := ask(s, tt.as, http.MethodPost, tt.target, strings.NewReader(tt.body)); w.Code != tt.code {
			t.Errorf("%q %s %s: %d %s", tt.as, tt.target, tt.body, w.Code, w.Body)
		}
	}
	if want := []string{"facts users u.csv office CC0 2026-01-02 asn,users\n1,2\n", "release 2026-09 ", "release 2026-10 late"}; !slices.Equal(f.done, want) {
		t.Errorf("done %q, want %q", f.done, want)
	}
}
