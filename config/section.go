package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/feastgo/feast/internal/yamldoc"
)

// Section is a part of a configuration with its place in the file: what a driver decodes its own keys from. The zero
// Section is null. Sections are immutable and safe for concurrent use.
type Section struct {
	file string
	key  string
	typ  string
	node *yamldoc.Node
}

// newSection is the section of n, which stands at the dotted path key.
func newSection(file, key string, n *yamldoc.Node) Section {
	s := Section{file: file, key: key, node: n}
	s.typ = s.typeNode().Text
	return s
}

// NewSection is a section without a file, for programs that configure a store in Go and for tests. values holds what
// a YAML map would: booleans, numbers, strings, nil, slices, maps with string keys; and [time.Duration] for seconds.
// They are copied.
func NewSection(typ string, values map[string]any) Section {
	return Section{key: typ, typ: typ, node: fromGo(reflect.ValueOf(values))}
}

// WithType is s under the type name typ: for a wrapper that gives its parts their types beside their keys, as
// Feast's hybrid store does. A null section becomes one without keys.
func (s Section) WithType(typ string) Section {
	if s.IsNull() {
		line := 0
		if s.node != nil {
			line = s.node.Line
		}
		s.node = &yamldoc.Node{Line: line, Kind: yamldoc.Map}
	}
	s.typ = typ
	return s
}

// Type is the type name as written, or the default where the section names none. Drivers are registered under all
// names of a type; see [CanonicalOnlineType].
func (s Section) Type() string { return s.typ }

// IsNull reports whether the section is null or absent.
func (s Section) IsNull() bool { return s.node == nil || s.node.Kind == yamldoc.Null }

// Line is the line of the file where the section begins, 0 when it does not stand in a file.
func (s Section) Line() int {
	if s.node == nil {
		return 0
	}
	return s.node.Line
}

// Key is the dotted path of the section, "online_store" or "online_store.online_stores[1].conf"; the type name for a
// section made by [NewSection].
func (s Section) Key() string { return s.key }

// String is the key. The rest is left out, since it may hold secrets.
func (s Section) String() string { return s.key }

// Invalid is the error for a value that decodes and is wrong all the same: an [*Error] that names the place of key.
// The message must not show values that may be secrets.
func (s Section) Invalid(key, format string, args ...any) error {
	r := report{file: s.file}
	r.problem(s.at(key).Line, yamldoc.Join(s.key, key), format, args...)
	return r.err()
}

// Decode stores the section's keys in the struct that into points to. What into holds beforehand are the defaults:
// absent keys leave it alone.
//
//	type options struct {
//		Host    string        `yaml:"host,required"`
//		Port    int           `yaml:"port" min:"1"`
//		Mode    string        `yaml:"mode" enum:"fast|safe"`
//		TTL     *int          `yaml:"ttl"`      // null stays apart from 0
//		Timeout time.Duration `yaml:"timeout"`  // seconds in the file
//	}
//
// Fields may be string, bool, any size of int and float, [time.Duration] (the file holds seconds), [Section], any,
// and pointers, slices, maps with string keys and structs of these. Fields without a yaml tag are left alone. Slices
// and maps replace the default whole, and take null for nil, as pointers do. The options of the yaml tag are
//   - required: the key must be there, null or not;
//   - nullable: null is the zero value, for a field that is no pointer;
//   - strict: only true and false are booleans, only 5 an integer; without it "5", 5.0 and "yes" convert as in Feast;
//   - literal: see below.
//
// Decode is strict: unknown keys, wrong types, values outside enum or below min are reported all at once in an
// [*Error]. The key type belongs to the section and is always accepted. A field tagged `yaml:",inline"` takes the
// unknown keys if it is a map; a blank one, `_ struct{}`, makes them be ignored.
//
// A value that is nothing but an environment variable that is not set is an error, as the driver needs it, except for
// fields of type any and Section and those tagged literal, which get the text as written.
//
// A section that is only a type name, or null, has no keys. into may also point to anything a field may be, then the
// section is decoded as such a field is. Decode panics when into is no pointer, or points to a type it does not know.
func (s Section) Decode(into any) error {
	out := reflect.ValueOf(into)
	if out.Kind() != reflect.Pointer || out.IsNil() {
		panic(fmt.Sprintf("config: Decode into %T, not a pointer", into)) //nolint:forbidigo // a fault of the program's types
	}
	out = out.Elem()
	n := s.node
	if n == nil {
		n = &yamldoc.Node{}
	}
	r := report{file: s.file}
	if out.Kind() != reflect.Struct || out.Type() == sectionType {
		r.decode(n, s.key, out, options{})
		return r.err()
	}
	switch n.Kind {
	case yamldoc.Null, yamldoc.Text:
		n = &yamldoc.Node{Line: n.Line, Kind: yamldoc.Map}
	case yamldoc.Map:
	default:
		r.mismatch(n, s.key, "a map")
		return r.err()
	}
	r.fields(n, s.key, out, true)
	return r.err()
}

// at is the value of a key, or the section itself when the key is absent, for messages.
func (s Section) at(key string) *yamldoc.Node {
	if s.node == nil {
		return &yamldoc.Node{}
	}
	if n := s.node.Get(key); n != nil {
		return n
	}
	return s.node
}

// typeNode is the value that gives the type: the key type of a map, the section itself when it is a text.
func (s Section) typeNode() *yamldoc.Node {
	switch {
	case s.node == nil:
	case s.node.Kind == yamldoc.Text:
		return s.node
	case s.node.Get("type") != nil:
		return s.node.Get("type")
	}
	return &yamldoc.Node{}
}

// typeKey is the dotted path of typeNode.
func (s Section) typeKey() string {
	if s.node != nil && s.node.Kind == yamldoc.Text {
		return s.key
	}
	return yamldoc.Join(s.key, "type")
}

// typed reports whether the section names a type, or gets the default one, and reports what cannot name one.
func (s *Section) typed(r *report, fallback string) bool {
	switch {
	case s.IsNull():
		return false
	case s.node.Kind == yamldoc.Text:
		return true
	case s.node.Kind != yamldoc.Map:
		r.mismatch(s.node, s.key, "the name of a type, a map or null")
		return false
	}
	n := s.node.Get("type")
	switch {
	case n != nil && n.Kind != yamldoc.Text:
		r.mismatch(n, s.typeKey(), "text")
		return false
	case n == nil && s.typ == "":
		s.typ = fallback
	}
	return true
}

// typeAmong reports a type that is none of names.
func (s *Section) typeAmong(r *report, names ...string) {
	switch n := s.typeNode(); {
	case n.Undefined != "":
		r.unset(n, s.typeKey())
	case s.typ == "":
		r.problem(s.Line(), s.typeKey(), "is required: %s", yamldoc.Alternatives(names))
	case !slices.Contains(names, s.typ):
		r.problem(n.Line, s.typeKey(), "must be %s, is %q", yamldoc.Alternatives(names), s.typ)
	}
}

// fromGo is the node for a Go value.
func fromGo(v reflect.Value) *yamldoc.Node {
	n := &yamldoc.Node{}
	for v.IsValid() && (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) {
		v = v.Elem()
	}
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Bool:
		n.Kind, n.Bool = yamldoc.Bool, v.Bool()
	case v.Type() == durationType: // as Decode reads one
		n.Kind, n.Float = yamldoc.Float, time.Duration(v.Int()).Seconds()
	case v.CanInt():
		n.Kind, n.Int = yamldoc.Int, v.Int()
	case v.CanUint() && v.Uint() < 1<<63:
		n.Kind, n.Int = yamldoc.Int, int64(v.Uint())
	case v.CanFloat():
		n.Kind, n.Float = yamldoc.Float, v.Float()
	case v.Kind() == reflect.String:
		n.Kind, n.Text = yamldoc.Text, v.String()
	case v.Kind() == reflect.Slice:
		n.Kind = yamldoc.List
		for i := range v.Len() {
			n.List = append(n.List, fromGo(v.Index(i)))
		}
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		n.Kind = yamldoc.Map
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			n.Pairs = append(n.Pairs, yamldoc.Pair{Key: k.String(), Value: fromGo(v.MapIndex(k))})
		}
	default:
		n.Kind = yamldoc.Other
	}
	return n
}
