package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// TestNewerPerFeature: each feature of a row is decided by itself.
func TestNewerPerFeature(t *testing.T) {
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	table := stats("a", "b")
	put(t, s, stats("a"), row(1, at(10), int64(1)))
	put(t, s, stats("b"), row(1, at(20), int64(2)))
	fraction := at(20)
	fraction.Nanos = 999_999_999
	for _, step := range []struct {
		row  onlinetest.Row
		want online.WriteResult
		then string
	}{
		{row(1, at(15), int64(3), int64(4)), online.WriteResult{Written: 1}, "3@15 2@20"},
		{row(1, at(14), int64(5), int64(6)), online.WriteResult{Older: 1}, "3@15 2@20"},
		{row(1, fraction, int64(7), int64(8)), online.WriteResult{Written: 1}, "7@20 8@20"},
		{row(1, at(20), int64(9), nil), online.WriteResult{Written: 1}, "9@20 <nil>@20"},
	} {
		if got := put(t, s, table, step.row); got != step.want {
			t.Errorf("got %+v, want %+v", got, step.want)
		}
		if got := cells(get(t, s, table, driver(1)), table, 0); got != step.then {
			t.Errorf("got %s, want %s", got, step.then)
		}
	}
}

// TestOldFile reads and writes a file that an old Feast made, with times as text and without value_text.
func TestOldFile(t *testing.T) {
	path := copied(t, "old.db")
	s := open(t, Config{Path: path})
	table := stats("a")
	var keys [][]byte
	for n := range 8 {
		keys = append(keys, driver(n))
	}
	res := get(t, s, table, keys...)
	exact := func(seconds, micros int32) types.Timestamp {
		return types.Timestamp{Seconds: at(0).Seconds + int64(seconds), Nanos: micros * 1000}
	}
	for n, want := range []types.Timestamp{
		exact(0, 678901), exact(0, 0), exact(0, 0), exact(0, 500000), exact(0, 750000), {Seconds: -1, Nanos: 750_000_000}, exact(0, 0), {},
	} {
		if got := res.Event(table, n, 0); got != want || res.Column(table, 0).Any(n) != int64(n) {
			t.Errorf("row %d: got %v at %v, want %v", n, res.Column(table, 0).Any(n), got, want)
		}
	}

	_, err := s.Write(t.Context(), onlinetest.Batch(table, row(1, at(0), int64(1))))
	if err == nil || !strings.HasSuffix(err.Error(), "has no column named value_text: apply the feature view to bring its table up to date") {
		t.Errorf("Write before Update: got error %v", err)
	}
	rows := func(event types.Timestamp) (out []onlinetest.Row) {
		for n := range 5 {
			out = append(out, row(n, event, int64(100+n)))
		}
		return append(out, row(5, types.Timestamp{Seconds: -1}, int64(105)), row(6, event, int64(106)), row(7, types.Timestamp{}, int64(107)))
	}
	if got, want := put(t, s, table, rows(at(-1))...), (online.WriteResult{Written: 1, Older: 7}); got != want {
		t.Errorf("older rows: got %+v, want %+v", got, want)
	}
	if got, want := put(t, s, table, rows(at(0))...), (online.WriteResult{Written: 7, Older: 1}); got != want {
		t.Errorf("rows of the same second: got %+v, want %+v", got, want)
	}
	if got := query(t, path, "SELECT name FROM pragma_table_info('p_stats')"); !slices.Equal(got, []string{
		"entity_key", "feature_name", "value", "event_ts", "created_ts", "value_text",
	}) {
		t.Errorf("columns: got %q", got)
	}
	if got := query(t, path, "SELECT value_text, event_ts FROM p_stats WHERE value_text IS NOT NULL ORDER BY value_text LIMIT 2"); !slices.Equal(got, []string{
		"100|1704164645", "101|1704164645",
	}) {
		t.Errorf("rows: got %q", got)
	}
}

// TestTruncation: fractions are cut toward zero.
func TestTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	put(t, s, stats("a"),
		onlinetest.Row{Key: driver(1), Event: types.Timestamp{Seconds: 5, Nanos: 999_999_999}, Created: types.Timestamp{Seconds: -7, Nanos: 1}, Values: []any{int64(1)}},
		onlinetest.Row{Key: driver(2), Event: types.Timestamp{Seconds: -18489600, Nanos: 250_000_000}, Values: []any{int64(1)}},
		onlinetest.Row{Key: driver(3), Event: types.Timestamp{Seconds: -1, Nanos: 1}, Values: []any{int64(1)}},
	)
	got := query(t, path, "SELECT event_ts, created_ts FROM p_stats ORDER BY entity_key")
	if want := []string{"5|-6", "-18489599|NULL", "0|NULL"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestLocalTimestamps writes what Feast writes on a host in New York (departure 39).
func TestLocalTimestamps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path, Timestamps: "local"})
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	s.zone = zone
	table := stats("a")
	r := row(1, at(0), int64(1)) // 2024-01-02T03:04:05Z
	r.Created = at(60)
	put(t, s, table, r)
	if got := query(t, path, "SELECT event_ts, created_ts FROM p_stats"); got[0] != "1704182645|1704182705" {
		t.Errorf("got %s", got[0])
	}
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "1@0" {
		t.Errorf("got %s", got)
	}
	if got, want := put(t, s, table, row(1, at(-1), int64(2))), (online.WriteResult{Older: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	query(t, path, "UPDATE p_stats SET event_ts = '2024-01-02 03:04:05'") // text is in UTC everywhere
	if got, want := put(t, s, table, row(1, at(-1), int64(3))), (online.WriteResult{Older: 1}); got != want {
		t.Errorf("over text: got %+v, want %+v", got, want)
	}
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "1@0" {
		t.Errorf("text: got %s", got)
	}
	if got, want := put(t, s, table, row(1, at(0), int64(4))), (online.WriteResult{Written: 1}); got != want {
		t.Errorf("over text: got %+v, want %+v", got, want)
	}
}

// TestVectorColumns: vector_value and value_num as Feast fills them.
func TestVectorColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	table := stats()
	var values []any
	for _, v := range []struct {
		typ   types.Type
		value any
	}{
		{types.Int64, int64(7)}, {types.Int32, int32(-7)}, {types.Float64, 0.5}, {types.Float32, float32(0.1)}, {types.Bool, true},
		{types.Bool, false}, {types.String, "text"}, {types.Bytes, []byte{1}}, {types.UnixTimestamp, time.Unix(1704164645, 0)},
		{types.Float32List, onlinetest.Value("\x82\x01\x0a\x0a\x08\x00\x00\x80\x3f\x00\x00\x00\x40")}, {types.StringList, onlinetest.Value("\x62\x03\x0a\x01x")},
		{types.String, nil},
	} {
		table.Features = append(table.Features, types.Field{Name: string(rune('a' + len(values))), Type: v.typ})
		values = append(values, v.value)
	}
	s := open(t, Config{Path: path})
	put(t, s, table, onlinetest.Row{Key: driver(1), Event: at(0), Values: values})
	s = open(t, Config{Path: path, VectorEnabled: true, OpenAICompatible: true}) // switched on later
	if got := put(t, s, table, onlinetest.Row{Key: driver(1), Event: at(0), Values: values}); got.Written != 1 {
		t.Errorf("got %+v", got)
	}
	got := query(t, path, "SELECT value_text, value_num, typeof(value_num), vector_value, typeof(vector_value) FROM p_stats ORDER BY feature_name")
	want := []string{
		"7|7|real|7|integer", "-7|-7|real|-7|integer", "0.5|0.5|real|0.5|real",
		"0.10000000149011612|0.10000000149011612|real|0.10000000149011612|real", "True|1|real|1|integer", "False|0|real|0|integer",
		"text|NULL|null|text|text", "NULL|NULL|null|01|blob", "NULL|NULL|null|2024-01-02 03:04:05+00:00|text",
		"NULL|NULL|null|0000803f00000040|blob", "NULL|NULL|null|NULL|null", "NULL|NULL|null|NULL|null",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestTeardown: tables of other projects stay, and with them the file (departure 40).
func TestTeardown(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "online.db")
		query(t, path, "PRAGMA journal_mode="+mode)
		s := open(t, Config{Path: path})
		mine, other := stats("a"), stats("a")
		other.Project = "p_stats" // a name that begins alike
		put(t, s, mine, row(1, at(0), int64(1)))
		put(t, s, other, row(1, at(0), int64(2)))
		for range 2 {
			if err := s.Teardown(t.Context(), []*online.Table{mine}); err != nil {
				t.Fatal(err)
			}
		}
		if got := cells(get(t, s, other, driver(1)), other, 0); got != "2@0" {
			t.Errorf("%s: the other project has %s", mode, got)
		}
		if got := query(t, path, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name"); !slices.Equal(got, []string{"p_stats_stats", "p_stats_stats_ek"}) {
			t.Errorf("%s: there are %q", mode, got)
		}
		for range 2 {
			if err := s.Teardown(t.Context(), []*online.Table{other}); err != nil {
				t.Fatal(err)
			}
		}
		if got := files(t, dir); len(got) > 0 {
			t.Errorf("%s: there are files: %q", mode, got)
		}
	}
}

// TestTeardownNothing: with no tables, a file without any goes, one with some stays, and none is created.
func TestTeardownNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Path: filepath.Join(dir, "online.db")})
	table := stats("a")
	for _, step := range []struct {
		do    func()
		files []string
	}{
		{func() {}, nil},
		{func() { put(t, s, table, row(1, at(0), int64(1))) }, []string{"online.db"}},
		{func() {
			if err := s.Update(t.Context(), nil, []*online.Table{table}); err != nil {
				t.Fatal(err)
			}
		}, nil},
	} {
		step.do()
		if err := s.Teardown(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := files(t, dir); !slices.Equal(got, step.files) {
			t.Errorf("there are %q, want %q", got, step.files)
		}
	}
}

// TestLargeValues: what a connection keeps for binding is bounded.
func TestLargeValues(t *testing.T) {
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	table := stats()
	table.Features = []types.Field{{Name: "text", Type: types.String}}
	text := strings.Repeat("x", maxHeld)
	put(t, s, table, row(1, at(0), text))
	c := s.pool.idle[len(s.pool.idle)-1]
	if c.held != 0 || len(c.stmts) != 0 {
		t.Errorf("the connection keeps %d bytes and %d statements", c.held, len(c.stmts))
	}
	if got := string(get(t, s, table, driver(1)).Column(table, 0).Bytes(0)); got != text {
		t.Errorf("got %d bytes", len(got))
	}
	if c.held <= 0 || c.held > maxHeld {
		t.Errorf("the connection keeps %d bytes", c.held)
	}
}

func TestUnwritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Path: filepath.Join(path, "online.db")})
	var pathErr *fs.PathError
	if err := s.Update(t.Context(), []*online.Table{stats("a")}, nil); !errors.As(err, &pathErr) {
		t.Errorf("got error %v", err)
	}
}
