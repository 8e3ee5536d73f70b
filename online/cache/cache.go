// Package cache wraps an online store so that rows read a moment ago are answered from memory: a near cache, whose rows
// are never older than a bound. It pays where few entities are asked for again and again, and where features may be that
// much older than what the store holds.
//
//	store, err := cache.New(inner, cache.Options{MaxAge: 5 * time.Second, MaxBytes: 256 << 20})
//	fs, err := feast.Open(ctx, dir, feast.WithOnlineStore(store))
//
// A read is answered with what the store held when it was made or at most MaxAge before, whoever writes to the store
// meanwhile. What this program writes or deletes through the cache is seen by every read that begins afterwards.
//
// Rows are kept by feature view, version, entity key, and the list of features that was asked for: another list of
// features of the same view is read and kept on its own, and is what a changed view is read by. That a row is absent is
// kept, too; what failed is not. Event times are kept with the rows, so that the front sees them expire.
//
// Of several reads that miss a row at the same time one fetches it, and all rows that a read misses are fetched
// together. A fetch goes on while anybody waits for it.
package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/maypok86/otter/v2"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
	"github.com/feastgo/feast/online"
)

// Options say how much is kept and for how long.
type Options struct {
	// MaxAge is how old an answer may be, counted from before its row was asked for in the store to the beginning of the
	// read that it answers. It must be positive.
	MaxAge time.Duration
	// MaxBytes bounds the memory of the rows and of what finds them. It must be positive. What is asked for most stays.
	MaxBytes int64
}

// Store is an [online.Store] that answers reads from memory where it may, and leaves all else to the one it wraps. Of
// the optional abilities (see [online.As]) that change rows it has [online.Deleter]; one that it does not know would go
// past it.
type Store struct {
	inner
	maxAge  int64 // in nanoseconds
	start   time.Time
	seed    maphash.Seed
	rows    *otter.Cache[uint64, *row] // by hash of view and entity key
	shards  [64]shard                  // of what is being fetched, by the same hash
	results sync.Pool                  // of *online.Result, for fetches
	counts  counts

	fetches calls.Calls
}

// inner gives the embedded field an unexported name.
type inner = online.Store

// counts are those of [Stats].
type counts struct {
	hits, hitAge, misses, shared, evicted atomic.Int64
}

// Stats say what a cache has done since it was made, and what it holds. A row is that of one feature view for one entity.
type Stats struct {
	Hits    int64         // rows answered from memory, also those that are known to be absent
	HitAge  time.Duration // sum of the ages of these rows: HitAge/Hits is their mean age
	Misses  int64         // rows fetched
	Shared  int64         // rows for which a read waited that another was fetching
	Evicted int64         // entities of a view that were dropped for want of memory
	Bytes   int64         // held now
}

// Stats returns the counts. They are exact when no read is running.
func (s *Store) Stats() Stats {
	return Stats{
		Hits: s.counts.hits.Load(), HitAge: time.Duration(s.counts.hitAge.Load()),
		Misses: s.counts.misses.Load(), Shared: s.counts.shared.Load(), Evicted: s.counts.evicted.Load(),
		Bytes: int64(s.rows.WeightedSize()),
	}
}

// New wraps a store, which it closes with itself.
func New(store online.Store, o Options) (*Store, error) {
	if o.MaxAge <= 0 {
		return nil, feasterr.Invalid("cache: MaxAge must be positive, is %v", o.MaxAge)
	}
	if o.MaxBytes <= 0 {
		return nil, feasterr.Invalid("cache: MaxBytes must be positive, is %d", o.MaxBytes)
	}
	s := &Store{inner: store, maxAge: int64(o.MaxAge), start: time.Now(), seed: maphash.MakeSeed()}
	s.results.New = func() any { return new(online.Result) }
	rows, err := otter.New(&otter.Options[uint64, *row]{
		MaximumWeight: uint64(o.MaxBytes),
		Weigher:       func(_ uint64, r *row) uint32 { return r.weight() },
		Executor:      func(evict func()) { evict() }, // so that the bound holds when a fetch has ended, without goroutines
		OnDeletion: func(e otter.DeletionEvent[uint64, *row]) {
			if e.WasEvicted() {
				s.counts.evicted.Add(1)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s.rows = rows
	return s, nil
}

// Unwrap returns the wrapped store, for [online.As].
func (s *Store) Unwrap() online.Store { return s.inner }

// now is the time since the cache was made, which no change of the clock touches.
func (s *Store) now() int64 { return int64(time.Since(s.start)) }

// row is what is known of an entity of a view. It is never changed, and shares no memory with a request.
type row struct {
	shape shape
	data  []byte // entity key, then the image of [online.Result.AppendRow]
	key   int    // length of the key
	sent  int64  // before the store was asked
	next  *row   // other features of the same entity and view
}

// shape tells tables apart: views by all that a store may go by, and lists of features.
type shape = unique.Handle[string]

func shapeOf(t *online.Table) shape {
	return unique.Make(fmt.Sprintf("%q %q %d %q %q %q %v",
		t.Project, t.View, t.Version, t.Entities, t.JoinKeys, t.Tags, fieldsOf(t)))
}

func fieldsOf(t *online.Table) []string {
	var out []string
	for _, f := range t.Features {
		out = append(out, fmt.Sprintf("%q %d", f.Name, f.Type))
	}
	return out
}

func (r *row) image() []byte { return r.data[r.key:] }

func (r *row) of(s shape, key []byte) bool {
	return r.shape == s && string(r.data[:r.key]) == string(key)
}

// overhead is the memory of a row beside its data: the row, the entry of the table, and what decides who stays.
const overhead = 160

func (r *row) weight() uint32 {
	n := uint32(0)
	for ; r != nil; r = r.next {
		n += uint32(min(overhead+cap(r.data), 1<<30))
	}
	return n
}

// viewHash is the part of a row's hash that is that of its view, features apart.
func (s *Store) viewHash(t *online.Table) uint64 {
	return maphash.String(s.seed, t.Project+"\x00"+t.StoredView())
}

func (s *Store) hash(view uint64, key []byte) uint64 { return view ^ maphash.Bytes(s.seed, key) }

// find returns a row that is not too old for a read that began at now, or nil.
func (s *Store) find(hash uint64, of shape, key []byte, now int64) *row {
	r, _ := s.rows.GetIfPresent(hash)
	for ; r != nil; r = r.next {
		if r.of(of, key) {
			if now-r.sent > s.maxAge {
				return nil
			}
			return r
		}
	}
	return nil
}

// keep puts a row in the place of an older one that is like it, beside other features of the same entity and view that are not
// too old. The shard of hash is locked.
func (s *Store) keep(hash uint64, r *row) {
	now := s.now()
	if now-r.sent > s.maxAge {
		return
	}
	if e, ok := s.rows.GetEntryQuietly(hash); ok {
		for old := e.Value; old != nil; old = old.next {
			same := old.of(r.shape, r.data[:r.key])
			if same && old.sent > r.sent {
				return
			}
			if !same && now-old.sent <= s.maxAge {
				other := *old
				other.next, r.next = r.next, &other
			}
		}
	}
	s.rows.Set(hash, r)
}

// Write implements [online.Store]. The rows of the batch are forgotten, also after an error.
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	defer s.release(s.hold(b.Table, b.Keys))
	return s.inner.Write(ctx, b)
}

// Delete implements [online.Deleter] with that of the wrapped store; one that cannot delete rows is a
// feasterr.ErrUnsupported.
func (s *Store) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	d, ok := online.As[online.Deleter](s.inner)
	if !ok {
		return feasterr.Unsupported("online store %q cannot delete rows by entity key", s.Info().Name)
	}
	defer s.release(s.hold(t, keys))
	return d.Delete(ctx, t, keys)
}

// hold forgets rows of a view, whichever features they hold, and keeps what is read of them neither for others nor for
// later until they are released with the hashes that it returns. So no read sees a row that is older than one that was
// seen before, while the store may be at either side of the change.
func (s *Store) hold(t *online.Table, keys [][]byte) []uint64 {
	view, hashes := s.viewHash(t), make([]uint64, len(keys))
	for i, key := range keys {
		hash := s.hash(view, key)
		hashes[i] = hash
		sh := s.shard(hash)
		sh.mu.Lock()
		if sh.held == nil {
			sh.held = map[uint64]int{}
		}
		sh.held[hash]++
		for f := sh.flights[hash]; f != nil; f = f.next {
			f.stale = true
		}
		delete(sh.flights, hash)
		s.rows.Invalidate(hash)
		sh.mu.Unlock()
	}
	return hashes
}

func (s *Store) release(hashes []uint64) {
	for _, hash := range hashes {
		sh := s.shard(hash)
		sh.mu.Lock()
		if sh.held[hash]--; sh.held[hash] == 0 {
			delete(sh.held, hash)
		}
		sh.mu.Unlock()
	}
}

// Update implements [online.Store]. All rows are forgotten.
func (s *Store) Update(ctx context.Context, keep, drop []*online.Table) error {
	s.holdAll()
	defer s.releaseAll()
	return s.inner.Update(ctx, keep, drop)
}

// Teardown implements [online.Store]. All rows are forgotten.
func (s *Store) Teardown(ctx context.Context, tables []*online.Table) error {
	s.holdAll()
	defer s.releaseAll()
	return s.inner.Teardown(ctx, tables)
}

// holdAll is hold for all rows.
func (s *Store) holdAll() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.heldWhole++
		for _, f := range sh.flights {
			for ; f != nil; f = f.next {
				f.stale = true
			}
		}
		clear(sh.flights)
		sh.mu.Unlock()
	}
	s.rows.InvalidateAll()
}

func (s *Store) releaseAll() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.heldWhole--
		sh.mu.Unlock()
	}
}

// Close implements [online.Store]. It waits for fetches; those that nobody waits for have been cancelled.
func (s *Store) Close() error {
	s.fetches.Close()
	s.rows.InvalidateAll()
	return s.inner.Close()
}
