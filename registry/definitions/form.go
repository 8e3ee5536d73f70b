package definitions

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/internal/duration"
	"github.com/feastgo/feast/internal/yamldoc"
)

// form moves attributes between an object and a map of YAML; one function per kind of map names each key once and
// serves both directions. Writing leaves out attributes that have their default.
type form struct {
	path string // dotted, of the map within its document

	read *reader // nil when writing
	in   *yamldoc.Node
	keys []string // that the map may have
	any  bool     // it may have any: its kind is not known

	write *writer // nil when reading
	out   *yaml.Node
}

// value returns what stands at key, nil for nothing.
func (f *form) value(key string) *yamldoc.Node {
	if !slices.Contains(f.keys, key) {
		f.keys = append(f.keys, key)
	}
	return f.in.Get(key)
}

func (f *form) at(key string) string { return yamldoc.Join(f.path, key) }

// put writes an attribute.
func (f *form) put(key string, n *yaml.Node) {
	f.out.Content = append(f.out.Content, f.write.text(key), n)
}

// fail notes a problem with n, which stands at the dotted path key.
func (f *form) fail(n *yamldoc.Node, key, format string, args ...any) {
	f.read.problem(n.Line, n.Column, key, format, args...)
}

func (f *form) mismatch(n *yamldoc.Node, key, want string) {
	is := n.Kind.String()
	hint := ""
	switch {
	case n.Binary:
		is = "bytes"
	case want == "text" && (n.Kind == yamldoc.Bool || n.Kind == yamldoc.Int || n.Kind == yamldoc.Float || n.Kind == yamldoc.Time):
		hint = "; put it in quotes"
	}
	f.fail(n, key, "must be %s, is %s%s", want, is, hint)
}

// end notes the keys that the map must not have.
func (f *form) end() {
	for _, p := range f.in.Pairs {
		if f.any || f.read.more || slices.Contains(f.keys, p.Key) {
			continue
		}
		hint := yamldoc.DidYouMean(p.Key, f.keys)
		if hint == "" {
			hint = "; known are " + strings.Join(f.keys, ", ")
		}
		f.read.problem(p.Line, p.Column, f.at(p.Key), "is not a known key%s", hint)
	}
}

// moveMap moves the map n, which stands at path.
func moveMap[T any](r *reader, n *yamldoc.Node, path string, v *T, each func(*form, *T)) {
	f := &form{path: path, read: r, in: n}
	if n.Kind != yamldoc.Map {
		f.mismatch(n, path, "a map")
		return
	}
	each(f, v)
	f.end()
}

// newMap writes a map.
func newMap[T any](w *writer, v *T, each func(*form, *T)) *yaml.Node {
	f := &form{write: w, out: &yaml.Node{Kind: yaml.MappingNode}}
	each(f, v)
	return f.out
}

// string reads text.
func (f *form) string(n *yamldoc.Node, key string, v *string) bool {
	if n.Kind != yamldoc.Text || n.Binary {
		f.mismatch(n, key, "text")
		return false
	}
	*v = n.Text
	return true
}

func (f *form) text(key string, v *string) {
	if f.read != nil {
		if n := f.value(key); n != nil {
			f.string(n, f.at(key), v)
		}
	} else if *v != "" {
		f.put(key, f.write.text(*v))
	}
}

// name moves a text that must be there.
func (f *form) name(key string, v *string) {
	switch {
	case f.read == nil && *v == "":
		f.write.fail("has no %s", key)
	case f.read == nil:
		f.text(key, v)
	default:
		n := f.value(key)
		if n == nil {
			f.fail(f.in, f.at(key), "is required")
		} else if f.string(n, f.at(key), v) && *v == "" {
			f.fail(n, f.at(key), "is empty")
		}
	}
}

// oneOf reads a text that is one of names, and returns which.
func (f *form) oneOf(n *yamldoc.Node, key string, names []string) (int, bool) {
	var s string
	if !f.string(n, key, &s) {
		return 0, false
	}
	i := slices.Index(names, s)
	if i < 0 {
		hint := yamldoc.DidYouMean(s, names)
		if hint == "" {
			hint = "; it must be " + yamldoc.Alternatives(names)
		}
		f.fail(n, key, "%q is not known%s", s, hint)
	}
	return i, i >= 0
}

// choice moves a text that is one of names.
func (f *form) choice(key string, v *string, names ...string) {
	if f.read == nil {
		if *v != "" && !slices.Contains(names, *v) {
			f.write.fail("%s %q is not known", key, *v)
		}
		f.text(key, v)
	} else if n := f.value(key); n != nil {
		if i, ok := f.oneOf(n, f.at(key), names); ok {
			*v = names[i]
		}
	}
}

// flag moves a boolean, whose default is otherwise.
func (f *form) flag(key string, v *bool, otherwise bool) {
	if f.read == nil {
		if *v != otherwise {
			f.put(key, scalar("!!bool", strconv.FormatBool(*v)))
		}
		return
	}
	*v = otherwise
	if n := f.value(key); n != nil {
		f.bool(n, f.at(key), v)
	}
}

func (f *form) bool(n *yamldoc.Node, key string, v *bool) {
	if n.Kind != yamldoc.Bool {
		f.mismatch(n, key, "true or false")
		return
	}
	*v = n.Bool
}

// optionalFlag moves a boolean that may be unknown.
func (f *form) optionalFlag(key string, v **bool) {
	if f.read == nil {
		if *v != nil {
			f.put(key, scalar("!!bool", strconv.FormatBool(**v)))
		}
	} else if n := f.value(key); n != nil {
		*v = new(bool)
		f.bool(n, f.at(key), *v)
	}
}

// integer moves a whole number that fits into a T.
func integer[T int | uint64](f *form, key string, v *T) {
	if f.read == nil {
		if *v != 0 {
			f.put(key, scalar("!!int", fmt.Sprint(*v)))
		}
		return
	}
	switch n := f.value(key); {
	case n == nil:
	case n.Kind != yamldoc.Int:
		f.mismatch(n, f.at(key), "an integer")
	case int64(T(n.Int)) != n.Int || (T(n.Int) < 0) != (n.Int < 0):
		f.fail(n, f.at(key), "%d is out of range", n.Int)
	default:
		*v = T(n.Int)
	}
}

// optionalInteger moves a whole number for which 0 is not the same as none.
func (f *form) optionalInteger(key string, v **int) {
	if f.read == nil {
		if *v != nil {
			f.put(key, scalar("!!int", strconv.Itoa(**v)))
		}
		return
	}
	if f.in.Get(key) != nil {
		*v = new(int)
		integer(f, key, *v)
	} else {
		f.value(key)
	}
}

func (f *form) fraction(key string, v *float32) {
	if f.read == nil {
		switch x := float64(*v); {
		case math.IsNaN(x) || math.IsInf(x, 0):
			f.write.fail("%s is %v", key, x)
		case x != 0:
			s := strconv.FormatFloat(x, 'f', -1, 32)
			if !strings.Contains(s, ".") {
				s += ".0"
			}
			f.put(key, scalar("!!float", s))
		}
		return
	}
	switch n := f.value(key); {
	case n == nil:
	case n.Kind == yamldoc.Int:
		*v = float32(n.Int)
	case n.Kind == yamldoc.Float && math.Abs(n.Float) <= math.MaxFloat32:
		*v = float32(n.Float)
	case n.Kind == yamldoc.Float:
		f.fail(n, f.at(key), "%v is out of range", n.Float)
	default:
		f.mismatch(n, f.at(key), "a number")
	}
}

func (f *form) duration(key string, v *time.Duration) {
	if f.read == nil {
		if *v != 0 {
			f.put(key, f.write.text(duration.Format(*v)))
		}
		return
	}
	n := f.value(key)
	if n == nil || n.Kind == yamldoc.Int && n.Int == 0 {
		return
	}
	d, ok := time.Duration(0), false
	if n.Kind == yamldoc.Text {
		d, ok = duration.Parse(n.Text)
	}
	switch {
	case ok:
	case n.Kind == yamldoc.Text && duration.TooLong(n.Text):
		f.fail(n, f.at(key), "%s is too long: the longest is %dd, which is 292 years", n.Text, math.MaxInt64/(24*time.Hour))
	default:
		f.fail(n, f.at(key), "must be a duration with its unit, such as 90s, 15m, 24h, 7d or 1d12h")
	}
	*v = d
}

// instant moves a time, in RFC 3339.
func (f *form) instant(key string, v *time.Time) {
	if f.read == nil {
		switch {
		case v.IsZero():
		case !inYears(*v):
			f.write.fail("%s: the year %d is out of range", key, v.UTC().Year())
		default:
			f.put(key, scalar("!!timestamp", v.UTC().Format(time.RFC3339Nano)))
		}
		return
	}
	n := f.value(key)
	if n == nil {
		return
	}
	if n.Kind == yamldoc.Time || n.Kind == yamldoc.Text && !n.Binary {
		if t, err := time.Parse(time.RFC3339Nano, n.Text); err == nil && inYears(t) {
			*v = t.UTC()
			return
		}
	}
	f.fail(n, f.at(key), "must be a time with its zone, such as 2024-01-31T00:00:00Z")
}

// inYears reports whether the year of t has four digits.
func inYears(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1 && year <= 9999
}

// list reads the elements of a list; null is an empty one.
func (f *form) list(n *yamldoc.Node, key string) []*yamldoc.Node {
	if n != nil && n.Kind != yamldoc.List && n.Kind != yamldoc.Null {
		f.mismatch(n, key, "a list")
	}
	if n == nil {
		return nil
	}
	return n.List
}

func (f *form) texts(key string, v *[]string) {
	if f.read == nil {
		if len(*v) > 0 {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for _, s := range *v {
				list.Content = append(list.Content, f.write.text(s))
			}
			f.put(key, compact(list))
		}
		return
	}
	for i, n := range f.list(f.value(key), f.at(key)) {
		var s string
		f.string(n, yamldoc.Index(f.at(key), i), &s)
		*v = append(*v, s)
	}
}

// enums moves a list of numbers that have names. all holds what the names belong to.
func enums[T interface {
	~int32
	String() string
}](f *form, key string, v *[]T, all []T) {
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.String()
	}
	if f.read == nil {
		var texts []string
		for _, e := range *v {
			if texts = append(texts, e.String()); !slices.Contains(all, e) {
				f.write.fail("%s: %s is not known", key, e)
			}
		}
		f.texts(key, &texts)
		return
	}
	for i, n := range f.list(f.value(key), f.at(key)) {
		if at, ok := f.oneOf(n, yamldoc.Index(f.at(key), i), names); ok {
			*v = append(*v, all[at])
		}
	}
}

// pairs moves a map of texts; null is an empty one.
func (f *form) pairs(key string, v *map[string]string) {
	if f.read == nil {
		if len(*v) > 0 {
			f.put(key, f.write.pairs(*v))
		}
		return
	}
	n := f.value(key)
	if n == nil || n.Kind == yamldoc.Null {
		return
	}
	if n.Kind != yamldoc.Map {
		f.mismatch(n, f.at(key), "a map")
		return
	}
	for _, p := range n.Pairs {
		var s string
		if !utf8.ValidString(p.Key) {
			f.read.problem(p.Line, p.Column, f.at(key), "holds a key that is not UTF-8 text")
		} else if f.string(p.Value, yamldoc.Join(f.at(key), p.Key), &s) {
			if *v == nil {
				*v = make(map[string]string, len(n.Pairs))
			}
			(*v)[p.Key] = s
		}
	}
}

// blob moves bytes that no person reads.
func (f *form) blob(key string, v *[]byte) {
	if f.read == nil {
		if len(*v) > 0 {
			f.put(key, binary(*v))
		}
		return
	}
	if n := f.value(key); n != nil {
		if !n.Binary {
			f.fail(n, f.at(key), "must be bytes: the tag !!binary, then base64")
			return
		}
		*v = []byte(n.Text)
	}
}

// document moves bytes that are text as a rule, JSON for instance.
func (f *form) document(key string, v *[]byte) {
	if f.read == nil {
		if len(*v) > 0 {
			if s := string(*v); readable(s) {
				f.put(key, f.write.text(s))
			} else {
				f.put(key, binary(*v))
			}
		}
		return
	}
	if n := f.value(key); n != nil {
		if n.Kind != yamldoc.Text {
			f.mismatch(n, f.at(key), "text")
			return
		}
		*v = []byte(n.Text)
	}
}

// object moves a map that may be absent.
func object[T any](f *form, key string, v **T, each func(*form, *T)) {
	if f.read == nil {
		if *v != nil {
			f.put(key, newMap(f.write, *v, each))
		}
		return
	}
	if n := f.value(key); n != nil {
		*v = new(T)
		moveMap(f.read, n, f.at(key), *v, each)
	}
}

// objects moves a list of maps.
func objects[T any](f *form, key string, v *[]T, each func(*form, *T)) {
	if f.read == nil {
		if len(*v) > 0 {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range *v {
				list.Content = append(list.Content, compact(newMap(f.write, &(*v)[i], each)))
			}
			f.put(key, list)
		}
		return
	}
	nodes := f.list(f.value(key), f.at(key))
	if len(nodes) > 0 {
		*v = make([]T, len(nodes))
	}
	for i, n := range nodes {
		moveMap(f.read, n, yamldoc.Index(f.at(key), i), &(*v)[i], each)
	}
}

// variant is one of the types that an attribute of interface type I can have; its map tells it by the key kind.
type variant[I any] struct {
	name string
	is   func(I) bool
	move func(*form, *I)
}

func variantOf[I, T any](name string, each func(*form, *T)) variant[I] {
	return variant[I]{
		name: name,
		is:   func(v I) bool { _, ok := any(v).(T); return ok },
		move: func(f *form, v *I) {
			t, _ := any(*v).(T)
			each(f, &t)
			*v = any(t).(I)
		},
	}
}

// moveKind moves the key kind, and returns how to move what the kind has; nil when there is no such kind.
func moveKind[I any](f *form, v *I, all []variant[I]) (rest func()) {
	if f.read == nil {
		for _, k := range all {
			if k.is(*v) {
				f.put("kind", f.write.text(k.name))
				return func() { k.move(f, v) }
			}
		}
		f.write.fail("%T has no form in YAML here; give it by value", *v)
		return nil
	}
	if i := f.kind(kindsOf(all)); i >= 0 {
		return func() { all[i].move(f, v) }
	}
	return nil
}

func kindsOf[I any](all []variant[I]) []string {
	names := make([]string, len(all))
	for i, k := range all {
		names[i] = k.name
	}
	return names
}

// kind reads the key kind, and returns which of names it is, -1 for none.
func (f *form) kind(names []string) int {
	n := f.value("kind")
	if n == nil {
		f.fail(f.in, f.at("kind"), "is required: %s", strings.Join(names, ", "))
	} else if i, ok := f.oneOf(n, f.at("kind"), names); ok {
		return i
	}
	f.any = true
	return -1
}

// objectOf moves an attribute of interface type.
func objectOf[I any](f *form, key string, v *I, all []variant[I]) {
	each := func(f *form, v *I) {
		if rest := moveKind(f, v, all); rest != nil {
			rest()
		}
	}
	if f.read == nil {
		if any(*v) != nil {
			f.put(key, newMap(f.write, v, each))
		}
	} else if n := f.value(key); n != nil {
		moveMap(f.read, n, f.at(key), v, each)
	}
}
