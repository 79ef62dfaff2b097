package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tocsin/internal/policy"
	"tocsin/internal/query"
	"tocsin/internal/web"
)

// mountSmall mounts a file system in memory of so many bytes.
func mountSmall(tb testing.TB, size int64) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		tb.Skipf("a disk that can be filled takes the right to mount one: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	return dir
}

// fill writes a ballast file until left bytes remain on the disk.
func fill(tb testing.TB, dir string, left int64) (remove func()) {
	tb.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			tb.Fatal(err)
		}
		free := int64(st.Bavail)*st.Bsize - left
		if free <= 0 {
			break
		}
		if _, err := f.Write(block[:min(free, int64(len(block)))]); err != nil {
			break // somebody else took the rest
		}
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			tb.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk at random moments while deliveries come in and
// are loaded. Acks stop, reads go on, and both resume when there is room again,
// without a restart.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	times := rounds(3, 20)
	disk := mountSmall(t, 96<<20)
	cfg := smallConfig(filepath.Join(disk, "data"))
	cfg.Archive.MinFree = 4 << 20
	var atCommit atomic.Pointer[func()] // run once, before a transaction of the store commits
	r := begin(t, cfg, Deps{Hook: func(point string) {
		if point == "commit" {
			if f := atCommit.Swap(nil); f != nil {
				(*f)()
			}
		}
	}})
	r.reference(t)
	rng := rand.New(rand.NewPCG(3, 96))

	sent := []parcel{}
	acked := map[string]parcel{}
	next := func() parcel { return parcelOf(len(sent)%2, len(sent)/2, 500) }
	for range 4 {
		p := next()
		acked[r.mustSend(t, p)[0]] = p
		sent = append(sent, p)
	}
	r.settle(t)

	var slowestAck, slowestLoad, slowestRead time.Duration
	refusals, reads, shown := 0, 0, 0
	for round := range times {
		// Deliveries come in while the disk fills up.
		left := []int64{0, 64 << 10, 1 << 20, 3 << 20, 5 << 20}[rng.IntN(5)]
		var wg sync.WaitGroup
		var remove func()
		wait := time.Duration(rng.IntN(150)) * time.Millisecond
		if round%3 == 0 { // in the middle of a transaction
			left = 0
			full := make(chan func(), 1)
			atCommit.Store(new(func() { full <- fill(t, disk, 0) }))
			wg.Go(func() { remove = <-full })
		} else {
			wg.Go(func() {
				<-time.After(wait)
				remove = fill(t, disk, left)
			})
		}
		refused := 0
		for refused < 3 {
			p := next()
			d, err := r.send(t.Context(), p)
			switch {
			case err == nil:
				acked[d.ID] = p
				sent = append(sent, p)
			case errors.Is(err, web.ErrFull), errors.Is(err, web.ErrUnavailable):
				refused++
			default:
				t.Fatalf("round %d: %v", round, err)
			}
		}
		wg.Wait()
		refusals += refused
		if err := r.Health(t.Context()); err == nil && left < cfg.Archive.MinFree {
			t.Errorf("round %d: healthy with %d bytes left on the disk", round, left)
		}
		// Reads go on, whatever became of loading.
		for end := time.Now().Add(time.Duration(sized(700, 3000)) * time.Millisecond); time.Now().Before(end); {
			since := time.Now()
			_, err := r.documents(t.Context())
			if err == nil {
				_, _, err = r.Events(t.Context(), policy.Local(), query.Events{Limit: 10})
			}
			if reads++; err != nil {
				t.Errorf("round %d: a read failed on a full disk: %v", round, err)
			}
			slowestRead = max(slowestRead, time.Since(since))
		}
		if st, err := r.Status(t.Context(), policy.Local()); err != nil {
			t.Errorf("round %d: %v", round, err)
		} else if st.Stopped != "" {
			shown++
		}
		remove()
		freed := time.Now()
		for {
			p := next()
			d, err := r.send(t.Context(), p)
			if err == nil {
				acked[d.ID] = p
				sent = append(sent, p)
				break
			}
			if time.Since(freed) > 10*time.Second {
				t.Fatalf("round %d: nothing is acked 10 s after there is room again: %v\n%s", round, err, r.log)
			}
			<-time.After(20 * time.Millisecond)
		}
		slowestAck = max(slowestAck, time.Since(freed))
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		if err := r.Settled(ctx); err != nil {
			cancel()
			t.Fatalf("round %d: loading does not catch up: %v\n%s", round, err, r.log)
		}
		cancel()
		slowestLoad = max(slowestLoad, time.Since(freed))
		if st, err := r.Status(t.Context(), policy.Local()); err != nil || st.Stopped != "" {
			t.Errorf("round %d: loading has caught up, and stands still: %q %v", round, st.Stopped, err)
		}
	}

	ds := r.deliveries(t)
	events := int64(0)
	for id, p := range acked {
		events += int64(p.events)
		if d, ok := ds[id]; !ok || d.Name != p.name || d.Received != int64(p.rows) {
			t.Errorf("acked and lost: %s: %s %+v", p.name, id, d)
		}
	}
	if n := r.sound(t, ds); n != events {
		t.Errorf("%d events were accepted, want %d", n, events)
	}
	if n := int64(len(r.ids(t))); n != events {
		t.Errorf("%d events are in the store, want %d", n, events)
	}
	got := r.mustDocuments(t)
	whole := begin(t, smallConfig(t.TempDir()), Deps{})
	whole.reference(t)
	whole.mustSend(t, sent...)
	whole.settle(t)
	same(t, "after a full disk", got, whole.mustDocuments(t))
	stopped := strings.Count(r.log.String(), "loading stopped")
	if stopped == 0 || shown == 0 {
		t.Error("the store never met the full disk: the test shows nothing of it")
	}
	t.Logf("%d rounds: %d deliveries acked, %d refused, %d events; loading stopped %d times, shown in %d rounds; acks resumed within %.2f s, loading had caught up within %.2f s, the slowest of %d times 15 reads took %.2f s",
		times, len(acked), refusals, events, stopped, shown, slowestAck.Seconds(), slowestLoad.Seconds(), reads, slowestRead.Seconds())
	if t.Failed() {
		t.Log(r.log)
	}
	r.stop()
}
