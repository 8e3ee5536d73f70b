package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/offline"
)

// repo copies the repository of the quickstart, made by Feast.
func repo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../quickstart/repo")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func codec(t *testing.T) *offline.ParquetCodec {
	t.Helper()
	c, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// labels writes entity rows to a file.
func labels(t *testing.T) string {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "event_timestamp", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
		{Name: "accepted", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	}, nil)
	rb, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(
		`[{"driver_id": 1002, "event_timestamp": 1772366400000000, "accepted": true},
		  {"driver_id": 1001, "event_timestamp": 1772366399000000, "accepted": null},
		  {"driver_id": 7, "event_timestamp": 1772366400000000, "accepted": false}]`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{rb})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "labels.parquet")
	if _, err := codec(t).Create(t.Context(), path, r); err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

// table shows a Parquet file, a column a line.
func table(t *testing.T, path string) string {
	t.Helper()
	r, err := codec(t).Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var b strings.Builder
	for r.Next() {
		for i, c := range r.RecordBatch().Columns() {
			fmt.Fprintf(&b, "%s %s %v\n", r.RecordBatch().ColumnName(i), c.DataType(), c)
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTraining(t *testing.T) {
	dir, entities, out := repo(t), labels(t), filepath.Join(t.TempDir(), "out.parquet")
	t.Chdir(t.TempDir()) // the repository's relative paths are its own
	for _, c := range []struct{ args, want string }{
		{
			"-entities " + entities + " -features driver_hourly_stats:city,driver_hourly_stats:avg_daily_trips -full-names",
			`driver_id int64 [1002 1001 7]
event_timestamp timestamp[us, tz=UTC] [1772366400000000 1772366399000000 1772366400000000]
accepted bool [true (null) false]
driver_hourly_stats__city utf8 ["Lima" "Oslo" (null)]
driver_hourly_stats__avg_daily_trips int64 [7 18 (null)]
`,
		},
		{ // all rows were created later
			"-entities " + entities + " -service driver_activity -filter-by-created",
			`driver_id int64 [1002 1001 7]
event_timestamp timestamp[us, tz=UTC] [1772366400000000 1772366399000000 1772366400000000]
accepted bool [true (null) false]
conv_rate float32 [(null) (null) (null)]
acc_rate float32 [(null) (null) (null)]
avg_daily_trips int64 [(null) (null) (null)]
city utf8 [(null) (null) (null)]
`,
		},
		{
			"-start 2026-03-01T11:00:00Z -end 2026-03-01T13:00:00+01:00 -features driver_hourly_stats:city",
			`event_timestamp timestamp[us, tz=UTC] [1772362800000000 1772366400000000]
created_timestamp timestamp[us, tz=UTC] [1772368200000000 1772368200000000]
driver_id int64 [1002 1003]
city utf8 ["Lima" (null)]
`,
		},
	} {
		printed, err := output(t, append([]string{"-repo", dir, "-out", out}, strings.Fields(c.args)...)...)
		if err != nil || printed != "" {
			t.Errorf("%s: %q, %v", c.args, printed, err)
			continue
		}
		if got := table(t, out); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.args, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	dir, entities := repo(t), labels(t)
	out := filepath.Join(t.TempDir(), "out.parquet")
	for _, c := range []struct {
		says string
		args []string
	}{
		{"feature_store.yaml", []string{"-repo", t.TempDir(), "-features", "a:b", "-entities", entities, "-out", out}},
		{"left over", []string{"-repo", dir, "-features", "a:b", "-entities", entities, "-out", out, "x"}},
		{"exclude each other", []string{"-repo", dir, "-features", "a:b", "-service", "s", "-entities", entities, "-out", out}},
		{"Entities and Start or End exclude each other", []string{"-repo", dir, "-service", "driver_activity", "-entities", entities, "-start", "2026-03-01T11:00:00Z", "-out", out}},
		{"-out is missing", []string{"-repo", dir, "-features", "a:b", "-entities", entities}},
		{"-entities is missing", []string{"-repo", dir, "-features", "a:b", "-out", out}},
		{"not defined: -nope", []string{"-nope"}},
		{`invalid value "noon" for flag -start`, []string{"-start", "noon"}},
		{`"a" does not exist`, []string{"-repo", dir, "-features", "a:b", "-entities", entities, "-out", out}},
		{"no features asked for", []string{"-repo", dir, "-entities", entities, "-out", out}},
		{"missing.parquet", []string{"-repo", dir, "-service", "driver_activity", "-entities", "missing.parquet", "-out", out}},
	} {
		printed, err := output(t, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.says) || printed != "" {
			t.Errorf("%v: %q, %v; want an error with %q", c.args, printed, err, c.says)
		}
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an output was written: %v", err)
	}
}
