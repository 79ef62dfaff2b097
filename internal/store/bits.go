package store

// bitset is a set of small numbers.
type bitset []uint64

func (b bitset) has(n uint32) bool { i := int(n >> 6); return i < len(b) && b[i]&(1<<(n&63)) != 0 }

func (b *bitset) add(n uint32) {
	for int(n>>6) >= len(*b) {
		*b = append(*b, make([]uint64, max(16, len(*b)))...)
	}
	(*b)[n>>6] |= 1 << (n & 63)
}

func (b bitset) remove(n uint32) {
	if i := int(n >> 6); i < len(b) {
		b[i] &^= 1 << (n & 63)
	}
}
