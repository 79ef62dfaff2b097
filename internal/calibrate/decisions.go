package main

import (
	"math"
	"strconv"

	"tocsin/internal/estimate"
	"tocsin/internal/sim/worlds"
)

// decisions are the trials of what gives no number, or a number of another kind
// in each run.
func decisions() []trial {
	list := []trial{
		{estimator: "turnbull", world: worlds.Ideal, run: func(d worlds.Dice, _ plant) (verdict, error) {
			w := worlds.MakeSpells(d)
			spells := make([]estimate.Spell, len(w.List))
			for i, x := range w.List {
				spells[i] = estimate.Spell(x)
			}
			s, err := estimate.Turnbull(spells)
			v := verdict{truth: w.Median, value: (s.Median.Lo + s.Median.Hi) / 2, ci: s.CI}
			if !s.CI.Known() || math.IsInf(s.CI.Hi, 1) {
				v.refused = "open"
			}
			return v, err
		}},
		{estimator: "shrinkage", world: worlds.Ideal, run: func(d worlds.Dice, _ plant) (verdict, error) {
			w := worlds.MakeRegions(d)
			regions := make([]estimate.Region, len(w))
			for i, r := range w {
				regions[i] = estimate.Region{Count: r.Count, Users: r.Users}
			}
			rates, err := estimate.Shrink(regions)
			if err != nil {
				return verdict{}, err
			}
			i := d.IntN(len(w))
			return verdict{truth: 1e5 * w[i].Rate, value: rates[i].Shrunk, ci: rates[i].CI}, nil
		}},
		{estimator: "suppression", world: worlds.Ideal, want: 1, run: func(d worlds.Dice, _ plant) (verdict, error) {
			t := worlds.MakeTable(d)
			s, err := estimate.Suppress(t)
			v := verdict{of: 1}
			if err == nil && len(known(t, s)) == 0 {
				v.right = 1
			}
			return v, err
		}},
	}
	for _, x := range []struct {
		world worlds.Name
		want  float64
	}{{worlds.Ideal, .95}, {worlds.OneStep, .9}, {worlds.LoneStep, .6}, {worlds.SharedStep, .9}} {
		list = append(list, trial{estimator: "coverage-breaks", world: x.world, want: x.want, run: func(d worlds.Dice, _ plant) (verdict, error) {
			var v verdict
			for _, f := range worlds.MakeFeeds(d, x.world) {
				r, of, err := breaks(f)
				if err != nil {
					return v, err
				}
				v.right, v.of = v.right+r, v.of+of
			}
			return v, nil
		}})
	}
	return list
}

// breaks counts the feeds of a family of whom the right thing is said: that the
// one which changed did within 3 days of when it did; that there is no break
// where there is none; and none within 14 days of a step that all take.
func breaks(f worlds.Family) (right, of int, err error) {
	series := map[string][]float64{}
	for i, s := range f.Feeds {
		series[feedName(i)] = s
	}
	list, err := estimate.CoverageBreaks(series)
	for i := range f.Feeds {
		found := false
		for _, b := range list {
			off := math.Abs(float64(b.Day - f.Step.Day))
			found = found || b.Feed == feedName(i) && (f.Step.Factor == 0 || f.Step.Feed == i && off <= 3 || f.Step.Feed < 0 && off <= shiftDays)
		}
		if planted := f.Step.Factor > 0 && f.Step.Feed >= 0; planted && f.Step.Feed != i {
			continue // whether others are blamed is judged where nothing is planted
		} else if of++; found == planted {
			right++
		}
	}
	return right, of, err
}

// shiftDays is how far the days of a level reach.
const shiftDays = 14

func feedName(i int) string { return "feed" + strconv.Itoa(i) }

// known gives the suppressed cells of a table that can be computed from what is
// released, with totals as a last row and column: those that no other table of
// counts with the same released cells has otherwise. Tables that agree in their
// totals differ by closed walks along which one is added and taken in turn, so
// that it is enough to look for one through the cell.
func known(table [][]int, s estimate.Suppressed) [][2]int {
	rows, cols := len(table), len(table[0])
	v, out := make([][]int, rows+1), make([][]bool, rows+1)
	for i := range v {
		v[i], out[i] = make([]int, cols+1), make([]bool, cols+1)
	}
	for i, r := range table {
		for j, x := range r {
			v[i][j] = x
			v[i][cols], v[rows][j], v[rows][cols] = v[i][cols]+x, v[rows][j]+x, v[rows][cols]+x
			out[i][j] = s.Cells[i][j]
		}
		out[i][cols] = s.Rows[i]
	}
	copy(out[rows], s.Columns)
	out[rows][cols] = s.Total
	// A total counts against the others of its row or column: it falls where they
	// rise.
	can := func(i, j int, up bool) bool {
		if (i == rows) != (j == cols) {
			up = !up
		}
		return out[i][j] && (up || v[i][j] > 0)
	}
	var list [][2]int
	for i := range out {
		for j := range out[i] {
			if !out[i][j] {
				continue
			}
			rises := can(i, j, true) && walk(out, can, i, j, true)
			falls := can(i, j, false) && walk(out, can, i, j, false)
			if !rises && !falls {
				list = append(list, [2]int{i, j})
			}
		}
	}
	return list
}

// walk reports whether a change of the cell (i,j) can be made up for: from its
// column, through cells that can change the other way to other rows, and through
// cells that can change the same way on to other columns, back to its row.
func walk(out [][]bool, can func(i, j int, up bool) bool, i, j int, up bool) bool {
	rows, cols := map[int]bool{}, map[int]bool{j: true}
	for todo := []int{j}; len(todo) > 0; todo = todo[1:] {
		for a := range out {
			if (a == i && todo[0] == j) || rows[a] || !can(a, todo[0], !up) {
				continue
			}
			if a == i {
				return true
			}
			rows[a] = true
			for b := range out[a] {
				if !cols[b] && can(a, b, up) {
					cols[b] = true
					todo = append(todo, b)
				}
			}
		}
	}
	return false
}
