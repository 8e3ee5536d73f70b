package remote_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/feastgo/feast/remote"
)

// late is a context whose deadline is over, which it has not noticed.
type late struct {
	context.Context //nolint:containedctx // it is a context
	deadline        time.Time
}

func (l late) Deadline() (time.Time, bool) { return l.deadline, true }

// TestServerNoticesFirst: the server knows the deadline of a call, and its answer may come before the context ends. A
// server's own limit is another thing.
func TestServerNoticesFirst(t *testing.T) {
	over, ahead := late{t.Context(), time.Now().Add(-time.Second)}, late{t.Context(), time.Now().Add(time.Hour)}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context //nolint:containedctx // of a case
		code codes.Code
		want error
	}{
		{over, codes.DeadlineExceeded, context.DeadlineExceeded}, {over, codes.Unavailable, nil}, {ahead, codes.DeadlineExceeded, nil},
		{t.Context(), codes.DeadlineExceeded, nil}, {canceled, codes.Canceled, context.Canceled},
	} {
		if got := remote.EndOf(c.ctx, c.code); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%v, %s: %v, want %v", c.ctx, c.code, got, c.want)
		}
	}
}
