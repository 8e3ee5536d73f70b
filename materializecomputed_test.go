package feast_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
)

// newComputedMaterializer has two views, a with a ttl of 3 hours, and on-demand views of both that are stored.
func newComputedMaterializer(t *testing.T) *materializer {
	t.Helper()
	views := []*feast.FeatureView{materializeView("a", func(v *feast.FeatureView) { v.TTL = 3 * time.Hour }), materializeView("b")}
	both := sums([]string{"a__trips", "b__trips"}, []string{"sum"})
	m := newMaterializer(t, views, feast.WithTransformation("both", both), feast.WithTransformation("asking", sums([]string{"a__trips", "n"}, []string{"sum"})),
		feast.WithTransformation("one", sums([]string{"trips"}, []string{"sum", "sum_1"})),
		feast.WithClock(func() time.Time { return at(100) }))
	request := &feast.DataSource{Name: "asked", Options: feast.RequestOptions{Schema: []feast.Field{{Name: "n", Type: feast.Int64}}}}
	for _, v := range []*feast.OnDemandFeatureView{
		onDemand("both", fieldsOf(feast.Int64, "sum", "other"), nil, "a", "b"), onDemand("one", fieldsOf(feast.Int64, "sum", "sum_1"), nil, "a"),
		onDemand("python", fieldsOf(feast.Int64, "sum"), nil, "a"), onDemand("asking", fieldsOf(feast.Int64, "sum"), request, "a"),
	} {
		v.WriteToOnlineStore, v.Entities, v.EntityColumns = true, []string{"driver"}, driverKey
		mustApply(t, m.FeatureStore, v)
	}
	return m
}

func (m *materializer) computed(t *testing.T, feature string, drivers ...int64) (values []any) {
	t.Helper()
	resp, err := m.GetOnlineFeatures(t.Context(), feast.OnlineRequest{Features: []string{feature}, Entities: feast.Columns{"driver_id": drivers}})
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(feature, ":")
	c, err := resp.Column(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range drivers {
		values = append(values, c.Any(i))
	}
	return values
}

// Spec compute.md, section 1.4: on-demand views come last, each key once, with the source features as of the newest time that
// a source has of it in the window.
func TestMaterializeComputed(t *testing.T) {
	m := newComputedMaterializer(t)
	m.rows(t, "a", [3]any{1, 1, 0}, [3]any{1, 2, 2}, [3]any{2, 5, 1}, [3]any{3, 7, 1}, [3]any{nil, 9, 1}, [3]any{4, 8, 50})
	m.rows(t, "b", [3]any{1, 10, 1}, [3]any{1, 20, 4}, [3]any{2, 30, 8}, [3]any{5, 40, 2})
	var progress []string
	r := window(0, 8)
	r.Progress = func(p feast.MaterializeProgress) {
		if p.Done {
			progress = append(progress, fmt.Sprintf("%s %d/%d", p.Name, p.Index, p.Views))
		}
	}
	res, err := m.Materialize(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range res.Views[2:] {
		got = append(got, fmt.Sprintf("%s %d %d %d %d %t", v.Name, v.Read, v.NullKeys, v.Older, v.Written, v.Start.Equal(at(0)) && v.End.Equal(at(8))))
	}
	// Keys 1, 2, 3, 5 and the null one; only a has those of one.
	if want := []string{"both 5 1 0 4 true", "one 4 1 0 3 true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := slices.Sorted(slices.Values(res.Skipped)); !slices.Equal(got, []string{"asking", "python"}) {
		t.Errorf("skipped %q", res.Skipped)
	}
	if len(progress) != 4 || progress[2] != "both 2/4" || progress[3] != "one 3/4" {
		t.Errorf("progress %q", progress)
	}
	// 1: at 4 h, when a has 2 of 2 h. 2: at 8 h, when a's row of 1 h is older than its ttl. 3, 5: only one source has them.
	if got := m.computed(t, "both:sum", 1, 2, 3, 5, 4); !slices.Equal(got, []any{int64(22), nil, nil, nil, nil}) {
		t.Errorf("both: %v", got)
	}
	if got := m.computed(t, "one:sum_1", 1, 2, 3, 4); !slices.Equal(got, []any{int64(3), int64(6), int64(8), nil}) {
		t.Errorf("one: %v", got)
	}
	snap, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v, err := snap.OnDemandFeatureView("both"); err != nil || v.State.String() != "STATE_UNSPECIFIED" {
		t.Errorf("the registry says %v, %v", v.State, err)
	}

	// The longest ttl of the sources of one is that of a: from 50 h back to 47.
	res, err = m.MaterializeIncremental(t.Context(), feast.MaterializeRequest{End: at(50), Views: []string{"one"}})
	if err != nil || len(res.Views) != 1 || res.Views[0].Written != 1 || !res.Views[0].Start.Equal(at(47)) {
		t.Errorf("%+v, %v", res, err)
	}
	if got := m.computed(t, "one:sum", 1, 4); !slices.Equal(got, []any{int64(2), int64(8)}) {
		t.Errorf("one: %v", got)
	}
	// Nothing is in this window.
	res, err = m.Materialize(t.Context(), feast.MaterializeRequest{Start: at(60), End: at(61), Views: []string{"both"}})
	if err != nil || len(res.Views) != 1 || res.Views[0].Read != 0 || res.Views[0].Written != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestMaterializeComputedErrors(t *testing.T) {
	m := newComputedMaterializer(t)
	m.rows(t, "a", [3]any{1, 1, 0}, [3]any{nil, 9, 1})
	r := window(0, 1)
	for view, want := range map[string]string{
		"python": `on-demand feature view "python" has no Go function: register one with feast.WithTransformation("python", ...), materialize it with Feast, or write its values with WriteToOnlineStore`,
		"asking": `on-demand feature view "asking" is computed of request data, which nothing stored has: write its values with WriteToOnlineStore`,
	} {
		r.Views = []string{"one", view}
		if res, err := m.Materialize(t.Context(), r); !errors.Is(err, feast.ErrUnsupported) || err.Error() != want || len(res.Views) > 0 {
			t.Errorf("%s: %v", view, err)
		}
	}
	mustApply(t, m.FeatureStore, &feast.Entity{Name: "shop", JoinKey: "shop_id", ValueType: feast.Int64}, materializeView("c", func(v *feast.FeatureView) {
		v.Entities, v.EntityColumns = []string{"shop"}, nil
	}))
	other := onDemand("both", fieldsOf(feast.Int64, "sum"), nil, "a", "b", "c")
	other.WriteToOnlineStore, other.Entities, other.EntityColumns = true, []string{"driver"}, driverKey
	mustApply(t, m.FeatureStore, other)
	r.Views = []string{"both"}
	want := `on-demand feature view "both" can be materialized of source views that all have the same join keys: write its values with WriteToOnlineStore`
	if _, err := m.Materialize(t.Context(), r); !errors.Is(err, feast.ErrUnsupported) || err.Error() != want {
		t.Error(err)
	}
	other.Sources = other.Sources[:2]
	mustApply(t, m.FeatureStore, other)
	// b has no file
	if _, err := m.Materialize(t.Context(), r); !errors.Is(err, feast.ErrNotFound) || !strings.HasPrefix(err.Error(), `feature view "both" was not materialized: view "b": file: read: `) {
		t.Error(err)
	}
	r.Views, r.Strict = []string{"one"}, true
	if _, err := m.Materialize(t.Context(), r); !errors.Is(err, feast.ErrInvalid) || !strings.Contains(err.Error(), "1 rows have a null in join key driver_id") {
		t.Error(err)
	}
}
