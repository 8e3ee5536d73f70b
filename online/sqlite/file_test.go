package sqlite

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
)

// files returns the names of the files in a directory.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "data", "online.db")
	s := open(t, Config{Path: path})
	table := stats("a")
	want := `SQLite database "` + path + `" does not exist; applying the feature views creates it, with Repair when they were applied before`
	if err := readContext(t.Context(), t, s, table, driver(1)); err == nil || err.Error() != "sqlite: read: "+want {
		t.Errorf("Read: got error %v", err)
	} else if !errors.Is(err, feasterr.ErrNotFound) || feasterr.Retryable(err) {
		t.Errorf("Read: %v is no ErrNotFound", err)
	}
	_, err := s.Write(t.Context(), onlinetest.Batch(table, row(1, at(0), int64(1))))
	if err == nil || err.Error() != "sqlite: write stats: "+want {
		t.Errorf("Write: got error %v", err)
	}
	if err := s.Update(t.Context(), nil, []*online.Table{table}); err != nil {
		t.Errorf("Update that only drops: %v", err)
	}
	if err := s.Teardown(t.Context(), []*online.Table{table}); err != nil {
		t.Errorf("Teardown: %v", err)
	}
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("there are files: %q", got)
	}

	put(t, s, table, row(1, at(0), int64(1)))
	if got := files(t, filepath.Dir(path)); len(got) != 1 || got[0] != "online.db" {
		t.Errorf("after Update there are files %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), onlinetest.Batch(table, row(1, at(0), int64(1)))); !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("Write to a file that was removed: got error %v", err)
	}
	put(t, s, table, row(1, at(0), int64(2)))
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "2@0" {
		t.Errorf("in a new file: got %s", got)
	}
}

func TestMissingTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	there, missing := stats("a"), stats("a")
	missing.View, missing.Version = "offline_only", 2
	put(t, s, there, row(1, at(0), int64(1)))

	plan := online.NewReadPlan([]*online.Table{missing, there})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	read := func() *online.Result {
		t.Helper()
		res := online.NewResult(plan, 1)
		if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(driver(1))), res); err != nil {
			t.Fatal(err)
		}
		if got := cells(res, there, 0); got != "1@0" || res.Err(there) != nil {
			t.Errorf("the other table: got %s, %v", got, res.Err(there))
		}
		return res
	}
	want := `sqlite: read offline_only_v2: table "p_offline_only_v2" does not exist in ` + path +
		"; apply the feature view to create it, with Repair when it was applied before"
	res := read()
	if err := res.Err(missing); err == nil || err.Error() != want || !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("got error  %v\nwant error %s", err, want)
	}
	var store *feasterr.StoreError
	if _, err := s.Write(t.Context(), onlinetest.Batch(missing, row(1, at(0), int64(1)))); !errors.Is(err, feasterr.ErrNotFound) ||
		!errors.As(err, &store) || store.Table != "offline_only_v2" {
		t.Errorf("Write: got error %v", err)
	}

	for range 2 { // the same reader sees it come and go
		if err := s.Update(t.Context(), []*online.Table{missing}, nil); err != nil {
			t.Fatal(err)
		}
		if res := read(); res.Err(missing) != nil || res.Found(missing, 0) {
			t.Errorf("after Update: got %v", res.Err(missing))
		}
		if err := s.Update(t.Context(), nil, []*online.Table{missing}); err != nil {
			t.Fatal(err)
		}
		if res := read(); !errors.Is(res.Err(missing), feasterr.ErrNotFound) {
			t.Errorf("after it was dropped: got %v", res.Err(missing))
		}
	}
}

func TestNoDatabase(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden/online_store.db")
	if err != nil {
		t.Fatal(err)
	}
	overwritten := bytes.Clone(golden)
	for i := 4096; i < len(overwritten); i++ {
		overwritten[i] = 0xa5
	}
	for name, content := range map[string][]byte{
		"garbage":     []byte(strings.Repeat("project: p\n", 500)),
		"header only": golden[:100],
		"truncated":   golden[:len(golden)/2],
		"overwritten": overwritten,
	} {
		path := filepath.Join(t.TempDir(), "online.db")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		s := open(t, Config{Path: path})
		broken := 0
		for _, table := range goldenTables(t) {
			err := readContext(t.Context(), t, s, table, driver(1001))
			if err == nil {
				continue // its pages are there
			}
			broken++
			if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), path+" is no intact SQLite database: ") {
				t.Errorf("%s: got error %v, want an ErrInvalid", name, err)
			}
		}
		if broken == 0 {
			t.Errorf("%s: was read", name)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: reading changed the file (%v)", name, err)
		}
	}

	dir := t.TempDir()
	s := open(t, Config{Path: dir})
	err = readContext(t.Context(), t, s, stats("a"), driver(1))
	if want := "sqlite: read: " + dir + " is a directory, not an SQLite database"; !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
		t.Errorf("a directory: got error %v, want %s", err, want)
	}

	empty := filepath.Join(t.TempDir(), "online.db")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Path: empty}) // to SQLite, a database without tables
	if err := readContext(t.Context(), t, s, stats("a"), driver(1)); !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("an empty file: got error %v", err)
	}
}

func TestGarbageRow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	table := stats("a", "b", "c")
	put(t, s, table, row(1, at(0), int64(1), int64(2), int64(3)), row(2, at(0), int64(4), int64(5), int64(6)))
	for _, tc := range []struct{ set, want string }{
		{"value = x'20'", "feature b of feature view stats, row 0: "},
		{"value = x'ffffffff'", "feature b of feature view stats, row 0: "},
		{"value = 'text'", "feature b of feature view stats, row 0: "},
		{"value = 17", "feature b of feature view stats, row 0: "},
		{"value = x'2002', event_ts = 'yesterday'", `feature b: malformed event time "yesterday"`},
		{"event_ts = x'00ff'", `feature b: malformed event time "\x00\xff"`},
		{"event_ts = 1e300", "feature b: malformed event time 1e+300"},
	} {
		query(t, path, "UPDATE p_stats SET "+tc.set+" WHERE feature_name = 'b' AND value_text = '2'")
		err := readContext(t.Context(), t, s, table, driver(1))
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), "sqlite: read stats: "+tc.want) {
			t.Errorf("%s: got error %v", tc.set, err)
		}
		others := stats("c", "a") // does not see it
		if got := cells(get(t, s, others, driver(1)), others, 0); got != "3@0 1@0" {
			t.Errorf("%s: other features: got %s", tc.set, got)
		}
		if got := cells(get(t, s, table, driver(2)), table, 0); got != "4@0 5@0 6@0" {
			t.Errorf("%s: another row: got %s", tc.set, got)
		}
	}
	query(t, path, "UPDATE p_stats SET value = NULL, event_ts = 0 WHERE feature_name = 'b' AND value_text = '2'")
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "1@0 <nil>@-1704164645 3@0" {
		t.Errorf("NULL is a null: got %s", got)
	}
}

// journal returns the journal mode that the header of a file names.
func journal(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"\x01\x01": "delete", "\x02\x02": "wal"}[string(data[18:20])]
}

// TestWAL reads and writes a file whose newest rows stand in a write-ahead log that another program left behind.
func TestWAL(t *testing.T) {
	path := copied(t, "wal.db")
	s := open(t, Config{Path: path})
	table := stats("a", "b")
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "2@1 3@1" {
		t.Errorf("got %s", got)
	}
	put(t, s, table, row(1, at(2), int64(4), int64(5)))
	if got := query(t, path, "SELECT value_text FROM p_stats ORDER BY feature_name"); strings.Join(got, " ") != "4 5" {
		t.Errorf("another program reads %s", got)
	}
	query(t, path, "UPDATE p_stats SET value = x'2007' WHERE feature_name = 'a'")
	if got := cells(get(t, s, table, driver(1)), table, 0); got != "7@2 5@2" {
		t.Errorf("after another program's write: got %s", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := journal(t, path); got != "wal" {
		t.Errorf("journal mode: got %s", got)
	}
	if got := files(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("after Close there are %q", got)
	}

	path = copied(t, "golden/online_store.db")
	s = open(t, Config{Path: path})
	put(t, s, table, row(1, at(2), int64(4), int64(5)))
	if got := journal(t, path); got != "delete" {
		t.Errorf("journal mode: got %s", got)
	}
}

// TestReplacedFile: another file under the same path is read soon, and written at once.
func TestReplacedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "online.db")
		s := open(t, Config{Path: path})
		table := stats("a")
		replace := func(v int64) {
			t.Helper()
			other := open(t, Config{Path: filepath.Join(dir, "other.db")})
			put(t, other, table, row(1, at(0), v))
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "other.db"), path); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(want string) {
			t.Helper()
			if got := cells(get(t, s, table, driver(1)), table, 0); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		replace(1)
		expect("1@0")
		time.Sleep(recheck)
		expect("1@0")
		replace(2)
		time.Sleep(recheck)
		expect("2@0")
		replace(3)
		put(t, s, table, row(2, at(0), int64(4)))
		if got := query(t, path, "SELECT value_text FROM p_stats ORDER BY entity_key"); strings.Join(got, " ") != "3 4" {
			t.Errorf("the new file holds %s", got)
		}
		expect("3@0")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recheck)
		if err := readContext(t.Context(), t, s, table, driver(1)); !errors.Is(err, feasterr.ErrNotFound) {
			t.Errorf("without the file: got error %v", err)
		}
	})
}

// errContext is cancelled when it is asked for the n-th time whether it is.
type errContext struct {
	context.Context //nolint:containedctx // it is one
	n               *int
}

func (c errContext) Err() error {
	if *c.n--; *c.n <= 0 {
		return context.Canceled
	}
	return nil
}

// TestCancelled cancels calls while SQLite is at work.
func TestCancelled(t *testing.T) {
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	table := stats("a", "b")
	var rows []onlinetest.Row
	for n := range 1000 {
		rows = append(rows, row(n, at(0), int64(n), int64(-n)))
	}
	put(t, s, table, rows[:500]...)
	n := 5
	_, err := s.Write(errContext{t.Context(), &n}, onlinetest.Batch(table, rows...))
	if !errors.Is(err, context.Canceled) || n > 0 {
		t.Fatalf("Write: got error %v after all but %d questions, want %v", err, n, context.Canceled)
	}
	if got := query(t, s.pool.path, "SELECT count(*) FROM p_stats"); got[0] != "1000" {
		t.Errorf("after a cancelled write: got %s features, want 1000", got[0])
	}
	var first [][]byte
	for n := range 500 {
		first = append(first, driver(n))
	}
	n = 5
	if err := s.Delete(errContext{t.Context(), &n}, table, first); !errors.Is(err, context.Canceled) || n > 0 {
		t.Fatalf("Delete: got error %v after all but %d questions, want %v", err, n, context.Canceled)
	}
	if got := query(t, s.pool.path, "SELECT count(*) FROM p_stats"); got[0] != "1000" {
		t.Errorf("after a cancelled deletion: got %s features, want 1000", got[0])
	}

	plan := online.NewReadPlan([]*online.Table{table})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for _, row := range rows {
		keys = append(keys, row.Key)
	}
	request, res := online.NewKeys(onlinetest.KeysOf(keys...)), online.NewResult(plan, len(keys))
	n = 3
	query(t, s.pool.path, "DROP INDEX p_stats_ek", "CREATE TABLE big AS SELECT * FROM p_stats", "DELETE FROM big", "DROP TABLE p_stats",
		"ALTER TABLE big RENAME TO p_stats", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "+
			"INSERT INTO p_stats SELECT zeroblob(8), 'a', x'2001', '1', NULL, 0, NULL FROM n") // without an index: each key is a long search
	if err := r.Read(errContext{t.Context(), &n}, request, res); !errors.Is(err, context.Canceled) || n > 0 {
		t.Fatalf("Read: got error %v after all but %d questions, want %v", err, n, context.Canceled)
	}
	if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(keys[0])), online.NewResult(plan, 1)); err != nil {
		t.Errorf("after a cancelled read: %v", err)
	}
}

// TestWaiting: calls beyond the number of connections wait, and Close waits for the calls under way.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
		put(t, s, stats("a"))
		var busy []*conn
		for range cap(s.pool.slots) {
			c, err := s.pool.get(t.Context(), reading)
			if err != nil {
				t.Fatal(err)
			}
			busy = append(busy, c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping that waits: got error %v, want %v", err, context.DeadlineExceeded)
		}
		waiting := make(chan error, 1)
		go func() { waiting <- s.Ping(t.Context()) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		select {
		case err := <-waiting:
			if !errors.Is(err, feasterr.ErrClosed) {
				t.Errorf("Ping that waits when the store is closed: got error %v, want %v", err, feasterr.ErrClosed)
			}
		default:
			t.Error("Ping still waits in a closed store")
		}
		for _, c := range busy {
			select {
			case err := <-closed:
				t.Fatalf("Close did not wait: %v", err)
			default:
			}
			s.pool.put(c)
			synctest.Wait()
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestSparse reads few features of rows that have many: after the first rows they are looked up, with the same answer.
func TestSparse(t *testing.T) {
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	wide := stats()
	for f := range 30 {
		wide.Features = append(wide.Features, stats("f"+string(rune('A'+f))).Features...)
	}
	wide.Features = append(wide.Features, stats("a", "b").Features...)
	full := row(1, at(0))
	for f := range wide.Features {
		full.Values = append(full.Values, int64(f))
	}
	put(t, s, wide, full)
	without := onlinetest.Pick(wide)
	without.Features = wide.Features[:30]
	put(t, s, without, onlinetest.Row{Key: driver(2), Event: at(7), Values: full.Values[:30]})
	put(t, s, stats("b"), row(1, at(5), int64(50)))
	put(t, s, stats("fA"), row(2, at(9), int64(1)))

	table := stats("b", "never", "a")
	plan := online.NewReadPlan([]*online.Table{table})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	sparse := &r.(*reader).tables[0].sparse
	for range 3 {
		res := online.NewResult(plan, 3)
		if err := r.Read(t.Context(), online.NewKeys(onlinetest.KeysOf(driver(3), driver(1), driver(2))), res); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"- - -", "50@5 - 30@0", "- - -"} {
			if got := cells(res, table, i); got != want {
				t.Errorf("row %d: got %s, want %s", i, got, want)
			}
		}
		if res.Found(table, 0) || !res.Found(table, 2) || res.RowEvent(table, 1) != at(5) || res.RowEvent(table, 2) != at(9) {
			t.Errorf("got found %t %t, events %v %v", res.Found(table, 0), res.Found(table, 2), res.RowEvent(table, 1), res.RowEvent(table, 2))
		}
		if !sparse.Load() {
			t.Error("the table does not count as sparse")
		}
	}
}
