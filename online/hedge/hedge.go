// Package hedge wraps an online store so that a read that takes long is made a second time, and the answer that comes
// first is taken. It helps where answers are slow at random: a connection that lost a packet, one busy server of
// several.
//
//	store, err := hedge.New(inner, hedge.Options{Delay: 5 * time.Millisecond, Budget: 0.05})
//	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
//
// Since an attempt that lost may go on for a moment, every attempt works on copies of the request's keys and result,
// which costs microseconds. That is little beside a network, and much beside a store in memory. Only reads are repeated;
// what changes the store is done once.
package hedge

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
	"github.com/feastgo/feast/online"
)

// Options say when a read is made a second time.
type Options struct {
	// Delay is how long the first attempt has before the second one starts, best the time in which nearly all reads
	// are answered. It must be positive.
	Delay time.Duration
	// Budget bounds the second attempts: of n reads, at most 10 + n*Budget have one. It must be above 0 and at most 1.
	// A store that is slow as a whole gets that much more load and no more, so it should be small, such as 0.05.
	Budget float64
}

// Store is an [online.Store] that makes slow reads of another one a second time and leaves all else to it.
type Store struct {
	inner
	delay  time.Duration
	budget budget

	attempts calls.Calls
}

// inner gives the embedded field an unexported name.
type inner = online.Store

// New wraps a store, which it closes with itself.
func New(store online.Store, o Options) (*Store, error) {
	if o.Delay <= 0 {
		return nil, feasterr.Invalid("hedge: Delay must be positive, is %v", o.Delay)
	}
	if !(o.Budget > 0 && o.Budget <= 1) {
		return nil, feasterr.Invalid("hedge: Budget must be above 0 and at most 1, is %v", o.Budget)
	}
	s := &Store{inner: store, delay: o.Delay, budget: budget{earned: int64(o.Budget * token)}}
	s.budget.saved.Store(mostTokens * token)
	return s, nil
}

// Unwrap returns the wrapped store, for [online.As].
func (s *Store) Unwrap() online.Store { return s.inner }

// Close implements [online.Store]. It waits for attempts that were given up: their contexts have ended.
func (s *Store) Close() error {
	s.attempts.Close()
	return s.inner.Close()
}

// budget is a bucket of tokens, of which a second attempt takes one and every read puts in a part.
type budget struct {
	saved  atomic.Int64 // in fractions of tokens
	earned int64        // by a read
}

const (
	token      = 1_000_000
	mostTokens = 10
)

// earn puts in the part of a read and reports whether there is a token.
func (b *budget) earn() bool {
	saved := b.saved.Load()
	if saved < mostTokens*token {
		saved = b.saved.Add(b.earned)
	}
	return saved >= token
}

// spend takes a token, if there is one.
func (b *budget) spend() bool {
	for {
		saved := b.saved.Load()
		if saved < token {
			return false
		}
		if b.saved.CompareAndSwap(saved, saved-token) {
			return true
		}
	}
}

type reader struct {
	store *Store
	inner online.Reader
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r, err := s.inner.Prepare(plan)
	if err != nil {
		return nil, err
	}
	return &reader{s, r}, nil
}

// outcome is what an attempt came to.
type outcome struct {
	res *online.Result
	err error
}

// Read implements [online.Reader]. A first attempt that fails before the second one has started is not repeated. When
// both were made, the read fails when both fail, with the error of the later failure.
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if !r.store.budget.earn() {
		return r.inner.Read(ctx, keys, dst) // there will hardly be a second attempt
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends an attempt that is not waited for
	keys = keys.Clone()
	outcomes := make(chan outcome, 2)
	start := func() bool {
		res := dst.Scratch()
		return r.store.attempts.Go(func() { outcomes <- outcome{res, r.inner.Read(ctx, keys, res)} })
	}
	if !start() {
		return feasterr.ErrClosed
	}
	slow := time.NewTimer(r.store.delay)
	defer slow.Stop()
	for running := 1; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-slow.C:
			if r.store.budget.spend() && start() {
				running++
			}
		case o := <-outcomes:
			running--
			if o.err == nil {
				return dst.Adopt(o.res)
			}
			if running == 0 {
				return o.err
			}
		}
	}
}
