package yamldoc

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/feastgo/feast/feasterr"
)

// InvalidLine is the line of the first byte of data that is not UTF-8 text, 0 when there is none.
func InvalidLine(data []byte) int {
	if utf8.Valid(data) {
		return 0
	}
	valid := 0
	for valid < len(data) {
		c, size := utf8.DecodeRune(data[valid:])
		if c == utf8.RuneError && size == 1 {
			break
		}
		valid += size
	}
	return 1 + bytes.Count(data[:valid], []byte("\n"))
}

// yamlError is the text of the yaml package's errors.
var yamlError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s:.*))$`)

// parserError is what distinguishes errors of the yaml package's parser from those of its scanner. The parser counts
// lines from 0, the scanner from 1, and both leave out a 0.
var parserError = regexp.MustCompile(`(node content|expected key|'-' indicator|',' or '[\]}]'|start>|directive|document|tag handle)$`)

// SyntaxError is the line in text and the message of an error of the yaml package. The name of an alias does not
// show: it may be a password that begins with an asterisk.
func SyntaxError(text string, err error) (int, string) {
	m := yamlError.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	msg := m[2]
	at := -1
	if name, ok := strings.CutPrefix(msg, "unknown anchor '"); ok {
		at = strings.Index(text, "*"+strings.TrimSuffix(name, "' referenced"))
		msg = "alias without an anchor; put a value that begins with * in quotes"
	} else if strings.HasPrefix(msg, "control characters") {
		at = strings.IndexFunc(text, func(c rune) bool {
			return unicode.IsControl(c) && !strings.ContainsRune("\t\n\r\u0085", c)
		})
	}
	switch {
	case at >= 0:
		line = 1 + strings.Count(text[:at], "\n")
	case line == 0:
		line = 1
	case parserError.MatchString(msg):
		line++
	}
	return min(line, Lines(text)), msg // the end of text may be on no line of its own
}

// Lines is the number of lines of text, as YAML counts them.
func Lines(text string) int {
	n := 1 - strings.Count(text, "\r\n")
	for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		n += strings.Count(text, end)
	}
	return n
}

// Join is the dotted path of a key within a section. Keys that would not read as such are quoted.
func Join(section, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return !strconv.IsGraphic(r) || r == '.' || r == ' ' }) {
		key = strconv.Quote(key)
	}
	if section == "" {
		return key
	}
	return section + "." + key
}

// Index is the path of an element of a list.
func Index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// DidYouMean ends a message about an unknown name with the names that resemble it; it is empty when none does.
func DidYouMean(name string, known []string) string {
	if near := feasterr.Near(name, slices.Values(known)); len(near) > 0 {
		return "; did you mean " + Alternatives(near) + "?"
	}
	return ""
}

// Alternatives lists names as `"a", "b" or "c"`.
func Alternatives(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}
