// Package pyrepr writes values as Python's repr does, since some of Feast's messages have such texts in them.
package pyrepr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Tuple is written in parentheses.
type Tuple []any

// Dict is a dictionary in order: key, value, key, value.
type Dict []any

// Text returns the repr of a text.
func Text(s string) string { return string(Append(nil, s)) }

// Value returns the repr of what encoding/json decodes to, and of the types here. Keys of maps are sorted.
func Value(v any) string { return string(AppendValue(nil, v)) }

// AppendValue appends the repr of a value.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "None"...)
	case bool:
		if v {
			return append(b, "True"...)
		}
		return append(b, "False"...)
	case string:
		return Append(b, v)
	case json.Number:
		return append(b, v...)
	case []string:
		return sequence(b, '[', ']', len(v), func(b []byte, i int) []byte { return Append(b, v[i]) })
	case []any:
		return sequence(b, '[', ']', len(v), func(b []byte, i int) []byte { return AppendValue(b, v[i]) })
	case Tuple:
		b = sequence(b, '(', ')', len(v), func(b []byte, i int) []byte { return AppendValue(b, v[i]) })
		if len(v) == 1 {
			b = append(b[:len(b)-1], ",)"...)
		}
		return b
	case Dict:
		return sequence(b, '{', '}', len(v)/2, func(b []byte, i int) []byte {
			return AppendValue(append(AppendValue(b, v[2*i]), ": "...), v[2*i+1])
		})
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		return sequence(b, '{', '}', len(keys), func(b []byte, i int) []byte {
			return AppendValue(append(Append(b, keys[i]), ": "...), v[keys[i]])
		})
	}
	return fmt.Append(b, v)
}

func sequence(b []byte, begin, end byte, n int, one func([]byte, int) []byte) []byte {
	b = append(b, begin)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = one(b, i)
	}
	return append(b, end)
}

// Append appends the repr of a text.
func Append(b []byte, s string) []byte {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b = append(b, quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case unicode.IsPrint(r):
			b = append(b, string(r)...)
		case r < 0x100:
			b = fmt.Appendf(b, `\x%02x`, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
	}
	return append(b, quote)
}
