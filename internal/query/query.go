// Package query holds the questions that can be asked of the store and the
// shapes of its answers, shared by those who ask (figure, web) and the one who
// answers (store), which do not import each other.
package query

import (
	"errors"
	"slices"
	"time"

	"tocsin/internal/event"
)

// ErrNotFound is returned where there is nothing, or nothing that the asker
// may know of: the two cannot be told apart.
var ErrNotFound = errors.New("not found")

// Dim is something that figures and events can be broken down by or filtered on.
type Dim string

// The dimensions. ASN, Organisation, Sector, Region and Country come from
// enrichment, never from what the report claims.
const (
	DimNone         Dim = ""
	DimASN          Dim = "asn"
	DimOrganisation Dim = "organisation"
	DimSector       Dim = "sector"
	DimRegion       Dim = "region"
	DimCountry      Dim = "country"
	DimFamily       Dim = "family"
	DimType         Dim = "type"
	DimFeed         Dim = "feed"
	DimReport       Dim = "report"
)

// Dims lists the dimensions in the order of the pages.
var Dims = []Dim{DimASN, DimOrganisation, DimSector, DimRegion, DimCountry, DimFamily, DimType, DimFeed, DimReport}

// ParseDim returns the dimension of that name.
func ParseDim(s string) (Dim, bool) { d := Dim(s); return d, slices.Contains(Dims, d) }

// Cond keeps rows whose dimension has the value; Not turns it round. The
// empty value means unknown.
type Cond struct {
	Dim   Dim    `json:"dim"`
	Value string `json:"value"`
	Not   bool   `json:"not,omitzero"`
}

// Period is a range of whole days in UTC, both ends included.
type Period struct {
	From event.Day `json:"from"`
	To   event.Day `json:"to"`
}

// Days returns how many days the period has.
func (p Period) Days() int { return int(p.To-p.From) + 1 }

// Previous returns the period of the same length that ends the day before.
func (p Period) Previous() Period { return Period{p.From - event.Day(p.Days()), p.From - 1} }

// Count asks how many assets of a class were seen in a period. Conditions on
// one dimension are alternatives, except that every negated one must hold;
// different dimensions must all hold.
type Count struct {
	Period Period
	Class  event.Class
	Where  []Cond
	// Enrichment asks for the numbers as they stood under that version of the
	// reference data; 0 is the newest.
	Enrichment uint32
}

// Value is what a [Count] found.
type Value struct {
	Daily    []int64 // distinct assets on each day of the period
	Distinct int64   // distinct assets over the whole period
	Events   int64   // events, after removing duplicates

	// DailyEvents are the events on each day of the period; they sum to Events.
	// Nil where the answerer does not keep them.
	DailyEvents []int64
}

// Mean returns the mean of the daily numbers, 0 for an empty period.
func (v Value) Mean() float64 {
	if len(v.Daily) == 0 {
		return 0
	}
	var n int64
	for _, d := range v.Daily {
		n += d
	}
	return float64(n) / float64(len(v.Daily))
}

// Group is one row of a breakdown.
type Group struct {
	Key   string // the dimension's value: AS number, organisation id, country code, family ...; "" if unknown
	Value Value
}

// Events selects events. Conditions as in [Count].
type Events struct {
	Period   Period        // of the events' own times
	Classes  []event.Class // empty: any
	Where    []Cond
	Asset    event.ID // zero: any
	Delivery uint32   // 0: any
	Text     string   // an address, network, name or family to look for; "" for any
	Limit    int      // rows of a page; 0 means all, for exports
	Offset   int
}

// Event is one event with what is known of it.
type Event struct {
	event.Event
	Feed         string
	Note         event.Annotation
	ASName       string
	OrgName      string // the organisation's name, "" if nobody is known
	DeliveryName string // file name or origin of the delivery
	DeliverySHA  string
	Enrichment   uint32 // version of the reference data that the annotation comes from
}

// State is how far a delivery has come.
type State string

// The states of a delivery.
const (
	StateWaiting   State = "waiting"   // archived and acked, not yet loaded
	StateLoading   State = "loading"   // some parts are in; it shows in no figure yet
	StateLoaded    State = "loaded"    // all parts are in
	StateRefused   State = "refused"   // could not be read at all; Reason says why
	StateWithdrawn State = "withdrawn" // taken back; Reason says why
)

// Delivery is one accepted unit of bytes and what became of it. Accepted +
// Duplicate + Quarantined = Received once it is loaded.
type Delivery struct {
	ID          string    `json:"id"` // journal sequence as "d" and a number
	Seq         uint32    `json:"-"`
	Feed        string    `json:"feed"`
	Format      string    `json:"format"`
	Report      string    `json:"report,omitzero"` // report type, where the name says it
	Name        string    `json:"name"`            // file name as it came
	SHA256      string    `json:"sha256"`
	Size        int64     `json:"size"` // bytes as they came, before decompression
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	State       State     `json:"state"`
	Received    int64     `json:"received"` // rows
	Accepted    int64     `json:"accepted"`
	Duplicate   int64     `json:"duplicate"`
	Quarantined int64     `json:"quarantined"`
	Outside     int64     `json:"outside"` // of the accepted: outside tocsin's scope
	Reason      string    `json:"reason,omitzero"`
}

// Quarantined is one row that could not become an event.
type Quarantined struct {
	Delivery string `json:"delivery"`
	Feed     string `json:"feed"`
	Name     string `json:"name"` // of the delivery
	Row      uint32 `json:"row"`
	Reason   string `json:"reason"` // one of a small set, so that they can be counted
	Detail   string `json:"detail"` // what exactly
	Raw      string `json:"raw"`    // the first bytes of the row, as received
}

// Feed is a configured origin of bytes and how it is doing.
type Feed struct {
	Name       string    `json:"name"`
	Format     string    `json:"format"`
	Marking    string    `json:"marking"`
	Historical bool      `json:"historical"` // rows may be of any age
	Schedule   string    `json:"schedule"`   // daily, weekly or none; "" where its history says it
	Upstream   string    `json:"upstream"`   // "" where it has none
	Deliveries int64     `json:"deliveries"`
	Received   int64     `json:"received"`
	Accepted   int64     `json:"accepted"`
	Duplicate  int64     `json:"duplicate"`
	Quarantine int64     `json:"quarantined"`
	Last       time.Time `json:"last,omitzero"` // the newest delivery's arrival
}
