package feast

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/types/arrowconv"
)

// RetrievalJob is training data that can be read. Nothing is read before one of its methods is called, and each call reads
// anew, unless the entity rows are an [ArrowReader]. It is safe for concurrent use as long as its entity rows are not changed.
//
// The columns are those of the entity rows, then the features: view after view in order of first mention, each view's in
// order of mention, then what on-demand views compute. Timestamps are in microseconds, UTC.
type RetrievalJob struct {
	fs       *FeatureStore
	store    offline.Store
	plan     *plan.Historical
	anyOrder bool
	filter   bool

	rows  entityRows // nothing: the views' own rows
	event int        // column of rows
	keys  []string   // of all views, when there are no entity rows

	mu   sync.Mutex
	meta RetrievalMetadata
}

// RetrievalMetadata describes training data.
type RetrievalMetadata struct {
	// Features are the references that were asked for, by the names of projections.
	Features []string
	// Keys are the columns of the entity rows but for the event timestamp, labels included; nothing when they are a query.
	Keys []string
	// The range of the entity rows' times: that of Start and End, or what was met while reading, zero before that.
	MinEventTimestamp, MaxEventTimestamp time.Time
}

// Metadata describes the data. It does no I/O.
func (j *RetrievalJob) Metadata() RetrievalMetadata {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.meta
	m.Features, m.Keys = slices.Clone(m.Features), slices.Clone(m.Keys)
	return m
}

// Records reads the data in batches, each valid until the next step; to keep one, retain it. The first error ends it. ctx
// cancels it, also what runs elsewhere.
func (j *RetrievalJob) Records(ctx context.Context) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		r, err := j.open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Release()
		for r.Next() {
			if !yield(r.RecordBatch(), nil) {
				return
			}
		}
		if err := r.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// RecordBatch reads all data into one batch, which the caller releases.
func (j *RetrievalJob) RecordBatch(ctx context.Context) (arrow.RecordBatch, error) {
	r, err := j.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var batches []arrow.RecordBatch
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	for r.Next() {
		b := r.RecordBatch()
		b.Retain()
		batches = append(batches, b)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return concatenate(r.Schema(), batches)
}

// concatenate makes one batch of several, or of none. The caller releases it.
func concatenate(schema *arrow.Schema, batches []arrow.RecordBatch) (arrow.RecordBatch, error) {
	if len(batches) == 1 {
		batches[0].Retain()
		return batches[0], nil
	}
	rows := int64(0)
	for _, b := range batches {
		rows += b.NumRows()
	}
	columns := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, f := range schema.Fields() {
		parts := make([]arrow.Array, 0, len(batches))
		for _, b := range batches {
			parts = append(parts, b.Column(i))
		}
		if len(parts) == 0 {
			parts = append(parts, array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, 0))
		}
		c, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

// WriteParquet writes the data to a Parquet file, which is there as a whole or not at all; a file of that name is replaced.
// A path that cannot be written to is an error before anything is read. It needs the import of
// github.com/feastgo/feast/offline/file.
func (j *RetrievalJob) WriteParquet(ctx context.Context, path string) error {
	codec, err := offline.Parquet()
	if err != nil {
		return err
	}
	if err := codec.Check(path); err != nil { // before anything is read for it
		return err
	}
	r, err := j.open(ctx)
	if err != nil {
		return err
	}
	defer r.Release()
	if _, err = codec.Create(ctx, path, r); r.Err() != nil {
		return r.Err()
	}
	return err
}

// failed names the store in an error of its, and the view that was read; of a join, which is of several, the store names it.
func (j *RetrievalJob) failed(view string, err error) error {
	err = feasterr.InStore(j.store.Info().Name, "read", err)
	if view == "" || err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("view %q: %w", view, err)
}

// RecordReader reads the data as a stream of batches, each valid until the next is asked for, unless it is retained. ctx has to
// last until the reader is released, which ends the query. [RetrievalJob.Records] is easier to use.
func (j *RetrievalJob) RecordReader(ctx context.Context) (array.RecordReader, error) {
	return j.open(ctx)
}

// open starts reading.
func (j *RetrievalJob) open(ctx context.Context) (array.RecordReader, error) {
	if err := j.fs.usable(ctx); err != nil {
		return nil, err
	}
	r, err := j.read(ctx)
	if err != nil || len(j.plan.Computed) == 0 {
		return r, err
	}
	return j.computed(ctx, r)
}

// read starts reading what is stored.
func (j *RetrievalJob) read(ctx context.Context) (array.RecordReader, error) {
	join := &offline.JoinPlan{Views: j.plan.Views, FilterByCreated: j.filter, AnyOrder: j.anyOrder, FullNames: j.plan.FullNames}
	switch {
	case j.rows.sql != "":
		return j.run(ctx, "", func() (offline.Job, error) {
			return j.store.Historical(ctx, join, offline.EntityRows{SQL: j.rows.sql, Event: plan.EventTimestamp})
		})
	case j.rows.schema != nil:
		rows, err := j.rows.open(ctx)
		if err != nil {
			return nil, err
		}
		return j.join(ctx, join, j.watch(ctx, rows), j.rows.schema.Field(j.event).Name)
	case len(j.plan.Views) == 1:
		r, err := j.scan(ctx, 0, true)
		if err != nil {
			return nil, err
		}
		return selectColumns(r, j.plan.ScanColumns(0))
	}
	rows, err := j.spine(ctx)
	if err != nil {
		return nil, err
	}
	return j.join(ctx, join, rows, plan.EventTimestamp)
}

// join runs a join with entity rows, which it releases.
func (j *RetrievalJob) join(ctx context.Context, p *offline.JoinPlan, rows array.RecordReader, event string) (array.RecordReader, error) {
	return j.run(ctx, "", func() (offline.Job, error) {
		job, err := j.store.Historical(ctx, p, offline.EntityRows{Rows: rows, Event: event})
		if err != nil {
			rows.Release()
		}
		return job, err
	})
}

// scan reads the rows of a view between the dates of the job.
func (j *RetrievalJob) scan(ctx context.Context, view int, features bool) (array.RecordReader, error) {
	return j.run(ctx, j.plan.Views[view].Name, func() (offline.Job, error) {
		return j.store.All(ctx, j.plan.Scan(view, features, j.meta.MinEventTimestamp, j.meta.MaxEventTimestamp))
	})
}

// run starts a job of the store, which reads the view of that name if there is one. Releasing the reader closes it.
func (j *RetrievalJob) run(ctx context.Context, view string, start func() (offline.Job, error)) (array.RecordReader, error) {
	job, err := start()
	if err != nil {
		return nil, j.failed(view, err)
	}
	r, err := job.Read(ctx)
	if err != nil {
		_ = job.Close() // after an error that says more
		return nil, j.failed(view, err)
	}
	m := newMapped(r, r.Schema(), func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
		b.Retain()
		return b, nil
	})
	m.failed = func(err error) error { return j.failed(view, err) }
	m.release = func() { _ = job.Close() } // has nothing to say after everything was read
	return m, nil
}

// watch makes times of text or dates in the column of times, and notes their range.
func (j *RetrievalJob) watch(ctx context.Context, rows array.RecordReader) array.RecordReader {
	schema, first := rows.Schema(), int64(0)
	event := schema.Field(j.event)
	convert := isArrowText(event.Type) || isDate(event.Type)
	if convert {
		fields := slices.Clone(schema.Fields())
		fields[j.event].Type = arrowconv.Timestamp
		meta := schema.Metadata()
		schema = arrow.NewSchema(fields, &meta)
	}
	return newMapped(rows, schema, func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
		times := b.Column(j.event)
		if convert {
			var err error
			if times, err = asTimes(ctx, event.Name, times, first); err != nil {
				return nil, err
			}
			defer times.Release()
		}
		first += b.NumRows()
		j.noteTimes(times)
		columns := slices.Clone(b.Columns())
		columns[j.event] = times
		return array.NewRecordBatch(schema, columns, b.NumRows()), nil
	})
}

// noteTimes widens the range of the entity rows' times.
func (j *RetrievalJob) noteTimes(a arrow.Array) {
	stamps, ok := a.(*array.Timestamp)
	if !ok {
		return
	}
	low, high, any := arrow.Timestamp(0), arrow.Timestamp(0), false
	for i, t := range stamps.Values() {
		if stamps.IsNull(i) {
			continue
		}
		if !any {
			low, high, any = t, t, true
		}
		low, high = min(low, t), max(high, t)
	}
	if !any {
		return
	}
	unit := stamps.DataType().(*arrow.TimestampType).Unit
	from, to := low.ToTime(unit), high.ToTime(unit)
	j.mu.Lock()
	defer j.mu.Unlock()
	if m := &j.meta; m.MinEventTimestamp.IsZero() || from.Before(m.MinEventTimestamp) {
		m.MinEventTimestamp = from
	}
	if m := &j.meta; m.MaxEventTimestamp.IsZero() || to.After(m.MaxEventTimestamp) {
		m.MaxEventTimestamp = to
	}
}

// ownColumns are the columns of the answer without entity rows, features apart.
func (j *RetrievalJob) ownColumns() []string {
	if len(j.plan.Views) > 1 {
		return append([]string{plan.EventTimestamp}, j.keys...)
	}
	columns := j.plan.ScanColumns(0)
	return columns[:len(columns)-len(j.plan.Views[0].Features)]
}
