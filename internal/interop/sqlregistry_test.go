package interop_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	_ "github.com/feastgo/feast/registry/sql/mysql"
	_ "github.com/feastgo/feast/registry/sql/postgres"
	_ "github.com/feastgo/feast/registry/sql/sqlite"
	"github.com/feastgo/feast/types"
)

// onDatabases runs a test on every kind of database that a SQL registry may be in.
func onDatabases(t *testing.T, test func(t *testing.T, url func(*testing.T) string)) {
	useFeast(t)
	for name, url := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:///" + filepath.Join(t.TempDir(), "registry.db") },
		"PostgreSQL": func(t *testing.T) string { return newDatabase(t, "pgx", testserver.PostgreSQL(t)) },
		"MariaDB":    func(t *testing.T) string { return newDatabase(t, "mysql", testserver.MariaDB(t)) },
	} {
		t.Run(name, func(t *testing.T) { test(t, url) })
	}
}

// newDatabase makes an empty database on a server and returns its URL.
func newDatabase(t *testing.T, driver, url string) string {
	t.Helper()
	dsn := url
	if driver == "mysql" {
		dsn = strings.Replace(strings.TrimPrefix(url, "mysql+pymysql://"), "@", "@tcp(", 1)
		dsn = strings.Replace(dsn, "/", ")/", 1)
	}
	name := fmt.Sprintf("interop_%d", projects.Add(1))
	exec := func(ctx context.Context, query string) {
		db, err := sql.Open(driver, dsn)
		if err == nil {
			_, err = db.ExecContext(ctx, query)
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	exec(t.Context(), "CREATE DATABASE "+name)
	t.Cleanup(func() {
		force := map[string]string{"pgx": " WITH (FORCE)"}[driver]
		exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+force)
	})
	return url[:strings.LastIndexByte(url, '/')+1] + name
}

// newSQLRepo makes a repository with its registry in a database.
func newSQLRepo(t *testing.T, url string) *repo {
	t.Helper()
	r := newRepo(t, "sqlite")
	r.write("feature_store.yaml", r.withRegistry(fmt.Sprintf("{registry_type: sql, path: %q, cache_ttl_seconds: 1}", url)))
	t.Cleanup(func() { // which ends Feast's connections
		if err := r.try("close", nil, nil); err != nil {
			t.Error(err)
		}
	})
	return r
}

// records returns what the registry holds, as the messages that are stored.
func (r *repo) records() map[string]string {
	r.t.Helper()
	snap, err := r.open().Snapshot(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if bad := snap.Bad(); len(bad) > 0 {
		r.t.Errorf("bad records: %v", bad)
	}
	out := map[string]string{}
	for o := range snap.Objects() {
		out[fmt.Sprintf("%s %s", registry.KindOf(o), o.Resource().Name)] = "there"
	}
	for v := range snap.Views() {
		for n := range snap.Versions(v.Resource().Name) {
			out[fmt.Sprintf("version %s %d", v.Resource().Name, n.Number)] = n.Kind.String()
		}
	}
	return out
}

// TestSQLRegistry applies the same definitions by Feast and here, to different databases.
func TestSQLRegistry(t *testing.T) {
	onDatabases(t, func(t *testing.T, url func(*testing.T) string) {
		shareEverything(t, newSQLRepo(t, url(t)), newSQLRepo(t, url(t)))
	})
}

// shareEverything applies the same definitions by Feast and here, to two registries, and then by each to the other's. known
// is what Feast changes when it applies again.
func shareEverything(t *testing.T, theirs, ours *repo, known ...string) {
	t.Helper()
	theirs.define(everythingPython(t, "interop"))
	theirs.python("apply", nil, nil)
	theirs.python("apply_datasets", nil, nil)
	diff, err := theirs.open().Plan(t.Context(), everything(t)...)
	if err != nil {
		t.Fatal(err)
	}
	if !diff.Empty() {
		t.Errorf("after Feast's apply there is still\n%s", diff)
	}

	ours.define(everythingPython(t, "interop"))
	fs := ours.open()
	ours.apply(fs, everything(t)...)
	compare(t, theirs.records(), ours.records())
	compare(t, theirs.objects(), ours.objects())
	if theirs, ours := theirs.plan(), ours.plan(); !slices.Equal(theirs, ours) {
		t.Errorf("Feast would change %q of ours, and %q of its own", ours, theirs)
	}

	// Feast applies again, on top of what was written here, and nothing is lost or doubled.
	before := ours.records()
	ours.python("apply", nil, nil)
	theirs.python("apply", nil, nil)
	compare(t, before, ours.records(), known...)
	compare(t, theirs.objects(), ours.objects())
	ours.python("delete", map[string]any{"names": []string{"global_stats"}}, nil)
	if err := fs.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snap.View("global_stats"); !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("deleted by Feast: %v", err)
	}
	// And the reverse.
	fs = theirs.open()
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{&registry.FeatureView{Name: "global_stats"}}}); err != nil {
		t.Fatal(err)
	}
	compare(t, theirs.objects(), ours.objects())
}

// TestSQLTurns lets both sides change one registry in turns.
func TestSQLTurns(t *testing.T) {
	onDatabases(t, func(t *testing.T, url func(*testing.T) string) {
		takeTurns(t, newSQLRepo(t, url(t)))
	})
}

// takeTurns lets both sides change one registry in turns.
func takeTurns(t *testing.T, r *repo) {
	t.Helper()
	fs := r.open()
	d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
	agree := func(turn string, versions ...int) {
		t.Helper()
		r.define(d.python())
		r.nothingLeft(fs, d, turn, nil)
		r.sameVersions(fs, turn, versions)
	}
	feastApplies := func() { t.Helper(); r.define(d.python()); r.python("apply", nil, nil) }
	weApply := func() { t.Helper(); r.apply(fs, d.objects()...) }

	weApply()
	agree("we define", 0)
	d.ttl, d.team = 2, "b"
	feastApplies()
	agree("Feast changes ttl and tags", 0)
	d.features = "a b"
	weApply()
	agree("we add a feature", 0, 1)
	d.features = "a b c"
	feastApplies()
	agree("Feast adds a feature", 0, 1, 2)
	d.team = "c"
	weApply()
	agree("we change a tag", 0, 1, 2)
}

// TestSQLTogether lets both sides write one registry at the same time. Nothing of either is lost.
func TestSQLTogether(t *testing.T) {
	onDatabases(t, func(t *testing.T, url func(*testing.T) string) {
		r := newSQLRepo(t, url(t))
		fs := r.open()
		d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
		r.apply(fs, d.objects()...)
		r.define(d.python())
		r.python("open_repo", nil, nil)
		const rounds = 15
		done := make(chan error, 1)
		go func() {
			done <- r.try("apply_entities", map[string]any{"prefix": "theirs", "count": rounds}, nil)
		}()
		for i := range rounds {
			r.apply(fs, &registry.Entity{Name: fmt.Sprintf("ours_%d", i), ValueType: types.Int64})
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		snap, err := r.open().Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range rounds {
			for _, prefix := range []string{"ours", "theirs"} {
				if _, err := snap.Entity(fmt.Sprintf("%s_%d", prefix, i)); err != nil {
					t.Error(err)
				}
			}
		}
		// What Feast writes is noticed without a refresh, when cache_ttl_seconds have passed.
		r.python("apply_entities", map[string]any{"prefix": "late", "count": 1}, nil)
		for deadline := time.Now().Add(callTime); ; {
			snap, err := fs.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := snap.Entity("late_0"); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
			timer := time.NewTimer(50 * time.Millisecond) // the clock of the registry is the machine's
			<-timer.C
		}
	})
}
