package registry

import (
	"encoding/json"
	"strings"

	"github.com/feastgo/feast/internal/protos/feast/core"
	pbtypes "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/types"
)

// Field is a named, typed column of a view or of request data.
type Field struct {
	Name        string
	Type        types.Type
	Description string
	Tags        map[string]string

	// Inner completes the types that a number cannot express, in Feast's words: for types.Struct and
	// types.StructList a JSON object of member names and type names, {"a": "INT64"}; for types.ValueList and
	// types.ValueSet the nested type, "Array(Array(INT64))". Empty for all other types.
	Inner string

	VectorIndex        bool
	VectorLength       int
	VectorSearchMetric string
}

// Feast keeps Field.Inner in these tags and hides them.
const (
	structSchemaTag = "feast:struct_schema"
	nestedTypeTag   = "feast:nested_inner_type"
)

// innerTag returns the tag that keeps Inner of a field of type t, "" when such a field has none.
func innerTag(t types.Type) string {
	switch t {
	case types.Struct, types.StructList:
		return structSchemaTag
	case types.ValueList, types.ValueSet:
		return nestedTypeTag
	}
	return ""
}

// innerExample returns an Inner of a field of type t, "" when such a field has none.
func innerExample(t types.Type) string {
	switch t {
	case types.Struct, types.StructList:
		return `{"a": "INT64", "b": "Array(STRING)"}`
	case types.ValueList:
		return `"Array(Array(INT64))"`
	case types.ValueSet:
		return `"Set(Array(INT64))"`
	}
	return ""
}

// validInner reports whether Feast reads Inner of a field of type t as such a type. Where it cannot read one, it can list
// no view of the project.
func validInner(t types.Type, inner string) bool {
	if innerTag(t) == structSchemaTag {
		return validMembers([]byte(inner))
	}
	outer, ok := innerType(inner)
	if arg := strings.TrimSuffix(inner[strings.IndexByte(inner, '(')+1:], ")"); ok && outer == t {
		element, _ := innerType(arg)
		return element == types.ValueList || element == types.ValueSet
	}
	return false
}

// validMembers reports whether a JSON object has the names and types of members of a struct, and at least one.
func validMembers(object []byte) bool {
	var members map[string]string
	if json.Unmarshal(object, &members) != nil || len(members) == 0 {
		return false
	}
	for _, name := range members {
		if _, ok := innerType(name); !ok {
			return false
		}
	}
	return true
}

// innerType reads a type as Feast spells it within others: a list as types.ValueList whatever its elements are, and a
// set as types.ValueSet.
func innerType(s string) (types.Type, bool) {
	const deepest = 100 // Python's recursion has a limit, too
	if strings.Count(s, "(") > deepest {
		return types.Invalid, false
	}
	if arg, ok := argument(s, "Array("); ok {
		element, ok := innerType(arg)
		return types.ValueList, ok && element != types.ScalarMap && element != types.ZonedTimestamp
	}
	if arg, ok := argument(s, "Set("); ok {
		element, ok := innerType(arg)
		switch element {
		case types.ScalarMap, types.ZonedTimestamp, types.Map, types.Struct:
			ok = false
		}
		return types.ValueSet, ok
	}
	if strings.HasPrefix(s, "{") {
		var object map[string]json.RawMessage
		err := json.Unmarshal([]byte(s), &object)
		return types.Struct, err == nil && validMembers(object["__struct__"])
	}
	t, ok := innerNames[s]
	return t, ok
}

func argument(s, outer string) (string, bool) {
	s, opened := strings.CutPrefix(s, outer)
	s, closed := strings.CutSuffix(s, ")")
	return s, opened && closed
}

// innerNames are Feast's names of types within others, which are those of the numbers but for two.
var innerNames = func() map[string]types.Type {
	names := map[string]types.Type{"FLOAT64": types.Float64, "FLOAT32": types.Float32}
	for _, t := range []types.Type{
		types.Bytes, types.String, types.Int32, types.Int64, types.Bool, types.UnixTimestamp, types.PdfBytes,
		types.ImageBytes, types.Map, types.JSON, types.UUID, types.TimeUUID, types.Decimal, types.ScalarMap,
		types.ZonedTimestamp,
	} {
		names[t.EnumName()] = t
	}
	return names
}()

func fieldName(f *Field) string { return f.Name }

func moveField(c *codec, f *Field, pb *core.FeatureSpecV2) {
	move(c, &f.Name, &pb.Name)
	moveType(c, &f.Type, &pb.ValueType)
	move(c, &f.Description, &pb.Description)
	pairs(c, &f.Tags, &pb.Tags, structSchemaTag, nestedTypeTag)
	move(c, &f.VectorIndex, &pb.VectorIndex)
	number(c, &f.VectorLength, &pb.VectorLength)
	move(c, &f.VectorSearchMetric, &pb.VectorSearchMetric)
	switch tag := innerTag(f.Type); {
	case tag == "" && f.Inner != "":
		c.fail("field %q: a field of type %s has no inner type, so Inner must be empty", f.Name, f.Type)
	case tag == "":
	case !c.write:
		f.Inner = pb.Tags[tag]
	case f.Inner != pb.Tags[tag]:
		setPair(&pb.Tags, tag, f.Inner)
	}
}

func moveFields(c *codec, v *[]Field, pb *[]*core.FeatureSpecV2) {
	list(c, v, pb, fieldName, moveField)
}

// moveType moves a value type. A number beyond this library's types reads as types.Invalid and stays in the message.
func moveType(c *codec, v *types.Type, pb *pbtypes.ValueType_Enum) {
	stored := types.Invalid
	if t := types.Type(*pb); pbtypes.ValueType_Enum(t) == *pb && t.Valid() {
		stored = t
	}
	if !c.write {
		*v = stored
	} else if *v != stored {
		*pb = pbtypes.ValueType_Enum(*v)
	}
}

// moveEntities moves entity names and entity columns. A view without entities has the placeholder in the message and
// nothing here.
func moveEntities(c *codec, names *[]string, columns *[]Field, pbNames *[]string, pbColumns *[]*core.FeatureSpecV2) {
	none := len(*pbNames) == 0 || len(*pbNames) == 1 && (*pbNames)[0] == DummyEntity
	switch {
	case !none && !c.write, len(*names) > 0 && c.write:
		texts(c, names, pbNames)
		moveFields(c, columns, pbColumns)
	case c.write && (!none || c.fresh):
		*pbNames, *pbColumns = []string{DummyEntity}, []*core.FeatureSpecV2{dummyColumn()}
	case !c.write:
		*names, *columns = nil, nil
	}
}

func dummyColumn() *core.FeatureSpecV2 {
	return &core.FeatureSpecV2{Name: DummyJoinKey, ValueType: pbtypes.ValueType_STRING}
}
