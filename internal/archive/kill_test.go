//go:build unix

package archive

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// killEnv tells a child which archive to write, where to die and which seed.
const killEnv = "TOCSIN_ARCHIVE_KILL"

// TestMain runs the child of [TestKill] in place of the tests.
func TestMain(m *testing.M) {
	if v := os.Getenv(killEnv); v != "" {
		f := strings.Split(v, "|")
		n, _ := strconv.Atoi(f[2])
		seed, _ := strconv.ParseUint(f[3], 10, 64)
		victim(f[0], f[1], int64(n), seed)
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// victim stores deliveries from two sides until it kills itself at the n-th
// time that it comes to a point, and prints what was acked.
func victim(dir, point string, n int64, seed uint64) {
	var seen atomic.Int64
	cfg := tiny()
	cfg.Dir = dir
	a, err := Open(quiet, cfg, Deps{Hook: func(p string) {
		if p == point && seen.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var wg sync.WaitGroup
	for side := range uint64(2) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, side))
			for range 1000 {
				w := newTruth()
				if err := w.deliver(a, someBody(rng), 0); err != nil {
					fmt.Println("error", err)
					return
				}
				for sha := range w.bodies {
					for seq := range w.lines {
						fmt.Printf("acked %d %s\n", seq, sha)
					}
				}
			}
		})
	}
	wg.Wait()
}

// TestKill kills a process that stores deliveries, at each point of its work.
func TestKill(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 9))
	acked := map[uint64]string{}
	for round := range 20 {
		point := []string{"content-written", "content-synced", "content-renamed", "journal-written", "journal-synced"}[round%5]
		cmd := exec.CommandContext(t.Context(), exe)
		n := 1 + rng.IntN(12)
		if point == "content-renamed" {
			n = 1 + n/4
		}
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d|%d", killEnv, dir, point, n, round))
		out, err := cmd.Output()
		if cmd.ProcessState == nil || !strings.Contains(cmd.ProcessState.String(), "killed") {
			t.Fatalf("round %d: the process was not killed: %v %s", round, err, out)
		}
		for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
			var seq uint64
			var sha string
			if _, err := fmt.Sscanf(s.Text(), "acked %d %s", &seq, &sha); err != nil {
				t.Fatalf("round %d: %s", round, s.Text())
			}
			acked[seq] = sha
		}
		cfg := tiny()
		cfg.Dir = dir
		a, err := Open(quiet, cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[uint64]string{}
		for _, l := range allLines(t, a, 1) {
			got[l.Seq] = l.Delivery.SHA256
		}
		for seq, sha := range acked {
			if got[seq] != sha || !a.Has(sha) {
				t.Errorf("round %d, killed at %s: line %d is acked and lost", round, point, seq)
			}
		}
		if sum, ds := mustVerify(t, a); !sum.Whole() || len(a.Damage()) > 0 {
			t.Errorf("round %d, killed at %s: %v %v", round, point, ds, a.Damage())
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acked lines over 20 kills", len(acked))
}
