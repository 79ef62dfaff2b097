package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// threadCPU returns the CPU time of the calling thread, in seconds.
func threadCPU() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_THREAD, &u)
	return seconds(&u)
}

// anonymous returns the process's resident anonymous memory, in bytes.
func anonymous() int64 { return status("RssAnon:") }

// resident returns the process's resident memory, in bytes, the cached pages
// of files that it maps included.
func resident() int64 { return status("VmRSS:") }

func status(key string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
