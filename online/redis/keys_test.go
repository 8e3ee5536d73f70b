package redis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestVectorsDoNotProlong: rows keep the time that they were written to live, when vectors are made of them.
func TestVectorsDoNotProlong(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	s := newStore(t, client, Options{KeyTTL: 1000 * time.Second})
	table := &online.Table{Project: "prolong", View: "stats", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "a", Type: types.Int64}}}
	vectors := &online.Table{
		Project: "prolong", View: "__precomputed__model", JoinKeys: table.JoinKeys, Features: []types.Field{{Name: "vector", Type: types.Bytes}},
	}
	key := onlinetest.Key("driver_id", int64(1))
	stored := string(key) + "prolong"
	put := func(t2 *online.Table, seconds int64, value any) {
		t.Helper()
		row := onlinetest.Row{Key: slices.Clone(key), Event: types.Timestamp{Seconds: seconds}, Values: []any{value}}
		if res, err := s.Write(t.Context(), onlinetest.Batch(t2, row)); err != nil || res.Written != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	left := func(want time.Duration) {
		t.Helper()
		if got := client.TTL(t.Context(), stored).Val(); got < want-10*time.Second || got > want {
			t.Errorf("%v left, want %v", got, want)
		}
	}
	defer client.Del(t.Context(), stored)
	put(table, 1, int64(1))
	left(1000 * time.Second)
	client.Expire(t.Context(), stored, 50*time.Second)
	put(vectors, 1, []byte("v"))
	left(50 * time.Second)
	put(table, 2, int64(2))
	left(1000 * time.Second)
}

// TestKeysOfOthers: keys that hold no hash, and those of projects whose names end alike, are not listed.
func TestKeysOfOthers(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testserver.Redis(t)})
	s := newStore(t, client, Options{})
	table := &online.Table{Project: "keys[1]*", View: "stats", JoinKeys: []string{"driver_id"}, Features: []types.Field{{Name: "a", Type: types.Int64}}}
	others := *table
	others.Project = "other_keys[1]*"
	for i, to := range []*online.Table{table, table, &others} {
		row := onlinetest.Row{Key: onlinetest.Key("driver_id", int64(i)), Event: types.Timestamp{Seconds: 1}, Values: []any{int64(1)}}
		if _, err := s.Write(t.Context(), onlinetest.Batch(to, row)); err != nil {
			t.Fatal(err)
		}
	}
	text := string(onlinetest.Key("driver_id", int64(9))) + table.Project
	if err := client.Set(t.Context(), text, "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	defer client.Del(t.Context(), text)
	var got []string
	for key, err := range s.Keys(t.Context(), []*online.Table{table}) {
		if err != nil {
			t.Fatal(err)
		}
		parts, err := online.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if id := fmt.Sprint(parts[0].Value); !slices.Contains(got, id) {
			got = append(got, id)
		}
	}
	slices.Sort(got)
	if want := []string{"0", "1"}; !slices.Equal(got, want) {
		t.Errorf("keys of drivers %v, want %v", got, want)
	}
	if err := s.Teardown(t.Context(), []*online.Table{table, &others}); err != nil {
		t.Fatal(err)
	}
}
