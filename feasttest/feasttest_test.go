package feasttest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	driver = feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}
	stats  = feast.FeatureView{
		Name: "driver_stats", Entities: []string{"driver"}, Online: true, TTL: time.Hour,
		Schema: []feast.Field{{Name: "conv_rate", Type: feast.Float32}},
	}
)

// read returns conv_rate of a driver with its status.
func read(t *testing.T, fs *feasttest.Store, id int64) string {
	t.Helper()
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"driver_stats:conv_rate"},
		Entities: feast.Columns{"driver_id": []int64{id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := resp.At(1)
	return fmt.Sprint(c.Any(0), " ", c.Status(0), " ", c.EventTime(0).Format(time.TimeOnly))
}

func TestNew(t *testing.T) {
	fs := feasttest.New(t, []feast.Object{&driver, &stats}, feasttest.Rows("driver_stats",
		feast.Columns{"driver_id": []int64{1001}, "conv_rate": []float32{0.25}}))
	var got []string
	step := func() { got = append(got, read(t, fs, 1001)) }

	step()
	fs.Clock.Advance(time.Hour)
	step()
	fs.Clock.Advance(time.Microsecond)
	step()
	fs.Write(t, "driver_stats", feast.Rows{{"driver_id": 1001, "conv_rate": 0.5}})
	step()
	fs.Write(t, "driver_stats", feast.Columns{ // older
		"driver_id": []int64{1001}, "conv_rate": []float32{0.75}, "event_timestamp": []time.Time{fs.Clock.Now().Add(-time.Minute)},
	})
	step()
	fs.Clock.Set(time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC))
	step()
	got = append(got, read(t, fs, 1002))
	want := []string{
		"0.25 PRESENT 00:00:00", "0.25 PRESENT 00:00:00", "0.25 OUTSIDE_MAX_AGE 00:00:00",
		"0.5 PRESENT 01:00:00", "0.5 PRESENT 01:00:00", "0.5 PRESENT 01:00:00", "<nil> NOT_FOUND 00:00:00",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Times are filled in under the names that the view's source has for them.
func TestRowsOfASource(t *testing.T) {
	view := stats
	view.Source = &feast.DataSource{
		Name: "stats_file", TimestampField: "at", CreatedTimestampColumn: "made",
		Options: feast.FileOptions{Path: "stats.parquet"},
	}
	fs := feasttest.New(t, []feast.Object{&driver, &view}, feasttest.Rows("driver_stats",
		feast.Columns{"driver_id": []int64{1}, "conv_rate": []float32{1}}))
	if got, want := read(t, fs, 1), "1 PRESENT 00:00:00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Stores of a test share nothing.
func TestStoresAreApart(t *testing.T) {
	rows := feasttest.Rows("driver_stats", feast.Columns{"driver_id": []int64{1}, "conv_rate": []float32{1}})
	one := feasttest.New(t, []feast.Object{&driver, &stats}, rows)
	two := feasttest.New(t, []feast.Object{&driver, &stats})
	one.Clock.Advance(2 * time.Hour)
	for fs, want := range map[*feasttest.Store]string{one: "1 OUTSIDE_MAX_AGE 00:00:00", two: "<nil> NOT_FOUND 00:00:00"} {
		if got := read(t, fs, 1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// With passes options on.
func TestWith(t *testing.T) {
	fs := feasttest.New(t, nil, feasttest.With(feast.ReadOnly()))
	if _, err := fs.Apply(t.Context(), &driver); err == nil {
		t.Error("a read-only store was changed")
	}
}
