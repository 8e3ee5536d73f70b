package feast_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/sqlite"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
)

// tables is an online store that notes what Update and Teardown are told.
type tables struct {
	*memory.Store
	told []string
	fail error // of the next call, after its work
}

func (s *tables) note(what string, list []*online.Table) {
	if len(list) == 0 {
		return
	}
	ids := make([]string, len(list))
	for i, t := range list {
		ids[i] = strings.TrimPrefix(t.ID(), project+"_") + "(" + strings.Join(t.JoinKeys, ",") + ")"
	}
	s.told = append(s.told, what+" "+strings.Join(ids, " "))
}

func (s *tables) Update(ctx context.Context, keep, drop []*online.Table) error {
	s.note("keep", keep)
	s.note("drop", drop)
	err := s.fail
	s.fail = nil
	return errors.Join(s.Store.Update(ctx, keep, drop), err)
}

func (s *tables) Teardown(ctx context.Context, list []*online.Table) error {
	s.note("teardown", list)
	err := s.fail
	s.fail = nil
	return errors.Join(s.Store.Teardown(ctx, list), err)
}

// expect compares what the store was told since the last call.
func (s *tables) expect(t *testing.T, step string, want ...string) {
	t.Helper()
	if !slices.Equal(s.told, want) {
		t.Errorf("%s: the online store is told %q, want %q", step, s.told, want)
	}
	s.told = nil
}

// commitless is a registry whose updates fail after all was prepared, or that cannot be read.
type commitless struct {
	registry.Backend
	fail       error
	unreadable atomic.Pointer[error]
	silent     error          // of an update that is stored all the same
	late       []func() error // or will be
	delay      bool           // silent updates are late ones
}

func (b *commitless) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	if err := b.unreadable.Load(); err != nil {
		return nil, "", *err
	}
	return b.Backend.Load(ctx, have)
}

func (b *commitless) Update(ctx context.Context, project string, fn func(registry.Tx) error) (registry.Token, error) {
	if b.silent != nil {
		write := func() error {
			_, err := b.Backend.Update(context.WithoutCancel(ctx), project, fn)
			return err
		}
		if b.delay {
			b.late = append(b.late, write)
			return "", errors.Join(b.silent, fn(nothing{}))
		}
		return "", errors.Join(b.silent, write())
	}
	return b.Backend.Update(ctx, project, func(tx registry.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return b.fail
	})
}

func newApplyStore(t *testing.T, versioning bool, opts ...feast.Option) (*feast.FeatureStore, *tables, *commitless) {
	t.Helper()
	store, backend := &tables{Store: memory.New()}, &commitless{Backend: registrymemory.New()}
	cfg := config.Default(project)
	cfg.Registry.OnlineVersioning = versioning
	fs, err := feast.New(t.Context(), cfg, append([]feast.Option{feast.WithRegistry(backend), feast.WithOnlineStore(store)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs, store, backend
}

// Which tables the online store makes and removes.
func TestApplyTables(t *testing.T) {
	fs, store, _ := newApplyStore(t, false)
	push := &feast.DataSource{Name: "push", Options: feast.PushOptions{}, BatchSource: source("stats_source")}
	schema := []feast.Field{{Name: "a", Type: feast.Int64}}
	offline := newView("offline", "a")
	offline.Online, offline.Entities = false, nil
	written := &feast.OnDemandFeatureView{
		Name: "written", Entities: []string{"driver"}, Schema: schema, WriteToOnlineStore: true,
		Sources: []feast.FeatureViewProjection{{Name: "stats"}},
	}
	computed := &feast.OnDemandFeatureView{Name: "computed", Schema: schema, Sources: written.Sources}
	mustApply(t, fs, driver, newView("stats", "a"), offline, written, computed,
		&feast.StreamFeatureView{Name: "stream", Entities: []string{"driver"}, Schema: schema, Source: push},
		&feast.LabelView{Name: "labels", Entities: []string{"driver"}, Schema: schema, Source: push},
	)
	store.expect(t, "all kinds", "keep offline(__dummy_id) stats(driver_id) stream(driver_id) written(driver_id) labels(driver_id)")

	mustApply(t, fs, newView("stats", "a"))
	store.expect(t, "nothing changes")
	if d, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: []feast.Object{newView("stats", "a"), driver}, Repair: true}); err != nil || !d.Empty() {
		t.Error(d, err)
	}
	store.expect(t, "repair", "keep stats(driver_id)")
	mustApply(t, fs, &feast.FeatureService{Name: "service", Features: written.Sources})
	store.expect(t, "no view changes")

	mustApply(t, fs, newView("stats", "a", "b"))
	store.expect(t, "a feature more", "keep stats(driver_id)")
	notWritten := *written
	notWritten.WriteToOnlineStore = false
	mustApply(t, fs, &notWritten)
	store.expect(t, "no longer written", "drop written(driver_id)")

	apply := func(r feast.ApplyRequest) {
		t.Helper()
		if _, err := fs.ApplyAll(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	r := feast.ApplyRequest{Objects: []feast.Object{newView("labels", "a")}, Delete: []feast.Object{&feast.LabelView{Name: "labels"}}}
	apply(r)
	store.expect(t, "another kind", "keep labels(driver_id)")
	apply(feast.ApplyRequest{Delete: []feast.Object{
		computed, driver, offline, &feast.FeatureView{Name: "stats"}, &feast.StreamFeatureView{Name: "stream"},
	}, DryRun: true})
	store.expect(t, "dry run")
	apply(feast.ApplyRequest{Delete: []feast.Object{
		computed, driver, offline, &feast.FeatureView{Name: "stats"}, &feast.StreamFeatureView{Name: "stream"},
	}})
	store.expect(t, "deleted, with the entity", "drop offline(__dummy_id) stats(driver_id) stream(driver_id)")

	mustApply(t, fs, driver)
	if err := fs.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.expect(t, "teardown", "teardown labels(driver_id)")
}

// Versions of views have tables of their own, where versions are on.
func TestApplyVersions(t *testing.T) {
	for _, versioning := range []bool{false, true} {
		fs, store, _ := newApplyStore(t, versioning)
		pick := func(plain, versioned string) string {
			if versioning {
				return versioned
			}
			return plain
		}
		mustApply(t, fs, driver, newView("stats", "a"), newView("stats_v1", "a"))
		store.expect(t, "first", "keep stats(driver_id) stats_v1(driver_id)")
		mustApply(t, fs, newView("stats", "a", "b"))
		store.expect(t, "second", pick("keep stats(driver_id)", "keep stats_v1(driver_id)"))
		if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: []feast.Object{newView("stats", "c")}, NoPromote: true}); err != nil {
			t.Fatal(err)
		}
		if versioning {
			store.expect(t, "not promoted", "keep stats_v2(driver_id)")
		} else {
			store.expect(t, "not promoted")
		}
		if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{&feast.FeatureView{Name: "stats"}}}); err != nil {
			t.Fatal(err)
		}
		// stats_v1 is the table of a view, too.
		store.expect(t, "deleted", pick("drop stats(driver_id)", "drop stats(driver_id) stats_v2(driver_id)"))
		if err := fs.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.expect(t, "teardown", "teardown stats_v1(driver_id)")
	}
}

// When the online store or the registry fails, the error says what happened, and applying again completes it.
func TestApplyHalf(t *testing.T) {
	fs, store, backend := newApplyStore(t, false)
	boom := errors.New("boom")
	names := func() []string {
		t.Helper()
		state, _, err := backend.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range state.Records {
			if r.Kind == registry.KindFeatureView {
				names = append(names, r.Name)
			}
		}
		return names
	}

	store.fail = boom
	_, err := fs.Apply(t.Context(), driver, newView("one", "a"))
	if want := "memory: update: boom; the registry was not changed: repeat the call to complete both"; !errors.Is(err, boom) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if got := names(); len(got) > 0 {
		t.Error(got)
	}
	mustApply(t, fs, driver, newView("one", "a"))
	store.expect(t, "completed", "keep one(driver_id)", "keep one(driver_id)")

	backend.fail = boom
	_, err = fs.Apply(t.Context(), newView("two", "a"))
	if want := "the online store was changed, and then the registry failed: boom; repeat the call to complete both"; !errors.Is(err, boom) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = fs.Apply(t.Context(), &feast.Entity{Name: "customer"})
	if !errors.Is(err, boom) || err.Error() != "boom" {
		t.Errorf("where the online store has no part: %v", err)
	}
	if err := fs.Teardown(t.Context()); !errors.Is(err, boom) {
		t.Error(err)
	}
	backend.fail = nil
	mustApply(t, fs, newView("two", "a"))
	if got := names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Error(got)
	}
	store.expect(t, "completed", "keep two(driver_id)", "teardown one(driver_id)", "keep two(driver_id)")

	store.fail = boom
	if err := fs.Teardown(t.Context()); !errors.Is(err, boom) {
		t.Error(err)
	}
	for range 2 {
		if err := fs.Teardown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	store.expect(t, "torn down", "teardown one(driver_id) two(driver_id)", "teardown one(driver_id) two(driver_id)")
}

// What was applied and cannot be read back is reported with what it changed.
func TestApplyReadBack(t *testing.T) {
	fs, _, backend := newApplyStore(t, false)
	mustApply(t, fs, driver)
	boom := errors.New("boom")
	backend.unreadable.Store(&boom)
	d, err := fs.Apply(t.Context(), &feast.Entity{Name: "customer"})
	if want := "the changes were made, but cannot be read back: boom"; d == nil || d.Empty() || err == nil || err.Error() != want {
		t.Errorf("%v, %v, want %s", d, err, want)
	}
	err = fs.Teardown(t.Context())
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	backend.unreadable.Store(nil)
	if err := fs.Teardown(t.Context()); err != nil {
		t.Error(err)
	}
}

// nothing is a transaction on an empty registry, and writes nothing.
type nothing struct{ registry.Tx }

func (nothing) List(context.Context, registry.Kind) iter.Seq2[registry.Record, error] {
	return func(func(registry.Record, error) bool) {}
}
func (nothing) Put(context.Context, registry.Record) error { return nil }

// A registry took changes and did not answer: what it stored, then or later, shows without a further call.
func TestApplyUnanswered(t *testing.T) {
	lost := feasterr.Unavailable("the outcome is unknown")
	shows := func(t *testing.T, fs *feast.FeatureStore, name string) bool {
		t.Helper()
		snap, err := fs.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = snap.Entity(name)
		return err == nil
	}
	synctest.Test(t, func(t *testing.T) {
		fs, _, backend := newApplyStore(t, false)
		mustApply(t, fs, driver)
		backend.silent, backend.delay = lost, true
		if _, err := fs.Apply(t.Context(), &feast.Entity{Name: "order"}); !errors.Is(err, lost) {
			t.Error(err)
		}
		if err := backend.late[0](); err != nil { // it lands when nobody waits any more
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !shows(t, fs, "order") {
			t.Error("what landed late does not show")
		}

		backend.delay = false
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := fs.Apply(ctx, &feast.Entity{Name: "customer"}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		backend.unreadable.Store(&lost) // nor can it be read
		if _, err := fs.Apply(t.Context(), &feast.Entity{Name: "customer"}); !errors.Is(err, lost) {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if shows(t, fs, "customer") {
			t.Error("the registry cannot be read")
		}
		backend.unreadable.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !shows(t, fs, "customer") {
			t.Error("what was stored does not show")
		}

		// The same again completes it.
		backend.silent = nil
		if d, err := fs.Apply(t.Context(), &feast.Entity{Name: "customer"}); err != nil || !d.Empty() {
			t.Errorf("%v, %v", d, err)
		}
	})
}

// A view that cannot be read can be deleted, with its table.
func TestApplyUnreadable(t *testing.T) {
	fs, store, backend := newApplyStore(t, true)
	mustApply(t, fs, driver, newView("good", "a"))
	spec := append([]byte("\x0a\x03bad\x12\x04"+project), 4<<3|2, 1, 0xff) // the feature is garbage
	record := registry.Record{
		ID:    registry.ID{Kind: registry.KindFeatureView, Project: project, Name: "bad"},
		Proto: append([]byte{1<<3 | 2, byte(len(spec))}, spec...),
	}
	put := func(tx registry.Tx) error { return tx.Put(t.Context(), record) }
	if _, err := backend.Update(t.Context(), project, put); err != nil {
		t.Fatal(err)
	}
	store.told = nil
	d, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{&feast.FeatureView{Name: "bad"}}})
	if err != nil || len(d.Changes) != 1 || d.Changes[0].Old != nil {
		t.Error(d, err)
	}
	store.expect(t, "deleted", "drop bad()")
}

// A repository may have no online store, or one that is not linked in: what touches no table works.
func TestApplyWithoutStore(t *testing.T) {
	for yaml, want := range map[string]string{
		"online_store: null\n":            "",
		"online_store: {type: mongodb}\n": `this version has no driver for online store type "mongodb"`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte("project: demo\nregistry: registry.db\n"+yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		fs := open(t, dir)
		mustApply(t, fs, driver, source("stats_source"))
		for _, apply := range []func(context.Context, ...feast.Object) (*feast.Diff, error){fs.Plan, fs.Apply} {
			_, err := apply(t.Context(), newView("stats", "a"))
			if (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "repeat") {
				t.Errorf("%s: %v", yaml, err)
			}
		}
		err := fs.Teardown(t.Context())
		if got := entries(t, dir); err != nil || !slices.Equal(got, []string{"feature_store.yaml"}) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestApplyReadOnly(t *testing.T) {
	dir := newRepo(t, "")
	fs := open(t, dir, feast.ReadOnly())
	if _, err := fs.Apply(t.Context(), driver); !errors.Is(err, feast.ErrUnsupported) {
		t.Error(err)
	}
	if err := fs.Teardown(t.Context()); !errors.Is(err, feast.ErrUnsupported) {
		t.Error(err)
	}
	if d, err := fs.Plan(t.Context(), driver); err != nil || d.Empty() {
		t.Error(d, err)
	}
	if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml"}) {
		t.Error(got)
	}
	if err := fs.Close(); err != nil {
		t.Error(err)
	}
	if _, err := fs.Plan(t.Context(), driver); !errors.Is(err, feast.ErrClosed) {
		t.Error(err)
	}
}

// Departure 40: tearing down leaves other projects alone, and the files go with the last one.
func TestTeardown(t *testing.T) {
	dir := newRepo(t, "")
	path := filepath.Join(dir, "feature_store.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.yaml")
	if err := os.WriteFile(other, bytes.Replace(text, []byte("demo"), []byte("demo_two"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	one, two := open(t, path), open(t, other)
	if err := one.Teardown(t.Context()); err != nil {
		t.Error("nothing is there:", err)
	}
	mustApply(t, one, driver, newView("stats", "a"))
	mustApply(t, two, driver, newView("stats", "a"), newView("more", "a"))
	infra := func(fs *feast.FeatureStore) (names []string) {
		t.Helper()
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		snap, err := fs.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list, err := snap.Infra()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Objects {
			names = append(names, o.SQLite.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := infra(one); !slices.Equal(got, []string{"demo_stats", "demo_two_more", "demo_two_stats"}) {
		t.Error(got)
	}
	if err := one.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	tables := sqlTables(t, filepath.Join(dir, "online.db"))
	if want := []string{"demo_two_more", "demo_two_stats"}; !slices.Equal(tables, want) || !slices.Equal(infra(two), want) {
		t.Error(tables, infra(two))
	}
	if snap, err := two.Snapshot(t.Context()); err != nil {
		t.Error(err)
	} else if _, err := snap.FeatureView("stats"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := errors.Join(one.Teardown(t.Context()), two.Teardown(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml", "other.yaml"}) {
		t.Errorf("left behind: %v", got)
	}
	mustApply(t, two, driver)
}

// The online store's file goes also when its last view was deleted before, and none is made to be removed.
func TestTeardownWithoutViews(t *testing.T) {
	dir := newRepo(t, "")
	fs := open(t, dir)
	view := newView("stats", "a")
	mustApply(t, fs, driver, view)
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{view}}); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml", "online.db", "registry.db"}) {
		t.Fatalf("there are %v", got)
	}
	for range 2 {
		if err := fs.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml"}) {
			t.Errorf("left behind: %v", got)
		}
		mustApply(t, fs, driver) // which makes no online.db
	}
}

// A bad request names all that is wrong with it and writes no file.
func TestApplyInvalid(t *testing.T) {
	dir := newRepo(t, "")
	fs := open(t, dir)
	lost := newView("lost", "a")
	lost.Source = &feast.DataSource{Name: "no_time", Options: feast.FileOptions{Path: "x.parquet"}}
	none := newView("none")
	_, err := fs.Apply(t.Context(), driver, newView("a:b", "x", "x"), lost, none, &feast.Entity{})
	want := `feature view "a:b": the name must not contain ":", which separates view and feature in references: "view:feature"
feature view "a:b": feature "x" is there twice
entity "": has no name
data source "no_time": has no TimestampField, the column of event times: set it, for its columns are not known: file: describe: Parquet file "` + filepath.Join(dir, "x.parquet") + `" does not exist
feature view "none": has no features: set Schema, for the columns of data source "stats_source" are not known: file: describe: Parquet file "` + filepath.Join(dir, "stats_source.parquet") + `" does not exist`
	if !errors.Is(err, feast.ErrInvalid) || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml"}) {
		t.Error(got)
	}
}

// An apply that was made for a state of the registry does not change another one.
func TestApplyBase(t *testing.T) {
	fs, _, _ := newApplyStore(t, false)
	plan, err := fs.Plan(t.Context(), driver)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, fs, &feast.Entity{Name: "customer"})
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: []feast.Object{driver}, Base: plan.Base}); !errors.Is(err, feast.ErrConflict) {
		t.Error(err)
	}
}

// Several goroutines apply while others read.
func TestApplyConcurrent(t *testing.T) {
	fs := open(t, newRepo(t, ""))
	mustApply(t, fs, driver, newView("stats", "a"))
	const writers, rounds = 4, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range rounds {
				name := fmt.Sprintf("view_%d_%d", w, n)
				if _, err := fs.Apply(t.Context(), newView(name, "a")); err != nil {
					t.Error(err)
					return
				}
				for _, view := range []string{"stats", name} { // its own write at once
					_, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
						Features: []string{view + ":a"}, Entities: feast.Columns{"driver_id": []int64{1}},
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := len(slices.Collect(must(fs.Snapshot(t.Context())).FeatureViews())); n != writers*rounds+1 {
		t.Errorf("%d views", n)
	}
}

// A prepared query sees what was applied by the same feature store.
func TestApplyPrepared(t *testing.T) {
	fs, _, _ := newApplyStore(t, false)
	mustApply(t, fs, driver, newView("stats", "a"))
	q, err := fs.PrepareOnline(t.Context(), feast.OnlineQuery{Features: []string{"stats:a"}})
	if err != nil {
		t.Fatal(err)
	}
	changed := newView("stats", "a")
	changed.Schema[0].Type = feast.String
	mustApply(t, fs, changed)
	var out feast.OnlineResponse
	var gone *feast.SchemaChangedError
	if err := q.GetInto(t.Context(), feast.Columns{"driver_id": []int64{1}}, &out); !errors.As(err, &gone) {
		t.Error(err)
	}
}

// childEnv says what a child process of these tests does, and where.
const childEnv, childDir = "FEAST_TEST_APPLY", "FEAST_TEST_REPO"

// suicidal is an online store whose process is killed after an update.
type suicidal struct{ online.Store }

func (s suicidal) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.Store.Update(ctx, keep, drop); err != nil {
		return err
	}
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		return err
	}
	select {}
}

// TestApplyChild is the child process.
func TestApplyChild(t *testing.T) {
	what, dir := os.Getenv(childEnv), os.Getenv(childDir)
	if what == "" {
		return
	}
	if what == "die" {
		store, err := sqlite.New(sqlite.Config{Path: filepath.Join(dir, "online.db")})
		if err != nil {
			t.Fatal(err)
		}
		_, err = open(t, dir, feast.WithOnlineStore(suicidal{store})).Apply(t.Context(), newView("two", "a"))
		t.Fatal("alive:", err)
	}
	fs := open(t, dir)
	for n := range must(strconv.Atoi(os.Getenv("FEAST_TEST_ROUNDS"))) {
		d := mustApply(t, fs, &feast.Entity{Name: what, Description: strconv.Itoa(n)}, &feast.Entity{Name: what + "_twin", Description: strconv.Itoa(n)})
		for _, c := range d.Changes {
			if c.ID.Name == registry.DummyEntity || c.ID.Kind != registry.KindEntity {
				continue
			}
			if was, ok := c.Old.(*feast.Entity); n > 0 && (!ok || was.Description != strconv.Itoa(n-1)) {
				t.Fatalf("apply %d of %s is lost: there is %v", n-1, c.ID.Name, c.Old)
			}
		}
		fmt.Printf("applied %d\n", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func child(t *testing.T, dir, what string, rounds int) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), "-test.run=^TestApplyChild$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+what, childDir+"="+dir, "FEAST_TEST_ROUNDS="+strconv.Itoa(rounds))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// A process that is killed after the online store was changed, and before the registry was, loses nothing, and applying
// again completes it.
func TestApplyKilledBetween(t *testing.T) {
	dir := newRepo(t, "")
	fs := open(t, dir)
	mustApply(t, fs, driver, newView("one", "a"))
	before := must(os.ReadFile(filepath.Join(dir, "registry.db")))
	cmd, out := child(t, dir, "die", 0)
	text, err := io.ReadAll(out)
	if waitErr := cmd.Wait(); err != nil || waitErr == nil || bytes.Contains(text, []byte("alive")) {
		t.Fatalf("%v, %v: %s", err, waitErr, text)
	}
	if after := must(os.ReadFile(filepath.Join(dir, "registry.db"))); !bytes.Equal(before, after) {
		t.Error("the registry was changed")
	}
	if got := sqlTables(t, filepath.Join(dir, "online.db")); !slices.Equal(got, []string{"demo_one", "demo_two"}) {
		t.Error(got)
	}
	if d := mustApply(t, fs, newView("two", "a")); d.Empty() {
		t.Error(d)
	}
	if _, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"one:a", "two:a"}, FullFeatureNames: true, Entities: feast.Columns{"driver_id": []int64{1}},
	}); err != nil {
		t.Error(err)
	}
}

// A process that is killed at any moment leaves all that it reported, and no half apply.
func TestApplyKilled(t *testing.T) {
	dir := newRepo(t, "")
	fs := open(t, dir)
	mustApply(t, fs, driver, newView("stats", "a"))
	for round := range 10 {
		what := fmt.Sprintf("e%d", round)
		cmd, out := child(t, dir, what, 1_000_000)
		lines := bufio.NewScanner(out)
		reported := -1
		read := func() bool {
			more := lines.Scan()
			if n, ok := strings.CutPrefix(lines.Text(), "applied "); ok {
				reported = must(strconv.Atoi(n))
			}
			return more
		}
		for until := 1 + rand.IntN(5); reported < until && read(); {
		}
		<-time.After(rand.N(5 * time.Millisecond)) // somewhere in the next apply
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for read() {
		}
		_ = cmd.Wait()

		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		snap := must(fs.Snapshot(t.Context()))
		one, two := must(snap.Entity(what)), must(snap.Entity(what+"_twin"))
		if n := must(strconv.Atoi(one.Description)); n != reported && n != reported+1 {
			t.Errorf("apply %d is there, %d was reported", n, reported)
		}
		if one.Description != two.Description {
			t.Errorf("half an apply: %s and %s", one.Description, two.Description)
		}
		if _, err := snap.FeatureView("stats"); err != nil {
			t.Error(err)
		}
		mustApply(t, fs, &feast.Entity{Name: what, Description: "survived"})
		if got := entries(t, dir); !slices.Equal(got, []string{"feature_store.yaml", "online.db", "registry.db"}) {
			t.Errorf("left behind: %v", got)
		}
	}
}

// Eight processes that apply to one registry at once lose nothing: each finds what it applied before.
func TestApplyProcesses(t *testing.T) {
	dir := newRepo(t, "")
	const processes, rounds = 8, 200
	start := time.Now()
	var wg sync.WaitGroup
	for i := range processes {
		cmd, out := child(t, dir, fmt.Sprintf("p%d", i), rounds)
		wg.Go(func() {
			text, err := io.ReadAll(out)
			if err := errors.Join(err, cmd.Wait()); err != nil {
				t.Errorf("%v: %s", err, text)
			}
		})
	}
	wg.Wait()
	t.Logf("%d applies in %s", processes*rounds, time.Since(start))
	snap := must(open(t, dir).Snapshot(t.Context()))
	for i := range processes {
		for _, name := range []string{fmt.Sprintf("p%d", i), fmt.Sprintf("p%d_twin", i)} {
			if e, err := snap.Entity(name); err != nil || e.Description != strconv.Itoa(rounds-1) {
				t.Error(e, err)
			}
		}
	}
}

// lagging is a registry whose reads go to a replica that does not have other projects yet.
type lagging struct{ *registrymemory.Backend }

func (b lagging) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	state, token, err := b.Backend.Load(ctx, have)
	if err == nil && state != nil {
		state.Records = slices.DeleteFunc(slices.Clone(state.Records), func(r registry.Record) bool { return r.Project != project })
	}
	return state, token, err
}

func (b lagging) LoadWritten(ctx context.Context, _ string) (*registry.State, error) {
	state, _, err := b.Backend.Load(ctx, "")
	return state, err
}

// Whether a project is left is asked where it was removed.
func TestTeardownBehindReplica(t *testing.T) {
	b := lagging{registrymemory.New()}
	kept, err := registry.Encode("other", &registry.Entity{Name: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	put := func(tx registry.Tx) error { return tx.Put(t.Context(), kept) }
	if _, err := b.Update(t.Context(), "other", put); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.New(t.Context(), config.Default(project), feast.WithRegistry(b), feast.WithOnlineStore(memory.New()))
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	mustApply(t, fs, driver)
	if err := fs.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	state, err := b.LoadWritten(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(state.Records, func(r registry.Record) bool { return r.ID == kept.ID }) {
		t.Error("another project is gone")
	}
}
