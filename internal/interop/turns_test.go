package interop_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	pb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// definition is a small repository that both sides change in turns.
type definition struct {
	project  string
	ttl      int // days
	team     string
	features string // names, Int64
	version  string
	other    bool // whether there is a second view
}

func (d definition) python() string {
	var fields strings.Builder
	for name := range strings.SplitSeq(d.features, " ") {
		fmt.Fprintf(&fields, ", Field(name=%q, dtype=Int64)", name)
	}
	text := fmt.Sprintf(`
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, Project, PushSource, ValueType
from feast.types import Int64

project = Project(name=%q)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(name="source", path="data/source.parquet", timestamp_field="ts")
pushed = PushSource(name="pushed", batch_source=source)
stats = FeatureView(
    name="stats", entities=[driver], ttl=timedelta(days=%d), source=pushed, tags={"team": %q}, version=%q,
    schema=[Field(name="driver_id", dtype=Int64)%s],
)
service = FeatureService(name="service", features=["stats"])  # given the object, a pin would go into the service
`, d.project, d.ttl, d.team, "latest", fields.String())
	if d.version != "" {
		text = strings.Replace(text, `version="latest"`, fmt.Sprintf("version=%q", d.version), 1)
	}
	if d.other {
		text += `
other = FeatureView(name="other", entities=[driver], source=source, schema=[Field(name="driver_id", dtype=Int64), Field(name="x", dtype=Int64)])
`
	}
	return text
}

func (d definition) objects() []feast.Object {
	id := registry.Field{Name: "driver_id", Type: types.Int64}
	source := &registry.DataSource{Name: "source", TimestampField: "ts", Options: registry.FileOptions{Path: "data/source.parquet"}}
	stats := &registry.FeatureView{
		Name: "stats", Entities: []string{"driver"}, TTL: time.Duration(d.ttl) * 24 * time.Hour, Online: true, Version: d.version,
		Source: &registry.DataSource{Name: "pushed", BatchSource: source, Options: registry.PushOptions{}},
		Tags:   tags("team", d.team), Schema: []registry.Field{id},
	}
	for name := range strings.SplitSeq(d.features, " ") {
		stats.Schema = append(stats.Schema, registry.Field{Name: name, Type: types.Int64})
	}
	list := []feast.Object{
		&registry.Project{Name: d.project}, &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}, source, stats,
		&registry.FeatureService{Name: "service", Features: []registry.FeatureViewProjection{{Name: "stats"}}},
	}
	if d.other {
		list = append(list, &registry.FeatureView{
			Name: "other", Entities: []string{"driver"}, Source: source, Online: true,
			Schema: []registry.Field{id, {Name: "x", Type: types.Int64}},
		})
	}
	return list
}

// rows returns rows for the features of stats: of drivers from 1 on, with values from base on.
func (d definition) rows(t *testing.T, n int, base int64, at time.Time) *frame {
	f := newFrame(t)
	for i := range int64(n) {
		f.add("driver_id", types.Int64, int64Value(i+1))
		for j, name := range strings.Fields(d.features) {
			f.add(name, types.Int64, int64Value(base+10*i+int64(j)))
		}
		f.times["ts"] = append(f.times["ts"], at)
	}
	return f
}

// nothingLeft checks that of the definition neither side would change anything, except for what Feast always would.
func (r *repo) nothingLeft(fs *feast.FeatureStore, d definition, turn string, always []string) {
	r.t.Helper()
	if plan := r.plan(); !slices.Equal(plan, always) {
		r.t.Errorf("%s: Feast would change %q", turn, plan)
	}
	diff, err := fs.Plan(r.t.Context(), d.objects()...)
	if err != nil {
		r.t.Fatalf("%s: %v", turn, err)
	}
	if !diff.Empty() {
		r.t.Errorf("%s: we would change\n%s", turn, diff)
	}
}

// sameVersions checks that both sides know these versions of stats, and no others.
func (r *repo) sameVersions(fs *feast.FeatureStore, turn string, versions []int) {
	r.t.Helper()
	if err := fs.Refresh(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	snap, err := fs.Snapshot(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var ours, theirs []int
	for v := range snap.Versions("stats") {
		ours = append(ours, v.Number)
	}
	var raw [][]any
	r.python("versions", map[string]any{"view": "stats"}, &raw)
	for _, v := range raw {
		theirs = append(theirs, int(v[0].(float64)))
	}
	slices.Sort(theirs)
	if !slices.Equal(ours, versions) || !slices.Equal(theirs, versions) {
		r.t.Errorf("%s: versions are %v here and %v in Feast, want %v", turn, ours, theirs, versions)
	}
}

// TestTurns lets both sides change one repository in turns. After each turn both must find nothing left to do, know the
// same versions, and read what either pushed.
func TestTurns(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		r := newRepo(t, store)
		fs := r.open()
		d := definition{project: r.project, ttl: 1, team: "a", features: "a", other: true}
		pushes := 0
		var always []string // what Feast would change even when nothing did

		feastApplies := func() {
			t.Helper()
			r.define(d.python())
			r.python("apply", nil, nil)
		}
		weApply := func() { t.Helper(); r.apply(fs, d.objects()...) }
		agree := func(turn string, versions ...int) {
			t.Helper()
			r.define(d.python())
			r.nothingLeft(fs, d, turn, always)
			r.sameVersions(fs, turn, versions)
			pushes++
			f := d.rows(t, 3, int64(100*pushes), start.Add(time.Duration(pushes)*time.Hour))
			if pushes%2 == 0 {
				r.python("push", map[string]any{"source": "pushed", "columns": f.python()}, nil)
			} else if err := fs.Push(t.Context(), "pushed", f.native(), feast.ToOnline); err != nil {
				t.Fatalf("%s: %v", turn, err)
			}
			var features []string
			for name := range strings.SplitSeq(d.features, " ") {
				features = append(features, "stats:"+name)
			}
			q := question{features: features, keys: map[string][]*pb.Value{"driver_id": {int64Value(2), int64Value(9)}}}
			q.mixed = map[int]bool{0: true} // features that are no more keep their times
			resp := ask(t, r, fs, q)
			for j, name := range strings.Fields(d.features) {
				c, err := resp.Column(name)
				if err != nil {
					t.Fatal(err)
				}
				if want := int64(100*pushes + 10 + j); c.Any(0) != want || c.Status(1) != feast.NotFound {
					t.Errorf("%s: %s of driver 2 is %v, want %d; driver 9 is %v", turn, name, c.Any(0), want, c.Status(1))
				}
			}
		}

		feastApplies()
		agree("Feast defines", 0)
		d.ttl, d.team = 2, "b"
		weApply()
		agree("we change ttl and tags", 0)
		d.features = "a b"
		weApply()
		agree("we add a feature", 0, 1)
		d.features = "a b c"
		feastApplies()
		agree("Feast adds a feature", 0, 1, 2)
		d.version = "v1"
		weApply()
		d.features = "a b"
		agree("we pin", 0, 1, 2)
		d.version = ""
		feastApplies()
		agree("Feast unpins", 0, 1, 2)
		d.features, d.team = "a b c d", "c"
		weApply()
		agree("we add a feature again", 0, 1, 2, 3)

		// Feast materializes, and what it notes survives our changes.
		r.python("parquet", map[string]any{"path": "data/source.parquet", "columns": d.rows(t, 4, 7000, start.Add(1000*time.Hour)).python()}, nil)
		r.python("materialize", map[string]any{"start": start, "end": start.Add(2000 * time.Hour), "views": []string{"stats"}}, nil)
		// Feast's definition never equals a view with intervals.
		if always = r.plan(); !slices.Equal(always, []string{"UPDATE feature view stats: batch_source stream_source"}) {
			t.Errorf("after materializing Feast would change %q", always)
		}
		pushes += 1000 // later than what was materialized
		d.team = "d"
		weApply()
		agree("we change a view that Feast materialized", 0, 1, 2, 3)
		snap, err := fs.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v, err := snap.FeatureView("stats")
		if err != nil {
			t.Fatal(err)
		}
		want := registry.Interval{Start: start, End: start.Add(2000 * time.Hour)}
		if len(v.MaterializationIntervals) != 1 || !v.MaterializationIntervals[0].Start.Equal(want.Start) ||
			!v.MaterializationIntervals[0].End.Equal(want.End) || v.State != registry.StateAvailableOnline {
			t.Errorf("intervals %v, state %v", v.MaterializationIntervals, v.State)
		}

		kept := len(r.dump())
		others := newFrame(t)
		others.add("driver_id", types.Int64, int64Value(1))
		others.add("x", types.Int64, int64Value(2))
		others.times["ts"] = []time.Time{start}
		r.python("write", map[string]any{"view": "other", "columns": others.python()}, nil)
		ask(t, r, fs, question{features: []string{"other:x"}, keys: map[string][]*pb.Value{"driver_id": {int64Value(1)}}})
		d.other = false
		if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{&feast.FeatureView{Name: "other"}}}); err != nil {
			t.Fatal(err)
		}
		if n := len(r.dump()); store == "sqlite" && n != kept {
			t.Errorf("%d rows are stored after a view was deleted, and %d before it had any", n, kept)
		}
		agree("we delete a view", 0, 1, 2, 3)
		r.python("delete", map[string]any{"names": []string{"stats", "service"}}, nil)
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if snap, err = fs.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := snap.FeatureView("stats"); !errors.Is(err, feast.ErrNotFound) {
			t.Errorf("the view that Feast deleted: %v", err)
		}
		always = nil
		weApply()
		agree("we define again what Feast deleted", 0)
		if err := fs.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows := r.dump(); len(rows) > 0 {
			t.Errorf("%d rows are left", len(rows))
		}
		r.python("open_repo", nil, nil)
		feastApplies()
		agree("Feast defines after our teardown", 0)
	})
}

// TestNewerRows writes rows older and newer than what is stored, on both sides.
func TestNewerRows(t *testing.T) {
	onStores(t, func(t *testing.T, store string) {
		r := newRepo(t, store)
		fs := r.open()
		d := definition{project: r.project, ttl: 1, team: "a", features: "a"}
		r.apply(fs, d.objects()...)
		redis := store == "redis"
		pick := func(onRedis, onSQL any) any {
			if redis {
				return onRedis
			}
			return onSQL
		}
		for i, step := range []struct {
			feast bool
			hour  int
			want  any
		}{
			{false, 10, int64(0)},
			{false, 5, int64(0)},                      // older, skipped
			{true, 5, pick(int64(0), int64(200))},     // Feast overwrites on SQLite (departure 9)
			{false, 20, int64(300)},                   //
			{true, 30, int64(400)},                    //
			{false, 30, pick(int64(400), int64(500))}, // the same time: a correction, but on Redis
			{true, 40, int64(600)},                    //
			{false, 39, int64(600)},                   //
			{false, 41, int64(800)},                   //
		} {
			f := d.rows(t, 1, int64(100*i), start.Add(time.Duration(step.hour)*time.Hour))
			if step.feast {
				r.python("push", map[string]any{"source": "pushed", "columns": f.python()}, nil)
			} else if err := fs.Push(t.Context(), "pushed", f.native(), feast.ToOnline); err != nil {
				t.Fatal(err)
			}
			resp := ask(t, r, fs, question{service: "service", keys: map[string][]*pb.Value{"driver_id": {int64Value(1)}}})
			if c := resp.At(1); c.Any(0) != step.want {
				t.Errorf("step %d: %v, want %v", i, c.Any(0), step.want)
			}
		}
		if err := fs.DeleteFromOnlineStore(t.Context(), "stats", feast.Columns{"driver_id": []int64{1}}); err != nil {
			t.Fatal(err)
		}
		resp := ask(t, r, fs, question{service: "service", keys: map[string][]*pb.Value{"driver_id": {int64Value(1)}}})
		if c := resp.At(1); c.Status(0) != feast.NotFound || len(r.dump()) > 0 {
			t.Errorf("after deleting the row it is %v, and stored is %v", c.Status(0), r.dump())
		}
	})
}

// TestGoFunctions defines on-demand views that Feast cannot compute: it works on with all else.
func TestGoFunctions(t *testing.T) {
	r := newRepo(t, "sqlite")
	fs := r.open()
	d := definition{project: r.project, ttl: 1, team: "a", features: "a"}
	r.apply(fs, d.objects()...)
	if err := fs.Push(t.Context(), "pushed", d.rows(t, 1, 0, start).native(), feast.ToOnline); err != nil {
		t.Fatal(err)
	}
	q := question{features: []string{"stats:a"}, keys: map[string][]*pb.Value{"driver_id": {int64Value(1)}}}
	before := len(r.objects())
	for _, mode := range []string{"", "pandas", "python"} {
		r.apply(fs, &feast.OnDemandFeatureView{
			Name: "computed_" + mode, Mode: mode, Sources: []feast.FeatureViewProjection{{Name: "stats"}},
			Schema: []feast.Field{{Name: "double", Type: types.Float64}},
		})
		ask(t, r, fs, q)
		if after := len(r.objects()); after <= before {
			t.Errorf("mode %q: Feast lists %d values of objects, and before %d", mode, after, before)
		}
	}
}

// TestFunctions lets Feast compute with functions that came by way of this library, beside the same in Go.
func TestFunctions(t *testing.T) {
	r := newRepo(t, "sqlite")
	r.define(everythingPython(t, r.project))
	r.python("apply", nil, nil)
	view := storedViews(t, "driver_stats")[0]
	f := newFrame(t)
	for i := range 3 {
		f.add("driver_id", types.Int64, int64Value(int64(1000+i)))
		f.add("conv_rate", types.Float32, &pb.Value{Val: &pb.Value_FloatVal{FloatVal: 1}})
		f.add("acc_rate", types.Float64, &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: float64(i) + 0.5}})
		f.add("trips", types.Int32, &pb.Value{Val: &pb.Value_Int32Val{Int32Val: int32(i)}})
		f.times["event_timestamp"] = append(f.times["event_timestamp"], start)
		f.times["created"] = append(f.times["created"], start)
	}
	r.put(&view, f)
	type in struct {
		Rate   float64 `feast:"acc_rate"`
		Amount float64 `feast:"amount"`
	}
	type out struct {
		Times float64 `feast:"rate_times"`
		Plus  float64 `feast:"rate_plus"`
	}
	type trips struct {
		Trips int32 `feast:"trips"`
	}
	type double struct {
		Trips int64 `feast:"double_trips"`
	}
	fs := r.open(feast.WithTransformation("computed", feast.RowWise(func(v in) (out, error) {
		return out{v.Rate * v.Amount, v.Rate + v.Amount}, nil
	})), feast.WithTransformation("written", feast.RowWise(func(v trips) (double, error) { return double{2 * int64(v.Trips)}, nil })))
	compute := func(when string) {
		t.Helper()
		amount := &pb.Value{Val: &pb.Value_DoubleVal{DoubleVal: 2}}
		resp := ask(t, r, fs, question{
			features: []string{"computed:rate_times", "computed:rate_plus", "driver_stats:trips"},
			keys: map[string][]*pb.Value{
				"driver_id": f.cols["driver_id"], "amount": {amount, amount, amount},
				"country": {stringValue("a"), stringValue("b"), stringValue("c")},
			},
		})
		for name, want := range map[string][]float64{"rate_times": {1, 3, 5}, "rate_plus": {2.5, 3.5, 4.5}} {
			c, err := resp.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := feast.Values[float64](c); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %s is %v, %v, want %v", when, name, got, err, want)
			}
		}
	}
	compute("as Feast defined it")

	snap, err := fs.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read, err := snap.OnDemandFeatureView("computed")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := registry.Clone(read)
	if err != nil {
		t.Fatal(err)
	}
	changed.Description = "Changed here"
	r.apply(fs, changed)
	compute("after our change of the description")

	// Defined here, by its source text alone.
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Delete: []feast.Object{
		&feast.FeatureService{Name: "activity"}, &feast.OnDemandFeatureView{Name: "computed"},
	}}); err != nil {
		t.Fatal(err)
	}
	// Repair makes the table of the view that is written, which Feast's apply by plan does not.
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: everything(t), Repair: true}); err != nil {
		t.Fatal(err)
	}
	compute("as we defined it")

	// A view that is computed when it is written is read like any other.
	q := question{features: []string{"written:double_trips"}, keys: map[string][]*pb.Value{"driver_id": f.cols["driver_id"]}}
	for i, write := range []func(*frame) error{
		func(rows *frame) error {
			return r.try("write", map[string]any{"view": "written", "columns": rows.python()}, nil)
		},
		func(rows *frame) error {
			_, err := fs.WriteToOnlineStore(t.Context(), "written", rows.native(), feast.WriteOptions{})
			return err
		},
	} {
		rows := newFrame(t)
		rows.add("driver_id", types.Int64, f.cols["driver_id"]...)
		rows.add("trips", types.Int64, int64Value(int64(4+i)), int64Value(int64(5+i)), int64Value(int64(6+i)))
		if err := write(rows); err != nil {
			t.Fatal(err)
		}
		want := []int64{int64(8 + 2*i), int64(10 + 2*i), int64(12 + 2*i)}
		if got, err := feast.Values[int64](ask(t, r, fs, q).At(1)); err != nil || !slices.Equal(got, want) {
			t.Errorf("double_trips is %v, %v, want %v", got, err, want)
		}
	}
}

// TestVersions reads versions of a view that each side made and pushed, where the registry keeps their rows apart.
func TestVersions(t *testing.T) {
	r := newRepo(t, "sqlite")
	r.versioned()
	fs := r.open()
	d := definition{project: r.project, ttl: 1, team: "a"}
	for n, features := range []string{"a", "a b", "a b c"} {
		d.features = features
		rows := d.rows(t, 2, int64(100*n), start)
		if n == 1 {
			r.apply(fs, d.objects()...)
			if err := fs.Push(t.Context(), "pushed", rows.native(), feast.ToOnline); err != nil {
				t.Fatal(err)
			}
			continue
		}
		r.define(d.python())
		r.python("apply_objects", nil, nil) // feast apply does not make the tables of versions
		r.python("push", map[string]any{"source": "pushed", "columns": rows.python()}, nil)
		if err := fs.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for reference, want := range map[string]int64{"stats@v0:a": 10, "stats@v1:b": 111, "stats@v2:c": 212, "stats:b": 211, "stats@v1:a": 110} {
		q := question{features: []string{reference}, keys: map[string][]*pb.Value{"driver_id": {int64Value(2), int64Value(9)}}}
		if c := ask(t, r, fs, q).At(1); c.Any(0) != want {
			t.Errorf("%s of driver 2 is %v, want %d", reference, c.Any(0), want)
		}
	}
	// Feast's plan knows the tables of views only without versions; this one is there, of version 0.
	if plan := r.plan(); !slices.Equal(plan, []string{"CREATE infra interop_stats:"}) {
		t.Errorf("Feast would change %q", plan)
	}
	if diff, err := fs.Plan(t.Context(), d.objects()...); err != nil || !diff.Empty() {
		t.Errorf("we would change\n%v, %v", diff, err)
	}
}

// A version that is not promoted leaves Feast nothing to do, the list of tables included.
func TestNotPromoted(t *testing.T) {
	r := newRepo(t, "sqlite")
	fs := r.open()
	d := definition{project: r.project, ttl: 1, team: "a", features: "a"}
	r.define(d.python())
	r.apply(fs, d.objects()...)
	next := d
	next.features = "a b"
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: next.objects(), NoPromote: true}); err != nil {
		t.Fatal(err)
	}
	if plan := r.plan(); len(plan) > 0 {
		t.Errorf("Feast would change %q", plan)
	}
}
