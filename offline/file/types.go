package file

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/feastgo/feast/feasterr"
)

// form is how the values of a leaf are held between page and Arrow array.
type form uint8

const (
	formNull  form = iota // no values at all
	formBool              // a byte each
	formFixed             // width bytes each, as in the page
	formText              // strings
)

// Times are numbers of a unit since 1970, UTC. A unit is its length in nanoseconds.
const (
	second      int64 = 1e9
	millisecond int64 = 1e6
	microsecond int64 = 1e3
	nanosecond  int64 = 1
)

// clock is what makes instants of the values of a leaf: value * scale units. The zero clock belongs to no time.
type clock struct {
	unit  int64
	scale int64
	int96 bool // days and nanoseconds of a day, in nanoseconds together
}

func (c clock) isTime() bool { return c.unit != 0 }

// leafType is the type of a leaf of a file's schema.
type leafType struct {
	form    form
	width   int            // of formFixed, in bytes
	typ     arrow.DataType // in results
	own     arrow.DataType // as the file has it: timestamps keep their unit and zone
	clock   clock          // of timestamps and dates
	integer bool           // of decimals: integers, not big-endian bytes
	uuid    bool           // of 16 bytes: they are a UUID
	large   bool           // of texts: Arrow's readers make them large_string, which Feast infers JSON from
}

var resultTime = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

func typeOfLeaf(el *format.SchemaElement, hint arrow.DataType) (leafType, error) {
	switch el.Type.V {
	case format.Boolean:
		return plain(formBool, 1, arrow.FixedWidthTypes.Boolean), nil
	case format.Float:
		return plain(formFixed, 4, arrow.PrimitiveTypes.Float32), nil
	case format.Double:
		return plain(formFixed, 8, arrow.PrimitiveTypes.Float64), nil
	case format.Int96:
		return timestamp(clock{unit: nanosecond, scale: 1, int96: true}, 12, false, hint), nil
	case format.Int32:
		return typeOfInt32(el)
	case format.Int64:
		return typeOfInt64(el, hint)
	case format.ByteArray:
		switch logical := logicalType(el).(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			t := plain(formText, 0, arrow.BinaryTypes.String)
			t.large = hint != nil && hint.ID() == arrow.LARGE_STRING
			return t, nil
		case *format.DecimalType:
			return decimalType(logical, formText, 0, false)
		}
		return plain(formText, 0, arrow.BinaryTypes.Binary), nil
	case format.FixedLenByteArray:
		width := int(el.TypeLength.V)
		switch logical := logicalType(el).(type) {
		case *format.DecimalType:
			return decimalType(logical, formFixed, width, false)
		case *format.Float16Type:
			if width == 2 {
				return plain(formFixed, 2, arrow.FixedWidthTypes.Float16), nil
			}
		}
		if _, ok := logicalType(el).(*format.UUIDType); ok && width == 16 {
			t := plain(formFixed, width, &arrow.FixedSizeBinaryType{ByteWidth: width})
			t.uuid = true
			return t, nil
		}
		if width <= 0 {
			return leafType{}, feasterr.Invalid("fixed-length bytes of length %d", width)
		}
		return plain(formFixed, width, &arrow.FixedSizeBinaryType{ByteWidth: width}), nil
	}
	return leafType{}, feasterr.Unsupported("type %s of Parquet is not known", el.Type.V)
}

func plain(f form, width int, t arrow.DataType) leafType {
	return leafType{form: f, width: width, typ: t, own: t}
}

func typeOfInt32(el *format.SchemaElement) (leafType, error) {
	switch logical := logicalType(el).(type) {
	case *format.NullType:
		return plain(formNull, 0, arrow.Null), nil
	case *format.DateType:
		t := plain(formFixed, 4, arrow.FixedWidthTypes.Date32)
		t.clock = clock{unit: second, scale: 86400}
		return t, nil
	case *format.TimeType:
		return plain(formFixed, 4, arrow.FixedWidthTypes.Time32ms), nil
	case *format.DecimalType:
		return decimalType(logical, formFixed, 4, true)
	case *format.IntType:
		types := map[format.IntType]arrow.DataType{
			{BitWidth: 8, IsSigned: true}: arrow.PrimitiveTypes.Int8, {BitWidth: 16, IsSigned: true}: arrow.PrimitiveTypes.Int16,
			{BitWidth: 8}: arrow.PrimitiveTypes.Uint8, {BitWidth: 16}: arrow.PrimitiveTypes.Uint16, {BitWidth: 32}: arrow.PrimitiveTypes.Uint32,
		}
		if t, ok := types[*logical]; ok {
			return plain(formFixed, 4, t), nil
		}
	}
	return plain(formFixed, 4, arrow.PrimitiveTypes.Int32), nil
}

func typeOfInt64(el *format.SchemaElement, hint arrow.DataType) (leafType, error) {
	switch logical := logicalType(el).(type) {
	case *format.TimestampType:
		c := clock{unit: microsecond, scale: 1}
		switch logical.Unit.Value.(type) {
		case *format.MilliSeconds:
			c.unit = millisecond
		case *format.NanoSeconds:
			c.unit = nanosecond
		}
		return timestamp(c, 8, logical.IsAdjustedToUTC, hint), nil
	case *format.TimeType:
		if _, nanos := logical.Unit.Value.(*format.NanoSeconds); nanos {
			return plain(formFixed, 8, arrow.FixedWidthTypes.Time64ns), nil
		}
		return plain(formFixed, 8, arrow.FixedWidthTypes.Time64us), nil
	case *format.DecimalType:
		return decimalType(logical, formFixed, 8, true)
	case *format.IntType:
		if !logical.IsSigned {
			return plain(formFixed, 8, arrow.PrimitiveTypes.Uint64), nil
		}
	}
	if duration, ok := hint.(*arrow.DurationType); ok {
		return plain(formFixed, 8, duration), nil
	}
	return plain(formFixed, 8, arrow.PrimitiveTypes.Int64), nil
}

// timestamp is the type of a leaf of instants. The name of their zone is only in the Arrow schema, if the file has one.
func timestamp(c clock, width int, utc bool, hint arrow.DataType) leafType {
	own := &arrow.TimestampType{Unit: map[int64]arrow.TimeUnit{
		millisecond: arrow.Millisecond, microsecond: arrow.Microsecond, nanosecond: arrow.Nanosecond,
	}[c.unit]}
	if utc {
		own.TimeZone = "UTC"
		if t, ok := hint.(*arrow.TimestampType); ok && t.TimeZone != "" {
			own.TimeZone = t.TimeZone
		}
	}
	return leafType{form: formFixed, width: width, typ: resultTime, own: own, clock: c}
}

func decimalType(logical *format.DecimalType, f form, width int, integer bool) (leafType, error) {
	t, err := arrow.NewDecimalType(arrow.DECIMAL128, logical.Precision, logical.Scale)
	if logical.Precision > 38 {
		t, err = arrow.NewDecimalType(arrow.DECIMAL256, logical.Precision, logical.Scale)
	}
	if err != nil || logical.Precision < 1 || width > 32 {
		return leafType{}, feasterr.Unsupported("decimal(%d, %d) is not a type of Arrow", logical.Precision, logical.Scale)
	}
	return leafType{form: f, width: width, typ: t, own: t, integer: integer}, nil
}

// logicalType is the logical type of an element, also where an old writer used the older annotations.
func logicalType(el *format.SchemaElement) format.LogicalTypeValue {
	if el.LogicalType.Value != nil || !el.ConvertedType.Valid {
		return el.LogicalType.Value
	}
	integer := func(bits int8, signed bool) *format.IntType { return &format.IntType{BitWidth: bits, IsSigned: signed} }
	millis, micros := format.TimeUnit{Value: &format.MilliSeconds{}}, format.TimeUnit{Value: &format.MicroSeconds{}}
	switch el.ConvertedType.V {
	case deprecated.UTF8:
		return &format.StringType{}
	case deprecated.Enum:
		return &format.EnumType{}
	case deprecated.Json:
		return &format.JsonType{}
	case deprecated.Decimal:
		return &format.DecimalType{Precision: el.Precision.V, Scale: el.Scale.V}
	case deprecated.Date:
		return &format.DateType{}
	case deprecated.TimeMillis:
		return &format.TimeType{Unit: millis}
	case deprecated.TimeMicros:
		return &format.TimeType{Unit: micros}
	case deprecated.TimestampMillis:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: millis}
	case deprecated.TimestampMicros:
		return &format.TimestampType{IsAdjustedToUTC: true, Unit: micros}
	case deprecated.Uint8:
		return integer(8, false)
	case deprecated.Uint16:
		return integer(16, false)
	case deprecated.Uint32:
		return integer(32, false)
	case deprecated.Uint64:
		return integer(64, false)
	case deprecated.Int8:
		return integer(8, true)
	case deprecated.Int16:
		return integer(16, true)
	case deprecated.Map, deprecated.MapKeyValue:
		return &format.MapType{}
	case deprecated.List:
		return &format.ListType{}
	}
	return nil
}

// list is the type of lists in results, whose child is named item as everywhere in Feast.
func list(item arrow.DataType) arrow.DataType {
	return arrow.ListOfField(arrow.Field{Name: "item", Type: item, Nullable: true})
}

// typeName is a type for messages.
func typeName(t arrow.DataType) string {
	if t, ok := t.(*arrow.TimestampType); ok && t.TimeZone == "" {
		return fmt.Sprintf("timestamp[%s]", t.Unit)
	}
	return t.String()
}
