package types

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/feastgo/feast/feasterr"
)

// The setters below store a Go value in a cell of the matching type, with status [Present]. They panic on a column of
// another type, as an index out of range does: the caller has looked at [Column.Type].

// SetInt64 stores an Int64 or UnixTimestamp (seconds).
func (c *Column) SetInt64(row int, v int64) {
	c.holds(storeInt64)
	c.setInt64(row, v)
}

// SetInt32 stores an Int32.
func (c *Column) SetInt32(row int, v int32) {
	c.holds(storeInt32)
	c.i32()[row], c.states()[row] = v, byte(Present)
}

// SetFloat64 stores a Float64.
func (c *Column) SetFloat64(row int, v float64) {
	c.holds(storeFloat64)
	c.f64()[row], c.states()[row] = v, byte(Present)
}

// SetFloat32 stores a Float32.
func (c *Column) SetFloat32(row int, v float32) {
	c.holds(storeFloat32)
	c.f32()[row], c.states()[row] = v, byte(Present)
}

// SetBool stores a Bool.
func (c *Column) SetBool(row int, v bool) {
	c.holds(storeBool)
	c.bools()[row], c.states()[row] = v, byte(Present)
}

// SetString stores text in a String, JSON, Decimal, UUID or TimeUUID column, which copies it. Text that is not UTF-8 is an
// error, since Feast could not read it back.
func (c *Column) SetString(row int, s string) error {
	c.holds(storeBytes)
	if !utf8.ValidString(s) {
		return errUTF8
	}
	return c.put(row, unsafe.Slice(unsafe.StringData(s), len(s))) // which only copies
}

// SetTime stores a UnixTimestamp, its fraction of a second cut toward zero as Feast does.
func (c *Column) SetTime(row int, t time.Time) { c.SetInt64(row, unixSeconds(t)) }

// SetBytes stores a Bytes cell and copies it.
func (c *Column) SetBytes(row int, b []byte) error {
	c.holds(storeBytes)
	return c.put(row, b)
}

// holds panics when the column's cells are no s: writing others would go past the column's memory.
func (c *Column) holds(s store) {
	if c.store != s {
		c.wrongSetter()
	}
}

//go:noinline
func (c *Column) wrongSetter() {
	panic(fmt.Sprintf("types: column %q is %s and was set as another type", c.Name(), c.typ)) //nolint:forbidigo // a fault of the program
}

// Infer returns the type that Feast infers for a native value: [Invalid] for nil and for what it cannot store.
func Infer(v any) Type {
	switch v := v.(type) {
	case int, int64, int32, int16, int8, uint, uint64, uint32, uint16, uint8:
		return Int64
	case json.Number:
		if isInteger(string(v)) {
			return Int64
		}
		return Float64
	case float64, float32:
		return Float64
	case string:
		return String
	case []byte:
		return Bytes
	case bool:
		return Bool
	case time.Time:
		return UnixTimestamp
	}
	return Invalid
}

func isInteger(s string) bool { return !strings.ContainsAny(s, ".eE") }

// Errors of SetScalar.
var (
	errNull  = errors.New("a null is not allowed here")
	errRange = errors.New("out of range")
)

// SetScalar stores a native value in a scalar cell, coerced as Feast coerces entity values: whole numbers from numbers
// (cut toward zero), booleans and decimal text; text from anything that has one in Python; timestamps from times and
// whole seconds. nil and what does not convert is an error that does not name the column, and leaves the cell as it was.
// Numbers may be json.Number, which keeps integers exact. For the values of features there is [Column.SetNative].
func (c *Column) SetScalar(row int, v any) error {
	if v == nil {
		return errNull
	}
	x, err := scalarOf(c.typ, v)
	if err != nil {
		return err
	}
	return c.setMember(row, x)
}

// scalarOf converts a native value to a scalar type.
func scalarOf(t Type, v any) (value, error) {
	switch t {
	case Int64, Int32:
		n, err := wholeNumber(v)
		if err == nil && t == Int32 && (n < math.MinInt32 || n > math.MaxInt32) {
			err = fmt.Errorf("%d is %w for %s", n, errRange, t)
		}
		return value{typ: t, bits: uint64(n)}, err
	case UnixTimestamp:
		switch s := v.(type) {
		case time.Time:
			return value{typ: t, bits: uint64(unixSeconds(s))}, nil
		case float64, float32, bool:
			return value{}, unfit(v, t)
		case json.Number:
			if !isInteger(string(s)) {
				return value{}, unfit(v, t)
			}
		}
		n, err := wholeNumber(v)
		return value{typ: t, bits: uint64(n)}, err
	case String:
		if s, ok := textOf(v); ok {
			return textValue(t, s)
		}
	case UUID, TimeUUID:
		switch u := v.(type) {
		case string:
			return textValue(t, u)
		case [16]byte:
			return value{typ: t, data: AppendUUID(nil, u)}, nil
		}
	case Decimal:
		if s, ok := v.(string); ok {
			if !isDecimal(s) {
				return value{}, notDecimal(s)
			}
			return textValue(t, s)
		}
	case Bytes, PdfBytes, ImageBytes:
		if b, ok := v.([]byte); ok {
			return value{typ: t, data: b}, nil
		}
	case Bool:
		switch b := v.(type) {
		case bool:
			return boolValue(b), nil
		case json.Number:
			if !isInteger(string(b)) {
				return value{}, unfit(v, t)
			}
		case string, float64, float32:
			return value{}, unfit(v, t)
		}
		if n, err := wholeNumber(v); err == nil {
			return boolValue(n != 0), nil
		}
	case Float64, Float32:
		f, err := floatNumber(v, t)
		if t == Float32 {
			return value{typ: t, bits: uint64(math.Float32bits(float32(f)))}, err
		}
		return value{typ: t, bits: math.Float64bits(f)}, err
	}
	return value{}, unfit(v, t)
}

func boolValue(b bool) value {
	v := value{typ: Bool}
	if b {
		v.bits = 1
	}
	return v
}

// textValue is text of a type. It aliases s.
func textValue(t Type, s string) (value, error) {
	if !utf8.ValidString(s) {
		return value{}, errUTF8
	}
	return value{typ: t, data: unsafe.Slice(unsafe.StringData(s), len(s))}, nil // which is only read
}

func notDecimal(s string) error { return fmt.Errorf("text %q is no decimal number", s) }

// isDecimal reports whether Python's Decimal reads the text.
func isDecimal(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 {
		return false
	}
	if word := strings.ToLower(digits); word == "nan" || word == "inf" || word == "infinity" {
		return true
	}
	if digits == "" || strings.Trim(digits, "0123456789.eE+-") != "" {
		return false
	}
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

func unfit(v any, t Type) error { return fmt.Errorf("%s does not convert to %s", nativeName(v), t) }

// nativeName names a value's kind for people: "a list", "an int32".
func nativeName(v any) string {
	switch v.(type) {
	case json.Number:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return feasterr.A(fmt.Sprintf("%T", v))
}

// unixSeconds cuts the fraction toward zero, as Feast does.
func unixSeconds(t time.Time) int64 {
	s := t.Unix()
	if s < 0 && t.Nanosecond() > 0 {
		s++
	}
	return s
}

// wholeNumber converts as Python's int() does.
func wholeNumber(v any) (int64, error) {
	switch n := v.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	case int32:
		return int64(n), nil
	case int16:
		return int64(n), nil
	case int8:
		return int64(n), nil
	case uint8:
		return int64(n), nil
	case uint16:
		return int64(n), nil
	case uint32:
		return int64(n), nil
	case uint:
		return fromUint(uint64(n))
	case uint64:
		return fromUint(n)
	case bool:
		if n {
			return 1, nil
		}
		return 0, nil
	case float32:
		return fromFloat(float64(n))
	case float64:
		return fromFloat(n)
	case json.Number:
		if isInteger(string(n)) {
			return parseWhole(string(n))
		}
		f, err := strconv.ParseFloat(string(n), 64)
		if err != nil {
			return 0, fmt.Errorf("number %s is %w", n, errRange)
		}
		return fromFloat(f)
	case string:
		return parseWhole(n)
	}
	return 0, unfit(v, Int64)
}

func fromUint(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%d is %w for Int64", n, errRange)
	}
	return int64(n), nil
}

func fromFloat(f float64) (int64, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%v does not convert to a whole number", f)
	}
	f = math.Trunc(f)
	if f < -(1<<63) || f >= 1<<63 {
		return 0, fmt.Errorf("%v is %w for Int64", f, errRange)
	}
	return int64(f), nil
}

// parseWhole reads decimal text: surrounding space, a sign, and single underscores between digits are allowed.
func parseWhole(s string) (int64, error) {
	text := strings.TrimSpace(s)
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 || strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, fmt.Errorf("text %q is no whole number", s)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is %w for Int64", text, errRange)
	}
	if err != nil {
		return 0, fmt.Errorf("text %q is no whole number", s)
	}
	return n, nil
}

// floatNumber converts as Feast does: what Python's float() takes for Float32, only numbers for Float64.
func floatNumber(v any, t Type) (float64, error) {
	switch n := v.(type) {
	case float64:
		return n, nil
	case float32:
		return float64(n), nil
	case json.Number:
		f, err := strconv.ParseFloat(string(n), 64)
		if err != nil {
			return 0, fmt.Errorf("number %s is %w", n, errRange)
		}
		return f, nil
	case bool:
		if t == Float64 {
			return 0, unfit(v, t)
		}
	case string:
		if t == Float64 {
			return 0, unfit(v, t)
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(n, "xX") {
			return 0, fmt.Errorf("text %q is no number", n)
		}
		return f, nil
	}
	n, err := wholeNumber(v)
	if err != nil {
		return 0, unfit(v, t)
	}
	return float64(n), nil
}

// textOf is what Python's str() makes of a scalar.
func textOf(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case bool:
		if s {
			return "True", true
		}
		return "False", true
	case float64:
		return string(AppendFloat(nil, s)), true
	case float32:
		return string(AppendFloat(nil, float64(s))), true
	case json.Number:
		if isInteger(string(s)) {
			return string(s), true
		}
		if f, err := strconv.ParseFloat(string(s), 64); err == nil {
			return string(AppendFloat(nil, f)), true
		}
		return "", false
	case uint, uint64, int, int64, int32, int16, int8, uint32, uint16, uint8:
		return fmt.Sprint(s), true
	}
	return "", false
}
