package feast

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

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
	vectors *vectors // nil as long as there are none
}

// repeat says that a row asks for the same entity as an earlier one.
type repeat struct{ dst, src int }

// load reads the frame's columns and returns the number of rows.
func (q *request) load(ctx context.Context, f Frame) (rows int, err error) {
	if f == nil {
		return 0, feasterr.Invalid("no entity rows: set Entities")
	}
	q.frame, q.names, rows, err = loadFrame(ctx, f, q.frame, q.names)
	return rows, err
}

// loadFrame reads a frame's columns and their names into memory to reuse, and returns the number of rows.
func loadFrame(ctx context.Context, f Frame, frame []frameColumn, names []string) (_ []frameColumn, _ []string, rows int, err error) {
	names = names[:0]
	if frame, err = f.appendColumns(ctx, frame[:0]); err != nil {
		return frame, names, 0, err
	}
	for i := range frame {
		c := &frame[i]
		names = append(names, c.name)
		if c.n != frame[0].n {
			return frame, names, 0, &feasterr.RequestError{Column: c.name, Row: -1, Msg: fmt.Sprintf("has %d rows and column %q has %d: all columns must have the same length", c.n, frame[0].name, frame[0].n)}
		}
	}
	if len(frame) > 0 {
		rows = frame[0].n
	}
	return frame, names, rows, nil
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
			if err := fillArrow(dst, src, c.Data || c.Type == types.Invalid && !l.IsKey(i)); err != nil {
				return err
			}
			continue
		}
		if c.Data {
			if err := fillData(dst, src); err != nil {
				return err
			}
			continue
		}
		if c.Type == types.Invalid && (src.kind == colAny || src.kind == colOther) && !l.IsKey(i) {
			if err := fillEcho(dst, src); err != nil {
				return err
			}
			continue
		}
		if err := fill(dst, src, false); err != nil {
			return err
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
	case colAny, colOther:
		for i := range c.n {
			if v := c.native(i); v != nil {
				return types.Infer(v)
			}
		}
	}
	return types.Invalid
}

// fill converts a column of a frame: a join key's, or with nulls a feature's. Typed slices must fit the type as they are;
// []any is coerced as Feast does.
func fill(dst *types.Column, src *frameColumn, nulls bool) error {
	if fits := takes(dst.Type(), src.kind, nulls); !fits && (src.kind != colOther || !takesElem(dst.Type(), src.elem, nulls)) {
		what := "join key"
		if nulls {
			what = "feature"
		}
		return &feasterr.RequestError{Column: dst.Name(), Row: -1, Msg: fmt.Sprintf("is a %s, and the %s is %s; []any has its values coerced", src, what, dst.Type())}
	}
	switch src.kind {
	case colArrow:
		return fillArrow(dst, src, nulls)
	case colAny:
		for i, v := range slice[any](src) {
			set := dst.SetScalar
			if nulls {
				set = dst.SetNative
			}
			if err := set(i, v); err != nil {
				return rowError(dst, i, err)
			}
		}
		return nil
	case colInt:
		return fillWhole(dst, slice[int](src))
	case colInt32:
		return fillWhole(dst, slice[int32](src))
	case colInt64:
		return fillWhole(dst, slice[int64](src))
	case colFloat32:
		fillFloats(dst, slice[float32](src), nulls)
		return nil
	case colFloat64:
		fillFloats(dst, slice[float64](src), nulls)
		return nil
	case colBool:
		for i, v := range slice[bool](src) {
			dst.SetBool(i, v)
		}
		return nil
	case colString:
		return fillEach(dst, slice[string](src), dst.SetText)
	case colBytes:
		return fillBytes(dst, slice[[]byte](src), nulls)
	case colTime:
		return fillEach(dst, slice[time.Time](src), func(i int, v time.Time) error {
			if nulls {
				return dst.SetNative(i, v)
			}
			return dst.SetScalar(i, v)
		})
	case colOther:
		if nulls {
			break
		}
		for i := range src.n {
			if err := dst.SetScalar(i, src.native(i)); err != nil {
				return rowError(dst, i, err)
			}
		}
		return nil
	}
	return fillList(dst, src)
}

// takes reports whether a column of a type takes a typed slice of a kind as it is.
func takes(typ types.Type, kind columnKind, nulls bool) bool {
	switch kind {
	case colAny, colArrow:
		return true
	case colInt, colInt32, colInt64:
		return isWhole(typ)
	case colFloat32, colFloat64:
		return typ == types.Float64 || typ == types.Float32
	case colBool:
		return typ == types.Bool
	case colString:
		return isText(typ) || nulls && isObject(typ)
	case colBytes:
		return typ == types.Bytes || nulls && (typ.ValueField() == types.Bytes.ValueField() || takesJSON(typ))
	case colTime:
		return typ == types.UnixTimestamp || nulls && typ == types.ZonedTimestamp
	case colOther:
		return false // by its element type, see takesElem
	}
	return nulls && (typ.Elem() != types.Invalid || typ == types.ValueList || typ == types.ValueSet)
}

// takesElem is takes for elements that have no kind of their own: of a pointer, by what it points to.
func takesElem(typ types.Type, elem reflect.Type, nulls bool) bool {
	for pointsToValue(elem) {
		elem = elem.Elem()
	}
	if kind, _ := kindOfType(elem); kind != colOther {
		return takes(typ, kind, nulls)
	}
	switch k := elem.Kind(); {
	case elem.Implements(textMarshaler):
		return isText(typ)
	case k >= reflect.Int && k <= reflect.Uintptr:
		return isWhole(typ)
	}
	return nulls // maps, arrays and the like: by their values
}

func isWhole(t types.Type) bool {
	return t == types.Int64 || t == types.Int32 || t == types.UnixTimestamp
}

// isText reports whether values of a type are text that is stored as it is.
func isText(t types.Type) bool {
	return t == types.String || t == types.UUID || t == types.TimeUUID || t == types.Decimal || t == types.JSON
}

func isObject(t types.Type) bool { return t == types.Map || t == types.Struct }

// takesJSON reports whether values of a type may be given as JSON text in bytes.
func takesJSON(t types.Type) bool {
	return t == types.JSON || isObject(t) || t.Elem() != types.Invalid || t == types.ValueList || t == types.ValueSet
}

func rowError(dst *types.Column, row int, err error) error {
	return &feasterr.RequestError{Column: dst.Name(), Row: row, Err: err}
}

func noKey(column string, row int) error {
	return &feasterr.RequestError{Column: column, Row: row, Msg: "an entity key cannot be null"}
}

func fillWhole[T int | int32 | int64](dst *types.Column, src []T) error {
	if dst.Type() != types.Int32 {
		for i, v := range src {
			dst.SetInt64(i, int64(v))
		}
		return nil
	}
	for i, v := range src {
		if T(int32(v)) != v {
			return rowError(dst, i, dst.SetScalar(i, int64(v)))
		}
		dst.SetInt32(i, int32(v))
	}
	return nil
}

// fillFloats stores a NaN of a feature as a null, as Feast does.
func fillFloats[T float32 | float64](dst *types.Column, src []T, nulls bool) {
	for i, v := range src {
		switch {
		case nulls && v != v:
			dst.Clear(i, types.NullValue)
		case dst.Type() == types.Float64:
			dst.SetFloat64(i, float64(v))
		default:
			dst.SetFloat32(i, float32(v))
		}
	}
}

func fillBytes(dst *types.Column, src [][]byte, nulls bool) error {
	for i, v := range src {
		switch {
		case v == nil && nulls:
			dst.Clear(i, types.NullValue)
			continue
		case v == nil:
			return noKey(dst.Name(), i)
		}
		set := dst.SetBytes
		if takesJSON(dst.Type()) {
			set = func(i int, v []byte) error { return dst.SetNative(i, v) }
		}
		if err := set(i, v); err != nil {
			return rowError(dst, i, err)
		}
	}
	return nil
}

// fillList stores slices in lists and sets, and values of other kinds.
func fillList(dst *types.Column, src *frameColumn) error {
	switch src.kind {
	case colInt32s:
		return fillLists[int32](dst, src)
	case colInt64s:
		return fillLists[int64](dst, src)
	case colFloat32s:
		return fillLists[float32](dst, src)
	case colFloat64s:
		return fillLists[float64](dst, src)
	case colBools:
		return fillLists[bool](dst, src)
	case colStrings:
		return fillLists[string](dst, src)
	case colByteses:
		return fillLists[[]byte](dst, src)
	}
	for i := range src.n {
		if err := dst.SetNative(i, src.value(i)); err != nil {
			return rowError(dst, i, err)
		}
	}
	return nil
}

func fillLists[T types.Native](dst *types.Column, src *frameColumn) error {
	return fillEach(dst, slice[[]T](src), func(i int, v []T) error { return types.SetList(dst, i, v) })
}

func fillEach[T any](dst *types.Column, src []T, set func(int, T) error) error {
	for i, v := range src {
		if err := set(i, v); err != nil {
			return rowError(dst, i, err)
		}
	}
	return nil
}

// importers keeps the memory of conversions from Arrow.
var importers = sync.Pool{New: func() any { return new(arrowconv.Importer) }}

// fillArrow converts a column of a record batch by Feast's rules for native values.
func fillArrow(dst *types.Column, src *frameColumn, nulls bool) error {
	part := src.array()
	if src.from != 0 || src.n != part.Len() {
		part = array.NewSlice(part, int64(src.from), int64(src.from+src.n))
		defer part.Release()
	}
	m := importers.Get().(*arrowconv.Importer)
	defer importers.Put(m)
	if err := m.Import(dst, 0, part); err != nil || nulls {
		return err
	}
	for row := range src.n {
		if !dst.HasValue(row) {
			return noKey(dst.Name(), row)
		}
	}
	return nil
}

// fillData is fill for request data. It may be null, as features may; a number with a fraction is not cut to a whole one.
func fillData(dst *types.Column, src *frameColumn) error {
	if src.kind == colAny && isWhole(dst.Type()) {
		for i, v := range slice[any](src) {
			if f, ok := fraction(v); ok {
				return &feasterr.RequestError{Column: dst.Name(), Row: i, Msg: fmt.Sprintf("%v is not whole, and the request data is %s", f, dst.Type())}
			}
		}
	}
	return fill(dst, src, true)
}

// fraction returns a number that is not whole.
func fraction(v any) (f float64, ok bool) {
	switch n := v.(type) {
	case float32:
		f = float64(n)
	case float64:
		f = n
	case json.Number:
		f, _ = n.Float64() // else 0, and the conversion says what is wrong
	}
	return f, f != math.Trunc(f) && !math.IsNaN(f)
}

// fillEcho is fill for a join key of other views, which is only answered: it may be null.
func fillEcho(dst *types.Column, src *frameColumn) error {
	for i := range src.n {
		v := src.native(i)
		if v == nil {
			dst.Clear(i, types.NullValue)
			continue
		}
		if dst.Type() == types.Invalid {
			return &feasterr.RequestError{Column: dst.Name(), Row: i, Msg: feasterr.A(fmt.Sprintf("%T is no value of a join key", v))}
		}
		if err := dst.SetScalar(i, v); err != nil {
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
	return cap(q.buf) <= keepBytes && (q.vectors == nil || q.vectors.small())
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
