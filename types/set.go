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
)

// The setters below store a Go value in a cell of the matching type, with status [Present]. They panic on a column of
// another type, as an index out of range does: the caller has looked at [Column.Type].

// SetInt64 stores an Int64 or UnixTimestamp (seconds).
func (c *Column) SetInt64(row int, v int64) { c.setInt64(row, v) }

// SetInt32 stores an Int32.
func (c *Column) SetInt32(row int, v int32) { c.i32()[row], c.states()[row] = v, byte(Present) }

// SetFloat64 stores a Float64.
func (c *Column) SetFloat64(row int, v float64) { c.f64()[row], c.states()[row] = v, byte(Present) }

// SetFloat32 stores a Float32.
func (c *Column) SetFloat32(row int, v float32) { c.f32()[row], c.states()[row] = v, byte(Present) }

// SetBool stores a Bool.
func (c *Column) SetBool(row int, v bool) { c.bools()[row], c.states()[row] = v, byte(Present) }

// SetString stores text in a String, JSON, Decimal, UUID or TimeUUID column, which copies it. Text that is not UTF-8 is an
// error, since Feast could not read it back.
func (c *Column) SetString(row int, s string) error {
	if !utf8.ValidString(s) {
		return errUTF8
	}
	return c.put(row, unsafe.Slice(unsafe.StringData(s), len(s))) // which only copies
}

// SetBytes stores a Bytes cell and copies it.
func (c *Column) SetBytes(row int, b []byte) error { return c.put(row, b) }

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
// Numbers may be json.Number, which keeps integers exact.
func (c *Column) SetScalar(row int, v any) error {
	if v == nil {
		return errNull
	}
	switch c.typ {
	case Int64, Int32:
		n, err := wholeNumber(v)
		if err != nil {
			return err
		}
		if c.typ == Int64 {
			c.SetInt64(row, n)
			return nil
		}
		if n < math.MinInt32 || n > math.MaxInt32 {
			return fmt.Errorf("%d is %w for %s", n, errRange, c.typ)
		}
		c.SetInt32(row, int32(n))
		return nil
	case UnixTimestamp:
		switch t := v.(type) {
		case time.Time:
			c.setInt64(row, unixSeconds(t))
			return nil
		case float64, float32, bool:
			return unfit(v, c.typ)
		case json.Number:
			if !isInteger(string(t)) {
				return unfit(v, c.typ)
			}
		}
		n, err := wholeNumber(v)
		if err != nil {
			return err
		}
		c.setInt64(row, n)
		return nil
	case String, UUID, TimeUUID, Decimal:
		s, ok := textOf(v)
		if !ok {
			return unfit(v, c.typ)
		}
		return c.SetString(row, s)
	case Bytes:
		if b, ok := v.([]byte); ok {
			return c.SetBytes(row, b)
		}
	case Bool:
		switch b := v.(type) {
		case bool:
			c.SetBool(row, b)
			return nil
		case json.Number, int, int64, int32:
			if n, err := wholeNumber(b); err == nil {
				c.SetBool(row, n != 0)
				return nil
			}
		}
	case Float64, Float32:
		f, err := floatNumber(v)
		if err != nil {
			return err
		}
		if c.typ == Float64 {
			c.SetFloat64(row, f)
		} else {
			c.SetFloat32(row, float32(f))
		}
		return nil
	}
	return unfit(v, c.typ)
}

func unfit(v any, t Type) error { return fmt.Errorf("a %s does not convert to %s", nativeName(v), t) }

// nativeName names a value's kind for people.
func nativeName(v any) string {
	switch v.(type) {
	case json.Number:
		return "number"
	case []any:
		return "list"
	case map[string]any:
		return "map"
	}
	return fmt.Sprintf("%T", v)
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

func floatNumber(v any) (float64, error) {
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
	case string:
		return 0, unfit(v, Float64)
	}
	n, err := wholeNumber(v)
	return float64(n), err
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
