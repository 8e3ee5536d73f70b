package feast

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// EntitySource is where the entity rows of training data come from: any [Frame], a [ParquetFile], an [ArrowReader], or [SQL].
type EntitySource interface{ entitySource() }

// ParquetFile is the path of a Parquet file, a directory of them or a pattern, relative to the working directory. Reading it
// needs the import of github.com/feastgo/feast/offline/file.
type ParquetFile string

// SQL is a query of the offline store's database whose rows are the entity rows, with their times in column
// event_timestamp. Stores that are no database refuse it.
type SQL string

func (ParquetFile) entitySource() {}
func (SQL) entitySource()         {}
func (arrowReader) entitySource() {}
func (Columns) entitySource()     {}
func (Rows) entitySource()        {}
func (*Batch) entitySource()      {}

func (structFrame[T]) entitySource() {}
func (arrowFrame) entitySource()     {}

// ArrowReader makes an entity source of a stream of Arrow record batches, which is read once: so the job can be. The caller
// keeps its reference to r, which the job does not use after it was read.
func ArrowReader(r array.RecordReader) EntitySource { return arrowReader{r, new(atomic.Bool)} }

type arrowReader struct {
	array.RecordReader
	read *atomic.Bool
}

// ArrowFrame makes a frame of an Arrow record batch: entity rows of online requests and of training, or rows to push. Values
// are converted by Feast's rules for native ones: whole numbers of any width, text of numbers for text keys, timestamps of
// any unit and zone. Neither the frame nor a [RetrievalJob] made of it retains rb, which has to live as long as they are used.
func ArrowFrame(rb arrow.RecordBatch) Frame { return arrowFrame{rb} }

type arrowFrame struct{ rb arrow.RecordBatch }

func (f arrowFrame) appendColumns(_ context.Context, dst []frameColumn) ([]frameColumn, error) {
	if f.rb == nil {
		return dst, feasterr.Invalid("feast.ArrowFrame of a nil record batch")
	}
	for i := range f.rb.Columns() {
		dst = append(dst, arrowColumn(f.rb.ColumnName(i), &f.rb.Columns()[i]))
	}
	return dst, nil
}

// entityRows are entity rows that can be opened.
type entityRows struct {
	sql    string // a query, then the rest is not set
	schema *arrow.Schema
	open   func(ctx context.Context) (array.RecordReader, error)
}

// openEntities looks at entity rows without reading them, as far as they are not in memory.
func openEntities(ctx context.Context, src EntitySource) (entityRows, error) {
	switch s := src.(type) {
	case SQL:
		if s == "" {
			return entityRows{}, feasterr.Invalid("feast.SQL of an empty query")
		}
		return entityRows{sql: string(s)}, nil
	case ParquetFile:
		codec, err := offline.Parquet()
		if err != nil {
			return entityRows{}, err
		}
		schema, err := codec.Schema(ctx, string(s))
		return entityRows{schema: schema, open: func(ctx context.Context) (array.RecordReader, error) {
			return codec.Open(ctx, string(s))
		}}, err
	case arrowReader:
		if s.RecordReader == nil {
			return entityRows{}, feasterr.Invalid("feast.ArrowReader of a nil reader")
		}
		return entityRows{schema: s.Schema(), open: func(context.Context) (array.RecordReader, error) {
			if s.read.Swap(true) {
				return nil, feasterr.Invalid("the entity rows are a feast.ArrowReader, which can be read once, and so can the job")
			}
			s.Retain()
			return s.RecordReader, nil
		}}, nil
	}
	schema, columns, rows, err := arrowColumns(ctx, src.(Frame)) // as all others are
	if err != nil {
		return entityRows{}, err
	}
	return entityRows{schema: schema, open: func(context.Context) (array.RecordReader, error) {
		batch := array.NewRecordBatch(schema, columns, rows)
		defer batch.Release()
		return array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	}}, nil
}

// arrowColumns copies a frame into arrays of the garbage collector's memory; those of an [ArrowFrame] it borrows.
func arrowColumns(ctx context.Context, f Frame) (*arrow.Schema, []arrow.Array, int64, error) {
	var req request
	rows, err := req.load(ctx, f)
	if err != nil {
		return nil, nil, 0, err
	}
	fields := make([]arrow.Field, 0, len(req.frame))
	columns := make([]arrow.Array, 0, len(req.frame))
	for i := range req.frame {
		c, err := arrowOf(ctx, &req.frame[i])
		if err != nil {
			return nil, nil, 0, err
		}
		fields = append(fields, arrow.Field{Name: req.frame[i].name, Type: c.DataType(), Nullable: true})
		columns = append(columns, c)
	}
	return arrow.NewSchema(fields, nil), columns, int64(rows), nil
}

// listTypes are the types of columns of slices.
var listTypes = map[columnKind]types.Type{
	colInt32s: types.Int32List, colInt64s: types.Int64List, colFloat32s: types.Float32List, colFloat64s: types.Float64List,
	colBools: types.BoolList, colStrings: types.StringList, colByteses: types.BytesList,
}

// arrowOf makes an array of a frame's column. Nulls are allowed: a key without a value matches nothing.
func arrowOf(ctx context.Context, c *frameColumn) (arrow.Array, error) {
	typ := naturalType(c)
	switch {
	case c.kind == colArrow:
		return c.array(), nil // all of it, since frames are given whole
	case c.kind == colTime:
		times := slice[time.Time](c)
		return timesOf(ctx, c, func(i int) (time.Time, bool, error) { return times[i], true, nil })
	case c.kind == colAny && typ == types.UnixTimestamp:
		values := slice[any](c)
		return timesOf(ctx, c, func(i int) (time.Time, bool, error) {
			t, ok := values[i].(time.Time)
			if !ok && values[i] != nil {
				return t, false, errors.New("is no time.Time, and others of the column are")
			}
			return t, ok, nil
		})
	case listTypes[c.kind] != types.Invalid:
		typ = listTypes[c.kind]
	case typ == types.Invalid && c.kind != colAny:
		return nil, &feasterr.RequestError{Column: c.name, Row: -1, Msg: "is a " + c.String() + ", for which Feast has no type"}
	}
	dt, err := arrowconv.DataType(typ, "")
	if err != nil {
		return nil, err
	}
	return inParts(ctx, c, typ, dt, func(dst *types.Column, part *frameColumn) error {
		switch {
		case typ == types.Invalid: // nothing but nulls
			return nil
		case c.kind == colAny || c.kind == colOther:
			return fillEcho(dst, part)
		}
		return fill(dst, part, c.kind == colBytes || typ.Elem() != types.Invalid)
	})
}

// arrowTime returns a value of a column of kind colArrow, which is no timestamp, as parseTime takes it.
func (c *frameColumn) arrowTime(i int) any {
	a := c.array()
	if i += c.from; a.DataType().ID() == arrow.NULL || a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Date32:
		return a.Value(i).ToTime()
	case *array.Int64:
		return a.Value(i)
	case interface{ Value(i int) string }:
		return a.Value(i)
	}
	return a.DataType()
}

// timesOf makes an array of a column's times, to the nanosecond where one needs it, else to the microsecond. at returns the
// time of a row, if it has any.
func timesOf(ctx context.Context, c *frameColumn, at func(row int) (time.Time, bool, error)) (arrow.Array, error) {
	times, valid := make([]time.Time, c.n), make([]bool, c.n)
	unit := arrow.Microsecond
	for i := range times {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		t, ok, err := at(i)
		if err != nil {
			return nil, &feasterr.RequestError{Column: c.name, Row: i, Err: err}
		}
		times[i], valid[i] = t, ok
		if t.Nanosecond()%1000 != 0 {
			unit = arrow.Nanosecond
		}
	}
	b := array.NewTimestampBuilder(memory.DefaultAllocator, &arrow.TimestampType{Unit: unit, TimeZone: "UTC"})
	defer b.Release()
	b.Reserve(len(times))
	for i, t := range times {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		const furthest = math.MaxInt64 / 1_000_000_000
		switch s := t.Unix(); {
		case !valid[i]:
			b.AppendNull()
		case unit == arrow.Microsecond && s > -furthest*1000 && s < furthest*1000:
			b.Append(arrow.Timestamp(t.UnixMicro()))
		case unit == arrow.Nanosecond && s > -furthest && s < furthest:
			b.Append(arrow.Timestamp(t.UnixNano()))
		default:
			return nil, &feasterr.RequestError{Column: c.name, Row: i, Msg: "a time of the year " + t.UTC().Format("2006") + " is beyond what timestamps with nanoseconds can express: round the column's times to microseconds"}
		}
	}
	return b.NewArray(), nil
}

// asTimes makes an array of times of one of dates or ISO 8601 text. first is the row number of the array's first.
func asTimes(ctx context.Context, name string, a arrow.Array, first int64) (arrow.Array, error) {
	if isDate(a.DataType()) {
		days := types.NewColumn(name, types.UnixTimestamp, a.Len())
		if err := new(arrowconv.Importer).Import(days, 0, a); err != nil {
			return nil, err
		}
		return arrowconv.Array(days, arrowconv.Timestamp, memory.DefaultAllocator)
	}
	text := a.(interface{ Value(i int) string }) // as all arrays of text have it
	b := array.NewTimestampBuilder(memory.DefaultAllocator, arrowconv.Timestamp.(*arrow.TimestampType))
	defer b.Release()
	b.Reserve(a.Len())
	for i := range a.Len() {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		if a.IsNull(i) {
			b.AppendNull()
			continue
		}
		t, ok := types.ParseISOTime(text.Value(i))
		if !ok {
			return nil, &feasterr.RequestError{Column: name, Row: int(first) + i, Msg: "text " + strconv.Quote(text.Value(i)) + " is no ISO 8601 time"}
		}
		b.Append(arrow.Timestamp(t.Time().UnixMicro()))
	}
	return b.NewArray(), nil
}
