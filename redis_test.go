package feast_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/testserver"
	_ "github.com/feastgo/feast/online/redis"
)

// TestRedisUnreachable: Warm says at start what was tried, and shows no password.
func TestRedisUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := copyRepo(t, "online/redis")
	writeYAML(t, dir, "online_store:\n  type: redis\n  connection_string: "+addr+",password=S3cr3t\n")
	err = open(t, dir).Warm(t.Context())
	if !errors.Is(err, feast.ErrUnavailable) || !strings.Contains(err.Error(), "redis: ping: "+addr+": ") || strings.Contains(err.Error(), "S3cr3t") {
		t.Errorf("Warm: %v", err)
	}
}

// loadRedis stores what Feast wrote to Redis.
func loadRedis(t *testing.T, client *redis.Client) {
	t.Helper()
	var dump struct {
		Keys []struct {
			Key    string
			Fields []struct{ Field, Value string }
		}
	}
	readJSON(t, "online/redis/dump.json", &dump)
	text := func(s string) string {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, k := range dump.Keys {
		var fields []string
		for _, f := range k.Fields {
			fields = append(fields, text(f.Field), text(f.Value))
		}
		if err := client.HSet(t.Context(), text(k.Key), fields).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGoldenRedis reads what Feast wrote to Redis. Requests that Feast answered as on SQLite are recorded there.
func TestGoldenRedis(t *testing.T) {
	addr := testserver.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	loadRedis(t, client)
	dir := copyRepo(t, "online/redis")
	writeYAML(t, dir, "online_store:\n  type: redis\n  connection_string: "+addr+"\n")
	fs := open(t, dir)
	var own struct {
		Requests []onlineCase
		Same     []string `json:"same_as_sqlite"`
	}
	readJSON(t, "online/redis/expected.json", &own)
	var sqlite struct{ Requests []onlineCase }
	readJSON(t, "online/sqlite/expected.json", &sqlite)
	cases := own.Requests
	for _, c := range sqlite.Requests {
		if slices.Contains(own.Same, c.ID) {
			cases = append(cases, c)
		}
	}
	if len(cases) != len(sqlite.Requests) {
		t.Errorf("%d cases, want %d", len(cases), len(sqlite.Requests))
	}
	for _, c := range cases {
		// Departure 1: Feast calls an absent value on Redis PRESENT.
		for i := range c.Expected.Results {
			for row, v := range c.Expected.Results[i].Values {
				if v.Hex == "" {
					c.Expected.Results[i].Statuses[row] = ""
				}
			}
		}
		t.Run(c.ID, func(t *testing.T) { checkOnline(t, fs, &c) })
	}
}

// TestRedisPartial: a view with a row that is none fails alone, and the caller says whether that is an error.
func TestRedisPartial(t *testing.T) {
	addr := testserver.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: addr, DB: 5})
	defer client.Close()
	defer client.FlushDB(context.WithoutCancel(t.Context()))
	loadRedis(t, client)
	driver := "\x01\x00\x00\x00\x02\x00\x00\x00\x09\x00\x00\x00driver_id\x04\x00\x00\x00\x08\x00\x00\x00\xe9\x03\x00\x00\x00\x00\x00\x00golden_proj"
	customer := "\x01\x00\x00\x00\x02\x00\x00\x00\x0b\x00\x00\x00customer_id\x02\x00\x00\x00\x02\x00\x00\x00c1golden_proj"
	if n, err := client.HSet(t.Context(), driver, "_ts:ttl_view", "\xff\xff").Result(); n != 0 || err != nil {
		t.Fatal(n, err) // it must have been there
	}
	if s, err := client.SetArgs(t.Context(), customer, "x", redis.SetArgs{Mode: "XX"}).Result(); s != "OK" || err != nil {
		t.Fatal(s, err)
	}
	dir := copyRepo(t, "online/redis")
	writeYAML(t, dir, "online_store:\n  type: redis\n  connection_string: "+addr+",db=5\n")
	fs := open(t, dir)
	for view, features := range map[string][]string{
		"ttl_view":         {"driver_stats:conv_rate", "ttl_view:score"},
		"customer_profile": {"driver_stats:conv_rate", "customer_profile:age"},
	} {
		req := feast.OnlineRequest{
			Features: features, Entities: feast.Columns{"driver_id": []int64{1001}, "customer_id": []string{"c1"}},
		}
		if view == "ttl_view" {
			req.Entities = feast.Columns{"driver_id": []int64{1001}}
		}
		for _, p := range []feast.Partial{feast.ReportPartial, feast.AcceptPartial} {
			req.Partial = p
			resp, err := fs.GetOnlineFeatures(t.Context(), req)
			if (err == nil) != (p == feast.AcceptPartial) || resp == nil {
				t.Fatalf("%s, %v: %v, error %v", view, p, resp, err)
			}
			if p == feast.AcceptPartial {
				err = resp.Err()
			}
			var partial *feast.PartialError
			if !errors.As(err, &partial) || len(partial.Views) != 1 || !errors.Is(partial.Views[view], feast.ErrInvalid) {
				t.Errorf("%s, %v: error %v", view, p, err)
			}
			for i, want := range []feast.Status{feast.Present, feast.Failed} {
				_, name, _ := strings.Cut(features[i], ":")
				if c, err := resp.Column(name); err != nil || c.Status(0) != want {
					t.Errorf("%s, %v: %s: error %v, want status %v", view, p, name, err, want)
				}
			}
		}
	}
}

// TestRedisAllocations reads into a reused response: what a request takes does not grow with rows and features, since nothing
// is taken for values.
func TestRedisAllocations(t *testing.T) {
	addr := testserver.Redis(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	loadRedis(t, client)
	dir := copyRepo(t, "online/redis")
	writeYAML(t, dir, "online_store:\n  type: redis\n  connection_string: "+addr+"\n")
	fs := open(t, dir)
	q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{Features: []string{
		"driver_stats:conv_rate", "driver_stats:acc_rate", "driver_stats:avg_daily_trips",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 100, 1000} {
		ids := make([]int64, rows)
		for i := range ids {
			ids[i] = int64(1000 + i)
		}
		var batch feast.Batch
		var out feast.OnlineResponse
		if n := testing.AllocsPerRun(50, func() {
			batch.Reset()
			feast.SetColumn(&batch, "driver_id", ids)
			if err := q.GetInto(t.Context(), &batch, &out); err != nil {
				t.Fatal(err)
			}
		}); n > float64(12+2*rows/100+pooled) {
			t.Errorf("%d rows: %.0f allocations", rows, n)
		}
	}
}
