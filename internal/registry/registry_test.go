package registry

import (
	"encoding/json"
	"testing"
	"time"

	"tocsin/internal/policy"
)

func line(t *testing.T, kind string, contents []string, v any) Line {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return Line{Kind: kind, Contents: contents, Data: b}
}

func TestApply(t *testing.T) {
	r := New()
	yes, home := true, "XS"
	for _, l := range []Line{
		line(t, KindFeed, nil, Feed{Name: "a", Marking: "AMBER"}),
		line(t, KindRefdata, []string{"e1"}, Refdata{Source: "embedded"}),
		line(t, KindRefdata, []string{"csv"}, Refdata{Source: "csv"}),
		line(t, KindOrganisations, []string{"orgs"}, struct{}{}),
		line(t, KindRefdata, []string{"e2"}, Refdata{Source: "embedded"}),
		line(t, KindReenrich, nil, Reenriched{Version: 4}),
		line(t, KindWithdrawn, nil, Withdrawn{Delivery: 7, Why: "wrong file"}),
		line(t, KindConfig, nil, Config{Home: &home, Simulated: &yes}),
		line(t, "rules", nil, "passed over"),
		line(t, KindDecision, nil, Decision{What: DecisionBreak, ID: "b1", State: "confirmed", Why: "new scanner"}),
		{Kind: KindDecision, By: "ann", Data: json.RawMessage(`{"what":"break","id":"b1","state":"dismissed","why":"no"}`)},
		line(t, KindDecision, nil, Decision{What: "other", ID: "b1", State: "confirmed"}),
		line(t, KindLoss, []string{"old"}, struct{}{}),
		line(t, KindLoss, []string{"new"}, struct{}{}),
		line(t, KindPublished, []string{"doc"}, Published{Revision: 1, SHA256: "doc"}),
	} {
		if err := r.Apply(l); err != nil {
			t.Fatal(err)
		}
	}
	if f, ok := r.Feed("a"); !ok || f.Marking != "AMBER" {
		t.Error(f, ok)
	}
	if n := r.Enrichment(); n != 5 {
		t.Errorf("version %d, want 5", n)
	}
	if e, _ := r.EnrichmentOf(3); len(e.Tables) != 2 || e.Tables[0] != "e1" || e.Tables[1] != "csv" || e.Organisations != "" {
		t.Error(e)
	}
	if e, _ := r.EnrichmentOf(5); len(e.Tables) != 2 || e.Tables[0] != "e2" || e.Tables[1] != "csv" || e.Organisations != "orgs" {
		t.Error(e)
	}
	if d := r.Decisions(DecisionBreak); len(d) != 1 || d["b1"].State != "dismissed" || d["b1"].By != "ann" {
		t.Error(d)
	}
	if _, ok := r.EnrichmentOf(6); ok {
		t.Error("a version that is not there")
	}
	if why, ok := r.Withdrawn(7); !ok || why != "wrong file" || r.Reenriched() != 4 || !r.Simulated() {
		t.Error(why, ok)
	}
	if x := r.Loss(); x.SHA256 != "new" {
		t.Error(x)
	}
	if x := r.Published(); len(x) != 1 || x[0].Revision != 1 {
		t.Error(x)
	}
	if err := r.Apply(Line{Kind: KindPublished, Data: json.RawMessage(`{`)}); err == nil {
		t.Error("a damaged revision applied")
	}
	if err := r.Apply(Line{Kind: KindFeed, Data: json.RawMessage(`{`)}); err == nil {
		t.Error("damaged data applied")
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := New()
	tok, secret, err := NewToken(Token{Name: "uni", Role: "organisation", Organisations: []string{"uni"}, Feeds: []string{"a"}, Read: true}, 10, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Authenticate(secret, now); err == nil {
		t.Error("a token works before it is journalled")
	}
	if err := r.Apply(line(t, KindToken, nil, TokenChange{Create: &tok})); err != nil {
		t.Fatal(err)
	}
	_, s, err := r.Authenticate(secret, now)
	if err != nil || s.Role() != policy.Organisation || !s.MayPush("a") || s.MayPush("b") || s.All() || !s.Sees("uni", 3) || s.Sees("isp", 3) || s.Sees("uni", 5) {
		t.Error(s, err)
	}
	if !r.Readers(now) {
		t.Error("no users")
	}
	if _, _, err := r.Authenticate(secret, now.AddDate(0, 0, 10)); err == nil {
		t.Error("an expired token works")
	}
	if _, _, err := r.Authenticate(secret+"x", now); err == nil {
		t.Error("another secret works")
	}
	if err := r.Apply(line(t, KindToken, nil, TokenChange{Revoke: tok.ID})); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Authenticate(secret, now); err == nil || r.Readers(now) {
		t.Error("a revoked token works")
	}
	for _, bad := range []Token{
		{Role: "admin", Read: true},
		{Name: "x", Role: "king", Read: true},
		{Name: "x", Role: "organisation", Read: true},
		{Name: "x", Role: "public"},
	} {
		if _, _, err := NewToken(bad, 1, now); err == nil {
			t.Errorf("%+v is possible", bad)
		}
	}
	if _, _, err := NewToken(Token{Name: "x", Role: "admin", Read: true}, 366, now); err == nil {
		t.Error("a token for longer than a year")
	}
}

func TestCheckFeed(t *testing.T) {
	for _, tt := range []struct {
		f  Feed
		ok bool
	}{
		{Feed{Name: "a", Marking: "AMBER"}, true},
		{Feed{Name: "a", Marking: "AMBER", Limits: map[string]int64{"rows": 10}}, true},
		{Feed{Name: "a", Marking: "AMBER", Schedule: "weekly", Upstream: "Shadowserver"}, true},
		{Feed{Name: "a", Marking: "AMBER", Schedule: "hourly"}, false},
		{Feed{Name: "a", Marking: "AMBER", Upstream: "x\ny"}, false},
		{Feed{Name: "a"}, false},
		{Feed{Name: "a", Marking: "PINK"}, false},
		{Feed{Name: "a", Marking: "AMBER", Limits: map[string]int64{"rows": 0}}, false},
		{Feed{Name: "a", Marking: "AMBER", Limits: map[string]int64{"shoes": 2}}, false},
	} {
		if err := CheckFeed(tt.f); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.f, err)
		}
	}
}
