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
	// SightingsPerDay is how often a host is seen.
	SightingsPerDay float64
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
//	sightings  fewer than 24 per mean assignment: short ones are missed
//	sharing    hosts share addresses
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
	if err := errors.Join(need("pool", n.Pool, 0), need("sightings_per_day", n.SightingsPerDay, 0), need("ids_per_address", n.IDsPerAddress, 0)); err != nil {
		return Hosts{}, nil, err
	}
	if float64(n.Addresses) > .05*n.Pool {
		return Hosts{}, refuse("pool", "%d addresses are more than 5 %% of the network's %.0f: they are assigned again within the window.", n.Addresses, n.Pool), nil
	}
	if n.SharesAddresses || n.IDsPerAddress > 1.02 {
		return Hosts{}, refuse("sharing", "Hosts of this network share addresses, which the method does not see."), nil
	}
	var days, weight float64
	for _, d := range n.Durations {
		// Assignments active in the window are longer than those that begin; with
		// weights 1/(d+W) they are as they begin.
		w := d.Weight / (d.Days + n.WindowDays)
		days, weight = days+w*d.Days, weight+w
	}
	if per := n.SightingsPerDay * days / weight; per < 24 {
		return Hosts{}, refuse("sightings", "A host is seen %.1f times per assignment, and 24 are needed: short assignments are missed.", per), nil
	}
	h := Hosts{Hosts: float64(n.Addresses) * mean, CI: None()}
	h.Sensitivity = Interval{h.Hosts, h.Hosts}
	for i, t := range n.Plausible {
		x, err := CARDHosts(n.Addresses, t, n.WindowDays)
		if err != nil {
			return Hosts{}, nil, fmt.Errorf("plausible table %d: %w", i+1, err)
		}
		h.Sensitivity = Interval{min(h.Sensitivity.Lo, x), max(h.Sensitivity.Hi, x)}
	}
	if n.Addresses > 0 {
		size := float64(len(n.Durations))
		f := math.Exp(z95 * math.Sqrt(1/float64(n.Addresses)+v/(mean*mean*(size-1))))
		h.CI = Interval{h.Hosts / f, h.Hosts * f}
	}
	return h, nil, nil
}

// AddressHostFactor says by how much distinct addresses overstate hosts where
// both were counted. It is a quotient of complete counts and has no interval.
func AddressHostFactor(addresses, hosts int) (float64, error) {
	if err := errors.Join(whole("addresses", addresses, 0), whole("hosts", hosts, 1)); err != nil {
		return 0, err
	}
	return float64(addresses) / float64(hosts), nil
}
