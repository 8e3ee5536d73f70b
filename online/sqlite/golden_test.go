package sqlite

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
)

// goldenTables returns the views of the golden repository by name, with their features sorted by name.
func goldenTables(t testing.TB) map[string]*online.Table {
	t.Helper()
	tables := map[string]*online.Table{}
	for _, b := range onlinetest.GoldenBatches(t, 3) {
		if tables[b.Table.View] == nil {
			tables[b.Table.View] = b.Table
		}
	}
	return tables
}

// goldenServices are the references of the golden repository's feature services; "ds_alias" stands for driver_stats.
var goldenServices = map[string][]string{
	"svc": {
		"driver_stats:label", "driver_stats:conv_rate", "customer_profile:name", "customer_profile:age",
		"customer_profile:last_login", "customer_profile:tags", "customer_profile:emb", "driver_customer:rides",
	},
	"svc_alias": {"ds_alias:acc_rate", "ttl_view:score", "ttl_view:rank"},
}

// goldenFree are the requests whose times are free: Feast answers that of any feature of the row (departure 2).
var goldenFree = []string{"r01", "r02", "r07"}

type goldenRequest struct {
	ID       string
	Features []string
	Service  string          `json:"feature_service"`
	Rows     json.RawMessage `json:"entity_rows"`
	Full     bool            `json:"full_feature_names"`
	Expected struct {
		Error   string
		Names   []string `json:"feature_names"`
		Results []struct {
			Values   []struct{ Hex string }
			Statuses []string
			Times    []struct {
				Seconds int64 `json:",string"`
			} `json:"event_timestamps"`
		}
	}
}

// columns returns the entity rows as columns, and their number.
func (r *goldenRequest) columns(t *testing.T) (columns map[string][]any, rows int) {
	decode := func(into any) error {
		d := json.NewDecoder(bytes.NewReader(r.Rows))
		d.UseNumber()
		return d.Decode(into)
	}
	if err := decode(&columns); err != nil {
		var list []map[string]any
		if err := decode(&list); err != nil {
			t.Fatalf("%s: %v", r.ID, err)
		}
		columns = map[string][]any{}
		for _, row := range list {
			for name, v := range row {
				columns[name] = append(columns[name], v)
			}
		}
	}
	for _, c := range columns {
		rows = len(c)
	}
	return columns, rows
}

// goldenKeyTypes are the types of the golden repository's join keys.
var goldenKeyTypes = map[string]types.Type{"driver_id": types.Int64, "customer_id": types.String, "item_id": types.Int64}

// keys serializes the keys of a view. Join keys that the request lacks are left out: golden r41 looks up such a key, which
// the front refuses (departure 4).
func (r *goldenRequest) keys(t *testing.T, view *online.Table) []online.Key {
	columns, rows := r.columns(t)
	var joinKeys []string
	for _, k := range view.JoinKeys {
		if columns[k] != nil || k == online.DummyJoinKey {
			joinKeys = append(joinKeys, k)
		}
	}
	enc, err := online.NewKeyEncoding(3, joinKeys)
	if err != nil {
		t.Fatal(err)
	}
	var values []*types.Column
	for _, k := range enc.JoinKeys() {
		c := types.NewColumn(k, goldenKeyTypes[k], rows)
		if k == online.DummyJoinKey {
			c = types.NewColumn(k, types.String, rows)
		}
		for row := range rows {
			var v any = ""
			if k != online.DummyJoinKey {
				v = columns[k][row]
			}
			if err := c.SetScalar(row, v); err != nil {
				t.Fatalf("%s: %s: %v", r.ID, k, err)
			}
		}
		values = append(values, c)
	}
	var keys []online.Key
	for row := range rows {
		b, err := enc.Append(nil, values, row)
		if err != nil {
			t.Fatalf("%s: %v", r.ID, err)
		}
		keys = append(keys, online.Key{Bytes: b, Row: row})
	}
	return keys
}

// TestGolden reads the golden file and compares every answer of golden/online/sqlite/expected.json that comes from the
// store. Requests that end in an error never reach it.
func TestGolden(t *testing.T) {
	var golden struct{ Requests []goldenRequest }
	data, err := os.ReadFile("testdata/golden/expected.json")
	if err == nil {
		err = json.Unmarshal(data, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := copied(t, "golden/online_store.db")
	s := open(t, Config{Path: path})
	views := goldenTables(t)
	answered := 0
	for _, r := range golden.Requests {
		if r.Expected.Error != "" {
			continue
		}
		answered++
		t.Run(r.ID, func(t *testing.T) { goldenAnswer(t, s, views, &r) })
	}
	if want := len(golden.Requests) - 7; answered != want { // r33 to r39 are errors
		t.Errorf("%d requests were answered, want %d", answered, want)
	}
	before, err := os.ReadFile("testdata/golden/online_store.db")
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("reading changed the file (%v)", err)
	}
}

func goldenAnswer(t *testing.T, s *Store, views map[string]*online.Table, r *goldenRequest) {
	refs := r.Features
	if r.Service != "" {
		refs = goldenServices[r.Service]
	}
	byView := map[string][]string{}
	type column struct {
		table   *online.Table
		feature int
	}
	columns := map[string]column{} // by name in the answer
	for _, ref := range refs {
		view, feature, _ := strings.Cut(ref, ":")
		byView[view] = append(byView[view], feature)
	}
	var groups [][]*online.Table
	var keys [][]online.Key
	rows := 0
	for _, name := range slices.Sorted(maps.Keys(byView)) {
		view := views[name]
		if name == "ds_alias" {
			view = views["driver_stats"]
		}
		table := onlinetest.Pick(view, byView[name]...)
		for f, feature := range byView[name] {
			if r.Full {
				feature = name + "__" + feature
			}
			columns[feature] = column{table, f}
		}
		groups, keys = append(groups, []*online.Table{table}), append(keys, r.keys(t, view))
		_, rows = r.columns(t)
	}
	res := onlinetest.Read(t, s, online.NewReadPlan(groups...), rows, online.NewKeys(keys...))

	compared := 0
	for i, name := range r.Expected.Names {
		c, ok := columns[name]
		if !ok {
			continue // an entity column, which the front answers
		}
		compared++
		want := r.Expected.Results[i]
		got := res.Column(c.table, c.feature)
		for row := range rows {
			where := fmt.Sprintf("%s, row %d", name, row)
			// A stored null is NULL_VALUE here and PRESENT in Feast (departure 1).
			if status := got.Status(row); (status == types.NotFound) != (want.Statuses[row] == "NOT_FOUND") {
				t.Errorf("%s: got status %v, want %s", where, status, want.Statuses[row])
			}
			if g, w := cellText(got, row), hexText(t, got.Type(), want.Values[row].Hex); g != w {
				t.Errorf("%s: got %s, want %s", where, g, w)
			}
			if slices.Contains(goldenFree, r.ID) {
				continue
			}
			if g, w := res.Event(c.table, row, c.feature), (types.Timestamp{Seconds: want.Times[row].Seconds}); g != w {
				t.Errorf("%s: got event time %v, want %v", where, g, w)
			}
		}
	}
	if compared != len(columns) {
		t.Errorf("compared %d columns, want %d", compared, len(columns))
	}
}

// cellText is a cell as text: its bytes, but for maps, the entries of which have no order in bytes, what they hold.
func cellText(c *types.Column, row int) string {
	switch c.Type() {
	case types.Map, types.MapList, types.Struct, types.StructList, types.ScalarMap:
		return fmt.Sprintf("%v", c.Any(row)) // sorted by key
	}
	return hex.EncodeToString(c.AppendValue(nil, row))
}

// hexText is cellText of a value in hex.
func hexText(t *testing.T, typ types.Type, value string) string {
	t.Helper()
	b, err := hex.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	c := types.NewColumn("", typ, 1)
	if err := c.SetValue(0, b); err != nil {
		t.Fatal(err)
	}
	return cellText(c, 0)
}

// dump returns the schema of a file and the rows of its tables as text, map values as cellText has them.
func dump(t *testing.T, path string, features map[string]types.Type) []string {
	t.Helper()
	out := query(t, path, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
	for _, table := range query(t, path, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		for _, line := range query(t, path, "SELECT feature_name, typeof(value), value, entity_key, * FROM "+quote(table)+" ORDER BY entity_key, feature_name") {
			parts := strings.Split(line, "|")
			name, kind, value := parts[0], parts[1], strings.ReplaceAll(parts[2], "NULL", "")
			if typ := features[table+":"+name]; typ == types.Map || typ == types.MapList || typ == types.Struct || typ == types.StructList {
				line = strings.ReplaceAll(line, value, hexText(t, typ, value))
			}
			out = append(out, table+"|"+kind+"|"+line)
		}
	}
	return out
}

// TestGoldenWrite writes the rows that Feast wrote, in the same order and as Feast does over newer ones, too: the file then
// equals Feast's, schema and rows.
func TestGoldenWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "online.db")
	s := open(t, Config{Path: path})
	features := map[string]types.Type{}
	for _, b := range onlinetest.GoldenBatches(t, 3) {
		if err := s.Update(t.Context(), []*online.Table{b.Table}, nil); err != nil {
			t.Fatal(err)
		}
		b.Overwrite = true
		if res, err := s.Write(t.Context(), b); err != nil || res.Written != b.Rows() {
			t.Fatalf("Write: %+v, %v", res, err)
		}
		for _, f := range b.Table.Features {
			features[b.Table.ID()+":"+f.Name] = f.Type
		}
	}
	got, want := dump(t, path, features), dump(t, copied(t, "golden/online_store.db"), features)
	if len(want) != 334 {
		t.Errorf("the golden file has %d rows and objects, want 334", len(want))
	}
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("got  %s\nwant %s", g, w)
		}
	}
}

// TestGoldenNewest writes the same rows so that newer ones are kept (departure 9), and reads them: per feature, the row
// with the newest time in whole seconds, of equal ones the last.
func TestGoldenNewest(t *testing.T) {
	type kept struct {
		value string
		event int64
	}
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	want := map[*online.Table]map[string][]kept{} // by table and key, parallel to the features
	views := goldenTables(t)
	older := 0
	for _, b := range onlinetest.GoldenBatches(t, 3) {
		view := views[b.Table.View]
		if want[view] == nil {
			want[view] = map[string][]kept{}
		}
		if err := s.Update(t.Context(), []*online.Table{b.Table}, nil); err != nil {
			t.Fatal(err)
		}
		wantOlder := 0
		for row, key := range b.Keys {
			cells := want[view][string(key)]
			if cells == nil {
				cells = make([]kept, len(view.Features))
				want[view][string(key)] = cells
			}
			stored := false
			for f, field := range b.Table.Features {
				at := slices.Index(view.Features, field)
				event := b.Event[row].Time().Unix()
				if b.Event[row].Seconds < 0 && b.Event[row].Nanos > 0 {
					event++ // toward zero
				}
				if cells[at].value == "" || event >= cells[at].event {
					cells[at], stored = kept{cellText(b.Columns[f], row) + ".", event}, true
				}
			}
			if !stored {
				wantOlder++
			}
		}
		res, err := s.Write(t.Context(), b)
		if w := (online.WriteResult{Written: b.Rows() - wantOlder, Older: wantOlder}); err != nil || res != w {
			t.Fatalf("Write to %s: got %+v, %v, want %+v", b.Table.View, res, err, w)
		}
		older += wantOlder
	}
	if older != 2 {
		t.Errorf("%d rows were older, want 2", older)
	}
	for view, byKey := range want {
		var keys [][]byte
		for key := range byKey {
			keys = append(keys, []byte(key))
		}
		table := onlinetest.Pick(view)
		res := get(t, s, table, keys...)
		for row, key := range keys {
			for f, field := range view.Features {
				var got kept
				if c := res.Column(table, f); c.Status(row) != types.NotFound {
					got = kept{cellText(c, row) + ".", res.Event(table, row, f).Seconds}
				}
				if w := byKey[string(key)][f]; got != w {
					t.Errorf("%s.%s of %x: got %v, want %v", view.View, field.Name, key, got, w)
				}
			}
		}
	}
}

// TestServing reads the file of golden/serving: rows that have only some features, and a view that holds none.
func TestServing(t *testing.T) {
	s := open(t, Config{Path: copied(t, "serving/online_store.db")})
	table := &online.Table{Project: "serving_golden", View: "all_types", JoinKeys: []string{"driver_id"}, Features: []types.Field{
		{Name: "f_int32", Type: types.Int32}, {Name: "f_string", Type: types.String}, {Name: "f_int64", Type: types.Int64},
	}}
	empty := &online.Table{Project: "serving_golden", View: "disabled_view", JoinKeys: []string{"driver_id"}, Features: table.Features[:1]}
	plan := online.NewReadPlan([]*online.Table{table, empty})
	res := onlinetest.Read(t, s, plan, 4, online.NewKeys(onlinetest.KeysOf(driver(1001), driver(1002), driver(1004), driver(1))))
	for row, want := range []string{"[PRESENT PRESENT PRESENT]", "[NULL_VALUE NULL_VALUE NULL_VALUE]", "[PRESENT PRESENT NOT_FOUND]", "[NOT_FOUND NOT_FOUND NOT_FOUND]"} {
		var got []types.Status
		for f := range table.Features {
			got = append(got, res.Column(table, f).Status(row))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("row %d: got %v, want %s", row, got, want)
		}
		if found := res.Found(table, row); found != (row < 3) {
			t.Errorf("row %d: found %t", row, found)
		}
		if res.Found(empty, row) {
			t.Errorf("row %d: found in the empty view", row)
		}
	}
}

// TestVersions reads the three versions of a view of golden/serving/repo_versions, and writes them anew.
func TestVersions(t *testing.T) {
	path := copied(t, "versions/online_store.db")
	s := open(t, Config{Path: path})
	fresh := filepath.Join(t.TempDir(), "online.db")
	copyTo := open(t, Config{Path: fresh, OpenAICompatible: true})
	fields := []types.Field{{Name: "a", Type: types.Int64}, {Name: "b", Type: types.Float64}, {Name: "c", Type: types.String}}
	for version, want := range [][]string{
		{"[10 <nil> <nil>]", "[20 <nil> <nil>]", "[<nil> <nil> <nil>]"},
		{"[10 1.5 <nil>]", "[20 2.5 <nil>]", "[<nil> <nil> <nil>]"},
		{"[10 1.5 x]", "[20 2.5 y]", "[<nil> <nil> <nil>]"},
	} {
		table := &online.Table{
			Project: "serving_versions", View: "vfv", Version: version, JoinKeys: []string{"driver_id"}, Features: fields,
		}
		res := get(t, s, table, driver(1), driver(2), driver(3))
		for row := range want {
			var got []any
			for f := range fields {
				got = append(got, res.Column(table, f).Any(row))
			}
			if fmt.Sprint(got) != want[row] {
				t.Errorf("version %d, row %d: got %v, want %s", version, row, got, want[row])
			}
		}
		stored := onlinetest.Pick(table)
		stored.Features = fields[:version+1]
		batch := &online.WriteBatch{Table: stored, Keys: [][]byte{driver(1), driver(2)}, Event: []types.Timestamp{{Seconds: 1704067200}, {Seconds: 1704067200}}}
		for f, field := range stored.Features {
			c := types.NewColumn(field.Name, field.Type, 2)
			for row := range 2 {
				if err := c.CopyFrom(res.Column(table, f), row); err != nil {
					t.Fatal(err)
				}
			}
			batch.Columns = append(batch.Columns, c)
		}
		if err := copyTo.Update(t.Context(), []*online.Table{stored}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := copyTo.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		// value_num, too, is Feast's.
		for _, q := range []string{
			"SELECT sql FROM sqlite_schema WHERE tbl_name = '" + stored.ID() + "'",
			"SELECT * FROM " + quote(stored.ID()) + " ORDER BY entity_key, feature_name",
		} {
			if got, want := query(t, fresh, q), query(t, path, q); !slices.Equal(got, want) {
				t.Errorf("version %d: got %q, want %q", version, got, want)
			}
		}
	}
}
