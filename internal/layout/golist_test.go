package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	module = "github.com/feastgo/feast"
	root   = "../.." // the folder of go.mod
)

// pkg is a package as go list describes it. A package that is compiled again for a test appears once more, with
// ForTest set.
type pkg struct {
	ImportPath string
	Standard   bool
	ForTest    string
	Imports    []string
	Deps       []string
	CgoFiles   []string
	Module     *struct {
		Path string
		Main bool
	}
}

// own returns the path below the module, "." for the root, and whether p is a package of this module, no test.
func (p *pkg) own() (string, bool) {
	if p.Module == nil || !p.Module.Main || p.isTest() {
		return "", false
	}
	return relative(p.ImportPath), true
}

func (p *pkg) isTest() bool { return p.ForTest != "" || strings.HasSuffix(p.ImportPath, ".test") }

func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// listPackages returns the packages of this module, their tests, and all that they import, by import path.
func listPackages(t *testing.T) map[string]*pkg {
	t.Helper()
	watchSources(t)
	// With cgo, so that files that need it are seen.
	out := run(t, []string{"CGO_ENABLED=1"}, "list", "-deps", "-test",
		"-json=ImportPath,Standard,ForTest,Imports,Deps,CgoFiles,Module", "./...")
	packages := map[string]*pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = &p
	}
}

// run runs the go command in the root of the module, with env added to the environment, and returns what it prints.
func run(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// watchSources visits all folders of the module. What the go command reads is unknown to the cache of go test; a folder
// that this process has opened is known to it, with the times of all its files.
func watchSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
