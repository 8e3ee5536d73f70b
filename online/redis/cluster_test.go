package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// clusterOf is a store whose client takes servers for the masters of a cluster, with a part of the slots each.
func clusterOf(t *testing.T, opts Options, servers ...*server) *Store {
	t.Helper()
	slots := func(context.Context) ([]redis.ClusterSlot, error) {
		var out []redis.ClusterSlot
		for i, s := range servers {
			out = append(out, redis.ClusterSlot{
				Start: i * 16384 / len(servers), End: (i+1)*16384/len(servers) - 1, Nodes: []redis.ClusterNode{{Addr: s.addr}},
			})
		}
		return out, nil
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{
		ClusterSlots: slots, MaxRetries: 1, DialerRetries: 1, ReadTimeout: time.Second, ContextTimeoutEnabled: true,
	})
	return newStore(t, client, opts)
}

// TestShares reads from the masters of a cluster, from each what is its own.
func TestShares(t *testing.T) {
	var servers []*server
	for range 3 {
		servers = append(servers, startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) }))
	}
	s := clusterOf(t, Options{ReadCommand: ReadFields}, servers...)
	r, plan := prepare(t, s)
	for _, n := range []int{1, 300} {
		for range 2 {
			if err := readAll(t.Context(), t, r, plan, n); err != nil {
				t.Error(err)
			}
		}
		total := 0
		for i, server := range servers {
			seen := server.commands()
			asked := strings.Count(seen, "hmget")
			if total += asked; n == 300 && asked < 100 || strings.Contains(seen, "1 ") {
				t.Errorf("server %d: %s", i, seen)
			}
		}
		if total != 2*n {
			t.Errorf("%d commands for 2 x %d entities", total, n)
		}
	}
	if n := len(s.direct.pools); n != 3 {
		t.Errorf("%d pools", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, server := range servers {
		server.waitGone(0)
	}
}

// TestRedirects follows what a server of the cluster says of slots that it has no more.
func TestRedirects(t *testing.T) {
	other := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	for _, kind := range []string{"MOVED", "ASK"} {
		first := startServer(t, func(_ int, cmd []string) string {
			if strings.HasPrefix(cmd[1], "k1") {
				return fmt.Sprintf("-%s 1 %s\r\n", kind, other.addr)
			}
			return answerOf(cmd)
		})
		s := clusterOf(t, Options{}, first)
		r, plan := prepare(t, s)
		if err := readAll(t.Context(), t, r, plan, 30); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if seen := other.commands(); strings.Count(seen, "hmget") != 11 { // k1 and k10 to k19
			t.Errorf("%s: commands %s", kind, seen)
		}
	}
}

// TestShareFails is an error where one server of several does not answer.
func TestShareFails(t *testing.T) {
	good := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	bad := startServer(t, func(int, []string) string { return hangup })
	s := clusterOf(t, Options{}, good, bad)
	r, plan := prepare(t, s)
	if err := readAll(t.Context(), t, r, plan, 30); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := readAll(ctx, t, r, plan, 30); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestFormerMaster ends the connections to a server that is no master any more, though go-redis still knows it.
func TestFormerMaster(t *testing.T) {
	first := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	second := startServer(t, func(_ int, cmd []string) string { return answerOf(cmd) })
	store := clusterOf(t, Options{}, first, second)
	r, plan := prepare(t, store)
	if err := readAll(t.Context(), t, r, plan, 30); err != nil {
		t.Error(err)
	}
	clients := slices.Collect(maps.Keys(store.direct.pools))
	if len(clients) != 2 {
		t.Fatalf("%d pools", len(clients))
	}
	at := map[string]*server{first.addr: first, second.addr: second}
	stays, goes := clients[0], clients[1]
	began := store.direct.pools[goes].asked
	pool := store.direct.pools[stays]
	for _, after := range []time.Duration{unusedFor - 1, 2*unusedFor - 2} {
		if p := store.direct.poolOf(stays, began.Add(after)); p != pool || len(p.idle) != 1 {
			t.Errorf("after %v: another pool, or %d connections", after, len(p.idle))
		}
		if got, want := store.direct.pools[goes] != nil, after < unusedFor; got != want {
			t.Errorf("after %v: there is the pool of the other: %t, want %t", after, got, want)
		}
	}
	at["127.0.0.1"+goes.Options().Addr].waitGone(0)              // go-redis leaves out the loopback host
	if err := readAll(t.Context(), t, r, plan, 30); err != nil { // it is a master again
		t.Error(err)
	}
	if len(store.direct.pools) != 2 {
		t.Errorf("%d pools", len(store.direct.pools))
	}
}

// TestDeadMaster finds the server that has taken the place of a master by the call that meets the loss.
func TestDeadMaster(t *testing.T) {
	for name, opts := range map[string]Options{"direct": {}, "shared": {SharedConns: 1}, "client": {NoDirectReads: true}} {
		t.Run(name, func(t *testing.T) {
			master, other := testserver.NewRedis(t), testserver.NewRedis(t)
			table := hashTable()
			plan := online.NewReadPlan([]*online.Table{table})
			var s *Store
			key, value := []byte("k"), int64(0)
			batch := func(overwrite bool) *online.WriteBatch {
				value++
				b := onlinetest.Batch(table, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: value}, Values: []any{value, "x"}})
				b.Overwrite = overwrite
				return b
			}
			store := func(overwrite bool) error {
				res, err := s.Write(t.Context(), batch(overwrite))
				if err == nil && res != (online.WriteResult{Written: 1}) {
					err = fmt.Errorf("%+v", res)
				}
				return err
			}
			read := func() error {
				r, err := s.Prepare(plan)
				if err != nil {
					return err
				}
				dst := online.NewResult(plan, 1)
				if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(key)), dst); err != nil {
					return err
				}
				if got := dst.Column(plan.Tables()[0], 0).Any(0); got != value {
					return fmt.Errorf("read %v, want %d", got, value)
				}
				return nil
			}
			for _, call := range []struct {
				name string
				do   func() error
			}{
				{"read", read},
				{"write", func() error { return store(false) }},
				{"overwrite", func() error { return store(true) }},
				{"delete", func() error { return s.Delete(t.Context(), table, [][]byte{key}) }},
			} {
				var addr atomic.Pointer[string]
				addr.Store(&master.Addr)
				var err error
				s, err = New(redis.NewClusterClient(&redis.ClusterOptions{
					ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
						return []redis.ClusterSlot{{End: 16383, Nodes: []redis.ClusterNode{{Addr: *addr.Load()}}}}, nil
					},
					DialerRetries: 1, ContextTimeoutEnabled: true,
				}), opts) // one that has not asked just before
				if err != nil {
					t.Fatal(err)
				}
				s.owned = true
				if err := errors.Join(store(true), read()); err != nil {
					t.Fatalf("%s, before: %v", call.name, err)
				}
				replica, err := New(redis.NewClient(&redis.Options{Addr: other.Addr}), Options{})
				if err != nil {
					t.Fatal(err)
				}
				value--
				if _, err := replica.Write(t.Context(), batch(true)); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(replica.Close(), replica.client.Close()); err != nil {
					t.Error(err)
				}
				master.Kill()
				addr.Store(&other.Addr)
				if err := call.do(); err != nil {
					t.Errorf("%s: %v", call.name, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				master.Start()
				master, other = other, master
			}
		})
	}
}

// TestReplicas leaves reads from replicas to go-redis.
func TestReplicas(t *testing.T) {
	for _, o := range []redis.ClusterOptions{{ReadOnly: true}, {RouteByLatency: true}, {RouteRandomly: true}} {
		o.Addrs = []string{"127.0.0.1:1"}
		client := redis.NewClusterClient(&o)
		if newDirect(client, 0) != nil {
			t.Errorf("%+v has connections of its own", o)
		}
		_ = client.Close()
	}
}

// idle is the idle connections of a store's own.
func idle(s *Store) map[*conn]bool {
	out := map[*conn]bool{}
	if s.direct == nil {
		return out
	}
	for _, p := range append(slices.Collect(maps.Values(s.direct.pools)), s.direct.one) {
		if p != nil {
			for _, c := range p.idle {
				out[c] = true
			}
		}
	}
	return out
}

// TestOwnConnections reads from a real cluster, a master that a sentinel names, and a server that speaks TLS and wants a
// certificate: over connections of the store's own, which there are none of with a sentinel, and through go-redis.
func TestOwnConnections(t *testing.T) {
	port, certs := testserver.RedisTLS(t, true)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(certs.Server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	opt := &redis.Options{Addr: "localhost:" + port, TLSConfig: &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{certs.Client}, MinVersion: tls.VersionTLS12,
	}}
	for name, client := range map[string]redis.UniversalClient{
		"cluster": redis.NewClusterClient(&redis.ClusterOptions{Addrs: strings.Split(testserver.RedisCluster(t), ",")}),
		"sentinel": redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: testserver.RedisMaster, SentinelAddrs: []string{testserver.RedisSentinel(t)},
		}),
		"TLS": redis.NewClient(opt),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, client, Options{})
			table := hashTable()
			table.Project = fmt.Sprintf("servers_%x", time.Now().UnixNano())
			var rows []onlinetest.Row
			var keys [][]byte
			for i := range 100 {
				key := onlinetest.Key("k", int64(i))
				keys = append(keys, key)
				if i%3 > 0 {
					rows = append(rows, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 100}, Values: []any{int64(i), "x"}})
				}
			}
			write(t, s, table, online.WriteResult{Written: len(rows)}, rows...)
			defer func() {
				if err := s.Delete(context.WithoutCancel(t.Context()), table, keys); err != nil {
					t.Error(err)
				}
			}()
			plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
			own := onlinetest.Read(t, s, plan, len(keys), online.NewKeys(onlinetest.KeysOf(keys...)))
			for i := range keys {
				if found := own.Found(plan.Tables()[0], i); found != (i%3 > 0) {
					t.Errorf("entity %d: found %t", i, found)
				} else if got := own.Column(plan.Tables()[0], 0).Any(i); found && got != int64(i) {
					t.Errorf("entity %d: %v", i, got)
				}
			}
			// They are used again.
			used := idle(s)
			onlinetest.Read(t, s, plan, len(keys), online.NewKeys(onlinetest.KeysOf(keys...)))
			if now := idle(s); !maps.Equal(now, used) || len(now) != map[string]int{"cluster": 3, "sentinel": 0, "TLS": 1}[name] {
				t.Errorf("connections %v, then %v", used, now)
			}
			through, err := New(client, Options{NoDirectReads: true})
			if err != nil {
				t.Fatal(err)
			}
			other := onlinetest.Read(t, through, plan, len(keys), online.NewKeys(onlinetest.KeysOf(keys...)))
			if diff := onlinetest.Diff(plan, own, other); diff != "" {
				t.Errorf("through go-redis:\n%s", diff)
			}
			if err := through.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
