package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// deletion is a store on a database of its own, which the test starts and leaves empty of the projects it names.
func deletion(t *testing.T, version int, keys map[string]any) *Store {
	t.Helper()
	all := map[string]any{"connection_string": ",db=6"}
	maps.Copy(all, keys)
	s := openStore(t, version, all)
	clear := func() {
		ctx := context.WithoutCancel(t.Context())
		for key := range strings.SplitSeq("*proj *proj?", " ") {
			found, err := s.client.Keys(ctx, key).Result()
			if err == nil && len(found) > 0 {
				err = s.client.Del(ctx, found...).Err()
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	clear()
	t.Cleanup(clear)
	return s
}

// put stores a row of each view under each key.
func put(t *testing.T, s *Store, project string, joinKeys []string, views []string, keys ...[]byte) []*online.Table {
	t.Helper()
	var tables []*online.Table
	for _, view := range views {
		table := &online.Table{
			Project: project, View: view, JoinKeys: joinKeys,
			Features: []types.Field{{Name: "a", Type: types.Int64}, {Name: "gone", Type: types.Int64}},
		}
		var rows []onlinetest.Row
		for _, key := range keys {
			rows = append(rows, onlinetest.Row{Key: key, Event: types.Timestamp{Seconds: 1}, Values: []any{int64(1), int64(2)}})
		}
		write(t, s, table, online.WriteResult{Written: len(rows)}, rows...)
		table = onlinetest.Pick(table, "a") // the other feature was removed from the view later
		tables = append(tables, table)
	}
	return tables
}

// left returns the keys that exist, with the views of each.
func left(t *testing.T, s *Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	keys, err := s.client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		fields, err := s.client.HKeys(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(fields)
		var views []string
		features := 0
		for _, f := range fields {
			if view, ok := strings.CutPrefix(f, "_ts:"); ok {
				views = append(views, view)
			} else {
				features++
			}
		}
		out[key] = fmt.Sprintf("%s: %d", strings.Join(views, " "), features)
	}
	return out
}

func expectLeft(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	if got := left(t, s); !maps.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestDelete: the fields of a view's features and its time go, and with the last of them the hash.
func TestDelete(t *testing.T) {
	for _, version := range []int{3, 2} {
		s := deletion(t, version, nil)
		driver := []string{"driver_id"}
		one, two := keyOf(version, "driver_id", "1"), keyOf(version, "driver_id", "2")
		a := put(t, s, "proj", driver, []string{"a"}, one, two)[0]
		b := put(t, s, "proj", driver, []string{"b"}, one)[0]
		put(t, s, "xproj", driver, []string{"a"}, one)
		for range 2 {
			if err := s.Delete(t.Context(), a, [][]byte{one, keyOf(version, "driver_id", "absent")}); err != nil {
				t.Fatal(err)
			}
		}
		// The feature that the table does not name any more stays.
		want := map[string]string{string(one) + "proj": "b: 3", string(two) + "proj": "a: 2", string(one) + "xproj": "a: 2"}
		expectLeft(t, s, want)

		a.Features = append(a.Features, types.Field{Name: "gone", Type: types.Int64})
		b.Features = a.Features
		for _, table := range []*online.Table{a, b} {
			if err := s.Delete(t.Context(), table, [][]byte{one, two}); err != nil {
				t.Fatal(err)
			}
		}
		expectLeft(t, s, map[string]string{string(one) + "xproj": "a: 2"})
	}
}

// TestDeleteGolden deletes rows that Feast wrote: of a hash with rows of several views, those of one.
func TestDeleteGolden(t *testing.T) {
	var golden dump
	readJSON(t, "dump.json", &golden)
	s := goldenStore(t, 3, nil)
	want := map[string]map[string]string{}
	for _, k := range golden.Keys {
		fields := map[string]string{}
		for _, f := range k.Fields {
			fields[string(f.Field)] = string(f.Value)
		}
		want[string(k.Key)] = fields
		if err := s.client.HSet(t.Context(), string(k.Key), fields).Err(); err != nil {
			t.Fatal(err)
		}
	}
	tables := goldenTables(t)
	deleted := 0
	for _, c := range []struct {
		view string
		keys [][]byte
	}{
		{"driver_stats", [][]byte{onlinetest.Key("driver_id", int64(1001)), onlinetest.Key("driver_id", int64(1002))}},
		{"global_stats", [][]byte{onlinetest.Key(online.DummyJoinKey, "")}},
		{"customer_profile", [][]byte{onlinetest.Key("customer_id", "c1")}},
		{"driver_customer", [][]byte{onlinetest.Key("driver_id", int64(1001), "customer_id", "c1")}},
	} {
		table := tables[c.view]
		if err := s.Delete(t.Context(), table, c.keys); err != nil {
			t.Fatal(err)
		}
		for _, key := range c.keys {
			hash := want[string(key)+table.Project]
			if _, ok := hash[timeField(table)]; ok {
				deleted++
			}
			for _, field := range append(featureFields(table), timeField(table)) {
				delete(hash, field)
			}
			if len(hash) == 0 {
				delete(want, string(key)+table.Project)
			}
		}
	}
	if deleted != 5 {
		t.Errorf("%d rows were there, want 5", deleted)
	}
	if got := contents(t, s); !maps.EqualFunc(got, want, maps.Equal[map[string]string, map[string]string]) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// TestOtherProjects: what Feast's teardown of a project takes with it, since it looks at the end of keys only.
func TestOtherProjects(t *testing.T) {
	s := deletion(t, 3, nil)
	driver, key := []string{"driver_id"}, onlinetest.Key("driver_id", int64(1))
	tables := put(t, s, "proj", driver, []string{"v"}, key)
	want := map[string]string{}
	for _, project := range []string{"my_proj", "projx", "proj2", "pro*", "xproj"} {
		put(t, s, project, driver, []string{"v"}, key)
		want[string(key)+project] = "v: 2"
	}
	defer s.client.Del(context.WithoutCancel(t.Context()), string(key)+"pro*")
	// A value that ends like the name of the project, and a key of another set of join keys.
	text := onlinetest.Key("driver_id", "proj")
	put(t, s, "", driver, []string{"v"}, text)
	want[string(text)] = "v: 2"
	two := onlinetest.Key("driver_id", int64(1), "z", int64(1))
	put(t, s, "proj", []string{"driver_id", "z"}, []string{"v"}, two)
	want[string(two)+"proj"] = "v: 2"

	if err := s.Teardown(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	expectLeft(t, s, want)
	// The characters of a pattern stand for themselves.
	if err := s.Teardown(t.Context(), put(t, s, "pro*", driver, []string{"v"})); err != nil {
		t.Fatal(err)
	}
	delete(want, string(key)+"pro*")
	expectLeft(t, s, want)
	if err := s.Teardown(t.Context(), append(put(t, s, "", driver, []string{"v"}), put(t, s, "proj", []string{"driver_id", "z"}, []string{"v"})...)); err != nil {
		t.Fatal(err)
	}
}

// TestPatternBytes: join keys of these lengths put *, ? and [ into the serialized key, and names may hold them too.
func TestPatternBytes(t *testing.T) {
	for _, version := range []int{3, 2} {
		s := deletion(t, version, nil)
		names := []string{strings.Repeat("k", '*'), strings.Repeat("k", '?'), strings.Repeat("k", '['), strings.Repeat("k", '\\'), `a*?[b-c]\^d`}
		var tables []*online.Table
		for _, name := range names {
			tables = append(tables, put(t, s, `proj\`, []string{name}, []string{"v"}, keyOf(version, name, "x"))...)
		}
		if n := len(left(t, s)); n != len(names) {
			t.Fatalf("%d keys, want %d", n, len(names))
		}
		if err := s.Teardown(t.Context(), tables); err != nil {
			t.Fatal(err)
		}
		expectLeft(t, s, map[string]string{})
	}
}

// keyOf is a key of one join key with a text as its value.
func keyOf(version int, joinKey, value string) []byte {
	key := online.AppendKeyPrefix(nil, version, []string{joinKey})
	return append(append(key, 2, 0, 0, 0, byte(len(value)), 0, 0, 0), value...)
}

// TestDroppedViews: a hash loses what the dropped views stored, and goes with its last view.
func TestDroppedViews(t *testing.T) {
	for _, version := range []int{3, 2} {
		s := deletion(t, version, nil)
		driver := []string{"driver_id"}
		one, two, three := keyOf(version, "driver_id", "1"), keyOf(version, "driver_id", "2"), keyOf(version, "driver_id", "3")
		a := put(t, s, "proj", driver, []string{"a"}, one, two)[0]
		b := put(t, s, "proj", driver, []string{"b"}, two, three)[0]
		c := put(t, s, "proj", driver, []string{"c"}, one, two)[0]
		versioned := *a
		versioned.Version = 2
		put(t, s, "proj", driver, []string{versioned.StoredView()}, three)

		if err := s.Update(t.Context(), []*online.Table{c}, []*online.Table{a, b}); err != nil {
			t.Fatal(err)
		}
		// The feature that the tables do not name any more stays where the hash does.
		expectLeft(t, s, map[string]string{
			string(one) + "proj":   "c: 3",
			string(two) + "proj":   "c: 4",
			string(three) + "proj": "a_v2: 3",
		})
		if err := s.Teardown(t.Context(), []*online.Table{c, &versioned}); err != nil {
			t.Fatal(err)
		}
		expectLeft(t, s, map[string]string{})
	}
}

// TestEntityless: the row of a view without entities stands under the dummy key, and where Feast's push puts it.
func TestEntityless(t *testing.T) {
	for _, version := range []int{3, 2} {
		s := deletion(t, version, nil)
		empty := online.AppendKeyPrefix(nil, version, nil)
		tables := put(t, s, "proj", []string{online.DummyJoinKey}, []string{"v"}, keyOf(version, online.DummyJoinKey, ""), empty)
		put(t, s, "xproj", []string{online.DummyJoinKey}, []string{"v"}, empty)
		if err := s.Teardown(t.Context(), tables); err != nil {
			t.Fatal(err)
		}
		expectLeft(t, s, map[string]string{string(empty) + "xproj": "v: 2"})
	}
}

func TestKeepDropped(t *testing.T) {
	s := deletion(t, 3, map[string]any{"full_scan_for_deletion": false})
	key := onlinetest.Key("driver_id", int64(1))
	tables := put(t, s, "proj", []string{"driver_id"}, []string{"v"}, key)
	if err := s.Update(t.Context(), nil, tables); err != nil {
		t.Fatal(err)
	}
	expectLeft(t, s, map[string]string{string(key) + "proj": "v: 2"})
	if err := s.Teardown(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	expectLeft(t, s, map[string]string{})
}

// TestManyKeys: more keys than a page of a scan or a round trip of a write has, among others.
func TestManyKeys(t *testing.T) {
	s := deletion(t, 3, nil)
	const n = 2*max(writeRows, scanCount) + 7
	var keys [][]byte
	for i := range int64(n) {
		keys = append(keys, onlinetest.Key("driver_id", i))
	}
	driver := []string{"driver_id"}
	tables := put(t, s, "proj", driver, []string{"v"}, keys...)
	others := put(t, s, "my_proj", driver, []string{"v"}, keys...)
	var progress []int
	s.opts.Progress = func(keys int) { progress = append(progress, keys) }
	if err := s.Teardown(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(progress) || progress[len(progress)-1] < n || len(progress) < 4 {
		t.Errorf("progress %v, want some steps up to %d", progress, n)
	}
	if got := left(t, s); len(got) != n {
		t.Errorf("%d keys are left, want %d", len(got), n)
	}
	if err := s.Teardown(t.Context(), others); err != nil {
		t.Fatal(err)
	}
	expectLeft(t, s, map[string]string{})
}

func FuzzKeySpace(f *testing.F) {
	var golden struct {
		Keys []struct {
			Key hexBytes `json:"redis_key_hex"`
		} `json:"redis_key"`
	}
	readJSON(f, "entity_keys.json", &golden)
	for _, c := range golden.Keys {
		f.Add(string(c.Key), "driver_id", "proj")
	}
	f.Fuzz(func(t *testing.T, key, joinKey, project string) {
		for _, version := range []int{2, 3} {
			k := newKeySpace(version, project, []string{joinKey})
			if k.holds(key) && !(strings.HasPrefix(key, k.prefix) && strings.HasSuffix(key, project)) {
				t.Errorf("%q holds %q", k, key)
			}
			if own := string(keyOf(version, joinKey, "x")) + project; !k.holds(own) && strings.ToValidUTF8(joinKey, "") == joinKey {
				t.Errorf("%q does not hold %q", k, own)
			}
		}
	})
}
