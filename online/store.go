// Package online is the contract between the feature store's front and the stores that serve features: the [Store] and
// [Reader] interfaces that drivers implement, what passes between them ([ReadPlan], [Keys], [Result], [WriteBatch]),
// the encoding of entity keys, and the table of drivers.
//
// A driver finds and stores bytes. Statuses, ttl, names, order, coercion and limits are the front's, once for all
// stores. docs/writing-a-driver.md leads through a driver; package onlinetest is the suite it has to pass.
package online

import (
	"context"
	"iter"

	"github.com/feastgo/feast/types"
)

// Store is an online store of one project's rows. It is safe for concurrent use, every method honours ctx and returns its
// error wrapped, and no goroutine outlives a call except those that Close waits for.
type Store interface {
	// Info describes the store. It does no I/O and always returns the same.
	Info() Info
	// Prepare compiles a read once per plan: names of tables, hashes of fields, SQL text. It does no I/O.
	// The plan and its tables are never changed afterwards and may be kept. The reader goes on while Update creates and
	// removes its tables.
	Prepare(plan *ReadPlan) (Reader, error)
	// Write stores the rows of a batch. Rows older than the stored ones are left out and counted
	// where the store can tell, see [WriteBatch]. On an error the batch may have been stored in part, and storing it
	// again is safe. The batch is not used after Write returns.
	Write(ctx context.Context, b *WriteBatch) (WriteResult, error)
	// Update creates what the tables of keep need and removes what those of drop leave. It may be repeated.
	Update(ctx context.Context, keep, drop []*Table) error
	// Teardown removes everything stored for these tables, and nothing of any other project; also for no tables, what holds
	// no table any more, such as an empty file. Where nothing is stored it creates nothing.
	Teardown(ctx context.Context, tables []*Table) error
	// Close releases what the store holds, after running calls have ended. It may be repeated; other calls
	// afterwards return feasterr.ErrClosed.
	Close() error
}

// Info is what the front needs to know of a store.
type Info struct {
	Name string // Feast's type name: "redis"
	// KeyVersion is the entity key serialization that the store insists on; 0: as configured.
	KeyVersion int
	// Versioned: rows of several versions of a view are kept apart, under the names of [Table.StoredView].
	Versioned bool
	// RowTimes: a table of a read plan that has no features is answered with the event times of its rows, as of the same
	// instant as the other tables of its group and at little cost: whether rows changed since can be told in the read of
	// what was made of them. Precomputed vectors are used on such stores alone.
	RowTimes bool
}

// Reader runs one prepared read. It is safe for concurrent use.
type Reader interface {
	// Read looks up every key of every table, keys.Group(t.Group()) for table t, and hands each row it finds to
	// dst. What is not reported is absent. A table that fails alone goes to [Result.Fail]; an error returned
	// means that the whole read failed. Neither keys nor dst may be touched after Read returned, whatever ctx
	// did: work that outlives the call needs [Keys.Clone] and [Result.Scratch].
	Read(ctx context.Context, keys *Keys, dst *Result) error
}

// Pinger is implemented by stores that can prove that they are reachable.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Deleter is implemented by stores that can delete rows by entity key. A store that leaves its tables to others and
// finds one that cannot answers feasterr.ErrUnsupported.
type Deleter interface {
	// Delete removes all that is stored in a table for these serialized entity keys, which are distinct. A key without
	// a row is no error. A row written afterwards starts anew: nothing older stands against it, and it has no features
	// but its own. On an error some rows may be gone, and deleting again is safe. The keys are not used after Delete
	// returns.
	Delete(ctx context.Context, t *Table, keys [][]byte) error
}

// KeyLister is implemented by stores that can say of which entities they hold rows.
type KeyLister interface {
	// Keys yields the serialized keys of the entities that have a row in one of the tables, which have one project and the
	// same join keys: each at least once, in any order, and perhaps keys of other tables with these join keys. A key is valid
	// until the next. Of rows written or deleted meanwhile the keys may or may not come. An error ends the sequence.
	Keys(ctx context.Context, tables []*Table) iter.Seq2[[]byte, error]
}

// Provisioner is implemented by stores whose tables Feast lists in the registry, where its plan compares them.
type Provisioner interface {
	// Infra describes what the store makes for each of the tables. It does no I/O.
	Infra(tables []*Table) []Infra
}

// Infra is one thing that a store makes, as the registry lists it.
type Infra struct {
	Class      string            // Feast's class path
	Attributes map[string]string // by the names of the fields of its message: "path", "name"
}

// As finds an optional ability of a store: the store itself, or the first of the stores it wraps (by a method
// Unwrap() Store) that is a T.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		w, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = w.Unwrap()
	}
	var zero T
	return zero, false
}

// WriteBatch is rows of one table to store. The writer owns it and may reuse it after Write returned.
//
// A row replaces the stored one when its event time is newer or equal at the resolution the store keeps; within a batch
// the same holds in order of rows. Redis keeps Feast's stricter rule (equal is left out). A store that cannot decide
// this in the same write documents what it does. A store that keeps a time for each feature decides feature by feature.
// Overwrite stores every row.
type WriteBatch struct {
	Table     *Table            // Features are those present in Columns; features not named keep their stored values
	Keys      [][]byte          // serialized entity keys, one per row, not necessarily distinct
	Event     []types.Timestamp // one per row
	Created   []types.Timestamp // one per row, or nil; the zero Timestamp is "none"
	Columns   []*types.Column   // parallel to Table.Features, one cell per row; [types.NotFound] cells are stored as null
	Overwrite bool
}

// Rows returns the number of rows.
func (b *WriteBatch) Rows() int { return len(b.Keys) }

// AppendValue appends the serialized Value of a cell, straight into a driver's buffer. A null is no bytes.
func (b *WriteBatch) AppendValue(dst []byte, row, feature int) []byte {
	return b.Columns[feature].AppendValue(dst, row)
}

// WriteResult counts the rows of a write.
type WriteResult struct {
	Written int // stored, at least one of the row's features
	Older   int // left out because a newer row (on Redis: or one of the same time) is stored or in the batch
}
