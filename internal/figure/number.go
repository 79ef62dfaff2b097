package figure

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Number is an exact count or mean. A mean keeps its sum and its days, so that
// rows add up without rounding; it is written with two decimals, halves away
// from zero.
type Number struct {
	Sum  int64
	Days int64 // 0 for a plain count
}

// Float returns the value for drawing; it is never printed.
func (n Number) Float() float64 {
	if n.Days == 0 {
		return float64(n.Sum)
	}
	return float64(n.Sum) / float64(n.Days)
}

// String gives digits only: "1234" for a count, "1234.50" for a mean.
func (n Number) String() string {
	if n.Days == 0 {
		return strconv.FormatInt(n.Sum, 10)
	}
	return fixed(n.Sum, n.Days, 2)
}

// MarshalJSON writes a JSON number with the digits of [Number.String].
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalJSON reads what [Number.MarshalJSON] writes. The sum and the days of
// a mean are not in there: they become hundredths, which print the same.
func (n *Number) UnmarshalJSON(b []byte) (err error) {
	whole, frac, mean := bytes.Cut(b, []byte("."))
	if !mean {
		n.Days = 0
		n.Sum, err = strconv.ParseInt(string(whole), 10, 64)
		return err
	}
	if len(frac) != 2 {
		return fmt.Errorf("number %s: want two decimals", b)
	}
	n.Days = 100
	n.Sum, err = strconv.ParseInt(string(whole)+string(frac), 10, 64)
	return err
}

// Ratio is an exact quotient of two non-negative numbers, written with four
// decimals.
type Ratio struct{ Num, Den int64 }

// String gives digits with four decimals, "" where there is no base.
func (r Ratio) String() string {
	if r.Den == 0 {
		return ""
	}
	return fixed(r.Num, r.Den, 4)
}

// Percent gives the quotient in per cent with one decimal, "" where there is
// no base.
func (r Ratio) Percent() string {
	if r.Den == 0 {
		return ""
	}
	if r.Num > math.MaxInt64/100 || r.Num < math.MinInt64/100 {
		return ""
	}
	return fixed(r.Num*100, r.Den, 1)
}

// MarshalJSON writes a JSON number, null where there is no base.
func (r Ratio) MarshalJSON() ([]byte, error) {
	if r.Den == 0 {
		return []byte("null"), nil
	}
	return []byte(r.String()), nil
}

// UnmarshalJSON reads what [Ratio.MarshalJSON] writes, as ten-thousandths.
func (r *Ratio) UnmarshalJSON(b []byte) (err error) {
	if string(b) == "null" {
		*r = Ratio{}
		return nil
	}
	r.Den = 10000
	r.Num, err = strconv.ParseInt(strings.Replace(string(b), ".", "", 1), 10, 64)
	return err
}

// fixed writes num/den with that many decimals, halves away from zero. It
// computes in integers of any size: no rounding but the last.
func fixed(num, den int64, decimals int) string {
	neg := (num < 0) != (den < 0) && num != 0
	n, d := new(big.Int).Abs(big.NewInt(num)), new(big.Int).Abs(big.NewInt(den))
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	n.Mul(n, scale).Lsh(n, 1).Add(n, d)
	n.Quo(n, d.Lsh(d, 1))
	s := n.String()
	if neg && n.Sign() == 0 {
		neg = false
	}
	if len(s) <= decimals {
		s = strings.Repeat("0", decimals-len(s)+1) + s
	}
	if neg {
		s = "-" + s
	}
	if decimals == 0 {
		return s
	}
	return s[:len(s)-decimals] + "." + s[len(s)-decimals:]
}
