package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{pool: s.pool, tables: make([]tableReader, len(plan.Tables()))}
	for i, t := range plan.Tables() {
		tr := &r.tables[i]
		tr.table, tr.zone = t, s.zone
		tr.scan = "SELECT feature_name, value, event_ts FROM " + quote(t.ID()) + " WHERE entity_key = ?1"
		tr.lookup = tr.scan + " AND feature_name = ?2"
		tr.features = make(map[string]int, len(t.Features))
		for f := range t.Features {
			tr.features[t.Features[f].Name] = f
		}
	}
	return r, nil
}

// Columns of what a reader selects.
const (
	columnFeature = iota
	columnValue
	columnEvent
)

// reader reads the tables of a plan, in one transaction, so that it sees the file in one state. It goes key by key: SQLite
// takes no longer for that than for a list of keys, and the same compiled statement serves any number of them.
type reader struct {
	pool   *pool
	tables []tableReader
}

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	c, err := r.pool.get(ctx, reading)
	if err != nil {
		return storeError("read", err)
	}
	defer r.pool.put(c)
	if err := c.exec("BEGIN"); err != nil {
		return storeError("read", err)
	}
	for i := range r.tables {
		t := &r.tables[i]
		if err := t.read(c, keys.Group(t.table.Group()), dst); errors.Is(err, errNoTable) {
			dst.Fail(t.table, tableError("read", t.table, c.path, err))
		} else if err != nil {
			return tableError("read", t.table, c.path, err)
		}
	}
	if err := c.exec("COMMIT"); err != nil {
		return storeError("read", err)
	}
	return nil
}

// tableReader reads one table.
type tableReader struct {
	table    *online.Table
	features map[string]int // place of each name in table.Features
	scan     string         // selects all features of a key
	lookup   string         // selects one feature of a key
	sparse   atomic.Bool    // rows have many more features than are wanted: look these up
	zone     *time.Location
}

// sparseFactor is how many features SQLite scans in about the time in which it looks up one.
const sparseFactor = 8

func (t *tableReader) read(c *conn, keys []online.Key, dst *online.Result) error {
	for _, key := range keys {
		found := false
		var err error
		if t.sparse.Load() {
			found, err = t.lookUp(c, key, dst)
		}
		if !found && err == nil {
			err = t.scanAll(c, key, dst)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanAll reads all features of a key and hands on those that are wanted. A row that has none of them exists all the same.
func (t *tableReader) scanAll(c *conn, key online.Key, dst *online.Result) error {
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
		name, f := q.bytes(columnFeature), next
		if next == len(t.table.Features) || t.table.Features[next].Name != string(name) {
			f, ok = t.features[string(name)]
		}
		if ok {
			wanted++
			next = f + 1
			err = t.hand(q, key.Row, f, dst)
		} else if wanted == 0 {
			event, err := eventTime(q, columnEvent, t.zone)
			if err == nil && (stored == 0 || event.Compare(newest) > 0) {
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

// lookUp reads the wanted features of a key one by one and reports whether there was any.
func (t *tableReader) lookUp(c *conn, key online.Key, dst *online.Result) (found bool, err error) {
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
			err = t.hand(q, key.Row, f, dst)
		}
		q.reset()
		if err != nil {
			return false, err
		}
	}
	return found, nil
}

// hand hands a feature on.
func (t *tableReader) hand(q *stmt, row, feature int, dst *online.Result) error {
	event, err := eventTime(q, columnEvent, t.zone)
	if err != nil {
		return fmt.Errorf("feature %s: %w", t.table.Features[feature].Name, err)
	}
	dst.Row(t.table, row, event)
	return dst.Set(t.table, row, feature, q.bytes(columnValue))
}
