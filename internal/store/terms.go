package store

import (
	"fmt"
	"strings"
	"sync"
)

// terms numbers the words that repeat. 0 is the empty word. Numbers are given
// by the writer and stored with the transaction that first uses them; readers
// may ask at any time.
type terms struct {
	mu    sync.RWMutex
	ids   map[string]uint32
	words []string
	fresh []uint32       // not yet stored; owned by the writer
	feed  []uint32       // the feed that brought the word, by number
	count map[uint32]int // words by feed
}

// The budget of words: a feed that invents more than these has its rows
// quarantined and leaves the others theirs.
const (
	maxWord      = 200     // bytes of one word
	wordsPerFeed = 250_000 // distinct words of one feed
)

func newTerms() *terms {
	return &terms{ids: map[string]uint32{"": 0}, words: []string{""}, feed: []uint32{0}, count: map[uint32]int{}}
}

// restore puts a stored word in.
func (t *terms) restore(id uint32, word string, feed uint32) error {
	if int(id) != len(t.words) {
		return fmt.Errorf("%w: word %d stands where %d is due", errDamaged, id, len(t.words))
	}
	t.words = append(t.words, word)
	t.feed = append(t.feed, feed)
	t.ids[word] = id
	t.count[feed]++
	return nil
}

// id returns the word's number, giving it one if it is new. It is false when
// the feed's budget is used up. For the writer alone.
func (t *terms) id(word string, feed uint32) (uint32, bool) {
	if id, ok := t.ids[word]; ok {
		return id, true
	}
	if len(word) > maxWord || t.count[feed] >= wordsPerFeed {
		return 0, false
	}
	word = string([]byte(word)) // not the delivery's buffer
	t.mu.Lock()
	defer t.mu.Unlock()
	id := uint32(len(t.words))
	t.words = append(t.words, word)
	t.feed = append(t.feed, feed)
	t.ids[word] = id
	t.count[feed]++
	t.fresh = append(t.fresh, id)
	return id, true
}

// find returns the number of a word that may be stored.
func (t *terms) find(word string) (uint32, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	id, ok := t.ids[word]
	return id, ok
}

// word returns the word of a number.
func (t *terms) word(id uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(id) < len(t.words) {
		return t.words[id]
	}
	return ""
}

// ending returns the numbers of at most 20 words that end in suffix.
func (t *terms) ending(suffix string) (ids []uint32) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for id, w := range t.words {
		if strings.HasSuffix(w, suffix) {
			if ids = append(ids, uint32(id)); len(ids) == 20 {
				break
			}
		}
	}
	return ids
}
