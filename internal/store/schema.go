package store

import (
	"fmt"
	"slices"
	"strings"

	b "github.com/duckdb/duckdb-go-bindings"
)

// schemaVersion is the version that this program writes. A store of an older
// one is migrated by [migrations]; one of a newer program is refused.
const schemaVersion = 3

// migrations[i] brings a store of version i+1 to version i+2.
var migrations = []string{
	`CREATE TABLE episode (making UINTEGER); CREATE TABLE witness (making UINTEGER); CREATE TABLE reobserved (making UINTEGER); CREATE TABLE making (making UINTEGER)`,
	// Episodes have the number of their pattern, and say what late sightings
	// changed: sightings and episodes are made anew.
	`DROP TABLE episode; DROP TABLE witness; DROP TABLE reobserved; DROP TABLE making; DROP TABLE IF EXISTS pattern; DROP TABLE IF EXISTS regap; ` + strings.Join(episodeSQL(), "; ") +
		`; DELETE FROM meta WHERE key = 'dirty'; INSERT INTO meta VALUES ('dirty', '1')`,
}

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
	tI64  = b.TypeBigInt
	tU128 = b.TypeUHugeInt
	tText = b.TypeVarchar
	tTime = b.TypeTimestamp
)

var sqlTypes = map[b.Type]string{
	tU8: "UTINYINT", tU16: "USMALLINT", tU32: "UINTEGER", tI32: "INTEGER", tI64: "BIGINT",
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

	seenLate // not the first of anything: it came late ([episode.Late])
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

// The small tables. Their rows are written through appenders, since parsing
// and planning an INSERT costs as much as loading a hundred events.
var (
	// loadColumns has a row a part; its ids' count and xor prove at open that its
	// events are all there.
	loadColumns = []column{{"delivery", tU32}, {"part", tU32}, {"received", tU32}, {"accepted", tU32}, {"duplicate", tU32}, {"quarantined", tU32}, {"outside", tU32}, {"ids", tU128}}
	// deliveryColumns has a row a delivery whose last part is in, that could not
	// be read, or that was withdrawn.
	deliveryColumns = []column{
		{"seq", tU32},
		{"feed", tText},
		{"format", tText},
		{"report", tText},
		{"name", tText},
		{"sha256", tText},
		{"size", tI64},
		{"arrived", tTime},
		{"by", tText},
		{"state", tText},
		{"reason", tText},
		{"enrichment", tU32},
		{"received", tI64},
		{"accepted", tI64},
		{"duplicate", tI64},
		{"quarantined", tI64},
		{"outside", tI64},
	}
	quarantineColumns = []column{{"delivery", tU32}, {"row", tU32}, {"reason", tText}, {"detail", tText}, {"raw", tText}}
	termColumns       = []column{{"id", tU32}, {"word", tText}, {"feed", tU32}}
	// annotationColumns has what a later version of the reference data says of
	// events that were loaded under an earlier one.
	annotationColumns = []column{{"gen", tU32}, {"delivery", tU32}, {"row", tU32}, {"asn", tU32}, {"cc", tU32}, {"org", tU32}, {"sector", tU32}, {"region", tU32}}
	// sightedColumns says how many sightings each delivery brought.
	sightedColumns = []column{{"gen", tU32}, {"delivery", tU32}, {"sightings", tU32}, {"ids", tU128}}
	// reseenColumns corrects prev for sightings that came after later days had
	// been counted.
	reseenColumns = []column{{"gen", tU32}, {"class", tU8}, {"day", tI32}, {"prev", tI32}, {"weight", tI64}}
	// askedColumns is a temporary table that lookups join with.
	askedColumns = []column{{"id", tU128}, {"day", tI32}, {"class", tU8}}
)

// table is a table and its columns.
type table struct {
	name    string
	columns []column
}

// tables lists the tables that are written through appenders.
var tables = []table{
	{"event", eventColumns},
	{"sighting", sightingColumns},
	{"load", loadColumns},
	{"delivery", deliveryColumns},
	{"quarantine", quarantineColumns},
	{"term", termColumns},
	{"annotation", annotationColumns},
	{"sighted", sightedColumns},
	{"reseen", reseenColumns},
	{"episode", episodeColumns},
	{"witness", witnessColumns},
	{"reobserved", reobservedColumns},
	{"pattern", patternColumns},
	{"regap", regapColumns},
}

// schemaSQL makes an empty store.
func schemaSQL() []string {
	out := []string{
		`CREATE TABLE meta ("key" VARCHAR, "value" VARCHAR)`,
		fmt.Sprintf(`INSERT INTO meta VALUES ('schema', '%d'), ('generation', '1')`, schemaVersion),
		// The generations of table sighting, with the version of the reference data.
		// upto is the newest delivery in it once a later one has taken its place.
		`CREATE TABLE generation (gen UINTEGER, enrichment UINTEGER, made TIMESTAMP, why VARCHAR, upto UINTEGER)`,
		`INSERT INTO generation VALUES (1, 1, NULL, 'first', NULL)`,
	}
	made := episodeSQL()
	for _, t := range tables {
		if q := tableSQL(t.name, t.columns); !slices.Contains(made, q) {
			out = append(out, q)
		}
	}
	return append(out, made...)
}

// episodeSQL makes the tables of episodes. making has one row: the rows of the
// others that are in use, and the sightings that they are made of.
func episodeSQL() []string {
	return []string{
		tableSQL("episode", episodeColumns), tableSQL("witness", witnessColumns), tableSQL("reobserved", reobservedColumns),
		tableSQL("pattern", patternColumns), tableSQL("regap", regapColumns),
		"CREATE TABLE making (making UINTEGER, gen UINTEGER, sightings BIGINT, ids UHUGEINT)",
	}
}
