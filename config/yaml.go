package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// kind is what a value is, by the rules of YAML 1.1 as Python reads it.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFloat
	kindText
	kindTime
	kindList
	kindMap
	kindOther // a Go value that no document can hold
)

// String is the kind as messages name it.
func (k kind) String() string {
	return [...]string{"null", "a boolean", "an integer", "a fractional number", "text", "a date", "a list", "a map",
		"a Go value without a YAML form"}[k]
}

// node is a value of a document, or of [NewSection]: anchors, merge keys and duplicate keys resolved. Nodes are
// shared where the document has aliases, and never change once built.
type node struct {
	line  int // of the source, 0 when there is none
	kind  kind
	text  string // kindText, kindTime
	bool  bool
	int   int64
	float float64
	list  []*node
	pairs []pair // kindMap, in the order of their first appearance
	// undefined is the environment variable that is the whole of this text and is not set.
	undefined string
	// size is the number of values in the document from here down, aliases counted where they stand.
	size int
}

type pair struct {
	key   string
	value *node
}

// get is the value of a map's key, nil when there is none or n is no map.
func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// any is the value as plain Go: nil, bool, int64, float64, string, []any, map[string]any. Dates are text.
func (n *node) any() any {
	switch n.kind {
	case kindBool:
		return n.bool
	case kindInt:
		return n.int
	case kindFloat:
		return n.float
	case kindText, kindTime:
		return n.text
	case kindList:
		list := make([]any, len(n.list))
		for i, item := range n.list {
			list[i] = item.any()
		}
		return list
	case kindMap:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key] = p.value.any()
		}
		return m
	}
	return nil
}

// maxValues bounds the values of a document, so that a few aliases of aliases cannot stand for billions of them.
const maxValues = 100_000

// builder turns a yaml.Node into a node and collects what is wrong or doubtful on the way.
type builder struct {
	*report
	source    expansion
	undefined map[*yaml.Node][]reference
	anchors   map[*yaml.Node]*node // nil value: being built
}

// parseDocument substitutes the environment in data and reads the document. It returns nil when there is no map of
// values to go on with.
func parseDocument(r *report, data []byte, lookup func(string) (string, bool)) *node {
	if !utf8.Valid(data) {
		valid := 0
		for valid < len(data) {
			c, size := utf8.DecodeRune(data[valid:])
			if c == utf8.RuneError && size == 1 {
				break
			}
			valid += size
		}
		r.problem(1+bytes.Count(data[:valid], []byte("\n")), "", "is not UTF-8 text")
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
		line, msg := syntaxError(source.text, err)
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
	b := &builder{report: r, source: source, anchors: map[*yaml.Node]*node{}}
	b.undefined = source.attribute(root)
	n := b.build(root, "")
	if n.size > maxValues {
		r.problem(0, "", "stands for more than %d values", maxValues)
		return nil
	}
	return n
}

// yamlError is the text of the yaml package's errors.
var yamlError = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?((?s:.*))$`)

// parserError is what distinguishes errors of the yaml package's parser from those of its scanner. The parser counts
// lines from 0, the scanner from 1, and both leave out a 0.
var parserError = regexp.MustCompile(`(node content|expected key|'-' indicator|',' or '[\]}]'|start>|directive|document|tag handle)$`)

// syntaxError is the line in text and the message of an error of the yaml package. The name of an alias does not
// show: it may be a password that begins with an asterisk.
func syntaxError(text string, err error) (int, string) {
	m := yamlError.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	msg := m[2]
	at := -1
	if name, ok := strings.CutPrefix(msg, "unknown anchor '"); ok {
		at = strings.Index(text, "*"+strings.TrimSuffix(name, "' referenced"))
		msg = "alias without an anchor; put a value that begins with * in quotes"
	} else if strings.HasPrefix(msg, "control characters") {
		at = strings.IndexFunc(text, func(c rune) bool {
			return unicode.IsControl(c) && !strings.ContainsRune("\t\n\r\u0085", c)
		})
	}
	switch {
	case at >= 0:
		line = 1 + strings.Count(text[:at], "\n")
	case line == 0:
		line = 1
	case parserError.MatchString(msg):
		line++
	}
	return line, msg
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

// build converts n, which stands at the dotted path key. A value that cannot be converted becomes null, with a
// problem.
func (b *builder) build(n *yaml.Node, key string) *node {
	line := b.source.line(n.Line)
	if n.Kind == yaml.AliasNode {
		target, done := b.anchors[n.Alias]
		switch {
		case !done:
			// The anchor belongs to a value that another one of the same key replaced, or to a map's key.
			target = b.build(n.Alias, key)
		case target == nil:
			b.problem(line, key, "alias stands within the value that it names")
			target = &node{size: 1}
		}
		return target
	}
	if n.Anchor != "" {
		b.anchors[n] = nil
	}
	out := &node{line: line, size: 1}
	switch n.Kind {
	case yaml.ScalarNode:
		b.scalar(out, n, key)
	case yaml.SequenceNode:
		out.kind = kindList
		for i, c := range n.Content {
			item := b.build(c, index(key, i))
			out.list = append(out.list, item)
			out.size = min(out.size+item.size, maxValues+1)
		}
	case yaml.MappingNode:
		out.kind = kindMap
		b.mapping(out, n, key)
	}
	if tag := n.ShortTag(); n.Style&yaml.TaggedStyle != 0 && n.Kind != yaml.ScalarNode && tag != "!!map" && tag != "!!seq" {
		b.problem(line, key, unsupportedTag)
	}
	if n.Anchor != "" {
		b.anchors[n] = out
	}
	return out
}

// mapping fills out with the pairs of n. Merged maps come first, so that the map's own keys win; among several the
// one named first wins. Of a key given twice the last one wins.
func (b *builder) mapping(out *node, n *yaml.Node, key string) {
	at := map[string]int{} // key -> index of its pair
	set := func(key string, value *node) {
		i, ok := at[key]
		if !ok {
			i = len(out.pairs)
			at[key] = i
			out.pairs = append(out.pairs, pair{key: key})
		}
		out.pairs[i].value = value
	}
	for i := 0; i < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		merged := b.build(n.Content[i+1], key)
		maps := []*node{merged}
		if merged.kind == kindList {
			maps = merged.list
		}
		for _, from := range slices.Backward(maps) {
			if from.kind != kindMap {
				b.problem(b.source.line(n.Content[i+1].Line), key, "<< must be followed by a map or a list of maps")
				break
			}
			for _, p := range from.pairs {
				set(p.key, p.value)
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
		line := b.source.line(n.Content[i].Line)
		if k.Kind != yaml.ScalarNode {
			b.problem(line, key, "holds a key that is a list or a map; keys must be text")
			continue
		}
		path := join(key, k.Value)
		for _, r := range b.undefined[k] {
			b.unsetWarning(r, path, k.Value)
		}
		if own[k.Value] {
			b.warning(line, path, "is given twice; this one counts")
		}
		own[k.Value] = true
		set(k.Value, b.build(n.Content[i+1], path))
	}
	for _, p := range out.pairs {
		out.size = min(out.size+p.value.size, maxValues+1)
	}
}

// isMerge reports whether n is the merge key <<, which is ordinary text when it is quoted.
func isMerge(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge" }

// scalar fills out with the value of n.
func (b *builder) scalar(out *node, n *yaml.Node, key string) {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	for _, r := range b.undefined[n] {
		b.unsetWarning(r, key, n.Value)
		if r.text == n.Value && isVariableName(r.name) {
			out.undefined = r.name
		}
	}
	if n.Style&yaml.TaggedStyle == 0 {
		if n.Style&quoted != 0 {
			out.kind, out.text = kindText, n.Value
		} else {
			out.resolve(n.Value)
		}
		return
	}
	tag := n.ShortTag()
	switch tag {
	case "!!str":
		out.kind, out.text = kindText, n.Value
		return
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
		if err != nil {
			b.problem(out.line, key, "is not base64, as its tag !!binary says")
		}
		out.kind, out.text = kindText, string(data)
		return
	}
	out.resolve(n.Value)
	if tag == "!!float" && out.kind == kindInt {
		out.kind, out.float = kindFloat, float64(out.int)
	}
	want, ok := tagKinds[tag]
	switch {
	case !ok:
		b.problem(out.line, key, unsupportedTag)
	case out.kind != want:
		b.problem(out.line, key, "is not %s, as its tag %s says", want, tag)
	}
}

// unsupportedTag leaves out the tag, which may be a password that begins with an exclamation mark.
const unsupportedTag = "has a tag that is not supported; put a value that begins with ! in quotes"

var tagKinds = map[string]kind{
	"!!null": kindNull, "!!bool": kindBool, "!!int": kindInt, "!!float": kindFloat, "!!timestamp": kindTime,
}

// The plain scalars of YAML 1.1 that are not text, as PyYAML reads them: an exponent needs a point before it and a
// sign, 0777 is octal, 1:30 counts in sixties.
var (
	nulls    = map[string]bool{"": true, "~": true, "null": true, "Null": true, "NULL": true}
	booleans = map[string]bool{
		"yes": true, "Yes": true, "YES": true, "no": false, "No": false, "NO": false,
		"true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false,
		"on": true, "On": true, "ON": true, "off": false, "Off": false, "OFF": false,
	}
	integers  = regexp.MustCompile(`^[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*)$`)
	fractions = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	dates = regexp.MustCompile(`^\d{4}-\d\d-\d\d$|^\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?` +
		`(?:[ \t]*(?:Z|[-+]\d\d?(?::?\d\d)?))?$`)
)

// resolve sets kind and value of an untagged plain scalar.
func (n *node) resolve(s string) {
	b, isBool := booleans[s]
	switch {
	case nulls[s]:
		n.kind = kindNull
	case isBool:
		n.kind, n.bool = kindBool, b
	case integers.MatchString(s):
		n.integer(s)
	case fractions.MatchString(s):
		n.kind = kindFloat
		n.float = fraction(strings.ReplaceAll(s, "_", ""))
	case dates.MatchString(s):
		n.kind, n.text = kindTime, s
	default:
		n.kind, n.text = kindText, s
	}
}

// integer sets the value of an integer. One beyond int64 becomes a fractional number, which no integer field takes.
func (n *node) integer(s string) {
	digits := strings.ReplaceAll(s, "_", "")
	v := new(big.Int)
	if strings.Contains(digits, ":") {
		var part big.Int
		for sixty := range strings.SplitSeq(strings.TrimLeft(digits, "+-"), ":") {
			part.SetString(sixty, 10)
			v.Add(v.Mul(v, big.NewInt(60)), &part)
		}
		if strings.HasPrefix(digits, "-") {
			v.Neg(v)
		}
	} else if _, ok := v.SetString(digits, 0); !ok { // 0x_ has no digits
		n.kind, n.text = kindText, s
		return
	}
	if v.IsInt64() {
		n.kind, n.int = kindInt, v.Int64()
		return
	}
	n.kind = kindFloat
	n.float, _ = new(big.Float).SetInt(v).Float64()
}

// fraction is the value of a fractional number.
func fraction(s string) float64 {
	sign, digits := 1.0, strings.ToLower(strings.TrimLeft(s, "+-"))
	if strings.HasPrefix(s, "-") {
		sign = -1
	}
	switch digits {
	case ".inf":
		return sign * math.Inf(1)
	case ".nan":
		return math.NaN()
	}
	var v float64
	for part := range strings.SplitSeq(digits, ":") {
		f, _ := strconv.ParseFloat(part, 64) // out of range: infinite
		v = v*60 + f
	}
	return sign * v
}
