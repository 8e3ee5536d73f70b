package config

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// everything has a field of each kind that Decode knows.
type everything struct {
	Text     string            `yaml:"text"`
	Mode     mode              `yaml:"mode" enum:"fast|safe"`
	Bool     bool              `yaml:"bool"`
	Int      int               `yaml:"int"`
	Int8     int8              `yaml:"int8"`
	Int64    int64             `yaml:"int64" min:"-5"`
	Float    float64           `yaml:"float" min:"0.5"`
	Float32  float32           `yaml:"float32"`
	Duration time.Duration     `yaml:"duration"`
	Pointer  *int              `yaml:"pointer"`
	Texts    []string          `yaml:"texts"`
	Numbers  []int             `yaml:"numbers"`
	Labels   map[string]string `yaml:"labels"`
	Free     map[string]any    `yaml:"free"`
	Any      any               `yaml:"any"`
	Nested   nested            `yaml:"nested"`
	Structs  []nested          `yaml:"structs"`
	Part     Section           `yaml:"part"`
	Zero     string            `yaml:"zero,nullable"`
	Literal  string            `yaml:"literal,literal"`
	Untagged string
}

type mode string

type nested struct {
	Name string `yaml:"name,required"`
	Type string `yaml:"type"`
}

func section(t *testing.T, yaml string, env map[string]string) Section {
	t.Helper()
	text := "project: p\nregistry: r.db\nx:\n"
	for line := range strings.Lines(yaml) {
		text += "  " + line
	}
	return parse(t, text, env).Extra["x"]
}

func TestDecodeEveryKind(t *testing.T) {
	five := 5
	s := section(t, `
type: ignored
text: a
mode: safe
bool: yes
int: 0x10
int8: -128
int64: 1:30
float: 1.5
float32: .5
duration: 2.5
pointer: 5
texts: [a, "5"]
numbers: [1, 2]
labels: {a: b}
free: {a: 1, b: [x, null, 1.5, true, 2024-01-02], c: {}}
any: 1
nested: {name: n, type: t}
structs: [{name: a}, {name: b}]
part: {type: redis, host: h}
zero: null
literal: $UNSET
`[1:], nil)
	got := everything{Zero: "z", Untagged: "u"}
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	part := got.Part
	got.Part = Section{}
	expect(t, "decoded", got, everything{
		Text: "a", Mode: "safe", Bool: true, Int: 16, Int8: -128, Int64: 90, Float: 1.5, Float32: 0.5,
		Duration: 2500 * time.Millisecond, Pointer: &five, Texts: []string{"a", "5"}, Numbers: []int{1, 2},
		Labels: map[string]string{"a": "b"},
		Free:   map[string]any{"a": int64(1), "b": []any{"x", nil, 1.5, true, "2024-01-02"}, "c": map[string]any{}},
		Any:    int64(1), Nested: nested{"n", "t"}, Structs: []nested{{Name: "a"}, {Name: "b"}},
		Literal: "$UNSET", Untagged: "u",
	})
	expect(t, "part's type", part.Type(), "redis")
	expect(t, "part's key", part.Key(), "x.part")
	expect(t, "part's line", part.Line(), 22)
	var host struct {
		Host string `yaml:"host"`
	}
	if err := part.Decode(&host); err != nil || host.Host != "h" {
		t.Errorf("%v, %v", host, err)
	}
}

func TestDecodeDefaults(t *testing.T) {
	want := everything{Text: "a", Int: 5, Texts: []string{"x"}, Part: NewSection("t", nil)}
	for _, s := range []Section{section(t, "{}", nil), section(t, "redis", nil), section(t, "null", nil), {}, NewSection("t", nil)} {
		got := want
		if err := s.Decode(&got); err != nil {
			t.Error(err)
		}
		expect(t, "defaults", got, want)
	}
	got := everything{Texts: []string{"x"}, Labels: map[string]string{"a": "b"}, Pointer: new(int), Zero: "z", Any: 1}
	if err := section(t, "{texts: null, labels: ~, pointer: null, zero: null, any: null}", nil).Decode(&got); err != nil {
		t.Error(err)
	}
	expect(t, "nulls", got, everything{})
}

func TestDecodeProblems(t *testing.T) {
	s := section(t, `
text: 5
mode: slow
bool: maybe
int: 1.5
int8: 128
int64: -6
float: 0.1
float32: x
duration: [1]
pointer: null
texts: [a, 5, null]
numbers: 5
labels: {a: 1, b: null}
nested: {nam: n}
structs: [{name: a}, {}, 5]
literal: null
txet: a
untagged: b
any: $OTHER
part: $OTHER
int: $UNSET
zero: '${UNSET}'
free: {a: $UNSET}
`[1:], map[string]string{"OTHER": "$UNSET"})
	err := s.Decode(new(everything))
	want := strings.Join([]string{
		`f.yaml:4: x.text: must be text, is an integer; put it in quotes`,
		`f.yaml:5: x.mode: must be "fast" or "safe", is "slow"`,
		`f.yaml:6: x.bool: must be true or false, is text`,
		`f.yaml:8: x.int8: does not fit into 8 bits`,
		`f.yaml:9: x.int64: must be at least -5, is -6`,
		`f.yaml:10: x.float: must be at least 0.5, is 0.1`,
		`f.yaml:11: x.float32: must be a number, is text`,
		`f.yaml:12: x.duration: must be a number of seconds, is a list`,
		`f.yaml:14: x.texts[1]: must be text, is an integer; put it in quotes`,
		`f.yaml:14: x.texts[2]: must be text, is null`,
		`f.yaml:15: x.numbers: must be a list, is an integer`,
		`f.yaml:16: x.labels.a: must be text, is an integer; put it in quotes`,
		`f.yaml:16: x.labels.b: must be text, is null`,
		`f.yaml:17: x.nested.name: is required`,
		`f.yaml:17: x.nested.nam: is not a known key; did you mean "name"?`,
		`f.yaml:18: x.structs[1].name: is required`,
		`f.yaml:18: x.structs[2]: must be a map, is an integer`,
		`f.yaml:19: x.literal: must be text, is null`,
		`f.yaml:20: x.txet: is not a known key; did you mean "text"?`,
		`f.yaml:21: x.untagged: is not a known key; known are text, mode, bool, int, int8, int64, float, float32, duration, pointer, ` +
			`texts, numbers, labels, free, any, nested, structs, part, zero, literal`,
		`f.yaml:24: x.int: environment variable "UNSET" is not set`,
		`f.yaml:25: x.zero: environment variable "UNSET" is not set`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestDecodeRest(t *testing.T) {
	s := section(t, "{type: t, host: h, a: {type: b}, c: 1}", nil)
	var kept struct {
		Host string             `yaml:"host"`
		Rest map[string]Section `yaml:",inline"`
	}
	if err := s.Decode(&kept); err != nil {
		t.Fatal(err)
	}
	expect(t, "number of unknown keys", len(kept.Rest), 2)
	expect(t, "an unknown key's type", kept.Rest["a"].Type(), "b")
	expect(t, "an unknown key's place", kept.Rest["c"].Key(), "x.c")
	var ignored struct {
		Host string   `yaml:"host"`
		_    struct{} `yaml:",inline"`
	}
	if err := s.Decode(&ignored); err != nil || ignored.Host != "h" {
		t.Errorf("%v, %v", ignored, err)
	}
}

func TestDecodeOther(t *testing.T) {
	var n int
	if err := section(t, "5", nil).Decode(&n); err != nil || n != 5 {
		t.Errorf("%v, %v", n, err)
	}
	var m map[string]any
	if err := section(t, "{type: t, a: 1}", nil).Decode(&m); err != nil {
		t.Error(err)
	}
	expect(t, "map", m, map[string]any{"type": "t", "a": int64(1)})
	err := section(t, "[1]", nil).Decode(new(everything))
	if err == nil || err.Error() != "f.yaml:4: x: must be a map, is a list" {
		t.Error(err)
	}
	for _, into := range []any{everything{}, (*everything)(nil), nil, new(uint), new(struct {
		A chan int `yaml:"type"`
	}), new(struct {
		A int `yaml:"a,requird"`
	}), new(struct {
		A int `yaml:"a" min:"x"`
	})} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %T", into)
				}
			}()
			_ = NewSection("t", map[string]any{"type": 1, "a": 1}).Decode(into)
		}()
	}
}

type laxValue[T any] struct {
	Value T `yaml:"value"`
}

type strictValue[T any] struct {
	Value T `yaml:"value,strict"`
}

// converted are value as lax and as strict field of type T, nil where it is refused.
func converted[T any](t *testing.T, value any) (lax, strict any) {
	t.Helper()
	s := NewSection("", map[string]any{"value": value})
	var l laxValue[T]
	if err := s.Decode(&l); err == nil {
		lax = l.Value
	} else if !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	var st strictValue[T]
	if err := s.Decode(&st); err == nil {
		strict = st.Value
	}
	return lax, strict
}

// TestConversions holds what Feast's models make of values that are not of a field's type. A duration takes what a
// float does, a strict one what a strict integer does.
func TestConversions(t *testing.T) {
	const s = time.Second
	type values [4]any // bool, int64, float64, time.Duration
	for _, c := range []struct {
		value       any
		lax, strict values
	}{
		{true, values{true, int64(1), 1.0, s}, values{true}},
		{false, values{false, int64(0), 0.0, 0 * s}, values{false}},
		{0, values{false, int64(0), 0.0, 0 * s}, values{nil, int64(0), 0.0, 0 * s}},
		{1, values{true, int64(1), 1.0, s}, values{nil, int64(1), 1.0, s}},
		{-2, values{nil, int64(-2), -2.0, -2 * s}, values{nil, int64(-2), -2.0, -2 * s}},
		{1.0, values{true, int64(1), 1.0, s}, values{nil, nil, 1.0, nil}},
		{0.5, values{nil, nil, 0.5, s / 2}, values{nil, nil, 0.5, nil}},
		{1e20, values{nil, nil, 1e20, time.Duration(math.MaxInt64)}, values{nil, nil, 1e20, nil}},
		{-1e20, values{nil, nil, -1e20, time.Duration(math.MinInt64)}, values{nil, nil, -1e20, nil}},
		{math.Inf(1), values{nil, nil, math.Inf(1), time.Duration(math.MaxInt64)}, values{nil, nil, math.Inf(1), nil}},
		{"yes", values{true}, values{}},
		{"Off", values{false}, values{}},
		{"t", values{true}, values{}},
		{"true ", values{}, values{}},
		{"1", values{true, int64(1), 1.0, s}, values{}},
		{" 5 ", values{nil, int64(5), 5.0, 5 * s}, values{}},
		{"5_000", values{nil, int64(5000), 5000.0, 5000 * s}, values{}},
		{"-05.0", values{nil, int64(-5), -5.0, -5 * s}, values{}},
		{"5.5", values{nil, nil, 5.5, 5*s + s/2}, values{}},
		{"1e3", values{nil, nil, 1000.0, 1000 * s}, values{}},
		{"0x10", values{}, values{}},
		{"99999999999999999999", values{nil, nil, 1e20, time.Duration(math.MaxInt64)}, values{}},
		{"", values{}, values{}},
		{nil, values{}, values{}},
		{[]any{}, values{}, values{}},
		{map[string]any{}, values{}, values{}},
	} {
		var lax, strict values
		lax[0], strict[0] = converted[bool](t, c.value)
		lax[1], strict[1] = converted[int64](t, c.value)
		lax[2], strict[2] = converted[float64](t, c.value)
		lax[3], strict[3] = converted[time.Duration](t, c.value)
		if lax != c.lax || strict != c.strict {
			t.Errorf("%#v: lax %v, strict %v, want %v and %v", c.value, lax, strict, c.lax, c.strict)
		}
	}
}

func TestNewSection(t *testing.T) {
	type text string
	values := map[string]any{
		"text": text("a"), "int": uint16(5), "int64": int8(3), "float": float32(1.5), "duration": 3 * time.Second,
		"pointer": new(int), "texts": []string{"a"}, "labels": map[text]text{"a": "b"}, "bool": true, "any": nil,
		"nested": map[string]any{"name": "n"},
	}
	s := NewSection("acme", values)
	expect(t, "type", s.Type(), "acme")
	expect(t, "key", s.Key(), "acme")
	expect(t, "line", s.Line(), 0)
	expect(t, "null", s.IsNull(), false)
	values["text"] = "changed"
	var got everything
	if err := s.Decode(&got); err != nil {
		t.Fatal(err)
	}
	expect(t, "decoded", got, everything{Text: "a", Int: 5, Int64: 3, Float: 1.5, Duration: 3 * time.Second, Pointer: new(int),
		Texts: []string{"a"}, Labels: map[string]string{"a": "b"}, Bool: true, Nested: nested{Name: "n"}})

	err := NewSection("acme", map[string]any{"text": make(chan int), "int": uint64(math.MaxUint64), "any": struct{}{}}).Decode(&got)
	want := "acme.text: must be text, is a Go value without a YAML form\n" +
		"acme.int: must be an integer, is a Go value without a YAML form\n" +
		"acme.any: must be a YAML value, is a Go value without a YAML form"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// TestPartsOfAStore decodes a section that holds stores of its own, as the hybrid store's does.
func TestPartsOfAStore(t *testing.T) {
	c := parse(t, `project: p
registry: r.db
online_store:
  type: hybrid
  online_stores:
    - type: redis
      conf:
        connection_string: h:1
        bogus: 1
    - type: sqlite
    - {type: memory, conf: null}
`, nil)
	var o struct {
		RoutingTag string `yaml:"routing_tag"`
		Stores     []struct {
			Type string  `yaml:"type,required"`
			Conf Section `yaml:"conf"`
		} `yaml:"online_stores,required"`
	}
	o.RoutingTag = "tribe"
	if err := c.OnlineStore.Decode(&o); err != nil {
		t.Fatal(err)
	}
	expect(t, "tag", o.RoutingTag, "tribe")
	expect(t, "stores", len(o.Stores), 3)
	redis := o.Stores[0].Conf.WithType(o.Stores[0].Type)
	expect(t, "type", redis.Type(), "redis")
	expect(t, "line", redis.Line(), 8)
	var conf struct {
		Connection string `yaml:"connection_string"`
	}
	err := redis.Decode(&conf)
	if err == nil || err.Error() != `f.yaml:9: online_store.online_stores[0].conf.bogus: is not a known key; known are connection_string` {
		t.Error(err)
	}
	expect(t, "connection", conf.Connection, "h:1")
	for _, store := range o.Stores[1:] {
		part := store.Conf.WithType(store.Type)
		expect(t, "null", part.IsNull(), false)
		if err := part.Decode(&conf); err != nil {
			t.Error(err)
		}
	}
}

func TestInvalid(t *testing.T) {
	s := section(t, "{type: redis,\nport: 5}", nil)
	for key, want := range map[string]string{
		"port": "f.yaml:5: x.port: must be even",
		"host": "f.yaml:4: x.host: must be even",
	} {
		if err := s.Invalid(key, "must be %s", "even"); err.Error() != want || !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := (Section{}).Invalid("a b", "x"); err.Error() != `"a b": x` {
		t.Error(err)
	}
}

func TestSectionForms(t *testing.T) {
	c := parse(t, `project: p
registry: {path: r.db, acme: 1}
online_store: redis
offline_store: {path: x}
batch_engine: {}
auth: kubernetes
feature_server: {enabled: true}
mlflow: {type: x}
extra: 5
`, nil)
	for _, s := range []struct {
		section Section
		typ     string
		line    int
		key     string
	}{
		{c.Registry.Section, "file", 2, "registry"},
		{c.OnlineStore, "redis", 3, "online_store"},
		{c.OfflineStore, "dask", 4, "offline_store"},
		{c.BatchEngine, "", 5, "batch_engine"},
		{c.Auth, "kubernetes", 6, "auth"},
		{c.FeatureServer, "local", 7, "feature_server"},
		{c.MLflow, "x", 8, "mlflow"},
		{c.Extra["extra"], "", 9, "extra"},
		{c.OpenLineage, "", 0, ""},
		{Section{}, "", 0, ""},
	} {
		expect(t, s.key+" type", s.section.Type(), s.typ)
		expect(t, s.key+" line", s.section.Line(), s.line)
		expect(t, s.key+" key", s.section.Key(), s.key)
		expect(t, s.key+" text", s.section.String(), s.key)
	}
	for _, yaml := range []string{"online_store: 5", "offline_store: [a]", "batch_engine: true", "auth: 1.5", "feature_server: 2024-01-02",
		"online_store: {type: 5}", "auth: {type: null}", "auth: basic", "feature_server: other"} {
		_, err := Parse([]byte("project: p\nregistry: r\n"+yaml), "", "", nil)
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), "line 3: "+yaml[:strings.IndexByte(yaml, ':')]) {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

func TestLayoutOfRepoConfig(t *testing.T) {
	expect(t, "keys", layoutOf(reflect.TypeFor[RepoConfig]()).keys(), []string{
		"project", "project_description", "provider", "registry", "online_store", "offline_store", "batch_engine", "auth",
		"feature_server", "embedding_model", "materialization", "data_quality_monitoring", "openlineage", "mlflow",
		"entity_key_serialization_version", "coerce_tz_aware",
	})
}
