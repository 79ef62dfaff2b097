//go:build !linux

package main

// threadCPU is 0 where a thread's CPU time cannot be told: what the making of
// reports costs counts as the road's then.
func threadCPU() float64 { return 0 }

// anonymous is 0 where the system does not say.
func anonymous() int64 { return 0 }

// resident is 0 where the system does not say.
func resident() int64 { return 0 }
