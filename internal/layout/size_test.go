package layout

import (
	"os"
	"path/filepath"
	"testing"
)

// maxCoreSize bounds a program that reads online features, maxRedisSize one that reads them from Redis, in bytes.
const (
	maxCoreSize  = 12 << 20
	maxRedisSize = 18 << 20
)

// The sizes are those of stripped programs for linux/amd64, whatever the machine of the test.
func TestProgramSize(t *testing.T) {
	watchSources(t)
	for _, driver := range []string{"", "sqlite", "redis", "remote", "kubernetes"} {
		name := "program" + driver
		file := filepath.Join(t.TempDir(), name)
		run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, "build", "-trimpath", "-buildvcs=false",
			"-ldflags=-s -w", "-tags="+driver, "-o", file, "./internal/layout/testdata/program")
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if driver == "" {
			t.Logf("root, registry/file, online/memory: %.1f MB", megabytes(info.Size()))
			if info.Size() > maxCoreSize {
				t.Errorf("that is more than %.1f MB", megabytes(maxCoreSize))
			}
			continue
		}
		t.Logf("with the driver %s: %.1f MB", driver, megabytes(info.Size()))
		if driver == "redis" && info.Size() > maxRedisSize {
			t.Errorf("that is more than %.1f MB", megabytes(maxRedisSize))
		}
	}
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
