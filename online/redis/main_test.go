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

// quiet takes what go-redis says of failed dials.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	// After as many failed dials as a pool has places, go-redis dials once a second until it gets through. It notices that
	// the client was closed with the next attempt.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// harness runs the suite with more keys in the section of the store.
func harness(keys map[string]any) onlinetest.Harness {
	return onlinetest.Harness{
		EqualSkipped: true,
		Open: func(t testing.TB, project string) online.Store {
			s, err := online.Open(t.Context(), section(t, keys), online.Env{Project: project, KeyVersion: 3})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
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
	{"Hash", map[string]any{"read_command": "hgetall"}},
}

func TestConformance(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { onlinetest.Run(t, harness(w.keys)) })
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
	s, err := open(section(t, keys), online.Env{KeyVersion: keyVersion})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.(*Store)
}
