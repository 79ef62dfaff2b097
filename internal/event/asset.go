package event

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// AssetKind is what is counted as one.
type AssetKind uint8

// The kinds of asset. Their numbers are stored.
const (
	AssetNone AssetKind = iota
	AssetAddress
	AssetSite         // registrable domain, or the address of a site known by its address alone
	AssetAccount      // account or mail address
	AssetOrganisation // an organisation by name
	AssetService      // address, port and transport of an exposed service
)

var assetKindNames = names{"none", "address", "site", "account", "organisation", "service"}

// String gives the word used in tables and pages.
func (k AssetKind) String() string { return assetKindNames.name(uint8(k)) }

// Asset is what is affected, in the form in which it is counted: two
// observations concern the same asset exactly if their Assets are equal.
type Asset struct {
	Kind AssetKind
	Key  ID     // the address in the IPv6 space (IPv6: its /64), or a hash of the name
	Name string // the registrable domain, account or organisation; "" for addresses
}

// AddressKey returns the address in the IPv6 space, IPv4 mapped to
// ::ffff:0:0/96.
func AddressKey(a netip.Addr) ID {
	b := a.As16()
	return ID{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// KeyAddress is the inverse of [AddressKey].
func KeyAddress(k ID) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// AddressAsset returns the asset of an address: an IPv4 address, or the /64 of
// an IPv6 address, since a host picks the rest itself (RFC 8981).
func AddressAsset(a netip.Addr) Asset {
	k := AddressKey(a)
	if a.Is6() && !a.Is4In6() {
		k.Lo = 0
	}
	return Asset{Kind: AssetAddress, Key: k}
}

// ServiceAsset returns the asset of a service that an address offers.
func ServiceAsset(a netip.Addr, port uint16, transport string) Asset {
	var b [64]byte
	k := AddressKey(a)
	b[0] = byte(AssetService)
	binary.BigEndian.PutUint64(b[1:], k.Hi)
	binary.BigEndian.PutUint64(b[9:], k.Lo)
	binary.BigEndian.PutUint16(b[17:], port)
	n := copy(b[19:], transport)
	return Asset{Kind: AssetService, Key: Hash(b[:19+n])}
}

// NamedAsset returns the asset of a site, account or organisation.
func NamedAsset(kind AssetKind, name string) Asset {
	b := make([]byte, 1, 1+len(name))
	b[0] = byte(kind)
	return Asset{Kind: kind, Key: Hash(append(b, name...)), Name: name}
}

// Class is the coarse condition that figures count: what is wrong with an
// asset, before family, service or CVE.
type Class uint8

// The classes. Their numbers are stored.
const (
	ClassOther      Class = iota
	ClassInfection        // an infected host
	ClassController       // a command and control server
	ClassSite             // a hacked site: defaced, backdoored, phishing, malware-hosting
	ClassExposure         // an exposed or vulnerable service
	ClassAttempt          // attack attempts
	ClassVictim           // the target of an attack
	ClassLeak             // leaked credentials and accounts
	ClassOutside          // outside tocsin's scope: kept as received, not counted
	Classes               // how many there are
)

var classNames = names{"other", "infection", "controller", "hacked-site", "exposure", "attempt", "victim", "leak", "outside-scope"}

// String gives the word used in tables and pages.
func (c Class) String() string { return classNames.name(uint8(c)) }

// ParseClass returns the class of that name.
func ParseClass(s string) (Class, bool) { i, ok := classNames.parse(s); return Class(i), ok }

// MarshalText implements [encoding.TextMarshaler].
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *Class) UnmarshalText(b []byte) error {
	x, ok := ParseClass(string(b))
	if !ok {
		return fmt.Errorf("%q is no class", b)
	}
	*c = x
	return nil
}

// Class returns the class of the event's condition. It depends on the
// classification, the subject's role and the kind of asset alone.
func (e *Event) Class() Class { return ClassOf(e.Type, e.Subject.Role, e.Subject.Asset) }

// ClassOf returns the class of a condition.
func ClassOf(t Type, r Role, a AssetKind) Class {
	switch c := classOfType[t]; {
	case c == ClassOutside:
		return ClassOutside
	case c == ClassAttempt && r == RoleVictim, c == ClassInfection && a == AssetOrganisation:
		return ClassVictim
	case c == ClassAttempt && r == RoleController: // who commands an attack
		return ClassController
	case a == AssetSite && siteType[t]:
		return ClassSite
	default:
		return c
	}
}

var classOfType = func() (m [256]Class) {
	for i, r := range Types {
		if !r.Scope {
			m[i] = ClassOutside
		}
	}
	for c, list := range map[Class][]string{
		ClassInfection:  {"infected-system", "system-compromise", "privileged-account-compromise"},
		ClassController: {"c2-server"},
		ClassExposure:   {"vulnerable-system", "ddos-amplifier", "potentially-unwanted-accessible", "weak-crypto", "information-disclosure"},
		ClassAttempt:    {"brute-force", "exploit", "ids-alert", "scanner", "ddos", "dos"},
		ClassLeak:       {"data-leak", "unprivileged-account-compromise"},
	} {
		for _, n := range list {
			m[MustType(n)] = c
		}
	}
	return m
}()

var siteType = func() (m [256]bool) {
	for _, n := range []string{
		"unauthorised-information-modification", "system-compromise", "application-compromise",
		"phishing", "malware-distribution",
	} {
		m[MustType(n)] = true
	}
	return m
}()

// Annotation is what enrichment says of an event's subject: a function of the
// subject, the event's day and the journalled reference data alone.
type Annotation struct {
	Asset        Asset
	ASN          uint32 // origin AS; 0 if unknown
	CC           string // ISO 3166-1 alpha-2; "" if unknown
	Domain       string // registrable domain of the subject's name; "" if it has none
	Organisation string // id of the organisation that answers for it; "" if nobody is known
	Sector       string // the organisation's; "" if unknown
	Region       string // the organisation's or the network's; "" if unknown
}
