package redis

import (
	"context"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestEpoch: nothing protects a row of 1970 or before from older ones, within a batch and between them.
func TestEpoch(t *testing.T) {
	s := openStore(t, 3, nil)
	table, key := drivers(t, s)
	row := func(seconds, v int64) onlinetest.Row {
		return onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{v, nil}}
	}
	for _, c := range []struct {
		rows []onlinetest.Row
		want online.WriteResult
	}{
		{[]onlinetest.Row{row(0, 1), row(0, 2)}, online.WriteResult{Written: 2}},
		{[]onlinetest.Row{row(-5, 3), row(-10, 4)}, online.WriteResult{Written: 2}},
		{[]onlinetest.Row{row(-20, 5)}, online.WriteResult{Written: 1}},
		{[]onlinetest.Row{row(1, 6), row(0, 7), row(-1, 8)}, online.WriteResult{Written: 1, Older: 2}},
		{[]onlinetest.Row{row(1, 9)}, online.WriteResult{Older: 1}},
	} {
		if c.rows[0].Event.IsZero() {
			if err := s.client.Del(t.Context(), string(key)+table.Project).Err(); err != nil {
				t.Fatal(err)
			}
		}
		write(t, s, table, c.want, c.rows...)
	}
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	res := onlinetest.Read(t, s, plan, 1, online.NewKeys(onlinetest.KeysOf(key)))
	if got := res.Column(plan.Tables()[0], 0).Any(0); got != int64(6) {
		t.Errorf("value %v, want 6", got)
	}
}

// TestManyRows: the rule holds over the rows of several round trips.
func TestManyRows(t *testing.T) {
	s := openStore(t, 3, nil)
	table, key := drivers(t, s)
	var rows []onlinetest.Row
	for i := range 2*writeRows + 10 {
		// The first half gets newer, the second older.
		seconds := int64(1000 + min(i, 2*writeRows-i))
		rows = append(rows, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{int64(i), nil}})
	}
	write(t, s, table, online.WriteResult{Written: writeRows + 1, Older: writeRows + 9}, rows...)
	res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(key)))
	if got := res.Column(table, 0).Any(0); got != int64(writeRows) {
		t.Errorf("value %v, want %d", got, writeRows)
	}
}

// TestTTL: a write that stores something sets the life of the entity anew, one that leaves its row out does not.
func TestTTL(t *testing.T) {
	s := openStore(t, 3, map[string]any{"key_ttl_seconds": 1000})
	table, key := drivers(t, s)
	redisKey := string(key) + table.Project
	life := func() time.Duration {
		d, err := s.client.TTL(t.Context(), redisKey).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := life(); d > 1000*time.Second || d < 900*time.Second {
		t.Errorf("a new row lives for %v", d)
	}
	if err := s.client.Expire(t.Context(), redisKey, 50*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 100}, Values: []any{int64(1), nil}}
	write(t, s, table, online.WriteResult{Older: 1}, row)
	if d := life(); d > 50*time.Second {
		t.Errorf("a row left out lives for %v", d)
	}
	row.Event.Seconds = 101
	write(t, s, table, online.WriteResult{Written: 1}, row)
	if d := life(); d < 900*time.Second {
		t.Errorf("a rewritten row lives for %v", d)
	}
}

func TestSkipDedup(t *testing.T) {
	s := openStore(t, 3, map[string]any{"skip_dedup": true})
	table, key := drivers(t, s)
	row := func(seconds, v int64) onlinetest.Row {
		return onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{v, nil}}
	}
	write(t, s, table, online.WriteResult{Written: 2}, row(50, 1), row(40, 2))
	res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(key)))
	if got, at := res.Column(table, 0).Any(0), res.RowEvent(table, 0).Seconds; got != int64(2) || at != 40 {
		t.Errorf("value %v at %d, want 2 at 40", got, at)
	}
}

// TestRowWithoutTime: features alone make no row.
func TestRowWithoutTime(t *testing.T) {
	s := openStore(t, 3, nil)
	table, key := drivers(t, s)
	if err := s.client.HDel(context.WithoutCancel(t.Context()), string(key)+table.Project, "_ts:drivers").Err(); err != nil {
		t.Fatal(err)
	}
	res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(key)))
	if res.Found(table, 0) || res.Column(table, 0).Status(0) != types.NotFound {
		t.Error("the row is there")
	}
}
