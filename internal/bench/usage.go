package main

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime/metrics"
	"sync"
	"syscall"
	"time"
)

func seconds(u *syscall.Rusage) float64 {
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// processCPU returns the CPU time of the process, user and system, in seconds.
func processCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return seconds(&u)
}

// memory is what a process holds, in bytes.
type memory struct {
	anonymous int64 // resident, of no file
	resident  int64 // pages of mapped files included
	golang    int64 // of it held by the Go runtime; the rest is DuckDB's
}

// peaks watches the memory of the process until stop, which returns the
// highest value of each.
func peaks(ctx context.Context) (stop func() memory) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var m memory
	wg.Go(func() {
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for {
			metrics.Read(held)
			m.golang = max(m.golang, int64(held[0].Value.Uint64()-held[1].Value.Uint64())) //nolint:gosec // bytes of this machine
			m.anonymous, m.resident = max(m.anonymous, anonymous()), max(m.resident, resident())
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return func() memory { cancel(); wg.Wait(); return m }
}

// size returns the bytes of all files under dir.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		n += i.Size()
		return nil
	})
	return n, err
}
