// Package breaker wraps an online store so that one that does not answer is left alone for a while: a circuit breaker.
// Reads then fail at once, instead of each holding a request, its memory and a connection until its deadline, and the
// store may recover.
//
//	store, err := breaker.New(inner, breaker.Options{Failures: 5, OpenFor: 2 * time.Second})
//	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
//
// The breaker is closed as long as reads pass. It opens after some failures, and reads fail with a
// feasterr.ErrUnavailable that says why and when the store is tried again. Then it is half open: one read passes, and
// closes the breaker when it is answered, else opens it again.
//
// A read fails when the store could not be reached (feasterr.Retryable), and when the deadline of its context ran out,
// since that is how a store that hangs shows. It does not fail when the caller cancels it, nor when the store answers that
// it refuses the request or that a value is malformed, nor when a part of its tables fails: of the stores of a hybrid one
// each has a breaker. Writes and administration pass and are not counted: a server may refuse writes and answer reads.
package breaker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// Options say when a breaker opens, and for how long.
type Options struct {
	// Failures is how many reads in a row have to fail. It must be positive.
	Failures int
	// Ratio opens it earlier, for a store that fails now and then: when that part of the reads of the last Window failed,
	// of MinReads at least. 0: failures in a row alone count. Otherwise it must be at most 1, and Window and MinReads
	// positive.
	Ratio    float64
	Window   time.Duration
	MinReads int
	// OpenFor is how long the store is left alone. It must be positive.
	OpenFor time.Duration
}

// Store is an [online.Store] that reads another one while that answers, and leaves all else to it.
type Store struct {
	inner
	circuit *gobreaker.CircuitBreaker[struct{}]
	until   atomic.Pointer[time.Time] // when it is tried again, while it is open
	failure atomic.Pointer[error]     // the last
	closed  atomic.Bool
}

// inner gives the embedded field an unexported name.
type inner = online.Store

// buckets is into how many parts the window is divided, of which the oldest is forgotten at a time.
const buckets = 10

// New wraps a store, which it closes with itself.
func New(store online.Store, o Options) (*Store, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, feasterr.Invalid("breaker: "+format, args...))
		}
	}
	check(o.Failures > 0, "Failures must be positive, is %d", o.Failures)
	check(o.OpenFor > 0, "OpenFor must be positive, is %v", o.OpenFor)
	check(o.Ratio >= 0 && o.Ratio <= 1, "Ratio must be 0 to 1, is %v", o.Ratio)
	if o.Ratio != 0 {
		check(o.Window > 0, "Window must be positive where there is a Ratio, is %v", o.Window)
		check(o.MinReads > 0, "MinReads must be positive where there is a Ratio, is %d", o.MinReads)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{inner: store}
	s.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     o.Window,
		BucketPeriod: o.Window / buckets,
		Timeout:      o.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			reads := c.TotalSuccesses + c.TotalFailures
			return c.ConsecutiveFailures >= uint32(o.Failures) ||
				o.Ratio > 0 && int(reads) >= o.MinReads && float64(c.TotalFailures) >= o.Ratio*float64(reads)
		},
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, feasterr.ErrClosed)
		},
		IsSuccessful: func(err error) bool {
			if !feasterr.Retryable(err) && !errors.Is(err, context.DeadlineExceeded) {
				return true
			}
			s.failure.Store(&err)
			return false
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				until := time.Now().Add(o.OpenFor)
				s.until.Store(&until)
			}
		},
	})
	return s, nil
}

// Unwrap returns the wrapped store, for [online.As].
func (s *Store) Unwrap() online.Store { return s.inner }

// Close implements [online.Store].
func (s *Store) Close() error {
	s.closed.Store(true)
	return s.inner.Close()
}

// State is what a breaker does with reads.
type State uint8

// The states of a breaker.
const (
	Closed   State = iota // reads pass
	Open                  // reads fail at once
	HalfOpen              // one read passes, to see
)

// String returns the state in words.
func (s State) String() string { return [...]string{"closed", "open", "half open"}[s] }

// State returns what the next read meets.
func (s *Store) State() State {
	switch s.circuit.State() {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	}
	return Closed
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

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if r.store.closed.Load() {
		return feasterr.ErrClosed
	}
	if err := ctx.Err(); err != nil { // it ended before it came here
		return err
	}
	_, err := r.store.circuit.Execute(func() (struct{}, error) {
		err := r.inner.Read(ctx, keys, dst)
		if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = context.DeadlineExceeded // that of a caller further out, as of a cache
		}
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return r.store.refused(err)
	}
	return err
}

// refused says why a read did not pass.
func (s *Store) refused(state error) error {
	name := s.Info().Name
	if !errors.Is(state, gobreaker.ErrOpenState) {
		return feasterr.Unavailable("%s is left alone after failures, and just being tried again; the last failure: %v", name, *s.failure.Load())
	}
	until := *s.until.Load()
	return feasterr.Unavailable("%s is left alone after failures, and tried again at %s, in %v; the last failure: %v",
		name, until.UTC().Format(time.RFC3339Nano), max(time.Until(until), 0).Round(time.Millisecond), *s.failure.Load())
}
