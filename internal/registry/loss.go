package registry

import (
	"slices"
	"time"

	"tocsin/internal/event"
)

// Lines of what is published, and of what its amounts rest on.
const (
	KindLoss      = "loss"      // Contents[0] is the file of inputs
	KindPublished = "published" // Contents[0] is the document; Data is a [Published]
)

// LossInputs is the file of inputs of the loss page that is in force.
type LossInputs struct {
	SHA256 string // of the file; "" where none was set
	Seq    uint64 // line of the journal
	At     time.Time
	By     string
}

// Published says what was published, from what, and what changed by it. It is
// written out: fields are never removed.
type Published struct {
	Revision   int       `json:"revision"`   // from 1, over all periods
	Supersedes int       `json:"supersedes"` // the revision of the same period before; 0 for the first
	From       event.Day `json:"from"`
	To         event.Day `json:"to"`
	SHA256     string    `json:"sha256"` // of the document
	Size       int       `json:"size"`
	Why        string    `json:"why"`
	Inputs     Inputs    `json:"inputs"`
	// Differs are the ids of the figures that are not as in the revision before.
	Differs []string `json:"differs"`
	// Rest says that the documents differ outside of their figures too.
	Rest bool `json:"rest,omitzero"`

	// Of the line itself.
	At time.Time `json:"at"`
	By string    `json:"by"`
}

// Inputs is what a published document was made from.
type Inputs struct {
	// Through is the line of the journal up to which every delivery was in.
	Through     uint64         `json:"through"`
	Program     string         `json:"program"`
	Enrichment  uint32         `json:"enrichment"` // newest version of reference data and organisations
	Reenriched  uint32         `json:"reenriched"` // version that everything was annotated anew with; 0 for never
	Refdata     []RefdataDate  `json:"refdata"`
	Definitions map[string]int `json:"definitions"` // figure to version of its definition
	Seed        uint64         `json:"seed"`        // of what was drawn; 0 where nothing was
}

// RefdataDate names a table of reference data and says of when it is.
type RefdataDate struct {
	Name   string `json:"name"`
	Date   string `json:"date"`
	SHA256 string `json:"sha256"`
}

// Loss returns the file of inputs of the loss page that is in force.
func (r *Registry) Loss() LossInputs {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.loss
}

// Published returns all revisions, the oldest first.
func (r *Registry) Published() []Published {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.published)
}

// applyLoss takes a line of the kind loss.
func (r *Registry) applyLoss(l Line) {
	if len(l.Contents) > 0 {
		r.loss = LossInputs{l.Contents[0], l.Seq, l.At, l.By}
	}
}

// applyPublished takes a line of the kind published.
func (r *Registry) applyPublished(l Line, p Published) {
	p.At, p.By = l.At, l.By
	r.published = append(r.published, p)
}
