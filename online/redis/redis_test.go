package redis

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestGoldenConfig opens the online stores of configurations that Feast refuses.
func TestGoldenConfig(t *testing.T) {
	var golden struct {
		Cases []struct{ ID, YAML string }
	}
	readJSON(t, "cases.json", &golden)
	want := map[string]string{
		"online_unknown_key": "feature_store.yaml:5: online_store.bogus: is not a known key; known are redis_type, client, " +
			"sentinel_master, connection_string, key_ttl_seconds, full_scan_for_deletion, skip_dedup, " +
			"read_command, direct_reads, shared_connections",
		"online_redis_bad_enum": `feature_store.yaml:5: online_store.redis_type: must be "redis", "redis_cluster" or ` +
			`"redis_sentinel", is "weird"`,
	}
	for _, c := range golden.Cases {
		cfg, err := config.Parse([]byte(c.YAML), "feature_store.yaml", ".", nil)
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		_, err = online.Open(t.Context(), cfg.OnlineStore, online.Env{KeyVersion: 3})
		if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want[c.ID] {
			t.Errorf("%s: error %v, want %s", c.ID, err, want[c.ID])
		}
	}
	if len(golden.Cases) != len(want) {
		t.Errorf("%d cases, want %d", len(golden.Cases), len(want))
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		keys map[string]any
		opts Options
		err  error
		text string
	}{
		{opts: Options{KeyVersion: 3, ReadCommand: ReadAuto}},
		{
			keys: map[string]any{
				"redis_type": "redis", "client": "glide", "sentinel_master": "m", "connection_string": "h:1",
				"key_ttl_seconds": 60, "full_scan_for_deletion": false, "skip_dedup": true,
				"read_command": "hgetall", "direct_reads": false, "shared_connections": 3,
			},
			opts: Options{KeyVersion: 3, KeyTTL: time.Minute, SkipDedup: true, KeepDropped: true, ReadCommand: ReadHash, NoDirectReads: true, SharedConns: 3},
		},
		{keys: map[string]any{"key_ttl_seconds": nil}, opts: Options{KeyVersion: 3, ReadCommand: ReadAuto}},
		{keys: map[string]any{"key_ttl_seconds": 0}, opts: Options{KeyVersion: 3, ReadCommand: ReadAuto}},
		{
			keys: map[string]any{"key_ttl_seconds": int64(1) << 60},
			opts: Options{KeyVersion: 3, KeyTTL: 9223372036 * time.Second, ReadCommand: ReadAuto},
		},
		{keys: map[string]any{"key_ttl_seconds": -1}, err: feasterr.ErrInvalid, text: "redis.key_ttl_seconds: must be at least 0, is -1"},
		{keys: map[string]any{"redis_type": "redis_cluster", "connection_string": "h:1,i:2"}, opts: Options{KeyVersion: 3, ReadCommand: ReadAuto}},
		{keys: map[string]any{"redis_type": "redis_sentinel", "sentinel_master": "m"}, opts: Options{KeyVersion: 3, ReadCommand: ReadAuto}},
		{
			keys: map[string]any{"connection_string": "h:1,password=secret,sll=true"}, err: feasterr.ErrInvalid,
			text: `redis.connection_string: parameter "sll" is not known; did you mean ssl?`,
		},
	} {
		s, err := open(config.NewSection("redis", c.keys), online.Env{KeyVersion: 3})
		if err != nil || c.err != nil {
			if !errors.Is(err, c.err) || err.Error() != c.text {
				t.Errorf("%v: error %v, want %s", c.keys, err, c.text)
			}
			continue
		}
		if got := s.(*Store).opts; !reflect.DeepEqual(got, c.opts) {
			t.Errorf("%v: %+v, want %+v", c.keys, got, c.opts)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"redis", "feast.infra.online_stores.redis.RedisOnlineStore"} {
		if err := online.Linked(name); err != nil {
			t.Error(err)
		}
	}
}

func TestNew(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	defer func() { _ = client.Close() }()
	s, err := New(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (online.Info{Name: "redis", Versioned: true, RowTimes: true}); s.Info() != want {
		t.Errorf("Info: %+v, want %+v", s.Info(), want)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Ping(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
		t.Errorf("Ping of a closed store: %v", err)
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the client after Close of the store: %v", err)
	}

	readOnly := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ReadOnly: true})
	defer func() { _ = readOnly.Close() }()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}, HeartbeatFrequency: time.Hour})
	defer func() { _ = ring.Close() }()
	const noRing = "redis: a *redis.Ring is not supported: keys would move unseen when it changes; a *redis.ClusterClient is"
	for _, c := range []struct {
		client redis.UniversalClient
		opts   Options
		err    error
		text   string
	}{
		{ring, Options{}, feasterr.ErrUnsupported, noRing},
		{client, Options{Reads: ring}, feasterr.ErrUnsupported, noRing},
		{
			readOnly, Options{}, feasterr.ErrInvalid,
			"redis: the client reads from replicas: pass it as Options.Reads, beside one that does not",
		},
		{client, Options{KeyVersion: 1}, feasterr.ErrInvalid, "redis: KeyVersion must be 2 or 3, is 1"},
		{client, Options{KeyTTL: time.Millisecond}, feasterr.ErrInvalid, "redis: KeyTTL must be whole seconds, is 1ms"},
		{client, Options{ReadCommand: "mget"}, feasterr.ErrInvalid, `redis: ReadCommand must be auto, hmget or hgetall, is "mget"`},
		{client, Options{KeyTTL: -time.Second}, feasterr.ErrInvalid, "redis: KeyTTL must be whole seconds, is -1s"},
	} {
		if _, err := New(c.client, c.opts); !errors.Is(err, c.err) || err.Error() != c.text {
			t.Errorf("error %v, want %s", err, c.text)
		}
	}
}

// drivers is a table of this test with a row of driver 1, whose key is the result.
func drivers(t testing.TB, s *Store) (table *online.Table, key []byte) {
	t.Helper()
	table = &online.Table{
		Project: "redis_test", View: "drivers", JoinKeys: []string{"driver_id"},
		Features: []types.Field{{Name: "a", Type: types.Int64}, {Name: "b", Type: types.String}},
	}
	key = onlinetest.Key("driver_id", int64(1))
	t.Cleanup(func() {
		if err := s.client.Del(context.WithoutCancel(t.Context()), string(key)+table.Project).Err(); err != nil {
			t.Error(err)
		}
	})
	write(t, s, table, online.WriteResult{Written: 1}, onlinetest.Row{
		Key: key, Event: types.Timestamp{Seconds: 100}, Values: []any{int64(1), "x"},
	})
	return table, key
}

// write writes rows and checks the counts.
func write(t testing.TB, s *Store, table *online.Table, want online.WriteResult, rows ...onlinetest.Row) {
	t.Helper()
	if got, err := s.Write(t.Context(), onlinetest.Batch(table, rows...)); err != nil || got != want {
		t.Errorf("Write: %+v, %v, want %+v", got, err, want)
	}
}

// read reads one key. The error may be that of the table.
func read(ctx context.Context, t testing.TB, s *Store, table *online.Table, key []byte) error {
	t.Helper()
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	dst := online.NewResult(plan, 1)
	if err := r.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), dst); err != nil {
		return err
	}
	return dst.Err(plan.Tables()[0])
}

// TestForeignData reads and writes where another program stored something.
func TestForeignData(t *testing.T) {
	s := openStore(t, 3, nil)
	table, key := drivers(t, s)
	redisKey := string(key) + table.Project
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 200}, Values: []any{int64(2), "y"}}
	set := func(field, value string) func() error {
		return func() error { return s.client.HSet(t.Context(), redisKey, field, value).Err() }
	}
	for _, c := range []struct {
		name        string
		do          func() error
		read, write string
	}{
		{
			"value", set(featureField("drivers", "a"), "\x20"),
			"redis: read drivers: feature a of feature view drivers, row 0: ", "",
		},
		{
			"event time", set("_ts:drivers", "\x08"),
			"redis: read drivers: row 0: event time: ",
			"redis: write drivers: row 0: stored event time, which Overwrite ignores: ",
		},
		{
			"no hash", func() error {
				return errors.Join(s.client.Del(t.Context(), redisKey).Err(), s.client.Set(t.Context(), redisKey, "x", 0).Err())
			},
			"redis: read drivers: row 0: the key of the entity does not hold a hash",
			"redis: write drivers: row 0: the key of the entity does not hold a hash",
		},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		for _, op := range []string{"read", "write"} { // a write may mend what the read is to find
			var err error
			want := c.write
			if op == "read" {
				want = c.read
				err = read(t.Context(), t, s, table, key)
			} else {
				_, err = s.Write(t.Context(), onlinetest.Batch(table, row))
			}
			var store *feasterr.StoreError
			switch {
			case want == "" && err != nil:
				t.Errorf("%s of %s: %v", op, c.name, err)
			case want == "":
			case !errors.Is(err, feasterr.ErrInvalid) || !errors.As(err, &store) || !strings.HasPrefix(err.Error(), want):
				t.Errorf("%s of %s: error %v, want %s", op, c.name, err, want)
			}
		}
		overwrite := onlinetest.Batch(table, row)
		overwrite.Overwrite = true
		_, err := s.Write(t.Context(), overwrite)
		if noHash := c.name == "no hash"; (err != nil) != noHash {
			t.Errorf("Overwrite of %s: %v", c.name, err)
		}
	}
	// Deleting leaves alone what is no hash.
	if err := s.Delete(t.Context(), table, [][]byte{key}); err != nil {
		t.Error(err)
	}
	if err := s.Teardown(t.Context(), []*online.Table{table}); err != nil {
		t.Error(err)
	}
	if v, err := s.client.Get(t.Context(), redisKey).Result(); v != "x" {
		t.Errorf("after Delete and Teardown: %q, %v", v, err)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, 3, map[string]any{"connection_string": addr + ",password=secret,socket_timeout=1"})
	table := &online.Table{Project: "p", View: "v", JoinKeys: []string{"k"}}
	for op, err := range map[string]error{
		"Ping":     s.Ping(t.Context()),
		"Read":     read(t.Context(), t, s, table, []byte("k")),
		"Delete":   s.Delete(t.Context(), table, [][]byte{{'k'}}),
		"Teardown": s.Teardown(t.Context(), []*online.Table{table}),
	} {
		if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestSilentServer gives up while the server does not answer.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 100)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	defer func() {
		_ = l.Close()
		<-listening
		close(accepted)
		for conn := range accepted {
			_ = conn.Close()
		}
	}()
	table := &online.Table{Project: "p", View: "v", JoinKeys: []string{"k"}}

	// No limits but those of the contexts: Close has to end what is left.
	s := openStore(t, 3, map[string]any{"connection_string": l.Addr().String() + ",socket_timeout=null"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		accepted <- <-accepted // the read waits for an answer from here on
		cancel()
	}()
	if err := read(ctx, t, s, table, []byte("k")); !errors.Is(err, context.Canceled) || feasterr.Retryable(err) {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := read(ctx, t, s, table, []byte("k")); !errors.Is(err, context.DeadlineExceeded) || feasterr.Retryable(err) {
		t.Errorf("deadline: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	// The limit of the connection is not the caller's.
	s = openStore(t, 3, map[string]any{"connection_string": l.Addr().String() + ",socket_timeout=0.01"})
	if err := read(t.Context(), t, s, table, []byte("k")); !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) {
		t.Errorf("socket_timeout: %v", err)
	}
}

func TestAccess(t *testing.T) {
	admin := openStore(t, 3, nil)
	addUser(t, admin, "feast_reader", ">secret +hmget +ping")
	table, key := drivers(t, admin)

	s := openStore(t, 3, map[string]any{"connection_string": ",username=feast_reader,password=secret"})
	if err := read(t.Context(), t, s, table, key); err != nil {
		t.Errorf("allowed: %v", err)
	}
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 200}, Values: []any{int64(2), "y"}}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("not allowed: %v", err)
	}
	if err := s.Delete(t.Context(), table, [][]byte{key}); !errors.Is(err, feasterr.ErrDenied) {
		t.Errorf("not allowed: %v", err)
	}
	s = openStore(t, 3, map[string]any{"connection_string": ",username=feast_reader,password=S3cr3t"})
	if err := s.Ping(t.Context()); !errors.Is(err, feasterr.ErrUnauthenticated) || strings.Contains(err.Error(), "S3cr3t") {
		t.Errorf("wrong password: %v", err)
	}
}

// TestRotatingCredentials: every connection takes the password of its time.
func TestRotatingCredentials(t *testing.T) {
	admin := openStore(t, 3, nil)
	password := "first"
	change := addUser(t, admin, "feast_rotating", ">"+password+" +@all")
	table, key := drivers(t, admin)
	client := redis.NewClient(&redis.Options{
		Addr: testserver.Redis(t), ContextTimeoutEnabled: true,
		CredentialsProviderContext: func(context.Context) (string, string, error) { return "feast_rotating", password, nil },
	})
	defer func() { _ = client.Close() }()
	s, err := New(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, next := range []string{"second", "third"} {
		row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 200 + int64(len(next))}, Values: []any{int64(2), "y"}}
		if err := read(t.Context(), t, s, table, key); err != nil {
			t.Error(err)
		}
		if _, err := s.Write(t.Context(), onlinetest.Batch(table, row)); err != nil {
			t.Error(err)
		}
		// The password is another one from here on, and the connections end, as a cloud ends them after a time.
		change("<" + password + " >" + next)
		password = next
		if err := admin.client.Do(t.Context(), "client", "kill", "user", "feast_rotating").Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := read(t.Context(), t, s, table, key); err != nil {
		t.Error(err)
	}
}

// TestConfined: what is stored and is no row fails the views that it is a row of; others are answered, also those in the
// same hash.
func TestConfined(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := openStore(t, 3, w.keys)
			drivers, key := drivers(t, s)
			trips, routes := *drivers, *drivers
			trips.View, routes.View, routes.JoinKeys = "trips", "routes", []string{"route_id"}
			route := onlinetest.Key("route_id", int64(1))
			for table, key := range map[*online.Table][]byte{&trips: key, &routes: route} {
				row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 100}, Values: []any{int64(1), "x"}}
				write(t, s, table, online.WriteResult{Written: 1}, row)
			}
			redisKey := string(key) + drivers.Project
			t.Cleanup(func() { _ = s.client.Del(context.WithoutCancel(t.Context()), string(route)+drivers.Project).Err() })
			plan := online.NewReadPlan(
				[]*online.Table{onlinetest.Pick(drivers), onlinetest.Pick(&trips)}, []*online.Table{onlinetest.Pick(&routes)})
			r, err := s.Prepare(plan)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name string
				do   func() error
				want [3]string // errors of drivers, trips and routes
			}{
				{"nothing", func() error { return nil }, [3]string{}},
				{
					"event time", func() error { return s.client.HSet(t.Context(), redisKey, "_ts:trips", "\xff\xff").Err() },
					[3]string{1: "redis: read trips: row 0: event time: "},
				},
				{
					"feature", func() error {
						return s.client.HSet(t.Context(), redisKey, "_ts:trips", "\x08\x64", featureField("drivers", "b"), "\x12").Err()
					},
					[3]string{"redis: read drivers: feature b of feature view drivers, row 0: "},
				},
				{
					"no hash", func() error {
						return errors.Join(s.client.Del(t.Context(), redisKey).Err(), s.client.Set(t.Context(), redisKey, "x", 0).Err())
					},
					[3]string{
						"redis: read drivers: row 0: the key of the entity does not hold a hash",
						"redis: read trips: row 0: the key of the entity does not hold a hash",
					},
				},
			} {
				if err := c.do(); err != nil {
					t.Fatal(err)
				}
				for range 2 { // the first may look at the hash
					dst := online.NewResult(plan, 1)
					if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(key), onlinetest.KeysOf(route)), dst); err != nil {
						t.Fatalf("%s: %v", c.name, err)
					}
					for i, table := range plan.Tables() {
						err := dst.Err(table)
						if c.want[i] == "" {
							if a := dst.Column(table, 0).Any(0); err != nil || a != int64(1) {
								t.Errorf("%s: %s: a is %v, error %v", c.name, table.View, a, err)
							}
							continue
						}
						var store *feasterr.StoreError
						if !errors.Is(err, feasterr.ErrInvalid) || !errors.As(err, &store) || !strings.HasPrefix(err.Error(), c.want[i]) {
							t.Errorf("%s: %s: error %v, want %s", c.name, table.View, err, c.want[i])
						}
					}
				}
			}
		})
	}
}
