package definitions_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/definitions"
	"github.com/feastgo/feast/types"
)

// enumerated are texts and numbers of which not every value is allowed.
var enumerated = map[string]any{
	"Format": registry.FormatDelta, "TimestampFieldType": "DATE", "ViewType": "labelView",
	"ConflictPolicy": registry.MajorityVote, "Types": []permissions.Kind{permissions.LabelView, permissions.Project},
	"Actions": []permissions.Action{permissions.WriteOffline, permissions.Create},
}

// filled sets every exported field of a struct that belongs to a definition to a value that is not the default, and
// counts up so that no two are the same.
func filled(v reflect.Value, n *int) {
	*n++
	for f := range v.Type().Fields() {
		at := v.FieldByIndex(f.Index)
		switch f.Name {
		case "Project", "Created", "LastUpdated", "MaterializationIntervals", "State", "CurrentVersion", "Inner":
			continue
		}
		if !f.IsExported() {
			continue
		}
		if value, ok := enumerated[f.Name]; ok && reflect.TypeOf(value).AssignableTo(f.Type) {
			at.Set(reflect.ValueOf(value))
			continue
		}
		fill(at, f.Name, n)
	}
}

func fill(at reflect.Value, name string, n *int) {
	*n++
	switch at.Interface().(type) {
	case *registry.DataSource:
		d := registry.DataSource{Name: fmt.Sprint(name, *n), Tags: map[string]string{"a": "b"}, Options: registry.FileOptions{Path: "p"}}
		if name == "RequestSources" {
			d.Options = registry.RequestOptions{Schema: []registry.Field{{Name: "f", Type: types.Bool}}}
		}
		at.Set(reflect.ValueOf(&d))
		return
	case types.Type:
		at.Set(reflect.ValueOf(types.Type(1 + *n%8)))
		return
	case time.Duration:
		at.Set(reflect.ValueOf(time.Duration(*n) * time.Millisecond))
		return
	case time.Time:
		at.Set(reflect.ValueOf(time.Unix(int64(*n), 5000).UTC()))
		return
	case registry.StreamFormat:
		at.Set(reflect.ValueOf(registry.StreamFormat{Type: "proto", Schema: fmt.Sprint(name, *n)}))
		return
	case *registry.TableFormat:
		t := registry.TableFormat{}
		filled(reflect.ValueOf(&t).Elem(), n)
		t.Type = "lance"
		at.Set(reflect.ValueOf(&t))
		return
	case []registry.FeatureView:
		at.Set(reflect.ValueOf([]registry.FeatureView{{Name: fmt.Sprint("inner", *n), TTL: 5, Online: true}}))
		return
	}
	switch at.Kind() {
	case reflect.String:
		at.SetString(fmt.Sprint(name, *n))
	case reflect.Bool:
		at.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		at.SetInt(int64(*n))
	case reflect.Uint64:
		at.SetUint(1 << 62)
	case reflect.Float32:
		at.SetFloat(0.25)
	case reflect.Slice:
		if at.Type().Elem().Kind() == reflect.Uint8 {
			at.SetBytes([]byte{0xff, byte(*n), 0})
			return
		}
		at.Set(reflect.MakeSlice(at.Type(), 2, 2))
		for i := range 2 {
			if e := at.Index(i); e.Kind() == reflect.Struct {
				filled(e, n)
			} else {
				fill(e, name, n)
			}
		}
	case reflect.Map:
		at.Set(reflect.ValueOf(map[string]string{fmt.Sprint("k", *n): "v", "<<": "no", "": "~"}))
	case reflect.Pointer:
		at.Set(reflect.New(at.Type().Elem()))
		if at.Elem().Kind() == reflect.Struct {
			filled(at.Elem(), n)
		} else {
			fill(at.Elem(), name, n)
		}
	case reflect.Interface:
		switch at.Addr().Interface().(type) {
		case *registry.SourceOptions:
			at.Set(reflect.ValueOf(registry.FileOptions{Path: fmt.Sprint("path", *n)}))
		case *registry.LoggingDestination:
			at.Set(reflect.ValueOf(registry.AthenaDestination{Table: "t"}))
		case *permissions.Policy:
			at.Set(reflect.ValueOf(permissions.RoleBased{Roles: []string{"r"}}))
		}
	}
}

// everything is an object of each kind, and of each kind of options, destination and policy, with all fields set.
func everything() []registry.Object {
	n := 0
	var all []registry.Object
	add := func(o registry.Object) registry.Object {
		filled(reflect.ValueOf(o).Elem(), &n)
		all = append(all, o)
		return o
	}
	for _, options := range []registry.SourceOptions{
		registry.FileOptions{}, registry.BigQueryOptions{}, registry.RedshiftOptions{}, registry.SnowflakeOptions{},
		registry.TrinoOptions{}, registry.AthenaOptions{}, registry.SparkOptions{}, registry.IcebergOptions{},
		registry.PostgresOptions{}, registry.MsSQLOptions{}, registry.KafkaOptions{}, registry.KinesisOptions{},
		registry.PushOptions{}, registry.RequestOptions{}, registry.CustomOptions{},
	} {
		d := add(new(registry.DataSource)).(*registry.DataSource)
		o := reflect.New(reflect.TypeOf(options)).Elem()
		filled(o, &n)
		d.Options = o.Interface().(registry.SourceOptions)
		if !d.IsStream() {
			d.BatchSource = nil
		}
	}
	add(new(registry.Project))
	add(new(registry.Entity))
	v := add(new(registry.FeatureView)).(*registry.FeatureView)
	plain := *v
	plain.Name, plain.Transformation, plain.Online = "plain", nil, false
	all = append(all, &plain)
	add(new(registry.StreamFeatureView))
	add(new(registry.OnDemandFeatureView))
	add(new(registry.LabelView))
	for _, destination := range []registry.LoggingDestination{
		registry.FileDestination{}, registry.BigQueryDestination{}, registry.RedshiftDestination{}, registry.SnowflakeDestination{},
		registry.AthenaDestination{}, registry.CouchbaseDestination{}, registry.CustomDestination{},
	} {
		s := add(new(registry.FeatureService)).(*registry.FeatureService)
		d := reflect.New(reflect.TypeOf(destination)).Elem()
		filled(d, &n)
		s.Logging.Destination = d.Interface().(registry.LoggingDestination)
	}
	add(new(registry.SavedDataset))
	add(new(registry.ValidationReference))
	for _, policy := range []permissions.Policy{
		permissions.RoleBased{}, permissions.GroupBased{}, permissions.NamespaceBased{}, permissions.CombinedGroupNamespace{},
	} {
		p := add(new(permissions.Permission)).(*permissions.Permission)
		v := reflect.New(reflect.TypeOf(policy)).Elem()
		filled(v, &n)
		p.Policy = v.Interface().(permissions.Policy)
	}
	// What they refer to must be defined.
	var names []string
	for _, o := range all {
		switch o := o.(type) {
		case registry.View:
			names = append(names, o.Info().Entities...)
		}
	}
	for _, name := range names {
		if name != "" && !strings.Contains(name, "plain") {
			all = append(all, &registry.Entity{Name: name})
		}
	}
	return dedupe(all)
}

// dedupe leaves out objects of a kind and name that came before.
func dedupe(objects []registry.Object) []registry.Object {
	seen := map[string]bool{}
	var out []registry.Object
	for _, o := range objects {
		if id := fmt.Sprint(registry.KindOf(o), o.Resource().Name); !seen[id] {
			seen[id] = true
			out = append(out, o)
		}
	}
	return out
}

// Every field of every object survives, whatever it holds; so do all sources within views.
func TestEveryFieldRoundTrips(t *testing.T) {
	objects := everything()
	text := export(t, objects...)
	equalObjects(t, parse(t, text), objects, text)
}

func TestZeroValuesRoundTrip(t *testing.T) {
	zero := 0
	no := false
	objects := []registry.Object{
		&registry.FeatureView{Name: "offline_only"},
		&registry.FeatureView{Name: "online", Online: true, Transformation: new(registry.Transformation)},
		&registry.FeatureView{Name: "batch", Transformation: new(registry.Transformation)},
		&registry.FeatureService{Name: "s", Logging: new(registry.LoggingConfig), Features: []registry.FeatureViewProjection{
			{Name: "batch@v0"}, {Name: "batch", Version: &zero}, {Name: "online", Alias: "o"},
		}},
		&registry.SavedDataset{Name: "d", Columns: []registry.SavedDatasetColumn{{Name: "c", Nullable: &no}}},
		&permissions.Permission{Name: "p", Policy: permissions.RoleBased{}},
		&registry.DataSource{Name: "push", Options: registry.PushOptions{}},
		&registry.DataSource{Options: registry.FileOptions{Path: "unnamed.parquet"}},
	}
	text := export(t, objects...)
	equalObjects(t, parse(t, text), objects, text)
	for _, want := range []string{"name: offline_only\nonline: false\n", "name: online\nfeature_transformation: {}\nonline: true\n",
		"name: batch\nfeature_transformation: {}\n---", "  - batch@v0\n  - view: batch\n    version: 0\n", "nullable: false"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Texts that YAML would read as something else, or not at all, come back as they were, as values and as keys.
func TestTextsRoundTrip(t *testing.T) {
	for _, s := range []string{
		"yes", "No", "~", "null", "1", "0x1F", "1:30", "1.5", "2024-01-02", "<<", "=", "- a", "? a", "a: b", "#a", "a #b", "*a", "&a", "!a", "!!str",
		"%a", "@a", "`a", " a", "a ", "'a'", `"a"`, `\`, "[a]", "{a}", ",", "---", "...", "a\nb", "a\n", "\na", "a\n\n", " a\nb", "a \nb", "a\n b",
		"a\n\tb", "\ta", "a\r\nb", "a\rb", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "é", "\u200b", "🚀", "\U0010ffff", "\ufffd", "a\n---\nb",
		"a\n...\nb", "k: |\n  x\n", "\n", "\n\n", " ", "  \n  ", "a\n# b\n", strings.Repeat("x", 3000), strings.Repeat("y ", 300),
	} {
		objects := []registry.Object{
			&registry.Entity{Name: s, Description: s, Tags: map[string]string{s: s, "x" + s: "y"}},
			&registry.FeatureService{Name: s, Features: []registry.FeatureViewProjection{{
				Name: "v@v1", Features: []registry.Field{{Name: s}}}, {Name: "v@v2:" + s}}},
			&registry.FeatureView{Name: "v", Schema: []registry.Field{{Name: s, Type: types.Int64, Description: s}}, Transformation: &registry.Transformation{Text: s}},
			&registry.DataSource{Name: s, Options: registry.CustomOptions{Configuration: []byte(s)}},
		}
		text := export(t, objects...)
		equalObjects(t, parse(t, text), objects, text)
	}
}

func TestDurations(t *testing.T) {
	for d, text := range map[time.Duration]string{
		24 * time.Hour: "1d", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m", time.Hour: "1h", time.Minute: "1m", 90 * time.Second: "1m30s",
		36500 * 24 * time.Hour: "36500d", -48 * time.Hour: "-2d", time.Microsecond: "1µs", 1<<63 - 1: "2562047h47m16.854775807s",
		-1 << 63: "-2562047h47m16.854775808s", 24*time.Hour + time.Second: "24h0m1s", 10 * time.Hour: "10h", 20 * time.Minute: "20m",
	} {
		out := export(t, &registry.FeatureView{Name: "v", TTL: d, Online: true})
		if want := "kind: FeatureView\nname: v\nttl: " + text + "\n"; string(out) != want {
			t.Errorf("%v: %s", d, out)
		}
		if got := parse(t, out)[0].(*registry.FeatureView).TTL; got != d {
			t.Errorf("%v: read %v", d, got)
		}
	}
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "0d": 0, "1d12h": 36 * time.Hour, "-1d12h": -36 * time.Hour, "1.5h": 90 * time.Minute, "+2h": 2 * time.Hour,
		"106751d": 106751 * 24 * time.Hour,
	} {
		if got := parse(t, []byte("kind: FeatureView\nname: v\nttl: "+text))[0].(*registry.FeatureView).TTL; got != want {
			t.Errorf("%s: read %v", text, got)
		}
	}
	for _, text := range []string{"1", "60", "1.5", "1:30", "yes", "~", "1d2d", "d", "1d-2h", "1d+2h", "1 d", "1w", "[1d]", "--1d", "+-1d", "+106752d"} {
		_, err := definitions.Parse("f", []byte("kind: FeatureView\nname: v\nttl: "+text))
		if err == nil || !strings.Contains(err.Error(), "must be a duration with its unit") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"106752d", "106751d24h", "-106752d", "999999999999999999999d", "3000000h", "+3000000h1.5m"} {
		_, err := definitions.Parse("f", []byte("kind: FeatureView\nname: v\nttl: "+text))
		if want := "ttl: " + text + " is too long: the longest is 106751d, which is 292 years"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTypes(t *testing.T) {
	for text, want := range map[string]registry.Field{
		"Int64": {Type: types.Int64}, "INT64": {Type: types.Int64}, "Array(Float32)": {Type: types.Float32List}, "Set(Uuid)": {Type: types.UUIDSet},
		"DOUBLE_LIST": {Type: types.Float64List}, "Struct": {Type: types.Struct}, "Array(Struct)": {Type: types.StructList},
		"Array(Array)": {Type: types.ValueList}, "Set(Array)": {Type: types.ValueSet},
		"Struct({a: Int64, b: String})": {Type: types.Struct, Inner: `{"a": "INT64", "b": "STRING"}`},
		"Struct({a:Array(Float32)})":    {Type: types.Struct, Inner: `{"a": "Array(FLOAT32)"}`},
		"Array(Struct({x: Float64}))":   {Type: types.StructList, Inner: `{"x": "FLOAT64"}`},
		"Array(Array(Int64))":           {Type: types.ValueList, Inner: "Array(Array(INT64))"},
		"Array(Set(Array(Bool)))":       {Type: types.ValueList, Inner: "Array(Set(Array(BOOL)))"},
		"Set(Set(UnixTimestamp))":       {Type: types.ValueSet, Inner: "Set(Set(UNIX_TIMESTAMP))"},
	} {
		o := parse(t, []byte("kind: FeatureView\nname: v\nschema: [{name: f, type: '"+text+"'}]"))
		want.Name = "f"
		if got := o[0].(*registry.FeatureView).Schema[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
		equalObjects(t, parse(t, export(t, o...)), o, nil)
	}
	// Inner types that are spelled otherwise stay as they are.
	for _, f := range []registry.Field{
		{Name: "f", Type: types.Struct, Inner: `{"a":"INT64"}`}, {Name: "f", Type: types.Struct, Inner: `{"a b": "INT64"}`},
		{Name: "f", Type: types.Struct, Inner: "nonsense"}, {Name: "f", Type: types.ValueList, Inner: "Array(Array(DOUBLE))"},
		{Name: "f", Type: types.ValueSet, Inner: "Array(Array(INT64))"}, {Name: "f", Type: types.StructList, Inner: `{"a": {"b": "INT64"}}`},
		{Name: "f", Type: types.Struct, Inner: `{"a": "INT64"} `}, {Name: "f", Type: types.Struct, Inner: `{"a": "INT64", "a": "BOOL"}`},
	} {
		o := []registry.Object{&registry.FeatureView{Name: "v", Schema: []registry.Field{f}}}
		equalObjects(t, parse(t, export(t, o...)), o, nil)
	}
	for _, text := range []string{
		"int64", "Int46", "Array(Int46)", "Array()", "Array(Int64", "List(Int64)", "Struct()", "Struct({})", "Struct({a})", "Struct({a: b})",
		"Struct({a: Int64, a: Int64})", "Set(Struct({a: Int64}))", "Array(Array(Struct({a: Int64})))", "Int64(Int64)", "", "Array(Array(Map))()",
	} {
		_, err := definitions.Parse("f", []byte("kind: FeatureView\nname: v\nschema: [{name: f, type: '"+text+"'}]"))
		if err == nil || !strings.Contains(err.Error(), "schema[0].type: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestExportErrors(t *testing.T) {
	entity := &registry.Entity{Name: "e"}
	var nothing *registry.Entity
	err := definitions.Export(nil,
		nil, nothing, entity, &registry.Entity{Name: "e"}, new(registry.Entity),
		&registry.DataSource{Name: "unknown"},
		&registry.DataSource{Name: "pointer", Options: registry.FileOptions{Format: "orc"}},
		&registry.FeatureView{Name: "v", Schema: []registry.Field{{Name: "f"}, {Name: "g", Type: 99}}, Description: "\xff"},
		&permissions.Permission{Name: "p", Actions: []permissions.Action{77}},
		&registry.SavedDataset{Name: "d", Storage: registry.PushOptions{}, MinEventTimestamp: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	)
	if !errors.Is(err, feasterr.ErrInvalid) {
		t.Fatal(err)
	}
	want := `object 1 is nil
object 2 is nil
entity "e" is given twice
entity "": has no name
data source "unknown": has no Options, or is of a kind that is not known
data source "pointer": file_format "orc" is not known
feature view "v": holds text that is not UTF-8: "\xff"
feature view "v": field "f" has type Invalid, which is not known
feature view "v": field "g" has type Type(99), which is not known
permission "p": actions: Action(77) is not known
saved dataset "d": registry.PushOptions has no form in YAML here; give it by value
saved dataset "d": min_event_timestamp: the year 10000 is out of range`
	if err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var b bytes.Buffer
	if err := definitions.Export(&b); err != nil || b.Len() > 0 {
		t.Errorf("nothing: %v, %q", err, &b)
	}
	full := errors.New("disk full")
	if err := definitions.Export(failing{full}, entity); !errors.Is(err, full) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

// Types nest as deep as values do, and what is hostile is refused as fast as it is read.
func TestNestedTypes(t *testing.T) {
	nested := func(depth int, typ string) string {
		return strings.Repeat("Array(", depth) + typ + strings.Repeat(")", depth)
	}
	field := func(typ string) []byte {
		return []byte("kind: FeatureView\nname: v\nschema:\n  - {name: x, type: '" + typ + "'}\n")
	}
	got := parse(t, field(nested(100, "Int64")))[0].(*registry.FeatureView).Schema[0]
	if want := nested(100, "INT64"); got.Type != types.ValueList || got.Inner != want {
		t.Errorf("%v %q", got.Type, got.Inner)
	}
	if text := export(t, parse(t, field(nested(100, "Int64")))...); !strings.Contains(string(text), nested(100, "Int64")) {
		t.Errorf("exported\n%s", text)
	}
	const deep = 200_000
	for typ, want := range map[string]string{
		nested(101, "Int64"):                              "a type nested 101 levels deep; types nest at most 100",
		nested(deep, "Int64"):                             "a type nested 200000 levels deep; types nest at most 100",
		nested(50, "Set(Foo)") + strings.Repeat(")", 500): `"` + strings.Repeat("Array(", 16) + `Arra"... (858 bytes) is not a type`,
		"Struct({a: " + nested(deep, "Int64") + "})":      `"Struct({a: ` + strings.Repeat("Array(", 14) + `Array"... (1400018 bytes) is not a type`,
		strings.Repeat("Struct(", deep):                   `"` + strings.Repeat("Struct(", 14) + `St"... (1400000 bytes) is not a type`,
	} {
		_, err := definitions.Parse("f", field(typ))
		if want := `f:4:21: FeatureView "v": schema[0].type: ` + want; err == nil || err.Error() != want {
			t.Errorf("%.200v, want %s", err, want)
		}
	}
}
