// Package flightwire is what both sides of Feast's offline protocol over Arrow Flight share: the commands, and readers of
// record batches that come from outside.
package flightwire

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
)

// Stream is what record batches come from.
type Stream interface {
	Recv() (*flight.FlightData, error)
}

// Reader reads record batches of a stream one at a time, each checked before it is handed out, so that whoever reads its
// columns meets no offset that leads astray. A batch is valid until the next is asked for, unless it is retained.
type Reader struct {
	refs    atomic.Int64
	in      *source
	ipc     *flight.Reader
	take    func(arrow.RecordBatch) error // may be nil: an error ends the reader
	current arrow.RecordBatch
	err     error
	ended   bool
}

var _ array.RecordReader = (*Reader)(nil)

// source looks at messages before anything is made of them.
type source struct {
	Stream
	err error
}

func (s *source) Recv() (*flight.FlightData, error) {
	d, err := s.Stream.Recv()
	if err == nil {
		err = verify(d.DataHeader)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return d, err
}

// NewReader waits for the schema. A stream that ends before it is an io.EOF. take is asked about every batch.
func NewReader(s Stream, take func(arrow.RecordBatch) error) (*Reader, error) {
	in := &source{Stream: s}
	r, err := flight.NewRecordReader(in)
	switch {
	case in.err != nil:
		err = in.err
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		err = feasterr.Invalid("what came is no stream of record batches: %w", err)
	}
	if err != nil {
		return nil, err
	}
	out := &Reader{in: in, ipc: r, take: take}
	out.refs.Store(1)
	return out, nil
}

// Retain implements [array.RecordReader].
func (r *Reader) Retain() { r.refs.Add(1) }

// Release implements [array.RecordReader].
func (r *Reader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.current, r.ended = nil, true
	r.ipc.Release()
}

// Schema implements [array.RecordReader].
func (r *Reader) Schema() *arrow.Schema { return r.ipc.Schema() }

// Next implements [array.RecordReader].
func (r *Reader) Next() bool {
	r.current = nil
	if r.ended {
		return false
	}
	if !r.ipc.Next() {
		r.ended = true
		switch err := r.ipc.Err(); {
		case r.in.err != nil:
			r.err = r.in.err
		case err != nil && !errors.Is(err, io.EOF):
			r.err = feasterr.Invalid("a record batch cannot be read: %w", err)
		}
		return false
	}
	b := r.ipc.RecordBatch()
	if r.err = check(b); r.err == nil && r.take != nil {
		r.err = r.take(b)
	}
	if r.err != nil {
		r.ended = true
		return false
	}
	r.current = b
	return true
}

func check(b arrow.RecordBatch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = feasterr.Invalid("a record batch contradicts its schema: %v", p)
		}
	}()
	for i, c := range b.Columns() {
		if c.Len() != int(b.NumRows()) {
			return feasterr.Invalid("column %q has %d values, its record batch has %d rows", b.ColumnName(i), c.Len(), b.NumRows())
		}
	}
	for i, c := range b.Columns() {
		if d, changed := withBuffers(c.Data()); changed {
			c = array.MakeFromData(d)
			d.Release()
			defer c.Release()
		}
		if err := array.ValidateFull(c); err != nil {
			return feasterr.Invalid("a record batch contradicts itself: column %q: %w", b.ColumnName(i), err)
		}
	}
	return nil
}

// withBuffers gives arrays of the null type the buffer without bytes that Arrow's checks expect and its reader does not make:
// columns of nothing but nulls come so from pandas.
func withBuffers(d arrow.ArrayData) (whole arrow.ArrayData, changed bool) {
	if d.DataType().ID() == arrow.NULL {
		if len(d.Buffers()) > 0 {
			return d, false
		}
		return array.NewData(d.DataType(), d.Len(), []*memory.Buffer{nil}, nil, d.NullN(), d.Offset()), true
	}
	if d.DataType().ID() == arrow.DICTIONARY {
		return d, false
	}
	var children []arrow.ArrayData
	for _, child := range d.Children() {
		c, made := withBuffers(child)
		if made {
			defer c.Release()
		}
		children, changed = append(children, c), changed || made
	}
	if !changed {
		return d, false
	}
	return array.NewData(d.DataType(), d.Len(), d.Buffers(), children, d.NullN(), d.Offset()), true
}

// RecordBatch implements [array.RecordReader].
func (r *Reader) RecordBatch() arrow.RecordBatch { return r.current }

// Record implements [array.RecordReader].
func (r *Reader) Record() arrow.RecordBatch { return r.current }

// Err implements [array.RecordReader].
func (r *Reader) Err() error { return r.err }

// DataWriter is what record batches are written to.
type DataWriter interface {
	Send(*flight.FlightData) error
}

// maxMessage is about how large a message with a record batch becomes, in bytes: less than any limit of gRPC clients.
const maxMessage = 1 << 20

// Write sends a schema and the batches of r in messages of about a megabyte. descriptor may be nil. It does not release r.
func Write(ctx context.Context, w DataWriter, descriptor *flight.FlightDescriptor, r array.RecordReader) (rows int64, err error) {
	out := flight.NewRecordWriter(w, ipc.WithSchema(r.Schema()))
	if descriptor != nil {
		out.SetFlightDescriptor(descriptor)
	}
	for r.Next() {
		b := r.RecordBatch()
		for from := int64(0); from < b.NumRows(); {
			if err := ctx.Err(); err != nil {
				return rows, err
			}
			step := min(stepOf(b), b.NumRows()-from)
			part := b.NewSlice(from, from+step)
			err := out.Write(part)
			part.Release()
			if err != nil {
				return rows, err
			}
			from += step
			rows += step
		}
	}
	if err := r.Err(); err != nil {
		return rows, &SourceError{err}
	}
	return rows, out.Close()
}

// SourceError is an error of the rows that were to be sent, rather than of sending them.
type SourceError struct{ Err error }

// Error implements error.
func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *SourceError) Unwrap() error { return e.Err }

// stepOf is how many rows of a batch go into a message.
func stepOf(b arrow.RecordBatch) int64 {
	return max(1, b.NumRows()*maxMessage/max(1, BatchBytes(b)))
}

// BatchBytes is about the memory of a batch's values.
func BatchBytes(b arrow.RecordBatch) int64 {
	n := int64(0)
	for _, c := range b.Columns() {
		n += int64(c.Data().SizeInBytes())
	}
	return n
}
