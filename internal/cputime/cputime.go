//go:build unix

// Package cputime measures the processor time of the program, for benchmarks: on a shared machine it says more than the
// clock.
package cputime

import (
	"syscall"
	"testing"
	"time"
)

// Used returns the processor time that the program has used, in user mode and in the system, over all its threads.
func Used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Report adds cpu-ns/op to a benchmark: call it before the loop, and what it returns after it.
func Report(b *testing.B) (done func()) {
	start := Used()
	return func() { b.ReportMetric(float64(Used()-start)/float64(b.N), "cpu-ns/op") }
}
