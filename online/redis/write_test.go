package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
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

// storedTime is the event time of a row as some program may have stored it.
func storedTime(r *rand.Rand) []byte {
	whole := func() uint64 {
		return []uint64{
			0, 1, 2, 3, 1_700_000_000, 1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<49 - 1, 1 << 49, math.MaxInt64, math.MaxInt64 - 1,
			1 << 63, math.MaxUint64, 999_999_999, 1_000_000_000, 1<<32 + 1,
		}[r.IntN(17)]
	}
	varint := func(v uint64) []byte {
		b := binary.AppendUvarint(nil, v)
		if r.IntN(4) == 0 && len(b) < 9 { // longer than need be
			b[len(b)-1] |= 0x80
			b = append(b, 0)
		}
		return b
	}
	switch r.IntN(6) {
	case 0:
		b := make([]byte, r.IntN(14))
		for i := range b {
			b[i] = []byte{0, 1, 8, 16, 0x80, 0xff, 0x7f, 24, 26}[r.IntN(9)]
		}
		return b
	case 1: // any fields
		var b []byte
		for range r.IntN(4) {
			b = append(append(b, []byte{8, 16, 24}[r.IntN(3)]), varint(whole())...)
		}
		return b
	case 2:
		return types.Timestamp{Seconds: int64(whole())}.AppendProto(nil)
	default:
		return types.Timestamp{Seconds: int64(whole()), Nanos: int32(r.IntN(4))}.AppendProto(nil)
	}
}

// TestScriptsDecideAlike: with scripts and without, the same rows are stored, counted and refused, whatever is there.
func TestScriptsDecideAlike(t *testing.T) {
	script, plain := openStore(t, 3, map[string]any{"key_ttl_seconds": 100}), openStore(t, 3, map[string]any{"key_ttl_seconds": 100})
	plain.noScripts.left.Store(math.MaxInt32)
	r := rand.New(rand.NewPCG(1, 2))
	seconds := []int64{math.MinInt64, -1, 0, 1, 2, 3, 4, 1_700_000_000, 1<<49 - 1, 1 << 49, 1<<53 - 1, 1 << 53, 1<<53 + 1, 1<<53 + 2, math.MaxInt64}
	counts := map[string]int{}
	for range 600 {
		stored := storedTime(r)
		key := onlinetest.Key("driver_id", r.Int64())
		there, features := r.IntN(8) > 0, r.IntN(4)
		var rows []onlinetest.Row
		for range 1 + r.IntN(4) {
			row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds[r.IntN(len(seconds))], Nanos: int32(r.IntN(4))}}
			if t, err := types.ParseTimestamp(stored); err == nil && r.IntN(3) == 0 {
				row.Event = t
			}
			for range features {
				row.Values = append(row.Values, r.Int64N(10))
			}
			rows = append(rows, row)
		}
		var got [2]string
		for i, s := range []*Store{script, plain} {
			table := &online.Table{Project: fmt.Sprint("alike", i), View: "v", JoinKeys: []string{"driver_id"}}
			for f := range features {
				table.Features = append(table.Features, types.Field{Name: fmt.Sprint(f), Type: types.Int64})
			}
			redisKey := string(key) + table.Project
			if there {
				if err := s.client.HSet(t.Context(), redisKey, "_ts:v", stored, "other", "x").Err(); err != nil {
					t.Fatal(err)
				}
			}
			res, err := s.Write(t.Context(), onlinetest.Batch(table, rows...))
			hash, hashErr := s.client.HGetAll(t.Context(), redisKey).Result()
			ttl, ttlErr := s.client.TTL(t.Context(), redisKey).Result()
			if err := errors.Join(hashErr, ttlErr, s.client.Del(t.Context(), redisKey).Err()); err != nil {
				t.Fatal(err)
			}
			got[i] = fmt.Sprintf("%+v, %v, %q, ttl %t", res, err, hash, ttl > 0)
			switch {
			case err != nil:
				counts["refused"]++
			case res.Written > 0 && res.Older > 0:
				counts["in part"]++
			case res.Written > 0:
				counts["written"]++
			default:
				counts["older"]++
			}
		}
		if got[0] != got[1] {
			t.Fatalf("stored (%t) %x, rows %+v:\nwith scripts    %s\nwithout scripts %s", there, stored, rows, got[0], got[1])
		}
	}
	if script.noScripts.left.Load() > 0 {
		t.Error("the server refuses scripts")
	}
	for _, outcome := range []string{"refused", "in part", "written", "older"} {
		if counts[outcome] < 50 {
			t.Errorf("%s: %d times only", outcome, counts[outcome])
		}
	}
}

// TestNoScripts: where a user may not run scripts, rows are written without. The rules are those that the documentation
// asks for.
func TestNoScripts(t *testing.T) {
	admin := openStore(t, 3, nil)
	table, key := drivers(t, admin)
	seconds := int64(200)
	for name, rules := range map[string]string{
		"scripts":          "+evalsha +eval +hget +hset",
		"no_scripts":       "+hmget +hset",
		"no_hget_in_these": "+evalsha +eval +hmget +hset",
	} {
		addUser(t, admin, "feast_"+name, ">secret "+rules)
		seconds++
		s := openStore(t, 3, map[string]any{"connection_string": ",username=feast_" + name + ",password=secret"})
		row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: seconds}, Values: []any{int64(2), "y"}}
		write(t, s, table, online.WriteResult{Written: 1, Older: 1}, row, row)
		if got, want := s.noScripts.left.Load() > 0, name != "scripts"; got != want {
			t.Errorf("%s: scripts refused: %t, want %t", name, got, want)
		}
		write(t, s, table, online.WriteResult{Older: 1}, row)
	}
}

// TestUnknownScript: servers forget scripts when they start anew.
func TestUnknownScript(t *testing.T) {
	s := openStore(t, 3, nil)
	table, key := drivers(t, s)
	for i := range int64(3) {
		if err := s.client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		row := onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 200 + i}, Values: []any{int64(2), "y"}}
		write(t, s, table, online.WriteResult{Written: 1, Older: 1}, row, row)
	}
	if s.noScripts.left.Load() > 0 {
		t.Error("the server refuses scripts")
	}
}

// TestWideRows: rows of more features than Lua unpacks.
func TestWideRows(t *testing.T) {
	s := openStore(t, 3, nil)
	table := &online.Table{Project: "redis_test", View: "wide", JoinKeys: []string{"driver_id"}}
	row := onlinetest.Row{Key: onlinetest.Key("driver_id", int64(1)), Event: types.Timestamp{Seconds: 1}}
	for f := range int64(9001) {
		table.Features = append(table.Features, types.Field{Name: fmt.Sprint(f), Type: types.Int64})
		row.Values = append(row.Values, f)
	}
	t.Cleanup(func() { s.client.Del(context.WithoutCancel(t.Context()), string(row.Key)+table.Project) })
	write(t, s, table, online.WriteResult{Written: 1, Older: 1}, row, row)
	res := onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), 1, online.NewKeys(onlinetest.KeysOf(row.Key)))
	for f := range 9001 {
		if got := res.Column(table, f).Any(0); got != int64(f) {
			t.Fatalf("feature %d: %v", f, got)
		}
	}
	if s.noScripts.left.Load() > 0 {
		t.Error("the server refuses scripts")
	}
}

// TestEncodeBounds: a round trip holds a bounded number of rows and bytes, in memory that the next one uses again.
func TestEncodeBounds(t *testing.T) {
	table := &online.Table{Project: "p", View: "v", Features: []types.Field{{Name: "a", Type: types.String}}}
	for _, c := range []struct{ size, rows, want int }{{1, 2 * writeRows, writeRows}, {1 << 20, 10, 4}, {2 * writeBytes, 3, 1}} {
		text := strings.Repeat("x", c.size)
		var rows []onlinetest.Row
		for range c.rows {
			rows = append(rows, onlinetest.Row{Key: []byte("k"), Values: []any{text}})
		}
		w := writer{store: &Store{}, batch: onlinetest.Batch(table, rows...), timeField: timeField(table), fields: featureFields(table)}
		if to := w.encode(0); to != c.want || len(w.rows) != c.want {
			t.Errorf("%d rows of %d bytes: %d in the first round trip, want %d", c.rows, c.size, to, c.want)
		}
		if n := testing.AllocsPerRun(10, func() { w.encode(0) }); n > 0 {
			t.Errorf("%d rows of %d bytes: %v allocations, want none", c.rows, c.size, n)
		}
	}
}
