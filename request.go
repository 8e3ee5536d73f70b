package feast

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// chunkKeys bounds how many entities of a key set one store read is given, so that a large request neither builds one
// enormous command nor keeps a connection for long.
const chunkKeys = 10_000

// request is the memory that reading needs besides the answer's, reused from call to call.
type request struct {
	shape   []byte // of a one-off query
	frame   []frameColumn
	names   []string
	fields  []types.Field
	columns []*types.Column // of one key set
	keys    online.Keys
	groups  [][]online.Key
	chunk   [][]online.Key
	buf     []byte // serialized keys
	ends    []int  // of the keys in buf
	repeats [][]repeat
	seen    keyTable
	arrow   arrowconv.Importer
}

// repeat says that a row asks for the same entity as an earlier one.
type repeat struct{ dst, src int }

// load reads the frame's columns and returns the number of rows.
func (q *request) load(f Frame) (rows int, err error) {
	if f == nil {
		return 0, feasterr.Invalid("no entity rows: set Entities")
	}
	if q.frame, err = f.appendColumns(q.frame[:0]); err != nil {
		return 0, err
	}
	q.names = q.names[:0]
	for i := range q.frame {
		c := &q.frame[i]
		q.names = append(q.names, c.name)
		if c.n != q.frame[0].n {
			return 0, &feasterr.RequestError{Column: c.name, Row: -1, Msg: fmt.Sprintf("has %d rows and column %q has %d: all columns must have the same length", c.n, q.frame[0].name, q.frame[0].n)}
		}
	}
	if len(q.frame) == 0 {
		return 0, nil
	}
	return q.frame[0].n, nil
}

// convert makes typed columns of the frame's, as the layout says.
func (q *request) convert(out *OnlineResponse, l *plan.Layout, rows int) error {
	out.fields = q.inferred(l, out.fields)
	out.entities.Reset(out.fields, rows)
	cols := out.entities.Columns()
	for i, c := range l.Columns {
		if c.Source < 0 {
			continue
		}
		dst, src := &cols[i], &q.frame[c.Source]
		if src.kind == colArrow {
			if err := q.importArrow(dst, src.array(), c.Type == types.Invalid && !l.IsKey(i)); err != nil {
				return err
			}
			continue
		}
		if c.Type == types.Invalid && src.kind == colAny && !l.IsKey(i) {
			if err := fillEcho(dst, slice[any](src)); err != nil {
				return err
			}
			continue
		}
		if err := fill(dst, src); err != nil {
			return err
		}
	}
	return nil
}

// importArrow converts a column of a record batch; nulls are for columns that are only answered.
func (q *request) importArrow(dst *types.Column, src arrow.Array, nulls bool) error {
	if err := q.arrow.Import(dst, 0, src); err != nil || nulls {
		return err
	}
	for row := range src.Len() {
		if !dst.HasValue(row) {
			return &feasterr.RequestError{Column: dst.Name(), Row: row, Msg: "an entity key cannot be null"}
		}
	}
	return nil
}

// inferred returns the fields of the layout's columns, the types that no view declares taken from the values. A block keeps
// its fields, so that they are last, those of the request before, or new.
func (q *request) inferred(l *plan.Layout, last []types.Field) []types.Field {
	q.fields = append(q.fields[:0], l.Fields...)
	declared := true
	for i, c := range l.Columns {
		if c.Type == types.Invalid && c.Source >= 0 {
			q.fields[i].Type, declared = naturalType(&q.frame[c.Source]), false
		}
	}
	switch {
	case declared:
		return l.Fields
	case slices.Equal(q.fields, last):
		return last
	}
	return slices.Clone(q.fields)
}

// naturalType is the type of a column that no view declares.
func naturalType(c *frameColumn) types.Type {
	switch c.kind {
	case colInt, colInt32, colInt64:
		return types.Int64
	case colString:
		return types.String
	case colFloat32, colFloat64:
		return types.Float64
	case colBool:
		return types.Bool
	case colBytes:
		return types.Bytes
	case colTime:
		return types.UnixTimestamp
	case colArrow:
		return arrowconv.TypeOf(c.array().DataType())
	}
	for _, v := range slice[any](c) {
		if v != nil {
			return types.Infer(v)
		}
	}
	return types.Invalid
}

// fill converts a column of a frame. Typed slices must fit the type as they are; []any is coerced as Feast does.
func fill(dst *types.Column, src *frameColumn) error {
	typ := dst.Type()
	whole := typ == types.Int64 || typ == types.UnixTimestamp
	switch {
	case src.kind == colInt64 && whole:
		for i, v := range slice[int64](src) {
			dst.SetInt64(i, v)
		}
	case src.kind == colInt && whole:
		for i, v := range slice[int](src) {
			dst.SetInt64(i, int64(v))
		}
	case src.kind == colInt32 && whole:
		for i, v := range slice[int32](src) {
			dst.SetInt64(i, int64(v))
		}
	case src.kind == colInt32 && typ == types.Int32:
		for i, v := range slice[int32](src) {
			dst.SetInt32(i, v)
		}
	case src.kind == colString && (typ == types.String || typ == types.UUID || typ == types.TimeUUID || typ == types.Decimal):
		for i, v := range slice[string](src) {
			if err := dst.SetString(i, v); err != nil {
				return &feasterr.RequestError{Column: dst.Name(), Row: i, Err: err}
			}
		}
	case src.kind == colBytes && typ == types.Bytes:
		for i, v := range slice[[]byte](src) {
			if v == nil {
				return &feasterr.RequestError{Column: dst.Name(), Row: i, Msg: "an entity key cannot be null"}
			}
			if err := dst.SetBytes(i, v); err != nil {
				return &feasterr.RequestError{Column: dst.Name(), Row: i, Err: err}
			}
		}
	case src.kind == colAny:
		return fillEach(dst, slice[any](src), func(v any) any { return v })
	case src.kind == colInt64 && typ == types.Int32:
		return fillEach(dst, slice[int64](src), func(v int64) any { return v })
	case src.kind == colInt && typ == types.Int32:
		return fillEach(dst, slice[int](src), func(v int) any { return v })
	case src.kind == colTime && typ == types.UnixTimestamp:
		return fillEach(dst, slice[time.Time](src), func(v time.Time) any { return v })
	case src.kind == colBool && typ == types.Bool:
		return fillEach(dst, slice[bool](src), func(v bool) any { return v })
	case src.kind == colFloat64 && (typ == types.Float64 || typ == types.Float32):
		return fillEach(dst, slice[float64](src), func(v float64) any { return v })
	case src.kind == colFloat32 && (typ == types.Float64 || typ == types.Float32):
		return fillEach(dst, slice[float32](src), func(v float32) any { return v })
	default:
		return &feasterr.RequestError{Column: dst.Name(), Row: -1, Msg: fmt.Sprintf("is a %s, and the join key is %s; []any has its values coerced", src.kind, typ)}
	}
	return nil
}

// fillEcho is fill for a join key of other views, which is only answered: it may be null.
func fillEcho(dst *types.Column, src []any) error {
	for i, v := range src {
		if v == nil {
			dst.Clear(i, types.NullValue)
			continue
		}
		if dst.Type() == types.Invalid {
			return &feasterr.RequestError{Column: dst.Name(), Row: i, Msg: fmt.Sprintf("a %T is no value of a join key", v)}
		}
		if err := dst.SetScalar(i, v); err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: i, Err: err}
		}
	}
	return nil
}

func fillEach[T any](dst *types.Column, src []T, native func(T) any) error {
	for i, v := range src {
		if err := dst.SetScalar(i, native(v)); err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: i, Err: err}
		}
	}
	return nil
}

// encode serializes the distinct keys of every key set, and notes the rows that repeat one.
func (q *request) encode(p *plan.Online, l *plan.Layout, entities *types.Block) error {
	rows := entities.Rows()
	for len(q.groups) < len(p.Sets) {
		q.groups, q.repeats = append(q.groups, nil), append(q.repeats, nil)
	}
	q.groups, q.repeats = q.groups[:len(p.Sets)], q.repeats[:len(p.Sets)]
	q.buf = q.buf[:0]
	cols := entities.Columns()
	// buf may move while it grows: keys are cut from it at the end.
	q.ends = q.ends[:0]
	for s := range p.Sets {
		set := &p.Sets[s]
		q.groups[s], q.repeats[s] = q.groups[s][:0], q.repeats[s][:0]
		if len(set.Keys) == 1 && set.Keys[0].Request == "" {
			if err := q.encodeDummy(s, set, rows); err != nil {
				return err
			}
			continue
		}
		if l.Sets[s] == nil { // a part of the key is missing, and that is allowed
			continue
		}
		q.columns = q.columns[:0]
		for _, c := range l.Sets[s] {
			q.columns = append(q.columns, &cols[c])
		}
		if rows > 1 {
			q.seen.reset(rows)
		}
		first := len(q.ends)
		for row := range rows {
			start := len(q.buf)
			var err error
			if q.buf, err = set.Encoding.Append(q.buf, q.columns, row); err != nil {
				return err
			}
			if rows > 1 {
				if at := q.seen.find(q, s, first, start); at >= 0 {
					q.repeats[s] = append(q.repeats[s], repeat{row, q.groups[s][at].Row})
					q.buf = q.buf[:start]
					continue
				}
			}
			q.ends = append(q.ends, len(q.buf))
			q.groups[s] = append(q.groups[s], online.Key{Row: row})
		}
	}
	start, k := 0, 0
	for s := range q.groups {
		for i := range q.groups[s] {
			q.groups[s][i].Bytes = q.buf[start:q.ends[k]:q.ends[k]]
			start = q.ends[k]
			k++
		}
	}
	return nil
}

// keepBytes is how large a request may grow and still be kept for another.
const keepBytes = 1 << 20

// drop forgets what belongs to callers, so that a kept request does not keep it alive, and reports whether it is small
// enough to be kept.
func (q *request) drop() bool {
	clear(q.frame)
	clear(q.names)
	clear(q.columns)
	q.frame, q.names, q.columns = q.frame[:0], q.names[:0], q.columns[:0]
	return cap(q.buf) <= keepBytes
}

// dummy is the column of the key of views without entities.
var dummy = func() *types.Column {
	c := types.NewColumn(online.DummyJoinKey, types.String, 1)
	_ = c.SetString(0, "") // fits
	return c
}()

// encodeDummy makes every row the one row of views without entities.
func (q *request) encodeDummy(s int, set *plan.KeySet, rows int) error {
	q.columns = append(q.columns[:0], dummy)
	var err error
	if q.buf, err = set.Encoding.Append(q.buf, q.columns, 0); err != nil {
		return err
	}
	q.ends = append(q.ends, len(q.buf))
	q.groups[s] = append(q.groups[s], online.Key{Row: 0})
	for row := 1; row < rows; row++ {
		q.repeats[s] = append(q.repeats[s], repeat{row, 0})
	}
	return nil
}

// keyTable finds keys that were encoded before: open addressing over places in a group.
type keyTable struct {
	seed  maphash.Seed
	slots []int32 // place in the group plus 1
	init  bool
}

func (t *keyTable) reset(rows int) {
	if !t.init {
		t.seed, t.init = maphash.MakeSeed(), true
	}
	size := 8
	for size < 2*rows {
		size *= 2
	}
	if cap(t.slots) < size {
		t.slots = make([]int32, size)
		return
	}
	t.slots = t.slots[:size]
	clear(t.slots)
}

// find looks up the key that stands at the end of the buffer, from start; it returns its place in the group, or -1 and
// notes it as the next. first is the number of the group's first key in q.ends.
func (t *keyTable) find(q *request, group, first, start int) int {
	key := q.buf[start:]
	mask := len(t.slots) - 1
	for i := int(maphash.Bytes(t.seed, key)) & mask; ; i = (i + 1) & mask {
		at := int(t.slots[i])
		if at == 0 {
			t.slots[i] = int32(len(q.groups[group]) + 1)
			return -1
		}
		from := 0
		if n := first + at - 1; n > 0 {
			from = q.ends[n-1]
		}
		if bytes.Equal(q.buf[from:q.ends[first+at-1]], key) {
			return at - 1
		}
	}
}

// read fetches all keys, in chunks where there are many.
func (q *request) read(ctx context.Context, r online.Reader, dst *online.Result) error {
	most := 0
	for _, g := range q.groups {
		most = max(most, len(g))
	}
	if most <= chunkKeys {
		q.keys.Reset(q.groups)
		return r.Read(ctx, &q.keys, dst)
	}
	for from := 0; from < most; from += chunkKeys {
		q.chunk = q.chunk[:0]
		for _, g := range q.groups {
			q.chunk = append(q.chunk, g[min(from, len(g)):min(from+chunkKeys, len(g))])
		}
		q.keys.Reset(q.chunk)
		if err := r.Read(ctx, &q.keys, dst); err != nil {
			return err
		}
	}
	return nil
}

// keyCount is the number of distinct keys.
func (q *request) keyCount() int { return len(q.ends) }
