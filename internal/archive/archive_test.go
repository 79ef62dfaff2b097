package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var quiet = slog.New(slog.DiscardHandler)

// tiny makes files of all kinds from few bytes.
func tiny() Config {
	return Config{Dir: "/srv/archive", BlobSize: 2 << 10, PackSize: 8 << 10, SegmentSize: 4 << 10, SpoolSize: 300 << 10, MinFree: -1}
}

func mustOpen(t testing.TB, cfg Config, deps Deps) *Archive {
	t.Helper()
	a, err := Open(quiet, cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func mustPut(t testing.TB, a *Archive, b []byte) Content {
	t.Helper()
	c, err := a.Put(t.Context(), bytes.NewReader(b), 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(b)); c.SHA256 != want || c.Size != int64(len(b)) {
		t.Fatalf("put of %d bytes gives %+v, want hash %s", len(b), c, want)
	}
	return c
}

func delivery(c Content, name string) Line {
	return Line{Kind: KindDelivery, By: "test", Delivery: &Delivery{
		Feed: "sinkhole", Format: "shadowserver", Report: "event4_sinkhole", Name: name, SHA256: c.SHA256, Size: c.Size,
		Marking: "amber", Enrichment: 3, Versions: map[string]string{"tocsin": "0.1"},
	}}
}

func mustAppend(t testing.TB, a *Archive, ls ...Line) []Line {
	t.Helper()
	out, err := a.Append(t.Context(), ls...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func mustRead(t testing.TB, a *Archive, sha string) []byte {
	t.Helper()
	b, err := read(a, sha)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(a *Archive, sha string) ([]byte, error) {
	r, err := a.Content(sha)
	if err != nil {
		return nil, err
	}
	defer closeRead(r)
	return io.ReadAll(r)
}

func allLines(t testing.TB, a *Archive, from uint64) (ls []Line) {
	t.Helper()
	for l, err := range a.Lines(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		ls = append(ls, l)
	}
	return ls
}

func mustVerify(t testing.TB, a *Archive) (Summary, []Damage) {
	t.Helper()
	var ds []Damage
	last := int64(-1)
	sum, err := a.Verify(t.Context(), func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}, func(d Damage) { ds = append(ds, d) })
	if err != nil {
		t.Fatal(err)
	}
	return sum, ds
}

// text gives n bytes that compress, noise gives n that do not.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "2026-01-%02d 00:00:00,192.0.2.%d,%d,64500,XX,sinkhole\n", r.IntN(28)+1, r.IntN(256), r.IntN(65536))
	}
	return b.Bytes()[:n]
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))
	_, _ = r.Read(b)
	return b
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "archive")
	cfg := Config{Dir: dir, SpoolSize: 512 << 10}
	bodies := map[string][]byte{
		"empty":                      {},
		"one byte":                   {'x'},
		"text":                       text(1, 300<<10),
		"noise larger than a blob":   noise(2, 1<<20+1),
		"noise just below":           noise(3, 1<<20),
		"spooled text":               text(4, 5<<20),
		"spooled noise":              noise(5, 3<<20),
		"spooled text to a blob":     slices.Concat(text(6, 2<<20), noise(6, 2<<20)),
		"gzip":                       gz(text(7, 10<<10)),
		"spooled gzip":               gz(noise(8, 2<<20)),
		"zeros far beyond its frame": make([]byte, 20<<20),
	}
	a := mustOpen(t, cfg, Deps{})
	sums := map[string]Content{}
	for name, b := range bodies {
		c := mustPut(t, a, b)
		if !c.New {
			t.Errorf("%s: not new", name)
		}
		sums[name] = c
		mustAppend(t, a, delivery(c, name))
	}
	check := func() {
		t.Helper()
		for name, b := range bodies {
			if got := mustRead(t, a, sums[name].SHA256); !bytes.Equal(got, b) {
				t.Errorf("%s: %d bytes read back differ from %d", name, len(got), len(b))
			}
			if c := mustPut(t, a, b); c.New || !a.Has(c.SHA256) {
				t.Errorf("%s: put again is new", name)
			}
		}
		if sum, ds := mustVerify(t, a); !sum.Whole() || len(ds) > 0 || sum.Contents != int64(len(bodies)) || sum.Lines != int64(len(bodies)) {
			t.Errorf("verify: %+v %v", sum, ds)
		}
	}
	check()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = mustOpen(t, cfg, Deps{})
	if d := a.Damage(); len(d) > 0 {
		t.Errorf("damage after a clean close: %v", d)
	}
	check()
	if got := a.held.Load(); got != 0 {
		t.Errorf("%d bytes are still held", got)
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", p, st.Mode())
		}
		if strings.Contains(p, dirTmp+"/") {
			t.Errorf("%s is left over", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	l := newLossyFS()
	a := mustOpen(t, tiny(), Deps{FS: l})
	for _, n := range []int{11, 700 << 10} {
		if _, err := a.Put(t.Context(), bytes.NewReader(noise(1, n)), int64(n-1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := a.Put(t.Context(), bytes.NewReader(noise(1, n)), int64(n)); err != nil {
			t.Errorf("%d bytes at the limit: %v", n, err)
		}
	}
	cause := errors.New("the sender went away")
	if _, err := a.Put(t.Context(), io.MultiReader(bytes.NewReader(noise(2, 700<<10)), iotest.ErrReader(cause)), 0); !errors.Is(err, cause) || errors.Is(err, ErrUnavailable) {
		t.Errorf("a reader's error became %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := a.Put(ctx, bytes.NewReader(nil), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("put with an ended context: %v", err)
	}
	if n := l.files(func(s string) bool { return strings.Contains(s, dirTmp) }); len(n) > 0 {
		t.Errorf("left over: %v", n)
	}
	if err := a.Err(); err != nil {
		t.Errorf("a refused body made the archive unavailable: %v", err)
	}
	if _, err := a.Content(strings.Repeat("0", 64)); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent content: %v", err)
	}
	if _, err := a.Content("../../etc/passwd"); !errors.Is(err, ErrNotFound) {
		t.Errorf("content that is no hash: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	a := mustOpen(t, tiny(), Deps{FS: newLossyFS()})
	c := mustPut(t, a, []byte("x"))
	for name, l := range map[string]Line{
		"unknown kind":               {Kind: "rumour"},
		"delivery without one":       {Kind: KindDelivery},
		"delivery of another kind":   {Kind: KindFeed, Delivery: delivery(c, "x").Delivery},
		"content that is not stored": delivery(Content{SHA256: strings.Repeat("0", 64)}, "x"),
		"content that is no hash":    {Kind: KindRefdata, Contents: []string{"x"}},
		"data that is no JSON":       {Kind: KindConfig, Data: json.RawMessage(`{`)},
		"data that is too long":      {Kind: KindConfig, Data: json.RawMessage(`"` + strings.Repeat("x", maxLine) + `"`)},
		"a year beyond RFC 3339":     {Kind: KindConfig, At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := a.Append(t.Context(), delivery(c, "good"), l); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := a.Last(); n != 0 {
		t.Errorf("%d lines got in with refused ones", n)
	}
}

// reference reads the journal in the plainest way and checks the chain.
func reference(t *testing.T, l *lossyFS) (out []Line) {
	t.Helper()
	prev := strings.Repeat("0", 64)
	for _, name := range l.files(func(s string) bool { return strings.HasSuffix(s, ".jsonl") }) {
		for line := range bytes.Lines(l.now[name].data) {
			line = line[:len(line)-1]
			var v Line
			if err := json.Unmarshal(line, &v); err != nil {
				t.Fatal(err)
			}
			if v.Prev != prev {
				t.Fatalf("%s: line %d: prev is %s, want %s", name, v.Seq, v.Prev, prev)
			}
			s := sha256.Sum256(line)
			prev = hex.EncodeToString(s[:])
			out = append(out, v)
		}
	}
	return out
}

func TestJournal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		l := newLossyFS()
		clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		deps := Deps{FS: l, Clock: func() time.Time { clock = clock.Add(100 * time.Millisecond); return clock }}
		a, err := Open(quiet, tiny(), deps)
		if err != nil {
			rt.Fatal(err)
		}
		var want []Line
		for i := range rapid.IntRange(1, 40).Draw(rt, "appends") {
			if rapid.IntRange(0, 9).Draw(rt, "reopen") == 0 {
				if err := a.Close(); err != nil {
					rt.Fatal(err)
				}
				if a, err = Open(quiet, tiny(), deps); err != nil {
					rt.Fatal(err)
				}
			}
			c, err := a.Put(t.Context(), strings.NewReader(rapid.String().Draw(rt, "body")), 0)
			if err != nil {
				rt.Fatal(err)
			}
			d := delivery(c, rapid.String().Draw(rt, "name")+"\xff")
			data, _ := json.Marshal(rapid.String().Draw(rt, "data"))
			ls := []Line{d, {Kind: KindRefdata, Contents: []string{c.SHA256}, Data: data}, {Kind: KindDecision, By: "a<b>", Data: json.RawMessage(" {\n \"why\" : \"<&>\u2028\" } ")}}
			out, err := a.Append(t.Context(), ls[:i%3+1]...)
			if err != nil {
				rt.Fatal(err)
			}
			want = append(want, out...)
		}
		from := rapid.Uint64Range(0, uint64(len(want))+2).Draw(rt, "from")
		got := allLines(t, a, from)
		if exp := want[min(len(want), int(max(from, 1))-1):]; !equalLines(got, exp) {
			rt.Fatalf("lines from %d: %d read back, want %d as appended", from, len(got), len(exp))
		}
		if err := a.Close(); err != nil {
			rt.Fatal(err)
		}
		if ref := reference(t, l); !equalLines(ref, want) {
			rt.Fatalf("the files hold %d lines that differ from %d appended", len(ref), len(want))
		}
	})
}

func equalLines(a, b []Line) bool {
	ja, _ := json.Marshal(a)
	jb, _ := json.Marshal(b)
	return len(a) == len(b) && (len(a) == 0 || bytes.Equal(ja, jb))
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	cfg := tiny()
	cfg.Dir = t.TempDir()
	a := mustOpen(t, cfg, Deps{})
	const workers, each = 8, 20
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		want = map[uint64]string{}
	)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				b := text(uint64(i*(w%4)), 200+i*300) // some are the same
				c, err := a.Put(t.Context(), bytes.NewReader(b), 0)
				if err != nil {
					t.Error(err)
					return
				}
				ls, err := a.Append(t.Context(), delivery(c, "x"))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				want[ls[0].Seq] = c.SHA256
				mu.Unlock()
				if _, err := read(a, c.SHA256); err != nil {
					t.Error(err)
				}
				if i == each/2 {
					mustVerify(t, a)
				}
			}
		})
	}
	wg.Wait()
	got := allLines(t, a, 1)
	if len(got) != workers*each || len(want) != len(got) {
		t.Fatalf("%d lines and %d sequences of %d appends", len(got), len(want), workers*each)
	}
	for _, l := range got {
		if want[l.Seq] != l.Delivery.SHA256 {
			t.Errorf("line %d is another's", l.Seq)
		}
	}
	if sum, ds := mustVerify(t, a); len(ds) > 0 {
		t.Errorf("verify: %+v %v", sum, ds)
	}
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLossyFS()
		hold := map[string]chan struct{}{"journal-written": make(chan struct{}), "content-written": make(chan struct{})}
		a, err := Open(quiet, Config{Dir: "/srv/archive", MinFree: -1}, Deps{FS: l, Hook: func(p string) {
			if c := hold[p]; c != nil {
				<-c
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		together := func(point, ext string, f func(i int)) {
			before := l.syncs[ext]
			for i := range 21 {
				go f(i)
				if i == 0 {
					synctest.Wait() // the first is in its commit
				}
			}
			synctest.Wait() // the others wait for it
			close(hold[point])
			synctest.Wait()
			if n := l.syncs[ext] - before; n != 2 {
				t.Errorf("%s: 21 callers made %d syncs, want 2: the first alone, the others together", point, n)
			}
		}
		mustNot := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		// The first content begins a pack, which is synced by itself.
		mustNot(a.packs.g.do(&newFrame{}, func([]*ticket[*newFrame]) { mustNot(a.packs.ready()) }))
		together("content-written", ".pack", func(i int) {
			_, err := a.Put(t.Context(), bytes.NewReader(text(uint64(i), 100)), 0)
			mustNot(err)
		})
		together("journal-written", ".jsonl", func(int) {
			_, err := a.Append(t.Context(), Line{Kind: KindDecision})
			mustNot(err)
		})
		if a.Last() != 21 || a.Stats().Contents != 21 {
			t.Errorf("%+v", a.Stats())
		}
		mustNot(a.Close())
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := Open(quiet, tiny(), Deps{FS: newLossyFS()})
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan uint64, 1)
		go func() {
			n, err := a.Wait(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			got <- n
		}()
		mustAppend(t, a, Line{Kind: KindDecision})
		synctest.Wait()
		if len(got) > 0 {
			t.Error("Wait(1) returned after line 1")
		}
		mustAppend(t, a, Line{Kind: KindDecision}, Line{Kind: KindDecision})
		if n := <-got; n != 3 {
			t.Errorf("Wait gives %d, want 3", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Wait(ctx, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait without lines: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPacksRotate(t *testing.T) {
	t.Parallel()
	l := newLossyFS()
	cfg := tiny()
	a := mustOpen(t, cfg, Deps{FS: l})
	var cs []Content
	for i := range 200 {
		cs = append(cs, mustPut(t, a, noise(uint64(i), 50+i)))
	}
	packs := l.files(func(s string) bool { return strings.HasSuffix(s, ".pack") })
	if len(packs) < 4 || len(packs) > 8 {
		t.Errorf("%d packs for some 45 kB at 8 KiB each", len(packs))
	}
	for _, p := range packs[:len(packs)-1] {
		f, _ := l.OpenFile(p, os.O_RDONLY, 0)
		st, _ := f.Stat()
		if _, ok, err := readIndex(f, st.Size()); !ok || err != nil {
			t.Errorf("%s is not sealed: %v", p, err)
		}
		if st.Size() > cfg.PackSize+8<<10 {
			t.Errorf("%s has %d bytes", p, st.Size())
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = mustOpen(t, cfg, Deps{FS: l})
	if s := a.Stats(); s.Contents != 200 || s.Packs != len(packs) {
		t.Errorf("%+v", s)
	}
	for i, c := range cs {
		if !bytes.Equal(mustRead(t, a, c.SHA256), noise(uint64(i), 50+i)) {
			t.Errorf("content %d differs", i)
		}
	}
	if sum, _ := mustVerify(t, a); !sum.Whole() || sum.Unmentioned != 200 {
		t.Errorf("%+v", sum)
	}
}

// TestSlowBodiesWaitOnDisk has many senders stop half way: the memory that
// they hold is bounded.
func TestSlowBodiesWaitOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := tiny()
		cfg.SpoolSize, cfg.SpoolTotal = 4<<20, 2<<20
		a, err := Open(quiet, cfg, Deps{FS: newLossyFS()})
		if err != nil {
			t.Fatal(err)
		}
		goOn := make(chan struct{})
		const senders = 50
		for i := range uint64(senders) {
			go func() {
				body := noise(i, 500<<10)
				c, err := a.Put(t.Context(), io.MultiReader(bytes.NewReader(body), waiter(goOn)), 0)
				if err != nil || c.SHA256 != fmt.Sprintf("%x", sha256.Sum256(body)) {
					t.Errorf("sender %d: %+v %v", i, c, err)
				}
			}()
		}
		synctest.Wait()
		if n := a.Stats().HeldBytes; n == 0 || n > cfg.SpoolTotal+senders*firstBuffer {
			t.Errorf("%d senders of 500 KiB hold %d bytes", senders, n)
		}
		close(goOn)
		synctest.Wait()
		if n := a.Stats().HeldBytes; n != 0 {
			t.Errorf("%d bytes are still held", n)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// waiter is at its end when the channel is closed.
type waiter chan struct{}

func (w waiter) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

func TestLinesStop(t *testing.T) {
	t.Parallel()
	a := mustOpen(t, tiny(), Deps{FS: newLossyFS()})
	for range 50 {
		mustAppend(t, a, Line{Kind: KindDecision})
	}
	n := 0
	for _, err := range a.Lines(t.Context(), 1) {
		if n++; err != nil || n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n = 0
	var last error
	for _, err := range a.Lines(ctx, 1) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	if n != 4 || !errors.Is(last, context.Canceled) {
		t.Errorf("after %d lines: %v", n, last)
	}
	for l, err := range a.Lines(t.Context(), 51) {
		t.Errorf("line %d is after the last: %v", l.Seq, err)
	}
}

func TestHeadAtMostOnceASecond(t *testing.T) {
	t.Parallel()
	l := newLossyFS()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := tiny()
	cfg.SegmentSize = 1 << 20
	a := mustOpen(t, cfg, Deps{FS: l, Clock: func() time.Time { return now }})
	base := l.syncs[".tmp"]
	for range 50 {
		now = now.Add(100 * time.Millisecond)
		mustAppend(t, a, Line{Kind: KindDecision})
	}
	if n := l.syncs[".tmp"] - base; n != 5 {
		t.Errorf("50 lines in 5 s wrote the head %d times, want 5", n)
	}
	now = now.Add(-time.Hour)
	mustAppend(t, a, Line{Kind: KindDecision})
	if n := l.syncs[".tmp"] - base; n != 6 {
		t.Errorf("the head is not written when the clock goes back")
	}
}

func TestMinFree(t *testing.T) {
	t.Parallel()
	free := int64(100)
	cfg := tiny()
	cfg.MinFree = 50
	a := mustOpen(t, cfg, Deps{FS: newLossyFS(), Free: func(string) (int64, error) { return free, nil }})
	c := mustPut(t, a, []byte("before"))
	free = 49
	_, err := a.Put(t.Context(), strings.NewReader("x"), 0)
	_, err2 := a.Append(t.Context(), delivery(c, "x"))
	for _, err := range []error{err, err2, a.Err()} {
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrNoSpace) {
			t.Errorf("below the limit: %v", err)
		}
	}
	mustRead(t, a, c.SHA256)
	free = 50
	mustAppend(t, a, delivery(c, "x"))
	if err := a.Err(); err != nil {
		t.Error(err)
	}
}

func TestLockAndClose(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir()}
	a := mustOpen(t, cfg, Deps{})
	if _, err := Open(quiet, cfg, Deps{}); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Put(t.Context(), strings.NewReader("x"), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
	if _, err := a.Append(t.Context(), Line{Kind: KindDecision}); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if err := a.packs.store(&newFrame{b: []byte("x")}); !errors.Is(err, ErrClosed) {
		t.Errorf("a put that was under way: %v", err)
	}
	if !errors.Is(a.Err(), ErrClosed) || a.Close() != nil {
		t.Error("a closed archive is not closed")
	}
	mustOpen(t, cfg, Deps{})
}

func TestIndex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var x index
		want := map[[5]byte][]loc{}
		n := rapid.IntRange(0, 3000).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		few := rapid.Bool().Draw(t, "few")
		r := rand.New(rand.NewPCG(seed, 2))
		key := func() (k [32]byte) {
			if few { // many with the same prefix
				k[r.IntN(3)*2] = byte(r.IntN(3))
				return k
			}
			for i := range 6 {
				k[i] = byte(r.Uint32())
			}
			return k
		}
		for i := range n {
			k := key()
			l := place(uint32(i%7+1), int64(i))
			x.add(k[:], l)
			want[[5]byte(k[:])] = append(want[[5]byte(k[:])], l)
		}
		if x.n != int64(n) {
			t.Fatalf("n is %d, want %d", x.n, n)
		}
		for k, w := range want {
			slices.Sort(w)
			slices.Reverse(w)
			sha := [32]byte{k[0], k[1], k[2], k[3], k[4]}
			if got := x.find(&sha, nil); !slices.Equal(got, w) {
				t.Fatalf("find gives %v, want %v", got, w)
			}
		}
		for range 100 {
			k := key()
			if _, ok := want[[5]byte(k[:])]; !ok {
				if got := x.find(&k, nil); len(got) > 0 {
					t.Fatalf("an absent key is found at %v", got)
				}
			}
		}
	})
	l := place(1<<31-1, maxPack*2)
	if l.pack() != 1<<31-1 || l.off() != maxPack*2 {
		t.Errorf("place: %d %d", l.pack(), l.off())
	}
}

// BenchmarkIndex prints the memory that an index of a million contents takes.
func BenchmarkIndex(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var x index
		r := rand.NewChaCha8([32]byte{})
		var sha [32]byte
		for i := range 1_000_000 {
			_, _ = r.Read(sha[:])
			x.add(sha[:], place(1, int64(i)))
		}
		n := 0
		for i := range x.tables {
			n += len(x.tables[i].keys) * 12
		}
		b.ReportMetric(float64(n)/1e6, "B/content")
	}
}

// BenchmarkDelivery stores and journals deliveries of 10,000 rows of 300 bytes.
func BenchmarkDelivery(b *testing.B) {
	a := mustOpen(b, Config{Dir: b.TempDir()}, Deps{})
	row := func(r *rand.Rand) string {
		s := fmt.Sprintf("\"2026-01-%02d %02d:%02d:%02d\",\"tcp\",\"192.0.%d.%d\",%d,64500,\"XX\",\"Region %d\",\"host%d.example.net\",\"198.51.100.%d\",80,\"sinkhole.example\",\"avalanche-andromeda\",\"Mozilla/5.0 (Windows NT 10.0) %08x\",\"/gate.php?id=%016x\",",
			r.IntN(28)+1, r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(256), r.IntN(256), r.IntN(65536), r.IntN(20), r.IntN(1e6), r.IntN(256), r.Uint32(), r.Uint64())
		return s + strings.Repeat(",", 299-len(s)) + "\n"
	}
	r := rand.New(rand.NewPCG(1, 1))
	var buf bytes.Buffer
	for range 10_000 {
		buf.WriteString(row(r))
	}
	body := buf.Bytes()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	n := 0
	cpu := cpuTime()
	for b.Loop() {
		copy(body, fmt.Sprintf("%012d", n))
		n++
		c, err := a.Put(b.Context(), bytes.NewReader(body), 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.Append(b.Context(), delivery(c, "bench.csv")); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/1e3/float64(n)/1e4, "cpu-µs/row")
	s := a.Stats()
	b.ReportMetric(float64(s.PackBytes+int64(s.Packs-1)*(64<<20))/float64(n)/1e4, "disk-B/row")
}
