package estimate

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestSampledRate draws counts and samples many times: the interval holds the
// true rate in about 95 of 100, and one that leaves the samples out does not.
func TestSampledRate(t *testing.T) {
	r, err := SampledRate(100, 10_000, 25)
	if err != nil || r.Rate != .01 || math.Abs(r.CI.Lo-.01/math.Exp(z95*math.Sqrt(.05))) > 1e-12 || math.Abs(r.CI.Hi*r.CI.Lo-1e-4) > 1e-12 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, x := range [][3]float64{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {1, math.NaN(), 1}, {1, 1, math.Inf(1)}} {
		if _, err := SampledRate(int(x[0]), x[1], x[2]); err == nil {
			t.Errorf("%v is taken", x)
		}
	}
	const users, mean, perSample = 40_000.0, 60.0, 1_000.0 // 40 samples
	rnd := rand.New(rand.NewPCG(1, 2))
	poisson := func(m float64) int {
		k, p, end := 0, rnd.Float64(), math.Exp(-m)
		for ; p > end; k++ {
			p *= rnd.Float64()
		}
		return k
	}
	held, without, n := 0, 0, 4_000
	for range n {
		k, s := poisson(mean), poisson(users/perSample)
		if k == 0 || s == 0 {
			continue
		}
		x, err := SampledRate(k, float64(s)*perSample, float64(s))
		if err != nil {
			t.Fatal(err)
		}
		y, err := PoissonRate(k, float64(s)*perSample)
		if err != nil {
			t.Fatal(err)
		}
		if x.CI.Has(mean / users) {
			held++
		}
		if y.CI.Has(mean / users) {
			without++
		}
	}
	if p := float64(held) / float64(n); p < .935 || p > .965 {
		t.Errorf("%.3f of the intervals hold the rate", p)
	}
	if p := float64(without) / float64(n); p > .9 {
		t.Errorf("%.3f hold it without the error of the users: the test shows nothing", p)
	}
}
