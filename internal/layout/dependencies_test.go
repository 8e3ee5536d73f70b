package layout

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/dependencies.md has a row for each module of go.mod and for no other, and says truly which packages import it.
func TestDependenciesAreDocumented(t *testing.T) {
	usedBy := readTable(t)
	importers := importersOfModules(t)

	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(run(t, nil, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for _, r := range mod.Require {
		required[r.Path] = true
		if _, ok := usedBy[r.Path]; !ok {
			t.Errorf("%s is in go.mod and not in docs/dependencies.md: add a row with the reason", r.Path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(usedBy)) {
		if !required[path] {
			t.Errorf("%s is in docs/dependencies.md and not in go.mod: remove the row", path)
		}
		want := importers[path]
		if want == nil { // nobody here: the row names the modules that need it
			for _, by := range usedBy[path] {
				if !required[by] {
					t.Errorf("%s: docs/dependencies.md names %q, which neither imports it nor is a module of go.mod", path, by)
				}
			}
			continue
		}
		if got := slices.Sorted(slices.Values(usedBy[path])); !slices.Equal(got, want) {
			t.Errorf("%s: docs/dependencies.md says it is used by %q, it is by %q", path, got, want)
		}
	}
}

// row matches a row of the table: | `module` | why | `used`, `by` |
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$")

func readTable(t *testing.T) map[string][]string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	usedBy := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		if usedBy[m[1]] != nil {
			t.Errorf("%s has two rows in docs/dependencies.md", m[1])
		}
		for by := range strings.SplitSeq(m[3], ", ") {
			usedBy[m[1]] = append(usedBy[m[1]], strings.Trim(by, "`"))
		}
	}
	return usedBy
}

// importersOfModules returns for each module that a package of this one imports the names of these packages, sorted;
// or "tests" alone where only tests import it. Packages below internal/protos count as one.
func importersOfModules(t *testing.T) map[string][]string {
	t.Helper()
	packages := listPackages(t)
	found := map[string]map[string]bool{}
	tested := map[string]bool{}
	for _, p := range packages {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		name, ok := p.own()
		if strings.HasPrefix(name, "internal/protos/") {
			name = "internal/protos"
		}
		for _, imported := range p.Imports {
			dep := packages[imported]
			switch {
			case dep == nil || dep.Module == nil || dep.Module.Main:
			case !ok:
				tested[dep.Module.Path] = true
			case found[dep.Module.Path] == nil:
				found[dep.Module.Path] = map[string]bool{name: true}
			default:
				found[dep.Module.Path][name] = true
			}
		}
	}
	importers := map[string][]string{}
	for path := range tested {
		importers[path] = []string{"tests"}
	}
	for path, names := range found {
		importers[path] = slices.Sorted(maps.Keys(names))
	}
	return importers
}
