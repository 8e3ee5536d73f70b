// Package onlinetest is the conformance suite of online stores: what package online promises of a [online.Store], as
// tests that go through that interface only. A driver, of this module or another, passes it with one line:
//
//	func TestConformance(t *testing.T) {
//		onlinetest.Run(t, onlinetest.Harness{Open: open})
//	}
//
// The package also has what drivers' own tests share: rows and plans in few words ([Batch], [Key], [Pick], [Read]), the
// comparison of results ([Diff]), and the rows of the golden data ([GoldenBatches]).
package onlinetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Harness opens the store under test and says in what it differs from the others. The zero value of every field but
// Open is the rule; what is set is printed at the beginning of a run.
type Harness struct {
	// Open opens a store for one project. The suite closes it, and expects that no goroutine started by Open is left then:
	// a client that the store is given and does not close is made before, once for all. Project names are new in every
	// run, so that stores may stand on one server or in one file.
	Open func(t testing.TB, project string) online.Store

	// Tags returns the tags of a feature view, for stores that go by them. May be nil.
	Tags func(view string) map[string]string

	// EqualSkipped: a row whose event time equals that of the stored row is left out, not stored.
	EqualSkipped bool

	// FeatureTimes: every feature of a row keeps the event time at which it was written, and a write is decided feature
	// by feature. Otherwise a row has one event time, that of its last write.
	FeatureTimes bool

	// Resolution of stored event times; 0 is exact.
	Resolution time.Duration

	// NoDelete: the store cannot delete rows by entity key: it is no [online.Deleter], or one that answers
	// feasterr.ErrUnsupported.
	NoDelete bool

	// JSON: rows pass as JSON to a feature server, which knows views and types by itself. So a value is of the declared type, keys of
	// a view are of one type and not of bytes, numbers are finite, scalar maps and zoned timestamps are not among the values,
	// names have no colon and no @, and rows that have no value at all are not stored. Cases about anything else are left out: the
	// driver's own tests are about that.
	JSON bool

	// Tables: Update has to create a table before it can be read. Otherwise a table that nobody created has no rows.
	Tables bool
}

// deviations lists what h declares, in words.
func (h Harness) deviations() []string {
	var out []string
	for _, d := range []struct {
		set  bool
		text string
	}{
		{h.EqualSkipped, "a row as old as the stored one is left out"},
		{h.FeatureTimes, "every feature has an event time of its own"},
		{h.Resolution > 0, "event times are kept to " + h.Resolution.String()},
		{h.NoDelete, "rows cannot be deleted by entity key"},
		{h.JSON, "rows pass as JSON, and cases about what that has no form for are left out"},
		{h.Tables, "a table has to be created before it is read"},
	} {
		if d.set {
			out = append(out, d.text)
		}
	}
	return out
}

// cases are the tests of the suite, by topic.
var cases = []struct {
	name string
	run  func(*bed)
}{
	{"Values/EveryType", everyType},
	{"Values/OtherTypes", otherTypes},
	{"Values/Absent", absentCells},
	{"Times/RoundTrip", eventTimes},
	{"Times/Rewrites", rewrites},
	{"Times/Resolution", resolution},
	{"Times/WithinBatch", withinBatch},
	{"Times/Overwrite", overwrite},
	{"Writes/Partial", partialWrites},
	{"Writes/Large", largeBatch},
	{"Plans/Features", featureSubsets},
	{"Plans/Groups", groups},
	{"Plans/Several", severalPlans},
	{"Plans/Select", selectTables},
	{"Plans/Missing", missingTable},
	{"Keys/Types", keyTypes},
	{"Keys/Composite", compositeKeys},
	{"Keys/Entityless", entityless},
	{"Vectors/RowTimes", rowTimes},
	{"Vectors/Keys", listedKeys},
	{"Deletes/Rows", deletedRows},
	{"Deletes/Large", largeDelete},
	{"Deletes/Keys", deletedKeys},
	{"Deletes/Entityless", deletedEntityless},
	{"Deletes/Views", deletesOfViews},
	{"Deletes/Versions", deletesOfVersions},
	{"Deletes/Projects", deletesOfProjects},
	{"Deletes/Rewrites", rewritesOfDeleted},
	{"Deletes/Concurrent", deletedMeanwhile},
	{"Deletes/Cancel", cancelledDeletes},
	{"Deletes/Unsupported", unsupportedDelete},
	{"Tables/Names", unusualNames},
	{"Tables/Versions", versions},
	{"Tables/Update", updates},
	{"Tables/Drop", drops},
	{"Tables/Readers", oldReaders},
	{"Tables/Projects", projects},
	{"Calls/Context", contexts},
	{"Calls/Cancel", cancelling},
	{"Calls/Close", closing},
	{"Calls/Concurrent", concurrent},
	{"Calls/Goroutines", goroutines},
	{"Random", random},
}

// notJSON are the cases that are about nothing else than what JSON, or a server's routes, have no form for: values of other types than
// the view has, and the deletion of rows, which is no route.
var notJSON = []string{"Values/OtherTypes", "Deletes/Keys"}

// Run runs the suite. Every read is made in several ways, which must give the same: into the result, into forks of it, into
// a scratch that is adopted, and through images of its rows.
func Run(t *testing.T, h Harness) {
	if d := h.deviations(); len(d) > 0 {
		t.Logf("this store declares: %s", strings.Join(d, "; "))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if h.JSON && slices.Contains(notJSON, c.name) {
				t.Skip("the store's rows pass as JSON, which has no form for this")
			}
			c.run(newBed(t, h))
		})
	}
}

// bed is a store under test in a project of its own.
type bed struct {
	*testing.T
	h       Harness
	store   online.Store
	project string
	tables  []*online.Table // made so far, for teardown
}

// newProject returns a project name that no other run uses. It is short, since servers limit the length of names.
func newProject() string { return "ot_" + strings.ToLower(rand.Text()[:10]) }

func newBed(t *testing.T, h Harness) *bed {
	t.Helper()
	return newBedFor(t, h, newProject())
}

// newBedFor opens a store for a project. When the test ends, the tables made for it are removed and it is closed.
func newBedFor(t *testing.T, h Harness, project string) *bed {
	t.Helper()
	b := &bed{T: t, h: h, project: project, store: h.Open(t, project)}
	t.Cleanup(func() {
		err := b.store.Teardown(context.WithoutCancel(t.Context()), b.tables)
		if err != nil && !errors.Is(err, feasterr.ErrClosed) { // the test may have closed it
			t.Errorf("Teardown: %v", err)
		}
		if err := b.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// table makes a table with one entity for each join key.
func (b *bed) table(view string, joinKeys []string, features ...types.Field) *online.Table {
	t := &online.Table{Project: b.project, View: view, JoinKeys: joinKeys, Features: features}
	for _, k := range joinKeys {
		t.Entities = append(t.Entities, strings.TrimSuffix(k, "_id"))
	}
	if b.h.Tags != nil {
		t.Tags = b.h.Tags(view)
	}
	b.tables = append(b.tables, t)
	return t
}

// created makes a table and has the store create it.
func (b *bed) created(view string, joinKeys []string, features ...types.Field) *online.Table {
	b.Helper()
	t := b.table(view, joinKeys, features...)
	b.update(t)
	return t
}

// update creates tables.
func (b *bed) update(keep ...*online.Table) {
	b.Helper()
	if err := b.store.Update(b.Context(), keep, nil); err != nil {
		b.Fatalf("Update: %v", err)
	}
}

// write stores a batch that must be stored, and checks the counts. The batch is spoiled afterwards, as a writer that uses
// its memory again does.
func (b *bed) write(batch *online.WriteBatch, want online.WriteResult) {
	b.Helper()
	got, err := b.store.Write(b.Context(), batch)
	if err != nil {
		b.Fatalf("Write to %s: %v", batch.Table.StoredView(), err)
	}
	if got != want {
		b.Errorf("Write to %s: got %+v, want %+v", batch.Table.StoredView(), got, want)
	}
	for _, key := range batch.Keys {
		clear(key)
	}
	clear(batch.Event)
}

// put stores rows that nothing stands against.
func (b *bed) put(t *online.Table, rows ...Row) {
	b.Helper()
	b.write(Batch(t, rows...), online.WriteResult{Written: len(rows)})
}

// read reads in all ways.
func (b *bed) read(plan *online.ReadPlan, rows int, keys *online.Keys) *online.Result {
	b.Helper()
	res := Read(b, b.store, plan, rows, keys)
	for _, w := range wrappers {
		if diff := Diff(plan, res, readWith(b, b.store, plan, rows, keys, w.wrap)); diff != "" {
			b.Errorf("a read %s differs from a plain one:\n%s", w.name, diff)
		}
	}
	return res
}

// get reads the features of one table for keys, which fill rows 0, 1, 2... The table may be read so again: its place in
// every such plan is the same.
func (b *bed) get(t *online.Table, keys ...[]byte) *online.Result {
	b.Helper()
	return b.read(online.NewReadPlan([]*online.Table{t}), len(keys), online.NewKeys(KeysOf(keys...)))
}

// at is the event time of most tests, n seconds later.
func at(n int64) types.Timestamp { return types.Timestamp{Seconds: 1704164645 + n} }

// id is the key of driver n.
func id(n int) []byte { return Key("driver_id", int64(n)) }

var driverID = []string{"driver_id"}

// ints makes int64 features.
func ints(names ...string) []types.Field {
	out := make([]types.Field, len(names))
	for i, n := range names {
		out[i] = types.Field{Name: n, Type: types.Int64}
	}
	return out
}

// absent is what [bed.cells] expects of a cell for which nothing is stored.
type absent struct{}

// cells checks a row of a table: a value as Column.Any has it, nil for a null, or absent.
func (b *bed) cells(res *online.Result, t *online.Table, row int, want ...any) {
	b.Helper()
	for f, w := range want {
		c := res.Column(t, f)
		got := fmt.Sprintf("%s %v", c.Status(row), c.Any(row))
		exp := fmt.Sprintf("%s %v", types.Present, w)
		switch w {
		case nil:
			exp = fmt.Sprintf("%s %v", types.NullValue, nil)
		case absent{}:
			exp = fmt.Sprintf("%s %v", types.NotFound, nil)
		}
		if got != exp {
			b.Errorf("%s.%s, row %d: got %s, want %s", t.StoredView(), t.Features[f].Name, row, got, exp)
		}
	}
}

// event checks the event time of a row that exists.
func (b *bed) event(res *online.Result, t *online.Table, row int, want types.Timestamp) {
	b.Helper()
	if !res.Found(t, row) {
		b.Errorf("%s, row %d: not found", t.StoredView(), row)
	} else if got := res.RowEvent(t, row); !b.h.sameTime(got, want) {
		b.Errorf("%s, row %d: event time %v, want %v", t.StoredView(), row, got, want)
	}
}

// sameTime reports whether a stored time can be the given one, at the resolution of the store.
func (h Harness) sameTime(got, want types.Timestamp) bool {
	if h.Resolution == 0 {
		return got == want
	}
	nanos := (got.Seconds-want.Seconds)*int64(time.Second) + int64(got.Nanos-want.Nanos)
	return nanos > -int64(h.Resolution) && nanos < int64(h.Resolution)
}
