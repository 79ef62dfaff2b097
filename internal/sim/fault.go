package sim

import "slices"

// Fault names one planted difference between the deliveries or the reference
// data and the truth. The zero Fault plants none.
type Fault string

// The faults. Each must turn a comparison of figures with the truth red.
const (
	// DropRow leaves one row of a report of exposed services out of the bytes.
	DropRow Fault = "drop-row"
	// SwapAS exchanges the AS numbers of two access providers in
	// [Country.Prefixes].
	SwapAS Fault = "swap-as"
	// DayOff dates the rows of one delivery one day too early.
	DayOff Fault = "day-off"
	// RenameFamily writes another name for one malware family.
	RenameFamily Fault = "rename-family"
	// WrongController lets the border sensors name a sinkhole in the place of
	// the controllers of one family. No count of events sees it.
	WrongController Fault = "wrong-controller"
)

// Faults lists the faults.
var Faults = []Fault{DropRow, SwapAS, DayOff, RenameFamily, WrongController}

func (f Fault) known() bool { return f == "" || slices.Contains(Faults, f) }

const (
	renamedFamily   = "copperbot" // the family that RenameFamily renames
	renamedTo       = "chromebot"
	swappedAS1      = 64513 // the AS numbers that SwapAS exchanges
	swappedAS2      = 64514
	faultyPermille  = 550 // how far into the time DropRow and DayOff strike
	dropRowReport   = "scan_rdp"
	dayOffReport    = "scan_telnet" // which no other feed could stand in for
	secondsOfOneDay = 86400
)
