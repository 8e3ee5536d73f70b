package feast

import (
	"database/sql"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Scan returns the rows of a response as structs.
//
// A field is filled from the column that its tag names, `feast:"conv_rate"` or `feast:"view:conv_rate"`; fields without a
// tag are left alone. A field whose value is missing is set to its zero value; a pointer or [sql.Null] field is nil or
// invalid then. Options after the name: `required` makes a missing value an error, `default=V` sets V for it, `status`
// fills a [Status] field with the value's status, `time` a [time.Time] with its event time. A value that is too old
// counts as there: ask for [OnlineQuery].Expired [Null] to have it blanked.
//
// Numbers convert where nothing is lost. Text fields take text, a [16]byte a UUID, a time.Time a timestamp, a slice a
// list or set, maps a map or struct, any whatever [Column.Any] returns; JSON fills a json.RawMessage or is unmarshalled
// into the field. Types with UnmarshalText take text (a big.Rat a decimal).
func Scan[T any](r *OnlineResponse) ([]T, error) { return ScanInto(r, []T(nil)) }

// ScanInto is [Scan] that appends to dst.
func ScanInto[T any](r *OnlineResponse, dst []T) ([]T, error) {
	p, err := scanPlanOf(reflect.TypeFor[T]())
	if err != nil {
		return dst, err
	}
	if r == nil {
		return dst, feasterr.Invalid("feast.Scan needs a response, and got nil")
	}
	cols := make([]Column, len(p.fields))
	for i := range p.fields {
		at, err := p.fields[i].find(r.columns())
		if err != nil {
			return dst, p.named(i, err)
		}
		cols[i] = r.column(at)
	}
	return scanRows(p, cols, r.rows, dst)
}

// scanRows appends rows, made of a column for each field.
func scanRows[T any](p *scanPlan, cols []Column, rows int, dst []T) ([]T, error) {
	from := len(dst)
	for row := range rows {
		var zero T
		dst = append(dst, zero)
		rv := reflect.ValueOf(&dst[len(dst)-1]).Elem()
		if p.pointer {
			rv.Set(reflect.New(p.of))
			rv = rv.Elem()
		}
		for i := range p.fields {
			f := &p.fields[i]
			if err := f.scan(rv.FieldByIndex(f.index), &cols[i], row); err != nil {
				return dst[:from], p.named(i, err)
			}
		}
	}
	return dst, nil
}

// Binding is a struct type that is bound to the columns of a prepared query: see [Bind]. It is safe for concurrent use.
type Binding[T any] struct {
	plan   *scanPlan
	query  *Prepared
	places []int // of each field's column in the answers
}

// Bind checks when a program starts that answers of q can be scanned into T: every tag names a column, and every field can
// hold the column's type. All problems are reported together. [Binding.Scan] then does what [ScanInto] does, without looking
// anything up again.
func Bind[T any](q *Prepared) (*Binding[T], error) {
	p, err := scanPlanOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, feasterr.Invalid("feast.Bind needs a prepared query, and got nil")
	}
	b := &Binding[T]{plan: p, query: q, places: make([]int, len(p.fields))}
	var errs []error
	for i := range p.fields {
		f := &p.fields[i]
		at, err := f.find(q.columns())
		if err == nil {
			typ, name := q.column(at)
			b.places[i], err = at, f.fits(name, typ)
		}
		if err != nil {
			errs = append(errs, p.named(i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b, nil
}

// Scan appends the rows of r to dst, as [ScanInto] does; r must be an answer of the query that was bound. Where dst has
// room, only what a field refers to is allocated: text, slices, pointers.
func (b *Binding[T]) Scan(r *OnlineResponse, dst []T) ([]T, error) {
	if r == nil || r.plan == nil {
		return dst, feasterr.Invalid("Scan needs an answer, and the response is empty")
	}
	if r.plan.Promised() != b.query.promise {
		return dst, feasterr.Invalid("Scan: the response is an answer of another query than the one that was bound")
	}
	cols := binders.Get().(*[]Column)
	defer func() {
		clear(*cols)
		binders.Put(cols)
	}()
	*cols = (*cols)[:0]
	for _, at := range b.places {
		*cols = append(*cols, r.column(at))
	}
	return scanRows(b.plan, *cols, r.rows, dst)
}

// binders keeps memory of [Binding.Scan].
var binders = sync.Pool{New: func() any { return new([]Column) }}

// columns iterates over the names and views of the answers' columns.
func (p *Prepared) columns() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, k := range p.promise.Keys() {
			if !yield(k, "") {
				return
			}
		}
		for i := range p.promise.Columns {
			if c := &p.promise.Columns[i]; !yield(c.Name, c.View) {
				return
			}
		}
	}
}

// column returns the type of a column of the answers, [types.Invalid] where the values decide, and its name.
func (p *Prepared) column(at int) (types.Type, string) {
	keys := p.promise.Keys()
	if at < len(keys) {
		return p.promise.KeyType(keys[at]), keys[at]
	}
	c := &p.promise.Columns[at-len(keys)]
	return c.Type, c.Name
}

// scanPlan is what there is to know of a struct type. It is immutable.
type scanPlan struct {
	of      reflect.Type // the struct
	pointer bool         // rows are pointers to it
	fields  []scanField
	err     error
}

var scanPlans sync.Map // reflect.Type -> *scanPlan

func scanPlanOf(t reflect.Type) (*scanPlan, error) {
	if p, ok := scanPlans.Load(t); ok {
		return p.(*scanPlan), p.(*scanPlan).err
	}
	p := &scanPlan{of: t}
	if t.Kind() == reflect.Pointer {
		p.of, p.pointer = t.Elem(), true
	}
	if p.of.Kind() == reflect.Struct {
		p.fields, p.err = scanFields(p.of)
	} else {
		p.err = feasterr.Invalid("feast.Scan fills structs, not %s", t)
	}
	scanPlans.Store(t, p)
	return p, p.err
}

// named puts the field's name into an error.
func (p *scanPlan) named(field int, err error) error {
	return fmt.Errorf("field %s of %s: %w", p.fields[field].field, p.of, err)
}

// scanField is a struct field with a feast tag.
type scanField struct {
	field    string
	typ      reflect.Type
	index    []int
	view     string
	name     string
	required bool
	status   bool
	time     bool
	fallback *string
	plain    bool // a scalar that converts by its kind alone, or a sql.Null of one
}

func scanFields(st reflect.Type) ([]scanField, error) {
	var out []scanField
	for _, f := range reflect.VisibleFields(st) {
		tag, ok := f.Tag.Lookup("feast")
		if !ok || tag == "-" || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		s := scanField{field: f.Name, typ: f.Type, index: f.Index, name: name, plain: plainField(f.Type)}
		if view, feature, ok := strings.Cut(name, ":"); ok {
			s.view, s.name = view, feature
		}
		if s.name == "" {
			s.name = f.Name
		}
		if throughPointer(st, f.Index) {
			return nil, feasterr.Invalid("field %s of %s belongs to an embedded pointer: embed the struct itself", f.Name, st)
		}
		for options != "" {
			var o string
			o, options, _ = strings.Cut(options, ",")
			switch {
			case o == "required":
				s.required = true
			case o == "status" && f.Type == reflect.TypeFor[Status]():
				s.status = true
			case o == "time" && f.Type == reflect.TypeFor[time.Time]():
				s.time = true
			case strings.HasPrefix(o, "default="):
				text := strings.TrimPrefix(o, "default=")
				s.fallback = &text
				if err := setText(reflect.New(f.Type).Elem(), text); err != nil {
					return nil, feasterr.Invalid("field %s of %s: default %q: %w", f.Name, st, text, err)
				}
			default:
				return nil, feasterr.Invalid("field %s of %s: tag option %q is unknown or does not suit type %s", f.Name, st, o, f.Type)
			}
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, feasterr.Invalid("%s has no field with a feast tag", st)
	}
	return out, nil
}

// find returns the position of the field's column among those of an answer, which are names and views. A view in the tag
// has to be the column's; with full names, either form names it.
func (f *scanField) find(columns iter.Seq2[string, string]) (int, error) {
	i := 0
	for name, view := range columns {
		if f.view == "" && name == f.name || f.view != "" && view == f.view && (name == f.name || name == f.view+"__"+f.name) {
			return i, nil
		}
		i++
	}
	missing := &feasterr.NotFoundError{Kind: "column", Name: f.name, In: "the response"}
	if f.view != "" {
		missing.Name = f.view + ":" + f.name
		return -1, missing
	}
	missing.Near = feasterr.Near(f.name, func(yield func(string) bool) {
		for name := range columns {
			if !yield(name) {
				return
			}
		}
	})
	return -1, missing
}

func (f *scanField) scan(dst reflect.Value, c *Column, row int) error {
	switch {
	case f.status:
		dst.Set(reflect.ValueOf(c.Status(row)))
		return nil
	case f.time:
		dst.Set(reflect.ValueOf(c.EventTime(row)))
		return nil
	case f.plain && assignCell(dst, c.data, row):
		return nil
	}
	v := c.Any(row)
	if n, ok := v.(int64); ok && c.Type() == types.UnixTimestamp && n == types.NullUnixTimestamp {
		v = nil
	}
	if v == nil {
		switch {
		case f.required:
			return &feasterr.MissingValueError{Column: c.Name(), Row: row, Status: c.Status(row).String()}
		case f.fallback != nil:
			if err := setText(dst, *f.fallback); err != nil {
				return feasterr.Invalid("default %q: %w", *f.fallback, err)
			}
		}
		return nil
	}
	if !assign(dst, v, c.Type()) {
		return &feasterr.TypeMismatchError{Column: c.Name(), Want: dst.Type().String(), Have: fmt.Sprintf("%T", v), Row: row}
	}
	return nil
}

var (
	sqlScanner      = reflect.TypeFor[sql.Scanner]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// plainField reports whether assignCell can fill fields of a type.
func plainField(t reflect.Type) bool {
	if isSQLNull(t) {
		return plainField(t.Field(0).Type)
	}
	if t == reflect.TypeFor[time.Time]() {
		return true
	}
	p := reflect.PointerTo(t)
	return (t.Kind() >= reflect.Bool && t.Kind() <= reflect.Float64 && t.Kind() != reflect.Uintptr || t.Kind() == reflect.String) &&
		!p.Implements(sqlScanner) && !p.Implements(textUnmarshaler)
}

// isSQLNull reports whether a type is one of database/sql that may be null: a value and Valid.
func isSQLNull(t reflect.Type) bool {
	return t.PkgPath() == "database/sql" && t.Kind() == reflect.Struct && t.NumField() == 2 && t.Field(1).Name == "Valid"
}

// assignCell is assign for the cells of a column that are plain scalars, without a value in between. It reports false, and
// does nothing, where it is not for such a cell.
func assignCell(dst reflect.Value, c *types.Column, row int) bool {
	switch dst.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := types.ValueAt[int64](c, row)
		if !ok || dst.OverflowInt(n) {
			return false
		}
		dst.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, ok := types.ValueAt[int64](c, row)
		if !ok || n < 0 || dst.OverflowUint(uint64(n)) {
			return false
		}
		dst.SetUint(uint64(n))
	case reflect.Float64:
		f, ok := types.ValueAt[float64](c, row)
		if !ok {
			return false
		}
		dst.SetFloat(f)
	case reflect.Float32:
		f, ok := types.ValueAt[float32](c, row)
		if !ok {
			return false
		}
		dst.SetFloat(float64(f))
	case reflect.Bool:
		b, ok := types.ValueAt[bool](c, row)
		if !ok {
			return false
		}
		dst.SetBool(b)
	case reflect.String:
		if t := c.Type(); c.Mixed() || t != types.String && t != types.Decimal && t != types.JSON {
			return false
		}
		s, ok := types.ValueAt[string](c, row)
		if !ok {
			return false
		}
		dst.SetString(s)
	case reflect.Struct:
		if dst.NumField() == 2 { // a sql.Null
			if !assignCell(dst.Field(0), c, row) {
				return false
			}
			dst.Field(1).SetBool(true)
			return true
		}
		n, ok := types.ValueAt[int64](c, row)
		if !ok || c.Mixed() || c.Type() != types.UnixTimestamp {
			return false
		}
		at, _ := reflect.TypeAssert[*time.Time](dst.Addr())
		*at = time.Unix(n, 0).UTC()
	default:
		return false
	}
	return true
}

// fits reports why a field cannot hold the values of a column of a type.
func (f *scanField) fits(column string, t types.Type) error {
	if f.status || f.time || t == types.Invalid || fitsType(f.typ, t) {
		return nil
	}
	return &feasterr.TypeMismatchError{Column: column, Want: f.typ.String(), Have: t.String(), Row: -1}
}

// fitsType tries a value of each column type on a field. Types that read text themselves are left to their values.
func fitsType(field reflect.Type, t types.Type) bool {
	for field.Kind() == reflect.Pointer {
		field = field.Elem()
	}
	p := reflect.PointerTo(field)
	if p.Implements(sqlScanner) && !isSQLNull(field) || p.Implements(textUnmarshaler) && isText(t) {
		return true
	}
	return assign(reflect.New(field).Elem(), sample(t), t)
}

// sample returns a value as [Column.Any] does for a column of a type: one that as many fields as possible can hold.
func sample(t types.Type) any {
	switch t {
	case types.Bytes, types.PdfBytes, types.ImageBytes:
		return []byte{0}
	case types.Bool:
		return false
	case types.Int32:
		return int32(0)
	case types.Int64, types.UnixTimestamp:
		return int64(0)
	case types.Float32:
		return float32(0)
	case types.Float64:
		return float64(0)
	case types.JSON:
		return json.RawMessage("null")
	case types.UUID, types.TimeUUID:
		return [16]byte{}
	case types.ZonedTimestamp:
		return time.Unix(0, 0).UTC()
	case types.Map, types.Struct:
		return map[string]any{}
	case types.MapList, types.StructList:
		return []map[string]any{{}}
	case types.ScalarMap:
		return []types.MapEntry{{}}
	case types.ValueList, types.ValueSet:
		return []any{[]any{}}
	}
	if t.Elem() != types.Invalid {
		return sampleList(t)
	}
	return "0"
}

// sampleList returns a list of one element.
func sampleList(t types.Type) any {
	elem := reflect.ValueOf(sample(t.Elem()))
	list := reflect.MakeSlice(reflect.SliceOf(elem.Type()), 1, 1)
	list.Index(0).Set(elem)
	return list.Interface()
}

// assign stores a value as [Column.Any] returns it, when the field can hold it without loss.
func assign(dst reflect.Value, v any, typ types.Type) bool {
	if v == nil { // inside a nested list
		return true
	}
	if n, ok := v.(int64); ok && typ == types.UnixTimestamp && dst.Type() == reflect.TypeFor[time.Time]() {
		v = time.Unix(n, 0).UTC()
	}
	src := reflect.ValueOf(v)
	if src.Type().AssignableTo(dst.Type()) {
		dst.Set(src)
		return true
	}
	if s, ok := reflect.TypeAssert[sql.Scanner](dst.Addr()); ok { // sql.Null and its like
		if n, ok := v.(int64); ok && typ == types.UnixTimestamp && s.Scan(time.Unix(n, 0).UTC()) == nil {
			return true
		}
		if err := s.Scan(driverValue(v)); err == nil {
			return true
		}
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](dst.Addr()); ok {
		if text, ok := textOf(v); ok {
			return u.UnmarshalText([]byte(text)) == nil
		}
	}
	if raw, ok := v.(json.RawMessage); ok && dst.Kind() != reflect.String {
		return json.Unmarshal(raw, dst.Addr().Interface()) == nil
	}
	switch dst.Kind() {
	case reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		if !assign(p.Elem(), v, typ) {
			return false
		}
		dst.Set(p)
		return true
	case reflect.Slice:
		return assignSlice(dst, src, typ)
	}
	return convert(dst, src)
}

// convert converts scalars of one family without loss.
func convert(dst, src reflect.Value) bool {
	switch dst.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !src.CanInt() || dst.OverflowInt(src.Int()) {
			return false
		}
		dst.SetInt(src.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if !src.CanInt() || src.Int() < 0 || dst.OverflowUint(uint64(src.Int())) {
			return false
		}
		dst.SetUint(uint64(src.Int()))
	case reflect.Float32, reflect.Float64:
		switch {
		case src.CanFloat() && (dst.Kind() == reflect.Float64 || src.Kind() == reflect.Float32):
			dst.SetFloat(src.Float())
		case src.Kind() == reflect.Int32 && dst.Kind() == reflect.Float64:
			dst.SetFloat(float64(src.Int()))
		default:
			return false
		}
	case reflect.Bool:
		if src.Kind() != reflect.Bool {
			return false
		}
		dst.SetBool(src.Bool())
	case reflect.String:
		text, ok := textOf(src.Interface())
		if !ok {
			return false
		}
		dst.SetString(text)
	default:
		return false
	}
	return true
}

func assignSlice(dst, src reflect.Value, typ types.Type) bool {
	if src.Kind() != reflect.Slice {
		return false
	}
	out := reflect.MakeSlice(dst.Type(), src.Len(), src.Len())
	for i := range src.Len() {
		if !assign(out.Index(i), src.Index(i).Interface(), typ.Elem()) {
			return false
		}
	}
	dst.Set(out)
	return true
}

// textOf is the text of values that are text: strings, JSON and UUIDs.
func textOf(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case json.RawMessage:
		return string(s), true
	case [16]byte:
		return string(types.AppendUUID(nil, s)), true
	}
	return "", false
}

// driverValue is what sql.Scanner implementations expect: int64, float64, bool, []byte, string, time.Time.
func driverValue(v any) any {
	switch x := v.(type) {
	case int32:
		return int64(x)
	case float32:
		return float64(x)
	case json.RawMessage:
		return []byte(x)
	}
	return v
}

// setText sets a field to the text of a default.
func setText(dst reflect.Value, text string) error {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](dst.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch dst.Kind() {
	case reflect.Pointer:
		p := reflect.New(dst.Type().Elem())
		dst.Set(p)
		return setText(p.Elem(), text)
	case reflect.String:
		dst.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		dst.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, dst.Type().Bits())
		dst.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, dst.Type().Bits())
		dst.SetUint(n)
		return err
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, dst.Type().Bits())
		dst.SetFloat(f)
		return err
	default:
		return fmt.Errorf("type %s takes no default", dst.Type())
	}
	return nil
}
