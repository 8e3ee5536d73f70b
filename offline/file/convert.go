package file

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
)

// array makes an Arrow array of a flat vector, which it may share memory with.
func (v *vector) array() (arrow.Array, error) {
	if v.leaf.form == formNull {
		return nullsOf(v.typ, v.n), nil
	}
	nulls, validity := 0, (*memory.Buffer)(nil)
	if v.nulls.Load() {
		var packed []byte
		packed, nulls = packBits(v.valid)
		validity = memory.NewBufferBytes(packed)
		nulls = v.n - nulls
	}
	buffers := []*memory.Buffer{validity, nil}
	switch typ := v.typ.(type) {
	case *arrow.BooleanType:
		packed, _ := packBits(valuesOf[bool](v.data))
		buffers[1] = memory.NewBufferBytes(packed)
	case *arrow.Int8Type, *arrow.Uint8Type:
		buffers[1] = memory.NewBufferBytes(narrow[uint8](v.data))
	case *arrow.Int16Type, *arrow.Uint16Type:
		buffers[1] = memory.NewBufferBytes(narrow[uint16](v.data))
	case *arrow.TimestampType:
		buffers[1] = memory.NewBufferBytes(bytesOf(v.times(int64(typ.Unit.Multiplier()))))
	case *arrow.Decimal128Type, *arrow.Decimal256Type:
		data, err := v.decimals(typ.(arrow.FixedWidthDataType).Bytes())
		if err != nil {
			return nil, err
		}
		buffers[1] = memory.NewBufferBytes(data)
	case *arrow.StringType, *arrow.BinaryType:
		offsets, data, err := packTexts(v.text)
		if err != nil {
			return nil, err
		}
		buffers = append(buffers[:1], memory.NewBufferBytes(bytesOf(offsets)), memory.NewBufferBytes(data))
	default:
		buffers[1] = memory.NewBufferBytes(v.data)
	}
	data := array.NewData(v.typ, v.n, buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data), nil
}

// nullsOf is an array of n nulls.
func nullsOf(t arrow.DataType, n int) arrow.Array {
	if t.ID() == arrow.NULL {
		return array.NewNull(n)
	}
	return array.MakeArrayOfNull(memory.DefaultAllocator, t, n)
}

// packBits makes bits of booleans and counts those that are set.
func packBits(values []bool) (packed []byte, set int) {
	packed = make([]byte, (len(values)+7)/8)
	raw := valuesOf[uint8](bytesOf(values))
	for i := range packed {
		if rest := raw[i*8:]; len(rest) >= 8 {
			// Eight bytes of 0 or 1: the product moves each to a bit of its own in the highest byte.
			packed[i] = byte(binary.LittleEndian.Uint64(rest) * 0x0102040810204080 >> 56)
		} else {
			for k, b := range rest {
				packed[i] |= b << k
			}
		}
		set += bits.OnesCount8(packed[i])
	}
	return packed, set
}

// narrow makes small integers of those of 32 bits that Parquet keeps them in.
func narrow[T uint8 | uint16](data []byte) []byte {
	in := valuesOf[uint32](data)
	out := make([]T, len(in))
	for i, x := range in {
		out[i] = T(x)
	}
	return bytesOf(out)
}

// times are the values of a vector of instants in a unit, rounded down.
func (v *vector) times(unit int64) []int64 {
	if v.leaf.clock.int96 {
		out := make([]int64, v.n)
		for i := range out {
			if unit == nanosecond {
				out[i] = int96Nanos(v.data[i*12:])
			} else {
				out[i] = int96Micros(v.data[i*12:])
			}
		}
		return out
	}
	out := valuesOf[int64](v.data)
	if v.leaf.clock.unit != unit {
		out = slices.Clone(out)
		rescale(out, v.leaf.clock.unit, unit)
	}
	return out
}

// The number of the day 1970-01-01 in int96 times, which count days as astronomers do.
const julianEpoch = 2440588

func int96Micros(b []byte) int64 {
	nanos, day := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint32(b[8:]))
	return (day-julianEpoch)*86_400_000_000 + floorDiv(nanos, 1000)
}

func int96Nanos(b []byte) int64 {
	nanos, day := int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint32(b[8:]))
	return addSaturated(mulSaturated(day-julianEpoch, 86_400_000_000_000), nanos)
}

// rescale changes the unit of times. What a finer unit cannot hold becomes the earliest or latest time that it can.
func rescale(times []int64, from, to int64) {
	switch {
	case from > to:
		for i, t := range times {
			times[i] = mulSaturated(t, from/to)
		}
	case from < to:
		for i, t := range times {
			times[i] = floorDiv(t, to/from)
		}
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func mulSaturated(a, b int64) int64 { // b > 0
	hi, lo := bits.Mul64(uint64(max(a, -a)), uint64(b))
	switch {
	case a == math.MinInt64, a < 0 && (hi != 0 || lo > math.MaxInt64):
		return math.MinInt64 + 1
	case hi != 0 || lo > math.MaxInt64:
		return math.MaxInt64
	}
	return a * b
}

func addSaturated(a, b int64) int64 {
	c := a + b
	switch {
	case a > 0 && b > 0 && c < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && c >= 0:
		return math.MinInt64 + 1
	}
	return c
}

// decimals makes little-endian integers of width bytes.
func (v *vector) decimals(width int) ([]byte, error) {
	out := aligned(v.n * width)
	for i := range v.n {
		if !v.valid[i] {
			continue
		}
		dst := out[i*width : (i+1)*width]
		if v.leaf.integer {
			var x int64
			if v.leaf.width == 4 {
				x = int64(valuesOf[int32](v.data)[i])
			} else {
				x = valuesOf[int64](v.data)[i]
			}
			binary.LittleEndian.PutUint64(dst, uint64(x))
			fillSign(dst[8:], x < 0)
			continue
		}
		var src []byte
		if v.leaf.form == formText {
			src = []byte(v.text[i])
		} else {
			src = v.data[i*v.leaf.width : (i+1)*v.leaf.width]
		}
		if err := decimalBytes(dst, src); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func fillSign(b []byte, negative bool) {
	for i := range b {
		if negative {
			b[i] = 0xff
		} else {
			b[i] = 0
		}
	}
}

// decimalBytes turns a big-endian integer round and widens it, or narrows it where the value allows.
func decimalBytes(dst, src []byte) error {
	negative := len(src) > 0 && src[0]&0x80 != 0
	fillSign(dst, negative)
	for i := range src {
		b := src[len(src)-1-i]
		if i < len(dst) {
			dst[i] = b
		} else if sign := byte(0); (negative && b != 0xff) || (!negative && b != sign) {
			return feasterr.Invalid("a decimal has more digits than its type")
		}
	}
	return nil
}

// packTexts puts texts one behind the other.
func packTexts(texts []string) (offsets []int32, data []byte, err error) {
	total := 0
	for _, s := range texts {
		total += len(s)
	}
	if total > math.MaxInt32 {
		return nil, nil, feasterr.Unsupported("%d bytes of text in %d rows are more than an Arrow array holds", total, len(texts))
	}
	offsets, data = make([]int32, len(texts)+1), make([]byte, 0, total)
	for i, s := range texts {
		data = append(data, s...)
		offsets[i+1] = int32(len(data))
	}
	return offsets, data, nil
}
