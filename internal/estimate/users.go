package estimate

import (
	"errors"
	"math"
)

// SampledRate gives k events or assets per user where the users were estimated
// from a number of samples: the error of both is in its 95 % interval, by the
// delta method on the logarithm, var = 1/k + 1/samples, both taken for Poisson
// counts. K must be above 0: the logarithm of 0 has no variance.
func SampledRate(k int, users, samples float64) (Rate, error) {
	if err := errors.Join(whole("k", k, 1), above("users", users), above("samples", samples)); err != nil {
		return Rate{}, err
	}
	r := float64(k) / users
	f := math.Exp(z95 * math.Sqrt(1/float64(k)+1/samples))
	return Rate{r, Interval{r / f, r * f}}, nil
}
