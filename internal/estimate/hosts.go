package estimate

import (
	"errors"
	"fmt"
	"math"
)

// Duration is a length of address assignments that are active in the window,
// and how many, or which share, have it.
type Duration struct{ Days, Weight float64 }

// CARDHosts estimates the hosts behind distinct addresses of one AS in a
// window: n times the mean of d/(d+W) over assignments active in it (Boeck,
// Levin, Padmanabhan, Doerr and Muehlhaeuser, NDSS 2023,
// doi:10.14722/ndss.2023.24002). The value is host-time over W: the mean number
// of hosts at a time, not all that ever were. To publish it, ask [CARDCount].
func CARDHosts(addresses int, durations []Duration, windowDays float64) (float64, error) {
	m, _, err := shares(durations, windowDays)
	if err = errors.Join(whole("ips", addresses, 0), err); err != nil {
		return 0, err
	}
	return float64(addresses) * m, nil
}

// shares gives the weighted mean of d/(d+W) and its variance.
func shares(durations []Duration, w float64) (mean, variance float64, err error) {
	if err := above("window_days", w); err != nil {
		return 0, 0, err
	}
	if len(durations) == 0 {
		return 0, 0, errors.New("there is no duration: give those of the network's assignments; without any, publish addresses")
	}
	var sum, weight float64
	for i, d := range durations {
		if err := errors.Join(above(fmt.Sprintf("durations[%d]", i), d.Days), need(fmt.Sprintf("weight[%d]", i), d.Weight, 0)); err != nil {
			return 0, 0, err
		}
		sum, weight = sum+d.Weight*share(d.Days, w), weight+d.Weight
	}
	if err := above("the sum of the weights", weight); err != nil {
		return 0, 0, err
	}
	mean = sum / weight
	for _, d := range durations {
		x := share(d.Days, w) - mean
		variance += d.Weight / weight * x * x
	}
	return mean, variance, nil
}

// share is d/(d+w), also where the sum overflows.
func share(d, w float64) float64 { return 1 / (1 + w/d) }

// Network is what must be known of one AS before hosts may be estimated from
// its addresses.
type Network struct {
	Addresses  int // distinct in the window; IPv6: /64
	WindowDays float64
	// Durations is a sample of the assignments behind Addresses, each with its
	// whole length and weight 1: looked up in the operator's logs, or from own
	// sightings with a stable id. Assignments that nobody saw are not among them.
	Durations []Duration
	// Plausible are further tables that could be true; the sensitivity range is
	// over all of them.
	Plausible [][]Duration
	Pool      float64 // addresses that the AS assigns from
	// DailyAddresses is the mean of the daily distinct addresses over the window,
	// 0 where it is not known; Events is all sightings of the window.
	DailyAddresses float64
	Events         int
	// IDsPerAddress is the mean number of stable ids at an address at one time,
	// 0 where ids are not known. SharesAddresses says that the AS is known to
	// share addresses (CGN).
	IDsPerAddress   float64
	SharesAddresses bool
}

// Hosts is an estimate of hosts at a time. CI is a 95 % sampling interval of the
// count and the sample of durations; re-use of addresses, assignments nobody
// saw, and errors of the table are not in it. Sensitivity is the range over the
// plausible tables.
type Hosts struct {
	Hosts           float64
	CI, Sensitivity Interval
}

// CARDCount is [CARDHosts] for publication, or says which test refuses:
//
//	durations  no table, or fewer than 30 durations: there is no default
//	pool       the pool is not known, or addresses exceed 5 % of it: they are
//	           assigned again within the window, and the count saturates
//	sharing    hosts share addresses
//	sightings  fewer than 24 per mean assignment: short ones are missed; or fewer
//	           than 2 of an address on a day on which it is seen
//	activity   the daily addresses are not known, or are too few for hosts that
//	           are active for as long as their assignments last
//	durations  the daily addresses are too many: assignments are shorter than the
//	           table says
//
// The last two hold the estimate against what it lets expect of a day, with
// sightings at random times. Hosts that are off for less than a day count as on.
func CARDCount(n Network) (Hosts, *Refusal, error) {
	if err := whole("ips", n.Addresses, 0); err != nil {
		return Hosts{}, nil, err
	}
	if len(n.Durations) < 30 {
		return Hosts{}, refuse("durations", "%d durations of this network's assignments are known, and 30 are needed; addresses alone are published.", len(n.Durations)), nil
	}
	mean, v, err := shares(n.Durations, n.WindowDays)
	if err != nil {
		return Hosts{}, nil, err
	}
	if err := errors.Join(need("pool", n.Pool, 0), need("daily_addresses", n.DailyAddresses, 0), whole("events", n.Events, 0), need("ids_per_address", n.IDsPerAddress, 0)); err != nil {
		return Hosts{}, nil, err
	}
	if float64(n.Addresses) > .05*n.Pool {
		return Hosts{}, refuse("pool", "%d addresses are more than 5 %% of the network's %.0f: they are assigned again within the window.", n.Addresses, n.Pool), nil
	}
	if n.SharesAddresses || n.IDsPerAddress > 1.02 {
		return Hosts{}, refuse("sharing", "Hosts of this network share addresses, which the method does not see."), nil
	}
	if n.DailyAddresses == 0 && n.Addresses > 0 {
		return Hosts{}, refuse("activity", "It is not known how many addresses are seen a day, and so not whether hosts are active for as long as their assignments last."), nil
	}
	h := Hosts{Hosts: float64(n.Addresses) * mean, CI: None()}
	h.Sensitivity = Interval{h.Hosts, h.Hosts}
	if n.Addresses > 0 {
		size := float64(len(n.Durations))
		sd := math.Sqrt(1/float64(n.Addresses) + v/(mean*mean*(size-1)))
		if r := n.checkDays(h.Hosts, sd); r != nil {
			return Hosts{}, r, nil
		}
		f := math.Exp(z95 * sd)
		h.CI = Interval{h.Hosts / f, h.Hosts * f}
	}
	for i, t := range n.Plausible {
		x, err := CARDHosts(n.Addresses, t, n.WindowDays)
		if err != nil {
			return Hosts{}, nil, fmt.Errorf("plausible table %d: %w", i+1, err)
		}
		h.Sensitivity = Interval{min(h.Sensitivity.Lo, x), max(h.Sensitivity.Hi, x)}
	}
	return h, nil, nil
}

// slack is by what factor the daily addresses may be off for other reasons than
// chance: addresses assigned again, and short assignments that nobody saw, are
// missing among the distinct ones.
const slack = 1.05

// checkDays holds an estimate of hosts, with the standard deviation of its
// logarithm, against the sightings and the addresses of a day.
func (n Network) checkDays(hosts, sd float64) *Refusal {
	began := make([]Duration, len(n.Durations))
	var days, weight float64
	for i, d := range n.Durations {
		// Assignments active in the window are longer than those that begin; with
		// weights 1/(d+W) they are as they begin.
		w := d.Weight / (d.Days + n.WindowDays)
		began[i] = Duration{d.Days, w}
		days, weight = days+w*d.Days, weight+w
	}
	lasts := days / weight
	perDay := float64(n.Events) / n.DailyAddresses / n.WindowDays
	if !(perDay >= 2) {
		return refuse("sightings", "An address is reported %.1f times on a day on which it is seen, and 2 are needed to tell whether hosts are active for as long as their assignments last.", perDay)
	}
	rate, seen := seenADay(began, perDay)
	// How often a host is seen: of those that were, or spread over all.
	if per := lasts * min(rate, float64(n.Events)/hosts/n.WindowDays); !(per >= 24) {
		return refuse("sightings", "A host is seen %.1f times per assignment, and 24 are needed: short assignments are missed.", per)
	}
	expect := hosts / lasts * seen
	f := slack * math.Exp(z95*sd)
	switch {
	case !(n.DailyAddresses >= expect/f):
		return refuse("activity", "%.0f addresses are seen a day, where hosts that are active for as long as their assignments last let expect %.0f: they are not.", n.DailyAddresses, expect)
	case !(n.DailyAddresses <= expect*f):
		return refuse("durations", "%.0f addresses are seen a day, where the table of assignments lets expect %.0f: assignments are shorter than it says.", n.DailyAddresses, expect)
	}
	return nil
}

// seenADay gives the rate at which active hosts are seen, where addresses that
// are seen on a day are seen perDay times in the mean, above 1, and how many of the
// assignments that begin in a day are seen on any one day.
func seenADay(began []Duration, perDay float64) (rate, seen float64) {
	at := func(rate float64) (seen, events float64) {
		var weight float64
		for _, d := range began {
			// A day and an assignment overlap by the shorter of the two for |1-d| of
			// the days on which the assignment could begin, and by less on either side.
			m := min(1, d.Days)
			x := math.Abs(1-d.Days)*-math.Expm1(-rate*m) + 2*(m+math.Expm1(-rate*m)/rate)
			seen, events, weight = seen+d.Weight*x, events+d.Weight*rate*d.Days, weight+d.Weight
		}
		return seen / weight, events / weight
	}
	// Sightings per address and day rise with the rate, from 1, and are no more.
	lo, hi := 0.0, perDay
	for s, e := at(hi); e < perDay*s; s, e = at(hi) {
		lo, hi = hi, 2*hi
	}
	for range 60 {
		mid := (lo + hi) / 2
		if s, e := at(mid); e < perDay*s {
			lo = mid
		} else {
			hi = mid
		}
	}
	seen, _ = at(hi)
	return hi, seen
}

// AddressHostFactor says by how much distinct addresses overstate hosts where
// both were counted. It is a quotient of complete counts and has no interval.
func AddressHostFactor(addresses, hosts int) (float64, error) {
	if err := errors.Join(whole("addresses", addresses, 0), whole("hosts", hosts, 1)); err != nil {
		return 0, err
	}
	return float64(addresses) / float64(hosts), nil
}
