package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s, tables: make([]tableRead, len(plan.Tables()))}
	for i, t := range plan.Tables() {
		scan := "SELECT feature_name, value, event_ts FROM " + quote(t.ID()) + " WHERE entity_key = ?1"
		features := make(map[string]int, len(t.Features))
		for f := range t.Features {
			features[t.Features[f].Name] = f
		}
		tr := &r.tables[i]
		tr.table, tr.features, tr.scan, tr.lookup = t, features, scan, scan+" AND feature_name = ?2"
	}
	return r, nil
}

// reader reads the tables of a plan, key by key: SQLite takes no longer for that than for a list of keys, and one
// compiled statement serves any number of them. All reads of a call see the file in the same state.
type reader struct {
	store  *Store
	tables []tableRead
}

// tableRead is the reading of one table.
type tableRead struct {
	table    *online.Table
	features map[string]int // index of each name in table.Features
	scan     string         // selects all features of a key
	lookup   string         // selects one feature of a key
	sparse   atomic.Bool    // rows hold many more features than are wanted: look up, do not scan
}

// sparseFactor is how many features SQLite scans in about the time in which it looks up one.
const sparseFactor = 8

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	c, err := r.store.pool.get(ctx, false, false)
	if err != nil {
		return storeError("read", err)
	}
	defer r.store.pool.put(c)
	if err := c.exec("BEGIN"); err != nil {
		return storeError("read", err)
	}
	for i := range r.tables {
		t := &r.tables[i]
		err := t.read(c, r.store, keys.Group(t.table.Group()), dst)
		if err == nil {
			continue
		}
		missing := errors.Is(err, errNoTable)
		err = tableError("read", t.table, c.path, err)
		if !missing {
			return err
		}
		dst.Fail(t.table, err)
	}
	if err := c.exec("COMMIT"); err != nil {
		return storeError("read", err)
	}
	return nil
}

func (t *tableRead) read(c *conn, s *Store, keys []online.Key, dst *online.Result) error {
	for _, key := range keys {
		found := false
		if t.sparse.Load() {
			var err error
			if found, err = t.lookUp(c, s, key, dst); err != nil {
				return err
			}
		}
		if !found {
			if err := t.scanAll(c, s, key, dst); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanAll reads all features of a key and hands on those of the plan. When there are none of them, the row exists all the
// same.
func (t *tableRead) scanAll(c *conn, s *Store, key online.Key, dst *online.Result) error {
	q, err := c.prepare(t.scan)
	if err != nil {
		return err
	}
	defer q.reset()
	q.bindBlob(1, key.Bytes)
	var newest types.Timestamp
	stored, wanted := 0, 0
	next := 0 // the feature that is expected: most rows are stored, and asked for, in the order of the feature view
	for {
		ok, err := q.step()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		name, f := q.bytes(0), next
		if next == len(t.table.Features) || t.table.Features[next].Name != string(name) {
			f, ok = t.features[string(name)]
		}
		if ok {
			wanted++
			next = f + 1
			err = t.hand(q, s, key.Row, f, dst)
		} else if wanted == 0 {
			var event types.Timestamp
			if event, err = eventTime(q, 2, s.zone); stored == 0 || event.Compare(newest) > 0 {
				newest = event
			}
		}
		if err != nil {
			return err
		}
		stored++
	}
	if stored > 0 && wanted == 0 {
		dst.Row(t.table, key.Row, newest)
	}
	if stored > sparseFactor*len(t.features) {
		t.sparse.Store(true)
	}
	return nil
}

// lookUp reads the plan's features of a key one by one and reports whether there was one.
func (t *tableRead) lookUp(c *conn, s *Store, key online.Key, dst *online.Result) (found bool, err error) {
	q, err := c.prepare(t.lookup)
	if err != nil {
		return false, err
	}
	q.bindBlob(1, key.Bytes)
	for f := range t.table.Features {
		bindText(q, 2, t.table.Features[f].Name)
		ok, err := q.step()
		if ok {
			found = true
			err = t.hand(q, s, key.Row, f, dst)
		}
		q.reset()
		if err != nil {
			return false, err
		}
	}
	return found, nil
}

// hand hands a feature on.
func (t *tableRead) hand(q *stmt, s *Store, row, feature int, dst *online.Result) error {
	event, err := eventTime(q, 2, s.zone)
	if err != nil {
		return fmt.Errorf("feature %s: %w", t.table.Features[feature].Name, err)
	}
	dst.Row(t.table, row, event)
	return dst.Set(t.table, row, feature, q.bytes(1))
}
