package feast

import (
	"context"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// Frame is a small table in memory: the entity rows of a request, or rows to write. It is implemented by [Columns], [Rows],
// [*Batch] and what [Structs] and [ArrowFrame] return.
//
// Go slices with an element type are taken strictly, by one rule for join keys and features: whole numbers, of any Go
// integer type, are for Int32, Int64 and UnixTimestamp; float32 and float64 for Float32 and Float64; bool for Bool; string,
// and what implements encoding.TextMarshaler, for String, UUIDs, Decimal and Json; []byte for Bytes; time.Time for
// timestamps. A []string for an Int64 join key is an error, as is a value that the type cannot hold. A pointer counts as
// what it points to, and nil is a null, which join keys may not be. Maps, arrays and slices are for features alone, and
// fit as [types.Column.SetNative] says.
//
// []any and what comes from JSON are coerced as Feast does: "1001" becomes 1001, 5 becomes "5" for a string key; see
// [types.Column.SetNative] for what feature values may be.
type Frame interface {
	EntitySource
	// appendColumns appends the frame's columns to dst. They alias the frame. What has to look at every row looks at ctx too.
	appendColumns(ctx context.Context, dst []frameColumn) ([]frameColumn, error)
}

// lookRows is how many rows are converted between two looks at the context.
const lookRows = 16 << 10

// ended returns the error of ctx, at which it looks once in lookRows rows, at row 0 first.
func ended(ctx context.Context, row int) error {
	if row%lookRows != 0 {
		return nil
	}
	return ctx.Err()
}

// Columns is a frame of columns: slices of equal length, typed or []any; see [Frame] for what fits what. Elements are
// numbers, strings, bools, []byte, time.Time and pointers to them; for features also []float32 and other slices, maps,
// [16]byte and json.RawMessage. A map has no order: columns are taken sorted by name. Use a [Batch] where order or
// allocations matter.
type Columns map[string]any

// Rows is a frame of rows, which must all have the same keys. Values are coerced as Feast does. Columns are taken sorted
// by name.
type Rows []map[string]any

// Scalar is an element type of [SetColumn].
type Scalar interface {
	~int | ~int32 | ~int64 | ~string | ~float32 | ~float64 | ~bool | []byte | time.Time
}

// List is an element type of [SetColumn] for features that are lists or sets. A nil slice is a null.
type List interface {
	[]int32 | []int64 | []float32 | []float64 | []bool | []string | [][]byte
}

// Batch is an ordered frame that is filled again and again. Once it has been used, filling it with as many columns
// allocates nothing. The zero value is ready. It is not safe for concurrent use.
type Batch struct {
	cols []frameColumn
}

// Reset removes all columns and keeps the memory.
func (b *Batch) Reset() {
	clear(b.cols)
	b.cols = b.cols[:0]
}

// SetColumn sets a column of the batch, adding it after the others when it is new. The batch keeps values until it is
// reset: the caller must not change them during a call that uses the batch.
func SetColumn[T Scalar | List](b *Batch, name string, values []T) {
	kind, _ := kindOfType(reflect.TypeFor[T]())
	b.set(columnFrom(name, kind, values))
}

// SetAny sets a column of values that are coerced as Feast does, like []any in [Columns].
func (b *Batch) SetAny(name string, values []any) { b.set(columnFrom(name, colAny, values)) }

func (b *Batch) set(c frameColumn) {
	for i := range b.cols {
		if b.cols[i].name == c.name {
			b.cols[i] = c
			return
		}
	}
	b.cols = append(b.cols, c)
}

func (b *Batch) appendColumns(_ context.Context, dst []frameColumn) ([]frameColumn, error) {
	if b == nil {
		return dst, nil
	}
	return append(dst, b.cols...), nil
}

// frameColumn is a column of a frame: a Go slice by element kind, pointer and length.
type frameColumn struct {
	name string
	kind columnKind
	n    int
	data unsafe.Pointer // of the kind's element type, or to the arrow.Array
	elem reflect.Type   // the element type of colOther
	from int            // the first row of the arrow.Array
}

type columnKind uint8

const (
	colAny columnKind = iota
	colInt
	colInt32
	colInt64
	colString
	colFloat32
	colFloat64
	colBool
	colBytes
	colTime
	colInt32s
	colInt64s
	colFloat32s
	colFloat64s
	colBools
	colStrings
	colByteses
	colOther // any other type, taken value by value
	colArrow // part of an Arrow array
)

// columnKinds are the element types of the kinds but the last two.
var columnKinds = [colOther]reflect.Type{
	colAny: reflect.TypeFor[any](), colInt: reflect.TypeFor[int](), colInt32: reflect.TypeFor[int32](), colInt64: reflect.TypeFor[int64](),
	colString: reflect.TypeFor[string](), colFloat32: reflect.TypeFor[float32](), colFloat64: reflect.TypeFor[float64](),
	colBool: reflect.TypeFor[bool](), colBytes: reflect.TypeFor[[]byte](), colTime: reflect.TypeFor[time.Time](),
	colInt32s: reflect.TypeFor[[]int32](), colInt64s: reflect.TypeFor[[]int64](), colFloat32s: reflect.TypeFor[[]float32](),
	colFloat64s: reflect.TypeFor[[]float64](), colBools: reflect.TypeFor[[]bool](), colStrings: reflect.TypeFor[[]string](),
	colByteses: reflect.TypeFor[[][]byte](),
}

// typ is the type of the column's elements.
func (c *frameColumn) typ() reflect.Type {
	if c.kind == colOther {
		return c.elem
	}
	return columnKinds[c.kind]
}

// String names the column's type for people: "[]int64".
func (c *frameColumn) String() string {
	switch c.kind {
	case colAny:
		return "[]any"
	case colArrow:
		return "column of Arrow type " + arrowconv.TypeText(c.array().DataType())
	}
	return strings.ReplaceAll("[]"+c.typ().String(), "uint8", "byte")
}

// slice returns the column's values; T must be the element type of its kind.
func slice[T any](c *frameColumn) []T { return unsafe.Slice((*T)(c.data), c.n) }

// value returns a value of a column of any kind.
func (c *frameColumn) value(i int) any { return valueAt(c.typ(), c.pointer(i)) }

// native returns a value of a column of kind colAny or colOther in its plain Go type: what a pointer points to, the text of
// what has one.
func (c *frameColumn) native(i int) any {
	if c.kind == colAny {
		return slice[any](c)[i]
	}
	v := reflect.NewAt(c.elem, c.pointer(i)).Elem()
	for pointsToValue(v.Type()) {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return v.Uint()
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.Type() == columnKinds[colTime]:
		return v.Interface()
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	case v.Type().Implements(textMarshaler):
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return v.Interface() // which converts to nothing
		}
		return string(text)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		if v.IsNil() {
			return nil
		}
		return v.Bytes()
	}
	return v.Interface()
}

// pointsToValue reports whether a type is a pointer that counts as what it points to; of one that is text itself, as a
// *big.Int, that is its own.
func pointsToValue(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && (t.Elem().Implements(textMarshaler) || !t.Implements(textMarshaler))
}

func (c *frameColumn) pointer(i int) unsafe.Pointer {
	return unsafe.Add(c.data, uintptr(i)*c.typ().Size())
}

func valueAt(t reflect.Type, p unsafe.Pointer) any { return reflect.NewAt(t, p).Elem().Interface() }

// part returns n rows of the column from a row on. There is one at least.
func (c *frameColumn) part(from, n int) frameColumn {
	p := *c
	if p.n = n; c.kind == colArrow {
		p.from += from
		return p
	}
	p.data = c.pointer(from)
	return p
}

func (c Columns) appendColumns(_ context.Context, dst []frameColumn) ([]frameColumn, error) {
	from := len(dst)
	for name, v := range c {
		col, ok := columnOf(name, v)
		if !ok {
			return dst, &feasterr.RequestError{Column: name, Row: -1, Msg: feasterr.A(fmt.Sprintf("%T is no column: use a slice, of int64, string, float32, []float32, any and others", v))}
		}
		dst = append(dst, col)
	}
	slices.SortFunc(dst[from:], func(a, b frameColumn) int { return strings.Compare(a.name, b.name) })
	return dst, nil
}

// columnOf makes a column of a Go slice.
func columnOf(name string, v any) (frameColumn, bool) {
	switch v := v.(type) {
	case []any:
		return columnFrom(name, colAny, v), true
	case []int:
		return columnFrom(name, colInt, v), true
	case []int32:
		return columnFrom(name, colInt32, v), true
	case []int64:
		return columnFrom(name, colInt64, v), true
	case []string:
		return columnFrom(name, colString, v), true
	case []float32:
		return columnFrom(name, colFloat32, v), true
	case []float64:
		return columnFrom(name, colFloat64, v), true
	case []bool:
		return columnFrom(name, colBool, v), true
	case [][]byte:
		return columnFrom(name, colBytes, v), true
	case []time.Time:
		return columnFrom(name, colTime, v), true
	case [][]float32:
		return columnFrom(name, colFloat32s, v), true
	}
	s := reflect.ValueOf(v)
	if s.Kind() != reflect.Slice {
		return frameColumn{}, false
	}
	kind, ok := kindOfType(s.Type().Elem())
	return frameColumn{name: name, kind: kind, n: s.Len(), data: s.UnsafePointer(), elem: s.Type().Elem()}, ok
}

func arrowColumn(name string, a *arrow.Array) frameColumn {
	return frameColumn{name: name, kind: colArrow, n: (*a).Len(), data: unsafe.Pointer(a)}
}

// array returns the array of a column of kind colArrow.
func (c *frameColumn) array() arrow.Array { return *(*arrow.Array)(c.data) }

func columnFrom[T any](name string, kind columnKind, v []T) frameColumn {
	return frameColumn{name: name, kind: kind, n: len(v), data: unsafe.Pointer(unsafe.SliceData(v))}
}

func (r Rows) appendColumns(ctx context.Context, dst []frameColumn) ([]frameColumn, error) {
	if len(r) == 0 {
		return dst, nil
	}
	names := make([]string, 0, len(r[0]))
	for name := range r[0] {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, row := range r {
		if err := ended(ctx, i); err != nil {
			return dst, err
		}
		for _, name := range names {
			if _, ok := row[name]; !ok {
				return dst, &feasterr.RequestError{Column: name, Row: i, Msg: "the row has no such key, and row 0 has: all rows must have the same keys"}
			}
		}
		if len(row) != len(names) {
			for name := range row {
				if _, ok := r[0][name]; !ok {
					return dst, &feasterr.RequestError{Column: name, Row: i, Msg: "row 0 has no such key: all rows must have the same keys"}
				}
			}
		}
	}
	for _, name := range names {
		values := make([]any, len(r))
		for i, row := range r {
			if err := ended(ctx, i); err != nil {
				return dst, err
			}
			values[i] = row[name]
		}
		dst = append(dst, columnFrom(name, colAny, values))
	}
	return dst, nil
}

// Structs makes a frame of a slice of structs (or pointers to structs, none of them nil). A field's column is named by its
// `feast` tag, else by its own name; `feast:"-"` leaves it out, as do unexported fields. Fields are of the types that
// elements of [Columns] have, or pointers to them, of which nil is a null. The frame reads the structs when it is used.
func Structs[T any](rows []T) Frame { return structFrame[T](rows) }

type structFrame[T any] []T

// structPlans keeps the fields of struct types.
var structPlans sync.Map // reflect.Type -> *structPlan

type structPlan struct {
	pointer bool
	fields  []structField
	err     error
}

type structField struct {
	name   string
	offset uintptr // in the struct
	kind   columnKind
	typ    reflect.Type
}

func planOf(t reflect.Type) *structPlan {
	if p, ok := structPlans.Load(t); ok {
		return p.(*structPlan)
	}
	p := &structPlan{}
	st := t
	if t.Kind() == reflect.Pointer {
		p.pointer, st = true, t.Elem()
	}
	if st.Kind() != reflect.Struct {
		p.err = feasterr.Invalid("feast.Structs takes a slice of structs, not of %s", t)
	} else {
		for _, f := range reflect.VisibleFields(st) {
			tag, tagged := f.Tag.Lookup("feast")
			name, _, _ := strings.Cut(tag, ",")
			kind, ok := kindOfType(f.Type)
			if !f.IsExported() || f.Anonymous || name == "-" || !tagged && !ok {
				continue
			}
			if name == "" {
				name = f.Name
			}
			if throughPointer(st, f.Index) {
				p.err = feasterr.Invalid("feast.Structs: field %s of %s belongs to an embedded pointer: embed the struct itself", f.Name, st)
				break
			}
			if !ok {
				p.err = feasterr.Invalid("feast.Structs: field %s of %s has type %s, which is no column type", f.Name, st, f.Type)
				break
			}
			p.fields = append(p.fields, structField{name, offsetOf(st, f.Index), kind, f.Type})
		}
	}
	structPlans.Store(t, p)
	return p
}

// throughPointer reports whether a promoted field is reached through an embedded pointer, which may be nil.
func throughPointer(st reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		st = st.Field(i).Type
		if st.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// offsetOf is where a field stands that is not reached through a pointer.
func offsetOf(st reflect.Type, index []int) (offset uintptr) {
	for _, i := range index {
		f := st.Field(i)
		offset, st = offset+f.Offset, f.Type
	}
	return offset
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// kindOfType returns the kind of columns with elements of a type, and whether there are any.
func kindOfType(t reflect.Type) (columnKind, bool) {
	switch t.Kind() {
	case reflect.Int:
		return colInt, true
	case reflect.Int32:
		return colInt32, true
	case reflect.Int64:
		return colInt64, true
	case reflect.String:
		return colString, true
	case reflect.Float32:
		return colFloat32, true
	case reflect.Float64:
		return colFloat64, true
	case reflect.Bool:
		return colBool, true
	case reflect.Slice:
		return kindOfSlice(t), isValue(t)
	}
	if t == columnKinds[colTime] {
		return colTime, true
	}
	return colOther, isValue(t)
}

func kindOfSlice(t reflect.Type) columnKind {
	if t.Implements(textMarshaler) {
		return colOther
	}
	switch t.Elem().Kind() {
	case reflect.Uint8:
		return colBytes
	case reflect.Int32:
		return colInt32s
	case reflect.Int64:
		return colInt64s
	case reflect.Float32:
		return colFloat32s
	case reflect.Float64:
		return colFloat64s
	case reflect.Bool:
		return colBools
	case reflect.String:
		return colStrings
	case reflect.Slice:
		if t.Elem().Elem().Kind() == reflect.Uint8 && !t.Elem().Implements(textMarshaler) {
			return colByteses
		}
	}
	return colOther
}

// maxPointers is how many pointers are followed to a value: they may go round. Values nest as deep.
const maxPointers = 100

// isValue reports whether values of a type can be those of a feature.
func isValue(t reflect.Type) bool {
	for depth := 0; !t.Implements(textMarshaler); depth++ {
		if k := t.Kind(); k != reflect.Pointer && k != reflect.Slice && k != reflect.Array {
			break
		}
		if t = t.Elem(); depth == maxPointers { // type list []list
			return false
		}
	}
	switch t.Kind() {
	case reflect.Struct:
		return t.Implements(textMarshaler) || t == reflect.TypeFor[types.MapEntry]()
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128, reflect.Invalid:
		return false
	}
	return true
}

func (s structFrame[T]) appendColumns(ctx context.Context, dst []frameColumn) ([]frameColumn, error) {
	p := planOf(reflect.TypeFor[T]())
	if p.err != nil {
		return dst, p.err
	}
	rows := make([]unsafe.Pointer, len(s))
	for i := range s {
		if err := ended(ctx, i); err != nil {
			return dst, err
		}
		if rows[i] = unsafe.Pointer(&s[i]); !p.pointer {
			continue
		}
		if rows[i] = *(*unsafe.Pointer)(rows[i]); rows[i] == nil {
			return dst, &feasterr.RequestError{Row: i, Msg: "the pointer to the struct is nil"}
		}
	}
	for i := range p.fields {
		c, err := p.fields[i].column(ctx, rows)
		if err != nil {
			return dst, err
		}
		dst = append(dst, c)
	}
	return dst, nil
}

// column gathers a field of all structs.
func (f *structField) column(ctx context.Context, rows []unsafe.Pointer) (frameColumn, error) {
	switch f.kind {
	case colInt:
		return gather[int](ctx, f, rows)
	case colInt32:
		return gather[int32](ctx, f, rows)
	case colInt64:
		return gather[int64](ctx, f, rows)
	case colString:
		return gather[string](ctx, f, rows)
	case colFloat32:
		return gather[float32](ctx, f, rows)
	case colFloat64:
		return gather[float64](ctx, f, rows)
	case colBool:
		return gather[bool](ctx, f, rows)
	case colTime:
		return gather[time.Time](ctx, f, rows)
	case colBytes:
		return gather[[]byte](ctx, f, rows)
	case colInt32s:
		return gather[[]int32](ctx, f, rows)
	case colInt64s:
		return gather[[]int64](ctx, f, rows)
	case colFloat32s:
		return gather[[]float32](ctx, f, rows)
	case colFloat64s:
		return gather[[]float64](ctx, f, rows)
	case colBools:
		return gather[[]bool](ctx, f, rows)
	case colStrings:
		return gather[[]string](ctx, f, rows)
	case colByteses:
		return gather[[][]byte](ctx, f, rows)
	}
	if f.typ.Kind() == reflect.Interface {
		values := make([]any, len(rows))
		for i, p := range rows {
			if err := ended(ctx, i); err != nil {
				return frameColumn{}, err
			}
			values[i] = valueAt(f.typ, unsafe.Add(p, f.offset))
		}
		return columnFrom(f.name, colAny, values), nil
	}
	values := reflect.MakeSlice(reflect.SliceOf(f.typ), len(rows), len(rows))
	for i, p := range rows {
		if err := ended(ctx, i); err != nil {
			return frameColumn{}, err
		}
		values.Index(i).Set(reflect.NewAt(f.typ, unsafe.Add(p, f.offset)).Elem())
	}
	return frameColumn{name: f.name, kind: f.kind, n: len(rows), data: values.UnsafePointer(), elem: f.typ}, nil
}

func gather[T any](ctx context.Context, f *structField, rows []unsafe.Pointer) (frameColumn, error) {
	values := make([]T, len(rows))
	for i, p := range rows {
		if err := ended(ctx, i); err != nil {
			return frameColumn{}, err
		}
		values[i] = *(*T)(unsafe.Add(p, f.offset))
	}
	return columnFrom(f.name, f.kind, values), nil
}

// Append adds the columns of a frame after those of b, replacing columns of the same name. They alias the frame.
func (b *Batch) Append(f Frame) error {
	if f == nil {
		return nil
	}
	cols, err := f.appendColumns(context.Background(), nil)
	if err != nil {
		return err
	}
	for _, c := range cols {
		b.set(c)
	}
	return nil
}

// Has reports whether the batch has a column of that name.
func (b *Batch) Has(name string) bool {
	return slices.ContainsFunc(b.cols, func(c frameColumn) bool { return c.name == name })
}

// Len returns the number of rows, that of the first column.
func (b *Batch) Len() int {
	if len(b.cols) == 0 {
		return 0
	}
	return b.cols[0].n
}
