package worlds

import "math"

// Leases is what is known of an AS that hands out addresses for a while.
type Leases struct {
	Hosts         float64 // the truth: hosts active at a time, in the mean over the window
	Addresses     int     // distinct, seen
	AddressDays   int     // sum of the daily distinct
	Events        int     // sightings
	WindowDays    int
	Durations     []float64 // whole length of a sample of the assignments seen, days
	Pool          float64
	IDsPerAddress float64 // as counted among hosts with an id
}

// MakeLeases makes an AS. Prior: 200 to 1,500 hosts over 14 to 28 days, leases
// of 1 to 7 days on average, exponential, 200 to 600 of them in the operator's
// sample, 30 to 100 sightings per mean lease of an active host, at random times,
// pools of 40 to 200 times the leases; hosts are always on.
//
// Pool re-use: pools of .3 to 30 times. Sparse sightings: .3 to 40 per mean
// lease. CGN: 2 to 16 hosts at an address, a third of them with an id. Short
// activity: 30 to 1,500 hosts that are active for .2 to .8 of the mean lease in the mean,
// exponential; in half of the runs others take their place, in the others the
// same hosts come back 3 to 10 days later in the mean. Wrong table: the durations
// are those of other times, longer or shorter by a factor of 1.2 to 3.
func MakeLeases(d Dice, w Name) Leases {
	l := Leases{WindowDays: 14 + d.IntN(15)}
	window := float64(l.WindowDays)
	least := 200.0
	if w == ShortActivity {
		least = 30
	}
	hosts, lease := int(d.between(least, 1500)), d.between(1, 7)
	behind := 1
	if w == CGN {
		behind = 2 + d.IntN(15)
	}
	boxes := max(1, hosts/behind)
	expected := float64(boxes) * (1 + window/lease)
	pools, rate := d.between(40, 200), d.between(30, 100)/lease
	if w == PoolReuse || w == SparseReuse {
		pools = d.between(.3, 30)
	}
	if w == SparseSightings || w == SparseReuse {
		rate = d.between(.3, 40) / lease
	}
	on, off := math.Inf(1), 0.0
	others := false
	if w == ShortActivity {
		on, others = lease*d.between(.2, .8), d.hit(.5)
		if !others {
			off = d.between(3, 10)
		}
	}
	l.Pool = math.Ceil(expected * pools)
	a := assigner{Dice: d, Leases: &l, rate: rate * float64(behind), seen: map[int]bool{}, days: map[[2]int]bool{}}
	for range boxes {
		a.box(lease, on, off, others)
	}
	l.Hosts = a.active * float64(behind) / window
	l.Addresses, l.AddressDays, l.Events = len(a.seen), len(a.days), d.poisson(a.expected)
	d.Shuffle(len(a.durations), func(i, j int) { a.durations[i], a.durations[j] = a.durations[j], a.durations[i] })
	l.Durations = a.durations[:min(len(a.durations), int(d.between(200, 600)))]
	if w == WrongTable {
		f := d.between(1.2, 3)
		if d.hit(.5) {
			f = 1 / f
		}
		for i := range l.Durations {
			l.Durations[i] *= f
		}
	}
	ids, with := 0, 0
	for range boxes {
		n := 0
		for range behind {
			if d.hit(1. / 3) {
				n++
			}
		}
		if n > 0 {
			ids, with = ids+n, with+1
		}
	}
	if with > 0 {
		l.IDsPerAddress = float64(ids) / float64(with)
	}
	return l
}

// assigner hands out addresses, and notes what is seen at them.
type assigner struct {
	Dice
	*Leases

	rate      float64 // sightings a day of an active address
	seen      map[int]bool
	days      map[[2]int]bool // address, day
	durations []float64
	active    float64 // days
	expected  float64 // sightings
}

// box lives through the window. Its times on and off are on and off in the mean;
// where others take its place, each time on has its own lease.
func (a *assigner) box(lease, on, off float64, others bool) {
	window := float64(a.WindowDays)
	// The lease under way when the window opens is longer than others: what has
	// passed of it and what is to come are both exponential.
	var begun, ends float64
	var address int
	var noted bool
	assign := func(at, past float64) {
		begun, ends = at-past, at+lease*a.ExpFloat64()
		address, noted = a.IntN(int(a.Pool)), false
	}
	assign(0, lease*a.ExpFloat64())
	always := math.IsInf(on, 1)
	active := always || a.hit(on/(on+off))
	for at := 0.0; at < window; active = others || !active {
		until := window
		switch {
		case !active:
			until = min(window, at+off*a.ExpFloat64())
		case !always:
			until = min(window, at+on*a.ExpFloat64())
		}
		for at < until {
			to := min(until, ends)
			if active && a.look(address, at, to) && !noted {
				a.durations, noted = append(a.durations, ends-begun), true
			}
			if at = to; at < until {
				assign(at, 0)
			}
		}
		if others { // a further host, in the middle of its own lease
			assign(at, lease*a.ExpFloat64())
		}
	}
}

// look notes what is seen of a host at an address from one time to another, and
// reports whether anything was.
func (a *assigner) look(address int, from, to float64) bool {
	a.active += to - from
	a.expected += a.rate * (to - from)
	found := false
	for day := math.Floor(from); day < to; day++ {
		if a.hit(1 - math.Exp(-a.rate*(min(to, day+1)-max(from, day)))) {
			a.seen[address], a.days[[2]int{address, int(day)}] = true, true
			found = true
		}
	}
	return found
}
