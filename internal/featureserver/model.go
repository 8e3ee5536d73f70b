package featureserver

import (
	"bytes"
	"errors"
	"math"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/feastgo/feast/internal/exceptions"
)

// problem is what is wrong with a field of a request, in the form of pydantic, which checks them in Feast.
type problem struct {
	typ   string
	loc   []any // names, and indexes of arrays
	msg   string
	input []byte // JSON
	ctx   string // JSON of an object; empty: there is none
}

// maxInput bounds how much of a body is sent back.
const maxInput = 64 << 10

func inputOf(t text) []byte {
	if t == nil || len(t) > maxInput {
		return []byte("null")
	}
	return t.appendCompact(nil)
}

// appendProblems appends the body that says what is wrong.
func appendProblems(dst []byte, problems []problem) []byte {
	dst = append(dst, `{"detail":[`...)
	for i, p := range problems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"type":`...), p.typ)
		dst = append(dst, `,"loc":[`...)
		for k, at := range p.loc {
			if k > 0 {
				dst = append(dst, ',')
			}
			switch at := at.(type) {
			case string:
				dst = appendString(dst, at)
			case int:
				dst = strconv.AppendInt(dst, int64(at), 10)
			}
		}
		dst = appendString(append(dst, `],"msg":`...), p.msg)
		dst = append(append(dst, `,"input":`...), p.input...)
		if p.ctx != "" {
			dst = append(append(dst, `,"ctx":`...), p.ctx...)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}"...)
}

// maxProblems bounds how many are reported of one request.
const maxProblems = 100

// model reads the fields of an object and notes what is wrong with them, in the order in which they are read.
type model struct {
	object   text
	fields   []field
	loc      []any
	problems *[]problem
}

// notObject notes that there is no object at the place of the model.
func (m *model) notObject(t text) {
	m.wrong("model_attributes_type", noObject, t)
}

const noObject = "Input should be a valid dictionary or object to extract fields from"

func (m *model) add(p problem) {
	if len(*m.problems) < maxProblems {
		*m.problems = append(*m.problems, p)
	}
}

func (m *model) wrong(typ, msg string, input text, loc ...any) {
	if len(*m.problems) == maxProblems {
		return
	}
	m.add(problem{typ: typ, loc: append(append([]any(nil), m.loc...), loc...), msg: msg, input: inputOf(input)})
}

// get returns a field.
func (m *model) get(name string) (text, bool) {
	for i := range m.fields {
		if m.fields[i].name == name {
			return m.fields[i].value, true
		}
	}
	return nil, false
}

// need returns a field that must be there.
func (m *model) need(name string) (text, bool) {
	t, ok := m.get(name)
	if !ok {
		m.wrong("missing", "Field required", m.object, name)
	}
	return t, ok
}

// text reads a string. required: it must be there; optional ones may be null.
func (m *model) text(name string, required bool) string {
	t, ok := m.get(name)
	switch {
	case !ok && required:
		m.need(name)
		return ""
	case !ok || !required && t.kind() == null:
		return ""
	case t.kind() != str:
		m.wrong("string_type", "Input should be a valid string", t, name)
		return ""
	}
	return t.str()
}

// flag reads a boolean as pydantic does: from several words and numbers, too.
func (m *model) flag(name string, otherwise bool) bool {
	t, ok := m.get(name)
	if !ok {
		return otherwise
	}
	switch t.kind() {
	case boolean:
		return t[0] == 't'
	case str:
		if b, ok := parseFlag(t.str()); ok {
			return b
		}
	case number:
		f, err := strconv.ParseFloat(string(t), 64)
		if err == nil && (f == 0 || f == 1) {
			return f == 1
		}
		const beyond = 1 << 63
		if err != nil || f != math.Trunc(f) || f < -beyond || f >= beyond { // no integer of 64 bits
			m.wrong("bool_type", "Input should be a valid boolean", t, name)
			return otherwise
		}
	default:
		m.wrong("bool_type", "Input should be a valid boolean", t, name)
		return otherwise
	}
	m.wrong("bool_parsing", badFlag, t, name)
	return otherwise
}

const badFlag = "Input should be a valid boolean, unable to interpret input"

func parseFlag(s string) (b, ok bool) {
	switch strings.ToLower(s) {
	case "true", "t", "yes", "y", "on", "1":
		return true, true
	case "false", "f", "no", "n", "off", "0":
		return false, true
	}
	return false, false
}

// queryFlag reads a boolean of the query of a URL. The last one counts.
func queryFlag(params url.Values, name string, problems *[]problem) bool {
	values := params[name]
	if len(values) == 0 {
		return false
	}
	value := values[len(values)-1]
	b, ok := parseFlag(value)
	if !ok {
		m := model{loc: []any{"query"}, problems: problems}
		m.add(problem{typ: "bool_parsing", loc: []any{"query", name}, msg: badFlag, input: appendString(nil, value)})
	}
	return b
}

// integer reads a whole number; null counts as absent where optional.
func (m *model) integer(name string, optional bool, otherwise int) int {
	t, ok := m.get(name)
	if !ok || optional && t.kind() == null {
		return otherwise
	}
	switch t.kind() {
	case boolean:
		if t[0] == 't' {
			return 1
		}
		return 0
	case number, str:
		s := string(t)
		if t.kind() == str {
			s = strings.TrimSpace(t.str())
		}
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		f, err := strconv.ParseFloat(s, 64)
		switch {
		case err == nil && f == float64(int32(f)):
			return int(f)
		case t.kind() == str:
			m.wrong("int_parsing", "Input should be a valid integer, unable to parse string as an integer", t, name)
		default:
			m.wrong("int_from_float", "Input should be a valid integer, got a number with a fractional part", t, name)
		}
		return otherwise
	}
	m.wrong("int_type", "Input should be a valid integer", t, name)
	return otherwise
}

// strings reads an array of strings; null counts as absent where optional.
func (m *model) strings(name string, optional bool) []string {
	t, ok := m.get(name)
	if !ok || optional && t.kind() == null {
		return nil
	}
	if t.kind() != array {
		m.wrong("list_type", "Input should be a valid list", t, name)
		return nil
	}
	list := []string{}
	e, end, more := t.first()
	for i := 0; more; i++ {
		if e.kind() == str {
			list = append(list, e.str())
		} else {
			m.wrong("string_type", "Input should be a valid string", e, name, i)
		}
		e, end, more = t.next(end)
	}
	return list
}

// numbers checks an optional array of numbers and reports whether there is one.
func (m *model) numbers(name string) bool {
	t, ok := m.get(name)
	if !ok || t.kind() == null {
		return false
	}
	if t.kind() != array {
		m.wrong("list_type", "Input should be a valid list", t, name)
		return false
	}
	e, end, more := t.first()
	for i := 0; more; i++ {
		switch e.kind() {
		case number, boolean:
		case str:
			if _, err := strconv.ParseFloat(strings.TrimSpace(e.str()), 64); err != nil {
				m.wrong("float_parsing", "Input should be a valid number, unable to parse string as a number", e, name, i)
			}
		default:
			m.wrong("float_type", "Input should be a valid number", e, name, i)
		}
		e, end, more = t.next(end)
	}
	return true
}

// object reads a field that must be an object.
func (m *model) objectField(name string) (text, bool) {
	t, ok := m.need(name)
	if ok && t.kind() != object {
		m.wrong("dict_type", "Input should be a valid dictionary", t, name)
		return nil, false
	}
	return t, ok
}

// comparisons are the types of filters that compare, and compounds of those that hold others.
var (
	comparisons = []string{"eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"}
	compounds   = []string{"and", "or"}
)

// maxFilters bounds how deep filters are nested.
const maxFilters = 16

// filter checks a filter: one that compares or one that holds others. Where it is neither, what is wrong with it as each of
// them is reported, as pydantic does.
func (m *model) filter(t text, depth int, loc ...any) {
	if depth == maxFilters {
		m.wrong("recursion_loop", "Filters are nested too deep", nil, loc...)
		return
	}
	var problems []problem
	at := append(append([]any(nil), m.loc...), loc...)
	for _, as := range []struct {
		name  string
		check func(*model)
	}{
		{"ComparisonFilter", func(f *model) {
			f.literal("type", comparisons)
			f.text("key", true)
			f.need("value")
		}},
		{"CompoundFilter", func(f *model) {
			f.literal("type", compounds)
			list, ok := f.need("filters")
			if !ok {
				return
			}
			if list.kind() != array {
				f.wrong("list_type", "Input should be a valid list", list, "filters")
				return
			}
			e, end, more := list.first()
			for i := 0; more; i++ {
				f.filter(e, depth+1, "filters", i)
				e, end, more = list.next(end)
			}
		}},
	} {
		var found []problem
		f := &model{object: t, loc: append(append([]any(nil), at...), as.name), problems: &found}
		if t.kind() != object {
			f.notObject(t)
		} else {
			f.fields = t.fields(nil)
			as.check(f)
		}
		if len(found) == 0 {
			return
		}
		problems = append(problems, found...)
	}
	for _, p := range problems {
		m.add(p)
	}
}

// literal checks a field that must be one of several words.
func (m *model) literal(name string, words []string) {
	t, ok := m.need(name)
	if !ok {
		return
	}
	if t.kind() == str {
		for _, w := range words {
			if t.str() == w {
				return
			}
		}
	}
	want := "'" + strings.Join(words[:len(words)-1], "', '") + "' or '" + words[len(words)-1] + "'"
	m.add(problem{typ: "literal_error", loc: append(append([]any(nil), m.loc...), name), msg: "Input should be " + want,
		input: inputOf(t), ctx: string(appendString([]byte(`{"expected":`), want)) + "}"})
}

// parseBody returns the value of a body, or the answer to one that cannot be read. Feast's server reads JSON where the
// content type says so, and takes everything else for text, which fits no route: then it says so after what is wrong with the
// query, which are the problems given.
func parseBody(contentType string, body []byte, query []problem) (text, *reply) {
	problems := func(p problem) (text, *reply) {
		return nil, unprocessable(append(query, p))
	}
	if len(body) == 0 {
		return problems(problem{typ: "missing", loc: []any{"body"}, msg: "Field required", input: []byte("null")})
	}
	if !isJSON(contentType) {
		input := []byte("null")
		if len(body) <= maxInput {
			input = appendString(nil, string(body))
		}
		return problems(problem{typ: "model_attributes_type", loc: []any{"body"}, input: input,
			msg: noObject})
	}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if !utf8.Valid(body) {
		return nil, &reply{status: 400, content: contentJSON, body: detail("There was an error parsing the body")}
	}
	t, err := check(body)
	if half, ok := errors.AsType[halfPair](err); ok {
		return nil, exceptionReply(pythonError(half.Error()))
	}
	wrong, _ := errors.AsType[*syntaxError](err)
	switch {
	case wrong == errDepth:
		return nil, &reply{status: 400, content: contentJSON, body: detail("There was an error parsing the body")}
	case wrong != nil:
		query = nil // which was not looked at
		return problems(problem{typ: "json_invalid", loc: []any{"body", chars(body, wrong.at)}, msg: "JSON decode error",
			input: []byte("{}"), ctx: string(appendString([]byte(`{"error":`), wrong.msg)) + "}"})
	}
	return t, nil
}

// isJSON reports whether a content type is application/json or ends in +json.
func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	name, _, _ := strings.Cut(contentType, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	sub, ok := strings.CutPrefix(name, "application/")
	return ok && (sub == "json" || strings.HasSuffix(sub, "+json"))
}

// detail is the body of an error of Feast's web framework.
func detail(msg string) []byte {
	return append(appendString([]byte(`{"detail":`), msg), '}')
}

// doubleEncoded is the body of an exception of Feast: a JSON string that holds JSON.
func doubleEncoded(e exceptions.Exception) []byte { return appendString(nil, e.JSON()) }
