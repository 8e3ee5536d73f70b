package sql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/feastgo/feast"
	_ "github.com/feastgo/feast/offline/file"
	_ "github.com/feastgo/feast/online/sqlite"
	"github.com/feastgo/feast/types"
)

// The registry and the online store may be in one SQLite file, as with Feast.
func TestOneFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.ToSlash(filepath.Join(dir, "feast.db"))
	yaml := fmt.Sprintf("project: demo\nprovider: local\nregistry: {registry_type: sql, path: \"sqlite:///%s\"}\n"+
		"online_store: {type: sqlite, path: %s}\n", file, file)
	if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	driver := &feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}
	source := &feast.DataSource{Name: "file", TimestampField: "ts", Options: feast.FileOptions{Path: "d.parquet"}}
	view := func(name string) *feast.FeatureView {
		return &feast.FeatureView{
			Name: name, Entities: []string{"driver"}, Online: true, Source: source,
			Schema: []feast.Field{{Name: "driver_id", Type: types.Int64}, {Name: "f", Type: types.Int64}},
		}
	}
	if _, err := fs.Apply(t.Context(), driver, source, view("one"), view("two")); err != nil {
		t.Fatal(err)
	}
	rows := feast.Columns{"driver_id": []int64{1}, "ts": []time.Time{time.Now()}, "f": []int64{7}}
	if _, err := fs.WriteToOnlineStore(t.Context(), "one", rows, feast.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.ApplyAll(t.Context(), feast.ApplyRequest{Objects: []feast.Object{view("three")}, Delete: []feast.Object{view("two")}}); err != nil {
		t.Fatal(err)
	}
	resp, err := fs.GetOnlineFeatures(t.Context(), feast.OnlineRequest{
		Features: []string{"one:f"}, Entities: feast.Columns{"driver_id": []int64{1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := resp.Column("f"); err != nil || c.Any(0) != int64(7) {
		t.Error(err)
	}
	for range 2 {
		if err := fs.Teardown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
