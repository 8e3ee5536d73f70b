package feast

import (
	"database/sql"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
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
	t := reflect.TypeFor[T]()
	st := t
	if t.Kind() == reflect.Pointer {
		st = t.Elem()
	}
	if st.Kind() != reflect.Struct {
		return dst, feasterr.Invalid("feast.Scan fills structs, not %s", t)
	}
	fields, err := scanFields(st)
	if err != nil {
		return dst, err
	}
	if r == nil {
		return dst, feasterr.Invalid("feast.Scan needs a response, and got nil")
	}
	cols := make([]*Column, len(fields))
	for i, f := range fields {
		if cols[i], err = f.column(r); err != nil {
			return dst, fmt.Errorf("field %s of %s: %w", f.field, st, err)
		}
	}
	from := len(dst)
	for row := range r.Len() {
		var v T
		rv := reflect.ValueOf(&v).Elem()
		if t.Kind() == reflect.Pointer {
			rv.Set(reflect.New(st))
			rv = rv.Elem()
		}
		for i := range fields {
			if err := fields[i].scan(rv.FieldByIndex(fields[i].index), cols[i], row); err != nil {
				return dst[:from], fmt.Errorf("field %s of %s: %w", fields[i].field, st, err)
			}
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// scanField is a struct field with a feast tag.
type scanField struct {
	field    string
	index    []int
	view     string
	name     string
	required bool
	status   bool
	time     bool
	fallback *string
}

func scanFields(st reflect.Type) ([]scanField, error) {
	var out []scanField
	for _, f := range reflect.VisibleFields(st) {
		tag, ok := f.Tag.Lookup("feast")
		if !ok || tag == "-" || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		s := scanField{field: f.Name, index: f.Index, name: name}
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

// column finds the field's column. A view in the tag has to be the column's; with full names, either form names it.
func (f *scanField) column(r *OnlineResponse) (*Column, error) {
	if f.view == "" {
		return r.Column(f.name)
	}
	for i := range r.width() {
		c := r.at(i)
		if c.View() == f.view && (c.Name() == f.name || c.Name() == f.view+"__"+f.name) {
			return c, nil
		}
	}
	return nil, &feasterr.NotFoundError{Kind: "column", Name: f.view + ":" + f.name, In: "the response"}
}

func (f *scanField) scan(dst reflect.Value, c *Column, row int) error {
	switch {
	case f.status:
		dst.Set(reflect.ValueOf(c.Status(row)))
		return nil
	case f.time:
		dst.Set(reflect.ValueOf(c.EventTime(row)))
		return nil
	}
	v := c.Any(row)
	if n, ok := v.(int64); ok && c.Type() == types.UnixTimestamp && n == types.NullUnixTimestamp {
		v = nil
	}
	if v == nil {
		switch {
		case f.required:
			return &feasterr.RequestError{Column: c.Name(), Row: row, Msg: fmt.Sprintf("is required and has status %s", c.Status(row))}
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
		return fmt.Sprintf("%x-%x-%x-%x-%x", s[:4], s[4:6], s[6:8], s[8:10], s[10:]), true
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
