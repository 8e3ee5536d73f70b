// Package fallback wraps several online stores that hold the same rows, such as a primary and its replica in another
// zone: what the first cannot answer is read from the second, and so on.
//
//	store, err := fallback.New(fallback.Options{Timeout: 20 * time.Millisecond}, primary, replica)
//	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
//
// A store that fails is asked for nothing more in a read; of one that fails in part, the next is asked for the tables that
// are missing. Any error counts, since what is wrong with one store (a server that is gone, a password that was changed, a
// malformed row) need not be wrong with the next; only when the read's own context ends is nobody asked any more. That
// a row is absent is an answer. Rows of different stores may differ in age, so that fallback is for reads that would
// rather have an older answer than none.
//
// **Writes, deletions and administration go to the first store alone**: the others get their rows by replication, or
// from whoever fills them. A person's data are to be deleted there, too.
//
// The answers of all stores but the last cost a copy, so that nothing of a store that fails half way is left in them. With
// a breaker (package breaker) around the first store, reads do not wait for it again and again while it is down.
package fallback

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// Options say when a store is given up.
type Options struct {
	// Timeout is how long each store but the last has for a read. 0 leaves it all the time that the read has, so that of
	// a store that hangs nothing is left for the next.
	Timeout time.Duration
}

// Store is an [online.Store] of several.
type Store struct {
	inner   // the first, for all but reads
	stores  []online.Store
	info    online.Info
	timeout time.Duration
	counts  []counts
}

// inner gives the embedded field an unexported name.
type inner = online.Store

type counts struct{ reads, failures atomic.Int64 }

// New returns a store of stores in the order in which they are asked, at least two, which it closes with itself. They have
// to hold rows under the same entity keys: stores that insist on different serializations of them are an error.
func New(o Options, stores ...online.Store) (*Store, error) {
	if len(stores) < 2 {
		return nil, feasterr.Invalid("fallback: needs at least two stores, got %d", len(stores))
	}
	if o.Timeout < 0 {
		return nil, feasterr.Invalid("fallback: Timeout must not be negative, is %v", o.Timeout)
	}
	s := &Store{
		inner: stores[0], stores: stores, info: stores[0].Info(), timeout: o.Timeout, counts: make([]counts, len(stores)),
	}
	insists := s.info.Name
	for _, other := range stores[1:] {
		info := other.Info()
		s.info.Versioned = s.info.Versioned && info.Versioned
		s.info.RowTimes = s.info.RowTimes && info.RowTimes
		switch {
		case s.info.KeyVersion == 0:
			s.info.KeyVersion, insists = info.KeyVersion, info.Name
		case info.KeyVersion != 0 && info.KeyVersion != s.info.KeyVersion:
			return nil, feasterr.Invalid(
				"fallback: the stores need entity keys of one serialization version, but %s needs %d and %s needs %d",
				insists, s.info.KeyVersion, info.Name, info.KeyVersion)
		}
	}
	return s, nil
}

// Info implements [online.Store]: that of the first store. It keeps versions of views apart, and tells the times of rows, when all
// stores do so.
func (s *Store) Info() online.Info { return s.info }

// Unwrap returns the first store, for [online.As].
func (s *Store) Unwrap() online.Store { return s.stores[0] }

// Stats say what a store was asked for, and how much of that it failed to answer, in whole or in part.
type Stats struct {
	Name            string // of the store
	Reads, Failures int64
}

// Stats returns the counts of each store, in the order in which they are asked.
func (s *Store) Stats() []Stats {
	out := make([]Stats, len(s.stores))
	for i, store := range s.stores {
		out[i] = Stats{store.Info().Name, s.counts[i].reads.Load(), s.counts[i].failures.Load()}
	}
	return out
}

// Ping implements [online.Pinger]. It succeeds when one of the stores can be reached, as reads do.
func (s *Store) Ping(ctx context.Context) error {
	var errs []error
	for _, store := range s.stores {
		p, ok := online.As[online.Pinger](store)
		if !ok {
			return ctx.Err()
		}
		err := p.Ping(ctx)
		if err == nil {
			return nil
		}
		errs = append(errs, feasterr.InStore(store.Info().Name, "ping", err))
	}
	return errors.Join(errs...)
}

// Close implements [online.Store]. It closes all stores.
func (s *Store) Close() error {
	var errs []error
	for _, store := range s.stores {
		errs = append(errs, feasterr.InStore(store.Info().Name, "close", store.Close()))
	}
	return errors.Join(errs...)
}

type reader struct {
	store   *Store
	plan    *online.ReadPlan
	readers []online.Reader // by store, of the whole plan
}

// Prepare implements [online.Store] in all stores, so that what is wrong with one shows before it is needed.
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s, plan: plan}
	for _, store := range s.stores {
		in, err := store.Prepare(plan)
		if err != nil {
			return nil, feasterr.InStore(store.Info().Name, "prepare", err)
		}
		r.readers = append(r.readers, in)
	}
	return r, nil
}

// Read implements [online.Reader]. A table fails when no store has it; the read as a whole fails when all stores fail as a
// whole.
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var missing map[*online.Table][]error // what failed so far, and why; nil as long as all tables are missing
	var whole []error
	for i := range r.readers {
		s := dst.Scratch()
		err := r.try(ctx, i, keys, s, missing)
		if err != nil && ctx.Err() != nil {
			if errors.Is(err, ctx.Err()) {
				return err
			}
			return errors.Join(ctx.Err(), err) // which is why no other store is asked
		}
		if err != nil {
			whole = append(whole, err)
			for t := range missing {
				missing[t] = append(missing[t], err)
			}
			continue
		}
		still := map[*online.Table][]error(nil)
		if s.Failed() {
			still = r.failed(i, s, missing, whole)
		}
		if err := dst.Adopt(s); err != nil {
			return err
		}
		if len(still) == 0 {
			return nil
		}
		missing = still
	}
	for t, errs := range missing {
		dst.Fail(t, errors.Join(errs...))
	}
	if missing == nil {
		return errors.Join(whole...)
	}
	return nil
}

// failed takes the tables that failed out of what store i answered, and returns them with all that was wrong so far.
func (r *reader) failed(i int, s *online.Result, missing map[*online.Table][]error, whole []error) map[*online.Table][]error {
	still := map[*online.Table][]error{}
	for _, t := range r.plan.Tables() {
		err := s.Err(t)
		if err == nil {
			continue
		}
		before, ok := missing[t]
		if !ok {
			before = whole
		}
		still[t] = append(append([]error(nil), before...), feasterr.InStore(r.store.stores[i].Info().Name, "read", err))
		s.Clear(t)
	}
	if len(still) > 0 {
		r.store.counts[i].failures.Add(1)
	}
	return still
}

// try reads from store i the tables that are missing, all when that is nil.
func (r *reader) try(ctx context.Context, i int, keys *online.Keys, dst *online.Result, missing map[*online.Table][]error) error {
	s := r.store
	s.counts[i].reads.Add(1)
	own := ctx
	if s.timeout > 0 && i < len(r.readers)-1 {
		var cancel context.CancelFunc
		own, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	in, err := r.readers[i], error(nil)
	if missing != nil {
		in, err = s.stores[i].Prepare(r.plan.Select(func(t *online.Table) bool { return missing[t] != nil }))
	}
	if err == nil {
		err = in.Read(own, keys, dst)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		s.counts[i].failures.Add(1)
		if own.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			err = feasterr.Unavailable("there was no answer within %v", s.timeout)
		}
	}
	return feasterr.InStore(s.stores[i].Info().Name, "read", err)
}
