// Package grpccall is what calls of the servers over gRPC go through, whatever they do: the guard, their turn, their time, and
// the log.
package grpccall

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
)

// Turns bound how many calls are worked on at a time, and each call's time, waiting included. It is safe for concurrent use.
type Turns struct {
	slots chan struct{}
	time  time.Duration
}

// NewTurns makes turns for concurrent calls of up to d each.
func NewTurns(concurrent int, d time.Duration) *Turns {
	return &Turns{make(chan struct{}, concurrent), d}
}

// Time is how long a call may take.
func (t *Turns) Time() time.Duration { return t.time }

// Taken is how many calls are worked on.
func (t *Turns) Taken() int { return len(t.slots) }

// Wait returns when a call may be worked on, until done is called. The error is that of ctx.
func (t *Turns) Wait(ctx context.Context) (done func(), err error) {
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Gate is what calls of one server go through. It is safe for concurrent use.
type Gate struct {
	*Turns

	Guard *guard.Guard
	// Header picks one of several authorization headers; there is at least one.
	Header func(headers []string) string
	// Refusal says why a call is not authenticated, in the words that Feast has for this server.
	Refusal func(header string, given bool) string
}

// Do runs a call: it finds out who calls, and is Run for the rest.
func (g *Gate) Do(ctx context.Context, method string, run func(context.Context) error) (err error) {
	defer g.Contain(ctx, method, &err)
	ctx, cancel := context.WithTimeout(ctx, g.time)
	defer cancel()
	if ctx, err = g.Enter(ctx); err != nil {
		return err
	}
	return g.Run(ctx, method, run)
}

// Run runs a call of somebody who is known: it waits for its turn, bounds its time, and contains its panics. Errors are those
// of run, or have a status.
func (g *Gate) Run(ctx context.Context, method string, run func(context.Context) error) (err error) {
	defer g.Contain(ctx, method, &err)
	ctx, cancel := context.WithTimeout(ctx, g.time)
	defer cancel()
	done, err := g.Wait(ctx)
	if err != nil {
		return status.FromContextError(err).Err()
	}
	defer done()
	err = run(ctx)
	if code := status.Code(err); code == codes.Unknown || code == codes.Internal || code == codes.Unavailable {
		g.Guard.Logger.WarnContext(ctx, "a call failed", "method", method, "error", err)
	}
	return err
}

// Contain makes an error of a panic. It is deferred.
func (g *Gate) Contain(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		g.Guard.Logger.ErrorContext(ctx, "a call panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the server failed")
	}
}

// Enter verifies the token of a call and returns a context that knows who calls. The error is a status as
// docs/compatibility.md, line 17, has it.
func (g *Gate) Enter(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	header, headers := "", md.Get("authorization")
	given := len(headers) > 0
	if given {
		header = g.Header(headers)
	}
	known, err := g.Guard.Enter(ctx, header, given)
	switch {
	case err == nil:
		return known, nil
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return nil, status.Error(codes.Unauthenticated, g.Refusal(header, given))
	case errors.Is(err, feasterr.ErrUnavailable):
		return nil, status.Error(codes.Unavailable, strings.TrimPrefix(err.Error(), "unavailable: "))
	}
	return nil, status.FromContextError(err).Err()
}

// EnterStream is Enter for a stream, whose context knows who calls.
func (g *Gate) EnterStream(st grpc.ServerStream) (grpc.ServerStream, error) {
	ctx, err := g.Enter(st.Context())
	if err != nil {
		return nil, err
	}
	return &entered{st, ctx}, nil
}

// entered is a stream of somebody who is known.
type entered struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that of the stream
}

// Context implements [grpc.ServerStream].
func (e *entered) Context() context.Context { return e.ctx }
