// Command calibrate judges the estimators in worlds whose truth is known, and
// fails where one is wrong more often than it says: `make calibrate`. It is no
// part of the program that is served.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

func main() {
	runs := flag.Int("runs", 1000, "runs of each estimator in each world")
	seed := flag.Uint64("seed", 20261124, "seed of all worlds")
	fault := flag.String("plant", "", "a fault put in on purpose, half-se or swap-feeds: the judgement must turn red")
	only := flag.String("only", "", "judge this estimator alone")
	flag.Parse()
	if *fault != "" && plant(*fault) != halfSE && plant(*fault) != swapFeeds || *runs < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	scores, err := judge(*runs, *seed, plant(*fault), *only)
	if err == nil {
		fmt.Printf("%d runs each, seed %d\n\n", *runs, *seed)
		err = report(os.Stdout, scores)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "calibrate:", err)
		os.Exit(1)
	}
}

// report writes the table, a line a number, and what is broken, which is an
// error.
func report(w io.Writer, scores []score) error {
	var b strings.Builder
	b.WriteString("| estimator | world | number given | refused by | bias | coverage | refuses or covers | width | interval score | rule |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range scores {
		if s.of > 0 {
			continue
		}
		c, e := s.cover()
		rule := "holds"
		if len(s.broken) > 0 {
			rule = "BROKEN: " + strings.Join(s.broken, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f %% | %s | %s | %s | %.1f %% | %s | %s | %s |\n", s.estimator, s.world, s.part(s.given), s.tests(),
			s.known("%+.1f %%", 100*s.bias), s.known("%.1f ± %.1f %%", 100*c, 100*e), 100*s.safe(), s.known("%.2f", s.width), s.known("%.2f", s.interval), rule)
	}
	b.WriteString("\n| decided | world | right | of | rule |\n|---|---|---|---|---|\n")
	for _, s := range scores {
		if s.of > 0 {
			rule := "holds"
			if len(s.broken) > 0 {
				rule = "BROKEN: " + strings.Join(s.broken, "; ")
			}
			fmt.Fprintf(&b, "| %s | %s | %.1f %% | %d | %s |\n", s.estimator, s.world, 100*float64(s.right)/float64(s.of), s.of, rule)
		}
	}
	b.WriteByte('\n')
	for _, s := range scores {
		if s.far > 0 {
			fmt.Fprintf(&b, "year-on-year in %s: in %d runs with a number the raw change is off by more than 10 points, by %.1f in the median; the matched change by %.2f.\n", s.world, s.far, s.rawOff, s.matchedOff)
		}
	}
	b.WriteByte('\n')
	broken := 0
	for _, s := range scores {
		name := s.estimator + "." + strings.NewReplacer(" ", "-", ",", "").Replace(string(s.world))
		line := func(what string, v float64) {
			if !math.IsNaN(v) {
				fmt.Fprintf(&b, "CALIBRATE %s.%s %.4f\n", name, what, v)
			}
		}
		broken += len(s.broken)
		if s.of > 0 {
			line("right", float64(s.right)/float64(s.of))
			continue
		}
		c, e := s.cover()
		line("given", s.part(s.given)/100)
		line("coverage", c)
		line("coverage-error", e)
		line("safe", s.safe())
		if s.given > 0 {
			line("bias", s.bias)
			line("width", s.width)
			line("interval-score", s.interval)
		}
		line("matched-off-points", s.matchedOff)
		line("raw-off-points", s.rawOff)
	}
	fmt.Fprintf(&b, "CALIBRATE broken-rules %d\n", broken)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%d rules are broken", broken)
	}
	return nil
}

func (s score) part(n int) float64 { return 100 * float64(n) / float64(s.runs) }

// known formats figures of given numbers, "-" where none was given.
func (s score) known(format string, args ...any) string {
	if s.given == 0 {
		return "-"
	}
	return fmt.Sprintf(format, args...)
}

func (s score) tests() string {
	var list []string
	for _, t := range slices.Sorted(maps.Keys(s.refused)) {
		list = append(list, fmt.Sprintf("%s %.1f %%", t, s.part(s.refused[t])))
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}
