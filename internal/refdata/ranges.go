package refdata

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// key is a place in an address family: an IPv4 address, or the upper half of
// an IPv6 address (the number of its /64).
type key interface{ ~uint32 | ~uint64 }

// ranges maps every key of a family to a value; 0 means unknown. start[i] up
// to start[i+1]-1 has value[i], and start[0] is 0.
//
// fan[b] is the first index whose start lies in bucket b or later, so that a
// lookup searches the few starts of one bucket. The bucket is the upper bits of
// an IPv4 address, and of an IPv6 address the bits after the first three, since
// all global unicast addresses begin with 001 (RFC 4291, section 2.4); what
// lies outside 2000::/3 falls into the first or the last bucket. IPv6 gets more
// buckets because its addresses crowd in few of them.
type ranges[K key, V uint16 | uint32] struct {
	start []K
	value []V
	fan   []uint32
	shift uint8 // of the key, to the bucket
}

// The most bits that make a bucket: 256 KiB and 4 MiB of fan.
const (
	fanBits4 = 16
	fanBits6 = 20
)

// global6 are the keys of 2000::/3.
const (
	global6First = 0x2000 << 48
	global6Last  = 0x4000<<48 - 1
	global6Bits  = 61
)

// is4 tells the families apart.
func is4[K key]() bool {
	var z K
	return uint64(^z) == math.MaxUint32
}

func (r *ranges[K, V]) bucket(k K) uint32 {
	if is4[K]() {
		return uint32(uint64(k) >> (r.shift & 63)) //nolint:gosec // 32 bits
	}
	return uint32((min(max(uint64(k), global6First), global6Last) - global6First) >> (r.shift & 63)) //nolint:gosec // fanBits6
}

// newRanges takes sorted, disjoint spans without value 0.
func newRanges[K key, V uint16 | uint32](spans []span) ranges[K, V] {
	var r ranges[K, V]
	n := 1
	for i, s := range spans {
		n++
		if i+1 < len(spans) && s.hi+1 != spans[i+1].lo {
			n++
		}
	}
	r.start, r.value = make([]K, 0, n+1), make([]V, 0, n+1)
	var z K
	next, end := uint64(0), uint64(^z)
	for _, s := range spans {
		if s.lo > next || (len(r.start) == 0 && s.lo > 0) {
			r.start, r.value = append(r.start, K(next)), append(r.value, 0)
		}
		r.start, r.value = append(r.start, K(s.lo)), append(r.value, V(s.val))
		next = s.hi + 1
	}
	if len(spans) == 0 || spans[len(spans)-1].hi < end {
		r.start, r.value = append(r.start, K(next)), append(r.value, 0)
	}
	r.index()
	return r
}

// index fills fan, with about as many buckets as there are ranges.
func (r *ranges[K, V]) index() {
	n, all, most := bits.Len(uint(len(r.start))), global6Bits, fanBits6
	if is4[K]() {
		all, most = 32, fanBits4
	}
	n = min(n+2, most)
	r.shift = uint8(all - n) //nolint:gosec // at most 61
	r.fan = make([]uint32, 1<<n+1)
	b := 0
	for i, s := range r.start {
		for last := int(r.bucket(s)); b <= last; b++ {
			r.fan[b] = uint32(i)
		}
	}
	for ; b < len(r.fan); b++ {
		r.fan[b] = uint32(len(r.start)) //nolint:gosec // at most twice maxRanges
	}
}

// at returns the value of k.
func (r *ranges[K, V]) at(k K) V {
	if len(r.start) == 0 {
		return 0
	}
	b := r.bucket(k)
	start := r.start[r.fan[b]:r.fan[b+1]]
	// A binary search without conditional jumps, which nothing could predict:
	// less is 1 exactly if k lies before the middle.
	i := 0
	for n := len(start); n > 0; {
		half := (n + 1) >> 1
		_, less := bits.Sub64(uint64(k), uint64(start[i+half-1]), 0)
		i += half & (int(less) - 1) //nolint:gosec // 0 or 1
		n -= half
	}
	return r.value[int(r.fan[b])+i-1] // start[0] is 0, so that this is at least 0
}

// known counts the ranges that have a value.
func (r *ranges[K, V]) known() (n int) {
	for _, v := range r.value {
		if v != 0 {
			n++
		}
	}
	return n
}

// span is a range of keys, both ends included, with its value.
type span struct {
	lo, hi uint64
	val    uint32
}

func (s span) width() uint64 { return s.hi - s.lo }

// flatten gives each key the value of the narrowest span that holds it (of
// equal ones the first), as sorted, disjoint and merged spans without value 0.
func flatten(in []span) []span {
	order := make([]int, len(in))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(in[a].lo, in[b].lo) })
	var (
		out  []span
		open = spanHeap{in: in}
	)
	for i, at := 0, uint64(0); i < len(order) || len(open.of) > 0; {
		if len(open.of) == 0 {
			at = in[order[i]].lo
		}
		for i < len(order) && in[order[i]].lo <= at {
			heap.Push(&open, order[i])
			i++
		}
		for len(open.of) > 0 && in[open.of[0]].hi < at {
			heap.Pop(&open)
		}
		if len(open.of) == 0 {
			continue
		}
		s := in[open.of[0]]
		end := s.hi
		if i < len(order) {
			end = min(end, in[order[i]].lo-1)
		}
		out = appendSpan(out, span{at, end, s.val})
		if end == math.MaxUint64 {
			break
		}
		at = end + 1
	}
	return out
}

// appendSpan appends a span that begins after all others.
func appendSpan(out []span, s span) []span {
	if s.val == 0 {
		return out
	}
	if n := len(out); n > 0 && out[n-1].val == s.val && out[n-1].hi+1 == s.lo {
		out[n-1].hi = s.hi
		return out
	}
	return append(out, s)
}

// spanHeap has the narrowest open span on top.
type spanHeap struct {
	in []span
	of []int
}

func (h *spanHeap) Len() int { return len(h.of) }
func (h *spanHeap) Less(i, j int) bool {
	a, b := h.of[i], h.of[j]
	if c := cmp.Compare(h.in[a].width(), h.in[b].width()); c != 0 {
		return c < 0
	}
	return a < b
}
func (h *spanHeap) Swap(i, j int) { h.of[i], h.of[j] = h.of[j], h.of[i] }
func (h *spanHeap) Push(x any)    { h.of = append(h.of, x.(int)) }
func (h *spanHeap) Pop() any {
	n := len(h.of) - 1
	x := h.of[n]
	h.of = h.of[:n]
	return x
}

// key4 and key6 are the places of an address in its family.
func key4(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }
func key6(a netip.Addr) uint64 { b := a.As16(); return binary.BigEndian.Uint64(b[:8]) }

// keys returns the span of keys from first to last, and false if it holds
// none: IPv6 ranges count where they hold the first address of a /64.
func keys(first, last netip.Addr) (lo, hi uint64, ok bool) {
	if first.Is4() {
		return uint64(key4(first)), uint64(key4(last)), true
	}
	lo, hi = key6(first), key6(last)
	if b := first.As16(); binary.BigEndian.Uint64(b[8:]) != 0 {
		if lo == math.MaxUint64 {
			return 0, 0, false
		}
		lo++
	}
	return lo, hi, lo <= hi
}
