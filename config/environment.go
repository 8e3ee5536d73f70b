package config

import (
	"iter"
	"strings"
)

// reference is one $NAME or ${NAME} in a text.
type reference struct {
	text string // as written
	name string
	line int // 1-based line of the source
	at   int // offset in the text after substitution
}

// references yields the references of s with their offsets. A name is the longest run of ASCII letters, digits and
// underscores after the dollar sign, or whatever stands between the braces, up to the first closing one.
func references(s string) iter.Seq2[int, reference] {
	return func(yield func(int, reference) bool) {
		for at := 0; ; {
			i := strings.IndexByte(s[at:], '$')
			if i < 0 {
				return
			}
			start := at + i
			at = start + 1
			var r reference
			if strings.HasPrefix(s[at:], "{") {
				length := strings.IndexByte(s[at:], '}')
				if length < 0 {
					continue
				}
				r = reference{text: s[start : at+length+1], name: s[at+1 : at+length]}
			} else {
				end := at
				for end < len(s) && isWord(s[end]) {
					end++
				}
				if end == at {
					continue
				}
				r = reference{text: s[start:end], name: s[at:end]}
			}
			if !yield(start, r) {
				return
			}
			at = start + len(r.text)
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isVariableName reports whether a shell could set a variable of this name.
func isVariableName(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}

// expansion is a text after substitution.
type expansion struct {
	text      string
	undefined []reference // in the order of the text
	// lines holds for each line of text the line of the source that it came from, counted from 1. They drift apart
	// when a value brings line breaks of its own.
	lines []int
}

// expand substitutes the references that lookup defines. Values are inserted as they are and not scanned again.
func expand(source string, lookup func(string) (string, bool)) expansion {
	var (
		e    expansion
		out  strings.Builder
		done int
		line = 1
	)
	keep := func(end int) {
		for range strings.Count(source[done:end], "\n") {
			e.lines = append(e.lines, line)
			line++
		}
		out.WriteString(source[done:end])
		done = end
	}
	for start, r := range references(source) {
		keep(start)
		r.line, r.at = line, out.Len()
		var value string
		var ok bool
		if lookup != nil {
			value, ok = lookup(r.name)
		}
		if !ok {
			e.undefined = append(e.undefined, r)
			continue
		}
		for range strings.Count(value, "\n") {
			e.lines = append(e.lines, line)
		}
		out.WriteString(value)
		line += strings.Count(r.text, "\n")
		done += len(r.text)
	}
	keep(len(source))
	e.lines = append(e.lines, line)
	e.text = out.String()
	return e
}

// line is the line of the source that the nth line of the text came from.
func (e *expansion) line(n int) int {
	if n < 1 {
		return 0
	}
	return e.lines[min(n, len(e.lines))-1]
}
