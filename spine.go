package feast

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// The spine is the entity rows of a retrieval that has none: the distinct (event time, keys) of all views, by time, then
// keys. Each is kept as bytes that sort in that order.

// spine reads the keys of all views. The caller releases the reader.
func (j *RetrievalJob) spine(ctx context.Context) (array.RecordReader, error) {
	s := &spine{keys: j.keys, seen: map[string]struct{}{}}
	for view := range j.plan.Views {
		if err := j.addKeys(ctx, s, view); err != nil {
			return nil, err
		}
	}
	batch, err := s.batch(ctx)
	if err != nil {
		return nil, err
	}
	defer batch.Release()
	return array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
}

func (j *RetrievalJob) addKeys(ctx context.Context, s *spine, view int) error {
	r, err := j.scan(ctx, view, false)
	if err != nil {
		return err
	}
	defer r.Release()
	return s.addAll(ctx, r, j.plan.Views[view].Name)
}

func (s *spine) addAll(ctx context.Context, r array.RecordReader, view string) error {
	for r.Next() {
		if err := s.add(ctx, r.RecordBatch(), view); err != nil {
			return err
		}
	}
	return r.Err()
}

type spine struct {
	keys  []string
	types []types.Type // of keys, by the first view; nil before
	names []string     // of the views that they are from
	seen  map[string]struct{}
	buf   []byte

	newest map[string]int64 // instead of seen: of each key the newest time
}

// keyType is the type as which a join key is compared.
func keyType(dt arrow.DataType) types.Type {
	switch t := arrowconv.TypeOf(dt); t {
	case types.Int64, types.Float64, types.Bytes:
		return t
	case types.Bool:
		return types.Int64
	case types.UnixTimestamp:
		return types.UnixTimestamp
	default:
		return types.String
	}
}

// add takes the keys and times of a view's rows.
func (s *spine) add(ctx context.Context, b arrow.RecordBatch, view string) error {
	column := func(name string) (arrow.Array, error) {
		if at := b.Schema().FieldIndices(name); len(at) == 1 {
			return b.Column(at[0]), nil
		}
		return nil, feasterr.Invalid("the offline store answered without column %q", name)
	}
	event, err := column(plan.EventTimestamp)
	if err != nil {
		return err
	}
	stamps, ok := event.(*array.Timestamp)
	if !ok || !arrow.TypeEqual(event.DataType(), arrowconv.Timestamp) {
		return feasterr.Invalid("the offline store answered times as %s", event.DataType())
	}
	appendKeys := make([]func(dst []byte, row int) []byte, 0, len(s.keys))
	first := s.types == nil
	for i, name := range s.keys {
		a, err := column(name)
		if err != nil {
			return err
		}
		typ := keyType(a.DataType())
		if first {
			s.types, s.names = append(s.types, typ), append(s.names, view)
		} else if typ != s.types[i] {
			return &feasterr.RequestError{Column: name, Row: -1, Msg: fmt.Sprintf("is %s in feature view %q and %s in %q: the keys of views that are joined must have one type", typ, view, s.types[i], s.names[i])}
		}
		appendKey, err := keyAppender(name, typ, a)
		if err != nil {
			return err
		}
		appendKeys = append(appendKeys, appendKey)
	}
	if first && len(s.keys) == 0 {
		s.types = []types.Type{} // of views without keys
	}
	for row, t := range stamps.Values() {
		if err := ended(ctx, row); err != nil {
			return err
		}
		s.buf = appendOrdered(s.buf[:0], int64(t))
		for _, appendKey := range appendKeys {
			s.buf = appendKey(s.buf, row)
		}
		if s.newest != nil {
			if was, ok := s.newest[string(s.buf[8:])]; !ok || int64(t) > was {
				s.newest[string(s.buf[8:])] = int64(t)
			}
		} else if _, ok := s.seen[string(s.buf)]; !ok {
			s.seen[string(s.buf)] = struct{}{}
		}
	}
	return nil
}

// keyAppender returns what appends a key: 0 for a null, else 1 and the value, so that they sort as values do.
func keyAppender(name string, typ types.Type, a arrow.Array) (func(dst []byte, row int) []byte, error) {
	if stamps, ok := a.(*array.Timestamp); ok && typ == types.UnixTimestamp {
		return orNull(func(row int) bool { return a.IsValid(row) }, func(dst []byte, row int) []byte {
			return appendOrdered(dst, int64(stamps.Value(row)))
		}), nil
	}
	c := types.NewColumn(name, typ, a.Len())
	var m arrowconv.Importer
	if err := m.Import(c, 0, a); err != nil {
		return nil, err
	}
	switch typ {
	case types.Int64:
		values, err := types.Values[int64](c)
		return orNull(c.HasValue, func(dst []byte, row int) []byte { return appendOrdered(dst, values[row]) }), err
	case types.UnixTimestamp: // of dates
		values, err := types.Values[int64](c)
		return orNull(c.HasValue, func(dst []byte, row int) []byte { return appendOrdered(dst, values[row]*1_000_000) }), err
	case types.Float64:
		values, err := types.Values[float64](c)
		return orNull(c.HasValue, func(dst []byte, row int) []byte {
			return appendOrdered(dst, flipNegative(int64(math.Float64bits(values[row]))))
		}), err
	}
	return orNull(c.HasValue, func(dst []byte, row int) []byte {
		for _, b := range c.Bytes(row) { // 0 becomes 0 1, the end is 0 0
			if dst = append(dst, b); b == 0 {
				dst = append(dst, 1)
			}
		}
		return append(dst, 0, 0)
	}), nil
}

func orNull(has func(row int) bool, value func(dst []byte, row int) []byte) func(dst []byte, row int) []byte {
	return func(dst []byte, row int) []byte {
		if !has(row) {
			return append(dst, 0)
		}
		return value(append(dst, 1), row)
	}
}

// flipNegative makes the bits of floats sort as floats do, and back.
func flipNegative(bits int64) int64 { return bits ^ int64(uint64(bits>>63)>>1) }

// appendOrdered appends a number as bytes that sort as numbers do.
func appendOrdered(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// batch makes entity rows of what was added. The caller releases it.
func (s *spine) batch(ctx context.Context) (arrow.RecordBatch, error) {
	if s.newest != nil {
		return s.batchOf(ctx, len(s.newest), maps.All(s.newest))
	}
	rows, err := s.sorted(ctx)
	if err != nil {
		return nil, err
	}
	return s.batchOf(ctx, len(rows), func(yield func(string, int64) bool) {
		for _, row := range rows {
			if t, keys := cutOrdered(row); !yield(keys, t) {
				return
			}
		}
	})
}

// sorted returns what was added in order.
func (s *spine) sorted(ctx context.Context) ([]string, error) {
	rows := make([]string, 0, len(s.seen))
	for row := range s.seen {
		if err := ended(ctx, len(rows)); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	var err error
	compared := 0
	slices.SortFunc(rows, func(a, b string) int {
		if err == nil {
			err = ended(ctx, compared)
			compared++
		}
		if err != nil {
			return 0 // what is equal is in order: sorting ends
		}
		return strings.Compare(a, b)
	})
	return rows, err
}

func (s *spine) batchOf(ctx context.Context, n int, rows iter.Seq2[string, int64]) (arrow.RecordBatch, error) {
	fields := []arrow.Field{{Name: plan.EventTimestamp, Type: arrowconv.Timestamp, Nullable: true}}
	for i, name := range s.keys {
		var dt arrow.DataType = arrow.Null
		if i < len(s.types) {
			var err error
			if dt, err = arrowconv.DataType(s.types[i], ""); err != nil {
				return nil, err
			}
		}
		fields = append(fields, arrow.Field{Name: name, Type: dt, Nullable: true})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	b.Reserve(n)
	row := 0
	for rest, t := range rows {
		if err := ended(ctx, row); err != nil {
			return nil, err
		}
		row++
		b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(t))
		for i := range s.keys {
			rest = appendKeyTo(b.Field(i+1), rest)
		}
	}
	return b.NewRecordBatch(), nil
}

func cutOrdered(s string) (int64, string) {
	var n uint64
	for i := range 8 {
		n = n<<8 | uint64(s[i])
	}
	return int64(n ^ 1<<63), s[8:]
}

// appendKeyTo appends the key that s begins with, and returns the rest.
func appendKeyTo(builder array.Builder, s string) string {
	null := s[0] == 0
	s = s[1:]
	if null {
		builder.AppendNull()
		return s
	}
	switch b := builder.(type) {
	case *array.Int64Builder:
		n, rest := cutOrdered(s)
		b.Append(n)
		return rest
	case *array.TimestampBuilder:
		n, rest := cutOrdered(s)
		b.Append(arrow.Timestamp(n))
		return rest
	case *array.Float64Builder:
		n, rest := cutOrdered(s)
		b.Append(math.Float64frombits(uint64(flipNegative(n))))
		return rest
	}
	var text []byte
	for {
		if s[0] == 0 {
			if s[1] == 0 {
				break
			}
			text, s = append(text, 0), s[2:]
			continue
		}
		text, s = append(text, s[0]), s[1:]
	}
	if b, ok := builder.(*array.BinaryBuilder); ok {
		b.Append(text)
	} else {
		builder.(*array.StringBuilder).Append(string(text))
	}
	return s[2:]
}
