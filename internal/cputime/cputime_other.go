//go:build !unix

package cputime

import "testing"

// Report does nothing where the processor time cannot be had.
func Report(*testing.B) (done func()) { return func() {} }
