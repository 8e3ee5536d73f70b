// Package yamldoc reads YAML documents as Python does, by the rules of YAML 1.1, into values that know their place in
// the text. feature_store.yaml and definitions are read with it.
package yamldoc

// Kind is what a value is, by the rules of YAML 1.1 as Python reads it.
type Kind uint8

// The kinds of values.
const (
	Null Kind = iota
	Bool
	Int
	Float
	Text
	Time
	List
	Map
	Other // a Go value that no document can hold
)

// String is the kind as messages name it.
func (k Kind) String() string {
	return [...]string{"null", "a boolean", "an integer", "a fractional number", "text", "a date", "a list", "a map",
		"a Go value without a YAML form"}[k]
}

// Node is a value of a document: anchors, merge keys and duplicate keys resolved. Nodes are shared where the document
// has aliases, and never change once built.
type Node struct {
	Line, Column int // of the source, counted from 1; 0 when there is none
	Kind         Kind
	Text         string // Text, Time
	Binary       bool   // the text was given in base64, with the tag !!binary: it may be any bytes
	Bool         bool
	Int          int64
	Float        float64
	List         []*Node
	Pairs        []Pair // Map, in the order of their first appearance
	// Undefined is the environment variable that is the whole of this text and is not set.
	Undefined string
	// Size is the number of values in the document from here down, aliases counted where they stand. It stops counting
	// beyond MaxValues.
	Size int
}

// Pair is an entry of a map, with the place of its key.
type Pair struct {
	Key          string
	Line, Column int
	Value        *Node
}

// Get is the value of a map's key, nil when there is none or n is no map.
func (n *Node) Get(key string) *Node {
	for _, p := range n.Pairs {
		if p.Key == key {
			return p.Value
		}
	}
	return nil
}

// Any is the value as plain Go: nil, bool, int64, float64, string, []any, map[string]any. Dates are text.
func (n *Node) Any() any {
	switch n.Kind {
	case Bool:
		return n.Bool
	case Int:
		return n.Int
	case Float:
		return n.Float
	case Text, Time:
		return n.Text
	case List:
		list := make([]any, len(n.List))
		for i, item := range n.List {
			list[i] = item.Any()
		}
		return list
	case Map:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key] = p.Value.Any()
		}
		return m
	}
	return nil
}
