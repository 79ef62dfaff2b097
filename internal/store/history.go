package store

import (
	"math/bits"

	"tocsin/internal/event"
)

// never is the day before all days: the asset was not seen before.
const never = event.Day(-1 << 31)

// history is on which days an asset was seen, as far as memory holds it: the
// newest day, and which of the window of days before it. Bit i of before is
// the day newest-1-i; the last bit says that there is a day before those.
type history struct {
	newest uint16 // days from 1970 on, which reach to the year 2149; 0: never seen
	before uint32
}

// window is how many days before the newest are known one by one.
const window = 31

const older = 1 << window

// visit is what a day is in an asset's history.
type visit struct {
	known bool      // false: it is not held in memory so far back, ask the table
	far   bool      // it is farther back than the window: marking it loses it
	seen  bool      // the asset was seen on the day
	prev  event.Day // the last day before on which it was seen; never if there is none
	next  event.Day // the first day after; never if there is none
}

func (h history) look(d event.Day) visit {
	newest := event.Day(h.newest)
	back := int(newest - d) // how many days before the newest
	switch {
	case h.newest == 0:
		return visit{known: true, prev: never, next: never}
	case back < 0:
		return visit{known: true, prev: newest, next: never}
	case back == 0:
		return visit{known: true, seen: true}
	case back > window:
		if h.before&older != 0 {
			return visit{}
		}
		v := visit{known: true, far: true, prev: never, next: newest}
		if h.before != 0 {
			v.next = newest - event.Day(bits.Len32(h.before))
		}
		return v
	}
	if h.before&(1<<(back-1)) != 0 {
		return visit{known: true, seen: true}
	}
	v := visit{prev: never, next: newest}
	if nearer := h.before & (1<<(back-1) - 1); nearer != 0 {
		v.next = newest - event.Day(bits.Len32(nearer))
	}
	farther := h.before >> back << back
	n := bits.TrailingZeros32(farther)
	switch {
	case farther == 0:
		v.known = true
	case n < window:
		v.known, v.prev = true, newest-1-event.Day(n)
	}
	return v
}

// days returns the days in the window, sorted.
func (h history) days() (list []event.Day) {
	for i := window - 1; i >= 0; i-- {
		if h.before&(1<<i) != 0 {
			list = append(list, event.Day(h.newest)-1-event.Day(i))
		}
	}
	if h.newest != 0 {
		list = append(list, event.Day(h.newest))
	}
	return list
}

// mark puts a day in.
func (h history) mark(d event.Day) history {
	n := int(d) - int(h.newest) // how many days after the newest
	switch {
	case h.newest == 0:
		return history{newest: uint16(d)}
	case n == 0:
		return h
	case n < -window:
		h.before |= older
		return h
	case n < 0:
		h.before |= 1 << (-n - 1)
		return h
	case n > window:
		return history{uint16(d), older}
	}
	moved := (uint64(h.before&^older)<<1 | 1) << (n - 1)
	before := uint32(moved) &^ older
	if moved>>window != 0 || h.before&older != 0 {
		before |= older
	}
	return history{uint16(d), before}
}

// histories keeps the history of every asset of a question: IPv4 assets in 10
// bytes a place, all others in 22.
type histories struct {
	v4  map32
	any map128
}

func v4Of(k event.ID) (uint32, bool) {
	return uint32(k.Lo), k.Hi == 0 && k.Lo>>32 == 0xffff
}

// look says what the day is in the asset's history.
func (l *histories) look(k event.ID, d event.Day) visit {
	if a, ok := v4Of(k); ok {
		return l.v4.get(a).look(d)
	}
	return l.any.get(k).look(d)
}

// days returns the asset's days in the window, sorted.
func (l *histories) days(k event.ID) []event.Day {
	if a, ok := v4Of(k); ok {
		return l.v4.get(a).days()
	}
	return l.any.get(k).days()
}

// mark puts a day into the asset's history.
func (l *histories) mark(k event.ID, d event.Day) {
	if a, ok := v4Of(k); ok {
		l.v4.mark(a, d)
		return
	}
	l.any.mark(k, d)
}

// map32 maps addresses to histories: open addressing, at most seven eighths
// full; a newest day of 0 is an empty place. The place is the key by a secret
// odd number, cut to its upper bits, so that nobody can choose addresses that
// fall on each other (multiply-shift hashing: Dietzfelbinger et al., A
// Reliable Randomized Algorithm for the Closest-Pair Problem, 1997).
type map32 struct {
	mul    uint64
	k      []uint32
	newest []uint16
	before []uint32
	n      int
}

func (m *map32) place(a uint32) uint64 {
	return m.mul * uint64(a) >> (64 - uint(bits.Len(uint(len(m.k)-1))))
}

func (m *map32) get(a uint32) history {
	if len(m.k) == 0 {
		return history{}
	}
	mask := uint64(len(m.k) - 1)
	for i := m.place(a); ; i = (i + 1) & mask {
		if m.newest[i] == 0 {
			return history{}
		}
		if m.k[i] == a {
			return history{m.newest[i], m.before[i]}
		}
	}
}

func (m *map32) mark(a uint32, d event.Day) {
	if m.n*8 >= len(m.k)*7 {
		m.grow()
	}
	i := m.slot(a)
	if m.newest[i] == 0 {
		m.n++
		m.k[i] = a
	}
	h := history{m.newest[i], m.before[i]}.mark(d)
	m.newest[i], m.before[i] = h.newest, h.before
}

// slot returns the key's place, or the empty one that it would take.
func (m *map32) slot(a uint32) uint64 {
	mask := uint64(len(m.k) - 1)
	i := m.place(a)
	for m.newest[i] != 0 && m.k[i] != a {
		i = (i + 1) & mask
	}
	return i
}

func (m *map32) grow() {
	old := *m
	if m.mul == 0 {
		m.mul = seed() | 1
	}
	size := max(1024, len(old.k)*2)
	m.k, m.newest, m.before = places[uint32](size), places[uint16](size), places[uint32](size)
	for j, a := range old.k {
		if old.newest[j] != 0 {
			i := m.slot(a)
			m.k[i], m.newest[i], m.before[i] = a, old.newest[j], old.before[j]
		}
	}
}

// map128 is map32 for keys of 128 bits.
type map128 struct {
	mul    [2]uint64
	k      []event.ID
	newest []uint16
	before []uint32
	n      int
}

// place128 is the place of a key of 128 bits in a table of size places, a power
// of two.
func place128(a event.ID, mul [2]uint64, size int) uint64 {
	return (mul[0]*(a.Hi^a.Hi>>32) + mul[1]*(a.Lo^a.Lo>>32)) >> (64 - uint(bits.Len(uint(size-1))))
}

func (m *map128) get(a event.ID) history {
	if len(m.k) == 0 {
		return history{}
	}
	mask := uint64(len(m.k) - 1)
	for i := place128(a, m.mul, len(m.k)); ; i = (i + 1) & mask {
		if m.newest[i] == 0 {
			return history{}
		}
		if m.k[i] == a {
			return history{m.newest[i], m.before[i]}
		}
	}
}

func (m *map128) mark(a event.ID, d event.Day) {
	if m.n*8 >= len(m.k)*7 {
		m.grow()
	}
	i := m.slot(a)
	if m.newest[i] == 0 {
		m.n++
		m.k[i] = a
	}
	h := history{m.newest[i], m.before[i]}.mark(d)
	m.newest[i], m.before[i] = h.newest, h.before
}

func (m *map128) slot(a event.ID) uint64 {
	mask := uint64(len(m.k) - 1)
	i := place128(a, m.mul, len(m.k))
	for m.newest[i] != 0 && m.k[i] != a {
		i = (i + 1) & mask
	}
	return i
}

func (m *map128) grow() {
	old := *m
	if m.mul == [2]uint64{} {
		m.mul = [2]uint64{seed() | 1, seed() | 1}
	}
	size := max(1024, len(old.k)*2)
	m.k, m.newest, m.before = places[event.ID](size), places[uint16](size), places[uint32](size)
	for j, a := range old.k {
		if old.newest[j] != 0 {
			i := m.slot(a)
			m.k[i], m.newest[i], m.before[i] = a, old.newest[j], old.before[j]
		}
	}
}
