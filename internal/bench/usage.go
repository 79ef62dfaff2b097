package main

import (
	"context"
	"io/fs"
	"path/filepath"
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

// peaks watches the memory of the process until stop, which returns the
// highest values seen, in bytes.
func peaks(ctx context.Context) (stop func() (anon, res int64)) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var anon, res int64
	wg.Go(func() {
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			anon, res = max(anon, anonymous()), max(res, resident())
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return func() (int64, int64) { cancel(); wg.Wait(); return anon, res }
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
