// Package sleep waits between attempts.
package sleep

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends: the error is that of ctx then.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
