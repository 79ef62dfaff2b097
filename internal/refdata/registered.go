package refdata

import "net/netip"

// registered is the country in which the holder of an address is registered,
// for tables that tell it apart from the country of use.
type registered struct {
	cc4 ranges[uint32, uint16]
	cc6 ranges[uint64, uint16]
	// country says that the tables' country is the registries' own, so that it is
	// the registered one too: of the built-in tables.
	country bool
}

// known tells whether any registered country is known.
func (r *registered) known() bool { return r.cc4.known()+r.cc6.known() > 0 }

// Registered returns the ISO 3166-1 alpha-2 code of the country in which the
// holder of the address is registered; "" if not known. It may differ from
// [Tables.Country], which is where the address is used.
func (t *Tables) Registered(a netip.Addr) string {
	switch {
	case a.Is4():
		return codes[t.reg.cc4.at(key4(a))]
	case a.Is4In6():
		return codes[t.reg.cc4.at(key4(a.Unmap()))]
	case a.Is6():
		return codes[t.reg.cc6.at(key6(a))]
	}
	return ""
}

// HasRegistered tells whether the tables know any registered country.
func (t *Tables) HasRegistered() bool { return t.reg.known() }

// ofRegistries says that the tables' countries are the registries'.
func (t *Tables) ofRegistries() { t.reg = registered{t.cc4, t.cc6, true} }

// AddRegistered says that the holder of the addresses from first to last is
// registered in the country with that ISO 3166-1 alpha-2 code.
func (b *Builder) AddRegistered(first, last netip.Addr, cc string) error {
	n, err := country(cc)
	if err != nil {
		return err
	}
	return add(&b.reg4, &b.reg6, first, last, n)
}
