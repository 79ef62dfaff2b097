package app

import (
	"os"
	"runtime/debug"
)

// Tune sets the Go runtime up for a process that holds a database beside it:
// it collects garbage when the heap has grown by three tenths, instead of when it
// has doubled, which keeps loading within a gigabyte. GOGC, where it is set,
// decides instead. For main functions.
func Tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(30)
	}
}
