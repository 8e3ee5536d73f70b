package config

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/feastgo/feast/internal/yamldoc"
)

// report collects what is wrong or doubtful in one document.
type report struct {
	file     string
	problems []Problem
	warnings []Problem
}

func (r *report) problem(line int, key, format string, args ...any) {
	r.problems = append(r.problems, Problem{line, key, fmt.Sprintf(format, args...)})
}

func (r *report) warning(line int, key, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{line, key, fmt.Sprintf(format, args...)})
}

// err is nil when there was no problem.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, byLine)
	return &Error{File: r.file, Problems: r.problems}
}

// secretive matches "key=value" where the value may hold a secret.
var secretive = regexp.MustCompile(`(?i)pass|pwd|secret|token|cred|key|@`)

// unsetWarning reports a reference to a variable that is not set, within the given value. What looks like one may
// be part of a password, as in pa$word; it is not named then.
func (r *report) unsetWarning(ref reference, key, value string) {
	switch braces := ref.text[1] == '{'; {
	case !braces && ref.text != value && secretive.MatchString(key+"="+value):
		r.warning(ref.line, key, "holds a $ before a name that is not set in the environment; it stays as it is")
	case strings.Contains(ref.name, ":-"):
		r.warning(ref.line, key, "environment variable %q is not set and the text stays as it is: there is no syntax for "+
			"default values", ref.name)
	default:
		r.warning(ref.line, key, "environment variable %q is not set and the text stays as it is", ref.name)
	}
}

// options of a field, from its tags.
type options struct {
	required bool // the key must be there
	nullable bool // null is the zero value, for types that have no null
	strict   bool // no conversion: only a boolean is a boolean, only an integer an integer
	literal  bool // an undefined variable stays as written
	enum     []string
	min      *float64
}

// field is a struct field that a key is decoded into.
type field struct {
	index int
	key   string
	options
}

// layout is how a struct is decoded.
type layout struct {
	fields []field
	rest   int // index of the field for unknown keys, -1 when they are errors
}

// layoutOf reads the tags of a struct type.
func layoutOf(t reflect.Type) layout {
	l := layout{rest: -1}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		if !ok || tag == "-" {
			continue
		}
		if tag == ",inline" {
			l.rest = i
			continue
		}
		parts := strings.Split(tag, ",")
		out := field{index: i, key: parts[0]}
		for _, option := range parts[1:] {
			switch option {
			case "required":
				out.required = true
			case "nullable":
				out.nullable = true
			case "strict":
				out.strict = true
			case "literal":
				out.literal = true
			default:
				panic(fmt.Sprintf("config: %s.%s has the unknown tag option %q", t, f.Name, option)) //nolint:forbidigo // a fault of the program's types
			}
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			out.enum = strings.Split(enum, "|")
		}
		if text := f.Tag.Get("min"); text != "" {
			limit, err := strconv.ParseFloat(text, 64)
			if err != nil {
				panic(fmt.Sprintf("config: %s.%s: %v", t, f.Name, err)) //nolint:forbidigo // a fault of the program's types
			}
			out.min = &limit
		}
		l.fields = append(l.fields, out)
	}
	return l
}

// keys are the keys that the fields stand for.
func (l layout) keys() []string {
	out := make([]string, len(l.fields))
	for i, f := range l.fields {
		out[i] = f.key
	}
	return out
}

// sectionDecoder is implemented by types of this package that have a short form besides the map.
type sectionDecoder interface {
	decodeSection(r *report, s Section)
}

// defaulter is implemented by types of this package that are absent by default and have defaults when present.
type defaulter interface {
	setDefaults()
}

var (
	sectionType  = reflect.TypeFor[Section]()
	durationType = reflect.TypeFor[time.Duration]()
)

// decode stores n, which stands at the dotted path key, in out.
func (r *report) decode(n *yamldoc.Node, key string, out reflect.Value, o options) {
	if out.Type() == sectionType {
		out.Set(reflect.ValueOf(newSection(r.file, key, n)))
		return
	}
	if d, ok := reflect.TypeAssert[sectionDecoder](out.Addr()); ok {
		d.decodeSection(r, newSection(r.file, key, n))
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		if n.Kind == yamldoc.Null {
			out.SetZero()
			return
		}
		to := reflect.New(out.Type().Elem())
		if d, ok := reflect.TypeAssert[defaulter](to); ok {
			d.setDefaults()
		}
		r.decode(n, key, to.Elem(), o)
		out.Set(to)
		return
	case reflect.Interface:
		if n.Kind == yamldoc.Other {
			r.mismatch(n, key, "a YAML value")
			return
		}
		out.SetZero()
		if v := n.Any(); v != nil {
			out.Set(reflect.ValueOf(v))
		}
		return
	}
	if n.Undefined != "" && !o.literal {
		r.unset(n, key)
		return
	}
	if n.Kind == yamldoc.Null && (o.nullable || out.Kind() == reflect.Slice || out.Kind() == reflect.Map) {
		out.SetZero()
		return
	}
	switch {
	case out.Type() == durationType:
		r.duration(n, key, out, o)
		return
	case out.CanInt():
		r.integer(n, key, out, o)
		return
	}
	switch out.Kind() {
	case reflect.Bool:
		if v, ok := asBool(n, o.strict); ok {
			out.SetBool(v)
		} else {
			r.mismatch(n, key, "true or false")
		}
	case reflect.Float32, reflect.Float64:
		if v, ok := asFloat(n, o.strict); !ok {
			r.mismatch(n, key, "a number")
		} else if r.inRange(n, key, v, o) {
			out.SetFloat(v)
		}
	case reflect.String:
		switch {
		case n.Kind != yamldoc.Text:
			r.mismatch(n, key, "text")
		case o.enum != nil && !slices.Contains(o.enum, n.Text):
			r.problem(n.Line, key, "must be %s, is %q", yamldoc.Alternatives(o.enum), n.Text)
		default:
			out.SetString(n.Text)
		}
	case reflect.Slice:
		if n.Kind != yamldoc.List {
			r.mismatch(n, key, "a list")
			return
		}
		list := reflect.MakeSlice(out.Type(), len(n.List), len(n.List))
		for i, item := range n.List {
			r.decode(item, yamldoc.Index(key, i), list.Index(i), o)
		}
		out.Set(list)
	case reflect.Map:
		if n.Kind != yamldoc.Map {
			r.mismatch(n, key, "a map")
			return
		}
		m := reflect.MakeMapWithSize(out.Type(), len(n.Pairs))
		for _, p := range n.Pairs {
			r.entry(p, key, m, o)
		}
		out.Set(m)
	case reflect.Struct:
		if n.Kind != yamldoc.Map {
			r.mismatch(n, key, "a map")
			return
		}
		r.fields(n, key, out, false)
	default:
		panic(fmt.Sprintf("config: cannot decode into %s", out.Type())) //nolint:forbidigo // a fault of the program's types
	}
}

// entry stores a pair of the map at the dotted path key in m.
func (r *report) entry(p yamldoc.Pair, key string, m reflect.Value, o options) {
	v := reflect.New(m.Type().Elem()).Elem()
	r.decode(p.Value, yamldoc.Join(key, p.Key), v, o)
	m.SetMapIndex(reflect.ValueOf(p.Key).Convert(m.Type().Key()), v)
}

// fields stores the pairs of a map in the fields of a struct. typed allows the key type, which belongs to the
// section and not to the driver.
func (r *report) fields(n *yamldoc.Node, key string, out reflect.Value, typed bool) {
	l := layoutOf(out.Type())
	for _, f := range l.fields {
		if value := n.Get(f.key); value != nil {
			r.decode(value, yamldoc.Join(key, f.key), out.Field(f.index), f.options)
		} else if f.required {
			r.problem(n.Line, yamldoc.Join(key, f.key), "is required")
		}
	}
	known := l.keys()
	var rest reflect.Value
	if l.rest >= 0 && out.Type().Field(l.rest).IsExported() {
		rest = out.Field(l.rest)
		rest.Set(reflect.MakeMap(rest.Type()))
	}
	for _, p := range n.Pairs {
		switch {
		case slices.Contains(known, p.Key), typed && p.Key == "type":
		case rest.IsValid():
			r.entry(p, key, rest, options{})
		case l.rest < 0:
			r.problem(p.Value.Line, yamldoc.Join(key, p.Key), "is not a known key%s", suggest(p.Key, known, ""))
		}
	}
}

func (r *report) mismatch(n *yamldoc.Node, key, want string) {
	hint := ""
	if want == "text" && (n.Kind == yamldoc.Bool || n.Kind == yamldoc.Int || n.Kind == yamldoc.Float || n.Kind == yamldoc.Time) {
		hint = "; put it in quotes"
	}
	r.problem(n.Line, key, "must be %s, is %s%s", want, n.Kind, hint)
}

func (r *report) unset(n *yamldoc.Node, key string) {
	r.problem(n.Line, key, "environment variable %q is not set", n.Undefined)
}

func (r *report) inRange(n *yamldoc.Node, key string, v float64, o options) bool {
	if o.min != nil && !(v >= *o.min) {
		r.problem(n.Line, key, "must be at least %v, is %v", *o.min, v)
		return false
	}
	return true
}

func (r *report) integer(n *yamldoc.Node, key string, out reflect.Value, o options) {
	v, ok := asInt(n, o.strict)
	switch {
	case !ok:
		r.mismatch(n, key, "an integer")
	case out.OverflowInt(v):
		r.problem(n.Line, key, "does not fit into %d bits", out.Type().Bits())
	case r.inRange(n, key, float64(v), o):
		out.SetInt(v)
	}
}

// duration reads a number of seconds. What is longer than a time.Duration becomes the longest one.
func (r *report) duration(n *yamldoc.Node, key string, out reflect.Value, o options) {
	seconds, ok := asFloat(n, o.strict)
	want := "a number of seconds"
	if o.strict {
		want = "a whole number of seconds"
		ok = n.Kind == yamldoc.Int
	}
	switch {
	case !ok || math.IsNaN(seconds):
		r.mismatch(n, key, want)
	case !r.inRange(n, key, seconds, o):
	case math.Abs(seconds) >= float64(math.MaxInt64)/float64(time.Second):
		out.SetInt(math.MaxInt64)
		if seconds < 0 {
			out.SetInt(math.MinInt64)
		}
	default:
		out.SetInt(int64(math.Round(seconds * float64(time.Second))))
	}
}

// What Feast's models convert unless a field is strict: texts that read as the type, numbers without a fraction,
// and booleans as 0 and 1.

var booleanTexts = map[string]bool{
	"1": true, "on": true, "t": true, "true": true, "y": true, "yes": true,
	"0": false, "off": false, "f": false, "false": false, "n": false, "no": false,
}

func asBool(n *yamldoc.Node, strict bool) (v, ok bool) {
	if n.Kind == yamldoc.Bool {
		return n.Bool, true
	}
	if strict {
		return false, false
	}
	switch n.Kind {
	case yamldoc.Int:
		return n.Int == 1, n.Int == 0 || n.Int == 1
	case yamldoc.Float:
		return n.Float == 1, n.Float == 0 || n.Float == 1
	case yamldoc.Text:
		v, ok = booleanTexts[strings.ToLower(n.Text)]
	}
	return v, ok
}

var integerText = regexp.MustCompile(`^([-+]?[0-9]+(?:_[0-9]+)*)(?:\.0+)?$`)

func asInt(n *yamldoc.Node, strict bool) (int64, bool) {
	if n.Kind == yamldoc.Int {
		return n.Int, true
	}
	if strict {
		return 0, false
	}
	switch n.Kind {
	case yamldoc.Bool:
		if n.Bool {
			return 1, true
		}
		return 0, true
	case yamldoc.Float:
		v := int64(n.Float)
		return v, n.Float == math.Trunc(n.Float) && math.Abs(n.Float) < 1<<63
	case yamldoc.Text:
		if m := integerText.FindStringSubmatch(strings.TrimSpace(n.Text)); m != nil {
			v, err := strconv.ParseInt(strings.ReplaceAll(m[1], "_", ""), 10, 64)
			return v, err == nil
		}
	}
	return 0, false
}

func asFloat(n *yamldoc.Node, strict bool) (float64, bool) {
	switch n.Kind {
	case yamldoc.Int:
		return float64(n.Int), true
	case yamldoc.Float:
		return n.Float, true
	}
	if strict {
		return 0, false
	}
	switch n.Kind {
	case yamldoc.Bool:
		if n.Bool {
			return 1, true
		}
		return 0, true
	case yamldoc.Text:
		text := strings.TrimSpace(n.Text)
		v, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		return v, err == nil && !strings.ContainsAny(text, "xX")
	}
	return 0, false
}
