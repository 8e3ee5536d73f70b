package sql_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	registrysql "github.com/feastgo/feast/registry/sql"
)

// What is wrong in the configuration is said when the registry is opened, without the password.
func TestWrongConfig(t *testing.T) {
	for _, tc := range []struct {
		url  string
		more map[string]any
		want string // of the message
		is   error
	}{
		{"", nil, "registry.path is not set", feasterr.ErrInvalid},
		{"data/registry.db", nil, "registry.path: not a SQLAlchemy URL", feasterr.ErrInvalid},
		{"postgres://u:secret@h/d", nil, "write postgresql://", feasterr.ErrInvalid},
		{"postgresql+odbc://u:secret@h/d", nil, `driver "odbc"`, feasterr.ErrInvalid},
		{"oracle://u:secret@h/d", nil, "no driver for registry type \"sql, database oracle\"", feasterr.ErrUnsupported},
		{"postgresql://u:secret@h:99999999/d", nil, "the URL cannot be used", feasterr.ErrInvalid},
		{"postgresql://u:secret@h/d?sslmode=secret", nil, "the URL cannot be used", feasterr.ErrInvalid},
		{"postgresql://u:x'%20%3Asecret@h/d?sslmode=x", nil, "the URL cannot be used", feasterr.ErrInvalid},
		{"postgresql://u@h/d?sslmode=x&sslpassword=x'%20%3Asecret", nil, "the URL cannot be used", feasterr.ErrInvalid},
		{"postgresql://u@h/d?sslmode=x&password=x'%20%3Asecret", nil, "the URL cannot be used", feasterr.ErrInvalid},
		{"postgresql://u:secret@h/d?sslcrl=f", nil, "sslcrl of the URL is not known here", feasterr.ErrUnsupported},
		{"mysql+pymysql://u:secret@h/d?ssl_ca=/nosuch", nil, "ssl_ca of the URL cannot be read", feasterr.ErrInvalid},
		{"mysql+pymysql://u:secret@h/d?ssl_key=/nosuch", nil, "one is missing", feasterr.ErrInvalid},
		{"mysql+pymysql://u:secret@h/d?charset=latin1", nil, "charset latin1", feasterr.ErrUnsupported},
		{"mysql+pymysql://u:secret@h/d?connect_timeout=x", nil, "connect_timeout of the URL is not a number", feasterr.ErrInvalid},
		{"mysql+pymysql://u:secret@h/d?nosuch=x", nil, "nosuch of the URL is not known here", feasterr.ErrUnsupported},
		{"sqlite://h/registry.db", nil, "has no host", feasterr.ErrInvalid},
		{"sqlite:///registry.db?timeout=x", nil, "timeout of the URL is not a number", feasterr.ErrInvalid},
		{"sqlite:///registry.db?uri=true", nil, "uri of the URL is not known here", feasterr.ErrUnsupported},
		{"sqlite:///registry.db", map[string]any{"schema_mode": "never"}, "schema_mode", feasterr.ErrInvalid},
		{"sqlite:///registry.db", map[string]any{"sqlalchemy_config_kwargs": map[string]any{"pool_size": "many"}}, "pool_size", feasterr.ErrInvalid},
		{"sqlite:///registry.db", map[string]any{"read_path": "postgresql://u:secret@h/d"}, "registry.read_path: is on PostgreSQL", feasterr.ErrInvalid},
		{"sqlite:///registry.db", map[string]any{"read_path": "h"}, "registry.read_path: not a SQLAlchemy URL", feasterr.ErrInvalid},
	} {
		b, err := registrysql.OpenConfig(configOf(tc.url, "demo", tc.more))
		if b != nil || !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) || strings.Contains(strings.ReplaceAll(err.Error(), "sslmode", ""), ":secret") {
			t.Errorf("%s, %v: %v, want %s", tc.url, tc.more, err, tc.want)
		}
	}
}

func TestPoolOptions(t *testing.T) {
	for _, tc := range []struct {
		kwargs map[string]any
		max    int
	}{
		{nil, 15},
		{map[string]any{"echo": false, "pool_pre_ping": true, "pool_recycle": 30, "connect_args": map[string]any{"a": 1}}, 15},
		{map[string]any{"pool_size": 2, "max_overflow": 0}, 2},
		{map[string]any{"pool_size": 0}, 0},
		{map[string]any{"max_overflow": -1}, 0},
	} {
		b := openURL(t, "postgresql://h/d", "demo", map[string]any{"sqlalchemy_config_kwargs": tc.kwargs, "nosuch": "as in Feast"})
		if n := b.DB().Stats().MaxOpenConnections; n != tc.max {
			t.Errorf("%v: %d connections, want %d", tc.kwargs, n, tc.max)
		}
	}
	b := openURL(t, "sqlite://", "demo", nil)
	put(t, b, "driver", "in memory")
	if d := descriptionOf(t, b, "driver"); d != "in memory" {
		t.Error(d)
	}
}

func TestWrongLogin(t *testing.T) {
	for _, url := range []string{testserver.PostgreSQL(t), testserver.MariaDB(t)} {
		b := openURL(t, strings.Replace(url, ":feast@", ":wr0ng-secret@", 1), "demo", nil)
		_, _, err := b.Load(t.Context(), "")
		updateErr := tryPut(t, b, "driver", "")
		for _, err := range []error{err, updateErr} {
			if !errors.Is(err, feasterr.ErrUnauthenticated) || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "://feast:***@127.0.0.1") {
				t.Error(err)
			}
		}
	}
}

// A database or tables that are not there are named, and made by the first write as far as that goes.
func TestMissing(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		nowhere := url + "_nosuch"
		if s.name == "SQLite" {
			nowhere = "sqlite:///" + filepath.Join(t.TempDir(), "folder", "registry.db")
		}
		b := openURL(t, nowhere, "demo", nil)
		if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), "nosuch") && s.name != "SQLite" {
			t.Errorf("no database: %v", err)
		}
		if err := b.Teardown(t.Context()); err != nil {
			t.Errorf("teardown of no database: %v", err)
		}
		if s.name == "SQLite" {
			put(t, b, "driver", "one")
		} else if err := tryPut(t, b, "driver", "one"); !errors.Is(err, feasterr.ErrNotFound) {
			t.Errorf("no database: %v", err)
		}

		for _, mode := range []string{"verify", "skip", "auto"} {
			b := openURL(t, url, "demo", map[string]any{"schema_mode": mode})
			if s.name == "SQLite" && mode == "verify" {
				if f, err := os.Create(strings.TrimPrefix(url, "sqlite:///")); err != nil || f.Close() != nil {
					t.Fatal(err)
				}
			}
			_, _, loadErr := b.Load(t.Context(), "")
			err := tryPut(t, b, "driver", "one")
			switch mode {
			case "verify":
				if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "projects, entities, data_sources, feature_views") {
					t.Error(err)
				}
				if !errors.Is(loadErr, feasterr.ErrNotFound) {
					t.Error(loadErr)
				}
			case "skip":
				if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "lacks a table") || loadErr == nil {
					t.Error(err, loadErr)
				}
			default:
				if err != nil || !errors.Is(loadErr, feasterr.ErrNotFound) {
					t.Error(err, loadErr)
				}
			}
		}

		// Of an older Feast: what is there is read; verify names the rest.
		used, verify := openURL(t, url, "demo", nil), openURL(t, url, "demo", map[string]any{"schema_mode": "verify"})
		if d := descriptionOf(t, used, "driver"); d != "one" {
			t.Error(d)
		}
		for _, table := range []string{"label_views", "feature_view_version_history"} {
			if _, err := used.DB().ExecContext(t.Context(), "DROP TABLE "+table); err != nil {
				t.Fatal(err)
			}
		}
		if d := descriptionOf(t, used, "driver"); d != "one" {
			t.Error(d)
		}
		for _, err := range []error{tryPut(t, verify, "driver", "two"), func() error { _, _, err := verify.Load(t.Context(), ""); return err }()} {
			if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "lacks the tables label_views, feature_view_version_history") {
				t.Error(err)
			}
		}
		put(t, used, "driver", "two")
		if d := descriptionOf(t, verify, "driver"); d != "two" {
			t.Error(d)
		}
	})
}

// A row that holds garbage is named, and the others load.
func TestGarbage(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		b := openURL(t, url, "demo", nil)
		put(t, b, "driver", "good")
		fill(t, b, s, "entities", []map[string]any{
			{"entity_name": "garbage", "project_id": "demo", "last_updated_timestamp": int64(1), "entity_proto": []byte("\xff\xff garbage")},
			{"entity_name": "empty", "project_id": "demo", "last_updated_timestamp": int64(1), "entity_proto": []byte{}},
		})
		fill(t, b, s, "feature_view_version_history", []map[string]any{{
			"feature_view_name": "v", "project_id": "demo", "version_number": int64(1), "feature_view_type": "nosuch",
			"feature_view_proto": []byte("\xff"), "created_timestamp": int64(1), "description": nil, "version_id": "",
		}})
		r := registry.New(b, "demo", registry.Options{})
		snapshot, err := r.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.Entity("driver"); err != nil {
			t.Error(err)
		}
		if _, err := snapshot.Entity("garbage"); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), `entity "garbage"`) {
			t.Error(err)
		}
		if bad := snapshot.Bad(); !slices.ContainsFunc(bad, func(b registry.BadRecord) bool { return b.ID.Name == "garbage" }) {
			t.Error(bad)
		}
		w := registry.Writer{Backend: b, Project: "demo"}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "garbage"}}}); err == nil {
			t.Error("garbage was compared with an entity")
		}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Delete: []registry.Object{&registry.Entity{Name: "garbage"}}}); err != nil {
			t.Error("garbage cannot be deleted:", err)
		}
	})
}

// A name that the column does not take is refused before anything is written.
func TestNames(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		b := openURL(t, url, "demo", nil)
		put(t, b, "driver", "one")
		for name, fits := range map[string]bool{
			strings.Repeat("ü", 255): true, strings.Repeat("x", 256): s.name == "SQLite", // which has no limit
			"Driver": s.name != "MariaDB" && s.name != "MySQL", // which take it for driver
		} {
			_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
				return errors.Join(tx.Put(t.Context(), entity(t, "driver", "two")), tx.Put(t.Context(), entity(t, name, "long")))
			})
			if fits && err != nil || !fits && !errors.Is(err, feasterr.ErrInvalid) {
				t.Errorf("%d bytes: %v", len(name), err)
			}
			want := "two"
			if !fits {
				want = "one"
				if !strings.Contains(fmt.Sprint(err), "cannot be written") {
					t.Error(err)
				}
			}
			if d := descriptionOf(t, b, "driver"); d != want {
				t.Errorf("stored is %q, want %q", d, want)
			}
			put(t, b, "driver", "one")
		}
	})
}

// A project that does not exist is made by the first write, and an error that names those there are to a reader.
func TestUnknownProject(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		w := registry.Writer{Backend: openURL(t, url, "drivers", nil), Project: "drivers"}
		if _, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver"}}}); err != nil {
			t.Fatal(err)
		}
		r := registry.New(openURL(t, url, "driverz", nil), "driverz", registry.Options{})
		snapshot, err := r.Snapshot(t.Context())
		if err == nil {
			_, err = snapshot.Project()
		}
		var missing *feasterr.NotFoundError
		if !errors.As(err, &missing) || !slices.Equal(missing.Near, []string{"drivers"}) {
			t.Error(err)
		}
		if snapshot != nil {
			_, err = snapshot.View("stats")
			if !errors.As(err, &missing) || missing.Kind != "project" || !strings.Contains(err.Error(), `unknown project: project "driverz"`) {
				t.Error(err)
			}
		}
		if snapshot != nil && len(slices.Collect(snapshot.Entities())) > 0 {
			t.Error("another project's entities")
		}
	})
}

// purge_feast_metadata leaves projects, and no metadata; changes are seen all the same.
func TestPurge(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		plain := openURL(t, url, "", nil)
		put(t, plain, "driver", "one")
		fill(t, plain, s, "feast_metadata", []map[string]any{
			{"project_id": "old", "metadata_key": "project_uuid", "metadata_value": "u", "last_updated_timestamp": int64(77)},
			{"project_id": "old", "metadata_key": "custom", "metadata_value": "c", "last_updated_timestamp": int64(77)},
			{"project_id": "kept", "metadata_key": "custom", "metadata_value": "c", "last_updated_timestamp": int64(77)},
		})
		cfg := configOf(url, "demo", nil)
		cfg.Registry.PurgeMetadata = true
		b, err := registrysql.OpenConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		put(t, b, "driver", "two")
		for _, row := range rowsOf(t, plain.DB(), "feast_metadata") {
			if row["project_id"] != "kept" {
				t.Errorf("left behind: %v", row)
			}
		}
		projects := rowsOf(t, plain.DB(), "projects")
		if len(projects) != 1 || projects[0]["project_id"] != "old" || projects[0]["last_updated_timestamp"] != int64(77) {
			t.Errorf("projects are %v", projects)
		}
		_, token, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		put(t, b, "driver", "three")
		if state, _, err := b.Load(t.Context(), token); err != nil || state == nil {
			t.Errorf("%v, %v", state, err)
		}
	})
}

// Reads go to read_path; what this process wrote is read where it was written until the copy has had time to follow.
func TestReadPath(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url, replica := s.url(t), s.url(t)
		put(t, openURL(t, url, "demo", nil), "driver", "written")
		put(t, openURL(t, replica, "demo", nil), "driver", "replica")
		b := openURL(t, url, "demo", map[string]any{"read_path": replica})
		if d := descriptionOf(t, b, "driver"); d != "replica" {
			t.Errorf("read %q", d)
		}
		put(t, b, "driver", "mine")
		if d := descriptionOf(t, b, "driver"); d != "mine" {
			t.Errorf("read %q", d)
		}
	})
}

// What goes wrong with the copy is said of the copy.
func TestReadPathFails(t *testing.T) {
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			url := s.url(t)
			b := openURL(t, url, "demo", map[string]any{"read_path": url + "_nosuch"})
			_, _, err := b.Load(t.Context(), "")
			if !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), "_nosuch") || !strings.Contains(err.Error(), "registry.read_path") {
				t.Error(err)
			}
			put(t, b, "driver", "one")
		})
	}
}

// A plan sees what the apply would: the database that is written, and not its copy.
func TestPlanBehindCopy(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url, replica := s.url(t), s.url(t)
		put(t, openURL(t, url, "demo", nil), "driver", "written")
		put(t, openURL(t, replica, "demo", nil), "old", "replica")
		w := registry.Writer{Backend: openURL(t, url, "demo", map[string]any{"read_path": replica}), Project: "demo"}
		r := registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver", Description: "written"}}, DryRun: true}
		diff, err := w.Apply(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range diff.Changes {
			if c.ID.Name == "driver" && c.Action == registry.ActionCreate {
				t.Errorf("plans to %s %s", c.Action, c.ID)
			}
		}
	})
}

// schema_mode auto makes an index that is gone.
func TestMissingIndex(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		url := s.url(t)
		put(t, openURL(t, url, "demo", nil), "driver", "one")
		admin := openURL(t, url, "demo", nil)
		drop, again := "DROP INDEX idx_entities_project_id", "CREATE INDEX idx_entities_project_id ON entities (project_id)"
		if s.name == "MariaDB" || s.name == "MySQL" {
			drop += " ON entities"
		}
		exec(t, admin, drop)
		put(t, openURL(t, url, "demo", map[string]any{"schema_mode": "verify"}), "driver", "two")
		put(t, openURL(t, url, "demo", nil), "driver", "three")
		if _, err := admin.DB().ExecContext(t.Context(), again); err == nil {
			t.Error("the index was not made")
		}
	})
}

// MySQL takes names for one that differ in case alone.
func TestProjectInOtherCase(t *testing.T) {
	for _, s := range servers[2:] {
		t.Run(s.name, func(t *testing.T) {
			url := s.url(t)
			apply := func(project string) error {
				w := registry.Writer{Backend: openURL(t, url, project, nil), Project: project}
				_, err := w.Apply(t.Context(), registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: "driver"}}})
				return err
			}
			if err := apply("demo"); err != nil {
				t.Fatal(err)
			}
			want := `project "Demo" cannot be written: for this database its name is that of project "demo", which is there already; ` +
				"names must differ in more than case"
			if err := apply("Demo"); !errors.Is(err, feasterr.ErrInvalid) || err.Error() != want {
				t.Error(err)
			}
		})
	}
}

// SQLite holds what it is given: messages that a program wrote as texts are read, each its own.
func TestMessagesAsTexts(t *testing.T) {
	b := openURL(t, servers[0].url(t), "demo", nil)
	names := []string{"one", "two", "six"}
	if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error {
		for _, name := range names {
			r, err := registry.Encode("demo", &registry.FeatureView{Name: name, Description: name})
			if err := errors.Join(err, tx.Put(t.Context(), r)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_, before, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, b, "UPDATE feature_views SET feature_view_proto = CAST(feature_view_proto AS TEXT)")
	if _, after, err := b.Load(t.Context(), ""); err != nil || after != before {
		t.Errorf("%s, %v, want %s", after, err, before)
	}
}
