// Package offlinetest is the conformance suite of offline stores: what package offline promises of a [offline.Store], as
// tests that go through that interface only. A driver, of this module or another, passes it with one line:
//
//	func TestConformance(t *testing.T) {
//		offlinetest.Run(t, offlinetest.Harness{Open: open, Source: source})
//	}
//
// The test program has to link offline/file, which reads the golden data. The package also has what drivers' own tests
// share: tables in few words ([Table]), results as text ([Rows]), and a join by brute force ([BruteForce]).
package offlinetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// Harness opens the store under test. The zero value of every field but Open and Source is the rule.
type Harness struct {
	// Open opens a store. The suite closes it, and expects that no goroutine started by Open is left then.
	Open func(t testing.TB) offline.Store

	// Source stores rows as a new source of the store and says where they are. Source order is that of the rows; several
	// batches are several files where the store knows files.
	Source func(t testing.TB, store offline.Store, rows ...arrow.RecordBatch) *offline.Source

	// Unordered: sources have no order, so that of rows that tie to the end any one wins.
	Unordered bool

	// Microseconds: the store keeps no nanoseconds.
	Microseconds bool

	// NoAppend: Append is not supported.
	NoAppend bool

	// NoFilterByCreated: [offline.JoinPlan].FilterByCreated is refused as feasterr.ErrUnsupported.
	NoFilterByCreated bool
}

// bed is what a case of the suite works with.
type bed struct {
	*testing.T
	Harness
	store offline.Store
}

var cases = []struct {
	name string
	run  func(*bed)
}{
	{"Join/Window", joinWindow},
	{"Join/EveryRowOnce", everyRowOnce},
	{"Join/Ties", joinTies},
	{"Join/TakenWhole", takenWhole},
	{"Join/Nulls", joinNulls},
	{"Join/Nanoseconds", joinNanoseconds},
	{"Join/TimeTypes", joinTimeTypes},
	{"Join/KeyTypes", joinKeyTypes},
	{"Join/KeysOfOtherTypes", joinOtherKeys},
	{"Join/CompositeKeys", joinComposite},
	{"Join/WithoutKeys", joinWithoutKeys},
	{"Join/Created", joinCreated},
	{"Join/Skew", joinSkew},
	{"Join/Views", joinViews},
	{"Join/NoRows", joinNoRows},
	{"Join/Random", joinRandom},
	{"Join/Missing", joinMissing},
	{"Scan/Latest", scanLatest},
	{"Scan/LatestRandom", latestRandom},
	{"Scan/All", scanAll},
	{"Scan/Shards", scanShards},
	{"Append/Newest", appendNewest},
	{"Append/AllOrNone", appendAllOrNone},
	{"Describe", describe},
	{"Contexts", contexts},
	{"Closed", closed},
}

// Run runs the suite, and the cases of Feast's golden data.
func Run(t *testing.T, h Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(h.bed(t)) })
	}
	t.Run("Golden/Join", func(t *testing.T) { goldenJoins(t, h) })
	t.Run("Golden/Latest", func(t *testing.T) { goldenLatest(t, h) })
}

func (h Harness) bed(t *testing.T) *bed {
	b := &bed{T: t, Harness: h, store: h.Open(t)}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// source stores rows.
func (b *bed) source(rows ...arrow.RecordBatch) *offline.Source {
	b.Helper()
	return b.Source(b, b.store, rows...)
}

// join joins entity rows, whose times are in the column "t".
func (b *bed) join(p *offline.JoinPlan, entities ...arrow.RecordBatch) []string {
	b.Helper()
	rows, err := b.tryJoin(b.Context(), p, entities...)
	if err != nil {
		b.Fatalf("join: %v", err)
	}
	return rows
}

func (b *bed) tryJoin(ctx context.Context, p *offline.JoinPlan, entities ...arrow.RecordBatch) ([]string, error) {
	b.Helper()
	return Join(ctx, b, b.store, p, "t", entities...)
}

// Join runs a join and returns its rows as text.
func Join(ctx context.Context, t testing.TB, store offline.Store, p *offline.JoinPlan, event string, entities ...arrow.RecordBatch) ([]string, error) {
	t.Helper()
	reader, err := array.NewRecordReader(entities[0].Schema(), entities)
	if err != nil {
		t.Fatal(err)
	}
	job, err := store.Historical(ctx, p, offline.EntityRows{Rows: reader, Event: event})
	if err != nil {
		reader.Release()
		return nil, err
	}
	rows, err := ReadJob(ctx, t, job)
	if err == nil {
		if _, again := job.Read(ctx); again == nil {
			t.Error("Read reads entity rows again that come once")
		}
	}
	return rows, err
}

// ReadJob runs a job, closes it and returns its rows as text.
func ReadJob(ctx context.Context, t testing.TB, job offline.Job) ([]string, error) {
	t.Helper()
	defer func() {
		for range 2 {
			if err := job.Close(); err != nil {
				t.Errorf("Close of the job: %v", err)
			}
		}
	}()
	r, err := job.Read(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	rows := []string{}
	for r.Next() {
		if !r.RecordBatch().Schema().Equal(r.Schema()) {
			t.Errorf("a batch has the schema\n%v\nand the reader\n%v", r.RecordBatch().Schema(), r.Schema())
		}
		rows = append(rows, Rows(r.RecordBatch())...)
	}
	return rows, r.Err()
}

func (b *bed) scan(of func(context.Context, *offline.ScanPlan) (offline.Job, error), p *offline.ScanPlan) []string {
	b.Helper()
	job, err := of(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := ReadJob(b.Context(), b, job)
	if err != nil {
		b.Fatal(err)
	}
	return rows
}

// equal compares rows in their order.
func equal(t testing.TB, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// contexts: a context that has ended ends every call.
func contexts(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(1, at(1), 1)))
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	plan := view("v", src, 0, "k")
	for name, err := range b.calls(ctx, src, plan) {
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%s: %v", name, err)
		}
	}
	expired, cancel := context.WithDeadline(b.Context(), time.Unix(0, 0))
	defer cancel()
	for name, err := range b.calls(expired, src, plan) {
		if !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("%s: %v", name, err)
		}
	}
	// While rows are read.
	ctx, cancel = context.WithCancel(b.Context())
	entities, _ := array.NewRecordReader(keysAndTimes(R(1, at(2))).Schema(), []arrow.RecordBatch{keysAndTimes(R(1, at(2)))})
	job, err := b.store.Historical(ctx, plan, offline.EntityRows{Rows: entities, Event: "t"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := job.Close(); err != nil {
			b.Error(err)
		}
	}()
	r, err := job.Read(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	cancel()
	if r.Next() || !errors.Is(r.Err(), context.Canceled) {
		b.Errorf("a reader goes on after its context has ended: %v", r.Err())
	}
}

// closed: no call does anything after Close.
func closed(b *bed) {
	src := b.source(Table("k i64, e us, v i64", R(1, at(1), 1)))
	if err := b.store.Close(); err != nil {
		b.Fatal(err)
	}
	for name, err := range b.calls(b.Context(), src, view("v", src, 0, "k")) {
		if !errors.Is(err, feasterr.ErrClosed) {
			b.Errorf("%s: %v", name, err)
		}
	}
}

// calls makes every call and returns their errors by name.
func (b *bed) calls(ctx context.Context, src *offline.Source, p *offline.JoinPlan) map[string]error {
	b.Helper()
	out := map[string]error{}
	_, out["Historical"] = b.tryJoin(ctx, p, keysAndTimes(R(1, at(2))))
	for name, of := range map[string]func(context.Context, *offline.ScanPlan) (offline.Job, error){"Latest": b.store.Latest, "All": b.store.All} {
		job, err := of(ctx, scanOf(src, "k"))
		if err == nil {
			_, err = ReadJob(ctx, b, job)
		}
		out[name] = err
	}
	_, out["Describe"] = b.store.Describe(ctx, src)
	if !b.NoAppend {
		rows := Table("k i64, e us, v i64", R(2, at(1), 1))
		reader, _ := array.NewRecordReader(rows.Schema(), []arrow.RecordBatch{rows})
		_, out["Append"] = b.store.Append(ctx, src, reader)
		reader.Release()
	}
	return out
}
