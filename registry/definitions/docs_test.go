package definitions_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/definitions"
	"github.com/feastgo/feast/types"
)

// free are the keys of maps whose own keys are anybody's.
var free = []string{
	"tags", "field_mapping", "properties", "catalog_properties", "config", "join_key_map", "required_tags",
}

// keysIn adds what a text of definitions uses: keys, each under the kind of the map where it stands, and kinds.
func keysIn(tb testing.TB, text []byte) map[string]bool {
	tb.Helper()
	keys := map[string]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.MappingNode {
			for i := 0; i < len(n.Content); i += 2 {
				key := n.Content[i].Value
				keys[key] = true
				if key == "kind" {
					keys["kind: "+n.Content[i+1].Value] = true
				}
				if !slices.Contains(free, key) {
					walk(n.Content[i+1])
				}
			}
			return
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return keys
		} else if err != nil {
			tb.Fatal(err)
		}
		walk(&doc)
	}
}

// The examples of docs/definitions.md are one repository that loads and can be exported; they have every kind and every
// key that an export of everything has.
func TestDocumentation(t *testing.T) {
	page := string(readFile(t, filepath.Join("..", "..", "docs", "definitions.md")))
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)\n```yaml\n(.*?)```").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, m[1])
	}
	text := []byte(strings.Join(blocks, "---\n"))
	objects, err := definitions.Parse("docs/definitions.md", text)
	if err != nil {
		t.Fatal(err)
	}
	exported := export(t, objects...)
	if again := parse(t, exported); !bytes.Equal(export(t, again...), exported) {
		t.Errorf("exported otherwise the second time:\n%s", exported)
	}
	if _, err := applied(t, "rides", objects); err != nil {
		t.Errorf("applied: %v", err)
	}

	all := everything()
	all = append(all, &registry.FeatureView{Name: "inner", Schema: []registry.Field{{Name: "f", Type: types.Struct, Inner: "?"}}},
		&registry.DataSource{Name: "json", Options: registry.KafkaOptions{MessageFormat: registry.StreamFormat{Type: "json", Schema: "x"}}})
	known, shown := keysIn(t, export(t, all...)), keysIn(t, text)
	if len(known) < 150 {
		t.Errorf("only %d keys and kinds are known", len(known))
	}
	for key := range known {
		if !shown[key] {
			t.Errorf("the page has no example of %q", key)
		}
	}
	for key := range shown {
		if !known[key] {
			t.Errorf("the page has an example of %q, which an export of everything has not", key)
		}
	}
}
