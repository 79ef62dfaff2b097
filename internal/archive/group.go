package archive

import "sync"

// group lets callers that come at the same time share one commit: the first
// commits what has gathered, the others wait, and one of those who gathered
// meanwhile commits next. Commits never overlap, so what they touch needs no
// lock of its own. The zero value is ready.
type group[T any] struct {
	mu    sync.Mutex
	queue []*ticket[T]
	busy  bool
}

// ticket is one caller's share of a commit.
type ticket[T any] struct {
	v    T
	err  error     // set by the commit
	wake chan bool // true: lead the next commit; false: done
}

// do brings v to the next commit and returns that commit's verdict on it.
func (g *group[T]) do(v T, commit func([]*ticket[T])) error {
	t := &ticket[T]{v: v, wake: make(chan bool, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, t)
	if g.busy {
		g.mu.Unlock()
		if !<-t.wake {
			return t.err
		}
		g.mu.Lock()
	}
	g.busy = true
	batch := g.queue // t is in it: a leader is the first of its queue
	g.queue = nil
	g.mu.Unlock()

	commit(batch)

	g.mu.Lock()
	if len(g.queue) > 0 {
		g.queue[0].wake <- true
	} else {
		g.busy = false
	}
	g.mu.Unlock()
	for _, o := range batch {
		if o != t {
			o.wake <- false
		}
	}
	return t.err
}
