package definitions

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/registry"
)

// Export writes objects as definitions, a document for each, in the order given. The same objects give the same text.
//
// Defaults are left out, and so is what applying the definitions fills in: join key columns that the entities tell, and
// the copies of features and sources in services and on-demand views, as far as the objects given tell them. Data
// sources and source views are written by name when the objects given have them, else in place. The placeholder entity
// of views without entities is no definition and is skipped.
//
// Nothing is written when an object has no form in YAML: one without a name, of an unknown type, given twice, or nil.
// The error, a [feasterr.ErrInvalid], lists all of these.
func Export(out io.Writer, objects ...registry.Object) error {
	w := &writer{byName: map[registry.ID]registry.Object{}, sources: map[string]*yaml.Node{}, views: map[string]*yaml.Node{}}
	given := make([]registry.Object, 0, len(objects))
	for i, o := range objects {
		if registry.KindOf(o) == 0 || reflect.ValueOf(o).IsNil() {
			w.problems = append(w.problems, feasterr.Invalid("object %d is nil", i+1))
			continue
		}
		if e, ok := o.(*registry.Entity); ok && e.Name == registry.DummyEntity {
			continue
		}
		given = append(given, o)
		if id := idOf(o); id.Name != "" {
			if _, twice := w.byName[id]; twice {
				w.problems = append(w.problems, feasterr.Invalid("%s is given twice", id))
			}
			w.byName[id] = o
		}
	}
	var buffer bytes.Buffer
	encoder := yaml.NewEncoder(&buffer)
	encoder.SetIndent(2)
	for _, o := range given {
		w.object = idOf(o)
		n := w.document(o)
		if len(w.problems) > 0 {
			continue // for the other problems
		}
		if err := encoder.Encode(n); err != nil {
			return fmt.Errorf("%s: %w", w.object, err)
		}
	}
	if len(w.problems) > 0 {
		return errors.Join(w.problems...)
	}
	if len(given) == 0 {
		return nil
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err := out.Write(buffer.Bytes())
	return err
}

// writer makes YAML of objects.
type writer struct {
	byName  map[registry.ID]registry.Object
	sources map[string]*yaml.Node // of data sources that were given, as they stand in place; nil: not given
	views   map[string]*yaml.Node // of feature views likewise

	object   registry.ID // that is being written
	problems []error
}

// fail notes why the object has no form in YAML.
func (w *writer) fail(format string, args ...any) {
	w.problems = append(w.problems, feasterr.Invalid("%s: "+format, append([]any{w.object}, args...)...))
}

// failSource notes what is wrong with a data source, which may be part of the object.
func (w *writer) failSource(d *registry.DataSource, what string) {
	if w.object.Kind == registry.KindDataSource && w.object.Name == d.Name {
		w.fail("%s", what)
	} else {
		w.fail("data source %q %s", d.Name, what)
	}
}

// document writes an object.
func (w *writer) document(o registry.Object) *yaml.Node {
	return newMap(w, &o, func(f *form, o *registry.Object) {
		kind := ""
		switch o := (*o).(type) {
		case *registry.DataSource:
			moveSource(f, o, sourceKinds)
			return
		case *registry.FeatureView:
			kind = viewKind(o)
		default:
			for _, k := range objectKinds {
				if reflect.TypeOf(k.new()) == reflect.TypeOf(o) {
					kind = k.name
				}
			}
		}
		f.put("kind", w.text(kind))
		moveObject(f, *o, kind)
	})
}

// inPlace writes a data source within another object.
func (w *writer) inPlace(d *registry.DataSource, kinds []variant[registry.SourceOptions]) *yaml.Node {
	return newMap(w, d, func(f *form, d *registry.DataSource) { moveSource(f, d, kinds) })
}

// source writes a data source within another object: its name, when it is that of the objects given.
func (w *writer) source(d *registry.DataSource, kinds []variant[registry.SourceOptions]) *yaml.Node {
	n := w.inPlace(d, kinds)
	if own := w.given(w.sources, registry.KindDataSource, d.Name, func(o registry.Object) *yaml.Node {
		return w.inPlace(o.(*registry.DataSource), sourceKinds)
	}); own != nil && sameNode(own, n) {
		return w.text(d.Name)
	}
	return n
}

// given returns what the named object is within another one, nil when there is none among the objects given.
func (w *writer) given(done map[string]*yaml.Node, kind registry.Kind, name string,
	write func(registry.Object) *yaml.Node) *yaml.Node {
	n, ok := done[name]
	if !ok {
		done[name] = nil // while it is being written: a view within itself
		if o := w.byName[registry.ID{Kind: kind, Name: name}]; o != nil {
			n = write(o)
			done[name] = n
		}
	}
	return n
}

// sourceViews writes the views that a view is computed from.
func (w *writer) sourceViews(f *form, key string, views []registry.FeatureView) {
	if len(views) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range views {
		n := newMap(w, &views[i], moveNestedView)
		if own := w.given(w.views, registry.KindFeatureView, views[i].Name, func(o registry.Object) *yaml.Node {
			return newMap(w, o.(*registry.FeatureView), moveNestedView)
		}); own != nil && sameNode(own, n) {
			n = w.text(views[i].Name)
		}
		list.Content = append(list.Content, n)
	}
	f.put(key, compact(list))
}

// columnsFollow reports whether applying a view gives it these join key columns without being told.
func (w *writer) columnsFollow(entities []string, columns []registry.Field) bool {
	follow := make([]registry.Field, 0, len(entities))
	for _, name := range entities {
		if e, ok := w.byName[registry.ID{Kind: registry.KindEntity, Name: name}].(*registry.Entity); ok && e.ValueType.Valid() {
			follow = append(follow, registry.Field{Name: e.Key(), Type: e.ValueType})
		}
	}
	return slices.EqualFunc(follow, columns, sameField)
}

// projection writes a selection of features. What the registry copied from the view is left out where the view, as
// given, still tells it.
func (w *writer) projection(p *registry.FeatureViewProjection) *yaml.Node {
	short := *p
	if v := w.view(p.Name); v != nil && p.Version == nil && p.ViewType == viewTypeOf(v) && full(p) {
		info := v.Info()
		same := (p.Source == nil) == (info.Source == nil) &&
			(p.Source == nil || sameNode(w.inPlace(p.Source, sourceKinds), w.inPlace(info.Source, sourceKinds)))
		var names []registry.Field
		for _, f := range p.Features {
			same = same && slices.ContainsFunc(info.Features, func(g registry.Field) bool { return sameField(f, g) })
			names = append(names, registry.Field{Name: f.Name})
		}
		if same {
			short.ViewType, short.Source, short.Features = "", nil, names
			if slices.EqualFunc(p.Features, info.Features, sameField) {
				short.Features = nil
			}
		}
	}
	if reflect.DeepEqual(short, registry.FeatureViewProjection{Name: short.Name}) {
		return w.text(short.Name)
	}
	return newMap(w, &short, moveProjection)
}

func (w *writer) view(name string) registry.View {
	for _, kind := range viewKinds {
		if v, ok := w.byName[registry.ID{Kind: kind, Name: name}].(registry.View); ok {
			return v
		}
	}
	return nil
}

// selected writes a feature of a projection.
func (w *writer) selected(v *registry.Field) *yaml.Node {
	if sameField(*v, registry.Field{Name: v.Name}) {
		return w.text(v.Name)
	}
	return compact(newMap(w, v, moveSelected))
}

func sameField(a, b registry.Field) bool {
	if !maps.Equal(a.Tags, b.Tags) {
		return false
	}
	a.Tags, b.Tags = nil, nil
	return reflect.DeepEqual(a, b)
}

func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, sameNode)
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// text writes text, in the style that reads best among those that keep it exactly.
func (w *writer) text(s string) *yaml.Node {
	n := scalar("!!str", s)
	switch {
	case !utf8.ValidString(s):
		w.fail("holds text that is not UTF-8: %q", s)
		n.Value = ""
	case blockText(s):
		n.Style = yaml.LiteralStyle
	case !yamldoc.IsText(s) || !readable(s) || strings.Contains(s, "\n"):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// readable reports whether s is text that a person can read.
func readable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError || r > 0xffff
	})
}

// blockText reports whether s is lines that a block keeps exactly.
func blockText(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(s, "\n") || body == "" || strings.HasSuffix(body, "\n") || body[0] == ' ' || body[0] == '\n' || !readable(s) {
		return false
	}
	for line := range strings.SplitSeq(body, "\n") {
		if strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}

// binary writes bytes in lines of base64.
func binary(b []byte) *yaml.Node {
	const width = 76
	s := base64.StdEncoding.EncodeToString(b)
	n := scalar("!!binary", s)
	n.Style = yaml.TaggedStyle
	if len(s) > width {
		n.Style |= yaml.LiteralStyle
		n.Value = strings.Join(slices.Collect(func(yield func(string) bool) {
			for len(s) > 0 && yield(s[:min(width, len(s))]) {
				s = s[min(width, len(s)):]
			}
		}), "\n")
	}
	return n
}

// pairs writes a map in the order of its keys.
func (w *writer) pairs(m map[string]string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		k := w.text(key)
		if k.Style == yaml.LiteralStyle {
			k.Style = yaml.DoubleQuotedStyle
		}
		n.Content = append(n.Content, k, w.text(m[key]))
	}
	return n
}

// compact puts a short list or map of plain values on one line.
func compact(n *yaml.Node) *yaml.Node {
	const width = 100
	length := 0
	for _, c := range n.Content {
		length += len(c.Value) + 2
		if c.Kind != yaml.ScalarNode || c.Style&yaml.LiteralStyle != 0 {
			return n
		}
	}
	if length <= width {
		n.Style = yaml.FlowStyle
	}
	return n
}
