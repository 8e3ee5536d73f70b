package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
)

func parse(t *testing.T, yaml string, env map[string]string) *RepoConfig {
	t.Helper()
	c, err := Parse([]byte(yaml), "f.yaml", "/repo", lookupIn(env))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func warnings(c *RepoConfig) []string {
	var out []string
	for _, w := range c.Warnings {
		out = append(out, w.String())
	}
	return out
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	const yaml = `project: my project
registry:
  registry_type: slq
  path: 5
  cache_ttl_seconds: "600"
  purge_feast_metadata: 1
online_store:
  type: reddis
offline_store: duckdbb
auth:
  type: ${AUTH}
entity_key_serialization_version: 1
coerce_tz_aware: maybe
materialization:
  online_write_batch_size: -5
embedding_model: {modle: x}
batch_engine: {type: bytewax}
`
	_, err := Parse([]byte(yaml), "repo/f.yaml", "", nil)
	want := strings.Join([]string{
		`repo/f.yaml:1: project: "my project" must consist of letters, digits and underscores`,
		`repo/f.yaml:4: registry.path: must be text, is an integer; put it in quotes`,
		`repo/f.yaml:5: registry.cache_ttl_seconds: must be a whole number of seconds, is text`,
		`repo/f.yaml:6: registry.purge_feast_metadata: must be true or false, is an integer`,
		`repo/f.yaml:8: online_store.type: unknown online store type "reddis"; did you mean "redis"?`,
		`repo/f.yaml:9: offline_store: unknown offline store type "duckdbb"; did you mean "duckdb"?`,
		`repo/f.yaml:11: auth.type: environment variable "AUTH" is not set`,
		`repo/f.yaml:12: entity_key_serialization_version: must be 3, or 2 for old stores, is 1`,
		`repo/f.yaml:13: coerce_tz_aware: must be true or false, is text`,
		`repo/f.yaml:15: materialization.online_write_batch_size: must be at least 1, is -5`,
		`repo/f.yaml:16: embedding_model.model: is required`,
		`repo/f.yaml:16: embedding_model.modle: is not a known key; did you mean "model"?`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Fatalf("got\n%v\nwant\n%s", err, want)
	}
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, feasterr.ErrInvalid) {
		t.Fatalf("%T", err)
	}
	expect(t, "file", e.File, "repo/f.yaml")
	expect(t, "a problem", e.Problems[4], Problem{8, "online_store.type", `unknown online store type "reddis"; did you mean "redis"?`})
}

func TestRegistryProblems(t *testing.T) {
	for _, c := range []struct{ registry, want string }{
		{"{registry_type: slq}", `registry.registry_type: unknown registry type "slq"; did you mean "sql"?`},
		{"{registry_type: feast.infra.registry.sql.SqlRegistry}", `registry.registry_type: unknown registry type ` +
			`"feast.infra.registry.sql.SqlRegistry"; did you mean "sql"?`},
		{"http://h/r.db", `registry: scheme "http" is not supported: give a path, a file://, s3://, gs:// or hdfs:// URI, or the ` +
			`store in registry_store_type`},
		{"{path: 'abfs://h/r.db'}", `registry.path: scheme "abfs" is not supported: give a path, a file://, s3://, gs:// or ` +
			`hdfs:// URI, or the store in registry_store_type`},
		{"{registry_store_type: S3Store, path: x}", `registry.registry_store_type: unknown registry store "S3Store"; known are ` +
			`AzBlobRegistryStore, AzureRegistryStore, FileRegistryStore, GCSRegistryStore, HDFSRegistryStore, S3RegistryStore ` +
			`and class paths that end in RegistryStore`},
		{"5", "registry: must be a path or a map, is an integer"},
		{"[a]", "registry: must be a path or a map, is a list"},
		{"$UNDEFINED", `registry: environment variable "UNDEFINED" is not set`},
		{"{path: '${UNDEFINED}'}", `registry.path: environment variable "UNDEFINED" is not set`},
		{"{path: '${U}/x', cache_mode: $UNDEFINED}", `registry.cache_mode: environment variable "UNDEFINED" is not set`},
	} {
		_, err := Parse([]byte("project: p\nregistry:\n  "+c.registry), "f.yaml", "", nil)
		if want := "f.yaml:3: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", c.registry, err, want)
		}
	}
}

func TestRegistryDriver(t *testing.T) {
	for _, c := range []struct {
		registry Registry
		want     string
	}{
		{Registry{Type: "file", Path: "data/r.db"}, "file"},
		{Registry{Type: "file"}, "file"},
		{Registry{Type: "file", Path: `C:\r.db`}, "file"},
		{Registry{Type: "file", Path: "C:/r.db"}, "file"},
		{Registry{Type: "file", Path: "c://r.db"}, "file"},
		{Registry{Type: "file", Path: "file:///r.db"}, "file"},
		{Registry{Type: "file", Path: "a b://r.db"}, "file"},
		{Registry{Type: "file", Path: "S3://b/k"}, "s3"},
		{Registry{Type: "file", Path: "gs://b/k"}, "gcs"},
		{Registry{Type: "file", Path: "hdfs://h/k"}, "hdfs"},
		{Registry{Type: "file", Path: "https://a/c/b", StoreType: "AzureRegistryStore"}, "azure"},
		{Registry{Type: "file", Path: "r.db", StoreType: "S3RegistryStore"}, "s3"},
		{Registry{Type: "file", Path: "r.db", StoreType: "feast.infra.registry.gcs.GCSRegistryStore"}, "gcs"},
		{Registry{Type: "file", StoreType: "feast.infra.registry.contrib.azure.azure_registry_store.AzBlobRegistryStore"}, "azure"},
		{Registry{Type: "file", Path: "r.db", StoreType: "acme.S3RegistryStore"}, "acme.S3RegistryStore"},
		{Registry{Type: "sql", Path: "postgresql://u@h/d"}, "sql"},
		{Registry{Type: "remote", Path: "h:6570"}, "remote"},
		{Registry{Type: "snowflake.registry"}, "snowflake.registry"},
		{Registry{Type: "memory"}, "memory"},
	} {
		if got, err := c.registry.Driver(); got != c.want || err != nil {
			t.Errorf("%+v: %q, %v, want %q", c.registry, got, err, c.want)
		}
	}
	_, err := Registry{Type: "nosuch"}.Driver()
	if !errors.Is(err, feasterr.ErrInvalid) || err.Error() !=
		`registry.registry_type: unknown registry type "nosuch"; known are file, memory, remote, snowflake.registry, sql` {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	repo := filepath.Join(dir, "feature_repo")
	if err := os.Mkdir(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(repo, FileName)

	_, err := Load(dir, nil)
	if !errors.Is(err, feasterr.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != fmt.Sprintf("no feature_store.yaml in directory %q: give the directory that holds it, or the file itself", dir) {
		t.Errorf("directory: %v", err)
	}
	if err := os.WriteFile(file, []byte("project: $P\nregistry: r.db\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Load(dir, nil)
	if !errors.Is(err, feasterr.ErrNotFound) || err.Error() != fmt.Sprintf("no feature_store.yaml in directory %q: did you mean %q?", dir, repo) {
		t.Errorf("directory above: %v", err)
	}
	nowhere := filepath.Join(dir, "nowhere.yaml")
	_, err = Load(nowhere, nil)
	if !errors.Is(err, feasterr.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != fmt.Sprintf("no feature store configuration at %q: there is no such file or directory", nowhere) {
		t.Errorf("missing file: %v", err)
	}

	env := lookupIn(map[string]string{"P": "shop"})
	for _, path := range []string{repo, file} {
		c, err := Load(path, env)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "project", c.Project, "shop")
		expect(t, "repo path", c.RepoPath, repo)
		expect(t, "file", c.File, file)
	}

	t.Chdir(dir)
	c, err := Load("feature_repo", env)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "file", c.File, filepath.Join("feature_repo", FileName))
	expect(t, "repo path is absolute", filepath.IsAbs(c.RepoPath), true)
	expect(t, "resolved", filepath.Base(filepath.Dir(c.ResolvePath(c.Registry.Path))), "feature_repo")

	inWorkDir := func(path string) {
		t.Helper()
		c, err := Load("", lookupIn(map[string]string{"P": "shop", "FEAST_FS_YAML_FILE_PATH": path}))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "file", c.File, filepath.Join("feature_repo", FileName))
	}
	inWorkDir("feature_repo")
	inWorkDir(filepath.Join("feature_repo", FileName))
	if _, err = Load("", nil); !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("working directory without a file: %v", err)
	}

	_, err = Load("feature_repo", nil)
	if err == nil || err.Error() != c.File+`:1: project: environment variable "P" is not set` {
		t.Errorf("%v", err)
	}
}

func TestResolvePath(t *testing.T) {
	c := &RepoConfig{RepoPath: filepath.FromSlash("/repo")}
	for path, want := range map[string]string{
		"data/r.db":                "/repo/data/r.db",
		"./r.db":                   "/repo/r.db",
		"../r.db":                  "/r.db",
		"":                         "/repo",
		"~/r.db":                   "/repo/~/r.db",
		"/abs//r.db":               "/abs/r.db",
		"file:///abs/r.db":         "/abs/r.db",
		"FILE:///abs/r.db":         "/abs/r.db",
		"file://localhost/abs/r":   "/abs/r",
		"file://data/r.db":         "/repo/data/r.db",
		"file:///a%20b/r.db":       "/a b/r.db",
		"file:///100%/r.db":        "/100%/r.db",
		"${UNSET}/r.db":            "/repo/${UNSET}/r.db",
		"a://b":                    "/repo/a:/b",
		"s3://bucket/key":          "s3://bucket/key",
		"postgresql+psycopg://u@h": "postgresql+psycopg://u@h",
	} {
		if got := c.ResolvePath(path); got != filepath.FromSlash(want) {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestDefault(t *testing.T) {
	want := parse(t, "project: p\nregistry: r.db\n", nil)
	got := Default("p")
	expect(t, "repo path", got.RepoPath, "")
	got.File, got.RepoPath, got.Extra = want.File, want.RepoPath, want.Extra
	got.Registry.Path, got.Registry.Section = "r.db", want.Registry.Section
	expect(t, "default", got, want)
	expect(t, "registry", defaultRegistry(), Registry{Type: "file", CacheTTL: 10 * time.Minute, CacheMode: "sync"})
}

func TestWarnings(t *testing.T) {
	c := parse(t, `# $COMMENT is none
project: p
registry: {path: r.db, path: s.db}
online_store: {type: redis, connection_string: "h:1,password=pa$word"}  # $COMMENT
offline_store: {type: "${OFFLINE}"}
batch_engine: {workers: 5}
provider: $PROVIDER
project_description: |
  a ${TEXT}
  of $SEVERAL lines
entity_key_serialization_version: 2
flags: {alpha_features: true}
online_stor: x
$KEY: ${A:-b}
secret: $WHOLE
acme: {api_key: a$b, path: a$b.db}
`, nil)
	expect(t, "warnings", warnings(c), []string{
		`line 3: registry.path: is given twice; this one counts`,
		`line 4: online_store.connection_string: holds a $ before a name that is not set in the environment; it stays as it is`,
		`line 5: offline_store.type: environment variable "OFFLINE" is not set and the text stays as it is`,
		`line 6: batch_engine.type: is missing, so no engine can be chosen`,
		`line 7: provider: environment variable "PROVIDER" is not set and the text stays as it is`,
		`line 9: project_description: environment variable "TEXT" is not set and the text stays as it is`,
		`line 10: project_description: environment variable "SEVERAL" is not set and the text stays as it is`,
		`line 11: entity_key_serialization_version: version 2 is deprecated; 3 is the current one`,
		`line 12: flags: is deprecated and has no effect`,
		`line 13: online_stor: is no key of Feast and has no effect here; did you mean "online_store" or "offline_store"?`,
		`line 14: $KEY: environment variable "KEY" is not set and the text stays as it is`,
		`line 14: $KEY: environment variable "A:-b" is not set and the text stays as it is: there is no syntax for default values`,
		`line 15: secret: environment variable "WHOLE" is not set and the text stays as it is`,
		`line 16: acme.api_key: holds a $ before a name that is not set in the environment; it stays as it is`,
		`line 16: acme.path: environment variable "b" is not set and the text stays as it is`,
	})
	expect(t, "offline store", c.OfflineStore.Type(), "${OFFLINE}")
	expect(t, "provider", c.Provider, "$PROVIDER")
	expect(t, "registry path", c.Registry.Path, "s.db")
	expect(t, "description", c.ProjectDescription, "a ${TEXT}\nof $SEVERAL lines\n")
}

func TestNoSecrets(t *testing.T) {
	const yaml = `project: p
registry: {registry_type: sql, path: "postgresql://u:hunter2@h/d"}
online_store: {type: postgres, host: h, password: hunter2, port: hunter2, sslmode: [hunter2]}
offline_store: {type: trino, auth: hunter2}
`
	c := parse(t, yaml, nil)
	var o struct {
		Password int            `yaml:"password"`
		Port     int            `yaml:"port" min:"1"`
		SSLMode  string         `yaml:"sslmode" enum:"require|disable"`
		Host     map[string]any `yaml:"host"`
	}
	err := c.OnlineStore.Decode(&o)
	if err == nil {
		t.Fatal("decodes")
	}
	expect(t, "String", c.String(), `project "p" (registry "sql", online store "postgres", offline store "trino")`)
	for _, text := range []string{err.Error(), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%v", c.Registry), c.Registry.Section.String(),
		fmt.Sprintf("%+v", c.OnlineStore), fmt.Sprint(c.OnlineStore.Invalid("password", "does not work"))} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("shows a password: %s", text)
		}
	}
}

// TestNoSecretsInSyntaxErrors inserts passwords that YAML takes for something else.
func TestNoSecretsInSyntaxErrors(t *testing.T) {
	for _, password := range []string{"*hunter2", "!hunter2 x", "!hunter2 {}", "&hunter2 {a: *hunter2}", "@hunter2", "hunter2: x",
		"'hunter2", "%hunter2", "{hunter2", "\x01hunter2", "!!int hunter2"} {
		_, err := Parse([]byte("project: p\nregistry: r\nonline_store:\n  type: redis\n  password: $PW\n"), "f.yaml", "",
			lookupIn(map[string]string{"PW": password}))
		if err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "f.yaml:5: ")) {
			t.Errorf("%s: %v", password, err)
		}
	}
}

// TestOptionalParts reads the keys that are absent by default and have defaults when they are there.
func TestOptionalParts(t *testing.T) {
	c := parse(t, "project: p\nregistry: r\nembedding_model: {model: m}\ndata_quality_monitoring: {}\nmaterialization: {bogus: 1}\n", nil)
	expect(t, "embedding model", c.EmbeddingModel, &EmbeddingModel{"sentence_transformers", "m"})
	expect(t, "data quality", c.DataQualityMonitoring, &DataQualityMonitoring{AutoBaseline: true})
	c = parse(t, "project: p\nregistry: r\nembedding_model: null\ndata_quality_monitoring: null\n"+
		"materialization: {online_write_batch_size: 10, pull_latest_features: true}\nproject_description: d\ncoerce_tz_aware: null\n", nil)
	expect(t, "embedding model", c.EmbeddingModel, nil)
	expect(t, "data quality", c.DataQualityMonitoring, nil)
	expect(t, "materialization", c.Materialization, Materialization{PullLatestFeatures: true, OnlineWriteBatchSize: 10})
	expect(t, "description", c.ProjectDescription, "d")
	expect(t, "coerce_tz_aware", c.CoerceTZAware, false)
	_, err := Parse([]byte("project: p\nregistry: r\ndata_quality_monitoring: {bogus: 1}\nmaterialization: null\n"), "", "", nil)
	want := "line 3: data_quality_monitoring.bogus: is not a known key; known are auto_baseline\nline 4: materialization: must be a map, is null"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestCanonicalTypes(t *testing.T) {
	for name, want := range map[string]string{
		"redis": "redis",
		"feast.infra.online_stores.redis.RedisOnlineStore":                                    "redis",
		"feast.infra.online_stores.sqlite.SqliteOnlineStore":                                  "sqlite",
		"feast.infra.online_stores.postgres_online_store.postgres.PostgreSQLOnlineStore":      "postgres",
		"feast.infra.online_stores.contrib.postgres.PostgreSQLOnlineStore":                    "postgres",
		"feast.infra.online_stores.contrib.mysql_online_store.mysql.MySQLOnlineStore":         "mysql",
		"feast.infra.online_stores.snowflake.SnowflakeOnlineStore":                            "snowflake.online",
		"feast.infra.online_stores.hybrid_online_store.hybrid_online_store.HybridOnlineStore": "hybrid",
		"feast.infra.online_stores.contrib.elasticsearch.ElasticSearchOnlineStore":            "elasticsearch",
		"feast.infra.online_stores.faiss_online_store.FaissOnlineStore":                       "feast.infra.online_stores.faiss_online_store.FaissOnlineStore",
		"acme.RedisOnlineStore": "acme.RedisOnlineStore",
		"memory":                "memory",
		"nosuch":                "nosuch",
	} {
		if got := CanonicalOnlineType(name); got != want {
			t.Errorf("online %q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"file": "dask", "dask": "dask",
		"feast.infra.offline_stores.dask.DaskOfflineStore":                                     "dask",
		"feast.infra.offline_stores.contrib.spark_offline_store.spark.SparkOfflineStore":       "spark",
		"feast.infra.offline_stores.contrib.mssql_offline_store.mssql.MsSqlServerOfflineStore": "mssql",
	} {
		if got := CanonicalOfflineType(name); got != want {
			t.Errorf("offline %q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"trino": "trino.engine", "local": "local", "k8s": "k8s",
		"feast.infra.compute_engines.aws_lambda.lambda_engine.LambdaComputeEngine": "lambda",
	} {
		if got := CanonicalEngineType(name); got != want {
			t.Errorf("engine %q: %q, want %q", name, got, want)
		}
	}
}

// TestTypeNames holds the short names of spec/registry.md 9.3.
func TestTypeNames(t *testing.T) {
	load := func(key, typ string) (*RepoConfig, error) {
		return Parse([]byte("project: p\nregistry: r.db\n"+key+": {type: "+typ+"}\n"), "", "", nil)
	}
	for key, names := range map[string]string{
		"online_store": "aerospike sqlite datastore redis dynamodb snowflake.online bigtable postgres hbase cassandra scylladb " +
			"mysql hazelcast elasticsearch remote singlestore qdrant couchbase.online milvus mongodb hybrid chronon " +
			"feast.infra.online_stores.faiss_online_store.FaissOnlineStore acme.AcmeOnlineStore memory",
		"offline_store": "file dask bigquery redshift snowflake.offline spark trino postgres athena mssql duckdb remote " +
			"couchbase.offline clickhouse ray oracle chronon hybrid acme.AcmeOfflineStore",
		"batch_engine": "local snowflake.engine lambda k8s spark.engine ray.engine flink.engine spark_application trino.engine " +
			"trino acme.AcmeEngine",
	} {
		for name := range strings.FieldsSeq(names) {
			c, err := load(key, name)
			if err != nil || len(c.Warnings) > 0 {
				t.Errorf("%s %s: %v, %v", key, name, err, c)
			}
		}
	}
	for _, name := range []string{"RedisOnlineStore", "acme.Redis", "Redis", `""`} {
		if _, err := load("online_store", name); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("online store %s: %v", name, err)
		}
	}
	c, err := load("batch_engine", "bytewax")
	if err != nil || len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0].String(), `line 3: batch_engine.type: unknown engine type "bytewax"; `) {
		t.Errorf("%v, %v", err, c.Warnings)
	}
}
