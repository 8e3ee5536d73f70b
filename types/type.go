// Package types holds Feast's value types, typed columns with a status per cell, and the codec of stored values
// (the feast.types.Value message, read and written without building a message). It knows neither Arrow nor
// protobuf libraries.
package types

import (
	"strconv"
	"strings"
)

// Type is a feature's value type. The numbers are those of feast.types.ValueType.Enum, which the registry stores.
type Type uint8

// The value types.
const (
	Invalid           Type = 0
	Bytes             Type = 1
	String            Type = 2
	Int32             Type = 3
	Int64             Type = 4
	Float64           Type = 5 // DOUBLE
	Float32           Type = 6 // FLOAT
	Bool              Type = 7
	UnixTimestamp     Type = 8
	BytesList         Type = 11
	StringList        Type = 12
	Int32List         Type = 13
	Int64List         Type = 14
	Float64List       Type = 15
	Float32List       Type = 16
	BoolList          Type = 17
	UnixTimestampList Type = 18
	Null              Type = 19
	Map               Type = 20
	MapList           Type = 21
	BytesSet          Type = 22
	StringSet         Type = 23
	Int32Set          Type = 24
	Int64Set          Type = 25
	Float64Set        Type = 26
	Float32Set        Type = 27
	BoolSet           Type = 28
	UnixTimestampSet  Type = 29
	PdfBytes          Type = 30 // stored as bytes_val
	ImageBytes        Type = 31 // stored as bytes_val
	JSON              Type = 32
	JSONList          Type = 33
	Struct            Type = 34
	StructList        Type = 35
	UUID              Type = 36
	TimeUUID          Type = 37
	UUIDList          Type = 38
	TimeUUIDList      Type = 39
	UUIDSet           Type = 40
	TimeUUIDSet       Type = 41
	ValueList         Type = 42 // list of lists or sets
	ValueSet          Type = 43 // set of lists or sets
	Decimal           Type = 44
	DecimalList       Type = 45
	DecimalSet        Type = 46
	ScalarMap         Type = 47
	ZonedTimestamp    Type = 48

	maxType = ZonedTimestamp
)

// typeInfo is what there is to know about a type; all zero for numbers that are no type.
type typeInfo struct {
	enum  string // name of the ValueType number, "INT64_LIST"
	feast string // name of the Feast type, "Array(Int64)"
	field string // oneof member of feast.types.Value, "int64_list_val"
	tag   uint8  // number of that member
	elem  Type   // element type of a list or set, else Invalid
	store store  // how a column keeps it
}

// infos has an entry for every number a Type can hold, so that no number from outside can miss it.
var infos = [256]typeInfo{
	Invalid:           {"UNKNOWN", "Invalid", "", 0, 0, storeRaw},
	Bytes:             {"BYTES", "Bytes", "bytes_val", 1, 0, storeBytes},
	String:            {"STRING", "String", "string_val", 2, 0, storeBytes},
	Int32:             {"INT32", "Int32", "int32_val", 3, 0, storeInt32},
	Int64:             {"INT64", "Int64", "int64_val", 4, 0, storeInt64},
	Float64:           {"DOUBLE", "Float64", "double_val", 5, 0, storeFloat64},
	Float32:           {"FLOAT", "Float32", "float_val", 6, 0, storeFloat32},
	Bool:              {"BOOL", "Bool", "bool_val", 7, 0, storeBool},
	UnixTimestamp:     {"UNIX_TIMESTAMP", "UnixTimestamp", "unix_timestamp_val", 8, 0, storeInt64},
	BytesList:         {"BYTES_LIST", "Array(Bytes)", "bytes_list_val", 11, Bytes, storeList},
	StringList:        {"STRING_LIST", "Array(String)", "string_list_val", 12, String, storeList},
	Int32List:         {"INT32_LIST", "Array(Int32)", "int32_list_val", 13, Int32, storeList},
	Int64List:         {"INT64_LIST", "Array(Int64)", "int64_list_val", 14, Int64, storeList},
	Float64List:       {"DOUBLE_LIST", "Array(Float64)", "double_list_val", 15, Float64, storeList},
	Float32List:       {"FLOAT_LIST", "Array(Float32)", "float_list_val", 16, Float32, storeList},
	BoolList:          {"BOOL_LIST", "Array(Bool)", "bool_list_val", 17, Bool, storeList},
	UnixTimestampList: {"UNIX_TIMESTAMP_LIST", "Array(UnixTimestamp)", "unix_timestamp_list_val", 18, UnixTimestamp, storeList},
	Null:              {"NULL", "Null", "null_val", 19, 0, storeRaw},
	Map:               {"MAP", "Map", "map_val", 20, 0, storeRaw},
	MapList:           {"MAP_LIST", "Array(Map)", "map_list_val", 21, Map, storeRaw},
	BytesSet:          {"BYTES_SET", "Set(Bytes)", "bytes_set_val", 22, Bytes, storeList},
	StringSet:         {"STRING_SET", "Set(String)", "string_set_val", 23, String, storeList},
	Int32Set:          {"INT32_SET", "Set(Int32)", "int32_set_val", 24, Int32, storeList},
	Int64Set:          {"INT64_SET", "Set(Int64)", "int64_set_val", 25, Int64, storeList},
	Float64Set:        {"DOUBLE_SET", "Set(Float64)", "double_set_val", 26, Float64, storeList},
	Float32Set:        {"FLOAT_SET", "Set(Float32)", "float_set_val", 27, Float32, storeList},
	BoolSet:           {"BOOL_SET", "Set(Bool)", "bool_set_val", 28, Bool, storeList},
	UnixTimestampSet:  {"UNIX_TIMESTAMP_SET", "Set(UnixTimestamp)", "unix_timestamp_set_val", 29, UnixTimestamp, storeList},
	PdfBytes:          {"PDF_BYTES", "PdfBytes", "bytes_val", 1, 0, storeBytes},
	ImageBytes:        {"IMAGE_BYTES", "ImageBytes", "bytes_val", 1, 0, storeBytes},
	JSON:              {"JSON", "Json", "json_val", 32, 0, storeBytes},
	JSONList:          {"JSON_LIST", "Array(Json)", "json_list_val", 33, JSON, storeList},
	Struct:            {"STRUCT", "Struct", "struct_val", 34, 0, storeRaw},
	StructList:        {"STRUCT_LIST", "Array(Struct)", "struct_list_val", 35, Struct, storeRaw},
	UUID:              {"UUID", "Uuid", "uuid_val", 36, 0, storeBytes},
	TimeUUID:          {"TIME_UUID", "TimeUuid", "time_uuid_val", 37, 0, storeBytes},
	UUIDList:          {"UUID_LIST", "Array(Uuid)", "uuid_list_val", 38, UUID, storeList},
	TimeUUIDList:      {"TIME_UUID_LIST", "Array(TimeUuid)", "time_uuid_list_val", 39, TimeUUID, storeList},
	UUIDSet:           {"UUID_SET", "Set(Uuid)", "uuid_set_val", 40, UUID, storeList},
	TimeUUIDSet:       {"TIME_UUID_SET", "Set(TimeUuid)", "time_uuid_set_val", 41, TimeUUID, storeList},
	ValueList:         {"VALUE_LIST", "Array(Array)", "list_val", 42, 0, storeRaw},
	ValueSet:          {"VALUE_SET", "Set(Array)", "set_val", 43, 0, storeRaw},
	Decimal:           {"DECIMAL", "Decimal", "decimal_val", 44, 0, storeBytes},
	DecimalList:       {"DECIMAL_LIST", "Array(Decimal)", "decimal_list_val", 45, Decimal, storeList},
	DecimalSet:        {"DECIMAL_SET", "Set(Decimal)", "decimal_set_val", 46, Decimal, storeList},
	ScalarMap:         {"SCALAR_MAP", "ScalarMap", "scalar_map_val", 47, 0, storeRaw},
	ZonedTimestamp:    {"ZONED_TIMESTAMP", "ZonedTimestamp", "zoned_timestamp_val", 48, 0, storeRaw},
}

// store is how a column keeps the cells of a type.
type store uint8

const (
	storeRaw     store = iota // stored Value bytes, decoded on demand
	storeInt32                // int32
	storeInt64                // int64; unix timestamps in seconds
	storeFloat32              // float32
	storeFloat64              // float64
	storeBool                 // bool
	storeBytes                // bytes of a string-like scalar
	storeList                 // elements of a list or set
)

// Valid reports whether t is one of the types above, [Invalid] excluded.
func (t Type) Valid() bool { return infos[t].tag != 0 }

// String returns Feast's name of the type: "Int64", "Array(Float32)". Inner types that only the registry knows are left
// out: "Struct", "Array(Array)".
func (t Type) String() string {
	if infos[t].feast == "" {
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
	return infos[t].feast
}

// EnumName returns the name of the ValueType number: "INT64", "FLOAT_LIST".
func (t Type) EnumName() string {
	if infos[t].enum == "" {
		return strconv.Itoa(int(t))
	}
	return infos[t].enum
}

// ValueField returns the name of the member of feast.types.Value that carries the type, "" for [Invalid].
func (t Type) ValueField() string { return infos[t].field }

// Elem returns the element type of a list or set, [Invalid] for any other type and for nested collections.
func (t Type) Elem() Type { return infos[t].elem }

// IsSet reports whether t is a set.
func (t Type) IsSet() bool {
	return t >= BytesSet && t <= UnixTimestampSet || t == UUIDSet || t == TimeUUIDSet || t == DecimalSet || t == ValueSet
}

// IsList reports whether t is a list.
func (t Type) IsList() bool { return t.Elem() != Invalid && !t.IsSet() || t == ValueList }

// Numeric reports whether cells of the type are numbers, booleans or timestamps: what [Column.Or] can read.
func (t Type) Numeric() bool {
	s := infos[t].store
	return s >= storeInt32 && s <= storeBool
}

// isBytes reports whether t is bytes and not text.
func (t Type) isBytes() bool { return infos[t].tag == uint8(Bytes) }

// ParseType returns the type with the given Feast name ("Int64", "Array(String)", "Struct({a: Int64})") or ValueType
// name ("INT64", "STRING_LIST"). Types nest at most 100 levels deep, as values do.
func ParseType(name string) (Type, bool) { return parseType(name, 0) }

func parseType(name string, depth int) (Type, bool) {
	if depth == maxDepth {
		return Invalid, false
	}
	if t, ok := byName[name]; ok {
		return t, true
	}
	outer, inner, ok := strings.Cut(strings.TrimSuffix(name, ")"), "(")
	if !ok || !strings.HasSuffix(name, ")") {
		return Invalid, false
	}
	if outer == "Struct" {
		if strings.HasPrefix(inner, "{") && strings.HasSuffix(inner, "}") {
			return Struct, true
		}
		return Invalid, false
	}
	if outer != "Array" && outer != "Set" {
		return Invalid, false
	}
	t, _ := parseType(inner, depth+1)
	switch {
	case outer == "Array" && t == Struct:
		return StructList, true
	case !t.IsList() && !t.IsSet():
		return Invalid, false
	case outer == "Set":
		return ValueSet, true
	}
	return ValueList, true
}

var byName = func() map[string]Type {
	m := make(map[string]Type, 2*maxType)
	for t := range maxType + 1 {
		if t.Valid() {
			m[infos[t].enum], m[infos[t].feast] = t, t
		}
	}
	return m
}()

// Field is a named, typed column.
type Field struct {
	Name string
	Type Type
}
