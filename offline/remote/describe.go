package remote

import (
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/offline"
)

// sourceJSON is the message of a data source as text.
func sourceJSON(src *offline.Source) (string, error) {
	if len(src.Definition) == 0 {
		return "", feasterr.Unsupported("the definition of data source %q is not known: the offline server needs it to tell the columns", src.Name)
	}
	var m core.DataSource
	if err := proto.Unmarshal(src.Definition, &m); err != nil {
		return "", feasterr.Invalid("data source %q: %w", src.Name, err)
	}
	if m.GetType() == core.DataSource_BATCH_FILE {
		m.DataSourceClassType = "" // which the registry adds, and Feast's client does not send
	}
	b, err := protojson.MarshalOptions{Multiline: true, Indent: "  "}.Marshal(&m)
	return string(b), err
}

// readColumns makes a schema of a table of names and types.
func readColumns(r array.RecordReader) (*arrow.Schema, error) {
	texts := func(b arrow.RecordBatch, column string) (*array.String, error) {
		if at := b.Schema().FieldIndices(column); len(at) == 1 {
			if a, ok := b.Column(at[0]).(*array.String); ok {
				return a, nil
			}
		}
		return nil, feasterr.Invalid("the offline server described columns without the texts %q", column)
	}
	var fields []arrow.Field
	for r.Next() {
		names, err := texts(r.RecordBatch(), "name")
		if err != nil {
			return nil, err
		}
		types, err := texts(r.RecordBatch(), "type")
		if err != nil {
			return nil, err
		}
		for i := range names.Len() {
			dt, ok := parseType(types.Value(i))
			if !ok {
				return nil, feasterr.Unsupported("column %q: the offline server says that it is %q, which is no known type", names.Value(i), types.Value(i))
			}
			fields = append(fields, arrow.Field{Name: strings.Clone(names.Value(i)), Type: dt, Nullable: true})
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return arrow.NewSchema(fields, nil), nil
}

// types are those that a word names: by Arrow's names, which Feast's file sources have, and by those of SQL.
var types = map[string]arrow.DataType{
	"null": arrow.Null, "bool": arrow.FixedWidthTypes.Boolean,
	"int8": arrow.PrimitiveTypes.Int8, "int16": arrow.PrimitiveTypes.Int16, "int32": arrow.PrimitiveTypes.Int32, "int64": arrow.PrimitiveTypes.Int64,
	"uint8": arrow.PrimitiveTypes.Uint8, "uint16": arrow.PrimitiveTypes.Uint16, "uint32": arrow.PrimitiveTypes.Uint32, "uint64": arrow.PrimitiveTypes.Uint64,
	"halffloat": arrow.FixedWidthTypes.Float16, "float": arrow.PrimitiveTypes.Float32, "double": arrow.PrimitiveTypes.Float64,
	"string": arrow.BinaryTypes.String, "large_string": arrow.BinaryTypes.LargeString, "string_view": arrow.BinaryTypes.String,
	"binary": arrow.BinaryTypes.Binary, "large_binary": arrow.BinaryTypes.LargeBinary,
	"date32[day]": arrow.FixedWidthTypes.Date32, "date64[ms]": arrow.FixedWidthTypes.Date64,
	"time32[s]": arrow.FixedWidthTypes.Time32s, "time32[ms]": arrow.FixedWidthTypes.Time32ms,
	"time64[us]": arrow.FixedWidthTypes.Time64us, "time64[ns]": arrow.FixedWidthTypes.Time64ns,

	"boolean": arrow.FixedWidthTypes.Boolean, "smallint": arrow.PrimitiveTypes.Int32, "integer": arrow.PrimitiveTypes.Int32, "int": arrow.PrimitiveTypes.Int32,
	"bigint": arrow.PrimitiveTypes.Int64, "real": arrow.PrimitiveTypes.Float32, "double precision": arrow.PrimitiveTypes.Float64,
	"numeric": arrow.PrimitiveTypes.Float64, "text": arrow.BinaryTypes.String, "char": arrow.BinaryTypes.String, "varchar": arrow.BinaryTypes.String,
	"character varying": arrow.BinaryTypes.String, "bytea": arrow.BinaryTypes.Binary, "uuid": arrow.BinaryTypes.String,
	"date": arrow.FixedWidthTypes.Date32, "timestamp": &arrow.TimestampType{Unit: arrow.Microsecond},
	"timestamp without time zone": &arrow.TimestampType{Unit: arrow.Microsecond},
	"timestamptz":                 &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	"timestamp with time zone":    &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
}

var units = map[string]arrow.TimeUnit{"s": arrow.Second, "ms": arrow.Millisecond, "us": arrow.Microsecond, "ns": arrow.Nanosecond}

// maxNesting bounds the depth of types.
const maxNesting = 32

// parseType reads a type as pyarrow writes it, see [arrowconv.TypeText].
func parseType(text string) (arrow.DataType, bool) { return parseNested(text, maxNesting) }

func parseNested(text string, depth int) (arrow.DataType, bool) {
	if dt, ok := types[text]; ok {
		return dt, true
	}
	if depth == 0 {
		return nil, false
	}
	if in, ok := within(text, "timestamp[", "]"); ok {
		word, zone, _ := strings.Cut(in, ", tz=")
		unit, ok := units[word]
		return &arrow.TimestampType{Unit: unit, TimeZone: zone}, ok
	}
	if in, ok := within(text, "duration[", "]"); ok {
		unit, ok := units[in]
		return &arrow.DurationType{Unit: unit}, ok
	}
	if in, ok := within(text, "fixed_size_binary[", "]"); ok {
		n, err := strconv.Atoi(in)
		return &arrow.FixedSizeBinaryType{ByteWidth: n}, err == nil && n > 0
	}
	for _, prefix := range []string{"decimal128(", "decimal256("} {
		if in, ok := within(text, prefix, ")"); ok {
			p, s, _ := strings.Cut(in, ", ")
			precision, perr := strconv.ParseInt(p, 10, 32)
			scale, serr := strconv.ParseInt(s, 10, 32)
			if perr != nil || serr != nil || precision < 1 || precision > 76 || prefix == "decimal128(" && precision > 38 {
				return nil, false
			}
			if prefix == "decimal128(" {
				return &arrow.Decimal128Type{Precision: int32(precision), Scale: int32(scale)}, true
			}
			return &arrow.Decimal256Type{Precision: int32(precision), Scale: int32(scale)}, true
		}
	}
	if in, ok := within(text, "list<", ">"); ok {
		f, ok := parseField(in, depth)
		if !ok {
			return nil, false
		}
		f.Name = "item"
		return arrow.ListOfField(f), true
	}
	if in, ok := within(text, "large_list<", ">"); ok {
		f, ok := parseField(in, depth)
		if !ok {
			return nil, false
		}
		f.Name = "item"
		return arrow.LargeListOfField(f), true
	}
	if in, ok := within(text, "map<", ">"); ok {
		parts := split(in)
		if len(parts) < 2 {
			return nil, false
		}
		k, kok := parseNested(parts[0], depth-1)
		v, vok := parseNested(parts[1], depth-1)
		if !kok || !vok {
			return nil, false
		}
		return arrow.MapOf(k, v), true
	}
	if in, ok := within(text, "struct<", ">"); ok {
		var fields []arrow.Field
		for _, part := range split(in) {
			f, ok := parseField(part, depth)
			if !ok || slices.ContainsFunc(fields, func(o arrow.Field) bool { return o.Name == f.Name }) {
				return nil, false
			}
			fields = append(fields, f)
		}
		return arrow.StructOf(fields...), true
	}
	return nil, false
}

func within(text, prefix, suffix string) (string, bool) {
	in, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(in, suffix)
}

// parseField reads "name: type", or "name: type not null".
func parseField(text string, depth int) (arrow.Field, bool) {
	name, typ, ok := strings.Cut(text, ": ")
	if !ok {
		return arrow.Field{}, false
	}
	typ, required := strings.CutSuffix(typ, " not null")
	dt, ok := parseNested(typ, depth-1)
	return arrow.Field{Name: name, Type: dt, Nullable: !required}, ok
}

// split divides a list at its commas, those within brackets apart.
func split(text string) (parts []string) {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '<', '(', '[':
			depth++
		case '>', ')', ']':
			depth--
		case ',':
			if depth == 0 && strings.HasPrefix(text[i:], ", ") {
				parts = append(parts, text[from:i])
				from = i + 2
			}
		}
	}
	return append(parts, text[from:])
}
