package config

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/internal/yamldoc"
)

// parseDocument substitutes the environment in data and reads the document. It returns nil when there is no map of
// values to go on with.
func parseDocument(r *report, data []byte, lookup func(string) (string, bool)) *yamldoc.Node {
	if line := yamldoc.InvalidLine(data); line > 0 {
		r.problem(line, "", "is not UTF-8 text")
		return nil
	}
	source := expand(string(data), lookup)
	var doc, next yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(source.text))
	err := decoder.Decode(&doc)
	if err == nil {
		switch err = decoder.Decode(&next); {
		case err == nil:
			r.problem(source.line(next.Line), "", "a second document begins here; only one is allowed")
			return nil
		case errors.Is(err, io.EOF):
			err = nil
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		line, msg := yamldoc.SyntaxError(source.text, err)
		r.problem(source.line(line), "", "%s", msg)
		return nil
	}
	if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
		r.problem(0, "", "is empty; project and registry are required")
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		r.problem(source.line(root.Line), "", "must be a map of keys, project and registry among them")
		return nil
	}
	undefined := source.attribute(root)
	b := yamldoc.Builder{
		Problem:   func(line, _ int, key, message string) { r.problem(line, key, "%s", message) },
		Duplicate: func(line, _ int, key string) { r.warning(line, key, "is given twice; this one counts") },
		Line:      source.line,
		Scalar: func(n *yaml.Node, key string, out *yamldoc.Node) {
			for _, ref := range undefined[n] {
				r.unsetWarning(ref, key, n.Value)
				if out != nil && ref.text == n.Value && isVariableName(ref.name) {
					out.Undefined = ref.name
				}
			}
		},
	}
	n := b.Build(root, "")
	if n.Size > yamldoc.MaxValues {
		r.problem(0, "", "stands for more than %d values", yamldoc.MaxValues)
		return nil
	}
	return n
}

// attribute finds the scalars, keys included, in which the undefined references stand. References in comments stand
// in none.
func (e *expansion) attribute(root *yaml.Node) map[*yaml.Node][]reference {
	if len(e.undefined) == 0 {
		return nil
	}
	var scalars []*yaml.Node
	var collect func(*yaml.Node)
	collect = func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			scalars = append(scalars, n)
		}
		for _, c := range n.Content {
			collect(c)
		}
	}
	collect(root)

	// A scalar runs from its own place to that of the next one at most.
	found := map[*yaml.Node][]reference{}
	pending := e.undefined
	next := cursor{text: e.text, line: 1, column: 1}
	for i, n := range scalars {
		end := len(e.text)
		if i+1 < len(scalars) {
			end = next.offset(scalars[i+1])
		}
		in := 0
		for in < len(pending) && pending[in].at < end {
			in++
		}
		candidates := pending[:in]
		pending = pending[in:]
		for _, r := range references(n.Value) {
			for j, c := range candidates {
				if c.text == r.text {
					found[n] = append(found[n], c)
					candidates = candidates[j+1:]
					break
				}
			}
		}
	}
	return found
}

// cursor finds the offsets of nodes, asked for in the order of the text.
type cursor struct {
	text             string
	at, line, column int
}

func (c *cursor) offset(n *yaml.Node) int {
	for c.at < len(c.text) && (c.line < n.Line || c.line == n.Line && c.column < n.Column) {
		r, size := utf8.DecodeRuneInString(c.text[c.at:])
		c.at += size
		c.column++
		if r == '\n' {
			c.line, c.column = c.line+1, 1
		}
	}
	return c.at
}
