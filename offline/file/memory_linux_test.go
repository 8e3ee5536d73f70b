//go:build !race

package file_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/offline/file"
)

// The join of 1M rows with 100,000 entity rows, 10 features wide.
func TestMemory(t *testing.T) {
	size := largeSize
	size.wide = 10
	limited(t, 300<<20, func(dir string) { size.generate(t, filepath.Join(dir, "features.parquet")) }, func(dir string) {
		rows := 0
		size.joined(t, filepath.Join(dir, "features.parquet"), size.entityRows(), func(b arrow.RecordBatch) { rows += int(b.NumRows()) })
		if rows != size.entities {
			t.Errorf("%d rows", rows)
		}
	})
}

// huge is the variable that allows a test of minutes, which writes gigabytes.
const huge = "FEAST_TEST_HUGE"

// On a machine with 64 processors, whose threads map some hundred megabytes, a join takes no more memory for each: its
// goroutines share the slots of a million entity
// rows.
func TestMemoryProcessors(t *testing.T) {
	size := benchmarkSize{features: 1_500_000, entities: 1_000_000, keys: 200_000}
	limited(t, 1500<<20, func(dir string) { size.generate(t, filepath.Join(dir, "features.parquet")) }, func(dir string) {
		file.Short(1 << 14)
		runtime.GOMAXPROCS(64)
		rows := 0
		size.joined(t, filepath.Join(dir, "features.parquet"), size.entityRows(), func(b arrow.RecordBatch) { rows += int(b.NumRows()) })
		if rows != size.entities {
			t.Errorf("%d rows", rows)
		}
	})
}

// The join of 100M rows with 1M entity rows, skewed, with keys and features of text. Every row is compared.
func TestMemoryHuge(t *testing.T) {
	if os.Getenv(huge) == "" {
		t.Skipf("it takes minutes and gigabytes of disk: make test-all runs it, or %s=1", huge)
	}
	size := skewedSize{features: 100_000_000, entities: 1_000_000}
	limited(t, 2_000_000_000, func(dir string) { size.generate(t, dir, 10) }, func(dir string) { size.check(t, dir) })
}

// limited runs write, and then join in a child process, whose address space may be so many bytes more than what a Go
// program maps when it starts.
func limited(t *testing.T, bytes int, write, join func(dir string)) {
	t.Helper()
	const variable = "FEAST_MEMORY_CHILD"
	if dir := os.Getenv(variable); dir != "" {
		limit := syscall.Rlimit{Cur: uint64(processStatus(t, "VmSize") + bytes)}
		limit.Max = limit.Cur
		if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
			t.Fatal(err)
		}
		resident, mapped, start := processStatus(t, "VmRSS"), processStatus(t, "VmSize"), time.Now()
		join(dir)
		fmt.Printf("joined in %v, %v of processor time: resident memory grew by %d MB at most, the address space by %d MB\n",
			time.Since(start).Round(time.Millisecond), cputime.Used().Round(time.Millisecond), (processStatus(t, "VmHWM")-resident)>>20, (processStatus(t, "VmPeak")-mapped)>>20)
		return
	}
	dir := t.TempDir()
	start := time.Now()
	write(dir)
	t.Logf("written in %v", time.Since(start).Round(time.Millisecond))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "joined in ") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// processStatus is a line of /proc/self/status in bytes.
func processStatus(t *testing.T, name string) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), name+":")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
