package definitions_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/definitions"
	"github.com/feastgo/feast/types"
)

// write puts files into a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(objects []registry.Object) string {
	var list []string
	for _, o := range objects {
		list = append(list, o.Resource().Name)
	}
	return strings.Join(list, " ")
}

func entity(name string) string { return "kind: Entity\nname: " + name + "\n" }

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{
		"b.yaml":               entity("b1") + "---\n# nothing\n---\n" + entity("b2") + "---\n",
		"a.yml":                "---\n" + entity("a") + "...\n",
		"sub/deep/c.yaml":      entity("c"),
		"sub.yaml":             entity("between"),
		"sub/a.yaml":           entity("sub_a"),
		"feature_store.yaml":   "project: p\nregistry: r\n",
		"sub/.hidden/x.yaml":   "not: read",
		".x.yaml":              "not: read",
		"sub/notes.txt":        "not: read",
		"sub/empty.yaml":       "",
		"zz/feature_store.yml": entity("other_name"),
	})
	objects, err := definitions.Load(dir)
	if err != nil || names(objects) != "a b1 b2 sub_a c between other_name" {
		t.Errorf("%s, %v", names(objects), err)
	}
	file := filepath.Join(dir, "sub", "deep", "c.yaml")
	if objects, err := definitions.Load(file); err != nil || names(objects) != "c" {
		t.Errorf("%s, %v", names(objects), err)
	}
	_, err = definitions.Load(filepath.Join(dir, "feature_store.yaml"))
	if err == nil || !strings.Contains(err.Error(), "feature_store.yaml:1:1: kind: is required") {
		t.Error(err)
	}
}

// As a volume made of a Kubernetes ConfigMap looks: links to files in a hidden folder.
func TestLoadFollowsLinksToFiles(t *testing.T) {
	dir := write(t, map[string]string{"..data/a.yaml": entity("a"), "..data/sub/b.yaml": entity("b")})
	if err := os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Skip("links cannot be made here:", err)
	}
	if err := os.Symlink(filepath.Join("..data", "sub"), filepath.Join(dir, "folder.yaml")); err != nil {
		t.Fatal(err)
	}
	if objects, err := definitions.Load(dir); err != nil || names(objects) != "a" {
		t.Errorf("%s, %v", names(objects), err)
	}
	linked := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(dir, linked); err != nil {
		t.Fatal(err)
	}
	if objects, err := definitions.Load(linked); err != nil || names(objects) != "a" {
		t.Errorf("%s, %v", names(objects), err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "broken.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := definitions.Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestLoadNothing(t *testing.T) {
	for _, files := range []map[string]string{{}, {"a.txt": "x"}, {"a.yaml": "# nothing\n---\n"}, {"feature_store.yaml": "project: p"}} {
		if objects, err := definitions.Load(write(t, files)); !errors.Is(err, feasterr.ErrNotFound) || objects != nil {
			t.Errorf("%v: %v", files, err)
		}
	}
	_, err := definitions.Load(filepath.Join(t.TempDir(), "missing"))
	if !errors.Is(err, feasterr.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if objects, err := definitions.Parse("f", nil); err != nil || len(objects) != 0 {
		t.Errorf("%v, %v", objects, err)
	}
}

// Names are resolved across files, and before they are defined; what is shared is one object.
func TestReferences(t *testing.T) {
	dir := write(t, map[string]string{
		"1_services.yaml": "kind: FeatureService\nname: s\nfeatures: [stats, stats:conv, stats@v2, 'stats@v2:gone', {view: stats, features: [conv, acc]}]\n",
		"2_views.yaml": "kind: FeatureView\nname: sum\nentities: [driver]\nsource: file\nsource_views: [stats, {kind: FeatureView, name: other, online: false}]\n" +
			"---\nkind: FeatureView\nname: stats\nentities: [driver]\nschema: [{name: conv, type: Float32}, {name: acc, type: Float32}]\nsource: push\n",
		"3_sources.yaml": "kind: PushSource\nname: push\nbatch_source: file\n---\nkind: FileSource\nname: file\npath: p\n" +
			"---\nkind: RequestSource\nname: req\nschema: [{name: x, type: Int64}]\n" +
			"---\nkind: OnDemandFeatureView\nname: od\nsources: [stats]\nrequest_sources: [req, {kind: RequestSource, name: own}]\n",
		"4_entities.yaml": entity("driver"),
	})
	objects, err := definitions.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	service, sum, stats := objects[0].(*registry.FeatureService), objects[1].(*registry.FeatureView), objects[2].(*registry.FeatureView)
	push, file, req := objects[3].(*registry.DataSource), objects[4].(*registry.DataSource), objects[5].(*registry.DataSource)
	od := objects[6].(*registry.OnDemandFeatureView)
	if stats.Source != push || push.BatchSource != file || sum.Source != file || od.RequestSources[0] != req || od.RequestSources[1].Name != "own" {
		t.Error("sources are not those that are named")
	}
	if !reflect.DeepEqual(&sum.SourceViews[0], stats) || sum.SourceViews[1].Name != "other" || sum.SourceViews[1].Online {
		t.Errorf("source views: %+v", sum.SourceViews)
	}
	want := []registry.FeatureViewProjection{
		{Name: "stats"}, {Name: "stats:conv"}, {Name: "stats@v2"}, {Name: "stats@v2:gone"},
		{Name: "stats", Features: []registry.Field{{Name: "conv"}, {Name: "acc"}}},
	}
	if !reflect.DeepEqual(service.Features, want) {
		t.Errorf("%+v", service.Features)
	}
}

// Every problem of every file is told at once, where it stands, and typed.
func TestAllProblems(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": `kind: FeatureView
name: driver_stats
entities: [drivr, driver]
ttl: 3600
schema:
  - {name: conv_rate, type: Flaot32}
  - {name: acc_rate}
  - {name: trips, type: Int64, dtype: Int32}
source: driver_fil
onlin: true
tags: {tier: 1, on: "x"}
---
kind: Entiti
anything: goes
---
name: nameless
---
- kind: Entity
---
kind: Entity
name: driver
name: driver
join_keys: [driver_id]
value_type: Int46
`,
		"b.yaml": `kind: FileSource
name: driver_file
path: p
file_format: orc
batch_source: driver_file
---
kind: Entity
name: driver
---
kind: LabelView
name: driver_stats
conflict_policy: MAJORITY
---
kind: FeatureService
name: svc
features:
  - driver_stat:conv_rate
  - driver_stats:conv_rte
  - view: driver_stats
    features: [acc_rate, trip]
  - {view: driver_stats, version: v2}
  - {features: [x]}
  - 5
logging_config:
  sample_rate: a lot
  destination: {kind: FileLogging, path: p}
`,
		"c.yaml": "kind: Permission\nname: p\ntypes: [FeatureViews]\nactions: [READ, WRITE_ONLINE]\npolicy: {roles: [a]}\n" +
			"---\nkind: ValidationReference\nname: v\nprofiler: gASV\nprofile: !!binary x\n---\nkind: Entity\nname: [\n",
	})
	_, err := definitions.Load(dir)
	if !errors.Is(err, feasterr.ErrInvalid) {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	want := strings.TrimSpace(`
a.yaml:3:12: FeatureView "driver_stats": entities[0]: no entity "drivr" is defined; did you mean "driver"?
a.yaml:4:6: FeatureView "driver_stats": ttl: must be a duration with its unit, such as 90s, 15m, 24h, 7d or 1d12h
a.yaml:6:29: FeatureView "driver_stats": schema[0].type: "Flaot32" is not a type; did you mean "Float32"?
a.yaml:7:5: FeatureView "driver_stats": schema[1].type: is required: Int64, String, Array(Float32), ...
a.yaml:8:32: FeatureView "driver_stats": schema[2].dtype: is not a known key; did you mean "type"?
a.yaml:9:9: FeatureView "driver_stats": source: no data source "driver_fil" is defined; did you mean "driver_file"?
a.yaml:10:1: FeatureView "driver_stats": onlin: is not a known key; did you mean "online"?
a.yaml:11:14: FeatureView "driver_stats": tags.tier: must be text, is an integer; put it in quotes
a.yaml:13:7: Entiti: kind: "Entiti" is not known; did you mean "Entity"?
a.yaml:16:1: kind: is required: Project, Entity, FeatureView, BatchFeatureView, StreamFeatureView, OnDemandFeatureView, LabelView, FeatureService, SavedDataset, ValidationReference, Permission, FileSource, BigQuerySource, RedshiftSource, SnowflakeSource, SparkSource, TrinoSource, AthenaSource, IcebergSource, PostgreSQLSource, MsSqlServerSource, CustomSource, KafkaSource, KinesisSource, PushSource, RequestSource
a.yaml:18:1: must be a map, is a list: each object is a document of its own, after a line ---
a.yaml:22:1: Entity "driver": name: is given twice
a.yaml:23:1: Entity "driver": join_keys: is not a known key; did you mean "join_key"?
a.yaml:24:13: Entity "driver": value_type: "Int46" is not a type of keys; did you mean "Int64"?
b.yaml:4:14: FileSource "driver_file": file_format: "orc" is not known; it must be "parquet" or "delta"
b.yaml:5:1: FileSource "driver_file": batch_source: is not a known key; known are kind, name, description, path, file_format, s3_endpoint_override, timestamp_field, created_timestamp_column, date_partition_column, timestamp_field_type, field_mapping, owner, tags
b.yaml:7:1: Entity "driver": the entity "driver" is defined at a.yaml:20 already
b.yaml:10:1: LabelView "driver_stats": the name is taken by the FeatureView "driver_stats" that is defined at a.yaml:1
b.yaml:12:18: LabelView "driver_stats": conflict_policy: "MAJORITY" is not known; did you mean "MAJORITY_VOTE"?
b.yaml:17:5: FeatureService "svc": features[0]: no feature view "driver_stat" is defined; did you mean "driver_stats"?
b.yaml:18:5: FeatureService "svc": features[1]: feature view "driver_stats" has no feature "conv_rte"; did you mean "conv_rate"?
b.yaml:20:26: FeatureService "svc": features[2].features[1]: feature view "driver_stats" has no feature "trip"; did you mean "trips"?
b.yaml:21:35: FeatureService "svc": features[3].version: must be an integer, is text
b.yaml:22:5: FeatureService "svc": features[4].view: is required
b.yaml:23:5: FeatureService "svc": features[5]: must be a reference such as view:feature, or a map, is an integer
b.yaml:25:16: FeatureService "svc": logging_config.sample_rate: must be a number, is text
b.yaml:26:23: FeatureService "svc": logging_config.destination.kind: "FileLogging" is not known; did you mean "FileLoggingDestination"?
c.yaml:3:9: Permission "p": types[0]: "FeatureViews" is not known; did you mean "FeatureView"?
c.yaml:4:11: Permission "p": actions[0]: "READ" is not known; did you mean "READ_OFFLINE" or "READ_ONLINE"?
c.yaml:5:9: Permission "p": policy.kind: is required: RoleBasedPolicy, GroupBasedPolicy, NamespaceBasedPolicy, CombinedGroupNamespacePolicy
c.yaml:9:11: ValidationReference "v": profiler: must be bytes: the tag !!binary, then base64
c.yaml:10:10: ValidationReference "v": profile: is not base64, as its tag !!binary says
c.yaml:14: did not find expected node content`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var e *definitions.Error
	if !errors.As(err, &e) || *e != (definitions.Error{
		File: filepath.Join(dir, "a.yaml"), Line: 3, Column: 12, Object: `FeatureView "driver_stats"`, Key: "entities[0]",
		Message: `no entity "drivr" is defined; did you mean "driver"?`,
	}) {
		t.Errorf("%+v", e)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"kind: Entity", `f:1:1: Entity: name: is required`},
		{"kind: Entity\nname: ''", `f:2:7: Entity: name: is empty`},
		{"kind: Entity\nname: __dummy", `f:2:7: Entity "__dummy": name: "__dummy" is reserved for views without entities`},
		{"kind: SavedDataset\nname: d\nmax_event_timestamp: 0001-01-01T00:00:00+01:00",
			`f:3:22: SavedDataset "d": max_event_timestamp: must be a time with its zone, such as 2024-01-31T00:00:00Z`},
		{"kind: Entity\nname: yes", `f:2:7: Entity "yes": name: must be text, is a boolean; put it in quotes`},
		{"kind: Entity\nname: !!binary /w==", `f:2:7: Entity "/w==": name: must be text, is bytes`},
		{"kind: Entity\nname: e\ndescription:", `f:3:13: Entity "e": description: must be text, is null`},
		{"kind: Entity\nname: e\ntags: [a]", `f:3:7: Entity "e": tags: must be a map, is a list`},
		{"kind: FeatureView\nname: v\nschema: {a: Int64}", `f:3:9: FeatureView "v": schema: must be a list, is a map`},
		{"kind: FeatureView\nname: v\nschema: [a]", `f:3:10: FeatureView "v": schema[0]: must be a map, is text`},
		{"kind: FeatureView\nname: v\nonline: 'yes'", `f:3:9: FeatureView "v": online: must be true or false, is text`},
		{"kind: FeatureView\nname: v\nsource: [a]", `f:3:9: FeatureView "v": source: must be the name of a data source, or a map, is a list`},
		{"kind: FeatureView\nname: v\nfeature_transformation: {}",
			`f:3:1: FeatureView "v": feature_transformation: is not a known key; ` + "known are kind, name, description, entities, ttl, schema, " +
				"entity_columns, source, stream_source, source_views, mode, online, offline, enable_validation, disabled, version, owner, org, tags"},
		{"kind: BatchFeatureView\nname: v", `f:1:1: BatchFeatureView "v": feature_transformation: is required: without one it is a FeatureView`},
		{"kind: FeatureView\nname: v\nsource_views: [v]", `f:3:16: FeatureView "v": source_views[0]: feature view "v" is computed from itself`},
		{"kind: FeatureView\nname: v\nsource_views: [{kind: FeatureView, name: w, source_views: [v]}]",
			`f:3:60: FeatureView "v": source_views[0].source_views[0]: feature view "v" is computed from itself`},
		{"kind: PushSource\nname: p\nbatch_source: p", `f:3:15: PushSource "p": batch_source: data source "p" is a PushSource, and must be one of ` +
			"FileSource, BigQuerySource, RedshiftSource, SnowflakeSource, SparkSource, TrinoSource, AthenaSource, IcebergSource, PostgreSQLSource, MsSqlServerSource, CustomSource"},
		{"kind: SavedDataset\nname: d\nmin_event_timestamp: 2024-01-01", `f:3:22: SavedDataset "d": min_event_timestamp: must be a time with its zone, such as 2024-01-31T00:00:00Z`},
		{"kind: SparkSource\nname: s\ntable_format: {type: lance, version: -1}", `f:3:38: SparkSource "s": table_format.version: -1 is out of range`},
		{"kind: KafkaSource\nname: k\nmessage_format: {type: proto, schema_json: x}",
			`f:3:31: KafkaSource "k": message_format.schema_json: is not a known key; known are type, class_path`},
		{"kind: FeatureService\nname: s\nlogging_config: {sample_rate: 1.0e+99}", `f:3:31: FeatureService "s": logging_config.sample_rate: 1e+99 is out of range`},
		{"a: *x", "f:1: alias without an anchor; put a value that begins with * in quotes"},
		{"a\xff", "f:1: is not UTF-8 text"},
		{"kind: Entity\nname: e\ntags: !foo {}", `f:3:7: Entity "e": tags: has a tag that is not supported; put a value that begins with ! in quotes`},
		{"kind: Entity\nname: e\n---\nkind: Entity\nname: e", `f:4:1: Entity "e": the entity "e" is defined at f:1 already`},
	} {
		objects, err := definitions.Parse("f", []byte(c.text))
		if err == nil || err.Error() != c.want || objects != nil {
			t.Errorf("%s\n got %v\nwant %s", c.text, err, c.want)
		}
		if !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%s: %T", c.text, err)
		}
	}
}

// Anchors and merge keys work within a document, as in feature_store.yaml.
func TestAnchors(t *testing.T) {
	objects := parse(t, []byte("kind: FeatureView\nname: v\nschema:\n  - &f {name: a, type: Int64, tags: &t {x: '1'}}\n  - {<<: *f, name: b}\ntags: *t\n"))
	v := objects[0].(*registry.FeatureView)
	tags := map[string]string{"x": "1"}
	if want := []registry.Field{{Name: "a", Type: types.Int64, Tags: tags}, {Name: "b", Type: types.Int64, Tags: tags}}; !reflect.DeepEqual(v.Schema, want) || !reflect.DeepEqual(v.Tags, tags) {
		t.Errorf("%+v", v)
	}
	v.Tags["x"] = "2"
	if v.Schema[0].Tags["x"] != "1" {
		t.Error("an alias shares memory with its anchor")
	}
}

// What few bytes stand for is bounded.
func TestBounds(t *testing.T) {
	laughs := "kind: Entity\nname: e\na0: &a0 [x]\n"
	for i := 1; i < 30; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10))
	}
	wide := "kind: FeatureView\nname: %d\nschema:\n  - &f {name: f, type: Int64}\n" + strings.Repeat("  - *f\n", 20_000) + "---\n"
	var many strings.Builder
	for i := range 5 {
		fmt.Fprintf(&many, strings.Replace(wide, "%d", "v%d", 1), i)
	}
	chain := entity("e")
	for i := range 12 {
		chain += fmt.Sprintf("---\nkind: FeatureView\nname: v%d\nsource_views: [%s]\n", i, strings.Repeat(fmt.Sprintf("v%d,", i-1), min(i, 1)*10))
	}
	nested := "kind: FeatureView\nname: v\nsource_views: [" + strings.Repeat("{kind: FeatureView, name: v, source_views: [", 50) +
		strings.Repeat("]}", 50) + "]"
	var keys strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&keys, "x%d: 1\n", i)
	}
	flood := "kind: Entity\nname: e\n" + keys.String()
	for _, c := range []struct{ text, want string }{
		{laughs, `stands for more than 100000 values`},
		{many.String(), `stands for more than 100000 values`},
		{chain, "stands for more than 1000 views"},
		{nested, "is nested more than 20 times"},
		{flood, "and more problems than these 200"},
		{strings.Replace(flood, "Entity", "Nothing", 1), `kind: "Nothing" is not known`},
	} {
		_, err := definitions.Parse("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %.300v", c.text, err)
		}
	}
	repeated := "kind: Entity\nname: e\ntags: {a: &a 1,"
	for i := range 100 {
		repeated += fmt.Sprintf("b%d: *a,", i)
	}
	if _, err := definitions.Parse("f", []byte(repeated+"}")); err == nil || strings.Count(err.Error(), "\n") != 0 {
		t.Errorf("what an alias repeats is told again: %v", err)
	}
}

// Files may come from Windows.
func TestLineEnds(t *testing.T) {
	objects, err := definitions.Parse("f", []byte("\ufeffkind: Entity\r\nname: e\r\ndescription: |\r\n  a\r\n  b\r\n---\r\nkind: Entity\r\nname: 2\r\n"))
	if want := `f:8:7: Entity "2": name: must be text, is an integer; put it in quotes`; err == nil || err.Error() != want || objects != nil {
		t.Errorf("%v, want %s", err, want)
	}
	objects = parse(t, []byte("\ufeffkind: Entity\r\nname: e\r\ndescription: |\r\n  a\r\n  b\r\n"))
	if e := objects[0].(*registry.Entity); e.Name != "e" || e.Description != "a\nb\n" {
		t.Errorf("%+v", e)
	}
}
