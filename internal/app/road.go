package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"tocsin/internal/archive"
	"tocsin/internal/decode"
	"tocsin/internal/event"
	"tocsin/internal/query"
	"tocsin/internal/store"
)

// The bounds of the road.
const (
	maxQueued = 100_000 // deliveries read from the journal ahead of their turn
	maxOpen   = 16      // deliveries that are being decoded, one of a feed
	aheadRows = 40_000  // rows decoded ahead of the writer, or two large parts
	ahead     = 512     // parts decoded ahead of the writer
	// gather is how long a transaction waits for a part that is on its way: a
	// transaction costs as much as some thousand rows, and one that fills a row
	// group of the store costs least. Where a delivery is complete in it, and
	// shows when it ends, it waits for the shorter time.
	gather      = 100 * time.Millisecond
	gatherShort = 40 * time.Millisecond
	// longest is how long a transaction takes parts in.
	longest = 700 * time.Millisecond
)

// road leads deliveries from the journal into the store. Feeds take turns
// between parts, so that a large delivery of one does not hold up small ones of
// others; the deliveries of one feed come in the journal's order. What has
// waited for long, as after a stop or in a rebuild, is one queue in the
// journal's order that takes its turns like a feed: days then come mostly in
// order, which the store counts fastest.
type road struct {
	app   *App
	spare sync.Pool // of annotations

	mu      sync.Mutex
	changed chan struct{}         // closed and replaced when something below changes
	queues  map[string][]*waiting // deliveries by feed; the first may be under way
	turn    []string              // feeds with a queue, in the order of their turns
	queued  int
	ahead   *semaphore.Weighted           // rows that may be decoded before the writer has them
	read    uint64                        // the last journal line that has been looked at
	idle    bool                          // everything read is in the store
	pause   []func(context.Context) error // to be run while nothing is loaded
}

// backlog is the queue of what arrived more than fresh ago. No feed has that
// name.
const (
	backlog = ""
	fresh   = time.Minute
)

// waiting is a delivery that is not in the store.
type waiting struct {
	d     query.Delivery
	line  archive.Delivery
	queue string                             // the feed, or backlog
	next  func() (*decode.Part, error, bool) // nil until its turn has come
	stop  func()
	body  io.Closer
	kept  []byte // the body, where it is still in memory
	from  uint32 // enrichment version
	done  bool   // its last part has been handed on
}

func newRoad(a *App) *road {
	return &road{app: a, changed: make(chan struct{}), queues: map[string][]*waiting{}}
}

// wake tells everybody who waits that something changed. The lock is held.
func (r *road) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// run loads until ctx ends. When a transaction fails it opens the store again
// and begins anew with what is not in it; nothing is lost, since everything
// stands in the archive.
func (r *road) run(ctx context.Context) error {
	if st, _ := r.app.borrow(); st != nil {
		st.users.Done()
	} else if err := r.app.openStore(ctx); err != nil {
		return err
	}
	for wait := time.Duration(0); ctx.Err() == nil; {
		err := r.pass(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was stopped
		}
		if r.app.down.Load() == nil { // something was loaded, or nothing has failed yet
			wait = 0
		}
		if err == nil { // something asked for a pause
			continue
		}
		wait = min(max(2*wait, 250*time.Millisecond), 10*time.Second)
		r.app.down.Store(&err)
		r.app.log.LogAttrs(ctx, slog.LevelError, "loading stopped; the store is opened again", slog.Any("error", err), slog.Duration("next_attempt", wait))
		if err := r.app.reopen(ctx); err != nil {
			r.app.log.LogAttrs(ctx, slog.LevelError, "the store cannot be opened", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// reopen closes the store and opens it again.
func (a *App) reopen(ctx context.Context) error {
	a.closeStore()
	return a.openStore(ctx)
}

// pass loads until something fails, or a pause has been asked for and run.
func (r *road) pass(ctx context.Context) error {
	r.mu.Lock()
	clear(r.queues)
	r.turn, r.queued, r.read, r.idle = nil, 0, 0, false
	pauses := r.pause
	r.pause = nil
	r.mu.Unlock()
	for i, f := range pauses {
		if err := f(ctx); err != nil {
			r.mu.Lock() // the others wait for theirs
			r.pause = append(pauses[i+1:], r.pause...)
			r.mu.Unlock()
			return err
		}
	}
	if r.app.down.Load() != nil {
		// What is in the log takes memory that the next transaction, or its
		// checkpoint, may have lacked. By itself it needs the least.
		if err := r.app.with((*store.Store).Checkpoint); err != nil {
			return err
		}
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.ahead = semaphore.NewWeighted(aheadRows)
	parts := make(chan *work, ahead)
	var wg sync.WaitGroup
	start := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	start(r.follow)
	start(func(ctx context.Context) error { defer close(parts); return r.decode(ctx, parts) })
	start(func(ctx context.Context) error { return r.write(ctx, parts) })
	wg.Wait()
	r.mu.Lock()
	for _, q := range r.queues {
		for _, w := range q {
			w.close(&r.app.bodies)
		}
	}
	r.mu.Unlock()
	if err := context.Cause(ctx); !errors.Is(err, errPause) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// catchUp does what the journal says and the store has not done, where the
// process ended between the two: deliveries taken back, and annotations made
// anew. It runs before anything is read, since a delivery that is taken back
// may cause others to be loaded again.
func (r *road) catchUp(ctx context.Context) error {
	withdrawn := r.app.reg.Withdrawals()
	for _, seq := range slices.Sorted(maps.Keys(withdrawn)) {
		d, err := r.app.deliveryBy(ctx, seq, r.app.with)
		if errors.Is(err, query.ErrNotFound) || errors.Is(err, archive.ErrDamaged) {
			continue // its line is damaged, so it is not loaded either
		}
		if err != nil {
			return err
		}
		if d.State == query.StateWithdrawn {
			continue
		}
		d.Reason = withdrawn[seq]
		if err := r.app.with(func(st *store.Store) error { _, err := st.Withdraw(ctx, &d); return err }); err != nil {
			return err
		}
	}
	version := r.app.reg.Reenriched()
	return r.app.with(func(st *store.Store) error {
		if !st.Behind(version) {
			return nil
		}
		annotate, err := r.app.data.annotate(version)
		if err != nil {
			return err
		}
		return st.Resight(ctx, fmt.Sprintf("annotations of version %d", version), version, annotate, nil)
	})
}

// errPause ends a pass so that something can be done while nothing is loaded.
var errPause = errors.New("pause")

// while runs f as soon as nothing is being loaded; loading begins anew after
// it. It returns f's error. When ctx ends before f has begun, f is not run; what
// has begun is waited for.
func (r *road) while(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	var taken atomic.Bool // f is run, or nobody waits for it any more
	r.mu.Lock()
	r.pause = append(r.pause, func(ctx context.Context) error {
		if !taken.CompareAndSwap(false, true) {
			return nil
		}
		err := f(ctx)
		done <- err
		return r.app.with(func(st *store.Store) error { return st.Broken() })
	})
	r.wake()
	r.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		return <-done
	}
}

// follow reads the journal and queues the deliveries that are not in the store.
func (r *road) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		r.mu.Lock()
		from := r.read + 1
		r.mu.Unlock()
		last := r.app.arch.Last()
		for l, err := range r.app.arch.Lines(ctx, from) {
			if err != nil {
				if errors.Is(err, archive.ErrDamaged) {
					continue
				}
				return ctxErr(ctx, err)
			}
			if err := r.enqueue(ctx, &l); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.read = max(r.read, last)
		r.wake()
		r.mu.Unlock()
		if _, err := r.app.arch.Wait(ctx, last); err != nil {
			return ctxErr(ctx, err)
		}
	}
	return nil
}

// ctxErr is nil where an error is only that the context has ended.
func ctxErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is what it is for
	}
	return err
}

func (r *road) enqueue(ctx context.Context, l *archive.Line) error {
	w := (*waiting)(nil)
	if l.Kind == archive.KindDelivery && l.Delivery != nil {
		w = &waiting{d: deliveryOf(l), line: *l.Delivery}
		seq := w.d.Seq
		done := false
		if err := r.app.with(func(st *store.Store) error { done = st.Complete(seq); return nil }); err != nil {
			return err
		}
		if why, ok := r.app.reg.Withdrawn(seq); ok && !done {
			w.d.Reason = why
			if err := r.app.with(func(st *store.Store) error { _, err := st.Withdraw(ctx, &w.d); return err }); err != nil {
				return err
			}
			done = true
		}
		if done {
			w = nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.queued >= maxQueued {
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		r.mu.Lock()
		if ctx.Err() != nil {
			return nil
		}
	}
	r.read = l.Seq
	if w == nil {
		return nil
	}
	if w.queue = w.d.Feed; r.app.clock().Sub(w.d.At) > fresh {
		w.queue = backlog
	}
	if _, ok := r.queues[w.queue]; !ok {
		r.turn = append(r.turn, w.queue)
	}
	r.queues[w.queue] = append(r.queues[w.queue], w)
	r.queued++
	r.idle = false
	r.wake()
	return nil
}

// deliveryOf gives a journal line's delivery.
func deliveryOf(l *archive.Line) query.Delivery {
	d := l.Delivery
	return query.Delivery{
		ID: l.ID(), Seq: uint32(l.Seq), //nolint:gosec // the store numbers deliveries with 32 bits; 4 billion are 136 years of one a second
		Feed: d.Feed, Format: d.Format, Report: d.Report, Name: d.Name, SHA256: d.SHA256, Size: d.Size, At: l.At, By: l.By, State: query.StateWaiting,
	}
}

// work is a part on its way to the writer.
type work struct {
	part    *store.Part
	decoded *decode.Part    // to be recycled when the part is in
	refused *query.Delivery // instead of a part: the delivery cannot be read
}

// decode takes the feeds in turns, and of each the next part.
func (r *road) decode(ctx context.Context, out chan<- *work) error {
	var pool decode.Pool
	for {
		r.mu.Lock()
		var w *waiting
		for {
			if len(r.pause) > 0 {
				r.mu.Unlock()
				return errPause
			}
			if w = r.nextTurn(); w != nil {
				break
			}
			changed := r.changed
			r.mu.Unlock()
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
			r.mu.Lock()
		}
		r.mu.Unlock()
		x, err := r.nextPart(ctx, w, &pool)
		if err != nil {
			return ctxErr(ctx, err)
		}
		if err := r.ahead.Acquire(ctx, x.weight()); err != nil {
			return ctxErr(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case out <- x:
		}
		if w.done {
			r.mu.Lock()
			r.drop(w)
			r.mu.Unlock()
		}
	}
}

// nextTurn returns the first delivery of the feed whose turn it is. At most
// maxOpen feeds are open at a time. The lock is held.
func (r *road) nextTurn() *waiting {
	open := 0
	for _, q := range r.queues {
		if len(q) > 0 && q[0].next != nil {
			open++
		}
	}
	for i, feed := range r.turn {
		w := r.queues[feed][0]
		if w.next == nil && open >= maxOpen {
			continue
		}
		r.turn = append(slices.Delete(r.turn, i, i+1), feed)
		return w
	}
	return nil
}

// drop takes a delivery out of its queue. The lock is held.
func (r *road) drop(w *waiting) {
	w.close(&r.app.bodies)
	q := r.queues[w.queue][1:]
	r.queued--
	if len(q) > 0 {
		r.queues[w.queue] = q
	} else {
		delete(r.queues, w.queue)
		r.turn = slices.DeleteFunc(r.turn, func(f string) bool { return f == w.queue })
	}
	r.wake()
}

func (w *waiting) close(memory *bodies) {
	if w.stop != nil {
		w.stop()
		w.stop, w.next = nil, nil // parts on their way point to w, which must not keep the decoder's buffers
	}
	if w.body != nil {
		_ = w.body.Close()
		w.body = nil
	}
	if w.kept != nil {
		memory.recycle(w.kept)
		w.kept = nil
	}
}

// nextPart decodes and annotates the delivery's next part.
func (r *road) nextPart(ctx context.Context, w *waiting, pool *decode.Pool) (*work, error) {
	if w.next == nil {
		if err := r.open(w, pool); err != nil {
			if scarce(err) {
				return nil, err
			}
			return r.refuse(w, "unreadable", err), nil
		}
	}
	p, err, ok := w.next()
	if !ok || err != nil {
		if refusal, is := errors.AsType[*decode.Refusal](err); is {
			return r.refuse(w, string(refusal.Reason), errors.New(refusal.Detail)), nil
		}
		if err == nil {
			err = errors.New("the decoder ended without a last part")
		}
		if scarce(err) {
			return nil, err
		}
		r.app.log.LogAttrs(ctx, slog.LevelError, "a delivery cannot be read from the archive", slog.String("delivery", w.d.ID), slog.Any("error", err))
		return r.refuse(w, "unreadable", err), nil
	}
	w.done = p.Last
	e, err := r.app.data.of(w.from)
	if err != nil {
		return nil, err
	}
	sp := &store.Part{Delivery: &w.d, Enrichment: w.from, Index: p.Index, Last: p.Last, Rows: p.Rows, Events: p.Events, Notes: r.notes(len(p.Events))}
	for i := range p.Events {
		e.Annotate(&p.Events[i], &sp.Notes[i])
	}
	for _, b := range p.Bad {
		sp.Bad = append(sp.Bad, query.Quarantined{Row: b.Row, Reason: string(b.Reason), Detail: b.Detail, Raw: string(b.Raw)})
	}
	return &work{part: sp, decoded: p}, nil
}

// scarce reports errors that say nothing of the delivery: the process has run
// out of something, and reading it later may go well.
func scarce(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

func (r *road) open(w *waiting, pool *decode.Pool) error {
	f, err := decode.Lookup(w.line.Format)
	if err != nil {
		return err
	}
	var body io.Reader
	if w.kept = r.app.bodies.take(w.line.SHA256); w.kept != nil {
		body = bytes.NewReader(w.kept)
	} else {
		c, err := r.app.arch.Content(w.line.SHA256)
		if err != nil {
			return err
		}
		body, w.body = c, c
	}
	m, ok := event.ParseMarking(w.line.Marking)
	if !ok {
		m = event.Red // what is not marked is for the team alone
	}
	w.from = max(w.line.Enrichment, r.app.reg.Reenriched())
	lim := limits(r.app.cfg.Limits, w.line.Limits)
	lim.Pool = pool
	src := decode.Source{
		Feed: w.line.Feed, Format: w.line.Format, Report: w.line.Report, Name: w.line.Name, Delivery: w.d.Seq,
		Received: w.d.At, Marking: m, Historical: w.line.Historical, Confidence: event.NoConfidence,
	}
	w.next, w.stop = iter.Pull2(f.Parts(body, src, lim))
	return nil
}

// limits lays a feed's own budgets over the program's.
func limits(lim decode.Limits, own map[string]int64) decode.Limits {
	for k, n := range own {
		switch k {
		case "bytes":
			lim.Bytes = n
		case "line":
			lim.Line = int(n)
		case "rows":
			lim.Rows = n
		case "columns":
			lim.Columns = int(n)
		case "depth":
			lim.Depth = int(n)
		case "ratio":
			lim.Ratio = int(n)
		}
	}
	return lim
}

func (r *road) refuse(w *waiting, reason string, err error) *work {
	w.done = true
	d := w.d
	d.State, d.Reason = query.StateRefused, fmt.Sprintf("%s: %v", reason, err)
	return &work{refused: &d}
}

// write puts what has been decoded into the store, as much as there is in one
// transaction.
func (r *road) write(ctx context.Context, in <-chan *work) error {
	for {
		quiet := r.quiet() // before rest looks, so that no change is missed
		if err := r.rest(ctx, len(in) == 0); err != nil {
			return err
		}
		var x *work
		select {
		case <-ctx.Done():
			return nil
		case w, ok := <-in:
			if !ok {
				return nil
			}
			x = w
		case <-quiet:
			continue
		}
		for x != nil {
			var err error
			if x, err = r.load(ctx, x, in); err != nil {
				return err
			}
		}
	}
}

// load puts x and the parts that follow it soon into the store, in one
// transaction or in several full ones. It returns the one that could not go
// with them.
func (r *road) load(ctx context.Context, x *work, in <-chan *work) (rest *work, err error) {
	defer func() {
		r.mu.Lock()
		r.wake()
		r.mu.Unlock()
	}()
	if x.refused != nil {
		return nil, r.app.with(func(st *store.Store) error {
			restart, err := st.Refuse(ctx, x.refused)
			if err == nil && restart {
				err = errPause
			}
			return err
		})
	}
	var given *work // the part that the store has now
	var until time.Time
	rows, wait := 0, gather
	next := func() *store.Part {
		given.free(r)
		if given, x = x, nil; given == nil {
			if given, rest = r.soon(in, until, wait); given == nil {
				return nil
			}
		}
		rows += given.part.Rows
		if given.part.Last {
			wait = gatherShort
		}
		return given.part
	}
	for more := true; more; {
		started := time.Now()
		until, wait = started.Add(longest), gather
		if err := r.app.with(func(st *store.Store) (err error) { more, err = st.LoadFrom(ctx, next); return err }); err != nil {
			return nil, err
		}
		r.app.stats.loaded(rows, time.Since(started))
		rows = 0
	}
	r.app.down.Store(nil)
	return rest, nil
}

// soon waits for the next part, where one is on its way. If what comes is not a
// part it is rest.
func (r *road) soon(in <-chan *work, until time.Time, wait time.Duration) (part, rest *work) {
	if time.Now().After(until) {
		return nil, nil
	}
	var w *work
	select {
	case w = <-in:
	default:
		if !r.more() {
			return nil, nil
		}
		select {
		case w = <-in:
		case <-time.After(wait):
		}
	}
	if w != nil && w.refused != nil {
		return nil, w
	}
	return w, nil
}

// free gives back the memory of a part that is in the store.
func (x *work) free(r *road) {
	if x == nil || x.part == nil {
		return
	}
	r.ahead.Release(x.weight())
	x.decoded.Recycle()
	r.spare.Put(&x.part.Notes)
	x.part = nil
}

// notes returns room for annotations, of a part that is in the store if there
// is one.
func (r *road) notes(n int) []event.Annotation {
	if p, ok := r.spare.Get().(*[]event.Annotation); ok && cap(*p) >= n {
		return (*p)[:n]
	}
	return make([]event.Annotation, n)
}

// resting reports whether everything that was journalled is in.
func (r *road) resting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

// more reports whether another part is on its way.
func (r *road) more() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queued > 0
}

// weight is how much of aheadRows the part takes: a large one half, so that the
// next can be decoded while it is loaded.
func (x *work) weight() int64 {
	if x.part == nil {
		return 0
	}
	return int64(min(x.part.Rows, aheadRows/2))
}

// quiet returns a channel that is closed at the next change.
func (r *road) quiet() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// rest notes when everything that was journalled is in, and then makes the
// sightings anew if something was taken out.
func (r *road) rest(ctx context.Context, empty bool) error {
	r.mu.Lock()
	all := empty && r.queued == 0 && r.read >= r.app.arch.Last()
	r.mu.Unlock()
	if !all {
		return nil
	}
	if err := r.app.with(func(st *store.Store) error {
		if !st.Dirty() {
			return nil
		}
		return st.Resight(ctx, "the events changed", 0, nil, nil)
	}); err != nil {
		return err
	}
	r.app.down.Store(nil)
	r.mu.Lock()
	if !r.idle && r.queued == 0 {
		r.idle = true
		r.wake()
	}
	r.mu.Unlock()
	return nil
}

// settle waits until ok holds, which is looked at after each change.
func (r *road) settle(ctx context.Context, ok func(*store.Store) bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		done := false
		err := r.app.with(func(st *store.Store) error { done = ok(st); return nil })
		if err == nil && done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-time.After(time.Second):
		}
	}
}

// settled waits until everything that is journalled now is in the store.
func (r *road) settled(ctx context.Context) error {
	last := r.app.arch.Last()
	return r.settle(ctx, func(st *store.Store) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.idle && r.read >= last && !st.Dirty()
	})
}

// waitingList returns the deliveries that are not in the store, the newest
// first.
func (r *road) waitingList() []query.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []query.Delivery
	for _, q := range r.queues {
		for _, w := range q {
			d := w.d
			if w.next != nil {
				d.State = query.StateLoading
			}
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b query.Delivery) int { return int(b.Seq) - int(a.Seq) })
	return out
}
