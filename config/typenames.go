package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// typeTable holds the names under which one kind of store or engine is configured: Feast's short names, its class
// paths and those of plug-ins.
type typeTable struct {
	kind    string            // as messages name it
	prefix  string            // of the class paths of Feast
	suffix  string            // of every class, plug-ins included
	classes map[string]string // class name -> short name
	aliases map[string]string // further names -> short name
}

// The type names of Feast 0.67. Classes are looked up by their last part alone, since Feast moved several of them
// between modules and still accepts the old paths (feast.infra.online_stores.contrib...).
var (
	onlineTypes = typeTable{
		kind: "online store", prefix: "feast.infra.online_stores.", suffix: "OnlineStore",
		classes: map[string]string{
			"AerospikeOnlineStore":     "aerospike",
			"BigtableOnlineStore":      "bigtable",
			"CassandraOnlineStore":     "cassandra",
			"ChrononOnlineStore":       "chronon",
			"CouchbaseOnlineStore":     "couchbase.online",
			"DatastoreOnlineStore":     "datastore",
			"DynamoDBOnlineStore":      "dynamodb",
			"ElasticSearchOnlineStore": "elasticsearch",
			"HazelcastOnlineStore":     "hazelcast",
			"HbaseOnlineStore":         "hbase",
			"HybridOnlineStore":        "hybrid",
			"MilvusOnlineStore":        "milvus",
			"MongoDBOnlineStore":       "mongodb",
			"MySQLOnlineStore":         "mysql",
			"PostgreSQLOnlineStore":    "postgres",
			"QdrantOnlineStore":        "qdrant",
			"RedisOnlineStore":         "redis",
			"RemoteOnlineStore":        "remote",
			"ScyllaDBOnlineStore":      "scylladb",
			"SingleStoreOnlineStore":   "singlestore",
			"SnowflakeOnlineStore":     "snowflake.online",
			"SqliteOnlineStore":        "sqlite",
		},
		// Stores of this library that Feast does not have.
		aliases: map[string]string{"memory": "memory"},
	}
	offlineTypes = typeTable{
		kind: "offline store", prefix: "feast.infra.offline_stores.", suffix: "OfflineStore",
		classes: map[string]string{
			"AthenaOfflineStore":            "athena",
			"BigQueryOfflineStore":          "bigquery",
			"ChrononOfflineStore":           "chronon",
			"ClickhouseOfflineStore":        "clickhouse",
			"CouchbaseColumnarOfflineStore": "couchbase.offline",
			"DaskOfflineStore":              "dask",
			"DuckDBOfflineStore":            "duckdb",
			"HybridOfflineStore":            "hybrid",
			"MsSqlServerOfflineStore":       "mssql",
			"OracleOfflineStore":            "oracle",
			"PostgreSQLOfflineStore":        "postgres",
			"RayOfflineStore":               "ray",
			"RedshiftOfflineStore":          "redshift",
			"RemoteOfflineStore":            "remote",
			"SnowflakeOfflineStore":         "snowflake.offline",
			"SparkOfflineStore":             "spark",
			"TrinoOfflineStore":             "trino",
		},
		aliases: map[string]string{"file": "dask"},
	}
	engineTypes = typeTable{
		kind: "engine", prefix: "feast.infra.compute_engines.", suffix: "Engine",
		classes: map[string]string{
			"FlinkComputeEngine":            "flink.engine",
			"KubernetesComputeEngine":       "k8s",
			"LambdaComputeEngine":           "lambda",
			"LocalComputeEngine":            "local",
			"RayComputeEngine":              "ray.engine",
			"SnowflakeComputeEngine":        "snowflake.engine",
			"SparkApplicationComputeEngine": "spark_application",
			"SparkComputeEngine":            "spark.engine",
			"TrinoComputeEngine":            "trino.engine",
		},
		aliases: map[string]string{"trino": "trino.engine"},
	}
)

// CanonicalOnlineType is the short name of an online store's type: "redis" for redis and for
// feast.infra.online_stores.redis.RedisOnlineStore. A name that Feast does not know is returned as it is.
func CanonicalOnlineType(name string) string { return onlineTypes.canonical(name) }

// CanonicalOfflineType is [CanonicalOnlineType] for offline stores. The type "file" is "dask".
func CanonicalOfflineType(name string) string { return offlineTypes.canonical(name) }

// CanonicalEngineType is [CanonicalOnlineType] for materialization engines. The type "trino" is "trino.engine".
func CanonicalEngineType(name string) string { return engineTypes.canonical(name) }

func (t *typeTable) canonical(name string) string {
	if short, ok := t.aliases[name]; ok {
		return short
	}
	if path, ok := strings.CutPrefix(name, t.prefix); ok {
		if short, ok := t.classes[path[strings.LastIndexByte(path, '.')+1:]]; ok {
			return short
		}
	}
	return name
}

// known reports whether Feast accepts the name: a short name, or any class path with the right ending.
func (t *typeTable) known(name string) bool {
	return slices.Contains(t.names(), name) || strings.Contains(name, ".") && strings.HasSuffix(name, t.suffix)
}

// names are the short names, sorted.
func (t *typeTable) names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(t.aliases)), maps.Values(t.classes))
	slices.Sort(names)
	return names
}

// unknown is the message for a name that is not known.
func (t *typeTable) unknown(name string) string {
	return fmt.Sprintf("unknown %s type %q%s", t.kind, name, suggest(name, t.names(), t.suffix))
}
