package yamldoc

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxValues bounds the values of a document, so that a few aliases of aliases cannot stand for billions of them. Who
// builds a document compares [Node.Size] with it.
const MaxValues = 100_000

// Builder turns the yaml package's nodes of one document into [Node]s. Keys in its calls are dotted paths.
type Builder struct {
	// Problem is told what is wrong. A value that cannot be converted becomes null.
	Problem func(line, column int, key, message string)
	// Duplicate is told of a key that is given again. The last one counts.
	Duplicate func(line, column int, key string)
	// Line maps the lines of the text to those of the file; nil: they are the same.
	Line func(line int) int
	// Scalar, when set, sees every scalar before it is converted into out; out is nil for the keys of maps.
	Scalar func(n *yaml.Node, key string, out *Node)
	// Built counts the values that were built; an alias counts only where its anchor is.
	Built int

	anchors map[*yaml.Node]*Node // nil value: being built
}

func (b *Builder) line(n *yaml.Node) int {
	if b.Line == nil {
		return n.Line
	}
	return b.Line(n.Line)
}

func (b *Builder) problem(n *yaml.Node, key, message string) {
	b.Problem(b.line(n), n.Column, key, message)
}

// Build converts n, which stands at the dotted path key. A value that cannot be converted becomes null, with a
// problem.
func (b *Builder) Build(n *yaml.Node, key string) *Node {
	if n.Kind == yaml.AliasNode {
		target, done := b.anchors[n.Alias]
		switch {
		case !done:
			// The anchor belongs to a value that another one of the same key replaced, or to a map's key.
			target = b.Build(n.Alias, key)
		case target == nil:
			b.problem(n, key, "alias stands within the value that it names")
			target = &Node{Line: b.line(n), Column: n.Column, Size: 1}
		}
		return target
	}
	if n.Anchor != "" {
		if out := b.anchors[n]; out != nil { // a merge key further up needed it
			return out
		}
		if b.anchors == nil {
			b.anchors = map[*yaml.Node]*Node{}
		}
		b.anchors[n] = nil
	}
	b.Built++
	out := &Node{Line: b.line(n), Column: n.Column, Size: 1}
	switch n.Kind {
	case yaml.ScalarNode:
		b.scalar(out, n, key)
	case yaml.SequenceNode:
		out.Kind = List
		for i, c := range n.Content {
			item := b.Build(c, Index(key, i))
			out.List = append(out.List, item)
			out.Size = min(out.Size+item.Size, MaxValues+1)
		}
	case yaml.MappingNode:
		out.Kind = Map
		b.mapping(out, n, key)
	}
	if tag := n.ShortTag(); n.Style&yaml.TaggedStyle != 0 && n.Kind != yaml.ScalarNode && tag != "!!map" && tag != "!!seq" {
		b.problem(n, key, unsupportedTag)
	}
	if n.Anchor != "" {
		b.anchors[n] = out
	}
	return out
}

// mapping fills out with the pairs of n. Merged maps come first, so that the map's own keys win; among several the
// one named first wins. Of a key given twice the last one wins.
func (b *Builder) mapping(out *Node, n *yaml.Node, key string) {
	at := map[string]int{} // key -> index of its pair
	set := func(p Pair) {
		i, ok := at[p.Key]
		if !ok {
			i = len(out.Pairs)
			at[p.Key] = i
			out.Pairs = append(out.Pairs, p)
		}
		out.Pairs[i] = p
	}
	for i := 0; i < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		merged := b.Build(n.Content[i+1], key)
		maps := []*Node{merged}
		if merged.Kind == List {
			maps = merged.List
		}
		for _, from := range slices.Backward(maps) {
			if from.Kind != Map {
				b.problem(n.Content[i+1], key, "<< must be followed by a map or a list of maps")
				break
			}
			for _, p := range from.Pairs {
				set(p)
			}
		}
	}
	own := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		if isMerge(k) {
			continue
		}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		place := n.Content[i]
		if k.Kind != yaml.ScalarNode {
			b.problem(place, key, "holds a key that is a list or a map; keys must be text")
			continue
		}
		path := Join(key, k.Value)
		if b.Scalar != nil {
			b.Scalar(k, path, nil)
		}
		if own[k.Value] {
			b.Duplicate(b.line(place), place.Column, path)
		}
		own[k.Value] = true
		set(Pair{k.Value, b.line(place), place.Column, b.Build(n.Content[i+1], path)})
	}
	for _, p := range out.Pairs {
		out.Size = min(out.Size+p.Value.Size, MaxValues+1)
	}
}

// isMerge reports whether n is the merge key <<, which is ordinary text when it is quoted.
func isMerge(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge" }

// scalar fills out with the value of n.
func (b *Builder) scalar(out *Node, n *yaml.Node, key string) {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if b.Scalar != nil {
		b.Scalar(n, key, out)
	}
	if n.Style&yaml.TaggedStyle == 0 {
		if n.Style&quoted != 0 {
			out.Kind, out.Text = Text, n.Value
		} else {
			out.resolve(n.Value)
		}
		return
	}
	tag := n.ShortTag()
	switch tag {
	case "!!str":
		out.Kind, out.Text = Text, n.Value
		return
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			b.problem(n, key, "is not base64, as its tag !!binary says")
		}
		out.Kind, out.Text, out.Binary = Text, string(data), true
		return
	}
	out.resolve(n.Value)
	if tag == "!!float" && out.Kind == Int {
		out.Kind, out.Float = Float, float64(out.Int)
	}
	want, ok := tagKinds[tag]
	switch {
	case !ok:
		b.problem(n, key, unsupportedTag)
	case out.Kind != want:
		b.problem(n, key, fmt.Sprintf("is not %s, as its tag %s says", want, tag))
	}
}

// unsupportedTag leaves out the tag, which may be a password that begins with an exclamation mark.
const unsupportedTag = "has a tag that is not supported; put a value that begins with ! in quotes"

var tagKinds = map[string]Kind{
	"!!null": Null, "!!bool": Bool, "!!int": Int, "!!float": Float, "!!timestamp": Time,
}
