package cache

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// reader answers the reads of a plan.
type reader struct {
	store  *Store
	plan   *online.ReadPlan
	inner  online.Reader
	tables []table
}

// table is a table of the plan.
type table struct {
	*online.Table
	shape shape
	view  uint64 // its part of hashes
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	in, err := s.inner.Prepare(plan)
	if err != nil {
		return nil, err
	}
	r := &reader{store: s, plan: plan, inner: in}
	for _, t := range plan.Tables() {
		r.tables = append(r.tables, table{t, shapeOf(t), s.viewHash(t)})
	}
	return r, nil
}

// miss is a row that a read did not find.
type miss struct {
	table *table
	place int // of the key in its key set
	hash  uint64
}

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	s := r.store
	if s.fetches.Closed() {
		return feasterr.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	now := s.now()
	var hits, age int64
	var misses []miss
	for i := range r.tables {
		t := &r.tables[i]
		for place, key := range keys.Group(t.Group()) {
			hash := s.hash(t.view, key.Bytes)
			found := s.find(hash, t.shape, key.Bytes, now)
			if found == nil {
				misses = append(misses, miss{t, place, hash})
				continue
			}
			hits++
			age += now - found.sent
			if err := dst.PutRow(t.Table, key.Row, found.image()); err != nil {
				return err
			}
		}
	}
	if hits > 0 {
		s.counts.hits.Add(hits)
		s.counts.hitAge.Add(age)
	}
	// What others were to fetch may have failed for reasons of theirs: that is fetched here.
	for join := true; len(misses) > 0; join = false {
		again, err := r.await(ctx, misses, keys, dst, join)
		if err != nil {
			return err
		}
		misses = again
	}
	return nil
}

// await has misses fetched, or waits for those who are fetching them, and puts what comes into dst. It returns those that
// others were to fetch and did not. Without join it fetches all itself.
func (r *reader) await(
	ctx context.Context, misses []miss, keys *online.Keys, dst *online.Result, join bool,
) (again []miss, err error) {
	s := r.store
	f := &fetch{sent: s.now(), done: make(chan struct{})}
	f.waiting.Store(1)
	fetchCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // ends with the last who waits
	f.cancel = cancel
	own, flights := make([]flight, len(misses)), make([]*flight, len(misses))
	asked := newAsked(r.plan)
	for i, m := range misses {
		own[i] = flight{fetch: f, table: m.table, hash: m.hash, key: keys.Group(m.table.Group())[m.place].Bytes}
		flights[i] = s.board(&own[i], join)
		if flights[i].fetch == f && flights[i] == &own[i] {
			asked.add(&own[i], m.place)
		}
	}
	defer func() {
		f.leave(err)
		for i, fl := range flights {
			if fl != &own[i] {
				fl.fetch.leave(err)
			}
		}
	}()
	s.counts.misses.Add(int64(len(asked.flights)))
	s.counts.shared.Add(int64(len(misses) - len(asked.flights)))
	if len(asked.flights) > 0 && !s.fetches.Go(func() { r.fetch(fetchCtx, f, asked) }) {
		s.land(f, asked, nil, feasterr.ErrClosed)
	}
	for i, m := range misses {
		fl := flights[i]
		select {
		case <-fl.fetch.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch {
		case fl.row != nil:
			row := keys.Group(m.table.Group())[m.place].Row
			if err := dst.PutRow(m.table.Table, row, fl.row.image()); err != nil {
				return nil, err
			}
		case fl.err != nil:
			dst.Fail(m.table.Table, fl.err)
		case fl.fetch == f:
			return nil, f.err
		default:
			again = append(again, m)
		}
	}
	return again, nil
}

// flight is a row that is being fetched.
type flight struct {
	fetch *fetch
	table *table
	hash  uint64
	key   []byte
	at    int     // its row in the result of the fetch
	stale bool    // the row is not to be kept, and the flight not among those of the shard, which guards this
	next  *flight // of the same hash; guarded by the shard

	// What came of it, once the fetch is done: one of them, or neither when the fetch as a whole failed.
	row *row
	err error // of its table alone
}

// fetch is a read of the wrapped store that answers flights.
type fetch struct {
	sent    int64 // before the read began
	waiting atomic.Int64
	late    atomic.Bool // somebody's deadline ran out
	cancel  context.CancelCauseFunc
	done    chan struct{}
	err     error // of the read as a whole; once it is done
}

// leave is called by each who waited and does so no longer, with the error that ended the wait, if one did. The last one
// cancels the fetch. A deadline that ran out is then the cause of it, so that a breaker around the store counts it.
func (f *fetch) leave(err error) {
	if errors.Is(err, context.DeadlineExceeded) {
		f.late.Store(true)
	}
	if f.waiting.Add(-1) > 0 {
		return
	}
	if f.late.Load() {
		f.cancel(context.DeadlineExceeded)
	} else {
		f.cancel(context.Canceled)
	}
}

// shard is a part of the flights.
type shard struct {
	mu        sync.Mutex
	flights   map[uint64]*flight // by hash
	held      map[uint64]int     // how many are changing a row, by hash
	heldWhole int                // how many are changing anything
}

func (s *Store) shard(hash uint64) *shard { return &s.shards[hash%uint64(len(s.shards))] }

// landed is the fetch of a row that was there when its flight was to begin.
var landed = func() *fetch {
	f := &fetch{done: make(chan struct{})}
	close(f.done)
	return f
}()

// board returns the flight that will bring the row that own is to bring: own itself, or with join one that is under way,
// which the caller leaves in the end.
func (s *Store) board(own *flight, join bool) *flight {
	sh := s.shard(own.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	own.stale = sh.heldWhole > 0 || sh.held[own.hash] > 0
	if own.stale {
		own.key = bytes.Clone(own.key) // the read may end before the fetch does
		return own
	}
	if join {
		if r := s.find(own.hash, own.table.shape, own.key, own.fetch.sent); r != nil {
			own.row, own.fetch = r, landed
			return own
		}
		for fl := sh.flights[own.hash]; fl != nil; fl = fl.next {
			if fl.table.shape == own.table.shape && bytes.Equal(fl.key, own.key) && own.fetch.sent-fl.fetch.sent <= s.maxAge {
				fl.fetch.waiting.Add(1)
				return fl
			}
		}
	}
	own.key = bytes.Clone(own.key)
	own.next = sh.flights[own.hash]
	if sh.flights == nil {
		sh.flights = map[uint64]*flight{}
	}
	sh.flights[own.hash] = own
	return own
}

// remove takes a flight out of the shard.
func (sh *shard) remove(fl *flight) {
	first := sh.flights[fl.hash]
	if first == fl {
		if fl.next == nil {
			delete(sh.flights, fl.hash)
		} else {
			sh.flights[fl.hash] = fl.next
		}
		return
	}
	for first.next != fl {
		first = first.next
	}
	first.next = fl.next
}

// asked is what a fetch reads: each key of a key set once, for all tables of its group.
type asked struct {
	flights []*flight
	groups  [][]online.Key
	places  []map[int]int // by key set: the row of the result for a place among the keys
	rows    int
}

func newAsked(plan *online.ReadPlan) *asked {
	n := len(plan.Groups())
	return &asked{groups: make([][]online.Key, n), places: make([]map[int]int, n)}
}

// add adds a flight for the key at a place among those of its key set.
func (a *asked) add(fl *flight, place int) {
	g := fl.table.Group()
	at, ok := a.places[g][place]
	if !ok {
		at = len(a.groups[g])
		if a.places[g] == nil {
			a.places[g] = map[int]int{}
		}
		a.places[g][place] = at
		a.groups[g] = append(a.groups[g], online.Key{Bytes: fl.key, Row: at})
		a.rows = max(a.rows, at+1)
	}
	fl.at = at
	a.flights = append(a.flights, fl)
}

// fetch reads what is asked.
func (r *reader) fetch(ctx context.Context, f *fetch, a *asked) {
	res := r.store.results.Get().(*online.Result)
	res.Reset(r.plan, a.rows)
	err := r.inner.Read(ctx, online.NewKeys(a.groups...), res)
	r.store.land(f, a, res, err)
	r.store.results.Put(res)
}

// land hands the rows of a fetch to those who wait, and keeps them. res is what was read, unless err says why not.
func (s *Store) land(f *fetch, a *asked, res *online.Result, err error) {
	var image []byte
	for _, fl := range a.flights {
		if err == nil {
			if fl.err = res.Err(fl.table.Table); fl.err == nil {
				image = res.AppendRow(image[:0], fl.table.Table, fl.at)
				fl.row = &row{shape: fl.table.shape, key: len(fl.key), sent: f.sent, data: append(
					append(make([]byte, 0, len(fl.key)+len(image)), fl.key...), image...)}
			}
		}
		sh := s.shard(fl.hash)
		sh.mu.Lock()
		if !fl.stale {
			sh.remove(fl)
			if fl.row != nil {
				s.keep(fl.hash, fl.row)
			}
		}
		sh.mu.Unlock()
	}
	f.err = err
	close(f.done)
}
