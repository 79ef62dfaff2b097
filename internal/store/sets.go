package store

import (
	"encoding/binary"
	"unsafe"

	"github.com/zeebo/xxh3"

	"tocsin/internal/event"
)

// pageSize is the unit in which the system gives memory, in bytes.
const pageSize = 4096

// places makes the n empty places of a table. New memory is written to once a
// page: a table is first looked into, and a page that is read before it is
// written is mapped twice, which stops the other processors too.
func places[T any](n int) []T {
	s := make([]T, n)
	var zero T
	for i := 0; i < n; i += max(1, pageSize/int(unsafe.Sizeof(zero))) {
		s[i] = zero
	}
	return s
}

// idSet is a set of 128-bit ids that are spread evenly, as hashes are: open
// addressing, 16 bytes a place, at most three quarters full. The zero id is
// not a member.
type idSet struct {
	k []event.ID
	n int
}

// add puts x in and reports whether it was not there before.
func (s *idSet) add(x event.ID) bool {
	if s.n*4 >= len(s.k)*3 {
		s.grow()
	}
	m := uint64(len(s.k) - 1)
	for i := (x.Lo ^ x.Hi) & m; ; i = (i + 1) & m {
		switch s.k[i] {
		case event.ID{}:
			s.k[i] = x
			s.n++
			return true
		case x:
			return false
		}
	}
}

// like makes room for as many members as another set has room for: days
// resemble each other, and growing costs as much as filling.
func (s *idSet) like(o *idSet) {
	if s.k == nil && o != nil && len(o.k) > 1024 {
		s.k = places[event.ID](len(o.k))
	}
}

func (s *idSet) grow() {
	old := s.k
	s.k = places[event.ID](max(1024, len(old)*2))
	s.n = 0
	for _, x := range old {
		if x != (event.ID{}) {
			s.add(x)
		}
	}
}

// bytes is what the set costs.
func (s *idSet) bytes() int { return len(s.k) * 16 }

// seenDay knows the sightings of a day. Most assets are seen in one way only,
// so each asset of a class has one place that holds the first way; further
// ways stand in a set of hashes. A sighting then costs one cache miss.
type seenDay struct {
	first []firstSeen // open addressing, at most three quarters full
	mul   [2]uint64   // as in map128
	n     int
	more  idSet
}

// firstSeen is the first way in which an asset was seen. A zero asset is an
// empty place.
type firstSeen struct {
	asset  event.ID
	rest   uint64 // hash of what else makes a sighting different
	family uint32
	feed   uint32
	class  event.Class
}

func (t *seenDay) bytes() int { return len(t.first)*40 + t.more.bytes() }

// like makes room for as many assets as another day has room for.
func (t *seenDay) like(o *seenDay) {
	if t.first == nil && len(o.first) > 1024 {
		t.first = places[firstSeen](len(o.first))
		t.secret()
	}
}

// add puts a sighting in. It returns no flag and false if it was there, or the
// flags of being the first of its family and of its feed.
func (t *seenDay) add(c *sighting, seed uint64) (flags uint8, fresh bool) {
	if t.n*4 >= len(t.first)*3 {
		t.grow()
	}
	m := uint64(len(t.first) - 1)
	rest := c.rest(seed)
	for i := t.place(c.asset, c.class); ; i = (i + 1) & m {
		f := &t.first[i]
		if f.asset == (event.ID{}) {
			*f = firstSeen{c.asset, rest, c.family, c.feed, c.class}
			t.n++
			return firstOfFamily | firstOfFeed, true
		}
		if f.asset != c.asset || f.class != c.class {
			continue
		}
		if f.rest == rest && f.family == c.family && f.feed == c.feed || !t.more.add(c.key(seed, keyWhole)) {
			return 0, false
		}
		if f.family != c.family && t.more.add(c.key(seed, keyFamily)) {
			flags |= firstOfFamily
		}
		if f.feed != c.feed && t.more.add(c.key(seed, keyFeed)) {
			flags |= firstOfFeed
		}
		return flags, true
	}
}

func (t *seenDay) grow() {
	old := t.first
	t.first = places[firstSeen](max(1024, len(old)*2))
	t.secret()
	m := uint64(len(t.first) - 1)
	for _, f := range old {
		if f.asset == (event.ID{}) {
			continue
		}
		i := t.place(f.asset, f.class)
		for t.first[i].asset != (event.ID{}) {
			i = (i + 1) & m
		}
		t.first[i] = f
	}
}

func (t *seenDay) place(a event.ID, c event.Class) uint64 {
	return place128(event.ID{Hi: a.Hi ^ uint64(c)<<40, Lo: a.Lo}, t.mul, len(t.first))
}

func (t *seenDay) secret() {
	if t.mul == [2]uint64{} {
		t.mul = [2]uint64{seed() | 1, seed() | 1}
	}
}

// sighting is a candidate for a row of table sighting. Two that are equal are
// one sighting.
type sighting struct {
	asset  event.ID
	day    event.Day
	feed   uint32
	family uint32
	asn    uint32
	cc     uint32
	org    uint32
	sector uint32
	region uint32
	class  event.Class
	typ    event.Type
	kind   event.AssetKind
	mark   event.Marking
	flags  uint8 // set when it is known which
	late   bool  // it came so late that an episode may have been told otherwise before
}

// rest hashes what makes two sightings of an asset in a family by a feed
// different.
func (s *sighting) rest(seed uint64) uint64 {
	h := seed ^ uint64(s.typ) ^ uint64(s.kind)<<8 ^ uint64(s.mark)<<16
	if s.late {
		h ^= 1 << 24
	}
	for _, x := range [...]uint64{uint64(s.asn) | uint64(s.cc)<<32, uint64(s.org) | uint64(s.sector)<<32, uint64(s.region)} {
		h = (h ^ x) * 0xBF58476D1CE4E5B9
		h ^= h >> 29
	}
	return h
}

// The prefixes of the keys that share a day's set.
const (
	keyWhole = iota
	keyFamily
	keyFeed
)

// key hashes what makes a sighting new, with the process's own seed, so that
// nobody can choose addresses that collide.
func (s *sighting) key(seed uint64, what byte) event.ID {
	var b [56]byte
	b[0], b[1] = what, byte(s.class)
	binary.LittleEndian.PutUint64(b[2:], s.asset.Hi)
	binary.LittleEndian.PutUint64(b[10:], s.asset.Lo)
	n := 22
	switch what {
	case keyFamily:
		binary.LittleEndian.PutUint32(b[18:], s.family)
	case keyFeed:
		binary.LittleEndian.PutUint32(b[18:], s.feed)
	default:
		binary.LittleEndian.PutUint32(b[18:], s.feed)
		binary.LittleEndian.PutUint32(b[22:], s.family)
		b[26], b[27], b[28] = byte(s.typ), byte(s.kind), byte(s.mark)
		binary.LittleEndian.PutUint32(b[29:], s.asn)
		binary.LittleEndian.PutUint32(b[33:], s.cc)
		binary.LittleEndian.PutUint32(b[37:], s.org)
		binary.LittleEndian.PutUint32(b[41:], s.sector)
		binary.LittleEndian.PutUint32(b[45:], s.region)
		if s.late {
			b[49] = 1
		}
		n = 50
	}
	h := xxh3.Hash128Seed(b[:n], seed)
	return event.ID{Hi: h.Hi, Lo: h.Lo}
}
