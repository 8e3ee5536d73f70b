package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/offline"
)

// repo is a repository with a view of which one row has no key.
func repo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(
		"project: demo\nprovider: local\nregistry: registry.db\nonline_store:\n  type: sqlite\n  path: online.db\nentity_key_serialization_version: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	view := &feast.FeatureView{
		Name: "stats", Entities: []string{"driver"}, Online: true, EntityColumns: []feast.Field{{Name: "driver_id", Type: feast.Int64}},
		Schema: []feast.Field{{Name: "trips", Type: feast.Int64}},
		Source: &feast.DataSource{Name: "source", TimestampField: "ts", Options: feast.FileOptions{Path: "stats.parquet"}},
	}
	if _, err := fs.Apply(t.Context(), &feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}, view); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	writeParquet(t, filepath.Join(dir, "stats.parquet"), at, at.Add(time.Hour), at, at)
	return dir
}

// writeParquet writes the file of the view, as somebody else might: WriteToOfflineStore takes no row without a key.
func writeParquet(t *testing.T, path string, times ...time.Time) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "driver_id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "trips", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 1, 0, 2}, []bool{true, true, false, true})
	b.Field(1).(*array.Int64Builder).AppendValues([]int64{1, 2, 3, 4}, nil)
	for _, at := range times {
		b.Field(2).(*array.TimestampBuilder).AppendTime(at)
	}
	rb := b.NewRecordBatch()
	defer rb.Release()
	rows, err := array.NewRecordReader(schema, []arrow.RecordBatch{rb})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Create(t.Context(), path, rows); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	dir := repo(t)
	window := []string{"-repo", dir, "-start", "2026-03-01T00:00:00Z", "-end", "2026-03-02T00:00:00Z"}
	for _, c := range []struct {
		args     []string
		terminal bool
		out, err string // beginnings of lines
		fails    string
	}{
		{window, false, "stats: 2 rows written, 0 older than what is stored, in ", "stats: 1 rows skipped, which have a null in their key\n", ""},
		{append(window, "-views", "stats"), true, "stats: 2 rows written", "\r\x1b[K[                        ] 0/1  stats: 3 rows\r\x1b[K[========================] 1/1  stats: 3 rows\r\x1b[Kstats: 1 rows skipped", ""},
		{append(window, "-views", "stat"), false, "", "", `feature view "stat" does not exist in project "demo"; did you mean "stats"?`},
		{[]string{"-start", "noon"}, false, "", "", `invalid value "noon" for flag -start`},
		{[]string{"-start", "2026-03-01T00:00:00Z"}, false, "", "", "-start and -end are needed"},
		{[]string{"stats"}, false, "", "", `argument "stats" is left over`},
		{[]string{"-h"}, false, "  -end time\n", "", ""},
	} {
		var out, errOut bytes.Buffer
		err := run(context.Background(), c.args, &out, &errOut, c.terminal)
		if !strings.HasPrefix(out.String(), c.out) || !strings.HasPrefix(errOut.String(), c.err) || c.err == "" && errOut.Len() > 0 {
			t.Errorf("%q: %q and %q, want %q and %q", c.args, out.String(), errOut.String(), c.out, c.err)
		}
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%q: %v, want %q", c.args, err, c.fails)
		}
	}
}
