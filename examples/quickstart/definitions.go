package main

import (
	"time"

	"github.com/feastgo/feast"
)

// Definitions are the objects of the repository in Go. The file repo/definitions.yaml says the same in YAML, and
// repo/features.py for Feast (Python).
func Definitions() []feast.Object {
	driver := feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}

	source := feast.DataSource{
		Name:                   "driver_hourly_stats_source",
		TimestampField:         "event_timestamp",
		CreatedTimestampColumn: "created",
		Options:                feast.FileOptions{Path: "data/driver_stats.parquet"},
	}

	push := feast.DataSource{Name: "driver_stats_push", Options: feast.PushOptions{}, BatchSource: &source}

	stats := feast.FeatureView{
		Name:     "driver_hourly_stats",
		Entities: []string{"driver"},
		TTL:      36500 * 24 * time.Hour,
		Schema: []feast.Field{
			{Name: "conv_rate", Type: feast.Float32},
			{Name: "acc_rate", Type: feast.Float32},
			{Name: "avg_daily_trips", Type: feast.Int64},
			{Name: "city", Type: feast.String},
			{Name: "embedding", Type: feast.Float32List},
		},
		Source: &push,
		Online: true,
	}

	activity := feast.FeatureService{
		Name: "driver_activity",
		Features: []feast.FeatureViewProjection{{
			Name:     "driver_hourly_stats",
			Features: []feast.Field{{Name: "conv_rate"}, {Name: "acc_rate"}, {Name: "avg_daily_trips"}, {Name: "city"}},
		}},
	}

	return []feast.Object{&driver, &source, &push, &stats, &activity}
}
