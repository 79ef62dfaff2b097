package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"tocsin/internal/figure"
)

// chart is a series drawn as paths of an SVG. Its texts stand around it in
// HTML, so that they keep their size whatever the width.
type chart struct {
	Area, Line string // path data
	Grid       []string
	Labels     []string // of the value axis, from the top down
	First      string   // days under the ends and the middle
	Middle     string
	Last       string
	W, H       int
	Sentence   string // what the drawing shows, for those who cannot see it
}

// drawSeries draws daily values as steps: a day is a width and not a point. It
// returns nil where there is nothing to draw.
func drawSeries(f *figure.Figure, w, h int) *chart {
	if len(f.Series) == 0 {
		return nil
	}
	c := &chart{W: w, H: h}
	var top, sum int64
	lo, hi := f.Series[0], f.Series[0]
	for _, p := range f.Series {
		top = max(top, p.Value)
		sum += p.Value
		if p.Value < lo.Value {
			lo = p
		}
		if p.Value > hi.Value {
			hi = p
		}
	}
	scale := ceiling(top)
	var line strings.Builder
	n := len(f.Series)
	x := func(i int) string { return strconv.FormatFloat(float64(i)*float64(w)/float64(n), 'f', 1, 64) }
	y := func(v int64) string {
		return strconv.FormatFloat(float64(h)*(1-float64(v)/float64(scale)), 'f', 1, 64)
	}
	for i, p := range f.Series {
		switch {
		case i == 0:
			fmt.Fprintf(&line, "M0 %s", y(p.Value))
		case p.Value != f.Series[i-1].Value:
			fmt.Fprintf(&line, "V%s", y(p.Value))
		}
		fmt.Fprintf(&line, "H%s", x(i+1))
	}
	c.Line = line.String()
	c.Area = c.Line + fmt.Sprintf("V%dH0Z", h)
	parts := int64(2)
	if scale%4 == 0 {
		parts = 4
	}
	if scale == 1 {
		parts = 1
	}
	for i := range parts + 1 {
		v := scale - scale*i/parts
		c.Grid = append(c.Grid, fmt.Sprintf("M0 %sH%d", y(v), w))
		c.Labels = append(c.Labels, group(strconv.FormatInt(v, 10)))
	}
	c.First, c.Last = f.Series[0].Day.String(), f.Series[n-1].Day.String()
	if n > 2 {
		c.Middle = f.Series[n/2].Day.String()
	}
	if n == 1 {
		c.Last = ""
	}
	c.Sentence = fmt.Sprintf("%s, %s: from %s on %s to %s on %s; most %s on %s, least %s on %s.",
		f.Title, f.SeriesUnit,
		digits(f.Series[0].Value), f.Series[0].Day, digits(f.Series[n-1].Value), f.Series[n-1].Day,
		digits(hi.Value), hi.Day, digits(lo.Value), lo.Day)
	return c
}

func digits(n int64) string { return group(strconv.FormatInt(n, 10)) }

// ceiling gives the end of an axis that has round marks.
func ceiling(top int64) int64 {
	if top <= 1 {
		return 1
	}
	if top > math.MaxInt64/10 {
		return math.MaxInt64
	}
	p := int64(1)
	for p*10 < top {
		p *= 10
	}
	for _, m := range []int64{1, 2, 4, 6, 8, 10} {
		if m*p >= top {
			return m * p
		}
	}
	return 10 * p
}

// barWidth gives the length of a bar out of 100, at least visible.
func barWidth(v, most int64) string {
	if most <= 0 || v <= 0 {
		return "0"
	}
	return strconv.FormatFloat(max(float64(v)*100/float64(most), 0.5), 'f', 1, 64)
}
