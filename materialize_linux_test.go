package feast_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/online/memory"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// residentMemory is VmRSS, or VmHWM for the most there was since the last call of resetPeak, in bytes.
func residentMemory(b *testing.B, name string) int {
	b.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), name+":")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}

// BenchmarkMaterializeComputed materializes an on-demand view of a million keys, of one source view and of two with the same
// keys, and, beside them, a source view. Nothing is stored. peak-MB is how much resident memory grew at most.
func BenchmarkMaterializeComputed(b *testing.B) {
	const rows = 1_000_000
	ctx, dir := context.Background(), b.TempDir()
	rb := wideBatch(rows)
	for _, name := range []string{"a", "b"} {
		createParquet(b, filepath.Join(dir, name+".parquet"), rb)
	}
	rb.Release()
	fs, err := feast.New(ctx, config.Default(project), feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(discard{memory.New()}),
		feast.WithOfflineStore(file.New(dir)), feast.WithTransformation("one", sums([]string{benchNames[4], benchNames[5]}, []string{"sum"})),
		feast.WithTransformation("two", sums([]string{"a__" + benchNames[4], "b__" + benchNames[5]}, []string{"sum"})))
	if err != nil {
		b.Fatal(err)
	}
	defer fs.Close()
	objects := []feast.Object{driver}
	for _, name := range []string{"a", "b"} {
		objects = append(objects, materializeView(name, func(v *feast.FeatureView) {
			v.Schema, v.Source.CreatedTimestampColumn = nil, ""
			for f, name := range benchNames {
				v.Schema = append(v.Schema, feast.Field{Name: name, Type: []types.Type{types.Float64, types.Int64, types.String}[f/4]})
			}
		}))
	}
	for name, sources := range map[string][]string{"one": {"a"}, "two": {"a", "b"}} {
		v := onDemand(name, fieldsOf(feast.Int64, "sum"), nil, sources...)
		v.WriteToOnlineStore, v.Entities, v.EntityColumns = true, []string{"driver"}, driverKey
		objects = append(objects, v)
	}
	mustApply(b, fs, objects...)
	for _, view := range []string{"a", "one", "two"} {
		b.Run(view, func(b *testing.B) {
			peak := 0
			for b.Loop() {
				debug.FreeOSMemory()
				if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew
					b.Fatal(err)
				}
				before := residentMemory(b, "VmRSS")
				res, err := fs.Materialize(ctx, feast.MaterializeRequest{Start: t0, End: t0.Add(time.Hour), Views: []string{view}})
				if err != nil || res.Views[0].Written != rows {
					b.Fatalf("%+v, %v", res, err)
				}
				peak = max(peak, residentMemory(b, "VmHWM")-before)
			}
			b.ReportMetric(float64(peak)/1e6, "peak-MB")
		})
	}
}
