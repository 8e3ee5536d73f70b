//go:build unix

package cputime

import "testing"

func TestUsedAdvances(t *testing.T) {
	start := Used()
	sum := 0
	for Used() == start {
		for i := range 1000 {
			sum += i
		}
	}
	if now := Used(); now < start {
		t.Errorf("the time went from %v to %v (%d)", start, now, sum)
	}
}
