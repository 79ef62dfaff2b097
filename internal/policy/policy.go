// Package policy decides who may see what. Every read takes a [Scope] and
// every write-out to others takes a [Releasable]; both can only be made here.
//
// It takes roles, organisations and markings and gives decisions. It opens
// nothing and knows no store.
package policy

import (
	"slices"

	"tocsin/internal/event"
)

// Role is what somebody is to the team that runs tocsin.
type Role uint8

// The roles, in rising power.
const (
	Public       Role = iota // anybody: released tables and definitions
	Organisation             // one or more organisations of the constituency: their own rows
	Analyst                  // the team: everything, changes nothing of the configuration
	Admin                    // the team: everything
)

var roleNames = []string{"public", "organisation", "analyst", "admin"}

// String gives the role's word.
func (r Role) String() string { return roleNames[r] }

// ParseRole returns the role of that name.
func ParseRole(s string) (Role, bool) {
	i := slices.Index(roleNames, s)
	return Role(max(i, 0)), i >= 0
}

// Scope says who asks and what that person may see. The zero Scope is the
// public's: it sees no event.
type Scope struct {
	role  Role
	who   string
	orgs  []string
	feeds []string // feeds that may be pushed to; nil means none, "*" any
	read  bool

	upTo event.Marking // of rows that may be counted for release; Unmarked if it is none
}

// ForRelease is the scope in which numbers are counted that are to be released:
// rows of all organisations, of those markings up to which a number, that names
// no asset, may leave. What is marked more strictly is in no such number.
func ForRelease() Scope { return Scope{who: "release", read: true, upTo: event.Amber} }

// Local is the scope of the person at the keyboard: the commands, and the
// pages on loopback while there are no users.
func Local() Scope {
	return Scope{role: Admin, who: "local", feeds: []string{"*"}, read: true}
}

// For returns the scope of a user or token called who. Orgs restricts an
// organisation's reads; feeds lists the feeds it may push to ("*" for any).
// A scope with read false may push and see the deliveries it pushed.
func For(who string, role Role, orgs, feeds []string, read bool) Scope {
	return Scope{role: role, who: who, orgs: slices.Clone(orgs), feeds: slices.Clone(feeds), read: read}
}

// Who names the asker in the audit log.
func (s Scope) Who() string {
	if s.who == "" {
		return "public"
	}
	return s.who
}

// Role returns the asker's role.
func (s Scope) Role() Role { return s.role }

// All reports whether the asker may read every row.
func (s Scope) All() bool { return s.read && s.role >= Analyst }

// Everyone reports whether it does not matter whom a row concerns, but how it
// is marked: see [ForRelease].
func (s Scope) Everyone() bool { return s.upTo != event.Unmarked }

// Administers reports whether the asker may change feeds, tokens and what is
// loaded.
func (s Scope) Administers() bool { return s.role == Admin && s.read }

// MayPush reports whether the asker may bring deliveries of the feed.
func (s Scope) MayPush(feed string) bool {
	return slices.Contains(s.feeds, "*") || slices.Contains(s.feeds, feed)
}

// Organisations returns the organisations whose rows the asker may read, for a
// predicate on the organisation's column; it matters only where All is false.
// An empty result means no row at all.
func (s Scope) Organisations() []string {
	if !s.read || s.role != Organisation {
		return nil
	}
	return s.orgs
}

// Sees reports whether the asker may see a row that concerns org and is
// marked m. Rows marked RED are for the team alone.
func (s Scope) Sees(org string, m event.Marking) bool {
	if s.All() {
		return true
	}
	if s.Everyone() {
		return m <= s.upTo
	}
	return m < event.Red && org != "" && slices.Contains(s.Organisations(), org)
}

// MaxMarking is the strictest marking that the asker may see.
func (s Scope) MaxMarking() event.Marking {
	switch {
	case s.All():
		return event.Red
	case s.Everyone():
		return s.upTo
	case s.role == Organisation && s.read:
		return event.AmberStrict
	}
	return event.Clear
}

// Releasable is a value that policy has found may leave towards a reader of
// its scope. Its zero value holds nothing that may leave.
type Releasable[T any] struct {
	v  T
	ok bool
}

// Release wraps v for a reader with that scope if its marking allows it.
func Release[T any](s Scope, org string, m event.Marking, v T) (Releasable[T], bool) {
	if !s.Sees(org, m) {
		return Releasable[T]{}, false
	}
	return Releasable[T]{v, true}, true
}

// Value returns the value, and false for a zero Releasable.
func (r Releasable[T]) Value() (T, bool) { return r.v, r.ok }
