package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// historical is a join that has not run.
type historical struct {
	store  *Store
	plan   *offline.JoinPlan
	source offline.EntityRows

	mu     sync.Mutex
	taken  bool // the entity rows
	closed bool
}

func (h *historical) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		h.source.Rows.Release()
	}
}

// take says whether the entity rows may be read: once.
func (h *historical) take() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return feasterr.ErrClosed
	}
	if h.taken {
		return feasterr.Invalid("the entity rows of this job were read already: they come once")
	}
	h.taken = true
	return nil
}

func (h *historical) read(ctx context.Context) (array.RecordReader, error) {
	if err := h.take(); err != nil {
		return nil, err
	}
	e, err := readEntities(ctx, h.source)
	if err != nil {
		return nil, err
	}
	r, err := h.join(ctx, e)
	if err != nil {
		e.release()
	}
	return r, err
}

func readEntities(ctx context.Context, source offline.EntityRows) (*entities, error) {
	e := &entities{schema: source.Rows.Schema(), event: source.Event}
	for source.Rows.Next() {
		b := source.Rows.RecordBatch()
		if b.NumRows() > 0 {
			b.Retain()
			e.batches = append(e.batches, b)
			e.rows += int(b.NumRows())
		}
		err := ctx.Err()
		if err == nil && e.rows > math.MaxInt32 {
			err = feasterr.Unsupported("more than %d entity rows in one join: divide them", math.MaxInt32)
		}
		if err != nil {
			e.release()
			return nil, err
		}
	}
	err := source.Rows.Err()
	if err == nil {
		err = e.setTimes(ctx)
	}
	if err != nil {
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *entities) release() {
	for _, b := range e.batches {
		b.Release()
	}
	e.batches = nil
}

// join runs the join and returns a reader of its rows.
func (h *historical) join(ctx context.Context, e *entities) (array.RecordReader, error) {
	views := make([]*joinedView, len(h.plan.Views))
	defer func() {
		for _, v := range views {
			if v != nil && v.table != nil {
				v.table.close()
			}
		}
	}()
	errs := make([]error, len(views))
	err := each(ctx, len(views), func(_, i int) error {
		v := &joinedView{view: &h.plan.Views[i]}
		views[i] = v
		if v.table, errs[i] = openTable(ctx, h.store.dir, v.view.Source); errs[i] == nil {
			errs[i] = v.resolve(h.plan)
		}
		errs[i] = v.named(errs[i])
		return nil
	})
	if err := cmp.Or(err, errors.Join(errs...)); err != nil {
		return nil, err
	}
	if err := e.join(ctx, views); err != nil {
		return nil, err
	}
	return e.result(ctx, views)
}

// What a view of a join holds while it is joined, for each entity row: ids, slots, and the best rows. Views are joined at the
// same time as long as all together hold no more than viewsBytes.
const (
	viewBytes  = 80
	viewsBytes = 256 << 20
)

// join joins the views, several at a time. All goroutines that work on any of them are as many as there are processors. Of
// several errors it returns that of the first view.
func (e *entities) join(ctx context.Context, views []*joinedView) error {
	processors := runtime.GOMAXPROCS(0)
	abreast := max(1, min(len(views), processors, viewsBytes/(viewBytes*max(e.rows, 1))))
	c := make(crew, processors)
	for range processors - abreast {
		c <- struct{}{}
	}
	errs := make([]error, len(views))
	contexts := make([]context.Context, len(views))
	cancels := make([]context.CancelFunc, len(views))
	for i := range views {
		contexts[i], cancels[i] = context.WithCancel(ctx)
		defer cancels[i]()
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range abreast {
		group.Go(func() {
			defer func() { c <- struct{}{} }() // to help with what others are at
			for i := int(next.Add(1)) - 1; i < len(views); i = int(next.Add(1)) - 1 {
				v := views[i]
				if errs[i] = v.join(contexts[i], e, c, abreast); errs[i] == nil {
					errs[i] = v.gather(contexts[i], c)
				}
				v.winners = nil // what is needed of it is in v.of
				if errs[i] = v.named(errs[i]); errs[i] != nil {
					for _, cancel := range cancels[i+1:] {
						cancel() // nobody will want to know
					}
				}
			}
		})
	}
	group.Wait()
	return cmp.Or(errs...)
}

// named names the view in an error.
func (v *joinedView) named(err error) error {
	if err == nil || cancelled(err) {
		return err
	}
	return fmt.Errorf("view %q: %w", v.view.Name, err)
}

// result returns the entity rows with the features of their winners.
func (e *entities) result(ctx context.Context, views []*joinedView) (array.RecordReader, error) {
	var fields []arrow.Field
	for _, f := range e.schema.Fields() {
		if f.Type.ID() == arrow.TIMESTAMP {
			f.Type = resultTime
		}
		fields = append(fields, f)
	}
	for _, v := range views {
		for i, f := range v.view.Features {
			fields = append(fields, v.features[i].field(f.Name, v.features[i].typ))
		}
	}
	schema := arrow.NewSchema(fields, nil)
	// The parts that become batches: of an entity batch each, and not too many rows.
	type piece struct {
		batch    int
		from, to int // rows of the batch
		first    int // entity row
	}
	var pieces []piece
	row, most := 0, rowsOfWidth(len(fields))/4 // several, to share the work
	for i, b := range e.batches {
		n := int(b.NumRows())
		for from := 0; from < n; from += most {
			pieces = append(pieces, piece{i, from, min(n, from+most), row + from})
		}
		row += n
	}
	more := func() ([]arrow.RecordBatch, error) {
		now := pieces[:min(len(pieces), workers(len(pieces)))]
		pieces = pieces[len(now):]
		return some(ctx, len(now), func(i int) (arrow.RecordBatch, error) {
			p := now[i]
			arrays := make([]arrow.Array, 0, len(fields))
			defer func() {
				for _, a := range arrays {
					a.Release()
				}
			}()
			for _, c := range e.batches[p.batch].Columns() {
				part := array.NewSlice(c, int64(p.from), int64(p.to))
				arrays = append(arrays, inMicros(part))
				part.Release()
			}
			for _, v := range views {
				idx := v.of[p.first : p.first+p.to-p.from]
				for _, f := range v.vectors {
					a, err := f.takeArray(idx)
					if err != nil {
						return nil, err
					}
					arrays = append(arrays, a)
				}
			}
			return array.NewRecordBatch(schema, arrays, int64(p.to-p.from)), nil
		})
	}
	return newReader(schema, ctx.Err, more, e.release), nil
}

func (v *vector) takeArray(idx []int32) (arrow.Array, error) {
	if len(v.nested) > 0 {
		return v.takeNested(idx)
	}
	return v.take(idx).array()
}

// inMicros makes microseconds with zone UTC of an array of timestamps, and shares any other.
func inMicros(a arrow.Array) arrow.Array {
	t, ok := a.DataType().(*arrow.TimestampType)
	if !ok || arrow.TypeEqual(t, resultTime) {
		a.Retain()
		return a
	}
	values := a.(*array.Timestamp).Values()
	times := make([]int64, len(values))
	valid := make([]bool, len(values))
	nulls := 0
	for i, x := range values {
		if valid[i] = a.IsValid(i); !valid[i] {
			nulls++
			continue
		}
		times[i] = int64(x)
	}
	rescale(times, int64(t.Unit.Multiplier()), microsecond)
	packed, _ := packBits(valid)
	data := array.NewData(resultTime, len(times), []*memory.Buffer{memory.NewBufferBytes(packed), memory.NewBufferBytes(bytesOf(times))}, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
