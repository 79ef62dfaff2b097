package store

import (
	"fmt"
	"strings"

	b "github.com/duckdb/duckdb-go-bindings"
)

// schemaVersion is the version that this program writes. A store of an older
// one is migrated by [migrations]; one of a newer program is refused.
const schemaVersion = 1

// migrations[i] brings a store of version i+1 to version i+2.
var migrations = []string{}

// column is a column of a table and its type.
type column struct {
	name string
	typ  b.Type
}

const (
	tU8   = b.TypeUTinyInt
	tU16  = b.TypeUSmallInt
	tU32  = b.TypeUInteger
	tI32  = b.TypeInteger
	tU128 = b.TypeUHugeInt
	tText = b.TypeVarchar
	tTime = b.TypeTimestamp
)

var sqlTypes = map[b.Type]string{
	tU8: "UTINYINT", tU16: "USMALLINT", tU32: "UINTEGER", tI32: "INTEGER",
	tU128: "UHUGEINT", tText: "VARCHAR", tTime: "TIMESTAMP",
}

// The columns of table event, in their order in it.
const (
	evID = iota
	evTime
	evDelivery
	evRow
	evFeed
	evReport
	evClass
	evType
	evIdentifier
	evFamily
	evSeverity
	evConfidence
	evMarking
	evSubject
	evAssetKind
	evAsset
	evSrcIP
	evSrcPort
	evSrcASN
	evSrcCC
	evSrcRegion
	evSrcCity
	evDstIP
	evDstPort
	evDstASN
	evDstCC
	evDstRegion
	evDstCity
	evTransport
	evApplication
	evVendor
	evProduct
	evASN
	evCC
	evOrg
	evSector
	evRegion
	evText
)

// eventColumns is table event: one row an event. Words that repeat are numbers
// of table term; addresses stand in the IPv6 space; subject packs the
// [event.Subject]; asset is its key, and asn, cc, org, sector and region are
// the annotation that the event got when it was loaded. 0 means that there is
// nothing. All other text, which is different in every row or mostly absent,
// stands in one JSON object: a column of text costs DuckDB as much as ten of
// numbers, even where it is NULL.
var eventColumns = []column{
	evID: {"id", tU128}, evTime: {"time", tTime}, evDelivery: {"delivery", tU32}, evRow: {"row", tU32},
	evFeed: {"feed", tU32}, evReport: {"report", tU32}, evClass: {"class", tU8}, evType: {"type", tU8},
	evIdentifier: {"identifier", tU32}, evFamily: {"family", tU32},
	evSeverity: {"severity", tU8}, evConfidence: {"confidence", tU8}, evMarking: {"marking", tU8},
	evSubject: {"subject", tU32}, evAssetKind: {"asset_kind", tU8}, evAsset: {"asset", tU128},
	evSrcIP: {"src_ip", tU128}, evSrcPort: {"src_port", tU16}, evSrcASN: {"src_asn", tU32}, evSrcCC: {"src_cc", tU32},
	evSrcRegion: {"src_region", tU32}, evSrcCity: {"src_city", tU32},
	evDstIP: {"dst_ip", tU128}, evDstPort: {"dst_port", tU16}, evDstASN: {"dst_asn", tU32}, evDstCC: {"dst_cc", tU32},
	evDstRegion: {"dst_region", tU32}, evDstCity: {"dst_city", tU32},
	evTransport: {"transport", tU32}, evApplication: {"application", tU32},
	evVendor: {"product_vendor", tU32}, evProduct: {"product_name", tU32},
	evASN: {"asn", tU32}, evCC: {"cc", tU32}, evOrg: {"org", tU32}, evSector: {"sector", tU32}, evRegion: {"region", tU32},
	evText: {"text", tText},
}

// The columns of table sighting.
const (
	siGen = iota
	siDay
	siFeed
	siClass
	siType
	siFamily
	siKind
	siAsset
	siMarking
	siASN
	siCC
	siOrg
	siSector
	siRegion
	siFlags
	siPrev
)

// sightingColumns is table sighting: that a feed saw an asset in a condition on
// a day. family is the malware family or, where there is none, the identifier
// of the condition. gen numbers the generations of the table; see docs/store.md
// for flags and prev.
var sightingColumns = []column{
	siGen: {"gen", tU32}, siDay: {"day", tI32}, siFeed: {"feed", tU32}, siClass: {"class", tU8}, siType: {"type", tU8},
	siFamily: {"family", tU32}, siKind: {"kind", tU8}, siAsset: {"asset", tU128}, siMarking: {"marking", tU8},
	siASN: {"asn", tU32}, siCC: {"cc", tU32}, siOrg: {"org", tU32}, siSector: {"sector", tU32}, siRegion: {"region", tU32},
	siFlags: {"flags", tU8}, siPrev: {"prev", tI32},
}

// The flags of a sighting: it is the first row of its asset ...
const (
	firstOfClass  = 1 << iota // ... in the day and class
	firstOfFamily             // ... in the day, class and family
	firstOfFeed               // ... in the day, class and feed
)

func columnTypes(cols []column) []b.Type {
	t := make([]b.Type, len(cols))
	for i, c := range cols {
		t[i] = c.typ
	}
	return t
}

func tableSQL(name string, cols []column) string {
	parts := make([]string, len(cols))
	for i, c := range cols {
		parts[i] = fmt.Sprintf("%q %s", c.name, sqlTypes[c.typ])
	}
	return "CREATE TABLE " + name + " (" + strings.Join(parts, ", ") + ")"
}

// schemaSQL makes an empty store.
func schemaSQL() []string {
	return []string{
		`CREATE TABLE meta ("key" VARCHAR, "value" VARCHAR)`,
		fmt.Sprintf(`INSERT INTO meta VALUES ('schema', '%d'), ('generation', '1')`, schemaVersion),
		`CREATE TABLE term (id UINTEGER, word VARCHAR, feed UINTEGER)`,
		tableSQL("event", eventColumns),
		tableSQL("sighting", sightingColumns),
		// One row a part; its ids' count and xor prove at open that its events are all there.
		`CREATE TABLE load (delivery UINTEGER, part UINTEGER, received UINTEGER, accepted UINTEGER, duplicate UINTEGER, quarantined UINTEGER, outside UINTEGER, ids UHUGEINT)`,
		// One row a delivery whose last part is in, or that could not be read.
		`CREATE TABLE delivery (seq UINTEGER, feed VARCHAR, format VARCHAR, report VARCHAR, name VARCHAR, sha256 VARCHAR, size BIGINT, arrived TIMESTAMP, "by" VARCHAR, state VARCHAR, reason VARCHAR, enrichment UINTEGER, received BIGINT, accepted BIGINT, duplicate BIGINT, quarantined BIGINT, outside BIGINT)`,
		`CREATE TABLE quarantine (delivery UINTEGER, "row" UINTEGER, reason VARCHAR, detail VARCHAR, raw VARCHAR)`,
		// What a later version of the reference data says of events loaded under an earlier one.
		`CREATE TABLE annotation (gen UINTEGER, delivery UINTEGER, "row" UINTEGER, asn UINTEGER, cc UINTEGER, org UINTEGER, sector UINTEGER, region UINTEGER)`,
		// The generations of table sighting, and how many rows each must have.
		`CREATE TABLE generation (gen UINTEGER, enrichment UINTEGER, made TIMESTAMP, why VARCHAR)`,
		`CREATE TABLE sighted (gen UINTEGER, delivery UINTEGER, sightings UINTEGER, ids UHUGEINT)`,
		// Corrections of prev for sightings that came after later days had been counted.
		`CREATE TABLE reseen (gen UINTEGER, class UTINYINT, day INTEGER, prev INTEGER, weight BIGINT)`,
		`INSERT INTO generation VALUES (1, 1, NULL, 'first')`,
	}
}
