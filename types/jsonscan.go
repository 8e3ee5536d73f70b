package types

import "bytes"

// JSONArray goes through the elements of a JSON array without decoding them:
//
//	for a := types.NewJSONArray(text); a.Next(); {
//		use(a.Value())
//	}
//
// Commas and brackets have to be right; whether an element is, its decoder finds out. No element is copied.
type JSONArray struct {
	b     []byte
	at    int
	from  int // of the value
	end   bool
	begun bool
	err   error
}

// NewJSONArray returns the elements of an array. text begins with its bracket and may go on behind it.
func NewJSONArray(text []byte) JSONArray { return JSONArray{b: text} }

// Next goes to the next element. It reports false at the end, and where the text is no array.
func (a *JSONArray) Next() bool {
	if a.end || a.err != nil {
		return false
	}
	open := byte(',')
	if !a.begun {
		open = '['
	}
	a.at = SkipJSONSpace(a.b, a.at)
	if a.at < len(a.b) && a.begun && a.b[a.at] == ']' {
		a.at++
		a.end = true
		return false
	}
	if a.at >= len(a.b) || a.b[a.at] != open {
		a.err = errJSON
		return false
	}
	a.at = SkipJSONSpace(a.b, a.at+1)
	if !a.begun && a.at < len(a.b) && a.b[a.at] == ']' {
		a.at++
		a.end, a.begun = true, true
		return false
	}
	a.begun = true
	a.from = a.at
	if a.at = SkipJSON(a.b, a.at); a.at < 0 {
		a.err = errJSON
		return false
	}
	return true
}

// Value returns the element, valid as long as the text.
func (a *JSONArray) Value() []byte { return a.b[a.from:a.at:a.at] }

// Err returns what is wrong with the array, nil when its end was reached or may come.
func (a *JSONArray) Err() error { return a.err }

// SkipJSONSpace returns the index of the first byte from i on that is no white space.
func SkipJSONSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// SkipJSON returns the index behind the JSON value that begins at i, -1 when none does, or it nests deeper than values
// may. Of arrays and objects only strings and brackets are looked at.
func SkipJSON(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '[', '{':
	default:
		return skipPlain(b, i)
	}
	var stack [maxDepth + 2]byte
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = skipString(b, i); i < 0 {
				return -1
			}
			continue
		case '[', '{':
			if depth == len(stack) {
				return -1
			}
			stack[depth] = b[i] + 2 // the closing bracket
			depth++
		case ']', '}':
			depth--
			if stack[depth] != b[i] {
				return -1
			}
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return -1
}

// skipString returns the index behind the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := i
		for b[slashes-1] == '\\' {
			slashes--
		}
		if (i-slashes)%2 == 0 {
			return i + 1
		}
	}
}

// skipPlain returns the index behind the number or word that begins at i.
func skipPlain(b []byte, i int) int {
	from := i
	for i < len(b) {
		switch ch := b[i]; {
		case ch >= '0' && ch <= '9', ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch == '-', ch == '+', ch == '.':
			i++
			continue
		}
		break
	}
	if i == from {
		return -1
	}
	return i
}

// JSONGuess finds the type of values in Feast's JSON form of which nobody says what they are, as Feast's clients do. The
// zero value has seen none.
type JSONGuess struct{ own, elems jsonKinds }

// jsonKinds is a set of kinds of values.
type jsonKinds uint8

const (
	kindInt jsonKinds = 1 << iota
	kindFloat
	kindWord // a string that may stand for a float
	kindText
	kindBool
	kindMap
	kindList
	kindBad
)

func kindOfJSON(b []byte) jsonKinds {
	if len(b) == 0 {
		return kindBad
	}
	switch b[0] {
	case '"':
		if _, ok := jsonFloat(b); ok {
			return kindWord
		}
		return kindText
	case '[':
		return kindList
	case '{':
		return kindMap
	case 't', 'f':
		return kindBool
	case 'n':
		return 0
	}
	if _, ok := jsonInt(b); ok {
		return kindInt
	}
	return kindFloat
}

// Add adds a value.
func (g *JSONGuess) Add(b []byte) {
	k := kindOfJSON(b)
	g.own |= k
	if k != kindList {
		return
	}
	a := NewJSONArray(b)
	for a.Next() {
		if e := kindOfJSON(a.Value()); e != 0 {
			g.elems |= e
		} else {
			g.elems |= kindList // a null within a list is an inner list that is empty
		}
	}
	if a.Err() != nil {
		g.own |= kindBad
	}
}

// Type returns the type that all values have, or most of them may be stored beside; [Invalid] when there was no value but
// nulls, or they are no values.
func (g *JSONGuess) Type() Type {
	switch {
	case g.own == kindList:
		if t, ok := jsonLists[flat(g.elems)]; ok {
			return t
		}
		if g.elems&^(kindList|kindMap) == 0 {
			return ValueList
		}
	case g.own&kindBad == 0:
		return jsonTypes[flat(g.own)]
	}
	return Invalid
}

// flat leaves one kind where one can hold the others.
func flat(k jsonKinds) jsonKinds {
	switch {
	case k&kindFloat != 0 && k&^(kindInt|kindFloat|kindWord) == 0:
		return kindFloat
	case k&kindText != 0 && k&^(kindWord|kindText) == 0, k == kindWord:
		return kindText
	case k == kindInt|kindWord:
		return kindFloat
	}
	return k
}

var jsonTypes = map[jsonKinds]Type{
	kindInt: Int64, kindFloat: Float64, kindText: String, kindBool: Bool, kindMap: Map,
}

var jsonLists = map[jsonKinds]Type{
	0: ValueList, kindInt: Int64List, kindFloat: Float64List, kindText: StringList, kindBool: BoolList, kindMap: MapList,
}
