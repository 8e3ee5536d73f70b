package onlinetest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/online"
)

// Scripted wraps a store so that its reads do what a script says: for tests of wrappers, which have to stand slow and
// failing stores.
type Scripted struct {
	online.Store
	// Script is called for every read with its number, from 1, and the read itself. nil: just the read.
	Script func(ctx context.Context, n int, read func() error, dst *online.Result) error

	Reads atomic.Int64 // how many there were
	Keys  atomic.Int64 // how many keys they asked for
}

// Unwrap returns the wrapped store, for [online.As].
func (s *Scripted) Unwrap() online.Store { return s.Store }

// Prepare implements [online.Store].
func (s *Scripted) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	inner, err := s.Store.Prepare(plan)
	if err != nil {
		return nil, err
	}
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		n := int(s.Reads.Add(1))
		s.Keys.Add(int64(keys.Len()))
		read := func() error { return inner.Read(ctx, keys, dst) }
		if s.Script == nil {
			return read()
		}
		return s.Script(ctx, n, read, dst)
	}), nil
}

// Wait returns after d, or with the error of ctx.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
