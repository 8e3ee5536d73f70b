package interop_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/drivers/embedded"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/internal/testserver"
	_ "github.com/feastgo/feast/online/redis"
)

// callTime is how long Feast may take for one call.
const callTime = time.Minute

// repo is a feature repository that both sides open.
type repo struct {
	t       testing.TB
	dir     string
	store   string
	project string

	variables, command []string // of the environment of Feast's servers, and what they are run by
}

// projects counts those on servers.
var projects atomic.Int64

// newRepo makes an empty repository with an online store of the given type: "sqlite" or "redis". Sections are more lines of
// feature_store.yaml.
func newRepo(t testing.TB, store string, sections ...string) *repo {
	t.Helper()
	useFeast(t)
	r := &repo{t: t, dir: t.TempDir(), store: store, project: "interop"}
	section := "{type: sqlite, path: data/online.db}"
	if store == "redis" { // which all tests share
		r.project = fmt.Sprintf("interop_%d", projects.Add(1))
		section = fmt.Sprintf("{type: redis, connection_string: %q}", testserver.Redis(t))
	}
	r.write("feature_store.yaml", "project: "+r.project+"\nprovider: local\nregistry: data/registry.db\nonline_store: "+section+
		"\nentity_key_serialization_version: 3\n"+strings.Join(sections, "\n"))
	t.Cleanup(func() {
		if store == "redis" {
			r.python("teardown", nil, nil)
		}
	})
	return r
}

// versioned makes both sides keep the rows of each version of a view apart.
func (r *repo) versioned() {
	r.t.Helper()
	r.write("feature_store.yaml", r.withRegistry("{path: data/registry.db, enable_online_feature_view_versioning: true}"))
}

// withRegistry returns the feature_store.yaml of newRepo with another registry.
func (r *repo) withRegistry(section string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "feature_store.yaml"))
	if err != nil {
		r.t.Fatal(err)
	}
	const plain = "registry: data/registry.db\n"
	if !strings.Contains(string(text), plain) {
		r.t.Fatalf("%s", text)
	}
	return strings.Replace(string(text), plain, "registry: "+section+"\n", 1)
}

func (r *repo) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// define replaces the Python definitions.
func (r *repo) define(text string) { r.t.Helper(); r.write("definitions.py", text) }

// python calls Feast and fails the test when Feast does.
func (r *repo) python(call string, args map[string]any, result any) {
	r.t.Helper()
	if err := r.try(call, args, result); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) try(call string, args map[string]any, result any) error {
	all := map[string]any{"repo": r.dir}
	maps.Copy(all, args)
	ctx := r.t.Context()
	if ctx.Err() != nil { // in a cleanup
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return shared.call(ctx, call, all, result)
}

// open opens the repository in Go.
func (r *repo) open(opts ...feast.Option) *feast.FeatureStore {
	r.t.Helper()
	fs, err := feast.Open(r.t.Context(), r.dir, opts...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
	return fs
}

// apply applies definitions in Go.
func (r *repo) apply(fs *feast.FeatureStore, objects ...feast.Object) *feast.Diff {
	r.t.Helper()
	diff, err := fs.Apply(r.t.Context(), objects...)
	if err != nil {
		r.t.Fatal(err)
	}
	return diff
}

// plan returns what Feast would still change, sorted.
func (r *repo) plan() []string {
	r.t.Helper()
	var raw [][]any
	r.python("plan", nil, &raw)
	var out []string
	for _, c := range raw {
		line := fmt.Sprintf("%s %s %s:", c[2], c[0], c[1])
		for _, p := range c[3].([]any) {
			line += fmt.Sprintf(" %s", p.([]any)[0])
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// dump returns what the online store keeps of the project, as peer.py shows it.
func (r *repo) dump() map[string]string {
	r.t.Helper()
	var rows map[string]string
	r.python("dump", nil, &rows)
	return rows
}

// objects returns all objects as Feast reads and writes them, flattened.
func (r *repo) objects() map[string]string {
	r.t.Helper()
	var raw map[string][]string
	r.python("objects", nil, &raw)
	kinds := map[string]func() proto.Message{
		"project": func() proto.Message { return new(core.Project) }, "entity": func() proto.Message { return new(core.Entity) },
		"dataSource":          func() proto.Message { return new(core.DataSource) },
		"featureView":         func() proto.Message { return new(core.FeatureView) },
		"streamFeatureView":   func() proto.Message { return new(core.StreamFeatureView) },
		"onDemandFeatureView": func() proto.Message { return new(core.OnDemandFeatureView) },
		"labelView":           func() proto.Message { return new(core.LabelView) },
		"featureService":      func() proto.Message { return new(core.FeatureService) },
		"savedDataset":        func() proto.Message { return new(core.SavedDataset) },
		"permission":          func() proto.Message { return new(core.Permission) },
	}
	out := map[string]string{}
	for kind, messages := range raw {
		var list []any
		for _, text := range messages {
			m := kinds[kind]()
			unmarshal(r.t, text, m)
			list = append(list, jsonOf(r.t, m))
		}
		flatten(out, kind, list)
	}
	return out
}

// stored returns the registry file as it is, flattened.
func (r *repo) stored() map[string]string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "data/registry.db"))
	if err != nil {
		r.t.Fatal(err)
	}
	var reg core.Registry
	if err := proto.Unmarshal(b, &reg); err != nil {
		r.t.Fatal(err)
	}
	history := reg.GetFeatureViewVersionHistory().GetRecords()
	reg.FeatureViewVersionHistory = nil
	for _, o := range reg.GetInfra().GetInfraObjects() {
		o.GetSqliteTable().Path = strings.TrimPrefix(o.GetSqliteTable().GetPath(), r.dir)
	}
	out := map[string]string{}
	flatten(out, "", jsonOf(r.t, &reg))
	for _, v := range history {
		var view proto.Message = new(core.FeatureView)
		switch v.GetFeatureViewType() {
		case "stream_feature_view":
			view = new(core.StreamFeatureView)
		case "on_demand_feature_view":
			view = new(core.OnDemandFeatureView)
		case "label_view":
			view = new(core.LabelView)
		}
		if err := proto.Unmarshal(v.GetFeatureViewProto(), view); err != nil {
			r.t.Fatal(err)
		}
		v.FeatureViewProto = nil
		at := fmt.Sprintf("versions.%s@%d", v.GetFeatureViewName(), v.GetVersionNumber())
		flatten(out, at, jsonOf(r.t, v))
		flatten(out, at+".view", jsonOf(r.t, view))
	}
	return out
}

func unmarshal(t testing.TB, text string, m proto.Message) {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
}

func jsonOf(t testing.TB, m proto.Message) any {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// flatten makes a table of paths and values. Elements of lists go by their names, where they have one, since the order of
// objects, columns and sources means nothing.
func flatten(into map[string]string, at string, v any) {
	join := func(key string) string { return strings.TrimPrefix(at+"."+key, ".") }
	switch v := v.(type) {
	case map[string]any:
		if text, ok := v["configuration"].(string); ok { // of a custom source: JSON
			var inner any
			if b, err := base64.StdEncoding.DecodeString(text); err == nil && json.Unmarshal(b, &inner) == nil {
				v["configuration"] = inner
			}
		}
		for key, value := range v {
			flatten(into, join(key), value)
		}
	case []any:
		for i, value := range v {
			flatten(into, join(nameIn(value, i)), value)
		}
	default:
		into[at] = fmt.Sprint(v)
	}
}

func nameIn(v any, i int) string {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(i)
	}
	if spec, ok := m["spec"].(map[string]any); ok {
		m = spec
	}
	for _, key := range []string{"name", "featureViewNameAlias", "featureViewName", "project"} {
		if name, ok := m[key].(string); ok {
			return name
		}
	}
	return fmt.Sprint(i)
}

// ignored are values that differ from one run to the next, pickles among them.
var ignored = regexp.MustCompile(
	`(^|\.)(createdTimestamp|lastUpdatedTimestamp|lastUpdated|projectUuid|versionId|userDefinedFunction\.body)$`)

// compare reports values that differ between what Feast made and what this library made, but for those that known matches.
func compare(t *testing.T, feast, here map[string]string, known ...string) {
	t.Helper()
	used := map[string]bool{}
	paths := maps.Clone(feast)
	maps.Copy(paths, here)
	same := 0
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if ignored.MatchString(path) {
			continue
		}
		if a, b := feast[path], here[path]; a == b {
			same++
		} else if i := slices.IndexFunc(known, func(k string) bool { return regexp.MustCompile(k).MatchString(path) }); i >= 0 {
			used[known[i]] = true
		} else {
			t.Errorf("%s is %q, and %q in Feast", path, b, a)
		}
	}
	for _, k := range known {
		if !used[k] {
			t.Errorf("nothing differs at %s", k)
		}
	}
	t.Logf("%d values are equal", same)
}
