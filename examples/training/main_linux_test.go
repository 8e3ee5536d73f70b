package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("RUN_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestTerminate asks the program to end while it reads its configuration: it ends by itself.
func TestTerminate(t *testing.T) {
	yaml := filepath.Join(t.TempDir(), "feature_store.yaml")
	if err := syscall.Mkfifo(yaml, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-repo", yaml, "-entities", "labels.parquet", "-out", "training.parquet")
	cmd.Env, cmd.Stderr = append(os.Environ(), "RUN_MAIN=1"), &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(yaml, os.O_WRONLY, 0) // waits for the program to open it
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // looked at below
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(stderr.String(), "training: ") {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
}
