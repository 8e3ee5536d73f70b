package types

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
)

var (
	errJSON     = feasterr.Invalid("malformed JSON value")
	errUnfitted = errors.New("of another type") // the value is stored as what it is
)

// SetJSON decodes one JSON value, in the form in which Feast's feature server writes a cell ([Column.AppendJSON]), and sets
// the cell's status to [Present] or [NullValue]. b is not kept. The form does not tell all types apart: a value that can be
// of the column's type is of that. Any other makes the column mixed, as the type that Feast's clients take it for: Int64,
// Float64, String, Bool, Map, or a list of these. Malformed text is an error and leaves the cell empty.
func (c *Column) SetJSON(row int, b []byte) error {
	if len(b) > 0 {
		switch c.store {
		case storeInt64:
			if n, ok := jsonInt(b); ok {
				c.setInt64(row, n)
				return nil
			}
		case storeInt32:
			if n, ok := jsonInt(b); ok && n == int64(int32(n)) {
				c.i32()[row], c.states()[row] = int32(n), byte(Present)
				return nil
			}
		case storeFloat64:
			if f, ok := jsonFloat(b); ok {
				c.f64()[row], c.states()[row] = f, byte(Present)
				return nil
			}
		case storeFloat32:
			if f, ok := jsonFloat(b); ok && (math.IsInf(f, 0) || !math.IsInf(float64(float32(f)), 0)) {
				c.f32()[row], c.states()[row] = float32(f), byte(Present)
				return nil
			}
		}
	}
	return c.emptied(row, c.setJSON(row, b))
}

// setJSON is SetJSON for what is no number of the column's type.
func (c *Column) setJSON(row int, b []byte) error {
	if string(b) == "null" {
		c.Clear(row, NullValue)
		return nil
	}
	switch c.store {
	case storeBool:
		if v, ok := jsonBool(b); ok {
			c.SetBool(row, v)
			return nil
		}
	case storeBytes:
		if len(b) > 0 && b[0] == '"' {
			arena, err := appendJSONText(c.rest.arena, c.typ, b)
			if !errors.Is(err, errUnfitted) {
				if err != nil {
					return err
				}
				return c.filled(row, arena, nil)
			}
		}
	case storeList:
		if len(b) > 0 && b[0] == '[' {
			arena, err := appendJSONElems(c.rest.arena, c.typ.Elem(), b)
			if !errors.Is(err, errUnfitted) {
				if err != nil {
					return err
				}
				return c.filled(row, arena, nil)
			}
		}
	case storeRaw:
		if done, err := c.setRawJSON(row, b); done || err != nil {
			return err
		}
	}
	return c.setOddJSON(row, b)
}

// setRawJSON stores maps, nested lists and zoned timestamps.
func (c *Column) setRawJSON(row int, b []byte) (done bool, err error) {
	if len(b) == 0 {
		return false, errJSON
	}
	switch {
	case c.typ == ZonedTimestamp && b[0] == '"':
		text, err := appendJSONString(nil, b)
		if err != nil {
			return false, err
		}
		t, ok := parseISO(string(text))
		if !ok {
			return false, nil
		}
		return true, c.SetNative(row, t)
	case isMapType(c.typ) && b[0] == '{', (isMapType(c.typ.Elem()) || c.typ == ValueList || c.typ == ValueSet) && b[0] == '[':
		if !json.Valid(b) {
			return false, errJSON
		}
		return c.SetNative(row, json.RawMessage(b)) == nil, nil
	}
	return false, nil
}

func isMapType(t Type) bool { return t == Map || t == Struct }

// setOddJSON stores a value of another type than the column's.
func (c *Column) setOddJSON(row int, b []byte) error {
	var g JSONGuess
	g.Add(b)
	t := g.Type()
	if t == Invalid || t == c.typ {
		return errJSON
	}
	other := NewColumn("", t, 1)
	if err := other.setJSONAs(b); err != nil {
		return err
	}
	c.setOdd(row, other.AppendValue(nil, 0), false)
	return nil
}

// setJSONAs is SetJSON for a value that has to be of the column's type.
func (c *Column) setJSONAs(b []byte) error {
	if c.store == storeRaw {
		if !json.Valid(b) {
			return errJSON
		}
		return c.SetNative(0, json.RawMessage(b))
	}
	if err := c.SetJSON(0, b); err != nil {
		return err
	}
	if c.Odd(0) {
		return errJSON
	}
	return nil
}

// jsonInt reads a whole number without fraction and exponent.
func jsonInt(b []byte) (n int64, ok bool) {
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	var u uint64 // 19 digits fit
	for _, ch := range digits {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		u = u*10 + uint64(ch-'0')
	}
	if negative {
		return int64(-u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// jsonFloat reads a number, or one of the strings that stand for what JSON has no numbers for.
func jsonFloat(b []byte) (float64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	if b[0] == '"' {
		switch string(b) {
		case `"NaN"`:
			return math.Float64frombits(0x7ff8 << 48), true // Python's, which is not Go's
		case `"Infinity"`:
			return math.Inf(1), true
		case `"-Infinity"`:
			return math.Inf(-1), true
		}
		return 0, false
	}
	if !isJSONNumber(b) {
		return 0, false
	}
	f, err := strconv.ParseFloat(stringOf(b), 64)
	return f, err == nil
}

// isJSONNumber reports whether text is a number as JSON writes it.
func isJSONNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	whole := digitsOf(b)
	if whole == 0 || whole > 1 && b[0] == '0' {
		return false
	}
	if b = b[whole:]; len(b) > 0 && b[0] == '.' {
		n := digitsOf(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		n := digitsOf(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

// digitsOf counts the digits that text begins with.
func digitsOf(b []byte) (n int) {
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

func jsonBool(b []byte) (v, ok bool) {
	switch string(b) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// appendJSONText appends the text or bytes of a JSON string.
func appendJSONText(dst []byte, t Type, b []byte) ([]byte, error) {
	if !t.isBytes() {
		return appendJSONString(dst, b)
	}
	if len(b) < 2 || b[len(b)-1] != '"' {
		return dst, errJSON
	}
	if bytes.ContainsAny(b, "\r\n") { // which the decoder leaves out
		return dst, errJSON
	}
	if bytes.IndexByte(b, '\\') >= 0 { // as "\/" may be
		text, err := appendJSONString(nil, b)
		if err != nil {
			return dst, err
		}
		b = append(append([]byte{'"'}, text...), '"')
	}
	out, err := base64.StdEncoding.AppendDecode(dst, b[1:len(b)-1])
	if err != nil {
		return dst, errUnfitted
	}
	return out, nil
}

// appendJSONString appends the text of a JSON string.
func appendJSONString(dst, b []byte) ([]byte, error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return dst, errJSON
	}
	b = b[1 : len(b)-1]
	from := len(dst)
	for len(b) > 0 {
		plain := 0
		for plain < len(b) && b[plain] != '\\' {
			if b[plain] < 0x20 || b[plain] == '"' {
				return dst, errJSON
			}
			plain++
		}
		dst = append(dst, b[:plain]...)
		if b = b[plain:]; len(b) == 0 {
			break
		}
		if len(b) < 2 {
			return dst, errJSON
		}
		if b[1] != 'u' {
			ch := unescaped(b[1])
			if ch == 0 {
				return dst, errJSON
			}
			dst, b = append(dst, ch), b[2:]
			continue
		}
		r, ok := hexRune(b)
		if !ok {
			return dst, errJSON
		}
		b = b[6:]
		if utf16.IsSurrogate(r) {
			low, ok := hexRune(b)
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return dst, errUTF8 // half a character
			}
			b = b[6:]
		}
		dst = utf8.AppendRune(dst, r)
	}
	if !utf8.Valid(dst[from:]) {
		return dst, errUTF8
	}
	return dst, nil
}

// unescaped is what a character after a backslash stands for, 0 for one that may not stand there.
func unescaped(ch byte) byte {
	switch ch {
	case '"', '\\', '/':
		return ch
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return 0
}

// hexRune reads the \uXXXX that text begins with.
func hexRune(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, ch := range b[2:6] {
		switch {
		case ch >= '0' && ch <= '9':
			ch -= '0'
		case ch >= 'a' && ch <= 'f':
			ch -= 'a' - 10
		case ch >= 'A' && ch <= 'F':
			ch -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(ch)
	}
	return r, true
}

// appendJSONElems appends the elements of a JSON array, as a column keeps a list of such elements.
func appendJSONElems(dst []byte, elem Type, b []byte) ([]byte, error) {
	width := widthOf(elem)
	a := JSONArray{b: b}
	for a.Next() {
		v := a.Value()
		if width == 0 {
			if v[0] != '"' {
				return dst, errUnfitted
			}
			var err error
			if dst, err = appendJSONPart(dst, elem, v); err != nil {
				return dst, err
			}
			continue
		}
		bits, ok := jsonBits(elem, v)
		if !ok {
			return dst, errUnfitted
		}
		dst = appendElem(dst, width, bits)
	}
	return dst, a.Err()
}

// appendJSONPart appends an element of a list message of text or bytes.
func appendJSONPart(dst []byte, elem Type, v []byte) ([]byte, error) {
	at := len(dst) + 1
	out, err := appendJSONText(append(dst, 1<<3|wireBytes), elem, v)
	if err != nil {
		return dst, err
	}
	size := len(out) - at
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	out = append(out, length[:n]...) // make room
	copy(out[at+n:], out[at:at+size])
	copy(out[at:], length[:n])
	return out, nil
}

// jsonBits reads an element of a list, as the bits of a [value].
func jsonBits(elem Type, v []byte) (uint64, bool) {
	switch infos[elem].store {
	case storeInt64:
		n, ok := jsonInt(v)
		return uint64(n), ok
	case storeInt32:
		n, ok := jsonInt(v)
		return uint64(uint32(n)), ok && n == int64(int32(n))
	case storeFloat64:
		f, ok := jsonFloat(v)
		return math.Float64bits(f), ok
	case storeFloat32:
		f, ok := jsonFloat(v)
		return uint64(math.Float32bits(float32(f))), ok && (math.IsInf(f, 0) || !math.IsInf(float64(float32(f)), 0))
	}
	t, ok := jsonBool(v)
	if t {
		return 1, ok
	}
	return 0, ok
}
