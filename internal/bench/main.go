// Command bench measures the road from the bytes of a report to a figure, and
// what it costs on this machine: it makes simulated sinkhole reports, takes
// them in through the program's own components in one process, and prints a
// line `BENCH name value unit` for each number. Ratios are between
// measurements of the same run.
//
// It reads no report of anybody, opens no socket, writes in one folder that it
// removes, and is no part of the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"tocsin/internal/app"
)

// config says how much is measured.
type config struct {
	rows    int           // of the long load
	large   int           // of the large load
	road    int           // of one run of the road
	runs    int           // of the road, of which the median counts
	bulk    int           // of the one large delivery
	delta   int           // of a delivery
	probes  int           // deliveries whose way into a figure is timed
	evals   int           // rounds in which each figure is evaluated while loading goes on, at least
	pace    int           // rows a second of the other feed
	asking  time.Duration // that the rounds take, at least
	only    string        // sections, separated by commas; "" for all
	dir     string        // for temporary data; "" for the system's
	memory  int           // MiB that DuckDB may use; 0 for the program's default
	data    string        // folder of the large load, which is kept; "" for none
	profile string        // file for the CPU profile; "" for none
}

func defaultConfig() config {
	return config{rows: 20_000_000, large: 100_000_000, road: 1_000_000, runs: 5, bulk: 1_000_000, delta: 10_000, probes: 100, evals: 200, asking: 20 * time.Second, pace: 100_000}
}

// quick shrinks everything to seconds: it proves that the measurements work
// and says nothing of speed.
func (c *config) quick() {
	c.rows, c.large, c.road, c.runs, c.bulk, c.delta, c.probes, c.evals, c.pace = 20_000, 31_000, 4_000, 1, 20_000, 1_000, 3, 3, 5_000
	c.asking = time.Second
}

// section is one measurement; it prints its lines.
type section struct {
	name string
	run  func(context.Context, *bench) error
	// apart sections run where they are named alone.
	apart bool
}

// sections lists the measurements in their order. The long load comes first,
// so that the peak of its memory is its own.
var sections = []section{
	{name: "long", run: long},
	{name: "road", run: roads},
	{name: "episodes", run: episodes},
	{name: "stages", run: stages},
	{name: "latency", run: latency},
	{name: "rebuild", run: rebuild},
	{name: "large", run: large, apart: true},
}

// bench is one run of the program.
type bench struct {
	cfg config
	dir string
	out io.Writer
	log *slog.Logger
	n   int // folders made

	lost error // why lines could not be written
}

// print writes one number.
func (b *bench) print(name string, value float64, unit string) {
	digits := 0
	for _, bound := range []float64{1000, 100, 10, 1} {
		if value < bound {
			digits++
		}
	}
	b.line("BENCH %s %.*f %s", name, digits, value, unit)
}

// note writes a line for the reader, which is no number.
func (b *bench) note(format string, args ...any) { b.line("# "+format, args...) }

func (b *bench) line(format string, args ...any) {
	_, err := fmt.Fprintf(b.out, format+"\n", args...)
	b.lost = errors.Join(b.lost, err)
}

// folder makes a new folder for data.
func (b *bench) folder() string {
	b.n++
	return filepath.Join(b.dir, fmt.Sprintf("data%d", b.n))
}

func main() {
	app.Tune()
	cfg := defaultConfig()
	flag.IntVar(&cfg.rows, "rows", cfg.rows, "rows of the long load")
	flag.IntVar(&cfg.large, "large-rows", cfg.large, "rows of the large load")
	flag.StringVar(&cfg.data, "data", "", "folder of the large load: it is used if there is one, and kept")
	flag.IntVar(&cfg.road, "road-rows", cfg.road, "rows of one run of the road")
	flag.IntVar(&cfg.runs, "runs", cfg.runs, "runs of which the median counts")
	flag.StringVar(&cfg.only, "only", "", "sections to run, separated by commas: long, road, episodes, stages, latency, rebuild; and large, which runs when it is named")
	flag.StringVar(&cfg.dir, "dir", "", "folder for temporary data (several GB)")
	flag.StringVar(&cfg.profile, "profile", "", "write the CPU profile of section stages to this file, and what the heap holds after section long to FILE.heap")
	quick := flag.Bool("quick", false, "small sizes: shows that the measurements work, not how fast anything is")
	flag.IntVar(&cfg.evals, "evaluations", cfg.evals, "rounds in which each figure is asked for while loading goes on, at least")
	flag.IntVar(&cfg.probes, "probes", cfg.probes, "deliveries whose way into a figure is timed")
	flag.IntVar(&cfg.memory, "store-memory", 0, "MiB that DuckDB may use for its buffers, instead of the program's default")
	limit := flag.Duration("limit", 40*time.Minute, "give up after this long")
	flag.Parse()
	if *quick {
		cfg.quick()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := run(ctx, log, cfg, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		cancel()
		os.Exit(1) //nolint:gocritic // both deferred calls have been made
	}
}

// run runs the sections that are asked for; one that fails does not keep the
// next ones from running.
func run(ctx context.Context, log *slog.Logger, cfg config, out io.Writer) (err error) {
	var only []string
	if cfg.only != "" {
		only = strings.Split(cfg.only, ",")
	}
	for _, name := range only {
		if !slices.ContainsFunc(sections, func(s section) bool { return s.name == name }) {
			return fmt.Errorf("-only %s: there is no section of that name", name)
		}
	}
	b := &bench{cfg: cfg, out: out, log: log}
	if b.dir, err = os.MkdirTemp(cfg.dir, "tocsin-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // temporary
	started := time.Now()
	b.note("%s, %s/%s, %d CPUs, %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), started.UTC().Format(time.DateTime))
	for _, s := range sections {
		if !slices.Contains(only, s.name) && (len(only) > 0 || s.apart) {
			continue
		}
		at := time.Now()
		if e := s.run(ctx, b); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, e))
			b.note("section %s: %v", s.name, e)
		}
		b.note("section %s took %.0f s", s.name, time.Since(at).Seconds())
	}
	b.note("all took %.0f s", time.Since(started).Seconds())
	return errors.Join(err, b.lost)
}

// median returns the middle value; with an even number, the mean of the two.
func median(xs []float64) float64 {
	n := len(xs)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(xs))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// quantile returns the smallest value that at least the part q of the values
// does not exceed.
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(xs))
	i := int(q * float64(len(s)))
	if float64(i) == q*float64(len(s)) {
		i--
	}
	return s[min(max(i, 0), len(s)-1)]
}
