package archive

import "encoding/binary"

// loc is a place in a pack: its number in the upper 32 bits, the offset of the
// frame in the lower. Packs are numbered from 1, so 0 is no place.
type loc uint64

func place(pack uint32, off int64) loc { return loc(uint64(pack)<<32 | uint64(off)) } //nolint:gosec // offsets are below 2^32

func (l loc) pack() uint32 { return uint32(l >> 32) }
func (l loc) off() int64   { return int64(uint32(l)) } //nolint:gosec // the lower half

// index finds places by SHA-256. It keeps 40 bits of each hash, so it may name
// a place that holds another content: the frame there decides. One hash may
// have several places, where a damaged content was stored again.
//
// It is 256 tables by the hash's first byte, open addressing, linear probing,
// 12 bytes a slot, at most 85 % full, growing by 30 %: some 16 bytes a content,
// and growing moves 1/256 of it at a time. The zero value is empty. It is not
// safe for concurrent use.
type index struct {
	n      int64
	tables [256]table
}

type table struct {
	keys []uint32 // bytes 1 to 4 of the hash
	locs []loc    // 0: free slot
	used int
}

// split gives the table and the key of the first bytes of a hash.
func split(prefix []byte) (int, uint32) {
	return int(prefix[0]), binary.BigEndian.Uint32(prefix[1:5])
}

// add enters a place; prefix is the hash or at least its first five bytes.
func (x *index) add(prefix []byte, l loc) {
	i, key := split(prefix)
	t := &x.tables[i]
	if (t.used+1)*20 > len(t.keys)*17 {
		t.grow()
	}
	t.insert(key, l)
	t.used++
	x.n++
}

func (t *table) slot(key uint32) int { return int(uint64(key) * uint64(len(t.keys)) >> 32) }

func (t *table) insert(key uint32, l loc) {
	for i := t.slot(key); ; i++ {
		if i == len(t.keys) {
			i = 0
		}
		if t.locs[i] == 0 {
			t.keys[i], t.locs[i] = key, l
			return
		}
	}
}

func (t *table) grow() {
	old := *t
	n := max(16, len(old.keys)*13/10)
	t.keys, t.locs = make([]uint32, n), make([]loc, n)
	for i, l := range old.locs {
		if l != 0 {
			t.insert(old.keys[i], l)
		}
	}
}

// find appends the places that may hold the content to dst, newest first.
func (x *index) find(sha *[32]byte, dst []loc) []loc {
	x.each(sha, func(l *loc) bool {
		dst = append(dst, *l)
		for i := len(dst) - 1; i > 0 && dst[i] > dst[i-1]; i-- {
			dst[i], dst[i-1] = dst[i-1], dst[i]
		}
		return true
	})
	return dst
}

// each calls f with the slots of a hash's places until it returns false.
func (x *index) each(sha *[32]byte, f func(*loc) bool) {
	i, key := split(sha[:])
	t := &x.tables[i]
	if len(t.keys) == 0 {
		return
	}
	for i := t.slot(key); t.locs[i] != 0; {
		if t.keys[i] == key && !f(&t.locs[i]) {
			return
		}
		if i++; i == len(t.keys) {
			i = 0
		}
	}
}
