// Package registry knows the feeds, tokens, organisation lists and reference
// data in force. It is a projection of the journal: it takes the journal's
// lines in order and gives the state that they add up to. It writes nothing
// and opens nothing; whoever changes something appends a line and applies it.
package registry

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/internal/event"
	"tocsin/internal/policy"
)

// Line is a line of the journal that changes the registry.
type Line struct {
	Seq      uint64
	At       time.Time
	By       string
	Kind     string
	Contents []string        // SHA-256 of what it rests on
	Data     json.RawMessage // one of the types below, by kind
}

// The kinds of line that the registry reads; others are passed over.
const (
	KindFeed          = "feed"          // Data is a [Feed]
	KindToken         = "token"         // Data is a [TokenChange]
	KindOrganisations = "organisations" // Contents[0] is the list
	KindRefdata       = "refdata"       // Contents[0] is the table; Data is a [Refdata]
	KindReenrich      = "reenrich"      // Data is a [Reenriched]
	KindWithdrawn     = "withdrawn"     // Data is a [Withdrawn]
	KindConfig        = "config"        // Data is a [Config]
	KindReleased      = "released"      // Contents[0] is the tables; Data is a [Released]
	KindDecision      = "decision"      // Data is a [Decision]
)

// Feed is a configured origin of bytes.
type Feed struct {
	Name       string `json:"name"`
	Format     string `json:"format,omitzero"` // "" where each delivery's name says it
	Marking    string `json:"marking"`         // of rows that carry none
	Historical bool   `json:"historical"`      // rows may be of any age

	Schedule string `json:"schedule,omitzero"` // one of [Schedules]; "" where its history says it
	Upstream string `json:"upstream,omitzero"` // where it has its data from; feeds with one upstream are one witness

	// Limits are budgets of the feed's deliveries that differ from the
	// program's, by the names in [LimitNames].
	Limits map[string]int64 `json:"limits,omitzero"`
}

// LimitNames are the budgets that a feed can have of its own: bytes and rows
// of a delivery after decompression, bytes of a line, columns of a table,
// nesting of JSON, and unpacked bytes for one packed byte.
var LimitNames = []string{"bytes", "line", "rows", "columns", "depth", "ratio"}

// Schedules are how often a feed can be set to report.
var Schedules = []string{"daily", "weekly", "none"}

// Refdata says what a table of reference data is.
type Refdata struct {
	Source  string `json:"source"`  // embedded or operator
	Version string `json:"version"` // of the table
	Name    string `json:"name,omitzero"`

	// The rest is of facts: users, networks, leases. They are no part of
	// annotations and make no version of them.

	Kind        string `json:"kind,omitzero"`        // "" for a table of addresses
	Layout      string `json:"layout,omitzero"`      // a later file of the kind and layout replaces this one
	From        string `json:"from,omitzero"`        // who made the data
	Licence     string `json:"licence,omitzero"`     // of the data
	Attribution string `json:"attribution,omitzero"` // to be shown with results
	Date        string `json:"date,omitzero"`        // of the data, YYYY-MM-DD
}

// Reenriched says that annotations of that version were made for all events
// loaded before.
type Reenriched struct {
	Version uint32 `json:"version"`
}

// Withdrawn takes a delivery back.
type Withdrawn struct {
	Delivery uint32 `json:"delivery"`
	Why      string `json:"why"`
}

// Config is the configuration as far as the journal knows it; fields that are nil stay as they are.
type Config struct {
	Home      *string `json:"home,omitzero"`      // country code of the constituency
	HomeName  *string `json:"home_name,omitzero"` // for people
	Simulated *bool   `json:"simulated,omitzero"` // every page says so

	// Simulation is what the simulated country was made from, so that whoever can
	// make it again knows its truth.
	Simulation *string `json:"simulation,omitzero"`

	// Settings are all others that differ from the defaults, by key. They decide
	// no figure, and are kept so that a change shows.
	Settings map[string]string `json:"settings,omitzero"`
}

// Token may read or push. Its secret is known to its holder alone.
type Token struct {
	ID            string    `json:"id"`
	Name          string    `json:"name"`
	Hash          string    `json:"hash"` // hexadecimal SHA-256 of the secret
	Role          string    `json:"role"`
	Organisations []string  `json:"organisations,omitzero"`
	Feeds         []string  `json:"feeds,omitzero"`
	Read          bool      `json:"read"`
	Created       time.Time `json:"created"`
	Expires       time.Time `json:"expires"`
	Revoked       bool      `json:"revoked,omitzero"`
}

// TokenChange makes a token or takes one back.
type TokenChange struct {
	Create *Token `json:"create,omitzero"`
	Revoke string `json:"revoke,omitzero"` // an id
}

// Enrichment is one version of what annotations are made of.
type Enrichment struct {
	Organisations string   // SHA-256 of the list; "" for none
	Tables        []string // SHA-256 of the tables, each laid over those before
}

// Table tells where a content came from that annotations are made of.
type Table struct {
	Refdata           // empty for a list of organisations
	At      time.Time // when it was journalled
	By      string
}

// Registry is the state. It is safe for concurrent use.
type Registry struct {
	mu          sync.RWMutex
	feeds       map[string]Feed
	tokens      map[string]*Token
	hashes      map[string]*Token
	enrichments []Enrichment     // of version i+1
	tables      map[string]Table // by content
	facts       map[[2]string]Fact
	released    []Release
	reenriched  uint32
	withdrawn   map[uint32]string
	home, name  string
	simulated   bool
	simulation  string
	settings    map[string]string // replaced, never changed
	decisions   map[string]map[string]Decision
	loss        LossInputs
	published   []Published
}

// New returns the registry of an empty journal: the version 1 of enrichment
// knows nothing.
func New() *Registry {
	return &Registry{feeds: map[string]Feed{}, tokens: map[string]*Token{}, hashes: map[string]*Token{}, enrichments: []Enrichment{{}}, tables: map[string]Table{}, withdrawn: map[uint32]string{}, decisions: map[string]map[string]Decision{}}
}

// Apply takes the next line. Data that cannot be read is an error; the
// registry is unchanged then.
func (r *Registry) Apply(l Line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := func(v any) error {
		if err := json.Unmarshal(l.Data, v); err != nil {
			return fmt.Errorf("journal line %d (%s): %w", l.Seq, l.Kind, err)
		}
		return nil
	}
	switch l.Kind {
	case KindFeed:
		var f Feed
		if err := read(&f); err != nil {
			return err
		}
		r.feeds[f.Name] = f
	case KindToken:
		var c TokenChange
		if err := read(&c); err != nil {
			return err
		}
		if c.Create != nil {
			r.tokens[c.Create.ID] = c.Create
			r.hashes[c.Create.Hash] = c.Create
		}
		if t := r.tokens[c.Revoke]; t != nil {
			t.Revoked = true
		}
	case KindOrganisations:
		e := r.latest()
		if len(l.Contents) > 0 {
			e.Organisations = l.Contents[0]
			r.tables[l.Contents[0]] = Table{At: l.At, By: l.By}
		}
		r.enrichments = append(r.enrichments, e)
	case KindRefdata:
		var d Refdata
		if err := read(&d); err != nil {
			return err
		}
		if d.Kind != "" {
			r.applyFact(l, d)
			break
		}
		for _, sha := range l.Contents {
			r.tables[sha] = Table{d, l.At, l.By}
		}
		e := r.latest()
		if d.Source == "embedded" { // the ground; an operator's tables lie over it
			e.Tables = append(slices.Clone(l.Contents), e.Tables[min(1, len(e.Tables)):]...)
		} else {
			e.Tables = append(slices.Clone(e.Tables), l.Contents...)
		}
		r.enrichments = append(r.enrichments, e)
	case KindReleased:
		var d Released
		if err := read(&d); err != nil {
			return err
		}
		r.applyReleased(l, d)
	case KindReenrich:
		var d Reenriched
		if err := read(&d); err != nil {
			return err
		}
		r.reenriched = max(r.reenriched, d.Version)
	case KindWithdrawn:
		var d Withdrawn
		if err := read(&d); err != nil {
			return err
		}
		r.withdrawn[d.Delivery] = d.Why
	case KindDecision:
		var d Decision
		if err := read(&d); err != nil {
			return err
		}
		r.decide(d, l)
	case KindLoss:
		r.applyLoss(l)
	case KindPublished:
		var p Published
		if err := read(&p); err != nil {
			return err
		}
		r.applyPublished(l, p)
	case KindConfig:
		var c Config
		if err := read(&c); err != nil {
			return err
		}
		if c.Home != nil {
			r.home = *c.Home
		}
		if c.HomeName != nil {
			r.name = *c.HomeName
		}
		if c.Simulated != nil {
			r.simulated = *c.Simulated
		}
		if c.Simulation != nil {
			r.simulation = *c.Simulation
		}
		if c.Settings != nil {
			r.settings = c.Settings
		}
	}
	return nil
}

func (r *Registry) latest() Enrichment { return r.enrichments[len(r.enrichments)-1] }

// Feed returns the feed of that name.
func (r *Registry) Feed(name string) (Feed, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f, ok := r.feeds[name]
	return f, ok
}

// Feeds returns all feeds by name.
func (r *Registry) Feeds() []Feed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.feeds), func(a, b Feed) int { return cmp.Compare(a.Name, b.Name) })
}

// Enrichment returns the newest version's number.
func (r *Registry) Enrichment() uint32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return uint32(len(r.enrichments)) //nolint:gosec // versions are made by hand
}

// EnrichmentOf returns what a version is made of.
func (r *Registry) EnrichmentOf(version uint32) (Enrichment, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if version == 0 || int(version) > len(r.enrichments) {
		return Enrichment{}, false
	}
	return r.enrichments[version-1], true
}

// TableOf tells where a content came from; zero if it is none of reference
// data.
func (r *Registry) TableOf(sha string) Table {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tables[sha]
}

// Reenriched returns the newest version that annotations of everything were
// made with; 0 if never.
func (r *Registry) Reenriched() uint32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.reenriched
}

// Withdrawn returns why a delivery was withdrawn.
func (r *Registry) Withdrawn(seq uint32) (why string, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	why, ok = r.withdrawn[seq]
	return why, ok
}

// Withdrawals returns why each withdrawn delivery was.
func (r *Registry) Withdrawals() map[uint32]string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.withdrawn)
}

// Home returns the country code and name of the constituency, "" if not set.
func (r *Registry) Home() (code, name string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.home, r.name
}

// Settings returns the settings that were in force at the last start and
// differ from the defaults.
func (r *Registry) Settings() map[string]string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.settings
}

// Simulated reports whether the data is a simulation.
func (r *Registry) Simulated() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.simulated
}

// Simulation returns what the simulated country was made from, "" if it is
// none or that is not known.
func (r *Registry) Simulation() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.simulation
}

// Tokens returns all tokens, the newest first.
func (r *Registry) Tokens() []Token {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]Token, 0, len(r.tokens))
	for _, t := range r.tokens {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Token) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Readers reports whether any token that may read is in force: whether there
// are users.
func (r *Registry) Readers(now time.Time) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range r.tokens {
		if t.Read && !t.Revoked && now.Before(t.Expires) {
			return true
		}
	}
	return false
}

// ErrToken is returned for a secret that opens nothing.
var ErrToken = errors.New("the token is not known, has expired or was taken back")

// prefix lets scanners of repositories and logs recognise a secret.
const prefix = "tsn_"

// Authenticate returns the token with that secret, and its scope.
func (r *Registry) Authenticate(secret string, now time.Time) (Token, policy.Scope, error) {
	if !strings.HasPrefix(secret, prefix) {
		return Token{}, policy.Scope{}, ErrToken
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := r.hashes[hash(secret)]
	if t == nil || t.Revoked || !now.Before(t.Expires) {
		return Token{}, policy.Scope{}, ErrToken
	}
	role, _ := policy.ParseRole(t.Role)
	return *t, policy.For(t.Name, role, t.Organisations, t.Feeds, t.Read), nil
}

// hash is what is stored of a secret. The secret has 256 random bits, so a
// plain hash cannot be searched.
func hash(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// The times that a token may live.
const (
	DefaultTokenDays = 90
	MaxTokenDays     = 365
)

// NewToken makes a token and its secret, 256 random bits. It is not in force
// before its line is applied.
func NewToken(t Token, days int, now time.Time) (Token, string, error) {
	if days == 0 {
		days = DefaultTokenDays
	}
	role, ok := policy.ParseRole(t.Role)
	switch {
	case t.Name == "" || len(t.Name) > 100:
		return t, "", errors.New("a token needs a name of at most 100 bytes: who or what uses it")
	case !ok:
		return t, "", fmt.Errorf("role %q: use admin, analyst, organisation or public", t.Role)
	case days < 1 || days > MaxTokenDays:
		return t, "", fmt.Errorf("a token lives 1 to %d days, not %d", MaxTokenDays, days)
	case role == policy.Organisation && len(t.Organisations) == 0 && t.Read:
		return t, "", errors.New("a token of the role organisation names the organisations it may read")
	case !t.Read && len(t.Feeds) == 0:
		return t, "", errors.New("a token may read, or push to the feeds it names; this one may do nothing")
	}
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return t, "", err
	}
	secret := prefix + base64.RawURLEncoding.EncodeToString(raw[:])
	t.Hash = hash(secret)
	t.ID = "t" + t.Hash[:12]
	t.Created, t.Expires = now.UTC(), now.UTC().AddDate(0, 0, days)
	return t, secret, nil
}

// CheckFeed reports a setting of a feed that cannot be.
func CheckFeed(f Feed) error {
	if m, ok := event.ParseMarking(f.Marking); !ok || m == event.Unmarked {
		return fmt.Errorf("marking %q of feed %s: use CLEAR, GREEN, AMBER, AMBER+STRICT or RED", f.Marking, f.Name)
	}
	if f.Schedule != "" && !slices.Contains(Schedules, f.Schedule) {
		return fmt.Errorf("schedule %q of feed %s: use daily, weekly or none, or history for what its history says", f.Schedule, f.Name)
	}
	if len(f.Upstream) > 128 || !utf8.ValidString(f.Upstream) || strings.ContainsFunc(f.Upstream, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Errorf("upstream of feed %s: a name has at most 128 bytes, all of them printable", f.Name)
	}
	for k, n := range f.Limits {
		if !slices.Contains(LimitNames, k) || n <= 0 || n > 1<<40 {
			return fmt.Errorf("limit %s=%d of feed %s: the limits are %s, each a number above 0", k, n, f.Name, strings.Join(LimitNames, ", "))
		}
	}
	return nil
}
