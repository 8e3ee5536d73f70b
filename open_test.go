package feast_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/telemetry"
)

// brokenRepo is a repository whose registry.db is made by spoil.
func brokenRepo(t *testing.T, spoil func(path string) error) string {
	t.Helper()
	dir := t.TempDir()
	writeYAML(t, dir, "online_store:\n  type: sqlite\n  path: online.db\n")
	if err := spoil(filepath.Join(dir, "registry.db")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBrokenRegistry(t *testing.T) {
	good, err := os.ReadFile("testdata/online/sqlite/registry.db")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		spoil func(path string) error
		is    error
	}{
		"missing":   {func(string) error { return nil }, feast.ErrNotFound},
		"garbage":   {func(p string) error { return os.WriteFile(p, []byte("\xff\xffgarbage"), 0o600) }, feast.ErrInvalid},
		"text":      {func(p string) error { return os.WriteFile(p, []byte("project: p\n"), 0o600) }, feast.ErrInvalid},
		"truncated": {func(p string) error { return os.WriteFile(p, good[:len(good)/2], 0o600) }, feast.ErrInvalid},
		"directory": {func(p string) error { return os.Mkdir(p, 0o700) }, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := brokenRepo(t, c.spoil)
			store := open(t, dir)
			_, err := store.GetOnlineFeatures(ctx, feast.OnlineRequest{Features: []string{"a:b"}, Entities: feast.Columns{"a": []int64{1}}})
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), filepath.Join(dir, "registry.db")) {
				t.Errorf("the first read says %v", err)
			}
			if err := store.Warm(ctx); err == nil {
				t.Error("Warm succeeded")
			}
			if name == "missing" {
				if _, err := os.Stat(filepath.Join(dir, "registry.db")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("reading created the file: %v", err)
				}
			}
			if fs, err := feast.Open(ctx, dir, feast.Eager()); err == nil {
				t.Error("an eager Open succeeded")
				_ = fs.Close()
			}
		})
	}
}

func TestBrokenConfiguration(t *testing.T) {
	dir := t.TempDir()
	check := func(path string, says ...string) {
		t.Helper()
		fs, err := feast.Open(ctx, path)
		if err == nil {
			_ = fs.Close()
			t.Fatal("Open succeeded")
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v does not say %q", err, s)
			}
		}
	}
	check(dir, dir, "feature_store.yaml")
	check(filepath.Join(dir, "nowhere"), "nowhere")
	file := filepath.Join(dir, "feature_store.yaml")
	for text, says := range map[string][]string{
		"project: p\n\tregistry: x\n": {"feature_store.yaml", "2"},
		"- a\n":                       {"feature_store.yaml"},
		"project: 1\nentity_key_serialization_version: x\n":          {"feature_store.yaml:1", "feature_store.yaml:2", "registry"},
		"project: p\nregistry: r.db\nonline_store: {type: nosuch}\n": {"feature_store.yaml:3", "nosuch"},
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(dir, says...)
	}
}

func TestMissingImportsTogether(t *testing.T) {
	dir := t.TempDir()
	text := "project: p\nregistry: {registry_type: sql, path: 'postgresql://u@h/d'}\nonline_store: {type: elasticsearch}\n"
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := feast.Open(ctx, dir)
	if !errors.Is(err, feast.ErrUnsupported) || !strings.Contains(err.Error(), `"sql"`) || !strings.Contains(err.Error(), `"elasticsearch"`) {
		t.Errorf("Open says %v", err)
	}
}

func TestHooks(t *testing.T) {
	var reads []telemetry.OnlineRead
	refreshes := make(chan telemetry.RegistryRefresh, 10)
	store := open(t, copyRepo(t, "serving/repo"), feast.WithHooks(telemetry.Hooks{
		OnlineRead:      func(_ context.Context, e telemetry.OnlineRead) { reads = append(reads, e) },
		RegistryRefresh: func(e telemetry.RegistryRefresh) { refreshes <- e },
	}))
	req := feast.OnlineRequest{FeatureService: "svc_driver", Entities: feast.Columns{"driver_id": []int64{1001, 1001, 1002}}}
	if _, err := store.GetOnlineFeatures(ctx, req); err != nil {
		t.Fatal(err)
	}
	req.Entities = feast.Columns{"nope": []int64{1}}
	if _, err := store.GetOnlineFeatures(ctx, req); err == nil {
		t.Fatal("a request without its key succeeded")
	}
	if len(reads) != 2 || reads[0].Err != nil || reads[1].Err == nil {
		t.Fatalf("reads are %+v", reads)
	}
	if e := reads[0]; e.Store != "sqlite" || e.Service != "svc_driver" || e.Rows != 3 || e.Keys != 2 || e.Columns != 5 || e.Took <= 0 {
		t.Errorf("the read is %+v", e)
	}
	if e := <-refreshes; e.Err != nil {
		t.Errorf("the refresh is %+v", e)
	}
	if s := store.Stats(); s.Registry.Refreshes != 1 || s.Plans != 1 {
		t.Errorf("stats are %+v", s)
	}
}

// A hook that the registry's goroutine may call does not end the program.
func TestHookPanics(t *testing.T) {
	called := 0
	store := open(t, copyRepo(t, "serving/repo"), feast.WithLogger(slog.New(slog.DiscardHandler)), feast.WithHooks(telemetry.Hooks{
		RegistryRefresh: func(telemetry.RegistryRefresh) { called++; panic("boom") },
	}))
	if err := store.Refresh(ctx); err != nil || called != 1 {
		t.Errorf("%v, called %d times", err, called)
	}
}

// What is nil is named, and what else was given is closed.
func TestNil(t *testing.T) {
	var store *memory.Store
	for want, opts := range map[string][]feast.Option{
		"feast.WithOnlineStore is given nil: leave the option out": {feast.WithOnlineStore(nil)},
		"feast.WithOnlineStore is given nil: leave the option out\nfeast.WithLogger is given nil: leave the option out": {
			feast.WithOnlineStore(store), feast.WithLogger(nil), nil,
		},
		"feast.WithRegistry is given nil: leave the option out": {feast.WithRegistry(nil)},
		"feast.WithClock is given nil: leave the option out":    {feast.WithClock(nil)},
	} {
		if _, err := feast.New(ctx, config.Default(project), opts...); !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	store = memory.New()
	_, err := feast.New(ctx, nil, feast.WithOnlineStore(store))
	if want := "feast.New needs a configuration, and got nil: config.Default makes one"; !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := store.Ping(ctx); !errors.Is(err, feast.ErrClosed) {
		t.Errorf("the online store is open: %v", err)
	}
}
