package feast_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
)

// TestGetOnlineFeaturesInto reads requests of different shapes into one response.
func TestGetOnlineFeaturesInto(t *testing.T) {
	fs := feasttest.New(t, []feast.Object{
		&feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}, &feast.Entity{Name: "city", JoinKey: "city_id", ValueType: feast.Int64},
		&feast.FeatureView{Name: "stats", Entities: []string{"driver"}, Online: true, Schema: []feast.Field{{Name: "trips", Type: feast.Int64}, {Name: "label", Type: feast.String}}},
	}, feasttest.Rows("stats", feast.Columns{"driver_id": []int64{1, 2}, "trips": []int64{7, 8}, "label": []string{"a", "b"}}))
	var out feast.OnlineResponse
	for _, c := range []struct {
		features []string
		entities feast.Columns
		want     string
	}{
		{[]string{"stats:trips", "stats:label"}, feast.Columns{"driver_id": []int64{2, 1, 2}}, "[2 1 2] [8 7 8] [b a b]"},
		{[]string{"stats:label"}, feast.Columns{"driver_id": []int64{1}, "city_id": []int64{5}}, "[5] [1] [a]"}, // other keys are echoed, as one-off requests do
		{[]string{"stats:trips"}, feast.Columns{"driver_id": []int64{3}}, "[3] [<nil>]"},
	} {
		if err := fs.GetOnlineFeaturesInto(t.Context(), feast.OnlineRequest{Features: c.features, Entities: c.entities}, &out); err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, column := range out.Columns() {
			values := make([]any, column.Len())
			for row := range values {
				values[row] = column.Any(row)
			}
			columns = append(columns, fmt.Sprint(values))
		}
		got := strings.Join(columns, " ")
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.features, got, c.want)
		}
	}
	if err := fs.GetOnlineFeaturesInto(t.Context(), feast.OnlineRequest{Features: []string{"nope:x"}, Entities: feast.Columns{"driver_id": []int64{1}}}, &out); !errors.Is(err, feast.ErrNotFound) || out.Len() != 0 {
		t.Errorf("%v, %d rows", err, out.Len())
	}
	if err := fs.GetOnlineFeaturesInto(t.Context(), feast.OnlineRequest{}, nil); !errors.Is(err, feast.ErrInvalid) {
		t.Errorf("into nil: %v", err)
	}
}

// TestView: a view that was applied elsewhere is found at once.
func TestView(t *testing.T) {
	dir := copyRepo(t, "serving/repo")
	ours, theirs := open(t, dir), open(t, dir)
	if err := ours.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Apply(t.Context(), &feast.FeatureView{Name: "fresh", Entities: []string{"driver"}, Schema: []feast.Field{{Name: "x", Type: feast.Int64}}}); err != nil {
		t.Fatal(err)
	}
	v, err := ours.View(t.Context(), "fresh")
	if err != nil || v.Info().Features[0].Name != "x" {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := ours.View(t.Context(), "nope"); !errors.Is(err, feast.ErrNotFound) {
		t.Errorf("a view that does not exist: %v", err)
	}
}
