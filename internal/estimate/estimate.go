// Package estimate computes the estimates, intervals and refusals that stand
// beside counted figures: rates, ratios, hosts from addresses, what no feed has
// seen, year on year, losses, durations, and what of a table may be released.
//
// It takes numbers and gives numbers. Each function names the paper of its
// formula. An error means that the input cannot be; a [Refusal] means that the
// input is possible and the method does not hold for it, so that no number may
// be published. It draws only from seeds that it is given, and never counts,
// reads a clock, or opens anything.
package estimate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// z95 and z90 are the normal quantiles of two-sided 95 % and 90 % intervals.
const (
	z95 = 1.959963984540054
	z90 = 1.6448536269514722
)

// most is the greatest count taken: beyond it a float64 skips whole numbers.
const most = 1 << 53

// Interval is a range with both ends in it. An end may be infinite; a range
// that the method cannot give is [None].
type Interval struct{ Lo, Hi float64 }

// None returns the interval that is none.
func None() Interval { return Interval{math.NaN(), math.NaN()} }

// Known reports whether there is an interval.
func (i Interval) Known() bool { return !math.IsNaN(i.Lo) && !math.IsNaN(i.Hi) }

// Has reports whether x lies in the interval.
func (i Interval) Has(x float64) bool { return i.Lo <= x && x <= i.Hi }

// MarshalJSON writes [lo,hi], null for an end that is infinite, and null for
// [None].
func (i Interval) MarshalJSON() ([]byte, error) {
	if !i.Known() {
		return []byte("null"), nil
	}
	return json.Marshal([]any{finite(i.Lo), finite(i.Hi)})
}

// finite gives x, or nil where JSON has no number for it.
func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}

// Refusal says that no number may be published: which test refuses, in one word
// that does not change, and why, in a sentence for the page.
type Refusal struct {
	Test string `json:"test"`
	Why  string `json:"why"`
}

func refuse(test, format string, args ...any) *Refusal {
	return &Refusal{test, fmt.Sprintf(format, args...)}
}

// need holds that x is a finite number of at least low.
func need(name string, x, low float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < low {
		return fmt.Errorf("%s is %g: it must be a finite number of at least %g", name, x, low)
	}
	return nil
}

// above holds that x is a finite number greater than zero.
func above(name string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
		return fmt.Errorf("%s is %g: it must be a finite number above zero", name, x)
	}
	return nil
}

// whole holds that n is a count of at least low that a float64 holds exactly.
func whole(name string, n, low int) error {
	if n < low || n > most {
		return fmt.Errorf("%s is %d: it must be a whole number from %d to 2^53", name, n, low)
	}
	return nil
}

// gammaQuantile gives the p quantile of the gamma distribution with the shape
// a and rate 1. Where a is so large that the series behind it does not
// converge, Wilson and Hilferty's cube root (1931) is exact to 1e-8.
func gammaQuantile(a, p float64) float64 {
	if a > 1e5 {
		z := normalQuantile(p)
		c := 1 - 1/(9*a) + z/(3*math.Sqrt(a))
		return a * c * c * c
	}
	return mathext.GammaIncRegInv(a, p)
}

// betaQuantile gives the p quantile of the beta distribution with shapes a and
// b, which may not both be beyond 2^53.
func betaQuantile(a, b, p float64) float64 {
	if a+b < 1e7 {
		return mathext.InvRegIncBeta(a, b, p)
	}
	// By halves: [mathext.InvRegIncBeta] loses its way for large shapes.
	lo, hi := 0.0, 1.0
	for range 80 {
		mid := (lo + hi) / 2
		if betaCDF(a, b, mid) < p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// betaCDF is the regularised incomplete beta function; beyond ten million the
// cube roots of Paulson (1942) stand for it.
func betaCDF(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case a+b < 1e7:
		return mathext.RegIncBeta(a, b, x)
	}
	w1, w2 := math.Cbrt(b*x), math.Cbrt(a*(1-x))
	return normalCDF(3 * (w1*(1-1/(9*b)) - w2*(1-1/(9*a))) / math.Sqrt(w1*w1/b+w2*w2/a))
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// student95 is the 97.5 % quantile of Student's t.
func student95(df float64) float64 {
	x := betaQuantile(df/2, .5, .05)
	return math.Sqrt(df * (1/x - 1))
}

// binomialCDF is P(X <= k) of n trials.
func binomialCDF(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n:
		return 1
	}
	return betaCDF(float64(n-k), float64(k+1), 1-p)
}

// poissonCDF is P(X <= k) with a mean above zero.
func poissonCDF(k int, mean float64) float64 {
	if k < 0 {
		return 0
	}
	if mean > 1e5 {
		a := float64(k + 1)
		return 1 - normalCDF((math.Cbrt(mean/a)-1+1/(9*a))*3*math.Sqrt(a))
	}
	return mathext.GammaIncRegComp(float64(k+1), mean)
}

// chiTail is P(X > x) of chi-squared with df degrees of freedom.
func chiTail(x float64, df int) float64 {
	return mathext.GammaIncRegComp(float64(df)/2, x/2)
}

var errEmpty = errors.New("there is nothing to estimate from: all counts are zero")
