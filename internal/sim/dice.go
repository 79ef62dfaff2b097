package sim

import (
	"math/bits"
	"math/rand/v2"
)

// dice draws from one stream of numbers. Streams are told apart by what they
// are for, so that a draw more in one place changes nothing elsewhere.
type dice struct{ *rand.PCG }

// newDice returns the stream of a seed for a purpose on a day.
func newDice(seed uint64, purpose string, day Day) dice {
	h := uint64(14695981039346656037) // FNV-1a, 64 bit
	for i := range len(purpose) {
		h = (h ^ uint64(purpose[i])) * 1099511628211
	}
	return dice{rand.NewPCG(mix(seed^0x53696d756c616e64), mix(h^uint64(uint32(day))))} //nolint:gosec // any number does
}

// mix is the finaliser of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// n draws from 0 to k-1; k must be positive.
func (d dice) n(k int) int {
	hi, _ := bits.Mul64(d.Uint64(), uint64(k)) //nolint:gosec // positive
	return int(hi)                             //nolint:gosec // less than k
}

// hit is true in m of 1000 cases.
func (d dice) hit(m int) bool { return d.n(1000) < m }

// rare is true in m of a million cases.
func (d dice) rare(m int) bool { return d.n(1_000_000) < m }

// times draws a whole number whose mean is m thousandths.
func (d dice) times(m int) int {
	n := m / 1000
	if d.n(1000) < m%1000 {
		n++
	}
	return n
}

// pick draws an index with the weights whose running sums are given.
func (d dice) pick(sums []int) int {
	x := d.n(sums[len(sums)-1])
	for i, s := range sums {
		if x < s {
			return i
		}
	}
	return len(sums) - 1
}

// age draws for how many days something has been there of which m of a million
// end in a day.
func (d dice) age(m int) (days Day) {
	for !d.rare(m) {
		days++
	}
	return days
}
