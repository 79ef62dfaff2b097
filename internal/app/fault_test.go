package app

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/query"
)

// damageConfig makes every class of file of few data.
func damageConfig(dir string) Config {
	cfg := smallConfig(dir)
	cfg.Archive.BlobSize = 8 << 10
	cfg.Archive.PackSize = 32 << 10
	return cfg
}

// master makes a directory as a kill leaves it, with a write-ahead log, and
// one as a stop leaves it.
func master(tb testing.TB) (killed, stopped string, docs []byte) {
	tb.Helper()
	killed, stopped = filepath.Join(tb.TempDir(), "killed"), filepath.Join(tb.TempDir(), "stopped")
	r := begin(tb, killConfig(killed), Deps{})
	r.reference(tb)
	r.stop()
	o := orders{Dir: killed, Rows: 150}
	for n := range 18 {
		o.Todo = append(o.Todo, task{n % 3, n / 3})
	}
	if res := runVictim(tb, o, 0); res.died != "idle" {
		tb.Fatalf("the child died at %q", res.died)
	}
	copyTree(tb, killed, stopped)
	r = begin(tb, damageConfig(stopped), Deps{})
	r.settle(tb)
	var err error
	if docs, err = r.few(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if v, err := r.Verify(tb.Context(), localScope, nil); err != nil || !v.OK || len(v.Notes) > 0 || r.log.String() != "" {
		tb.Fatalf("damage is told of where there is none: %v %+v\n%s", err, v, r.log)
	}
	r.stop()
	return killed, stopped, docs
}

// few gives fewer documents than [running.documents]: they are asked for often.
func (r *running) few(ctx context.Context) ([]byte, error) {
	first := event.DayFrom(testDay)
	return r.documentsBy(ctx, []query.Dim{query.DimNone, query.DimOrganisation, query.DimFamily, query.DimFeed}, query.Period{From: first, To: first + testDays - 1})
}

func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		tb.Fatal(err)
	}
}

// class is a kind of file.
type class struct {
	name    string
	pattern string // below the data directory
	killed  bool   // in the directory as a kill leaves it
	archive bool   // the truth: damage is named, where it does any harm
}

var classes = []class{
	{"pack", "archive/contents/packs/*.pack", false, true},
	{"blob", "archive/contents/blobs/*/*", false, true},
	{"journal", "archive/journal/*.jsonl", false, true},
	{"head", "archive/journal/head", false, true},
	{"database", "store/tocsin.duckdb", false, false},
	{"log", "store/tocsin.duckdb.wal", true, false},
}

// harm damages one of the files and says how.
func harm(tb testing.TB, rng *rand.Rand, dir, pattern string, cut bool) string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no file %s: %v", pattern, err)
	}
	slices.Sort(files)
	name := files[rng.IntN(len(files))]
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		tb.Fatalf("%s: %d bytes, %v", name, len(b), err)
	}
	rel, _ := filepath.Rel(dir, name)
	if cut {
		n := rng.IntN(len(b))
		if err := os.Truncate(name, int64(n)); err != nil {
			tb.Fatal(err)
		}
		return fmt.Sprintf("%s of %d bytes cut to %d", rel, len(b), n)
	}
	at, bit := rng.IntN(len(b)), rng.IntN(8)
	b[at] ^= 1 << bit
	if err := os.WriteFile(name, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("bit %d of byte %d of %s of %d bytes", bit, at, rel, len(b))
}

// TestDamage flips bits and cuts files of every class. What is in the store
// alone is made again without anybody's help; what is in the archive is named,
// with the deliveries that it concerns. A figure is never smaller in silence.
func TestDamage(t *testing.T) {
	t.Parallel()
	killed, stopped, docs := master(t)
	for _, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(4, uint64(len(c.name))))
			flips, cuts := rounds(4, 100), rounds(3, 50)
			harmless, named, mended := 0, 0, 0
			for i := range flips + cuts {
				dir := filepath.Join(t.TempDir(), "data")
				if c.killed {
					copyTree(t, killed, dir)
				} else {
					copyTree(t, stopped, dir)
				}
				what := harm(t, rng, dir, c.pattern, i >= flips)
				kind := survives(t, c, dir, what, docs)
				harmless, named, mended = harmless+kind[0], named+kind[1], mended+kind[2]
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d flips and %d cuts: %d harmless, %d named, %d times the store was mended", flips, cuts, harmless, named, mended)
		})
	}
}

// survives opens a damaged directory and checks what is served.
func survives(t *testing.T, c class, dir, what string, docs []byte) (kind [3]int) {
	t.Helper()
	r, err := start(damageConfig(dir), Deps{})
	if err != nil {
		t.Errorf("%s: it does not open: %v", what, err)
		return kind
	}
	defer r.stop()
	if c.archive {
		r.settle(t)
		return r.named(t, what, dir, docs)
	}
	// The archive is whole, so the figures are, perhaps after a while.
	got, errs := []byte(nil), ""
	for end := time.Now().Add(30 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := r.Settled(ctx)
		if err == nil {
			got, err = r.few(ctx)
		}
		cancel()
		if err == nil && bytes.Equal(got, docs) {
			break
		}
		if err != nil {
			errs += err.Error() + "\n"
		}
		if err == nil && r.log.String() == "" || time.Now().After(end) {
			same(t, what, got, docs)
			t.Errorf("%s: the store is not whole again: %s\n%s", what, errs, r.log)
			return kind
		}
		<-time.After(50 * time.Millisecond)
	}
	v, err := r.Verify(t.Context(), localScope, nil)
	if err != nil {
		t.Errorf("%s: verify: %v", what, err)
	}
	switch {
	case !v.OK: // named, in a part that no figure reads; it is mended now that it is known
		kind[1]++
		r.mended(t, what, docs)
	case r.log.String() != "":
		kind[2]++
	default:
		kind[0]++
	}
	return kind
}

// mended waits until the store that Verify found damaged is whole.
func (r *running) mended(t *testing.T, what string, docs []byte) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(100 * time.Millisecond) {
		v, err := r.Verify(t.Context(), localScope, nil)
		if err == nil && v.OK {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%s: the store stays damaged: %v %+v\n%s", what, err, v.Damaged, r.log)
			return
		}
	}
	got, err := r.few(t.Context())
	if err != nil {
		t.Errorf("%s, mended: %v", what, err)
	}
	same(t, what+", mended", got, docs)
}

// named checks that damage of the archive is told where it changes anything:
// in the running program, and after its store was made anew.
func (r *running) named(t *testing.T, what, dir string, docs []byte) (kind [3]int) {
	t.Helper()
	v, err := r.Verify(t.Context(), localScope, nil)
	if err != nil {
		t.Errorf("%s: verify: %v", what, err)
		return kind
	}
	told := !v.OK || len(v.Notes) > 0 || r.log.String() != ""
	if got, err := r.few(t.Context()); err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !bytes.Equal(got, docs) && !told {
		same(t, what, got, docs)
	}
	kind[0]++
	if told {
		kind = [3]int{0, 1, 0}
	}
	r.stop()
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	x := begin(t, damageConfig(dir), Deps{})
	defer x.stop()
	x.settle(t)
	got, err := x.few(t.Context())
	if err != nil {
		t.Errorf("%s, store deleted: %v", what, err)
		return kind
	}
	if bytes.Equal(got, docs) {
		return kind
	}
	// Something is missing: the damage names it.
	if v, err = x.Verify(t.Context(), localScope, nil); err != nil || v.OK {
		same(t, what+", store deleted", got, docs)
		t.Errorf("%s, store deleted: the figures are others, and verify finds nothing: %v", what, err)
		return kind
	}
	lines := ""
	for _, d := range v.Damaged {
		lines += d.Detail + " " + strings.Join(d.Deliveries, " ") + "\n"
	}
	for id, d := range x.deliveries(t) {
		if d.State == query.StateLoaded {
			continue
		}
		if d.State != query.StateRefused || !strings.Contains(lines, id+" "+d.Feed+" "+d.Name) {
			t.Errorf("%s, store deleted: %s %s is %s (%s), and verify does not name it:\n%s", what, id, d.Name, d.State, d.Reason, lines)
		}
	}
	return kind
}

// TestHome damages the one setting that decides figures: what is no country is
// refused, and another country is told, in the log and in the journal.
func TestHome(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	cfg := smallConfig(dir)
	r := begin(t, cfg, Deps{})
	r.reference(t)
	r.mustSend(t, parcelOf(0, 1, 50))
	r.settle(t)
	docs := r.mustDocuments(t)
	r.stop()
	for at := range len(cfg.Home) {
		for bit := range 8 {
			if !full() && (at*8+bit)%3 != 0 {
				continue
			}
			b := []byte(cfg.Home)
			b[at] ^= 1 << bit
			other := cfg
			other.Home = string(b)
			x, err := start(other, Deps{})
			if err != nil {
				continue
			}
			told := x.log.String()
			got := x.mustDocuments(t)
			list, err := x.Audit(t.Context(), localScope, 1)
			x.stop()
			same := bytes.Equal(got, docs)
			if !same && (!strings.Contains(told, other.Home) || err != nil || len(list) != 1 || list[0].Kind != "config") {
				t.Errorf("home %q: the figures changed in silence: %s %+v %v", other.Home, told, list, err)
			}
			if same { // harmless
				continue
			}
			if x, err = start(cfg, Deps{}); err != nil {
				t.Fatal(err)
			}
			x.stop()
		}
	}
	r = begin(t, cfg, Deps{})
	same(t, "the country as it was", r.mustDocuments(t), docs)
}
