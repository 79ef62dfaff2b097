package store

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tocsin/internal/event"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// locate places a controller by its last bytes.
func locate(a netip.Addr, version uint32) query.Place {
	b := a.As4()
	sides := []query.Side{query.SideAbroad, query.SideAbroad, query.SideHome, query.SideUndetermined, query.SideUnknown}
	if version == 0 {
		return query.Place{Side: query.SideUnknown, CC: "no version"}
	}
	return query.Place{Side: sides[b[3]%5], CC: fmt.Sprintf("X%c", 'A'+b[3]%7)}
}

// withControllers gives most infections of feed0 a controller, and
// all of the other feeds a sinkhole.
func withControllers(r *rand.Rand, parts []*Part) {
	for _, p := range parts {
		for i := range p.Events {
			e := &p.Events[i]
			e.Destination.IP = netip.AddrFrom4([4]byte{203, 0, 113, byte(r.IntN(40))})
			e.Subject.Peer = event.RoleSinkhole
			if p.Delivery.Feed == "feed0" && r.IntN(6) > 0 {
				e.Subject.Peer = event.RoleC2
			}
		}
	}
}

// one is a sighting as the slow reference sees it.
type one struct {
	asset, feed string
	family      string
	day         event.Day
	asn         uint32
}

func ones(parts []*Part, class event.Class) []one {
	var list []one
	for _, p := range parts {
		for i := range p.Events {
			if e := &p.Events[i]; e.Class() == class {
				list = append(list, one{asset: p.Notes[i].Asset.Key.String(), feed: p.Delivery.Feed, day: e.Day(), asn: p.Notes[i].ASN, family: cmp.Or(e.Family, e.Identifier)})
			}
		}
	}
	return list
}

func TestNational(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	parts := seasons(r, 3, 1200)
	withControllers(r, parts)
	s := open(t, t.TempDir())
	for _, p := range parts {
		if err := s.Load(t.Context(), clone(p)); err != nil {
			t.Fatal(err)
		}
	}
	scope := policy.Local()
	class := event.ClassInfection
	list := ones(parts, class)
	period := query.Period{From: day0 + 10, To: day0 + 70}
	q := query.Count{Period: period, Class: class}
	in := func(x one) bool { return x.day >= period.From && x.day <= period.To }

	t.Run("sole", func(t *testing.T) {
		witness := map[string]string{"feed0": "up", "feed1": "up", "feed2": "feed2"}
		for _, m := range []query.Measure{query.Assets, query.AssetDays} {
			want := map[string]int64{}
			by := map[string]map[string]bool{}
			for _, x := range list {
				if !in(x) {
					continue
				}
				k := x.asset
				if m == query.AssetDays {
					k += x.day.String()
				}
				if by[k] == nil {
					by[k] = map[string]bool{}
				}
				by[k][witness[x.feed]] = true
			}
			for _, ws := range by {
				if len(ws) == 1 {
					for w := range ws {
						want[w]++
					}
				}
			}
			got, err := s.Sole(t.Context(), scope, query.Sole{Count: q, Measure: m, Witness: witness})
			if err != nil || !maps.Equal(got, want) || len(want) != 2 {
				t.Errorf("%s: got %v, %v; want %v", m, got, err, want)
			}
		}
	})

	t.Run("matched", func(t *testing.T) {
		for range 20 {
			// Some days of each feed, others in one network, none in another.
			var ask query.Matched
			on := map[string]bool{}
			own := uint32(64500 + r.IntN(3))
			ask.Class = class
			ask.Alone = []query.FeedDay{{Feed: "feed1", ASN: own}}
			ask.Not = []query.FeedFamily{{Feed: "feed0", Family: "qakbot"}, {Feed: "nobody", Family: "mirai"}, {Feed: "feed1", Family: "nothing"}}
			for d := period.From; d <= period.To; d++ {
				for _, f := range []string{"feed0", "feed1", "feed2", "nobody"} {
					if r.IntN(3) == 0 {
						ask.Days = append(ask.Days, query.FeedDay{Feed: f, Day: d})
						on[fmt.Sprint(f, 0, d)] = true
					}
				}
				if r.IntN(2) == 0 {
					ask.Days = append(ask.Days, query.FeedDay{Feed: "feed2", ASN: own, Day: d})
					on[fmt.Sprint("feed2", own, d)] = true
				}
			}
			hasOwn := func(f string, asn uint32) bool { return asn == own && (f == "feed1" || f == "feed2") }
			for _, m := range []query.Measure{query.Assets, query.AssetDays, query.EventRows} {
				ask.Measure = m
				sets := map[string]bool{}
				lowest := map[string]uint32{}
				want := map[uint32]int64{}
				for _, x := range list {
					cell := uint32(0)
					if hasOwn(x.feed, x.asn) {
						cell = x.asn
					}
					if !on[fmt.Sprint(x.feed, cell, x.day)] || x.feed == "feed0" && slices.Contains([]string{"qakbot", "qbot", "pinkslipbot"}, x.family) {
						continue
					}
					switch k := fmt.Sprint(x.asn, x.asset, x.day); {
					case m == query.EventRows:
						want[x.asn]++
					case m == query.AssetDays && !sets[k]:
						sets[k] = true
						want[x.asn]++
					case m == query.Assets:
						if a, ok := lowest[x.asset]; !ok || x.asn < a {
							lowest[x.asset] = x.asn
						}
					}
				}
				for _, a := range lowest {
					want[a]++
				}
				list, err := s.Matched(t.Context(), scope, ask)
				if err != nil {
					t.Fatal(err)
				}
				got := map[uint32]int64{}
				for _, c := range list {
					got[c.ASN] = c.N
				}
				if !maps.Equal(got, want) || len(want) == 0 {
					t.Fatalf("%s: got %v, want %v", m, got, want)
				}
			}
		}
	})

	t.Run("sightings", func(t *testing.T) {
		n, before := 0, map[event.ID]bool{}
		if err := s.Sightings(t.Context(), scope, q, func(list []query.Seen) {
			if before[list[0].Asset] {
				t.Errorf("%s comes twice", list[0].Asset)
			}
			before[list[0].Asset] = true
			for i, x := range list {
				if i > 0 && list[i-1].Day > x.Day || x.Asset != list[0].Asset {
					t.Errorf("out of order: %v", list)
				}
			}
			n += len(list)
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		for _, p := range parts {
			for i := range p.Events {
				if e := &p.Events[i]; e.Class() == class && e.Day() >= period.From && e.Day() <= period.To {
					want[fmt.Sprint(p.Notes[i].Asset.Key, e.Day(), p.Delivery.Feed, e.Type, e.Family)] = true
				}
			}
		}
		if n != len(want) {
			t.Errorf("%d sightings, want %d", n, len(want))
		}
	})

	t.Run("controlled", func(t *testing.T) {
		got, err := s.Controlled(t.Context(), scope, query.Control{Period: period}, locate)
		if err != nil {
			t.Fatal(err)
		}
		want := slowControl(parts, period)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if got.Distinct == 0 || got.Undetermined == 0 || got.AtHome == 0 || len(got.Countries) < 3 {
			t.Errorf("too little to see: %+v", got)
		}
		shared := int64(0)
		for _, c := range got.Countries {
			shared += c.Shared
		}
		if shared == 0 {
			t.Error("no asset with controllers in two countries")
		}
		none, err := s.Controlled(t.Context(), scope, query.Control{Period: period, Where: []query.Cond{{Dim: query.DimFeed, Value: "feed1"}}}, locate)
		if err != nil || len(none.Feeds) != 0 || none.Evidence != 0 {
			t.Errorf("a sinkhole is no evidence: %+v, %v", none, err)
		}
	})
}

// slowControl is what [Store.Controlled] says, by maps.
func slowControl(parts []*Part, p query.Period) query.Controlled {
	out := query.Controlled{Daily: make([]int64, p.Days()), EvidenceDaily: make([]int64, p.Days()), Feeds: []string{"feed0"}}
	places := map[string]map[string]query.Side{} // of an asset: country or side word, over the period
	days := map[string]map[string]query.Side{}
	for _, x := range parts {
		for i := range x.Events {
			e := &x.Events[i]
			if e.Class() != event.ClassInfection || e.Subject.Peer != event.RoleC2 || e.Day() < p.From || e.Day() > p.To {
				continue
			}
			at := locate(e.Destination.IP, 1)
			for m, k := range map[*map[string]map[string]query.Side]string{&places: x.Notes[i].Asset.Key.String(), &days: fmt.Sprint(int(e.Day()-p.From), " ", x.Notes[i].Asset.Key)} {
				if (*m)[k] == nil {
					(*m)[k] = map[string]query.Side{}
				}
				(*m)[k][fmt.Sprint(at.Side, at.CC)] = at.Side
			}
		}
	}
	by := map[string]*query.ControllerCountry{}
	abroad := func(m map[string]query.Side) (ccs []string) {
		for k, side := range m {
			if side == query.SideAbroad {
				ccs = append(ccs, k[len(k)-2:])
			}
		}
		return ccs
	}
	for _, m := range places {
		out.Evidence++
		ccs := abroad(m)
		maybe := false
		for _, side := range m {
			maybe = maybe || side == query.SideUndetermined || side == query.SideUnknown
		}
		switch {
		case len(ccs) > 0:
			out.Distinct++
		case maybe:
			out.Undetermined++
		default:
			out.AtHome++
		}
		for _, cc := range ccs {
			if by[cc] == nil {
				by[cc] = &query.ControllerCountry{CC: cc}
			}
			by[cc].Total++
			if len(ccs) == 1 {
				by[cc].Exclusive++
			} else {
				by[cc].Shared++
			}
		}
	}
	for k, m := range days {
		var i int
		_, _ = fmt.Sscan(k, &i)
		out.EvidenceDaily[i]++
		ccs := abroad(m)
		if len(ccs) > 0 {
			out.Daily[i]++
		}
		for _, cc := range ccs {
			by[cc].DaySum++
		}
	}
	for _, c := range by {
		c.Mean = float64(c.DaySum) / float64(p.Days())
		out.Countries = append(out.Countries, *c)
	}
	slices.SortFunc(out.Countries, func(a, b query.ControllerCountry) int {
		if a.Total != b.Total {
			return int(b.Total - a.Total)
		}
		return slices.Compare([]byte(a.CC), []byte(b.CC))
	})
	return out
}
