package definitions

import (
	"encoding/json"
	"strings"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// parseType reads a type as Feast's Python spells it: "Int64", "Array(Float32)", "Array(Array(Int64))",
// "Struct({city: String, zip: Int32})"; or by its number's name, "INT64". What a number cannot express is inner, see
// [registry.Field].
func parseType(s string) (t types.Type, inner string, ok bool) {
	if t, ok := types.ParseType(s); ok && t != types.Struct && t != types.StructList && t != types.ValueList && t != types.ValueSet ||
		!strings.Contains(s, "(") {
		return t, "", ok
	}
	outer, arg, _ := strings.Cut(s, "(")
	arg, ok = strings.CutSuffix(arg, ")")
	if !ok {
		return 0, "", false
	}
	if outer == "Struct" {
		inner, ok = parseMembers(arg)
		return types.Struct, inner, ok
	}
	element, members, ok := parseType(arg)
	switch {
	case s == types.ValueList.String(), s == types.ValueSet.String(), s == types.StructList.String():
		t, _ := types.ParseType(s)
		return t, "", true
	case !ok || outer != "Array" && outer != "Set":
		return 0, "", false
	case outer == "Array" && element == types.Struct:
		return types.StructList, members, true
	}
	inner, ok = innerName(s)
	if outer == "Set" {
		return types.ValueSet, inner, ok && (element.IsList() || element.IsSet())
	}
	return types.ValueList, inner, ok && (element.IsList() || element.IsSet())
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
	if outer, arg, ok := strings.Cut(s, "("); ok {
		arg, ok = strings.CutSuffix(arg, ")")
		name, known := innerName(arg)
		return outer + "(" + name + ")", ok && known && (outer == "Array" || outer == "Set")
	}
	t, ok := types.ParseType(s)
	if name := innerNames[t]; name != "" {
		return name, ok
	}
	return t.EnumName(), ok && isScalar(t)
}

// typeName is the inverse of innerName.
func typeName(s string) (string, bool) {
	if outer, arg, ok := strings.Cut(s, "("); ok {
		arg, ok = strings.CutSuffix(arg, ")")
		name, known := typeName(arg)
		return outer + "(" + name + ")", ok && known && (outer == "Array" || outer == "Set")
	}
	for t, name := range innerNames {
		if s == name {
			return t.String(), true
		}
	}
	t, ok := types.ParseType(s)
	return t.String(), ok && isScalar(t) && t.EnumName() == s
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
			f.fail(n, f.at("type"), "%q is not a type%s", s, nearTypes(s))
		}
	}
	f.text("inner", &v.Inner)
}
