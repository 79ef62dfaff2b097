package query

import "time"

// Revision is a published document: what it was made from, and what changed by
// it. A document is never changed; another one of the same period is a new
// revision.
type Revision struct {
	Revision   int    `json:"revision"`   // from 1, over all periods
	OfPeriod   int    `json:"of_period"`  // from 1, among those of its period
	Supersedes int    `json:"supersedes"` // the revision of its period before; 0 for the first
	Period     Period `json:"period"`

	SHA256 string    `json:"sha256"` // of the document
	Size   int       `json:"size"`   // bytes of it
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Why    string    `json:"why"`

	// Differs are the ids of the figures that are not as in the revision before;
	// Rest says that something outside of the figures is not either.
	Differs []string `json:"differs"`
	Rest    bool     `json:"rest"`

	Inputs RevisionInputs `json:"inputs"`

	// Unchanged says, in the answer to a publication, that the document was
	// published before, byte for byte, and that nothing was journalled.
	Unchanged bool `json:"unchanged,omitzero"`
}

// RevisionInputs is what a published document was made from.
type RevisionInputs struct {
	// Through is the line of the journal up to which every delivery was in.
	Through     uint64         `json:"through"`
	Program     string         `json:"program"`
	Enrichment  uint32         `json:"enrichment"`  // newest version of reference data and organisations
	Reenriched  uint32         `json:"reenriched"`  // version that everything was annotated anew with; 0 for never
	Refdata     []RevisionData `json:"refdata"`     // of the newest version
	Definitions map[string]int `json:"definitions"` // figure to version of its definition
	Seed        uint64         `json:"seed"`        // of what was drawn; 0 where nothing was
}

// RevisionData names a table of reference data and says of when it is.
type RevisionData struct {
	Name   string `json:"name"`
	Date   string `json:"date"`
	SHA256 string `json:"sha256"`
}
