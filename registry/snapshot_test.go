package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
)

func TestSnapshotLists(t *testing.T) {
	s := golden(t)
	var views []string
	for v := range s.Views() {
		views = append(views, v.Info().Name)
		if again := must(s.View(v.Info().Name)); again != v {
			t.Errorf("%s: two objects", v.Info().Name)
		}
	}
	equal(t, "views", views, []string{
		"all_types", "driver_stats", "multi_entity", "no_ttl", "entityless", "inferred", "inferred_ts", "vectors", "disabled", "derived",
		"batch_fv", "stream_fv", "odfv_python", "odfv_pandas", "odfv_singleton", "odfv_write", "labels",
	})
	counts := map[string]int{
		"entities":      len(slices.Collect(s.Entities())),
		"data sources":  len(slices.Collect(s.DataSources())),
		"feature views": len(slices.Collect(s.FeatureViews())),
		"services":      len(slices.Collect(s.FeatureServices())),
		"permissions":   len(must(s.Permissions())),
		"datasets":      len(slices.Collect(s.SavedDatasets())),
		"references":    len(slices.Collect(s.ValidationReferences())),
		"versions":      len(slices.Collect(s.Versions("driver_stats"))),
		"infra":         len(must(s.Infra()).Objects),
		"bad":           len(s.Bad()),
	}
	equal(t, "counts", counts, map[string]int{
		"entities": 5, "data sources": 23, "feature views": 11, "services": 4, "permissions": 4, "datasets": 1, "references": 0,
		"versions": 1, "infra": 0, "bad": 0,
	})
	var kinds []Kind
	var order []string
	for o := range s.Objects() {
		kinds = append(kinds, KindOf(o))
		order = append(order, fmt.Sprintf("%02d %s", KindOf(o), o.Resource().Name))
	}
	equal(t, "kinds", slices.Compact(kinds), []Kind{
		KindProject, KindEntity, KindDataSource, KindFeatureView, KindStreamFeatureView, KindOnDemandFeatureView, KindLabelView,
		KindFeatureService, KindSavedDataset, KindPermission,
	})
	equal(t, "objects", len(order), 1+5+23+11+1+4+1+4+1+4)
	equal(t, "sorted", slices.IsSorted(order), true)
	equal(t, "token", s.Token(), Token("1"))
	equal(t, "project", s.ProjectName(), "golden")
	equal(t, "last updated", s.LastUpdated(), applied)
}

func TestSnapshotNotFound(t *testing.T) {
	s := golden(t)
	for want, lookup := range map[string]func() error{
		`feature view "driver_stat" does not exist in project "golden"; did you mean "driver_stats"?`:                      func() error { _, err := s.View("driver_stat"); return err },
		`feature view "Label" does not exist in project "golden"; did you mean "labels"?`:                                  func() error { _, err := s.View("Label"); return err },
		`feature view "labels" does not exist in project "golden"`:                                                         func() error { _, err := s.FeatureView("labels"); return err },
		`feature service "svc" does not exist in project "golden"; did you mean "svc_alias" or "svc_all" or "svc_infer"?`:  func() error { _, err := s.FeatureService("svc"); return err },
		`entity "drivers" does not exist in project "golden"; did you mean "driver"?`:                                      func() error { _, err := s.Entity("drivers"); return err },
		`data source "kafk" does not exist in project "golden"; did you mean "kafka" or "kafka_avro"?`:                     func() error { _, err := s.DataSource("kafk"); return err },
		`permission "perm" does not exist in project "golden"; did you mean "perm_combined" or "perm_group" or "perm_ns"?`: func() error { _, err := s.Permission("perm"); return err },
		`version "v1" does not exist in feature view "driver_stats" in project "golden"; did you mean "v0"?`:               func() error { _, err := s.ViewVersion("driver_stats", 1); return err },
		`feature view "y" does not exist in project "golden"`:                                                              func() error { _, err := s.ViewVersion("y", 1); return err },
	} {
		err := lookup()
		var notFound *feasterr.NotFoundError
		if !errors.As(err, &notFound) || err.Error() != want {
			t.Errorf(" got %v\nwant %s", err, want)
		}
	}
}

func TestSnapshotOtherProject(t *testing.T) {
	s := newSnapshot("goldn", parse(t, readFile(t, "testdata/registry/file/registry.db")), "1", nil)
	if n := len(slices.Collect(s.Views())); n != 0 {
		t.Errorf("%d views of another project", n)
	}
	_, err := s.Project()
	if want := `project "goldn" does not exist; did you mean "golden"?`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// A project that old versions of Feast left only metadata of.
func TestSnapshotProjectOfMetadata(t *testing.T) {
	data := must(proto.Marshal(&core.Registry{ProjectMetadata: []*core.ProjectMetadata{{Project: "p", ProjectUuid: "u"}}}))
	equal(t, "project", must(newSnapshot("p", parse(t, data), "1", nil).Project()), &Project{Name: "p"})
}

func TestSnapshotVersions(t *testing.T) {
	state := parse(t, readFile(t, "testdata/serving/repo_versions/data/registry.db"))
	project := state.Records[slices.IndexFunc(state.Records, func(r Record) bool { return r.Kind == KindProject })].Name
	s := newSnapshot(project, state, "1", nil)
	for n, want := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
		info := must(s.ViewVersion("vfv", n)).Info()
		var names []string
		for _, f := range info.Features {
			names = append(names, f.Name)
		}
		slices.Sort(names)
		equal(t, "features", names, want)
		equal(t, "current version", info.CurrentVersion, n)
		equal(t, "kind", info.Kind, KindFeatureView)
	}
	equal(t, "now", must(s.View("vfv")).Info().CurrentVersion, 2)
	var numbers []int
	for v := range s.Versions("vfv") {
		numbers = append(numbers, v.Number)
	}
	equal(t, "history", numbers, []int{0, 1, 2})
}

// decoded counts the records that were decoded.
func decoded(s *Snapshot) (n int) {
	count := func(list []*entry) {
		for _, e := range list {
			if e.result.Load() != nil {
				n++
			}
		}
	}
	for kind := range s.kinds {
		count(s.kinds[kind].list)
	}
	for _, list := range s.versions {
		count(list)
	}
	return n
}

// Of a new state only what changed is decoded; the rest are the objects of the old one.
func TestSnapshotTakesOver(t *testing.T) {
	state := parse(t, readFile(t, "testdata/registry/file/registry.db"))
	old := newSnapshot("golden", state, "1", nil)
	equal(t, "decoded by indexing", decoded(old), 0)
	old.Bad() // decodes all
	all := decoded(old)

	next := &State{}
	for _, r := range state.Records {
		r.Proto = bytes.Clone(r.Proto)
		switch r.ID {
		case ID{KindEntity, "golden", "driver", 0}:
			e := must(Clone(must(old.Entity("driver"))))
			e.Description = "changed"
			r = must(Encode("", e))
		case ID{KindFeatureView, "golden", "all_types", 0}:
			continue
		case ID{KindFeatureService, "golden", "svc_all", 0}, ID{KindLabelView, "golden", "labels", 0}:
			r.Proto = append(r.Proto, 0xfa, 0xff, 0x3f, 0) // an unknown field
		}
		next.Records = append(next.Records, r)
	}
	fresh := newSnapshot("golden", next, "2", old)
	equal(t, "taken over", decoded(fresh), all-4)

	for _, name := range []string{"driver_stats", "stream_fv", "odfv_python"} {
		if must(fresh.View(name)) != must(old.View(name)) {
			t.Errorf("%s is another object", name)
		}
	}
	if must(fresh.ViewVersion("driver_stats", 0)) != must(old.ViewVersion("driver_stats", 0)) {
		t.Error("the version is another object")
	}
	if e := must(fresh.Entity("driver")); e.Description != "changed" || must(old.Entity("driver")).Description == "changed" {
		t.Error("a change must show in the new snapshot, and only there")
	}
	if _, err := fresh.View("all_types"); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
	if _, err := old.View("all_types"); err != nil {
		t.Error(err)
	}
	fresh.Bad()
	equal(t, "records", decoded(fresh), all-1)
}

// All who ask get the same object, whoever decodes it.
func TestSnapshotConcurrent(t *testing.T) {
	s := golden(t)
	got := make([][]View, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = slices.Collect(s.Views()) })
	}
	wg.Wait()
	for i := range got {
		if len(got[i]) != 17 || !slices.Equal(got[i], got[0]) {
			t.Errorf("reader %d got other objects", i)
		}
	}
}

func TestSnapshotLookupAllocates(t *testing.T) {
	s := golden(t)
	must(s.View("driver_stats"))
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.View("driver_stats"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a lookup makes %v allocations", n)
	}
}
