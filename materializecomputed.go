package feast

import (
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
)

// computed materializes an on-demand view. With several source views, the keys, each with the newest time that a source view
// has in the window, and what the offline store's join holds are in memory.
func (m *materialization) computed(ctx context.Context, name string) (done MaterializedView, err error) {
	snap, err := m.fs.registry.Snapshot(ctx)
	if err != nil {
		return done, err
	}
	v, err := snap.OnDemandFeatureView(name)
	if err != nil {
		return done, err
	}
	p, err := plan.ResolveComputedMaterialization(snap, v, m.fs.planOptions(m.online.Info()))
	if err != nil {
		return done, err
	}
	start := m.req.Start
	if start.IsZero() { // incremental
		back := p.TTL
		if back <= 0 {
			back = firstWindow
		}
		start = m.req.End.Add(-back)
	}
	s := m.sink(p.Write, name, start)
	err = s.join(ctx, p)
	return s.counts, err
}

// join stores what is computed of the joined rows of source views.
func (s *sink) join(ctx context.Context, p *plan.ComputedMaterialization) error {
	r, err := s.joined(ctx, p)
	if err != nil {
		return err
	}
	defer r.Release()
	size := int64(s.batchRows(p.Write))
	for r.Next() {
		rb := inputsOf(r.RecordBatch(), p)
		for from := int64(0); from < rb.NumRows() && err == nil; from += size {
			part := rb.NewSlice(from, min(from+size, rb.NumRows()))
			err = s.rows(ctx, part)
			part.Release()
		}
		rb.Release()
		if err != nil {
			return err
		}
	}
	return r.Err()
}

// joined reads the source features of each key as of the newest time that a source view has of it in the window. The caller
// releases the reader.
func (s *sink) joined(ctx context.Context, p *plan.ComputedMaterialization) (array.RecordReader, error) {
	job := &RetrievalJob{fs: s.fs, store: s.offline, plan: p.Join}
	if len(p.Join.Views) == 1 { // these are its newest rows
		return job.run(ctx, p.Join.Views[0].Name, func() (offline.Job, error) {
			return s.offline.Latest(ctx, p.Join.Scan(0, true, s.counts.Start, s.counts.End))
		})
	}
	keys, err := s.keysOf(ctx, job, p)
	if err != nil {
		return nil, err
	}
	defer keys.Release()
	rows, err := array.NewRecordReader(keys.Schema(), []arrow.RecordBatch{keys})
	if err != nil {
		return nil, err
	}
	return job.join(ctx, &offline.JoinPlan{Views: p.Join.Views, AnyOrder: true, FullNames: p.Join.FullNames}, rows, plan.EventTimestamp)
}

// keysOf returns the keys of the source views' newest rows in the window, each once and with the newest of its times, in any
// order.
func (s *sink) keysOf(ctx context.Context, job *RetrievalJob, p *plan.ComputedMaterialization) (arrow.RecordBatch, error) {
	keys := &spine{keys: p.Keys, newest: map[string]int64{}}
	for i, v := range p.Join.Views {
		r, err := job.run(ctx, v.Name, func() (offline.Job, error) {
			return s.offline.Latest(ctx, p.Join.Scan(i, false, s.counts.Start, s.counts.End))
		})
		if err != nil {
			return nil, err
		}
		err = keys.addAll(ctx, r, v.Name)
		r.Release()
		if err != nil {
			return nil, err
		}
	}
	return keys.batch(ctx)
}

// inputsOf returns the keys of joined rows and the inputs of the function, by the function's names. The caller releases it.
func inputsOf(rb arrow.RecordBatch, p *plan.ComputedMaterialization) arrow.RecordBatch {
	var fields []arrow.Field
	var columns []arrow.Array
	add := func(column, name string) {
		at := rb.Schema().FieldIndices(column)[0]
		f := rb.Schema().Field(at)
		f.Name = name
		if !slices.ContainsFunc(fields, func(have arrow.Field) bool { return have.Name == name }) {
			fields, columns = append(fields, f), append(columns, rb.Column(at))
		}
	}
	for _, key := range p.Keys {
		add(key, key)
	}
	for i, column := range p.Columns {
		add(column, p.Computed.Inputs[i].Name)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, rb.NumRows())
}
