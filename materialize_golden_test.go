package feast_test

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/online/sqlite"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// materializeCase is a materialization that was recorded of Feast.
type materializeCase struct {
	Sources []struct {
		Name                   string
		File                   string
		TimestampField         string            `json:"timestamp_field"`
		CreatedTimestampColumn string            `json:"created_timestamp_column"`
		FieldMapping           map[string]string `json:"field_mapping"`
	}
	Entities []struct {
		Name      string
		JoinKey   string `json:"join_key"`
		ValueType string `json:"value_type"`
	}
	FeatureViews []struct {
		Name     string
		Entities []string
		TTL      float64 `json:"ttl_seconds"`
		Source   string
		Online   *bool
		Schema   []struct{ Name, Dtype string }
	} `json:"feature_views"`
	Config struct {
		Materialization struct {
			PullLatest bool `json:"pull_latest_features"`
			BatchSize  int  `json:"online_write_batch_size"`
		}
	}
	Steps []struct {
		Op    string
		Start string   `json:"start_date"`
		End   string   `json:"end_date"`
		Views []string `json:"feature_views"`
	}
}

type materializeAnswer struct {
	Steps []struct {
		Status string
		Tables map[string][]struct {
			Key      string `json:"entity_key_hex"`
			Event    int64  `json:"event_ts"`
			Created  *int64 `json:"created_ts"`
			Features map[string]struct {
				Value string `json:"proto_hex"`
			}
		} `json:"online_tables"`
		Intervals map[string][][2]struct {
			TS string `json:"$ts"`
		} `json:"materialization_intervals"`
		States map[string]string
	}
}

// materializeErrors are the errors of cases in which Feast fails, too.
var materializeErrors = map[string]struct {
	class error
	says  string
}{
	"07_start_after_end":                    {feast.ErrInvalid, "Start 2024-01-02T00:00:00Z is after End 2024-01-01T00:00:00Z"},
	"12_unknown_view":                       {feast.ErrNotFound, `"nope" does not exist in project "golden"`},
	"13_not_online_view":                    {feast.ErrInvalid, `feature view "dv" is not served online`},
	"27_batch_view_aggregations":            {feast.ErrNotFound, "mean_y"}, // aggregations are not in the registry
	"28_batch_view_aggregation_time_window": {feast.ErrNotFound, "sum_x"},  // nor this one
}

// open makes the feature store of a case, with an SQLite file.
func (c *materializeCase) open(t *testing.T, dir, db string) (*feast.FeatureStore, *registrymemory.Backend) {
	t.Helper()
	var objects []feast.Object
	joinKeys := map[string]feast.Field{}
	for _, e := range c.Entities {
		typ, _ := types.ParseType(e.ValueType)
		joinKeys[e.Name] = feast.Field{Name: e.JoinKey, Type: typ}
		objects = append(objects, &feast.Entity{Name: e.Name, JoinKey: e.JoinKey, ValueType: typ})
	}
	sources := map[string]*feast.DataSource{}
	for _, s := range c.Sources {
		sources[s.Name] = &feast.DataSource{
			Name: s.Name, TimestampField: s.TimestampField, CreatedTimestampColumn: s.CreatedTimestampColumn,
			FieldMapping: s.FieldMapping, Options: registry.FileOptions{Path: s.File},
		}
	}
	for _, v := range c.FeatureViews {
		view := &feast.FeatureView{
			Name: v.Name, Entities: v.Entities, Source: sources[v.Source], TTL: time.Duration(v.TTL * float64(time.Second)),
			Online: v.Online == nil || *v.Online,
		}
		for _, e := range v.Entities {
			view.EntityColumns = append(view.EntityColumns, joinKeys[e])
		}
		for _, f := range v.Schema {
			typ, ok := types.ParseType(f.Dtype)
			if !ok {
				t.Fatalf("type %s", f.Dtype)
			}
			view.Schema = append(view.Schema, feast.Field{Name: f.Name, Type: typ})
		}
		objects = append(objects, view)
	}
	cfg := config.Default("golden")
	cfg.Materialization.PullLatestFeatures = c.Config.Materialization.PullLatest
	cfg.Materialization.OnlineWriteBatchSize = c.Config.Materialization.BatchSize
	store, err := sqlite.New(sqlite.Config{Path: db})
	if err != nil {
		t.Fatal(err)
	}
	backend := registrymemory.New()
	fs, err := feast.New(t.Context(), cfg, feast.WithRegistry(backend), feast.WithOnlineStore(store), feast.WithOfflineStore(file.New(dir)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	if _, err := fs.Apply(t.Context(), objects...); err != nil {
		t.Fatal(err)
	}
	return fs, backend
}

func TestGoldenMaterialize(t *testing.T) {
	cases, err := filepath.Glob("testdata/offline/materialize/*/case.json")
	if err != nil || len(cases) != 28 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			var c materializeCase
			var want materializeAnswer
			readJSON(t, filepath.Join("offline/materialize", name, "case.json"), &c)
			answers, err := filepath.Glob(filepath.Join(dir, "expected_*file*.json"))
			if err != nil || len(answers) != 1 {
				t.Fatalf("%q, %v", answers, err)
			}
			readJSON(t, filepath.Join("offline/materialize", name, filepath.Base(answers[0])), &want)
			db := filepath.Join(t.TempDir(), "online.db")
			fs, _ := c.open(t, dir, db)
			for i, step := range c.Steps {
				r := feast.MaterializeRequest{Views: step.Views}
				for text, into := range map[string]*time.Time{step.Start: &r.Start, step.End: &r.End} {
					if at, ok := types.ParseISOTime(text); ok {
						*into = at.Time()
					}
				}
				run := fs.Materialize
				if step.Op == "materialize_incremental" {
					run = fs.MaterializeIncremental
				}
				res, err := run(t.Context(), r)
				w := want.Steps[i]
				if fails, ok := materializeErrors[name]; ok {
					if w.Status != "error" || !errors.Is(err, fails.class) || !strings.Contains(fmt.Sprint(err), fails.says) {
						t.Errorf("%v, want an error with %q; Feast: %s", err, fails.says, w.Status)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				switch name {
				case "06_older_window_after_newer":
					if i == 1 { // departure 9: the newer rows stay
						w.Tables = want.Steps[0].Tables
						if v := res.Views[0]; v.Older != v.Read || v.Written != 0 || v.Read == 0 {
							t.Errorf("%+v", v)
						}
					}
				case "21_null_key": // departure 11: the row is skipped, and the run succeeds
					if v := res.Views[0]; v.NullKeys != 1 || v.Written != v.Read-1 || v.Read < 2 {
						t.Errorf("%+v", v)
					}
					compareTables(t, db, map[string]string{
						// the row of u1 with nulls is the newer one
						"golden_uv 0100000002000000040000007573657202000000020000007531 v": " 1704153600 null",
						"golden_uv 0100000002000000040000007573657202000000020000007531 s": " 1704153600 null",
						"golden_uv 0100000002000000040000007573657202000000020000007531 l": " 1704153600 null",
						"golden_uv 0100000002000000040000007573657202000000020000007532 v": "2005 1704067200 null",
						"golden_uv 0100000002000000040000007573657202000000020000007532 s": " 1704067200 null",
						"golden_uv 0100000002000000040000007573657202000000020000007532 l": "7200 1704067200 null",
					})
					compareStates(t, fs, map[string]string{"uv": "[2024-01-01T00:00:00Z 2024-01-06T00:00:00Z] AVAILABLE_ONLINE"})
					return
				}
				rows := map[string]string{}
				for table, list := range w.Tables {
					for _, r := range list {
						created := "null"
						if r.Created != nil {
							created = fmt.Sprint(*r.Created)
						}
						for feature, f := range r.Features {
							rows[table+" "+r.Key+" "+feature] = fmt.Sprintf("%s %d %s", f.Value, r.Event, created)
						}
					}
				}
				compareTables(t, db, rows)
				states := map[string]string{}
				for view, state := range w.States {
					for _, i := range w.Intervals[view] {
						states[view] += fmt.Sprintf("[%s %s] ", i[0].TS, i[1].TS)
					}
					states[view] += state
				}
				compareStates(t, fs, states)
			}
		})
	}
}

// compareTables compares what an SQLite file has: by table, key and feature the value and the times.
func compareTables(t *testing.T, path string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	rows, err := db.Query("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'golden_%'")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // others are read then
		t.Fatal(err)
	}
	for _, table := range tables {
		rows, err := db.Query(`SELECT entity_key, feature_name, value, CAST(event_ts AS INTEGER), CAST(created_ts AS INTEGER) FROM "` + table + `"`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var key, value []byte
			var feature string
			var event int64
			var created sql.NullInt64
			if err := rows.Scan(&key, &feature, &value, &event, &created); err != nil {
				t.Fatal(err)
			}
			at := "null"
			if created.Valid {
				at = fmt.Sprint(created.Int64)
			}
			got[fmt.Sprintf("%s %x %s", table, key, feature)] = fmt.Sprintf("%x %d %s", value, event, at)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil { //nolint:sqlclosecheck // once a table, not at the end
			t.Fatal(err)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is there: %s", name, got[name])
		}
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		value := func(s string) []byte {
			text, _, _ := strings.Cut(s, " ")
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		_, gt, _ := strings.Cut(g, " ")
		_, wt, _ := strings.Cut(w, " ")
		if gt != wt || !sameValue(t, value(g), value(w)) {
			t.Errorf("%s: %s, want %s", name, g, w)
		}
	}
}

// compareStates compares the windows and the state of views.
func compareStates(t *testing.T, fs *feast.FeatureStore, want map[string]string) {
	t.Helper()
	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		v, err := snap.FeatureView(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range v.MaterializationIntervals {
			got = append(got, fmt.Sprintf("[%s %s]", i.Start.Format(time.RFC3339Nano), i.End.Format(time.RFC3339Nano)))
		}
		if g := strings.Join(append(got, v.State.String()), " "); g != w {
			t.Errorf("%s: %s, want %s", name, g, w)
		}
	}
	if len(want) == 0 || !slices.ContainsFunc(slices.Collect(snap.FeatureViews()), func(v *feast.FeatureView) bool { return want[v.Name] != "" }) {
		t.Error("nothing was compared")
	}
}
