package feast

import (
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
)

// mapped reads record batches and makes others of them.
type mapped struct {
	src     array.RecordReader
	schema  *arrow.Schema
	each    func(arrow.RecordBatch) (arrow.RecordBatch, error) // what it returns is released
	failed  func(error) error                                  // nil, or says more of an error of src
	release func()                                             // nil, or called at the end
	refs    atomic.Int64
	cur     arrow.RecordBatch
	err     error
}

// newMapped takes over the reference to src.
func newMapped(src array.RecordReader, schema *arrow.Schema, each func(arrow.RecordBatch) (arrow.RecordBatch, error)) *mapped {
	m := &mapped{src: src, schema: schema, each: each}
	m.refs.Add(1)
	return m
}

// Retain implements [array.RecordReader].
func (m *mapped) Retain() { m.refs.Add(1) }

// Release implements [array.RecordReader].
func (m *mapped) Release() {
	if m.refs.Add(-1) != 0 {
		return
	}
	m.drop()
	m.src.Release()
	if m.release != nil {
		m.release()
	}
}

func (m *mapped) drop() {
	if m.cur != nil {
		m.cur.Release()
		m.cur = nil
	}
}

// Schema implements [array.RecordReader].
func (m *mapped) Schema() *arrow.Schema { return m.schema }

// Next implements [array.RecordReader].
func (m *mapped) Next() bool {
	m.drop()
	if m.err != nil || !m.src.Next() {
		return false
	}
	m.cur, m.err = m.each(m.src.RecordBatch())
	return m.err == nil
}

// RecordBatch implements [array.RecordReader].
func (m *mapped) RecordBatch() arrow.RecordBatch { return m.cur }

// Record implements [array.RecordReader].
func (m *mapped) Record() arrow.RecordBatch { return m.cur }

// Err implements [array.RecordReader].
func (m *mapped) Err() error {
	if m.err != nil {
		return m.err
	}
	err := m.src.Err()
	if err != nil && m.failed != nil {
		err = m.failed(err)
	}
	return err
}

// selectColumns reads columns in an order. It takes over the reference to src.
func selectColumns(src array.RecordReader, names []string) (array.RecordReader, error) {
	fields, at := make([]arrow.Field, 0, len(names)), make([]int, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(src.Schema().Fields(), func(f arrow.Field) bool { return f.Name == name })
		if i < 0 {
			src.Release()
			return nil, feasterr.Invalid("the offline store answered without column %q", name)
		}
		fields, at = append(fields, src.Schema().Field(i)), append(at, i)
	}
	schema := arrow.NewSchema(fields, nil)
	return newMapped(src, schema, func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
		columns := make([]arrow.Array, 0, len(at))
		for _, i := range at {
			columns = append(columns, b.Column(i))
		}
		return array.NewRecordBatch(schema, columns, b.NumRows()), nil
	}), nil
}
