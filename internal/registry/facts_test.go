package registry

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func apply(t *testing.T, r *Registry, seq uint64, kind string, data any, contents ...string) {
	t.Helper()
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(Line{Seq: seq, At: time.Unix(int64(seq), 0), By: "x", Kind: kind, Contents: contents, Data: b}); err != nil {
		t.Fatal(err)
	}
}

// TestFacts shows that facts replace those of their kind and layout, and make
// no version of the annotations.
func TestFacts(t *testing.T) {
	r := New()
	apply(t, r, 1, KindRefdata, Refdata{Source: "embedded", Version: "v"}, "table")
	version := r.Enrichment()
	for i, f := range []struct{ kind, layout, sha string }{{"users", "list", "a"}, {"networks", "list", "b"}, {"users", "cldr", "c"}, {"users", "list", "d"}} {
		apply(t, r, uint64(i+2), KindRefdata, Refdata{Source: "operator", Kind: f.kind, Layout: f.layout, From: "s", Licence: "l", Date: "2026-01-02"}, f.sha)
	}
	apply(t, r, 9, KindRefdata, Refdata{Kind: "users", Layout: "list"})
	var got []string
	for _, f := range r.Facts() {
		got = append(got, f.Kind+" "+f.Layout+" "+f.Content)
	}
	if want := []string{"networks list b", "users cldr c", "users list d"}; !slices.Equal(got, want) {
		t.Errorf("facts %q, want %q", got, want)
	}
	if e, _ := r.EnrichmentOf(r.Enrichment()); r.Enrichment() != version || !slices.Equal(e.Tables, []string{"table"}) {
		t.Errorf("version %d of %v, was %d", r.Enrichment(), e.Tables, version)
	}
}

// TestReleases shows that a month is released once, unless a reason says why
// again.
func TestReleases(t *testing.T) {
	r := New()
	for i, l := range []struct {
		d   Released
		sha string
	}{
		{Released{"2026-09", ""}, "a"},
		{Released{"2026-10", ""}, "b"},
		{Released{"2026-09", ""}, "again"},
		{Released{"2026-09", "a late feed"}, "c"},
	} {
		apply(t, r, uint64(i+1), KindReleased, l.d, l.sha)
	}
	apply(t, r, 9, KindReleased, Released{Month: "2026-08"})
	var got []string
	for _, x := range r.Releases() {
		got = append(got, x.Month+" "+string(rune('0'+x.Revision))+" "+x.Content+" "+x.Reason)
	}
	if want := []string{"2026-10 1 b ", "2026-09 2 c a late feed", "2026-09 1 a "}; !slices.Equal(got, want) {
		t.Errorf("releases %q, want %q", got, want)
	}
}
