package figure

import (
	"math"
	"strings"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

func sqrt(f float64) float64 { return math.Sqrt(f) }

func (r Decimal) known() bool { return !math.IsNaN(float64(r)) && !math.IsInf(float64(r), 0) }

// join writes a list as a sentence has it: "a, b and c".
func join(list []string) string {
	if n := len(list); n > 1 {
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
	return strings.Join(list, "")
}
