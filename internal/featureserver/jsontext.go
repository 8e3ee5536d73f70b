package featureserver

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/feastgo/feast/types"
)

// text is a JSON value without white space around it, of a body that check has found right. It is read where it stands: a
// body makes no tree, which would be many times as large as what the client sent.
type text []byte

// kind is what a JSON value is.
type kind uint8

const (
	null kind = iota
	boolean
	number // NaN and the infinities of Python too
	str
	array
	object
)

func (t text) kind() kind {
	switch t[0] {
	case 'n':
		return null
	case 't', 'f':
		return boolean
	case '"':
		return str
	case '[':
		return array
	case '{':
		return object
	}
	return number
}

// syntaxError says what is wrong with JSON in the words of Python's json module, and at which byte.
type syntaxError struct {
	msg string
	at  int
}

func (e *syntaxError) Error() string { return e.msg + " at byte " + strconv.Itoa(e.at) }

// maxDepth bounds how deep values are nested. Python's parser gives up at its limit of recursion.
const maxDepth = 500

// errDepth says that values are nested too deep.
var errDepth = &syntaxError{msg: "values are nested too deep"}

// halfPair is the error of a text with one half of a pair of surrogates, which is no character. Python reads it and fails
// later on.
type halfPair string

func (h halfPair) Error() string {
	return "a text of the body has " + string(h) + " in it, one half of a surrogate pair, which is no character"
}

// check returns the one value of a body, in the JSON that Python reads: with NaN, Infinity and -Infinity. UTF-8 is not
// looked at. The error is a *syntaxError or a halfPair.
func check(b []byte) (text, error) {
	c := checker{b: b}
	start := c.space(0)
	end := c.value(start, 0)
	if c.err != nil {
		return nil, c.err
	}
	if rest := c.space(end); rest < len(b) {
		return nil, &syntaxError{"Extra data", rest}
	}
	if c.half != "" {
		return nil, c.half
	}
	return text(b[start:end]), nil
}

type checker struct {
	b    []byte
	err  *syntaxError
	half halfPair // the first
}

func (c *checker) fail(msg string, at int) int {
	if c.err == nil {
		c.err = &syntaxError{msg, at}
	}
	return at
}

func (c *checker) space(i int) int { return skipSpace(c.b, i) }

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// at returns the byte at i, 0 behind the end.
func (c *checker) at(i int) byte {
	if i < len(c.b) {
		return c.b[i]
	}
	return 0
}

// value checks the value at i and returns where it ends.
func (c *checker) value(i, depth int) int {
	switch ch := c.at(i); {
	case ch == '"':
		return c.str(i)
	case ch == '{' || ch == '[':
		if depth == maxDepth {
			if c.err == nil {
				c.err = errDepth
			}
			return i
		}
		if ch == '{' {
			return c.object(i+1, depth+1)
		}
		return c.array(i+1, depth+1)
	case ch == '-' || ch >= '0' && ch <= '9':
		return c.number(i)
	}
	for _, word := range words {
		if bytes.HasPrefix(c.b[min(i, len(c.b)):], word) {
			return i + len(word)
		}
	}
	return c.fail("Expecting value", i)
}

var words = [][]byte{[]byte("null"), []byte("true"), []byte("false"), []byte("NaN"), []byte("Infinity")}

func (c *checker) object(i, depth int) int {
	i = c.space(i)
	if c.at(i) == '}' {
		return i + 1
	}
	for {
		if c.at(i) != '"' {
			return c.fail("Expecting property name enclosed in double quotes", i)
		}
		if i = c.space(c.str(i)); c.err != nil {
			return i
		}
		if c.at(i) != ':' {
			return c.fail("Expecting ':' delimiter", i)
		}
		if i = c.space(c.value(c.space(i+1), depth)); c.err != nil {
			return i
		}
		switch c.at(i) {
		case '}':
			return i + 1
		case ',':
			i = c.space(i + 1)
		default:
			return c.fail("Expecting ',' delimiter", i)
		}
	}
}

func (c *checker) array(i, depth int) int {
	i = c.space(i)
	if c.at(i) == ']' {
		return i + 1
	}
	for {
		if i = c.space(c.value(i, depth)); c.err != nil {
			return i
		}
		switch c.at(i) {
		case ']':
			return i + 1
		case ',':
			i = c.space(i + 1)
		default:
			return c.fail("Expecting ',' delimiter", i)
		}
	}
}

func (c *checker) str(start int) int {
	for i := start + 1; i < len(c.b); i++ {
		switch ch := c.b[i]; {
		case ch == '"':
			return i + 1
		case ch < ' ':
			return c.fail("Invalid control character at", i)
		case ch != '\\':
		case c.at(i+1) == 'u':
			for k := i + 2; k < i+6; k++ {
				if !isHex(c.at(k)) {
					return c.fail("Invalid \\uXXXX escape", i+1)
				}
			}
			i = c.surrogate(i) + 5
		case bytes.IndexByte([]byte(`"\/bfnrt`), c.at(i+1)) < 0:
			if i+1 == len(c.b) {
				return c.fail("Unterminated string starting at", start)
			}
			return c.fail("Invalid \\escape", i)
		default:
			i++
		}
	}
	return c.fail("Unterminated string starting at", start)
}

// surrogate looks at the escape at i, and returns where the last one of the character begins.
func (c *checker) surrogate(i int) int {
	r := c.unit(i)
	if !utf16.IsSurrogate(r) {
		return i
	}
	if utf16.DecodeRune(r, c.unit(i+6)) != utf8.RuneError {
		return i + 6
	}
	if c.half == "" {
		c.half = halfPair(c.b[i : i+6])
	}
	return i
}

// unit returns the value of an escape \uXXXX at i, 0 where there is none.
func (c *checker) unit(i int) (r rune) {
	if c.at(i) != '\\' || c.at(i+1) != 'u' {
		return 0
	}
	for k := i + 2; k < i+6; k++ {
		if !isHex(c.at(k)) {
			return 0
		}
	}
	n, _ := strconv.ParseUint(string(c.b[i+2:i+6]), 16, 16) // four hexadecimal digits
	return rune(n)
}

func isHex(b byte) bool { return isDigit(b) || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' }
func isDigit(b byte) bool {
	return b >= '0' && b <= '9'
}

func (c *checker) number(start int) int {
	i := start
	if c.at(i) == '-' {
		if i++; bytes.HasPrefix(c.b[i:], []byte("Infinity")) {
			return i + len("Infinity")
		}
	}
	switch {
	case c.at(i) == '0':
		i++
	case isDigit(c.at(i)):
		i = c.digits(i)
	default:
		return c.fail("Expecting value", start)
	}
	if c.at(i) == '.' && isDigit(c.at(i+1)) { // else the number ends here, and what follows is wrong
		i = c.digits(i + 1)
	}
	if ch := c.at(i); ch == 'e' || ch == 'E' {
		k := i + 1
		if c.at(k) == '+' || c.at(k) == '-' {
			k++
		}
		if isDigit(c.at(k)) {
			i = c.digits(k)
		}
	}
	return i
}

func (c *checker) digits(i int) int {
	for isDigit(c.at(i)) {
		i++
	}
	return i
}

// end returns where the value at i ends.
func (t text) end(i int) int {
	switch t[i] {
	case '"':
		return t.stringEnd(i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch t[i] {
			case '"':
				i = t.stringEnd(i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(t) && t[i] > ' ' && t[i] != ',' && t[i] != ']' && t[i] != '}' {
		i++
	}
	return i
}

func (t text) stringEnd(i int) int {
	for i++; t[i] != '"'; i++ {
		if t[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// first returns the first element of an array or object; next the one behind the end of another. ok is false when there is
// none. An element of an object is its key.
func (t text) first() (element text, end int, ok bool) { return t.elementAt(skipSpace(t, 1)) }

func (t text) next(end int) (element text, after int, ok bool) {
	if end = skipSpace(t, end); t[end] != ',' {
		return nil, end, false
	}
	return t.elementAt(skipSpace(t, end+1))
}

func (t text) elementAt(i int) (text, int, bool) {
	if t[i] == ']' || t[i] == '}' {
		return nil, i, false
	}
	end := t.end(i)
	return t[i:end], end, true
}

// field is a member of an object.
type field struct {
	name  string
	value text
}

// fields appends the members of an object to dst. Of equal names the last counts, in the place of the first, as in a
// dict of Python.
func (t text) fields(dst []field) []field {
	const few = 16
	var index map[string]int
	from := len(dst)
	key, end, ok := t.first()
	for ok {
		start := skipSpace(t, skipSpace(t, end)+1)
		end = t.end(start)
		f := field{key.str(), t[start:end]}
		at := -1
		switch n := len(dst) - from; {
		case index != nil:
			if i, found := index[f.name]; found {
				at = i
			}
		case n < few:
			for i := range n {
				if dst[from+i].name == f.name {
					at = from + i
				}
			}
		default:
			index = make(map[string]int, 2*few)
			for i := from; i < len(dst); i++ {
				index[dst[i].name] = i
			}
			if i, found := index[f.name]; found {
				at = i
			}
		}
		if at < 0 {
			if index != nil {
				index[f.name] = len(dst)
			}
			dst = append(dst, f)
		} else {
			dst[at] = f
		}
		key, end, ok = t.next(end)
	}
	return dst
}

// str returns the text of a string, copied.
func (t text) str() string {
	in := t[1 : len(t)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return string(bytes.ToValidUTF8(in, []byte("\uFFFD")))
	}
	var s string
	if json.Unmarshal(t, &s) != nil { // which check excludes
		return string(in)
	}
	return s
}

// len returns how many elements an array has.
func (t text) len() (n int) {
	_, end, ok := t.first()
	for ok {
		n++
		_, end, ok = t.next(end)
	}
	return n
}

// isNaN reports whether a number is one of those that only Python's JSON has.
func (t text) isNaN() bool { return t[0] == 'N' }

// isInteger reports whether a number is an int of Python.
func (t text) isInteger() bool {
	return t[0] != 'N' && t[0] != 'I' && t[len(t)-1] != 'y' && !bytes.ContainsAny(t, ".eE")
}

// native returns the value as Feast's front takes it: numbers as json.Number, NaN as a null.
func (t text) native() any {
	switch t.kind() {
	case boolean:
		return t[0] == 't'
	case number:
		switch {
		case t.isNaN():
			return nil
		case t[len(t)-1] == 'y':
			f, _ := strconv.ParseFloat(string(t), 64) // Infinity
			return f
		}
		return json.Number(t)
	case str:
		return t.str()
	case array:
		list := []any{}
		e, end, ok := t.first()
		for ok {
			list = append(list, e.native())
			e, end, ok = t.next(end)
		}
		return list
	case object:
		m := map[string]any{}
		for _, f := range t.fields(nil) {
			m[f.name] = f.value.native()
		}
		return m
	}
	return nil
}

// nativeSize is about what native allocates for a value, in bytes.
const nativeSize = 40

// values counts the scalars and the arrays and objects in a value.
func (t text) values() int {
	n := 1
	for i := 0; i < len(t); i++ {
		switch t[i] {
		case '"':
			i = t.stringEnd(i) - 1
		case ',', '[', '{':
			n++
		}
	}
	return n
}

// appendCompact appends the value as Feast's server writes it: without white space, text in UTF-8.
func (t text) appendCompact(dst []byte) []byte {
	switch t.kind() {
	case str:
		s := t.str()
		return types.AppendJSONString(dst, unsafe.Slice(unsafe.StringData(s), len(s)))
	case array:
		dst = append(dst, '[')
		e, end, ok := t.first()
		for i := 0; ok; i++ {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.appendCompact(dst)
			e, end, ok = t.next(end)
		}
		return append(dst, ']')
	case object:
		dst = append(dst, '{')
		for i, f := range t.fields(nil) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, f.name), ':')
			dst = f.value.appendCompact(dst)
		}
		return append(dst, '}')
	case number:
		if t.isNaN() || t[len(t)-1] == 'y' {
			return append(dst, "null"...)
		}
	}
	return append(dst, t...)
}

func appendString(dst []byte, s string) []byte {
	return types.AppendJSONString(dst, unsafe.Slice(unsafe.StringData(s), len(s)))
}

// chars is how many characters of a body stand before a byte, by which Python counts.
func chars(b []byte, at int) int { return utf8.RuneCount(b[:min(at, len(b))]) }
