package arrowconv

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Importer copies Arrow arrays into columns of declared types, by Feast's rules for native values: whole numbers of any
// width, from numbers (cut toward zero), booleans and decimal text; text of anything that has one; timestamps of any unit
// and zone, without a zone in UTC, cut toward zero to seconds; lists of elements of the same kind, of which a null is zero,
// empty or Feast's null timestamp; sets without repetitions; maps and structs with their values' own types. Dictionaries,
// views, large and fixed-size forms and extension types are read as what they hold.
//
// It keeps memory from call to call, allocates nothing per value (nested types apart), and is not safe for concurrent use.
// The zero value is ready.
type Importer struct {
	// KeepNaN keeps NaN, as retrieval does; else it is a null, as when Feast writes features. In lists it is always kept.
	KeepNaN bool

	buf    []byte
	i32    []int32
	i64    []int64
	f32    []float32
	f64    []float64
	bools  []bool
	text   []string
	binary [][]byte
}

// Import copies src into the cells of dst from row at on. A null becomes a cell with status NullValue, any other value a
// cell that is Present. What does not convert is a [*feasterr.RequestError] that names column and row; cells before it are
// set by then.
func (m *Importer) Import(dst *types.Column, at int, src arrow.Array) error {
	src = storage(src)
	if src.NullN() == src.Len() || src.DataType().ID() == arrow.NULL {
		for i := range src.Len() {
			dst.Clear(at+i, types.NullValue)
		}
		return nil
	}
	switch t := dst.Type(); t {
	case types.Int64, types.Int32:
		return m.importWhole(dst, at, src)
	case types.Float64, types.Float32:
		return m.importFloats(dst, at, src)
	case types.Bool:
		return each(dst, at, src, boolsOf(src), func(row int, v bool) error { dst.SetBool(row, v); return nil })
	case types.UnixTimestamp:
		get := secondsOf(src)
		if get == nil { // seconds, or text of them
			if get = wholeOf(src); isFloat(src.DataType()) || src.DataType().ID() == arrow.BOOL {
				get = nil
			}
		}
		return each(dst, at, src, get, func(row int, v int64) error { dst.SetInt64(row, v); return nil })
	case types.String, types.UUID, types.TimeUUID, types.Decimal:
		if importTexts(dst, at, src) {
			return nil
		}
		get := m.anyText
		switch t {
		case types.UUID, types.TimeUUID:
			get = m.uuids
		case types.Decimal:
			get = m.decimals
		}
		return each(dst, at, src, get(src), dst.SetString)
	case types.JSON:
		return m.importJSON(dst, at, src)
	case types.Bytes, types.PdfBytes, types.ImageBytes:
		if importBinary(dst, at, src) {
			return nil
		}
		return each(dst, at, src, bytesOf(src), dst.SetBytes)
	case types.Map, types.Struct, types.MapList, types.StructList, types.ValueList, types.ValueSet, types.ScalarMap:
		return m.importNested(dst, at, src)
	case types.ZonedTimestamp:
		return m.importZoned(dst, at, src)
	default:
		if t.Elem() != types.Invalid {
			return m.importLists(dst, at, src)
		}
	}
	return misfit(dst, src)
}

// storage unwraps extension types.
func storage(src arrow.Array) arrow.Array {
	for {
		ext, ok := src.(array.ExtensionArray)
		if !ok {
			return src
		}
		src = ext.Storage()
	}
}

// getter reads the value at a place that is not null. An error is without the column's name.
type getter[T any] func(i int) (T, error)

// each copies a column value by value. No getter: the types do not go together.
func each[T any](dst *types.Column, at int, src arrow.Array, get getter[T], set func(row int, v T) error) error {
	if get == nil {
		return misfit(dst, src)
	}
	null := nullsOf(src)
	for i := range src.Len() {
		if null(i) {
			dst.Clear(at+i, types.NullValue)
			continue
		}
		v, err := get(i)
		if err == nil {
			err = set(at+i, v)
		}
		if err != nil {
			return &feasterr.RequestError{Column: dst.Name(), Row: at + i, Err: err}
		}
	}
	return nil
}

func misfit(dst *types.Column, src arrow.Array) error {
	return &feasterr.RequestError{Column: dst.Name(), Row: -1, Msg: fmt.Sprintf("a column of Arrow type %s does not convert to %s", TypeText(src.DataType()), dst.Type())}
}

// nullsOf tells which places are null.
func nullsOf(src arrow.Array) func(i int) bool {
	if d, ok := src.(*array.Dictionary); ok {
		inner := nullsOf(d.Dictionary())
		return func(i int) bool { return d.IsNull(i) || inner(d.GetValueIndex(i)) }
	}
	if src.DataType().ID() == arrow.NULL {
		return func(int) bool { return true }
	}
	return src.IsNull
}

// through reads a dictionary by a getter of its values.
func through[T any](d *array.Dictionary, of func(arrow.Array) getter[T]) getter[T] {
	get := of(storage(d.Dictionary()))
	if get == nil {
		return nil
	}
	return func(i int) (T, error) { return get(d.GetValueIndex(i)) }
}

func isFloat(dt arrow.DataType) bool {
	return dt.ID() == arrow.FLOAT16 || dt.ID() == arrow.FLOAT32 || dt.ID() == arrow.FLOAT64
}

// clearNulls empties the cells of nulls after all values were copied.
func clearNulls(dst *types.Column, at int, src arrow.Array) {
	if src.NullN() == 0 {
		return
	}
	for i := range src.Len() {
		if src.IsNull(i) {
			dst.Clear(at+i, types.NullValue)
		}
	}
}

// importTexts copies text as a whole; false: it is none, or not fit for that, and nothing is set.
func importTexts(dst *types.Column, at int, src arrow.Array) (ok bool) {
	switch a := src.(type) {
	case *array.String:
		ok = types.SetTexts(dst, at, a.ValueBytes(), a.ValueOffsets())
	case *array.LargeString:
		ok = types.SetTexts(dst, at, a.ValueBytes(), a.ValueOffsets())
	}
	if ok {
		clearNulls(dst, at, src)
	}
	return ok
}

func importBinary(dst *types.Column, at int, src arrow.Array) (ok bool) {
	switch a := src.(type) {
	case *array.Binary:
		ok = types.SetTexts(dst, at, a.ValueBytes(), a.ValueOffsets())
	case *array.LargeBinary:
		ok = types.SetTexts(dst, at, a.ValueBytes(), a.ValueOffsets())
	}
	if ok {
		clearNulls(dst, at, src)
	}
	return ok
}

func (m *Importer) importWhole(dst *types.Column, at int, src arrow.Array) error {
	narrow := dst.Type() == types.Int32
	switch a := src.(type) {
	case *array.Int64:
		if !narrow {
			types.SetRange(dst, at, a.Int64Values())
			clearNulls(dst, at, src)
			return nil
		}
	case *array.Int32:
		if narrow {
			types.SetRange(dst, at, a.Int32Values())
			clearNulls(dst, at, src)
			return nil
		}
	}
	if isFloat(src.DataType()) { // a column of whole numbers with nulls, as pandas has them
		get := floatsOf(src)
		return each(dst, at, src, get, func(row int, f float64) error {
			if math.IsNaN(f) {
				dst.Clear(row, types.NullValue)
				return nil
			}
			n, err := truncated(f)
			if err != nil {
				return err
			}
			return setWhole(dst, narrow, row, n)
		})
	}
	return each(dst, at, src, wholeOf(src), func(row int, n int64) error { return setWhole(dst, narrow, row, n) })
}

func setWhole(dst *types.Column, narrow bool, row int, n int64) error {
	if !narrow {
		dst.SetInt64(row, n)
		return nil
	}
	if n != int64(int32(n)) {
		return fmt.Errorf("%d is out of range for Int32", n)
	}
	dst.SetInt32(row, int32(n))
	return nil
}

func truncated(f float64) (int64, error) {
	if math.IsInf(f, 0) || f < -(1<<63) || f >= 1<<63 {
		return 0, fmt.Errorf("%v is out of range for a whole number", f)
	}
	return int64(f), nil
}

func (m *Importer) importFloats(dst *types.Column, at int, src arrow.Array) error {
	narrow := dst.Type() == types.Float32
	switch a := src.(type) {
	case *array.Float64:
		if !narrow {
			types.SetRange(dst, at, a.Float64Values())
			clearNulls(dst, at, src)
			clearNaN(m, dst, at, a.Float64Values())
			return nil
		}
	case *array.Float32:
		if narrow {
			types.SetRange(dst, at, a.Float32Values())
			clearNulls(dst, at, src)
			clearNaN(m, dst, at, a.Float32Values())
			return nil
		}
	}
	get := floatsOf(src)
	if get == nil {
		get = numbersOf(src, narrow)
	}
	return each(dst, at, src, get, func(row int, f float64) error {
		switch {
		case math.IsNaN(f) && !m.KeepNaN:
			dst.Clear(row, types.NullValue)
		case narrow:
			dst.SetFloat32(row, float32(f))
		default:
			dst.SetFloat64(row, f)
		}
		return nil
	})
}

func clearNaN[T float32 | float64](m *Importer, dst *types.Column, at int, values []T) {
	if m.KeepNaN {
		return
	}
	for i, v := range values {
		if v != v {
			dst.Clear(at+i, types.NullValue)
		}
	}
}

// floatsOf reads floating point numbers.
func floatsOf(src arrow.Array) getter[float64] {
	switch a := src.(type) {
	case *array.Float64:
		return func(i int) (float64, error) { return a.Value(i), nil }
	case *array.Float32:
		return func(i int) (float64, error) { return float64(a.Value(i)), nil }
	case *array.Float16:
		return func(i int) (float64, error) { return float64(a.Value(i).Float32()), nil }
	case *array.Dictionary:
		return through(a, floatsOf)
	case *array.Null:
		return never[float64]
	}
	return nil
}

// numbersOf reads what else becomes a floating point number: whole numbers and decimals; booleans and text only for a
// Float32, as in Feast.
func numbersOf(src arrow.Array, narrow bool) getter[float64] {
	switch a := src.(type) {
	case *array.Decimal128:
		scale := a.DataType().(arrow.DecimalType).GetScale()
		return func(i int) (float64, error) { return a.Value(i).ToFloat64(scale), nil }
	case *array.Decimal256:
		scale := a.DataType().(arrow.DecimalType).GetScale()
		return func(i int) (float64, error) { return a.Value(i).ToFloat64(scale), nil }
	case *array.Uint64:
		return func(i int) (float64, error) { return float64(a.Value(i)), nil }
	case *array.Boolean:
		if !narrow {
			return nil
		}
	case *array.Dictionary:
		return through(a, func(d arrow.Array) getter[float64] { return numbersOf(d, narrow) })
	}
	if text := textsOf(src); text != nil {
		if !narrow {
			return nil
		}
		return func(i int) (float64, error) {
			s, _ := text(i)
			f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return 0, fmt.Errorf("text %q is no number", s)
			}
			return f, nil
		}
	}
	get := wholeOf(src)
	if get == nil {
		return nil
	}
	return func(i int) (float64, error) { n, err := get(i); return float64(n), err }
}

// integersOf reads whole numbers.
func integersOf(src arrow.Array) getter[int64] {
	switch a := src.(type) {
	case *array.Int64:
		return func(i int) (int64, error) { return a.Value(i), nil }
	case *array.Int32:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Int16:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Int8:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Uint8:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Uint16:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Uint32:
		return func(i int) (int64, error) { return int64(a.Value(i)), nil }
	case *array.Uint64:
		return func(i int) (int64, error) {
			if n := a.Value(i); n > math.MaxInt64 {
				return 0, fmt.Errorf("%d is out of range for Int64", n)
			}
			return int64(a.Value(i)), nil
		}
	case *array.Dictionary:
		return through(a, integersOf)
	case *array.Null:
		return never[int64]
	}
	return nil
}

// wholeOf reads everything that becomes a whole number, floats apart.
func wholeOf(src arrow.Array) getter[int64] {
	if get := integersOf(src); get != nil {
		return get
	}
	switch a := src.(type) {
	case *array.Boolean:
		return func(i int) (int64, error) {
			if a.Value(i) {
				return 1, nil
			}
			return 0, nil
		}
	case *array.Decimal128:
		scale := a.DataType().(arrow.DecimalType).GetScale()
		return func(i int) (int64, error) { return wholePart(a.Value(i).BigInt(), scale) }
	case *array.Decimal256:
		scale := a.DataType().(arrow.DecimalType).GetScale()
		return func(i int) (int64, error) { return wholePart(a.Value(i).BigInt(), scale) }
	case *array.Dictionary:
		return through(a, wholeOf)
	}
	if text := textsOf(src); text != nil {
		return func(i int) (int64, error) {
			s, _ := text(i)
			return types.ParseWhole(s)
		}
	}
	return nil
}

// wholePart cuts the fraction of a decimal.
func wholePart(n *big.Int, scale int32) (int64, error) {
	if scale > 0 {
		n.Quo(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	} else if scale < 0 {
		n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(-int64(scale)), nil))
	}
	if !n.IsInt64() {
		return 0, fmt.Errorf("%s is out of range for Int64", n)
	}
	return n.Int64(), nil
}

// boolsOf reads booleans, and whole numbers as such.
func boolsOf(src arrow.Array) getter[bool] {
	switch a := src.(type) {
	case *array.Boolean:
		return func(i int) (bool, error) { return a.Value(i), nil }
	case *array.Dictionary:
		return through(a, boolsOf)
	case *array.Null:
		return never[bool]
	}
	get := integersOf(src)
	if get == nil {
		return nil
	}
	return func(i int) (bool, error) { n, err := get(i); return n != 0, err }
}

// secondsOf reads instants as seconds, cut toward zero.
func secondsOf(src arrow.Array) getter[int64] {
	switch a := src.(type) {
	case *array.Timestamp:
		per := int64(a.DataType().(*arrow.TimestampType).Unit.Multiplier())
		per = int64(1e9) / per
		return func(i int) (int64, error) { return int64(a.Value(i)) / per, nil }
	case *array.Date32:
		return func(i int) (int64, error) { return int64(a.Value(i)) * 86400, nil }
	case *array.Date64:
		return func(i int) (int64, error) { return int64(a.Value(i)) / 1000, nil }
	case *array.Dictionary:
		return through(a, secondsOf)
	case *array.Null:
		return never[int64]
	}
	return nil
}

// textsOf reads text.
func textsOf(src arrow.Array) getter[string] {
	switch a := src.(type) {
	case *array.String:
		return func(i int) (string, error) { return a.Value(i), nil }
	case *array.LargeString:
		return func(i int) (string, error) { return a.Value(i), nil }
	case *array.StringView:
		return func(i int) (string, error) { return a.Value(i), nil }
	case *array.Dictionary:
		return through(a, textsOf)
	case *array.Null:
		return never[string]
	}
	return nil
}

// bytesOf reads bytes.
func bytesOf(src arrow.Array) getter[[]byte] {
	switch a := src.(type) {
	case *array.Binary:
		return func(i int) ([]byte, error) { return a.Value(i), nil }
	case *array.LargeBinary:
		return func(i int) ([]byte, error) { return a.Value(i), nil }
	case *array.FixedSizeBinary:
		return func(i int) ([]byte, error) { return a.Value(i), nil }
	case *array.BinaryView:
		return func(i int) ([]byte, error) { return a.Value(i), nil }
	case *array.Dictionary:
		return through(a, bytesOf)
	case *array.Null:
		return never[[]byte]
	}
	return nil
}

// built makes a getter of text of one that appends it; the text is valid until the next call.
func built[T any](m *Importer, get getter[T], appendText func(dst []byte, v T) []byte) getter[string] {
	if get == nil {
		return nil
	}
	return func(i int) (string, error) {
		v, err := get(i)
		if err != nil {
			return "", err
		}
		m.buf = appendText(m.buf[:0], v)
		return unsafe.String(unsafe.SliceData(m.buf), len(m.buf)), nil
	}
}

// anyText reads everything that Python's str() has a text for, instants and nested values apart.
func (m *Importer) anyText(src arrow.Array) getter[string] {
	if get := textsOf(src); get != nil {
		return get
	}
	if d, ok := src.(*array.Dictionary); ok {
		return through(d, m.anyText)
	}
	switch a := src.(type) {
	case *array.Uint64:
		return built(m, func(i int) (uint64, error) { return a.Value(i), nil }, func(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) })
	case *array.Boolean:
		return func(i int) (string, error) {
			if a.Value(i) {
				return "True", nil
			}
			return "False", nil
		}
	}
	if get := integersOf(src); get != nil {
		return built(m, get, func(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) })
	}
	if get := floatsOf(src); get != nil {
		return built(m, get, types.AppendFloat)
	}
	if get := bytesOf(src); get != nil {
		return built(m, get, appendPythonBytes)
	}
	return decimalsOf(m, src)
}

// appendPythonBytes appends bytes as Python's repr shows them.
func appendPythonBytes(dst, b []byte) []byte {
	quote := byte('\'')
	if strings.IndexByte(unsafe.String(unsafe.SliceData(b), len(b)), '\'') >= 0 && strings.IndexByte(unsafe.String(unsafe.SliceData(b), len(b)), '"') < 0 {
		quote = '"'
	}
	dst = append(dst, 'b', quote)
	for _, ch := range b {
		switch {
		case ch == quote || ch == '\\':
			dst = append(dst, '\\', ch)
		case ch == '\t':
			dst = append(dst, `\t`...)
		case ch == '\n':
			dst = append(dst, `\n`...)
		case ch == '\r':
			dst = append(dst, `\r`...)
		case ch < ' ' || ch >= 0x7f:
			const hexDigits = "0123456789abcdef"
			dst = append(dst, '\\', 'x', hexDigits[ch>>4], hexDigits[ch&15])
		default:
			dst = append(dst, ch)
		}
	}
	return append(dst, quote)
}

// uuids reads UUIDs: text, which is not looked at, or 16 bytes.
func (m *Importer) uuids(src arrow.Array) getter[string] {
	if get := textsOf(src); get != nil {
		return get
	}
	get := bytesOf(src)
	if get == nil {
		return nil
	}
	return func(i int) (string, error) {
		b, _ := get(i)
		if len(b) != 16 {
			return "", fmt.Errorf("%d bytes are no UUID, which has 16", len(b))
		}
		m.buf = types.AppendUUID(m.buf[:0], [16]byte(b))
		return unsafe.String(unsafe.SliceData(m.buf), len(m.buf)), nil
	}
}

// importJSON copies JSON: text of it, and what can be written as such.
func (m *Importer) importJSON(dst *types.Column, at int, src arrow.Array) error {
	if text := textsOf(src); text != nil {
		return each(dst, at, src, text, func(row int, s string) error {
			if !json.Valid(unsafe.Slice(unsafe.StringData(s), len(s))) {
				return errors.New("is not valid JSON")
			}
			return dst.SetString(row, s)
		})
	}
	return each(dst, at, src, func(i int) (any, error) { return native(src, i, false) }, dst.SetNative)
}

// decimals reads decimals and text of them.
func (m *Importer) decimals(src arrow.Array) getter[string] {
	if get := textsOf(src); get != nil {
		return get
	}
	return decimalsOf(m, src)
}

func decimalsOf(m *Importer, src arrow.Array) getter[string] {
	switch a := src.(type) {
	case *array.Decimal128:
		return built(m, func(i int) (*big.Int, error) { return a.Value(i).BigInt(), nil }, decimalText(a.DataType()))
	case *array.Decimal256:
		return built(m, func(i int) (*big.Int, error) { return a.Value(i).BigInt(), nil }, decimalText(a.DataType()))
	case *array.Decimal64:
		return built(m, func(i int) (*big.Int, error) { return big.NewInt(int64(a.Value(i))), nil }, decimalText(a.DataType()))
	case *array.Decimal32:
		return built(m, func(i int) (*big.Int, error) { return big.NewInt(int64(a.Value(i))), nil }, decimalText(a.DataType()))
	case *array.Dictionary:
		return through(a, func(d arrow.Array) getter[string] { return decimalsOf(m, d) })
	}
	return nil
}

// decimalText appends a decimal as Python's str() writes it: all digits of its scale, with an exponent where it is tiny.
func decimalText(dt arrow.DataType) func(dst []byte, n *big.Int) []byte {
	scale := int(dt.(arrow.DecimalType).GetScale())
	return func(dst []byte, n *big.Int) []byte {
		if n.Sign() < 0 {
			dst = append(dst, '-')
			n.Neg(n)
		}
		digits := n.String()
		point := len(digits) - scale // how many digits stand before the point
		switch {
		case scale < 0 || point < -5: // the exponent of the first digit is below -6, or trailing zeros are not known
			dst = append(dst, digits[0])
			if len(digits) > 1 {
				dst = append(append(dst, '.'), digits[1:]...)
			}
			return append(dst, fmt.Sprintf("E%+d", point-1)...)
		case scale == 0:
			return append(dst, digits...)
		case point > 0:
			return append(append(append(dst, digits[:point]...), '.'), digits[point:]...)
		}
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
}
