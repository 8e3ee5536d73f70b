// Package registrytest holds the behaviour that every registry backend must have, as a test suite: what backends do, and
// what [registry.Writer] makes of them, replayed from recordings of Feast. A driver's test calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		registrytest.Run(t, registrytest.Harness{New: func(t *testing.T) registrytest.Place { ... }})
//	}
package registrytest

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Harness says how to make registries of one kind.
type Harness struct {
	// New makes an empty registry that no other test uses. It leaves cleaning up to t.
	New func(t *testing.T) Place
	// Applies is how often each of eight writers applies at the same time; 0: ten times.
	Applies int
}

// Place is one registry.
type Place struct {
	// Open returns a new handle on the registry. The suite closes it.
	Open func(t *testing.T) registry.Backend
	// For is Open for one project, of backends that see no more than that; Open is about project "demo" then. Nil: Open's
	// see all projects.
	For func(t *testing.T, project string) registry.Backend
	// Behind returns the registry that a server keeps, of backends that are servers.
	Behind func(t *testing.T) registry.Backend
	// Clock sets the clock of backends that Open returns from now on, where they have one. Nil: they have none.
	Clock func(now func() time.Time)
	// Write makes records the whole content of the registry, past all open handles, as another process would.
	Write func(t *testing.T, records []registry.Record)

	// Rows returns the rows of some tables of a SQL registry, by table and column. Of backends that have tables, it
	// replays what Feast wrote row for row. Nil: there are none.
	Rows func(t *testing.T, table string) []map[string]any
}

// File returns records as the content of a file registry, a serialized feast.core.Registry, with the given version_id.
func File(version string, records []registry.Record) []byte {
	fields := map[registry.Kind]uint64{
		registry.KindProject: 17, registry.KindEntity: 1, registry.KindDataSource: 12, registry.KindFeatureView: 6,
		registry.KindStreamFeatureView: 14, registry.KindOnDemandFeatureView: 8, registry.KindLabelView: 19,
		registry.KindFeatureService: 7, registry.KindSavedDataset: 11, registry.KindValidationReference: 13,
		registry.KindPermission: 16, registry.KindInfra: 10, registry.KindProjectMetadata: 15,
	}
	b := appendField(nil, 3, "1") // registry_schema_version
	b = appendField(b, 4, version)
	var history []byte
	for _, r := range records {
		if r.Kind == registry.KindViewVersion {
			history = appendField(history, 1, r.Proto)
		} else {
			b = appendField(b, fields[r.Kind], r.Proto)
		}
	}
	if history != nil {
		b = appendField(b, 18, history)
	}
	return b
}

// appendField appends a length-delimited field of a message.
func appendField[T string | []byte](b []byte, num uint64, value T) []byte {
	b = binary.AppendUvarint(b, num<<3|2)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// Run runs the suite. Of a backend that is a [registry.Applier], what is about transactions is left out.
func Run(t *testing.T, h Harness) {
	_, served := open(t, h.New(t)).(registry.Applier)
	for name, test := range map[string]func(*testing.T, Place){
		"Load":             testLoad,
		"Probe":            testProbe,
		"BadRecord":        testBadRecord,
		"Canceled":         testCanceled,
		"Concurrent":       testConcurrent,
		"CloseTwice":       testCloseTwice,
		"Teardown":         testTeardown,
		"Snapshot":         testSnapshot,
		"Refresh":          testRefresh,
		"Miss":             testMiss,
		"ClosedFront":      testClosedFront,
		"Update":           testUpdate,
		"UpdateRollback":   testUpdateRollback,
		"UpdateProjects":   testUpdateProjects,
		"UpdateInfra":      testUpdateInfra,
		"UpdateVersions":   testUpdateVersions,
		"UpdateConcurrent": testUpdateConcurrent,
		"UpdateToken":      testUpdateToken,
		"UpdateRefresh":    testUpdateRefresh,
		"UpdateTeardown":   testUpdateTeardown,
		"Swap":             testSwap,
		"CommitInfra":      testCommitInfra,
		"CommitFirst":      testCommitFirst,
		"SequenceFile":     testSequenceFile,
		"SequenceSQL":      testSequenceSQL,
		"Plan":             testPlan,
		"GoldenUnchanged":  testGoldenUnchanged,
		"GoldenCreated":    testGoldenCreated,
	} {
		transactional := strings.HasPrefix(name, "Update") || name == "Swap"
		if !served || !transactional && name != "BadRecord" { // which ends at the server
			t.Run(name, func(t *testing.T) { test(t, h.New(t)) })
		}
	}
	if served {
		t.Run("Served", func(t *testing.T) { testServed(t, h.New(t)) })
	}
	t.Run("Writers", func(t *testing.T) { testWriters(t, h.New(t), cmp.Or(h.Applies, 10)) })
	for name, write := range map[string]func(*testing.T, Place){"Poll": writeTwo, "PollUpdate": updateTwo} {
		if served && name == "PollUpdate" {
			continue
		}
		t.Run(name, func(t *testing.T) { testPoll(t, h, write) })
	}
}

const project = "demo"

// objects are one of each kind.
func objects() []registry.Object {
	file := &registry.DataSource{Name: "file", TimestampField: "ts", Options: registry.FileOptions{Path: "d.parquet"}}
	schema := []registry.Field{{Name: "f", Type: types.Int64}}
	return []registry.Object{
		&registry.Project{Name: project, Description: "d"},
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
		file,
		&registry.FeatureView{
			Name: "stats", Entities: []string{"driver"}, Schema: schema, TTL: time.Hour, Source: file, Online: true,
		},
		&registry.StreamFeatureView{Name: "stream", Entities: []string{"driver"}, Schema: schema, Source: file},
		&registry.OnDemandFeatureView{Name: "odfv", Schema: schema, Sources: []registry.FeatureViewProjection{{Name: "stats"}}},
		&registry.LabelView{Name: "labels", Entities: []string{"driver"}, Schema: schema},
		&registry.FeatureService{Name: "service", Features: []registry.FeatureViewProjection{{Name: "stats", Features: schema}}},
		&registry.SavedDataset{Name: "dataset", Storage: registry.FileOptions{Path: "saved.parquet"}},
		&registry.ValidationReference{Name: "reference", DatasetName: "dataset"},
		&permissions.Permission{
			Name: "everybody", Actions: []permissions.Action{permissions.Describe},
			Policy: permissions.RoleBased{Roles: []string{"r"}},
		},
	}
}

func records(t *testing.T, project string, objects ...registry.Object) []registry.Record {
	t.Helper()
	out := make([]registry.Record, len(objects))
	for i, o := range objects {
		r, err := registry.Encode(project, o)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = r
	}
	return out
}

// describe returns an entity whose description is text.
func describe(text string) *registry.Entity {
	return &registry.Entity{Name: "driver", Description: text}
}

func open(t *testing.T, p Place) registry.Backend {
	t.Helper()
	b := p.Open(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// openFor opens a registry to use one project of it.
func openFor(t *testing.T, p Place, project string) registry.Backend {
	t.Helper()
	if p.For == nil {
		return open(t, p)
	}
	p.Open = func(t *testing.T) registry.Backend { return p.For(t, project) }
	return open(t, p)
}

// snapshotOf reads one project of a registry.
func snapshotOf(ctx context.Context, t *testing.T, p Place, project string) (*registry.Snapshot, error) {
	r := registry.New(openFor(t, p, project), project, registry.Options{})
	defer r.Close()
	return r.Snapshot(ctx)
}

// load loads everything, which must be there and good.
func load(t *testing.T, b registry.Backend) (map[registry.ID]string, registry.Token) {
	t.Helper()
	state, token, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if state == nil || token == "" || len(state.Bad) > 0 {
		t.Fatalf("state %v, token %q", state, token)
	}
	found := map[registry.ID]string{}
	for _, r := range state.Records {
		found[r.ID] = string(r.Proto)
	}
	return found, token
}

// alike makes records of two places comparable: a server leaves the project out of objects.
func alike(t *testing.T, found map[registry.ID]string) map[registry.ID]string {
	t.Helper()
	for id, text := range found {
		o, err := registry.Decode(registry.Record{ID: id, Proto: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := registry.Encode(id.Project, o)
		if err != nil {
			t.Fatal(err)
		}
		found[id] = string(r.Proto)
	}
	return found
}

func want(records []registry.Record) map[registry.ID]string {
	m := map[registry.ID]string{}
	for _, r := range records {
		m[r.ID] = string(r.Proto)
	}
	return m
}

func testLoad(t *testing.T, p Place) {
	p.Write(t, nil)
	b := open(t, p)
	if got, _ := load(t, b); len(got) != 0 {
		t.Errorf("an empty registry has %v", got)
	}
	other := records(t, "other", &registry.Project{Name: "other"}, describe("of another project"))
	all := append(records(t, project, objects()...), other...)
	p.Write(t, all)
	if p.For != nil {
		all = slices.DeleteFunc(all, func(r registry.Record) bool { return r.Project != project && r.Kind != registry.KindProject })
	}
	if got, _ := load(t, b); !maps.Equal(alike(t, got), want(all)) {
		t.Errorf("loaded %v", slices.Collect(maps.Keys(got)))
	}
	if got, _ := load(t, open(t, p)); !maps.Equal(alike(t, got), want(all)) {
		t.Error("another handle loads something else")
	}
}

func testProbe(t *testing.T, p Place) {
	b := open(t, p)
	p.Write(t, records(t, project, describe("one")))
	_, first := load(t, b)
	for range 3 {
		if state, token, err := b.Load(t.Context(), first); state != nil || token != first || err != nil {
			t.Fatalf("an unchanged registry: %v, %q, %v", state, token, err)
		}
	}
	// Of the same length, at once: only the content tells.
	two := records(t, project, describe("two"))
	p.Write(t, two)
	state, second, err := b.Load(t.Context(), first)
	if err != nil || state == nil || second == first {
		t.Fatalf("a changed registry: %v, %q, %v", state, second, err)
	}
	if len(state.Records) != 1 || !maps.Equal(alike(t, want(state.Records)), want(two)) {
		t.Errorf("loaded %v", state.Records)
	}
	if state, token, err := b.Load(t.Context(), "of another backend"); state == nil || token != second || err != nil {
		t.Errorf("a foreign token: %v, %q, %v", state, token, err)
	}
}

// garbage is a record whose identity can be told and whose rest is garbage.
func garbage() registry.Record {
	spec := appendField(nil, 1, "garbage")
	spec = appendField(spec, 9, project)
	spec = appendField(spec, 8, "\xff") // tags
	id := registry.ID{Kind: registry.KindEntity, Project: project, Name: "garbage"}
	return registry.Record{ID: id, Proto: appendField(nil, 1, spec)}
}

func testBadRecord(t *testing.T, p Place) {
	p.Write(t, append(records(t, project, objects()...), garbage()))
	r := registry.New(p.Open(t), project, registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if bad := s.Bad(); len(bad) != 1 || bad[0].ID.Kind != registry.KindEntity || !errors.Is(bad[0].Err, feasterr.ErrInvalid) {
		t.Errorf("bad: %v", bad)
	}
	if _, err := s.Entity("garbage"); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	if _, err := s.Entity("driver"); err != nil {
		t.Error("the others must be there:", err)
	}
	if n := len(slices.Collect(s.Entities())); n != 1 {
		t.Errorf("%d entities", n)
	}
}

func testCanceled(t *testing.T, p Place) {
	p.Write(t, nil)
	b := open(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Load(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Error("Load:", err)
	}
	if _, served := b.(registry.Applier); served {
		return
	}
	if _, err := b.Update(ctx, project, func(registry.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error("Update:", err)
	}
	_, before := load(t, b)
	ctx, cancel = context.WithCancel(t.Context())
	_, err := b.Update(ctx, project, func(tx registry.Tx) error {
		cancel()
		return tx.Put(ctx, records(t, project, describe("one"))[0])
	})
	if !errors.Is(err, context.Canceled) {
		t.Error("Put:", err)
	}
	if got, token := load(t, b); token != before || len(got) > 0 {
		t.Errorf("something was written: %v", got)
	}
}

func testConcurrent(t *testing.T, p Place) {
	all := records(t, project, objects()...)
	p.Write(t, all)
	b := open(t, p)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var have registry.Token
			for range 5 {
				state, token, err := b.Load(t.Context(), have)
				if err != nil || (state == nil) != (have != "") || state != nil && len(state.Records) != len(all) {
					t.Errorf("%v, %q, %v", state, token, err)
					return
				}
				have = token
			}
		})
	}
	wg.Wait()
}

func testCloseTwice(t *testing.T, p Place) {
	p.Write(t, nil)
	b := p.Open(t)
	load(t, b)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testTeardown(t *testing.T, p Place) {
	p.Write(t, records(t, project, objects()...))
	b := open(t, p)
	load(t, b)
	for range 2 { // a registry that does not exist is no error
		if err := b.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	state, _, err := b.Load(t.Context(), "")
	if err == nil && len(state.Records) > 0 || err != nil && !errors.Is(err, feasterr.ErrNotFound) {
		t.Errorf("after Teardown: %v, %v", state, err)
	}
}

func testSnapshot(t *testing.T, p Place) {
	other := records(t, "other", &registry.Project{Name: "other"}, &registry.Entity{Name: "hidden"})
	p.Write(t, append(records(t, project, objects()...), other...))
	r := registry.New(p.Open(t), project, registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects() {
		name := o.Resource().Name
		var got registry.Object
		var err error
		switch o.(type) {
		case *registry.Project:
			got, err = s.Project()
		case *registry.Entity:
			got, err = s.Entity(name)
		case *registry.DataSource:
			got, err = s.DataSource(name)
		case registry.View:
			got, err = s.View(name)
		case *registry.FeatureService:
			got, err = s.FeatureService(name)
		case *registry.SavedDataset:
			got, err = s.SavedDataset(name)
		case *registry.ValidationReference:
			got, err = s.ValidationReference(name)
		case *permissions.Permission:
			got, err = s.Permission(name)
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if registry.KindOf(got) != registry.KindOf(o) || got.Resource().Name != name || got.Resource().Project != project {
			t.Errorf("%s is %+v", name, got.Resource())
		}
	}
	var notFound *feasterr.NotFoundError
	if _, err := s.View("statz"); !errors.As(err, &notFound) || notFound.Project != project ||
		!slices.Equal(notFound.Near, []string{"stats"}) {
		t.Error(err)
	}
	if _, err := s.Entity("hidden"); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error("an object of another project:", err)
	}
	if len(s.Bad()) != 0 {
		t.Error(s.Bad())
	}
}

func testRefresh(t *testing.T, p Place) {
	write := func(description string) {
		list := records(t, project, describe(description), &registry.Entity{Name: "same"})
		list[1].Updated = time.Unix(1700000000, 0).UTC() // where that is kept it has to be the same, too
		p.Write(t, list)
	}
	write("one")
	r := registry.New(p.Open(t), project, registry.Options{})
	defer r.Close()
	old, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same, err := old.Entity("same")
	if err != nil {
		t.Fatal(err)
	}
	write("two")
	s, err := r.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if e, err := s.Entity("driver"); err != nil || e.Description != "two" {
		t.Error(e, err)
	}
	if e, err := s.Entity("same"); err != nil || e != same {
		t.Error("an object that did not change was decoded again:", err)
	}
	if e, err := old.Entity("driver"); err != nil || e.Description != "one" {
		t.Error("the old snapshot changed:", e, err)
	}
	if again, err := r.Refresh(t.Context()); err != nil || again != s {
		t.Error("nothing changed, but there is another snapshot:", err)
	}
}

func testMiss(t *testing.T, p Place) {
	p.Write(t, records(t, project, describe("one")))
	r := registry.New(p.Open(t), project, registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.View("stats"); !errors.Is(err, feasterr.ErrNotFound) {
		t.Fatal(err)
	}
	p.Write(t, records(t, project, objects()...))
	if s, err = r.RefreshOnMiss(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.View("stats"); err != nil {
		t.Error(err)
	}
}

func testClosedFront(t *testing.T, p Place) {
	p.Write(t, records(t, project, objects()...))
	r := registry.New(p.Open(t), project, registry.Options{CacheTTL: time.Minute})
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Snapshot(t.Context()); !errors.Is(err, feasterr.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.View("stats"); err != nil {
		t.Error("a snapshot outlives the registry:", err)
	}
}

// testPoll is for backends with a cheap probe: what another process writes is seen without anybody asking.
func testPoll(t *testing.T, h Harness, write func(*testing.T, Place)) {
	poller, ok := open(t, h.New(t)).(registry.Poller)
	if !ok {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		p := h.New(t)
		p.Write(t, records(t, project, describe("one")))
		r := registry.New(p.Open(t), project, registry.Options{})
		defer r.Close()
		if _, err := r.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		write(t, p)
		time.Sleep(poller.PollInterval() + time.Second)
		synctest.Wait()
		s, err := r.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Entity("driver"); err != nil || e.Description != "two" {
			t.Error(e, err)
		}
	})
}

func writeTwo(t *testing.T, p Place) { p.Write(t, records(t, project, describe("two"))) }

func updateTwo(t *testing.T, p Place) {
	update(t, open(t, p), func(ctx context.Context, tx registry.Tx) error {
		return tx.Put(ctx, records(t, project, describe("two"))[0])
	})
}

// update runs fn, which must succeed.
func update(t *testing.T, b registry.Backend, fn func(ctx context.Context, tx registry.Tx) error) registry.Token {
	t.Helper()
	token, err := b.Update(t.Context(), project, func(tx registry.Tx) error { return fn(t.Context(), tx) })
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func testUpdate(t *testing.T, p Place) {
	p.Write(t, nil)
	b := open(t, p)
	all := records(t, project, objects()...)
	update(t, b, func(ctx context.Context, tx registry.Tx) error {
		for _, r := range all {
			if _, err := tx.Get(ctx, r.ID); !errors.Is(err, feasterr.ErrNotFound) {
				return fmt.Errorf("%s before it was put: %w", r.ID, err)
			}
			if err := tx.Put(ctx, r); err != nil {
				return err
			}
			if got, err := tx.Get(ctx, r.ID); err != nil || string(got.Proto) != string(r.Proto) {
				return fmt.Errorf("own write of %s: %w", r.ID, err)
			}
		}
		return nil
	})
	if got, _ := load(t, open(t, p)); !maps.Equal(got, want(all)) {
		t.Errorf("loaded %v", slices.Collect(maps.Keys(got)))
	}

	changed := records(t, project, describe("changed"))[0]
	second := records(t, project, &registry.Entity{Name: "second"})[0]
	source := registry.ID{Kind: registry.KindDataSource, Project: project, Name: "file"}
	update(t, b, func(ctx context.Context, tx registry.Tx) error {
		if err := errors.Join(tx.Put(ctx, changed), tx.Put(ctx, second), tx.Delete(ctx, source)); err != nil {
			return err
		}
		if err := tx.Delete(ctx, source); !errors.Is(err, feasterr.ErrNotFound) {
			return fmt.Errorf("deleting what was deleted: %w", err)
		}
		if _, err := tx.Get(ctx, source); !errors.Is(err, feasterr.ErrNotFound) {
			return fmt.Errorf("getting what was deleted: %w", err)
		}
		listed := map[registry.ID]string{}
		for r, err := range tx.List(ctx, registry.KindEntity) {
			if err != nil {
				return err
			}
			listed[r.ID] = string(r.Proto)
		}
		if !maps.Equal(listed, want([]registry.Record{changed, second})) {
			return fmt.Errorf("listed %v", listed)
		}
		for _, err := range tx.List(ctx, registry.KindEntity) {
			if err != nil {
				return err
			}
			break // early
		}
		return nil
	})
	expected := want(all)
	delete(expected, source)
	expected[changed.ID], expected[second.ID] = string(changed.Proto), string(second.Proto)
	if got, _ := load(t, b); !maps.Equal(got, expected) {
		t.Errorf("loaded %v", slices.Collect(maps.Keys(got)))
	}
}

func testUpdateRollback(t *testing.T, p Place) {
	before := records(t, project, objects()...)
	p.Write(t, before)
	b := open(t, p)
	_, token := load(t, b)
	boom := errors.New("boom")
	_, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
		for _, r := range before {
			if err := tx.Delete(t.Context(), r.ID); err != nil {
				return err
			}
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Error(err)
	}
	got, after := load(t, b)
	if !maps.Equal(got, want(before)) || after != token {
		t.Errorf("something was written: token %q became %q", token, after)
	}
}

// A transaction sees and changes the records of its project only.
func testUpdateProjects(t *testing.T, p Place) {
	other := records(t, "other", describe("of another project"))
	p.Write(t, other)
	b := open(t, p)
	update(t, b, func(ctx context.Context, tx registry.Tx) error {
		for r, err := range tx.List(ctx, registry.KindEntity) {
			t.Errorf("%s is listed, %v", r.ID, err)
		}
		if err := tx.Put(ctx, other[0]); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("putting into another project: %v", err)
		}
		return tx.Put(ctx, records(t, project, describe("mine"))[0])
	})
	if got, _ := load(t, b); len(got) != 2 || got[other[0].ID] != string(other[0].Proto) {
		t.Errorf("loaded %v", got)
	}
}

// The list of infrastructure may belong to the project or to all: a project finds it under its own name.
func testUpdateInfra(t *testing.T, p Place) {
	p.Write(t, records(t, project, &registry.Project{Name: project}))
	b := open(t, p)
	id := registry.ID{Kind: registry.KindInfra, Project: project, Name: registry.InfraName}
	object := appendField(appendField(nil, 1, "a.Class"), 100, appendField(nil, 1, "opaque"))
	infra := registry.Record{ID: id, Proto: appendField(nil, 1, object)}
	same := func(ctx context.Context, tx registry.Tx) error {
		got, err := tx.Get(ctx, id)
		if err != nil || string(got.Proto) != string(infra.Proto) {
			return fmt.Errorf("got %v: %w", got, err)
		}
		n := 0
		for _, err := range tx.List(ctx, registry.KindInfra) {
			if n++; err != nil {
				return err
			}
		}
		if n != 1 {
			return fmt.Errorf("%d lists of infrastructure", n)
		}
		return nil
	}
	update(t, b, func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.Get(ctx, id); !errors.Is(err, feasterr.ErrNotFound) {
			return fmt.Errorf("before it was put: %w", err)
		}
		return errors.Join(tx.Put(ctx, infra), same(ctx, tx))
	})
	update(t, open(t, p), same)
	update(t, b, func(ctx context.Context, tx registry.Tx) error { return tx.Delete(ctx, id) })
	if got, _ := load(t, b); len(got) != 1 {
		t.Errorf("loaded %v", slices.Collect(maps.Keys(got)))
	}
}

// Versions of a view differ by their number.
func testUpdateVersions(t *testing.T, p Place) {
	p.Write(t, nil)
	b := open(t, p)
	version := func(number byte, description string) registry.Record {
		proto := appendField(appendField(nil, 1, "stats"), 2, project)
		if number > 0 {
			proto = append(proto, 3<<3, number)
		}
		return registry.Record{
			ID:    registry.ID{Kind: registry.KindViewVersion, Project: project, Name: "stats", Version: int(number)},
			Proto: appendField(proto, 7, description),
		}
	}
	zero, one, two := version(0, "zero"), version(1, "one"), version(2, "two")
	for _, r := range []registry.Record{zero, one, two} {
		update(t, b, func(ctx context.Context, tx registry.Tx) error { return tx.Put(ctx, r) })
	}
	if got, _ := load(t, open(t, p)); !maps.Equal(got, want([]registry.Record{zero, one, two})) {
		t.Errorf("loaded %v", got)
	}
	changed := version(1, "changed")
	update(t, b, func(ctx context.Context, tx registry.Tx) error {
		return errors.Join(tx.Delete(ctx, zero.ID), tx.Put(ctx, changed))
	})
	if got, _ := load(t, open(t, p)); !maps.Equal(got, want([]registry.Record{changed, two})) {
		t.Errorf("loaded %v", got)
	}
}

// No update is lost, whoever else updates.
func testUpdateConcurrent(t *testing.T, p Place) {
	p.Write(t, records(t, project, describe("")))
	const writers, rounds = 4, 5
	var wg sync.WaitGroup
	for range writers {
		b := open(t, p)
		wg.Go(func() {
			for range rounds {
				_, err := b.Update(t.Context(), project, func(tx registry.Tx) error {
					r, err := tx.Get(t.Context(), registry.ID{Kind: registry.KindEntity, Project: project, Name: "driver"})
					if err != nil {
						return err
					}
					o, err := registry.Decode(r)
					if err != nil {
						return err
					}
					e, err := registry.Clone(o.(*registry.Entity))
					if err != nil {
						return err
					}
					e.Description += "x"
					if r, err = registry.Encode(project, e); err != nil {
						return err
					}
					return tx.Put(t.Context(), r)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, _ := load(t, open(t, p))
	for _, b := range got {
		o, err := registry.Decode(registry.Record{ID: registry.ID{Kind: registry.KindEntity}, Proto: []byte(b)})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(o.(*registry.Entity).Description); n != writers*rounds {
			t.Errorf("%d of %d updates are left", n, writers*rounds)
		}
	}
}

// Eight writers apply at the same time, each through a handle of its own: objects of their own, and intervals to one view.
func testWriters(t *testing.T, p Place, applies int) {
	source := &registry.DataSource{Name: "file", TimestampField: "ts", Options: registry.FileOptions{Path: "d.parquet"}}
	view := &registry.FeatureView{Name: "stats", Schema: []registry.Field{{Name: "f", Type: types.Int64}}, Source: source}
	apply(t, &registry.Writer{Backend: open(t, p), Project: project}, registry.ApplyRequest{Objects: []registry.Object{view}})

	const writers = 8
	name := func(writer, round int) string { return fmt.Sprintf("entity_%d_%d", writer, round) }
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var runs atomic.Int64
	var wg sync.WaitGroup
	for writer := range writers {
		w := registry.Writer{Backend: open(t, p), Project: project, BeforeCommit: func(context.Context, *registry.Commit) error {
			runs.Add(1)
			return nil
		}}
		wg.Go(func() {
			for round := range applies {
				var err error
				if round%2 == 0 {
					r := registry.ApplyRequest{Objects: []registry.Object{&registry.Entity{Name: name(writer, round)}}}
					_, err = w.Apply(t.Context(), r)
				} else {
					at := start.Add(time.Duration(writer*applies+round) * time.Second)
					err = w.ApplyMaterialization(t.Context(), "stats", at, at.Add(time.Second))
				}
				if err != nil {
					t.Errorf("writer %d, round %d: %v", writer, round, err)
				}
			}
		})
	}
	wg.Wait()
	r := registry.New(p.Open(t), project, registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for writer := range writers {
		for round := 0; round < applies; round += 2 {
			if _, err := s.Entity(name(writer, round)); err != nil {
				t.Error("lost:", err)
			}
		}
	}
	stored, err := s.FeatureView("stats")
	if err != nil {
		t.Fatal(err)
	}
	starts := map[time.Time]bool{}
	for _, i := range stored.MaterializationIntervals {
		starts[i.Start.UTC()] = true
	}
	if want := writers * (applies / 2); len(starts) != want || len(stored.MaterializationIntervals) != want {
		t.Errorf("%d intervals, want %d", len(starts), want)
	}
	t.Logf("%d applies, %d of them run again after a conflict", writers*((applies+1)/2), int(runs.Load())-writers*((applies+1)/2))
}

// Readers see one state or the other, never parts of both.
func testSwap(t *testing.T, p Place) {
	both := func(text string) []registry.Record {
		return records(t, project, describe(text), &registry.Entity{Name: "second", Description: text})
	}
	p.Write(t, both("0"))
	b := p.Open(t)
	r := registry.New(b, project, registry.Options{})
	defer r.Close()
	if _, err := r.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				s, err := r.Snapshot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				one, err := s.Entity("driver")
				two, err2 := s.Entity("second")
				if err != nil || err2 != nil || one.Description != two.Description {
					t.Errorf("%v and %v, %v, %v", one, two, err, err2)
					return
				}
				select {
				case <-done:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
	for i := 1; i <= 10; i++ {
		update(t, b, func(ctx context.Context, tx registry.Tx) error {
			for _, r := range both(fmt.Sprint(i)) {
				if err := tx.Put(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
		s, err := r.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Entity("driver"); err != nil || e.Description != fmt.Sprint(i) {
			t.Error(e, err)
		}
	}
	close(done)
	wg.Wait()
}

// The token of an update is that of the state it made.
func testUpdateToken(t *testing.T, p Place) {
	p.Write(t, nil)
	b := open(t, p)
	_, before := load(t, b)
	token := update(t, b, func(ctx context.Context, tx registry.Tx) error {
		return tx.Put(ctx, records(t, project, describe("one"))[0])
	})
	if token == before {
		t.Error("the token did not move")
	}
	if state, now, err := b.Load(t.Context(), token); state != nil || now != token || err != nil {
		t.Errorf("%v, %q, %v", state, now, err)
	}
	if again := update(t, b, func(context.Context, registry.Tx) error { return nil }); again != token {
		t.Errorf("an update that writes nothing moves the token from %q to %q", token, again)
	}
}

// The front sees its own writes once it is told to look.
func testUpdateRefresh(t *testing.T, p Place) {
	p.Write(t, records(t, project, describe("one")))
	b := p.Open(t)
	r := registry.New(b, project, registry.Options{})
	defer r.Close()
	if _, err := r.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"two", "six"} {
		token := update(t, b, func(ctx context.Context, tx registry.Tx) error {
			return tx.Put(ctx, records(t, project, describe(text))[0])
		})
		s, err := r.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Entity("driver"); err != nil || e.Description != text || s.Token() != token {
			t.Error(e, s.Token(), token, err)
		}
	}
}

// A registry that was torn down is made anew.
func testUpdateTeardown(t *testing.T, p Place) {
	p.Write(t, records(t, project, objects()...))
	b := open(t, p)
	if err := b.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	one := records(t, project, describe("one"))
	update(t, b, func(ctx context.Context, tx registry.Tx) error { return tx.Put(ctx, one[0]) })
	if got, _ := load(t, b); !maps.Equal(got, want(one)) {
		t.Errorf("loaded %v", slices.Collect(maps.Keys(got)))
	}
}
