package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/sim"
)

// change does what a child of [TestKillChange] is there for: it tells what
// figures it found, brings deliveries in, and while they are loaded takes one
// back, makes the annotations anew, or makes the store again.
func (r *running) change(o orders, armed func()) error {
	ctx := context.Background()
	if err := r.Settled(ctx); err != nil {
		return err
	}
	sum, err := r.fingerprint(ctx)
	if err != nil {
		return err
	}
	fmt.Println("figures", sum)
	for _, k := range o.Todo {
		d, err := r.send(ctx, k.parcel(o.Rows))
		if err != nil {
			return err
		}
		fmt.Printf("acked %d %d %s\n", k.Feed, k.N, d.ID)
	}
	return r.alter(ctx, o, armed)
}

// alter makes one of the changes; armed is called before it.
func (r *running) alter(ctx context.Context, o orders, armed func()) (err error) {
	switch o.Change {
	case "withdraw":
		armed()
		_, err = r.Withdraw(ctx, policy.Local(), o.ID, "wrong file")
	case "reenrich":
		_, list := sim.SinkholeReference()
		if o.Turned {
			list = turned()
		}
		if _, err = r.ImportOrganisations(ctx, policy.Local(), bytes.NewReader(list)); err != nil {
			return err
		}
		if err = r.Settled(ctx); err != nil {
			return err
		}
		armed()
		_, err = r.Reenrich(ctx, policy.Local(), nil)
	case "rebuild":
		armed()
		_, err = r.Rebuild(ctx, policy.Local(), nil)
	}
	return err
}

// fingerprint is a hash of some figures.
func (r *running) fingerprint(ctx context.Context) (string, error) {
	b, err := r.few(ctx)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), err
}

// TestKillChange kills the program inside a withdrawal, a reenrichment and a
// rebuild, at each of their points, and while it finishes at the next start what
// was cut off. After each kill the figures are those of a directory in which the
// same was done and nobody was killed.
func TestKillChange(t *testing.T) {
	t.Parallel()
	points := []orders{
		{Change: "withdraw", Point: "withdraw-journalled"},
		{Change: "withdraw", Point: "withdraw"},
		{Change: "withdraw", Point: "withdrawn"},
		{Change: "nothing", Point: "resight-day", Early: true},
		{Change: "withdraw", Point: "resight-turn"},
		{Change: "withdraw", Point: "resighted"},
		{Change: "reenrich", Point: "reenrich-journalled"},
		{Change: "nothing", Point: "resight-day", Nth: 3, Early: true},
		{Change: "reenrich", Point: "resight"},
		{Change: "reenrich", Point: "resight-day", Nth: 2},
		{Change: "reenrich", Point: "resight-turn"},
		{Change: "reenrich", Point: "resighted"},
		{Change: "rebuild", Point: "rebuild-commit"},
		{Change: "rebuild", Point: "rebuild-committed"},
		{Change: "rebuild", Point: "exchange"},
		{Change: "rebuild", Point: "exchange-aside"},
		{Change: "rebuild", Point: "exchange-in"},
		{Change: "rebuild", Point: "exchanged"},
	}
	times, rows := rounds(1, 6), sized(40, 300)
	rng := rand.New(rand.NewPCG(2, 8480))
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, killConfig(dir), Deps{})
	whole := begin(t, killConfig(filepath.Join(t.TempDir(), "whole")), Deps{})
	first := []string{} // deliveries to be withdrawn, in both the same
	for _, x := range []*running{r, whole} {
		x.reference(t)
		first = first[:0]
		for i := range 5 * times {
			first = append(first, x.mustSend(t, task{i % 2, i / 2}.parcel(rows))...)
		}
		x.settle(t)
	}
	r.stop()

	turn, kills := false, 0
	gone := map[string]bool{}
	sent := map[task]string{}
	died := map[string]int{}
	began := time.Now()
	for round := range times {
		for i, o := range points {
			if testing.Short() && !full() && i%3 != 0 {
				continue
			}
			o.Dir, o.Rows = dir, rows
			o.Nth = max(o.Nth, 1)
			after := time.Duration(0)
			if round > 0 && o.Point == "resight-day" {
				o.Nth = 1 + rng.Int64N(6)
			}
			if round > 0 && o.Change == "rebuild" && rng.IntN(2) == 0 { // at any time
				o.Point, after = "", time.Duration(rng.Int64N(1500))*time.Millisecond
			}
			if o.Change != "nothing" {
				o.Todo = []task{{2, kills}, {0, 100 + kills}}
			}
			if o.Point == "" { // nothing is left to be acked when the time begins to run
				o.Todo = o.Todo[:1]
			}
			what := fmt.Sprintf("round %d, %s killed at %q", round, o.Change, o.Point)
			switch o.Change {
			case "withdraw":
				o.ID = first[len(gone)]
				gone[o.ID] = true
			case "reenrich":
				turn = !turn
				o.Turned = turn
			}
			want, err := whole.fingerprint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			res := runVictim(t, o, after)
			kills++
			if res.died == "" {
				res.died = "any time"
			}
			died[res.died]++
			if res.died != o.Point && o.Point != "" {
				t.Errorf("%s: it died at %q", what, res.died)
			}
			if res.figures != want && !o.Early {
				t.Errorf("%s: what it found when it began has other figures than a directory that was never killed", what)
			}
			if len(res.acked) != len(o.Todo) {
				t.Errorf("%s: %d of %d deliveries were acked", what, len(res.acked), len(o.Todo))
			}
			for k, id := range res.acked {
				sent[k] = id
				whole.mustSend(t, k.parcel(rows))
			}
			whole.settle(t)
			if err := whole.alter(t.Context(), o, func() {}); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			whole.settle(t)
		}
	}
	took := time.Since(began)

	r = begin(t, killConfig(dir), Deps{})
	r.settle(t)
	check := func(what string) {
		t.Helper()
		same(t, what, r.mustDocuments(t), whole.mustDocuments(t))
		ids := r.ids(t)
		if !slices.Equal(ids, whole.ids(t)) {
			t.Errorf("%s: other events", what)
		}
		ds := r.deliveries(t)
		for id := range gone {
			if d := ds[id]; d.State != query.StateWithdrawn || d.Reason != "wrong file" {
				t.Errorf("%s: %s is %+v", what, id, d)
			}
			delete(ds, id)
		}
		for k, id := range sent {
			if p := k.parcel(rows); id != "" && (ds[id].Name != p.name || ds[id].Received != int64(p.rows)) {
				t.Errorf("%s: acked and lost: %s %+v", what, p.name, ds[id])
			}
		}
		if n := r.sound(t, ds); n != int64(len(ids)) {
			t.Errorf("%s: %d events accepted, %d there", what, n, len(ids))
		}
	}
	check("after the kills")
	if _, err := r.Rebuild(t.Context(), localScope, nil); err != nil {
		t.Fatal(err)
	}
	check("after the kills, rebuilt")
	if v, err := r.Verify(t.Context(), localScope, nil); err != nil || !v.OK {
		t.Errorf("verify: %v %+v", err, v.Damaged)
	}
	for _, rest := range []string{newSuffix, oldSuffix} {
		if m, err := filepath.Glob(filepath.Join(dir, "store"+rest)); err != nil || len(m) > 0 {
			t.Errorf("left behind: %v %v", m, err)
		}
	}
	t.Logf("%d kills in %.1f s (%v), %d deliveries withdrawn, %d events", kills, took.Seconds(), died, len(gone), len(r.ids(t)))
	r.stop()
	whole.stop()
}
