package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
)

// TestDeleteGolden deletes rows that Feast wrote.
func TestDeleteGolden(t *testing.T) {
	path := copied(t, "golden/online_store.db")
	s := open(t, Config{Path: path})
	tables := goldenTables(t)
	want := dump(t, path, nil)
	for _, c := range []struct {
		view string
		keys [][]byte
		rows int // the features of which are deleted
	}{
		{"driver_stats", [][]byte{driver(1001), driver(1002), driver(4711)}, 2},
		{"driver_customer", [][]byte{onlinetest.Key("driver_id", int64(1001), "customer_id", "c1")}, 1},
		{"global_stats", [][]byte{onlinetest.Key(online.DummyJoinKey, "")}, 1},
		{"all_types", [][]byte{driver(1001)}, 0},
	} {
		table := tables[c.view]
		before := len(want)
		for _, key := range c.keys {
			blob := fmt.Sprintf("%x", key)
			want = slices.DeleteFunc(want, func(line string) bool {
				return strings.HasPrefix(line, table.ID()+"|") && slices.Contains(strings.Split(line, "|"), blob)
			})
		}
		if got := before - len(want); got != c.rows*len(table.Features) {
			t.Errorf("%s: the golden file has %d features, want those of %d rows", c.view, got, c.rows)
		}
		// Which features the caller names does not matter.
		for _, features := range []string{table.Features[0].Name, "unknown"} {
			if err := s.Delete(t.Context(), onlinetest.Pick(table, features), c.keys); err != nil {
				t.Fatal(err)
			}
		}
		if got := dump(t, path, nil); !slices.Equal(got, want) {
			t.Errorf("%s: left are\n%s\nwant\n%s", c.view, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestDeleteWhere: what is not there yet is named, since a wrong path is no success.
func TestDeleteWhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online.db")
	s := open(t, Config{Path: path})
	del := func(table *online.Table) error { return s.Delete(t.Context(), table, [][]byte{driver(1)}) }
	check := func(err error, want string) {
		t.Helper()
		if !errors.Is(err, feasterr.ErrNotFound) || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
	check(del(stats("a")), `sqlite: delete stats: SQLite database "`+path+`" does not exist; applying the feature views creates it, with Repair when they were applied before`)
	put(t, s, stats("a"), row(1, at(0), int64(1)))
	const apply = "; apply the feature view to create it, with Repair when it was applied before"
	other := stats("a")
	other.View = "other"
	check(del(other), `sqlite: delete other: table "p_other" does not exist in `+path+apply)
	other.View, other.Version = "stats", 1
	check(del(other), `sqlite: delete stats_v1: table "p_stats_v1" does not exist in `+path+apply)
	if got := query(t, path, "SELECT count(*) FROM p_stats"); got[0] != "1" {
		t.Errorf("%s features are left, want 1", got[0])
	}
}
