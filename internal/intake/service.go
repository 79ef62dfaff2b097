package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// ServiceConfig bounds what comes in at a time.
type ServiceConfig struct {
	MaxBody    int64 // bytes of one delivery as it comes, before decompression
	MaxActive  int   // deliveries being taken at a time, in all
	MaxPerFeed int   // and of one feed, so that one cannot keep the others out
}

// DefaultServiceConfig returns the limits used where nothing is configured.
func DefaultServiceConfig() ServiceConfig {
	return ServiceConfig{MaxBody: 4 << 30, MaxActive: 64, MaxPerFeed: 16}
}

// Validate reports the first setting that cannot work.
func (c ServiceConfig) Validate() error {
	switch {
	case c.MaxBody <= 0 || c.MaxBody > 1<<60:
		return fmt.Errorf("intake: max body %d bytes: must be above 0 and at most 2^60", c.MaxBody)
	case c.MaxPerFeed <= 0 || c.MaxActive < c.MaxPerFeed:
		return fmt.Errorf("intake: %d deliveries at a time, %d of a feed: want both above 0, the second not above the first", c.MaxActive, c.MaxPerFeed)
	}
	return nil
}

// ServiceDeps are what a [Service] stands on.
type ServiceDeps struct {
	Sink Sink // behind the door
	// FormatOf returns the format that the feed is configured with, "" if none;
	// nil stands for none. It may be called from many goroutines.
	FormatOf func(feed string) string
	// Recognise returns the format that a file's name tells; nil for none.
	Recognise func(name string) (format string, ok bool)
}

// Service is the door that every delivery comes through, whoever brings it.
// It is a [Sink] itself.
type Service struct {
	cfg  ServiceConfig
	deps ServiceDeps

	mu     sync.Mutex
	active map[string]int // deliveries being taken, by feed; no entry for none
	total  int

	taken, refused, failed, busy, bytes atomic.Int64
}

var _ Sink = (*Service)(nil)

// NewService returns a Service. It has nothing to run.
func NewService(cfg ServiceConfig, deps ServiceDeps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Sink == nil {
		return nil, errors.New("intake: no sink")
	}
	if deps.FormatOf == nil {
		deps.FormatOf = func(string) string { return "" }
	}
	if deps.Recognise == nil {
		deps.Recognise = func(string) (string, bool) { return "", false }
	}
	return &Service{cfg: cfg, deps: deps, active: map[string]int{}}, nil
}

// ServiceCounts are what a [Service] did since it was made.
type ServiceCounts struct {
	Taken   int64 // acked deliveries
	Refused int64 // with ErrRefused
	Failed  int64 // with any other error but ErrBusy
	Busy    int64 // turned away with ErrBusy
	Bytes   int64 // read from bodies, acked or not
	Active  int64 // being taken now
}

// Counts returns what was done so far.
func (s *Service) Counts() ServiceCounts {
	s.mu.Lock()
	active := s.total
	s.mu.Unlock()
	return ServiceCounts{
		Taken: s.taken.Load(), Refused: s.refused.Load(), Failed: s.failed.Load(),
		Busy: s.busy.Load(), Bytes: s.bytes.Load(), Active: int64(active),
	}
}

// Ingest checks r, fills in what is missing and passes it on. The errors wrap
// [ErrRefused], [ErrBusy], or are the Sink's.
func (s *Service) Ingest(ctx context.Context, r Request) (Receipt, error) {
	if !s.enter(r.Feed) {
		s.busy.Add(1)
		return Receipt{}, fmt.Errorf("feed %q: %w", cut(r.Feed, MaxFeedName), ErrBusy)
	}
	defer s.leave(r.Feed)

	rec, err := s.ingest(ctx, r)
	switch {
	case err == nil:
		s.taken.Add(1)
	case errors.Is(err, ErrRefused):
		s.refused.Add(1)
	default:
		s.failed.Add(1)
	}
	return rec, err
}

func (s *Service) ingest(ctx context.Context, r Request) (Receipt, error) {
	if err := CheckFeed(r.Feed); err != nil {
		return Receipt{}, err
	}
	r.Name = CleanName(r.Name)
	if r.Format == "" {
		r.Format = s.deps.FormatOf(r.Feed)
	}
	if r.Format == "" {
		r.Format, _ = s.deps.Recognise(r.Name)
	}
	if r.Format == "" {
		return Receipt{}, fmt.Errorf("%w: %q of feed %q: neither the feed's settings nor the file's name tell the format: set the feed's format, or name it with the delivery", ErrRefused, r.Name, r.Feed)
	}

	body := &bounded{r: r.Body, left: s.cfg.MaxBody}
	r.Body = body
	rec, err := s.deps.Sink.Ingest(ctx, r)
	s.bytes.Add(s.cfg.MaxBody - max(body.left, 0))
	if err != nil && body.over && !errors.Is(err, ErrRefused) {
		err = errTooLarge
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("take %q of feed %q: %w", r.Name, r.Feed, err)
	}
	return rec, nil
}

// enter takes a place, and reports whether there was one.
func (s *Service) enter(feed string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.cfg.MaxActive || s.active[feed] >= s.cfg.MaxPerFeed {
		return false
	}
	s.total++
	s.active[feed]++
	return true
}

func (s *Service) leave(feed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.active[feed]--; s.active[feed] == 0 {
		delete(s.active, feed)
	}
}

// errTooLarge is what a body ends with when it has more than MaxBody bytes.
var errTooLarge = fmt.Errorf("%w: larger than the limit for one delivery: split it, or raise the limit", ErrRefused)

// bounded reads at most left bytes and then fails, where [io.LimitedReader]
// would end as if the body were whole.
type bounded struct {
	r    io.Reader
	left int64 // below 0 once there was more
	over bool
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if b.over {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		b.over = true
		return n - 1, errTooLarge
	}
	return n, err
}
