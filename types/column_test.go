package types

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/feastgo/feast/feasterr"
)

// stored returns the serialized Value of v as the member that carries t.
func stored(t Type, v any) []byte {
	text := func(dst []byte, s string) []byte { return append(binary.AppendUvarint(dst, uint64(len(s))), s...) }
	number := func(dst []byte, v any) []byte {
		switch v := v.(type) {
		case int:
			return binary.AppendUvarint(dst, uint64(v))
		case int64:
			return binary.AppendUvarint(dst, uint64(v))
		case float32:
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		case float64:
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
		panic(fmt.Sprintf("%T", v))
	}
	b := appendKey(nil, t)
	switch v := v.(type) {
	case string:
		return text(b, v)
	case []string:
		var msg []byte
		for _, s := range v {
			msg = text(append(msg, 1<<3|wireBytes), s)
		}
		return text(b, string(msg))
	case []any:
		if len(v) == 0 {
			return append(b, 0)
		}
		var packed []byte
		for _, x := range v {
			packed = number(packed, x)
		}
		return text(b, string(text([]byte{1<<3 | wireBytes}, string(packed))))
	}
	return number(b, v)
}

// column returns a column with the given stored values, one per row; nil leaves a row unset.
func column(t testing.TB, typ Type, vals ...[]byte) *Column {
	t.Helper()
	c := NewColumn("f", typ, len(vals))
	for row, v := range vals {
		if v == nil {
			continue
		}
		if err := c.SetValue(row, v); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// sample is a value of some type, and what Any answers for it.
type sample struct {
	typ        Type
	value, any any
}

// samples has every kind of storage.
var samples = []sample{
	{Bytes, "\xff", []byte{0xff}},
	{String, "é", "é"},
	{Int32, -3, int32(-3)},
	{Int64, -4, int64(-4)},
	{Float64, 2.5, 2.5},
	{Float32, float32(1.5), float32(1.5)},
	{Bool, 1, true},
	{UnixTimestamp, 7, int64(7)},
	{Int32List, []any{1, -1}, []int32{1, -1}},
	{Int64Set, []any{3}, []int64{3}},
	{Float64List, []any{0.5}, []float64{0.5}},
	{Float32List, []any{float32(0.5), float32(2)}, []float32{0.5, 2}},
	{BoolList, []any{1, 0, 2}, []bool{true, false, true}},
	{UnixTimestampList, []any{5}, []int64{5}},
	{StringList, []string{"a", ""}, []string{"a", ""}},
	{BytesSet, []string{"\x00"}, [][]byte{{0}}},
	{Map, "", map[string]any{}},
	{UUID, "{F47AC10B58CC4372A5670E02B2C3D479}", [16]byte{0xf4, 0x7a, 0xc1, 0x0b, 0x58, 0xcc, 0x43, 0x72, 0xa5, 0x67, 0x0e, 0x02, 0xb2, 0xc3, 0xd4, 0x79}},
}

func TestStatuses(t *testing.T) {
	for s, want := range []string{"NOT_FOUND", "PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "INVALID"} {
		if got := Status(s).String(); got != want {
			t.Errorf("%d is %s, want %s", s, got, want)
		}
	}
	nat := stored(UnixTimestamp, int64(math.MinInt64))
	for _, tc := range []struct {
		typ   Type
		value []byte
		want  Status
		json  string
		raw   []byte
	}{
		{Int64, nil, NotFound, "null", nil},
		{Int64, []byte{}, NullValue, "null", nil},
		{Int64, stored(Int64, 0), Present, "0", stored(Int64, 0)},
		{Int64, stored(Int64, int64(math.MinInt64)), Present, "-9223372036854775808", stored(Int64, int64(math.MinInt64))},
		// departures 1 and 33: a stored null timestamp is a null, while JSON and Any keep the number
		{UnixTimestamp, nat, NullValue, "-9223372036854775808", nat},
		{Int64, nat, NullValue, "-9223372036854775808", nat},
		{Null, stored(Null, 0), NullValue, "null", stored(Null, 0)},
		{Int64, stored(Null, 0), NullValue, "null", stored(Null, 0)},
		{ZonedTimestamp, stored(ZonedTimestamp, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), NullValue, "null",
			stored(ZonedTimestamp, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
		{Int64, []byte{9 << 3, 1}, NullValue, "null", nil}, // an unknown field only
		// departure 32: empty is not null
		{Bytes, stored(Bytes, ""), Present, `""`, stored(Bytes, "")},
		{Type(9), stored(Int64, 1), Present, "1", stored(Int64, 1)},
		{Type(200), stored(String, "x"), Present, `"x"`, stored(String, "x")},
		{Invalid, stored(Int64, 1), Present, "1", stored(Int64, 1)},
	} {
		c := column(t, tc.typ, tc.value)
		if got := c.Status(0); got != tc.want || c.Valid(0) != (got == Present) || c.AllValid() != (got == Present) {
			t.Errorf("%x in %s: %s, want %s", tc.value, tc.typ, got, tc.want)
		}
		for _, s := range []Status{OutsideMaxAge, tc.want} { // keeps the value
			if tc.want == NotFound {
				break
			}
			c.SetStatus(0, s)
			if got := c.AppendJSON(nil, 0); string(got) != tc.json || c.Status(0) != s {
				t.Errorf("%x in %s, %s: JSON %s, want %s", tc.value, tc.typ, s, got, tc.json)
			}
			if got := c.AppendValue(nil, 0); !bytes.Equal(got, tc.raw) {
				t.Errorf("%x in %s, %s: AppendValue = %x, want %x", tc.value, tc.typ, s, got, tc.raw)
			}
		}
		for _, s := range []Status{NotFound, NullValue, OutsideMaxAge, Present} {
			c.Clear(0, s)
			if got := c.Any(0); got != nil || c.Status(0) != s || c.Mixed() || len(c.AppendValue(nil, 0)) > 0 || c.Bytes(0) != nil {
				t.Errorf("%x in %s cleared: %s %v", tc.value, tc.typ, c.Status(0), got)
			}
		}
	}
}

// TestOverwrite sets every kind of value over every other: nothing of the old one may show.
func TestOverwrite(t *testing.T) {
	for _, typ := range everyType() {
		c := NewColumn("f", typ, 1)
		for _, first := range samples {
			for _, second := range samples {
				for _, between := range [][]byte{nil, {}, {0xff}, stored(UnixTimestamp, int64(math.MinInt64))} {
					if err := c.SetValue(0, stored(first.typ, first.value)); err != nil {
						t.Fatal(err)
					}
					if between != nil {
						if err := c.SetValue(0, between); (err != nil) != (len(between) == 1) {
							t.Fatal(err)
						}
						if c.store < storeBytes && c.store != storeRaw && !c.isZero(0) || c.Valid(0) {
							t.Fatalf("%s: %v after %v, %x", typ, c, first, between)
						}
					}
					if err := c.SetValue(0, stored(second.typ, second.value)); err != nil {
						t.Fatal(err)
					}
					if typ.member() != second.typ && c.store < storeBytes && c.store != storeRaw &&
						!(typ == Int64 && second.typ == Int32) && !(typ == Float64 && second.typ == Float32) && !c.isZero(0) {
						t.Errorf("%s: %v shows under %v", typ, first, second)
					}
					want := second.any
					switch { // widened
					case typ == Int64 && second.typ == Int32:
						want = int64(-3)
					case typ == Float64 && second.typ == Float32:
						want = 1.5
					}
					if got := c.Any(0); !reflect.DeepEqual(got, want) {
						t.Errorf("%s: %v over %v is %#v", typ, second, first, got)
					}
				}
			}
		}
	}
}

// isZero reports whether the dense value of a number is zero.
func (c *Column) isZero(row int) bool {
	switch c.store {
	case storeInt32:
		return c.i32()[row] == 0
	case storeInt64:
		return c.i64()[row] == 0
	case storeFloat32:
		return c.f32()[row] == 0
	case storeFloat64:
		return c.f64()[row] == 0
	}
	return !c.bools()[row]
}

func TestMalformed(t *testing.T) {
	deep := func(levels int) []byte {
		b := stored(Int64, 1)
		for range levels {
			b = stored(ValueList, []string{string(b)})
		}
		return b
	}
	entry := func(key, val string) string { return string(stored(Map, []string{key, val})[2:]) }
	for name, b := range map[string][]byte{
		"tag only":                  {4 << 3},
		"tag of zero":               {0, 1},
		"zero byte, text":           {0, 1, 'x'},
		"truncated varint":          {4 << 3, 0x80},
		"varint of 65 bits":         {4 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
		"varint of 11 bytes":        {4 << 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
		"truncated double":          {5<<3 | wireFixed64, 1, 2, 3, 4, 5, 6, 7},
		"truncated float":           {6<<3 | wireFixed32, 1, 2, 3},
		"text shorter than said":    {2<<3 | wireBytes, 2, 'a'},
		"text of huge length":       {2<<3 | wireBytes, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"text not UTF-8":            stored(String, "\xff"),
		"JSON not UTF-8":            stored(JSON, "\xff"),
		"text, then a bad tag":      append(stored(String, "a"), 0),
		"overwritten text":          append(stored(String, "\xff"), stored(Int64, 1)...),
		"group":                     {9<<3 | 3, 9<<3 | 4},
		"list of text not UTF-8":    stored(StringSet, []string{"\xff"}),
		"list of doubles, 9 bytes":  stored(Float64List, []string{"123456789"}),
		"list of floats, 3 bytes":   stored(Float32List, []string{"123"}),
		"list of ints, truncated":   stored(Int64List, []string{"\x80"}),
		"list of bools, truncated":  stored(BoolList, []string{"\x01\x80"}),
		"list with a bad tag":       stored(Int32List, "\x00"),
		"list of text, bad tag":     stored(StringList, "\x00"),
		"map with a bad tag":        stored(Map, "\x00"),
		"map with a bad entry":      stored(Map, []string{"\x00"}),
		"map key not UTF-8":         stored(Map, []string{entry("\xff", "")[:3]}),
		"map value malformed":       stored(Map, []string{"\x12\x01\x00"}),
		"list of maps":              stored(MapList, []string{"\x00"}),
		"struct list, deep inside":  stored(StructList, []string{string(stored(Map, []string{"\x12\x01\x00"})[3:])}),
		"scalar map key not UTF-8":  stored(ScalarMap, []string{"\x0a\x03\x42\x01\xff"}),
		"scalar map key malformed":  stored(ScalarMap, []string{"\x0a\x01\x00"}),
		"scalar map value":          stored(ScalarMap, []string{"\x12\x01\x00"}),
		"zone not UTF-8":            stored(ZonedTimestamp, "\x12\x01\xff"),
		"zoned timestamp malformed": stored(ZonedTimestamp, "\x08"),
		"nested too deep":           deep(maxDepth + 1),
	} {
		for _, typ := range append(everyType(), Invalid) {
			c := NewColumn("f", typ, 1)
			if err := c.SetValue(0, b); !errors.Is(err, feasterr.ErrInvalid) || c.Status(0) != NotFound || c.Any(0) != nil {
				t.Errorf("%s in %s: %v, %s", name, typ, err, c.Status(0))
			}
		}
	}
	if err := NewColumn("f", ValueList, 1).SetValue(0, deep(maxDepth)); err != nil {
		t.Error(err)
	}
}

// TestMerge reads what no Feast writes and protobuf allows: members that repeat, unpacked numbers, unknown fields.
func TestMerge(t *testing.T) {
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	unknown := []byte{50<<3&0x7f | 0x80, 3, 5}
	for _, tc := range []struct {
		value []byte
		want  any
	}{
		{join(stored(Int64, 1), stored(String, "a")), "a"},
		{join(stored(String, "a"), unknown, stored(Int64, 1), unknown), int64(1)},
		{join(stored(Int64, 1), stored(Int64, 2)), int64(2)},
		{join(stored(Int64, 1), []byte{4<<3 | wireFixed32, 1, 2, 3, 4}), int64(1)}, // wrong wire type: unknown
		{[]byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0x0f}, int32(-1)},                  // not sign-extended
		{join(stored(Int32, 1), stored(Int32, -2)), int32(-2)},
		{join(stored(Float64, 1.0), stored(Float64, 2.0)), 2.0},
		{join(stored(Float32, float32(1)), stored(Float32, float32(2))), float32(2)},
		{join(stored(ZonedTimestamp, "\x08\x05"), stored(ZonedTimestamp, "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")), nil},
		{stored(UUIDList, []string{"none"}), []string{"none"}},
		{stored(UUIDList, []string{"urn:uuid:00000000-0000-0000-0000-000000000001"}), [][16]byte{{15: 1}}},
		{stored(UUID, "0000000000000000000000000000000g"), "0000000000000000000000000000000g"},
		{stored(ScalarMap, []string{"\x0a\x02\x08\x01\x0a\x02\x08\x02\x12\x02\x20\x01\x12\x02\x20\x02", ""}), []MapEntry{{int32(2), int64(2)}, {}}},
		{[]byte{7 << 3, 2}, true},
		{[]byte{7 << 3, 0x80, 1}, true},
		{join(stored(Int64List, []any{1, 2}), stored(Int64List, []any{3})), []int64{1, 2, 3}},
		{join(stored(Int64List, []any{1}), stored(Int64, 1), stored(Int64List, []any{3})), []int64{3}},
		{join(stored(StringSet, []string{"a"}), stored(StringSet, []string{"b", "c"}), stored(StringSet, "")), []string{"a", "b", "c"}},
		{stored(Int32List, "\x08\x01\x0a\x02\x02\x03\x15____\x08\xff\xff\xff\xff\x0f"), []int32{1, 2, 3, -1}},
		{stored(Float32List, "\x0d\x00\x00\x80\x3f"), []float32{1}},
		{stored(BoolList, "\x08\x02\x0a\x03\x00\x80\x01"), []bool{true, false, true}},
		{stored(Map, []string{"\x0a\x01a\x12\x02\x20\x01", "\x0a\x01a\x12\x02\x20\x02", "\x12\x02\x20\x03\x12\x02\x18\x04"}), map[string]any{"a": int64(2), "": int32(4)}},
	} {
		own := column(t, parseValue(tc.value).typ, tc.value)
		ownNumber, _ := own.Number(0)
		ownText, _ := own.AppendText(nil, 0)
		for _, typ := range []Type{own.Type(), Map, String} {
			c := column(t, typ, tc.value)
			if got := c.Any(0); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%x in %s is %#v, want %#v", tc.value, typ, got, tc.want)
			}
			number, _ := c.Number(0)
			text, _ := c.AppendText(nil, 0)
			if number != ownNumber || !bytes.Equal(text, ownText) || !bytes.Equal(c.AppendJSON(nil, 0), own.AppendJSON(nil, 0)) {
				t.Errorf("%x in %s: number %v, text %s, JSON %s", tc.value, typ, number, text, c.AppendJSON(nil, 0))
			}
		}
	}
	m := column(t, Map, stored(Map, []string{"\x0a\x01a\x12\x02\x20\x01", "\x12\x02\x18\x04", "\x0a\x01a\x12\x02\x20\x02"}))
	if got, want := string(m.AppendJSON(nil, 0)), `{"":4,"a":2}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestBlock(t *testing.T) {
	var fields []Field
	for _, s := range samples {
		fields = append(fields, Field{s.typ.EnumName(), s.typ})
	}
	var b Block
	var vals [][]byte
	for _, s := range samples {
		vals = append(vals, stored(s.typ, s.value))
	}
	fill := func(fields []Field, rows int) {
		b.Reset(fields, rows)
		for i := range b.Columns() {
			c := &b.Columns()[i]
			at := slices.IndexFunc(samples, func(s sample) bool { return s.typ == c.typ })
			for row := range rows {
				if err := c.SetValue(row, vals[at]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	check := func(fields []Field, rows int) {
		t.Helper()
		if b.Rows() != rows || len(b.Columns()) != len(fields) {
			t.Fatalf("%d columns of %d rows", len(b.Columns()), b.Rows())
		}
		for i := range b.Columns() {
			c := &b.Columns()[i]
			want := fmt.Sprintf("%s %s[%d]", fields[i].Name, fields[i].Type, rows)
			if c.String() != want || fmt.Sprintf("%s %s[%d]", c.Name(), c.Type(), c.Len()) != want || (c.rest != nil && len(c.rest.odd) > 0) {
				t.Errorf("column %s, want %s", c, want)
			}
			for row := range rows {
				if c.Any(row) != nil || c.Status(row) != NotFound || c.store < storeBytes && c.store != storeRaw && !c.isZero(row) {
					t.Errorf("%s holds %v after Reset", c, c.Any(row))
				}
			}
		}
	}
	fill(fields, 20)
	if err := b.Columns()[0].SetValue(3, stored(Int64, 1)); err != nil || !b.Columns()[0].Mixed() {
		t.Error(err)
	}
	if n := testing.AllocsPerRun(10, func() { fill(fields, 20) }); n != 0 {
		t.Errorf("%v allocations when reused", n)
	}
	fields = slices.Clone(fields)
	slices.Reverse(fields) // other types in the same memory
	for _, rows := range []int{20, 5, 0, 40} {
		b.Reset(fields, rows)
		check(fields, rows)
		fill(fields, rows)
	}
	b.Reset(fields[:3], 7)
	check(fields[:3], 7)
	b.Reset(fields, 7)
	check(fields, 7)
}

func TestSetValueAllocations(t *testing.T) {
	for _, typ := range []Type{Int64, Float32, String, Float32List} {
		for _, columnWise := range []bool{true, false} {
			vals, block := benchValues(typ), benchColumns(typ, columnWise)
			cols := block.Columns()
			n := testing.AllocsPerRun(10, func() {
				for i := range cols {
					if r := cols[i].rest; r != nil {
						r.arena = r.arena[:0]
					}
				}
				for i, v := range vals {
					if err := cols[i%len(cols)].SetValue(i%block.Rows(), v); err != nil {
						t.Fatal(err)
					}
				}
			})
			if n != 0 {
				t.Errorf("%s: %v allocations", typ, n)
			}
		}
	}
}

func TestJSONAllocations(t *testing.T) {
	buf := make([]byte, 0, 1<<10)
	zoned := stored(ZonedTimestamp, "\x08\x05\x12\x10America/New_York")
	for _, c := range []*Column{
		column(t, Int64, stored(Int64, 1)), column(t, Float32, stored(Float32, float32(0.1))), column(t, Bytes, stored(Bytes, "x")),
		column(t, StringList, stored(StringList, []string{"a", "b"})), column(t, Float32List, stored(Float32List, []any{float32(1)})),
		column(t, ZonedTimestamp, zoned), column(t, ValueList, stored(ValueList, []string{string(zoned)})),
	} {
		if n := testing.AllocsPerRun(10, func() { c.AppendJSON(buf, 0) }); n != 0 {
			t.Errorf("%s: %v allocations for %s", c.Type(), n, c.AppendJSON(nil, 0))
		}
	}
}

// TestFork writes disjoint rows from several goroutines, twice with the same memory.
func TestFork(t *testing.T) {
	const rows, forks = 64, 4
	types := []Type{Int64, String, Float32List, Int64List, StringList, Map}
	val := func(typ Type, row int) []byte {
		switch {
		case row%7 == 3:
			return stored(Bool, 1) // odd everywhere
		case typ == Int64:
			return stored(typ, row)
		case typ == String:
			return stored(typ, strings.Repeat("x", row))
		case typ == Float32List:
			return stored(typ, []any{float32(row), float32(-row)})
		case typ == Int64List:
			return stored(typ, []any{row, int64(1) << row})
		case typ == StringList:
			return stored(typ, []string{fmt.Sprint(row)})
		}
		return stored(typ, []string{fmt.Sprintf("\x12\x02\x20%c", row)})
	}
	var fields []Field
	for _, typ := range types {
		fields = append(fields, Field{"f", typ})
	}
	var b Block
	for round := range 3 {
		b.Reset(fields, rows)
		for i := range b.Columns() {
			c := &b.Columns()[i]
			var wg sync.WaitGroup
			writers := make([]Column, forks+1)
			for id := 1; id <= forks; id++ {
				c.Fork(&writers[id], id)
			}
			for id := range forks + 1 {
				w := &writers[id]
				if id == 0 {
					w = c
				}
				wg.Go(func() {
					for row := id; row < rows; row += forks + 1 {
						for _, v := range [][]byte{stored(Bool, 1), val(c.typ, row)} { // the first must not stay
							if err := w.SetValue(row, v); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			for id := forks; id > 0; id-- {
				c.Join(&writers[id])
			}
			// A second fork with an id used before keeps what the first one wrote.
			var again Column
			c.Fork(&again, 1)
			if err := again.SetValue(0, val(c.typ, 0)); err != nil {
				t.Error(err)
			}
			c.Join(&again)
			for row := range rows {
				if got, want := c.AppendValue(nil, row), val(c.typ, row); !bytes.Equal(got, want) {
					t.Errorf("round %d, %s, row %d: %x, want %x", round, c.Type(), row, got, want)
				}
			}
			if !c.Mixed() {
				t.Errorf("%s is not mixed", c.Type())
			}
			for row := 3; row < rows; row += 7 {
				c.Clear(row, NotFound)
			}
			if c.Mixed() {
				t.Errorf("%s is mixed", c.Type())
			}
			if c.Type() == Float32List {
				l, err := Lists[float32](c)
				if err != nil || !slices.Equal(l.At(62), []float32{62, -62}) || len(l.At(3)) != 0 || len(l.Flat()) != 2*(rows-9) {
					t.Errorf("%v %v", l, err)
				}
			}
		}
	}

	// The memory of forks is reused, too.
	text := stored(String, "some text")
	forkedFields := []Field{{"f", String}}
	var forked Block
	var w Column
	if n := testing.AllocsPerRun(10, func() {
		forked.Reset(forkedFields, rows)
		c := &forked.Columns()[0]
		c.Fork(&w, 1)
		for row := range rows {
			if err := w.SetValue(row, text); err != nil {
				t.Fatal(err)
			}
		}
		c.Join(&w)
		if got, want := len(c.rest.joined[1]), rows*len("some text"); got != want {
			t.Fatalf("the fork holds %d bytes, want %d", got, want)
		}
	}); n != 0 {
		t.Errorf("%v allocations when forked again", n)
	}

	// A fork of a fork is read through the fork, and through the column when that is joined.
	nested := NewColumn("f", String, 3)
	var outer, inner Column
	nested.Fork(&outer, 1)
	outer.Fork(&inner, 2)
	for row, w := range []*Column{nested, &outer, &inner} {
		if err := w.SetValue(row, stored(String, fmt.Sprint(row))); err != nil {
			t.Fatal(err)
		}
	}
	outer.Join(&inner)
	if got := outer.Any(2); got != "2" {
		t.Errorf("%v through the fork", got)
	}
	nested.Join(&outer)
	if got, err := Values[string](nested); err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("%v %v", got, err)
	}

	// One fork that wrote everything is seen without copying.
	c := NewColumn("f", Int64List, 2)
	var f Column
	c.Fork(&f, 1)
	for row := range 2 {
		if err := f.SetValue(row, stored(Int64List, []any{row, row})); err != nil {
			t.Fatal(err)
		}
	}
	c.Join(&f)
	l, err := Lists[int64](c)
	inPlace := unsafe.SliceData(l.Flat()) == unsafe.SliceData(viewAs[int64](c.rest.joined[1]))
	if err != nil || !slices.Equal(l.Flat(), []int64{0, 0, 1, 1}) || !inPlace {
		t.Errorf("%v %v", l, err)
	}
}

// read reads a column as T, as one result whether it is an error or values.
func read[T Native](c *Column) any {
	out, err := Values[T](c)
	if err != nil {
		return err
	}
	return out
}

func TestValues(t *testing.T) {
	readers := []struct {
		name string
		read func(*Column) any
	}{
		{"int32", read[int32]}, {"int64", read[int64]}, {"float32", read[float32]}, {"float64", read[float64]},
		{"bool", read[bool]}, {"string", read[string]}, {"[]byte", read[[]byte]},
	}
	text := map[string]any{"string": []string{"ab", "", "c", ""}, "[]byte": [][]byte{[]byte("ab"), nil, []byte("c"), {}}}
	texts := func(typ Type) *Column {
		return column(t, typ, stored(typ, "ab"), nil, stored(typ, "c"), stored(typ, ""))
	}
	for _, tc := range []struct {
		c    *Column
		want map[string]any // by reader; others mismatch
	}{
		{column(t, Int32, stored(Int32, -1), nil), map[string]any{"int32": []int32{-1, 0}, "int64": []int64{-1, 0}, "float64": []float64{-1, 0}}},
		{column(t, Int64, stored(Int64, -1), []byte{}), map[string]any{"int64": []int64{-1, 0}}},
		{column(t, Int64, stored(Int64, -1), stored(Int32, -2)), map[string]any{"int64": []int64{-1, -2}}},
		{column(t, UnixTimestamp, stored(UnixTimestamp, 5), stored(UnixTimestamp, int64(math.MinInt64))), map[string]any{"int64": []int64{5, 0}}},
		{column(t, Int64, stored(UnixTimestamp, 5), stored(UnixTimestamp, int64(math.MinInt64))), map[string]any{"int64": []int64{5, 0}}},
		{column(t, Float32, stored(Float32, float32(0.1)), nil), map[string]any{"float32": []float32{0.1, 0}, "float64": []float64{float64(float32(0.1)), 0}}},
		{column(t, Float64, stored(Float64, 0.1), stored(Float32, float32(0.5))), map[string]any{"float64": []float64{0.1, 0.5}}},
		{column(t, Float64, stored(Float64, 0.1), stored(Int32, 3)), map[string]any{"float64": []float64{0.1, 3}}},
		{column(t, Float64, stored(Float64, 0.1), stored(Int64, 3)), nil},
		{column(t, Bool, stored(Bool, 1), nil), map[string]any{"bool": []bool{true, false}}},
		{texts(String), text},
		{texts(JSON), text},
		{texts(UUID), text},
		{texts(TimeUUID), text},
		{texts(Decimal), text},
		{texts(Bytes), map[string]any{"[]byte": text["[]byte"]}},
		{texts(PdfBytes), map[string]any{"[]byte": text["[]byte"]}},
		{texts(ImageBytes), map[string]any{"[]byte": text["[]byte"]}},
		{column(t, String, stored(String, "a"), stored(JSON, "1"), stored(Null, 0)), map[string]any{"string": []string{"a", "1", ""}, "[]byte": [][]byte{[]byte("a"), []byte("1"), nil}}},
		{column(t, String, stored(String, "a"), stored(Bytes, "b")), map[string]any{"[]byte": [][]byte{[]byte("a"), []byte("b")}}},
		{column(t, Float32, stored(Bool, 1)), map[string]any{"bool": []bool{true}}}, // all rows odd, and fitting
		{column(t, Float32List, stored(Bool, 1), nil), map[string]any{"bool": []bool{true, false}}},
		{column(t, Float32List, stored(Bool, 1), stored(Float32List, []any{})), nil},
		{NewColumn("f", Float32List, 0), nil},
		{NewColumn("f", Map, 1), nil},
		{NewColumn("f", Null, 1), nil},
		{NewColumn("f", Invalid, 1), nil},
		{NewColumn("f", Int64, 0), map[string]any{"int64": []int64(nil)}},
	} {
		for _, r := range readers {
			got, want := r.read(tc.c), tc.want[r.name]
			var mismatch *feasterr.TypeMismatchError
			if err, ok := got.(error); want == nil && ok && errors.As(err, &mismatch) && mismatch.Want == r.name && mismatch.Column == "f" {
				continue
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s as %s is %v, want %v", tc.c, r.name, got, want)
			}
		}
	}

	for _, tc := range []struct {
		err  any
		want string
	}{
		{read[float32](column(t, Float32, nil, stored(Float32, float32(1)), stored(Float64, 0.1))), `column "f", row 2: holds Float64, which cannot be read as float32 without loss`},
		{read[int32](column(t, Int32, stored(Int32, 1), stored(Int64, 1))), `column "f", row 1: holds Int64, which cannot be read as int32 without loss`},
		{read[bool](column(t, Float32List, stored(Bool, 1), stored(Float32List, []any{}))), `column "f", row 1: holds Array(Float32), which cannot be read as bool without loss`},
		{read[[]byte](NewColumn("f", Int64, 1)), `column "f" is Int64 and cannot be read as []byte`},
		{second(Lists[float32](NewColumn("f", Float64List, 1))), `column "f" is Array(Float64) and cannot be read as []float32`},
		{second(Lists[[]byte](NewColumn("f", Int64, 1))), `column "f" is Int64 and cannot be read as [][]byte`},
		{second(Lists[float32](column(t, Float32List, nil, stored(Int64, 1)))), `column "f", row 1: holds Int64, which cannot be read as []float32 without loss`},
	} {
		if err, ok := tc.err.(error); !ok || err.Error() != tc.want || !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%v, want %s", tc.err, tc.want)
		}
	}

	// A value that is too old is there.
	c := column(t, Int64, stored(Int64, 7))
	c.SetStatus(0, OutsideMaxAge)
	if got := read[int64](c); !reflect.DeepEqual(got, []int64{7}) {
		t.Error(got)
	}
}

func second[T any](_ T, err error) error { return err }

// TestMemory: numbers and []byte alias the column, strings do not.
func TestMemory(t *testing.T) {
	c := column(t, String, stored(String, "abc"), stored(String, ""))
	bs, _ := Values[[]byte](c)
	strs, _ := Values[string](c)
	if n := testing.AllocsPerRun(10, func() { _, _ = Values[string](c) }); n != 2 {
		t.Errorf("%v allocations for strings, want the slice and the text", n)
	}
	b := c.Bytes(0)
	if cap(b) != 3 {
		t.Error("an append to Bytes would overwrite the next cell")
	}
	copy(c.rest.arena, "xyz")
	if string(b) != "xyz" || string(bs[0]) != "xyz" || strs[0] != "abc" || c.Bytes(1) == nil || bs[1] == nil {
		t.Errorf("%q %q %q", b, bs, strs)
	}

	l := column(t, StringList, stored(StringList, []string{"abc"}))
	lb, _ := Lists[[]byte](l)
	ls, _ := Lists[string](l)
	copy(l.rest.arena[2:], "xyz")
	if string(lb.At(0)[0]) != "xyz" || ls.At(0)[0] != "abc" {
		t.Errorf("%q %q", lb.At(0), ls.At(0))
	}

	n := column(t, Int64, stored(Int64, 1))
	vals, _ := Values[int64](n)
	n.i64()[0] = 2
	if vals[0] != 2 {
		t.Error("int64 is a copy")
	}
	if n.Bytes(0) != nil || l.Bytes(0) != nil || column(t, String, stored(Int64, 1)).Bytes(0) != nil {
		t.Error("Bytes of a number, list or odd cell")
	}
	if m := column(t, Map, stored(Map, "")); !bytes.Equal(m.Bytes(0), stored(Map, "")) {
		t.Errorf("Bytes of a map: %x", m.Bytes(0))
	}
}

func TestLists(t *testing.T) {
	// Each builds rows [1 2] [] [3] (no value) [4 5 6], written in the given order.
	rows := [][]any{{1, 2}, {}, {3}, nil, {4, 5, 6}}
	build := func(typ Type, conv func(int) any, order ...int) *Column {
		c := NewColumn("f", typ, len(rows))
		for _, row := range order {
			var vals []any
			var texts []string
			for _, v := range rows[row] {
				switch x := conv(v.(int)).(type) {
				case string:
					texts = append(texts, x)
				default:
					vals = append(vals, x)
				}
			}
			v := stored(typ, vals)
			if widthOf(typ.Elem()) == 0 {
				v = stored(typ, texts)
			}
			if err := c.SetValue(row, v); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	integer := func(i int) any { return i }
	letter := func(i int) any { return string(rune('a' + i - 1)) }
	for _, order := range [][]int{{0, 1, 2, 4}, {4, 2, 1, 0}, {0, 0, 1, 2, 2, 4}, {2, 4, 0, 1}} {
		checkLists(t, build(Int32List, integer, order...), func(i int) int32 { return int32(i) })
		checkLists(t, build(Int64Set, integer, order...), func(i int) int64 { return int64(i) })
		checkLists(t, build(UnixTimestampList, integer, order...), func(i int) int64 { return int64(i) })
		checkLists(t, build(BoolList, integer, order...), func(i int) bool { return i > 0 })
		checkLists(t, build(Float32List, func(i int) any { return float32(i) }, order...), func(i int) float32 { return float32(i) })
		checkLists(t, build(Float64Set, func(i int) any { return float64(i) }, order...), func(i int) float64 { return float64(i) })
		for _, typ := range []Type{StringList, StringSet, JSONList, UUIDSet, TimeUUIDList, DecimalList} {
			checkLists(t, build(typ, letter, order...), func(i int) string { return letter(i).(string) })
		}
		for _, typ := range []Type{BytesList, StringList} {
			checkLists(t, build(typ, letter, order...), func(i int) []byte { return []byte(letter(i).(string)) })
		}
	}
	if _, err := Lists[string](NewColumn("f", BytesList, 1)); err == nil {
		t.Error("bytes as strings")
	}

	// Rows in order are seen in place; a repeated row costs a copy only in Flat.
	c := build(Float32List, func(i int) any { return float32(i) }, 0, 1, 2, 4)
	l, _ := Lists[float32](c)
	if unsafe.SliceData(l.Flat()) != unsafe.SliceData(viewAs[float32](c.rest.arena)) {
		t.Error("Flat copies rows in order")
	}
	c.CopyCell(3, 0)
	if l, _ = Lists[float32](c); !slices.Equal(l.Flat(), []float32{1, 2, 3, 1, 2, 4, 5, 6}) || !slices.Equal(l.Offsets(), []int{0, 2, 2, 3, 5, 8}) {
		t.Errorf("%v %v", l.Flat(), l.Offsets())
	}

	var zero List[int64]
	if zero.Len() != 0 || zero.Flat() != nil || !slices.Equal(zero.Offsets(), []int{0}) {
		t.Error("the zero List is not empty")
	}
	if l, err := Lists[string](NewColumn("f", StringList, 0)); err != nil || l.Len() != 0 || len(l.Flat()) != 0 || len(l.Offsets()) != 1 {
		t.Error("a list of no rows is not empty")
	}
}

func checkLists[T Native](t *testing.T, c *Column, conv func(int) T) {
	t.Helper()
	l, err := Lists[T](c)
	if err != nil {
		t.Errorf("%s: %v", c, err)
		return
	}
	var flat []T
	for row, want := range [][]int{{1, 2}, {}, {3}, {}, {4, 5, 6}} {
		got := l.At(row)
		if len(got) != len(want) || cap(got) != len(want) {
			t.Errorf("%s: row %d is %v", c, row, got)
			continue
		}
		for i, v := range want {
			flat = append(flat, conv(v))
			if !reflect.DeepEqual(got[i], conv(v)) {
				t.Errorf("%s: row %d is %v, want %v", c, row, got, want)
			}
		}
	}
	if got := l.Flat(); !reflect.DeepEqual(got, flat) {
		t.Errorf("%s: Flat is %v, want %v", c, got, flat)
	}
	if got := l.Offsets(); l.Len() != 5 || !slices.Equal(got, []int{0, 2, 2, 3, 3, 6}) {
		t.Errorf("%s: %d rows, offsets %v", c, l.Len(), got)
	}
}

func TestOr(t *testing.T) {
	old := func(c *Column) *Column { c.SetStatus(1, OutsideMaxAge); return c }
	for _, tc := range []struct {
		c    *Column
		want []float32
	}{
		{old(column(t, Int32, stored(Int32, -2), stored(Int32, 9), nil)), []float32{-2, -1, -1}},
		{old(column(t, Int64, stored(Int64, int64(1<<40+1)), stored(Int64, 9), []byte{})), []float32{1 << 40, -1, -1}},
		{old(column(t, Float32, stored(Float32, float32(0.1)), stored(Float32, float32(9)), stored(Int64, 3))), []float32{0.1, -1, 3}},
		{old(column(t, Float64, stored(Float64, 0.1), stored(Float64, 9.0), stored(String, "x"))), []float32{0.1, -1, -1}},
		{old(column(t, Bool, stored(Bool, 1), stored(Bool, 1), stored(Bool, 0))), []float32{1, -1, 0}},
		{old(column(t, UnixTimestamp, stored(UnixTimestamp, 5), stored(UnixTimestamp, 6), stored(UnixTimestamp, int64(math.MinInt64)))), []float32{5, -1, -1}},
		{old(column(t, String, stored(String, "1"), stored(String, "2"), stored(Bool, 1))), []float32{-1, -1, 1}},
	} {
		dst := []float32{7, 7, 7, 7, 7, 7}
		tc.c.Or(dst[1:], 2, -1)
		if want := []float32{7, tc.want[0], 7, tc.want[1], 7, tc.want[2]}; !slices.Equal(dst, want) {
			t.Errorf("%s: %v, want %v", tc.c, dst, want)
		}
	}
}

func TestTypes(t *testing.T) {
	lists, sets, numeric := 0, 0, 0
	for typ := range Type(255) {
		if typ.Valid() != (typ.ValueField() != "") || typ.IsList() && typ.IsSet() || typ.Elem() != Invalid && !typ.IsList() && !typ.IsSet() {
			t.Errorf("%d %s", typ, typ)
		}
		if got, ok := ParseType(typ.String()); ok != typ.Valid() || got != typ && ok {
			t.Errorf("ParseType(%s) = %s, %t", typ, got, ok)
		}
		for _, n := range []struct {
			is    bool
			count *int
		}{{typ.IsList(), &lists}, {typ.IsSet(), &sets}, {typ.Numeric(), &numeric}} {
			if n.is {
				*n.count++
			}
		}
	}
	if lists != 15 || sets != 12 || numeric != 6 {
		t.Errorf("%d lists, %d sets, %d numeric types", lists, sets, numeric)
	}
	if got := Type(9).String() + Type(200).EnumName() + Invalid.String() + Invalid.EnumName(); got != "Type(9)200InvalidUNKNOWN" {
		t.Error(got)
	}
	for _, name := range []string{"", "int64", "Array(", "Array()", "Array(Int64", "Set(Map)", "Struct(a)", "Array(PdfBytes)", "List(Int64)", "(Int64)"} {
		if typ, ok := ParseType(name); ok || typ != Invalid {
			t.Errorf("ParseType(%s) = %s", name, typ)
		}
	}
	nested := func(outer string, depth int) string {
		return strings.Repeat(outer, depth) + "Int64" + strings.Repeat(")", depth)
	}
	for name, want := range map[string]Type{
		nested("Array(", 100): ValueList, nested("Set(", 100): ValueSet, nested("Array(", 101): Invalid, nested("Set(", 1_000_000): Invalid,
		nested("Struct(", 1_000_000): Invalid, "Array(Array(Struct({a: Int64})))": ValueList, "Array(Struct)": StructList,
	} {
		if typ, ok := ParseType(name); typ != want || ok != (want != Invalid) {
			t.Errorf("ParseType(%.50s) = %s, %t, want %s", name, typ, ok, want)
		}
	}
}

func TestText(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", math.Copysign(0, -1): "-0.0", 1: "1.0", 0.0001: "0.0001", 0.00009999: "9.999e-05", 9999999999999998: "9999999999999998.0",
		1e16: "1e+16", 1.5e300: "1.5e+300", 5e-324: "5e-324", 123456.75: "123456.75", math.Inf(1): "inf", math.Inf(-1): "-inf",
	} {
		if got := AppendFloat([]byte("x"), f); string(got) != "x"+want {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
	}
	for in, want := range map[string]string{
		"":                        `""`,
		"a\"b\\c/d":               `"a\"b\\c/d"`,
		"\b\f\n\r\t\x00\x1f\x7f":  `"\b\f\n\r\t\u0000\u001f` + "\x7f\"",
		"é\u2028😀<&>":             "\"é\u2028😀<&>\"",
		"\xff" + "a\xc3" + "\xed": `"` + "\ufffd" + "a\ufffd\ufffd" + `"`,
	} {
		if got := AppendJSONString(nil, []byte(in)); string(got) != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

func TestTimestamp(t *testing.T) {
	for _, tc := range []struct {
		at   Timestamp
		want string
	}{
		{Timestamp{}, "1970-01-01T00:00:00Z"},
		{Timestamp{1, 1}, "1970-01-01T00:00:01.000000001Z"},
		{Timestamp{-1, 500_000_000}, "1969-12-31T23:59:59.500Z"},
		{Timestamp{1704164645, 678_901_000}, "2024-01-02T03:04:05.678901Z"},
		{Timestamp{minRFC3339, 0}, "0001-01-01T00:00:00Z"},
		{Timestamp{minRFC3339 - 1, 5}, "0001-01-01T00:00:00Z"},
		{Timestamp{math.MinInt64, 0}, "0001-01-01T00:00:00Z"},
		{Timestamp{maxRFC3339, 0}, "9999-12-31T23:59:59Z"},
		{Timestamp{maxRFC3339 + 1, 0}, "9999-12-31T23:59:59.999999999Z"},
		{Timestamp{math.MaxInt64, 0}, "9999-12-31T23:59:59.999999999Z"},
	} {
		if got := tc.at.String(); got != tc.want {
			t.Errorf("%d is %s, want %s", tc.at, got, tc.want)
		}
	}
	ordered := []Timestamp{{math.MinInt64, 0}, {-1, 5}, {}, {0, 1}, {1, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := a.Compare(b), min(max(i-j, -1), 1); got != want {
				t.Errorf("Compare(%d, %d) = %d", a, b, got)
			}
		}
		if a.IsZero() != (i == 2) {
			t.Errorf("IsZero(%d)", a)
		}
	}
	for _, b := range []string{"\x08", "\x00", "\x10\x80\x94\xeb\xdc\x03", "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if _, err := ParseTimestamp([]byte(b)); !errors.Is(err, feasterr.ErrInvalid) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if got, err := ParseTimestamp([]byte("\x1a\x01x\x08\x05\x08\x06")); err != nil || got != (Timestamp{6, 0}) {
		t.Error(got, err)
	}
}

func TestZones(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, tc := range []struct {
		seconds int64
		zone    string
		want    string
	}{
		{0, "", "1970-01-01T00:00:00+00:00"},
		{0, "UTC", "1970-01-01T00:00:00+00:00"},
		{1719849600, "America/New_York", "2024-07-01T12:00:00-04:00"},
		{1704164645, "America/New_York", "2024-01-01T22:04:05-05:00"},
		{-2717650801, "America/New_York", "1883-11-18T12:03:57-04:56:02"}, // local mean time has seconds
		{0, "+05:30", "1970-01-01T05:30:00+05:30"},
		{0, "-0530", "1969-12-31T18:30:00-05:30"},
		{0, "UTC+05:30", "1970-01-01T05:30:00+05:30"},
		{0, " GMT-00:30 ", "1969-12-31T23:30:00-00:30"},
		{0, "+23:59", "1970-01-01T23:59:00+23:59"},
		{0, "Etc/GMT+5", "1969-12-31T19:00:00-05:00"},
		// not zones: UTC
		{0, "+24:00", "1970-01-01T00:00:00+00:00"},
		{0, "+-5:30", "1970-01-01T00:00:00+00:00"},
		{0, "05:30", "1970-01-01T00:00:00+00:00"},
		{0, "+5:30", "1970-01-01T00:00:00+00:00"},
		{0, "+05:3", "1970-01-01T00:00:00+00:00"},
		{0, "Local", "1970-01-01T00:00:00+00:00"},
		{0, "America", "1970-01-01T00:00:00+00:00"},
		{0, "../etc/passwd", "1970-01-01T00:00:00+00:00"},
		{0, long, "1970-01-01T00:00:00+00:00"},
	} {
		for range 2 { // resolved, and from the cache
			if got := appendISO(nil, zonedTime(tc.seconds, []byte(tc.zone))); string(got) != tc.want {
				t.Errorf("%d in %q is %s, want %s", tc.seconds, tc.zone, got, tc.want)
			}
		}
	}

	var cache zoneCache
	for i := range 2 * maxZones {
		cache.location(fmt.Appendf(nil, "zone %d", i))
	}
	cache.location([]byte(long))
	if len(cache.loc) != maxZones || cache.loc[long] != nil || cache.location([]byte("Asia/Kolkata")).String() != "Asia/Kolkata" {
		t.Errorf("%d zones are remembered", len(cache.loc))
	}
	if got := column(t, ZonedTimestamp, stored(ZonedTimestamp, "\x08\x05\x12\x06+01:00")).Any(0).(time.Time); got.Format(time.RFC3339) != "1970-01-01T01:00:05+01:00" {
		t.Error(got)
	}
}

func TestUvarintLen(t *testing.T) {
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift - 1, ^uint64(0) >> shift, 0x9e3779b97f4a7c15 >> shift} {
			enc := binary.AppendUvarint(nil, v)
			if uvarintLen(v) != len(enc) {
				t.Errorf("uvarintLen(%d) = %d", v, uvarintLen(v))
			}
		}
	}
}
