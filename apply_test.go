package feast_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/telemetry"
	_ "modernc.org/sqlite"
)

// newRepo makes the folder of a repository on files: registry.db and online.db.
func newRepo(t testing.TB, more string) string {
	t.Helper()
	dir := t.TempDir()
	text := "project: demo\nprovider: local\nregistry: registry.db\nonline_store:\n  type: sqlite\n  path: online.db\n" + more
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func source(name string) *feast.DataSource {
	return &feast.DataSource{Name: name, TimestampField: "event_timestamp", Options: feast.FileOptions{Path: name + ".parquet"}}
}

// newView is a view on drivers with these int64 features.
func newView(name string, features ...string) *feast.FeatureView {
	v := &feast.FeatureView{Name: name, Entities: []string{"driver"}, Online: true, Source: source("stats_source")}
	for _, f := range features {
		v.Schema = append(v.Schema, feast.Field{Name: f, Type: feast.Int64})
	}
	return v
}

func mustApply(t testing.TB, fs *feast.FeatureStore, objects ...feast.Object) *feast.Diff {
	t.Helper()
	d, err := fs.Apply(t.Context(), objects...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sqlTables returns the tables of a database file.
func sqlTables(t testing.TB, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// What a quickstart does: what was applied can be read at once.
func TestApply(t *testing.T) {
	dir := newRepo(t, "")
	var events []telemetry.Apply
	now := time.Date(2024, 5, 1, 12, 0, 0, 123456789, time.UTC)
	store := open(t, dir, feast.WithClock(func() time.Time { return now }),
		feast.WithHooks(telemetry.Hooks{Apply: func(_ context.Context, e telemetry.Apply) { events = append(events, e) }}))
	service := &feast.FeatureService{Name: "activity", Features: []feast.FeatureViewProjection{{Name: "stats"}}}
	objects := []feast.Object{driver, newView("stats", "a", "b"), service}

	want := `+ project "demo"
+ entity "driver"
+ data source "stats_source"
+ feature view "stats"
+ feature service "activity"
+ SQLite table "demo_stats"
5 to create, 0 to update, 0 to delete, 0 unchanged
`
	plan, err := store.Plan(t.Context(), objects...)
	if err != nil || plan.String() != want {
		t.Errorf("%v\n%s", err, plan)
	}
	if files := entries(t, dir); !slices.Equal(files, []string{"feature_store.yaml"}) {
		t.Errorf("a plan made %v", files)
	}
	if d := mustApply(t, store, objects...); d.String() != want || d.Base != plan.Base {
		t.Errorf("%s", d)
	}
	resp, err := store.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		FeatureService: "activity", Entities: feast.Columns{"driver_id": []int64{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := resp.Column("b"); err != nil || c.Status(0) != feast.NotFound {
		t.Error(c, err)
	}
	snap, err := store.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := snap.FeatureView("stats"); err != nil || !v.Created.Equal(now.Truncate(time.Microsecond)) {
		t.Error(v, err)
	}

	if d := mustApply(t, store, objects...); !d.Empty() || len(d.Changes) != 5 {
		t.Errorf("%s", d)
	}
	if _, err := store.Apply(t.Context(), newView("stats:x", "a")); !errors.Is(err, feast.ErrInvalid) {
		t.Error(err)
	}
	if _, err := store.ApplyAll(t.Context(), feast.ApplyRequest{
		Objects: []feast.Object{newView("stats", "a")}, Delete: []feast.Object{service},
	}); err != nil {
		t.Error(err)
	}
	want = "[{6 0 0} {0 0 0} {0 0 0 invalid} {1 1 1}]" // the last: a version, a view, a service
	got := []string{}
	for _, e := range events {
		text := fmt.Sprint(e.Created, e.Updated, e.Deleted)
		if errors.Is(e.Err, feast.ErrInvalid) {
			text += " invalid"
		}
		got = append(got, "{"+text+"}")
	}
	if s := fmt.Sprint(got); s != want {
		t.Errorf("events %s", s)
	}
}

// entries lists a folder.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// What Feast's plan did to the tables and their list in the registry, for five states of a repository.
func TestGoldenPlanInfra(t *testing.T) {
	type object struct{ SqliteTable struct{ Path, Name string } }
	var golden struct {
		Steps []struct {
			Step string
			Diff []struct{ Name, Type, Transition string } `json:"infra_diff"`
			New  struct{ InfraObjects []object }           `json:"new_infra"`
		}
	}
	text, err := os.ReadFile("registry/registrytest/testdata/plan.json")
	if err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := newRepo(t, "")
	yaml := strings.NewReplacer("project: demo", "project: planp", "path: online.db", "path: data/online.db")
	path := filepath.Join(dir, "feature_store.yaml")
	text, err = os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(yaml.Replace(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	store := open(t, dir)
	offline := newView("fv2", "acc_rate")
	offline.Online = false
	states := map[string][]feast.Object{
		"create":     {driver, newView("fv1", "conv_rate"), newView("fv2", "conv_rate")},
		"unchanged":  {driver, newView("fv1", "conv_rate"), newView("fv2", "conv_rate")},
		"update":     {driver, newView("fv1", "conv_rate"), offline},
		"delete":     {driver, newView("fv1", "conv_rate"), newView("fv3", "conv_rate")},
		"delete_all": {},
	}
	actions := map[string]feast.Action{"CREATE": feast.ActionCreate, "DELETE": feast.ActionDelete}
	for _, step := range golden.Steps {
		want := map[string]feast.Action{}
		for _, d := range step.Diff {
			if d.Transition != "UNCHANGED" {
				want[d.Name] = actions[d.Transition]
			}
		}
		r := feast.ApplyRequest{Objects: states[step.Step], Prune: true, DryRun: true}
		for range 2 {
			diff, err := store.ApplyAll(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]feast.Action{}
			for _, c := range diff.Infra {
				got[c.Object.SQLite.Name] = c.Action
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s, dry run %t: %v, want %v", step.Step, r.DryRun, got, want)
			}
			r.DryRun = false
		}
		snap, err := store.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		infra, err := snap.Infra()
		if err != nil {
			t.Fatal(err)
		}
		var got, names []string
		for _, o := range infra.Objects {
			if o.Class != "feast.infra.online_stores.sqlite.SqliteTable" {
				t.Error(o.Class)
			}
			// The recording ran without a repository's folder, which Feast puts before the path.
			got = append(got, strings.TrimPrefix(o.SQLite.Path, dir+string(filepath.Separator))+" "+o.SQLite.Name)
			names = append(names, o.SQLite.Name)
		}
		listed := []string{}
		for _, o := range step.New.InfraObjects {
			listed = append(listed, filepath.FromSlash(o.SqliteTable.Path)+" "+o.SqliteTable.Name)
		}
		slices.Sort(got)
		slices.Sort(listed)
		slices.Sort(names)
		if !slices.Equal(got, listed) {
			t.Errorf("%s: the registry lists %v, want %v", step.Step, got, listed)
		}
		if tables := sqlTables(t, filepath.Join(dir, "data", "online.db")); !slices.Equal(tables, names) {
			t.Errorf("%s: there are %v, listed are %v", step.Step, tables, names)
		}
	}
}

// Feast lists the tables of label views that are online, and would create and drop them when they were not.
func TestLabelViewInfra(t *testing.T) {
	store := open(t, newRepo(t, ""))
	served := &feast.LabelView{
		Name: "served", Entities: []string{"driver"}, Online: true,
		Schema: []feast.Field{{Name: "driver_id", Type: feast.Int64}, {Name: "verdict", Type: feast.String}, {Name: "labeler", Type: feast.String}},
	}
	kept := *served
	kept.Name, kept.Online = "kept", false
	diff, err := store.Apply(t.Context(), driver, served, &kept)
	if err != nil {
		t.Fatal(err)
	}
	if len(diff.Infra) != 1 || diff.Infra[0].Action != feast.ActionCreate || diff.Infra[0].Object.SQLite.Name != "demo_served" {
		t.Errorf("infrastructure: %+v", diff.Infra)
	}
	again := *served
	again.Online = false
	if diff, err = store.Apply(t.Context(), &again); err != nil {
		t.Fatal(err)
	}
	if len(diff.Infra) != 1 || diff.Infra[0].Action != feast.ActionDelete || diff.Infra[0].Object.SQLite.Name != "demo_served" {
		t.Errorf("infrastructure when it is not online any more: %+v", diff.Infra)
	}
}

// What a view keeps stays listed when a version of it is not promoted, also when that version has the table of another
// view: else Feast would create it.
func TestNotPromotedInfra(t *testing.T) {
	for _, versioning := range []string{"false", "true"} {
		dir := newRepo(t, "")
		path := filepath.Join(dir, "feature_store.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		yaml := strings.Replace(string(text), "registry: registry.db\n",
			"registry:\n  path: registry.db\n  enable_online_feature_view_versioning: "+versioning+"\n", 1)
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		store := open(t, dir)
		mustApply(t, store, driver, newView("stats", "a"), newView("stats_v1", "a"))
		for _, dryRun := range []bool{true, false} {
			diff, err := store.ApplyAll(t.Context(), feast.ApplyRequest{
				Objects: []feast.Object{newView("stats", "b")}, NoPromote: true, DryRun: dryRun,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := "+ version 1 of feature view \"stats\"\n1 to create, 0 to update, 0 to delete, 2 unchanged\n"
			if diff.String() != want {
				t.Errorf("versioning %s: got\n%s\nwant\n%s", versioning, diff, want)
			}
		}
		snap, err := store.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		infra, err := snap.Infra()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range infra.Objects {
			names = append(names, o.SQLite.Name)
		}
		slices.Sort(names)
		if want := []string{"demo_stats", "demo_stats_v1"}; !slices.Equal(names, want) {
			t.Errorf("versioning %s: the registry lists %v, want %v", versioning, names, want)
		}
	}
}
