//go:build unix

package file_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/internal/cputime"
)

// python is the interpreter for testdata/compare.py: with packages duckdb and pyarrow, and polars and feast, if they are to
// be measured.
const python = "FEAST_BENCH_PYTHON"

// engines is a running testdata/compare.py.
type engines struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func startEngines(b *testing.B, args ...string) *engines {
	b.Helper()
	interpreter := os.Getenv(python)
	if interpreter == "" {
		interpreter = "python3"
	}
	if err := exec.CommandContext(b.Context(), interpreter, "-c", "import duckdb, pyarrow").Run(); err != nil {
		b.Skipf("%s has no duckdb and pyarrow (%s names another): %v", interpreter, python, err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), interpreter, append([]string{filepath.Join("testdata", "compare.py")}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	return &engines{in, bufio.NewScanner(out)}
}

func (e *engines) ask(b *testing.B, line string) string {
	b.Helper()
	if _, err := fmt.Fprintln(e.in, line); err != nil {
		b.Fatal(err)
	}
	if !e.out.Scan() {
		b.Fatalf("%q: no answer: %v", line, e.out.Err())
	}
	return e.out.Text()
}

// BenchmarkJoinBeside runs the join and, in turn, those of DuckDB, Polars and Feast, on the same file with two threads. The
// results are the ratios of medians: below 1 this library is faster.
func BenchmarkJoinBeside(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, c := range []struct {
		wide   int
		layout string
		times  int // so many rows, entity rows and keys as the large size
	}{{0, "pyarrow", 1}, {10, "pyarrow", 1}, {0, "own", 1}, {10, "own", 1}, {0, "pyarrow", 2}, {0, "pyarrow", 4}, {0, "pyarrow", 10}} {
		columns := 3
		if c.wide > 0 {
			columns = c.wide
		}
		b.Run(fmt.Sprintf("%d/%s/%dx", columns, c.layout, c.times), func(b *testing.B) {
			size := largeSize
			size.features, size.entities, size.keys, size.wide = size.features*c.times, size.entities*c.times, size.keys*c.times, c.wide
			dir := b.TempDir()
			path, entityPath := filepath.Join(dir, "features.parquet"), filepath.Join(dir, "entities.parquet")
			size.generate(b, path)
			entities := size.entityRows()
			write(b, entityPath, entities)
			args := []string{path, entityPath, "2"}
			for _, f := range size.plan(path, 0).Views[0].Features {
				args = append(args, f.Source)
			}
			if c.layout == "pyarrow" { // as pandas writes it: dictionaries, one row group
				again := startEngines(b, args...)
				path = filepath.Join(dir, "pyarrow.parquet")
				again.ask(b, "rewrite "+path)
				args[0] = path
			}
			others := startEngines(b, args...)
			names := strings.Split(others.ask(b, "engines"), "\t")
			wall, cpu := map[string][]float64{}, map[string][]float64{}
			for round := 0; round < 3 || b.Loop(); round++ {
				start, used := time.Now(), cputime.Used()
				found := 0
				size.joined(b, path, entities, func(r arrow.RecordBatch) { found += int(r.NumRows()) - r.Column(3).NullN() })
				wall["go"], cpu["go"] = append(wall["go"], time.Since(start).Seconds()), append(cpu["go"], (cputime.Used()-used).Seconds())
				for _, n := range names {
					var seconds, processor float64
					var rows, values int
					if _, err := fmt.Sscan(others.ask(b, n), &seconds, &processor, &rows, &values); err != nil {
						b.Fatal(err)
					}
					if n == "feast file" { // loses entity rows that it finds nothing for (departure 7)
						rows = size.entities
					}
					if rows != size.entities || values != found {
						b.Fatalf("%s: %d rows, %d found, want %d, %d", n, rows, values, size.entities, found)
					}
					wall[n], cpu[n] = append(wall[n], seconds), append(cpu[n], processor)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(wall["go"])*1e3, "ms")
			b.ReportMetric(median(cpu["go"])*1e3, "cpu-ms")
			for _, n := range names {
				unit := strings.ReplaceAll(n, " ", "-")
				b.ReportMetric(median(wall["go"])/median(wall[n]), "x-"+unit)
				b.ReportMetric(median(cpu["go"])/median(cpu[n]), "cpu-x-"+unit)
				b.Logf("%s: %.0f ms, %.0f ms of processor time", n, median(wall[n])*1e3, median(cpu[n])*1e3)
			}
			b.Logf("go: %.0f ms, %.0f ms of processor time", median(wall["go"])*1e3, median(cpu["go"])*1e3)
		})
	}
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
