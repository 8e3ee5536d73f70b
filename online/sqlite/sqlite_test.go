package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/types"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == helperArg {
		helper(os.Args[2], os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run(mode, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "online.db")
			if mode == "wal" {
				query(t, path, "PRAGMA journal_mode=wal", "CREATE TABLE other (x)") // the table keeps the file
			}
			onlinetest.Run(t, onlinetest.Harness{
				Open:         func(t testing.TB, _ string) online.Store { return open(t, Config{Path: path}) },
				FeatureTimes: true,
				Resolution:   time.Second,
				Tables:       true,
			})
		})
	}
}

// open makes a store that is closed when the test ends.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// copied returns a copy of a file of testdata, with what SQLite keeps beside it.
func copied(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "online.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+suffix))
		if err != nil && suffix != "" {
			continue
		}
		if err == nil {
			err = os.WriteFile(path+suffix, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// query runs statements as another program does, through database/sql, and returns the rows of the last one as text:
// columns apart by a bar, blobs in hex, NULL as such.
func query(t testing.TB, path string, statements ...string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements[:len(statements)-1] {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	last := statements[len(statements)-1]
	rows, err := db.QueryContext(t.Context(), last)
	if err != nil {
		t.Fatalf("%s: %v", last, err)
	}
	defer rows.Close()
	var out []string
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		cells := make([]string, len(columns))
		for i, v := range values {
			switch v := (*v.(*any)).(type) {
			case nil:
				cells[i] = "NULL"
			case []byte:
				cells[i] = fmt.Sprintf("%x", v)
			default:
				cells[i] = fmt.Sprint(v)
			}
		}
		out = append(out, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// stats is the table of most tests: project p, view stats, of drivers, with int64 features.
func stats(features ...string) *online.Table {
	t := &online.Table{Project: "p", View: "stats", Entities: []string{"driver"}, JoinKeys: []string{"driver_id"}}
	for _, f := range features {
		t.Features = append(t.Features, types.Field{Name: f, Type: types.Int64})
	}
	return t
}

func driver(n int) []byte { return onlinetest.Key("driver_id", int64(n)) }

func at(n int64) types.Timestamp { return types.Timestamp{Seconds: 1704164645 + n} }

// get reads a table for keys, which fill rows 0, 1, 2...
func get(t testing.TB, s *Store, table *online.Table, keys ...[]byte) *online.Result {
	t.Helper()
	return onlinetest.Read(t, s, online.NewReadPlan([]*online.Table{table}), len(keys), online.NewKeys(onlinetest.KeysOf(keys...)))
}

// readContext reads a table for one key, and returns what went wrong.
func readContext(ctx context.Context, t testing.TB, s *Store, table *online.Table, key []byte) error {
	t.Helper()
	plan := online.NewReadPlan([]*online.Table{onlinetest.Pick(table)})
	r, err := s.Prepare(plan)
	if err != nil {
		t.Fatal(err)
	}
	res := online.NewResult(plan, 1)
	if err := r.Read(ctx, online.NewKeys(onlinetest.KeysOf(key)), res); err != nil {
		return err
	}
	return res.Err(plan.Tables()[0])
}

// cells returns a row as text: values with their event times, less that of at(0); "-" where nothing is stored.
func cells(res *online.Result, table *online.Table, row int) string {
	var out []string
	for f := range table.Features {
		c := res.Column(table, f)
		if c.Status(row) == types.NotFound {
			out = append(out, "-")
			continue
		}
		out = append(out, fmt.Sprintf("%v@%d", c.Any(row), res.Event(table, row, f).Seconds-at(0).Seconds))
	}
	return strings.Join(out, " ")
}

// put creates a table, if need be, and writes rows to it.
func put(t testing.TB, s *Store, table *online.Table, rows ...onlinetest.Row) online.WriteResult {
	t.Helper()
	if err := s.Update(t.Context(), []*online.Table{table}, nil); err != nil {
		t.Fatal(err)
	}
	res, err := s.Write(t.Context(), onlinetest.Batch(table, rows...))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func row(n int, event types.Timestamp, values ...any) onlinetest.Row {
	return onlinetest.Row{Key: driver(n), Event: event, Values: values}
}

func TestRegistered(t *testing.T) {
	dir := t.TempDir()
	for _, typ := range []string{"sqlite", "feast.infra.online_stores.sqlite.SqliteOnlineStore"} {
		s, err := online.Open(t.Context(), config.NewSection(typ, nil), online.Env{Project: "p", RepoDir: dir})
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		defer s.Close()
		if got, want := s.Info(), (online.Info{Name: "sqlite", Versioned: true}); got != want {
			t.Errorf("%s: got %+v, want %+v", typ, got, want)
		}
		if got, want := s.(*Store).pool.path, filepath.Join(dir, "data", "online.db"); got != want {
			t.Errorf("%s: got path %s, want %s", typ, got, want)
		}
	}
}

// TestGoldenConfig opens stores from the configurations of golden/registry/config/cases.json that concern this store.
func TestGoldenConfig(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Env   map[string]string
		Cases []struct {
			ID, YAML string
			Config   struct {
				OnlineStore struct {
					Path string
				} `json:"online_store"`
			}
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	lookup := func(name string) (string, bool) { v, ok := golden.Env[name]; return v, ok }
	wantErrors := map[string]string{
		"online_sqlite_unknown_key": "feature_store.yaml:5: online_store.bogus: is not a known key",
		"env_in_key":                "feature_store.yaml:5: online_store.envproj: is not a known key",
	}
	want := []string{"minimal", "online_dict_no_type", "online_sqlite_unknown_key", "env_in_key"}
	var done []string
	for _, c := range golden.Cases {
		if !slices.Contains(want, c.ID) {
			continue
		}
		done = append(done, c.ID)
		cfg, err := config.Parse([]byte(c.YAML), "feature_store.yaml", "repo", lookup)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		s, err := online.Open(t.Context(), cfg.OnlineStore, online.Env{RepoDir: cfg.RepoPath})
		if wantErr := wantErrors[c.ID]; wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) || !errors.Is(err, feasterr.ErrInvalid) {
				t.Errorf("%s: got error %v, want %s", c.ID, err, wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		defer s.Close()
		got := s.(*Store)
		if want := filepath.Join(cfg.RepoPath, filepath.FromSlash(c.Config.OnlineStore.Path)); got.pool.path != want {
			t.Errorf("%s: got path %s, want %s", c.ID, got.pool.path, want)
		}
		if got.cfg.VectorEnabled || got.cfg.TextSearchEnabled || got.cfg.OpenAICompatible || got.cfg.Similarity != "cosine" {
			t.Errorf("%s: got %+v, want Feast's defaults", c.ID, got.cfg)
		}
	}
	slices.Sort(want)
	if slices.Sort(done); !slices.Equal(done, want) {
		t.Errorf("found cases %q, want %q", done, want)
	}
}

func TestConfigKeys(t *testing.T) {
	values := map[string]any{
		"path": filepath.Join(t.TempDir(), "x.db"), "vector_enabled": true, "similarity": nil, "text_search_enabled": true,
		"enable_openai_compatible_store": true, "timestamps": "local",
	}
	s, err := online.Open(t.Context(), config.NewSection("sqlite", values), online.Env{RepoDir: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := s.(*Store)
	want := Config{
		Path: values["path"].(string), VectorEnabled: true, TextSearchEnabled: true, OpenAICompatible: true, Timestamps: "local",
	}
	if got.cfg != want || got.zone != time.Local {
		t.Errorf("got %+v in zone %v, want %+v in %v", got.cfg, got.zone, want, time.Local)
	}

	values["timestamps"] = "Local"
	_, err = online.Open(t.Context(), config.NewSection("sqlite", values), online.Env{})
	if err == nil || !strings.Contains(err.Error(), `timestamps: must be "utc" or "local", is "Local"`) {
		t.Errorf("got error %v", err)
	}
}

func TestNewInvalid(t *testing.T) {
	for _, cfg := range []Config{{}, {Path: "a\x00b"}, {Path: "x.db", Timestamps: "UTC"}} {
		if s, err := New(cfg); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("New(%+v): got %v, %v, want an ErrInvalid", cfg, s, err)
		}
	}
}

func TestPing(t *testing.T) {
	s := open(t, Config{Path: filepath.Join(t.TempDir(), "online.db")})
	if err := s.Ping(t.Context()); !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("Ping without a file: got %v", err)
	}
	put(t, s, stats("a"))
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}
