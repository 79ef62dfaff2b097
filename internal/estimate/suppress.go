package estimate

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// smallest is the least count that is released beside zero.
const smallest = 5

// Suppressed marks what of a table must not be released: Cells[row][column],
// the totals of rows and columns, and the total of all.
type Suppressed struct {
	Cells         [][]bool
	Rows, Columns []bool
	Total         bool
}

// Suppress says which cells of a table with totals to leave out: those from 1
// to 4, and as many more as keep them from being computed out of the totals
// (complementary suppression; Cox 1980, JASA 75, 377; Gusfield 1988, SIAM
// Journal on Computing 17, 552: a cell is given away exactly where it is a
// bridge of the graph whose edges are the suppressed cells). Afterwards every
// suppressed cell could have at least two values. A table of one row or one
// column is a one-way table, whose totals of the other side are the cells
// themselves. The table is to be released once: whoever has two versions can
// subtract.
func Suppress(table [][]int) (Suppressed, error) {
	rows := len(table)
	if rows == 0 || len(table[0]) == 0 {
		return Suppressed{}, errors.New("the table is empty")
	}
	cols := len(table[0])
	if rows > 1000 || cols > 1000 || rows*cols > 10_000 {
		return Suppressed{}, fmt.Errorf("%d times %d cells: at most 10,000 are taken", rows, cols)
	}
	for i, r := range table {
		if len(r) != cols {
			return Suppressed{}, fmt.Errorf("row %d has %d cells, the first %d", i+1, len(r), cols)
		}
		for j, v := range r {
			if v < 0 || v > most/10_000 {
				return Suppressed{}, fmt.Errorf("row %d, column %d: %d is no count", i+1, j+1, v)
			}
		}
	}
	if rows == 1 || cols == 1 {
		return oneWay(table), nil
	}
	t := newGrid(table)
	for i := range t.v {
		for j, v := range t.v[i] {
			t.out[i][j] = v > 0 && v < smallest
		}
	}
	t.close()
	s := Suppressed{Total: t.out[rows][cols], Columns: t.out[rows][:cols]}
	for i := range rows {
		s.Cells, s.Rows = append(s.Cells, t.out[i][:cols]), append(s.Rows, t.out[i][cols])
	}
	return s, nil
}

// oneWay suppresses in a list with one total.
func oneWay(table [][]int) Suppressed {
	rows, cols := len(table), len(table[0])
	list := slices.Concat(table...)
	out := make([]bool, len(list))
	total, hidden, n := 0, 0, 0
	for i, v := range list {
		total += v
		if v > 0 && v < smallest {
			out[i], hidden, n = true, hidden+v, n+1
		}
	}
	// Two hidden cells that add up to 2 would both be known to be 1.
	for n > 0 && (n < 2 || hidden < smallest) {
		best := -1
		for i, v := range list {
			if !out[i] && v > 0 && (best < 0 || v < list[best]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		out[best], hidden, n = true, hidden+list[best], n+1
	}
	s := Suppressed{Cells: make([][]bool, rows), Rows: make([]bool, rows), Columns: make([]bool, cols)}
	s.Total = n > 0 && (n < 2 || hidden < smallest) || total > 0 && total < smallest
	for i := range rows {
		s.Cells[i] = out[i*cols : (i+1)*cols]
	}
	if cols == 1 {
		copy(s.Rows, out)
		s.Columns[0] = s.Total
	} else {
		copy(s.Columns, out)
		s.Rows[0] = s.Total
	}
	return s
}

// grid is a table with its totals as a last row and column. Each of its rows
// and columns is one equation.
type grid struct {
	v   [][]int
	out [][]bool
}

func newGrid(table [][]int) *grid {
	rows, cols := len(table), len(table[0])
	g := &grid{make([][]int, rows+1), make([][]bool, rows+1)}
	for i := range g.v {
		g.v[i], g.out[i] = make([]int, cols+1), make([]bool, cols+1)
	}
	for i, r := range table {
		for j, v := range r {
			g.v[i][j] = v
			g.v[i][cols] += v
			g.v[rows][j] += v
			g.v[rows][cols] += v
		}
	}
	return g
}

// close suppresses more until no suppressed cell can be computed: each lies on
// a rectangle of suppressed cells along which counts could be moved by one.
func (g *grid) close() {
	for again := true; again; {
		again = false
		for i := range g.v {
			for j := range g.v[i] {
				if g.out[i][j] && !g.safe(i, j) {
					g.rectangle(i, j)
					again = true
				}
			}
		}
	}
}

// safe reports whether (i,j) lies on a rectangle of suppressed cells, so that
// one could be moved around it in either direction without going below zero.
func (g *grid) safe(i, j int) bool {
	for a := range g.v {
		if a == i || !g.out[a][j] {
			continue
		}
		for b := range g.v[a] {
			if b != j && g.out[a][b] && g.out[i][b] && g.movable(i, j, a, b) {
				return true
			}
		}
	}
	return false
}

// movable reports whether the counts of the rectangle with the corners (i,j) and
// (a,b) can change by one with all of them staying above zero. In its own row or
// column a total counts against the others, and moves with them.
func (g *grid) movable(i, j, a, b int) bool {
	row, col := 1, 1
	if last := len(g.v[0]) - 1; (j == last) != (b == last) {
		row = -1
	}
	if last := len(g.v) - 1; (i == last) != (a == last) {
		col = -1
	}
	up, down := true, g.v[i][j] > 1
	for _, c := range [][3]int{{i, b, -row}, {a, j, -col}, {a, b, row * col}} {
		if g.v[c[0]][c[1]] > 1 {
			continue
		}
		if c[2] > 0 {
			down = false
		} else {
			up = false
		}
	}
	return up || down
}

// rectangle suppresses the cheapest rectangle that makes (i,j) safe. There is
// one: along a total of each side and the total of all, everything may rise.
func (g *grid) rectangle(i, j int) {
	cost := func(i, j int) int {
		if g.out[i][j] {
			return 0
		}
		return g.v[i][j] + 1
	}
	best, ba, bb := math.MaxInt, -1, -1
	for a := range g.v {
		for b := range g.v[a] {
			if a == i || b == j {
				continue
			}
			if c := cost(a, j) + cost(i, b) + cost(a, b); g.movable(i, j, a, b) && c < best {
				best, ba, bb = c, a, b
			}
		}
	}
	for _, c := range [][2]int{{ba, j}, {i, bb}, {ba, bb}} {
		g.out[c[0]][c[1]] = true
	}
}
