package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tocsin/internal/archive"
)

// mixedParcels are deliveries of several feeds over all days, with duplicates
// and rows that cannot be read.
func mixedParcels(feeds, each, rows int) []parcel {
	var ps []parcel
	for n := range each {
		for f := range feeds {
			ps = append(ps, parcelOf(f, n, rows+f*rows/7))
		}
	}
	return ps
}

// report is the text of a report file in its columns and rows.
type report struct {
	header []string
	rows   [][]string
}

// readReport cuts a report whose cells hold neither quotes nor line ends.
func readReport(tb testing.TB, b []byte) report {
	tb.Helper()
	var r report
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n") {
		var cells []string
		for quoted, rest := false, line; ; {
			i := strings.IndexFunc(rest, func(c rune) bool {
				if c == '"' {
					quoted = !quoted
				}
				return c == ',' && !quoted
			})
			if i < 0 {
				cells = append(cells, rest)
				break
			}
			cells = append(cells, rest[:i])
			rest = rest[i+1:]
		}
		if r.header == nil {
			r.header = cells
			continue
		}
		if len(cells) != len(r.header) {
			tb.Fatalf("%d cells under %d columns: %s", len(cells), len(r.header), line)
		}
		r.rows = append(r.rows, cells)
	}
	return r
}

func (r report) bytes(end string) []byte {
	var b bytes.Buffer
	b.WriteString(strings.Join(r.header, ",") + end)
	for _, c := range r.rows {
		b.WriteString(strings.Join(c, ",") + end)
	}
	return b.Bytes()
}

// permuted gives the report with its columns in another order.
func (r report) permuted(rng *rand.Rand) report {
	p := rng.Perm(len(r.header))
	pick := func(cells []string) []string {
		out := make([]string, len(cells))
		for i, j := range p {
			out[i] = cells[j]
		}
		return out
	}
	out := report{header: pick(r.header)}
	for _, c := range r.rows {
		out.rows = append(out.rows, pick(c))
	}
	return out
}

func (r report) shuffled(rng *rand.Rand) report {
	out := report{r.header, slices.Clone(r.rows)}
	rng.Shuffle(len(out.rows), func(i, j int) { out.rows[i], out.rows[j] = out.rows[j], out.rows[i] })
	return out
}

func (r report) split(n int) (out []report) {
	for c := range slices.Chunk(r.rows, (len(r.rows)+n-1)/n) {
		out = append(out, report{r.header, c})
	}
	return out
}

func gzipped(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func zstded(tb testing.TB, b []byte) []byte {
	tb.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // it wrote to memory alone
	return w.EncodeAll(b, nil)
}

// TestReplay sends one file in every form that a sender may send it again in,
// first into one directory, one after the other, and then each into its own:
// the events and every figure are those of one load.
func TestReplay(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(13, 13))
	rows := sized(1_200, 80_000) // of one day: sinkholeRows has no more
	body := sinkholeRows(1, 2, rows)
	day := parcelDay(1, 2).Format("2006-01-02")
	whole := readReport(t, body)
	// A second day, so that the figures have something to compare with.
	other := parcelOf(1, 3, 500)
	name := func(form, end string) string {
		return fmt.Sprintf("%s-event4_sinkhole_http-%s.csv%s", day, form, end)
	}
	one := func(form, end string, b []byte) []parcel {
		return []parcel{{feed: "feed-1", name: name(form, end), body: b}}
	}
	var parts []parcel
	for i, p := range whole.split(100) {
		parts = append(parts, one(fmt.Sprintf("part%02d", i), "", p.bytes("\n"))...)
	}
	forms := []struct {
		name    string
		parcels []parcel
	}{
		{"as it is", one("test", "", body)},
		{"again", one("test", "", body)},
		{"shuffled", one("shuffled", "", whole.shuffled(rng).bytes("\n"))},
		{"CRLF", one("crlf", "", whole.bytes("\r\n"))},
		{"gzip", one("gzip", ".gz", gzipped(t, body))},
		{"gzip without a name that says so", one("bare", "", gzipped(t, body))},
		{"zstd", one("zstd", ".zst", zstded(t, body))},
		{"100 parts", parts},
		{"columns permuted", one("columns", "", whole.permuted(rng).bytes("\n"))},
		{"shuffled, permuted, CRLF, gzip", one("all", ".gz", gzipped(t, whole.permuted(rng).shuffled(rng).bytes("\r\n")))},
		{"no line end after the last row", one("open", "", bytes.TrimSuffix(body, []byte("\n")))},
		{"byte order mark", one("mark", "", append([]byte("\xef\xbb\xbf"), body...))},
	}
	first := begin(t, smallConfig(filepath.Join(t.TempDir(), "one")), Deps{})
	first.reference(t)
	first.mustSend(t, other)
	first.mustSend(t, forms[0].parcels...)
	first.settle(t)
	docs, ids := first.mustDocuments(t), first.ids(t)
	if len(ids) != rows+500 {
		t.Fatalf("%d events of %d rows", len(ids), rows+500)
	}
	for _, f := range forms[1:] {
		before := first.deliveries(t)
		first.mustSend(t, f.parcels...)
		first.settle(t)
		same(t, f.name, first.mustDocuments(t), docs)
		if !slices.Equal(first.ids(t), ids) {
			t.Errorf("%s: the events changed", f.name)
		}
		var received, duplicate int64
		for id, d := range first.deliveries(t) {
			if _, old := before[id]; !old {
				received, duplicate = received+d.Received, duplicate+d.Duplicate
			}
		}
		if received != int64(rows) || duplicate != received {
			t.Errorf("%s: %d of %d rows are duplicates, want all %d", f.name, duplicate, received, rows)
		}
	}
	// Two senders at once.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for _, p := range slices.Backward(parts) {
				if _, err := first.send(context.Background(), p); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	first.settle(t)
	same(t, "two senders at once", first.mustDocuments(t), docs)
	first.sound(t, first.deliveries(t))
	first.stop()

	for i, f := range forms[2:] {
		if !full() && i%4 != 0 { // the rest is for the full size
			continue
		}
		r := begin(t, smallConfig(filepath.Join(t.TempDir(), "own")), Deps{})
		r.reference(t)
		var wg sync.WaitGroup
		for range 2 { // and here the two meet with nothing loaded
			wg.Go(func() {
				for _, p := range f.parcels {
					if _, err := r.send(context.Background(), p); err != nil {
						t.Error(err)
					}
				}
			})
		}
		r.mustSend(t, other)
		wg.Wait()
		r.settle(t)
		same(t, f.name+" alone", r.mustDocuments(t), docs)
		if !slices.Equal(r.ids(t), ids) {
			t.Errorf("%s alone: other events", f.name)
		}
		r.sound(t, r.deliveries(t))
		r.stop()
	}
}

// TestOrder loads the same deliveries in another order, with one CPU and with
// two, and makes the store again in both ways that there are: the figures are
// the same byte for byte.
func TestOrder(t *testing.T) {
	ps := mixedParcels(3, sized(8, 60), sized(250, 2_000))
	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, smallConfig(dir), Deps{})
	r.reference(t)
	r.mustSend(t, ps...)
	r.settle(t)
	docs, ids := r.mustDocuments(t), r.ids(t)
	r.sound(t, r.deliveries(t))

	res, err := r.Rebuild(t.Context(), localScope, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.Events != int64(len(ids)) {
		t.Errorf("rebuild speaks of %d events, there are %d", res.Events, len(ids))
	}
	same(t, "rebuilt", r.mustDocuments(t), docs)
	for _, left := range []string{"store.new", "store.old"} {
		if _, err := os.Stat(filepath.Join(dir, left)); err == nil {
			t.Errorf("rebuild leaves %s behind", left)
		}
	}
	r.stop()

	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	r = begin(t, smallConfig(dir), Deps{})
	r.settle(t)
	same(t, "the store deleted", r.mustDocuments(t), docs)
	if !slices.Equal(r.ids(t), ids) {
		t.Error("the store deleted: other events")
	}
	r.stop()

	rng := rand.New(rand.NewPCG(1, 2))
	for _, cpus := range []int{1, 2} {
		before := runtime.GOMAXPROCS(cpus)
		turned := slices.Clone(ps)
		rng.Shuffle(len(turned), func(i, j int) { turned[i], turned[j] = turned[j], turned[i] })
		cfg := smallConfig(filepath.Join(t.TempDir(), "turned"))
		cfg.Store.Threads = cpus
		x := begin(t, cfg, Deps{})
		x.reference(t)
		x.mustSend(t, turned...)
		x.settle(t)
		same(t, fmt.Sprintf("another order, %d CPU", cpus), x.mustDocuments(t), docs)
		if !slices.Equal(x.ids(t), ids) {
			t.Errorf("another order, %d CPU: other events", cpus)
		}
		x.stop()
		runtime.GOMAXPROCS(before)
	}
}

// TestBackup takes a backup while deliveries come in: all that was acked
// before it began is in it, and its figures are those of a directory that got
// just what is in it.
func TestBackup(t *testing.T) {
	t.Parallel()
	ps := mixedParcels(3, sized(12, 100), 200)
	half := len(ps) / 2
	r := begin(t, smallConfig(filepath.Join(t.TempDir(), "data")), Deps{})
	r.reference(t)
	acked := map[string]parcel{}
	for i, id := range r.mustSend(t, ps[:half]...) {
		acked[id] = ps[i]
	}
	var wg sync.WaitGroup
	early := make(chan string, len(ps))
	wg.Go(func() {
		for _, p := range ps[half:] {
			d, err := r.send(context.Background(), p)
			if err != nil {
				t.Error(err)
			}
			early <- d.ID
		}
	})
	for i := range 4 {
		acked[<-early] = ps[half+i]
	}
	dst := filepath.Join(t.TempDir(), "backup")
	if _, err := r.Backup(t.Context(), localScope, dst, nil); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	// Once more, when nothing comes later.
	r.settle(t)
	still := filepath.Join(t.TempDir(), "still")
	if _, err := r.Backup(t.Context(), localScope, still, nil); err != nil {
		t.Fatal(err)
	}
	docs := r.mustDocuments(t)
	r.stop()

	restored := begin(t, smallConfig(restore(t, dst)), Deps{})
	restored.settle(t)
	ds := restored.deliveries(t)
	byName := map[string]parcel{}
	for _, p := range ps {
		byName[p.name] = p
	}
	for id, p := range acked {
		if d, ok := ds[id]; !ok || d.Name != p.name || d.Received != int64(p.rows) {
			t.Errorf("acked before the backup and not in it: %s %+v", p.name, d)
		}
	}
	restored.sound(t, ds)
	want := begin(t, smallConfig(filepath.Join(t.TempDir(), "want")), Deps{})
	want.reference(t)
	for _, d := range ds {
		want.mustSend(t, byName[d.Name])
	}
	want.settle(t)
	same(t, "restored", restored.mustDocuments(t), want.mustDocuments(t))
	t.Logf("%d deliveries were acked before the backup began, %d are in it, %d came in all", len(acked), len(ds), len(ps))
	restored.stop()
	want.stop()

	whole := begin(t, smallConfig(restore(t, still)), Deps{})
	whole.settle(t)
	same(t, "restored whole", whole.mustDocuments(t), docs)
	if v, err := whole.Verify(t.Context(), localScope, nil); err != nil || !v.OK {
		t.Errorf("verify the restored: %v %+v", err, v.Damaged)
	}
}

// restore makes a data directory of a backup.
func restore(tb testing.TB, backup string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "restored")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if _, err := archive.Restore(tb.Context(), slog.New(newRecord()), backup, filepath.Join(dir, "archive"), archive.Deps{}, nil, nil); err != nil {
		tb.Fatal(err)
	}
	return dir
}
