package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/feastgo/feast/internal/duration"
	"github.com/feastgo/feast/permissions"
)

// Diff is what applying objects changes in a registry, or would change.
type Diff struct {
	// Changes come in the order of kinds, then names; objects that stay as they are included.
	Changes []Change
	// Infra is what changes in the registry's list of infrastructure, and with it in the online store, by name. Only
	// some stores are listed there, as in Feast: SQLite is.
	Infra []InfraChange
	// Base stands for the state of the project that the changes start from, see [ApplyRequest].
	Base string
}

// Change is what happens to one object. New versions of a view that existed before have a Change of their own, of
// [KindViewVersion].
type Change struct {
	Action Action
	ID     ID
	Fields []FieldChange // of an update
	Old    Object        // nil when created; shared, must not be modified
	New    Object        // nil when deleted, and for versions; must not be modified
}

// InfraChange is what happens to one thing outside the registry.
type InfraChange struct {
	Action Action
	Object InfraObject // as it was, when deleted
}

// Action is what a [Change] does.
type Action uint8

// The actions.
const (
	ActionUnchanged Action = iota
	ActionCreate
	ActionUpdate
	ActionDelete
)

// String returns the action in lower case: "create".
func (a Action) String() string {
	if names := [...]string{"unchanged", "create", "update", "delete"}; int(a) < len(names) {
		return names[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// FieldChange is one attribute that differs. The texts are for people; an attribute that is not there is empty.
type FieldChange struct {
	Name     string // as in Feast's Python classes, with dots: "ttl", "tags.team", "schema.conv_rate.type"
	Old, New string
}

// Empty reports whether nothing changes.
func (d *Diff) Empty() bool {
	return len(d.Infra) == 0 && !slices.ContainsFunc(d.Changes, func(c Change) bool { return c.Action != ActionUnchanged })
}

// String returns the changes for people, a line for each object and each attribute:
//
//   - feature service "driver_activity"
//     ~ feature view "driver_stats"
//     ttl: 1d -> 2h
//   - entity "customer"
//   - SQLite table "demo_driver_stats"
//     1 to create, 1 to update, 1 to delete, 4 unchanged
//
// The last line counts objects, not infrastructure. [DummyEntity], which comes along by itself, does not show.
func (d *Diff) String() string {
	var b strings.Builder
	var counts [4]int
	for _, c := range d.Changes {
		if c.ID.Kind == KindEntity && c.ID.Name == DummyEntity { // nobody's definition
			continue
		}
		counts[c.Action]++
		if c.Action == ActionUnchanged {
			continue
		}
		id := c.ID
		id.Project = ""
		fmt.Fprintf(&b, "%c %s\n", " +~-"[c.Action], id)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "    %s: %s -> %s\n", f.Name, cmp.Or(f.Old, "(none)"), cmp.Or(f.New, "(none)"))
		}
	}
	for _, c := range d.Infra {
		fmt.Fprintf(&b, "%c %s\n", " +~-"[c.Action], c.Object)
	}
	fmt.Fprintf(&b, "%d to create, %d to update, %d to delete, %d unchanged\n",
		counts[ActionCreate], counts[ActionUpdate], counts[ActionDelete], counts[ActionUnchanged])
	return b.String()
}

func (d *Diff) add(c Change) { d.Changes = append(d.Changes, c) }

func (d *Diff) sort() {
	slices.SortStableFunc(d.Changes, func(a, b Change) int { return compareIDs(a.ID, b.ID) })
}

// compareIDs orders the identities of a project by kind, name and version.
func compareIDs(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}

// compare lists the attributes in which two objects of one kind differ, as definitions: what the registry itself keeps
// about objects does not count, nor does the order of columns, entities, projections and sources.
func compare(was, is Object) []FieldChange {
	var c comparison
	c.values("", reflect.ValueOf(was), reflect.ValueOf(is))
	return c
}

type comparison []FieldChange

// keptFields are the attributes that the registry keeps about objects.
var keptFields = map[string]bool{
	"Project": true, "Created": true, "LastUpdated": true, "MaterializationIntervals": true, "State": true,
	"CurrentVersion": true,
}

func (c *comparison) values(path string, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() || a.Elem().Type() != b.Elem().Type() {
			if !a.IsNil() || !b.IsNil() {
				c.add(path, text(a), text(b))
			}
			return
		}
		c.values(path, a.Elem(), b.Elem())
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](a); ok {
			if !t.Equal(b.Interface().(time.Time)) {
				c.add(path, text(a), text(b))
			}
			return
		}
		for field := range a.Type().Fields() {
			if !field.IsExported() || keptFields[field.Name] {
				continue
			}
			x, y := a.FieldByIndex(field.Index), b.FieldByIndex(field.Index)
			if path == "" && field.Name == "Version" && samePin(x.String(), y.String()) {
				continue
			}
			at := path
			if field.Name != "Options" { // what they hold reads as if it were the source's own
				at = join(path, snake(field.Name))
			}
			c.values(at, x, y)
		}
	case reflect.Map:
		c.elements(path, entries(a), entries(b))
	case reflect.Slice:
		if x, ok := reflect.TypeAssert[[]byte](a); ok {
			if !bytes.Equal(x, b.Bytes()) {
				c.add(path, text(a), text(b))
			}
			return
		}
		if key := keyOf(a.Type().Elem()); key != nil {
			c.elements(path, keyed(a, key), keyed(b, key))
			return
		}
		x, y := elementTexts(a), elementTexts(b)
		if path == "entities" {
			slices.Sort(x)
			slices.Sort(y)
		}
		if !slices.Equal(x, y) {
			c.add(path, strings.Join(x, ", "), strings.Join(y, ", "))
		}
	default:
		if x, ok := reflect.TypeAssert[FileFormat](a); ok && cmp.Or(x, FormatParquet) == cmp.Or(FileFormat(b.String()), FormatParquet) {
			return // Feast writes Parquet or leaves it out
		}
		if !a.Equal(b) {
			c.add(path, text(a), text(b))
		}
	}
}

// elements compares what two maps hold, or two lists whose elements have names.
func (c *comparison) elements(path string, a, b map[string]reflect.Value) {
	if len(a) == 0 && len(b) == 0 {
		return
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		was, had := a[key]
		is, has := b[key]
		switch {
		case had && has:
			if !reflect.DeepEqual(was.Interface(), is.Interface()) { // in columns it mostly is, and this is quick
				c.values(join(path, key), was, is)
			}
		case had:
			c.add(join(path, key), text(was), "")
		default:
			c.add(join(path, key), "", text(is))
		}
	}
}

func (c *comparison) add(path, was, is string) {
	if was == is || strings.HasSuffix(path, "connection_string") || strings.Contains(path, "destination.config") {
		was, is = "(as stored)", "(as defined)" // a secret perhaps, or what a text cannot show
	}
	*c = append(*c, FieldChange{path, was, is})
}

func entries(m reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value, m.Len())
	for k, v := range m.Seq2() {
		out[k.String()] = v
	}
	return out
}

// keyed returns the elements of a slice by key. Those after the first of a key are told apart by number.
func keyed(list reflect.Value, key func(any) string) map[string]reflect.Value {
	out := make(map[string]reflect.Value, list.Len())
	for _, v := range list.Seq2() {
		k := key(v.Interface())
		for n := 2; out[k].IsValid(); n++ {
			k = fmt.Sprintf("%s#%d", key(v.Interface()), n)
		}
		out[k] = v
	}
	return out
}

// keyOf returns what elements of a type are known by in lists whose order does not matter, nil where it does.
func keyOf(t reflect.Type) func(any) string {
	switch t {
	case reflect.TypeFor[Field]():
		return func(v any) string { return v.(Field).Name }
	case reflect.TypeFor[FeatureView]():
		return func(v any) string { return v.(FeatureView).Name }
	case reflect.TypeFor[FeatureViewProjection]():
		return func(v any) string { p := v.(FeatureViewProjection); return p.NameInUse() }
	case reflect.TypeFor[*DataSource]():
		return func(v any) string { return v.(*DataSource).Name }
	case reflect.TypeFor[SavedDatasetColumn]():
		return func(v any) string { return v.(SavedDatasetColumn).Name }
	case reflect.TypeFor[Aggregation]():
		return func(v any) string { return text(reflect.ValueOf(v)) }
	}
	return nil
}

func elementTexts(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i, v := range list.Seq2() {
		out[int(i.Int())] = text(v)
	}
	return out
}

// text shows a value to people.
func text(v reflect.Value) string {
	if k := v.Kind(); (k == reflect.Pointer || k == reflect.Interface) && v.IsNil() {
		return ""
	}
	switch v := v.Interface().(type) {
	case SourceOptions:
		return className(v)
	case *DataSource:
		return v.Name
	case *Transformation:
		return cmp.Or(v.Name, "plan")
	case *LoggingConfig:
		return fmt.Sprintf("sample rate %v", v.SampleRate)
	case LoggingDestination: // a plug-in's configuration may hold secrets
		return reflect.TypeOf(v).Name()
	case permissions.Policy:
		return fmt.Sprintf("%s%v", reflect.TypeOf(v).Name(), v)
	case *int:
		return fmt.Sprint(*v)
	case *bool:
		return fmt.Sprint(*v)
	case Field:
		return v.Type.String()
	case FeatureView:
		return v.Name
	case FeatureViewProjection:
		names := make([]string, len(v.Features))
		for i := range v.Features {
			names[i] = v.Features[i].Name
		}
		return strings.Join(names, ", ")
	case Aggregation:
		return fmt.Sprintf("%s of %s over %s", v.Function, v.Column, duration.Format(v.TimeWindow))
	case time.Duration:
		return duration.Format(v)
	case []byte:
		if len(v) == 0 {
			return ""
		}
		return fmt.Sprintf("%d bytes", len(v))
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// snake turns the name of a Go field into Feast's: "TimestampField" into "timestamp_field".
func snake(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		if unicode.IsUpper(r) && lower {
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
