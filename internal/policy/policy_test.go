package policy

import (
	"testing"

	"pgregory.net/rapid"

	"tocsin/internal/event"
)

// TestScopes says who sees and does what.
func TestScopes(t *testing.T) {
	uni := For("uni", Organisation, []string{"uni"}, []string{"a"}, true)
	for _, tt := range []struct {
		name                  string
		s                     Scope
		all, admin, push      bool
		own, other, red, none bool
		most                  event.Marking
	}{
		{"local", Local(), true, true, true, true, true, true, true, event.Red},
		{"admin", For("x", Admin, nil, nil, true), true, true, false, true, true, true, true, event.Red},
		{"analyst", For("x", Analyst, nil, nil, true), true, false, false, true, true, true, true, event.Red},
		{"organisation", uni, false, false, true, true, false, false, false, event.AmberStrict},
		{"pusher", For("x", Admin, nil, []string{"a"}, false), false, false, true, false, false, false, false, event.Clear},
		{"public", For("x", Public, []string{"uni"}, nil, true), false, false, false, false, false, false, false, event.Clear},
		{"nobody", Scope{}, false, false, false, false, false, false, false, event.Clear},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := [...]bool{
				tt.s.All(), tt.s.Administers(), tt.s.MayPush("a"), tt.s.Sees("uni", event.Amber), tt.s.Sees("isp", event.Clear),
				tt.s.Sees("uni", event.Red), tt.s.Sees("", event.Clear),
			}
			want := [...]bool{tt.all, tt.admin, tt.push, tt.own, tt.other, tt.red, tt.none}
			if got != want {
				t.Errorf("all, administers, push, own, other, red, unowned: %v, want %v", got, want)
			}
			if m := tt.s.MaxMarking(); m != tt.most {
				t.Errorf("sees up to %s, want %s", m, tt.most)
			}
		})
	}
	if uni.MayPush("b") || (Scope{}).Who() != "public" {
		t.Error("a pusher of one feed pushes to another, or nobody has a name")
	}
}

// TestRelease checks that a value leaves exactly for those who may see its row.
func TestRelease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		orgs := rapid.SliceOfN(rapid.SampledFrom([]string{"uni", "isp", ""}), 0, 2).Draw(t, "orgs")
		s := For("x", Role(rapid.IntRange(0, 3).Draw(t, "role")), orgs, nil, rapid.Bool().Draw(t, "read"))
		org := rapid.SampledFrom([]string{"uni", "isp", "bank", ""}).Draw(t, "org")
		m := event.Marking(rapid.IntRange(0, 5).Draw(t, "marking"))
		r, ok := Release(s, org, m, "secret")
		v, has := r.Value()
		if ok != s.Sees(org, m) || has != ok || ok != (v == "secret") {
			t.Fatalf("released %t (%q), sees %t", ok, v, s.Sees(org, m))
		}
		if ok && !s.All() && (m > s.MaxMarking() || org == "") {
			t.Fatalf("%s of %q for %+v", m, org, s)
		}
	})
	s := ForRelease()
	for m := event.Unmarked; m <= event.Red; m++ {
		if s.Sees("uni", m) != (m <= event.Amber) || s.Sees("", m) != s.Sees("uni", m) {
			t.Errorf("to release, %s: %t", m, s.Sees("uni", m))
		}
	}
	if s.All() || s.Administers() || s.MayPush("x") || len(s.Organisations()) != 0 || !s.Everyone() || Local().Everyone() {
		t.Errorf("%+v", s)
	}
	if _, has := (Releasable[int]{}).Value(); has {
		t.Error("an empty Releasable gives a value")
	}
}
