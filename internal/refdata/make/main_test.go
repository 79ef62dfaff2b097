package main

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func at(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

func genRows(t *rapid.T, label string) (out []row) {
	for i := 0; i < 40; {
		first := i + rapid.IntRange(0, 6).Draw(t, label)
		last := first + rapid.IntRange(0, 6).Draw(t, label)
		out = append(out, row{first: at(first), last: at(last), value: rapid.SampledFrom([]string{"AA", "BB", "CC"}).Draw(t, label)})
		i = first + rapid.IntRange(1, 8).Draw(t, label) // may overlap the row before
	}
	return out
}

// find is the slow lookup: the last row that holds the address.
func find(rows []row, a netip.Addr) (v string) {
	for _, r := range rows {
		if !a.Less(r.first) && !r.last.Less(a) {
			v = r.value
		}
	}
	return v
}

func TestVote(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, gone := genRows(t, "a"), genRows(t, "b"), genRows(t, "c"), genRows(t, "gone")
		for i := 1; i < len(gone); i++ {
			if !gone[i-1].last.Less(gone[i].first) {
				gone[i].first = gone[i-1].last.Next()
				gone[i].last = slices.MaxFunc([]netip.Addr{gone[i].first, gone[i].last}, netip.Addr.Compare)
			}
		}
		all, _ := vote(a, b, c)
		rest := without(all, gone)
		for i := range 70 {
			x, y, z := find(a, at(i)), find(b, at(i)), find(c, at(i))
			want := x
			if x == "" || (y != "" && y == z) {
				want = y
			}
			if got := find(all, at(i)); got != want {
				t.Fatalf("%s: %q of %q, %q, %q", at(i), got, x, y, z)
			}
			if find(gone, at(i)) != "" {
				want = ""
			}
			if got := find(rest, at(i)); got != want {
				t.Fatalf("%s: %q, want %q", at(i), got, want)
			}
		}
		for i := 1; i < len(all); i++ {
			if !all[i-1].last.Less(all[i].first) {
				t.Fatal("rows overlap")
			}
		}
	})
}

func TestDate(t *testing.T) {
	t.Parallel()
	if d, err := date("2.3.2026061719"); err != nil || d != "2026-06-17" {
		t.Errorf("%q, %v", d, err)
	}
	for _, v := range []string{"", "1.2.3", "2.3.2026991719"} {
		if d, err := date(v); err == nil {
			t.Errorf("%q: %q", v, d)
		}
	}
}
