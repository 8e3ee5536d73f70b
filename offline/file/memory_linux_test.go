//go:build !race

package file_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// memoryLimit is the address space that a join of the large size may take beside what a Go program maps when it starts.
const memoryLimit = 300 << 20

// The join of 1M rows with 100,000 entity rows, 10 features wide, in a child process whose address space is limited.
func TestMemory(t *testing.T) {
	if path := os.Getenv("FEAST_MEMORY_CHILD"); path != "" {
		limit := syscall.Rlimit{Cur: uint64(processStatus(t, "VmSize")) + memoryLimit}
		limit.Max = limit.Cur
		if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
			t.Fatal(err)
		}
		start := processStatus(t, "VmRSS")
		size := largeSize
		size.wide = 10
		rows := 0
		size.joined(t, path, size.entityRows(), func(b arrow.RecordBatch) { rows += int(b.NumRows()) })
		fmt.Printf("joined %d rows, peak %d MB\n", rows, (processStatus(t, "VmHWM")-start)>>20)
		return
	}
	size := largeSize
	size.wide = 10
	path := filepath.Join(t.TempDir(), "features.parquet")
	size.generate(t, path)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$")
	cmd.Env = append(os.Environ(), "FEAST_MEMORY_CHILD="+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "joined 100000 rows") {
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
