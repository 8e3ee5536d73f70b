package yamldoc

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// read builds the only document of text.
func read(t *testing.T, text string) (*Node, *Builder, []string) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var told []string
	b := &Builder{
		Problem: func(line, column int, key, msg string) {
			told = append(told, fmt.Sprint(line, ":", column, " ", key, " ", msg))
		},
		Duplicate: func(line, column int, key string) {
			told = append(told, fmt.Sprint(line, ":", column, " ", key, " twice"))
		},
	}
	return b.Build(doc.Content[0], ""), b, told
}

func TestBuildPlaces(t *testing.T) {
	n, b, told := read(t, "a: &x [1, ~]\nb:\n  c: *x\n  d: !!binary aGk=\n  d: yes\n")
	if want := []string{"5:3 b.d twice"}; !reflect.DeepEqual(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	c := n.Get("b").Get("c")
	if c != n.Get("a") || c.Line != 1 || c.Column != 4 || c.List[1].Column != 11 {
		t.Errorf("alias: %+v", c)
	}
	if p := n.Get("b").Pairs[1]; p.Key != "d" || p.Line != 5 || p.Column != 3 || p.Value.Column != 6 || p.Value.Any() != true {
		t.Errorf("pair: %+v", p)
	}
	if n.Size != 9 || b.Built != 7 { // the alias once, the lost d too
		t.Errorf("stands for %d values, built %d", n.Size, b.Built)
	}
}

// Merge keys that name what stands beside them do not build it once more for each level.
func TestBuildMergesOnce(t *testing.T) {
	var text strings.Builder
	const levels = 60
	for i := range levels {
		fmt.Fprintf(&text, "{a: &x%d ", i)
	}
	text.WriteString("{}")
	for i := range levels {
		fmt.Fprintf(&text, ", <<: *x%d}", levels-1-i)
	}
	if _, b, _ := read(t, text.String()); b.Built != levels+1 {
		t.Errorf("built %d values of %d", b.Built, levels+1)
	}
}

func TestIsText(t *testing.T) {
	for text, want := range map[string]bool{
		"a": true, "a b": true, "v1": true, "1e3": true, "": false, "yes": false, "~": false, "1": false, "1.5": false, "1:30": false,
		"2024-01-02": false, "<<": false, "=": false,
	} {
		if got := IsText(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
