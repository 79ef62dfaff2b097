package event

import "fmt"

// Type is a classification.type: a number that stands for the name in [Types].
// The zero Type is "undetermined", RSIT's word for not yet classified.
type Type uint8

// typeRow is one row of the vocabulary.
type typeRow struct {
	Name     string // classification.type as IDF writes it
	Taxonomy string // classification.taxonomy that IDF derives from it
	Scope    bool   // false for content and opinion offences, which tocsin does not count
}

// Types is the vocabulary of classification.type: RSIT version 1003 and the
// further types of the IntelMQ Data Format. Rows are never removed or moved:
// the store keeps their numbers.
var Types = []typeRow{
	{"undetermined", "other", true},
	{"application-compromise", "intrusions", true},
	{"blacklist", "other", true},
	{"brute-force", "intrusion-attempts", true},
	{"burglary", "intrusions", true},
	{"c2-server", "malicious-code", true},
	{"copyright", "fraud", false},
	{"data-leak", "information-content-security", true},
	{"data-loss", "information-content-security", true},
	{"ddos", "availability", true},
	{"ddos-amplifier", "vulnerable", true},
	{"dga-domain", "other", true},
	{"dos", "availability", true},
	{"exploit", "intrusion-attempts", true},
	{"harmful-speech", "abusive-content", false},
	{"ids-alert", "intrusion-attempts", true},
	{"infected-system", "malicious-code", true},
	{"information-disclosure", "vulnerable", true},
	{"malware", "other", true},
	{"malware-configuration", "malicious-code", true},
	{"malware-distribution", "malicious-code", true},
	{"masquerade", "fraud", true},
	{"misconfiguration", "availability", true},
	{"other", "other", true},
	{"outage", "availability", true},
	{"phishing", "fraud", true},
	{"potentially-unwanted-accessible", "vulnerable", true},
	{"privileged-account-compromise", "intrusions", true},
	{"proxy", "other", true},
	{"sabotage", "availability", true},
	{"scanner", "information-gathering", true},
	{"sniffing", "information-gathering", true},
	{"social-engineering", "information-gathering", true},
	{"spam", "abusive-content", true},
	{"system-compromise", "intrusions", true},
	{"test", "test", true},
	{"tor", "other", true},
	{"unauthorised-information-access", "information-content-security", true},
	{"unauthorised-information-modification", "information-content-security", true},
	{"unauthorized-use-of-resources", "fraud", true},
	{"unprivileged-account-compromise", "intrusions", true},
	{"violence", "abusive-content", false},
	{"vulnerable-system", "vulnerable", true},
	{"weak-crypto", "vulnerable", true},
	{"unauthorised-use-of-resources", "fraud", true},
}

var typeNumbers = func() map[string]Type {
	m := make(map[string]Type, len(Types))
	for i, r := range Types {
		m[r.Name] = Type(i)
	}
	return m
}()

// ParseType returns the type of that name.
func ParseType(name string) (Type, bool) { t, ok := typeNumbers[name]; return t, ok }

// MustType is [ParseType] for names written in the program's own tables; it
// panics on a name that is not in [Types].
func MustType(name string) Type {
	t, ok := typeNumbers[name]
	if !ok {
		panic(fmt.Sprintf("event: no classification.type %q", name))
	}
	return t
}

// String gives the name in IDF.
func (t Type) String() string { return Types[t].Name }

// Taxonomy gives the classification.taxonomy of the type.
func (t Type) Taxonomy() string { return Types[t].Taxonomy }

// InScope is false for what tocsin keeps as received and does not count:
// content and opinion offences.
func (t Type) InScope() bool { return Types[t].Scope }

// names is a small closed vocabulary, indexed by its numbers.
type names []string

func (n names) name(i uint8) string {
	if int(i) < len(n) {
		return n[i]
	}
	return fmt.Sprintf("(%d)", i)
}

func (n names) parse(s string) (uint8, bool) {
	for i, x := range n {
		if x == s {
			return uint8(i), true
		}
	}
	return 0, false
}

// Severity is the reporter's first triage.
type Severity uint8

// The severities of IntelMQ 3.5, in rising order after Undefined.
const (
	SeverityUndefined Severity = iota
	SeverityInfo
	SeverityLow
	SeverityMedium
	SeverityHigh
	SeverityCritical
)

var severityNames = names{"undefined", "info", "low", "medium", "high", "critical"}

// String gives the name in IDF.
func (s Severity) String() string { return severityNames.name(uint8(s)) }

// ParseSeverity returns the severity of that name.
func ParseSeverity(s string) (Severity, bool) {
	i, ok := severityNames.parse(s)
	return Severity(i), ok
}

// Marking is a TLP 2.0 label, in rising strictness.
type Marking uint8

// The markings. Unmarked is not a label: what is unmarked takes its feed's.
const (
	Unmarked Marking = iota
	Clear
	Green
	Amber
	AmberStrict
	Red
)

var markingNames = names{"", "CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"}

// String gives the label without "TLP:".
func (m Marking) String() string { return markingNames.name(uint8(m)) }

// ParseMarking reads a label with or without "TLP:", in any case; WHITE is
// TLP 1.0's word for CLEAR.
func ParseMarking(s string) (Marking, bool) {
	b := make([]byte, 0, 16)
	for i := range min(len(s), 16) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b = append(b, c)
	}
	if len(b) > 4 && string(b[:4]) == "TLP:" {
		b = b[4:]
	}
	switch string(b) {
	case "":
		return 0, false
	case "WHITE":
		return Clear, true
	}
	i, ok := markingNames.parse(string(b))
	return Marking(i), ok
}

// Side says which end of an event is its subject.
type Side uint8

// The sides.
const (
	SideSource Side = iota
	SideDestination
)

// SubjectKind says by what a subject is known.
type SubjectKind uint8

// The kinds of subject.
const (
	SubjectNone SubjectKind = iota
	SubjectAddress
	SubjectNetwork
	SubjectName
	SubjectURL
	SubjectAccount
	SubjectOrganisation
)

var subjectKindNames = names{"none", "address", "network", "name", "url", "account", "organisation"}

// String gives the word used in pages and tables.
func (k SubjectKind) String() string { return subjectKindNames.name(uint8(k)) }

// Role is what an end of an event did, or what was done to it.
type Role uint8

// The roles of subjects and of peers.
const (
	RoleUnknown    Role = iota
	RoleVictim          // compromised or attacked
	RoleOffender        // attacks, knowingly or not
	RoleController      // commands other hosts
	RoleExposed         // offers a service that can be abused
	RoleC2              // peer: a command and control server
	RoleSinkhole        // peer: a sinkhole, never counted as a controller
	RoleTarget          // peer: attacked by the subject
	RoleReflector       // peer: misused to amplify
	RoleProxy           // peer: stands before the real end
)

var roleNames = names{"unknown", "victim", "offender", "controller", "exposed", "c2", "sinkhole", "target", "reflector", "proxy"}

// String gives the word used in tables and pages.
func (r Role) String() string { return roleNames.name(uint8(r)) }

// ParseRole returns the role of that name.
func ParseRole(s string) (Role, bool) { i, ok := roleNames.parse(s); return Role(i), ok }

// Subject is the end of the event that the constituency answers for, and what
// it is known by. The value itself stands in the end's field of that kind;
// only an organisation's name stands here.
type Subject struct {
	Side  Side
	Kind  SubjectKind
	Asset AssetKind // how it is counted
	Role  Role      // the subject's
	Peer  Role      // the other end's

	Organisation string // the organisation's name where Kind is SubjectOrganisation
}
