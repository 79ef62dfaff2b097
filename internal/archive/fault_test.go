package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// few is n, or an eighth of it in a short run.
func few(n int) int {
	if testing.Short() {
		return max(1, n/8)
	}
	return n
}

// truth is what a sender was told.
type truth struct {
	bodies map[string][]byte // acked contents by SHA-256
	lines  map[uint64]Line   // acked lines
}

func newTruth() *truth { return &truth{map[string][]byte{}, map[uint64]Line{}} }

// missing says what of the truth the archive does not give back.
func (w *truth) missing(a *Archive) (out []string) {
	for _, sha := range slices.Sorted(maps.Keys(w.bodies)) {
		if got, err := read(a, sha); err != nil || !bytes.Equal(got, w.bodies[sha]) {
			out = append(out, fmt.Sprintf("content %s: %v", sha, err))
		}
	}
	got := map[uint64]Line{}
	for l, err := range a.Lines(context.Background(), 1) {
		if err == nil {
			got[l.Seq] = l
		}
	}
	for seq, want := range w.lines {
		if l, ok := got[seq]; !ok || !equalLines([]Line{l}, []Line{want}) {
			out = append(out, fmt.Sprintf("line %d", seq))
		}
	}
	return out
}

// body makes bytes that end in a pack, in a blob, or on disk first.
func someBody(rng *rand.Rand) []byte {
	switch n := rng.IntN(20); {
	case n < 15:
		return noise(rng.Uint64(), rng.IntN(700))
	case n < 17:
		return text(rng.Uint64(), 4000+rng.IntN(4000))
	case n < 19:
		return noise(rng.Uint64(), 2100+rng.IntN(3000))
	default:
		return slices.Concat(text(rng.Uint64(), 310<<10), noise(rng.Uint64(), 2000))
	}
}

// deliver does what an intake does, once, and notes what was acked.
func (w *truth) deliver(a *Archive, body []byte, n int) error {
	c, err := a.Put(context.Background(), bytes.NewReader(body), 0)
	if err != nil {
		return err
	}
	ls := []Line{delivery(c, "report.csv"), {Kind: KindDecision, Data: json.RawMessage(`"` + strings.Repeat("y", 100) + `"`)}, {Kind: KindFeed}}
	out, err := a.Append(context.Background(), ls[:n%3+1]...)
	if err != nil {
		return err
	}
	w.bodies[c.SHA256] = body
	for _, l := range out {
		w.lines[l.Seq] = l
	}
	return nil
}

// ticking is a clock that runs 300 ms at each look.
func ticking() func() time.Time {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time { now = now.Add(300 * time.Millisecond); return now }
}

// powerCuts runs an archive on a disk whose power fails at a random call, over
// and over, and returns what was acked and is lost. Often the process is
// killed and started again some calls before: what it then sees is not durable.
func powerCuts(t *testing.T, seed uint64, noSync bool) (lost []string, acked int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	disk := newLossyFS()
	w := newTruth()
	var under []byte // the delivery under way: its sender tries again
	run := func(calls int) {
		disk.locked = map[string]bool{}
		until, dead, atSync := disk.calls+calls, false, rng.IntN(2) == 0
		disk.fault = func(call int, op, _ string) error {
			if dead = dead || call >= until && (!atSync || op == "sync" || op == "syncdir"); dead {
				return errPower
			}
			return nil
		}
		a, err := Open(quiet, tiny(), Deps{FS: disk, Clock: ticking()})
		if err != nil {
			return
		}
		for i := range 60 {
			if under == nil {
				under = someBody(rng)
			}
			if w.deliver(a, under, i) != nil && dead {
				return
			}
			under = nil
		}
	}
	for range 4 {
		disk.noSync = noSync
		run(1 + rng.IntN(120))
		if rng.IntN(2) == 0 {
			run(1 + rng.IntN(20))
		}
		disk = disk.cut(rng)
		a, err := Open(quiet, tiny(), Deps{FS: disk, Clock: ticking()})
		if err != nil {
			if noSync {
				return []string{err.Error()}, len(w.lines)
			}
			t.Fatalf("seed %d: open after the cut: %v", seed, err)
		}
		if lost = w.missing(a); len(lost) > 0 {
			return lost, len(w.lines)
		}
		if sum, ds := mustVerify(t, a); !noSync && (!sum.Whole() || len(a.Damage()) > 0) {
			t.Errorf("seed %d: after the cut: %v %v", seed, a.Damage(), ds)
		}
		// What was not acked may be there and is then as good as acked.
		for l, err := range a.Lines(t.Context(), 1) {
			if err == nil && l.Delivery != nil && w.lines[l.Seq].Seq == 0 && !a.Has(l.Delivery.SHA256) {
				t.Errorf("seed %d: line %d names a content that is not there", seed, l.Seq)
			}
		}
		if rng.IntN(2) == 0 {
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return nil, len(w.lines)
}

func TestPowerCut(t *testing.T) {
	t.Parallel()
	total := 0
	for seed := range uint64(few(100)) {
		lost, n := powerCuts(t, seed, false)
		if len(lost) > 0 {
			t.Errorf("seed %d: acked and lost: %v", seed, lost)
		}
		total += n
	}
	t.Logf("%d acked lines over %d power cuts", total, 4*few(100))
}

// TestPowerCutWithoutSync shows that the test above can fail.
func TestPowerCutWithoutSync(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		if lost, _ := powerCuts(t, seed, true); len(lost) > 0 {
			return
		}
	}
	t.Error("without syncs nothing was lost: the lossy file system loses nothing")
}

// ingest runs a small ingest on a disk where calls go wrong: each delivery is
// sent up to four times. It reports the calls made.
func ingest(t *testing.T, fault func(call int, op, name string) error) (calls int) {
	t.Helper()
	disk := newLossyFS()
	var failed []string // syncs that went wrong in the delivery under way
	disk.fault = func(call int, op, name string) error {
		err := fault(call, op, name)
		if err != nil && (op == "sync" || op == "syncdir") && filepath.Base(name) != "head.tmp" && filepath.Base(name) != "journal" {
			failed = append(failed, op+" "+name)
		}
		if err == nil && op == "syncdir" { // a blob is then written and renamed anew
			failed = slices.DeleteFunc(failed, func(s string) bool { return s == op+" "+name })
		}
		return err
	}
	w := newTruth()
	rng := rand.New(rand.NewPCG(1, 4))
	var a *Archive
	var err error
	for range 40 {
		if a, err = Open(quiet, tiny(), Deps{FS: disk, Clock: ticking()}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("it does not open again: %v", err)
	}
	for i := range 14 {
		body := someBody(rng)
		if i == 5 {
			body = noise(99, 4000) // a blob
		}
		if i == 9 {
			body = noise(98, 310<<10) // spooled
		}
		for try := 0; ; try++ {
			failed = nil
			err := w.deliver(a, body, i)
			if err == nil {
				if len(failed) > 0 {
					t.Fatalf("delivery %d acked although it went wrong: %v", i, failed)
				}
				break
			}
			if !errors.Is(err, ErrUnavailable) {
				t.Fatalf("delivery %d: %v does not say that the sender should try again", i, err)
			}
			if lost := w.missing(a); len(lost) > 0 {
				t.Fatalf("after %v, reading fails: %v", err, lost)
			}
			if try == 40 {
				t.Fatalf("delivery %d: it does not resume: %v", i, err)
			}
		}
	}
	calls = disk.calls
	disk.fault = nil
	if err := a.Err(); err != nil {
		t.Errorf("acks are possible and Err says %v", err)
	}
	disk = disk.cut(rng)
	b := mustOpen(t, tiny(), Deps{FS: disk})
	if lost := w.missing(b); len(lost) > 0 {
		t.Fatalf("acked and lost: %v", lost)
	}
	if sum, ds := mustVerify(t, b); !sum.Whole() {
		t.Fatalf("damaged: %v", ds)
	}
	return calls
}

func TestFaultAtEveryCall(t *testing.T) {
	t.Parallel()
	n := ingest(t, func(int, string, string) error { return nil })
	if n < 100 {
		t.Fatalf("the ingest makes only %d calls", n)
	}
	for _, tt := range []struct {
		name string
		err  error
		hold int // calls that go wrong
	}{
		{"EIO", syscall.EIO, 1},
		{"ENOSPC", syscall.ENOSPC, 1},
		{"EIO twice", syscall.EIO, 2},
		{"ENOSPC for a while", syscall.ENOSPC, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for k := 1; k <= n && !t.Failed(); k += n / few(n) {
				ok := t.Run("", func(t *testing.T) {
					ingest(t, func(call int, op, _ string) error {
						frees := op == "remove" || op == "truncate" // a full disk lets go
						if call < k || call >= k+tt.hold || errors.Is(tt.err, syscall.ENOSPC) && frees {
							return nil
						}
						return tt.err
					})
				})
				if !ok {
					t.Errorf("fault at call %d", k)
				}
			}
		})
	}
	t.Logf("faults at each of %d calls", n)
}

// TestBlobNamedNotSynced kills the process after a blob was renamed and before
// the directory was synced; the next process must not take it for durable.
func TestBlobNamedNotSynced(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		disk := newLossyFS()
		body := noise(seed, 3000)
		sha := fmt.Sprintf("%x", sha256.Sum256(body))
		dead := false
		disk.fault = func(_ int, op, name string) error {
			if dead = dead || op == "syncdir" && strings.HasSuffix(name, "/blobs/"+sha[:2]); dead {
				return errPower
			}
			return nil
		}
		a := mustOpen(t, tiny(), Deps{FS: disk})
		if _, err := a.Put(t.Context(), bytes.NewReader(body), 0); !errors.Is(err, errPower) || !a.Has(sha) {
			t.Fatalf("the blob was not left renamed: %v", err)
		}
		disk.fault, disk.locked = nil, map[string]bool{}
		w := newTruth()
		if err := w.deliver(mustOpen(t, tiny(), Deps{FS: disk}), body, 0); err != nil {
			t.Fatal(err)
		}
		disk = disk.cut(rand.New(rand.NewPCG(seed, 10)))
		if lost := w.missing(mustOpen(t, tiny(), Deps{FS: disk})); len(lost) > 0 {
			t.Fatalf("acked and lost: %v", lost)
		}
	}
}

// TestTornPayload has the payload of the newest frame torn behind a whole
// header: it is cut off if no line names it, and else reported and kept.
func TestTornPayload(t *testing.T) {
	t.Parallel()
	for _, journalled := range []bool{false, true} {
		disk := newLossyFS()
		still := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		a := mustOpen(t, tiny(), Deps{FS: disk, Clock: func() time.Time { return still }})
		first := mustPut(t, a, noise(1, 500))
		mustAppend(t, a, delivery(first, "first"))
		c := mustPut(t, a, noise(2, 500))
		if journalled {
			mustAppend(t, a, delivery(c, "second"))
		}
		disk = disk.clone() // the process is gone, the head is old
		pack := disk.now["/srv/archive/"+packName(1)]
		pack.data[len(pack.data)-100] ^= 1
		size := len(pack.data)
		a = mustOpen(t, tiny(), Deps{FS: disk})
		sum, ds := mustVerify(t, a)
		if journalled {
			if len(a.Damage()) != 1 || sum.Damaged != 1 || len(ds[0].Lines) != 1 || ds[0].Lines[0].Name != "second" || len(pack.data) != size {
				t.Errorf("journalled: %v %v, %d bytes of %d", a.Damage(), ds, len(pack.data), size)
			}
		} else if len(a.Damage()) != 0 || !sum.Whole() || a.Has(c.SHA256) || int64(len(pack.data)) != a.packs.position().Size {
			t.Errorf("not journalled: %v %v", a.Damage(), ds)
		}
		if !bytes.Equal(mustRead(t, a, first.SHA256), noise(1, 500)) {
			t.Error("the first content differs")
		}
		if c := mustPut(t, a, noise(2, 500)); !c.New || !bytes.Equal(mustRead(t, a, c.SHA256), noise(2, 500)) {
			t.Error("the content is not stored again")
		}
	}
}

// TestRepairCutsBack has a write go wrong half way: nothing of it may stay.
func TestRepairCutsBack(t *testing.T) {
	t.Parallel()
	disk := newLossyFS()
	a := mustOpen(t, tiny(), Deps{FS: disk})
	small := mustPut(t, a, noise(1, 100))
	mustAppend(t, a, delivery(small, "small"))
	disk.fault = func(_ int, op, _ string) error {
		if op == "write" {
			return syscall.EIO
		}
		return nil
	}
	if _, err := a.Put(t.Context(), bytes.NewReader(noise(2, 1900)), 0); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, err := a.Append(t.Context(), Line{Kind: KindConfig, Data: json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`)}); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	disk.fault = nil
	small = mustPut(t, a, noise(3, 10))
	mustAppend(t, a, delivery(small, "small"))
	segs, _, _ := a.journal.snapshot()
	for name, want := range map[string]int64{packName(1): a.packs.position().Size, segmentName(1): segs[0].size} {
		if n := int64(len(disk.now["/srv/archive/"+name].data)); n != want {
			t.Errorf("%s has %d bytes, %d of them count", name, n, want)
		}
	}
}

// TestDiskFull fills the disk and frees it again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := newLossyFS()
	a := mustOpen(t, tiny(), Deps{FS: disk, Clock: ticking()})
	w := newTruth()
	rng := rand.New(rand.NewPCG(1, 5))
	for round := range 20 {
		for i := range 5 {
			if err := w.deliver(a, someBody(rng), i); err != nil {
				t.Fatalf("round %d: acks do not resume: %v", round, err)
			}
		}
		if err := a.Err(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		disk.mu.Lock()
		disk.fault = func(_ int, op, _ string) error {
			if op == "write" || op == "create" {
				return syscall.ENOSPC
			}
			return nil
		}
		disk.mu.Unlock()
		for i := range 5 {
			if err := w.deliver(a, someBody(rng), i); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("round %d: acked on a full disk: %v", round, err)
			}
		}
		if err := a.Err(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("round %d: Err says %v on a full disk", round, err)
		}
		if lost := w.missing(a); len(lost) > 0 {
			t.Fatalf("round %d: reads do not go on: %v", round, lost)
		}
		disk.mu.Lock()
		disk.fault = nil
		disk.mu.Unlock()
		if err := a.Err(); round%2 == 0 && err != nil {
			t.Errorf("round %d: the disk has room and Err says %v", round, err)
		}
	}
	if sum, ds := mustVerify(t, a); !sum.Whole() {
		t.Error(ds)
	}
}

// sample makes an archive of n deliveries, 60 of which make several packs,
// segments and blobs.
func sample(t testing.TB, n int) (*lossyFS, *truth) {
	t.Helper()
	disk := newLossyFS()
	a, err := Open(quiet, tiny(), Deps{FS: disk, Clock: ticking()})
	if err != nil {
		t.Fatal(err)
	}
	w := newTruth()
	for i := range n {
		b := noise(uint64(i), 100+i*7)
		if i%20 == 3 {
			b = noise(uint64(i), 3000)
		}
		if i%20 == 4 {
			b = text(uint64(i), 3000)
		}
		if err := w.deliver(a, b, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, w
}

// classes are the classes of files, by the end of their names.
func classes(disk *lossyFS) map[string][]string {
	m := map[string][]string{}
	for _, n := range disk.files(func(string) bool { return true }) {
		switch {
		case strings.HasSuffix(n, ".pack"):
			m["pack"] = append(m["pack"], n)
		case strings.HasSuffix(n, ".jsonl"):
			m["journal"] = append(m["journal"], n)
		case strings.HasSuffix(n, "/head"):
			m["head"] = append(m["head"], n)
		case strings.Contains(n, "/blobs/"):
			m["blob"] = append(m["blob"], n)
		}
	}
	return m
}

// checkDamaged opens a damaged archive and sees that the damage is told, that
// what is given is true, and that what is not given is named.
func checkDamaged(t *testing.T, disk *lossyFS, w *truth, what string) {
	t.Helper()
	before := disk.clone()
	a, err := Open(quiet, tiny(), Deps{FS: disk, Clock: ticking()})
	if err != nil {
		t.Errorf("%s: it does not open: %v", what, err)
		return
	}
	defer closeRead(a)
	for name, n := range before.now { // evidence stays as it is
		if filepath.Base(name) != "head" && (disk.now[name] == nil || !bytes.Equal(disk.now[name].data, n.data)) {
			t.Errorf("%s: opening changed %s", what, name)
		}
	}
	sum, ds := mustVerify(t, a)
	all := slices.Concat(a.Damage(), ds)
	told := slices.ContainsFunc(all, func(d Damage) bool { return d.Kind != Unmentioned })
	if !told {
		t.Errorf("%s: nothing is told", what)
	}
	named := map[string]bool{}
	affected := map[uint64]bool{}
	gone := func(seq uint64) bool {
		return slices.ContainsFunc(all, func(d Damage) bool { return d.FirstLine <= seq && seq <= d.LastLine })
	}
	for _, d := range all {
		named[d.SHA256] = true
		for _, l := range d.Lines {
			affected[l.Line] = true
		}
	}
	lost := map[string]bool{}
	for sha, body := range w.bodies {
		got, err := read(a, sha)
		switch {
		case err == nil && !bytes.Equal(got, body):
			t.Errorf("%s: content %s is given wrong", what, sha)
		case err != nil:
			lost[sha] = true
			// A content whose only line is lost too cannot be missed.
			if lineOf := w.lineOf(sha); !named[sha] && !gone(lineOf) {
				t.Errorf("%s: content %s cannot be read (%v) and is not named: %v", what, sha, err, all)
			}
		}
	}
	got := map[uint64]bool{}
	for l, err := range a.Lines(t.Context(), 1) {
		if err != nil {
			continue
		}
		got[l.Seq] = true
		if want := w.lines[l.Seq]; !equalLines([]Line{l}, []Line{want}) {
			t.Errorf("%s: line %d is given wrong", what, l.Seq)
		}
	}
	for seq, l := range w.lines {
		if !got[seq] && !gone(seq) {
			t.Errorf("%s: line %d is not given and not named: %v", what, seq, all)
		}
		if got[seq] && l.Delivery != nil && lost[l.Delivery.SHA256] && !affected[seq] {
			t.Errorf("%s: delivery %d has lost its content and is not named: %v", what, seq, all)
		}
	}
	if sum.Whole() && (len(lost) > 0 || len(got) < len(w.lines)) {
		t.Errorf("%s: Verify finds it whole", what)
	}
	// It goes on: nothing that is new touches what was numbered before.
	last := a.Last()
	if last != uint64(len(w.lines)) {
		t.Errorf("%s: the last line is %d, want %d", what, last, len(w.lines))
	}
	c, err := a.Put(t.Context(), strings.NewReader("new"), 0)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if ls, err := a.Append(t.Context(), delivery(c, "new")); err != nil || ls[0].Seq != last+1 {
		t.Errorf("%s: append gives %v, %v", what, ls, err)
	}
	if got, err := read(a, c.SHA256); err != nil || string(got) != "new" {
		t.Errorf("%s: the new content: %q %v", what, got, err)
	}
	// What was lost is stored again when it comes again.
	for sha := range lost {
		if c, err := a.Put(t.Context(), bytes.NewReader(w.bodies[sha]), 0); err != nil || !c.New {
			t.Errorf("%s: content put again: %+v %v", what, c, err)
		}
		if got, err := read(a, sha); err != nil || !bytes.Equal(got, w.bodies[sha]) {
			t.Errorf("%s: content %s put again cannot be read: %v", what, sha, err)
		}
	}
	sum, ds = mustVerify(t, a)
	for _, d := range ds {
		if d.Kind == Missing && d.SHA256 != "" {
			t.Errorf("%s: still missing after it came again: %v (%+v)", what, d, sum)
		}
	}
}

func (w *truth) lineOf(sha string) uint64 {
	for seq, l := range w.lines {
		if l.Delivery != nil && l.Delivery.SHA256 == sha {
			return seq
		}
	}
	return 0
}

func TestFlips(t *testing.T) {
	t.Parallel()
	disk, w := sample(t, 60)
	for class, files := range classes(disk) {
		rng := rand.New(rand.NewPCG(1, 6))
		for range few(100) {
			d := disk.clone()
			name := files[rng.IntN(len(files))]
			n := d.now[name]
			i, bit := rng.IntN(len(n.data)), rng.IntN(8)
			n.data[i] ^= 1 << bit
			checkDamaged(t, d, w, fmt.Sprintf("%s: bit %d of byte %d of %d of %s", class, bit, i, len(n.data), name))
		}
	}
}

func TestTruncations(t *testing.T) {
	t.Parallel()
	disk, w := sample(t, 60)
	for class, files := range classes(disk) {
		rng := rand.New(rand.NewPCG(1, 7))
		for i := range few(50) {
			d := disk.clone()
			name := files[rng.IntN(len(files))]
			n := d.now[name]
			to := rng.IntN(len(n.data))
			if class == "journal" && i%3 == 0 { // at the end of a line
				to = bytes.LastIndexByte(n.data[:to], '\n') + 1
			}
			n.data = n.data[:to]
			checkDamaged(t, d, w, fmt.Sprintf("%s: %s cut to %d", class, name, to))
		}
	}
}

func TestFilesGone(t *testing.T) {
	t.Parallel()
	disk, w := sample(t, 60)
	for _, files := range classes(disk) {
		for _, name := range files {
			d := disk.clone()
			delete(d.now, name)
			checkDamaged(t, d, w, "without "+name)
		}
	}
}

// TestTamper changes lines so that their sums are right.
func TestTamper(t *testing.T) {
	t.Parallel()
	disk, _ := sample(t, 60)
	segs := classes(disk)["journal"]
	for _, name := range segs {
		lines := bytes.Count(disk.now[name].data, []byte("\n"))
		for i := range lines {
			for what, change := range map[string]func(ls [][]byte) [][]byte{
				"changed": func(ls [][]byte) [][]byte {
					l := bytes.Replace(ls[i], []byte(`"at":"2026`), []byte(`"at":"2027`), 1)
					ls[i] = append(seal(append(l[:len(l)-sumSize-1:len(l)], '}')), '\n')
					return ls
				},
				"removed":  func(ls [][]byte) [][]byte { return slices.Delete(ls, i, i+1) },
				"repeated": func(ls [][]byte) [][]byte { return slices.Insert(ls, i, ls[i]) },
			} {
				d := disk.clone()
				ls := slices.Collect(bytes.Lines(d.now[name].data))
				for j := range ls {
					ls[j] = slices.Clone(ls[j])
				}
				d.now[name].data = bytes.Join(change(ls), nil)
				a := mustOpen(t, tiny(), Deps{FS: d})
				if sum, _ := mustVerify(t, a); sum.Whole() {
					t.Errorf("%s: line %d %s: nothing is told", name, i, what)
				}
			}
		}
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		disk := newLossyFS()
		a := mustOpen(t, tiny(), Deps{FS: disk, Clock: ticking()})
		rng := rand.New(rand.NewPCG(seed, 8))
		before, after := newTruth(), newTruth()
		for i := range 30 {
			if err := before.deliver(a, someBody(rng), i); err != nil {
				t.Fatal(err)
			}
		}
		// The copy's progress lets deliveries in between.
		n := 0
		p, err := a.Backup(t.Context(), "/srv/backup", func(int64, int64) {
			n++
			if err := after.deliver(a, someBody(rng), n); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if p.Seq != uint64(len(before.lines)) || n < 5 {
			t.Errorf("the backup ends with line %d of %d, %d came meanwhile", p.Seq, len(before.lines), n)
		}
		if _, err := a.Backup(t.Context(), "/srv/backup", nil); err == nil {
			t.Error("a backup overwrites another")
		}
		disk = disk.cut(rng) // the backup is durable
		sum, err := Restore(t.Context(), quiet, "/srv/backup", "/srv/restored", Deps{FS: disk}, nil, func(d Damage) {
			if d.Kind != Unmentioned {
				t.Error(d)
			}
		})
		if err != nil || !sum.Whole() {
			t.Fatalf("restore: %+v %v", sum, err)
		}
		cfg := tiny()
		cfg.Dir = "/srv/restored"
		r := mustOpen(t, cfg, Deps{FS: disk})
		if lost := before.missing(r); len(lost) > 0 {
			t.Errorf("acked before the backup and not in it: %v", lost)
		}
		if r.Point() != p {
			t.Errorf("restored to %v, backed up at %v", r.Point(), p)
		}
		if err := before.deliver(r, []byte("goes on"), 0); err != nil {
			t.Error(err)
		}

		packs := disk.files(func(s string) bool { return strings.HasPrefix(s, "/srv/backup") && strings.HasSuffix(s, ".pack") })
		disk.now[packs[0]].data[packHeader+frameHeader+3] ^= 1
		if _, err := Restore(t.Context(), quiet, "/srv/backup", "/srv/again", Deps{FS: disk}, nil, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("restoring a damaged backup: %v", err)
		}
		if _, err := Restore(t.Context(), quiet, "/srv", "/srv/other", Deps{FS: disk}, nil, nil); err == nil {
			t.Error("restoring what is no backup")
		}
	}
}

// FuzzOpen opens what somebody else may have written: it neither panics nor
// gives a content that is not what its name says.
func FuzzOpen(f *testing.F) {
	disk, _ := sample(f, 5)
	c := classes(disk)
	for i := range c["pack"] {
		f.Add(disk.now[c["pack"][i]].data, disk.now[c["journal"][i]].data, disk.now[c["head"][0]].data, disk.now[c["blob"][0]].data)
	}
	blob := c["blob"][0]
	f.Fuzz(func(t *testing.T, pack, segment, head, large []byte) {
		d := newLossyFS()
		a, err := Open(quiet, tiny(), Deps{FS: d})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		_ = d.MkdirAll(filepath.Dir(blob), 0o700)
		for name, data := range map[string][]byte{
			"/srv/archive/" + packName(1): pack, "/srv/archive/" + segmentName(1): segment, "/srv/archive/" + headName: head, blob: large,
		} {
			d.now[name] = &node{data: slices.Clone(data)}
		}
		a, err = Open(quiet, tiny(), Deps{FS: d})
		if err != nil {
			t.Skip() // a head may name a pack far away
		}
		mustVerify(t, a)
		for l, err := range a.Lines(t.Context(), 0) {
			if err != nil || l.Delivery == nil {
				continue
			}
			if b, err := read(a, l.Delivery.SHA256); err == nil && fmt.Sprintf("%x", sha256.Sum256(b)) != l.Delivery.SHA256 {
				t.Error("a content is given wrong")
			}
		}
		if _, err := a.Put(t.Context(), bytes.NewReader(pack), 0); err != nil {
			t.Error(err)
		}
		_ = a.Close()
	})
}
