package store

import "sync"

// deliverySet is a set of deliveries. Anybody may ask it at any time, also
// while a transaction is open.
type deliverySet struct {
	mu   sync.RWMutex
	bits []uint64
}

func (s *deliverySet) has(n uint32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := int(n >> 6)
	return i < len(s.bits) && s.bits[i]&(1<<(n&63)) != 0
}

func (s *deliverySet) add(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for int(n>>6) >= len(s.bits) {
		s.bits = append(s.bits, make([]uint64, max(16, len(s.bits)))...)
	}
	s.bits[n>>6] |= 1 << (n & 63)
}

func (s *deliverySet) remove(n uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := int(n >> 6); i < len(s.bits) {
		s.bits[i] &^= 1 << (n & 63)
	}
}
