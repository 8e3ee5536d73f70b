// Package looks counts how often calls look at their context, for tests of what ends when a context does.
package looks

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// Count returns how often a call looks at its context. It sees that the call ends with the context's error, whenever that ends.
func Count(t testing.TB, name string, call func(ctx context.Context) error) int {
	t.Helper()
	for n := 0; ; n++ {
		ctx := &countdown{Context: t.Context()}
		ctx.left.Store(int64(n))
		err := call(ctx)
		if err == nil {
			return n
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s, after %d looks at the context: %v", name, n, err)
		}
	}
}

// countdown is a context that ends when it was asked for its error a number of times.
type countdown struct {
	context.Context //nolint:containedctx // it is one
	left            atomic.Int64
}

// Err implements [context.Context].
func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}
