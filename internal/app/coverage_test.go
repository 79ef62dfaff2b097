package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// sinkhole writes a report of one day with so many infected hosts.
func sinkhole(day event.Day, hosts int) []byte {
	b := []byte("\"timestamp\",\"protocol\",\"src_ip\",\"src_port\",\"dst_ip\",\"dst_port\",\"infection\",\"family\",\"tag\"\n")
	for i := range hosts {
		b = fmt.Appendf(b, "\"%s 01:02:03\",\"tcp\",\"198.18.0.%d\",4000,\"203.0.113.1\",80,\"examplebot\",\"examplebot\",\"eb\"\n", day, i)
	}
	return b
}

// TestCoverage loads two feeds for two months, one of which falls to a tenth,
// misses a week and reports nothing on a day: who looked, the break, what is
// decided of it, and that a restart and a rebuild keep it.
func TestCoverage(t *testing.T) {
	t.Parallel()
	cfg := smallConfig(t.TempDir())
	r := begin(t, cfg, Deps{})
	ctx := t.Context()
	day0 := event.DayFrom(testDay)
	for _, feed := range []string{"north", "south"} {
		if _, err := r.SetFeed(ctx, localScope, web.FeedSettings{Name: feed, Historical: new(true)}); err != nil {
			t.Fatal(err)
		}
		for i := range event.Day(60) {
			hosts := 40
			if feed == "north" && i >= 30 {
				hosts = 4
			}
			if feed == "north" && i == 25 {
				hosts = 0
			}
			if feed == "north" && i >= 45 && i < 52 {
				continue
			}
			name := fmt.Sprintf("%s-event4_sinkhole-test-geo.csv", day0+i)
			if _, err := r.Ingest(ctx, localScope, web.IngestRequest{Feed: feed, Format: "shadowserver", Name: name, Body: bytes.NewReader(sinkhole(day0+i, hosts))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.settle(t)
	period := query.Period{From: day0, To: day0 + 59}
	text := func() string {
		c, err := r.Coverage(ctx, localScope, nil, period)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range c.Rows {
			b = fmt.Appendf(b, "\n%s", x.Days)
		}
		return string(b)
	}
	c, err := r.Coverage(ctx, localScope, nil, period)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rows) != 2 || c.Rows[0].Witness != "north" || c.Rows[0].Missing != 7 || c.Rows[0].Present != 53 || c.Rows[0].Days[25] != query.Present || c.Rows[0].Days[45] != query.Missing || c.Rows[1].Missing != 0 {
		t.Fatalf("%+v", c.Rows)
	}
	var found *query.Break
	for i, b := range c.Breaks {
		if b.Witness == "south" {
			t.Errorf("the steady one has a break: %+v", b)
		}
		if b.Day >= day0+29 && b.Day <= day0+31 && b.Family == "examplebot" {
			found = &c.Breaks[i]
		}
	}
	if found == nil || found.Before != 40 || found.After != 4 || found.State != query.BreakSuspected {
		t.Fatalf("%+v", c.Breaks)
	}

	// Who may know, and who may decide.
	for _, s := range []policy.Scope{{}, policy.For("uni", policy.Organisation, []string{"uni"}, nil, true)} {
		if c, err := r.Coverage(ctx, s, nil, period); err != nil || len(c.Rows)+len(c.Breaks) > 0 {
			t.Errorf("shown to %s: %+v %v", s.Who(), c, err)
		}
	}
	for _, tt := range []struct {
		s     policy.Scope
		id    string
		state query.BreakState
		why   string
		want  error
	}{
		{policy.For("ann", policy.Analyst, nil, nil, true), found.ID, query.BreakConfirmed, "moved", web.ErrForbidden},
		{localScope, found.ID, query.BreakSuspected, "moved", web.ErrBadRequest},
		{localScope, found.ID, query.BreakConfirmed, " ", web.ErrBadRequest},
		{localScope, found.ID[:len(found.ID)-1] + "x", query.BreakConfirmed, "moved", query.ErrNotFound},
		{localScope, "b20269999-0123456789ab", query.BreakConfirmed, "moved", query.ErrNotFound},
		{localScope, "", query.BreakConfirmed, "moved", query.ErrNotFound},
	} {
		if _, err := r.DecideBreak(ctx, tt.s, tt.id, tt.state, tt.why); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if _, err := r.DecideBreak(ctx, localScope, found.ID, query.BreakConfirmed, "a new sinkhole"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DecideBreak(ctx, localScope, found.ID, query.BreakDismissed, "a takedown"); err != nil {
		t.Fatal(err)
	}
	want := text()
	if !bytes.Contains([]byte(want), []byte(`"state":"dismissed","by":"local","why":"a takedown"`)) {
		t.Fatal(want)
	}
	if _, err := r.Rebuild(ctx, localScope, nil); err != nil {
		t.Fatal(err)
	}
	if got := text(); got != want {
		t.Errorf("after a rebuild\n%s, want\n%s", got, want)
	}
	r.stop()
	r = begin(t, cfg, Deps{})
	r.settle(t)
	if got := text(); got != want {
		t.Errorf("after a restart\n%s, want\n%s", got, want)
	}

	// One upstream, one witness; and a schedule that is taken back.
	if _, err := r.SetFeed(ctx, localScope, web.FeedSettings{Name: "north", Schedule: new("hourly")}); !errors.Is(err, web.ErrBadRequest) {
		t.Error(err)
	}
	for _, feed := range []string{"north", "south"} {
		f, err := r.SetFeed(ctx, localScope, web.FeedSettings{Name: feed, Upstream: new("country"), Schedule: new("Weekly")})
		if err != nil || f.Schedule != "weekly" || f.Upstream != "country" {
			t.Errorf("%+v %v", f, err)
		}
		if f, err = r.SetFeed(ctx, localScope, web.FeedSettings{Name: feed, Schedule: new("history")}); err != nil || f.Schedule != "" || f.Upstream != "country" {
			t.Errorf("%+v %v", f, err)
		}
	}
	if c, err = r.Coverage(ctx, localScope, nil, period); err != nil || len(c.Rows) != 1 || c.Rows[0].Witness != "country" || c.Rows[0].Missing != 0 || len(c.Rows[0].Feeds) != 2 {
		t.Errorf("%+v %v", c.Rows, err)
	}
	if err := r.Derived(ctx); err != nil {
		t.Fatal(err)
	}
	list, _, _, err := r.Episodes(ctx, localScope, query.Episodes{})
	if err != nil || len(list) == 0 || len(list[0].Witnesses) != 1 || list[0].Witnesses[0].Feed != "country" || len(list[0].Witnesses[0].Feeds) != 2 {
		t.Errorf("%+v %v", list, err)
	}
}
