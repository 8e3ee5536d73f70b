package redis

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
)

func TestMain(m *testing.M) {
	// After as many failed dials as a pool has places, go-redis dials once a second until it gets through. It notices that
	// the client was closed with the next attempt.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// harnessOf is the harness for an online_store section.
func harnessOf(section func(t testing.TB) config.Section) onlinetest.Harness {
	return onlinetest.Harness{
		EqualSkipped: true,
		Open: func(t testing.TB, project string) online.Store {
			s, err := online.Open(t.Context(), section(t), online.Env{Project: project, KeyVersion: 3})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// harness is the harness for the test server, with more keys in the section.
func harness(keys map[string]any) onlinetest.Harness {
	return harnessOf(func(t testing.TB) config.Section { return section(t, keys) })
}

// ways are the ways to read.
var ways = []struct {
	name string
	keys map[string]any
}{
	{"Auto", nil},
	{"Client", map[string]any{"direct_reads": false}},
	{"ClientHash", map[string]any{"direct_reads": false, "read_command": "hgetall"}},
	{"Fields", map[string]any{"read_command": "hmget"}},
	{"Shared", map[string]any{"shared_connections": 1}},
	{"Hash", map[string]any{"read_command": "hgetall"}},
}

// topologies are sections for all kinds of servers.
var topologies = map[string]func(t testing.TB) config.Section{
	"Cluster":         func(t testing.TB) config.Section { return clusterSection(t, "") },
	"ClusterReplicas": func(t testing.TB) config.Section { return clusterSection(t, ",read_from_replicas=true") },
	"ClusterClient":   func(t testing.TB) config.Section { return clusterSection(t, "", "direct_reads") },
	"Sentinel":        func(t testing.TB) config.Section { return sentinelSection(t, "") },
	"TLS":             func(t testing.TB) config.Section { return tlsSection(t, false) },
	"MutualTLS":       func(t testing.TB) config.Section { return tlsSection(t, true) },
}

// clusterSection is a section with some keys that are false.
func clusterSection(t testing.TB, params string, off ...string) config.Section {
	keys := clusterKeys(t, params)
	for _, k := range off {
		keys[k] = false
	}
	return config.NewSection("redis", keys)
}

func clusterKeys(t testing.TB, params string) map[string]any {
	return map[string]any{"redis_type": cluster, "connection_string": testserver.RedisCluster(t) + params}
}

func sentinelSection(t testing.TB, params string) config.Section {
	return config.NewSection("redis", map[string]any{
		"redis_type": sentinel, "connection_string": testserver.RedisSentinel(t) + params,
	})
}

func tlsSection(t testing.TB, mutual bool) config.Section {
	return config.NewSection("redis", tlsKeys(t, mutual))
}

func tlsKeys(t testing.TB, mutual bool) map[string]any {
	port, certs := testserver.RedisTLS(t, mutual)
	dir := t.TempDir()
	if err := certs.Write(dir); err != nil {
		t.Fatal(err)
	}
	text := "localhost:" + port + ",ssl=true,ssl_ca_certs=" + dir + "/server.crt"
	if mutual {
		text += ",ssl_certfile=" + dir + "/client.pem"
	}
	return map[string]any{"connection_string": text}
}

func TestConformance(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { onlinetest.Run(t, harness(w.keys)) })
	}
	for name, section := range topologies {
		t.Run(name, func(t *testing.T) { onlinetest.Run(t, harnessOf(section)) })
	}
}

func BenchmarkRead(b *testing.B) { onlinetest.Bench(b, harness(nil)) }

// section is an online_store section for the test server. A connection_string may follow it: ",db=1".
func section(t testing.TB, keys map[string]any) config.Section {
	all := map[string]any{"connection_string": testserver.Redis(t)}
	for k, v := range keys {
		if text, ok := v.(string); ok && k == "connection_string" && strings.HasPrefix(text, ",") {
			v = testserver.Redis(t) + text
		}
		all[k] = v
	}
	return config.NewSection("redis", all)
}

// openStore opens a store that the test closes.
func openStore(t testing.TB, keyVersion int, keys map[string]any) *Store {
	t.Helper()
	return openSection(t, section(t, keys), keyVersion)
}

// openSection opens the store of a section, which the test closes.
func openSection(t testing.TB, cfg config.Section, keyVersion int) *Store {
	t.Helper()
	s, err := open(cfg, online.Env{KeyVersion: keyVersion})
	if err != nil {
		t.Fatal(err)
	}
	return closeAfter(t, s.(*Store))
}

// newStore returns the store of a client, both of which the test closes.
func newStore(t testing.TB, client redis.UniversalClient, opts Options) *Store {
	t.Helper()
	s, err := New(client, opts)
	if err != nil {
		t.Fatal(err)
	}
	s.owned = true
	return closeAfter(t, s)
}

// closeAfter has the test close a store.
func closeAfter(t testing.TB, s *Store) *Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// addUser adds a user of the test server who may access all keys, with more rules, and returns what changes the rules. The
// user is removed after the test.
func addUser(t testing.TB, admin *Store, name, rules string) (change func(rules string)) {
	t.Helper()
	acl := func(args ...any) {
		t.Helper()
		if err := admin.client.Do(context.WithoutCancel(t.Context()), append([]any{"acl"}, args...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	change = func(rules string) {
		t.Helper()
		args := []any{"setuser", name}
		for rule := range strings.FieldsSeq(rules) {
			args = append(args, rule)
		}
		acl(args...)
	}
	change("on ~* " + rules)
	t.Cleanup(func() { acl("deluser", name) })
	return change
}
