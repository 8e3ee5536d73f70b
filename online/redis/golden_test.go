package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// goldenDB is the database of tests that look at all keys of the golden project.
const goldenDB = ",db=7"

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		err = d.Decode(into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hexBytes is bytes written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode([]byte{}, text)
	return err
}

// dump is a file of all keys.
type dump struct {
	Project string
	Config  map[string]any
	Version int `json:"entity_key_serialization_version"`
	Keys    []struct {
		Key    hexBytes
		TTL    int
		Fields []struct{ Field, Value hexBytes }
	}
}

func TestGoldenFieldsAndKeys(t *testing.T) {
	var golden struct {
		Fields []struct {
			Input string
			Field hexBytes `json:"field_hex"`
		} `json:"redis_feature_field"`
		Keys []struct {
			Project  string
			JoinKeys []string `json:"join_keys"`
			Version  int
			Key      hexBytes `json:"redis_key_hex"`
		} `json:"redis_key"`
	}
	readJSON(t, "entity_keys.json", &golden)
	for _, c := range golden.Fields {
		view, feature, ok := strings.Cut(c.Input, ":")
		if !ok {
			continue // no name of a feature
		}
		if got := featureField(view, feature); got != string(c.Field) {
			t.Errorf("field of %s: %x, want %x", c.Input, got, c.Field)
		}
	}
	for _, c := range golden.Keys {
		joinKeys := slices.Sorted(slices.Values(c.JoinKeys))
		for _, project := range []string{c.Project, "p", "golden_proj", "проект", "oj", ""} {
			k := newKeySpace(c.Version, project, joinKeys)
			if got, want := k.holds(string(c.Key)), project == c.Project; got != want {
				t.Errorf("key %x, project %q, join keys %q: holds %t, want %t", c.Key, project, joinKeys, got, want)
			}
		}
		if other := newKeySpace(c.Version, c.Project, append(joinKeys, "z")); other.holds(string(c.Key)) {
			t.Errorf("key %x belongs to join keys %q and %q", c.Key, joinKeys, append(joinKeys, "z"))
		}
	}
	if len(golden.Fields) == 0 || len(golden.Keys) == 0 {
		t.Fatal("no cases")
	}
}

// contents returns the hashes of the golden project.
func contents(t testing.TB, s *Store) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for it := s.client.Scan(t.Context(), 0, "*"+onlinetest.GoldenProject, 0).Iterator(); it.Next(t.Context()); {
		fields, err := s.client.HGetAll(t.Context(), it.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		out[it.Val()] = fields
	}
	return out
}

// goldenStore opens a store on a database without the golden project, now and when the test ends.
func goldenStore(t testing.TB, version int, keys map[string]any) *Store {
	t.Helper()
	all := map[string]any{"connection_string": goldenDB}
	maps.Copy(all, keys)
	s := openStore(t, version, all)
	clear := func() {
		ctx := context.WithoutCancel(t.Context()) // which ends before cleanup
		keys, err := s.client.Keys(ctx, "*"+onlinetest.GoldenProject).Result()
		if err == nil && len(keys) > 0 {
			err = s.client.Del(ctx, keys...).Err()
		}
		if err != nil {
			t.Error(err)
		}
	}
	clear()
	t.Cleanup(clear)
	return s
}

// TestGoldenWrites writes the rows that Feast wrote, and compares everything that is stored then.
func TestGoldenWrites(t *testing.T) {
	for i, name := range slices.Repeat([]string{"dump.json", "redis_ttl.json", "redis_skip_dedup.json", "redis_v2.json"}, 2) {
		scripts := i < 4
		t.Run(fmt.Sprintf("%s/scripts=%t", name, scripts), func(t *testing.T) {
			var golden dump
			readJSON(t, name, &golden)
			delete(golden.Config, "type")
			for k, v := range golden.Config {
				if n, ok := v.(json.Number); ok {
					golden.Config[k], _ = n.Int64()
				}
			}
			s := goldenStore(t, golden.Version, golden.Config)
			if !scripts {
				s.noScripts.came()
			}
			for _, b := range onlinetest.GoldenBatches(t, golden.Version) {
				if _, err := s.Write(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if (s.noScripts.left.Load() > 0) == scripts {
				t.Error("the server refuses scripts")
			}
			got := contents(t, s)
			for _, want := range golden.Keys {
				hash := got[string(want.Key)]
				for _, f := range want.Fields {
					if v, ok := hash[string(f.Field)]; !ok || !sameValue(t, []byte(v), f.Value) {
						t.Errorf("key %x, field %x: %x (there: %t), want %x", want.Key, f.Field, v, ok, f.Value)
					}
				}
				if len(hash) != len(want.Fields) {
					t.Errorf("key %x: %d fields, want %d", want.Key, len(hash), len(want.Fields))
				}
				ttl, err := s.client.TTL(t.Context(), string(want.Key)).Result()
				if err != nil {
					t.Fatal(err)
				}
				full := 604800 * time.Second
				if want.TTL < 0 && ttl >= 0 || want.TTL >= 0 && (ttl > full || ttl < full-time.Minute) {
					t.Errorf("key %x: lives for %v, want %d s", want.Key, ttl, want.TTL)
				}
			}
			if len(got) != len(golden.Keys) {
				t.Errorf("%d keys, want %d", len(got), len(golden.Keys))
			}
		})
	}
}

// sameValue reports whether two stored values are equal byte by byte, or equal maps in another order.
func sameValue(t testing.TB, got, want []byte) bool {
	t.Helper()
	if bytes.Equal(got, want) {
		return true
	}
	if len(got) < 2 || len(want) < 2 {
		return false
	}
	var decoded []any
	for _, b := range [][]byte{got, want} {
		tag, _ := binary.Uvarint(b)
		typ := types.Type(tag >> 3)
		if typ != types.Map && typ != types.MapList && typ != types.Struct && typ != types.StructList {
			return false
		}
		c := types.NewColumn("", typ, 1)
		if err := c.SetValue(0, b); err != nil {
			t.Fatal(err)
		}
		decoded = append(decoded, c.Any(0))
	}
	return reflect.DeepEqual(decoded[0], decoded[1])
}

// goldenRequest is a request of expected.json, as far as it concerns a store.
type goldenRequest struct {
	ID       string
	Features []string
	Service  string `json:"feature_service"`
	Entities any    `json:"entity_rows"`
	Full     bool   `json:"full_feature_names"`
	Expected struct {
		Names   []string `json:"feature_names"`
		Results []struct {
			Values []struct{ Hex hexBytes }
			Events []struct {
				Seconds int64 `json:",string"`
				Nanos   int32
			} `json:"event_timestamps"`
		}
	}
}

// goldenServices are the features of the services, with the views' own names in place of aliases.
var goldenServices = map[string][]string{
	"svc": {
		"driver_stats:label", "driver_stats:conv_rate", "customer_profile:name", "customer_profile:age",
		"customer_profile:last_login", "customer_profile:tags", "customer_profile:emb", "driver_customer:rides",
	},
	"svc_alias": {"driver_stats:acc_rate", "ttl_view:score", "ttl_view:rank"},
}

// column is the name under which a feature is answered.
func (r *goldenRequest) column(ref string) string {
	view, feature, _ := strings.Cut(ref, ":")
	if !r.Full {
		return feature
	}
	if r.Service == "svc_alias" && view == "driver_stats" {
		view = "ds_alias"
	}
	return view + "__" + feature
}

// rows returns the entity rows.
func (r *goldenRequest) rows() []map[string]any {
	var rows []map[string]any
	switch entities := r.Entities.(type) {
	case []any:
		for _, row := range entities {
			rows = append(rows, row.(map[string]any))
		}
	case map[string]any:
		for name, values := range entities {
			for i, v := range values.([]any) {
				if i == len(rows) {
					rows = append(rows, map[string]any{})
				}
				rows[i][name] = v
			}
		}
	}
	return rows
}

// goldenTables returns the views by name.
func goldenTables(t testing.TB) map[string]*online.Table {
	tables := map[string]*online.Table{}
	for _, b := range onlinetest.GoldenBatches(t, 3) {
		if tables[b.Table.View] == nil { // the first rows of every view are whole
			tables[b.Table.View] = b.Table
		}
	}
	return tables
}

// goldenKey is the key of a row; ok is false when the row does not have all of the join keys.
func goldenKey(t testing.TB, joinKeys []string, row map[string]any) (key []byte, ok bool) {
	var parts []any
	for _, k := range joinKeys {
		c := types.NewColumn(k, types.Int64, 1)
		v, ok := row[k]
		switch {
		case k == online.DummyJoinKey:
			return onlinetest.Key(k, ""), true
		case !ok:
			return nil, false
		case k == "customer_id":
			c = types.NewColumn(k, types.String, 1)
		}
		if err := c.SetScalar(0, v); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, k, c.Any(0))
	}
	return onlinetest.Key(parts...), true
}

// plan returns the tables of a request by view, and the read with its keys: views with the same join keys in a group.
func (r *goldenRequest) plan(t testing.TB, views map[string]*online.Table, refs []string) (map[string]*online.Table, *online.ReadPlan, [][]online.Key) {
	t.Helper()
	tables, sets := map[string]*online.Table{}, map[string]int{}
	var groups [][]*online.Table
	var keys [][]online.Key
	for _, ref := range refs {
		view, feature, _ := strings.Cut(ref, ":")
		table := tables[view]
		if table == nil {
			table = onlinetest.Pick(views[view])
			table.Features, tables[view] = nil, table
			joinKeys := strings.Join(table.JoinKeys, ",")
			set, ok := sets[joinKeys]
			if !ok {
				set = len(groups)
				sets[joinKeys] = set
				groups, keys = append(groups, nil), append(keys, nil)
				for i, row := range r.rows() {
					key, ok := goldenKey(t, table.JoinKeys, row)
					if !ok {
						t.Fatalf("%s: row %d has no key of %s", r.ID, i, view)
					}
					keys[set] = append(keys[set], online.Key{Bytes: key, Row: i})
				}
			}
			groups[set] = append(groups[set], table)
		}
		table.Features = append(table.Features, onlinetest.Pick(views[view], feature).Features...)
	}
	return tables, online.NewReadPlan(groups...), keys
}

// TestGoldenReads answers all requests from the data that Feast wrote.
func TestGoldenReads(t *testing.T) {
	s := goldenStore(t, 3, nil)
	var golden dump
	readJSON(t, "dump.json", &golden)
	stored := map[string]map[string][]byte{}
	for _, k := range golden.Keys {
		hash := map[string][]byte{}
		var args []any
		for _, f := range k.Fields {
			hash[string(f.Field)] = f.Value
			args = append(args, []byte(f.Field), []byte(f.Value))
		}
		stored[string(k.Key)] = hash
		if err := s.client.HSet(t.Context(), string(k.Key), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}

	type file struct {
		Requests []goldenRequest
		Same     []string `json:"same_as_sqlite"`
	}
	var own, sqlite file
	readJSON(t, "expected.json", &own)
	readJSON(t, "sqlite/expected.json", &sqlite)
	for _, r := range sqlite.Requests {
		if slices.Contains(own.Same, r.ID) {
			own.Requests = append(own.Requests, r)
		}
	}
	tables := goldenTables(t)
	ran := 0
	for _, r := range own.Requests {
		if r.Expected.Names == nil {
			continue // an error of the front
		}
		if r.ID == "r41" {
			continue // part of a composite key, which is an error here (departure 4)
		}
		ran++
		refs := r.Features
		if r.Service != "" {
			refs = goldenServices[r.Service]
		}
		byView, plan, keys := r.plan(t, tables, refs)
		rows := len(r.rows())
		res := onlinetest.Read(t, s, plan, rows, online.NewKeys(keys...))
		for _, ref := range refs {
			view, feature, _ := strings.Cut(ref, ":")
			table := byView[view]
			f := slices.IndexFunc(table.Features, func(f types.Field) bool { return f.Name == feature })
			want := r.Expected.Results[slices.Index(r.Expected.Names, r.column(ref))]
			if len(want.Values) != rows {
				t.Fatalf("%s: %d rows, want %d", r.ID, rows, len(want.Values))
			}
			for row, key := range keys[table.Group()] {
				hash := stored[string(key.Bytes)+golden.Project]
				_, found := hash["_ts:"+view]
				status := types.Present // departure 1: Feast answers PRESENT in all cases
				switch v, ok := hash[featureField(view, feature)]; {
				case !found || !ok:
					status = types.NotFound
				case len(v) == 0 || string(v) == "\x40\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01":
					status = types.NullValue
				}
				c := res.Column(table, f)
				got := c.AppendValue(nil, row)
				if c.Status(row) != status || !sameValue(t, got, want.Values[row].Hex) {
					t.Errorf("%s, %s, row %d: %s %x, want %s %x", r.ID, ref, row, c.Status(row), got, status, want.Values[row].Hex)
				}
				event := types.Timestamp{Seconds: want.Events[row].Seconds, Nanos: want.Events[row].Nanos}
				if res.Found(table, row) != found || res.Event(table, row, f) != event {
					t.Errorf("%s, %s, row %d: found %t with event time %v, want %t, %v",
						r.ID, ref, row, res.Found(table, row), res.Event(table, row, f), found, event)
				}
			}
		}
	}
	if ran < 30 {
		t.Errorf("only %d requests ran", ran)
	}
}

// TestGoldenSemantics stores the rows that the answers show, and reads them.
func TestGoldenSemantics(t *testing.T) {
	s := goldenStore(t, 3, nil)
	var cases []struct {
		ID      string
		Request struct {
			Features []string
			Service  string `json:"feature_service"`
			Entities struct {
				Drivers []int64 `json:"driver_id"`
			} `json:"entity_rows"`
		}
		Result map[string]struct {
			Values []any
			Events []time.Time `json:"event_timestamps"`
		}
	}
	readJSON(t, "redis_semantics.json", &cases)
	fieldTypes := map[string]types.Type{"conv_rate": types.Float32, "rating": types.Int32, "old_trips": types.Int64}
	ran := 0
	for _, c := range cases {
		if c.Request.Service != "" {
			continue // precomputed vectors are not this package's matter
		}
		ran++
		var tables []*online.Table
		var keys []online.Key
		for row, id := range c.Request.Entities.Drivers {
			keys = append(keys, online.Key{Bytes: onlinetest.Key("driver_id", id), Row: row})
		}
		for _, ref := range c.Request.Features {
			view, feature, _ := strings.Cut(ref, ":")
			table := &online.Table{
				Project: onlinetest.GoldenProject, View: view, JoinKeys: []string{"driver_id"},
				Features: []types.Field{{Name: feature, Type: fieldTypes[feature]}},
			}
			tables = append(tables, table)
			for row, v := range c.Result[feature].Values {
				event := types.TimestampOf(c.Result[feature].Events[row])
				if event.IsZero() {
					continue // no row
				}
				b := onlinetest.Batch(onlinetest.Pick(table), onlinetest.Row{Key: keys[row].Bytes, Event: event, Values: []any{v}})
				b.Overwrite = true
				if _, err := s.Write(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
		}
		res := onlinetest.Read(t, s, online.NewReadPlan(tables), len(keys), online.NewKeys(keys))
		for _, table := range tables {
			want := c.Result[table.Features[0].Name]
			for row := range keys {
				col, event := res.Column(table, 0), types.TimestampOf(want.Events[row])
				status := types.Present
				if event.IsZero() {
					status = types.NotFound // departure 1: Feast says PRESENT
				}
				text := "null"
				if v, ok := want.Values[row].(json.Number); ok {
					text = v.String()
				}
				got := strings.TrimSuffix(string(col.AppendJSON(nil, row)), ".0")
				if col.Status(row) != status || got != text || res.RowEvent(table, row) != event {
					t.Errorf("%s, %s, row %d: %s %s at %v, want %s %s at %v", c.ID, table.View, row,
						col.Status(row), got, res.RowEvent(table, row), status, text, event)
				}
			}
		}
		if err := s.Teardown(t.Context(), tables); err != nil {
			t.Fatal(err)
		}
	}
	if ran != 4 {
		t.Errorf("%d cases ran, want 4", ran)
	}
	if left := contents(t, s); len(left) > 0 {
		t.Errorf("Teardown left %d keys", len(left))
	}
}
