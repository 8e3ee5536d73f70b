package feast

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
)

// Frame is a small table in memory: the entity rows of a request. It is implemented by [Columns], [Rows], [*Batch] and
// what [Structs] and [ArrowFrame] return.
//
// Go slices with an element type are taken strictly: a []string for an Int64 join key is an error. []any and what comes from
// JSON are coerced as Feast does: "1001" becomes 1001, 5 becomes "5" for a string key.
type Frame interface {
	EntitySource
	// appendColumns appends the frame's columns to dst. They alias the frame.
	appendColumns(dst []frameColumn) ([]frameColumn, error)
}

// Columns is a frame of columns: slices of equal length of int64, int32, int, string, []byte, time.Time, float64, float32,
// bool or any. A map has no order: columns are taken sorted by name. Use a [Batch] where order or allocations matter.
type Columns map[string]any

// Rows is a frame of rows, which must all have the same keys. Values are coerced as Feast does. Columns are taken sorted
// by name.
type Rows []map[string]any

// Scalar is an element type of [SetColumn].
type Scalar interface {
	~int | ~int32 | ~int64 | ~string | ~float32 | ~float64 | ~bool | []byte | time.Time
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
func SetColumn[T Scalar](b *Batch, name string, values []T) {
	b.set(columnFrom(name, kindOf[T](), values))
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

func (b *Batch) appendColumns(dst []frameColumn) ([]frameColumn, error) {
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
	data unsafe.Pointer // of the kind's element type
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
	colArrow // an arrow.Array, at which data points
)

var columnKindNames = [...]string{"[]any", "[]int", "[]int32", "[]int64", "[]string", "[]float32", "[]float64", "[]bool", "[][]byte", "[]time.Time", "Arrow array"}

func (k columnKind) String() string { return columnKindNames[k] }

// slice returns the column's values; T must be the element type of its kind.
func slice[T any](c *frameColumn) []T { return unsafe.Slice((*T)(c.data), c.n) }

func kindOf[T Scalar]() columnKind {
	switch t := reflect.TypeFor[T](); t.Kind() {
	case reflect.Int:
		return colInt
	case reflect.Int32:
		return colInt32
	case reflect.Int64:
		return colInt64
	case reflect.String:
		return colString
	case reflect.Float32:
		return colFloat32
	case reflect.Float64:
		return colFloat64
	case reflect.Bool:
		return colBool
	case reflect.Slice:
		return colBytes
	default:
		return colTime
	}
}

func (c Columns) appendColumns(dst []frameColumn) ([]frameColumn, error) {
	from := len(dst)
	for name, v := range c {
		col, ok := columnOf(name, v)
		if !ok {
			return dst, &feasterr.RequestError{Column: name, Row: -1, Msg: fmt.Sprintf("a %T is no column: use a slice of int64, int32, int, string, []byte, time.Time, float64, float32, bool or any", v)}
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
	}
	return frameColumn{}, false
}

func arrowColumn(name string, a *arrow.Array) frameColumn {
	return frameColumn{name: name, kind: colArrow, n: (*a).Len(), data: unsafe.Pointer(a)}
}

// array returns the array of a column of kind colArrow.
func (c *frameColumn) array() arrow.Array { return *(*arrow.Array)(c.data) }

func columnFrom[T any](name string, kind columnKind, v []T) frameColumn {
	return frameColumn{name: name, kind: kind, n: len(v), data: unsafe.Pointer(unsafe.SliceData(v))}
}

func (r Rows) appendColumns(dst []frameColumn) ([]frameColumn, error) {
	if len(r) == 0 {
		return dst, nil
	}
	names := make([]string, 0, len(r[0]))
	for name := range r[0] {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, row := range r {
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
			values[i] = row[name]
		}
		dst = append(dst, columnFrom(name, colAny, values))
	}
	return dst, nil
}

// Structs makes a frame of a slice of structs (or pointers to structs, none of them nil). A field's column is named by its `feast` tag, else by
// its own name; `feast:"-"` leaves it out, as do unexported fields. Fields are of the types that [Columns] knows, or pointers to
// them, of which nil is a null. The frame reads the structs when it is used.
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
	name  string
	index []int
	kind  columnKind
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
			p.fields = append(p.fields, structField{name, f.Index, kind})
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
		return colBytes, t.Elem().Kind() == reflect.Uint8
	case reflect.Pointer:
		_, ok := kindOfType(t.Elem())
		return colAny, ok && t.Elem().Kind() != reflect.Pointer
	}
	return colTime, t == reflect.TypeFor[time.Time]()
}

func (s structFrame[T]) appendColumns(dst []frameColumn) ([]frameColumn, error) {
	p := planOf(reflect.TypeFor[T]())
	if p.err != nil {
		return dst, p.err
	}
	for i := range s {
		if p.pointer && reflect.ValueOf(s[i]).IsNil() {
			return dst, &feasterr.RequestError{Row: i, Msg: "the pointer to the struct is nil"}
		}
	}
	for _, f := range p.fields {
		dst = append(dst, s.column(f, p.pointer))
	}
	return dst, nil
}

func (s structFrame[T]) column(f structField, pointer bool) frameColumn {
	at := func(i int) reflect.Value {
		v := reflect.ValueOf(s[i])
		if pointer {
			v = v.Elem()
		}
		return v.FieldByIndex(f.index)
	}
	switch f.kind {
	case colAny:
		return columnFrom(f.name, colAny, gather(len(s), func(i int) any {
			if p := at(i); !p.IsNil() {
				return scalarOf(p.Elem())
			}
			return nil
		}))
	case colInt, colInt32, colInt64:
		return columnFrom(f.name, colInt64, gather(len(s), func(i int) int64 { return at(i).Int() }))
	case colString:
		return columnFrom(f.name, f.kind, gather(len(s), func(i int) string { return at(i).String() }))
	case colFloat32, colFloat64:
		return columnFrom(f.name, colFloat64, gather(len(s), func(i int) float64 { return at(i).Float() }))
	case colBool:
		return columnFrom(f.name, f.kind, gather(len(s), func(i int) bool { return at(i).Bool() }))
	case colBytes:
		return columnFrom(f.name, f.kind, gather(len(s), func(i int) []byte { return at(i).Bytes() }))
	}
	return columnFrom(f.name, f.kind, gather(len(s), func(i int) time.Time { return at(i).Interface().(time.Time) }))
}

// scalarOf returns a value of a column type in its plain Go type.
func scalarOf(v reflect.Value) any {
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	}
	return v.Interface()
}

func gather[T any](n int, at func(int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = at(i)
	}
	return out
}

// Append adds the columns of other after those of b, replacing columns of the same name.
func (b *Batch) Append(other *Batch) {
	for _, c := range other.cols {
		b.set(c)
	}
}
