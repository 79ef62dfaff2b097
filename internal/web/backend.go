package web

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"tocsin/internal/event"
	"tocsin/internal/figure"
	"tocsin/internal/policy"
	"tocsin/internal/query"
)

// Authenticator finds out who asks. It returns [ErrUnauthorised] for
// credentials that are wrong, expired or missing where they are needed; it
// decides whether somebody without credentials is the person at the keyboard
// ([policy.Local]) or the public.
type Authenticator interface {
	Scope(r *http.Request) (policy.Scope, error)
}

// Errors that a [Backend] or an [Authenticator] wraps to say what kind of
// answer is due; the text around them is shown to the asker and says what to
// do. Any other error is answered with 500 and told to the log alone.
// [query.ErrNotFound] is 404: what is not the asker's is absent.
var (
	ErrBadRequest   = errors.New("bad request")         // 400
	ErrUnauthorised = errors.New("no valid token")      // 401
	ErrForbidden    = errors.New("not allowed")         // 403, for actions; what may not be read is not found
	ErrConflict     = errors.New("not possible now")    // 409
	ErrTooLarge     = errors.New("too large")           // 413
	ErrBusy         = errors.New("too many requests")   // 429
	ErrUnavailable  = errors.New("not available now")   // 503
	ErrFull         = errors.New("no room on the disk") // 507
)

// Backend is all that the pages and the API stand on. Every method that reads
// or changes data takes the asker's scope and answers for that scope alone: a
// row outside it is neither returned nor counted, and an object outside it is
// [query.ErrNotFound]. Methods are safe for concurrent use.
type Backend interface {
	Publisher
	LossBackend
	PublishedBackend
	EpisodeBackend

	// Status tells about the instance; DataFrom and DataTo are the days that
	// the scope has events on.
	Status(ctx context.Context, s policy.Scope) (Status, error)
	// Health returns nil while deliveries can be acked.
	Health(ctx context.Context) error

	// Figures evaluates all definitions. Home in the params is the backend's to fill.
	Figures(ctx context.Context, s policy.Scope, p figure.Params) (figure.Document, error)
	// Figure evaluates one; [query.ErrNotFound] for an unknown id.
	Figure(ctx context.Context, s policy.Scope, id string, p figure.Params) (figure.Figure, error)
	// Statement says a period in plain words, with its records. It is for
	// scopes that see all; Home in the params is the backend's to fill.
	Statement(ctx context.Context, s policy.Scope, p figure.Params) (figure.Statement, error)
	// Labels gives names to keys of a dimension for display: AS names,
	// organisations' names, countries' names. Keys without one are left out.
	Labels(ctx context.Context, s policy.Scope, by query.Dim, keys []string) (map[string]string, error)

	// Events returns one page, newest first (time, then delivery and row), and
	// how many there are in all.
	Events(ctx context.Context, s policy.Scope, q query.Events) ([]query.Event, int64, error)
	// EventsSeq gives all of them, oldest first, in bounded memory. It stops
	// after an error, and when ctx ends.
	EventsSeq(ctx context.Context, s policy.Scope, q query.Events) iter.Seq2[query.Event, error]
	// Event returns one event with its row's bytes as received, from the archive.
	Event(ctx context.Context, s policy.Scope, delivery, row uint32) (query.Event, []byte, error)

	// Episodes returns one page, those seen last first and of these the longest, how
	// many there are in all, and what they are made of.
	Episodes(ctx context.Context, s policy.Scope, q query.Episodes) ([]query.Episode, int64, query.EpisodesAsOf, error)

	// Coverage returns who looked when at the classes, all if none are named, and
	// the breaks; nothing of either for a scope that does not see all.
	Coverage(ctx context.Context, s policy.Scope, classes []event.Class, p query.Period) (query.Coverage, error)

	// Deliveries returns one page, newest first, and how many there are in all.
	Deliveries(ctx context.Context, s policy.Scope, f DeliveryFilter) ([]query.Delivery, int64, error)
	// Delivery returns one by its id ("d12").
	Delivery(ctx context.Context, s policy.Scope, id string) (query.Delivery, error)
	// Quarantine returns one page, newest delivery first, with the number of all
	// rows and of each reason, both under the same filter.
	Quarantine(ctx context.Context, s policy.Scope, f QuarantineFilter) (QuarantinePage, error)

	Feeds(ctx context.Context, s policy.Scope) ([]query.Feed, error)
	Formats() []Format
	Organisations(ctx context.Context, s policy.Scope) ([]Organisation, error)
	// Sources lists the reference data in use.
	Sources(ctx context.Context, s policy.Scope) ([]Source, error)

	// Ingest archives and journals the body, acks by returning, and loads it
	// first where Wait is set. It checks [policy.Scope.MayPush] itself.
	Ingest(ctx context.Context, s policy.Scope, r IngestRequest) (query.Delivery, error)

	// The rest is for [policy.Scope.Administers]; ErrForbidden for others. Each
	// is journalled with who and why.

	Withdraw(ctx context.Context, s policy.Scope, id, why string) (query.Delivery, error)
	SetFeed(ctx context.Context, s policy.Scope, f FeedSettings) (query.Feed, error)
	// DecideBreak says that a break is confirmed or dismissed, and why.
	DecideBreak(ctx context.Context, s policy.Scope, id string, state query.BreakState, why string) (query.Break, error)
	// ImportOrganisations replaces the list with that of a CSV.
	ImportOrganisations(ctx context.Context, s policy.Scope, body io.Reader) (OrganisationsResult, error)
	// ImportRefdata lays an operator's table of reference data, an MMDB or a
	// prefix CSV, over those in use.
	ImportRefdata(ctx context.Context, s policy.Scope, name string, body io.Reader) error
	Tokens(ctx context.Context, s policy.Scope) ([]Token, error)
	// CreateToken returns the token with its Secret, which is shown this once.
	CreateToken(ctx context.Context, s policy.Scope, r TokenRequest) (Token, error)
	RevokeToken(ctx context.Context, s policy.Scope, id string) error
	// Reenrich appends a version of the annotations made with the data in use.
	Reenrich(ctx context.Context, s policy.Scope, progress func(Progress)) (Result, error)
	// Rebuild makes the store anew from the archive and swaps it in.
	Rebuild(ctx context.Context, s policy.Scope, progress func(Progress)) (Result, error)
	// Verify re-reads everything. Damage that it finds is in the result, not an error.
	Verify(ctx context.Context, s policy.Scope, progress func(Progress)) (VerifyResult, error)
	// Backup copies all that was acked before it began into an empty or new
	// directory of the server's machine. Pages and API offer it to
	// [policy.Local] alone.
	Backup(ctx context.Context, s policy.Scope, dir string, progress func(Progress)) (Result, error)
	// Audit returns the newest lines of the journal that are changes, newest first.
	Audit(ctx context.Context, s policy.Scope, limit int) ([]AuditLine, error)
}

// Status is what every page shows of the instance.
type Status struct {
	Simulated  bool      `json:"simulated"` // a banner says so on every page
	Version    string    `json:"version"`
	Go         string    `json:"go"`
	Home       string    `json:"home"`      // country code of the constituency, "" if not configured
	HomeName   string    `json:"home_name"` // its name for people
	HasData    bool      `json:"has_data"`
	DataFrom   event.Day `json:"data_from"` // of events; meaningless without HasData
	DataTo     event.Day `json:"data_to"`
	Now        time.Time `json:"now"`
	Events     int64     `json:"events"`
	Outside    int64     `json:"outside_scope"`     // events kept as received and not counted
	Waiting    int64     `json:"waiting"`           // deliveries acked and not yet loaded
	Stopped    string    `json:"stopped,omitempty"` // why loading stands still, for those who see all; "" while it does not
	Enrichment uint32    `json:"enrichment"`        // version of the reference data in use
	Who        string    `json:"who"`
}

// DeliveryFilter selects deliveries; zero fields select all.
type DeliveryFilter struct {
	Feed   string
	State  query.State
	Limit  int
	Offset int
}

// QuarantineFilter selects quarantined rows; zero fields select all.
type QuarantineFilter struct {
	Feed     string
	Delivery string // "d12"
	Reason   string
	Limit    int
	Offset   int
}

// QuarantinePage is one page of quarantined rows.
type QuarantinePage struct {
	Rows    []query.Quarantined `json:"rows"`
	Total   int64               `json:"total"`
	Reasons []Tally             `json:"reasons"` // most frequent first
}

// Tally is how often something occurs.
type Tally struct {
	Key   string `json:"key"`
	Count int64  `json:"count"`
}

// Format is one row of the table of formats.
type Format struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Spec  string `json:"spec"` // where it is described
	// Reports lists the report types that it knows, if it has such.
	Reports []Report `json:"reports,omitzero"`
}

// Report is one row of the table of report types.
type Report struct {
	Name     string `json:"name"`
	Class    string `json:"class"`
	Type     string `json:"type"` // classification.type
	Subject  string `json:"subject"`
	Role     string `json:"role"`
	Snapshot bool   `json:"snapshot"` // its id includes the observation day
}

// Organisation is who answers for some networks.
type Organisation struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Sector   string   `json:"sector"`
	Region   string   `json:"region"`
	Country  string   `json:"country,omitzero"`
	Networks []string `json:"networks"` // prefixes, AS numbers, domains
	Contact  string   `json:"contact,omitzero"`
}

// OrganisationsResult is what became of a list.
type OrganisationsResult struct {
	Organisations int        `json:"organisations"`
	Networks      int        `json:"networks"`
	Rows          []RowError `json:"rows"` // that were left out, and why
}

// RowError is one row that could not be used.
type RowError struct {
	Row    int    `json:"row"`
	Reason string `json:"reason"`
}

// Source is one set of reference data in use.
type Source struct {
	Name        string `json:"name"`
	Licence     string `json:"licence"`
	Attribution string `json:"attribution"`
	Date        string `json:"date"` // of the data
	SHA256      string `json:"sha256"`
}

// IngestRequest is one delivery as it arrives.
type IngestRequest struct {
	Feed   string
	Format string // "" for the feed's own, or as the name says
	Name   string // file name; may be ""
	// Body is the bytes as they came, not decompressed: their SHA-256 is the
	// delivery's. It returns [*http.MaxBytesError] past the limit.
	Body io.Reader
	Wait bool // return once it is loaded
	// ContentEncoding is what the sender said of the body: "", "gzip" or "zstd".
	ContentEncoding string
}

// FeedSettings are a feed's to set; absent fields stay as they are.
type FeedSettings struct {
	Name       string  `json:"-"`
	Format     *string `json:"format,omitzero"`
	Marking    *string `json:"marking,omitzero"`
	Historical *bool   `json:"historical,omitzero"`
	Schedule   *string `json:"schedule,omitzero"` // daily, weekly, none, or history
	Upstream   *string `json:"upstream,omitzero"` // feeds with one upstream are one witness; "" for none
	// Limits are the feed's own budgets, instead of those it had: bytes, line,
	// rows, columns, depth, ratio.
	Limits map[string]int64 `json:"limits,omitzero"`
}

// TokenRequest says what a new token may do.
type TokenRequest struct {
	Name          string   `json:"name"`
	Role          string   `json:"role"`          // a [policy.Role]
	Organisations []string `json:"organisations"` // for the role organisation
	Feeds         []string `json:"feeds"`         // that it may push to; "*" for any
	Read          bool     `json:"read"`          // false: it may push alone
	Days          int      `json:"days"`          // until it expires; 0 for the default
}

// Token is one token; its secret is stored hashed.
type Token struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Role          string    `json:"role"`
	Organisations []string  `json:"organisations"`
	Feeds         []string  `json:"feeds"`
	Read          bool      `json:"read"`
	Created       time.Time `json:"created"`
	Expires       time.Time `json:"expires"`
	Used          time.Time `json:"used,omitzero"`
	Revoked       bool      `json:"revoked"`
	Secret        string    `json:"secret,omitzero"` // only in the answer to its creation
}

// Progress is how far long work has come. Total is 0 while it is unknown.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"` // bytes, events, deliveries
}

// Result is the outcome of long work.
type Result struct {
	Deliveries int64   `json:"deliveries"`
	Events     int64   `json:"events"`
	Bytes      int64   `json:"bytes"`
	Version    uint32  `json:"version,omitzero"` // of the annotations, for reenrich
	Path       string  `json:"path,omitzero"`    // for backup
	Seconds    float64 `json:"seconds"`
}

// VerifyResult says what is damaged or missing.
type VerifyResult struct {
	Result
	OK      bool     `json:"ok"`
	Damaged []Damage `json:"damaged"`
	Notes   []string `json:"notes,omitzero"` // nothing wrong, worth knowing
}

// Damage is one finding of a verification.
type Damage struct {
	What       string   `json:"what"`       // a file, a content, a line of the journal, the store
	Detail     string   `json:"detail"`     // what is wrong with it
	Deliveries []string `json:"deliveries"` // that are affected
}

// AuditLine is one change.
type AuditLine struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Kind   string    `json:"kind"`
	Detail string    `json:"detail"`
}
