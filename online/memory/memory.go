// Package memory is an online store in the program's own memory: for tests, for small reference data, and as the worked
// example of a driver (docs/writing-a-driver.md). Import it for its side effect to use type "memory" in
// feature_store.yaml, or pass [New] to feast.WithOnlineStore.
package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

func init() {
	online.Register(online.Driver{
		Names: []string{"memory"},
		Open: func(_ context.Context, cfg config.Section, _ online.Env) (online.Store, error) {
			if err := cfg.Decode(&struct{}{}); err != nil { // there are no keys
				return nil, err
			}
			return New(), nil
		},
	})
}

// Store keeps rows in memory. A row has one event time; writing some of its features keeps the others. Stored bytes are
// never changed in place, so that readers need no copy.
type Store struct {
	mu     sync.RWMutex
	tables map[tableKey]*table
	closed bool
}

type tableKey struct{ project, view string }

type table struct {
	slots map[string]int // feature name to place in row.values
	rows  map[string]*row
}

type row struct {
	event  types.Timestamp
	values [][]byte // serialized values by slot; nil is "nothing stored", empty is a null
}

// New returns an empty store.
func New() *Store { return &Store{tables: map[tableKey]*table{}} }

// Info implements [online.Store].
func (s *Store) Info() online.Info {
	return online.Info{Name: "memory", Versioned: true, RowTimes: true}
}

func keyOf(t *online.Table) tableKey { return tableKey{t.Project, t.StoredView()} }

// lock takes the lock for writing, for a call that may not go on when the store is closed or ctx is done.
func (s *Store) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return feasterr.ErrClosed
	}
	return nil
}

// Write implements [online.Store].
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	var res online.WriteResult
	values := serialize(b) // before the lock, so that writers get in each other's way as little as possible
	if err := s.lock(ctx); err != nil {
		return res, err
	}
	defer s.mu.Unlock()
	t := s.table(b.Table)
	slots := make([]int, len(b.Table.Features))
	inOrder := true
	for i, f := range b.Table.Features {
		slot, ok := t.slots[f.Name]
		if !ok {
			slot = len(t.slots)
			t.slots[f.Name] = slot
		}
		slots[i] = slot
		inOrder = inOrder && slot == i
	}
	for i, key := range b.Keys {
		old := t.rows[string(key)]
		if old != nil && !b.Overwrite && b.Event[i].Compare(old.event) < 0 {
			res.Older++
			continue
		}
		next := &row{event: b.Event[i], values: values[i]}
		if !inOrder || len(slots) < len(t.slots) {
			next.values = make([][]byte, len(t.slots))
			if old != nil {
				copy(next.values, old.values)
			}
			for f, slot := range slots {
				next.values[slot] = values[i][f]
			}
		}
		t.rows[string(key)] = next
		res.Written++
	}
	return res, nil
}

// serialize returns the values of all rows, those of a row in one piece of memory.
func serialize(b *online.WriteBatch) [][][]byte {
	rows := make([][][]byte, b.Rows())
	ends := make([]int, len(b.Columns))
	var buf []byte
	for i := range rows {
		buf = buf[:0]
		for f := range ends {
			buf = b.AppendValue(buf, i, f)
			ends[f] = len(buf)
		}
		kept := append(make([]byte, 0, len(buf)), buf...)
		rows[i] = make([][]byte, len(ends))
		from := 0
		for f, to := range ends {
			rows[i][f] = kept[from:to:to]
			from = to
		}
	}
	return rows
}

// Delete implements [online.Deleter].
func (s *Store) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if stored := s.tables[keyOf(t)]; stored != nil {
		for _, key := range keys {
			delete(stored.rows, string(key))
		}
	}
	return nil
}

// Keys implements [online.KeyLister].
func (s *Store) Keys(ctx context.Context, tables []*online.Table) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		keys, err := s.keys(ctx, tables)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield([]byte(key), nil) {
				return
			}
		}
	}
}

// keys returns the keys of tables, each once. The strings are those of the tables: none is copied.
func (s *Store) keys(ctx context.Context, tables []*online.Table) (keys []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, feasterr.ErrClosed
	}
	for _, t := range tables {
		if stored := s.tables[keyOf(t)]; stored != nil {
			keys = slices.AppendSeq(keys, maps.Keys(stored.rows))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// table returns a table, making it when it is new. The lock is held.
func (s *Store) table(of *online.Table) *table {
	t := s.tables[keyOf(of)]
	if t == nil {
		t = &table{slots: map[string]int{}, rows: map[string]*row{}}
		s.tables[keyOf(of)] = t
	}
	return t
}

// Update implements [online.Store].
func (s *Store) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, t := range drop {
		delete(s.tables, keyOf(t))
	}
	for _, t := range keep {
		s.table(t)
	}
	return nil
}

// Teardown implements [online.Store].
func (s *Store) Teardown(ctx context.Context, tables []*online.Table) error {
	return s.Update(ctx, nil, tables)
}

// Ping implements [online.Pinger].
func (s *Store) Ping(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.mu.Unlock()
	return nil
}

// Close implements [online.Store]. The rows are gone.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.tables = true, nil
	return nil
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s, plan: plan, compiled: make([]atomic.Pointer[compiled], len(plan.Tables()))}
	for _, t := range plan.Tables() {
		r.keys = append(r.keys, keyOf(t))
	}
	return r, nil
}

// reader reads the tables of a plan.
type reader struct {
	store    *Store
	plan     *online.ReadPlan
	keys     []tableKey                 // by place in plan.Tables
	compiled []atomic.Pointer[compiled] // by place in plan.Tables
}

// compiled is where the features of a table stand, as long as the table has this many.
type compiled struct {
	table *table
	count int
	slots []int // -1: never written
}

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.store.mu.RLock()
	defer r.store.mu.RUnlock()
	if r.store.closed {
		return feasterr.ErrClosed
	}
	for i, t := range r.plan.Tables() {
		stored := r.store.tables[r.keys[i]]
		if stored == nil {
			continue
		}
		slots := r.slots(i, t, stored)
		for _, key := range keys.Group(t.Group()) {
			found := stored.rows[string(key.Bytes)]
			if found == nil {
				continue
			}
			dst.Row(t, key.Row, found.event)
			for f, slot := range slots {
				if slot < 0 || slot >= len(found.values) || found.values[slot] == nil {
					continue
				}
				if err := dst.Set(t, key.Row, f, found.values[slot]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// slots returns where the features of the plan's table i stand in stored. The lock is held.
func (r *reader) slots(i int, t *online.Table, stored *table) []int {
	if c := r.compiled[i].Load(); c != nil && c.table == stored && c.count == len(stored.slots) {
		return c.slots
	}
	c := &compiled{table: stored, count: len(stored.slots), slots: make([]int, len(t.Features))}
	for f := range t.Features {
		slot, ok := stored.slots[t.Features[f].Name]
		if !ok {
			slot = -1
		}
		c.slots[f] = slot
	}
	r.compiled[i].Store(c)
	return c.slots
}
