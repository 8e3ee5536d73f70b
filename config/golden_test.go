package config

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// goldenCases is testdata/cases.json: feature_store.yaml texts and what Feast 0.67 made of them.
type goldenCases struct {
	Env   map[string]string
	Unset []string
	Cases []goldenCase
}

type goldenCase struct {
	ID     string
	YAML   string
	Config map[string]any
	Error  *struct{ Class, Message string }
}

func readGolden(t testing.TB) goldenCases {
	t.Helper()
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenCases
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// goldenErrors holds our answer to the cases that Feast refuses because of a top-level key.
var goldenErrors = map[string]string{
	"no_registry":                    `f.yaml:1: registry: is required`,
	"alias_by_field_name":            `f.yaml:1: registry: is required`,
	"empty_file":                     `f.yaml: is empty; project and registry are required`,
	"yaml_list":                      `f.yaml:1: must be a map of keys, project and registry among them`,
	"yaml_tab":                       `f.yaml:2: found a tab character that violates indentation`,
	"project_hyphen_sqlite":          `f.yaml:1: project: "my-proj" must consist of letters, digits and underscores`,
	"project_hyphen_sqlite_explicit": `f.yaml:1: project: "my-proj" must consist of letters, digits and underscores`,
	"project_underscore_start":       `f.yaml:1: project: "_p" must not begin with an underscore`,
	"project_space":                  `f.yaml:1: project: "a b" must consist of letters, digits and underscores`,
	"project_int":                    `f.yaml:1: project: must be text, is an integer; put it in quotes`,
	"project_null":                   `f.yaml:1: project: must be text, is null`,
	"online_unknown_type": `f.yaml:4: online_store.type: unknown online store type "nosuch"; known are aerospike, bigtable, ` +
		`cassandra, chronon, couchbase.online, datastore, dynamodb, elasticsearch, hazelcast, hbase, hybrid, ` +
		`memory, milvus, mongodb, mysql, postgres, qdrant, redis, remote, scylladb, singlestore, snowflake.online, sqlite ` +
		`and class paths that end in OnlineStore`,
	"auth_missing_type":         `f.yaml:4: auth.type: is required: "no_auth", "kubernetes" or "oidc"`,
	"feature_server_bad_type":   `f.yaml:4: feature_server.type: must be "local" or "mcp", is "nosuch"`,
	"materialization_bad_batch": `f.yaml:4: materialization.online_write_batch_size: must be at least 1, is 0`,
	"embedding_model_missing":   `f.yaml:4: embedding_model.model: is required`,
}

// goldenOnUse holds our answer to the cases that Feast refuses when the registry is first used. Here that is when the
// file is read: no feature store opens without its registry.
var goldenOnUse = map[string]string{
	"registry_null":      `f.yaml:2: registry: must be a path or a map, is null`,
	"registry_ttl_float": `f.yaml:4: registry.cache_ttl_seconds: must be a whole number of seconds, is a fractional number`,
	"registry_ttl_null":  `f.yaml:4: registry.cache_ttl_seconds: must be a whole number of seconds, is null`,
}

// goldenElsewhere lists the cases, or parts of them, whose rule belongs to another package. They load here, and the
// parts that this package does know are compared like any other.
var goldenElsewhere = map[string]string{
	"online_unknown_key":                 "online/redis refuses the key when it decodes its section",
	"online_redis_bad_enum":              "online/redis refuses the value when it decodes its section",
	"online_sqlite_unknown_key":          "online/sqlite refuses the key when it decodes its section",
	"env_in_key":                         "online/sqlite refuses the key when it decodes its section",
	"online_custom_class_not_importable": "the driver table says that no such store is linked in",
	"online_string_null":                 "the driver table says that no such store is linked in",
	"auth_oidc_partial":                  "permissions/oidc decodes and checks its section",
	"auth_oidc_token_and_env":            "permissions/oidc decodes and checks its section",
	"registry_sql_pg_bare":               "registry/sql rewrites the scheme of its URLs; the original stays here",
	"registry_sql_path_before_type":      "registry/sql rewrites the scheme of its URLs; the original stays here",
}

func TestGolden(t *testing.T) {
	golden := readGolden(t)
	seen := map[string]bool{}
	for _, c := range golden.Cases {
		seen[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			got, err := Parse([]byte(c.YAML), "f.yaml", "/repo", lookupIn(golden.Env))
			want, isError := goldenErrors[c.ID]
			if !isError {
				want, isError = goldenOnUse[c.ID]
			}
			_, elsewhere := goldenElsewhere[c.ID]
			switch {
			case isError:
				if err == nil || err.Error() != want {
					t.Errorf("error\n%v, want\n%s", err, want)
				}
				if !errors.Is(err, feasterr.ErrInvalid) {
					t.Error("the error is no ErrInvalid")
				}
				return
			case err != nil:
				t.Fatalf("error %v, and Feast's is %v", err, c.Error)
			case c.Error != nil && !elsewhere:
				t.Fatalf("loads, but Feast answers %s: %s", c.Error.Class, c.Error.Message)
			case c.Error != nil:
				return
			}
			compareGolden(t, got, c.Config, elsewhere)
		})
	}
	for _, table := range []map[string]string{goldenErrors, goldenOnUse, goldenElsewhere} {
		for id := range table {
			if !seen[id] {
				t.Errorf("case %s is listed in the test and is not in the golden data", id)
			}
		}
	}
	if len(seen) != 81 {
		t.Errorf("%d golden cases, want 81", len(seen))
	}
}

// compareGolden compares all that a RepoConfig holds. Keys that drivers fill with their defaults are in Feast's
// answer and not in ours, so of sections only the keys that the file gives are compared.
func compareGolden(t *testing.T, got *RepoConfig, want map[string]any, elsewhere bool) {
	t.Helper()
	equal := func(key string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Errorf("%s is %#v, want %#v", key, got, want)
		}
	}
	text := func(v any) any { // Feast's None where we have ""
		if v == nil {
			return ""
		}
		return v
	}
	equal("project", got.Project, want["project"])
	equal("project_description", got.ProjectDescription, text(want["project_description"]))
	equal("provider", got.Provider, want["provider"])
	equal("entity_key_serialization_version", got.EntityKeyVersion, want["entity_key_serialization_version"])
	equal("coerce_tz_aware", got.CoerceTZAware, want["coerce_tz_aware"])
	equal("repo_path", got.RepoPath, "/repo")
	equal("file", got.File, "f.yaml")

	extra := map[string]any{}
	for key, s := range got.Extra {
		var v any
		if err := s.Decode(&v); err != nil {
			t.Error(err)
		}
		extra[key] = v
	}
	equal("extra", extra, want["extra"])

	batch := any(got.Materialization.OnlineWriteBatchSize)
	if batch == 0 {
		batch = nil
	}
	equal("materialization", map[string]any{
		"pull_latest_features": got.Materialization.PullLatestFeatures, "online_write_batch_size": batch,
	}, without(want["materialization"], "__class__"))

	if m := got.EmbeddingModel; m != nil {
		equal("embedding_model", map[string]any{"provider": m.Provider, "model": m.Model},
			without(want["embedding_model"], "__class__"))
	} else {
		equal("embedding_model", nil, want["embedding_model"])
	}

	registry := want["registry"].(map[string]any)
	kwargs := any(got.Registry.S3Kwargs)
	if got.Registry.S3Kwargs == nil {
		kwargs = nil
	}
	path := registry["path"]
	if elsewhere {
		path = strings.Replace(path.(string), "postgresql+psycopg://", "postgresql://", 1)
	}
	equal("registry.path", got.Registry.Path, path)
	equal("registry", map[string]any{
		"registry_type":                         got.Registry.Type,
		"cache_ttl_seconds":                     got.Registry.CacheTTL.Seconds(),
		"cache_mode":                            got.Registry.CacheMode,
		"s3_additional_kwargs":                  kwargs,
		"purge_feast_metadata":                  got.Registry.PurgeMetadata,
		"enable_online_feature_view_versioning": got.Registry.OnlineVersioning,
		"serve_features_while_materializing":    got.Registry.ServeWhileMaterializing,
	}, only(registry, "registry_type", "cache_ttl_seconds", "cache_mode", "s3_additional_kwargs", "purge_feast_metadata",
		"enable_online_feature_view_versioning", "serve_features_while_materializing"))
	equal("registry.registry_store_type", got.Registry.StoreType, text(registry["registry_store_type"]))
	if !elsewhere && got.Registry.Section.node.Kind == yamldoc.Map {
		compareSection(t, "registry", got.Registry.Section, registry)
	}

	for _, s := range []struct {
		key     string
		section Section
	}{
		{"online_store", got.OnlineStore}, {"offline_store", got.OfflineStore}, {"batch_engine", got.BatchEngine},
		{"auth", got.Auth}, {"feature_server", got.FeatureServer}, {"openlineage", got.OpenLineage},
		{"mlflow", got.MLflow},
	} {
		if want[s.key] == nil {
			equal(s.key+" is null", s.section.IsNull(), true)
			continue
		}
		m := want[s.key].(map[string]any)
		if _, ok := m["error_on_use"]; ok && elsewhere {
			continue
		}
		if typ, ok := m["type"]; ok {
			equal(s.key+".type", s.section.Type(), typ)
		}
		compareSection(t, s.key, s.section, m)
	}
}

// compareSection checks that every key the section holds is in Feast's answer with the same value.
func compareSection(t *testing.T, key string, s Section, want map[string]any) {
	t.Helper()
	if s.node.Kind != yamldoc.Map {
		return
	}
	var got map[string]any
	if err := s.Decode(&got); err != nil {
		t.Error(err)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if !contains(normal(want[k]), normal(got[k])) {
			t.Errorf("%s.%s is %#v, want %#v", key, k, got[k], want[k])
		}
	}
}

// contains reports whether want equals got, except for further keys in its maps, which are defaults.
func contains(want, got any) bool {
	switch g := got.(type) {
	case map[string]any:
		w, ok := want.(map[string]any)
		for k := range g {
			ok = ok && contains(w[k], g[k])
		}
		return ok
	case []any:
		w, ok := want.([]any)
		ok = ok && len(w) == len(g)
		for i := 0; ok && i < len(g); i++ {
			ok = contains(w[i], g[i])
		}
		return ok
	}
	return reflect.DeepEqual(want, got)
}

// normal is v as JSON has it, so that integers of all types compare.
func normal(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

func without(m any, key string) any {
	out := maps.Clone(m.(map[string]any))
	delete(out, key)
	return out
}

func only(m map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, k := range keys {
		out[k] = m[k]
	}
	return out
}
