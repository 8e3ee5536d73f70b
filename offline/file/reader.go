package file

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// reader hands out batches that more makes, several at a time so that it can use all processors. No goroutine outlives a
// call of Next.
type reader struct {
	refs    atomic.Int64
	schema  *arrow.Schema
	alive   func() error                        // the error of the context
	more    func() ([]arrow.RecordBatch, error) // none at the end
	release func()
	ready   []arrow.RecordBatch
	current arrow.RecordBatch
	err     error
	ended   bool
}

var _ array.RecordReader = (*reader)(nil)

func newReader(schema *arrow.Schema, alive func() error, more func() ([]arrow.RecordBatch, error), release func()) *reader {
	r := &reader{schema: schema, alive: alive, more: more, release: release}
	r.refs.Store(1)
	return r
}

// Retain implements [array.RecordReader].
func (r *reader) Retain() { r.refs.Add(1) }

// Release implements [array.RecordReader].
func (r *reader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.end()
	r.release()
}

func (r *reader) end() {
	r.ended = true
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
	for _, b := range r.ready {
		b.Release()
	}
	r.ready = nil
}

// Schema implements [array.RecordReader].
func (r *reader) Schema() *arrow.Schema { return r.schema }

// Next implements [array.RecordReader].
func (r *reader) Next() bool {
	if r.ended {
		return false
	}
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
	if r.err = r.alive(); r.err == nil && len(r.ready) == 0 {
		r.ready, r.err = r.more()
	}
	if r.err != nil || len(r.ready) == 0 {
		r.end()
		return false
	}
	r.current, r.ready = r.ready[0], r.ready[1:]
	return true
}

// RecordBatch implements [array.RecordReader].
func (r *reader) RecordBatch() arrow.RecordBatch { return r.current }

// Record implements [array.RecordReader].
func (r *reader) Record() arrow.RecordBatch { return r.current }

// Err implements [array.RecordReader].
func (r *reader) Err() error { return r.err }
