package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// killEnv holds the orders of a child of [TestKill].
const killEnv = "TOCSIN_APP_KILL"

// orders tell a child what to bring in and where to die.
type orders struct {
	Dir   string
	Point string // of Deps.Hook; "" for none
	Nth   int64  // at which call
	Rows  int    // of a delivery
	Todo  []task
	Loose bool // die when everything is acked, before it is loaded

	Change string // what to do when everything is acked, as in [TestKillChange]
	ID     string // of the delivery that is withdrawn
	Turned bool   // whether the organisations that come are the turned ones
	Early  bool   // the point may come while what was cut off before is finished
}

// task is a delivery to be brought in.
type task struct{ Feed, N int }

func (k task) parcel(rows int) parcel { return parcelOf(k.Feed, k.N, rows+k.N%7*rows/4) }

// killConfig makes blobs and sealed packs of few data, so that every point of
// writing is passed.
func killConfig(dir string) Config {
	cfg := smallConfig(dir)
	cfg.Archive.BlobSize = 8 << 10
	cfg.Archive.PackSize = 256 << 10
	cfg.Store.Transaction = 1_000 // parts are cut where a transaction is full
	return cfg
}

// victim brings deliveries of several feeds in side by side, prints each as it
// is acked, and kills itself at the point that it was told, or at the end.
func victim(v string) {
	var o orders
	if err := json.Unmarshal([]byte(v), &o); err != nil {
		fmt.Println("error", err)
		return
	}
	var seen atomic.Int64
	var armed atomic.Bool
	armed.Store(o.Change == "" || o.Early)
	r, err := launch(killConfig(o.Dir), Deps{Hook: func(p string) {
		if p == o.Point && armed.Load() && seen.Add(1) == o.Nth {
			die(p)
		}
	}})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	if o.Change != "" {
		if err := r.change(o, func() { armed.Store(true) }); err != nil {
			fmt.Println("error", err)
			return
		}
		die("idle")
	}
	var wg sync.WaitGroup
	feeds := map[int][]task{}
	for _, k := range o.Todo {
		feeds[k.Feed] = append(feeds[k.Feed], k)
	}
	for _, list := range feeds {
		wg.Go(func() {
			for _, k := range list {
				d, err := r.send(context.Background(), k.parcel(o.Rows))
				if err != nil {
					fmt.Println("error", err)
					os.Exit(4)
				}
				fmt.Printf("acked %d %d %s\n", k.Feed, k.N, d.ID) // one write, so that it is whole
			}
		})
	}
	wg.Wait()
	if o.Loose {
		die("acked")
	}
	if err := r.Settled(context.Background()); err != nil {
		fmt.Println("error", err)
		return
	}
	die("idle")
}

// die ends the process as kill -9 does.
func die(point string) {
	_, _ = os.Stdout.WriteString("died " + point + "\n")
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		os.Exit(5)
	}
	select {}
}

// outcome is what a child did.
type outcome struct {
	acked map[task]string
	died  string        // where; "" where the parent killed it
	first time.Duration // from the start of the process to its first ack

	figures string // that it found when it was open
}

// runVictim runs a child until it is dead. With after it is killed that long
// after its first ack.
func runVictim(tb testing.TB, o orders, after time.Duration) outcome {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), exe)
	cmd.Env = append(os.Environ(), killEnv+"="+string(b))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	res := outcome{acked: map[task]string{}}
	for s := bufio.NewScanner(out); s.Scan(); {
		f := strings.Fields(s.Text())
		switch {
		case len(f) == 4 && f[0] == "acked":
			var k task
			if _, err := fmt.Sscan(f[1]+" "+f[2], &k.Feed, &k.N); err != nil {
				tb.Fatal(err)
			}
			if len(res.acked) == 0 {
				res.first = time.Since(began)
				if after > 0 {
					timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
					defer timer.Stop()
				}
			}
			res.acked[k] = f[3]
		case len(f) == 2 && f[0] == "figures":
			res.figures = f[1]
		case len(f) == 2 && f[0] == "died":
			res.died = f[1]
		default:
			tb.Errorf("child: %s", s.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	if s := cmd.ProcessState.String(); !strings.Contains(s, "killed") {
		tb.Fatalf("the child was not killed: %s", s)
	}
	return res
}

// TestKill kills the program again and again while it takes deliveries in and
// loads them, and then finds every acked one, no event twice, and the figures
// of a run that nobody killed.
func TestKill(t *testing.T) {
	t.Parallel()
	kills := rounds(27, 200)
	perKill := sized(8, 10)   // new deliveries before each kill
	rows := sized(120, 1_450) // and up to 2.5 times as many: 5 million events in all
	points := []string{"content-written", "content-synced", "content-renamed", "journal-written", "journal-synced", "commit", "committed", "", "acked"}

	dir := filepath.Join(t.TempDir(), "data")
	r := begin(t, killConfig(dir), Deps{})
	r.reference(t)
	r.stop()
	rng := rand.New(rand.NewPCG(1, 8480))
	acked := map[task]string{}
	all := []task{}
	died := map[string]int{}
	var slowest time.Duration
	began := time.Now()
	for i := range kills {
		o := orders{Dir: dir, Rows: rows, Point: points[i%len(points)], Nth: 1 + rng.Int64N(6)}
		for range perKill {
			all = append(all, task{len(all) % 4, len(all) / 4})
		}
		for _, k := range all {
			if _, ok := acked[k]; !ok {
				o.Todo = append(o.Todo, k)
			}
		}
		after := time.Duration(0)
		switch o.Point {
		case "acked":
			o.Loose = true
		case "content-renamed", "commit", "committed":
			o.Nth = 1 + o.Nth/3
		case "":
			after = time.Duration(rng.Int64N(int64(sized(300, 1500)))) * time.Millisecond
		}
		res := runVictim(t, o, after)
		if res.died == "" {
			res.died = "any time"
		}
		died[res.died]++
		slowest = max(slowest, res.first)
		maps.Copy(acked, res.acked)
		if full() && i%20 == 19 {
			t.Logf("%d kills after %.0f s, %d deliveries acked", i+1, time.Since(began).Seconds(), len(acked))
		}
	}
	took := time.Since(began)

	r = begin(t, killConfig(dir), Deps{})
	for _, k := range all { // the last retry
		if _, ok := acked[k]; !ok {
			acked[k] = r.mustSend(t, k.parcel(rows))[0]
		}
	}
	r.settle(t)
	ds := r.deliveries(t)
	events := int64(0)
	for k, id := range acked {
		p := k.parcel(rows)
		events += int64(p.events)
		if d, ok := ds[id]; !ok || d.Name != p.name || d.Received != int64(p.rows) {
			t.Errorf("acked and lost: %s of feed %d: %s %+v", p.name, k.Feed, id, d)
		}
	}
	if n := r.sound(t, ds); n != events {
		t.Errorf("%d events were accepted, want %d", n, events)
	}
	if n := int64(len(r.ids(t))); n != events {
		t.Errorf("%d events are in the store, want %d", n, events)
	}
	if st, err := r.Status(t.Context(), localScope); err != nil || st.Events != events {
		t.Errorf("the status tells of %d events, want %d: %v", st.Events, events, err)
	}
	got := r.mustDocuments(t)
	v, err := r.Verify(t.Context(), localScope, nil)
	if err != nil || !v.OK {
		t.Errorf("verify: %v %+v", err, v.Damaged)
	}
	r.stop()

	whole := begin(t, killConfig(filepath.Join(t.TempDir(), "whole")), Deps{})
	whole.reference(t)
	for _, k := range all {
		whole.mustSend(t, k.parcel(rows))
	}
	whole.settle(t)
	same(t, "after the kills", got, whole.mustDocuments(t))

	t.Logf("%d kills in %.1f s (%v), %d deliveries acked of %d journalled, %d events; the slowest restart to first ack took %.2f s",
		kills, took.Seconds(), died, len(acked), len(ds), events, slowest.Seconds())
	if slowest > 10*time.Second {
		t.Errorf("a restart took %v to its first ack, want at most 10 s", slowest)
	}
	if died["idle"] > kills/3 {
		t.Errorf("%d of %d children came to their end", died["idle"], kills)
	}
}
