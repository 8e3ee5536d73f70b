package flightwire_test

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/offline/offlinetest"
)

// messages is a stream of what was sent to it.
type messages []*flight.FlightData

func (m *messages) Send(d *flight.FlightData) error {
	*m = append(*m, &flight.FlightData{DataHeader: append([]byte(nil), d.DataHeader...), DataBody: append([]byte(nil), d.DataBody...)})
	return nil
}

func (m *messages) Recv() (*flight.FlightData, error) {
	if len(*m) == 0 {
		return nil, io.EOF
	}
	d := (*m)[0]
	*m = (*m)[1:]
	return d, nil
}

func sample(n int) arrow.RecordBatch {
	var rows [][]any
	for i := range n {
		rows = append(rows, offlinetest.R(i, "text", []float64{1, 2}))
	}
	return offlinetest.Table("k i64, s text, l f64s", rows...)
}

func sent(t testing.TB, n int) messages {
	t.Helper()
	r, err := array.NewRecordReader(sample(n).Schema(), []arrow.RecordBatch{sample(n)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var m messages
	if rows, err := flightwire.Write(t.Context(), &m, nil, r); err != nil || rows != int64(n) {
		t.Fatal(rows, err)
	}
	return m
}

// Large batches go in messages of about a megabyte, and come back as they were.
func TestWrite(t *testing.T) {
	m := sent(t, 100_000)
	largest := 0
	for _, d := range m {
		largest = max(largest, len(d.DataBody))
	}
	if len(m) < 3 || largest > 2<<20 {
		t.Errorf("%d messages of up to %d bytes", len(m), largest)
	}
	r, err := flightwire.NewReader(&m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	rows := int64(0)
	for r.Next() {
		rows += r.RecordBatch().NumRows()
	}
	if r.Err() != nil || rows != 100_000 {
		t.Error(rows, r.Err())
	}
	empty := sent(t, 0)
	if r, err := flightwire.NewReader(&empty, nil); err != nil || r.Next() || r.Err() != nil || r.Schema().NumFields() != 3 {
		t.Error(err)
	}
	if _, err := flightwire.NewReader(new(messages), nil); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestNulls: columns of nothing but nulls have no type in pandas, nor do lists that are all empty.
func TestNulls(t *testing.T) {
	n := array.NewNull(3)
	list := array.NewListBuilder(memory.DefaultAllocator, arrow.Null)
	list.AppendEmptyValues(2)
	list.AppendNull()
	inner := array.MakeFromData(array.NewData(arrow.StructOf(arrow.Field{Name: "n", Type: arrow.Null, Nullable: true}), 3, []*memory.Buffer{nil}, []arrow.ArrayData{n.Data()}, 0, 0))
	columns := []arrow.Array{n, list.NewArray(), inner}
	var fields []arrow.Field
	for i, c := range columns {
		fields = append(fields, arrow.Field{Name: string(rune('a' + i)), Type: c.DataType(), Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	in, err := array.NewRecordReader(schema, []arrow.RecordBatch{array.NewRecordBatch(schema, columns, 3)})
	if err != nil {
		t.Fatal(err)
	}
	var m messages
	if _, err := flightwire.Write(t.Context(), &m, nil, in); err != nil {
		t.Fatal(err)
	}
	r, err := flightwire.NewReader(&m, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		t.Fatal(r.Err())
	}
	for i, c := range r.RecordBatch().Columns() {
		if c.Len() != 3 || !arrow.TypeEqual(c.DataType(), columns[i].DataType()) {
			t.Errorf("%s: %v", fields[i].Name, c)
		}
	}
	if r.Next() || r.Err() != nil {
		t.Error(r.Err())
	}
}

// FuzzReader: whatever comes, what is handed out can be read.
func FuzzReader(f *testing.F) {
	m := sent(f, 3)
	f.Add(m[0].DataHeader, m[1].DataHeader, m[1].DataBody)
	var packed messages
	w := flight.NewRecordWriter(&packed, ipc.WithSchema(sample(1).Schema()), ipc.WithLZ4())
	if err := w.Write(sample(100)); err != nil {
		f.Fatal(err)
	}
	f.Add(packed[0].DataHeader, packed[1].DataHeader, packed[1].DataBody)
	f.Fuzz(func(_ *testing.T, schema, header, body []byte) {
		m := messages{{DataHeader: schema}, {DataHeader: header, DataBody: body}}
		r, err := flightwire.NewReader(&m, func(b arrow.RecordBatch) error {
			if b.NumRows() > 1000 {
				return errors.New("too many")
			}
			return nil
		})
		if err != nil {
			return
		}
		defer r.Release()
		for r.Next() {
			for _, c := range r.RecordBatch().Columns() {
				for i := range c.Len() {
					_ = c.ValueStr(i)
				}
			}
		}
	})
}
