package local

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"

	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/compute"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store answers batches of whole numbers, in memory that is checked.
type store struct {
	offline.Store
	mem     *memory.CheckedAllocator
	batches [][]int64
	err     error // of Latest
	readErr error // of Read
	closed  int
}

func (*store) Info() offline.Info { return offline.Info{Name: "fake"} }

func (s *store) Latest(context.Context, *offline.ScanPlan) (offline.Job, error) { return s, s.err }

func (s *store) Close() error { s.closed++; return nil }

func (s *store) Read(context.Context) (array.RecordReader, error) {
	if s.readErr != nil {
		return nil, s.readErr
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	var batches []arrow.RecordBatch
	for _, values := range s.batches {
		b := array.NewRecordBuilder(s.mem, schema)
		b.Field(0).(*array.Int64Builder).AppendValues(values, nil)
		batches = append(batches, b.NewRecordBatch())
		b.Release()
	}
	r, err := array.NewRecordReader(schema, batches)
	for _, b := range batches {
		b.Release()
	}
	return r, err
}

func TestRun(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		store   store
		writers int
		fail    int64 // the value at which writing fails
		is      error
		sum     int64
	}{
		"all rows":     {store{batches: [][]int64{{1, 2, 3, 4, 5}, {}, {6, 7}}}, 3, 0, nil, 28},
		"no rows":      {store{}, 2, 0, nil, 0},
		"not opened":   {store{err: down}, 1, 0, down, 0},
		"not read":     {store{readErr: down}, 1, 0, down, 0},
		"writing":      {store{batches: [][]int64{{1, 2, 3, 4, 5}, {6, 7}}}, 1, 3, down, 3},
		"writing late": {store{batches: [][]int64{{1, 2}, {3}}}, 1, 3, down, 3},
	} {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		c.store.mem = mem
		var sum atomic.Int64
		err := New().Run(t.Context(), &compute.Task{Store: &c.store, Plan: &offline.ScanPlan{}, BatchRows: 2, Writers: c.writers, Rows: func(_ context.Context, rb arrow.RecordBatch) error {
			if rb.NumRows() > 2 {
				t.Errorf("%s: %d rows at once", name, rb.NumRows())
			}
			for _, v := range rb.Column(0).(*array.Int64).Int64Values() {
				if v == c.fail {
					return down
				}
				sum.Add(v)
			}
			return nil
		}})
		if !errors.Is(err, c.is) || sum.Load() != c.sum {
			t.Errorf("%s: %v, sum %d, want %d", name, err, sum.Load(), c.sum)
		}
		if c.store.err == nil && c.store.closed != 1 {
			t.Errorf("%s: the job was closed %d times", name, c.store.closed)
		}
		mem.AssertSize(t, 0)
	}
}

// When ctx ends, what was read is given back and no writer is left.
func TestCancel(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	s := &store{mem: mem, batches: [][]int64{{1, 2, 3, 4, 5, 6}, {7}}}
	ctx, cancel := context.WithCancel(t.Context())
	err := New().Run(ctx, &compute.Task{Store: s, Plan: &offline.ScanPlan{}, BatchRows: 1, Writers: 2, Rows: func(ctx context.Context, _ arrow.RecordBatch) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	mem.AssertSize(t, 0)
}
