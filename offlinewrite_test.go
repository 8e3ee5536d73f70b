package feast_test

import (
	"context"
	"maps"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
)

// taker is an offline store that takes rows of trips and keeps none.
type taker struct {
	history
	event   arrow.DataType
	appends int
}

func (s *taker) Describe(context.Context, *offline.Source) (*arrow.Schema, error) {
	return arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrowInt64}, {Name: "event_timestamp", Type: s.event}, {Name: "note", Type: arrowString},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64}, {Name: "extra", Type: arrowString},
	}, nil), nil
}

func (s *taker) Append(_ context.Context, _ *offline.Source, rows array.RecordReader) (n int64, err error) {
	s.appends++
	for rows.Next() {
		n += rows.RecordBatch().NumRows()
	}
	return n, rows.Err()
}

// tripsView is a view of the rows of trips.
func tripsView(change ...func(*feast.FeatureView)) *feast.FeatureView {
	return materializeView("trips", append(change, func(v *feast.FeatureView) {
		v.Source.TimestampField, v.Source.CreatedTimestampColumn = "event_timestamp", ""
		v.Schema = []feast.Field{{Name: "note", Type: feast.String}, {Name: "score", Type: feast.Float64}}
	})...)
}

// Whatever the types of a source, keys and event times have no nulls, for each of the views that are fed.
func TestOfflineNulls(t *testing.T) {
	batch := &feast.DataSource{Name: "batch", TimestampField: "event_timestamp", Options: feast.FileOptions{Path: "batch.parquet"}}
	push := &feast.DataSource{Name: "events", BatchSource: batch, Options: registry.PushOptions{}}
	notes := &feast.FeatureView{
		Name: "notes", Entities: []string{"note", "other"}, EntityColumns: []feast.Field{{Name: "note", Type: feast.String}, {Name: "extra", Type: feast.String}},
		Schema: []feast.Field{{Name: "score", Type: feast.Float64}}, Source: push,
	}
	drivers := tripsView(func(v *feast.FeatureView) { v.Source = push })
	for _, event := range []arrow.DataType{arrowUTC, arrowString} {
		store := &taker{event: event}
		m := newMaterializer(t, nil, feast.WithOfflineStore(store))
		mustApply(t, m.FeatureStore, drivers, notes, &feast.Entity{Name: "note", ValueType: feast.String}, &feast.Entity{Name: "other", JoinKey: "extra", ValueType: feast.String})
		const key, when = ": an entity key cannot be null", `column "event_timestamp", row 1: an event time cannot be null`
		rows := func(change map[string]any) feast.Columns {
			c := feast.Columns{
				"driver_id": []any{1, 2}, "event_timestamp": []any{"2024-01-01", "2024-01-02"}, "note": []any{"a", "b"}, "score": []any{nil, 1.5}, "extra": []any{"c", "d"},
			}
			maps.Copy(c, change)
			return c
		}
		for name, c := range map[string]struct {
			change map[string]any
			push   string // the error of a push
			write  string // and that of a write to view trips
		}{
			"none":         {nil, "", ""},
			"key":          {map[string]any{"driver_id": []any{1, nil}}, `column "driver_id", row 1` + key, `column "driver_id", row 1` + key},
			"nil pointers": {map[string]any{"driver_id": []*int64{nil, nil}}, `column "driver_id", row 0` + key, `column "driver_id", row 0` + key},
			"a second":     {map[string]any{"extra": []any{nil, "d"}}, `column "extra", row 0` + key, ""},
			"all":          {map[string]any{"driver_id": []any{nil, 2}, "note": []any{"a", nil}, "extra": []any{nil, nil}, "event_timestamp": []any{"2024-01-01", nil}}, "", ""},
			"time":         {map[string]any{"event_timestamp": []any{"2024-01-01", nil}}, when, when},
			"not a value":  {map[string]any{"driver_id": []float64{1, math.NaN()}}, `column "driver_id", row 1` + key, `column "driver_id", row 1` + key},
		} {
			if name == "all" {
				c.write = `column "driver_id", row 0` + key + "\n" + when
				c.push = `column "extra", row 0` + key + "\n" + `column "note", row 1` + key + "\n" + when + "\n" + `column "driver_id", row 0` + key
			}
			_, err := m.WriteToOfflineStore(t.Context(), "trips", rows(c.change))
			if got := errorText(err); got != c.write {
				t.Errorf("%s, times as %s: writing: %s, want %s", name, event, got, c.write)
			}
			for _, to := range []feast.PushMode{feast.ToOffline, feast.ToOnlineAndOffline} {
				if got := errorText(m.Push(t.Context(), "events", rows(c.change), to)); got != c.push {
					t.Errorf("%s, times as %s: pushing %s: %s, want %s", name, event, to, got, c.push)
				}
			}
		}
		if store.appends != 4 { // "none" three times, and "a second", which is no key of view trips
			t.Errorf("times as %s: rows were appended %d times, want 4", event, store.appends)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
