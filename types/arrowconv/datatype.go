// Package arrowconv converts between the columns of package types and Arrow arrays: [Array] and [RecordBatch] make Arrow of
// columns by Feast's type mapping, an [Importer] makes columns of any Arrow array by Feast's rules for native values.
//
// Neither direction allocates per value, nested types (maps, structs, lists of lists) apart.
package arrowconv

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Timestamp is the Arrow type of every timestamp that is answered: microseconds, UTC.
var Timestamp arrow.DataType = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

var (
	stringMap   = arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String)
	listsOfText = arrow.ListOf(arrow.ListOf(arrow.BinaryTypes.String))
)

// DataType returns the Arrow type of a Feast type, as Feast maps it. inner completes types that a number cannot express, in
// the words of registry.Field.Inner; without it a struct becomes a map of text, and a nested collection lists of text.
//
// Where Feast has no Arrow type: bytes of any kind are binary, scalar maps are JSON text, a type that is not known is null.
func DataType(t types.Type, inner string) (arrow.DataType, error) {
	switch t {
	case types.Bytes, types.PdfBytes, types.ImageBytes:
		return arrow.BinaryTypes.Binary, nil
	case types.String, types.UUID, types.TimeUUID, types.Decimal:
		return arrow.BinaryTypes.String, nil
	case types.JSON, types.ScalarMap:
		return arrow.BinaryTypes.LargeString, nil
	case types.Int32:
		return arrow.PrimitiveTypes.Int32, nil
	case types.Int64:
		return arrow.PrimitiveTypes.Int64, nil
	case types.Float32:
		return arrow.PrimitiveTypes.Float32, nil
	case types.Float64:
		return arrow.PrimitiveTypes.Float64, nil
	case types.Bool:
		return arrow.FixedWidthTypes.Boolean, nil
	case types.UnixTimestamp, types.ZonedTimestamp:
		return Timestamp, nil
	case types.Map:
		return stringMap, nil
	case types.Struct:
		if inner == "" {
			return stringMap, nil
		}
		return structType(inner)
	case types.ValueList, types.ValueSet:
		if inner == "" {
			return listsOfText, nil
		}
		return typeNamed(inner)
	}
	if elem := t.Elem(); elem != types.Invalid {
		of, err := DataType(elem, inner)
		if err != nil {
			return nil, err
		}
		return arrow.ListOf(of), nil
	}
	return arrow.Null, nil
}

// structType reads the members of a struct, a JSON object of names and type names, in its order.
func structType(inner string) (arrow.DataType, error) {
	bad := func() (arrow.DataType, error) {
		return nil, feasterr.Invalid("struct type %q is no JSON object of member names and type names", inner)
	}
	d := json.NewDecoder(strings.NewReader(inner))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad()
	}
	var fields []arrow.Field
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return bad()
		}
		var name string
		if err := d.Decode(&name); err != nil {
			return bad()
		}
		dt, err := typeNamed(name)
		if err != nil {
			return nil, err
		}
		fields = append(fields, arrow.Field{Name: key.(string), Type: dt, Nullable: true})
	}
	if _, err := d.Token(); err != nil {
		return bad()
	}
	return arrow.StructOf(fields...), nil
}

// typeNamed returns the Arrow type of a type name in Feast's words: "INT64", "Array(Array(INT64))",
// "Struct({a: Int64, b: Array(String)})".
func typeNamed(name string) (arrow.DataType, error) { return parseName(name, 0) }

const maxNesting = 32 // of type names, which come from the registry

func parseName(name string, depth int) (arrow.DataType, error) {
	outer, rest, nested := strings.Cut(name, "(")
	body, closed := strings.CutSuffix(rest, ")")
	switch {
	case depth > maxNesting:
		return nil, feasterr.Invalid("a type is nested deeper than %d levels", maxNesting)
	case nested && closed && (outer == "Array" || outer == "Set"):
		of, err := parseName(body, depth+1)
		if err != nil {
			return nil, err
		}
		return arrow.ListOf(of), nil
	case nested && closed && outer == "Struct" && strings.HasPrefix(body, "{") && strings.HasSuffix(body, "}"):
		var fields []arrow.Field
		for _, member := range splitMembers(body[1 : len(body)-1]) {
			key, typ, ok := strings.Cut(member, ":")
			if !ok {
				return nil, feasterr.Invalid("unknown type name %q", name)
			}
			dt, err := parseName(strings.TrimSpace(typ), depth+1)
			if err != nil {
				return nil, err
			}
			fields = append(fields, arrow.Field{Name: strings.TrimSpace(key), Type: dt, Nullable: true})
		}
		return arrow.StructOf(fields...), nil
	}
	switch name { // names of Feast's primitives that are not those of its value types
	case "FLOAT64":
		return arrow.PrimitiveTypes.Float64, nil
	case "FLOAT32":
		return arrow.PrimitiveTypes.Float32, nil
	}
	t, ok := types.ParseType(name)
	if !ok {
		return nil, feasterr.Invalid("unknown type name %q", name)
	}
	return DataType(t, "")
}

// splitMembers splits at the commas that stand outside of parentheses and braces.
func splitMembers(s string) []string {
	var members []string
	depth, start := 0, 0
	for i, ch := range []byte(s) {
		switch ch {
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case ',':
			if depth == 0 {
				members = append(members, s[start:i])
				start = i + 1
			}
		}
	}
	if strings.TrimSpace(s[start:]) != "" {
		members = append(members, s[start:])
	}
	return members
}

// TypeOf returns the type of an Arrow column that nobody declares, [types.Invalid] where there is none: whole numbers are
// Int64, other numbers Float64, as Feast infers them from native values.
func TypeOf(dt arrow.DataType) types.Type {
	switch dt.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return types.Int64
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return types.Float64
	case arrow.BOOL:
		return types.Bool
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return types.String
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.FIXED_SIZE_BINARY:
		return types.Bytes
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64:
		return types.UnixTimestamp
	case arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128, arrow.DECIMAL256:
		return types.Decimal
	case arrow.MAP, arrow.STRUCT:
		return types.Map
	case arrow.DICTIONARY:
		return TypeOf(dt.(*arrow.DictionaryType).ValueType)
	case arrow.EXTENSION:
		return TypeOf(dt.(arrow.ExtensionType).StorageType())
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.LIST_VIEW, arrow.LARGE_LIST_VIEW:
		elem := TypeOf(dt.(arrow.ListLikeType).Elem())
		switch {
		case elem == types.Map:
			return types.MapList
		case elem.Elem() != types.Invalid || elem == types.ValueList:
			return types.ValueList
		}
		for t := types.BytesList; t <= types.DecimalList; t++ {
			if t.Elem() == elem && t.IsList() {
				return t
			}
		}
	}
	return types.Invalid
}

// TypeText returns the name of an Arrow type as pyarrow writes it, which is what Feast infers types from:
// "list<item: float>", "timestamp[us, tz=UTC]". Types that Feast does not know are named as Arrow for Go does.
func TypeText(dt arrow.DataType) string {
	switch dt := dt.(type) {
	case *arrow.Float16Type:
		return "halffloat"
	case *arrow.Float32Type:
		return "float"
	case *arrow.Float64Type:
		return "double"
	case *arrow.StringType:
		return "string"
	case *arrow.LargeStringType:
		return "large_string"
	case *arrow.FixedSizeBinaryType:
		return fmt.Sprintf("fixed_size_binary[%d]", dt.ByteWidth)
	case *arrow.Date32Type:
		return "date32[day]"
	case *arrow.Date64Type:
		return "date64[ms]"
	case *arrow.Decimal128Type:
		return fmt.Sprintf("decimal128(%d, %d)", dt.Precision, dt.Scale)
	case *arrow.Decimal256Type:
		return fmt.Sprintf("decimal256(%d, %d)", dt.Precision, dt.Scale)
	case *arrow.TimestampType:
		if dt.TimeZone != "" {
			return fmt.Sprintf("timestamp[%s, tz=%s]", dt.Unit, dt.TimeZone)
		}
		return fmt.Sprintf("timestamp[%s]", dt.Unit)
	case *arrow.ListType:
		return "list<" + fieldText(dt.ElemField()) + ">"
	case *arrow.LargeListType:
		return "large_list<" + fieldText(dt.ElemField()) + ">"
	case *arrow.FixedSizeListType:
		return fmt.Sprintf("fixed_size_list<%s>[%d]", fieldText(dt.ElemField()), dt.Len())
	case *arrow.MapType:
		return "map<" + TypeText(dt.KeyType()) + ", " + TypeText(dt.ItemType()) + ">"
	case *arrow.StructType:
		var members []string
		for _, f := range dt.Fields() {
			members = append(members, fieldText(f))
		}
		return "struct<" + strings.Join(members, ", ") + ">"
	case *arrow.DictionaryType:
		ordered := 0
		if dt.Ordered {
			ordered = 1
		}
		return fmt.Sprintf("dictionary<values=%s, indices=%s, ordered=%d>", TypeText(dt.ValueType), TypeText(dt.IndexType), ordered)
	}
	return dt.String()
}

func fieldText(f arrow.Field) string {
	text := f.Name + ": " + TypeText(f.Type)
	if !f.Nullable {
		text += " not null"
	}
	return text
}
