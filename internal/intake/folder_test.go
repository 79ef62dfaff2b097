package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// box is an inbox under test.
type box struct {
	t   testing.TB
	dir string
}

func newBox(t testing.TB) box { return box{t, filepath.Join(t.TempDir(), "inbox")} }

func (b box) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// put writes FEED/NAME and dates it.
func (b box) put(name, body string, mtime time.Time) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(name)), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), []byte(body), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chtimes(b.path(name), mtime, mtime); err != nil {
		b.t.Fatal(err)
	}
}

// files lists everything below the inbox but folders.
func (b box) files() []string {
	b.t.Helper()
	var names []string
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(b.dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return names
}

func (b box) want(names ...string) {
	b.t.Helper()
	slices.Sort(names)
	if got := b.files(); !slices.Equal(got, names) {
		b.t.Errorf("files %q, want %q", got, names)
	}
}

func (b box) folder(s Sink, clock func() time.Time, change ...func(*FolderConfig)) *Folder {
	b.t.Helper()
	cfg := DefaultFolderConfig()
	cfg.Dir = b.dir
	for _, f := range change {
		f(&cfg)
	}
	w, err := NewFolder(slog.New(slog.DiscardHandler), cfg, FolderDeps{Sink: s, Clock: clock})
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// run runs the folder in a bubble until the returned function is called.
func run(t *testing.T, w *Folder) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func names(list []got) []string {
	var n []string
	for _, g := range list {
		n = append(n, g.feed+"/"+g.name)
	}
	slices.Sort(n)
	return n
}

func TestFolderTakesWhatIsWhole(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		s := &sink{}
		w := b.folder(s, time.Now)
		start := time.Now()
		b.put("a/new.csv", "new", start)
		b.put("a/old.csv", "old", start.Add(-time.Hour))
		b.put("a/future.csv", "future", start.Add(time.Hour))
		b.put("a/empty.csv", "", start)
		b.put("a/.hidden", "x", start.Add(-time.Hour))
		b.put("a/x.csv.tmp", "x", start.Add(-time.Hour))
		b.put("a/x.csv.part", "x", start.Add(-time.Hour))
		b.put("a/sub/x.csv", "x", start.Add(-time.Hour))
		b.put("b/old.csv", "b's", start.Add(-time.Hour))
		b.put("not a feed/x.csv", "x", start.Add(-time.Hour))
		b.put("loose.csv", "x", start.Add(-time.Hour))
		stop := run(t, w)

		synctest.Wait()
		if got, want := names(s.list()), []string{"a/old.csv", "b/old.csv"}; !slices.Equal(got, want) {
			t.Errorf("at once: %q, want %q", got, want)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got, want := names(s.list()), []string{"a/future.csv", "a/new.csv", "a/old.csv", "b/old.csv"}; !slices.Equal(got, want) {
			t.Errorf("after 3 s: %q, want %q", got, want)
		}
		// Renamed from a name that is never touched: whole in a moment.
		if err := os.Rename(b.path("a/x.csv.part"), b.path("a/renamed.csv")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := names(s.list()); !slices.Contains(got, "a/renamed.csv") {
			t.Errorf("renamed in: %q", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		b.want("a/.done/empty.csv", "a/.done/future.csv", "a/.done/new.csv", "a/.done/old.csv", "a/.done/renamed.csv", "a/.hidden", "a/sub/x.csv", "a/x.csv.tmp",
			"b/.done/old.csv", "loose.csv", "not a feed/x.csv")
		if c, want := w.Counts(), (FolderCounts{Taken: 6}); c != want {
			t.Errorf("counts %+v, want %+v", c, want)
		}
		if g := s.list()[0]; g != (got{"a", "", "old.csv", "folder", "old"}) && g != (got{"b", "", "old.csv", "folder", "b's"}) {
			t.Errorf("got %+v", g)
		}
	})
}

func TestFolderWaitsForSlowWriters(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		s := &sink{}
		stop := run(t, b.folder(s, time.Now))
		body := ""
		for range 20 {
			body += "a line\n"
			b.put("a/slow.csv", body, time.Now())
			time.Sleep(1900 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(s.list()); n != 0 {
			t.Fatalf("taken %d times while it was written", n)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		stop()
		if list := s.list(); len(list) != 1 || list[0].body != body {
			t.Errorf("got %+v", list)
		}
	})
}

// A writer that paused and goes on while the file is read: nothing is acked.
func TestFolderDropsWhatChangesWhileRead(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		first := true
		s := &sink{before: func(Request) error {
			if first {
				first = false
				b.put("a/x.csv", "half and the rest", time.Now())
			}
			return nil
		}}
		w := b.folder(s, time.Now)
		b.put("a/x.csv", "half", time.Now().Add(-time.Hour))
		stop := run(t, w)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		if list := s.list(); len(list) != 1 || list[0].body != "half and the rest" {
			t.Errorf("got %+v", list)
		}
		if c := w.Counts(); c.Changed != 1 || c.Taken != 1 {
			t.Errorf("counts %+v", c)
		}
		b.want("a/.done/x.csv")
	})
}

// Written to, or replaced, after the last byte was read and before the file was
// put away: what was added comes in as well.
func TestFolderKeepsWhatComesAfterTheAck(t *testing.T) {
	for _, how := range []string{"appended", "replaced"} {
		for _, remove := range []bool{false, true} {
			t.Run(fmt.Sprint(how, " delete ", remove), func(t *testing.T) {
				b := newBox(t)
				synctest.Test(t, func(t *testing.T) {
					b.t = t
					first := true
					s := &sink{after: func(Request) error {
						if !first {
							return nil
						}
						first = false
						if how == "appended" {
							b.put("a/x.csv", "one two", time.Now())
							return nil
						}
						b.put("a/x.tmp", "another", time.Now().Add(-time.Hour))
						return os.Rename(b.path("a/x.tmp"), b.path("a/x.csv"))
					}}
					w := b.folder(s, time.Now, func(c *FolderConfig) { c.Delete = remove })
					b.put("a/x.csv", "one", time.Now().Add(-time.Hour))
					stop := run(t, w)
					time.Sleep(10 * time.Second)
					synctest.Wait()
					stop()
					want := map[string]string{"appended": "one two", "replaced": "another"}[how]
					if list := s.list(); len(list) != 2 || list[0].body != "one" || list[1].body != want {
						t.Errorf("got %+v", list)
					}
					if remove {
						b.want()
					} else {
						b.want("a/.done/x.csv")
					}
				})
			})
		}
	}
}

func TestFolderSetsAside(t *testing.T) {
	b := newBox(t)
	now := time.Date(2026, 11, 23, 9, 38, 0, 0, time.UTC)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.put("a/good.csv", "good", now.Add(-time.Hour))
	b.put("a/z-bad.csv", "bad", now.Add(-time.Hour))
	long := strings.Repeat("l", 251) + ".csv"
	b.put("a/"+long, "bad", now.Add(-time.Hour))
	must(t, os.Symlink(outside, b.path("a/link.csv")))
	must(t, os.Symlink("good.csv", b.path("a/inner.csv")))
	must(t, os.Symlink(filepath.Dir(outside), b.path("a/dir")))
	must(t, syscall.Mkfifo(b.path("a/pipe.csv"), 0o600))
	must(t, os.Symlink(b.path("a"), b.path("b"))) // a feed that is a link
	if sock, err := net.Listen("unix", b.path("a/s")); err == nil {
		defer func() { _ = sock.Close() }()
	}

	s := &sink{before: func(r Request) error {
		if r.Name != "good.csv" {
			return fmt.Errorf("%w: no header\nin \x1b[2J\u202eline 1", ErrRefused)
		}
		return nil
	}}
	w := b.folder(s, func() time.Time { return now })
	look(t, w, "a")
	if got := names(s.list()); !slices.Equal(got, []string{"a/good.csv"}) {
		t.Errorf("acked %q", got)
	}
	if err := newFeed(w, "b").look(t.Context()); err == nil {
		t.Error("a feed that is a link was looked at")
	}
	if list, err := w.list(); err != nil || !slices.Equal(list, []string{"a"}) {
		t.Errorf("feeds %q %v", list, err)
	}
	for _, name := range []string{"link.csv", "inner.csv", "dir", "pipe.csv", "s", "z-bad.csv", long} {
		if _, err := os.Lstat(b.path("a/" + name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
		if _, err := os.Lstat(b.path("a/.refused/" + name)); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{
		"z-bad.csv": "2026-11-23T09:38:00Z z-bad.csv\nrefused: no header_in _[2J_line 1\n",
		"pipe.csv":  "2026-11-23T09:38:00Z pipe.csv\nrefused: it is a named pipe, not a file: put a copy of the file itself here\n",
		"link.csv":  "2026-11-23T09:38:00Z link.csv\nrefused: it is a symbolic link, not a file: put a copy of the file itself here\n",
	} {
		text, err := os.ReadFile(b.path("a/.refused/" + name + ".reason"))
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: %q %v, want %q", name, text, err, want)
		}
	}
	if c := w.Counts(); c.Refused != 7 || c.Taken != 1 || c.Waiting != 0 {
		t.Errorf("counts %+v", c)
	}

	// The same name again: both are kept, each with its reason.
	b.put("a/z-bad.csv", "worse", now.Add(-time.Hour))
	b.put("a/good.csv", "good again", now.Add(-time.Hour))
	look(t, w, "a")
	for _, name := range []string{".refused/z-bad.csv.20261123T093800.000000000", ".refused/z-bad.csv.20261123T093800.000000000.reason", ".done/good.csv", ".done/good.csv.d2"} {
		if _, err := os.Lstat(b.path("a/" + name)); err != nil {
			t.Error(err)
		}
	}
}

// Between the look and the opening something else may take the file's place:
// it is not read, and a pipe is not waited for.
func TestFolderOpensWhatItSaw(t *testing.T) {
	b := newBox(t)
	now := time.Now()
	for name, replace := range map[string]func(path string) error{
		"pipe":  func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link":  func(path string) error { return os.Symlink("other", path) },
		"file":  func(path string) error { return os.WriteFile(path, []byte("another"), 0o600) },
		"empty": func(string) error { return nil },
	} {
		s := &sink{}
		f := newFeed(b.folder(s, func() time.Time { return now }), "a")
		b.put("a/other", "other", now.Add(-time.Hour))
		b.put("a/x.csv", "x", now.Add(-time.Hour))
		root, err := f.open()
		must(t, err)
		info, err := root.Lstat("x.csv")
		must(t, err)
		must(t, os.Rename(b.path("a/x.csv"), b.path("a/was-"+name)))
		must(t, replace(b.path("a/x.csv")))
		f.files["x.csv"] = &entry{}
		done := make(chan error, 1)
		go func() { done <- f.take(t.Context(), root, "x.csv", info, f.files["x.csv"]) }()
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: waits", name)
		}
		if len(s.list()) != 0 || len(f.files) != 0 {
			t.Errorf("%s: acked %+v, remembered %d", name, s.list(), len(f.files))
		}
		must(t, root.Close())
		_ = os.Remove(b.path("a/x.csv"))
	}
}

// A folder beside the files that is a link leads elsewhere: nothing is taken.
func TestFolderRefusesLinkedFolders(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	now := time.Now()
	b.put("a/x.csv", "x", now.Add(-time.Hour))
	b.put("b/y.csv", "y", now.Add(-time.Hour))
	must(t, os.Symlink("../b", b.path("a/.done")))
	s := &sink{}
	w := b.folder(s, func() time.Time { return now })
	if err := newFeed(w, "a").look(t.Context()); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("look: %v", err)
	}
	if n := len(s.list()); n != 0 {
		t.Errorf("acked %d", n)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func look(t testing.TB, w *Folder, feed string) {
	t.Helper()
	if err := newFeed(w, feed).look(t.Context()); err != nil {
		t.Errorf("look: %v", err)
	}
}

func TestFolderTriesAgainLaterEachTime(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		var (
			mu sync.Mutex
			at []time.Duration // held by mu
		)
		start := time.Now()
		var broken atomic.Bool
		broken.Store(true)
		s := &sink{before: func(r Request) error {
			if r.Name != "bad.csv" {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
			if broken.Load() {
				return errors.New("journal: no")
			}
			return nil
		}}
		w := b.folder(s, time.Now, func(c *FolderConfig) { c.MaxBackoff = 16 * time.Second })
		b.put("a/bad.csv", "bad", start.Add(-time.Hour))
		for i := range 5 {
			b.put(fmt.Sprintf("a/good%d.csv", i), "good", start.Add(-time.Hour))
		}
		stop := run(t, w)
		synctest.Wait()
		if n := len(s.list()); n != 5 {
			t.Errorf("%d good files at once, want 5", n)
		}
		if c := w.Counts(); c.Waiting != 1 || c.Failed != 1 {
			t.Errorf("counts %+v", c)
		}
		time.Sleep(47 * time.Second)
		synctest.Wait()
		want := []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second, 46 * time.Second}
		mu.Lock()
		if !slices.Equal(at, want) {
			t.Errorf("tried at %v, want %v", at, want)
		}
		mu.Unlock()
		broken.Store(false)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		stop()
		if n := len(s.list()); n != 6 {
			t.Errorf("%d acked, want 6", n)
		}
		if c := w.Counts(); c.Waiting != 0 || c.Taken != 6 {
			t.Errorf("counts %+v", c)
		}
	})
}

// With a full disk one attempt is made per feed and look; ten seconds after
// there is room again, acks have gone on, without a restart.
func TestFolderResumesAfterAFullDisk(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		var full atomic.Bool
		full.Store(true)
		s := &sink{before: func(Request) error {
			if full.Load() {
				return fmt.Errorf("archive: %w: no space left on device", ErrUnavailable)
			}
			return nil
		}}
		w := b.folder(s, time.Now)
		for i := range 100 {
			b.put(fmt.Sprintf("a/%d.csv", i), "x", time.Now().Add(-time.Hour))
		}
		stop := run(t, w)
		time.Sleep(time.Hour)
		synctest.Wait()
		s.mu.Lock()
		calls := s.calls
		s.mu.Unlock()
		if calls > 3600/4 || calls < 3600/6 {
			t.Errorf("%d attempts in an hour", calls)
		}
		full.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		if n := len(s.list()); n != 100 {
			t.Errorf("%d acked, want 100", n)
		}
	})
}

// Acked but impossible to put away: only the move is tried again.
func TestFolderAcksOnceWhenItCannotPutAway(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		s := &sink{after: func(Request) error {
			must(t, os.Remove(b.path("a/.done")))
			return os.WriteFile(b.path("a/.done"), nil, 0o600)
		}}
		w := b.folder(s, time.Now)
		b.put("a/x.csv", "x", time.Now().Add(-time.Hour))
		stop := run(t, w)
		time.Sleep(time.Minute)
		synctest.Wait()
		must(t, os.Remove(b.path("a/.done")))
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if n := len(s.list()); n != 1 {
			t.Errorf("acked %d times, want once", n)
		}
		b.want("a/.done/x.csv")
	})
}

// A feed whose deliveries take long does not hold up the others.
func TestFolderFeedsDoNotWaitForEachOther(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		release := make(chan struct{})
		s := &sink{before: func(r Request) error {
			if r.Feed == "slow" {
				<-release
			}
			return nil
		}}
		w := b.folder(s, time.Now, func(c *FolderConfig) { c.Parallel = 2 })
		for i := range 1000 {
			b.put(fmt.Sprintf("slow/%d.csv", i), "x", time.Now().Add(-time.Hour))
		}
		b.put("quick/1.csv", "x", time.Now().Add(-time.Hour))
		stop := run(t, w)
		synctest.Wait()
		b.put("quick/2.csv", "x", time.Now().Add(-time.Hour))
		b.put("later/1.csv", "x", time.Now().Add(-time.Hour)) // a feed made while it runs
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got, want := names(s.list()), []string{"later/1.csv", "quick/1.csv", "quick/2.csv"}; !slices.Equal(got, want) {
			t.Errorf("acked %q, want %q", got, want)
		}
		must(t, os.RemoveAll(b.path("later")))
		close(release)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		if n := len(s.list()); n != 1003 {
			t.Errorf("%d acked, want 1003", n)
		}
	})
}

// Stopping ends what is being handed over, and nothing is half put away.
func TestFolderStops(t *testing.T) {
	b := newBox(t)
	synctest.Test(t, func(t *testing.T) {
		b.t = t
		ctx, cancel := context.WithCancel(t.Context())
		w := b.folder(ctxSink{}, time.Now)
		b.put("a/x.csv", "x", time.Now().Add(-time.Hour))
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.want("a/x.csv")
		if c := w.Counts(); c != (FolderCounts{}) {
			t.Errorf("counts %+v", c)
		}
	})
}

type ctxSink struct{}

func (ctxSink) Ingest(ctx context.Context, _ Request) (Receipt, error) {
	<-ctx.Done()
	return Receipt{}, ctx.Err()
}

func TestFolderNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	must(t, os.WriteFile(b.dir, nil, 0o600))
	if err := b.folder(&sink{}, time.Now).Run(t.Context()); err == nil {
		t.Error("a file as directory: no error")
	}
}

// However many files lie there, the memory does not grow with them.
func TestFolderHostileManyFiles(t *testing.T) {
	n, track := 3_000, 100
	if os.Getenv("TOCSIN_HOSTILE") == "full" {
		n, track = 100_000, 1000
		if _, err := os.Stat("/dev/shm"); err == nil { // a disk would take minutes to make them
			n, track = 1_000_000, 10_000
			t.Setenv("TMPDIR", "/dev/shm")
		}
	}
	b := newBox(t)
	now := time.Now()
	must(t, os.MkdirAll(b.path("a"), 0o700))
	for i := range n {
		must(t, os.WriteFile(b.path(fmt.Sprintf("a/%07d.csv", i)), []byte("x"), 0o600))
	}
	var taken int
	s := sinkFunc(func(r Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		taken++
		return err
	})
	w := b.folder(s, func() time.Time { return now }, func(c *FolderConfig) { c.Track = track; c.Delete = true })
	f := newFeed(w, "a")
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	must(t, f.look(t.Context())) // all are fresh: as many as may be are remembered
	if len(f.files) != track || taken != 0 {
		t.Errorf("%d files remembered, %d taken, want %d and 0", len(f.files), taken, track)
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	now = now.Add(10 * time.Second) // those stood still; the others are too young
	must(t, f.look(t.Context()))
	if taken < track {
		t.Errorf("%d taken, want %d at least", taken, track)
	}
	now = time.Now().Add(2 * time.Minute) // all are old by now
	for range 3 {
		must(t, f.look(t.Context()))
	}
	if taken != n || len(f.files) != 0 {
		t.Errorf("%d taken, %d remembered, want %d and 0", taken, len(f.files), n)
	}
	b.want()
}

// Writers that pause, append, rename and replace; a sink that fails at times;
// a program that is killed: what is acked is always a whole file, and every
// file is acked in the end.
func TestFolderModel(t *testing.T) {
	base, runs := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		b := box{t, filepath.Join(base, strconv.Itoa(runs))}
		must(t, os.MkdirAll(b.path("a"), 0o700))

		now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		failing := false
		var mu sync.Mutex
		acked := map[string]bool{} // bodies
		s := sinkFunc(func(r Request) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			if failing {
				return errors.New("not now")
			}
			mu.Lock()
			defer mu.Unlock()
			acked[string(body)] = true
			return nil
		})
		remove := rapid.Bool().Draw(rt, "delete")
		w := b.folder(s, func() time.Time { return now }, func(c *FolderConfig) { c.Track = 3; c.Delete = remove })
		f := newFeed(w, "a")
		writing := map[string]string{} // by name: what stands there so far
		whole := map[string]bool{}     // bodies that must be acked
		serial := 0

		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(rt *rapid.T) {
				name := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"}).Draw(rt, "name") + ".csv"
				if _, err := os.Lstat(b.path("a/" + name)); err == nil {
					return
				}
				serial++
				writing[name] = fmt.Sprintf("%d begin", serial)
				b.put("a/"+name, writing[name], now)
			},
			"append": func(*rapid.T) {
				for name := range maps.Keys(writing) {
					writing[name] += " more"
					b.put("a/"+name, writing[name], now)
				}
			},
			"end": func(*rapid.T) {
				for name := range maps.Keys(writing) {
					body := writing[name] + " end"
					b.put("a/"+name, body, now)
					whole[body] = true
				}
				clear(writing)
			},
			"rename": func(rt *rapid.T) {
				name := rapid.SampledFrom([]string{"1", "2", "7", "8"}).Draw(rt, "name") + ".csv"
				if _, err := os.Lstat(b.path("a/" + name)); err == nil {
					return // replacing an unread file loses it, whoever does it
				}
				serial++
				body := fmt.Sprintf("%d end", serial)
				b.put("a/x.tmp", body, now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(rt, "age"))*time.Second))
				must(t, os.Rename(b.path("a/x.tmp"), b.path("a/"+name)))
				whole[body] = true
			},
			"sink": func(*rapid.T) { failing = !failing },
			"kill": func(*rapid.T) { f = newFeed(w, "a") },
			"": func(rt *rapid.T) {
				// Writers pause for less than Settle, looks come at any time.
				for name := range maps.Keys(writing) {
					b.put("a/"+name, writing[name]+" ", now)
					writing[name] += " "
				}
				now = now.Add(time.Duration(rapid.IntRange(100, 1900).Draw(rt, "ms")) * time.Millisecond)
				must(t, f.look(t.Context()))
				for body := range acked {
					if !strings.HasSuffix(body, " end") {
						rt.Fatalf("acked a part of a file: %q", body)
					}
				}
			},
		})

		failing = false
		for name := range maps.Keys(writing) {
			b.put("a/"+name, writing[name]+" end", now)
			whole[writing[name]+" end"] = true
		}
		for range 12 {
			now = now.Add(time.Minute)
			must(t, f.look(t.Context()))
		}
		for body := range whole {
			if !acked[body] {
				rt.Fatalf("never acked: %q; folder has %q", body, b.files())
			}
		}
		if len(f.files) != 0 {
			rt.Fatalf("remembered: %v", f.files)
		}
	})
}
