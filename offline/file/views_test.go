package file_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
)

// Many goroutines that share the slots of a join find what they find with slots of their own.
func TestSharedSlots(t *testing.T) {
	file.Shared(t)
	file.Small(t, false)
	file.Short(1 << 12)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	t.Run("Golden", TestGoldenBenchmark)
	t.Run("Ties", TestGoldenBenchmarkTies)
	t.Run("Skewed", TestSkewed)
}

// viewsOf is a join of several views, each of a source of its own, v0, v1 and so on.
func viewsOf(dir string, n int) *offline.JoinPlan {
	p := &offline.JoinPlan{}
	for i := range n {
		p.Views = append(p.Views, offline.JoinView{
			Name: fmt.Sprint("view", i), Source: &offline.Source{Path: filepath.Join(dir, fmt.Sprint("v", i, ".parquet"))}, Event: "e",
			Keys: []offline.JoinKey{{Source: "k", Entity: "k"}}, Features: []offline.Column{{Source: "v", Name: fmt.Sprint("v", i)}},
		})
	}
	return p
}

// Views are joined at the same time; columns come in the order of the views, and of several errors the first view's.
func TestViewsTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	dir := t.TempDir()
	const n = 12
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprint("v", i, ".parquet")), table("k i64, e us, v i64", row(1, noon, 10*i), row(2, noon, 10*i+1), row(2, noon.Add(time.Hour), 10*i+2)))
	}
	plan := viewsOf(dir, n)
	rows := table("k i64, t us", row(2, noon.Add(time.Minute)), row(1, noon), row(3, noon))
	got, err := offlinetest.Join(t.Context(), t, file.New(dir), plan, "t", rows)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	one, two := "", ""
	for i := range n {
		one, two = one+fmt.Sprint(",", 10*i), two+fmt.Sprint(",", 10*i+1)
	}
	if want := `[2,{"$ts":"2024-01-01T12:01:00Z"}` + two + "]"; got[0] != want {
		t.Errorf("%s, want %s", got[0], want)
	}
	if want := `[1,{"$ts":"2024-01-01T12:00:00Z"}` + one + "]"; got[1] != want {
		t.Errorf("%s, want %s", got[1], want)
	}
	for _, i := range []int{3, 4, 9} { // broken where the footer does not tell
		path := filepath.Join(dir, fmt.Sprint("v", i, ".parquet"))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for b := 8; b < 60; b++ {
			data[b] ^= 0x5a
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := offlinetest.Join(t.Context(), t, file.New(dir), plan, "t", rows); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "v3.parquet") {
			t.Fatal(err)
		}
	}
	for _, i := range []int{7, 2} { // all sources that are missing are named, before anything is joined
		if err := os.Remove(filepath.Join(dir, fmt.Sprint("v", i, ".parquet"))); err != nil {
			t.Fatal(err)
		}
	}
	_, err = offlinetest.Join(t.Context(), t, file.New(dir), plan, "t", rows)
	if first, second := strings.Index(fmt.Sprint(err), "v2.parquet"), strings.Index(fmt.Sprint(err), "v7.parquet"); !errors.Is(err, feasterr.ErrNotFound) || first < 0 || second < first {
		t.Error(err)
	}
}

// BenchmarkViews joins ten small views: together, and one after the other, a join each.
func BenchmarkViews(b *testing.B) {
	const n, rows, keys = 10, 50_000, 10_000
	dir := b.TempDir()
	size := benchmarkSize{features: rows, entities: keys, keys: keys}
	for i := range n {
		size.generate(b, filepath.Join(dir, fmt.Sprint("v", i, ".parquet")))
	}
	plan := viewsOf(dir, n)
	for i := range plan.Views {
		v := &plan.Views[i]
		v.Event, v.Keys, v.Features[0].Source = "event_timestamp", []offline.JoinKey{{Source: "driver_id", Entity: "driver_id"}}, "f2"
	}
	entities := size.entityRows()
	rowsSeen := 0
	join := func(p *offline.JoinPlan) {
		joined(b, p, reader(b, entities), func(rb arrow.RecordBatch) { rowsSeen += int(rb.NumRows()) })
	}
	b.Run("together", func(b *testing.B) {
		defer cputime.Report(b)()
		for b.Loop() {
			join(plan)
		}
	})
	b.Run("apart", func(b *testing.B) {
		defer cputime.Report(b)()
		for b.Loop() {
			for i := range plan.Views {
				join(&offline.JoinPlan{Views: plan.Views[i : i+1]})
			}
		}
	})
}
