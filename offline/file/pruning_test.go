package file

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/feastgo/feast/offline"
)

// counted counts the bytes read of a file.
type counted struct {
	io.ReaderAt
	n *atomic.Int64
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ReaderAt.ReadAt(p, off)
}

func (counted) Close() error { return nil }

// What statistics rule out is not read: row groups by event time and key, pages by event time; and of the other columns only
// the pages with rows that are wanted.
func TestPruning(t *testing.T) {
	defer func(rows int, options []parquet.WriterOption) { groupRows, writerOptions = rows, options }(groupRows, writerOptions)
	groupRows = 20_000
	writerOptions = append(writerOptions[:1:1], parquet.PageBufferSize(8<<10))
	const n = 60_000
	schema := arrow.NewSchema([]arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64}, {Name: "e", Type: resultTime}, {Name: "v", Type: arrow.PrimitiveTypes.Float64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(i / 20_000 * 1000))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(start.Add(time.Duration(i) * time.Second).UnixMicro()))
		b.Field(2).(*array.Float64Builder).Append(float64(mix(uint64(i))))
	}
	batch := b.NewRecordBatch()
	rows, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		t.Fatal(err)
	}
	parquetSchema, _, err := parquetSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	shapes, err := shapesOf(parquetSchema, nil)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if _, err := writeRows(t.Context(), &data, parquetSchema, shapes, nil, rows); err != nil {
		t.Fatal(err)
	}
	var read atomic.Int64
	open := func() *table {
		f, err := newFile(located{path: "x"}, counted{bytes.NewReader(data.Bytes()), &read}, int64(data.Len()))
		if err != nil {
			t.Fatal(err)
		}
		opened := &table{files: []*dataFile{f}}
		if err := opened.number(); err != nil {
			t.Fatal(err)
		}
		read.Store(0)
		return opened
	}
	whole := int64(data.Len())
	scanned := func(from, to int) (int64, int64) {
		s := &scan{table: open(), plan: &offline.ScanPlan{
			Source: &offline.Source{}, Features: []offline.Column{{Source: "v"}}, Event: offline.Column{Source: "e"},
			Start: start.Add(time.Duration(from) * time.Second), End: start.Add(time.Duration(to) * time.Second),
		}}
		if err := s.resolve(); err != nil {
			t.Fatal(err)
		}
		r, err := readAll(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		got := int64(0)
		for r.Next() {
			got += r.RecordBatch().NumRows()
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		return got, read.Load()
	}
	if got, bytes := scanned(0, n); got != n || bytes < whole/2 {
		t.Errorf("all: %d rows, %d bytes of %d", got, bytes, whole)
	}
	if got, bytes := scanned(25_000, 25_099); got != 100 || bytes > whole/10 {
		t.Errorf("100 rows: %d rows, %d bytes of %d", got, bytes, whole)
	}
	if got, bytes := scanned(n, 2*n); got != 0 || bytes != 0 {
		t.Errorf("none: %d rows, %d bytes", got, bytes)
	}
	joined := func(key int64, at int) (found bool, bytes int64) {
		v := &joinedView{table: open(), view: &offline.JoinView{Event: "e", Keys: []offline.JoinKey{{Source: "k", Entity: "k"}}, Features: []offline.Column{{Source: "v"}}, TTL: time.Hour}}
		if err := v.resolve(&offline.JoinPlan{}); err != nil {
			t.Fatal(err)
		}
		b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(schema.Fields()[:2], nil))
		defer b.Release()
		b.Field(0).(*array.Int64Builder).Append(key)
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(start.Add(time.Duration(at) * time.Second).UnixMicro()))
		e := &entities{schema: b.Schema(), batches: []arrow.RecordBatch{b.NewRecordBatch()}, rows: 1, event: "e"}
		if err := e.setTimes(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx := context.WithoutCancel(t.Context())
		if err := v.join(ctx, e, newCrew(2), 1); err != nil {
			t.Fatal(err)
		}
		if err := v.gather(ctx, newCrew(2)); err != nil {
			t.Fatal(err)
		}
		return v.of[0] >= 0, read.Load()
	}
	if found, bytes := joined(1000, 30_000); !found || bytes > whole/5 {
		t.Errorf("one key: %t, %d bytes of %d", found, bytes, whole)
	}
	if found, bytes := joined(7000, 30_000); found || bytes != 0 {
		t.Errorf("a key that is not there: %t, %d bytes", found, bytes)
	}
}
