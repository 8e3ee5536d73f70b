package definitions

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// maxNesting bounds how deep types nest: values stop there, too.
const maxNesting = 100

// parseType reads a type as Feast's Python spells it: "Int64", "Array(Float32)", "Array(Array(Int64))",
// "Struct({city: String, zip: Int32})"; or by its number's name, "INT64". What a number cannot express is inner, see
// [registry.Field].
func parseType(s string) (t types.Type, inner string, ok bool) {
	outer, arg, nested := strings.Cut(s, "(")
	arg, closed := strings.CutSuffix(arg, ")")
	switch {
	case !nested || !closed:
		t, ok = types.ParseType(s)
		return t, "", ok
	case outer == "Struct":
		inner, ok = parseMembers(arg)
		return types.Struct, inner, ok
	case outer == "Array" && strings.HasPrefix(arg, "Struct("):
		_, inner, ok = parseType(arg)
		return types.StructList, inner, ok
	}
	t, ok = types.ParseType(s)
	if ok && (t == types.ValueList || t == types.ValueSet) && s != t.String() {
		inner, ok = innerName(s)
	}
	return t, inner, ok
}

// formatType is the inverse of parseType. ok is false when the inner type is not spelled as Feast spells it.
func formatType(t types.Type, inner string) (s string, ok bool) {
	if inner == "" {
		return t.String(), true
	}
	switch t {
	case types.Struct:
		s, ok = formatMembers(inner)
		s = "Struct(" + s + ")"
	case types.StructList:
		s, ok = formatMembers(inner)
		s = "Array(Struct(" + s + "))"
	case types.ValueList, types.ValueSet:
		s, ok = typeName(inner)
	}
	if !ok {
		return "", false
	}
	again, text, ok := parseType(s)
	return s, ok && again == t && text == inner
}

// Feast's names of inner types are those of the numbers, but for these.
var innerNames = map[types.Type]string{types.Float64: "FLOAT64", types.Float32: "FLOAT32"}

// innerName turns the name of a type without members into what Feast writes for inner types: "Array(Int64)" into
// "Array(INT64)".
func innerName(s string) (string, bool) {
	start, end := core(s)
	t, ok := types.ParseType(s[start:end])
	name := innerNames[t]
	if name == "" {
		name = t.EnumName()
	}
	return s[:start] + name + s[end:], ok && isScalar(t) && depthOf(s) <= maxNesting
}

// typeName is the inverse of innerName.
func typeName(s string) (string, bool) {
	start, end := core(s)
	name := s[start:end]
	t, ok := types.ParseType(name)
	ok = ok && isScalar(t) && t.EnumName() == name
	for inner, feast := range innerNames {
		if name == feast {
			t, ok = inner, true
		}
	}
	return s[:start] + t.String() + s[end:], ok && depthOf(s) <= maxNesting
}

// core returns where in "Array(Set(Int64))" the innermost type stands. What is not closed as often as opened has none.
func core(s string) (start, end int) {
	end = len(s)
	for {
		outer, _, nested := strings.Cut(s[start:end], "(")
		if !nested || outer != "Array" && outer != "Set" || s[end-1] != ')' {
			return start, end
		}
		start, end = start+len(outer)+1, end-1
	}
}

// depthOf returns how many collections a type is nested in.
func depthOf(s string) int {
	depth := 0
	for {
		outer, arg, nested := strings.Cut(s, "(")
		if !nested || outer != "Array" && outer != "Set" {
			return depth
		}
		s, depth = arg, depth+1
	}
}

func isScalar(t types.Type) bool {
	switch t {
	case types.Struct, types.StructList, types.ValueList, types.ValueSet, types.MapList:
		return false
	}
	return t.Valid() && t.Elem() == types.Invalid
}

// parseMembers turns "{a: Int64, b: String}" into the JSON object that Feast keeps, {"a": "INT64", "b": "STRING"}.
func parseMembers(s string) (string, bool) {
	s, ok := strings.CutPrefix(strings.TrimSpace(s), "{")
	s, closed := strings.CutSuffix(s, "}")
	if !ok || !closed {
		return "", false
	}
	var members []string
	seen := map[string]bool{}
	for member := range strings.SplitSeq(s, ",") {
		name, typ, ok := strings.Cut(member, ":")
		name = strings.TrimSpace(name)
		if !ok || !isIdentifier(name) || seen[name] {
			return "", false
		}
		seen[name] = true
		if typ, ok = innerName(strings.TrimSpace(typ)); !ok {
			return "", false
		}
		members = append(members, `"`+name+`": "`+typ+`"`)
	}
	return "{" + strings.Join(members, ", ") + "}", true
}

// formatMembers is the inverse of parseMembers.
func formatMembers(inner string) (string, bool) {
	d := json.NewDecoder(strings.NewReader(inner))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	var members []string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", false
		}
		typ, err := d.Token()
		if err != nil {
			return "", false
		}
		text, isText := typ.(string)
		feast, ok := typeName(text)
		if !isText || !ok {
			return "", false
		}
		members = append(members, name.(string)+": "+feast)
	}
	return "{" + strings.Join(members, ", ") + "}", true
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// notType says why text is no type.
func notType(s string) string {
	const long = 100 // bytes; more would bury the message
	depth := depthOf(s)
	switch {
	case depth > maxNesting:
		return fmt.Sprintf("a type nested %d levels deep; types nest at most %d", depth, maxNesting)
	case len(s) > long:
		return fmt.Sprintf("%q... (%d bytes) is not a type", s[:long], len(s))
	}
	return fmt.Sprintf("%q is not a type%s", s, nearTypes(s))
}

// fieldType moves the type of a field. One that is declared must have a type; where names suffice, it may be absent.
func (f *form) fieldType(v *registry.Field, declared bool) {
	if f.read == nil {
		if !v.Type.Valid() {
			if declared || v.Type != types.Invalid {
				f.write.fail("field %q has type %s, which is not known", v.Name, v.Type)
			}
			if v.Inner != "" {
				f.write.fail("field %q has an inner type and no type", v.Name)
			}
			return
		}
		s, ok := formatType(v.Type, v.Inner)
		if ok {
			f.put("type", f.write.text(s))
			return
		}
		f.put("type", f.write.text(v.Type.String()))
		f.text("inner", &v.Inner)
		return
	}
	n := f.value("type")
	var s string
	switch {
	case n == nil && declared:
		f.fail(f.in, f.at("type"), "is required: Int64, String, Array(Float32), ...")
	case n != nil && f.string(n, f.at("type"), &s):
		var ok bool
		if v.Type, v.Inner, ok = parseType(s); !ok {
			f.fail(n, f.at("type"), "%s", notType(s))
		}
	}
	f.text("inner", &v.Inner)
}
