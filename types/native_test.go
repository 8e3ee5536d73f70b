package types

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/feastgo/feast/internal/protos/feast/types"
)

// nativeOf turns a value of value_conversion.json, in its tagged forms, into what a Go program would have.
func nativeOf(t testing.TB, v any, typ Type) any {
	t.Helper()
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		if isInteger(string(v)) {
			return v // beyond int64
		}
		f, err := v.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = nativeOf(t, v[i], typ)
		}
		return out
	case map[string]any:
		for tag, tagged := range v {
			text, _ := tagged.(string)
			switch tag {
			case "$bytes":
				b, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				return b
			case "$float":
				f, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				return f
			case "$datetime":
				return nativeTime(t, text, typ)
			case "$uuid":
				return uuidAny([]byte(text))
			case "$decimal":
				return text
			case "$set":
				return nativeOf(t, tagged, typ)
			case "$repr":
				switch text {
				case "np.datetime64('2024-01-01T00:00:00')":
					return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
				case "np.int32(5)":
					return int32(5)
				}
				return struct{}{} // a date, which has no form in Go and is refused
			}
		}
		out := map[string]any{}
		for k, e := range v {
			out[k] = nativeOf(t, e, typ)
		}
		return out
	}
	return v
}

func nativeTime(t testing.TB, text string, typ Type) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", text)
	}
	if err != nil {
		t.Fatal(err)
	}
	if typ == ZonedTimestamp && strings.HasSuffix(text, "-04:00") { // the zone that the tag does not name
		zone, err := time.LoadLocation("America/New_York")
		if err != nil {
			t.Fatal(err)
		}
		return at.In(zone)
	}
	return at
}

// TestGoldenNative stores what Feast stored, from the same values. Departures are named.
func TestGoldenNative(t *testing.T) {
	cases := golden[[]struct {
		ValueType string `json:"value_type"`
		Input     []any
		Hex       []string `json:"values_hex"`
		Error     *struct{ Class, Message string }
	}](t, "value_conversion.json")
	stored, refused := 0, 0
	for i, tc := range cases {
		typ, known := ParseType(tc.ValueType)
		for row, in := range tc.Input {
			v := nativeOf(t, in, typ)
			var got []byte
			var err error
			if known {
				c := NewColumn("f", typ, 1)
				err = c.SetNative(0, v)
				got = c.AppendValue(nil, 0)
			} else { // the types are inferred
				got, err = appendInferred(nil, v, 0)
			}
			if tc.Error != nil {
				if row < len(tc.Input)-1 || tc.ValueType == "UNKNOWN" && len(tc.Input) > 1 {
					continue // an error of the last value; [1, "x"] has two types only as a column
				}
				refused++
				if err == nil {
					t.Errorf("case %d: %s %v is stored as %x, want an error for %s", i, tc.ValueType, in, got, tc.Error.Message)
				}
				continue
			}
			if _, isBytes := v.([]byte); isBytes && typ == String {
				if err == nil { // Python's text of bytes, "b'x'", is of use to nobody
					t.Errorf("bytes are stored as text: %x", got)
				}
				continue
			}
			want, herr := hex.DecodeString(tc.Hex[row])
			if herr != nil {
				t.Fatal(herr)
			}
			if typ == ZonedTimestamp && row == 2 {
				want = append(want, "\x12\x03UTC"...) // a time without a zone, which Go does not have
				want[2] += 5
			}
			stored++
			if err != nil || !sameStored(t, got, want) {
				t.Errorf("case %d, row %d: %s %v is stored as %x, %v, want %x", i, row, tc.ValueType, in, got, err, want)
			}
		}
	}
	if stored != 101 || refused != 19 {
		t.Errorf("%d values were stored and %d refused", stored, refused)
	}
}

// sameStored compares stored values, sets and maps without order.
func sameStored(t testing.TB, got, want []byte) bool {
	t.Helper()
	if bytes.Equal(got, want) {
		return true
	}
	var a, b pb.Value
	if err := errors.Join(proto.Unmarshal(got, &a), proto.Unmarshal(want, &b)); err != nil {
		t.Fatal(err)
	}
	if x, y := a.GetInt64SetVal().GetVal(), b.GetInt64SetVal().GetVal(); len(x) == 2 && len(y) == 2 {
		return x[0] == y[1] && x[1] == y[0]
	}
	return proto.Equal(&a, &b)
}

// TestNativeRoundTrip stores again what was read from every form that Feast stores.
func TestNativeRoundTrip(t *testing.T) {
	n := 0
	for _, tc := range goldenValues(t) {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			t.Fatal(err)
		}
		typ := typeOfField(t, tc.OneOf)
		c, back := NewColumn("f", typ, 1), NewColumn("f", typ, 1)
		if err := c.SetValue(0, raw); err != nil {
			t.Fatal(err)
		}
		v, want := c.Any(0), raw
		err = back.SetNative(0, v)
		switch f, isFloat := v.(float64); {
		case slices.Contains([]string{"v092", "v093", "v095"}, tc.ID): // no valid JSON
			if err == nil {
				t.Errorf("%s: %q is stored as JSON", tc.ID, v)
			}
			n++
			continue
		case slices.Contains([]string{"v122", "v125", "v128"}, tc.ID):
			// What Any answers does not tell a timestamp key from a number, a time UUID from another, an empty zone from UTC.
			n++
			continue
		case isFloat && math.IsNaN(f), tc.OneOf == "null_val": // a null is stored as an unset value
			want = nil
		}
		if f, ok := v.(float32); ok && f != f {
			want = nil
		}
		if err != nil {
			t.Errorf("%s %s: %v: %v", tc.ID, tc.OneOf, v, err)
			continue
		}
		if got := back.AppendValue(nil, 0); !sameStored(t, got, want) {
			t.Errorf("%s %s: %#v is stored as %x, want %x", tc.ID, tc.OneOf, v, got, want)
		}
		n++
	}
	if n != 131 {
		t.Errorf("%d values", n)
	}
}

type (
	celsius  float32
	cities   []string
	userID   [16]byte
	currency string
	money    struct{ cents int }
)

func (c currency) MarshalText() ([]byte, error) { return []byte(string(c) + " EUR"), nil }

func (m money) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%02d", m.cents/100, m.cents%100), nil
}

// TestSetNative holds what only Go programs have, and the errors.
func TestSetNative(t *testing.T) {
	day := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	five, warm := int64(5), celsius(1.5)
	local := time.FixedZone("", 5*3600+30*60)
	for _, tc := range []struct {
		typ  Type
		in   any
		want any // what Any answers; an error text
	}{
		{Int64, &five, int64(5)},
		{Int64, (*int64)(nil), nil},
		{Int64, math.NaN(), nil},
		{Int64, json.Number("9007199254740993"), int64(9007199254740993)}, // departure 21
		{Int64, []int64{1}, errors.New("a []int64 does not convert to Int64")},
		{Int32, int64(1) << 31, errors.New("2147483648 is out of range for Int32")},
		{Float32, &warm, float32(1.5)},
		{Float32, " 1e39 ", float32(math.Inf(1))},
		{Float32, "nan", nil},
		{Float32, "0x1p3", errors.New(`text "0x1p3" is no number`)},
		{Float32, true, float32(1)},
		{Float64, float32(0.5), 0.5},
		{Float64, true, errors.New("a bool does not convert to Float64")},
		{Float64, "1.5", errors.New("a string does not convert to Float64")},
		{Bool, uint8(2), true},
		{Bool, json.Number("1.0"), errors.New("a number does not convert to Bool")},
		{Bool, "true", errors.New("a string does not convert to Bool")},
		{String, cities(nil), nil},
		{String, currency("5"), "5"},
		{String, day, errors.New("a time.Time does not convert to String")},
		{Bytes, []byte(nil), nil},
		{Bytes, []byte{}, []byte{}}, // departure 32
		{PdfBytes, []byte("%PDF"), []byte("%PDF")},
		{UnixTimestamp, &day, day.Unix()},
		{UnixTimestamp, (*time.Time)(nil), nil}, // departure 33
		{UnixTimestamp, math.NaN(), nil},
		{UnixTimestamp, 7.5, errors.New("a float64 does not convert to UnixTimestamp")},
		{UnixTimestamp, "2024-01-01", errors.New(`text "2024-01-01" is no whole number`)},
		{ZonedTimestamp, day.In(local), day.In(local)},
		{ZonedTimestamp, "2024-01-01", errors.New("a string does not convert to ZonedTimestamp")},
		{UUID, userID{15: 1}, [16]byte{15: 1}},
		{UUID, 5, errors.New("an int does not convert to Uuid")},
		{Decimal, big.NewInt(150), "150"},
		{Decimal, money{150}, "1.50"},
		{Decimal, &money{5}, "0.05"},
		{Decimal, big.NewRat(1, 3), errors.New(`text "1/3" is no decimal number`)},
		{Decimal, "-0.0", "-0.0"},
		{Decimal, "+-1", errors.New(`text "+-1" is no decimal number`)},
		{Decimal, "", errors.New(`text "" is no decimal number`)},
		{Decimal, "Infinity", "Infinity"},
		{Decimal, "1E-400", "1E-400"},
		{JSON, json.RawMessage(`{"a":1}`), `{"a":1}`},
		{JSON, map[string]any{"é": []float64{1, 0.5}, "b": "𝄞"}, `{"b": "\ud834\udd1e", "\u00e9": [1.0, 0.5]}`},
		{JSON, struct{ A int }{1}, `{"A":1}`},
		{JSON, math.Inf(1), errors.New("JSON has no +Inf")},
		{JSON, map[string]any{"a": []any{math.Inf(1)}}, errors.New(`key "a": element 0: JSON has no +Inf`)},
		{JSON, "{", errors.New("the text is no valid JSON")},
		{JSON, 5.5, `5.5`},
		{Int64List, []int16{1, -2}, []int64{1, -2}},
		{Int64List, [2]int{3, 4}, []int64{3, 4}},
		{Int64List, []int64(nil), nil},
		{Int64List, []int64{}, []int64{}},
		{Int64List, json.RawMessage(`[1, null]`), []int64{1, 0}},
		{Int64List, []byte(`[1, 2.5]`), errors.New("element 1: a number does not convert to Int64")},
		{Int64List, []byte(`[1] 2`), errors.New("malformed JSON: something follows the value")},
		{Int64List, []byte(`null`), errors.New("a JSON null is no array")},
		{Int64List, "[1]", errors.New("a string does not convert to Array(Int64)")},
		{Int64List, []string{"1"}, errors.New("element 0: a string does not convert to Int64")},
		{Int64List, 5, errors.New("an int does not convert to Array(Int64)")},
		{Int64List, math.NaN(), errors.New("a float64 does not convert to Array(Int64)")},
		{Int32List, []int64{1 << 31}, errors.New("element 0: 2147483648 is out of range for Int32")},
		{Float32List, []float64{0.5, 1}, []float32{0.5, 1}},
		{Float64List, []float32{0.5}, []float64{0.5}},
		{Float64List, []celsius{0.5}, []float64{0.5}},
		{StringList, cities{"a", ""}, []string{"a", ""}},
		{StringList, []string{"\xff"}, errors.New("element 0: malformed value: text is not UTF-8")},
		{BytesList, [][]byte{{1}, nil}, [][]byte{{1}, {}}},
		{UnixTimestampList, []time.Time{day}, []int64{day.Unix()}},
		{UnixTimestampList, []any{nil, day}, []int64{NullUnixTimestamp, day.Unix()}},
		{UUIDList, []userID{{15: 1}}, [][16]byte{{15: 1}}},
		{DecimalList, []any{"1.0", big.NewInt(2)}, []string{"1.0", "2"}},
		{JSONList, []any{`{"a":1}`, map[string]any{"b": 2}, 5}, []json.RawMessage{[]byte(`{"a":1}`), []byte(`{"b": 2}`), []byte(`5`)}},
		{StringSet, map[string]struct{}{"b": {}, "a": {}}, []string{"a", "b"}},
		{StringSet, []string{"b", "a", "b"}, []string{"b", "a"}},
		{Int64Set, []int64{3, 1, 3, 1}, []int64{3, 1}},
		{Map, map[string]int32{"a": 1}, map[string]any{"a": int32(1)}},
		{Map, map[currency]int{"a": 1}, map[string]any{"a": int64(1)}},
		{Map, map[string]any{"a": nil, "b": []string{"x"}, "c": map[string]any{"d": 1}, "e": []any{[]any{1}, nil}},
			map[string]any{"a": nil, "b": []string{"x"}, "c": map[string]any{"d": int64(1)}, "e": []any{[]int64{1}, nil}}},
		{Map, `{"a": [1.5, 2]}`, errors.New(`key "a": element 1: a list holds elements of one type, and this has Float64 and Int64`)},
		{Map, `{"a": []}`, errors.New(`key "a": a list without elements has no type here: give a typed slice`)},
		{Map, `[1]`, errors.New("malformed JSON: json: cannot unmarshal array into Go value of type map[string]interface {}")},
		{Map, map[string]any{"a": struct{}{}}, errors.New(`key "a": a struct {} has no type that can be stored`)},
		{Map, map[string]any{"\xff": 1}, errors.New(`key "\xff": malformed value: text is not UTF-8`)},
		{Map, map[int]int{1: 1}, errors.New("a []types.MapEntry does not convert to Map")},
		{Struct, map[string]any(nil), nil},
		{MapList, []map[string]any{{"a": 1}, {}}, []map[string]any{{"a": int64(1)}, {}}},
		{MapList, json.RawMessage(`[{"a": 1}, "{}"]`), []map[string]any{{"a": int64(1)}, {}}},
		{MapList, []int{1}, errors.New("element 0: an int does not convert to Map")},
		{ValueList, [][]int64{{1}, {}, nil}, []any{[]int64{1}, []int64{}, nil}},
		{ValueList, []any{[]any{}, []byte(`[]`), json.RawMessage(`[1]`)}, []any{nil, nil, []int64{1}}},
		{ValueList, [][][]string{{{"a"}}}, []any{[]any{[]string{"a"}}}},
		{ValueSet, json.RawMessage(`[["a"], [true]]`), []any{[]string{"a"}, []bool{true}}},
		{ValueList, []int{1}, errors.New("element 0: an int is no list")},
		{ScalarMap, map[int64]string{2: "b", 1: "a"}, []MapEntry{{int64(1), "a"}, {int64(2), "b"}}},
		{ScalarMap, []MapEntry{{true, nil}, {"1.5", 1.5}, {[]byte("k"), "v"}, {day, 1}, {[16]byte{15: 1}, true}, {float32(2), int32(2)}},
			[]MapEntry{{true, nil}, {"1.5", 1.5}, {[]byte("k"), "v"}, {day.Unix(), int64(1)}, {[16]byte{15: 1}, true}, {float32(2), int32(2)}}},
		{ScalarMap, map[string]any{"a": 1}, errors.New("the keys of a ScalarMap are no strings; for those there is Map")},
		{ScalarMap, []MapEntry{{"a", 1}}, errors.New(`key "a": the keys of a ScalarMap are no strings, but those of decimal numbers`)},
		{ScalarMap, []MapEntry{{nil, 1}}, errors.New("a <nil> is no key of a ScalarMap")},
		{ScalarMap, 5, errors.New("an int does not convert to ScalarMap")},
	} {
		c := NewColumn("f", tc.typ, 1)
		err := c.SetNative(0, tc.in)
		if want, ok := tc.want.(error); ok {
			if err == nil || err.Error() != want.Error() || c.Status(0) != NotFound {
				t.Errorf("%v as %s: %v, want %v", tc.in, tc.typ, err, want)
			}
			if text, ok := tc.in.(string); ok {
				if err := c.SetText(0, text); err == nil || err.Error() != want.Error() || c.Status(0) != NotFound {
					t.Errorf("%q as %s: SetText: %v, want %v", text, tc.typ, err, want)
				}
			}
			continue
		}
		status := Present
		if tc.want == nil {
			status = NullValue
			if b := c.AppendValue(nil, 0); len(b) > 0 {
				t.Errorf("%v as %s: a null is stored as %x", tc.in, tc.typ, b)
			}
		}
		got := c.Any(0)
		if text, ok := tc.want.(string); ok && tc.typ == JSON {
			tc.want = json.RawMessage(text)
		}
		if err != nil || c.Status(0) != status || !deepEqual(got, tc.want) {
			t.Errorf("%v as %s is %#v, %v, %v, want %#v", tc.in, tc.typ, got, c.Status(0), err, tc.want)
		}
		if text, ok := tc.in.(string); ok {
			if err := NewColumn("f", tc.typ, 1).SetText(0, text); err != nil {
				t.Errorf("%q as %s: SetText: %v", text, tc.typ, err)
			}
		}
		again := NewColumn("f", tc.typ, 1)
		if err := again.SetValue(0, c.AppendValue(nil, 0)); err != nil || !deepEqual(again.Any(0), got) {
			t.Errorf("%v as %s reads back as %#v, %v", tc.in, tc.typ, again.Any(0), err)
		}
	}
}

func deepEqual(a, b any) bool {
	if at, ok := a.(time.Time); ok {
		bt, ok := b.(time.Time)
		_, x := at.Zone()
		_, y := bt.Zone()
		return ok && at.Equal(bt) && x == y
	}
	return reflect.DeepEqual(a, b)
}

// TestSetNativeDeep nests values deeper than can be read back.
func TestSetNativeDeep(t *testing.T) {
	var m, list any = map[string]any{}, []any{1}
	for range 2 * maxDepth {
		m, list = map[string]any{"m": m}, []any{list}
	}
	for typ, v := range map[Type]any{Map: m, ValueList: list, JSON: m} {
		if err := NewColumn("f", typ, 1).SetNative(0, v); !errors.Is(err, errDepth) {
			t.Errorf("%s: %v", typ, err)
		}
	}
	// What holds itself is nested without end.
	self, loop := map[string]any{}, []any{nil, nil}
	self["self"], self["too"], loop[0], loop[1] = self, self, loop, loop
	for typ, values := range map[Type][]any{
		Map: {self, map[string]any{"a": loop}}, JSON: {self, loop}, ValueList: {loop}, MapList: {[]any{self}}, JSONList: {[]any{self}},
		ScalarMap: {[]MapEntry{{Key: 1, Value: self}}, []MapEntry{{Key: 1, Value: loop}}},
	} {
		for _, v := range values {
			err := NewColumn("f", typ, 1).SetNative(0, v)
			if err == nil || err.Error() != "malformed value: nested deeper than 100 levels" {
				t.Errorf("%s: %v", typ, err)
			}
		}
	}
}

// pointer may point to itself.
type pointer *pointer

// TestSetNativePointers follows pointers, also those that go round.
func TestSetNativePointers(t *testing.T) {
	round, any1, five, none := new(pointer), new(any), new(5), (*int)(nil)
	*round, *any1 = round, any1
	var held any = &five // a pointer to a pointer
	for _, typ := range []Type{Int64, String, Bytes, UnixTimestamp, Int64List, Map, JSON, ValueList, ScalarMap} {
		for _, v := range []any{pointer(round), round, any1, *any1} {
			if err := NewColumn("f", typ, 1).SetNative(0, v); !errors.Is(err, errDepth) {
				t.Errorf("%s of %T: %v", typ, v, err)
			}
		}
	}
	for _, v := range []any{[]any{1, any1}, []pointer{round}} {
		if err := NewColumn("f", Int64List, 1).SetNative(0, v); err == nil || !strings.Contains(err.Error(), "nested deeper than 100 levels") {
			t.Errorf("%T: %v", v, err)
		}
	}
	for _, c := range []struct {
		v    any
		want any
	}{{&five, int64(5)}, {&held, int64(5)}, {&none, nil}, {new(any), nil}} {
		got := NewColumn("f", Int64, 1)
		if err := got.SetNative(0, c.v); err != nil || got.Any(0) != c.want {
			t.Errorf("%T: %v, %v, want %v", c.v, got.Any(0), err, c.want)
		}
	}
}

// TestSetNativeNumbers: a json.Number is text that anybody may have made.
func TestSetNativeNumbers(t *testing.T) {
	for _, typ := range []Type{JSON, JSONList, Map, Float64, Int64} {
		for _, text := range []string{"zz", "", "true", "1,2", "-", "1e", "{}", "1 ", " 1", "01"} {
			if typ != JSON && typ != JSONList && strings.Trim(text, " 01") == "" && text != "" {
				continue // which Feast reads as 1
			}
			var v any = json.Number(text)
			switch typ {
			case JSONList:
				v = []any{v}
			case JSON, Map:
				v = map[string]any{"a": v}
			}
			c := NewColumn("f", typ, 1)
			if err := c.SetNative(0, v); err == nil || c.Valid(0) {
				t.Errorf("%s: %q is stored as %v", typ, text, c.Any(0))
			}
		}
	}
	c := NewColumn("f", JSON, 1)
	if err := c.SetNative(0, map[string]any{"a": []any{json.Number("-1.5e+10"), json.Number("0"), json.Number("12345678901234567890")}}); err != nil {
		t.Fatal(err)
	}
	if got, want := string(c.Bytes(0)), `{"a": [-1.5e+10, 0, 12345678901234567890]}`; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}

func TestZoneNames(t *testing.T) {
	at := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	for _, tc := range []struct {
		zone *time.Location
		want string
	}{
		{time.UTC, "UTC"},
		{time.FixedZone("", 0), "UTC"},
		{time.FixedZone("WAT", 0), "UTC"},
		{zone("Europe/London"), "Europe/London"},
		{zone("Africa/Abidjan"), "Africa/Abidjan"},
		{time.FixedZone("CEST", 7200), "UTC+02:00"},
		{time.FixedZone("UTC-03:30", -12600), "UTC-03:30"},
		{time.FixedZone("", 19801), "UTC+05:30:01"},
		{time.FixedZone("Europe/Berlin", 3600), "UTC+01:00"}, // in July it is two hours
		{time.FixedZone("\xff", 3600), "UTC+01:00"},
	} {
		if got := zoneName(at.In(tc.zone)); got != tc.want {
			t.Errorf("%v is %q, want %q", tc.zone, got, tc.want)
		}
	}
}

// TestSetNativeAllocates holds that slices go to their cells without boxing.
func TestSetNativeAllocates(t *testing.T) {
	var b Block
	fields := []Field{{"floats", Float32List}, {"wide", Float32List}, {"ints", Int64List}, {"texts", StringList}, {"bytes", BytesList}, {"set", Int64Set}}
	floats, wide, ints := []float32{1, 2, 3}, []float64{1, 2, 3}, []int64{1, 2, 2}
	texts, raws := []string{"a", "bc"}, [][]byte{{1}, {2}}
	if n := testing.AllocsPerRun(20, func() {
		b.Reset(fields, 10)
		cols := b.Columns()
		for row := range 10 {
			if err := errors.Join(SetList(&cols[0], row, floats), SetList(&cols[1], row, wide), SetList(&cols[2], row, ints),
				SetList(&cols[3], row, texts), SetList(&cols[4], row, raws), SetList(&cols[5], row, ints)); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	cols := b.Columns()
	for i, want := range []int{3, 3, 3, 2, 2, 2} {
		if got := cols[i].ListLen(9); got != want {
			t.Errorf("%s has %d elements, want %d", cols[i].Name(), got, want)
		}
	}
	if n := NewColumn("f", Int64, 1).ListLen(0); n != 0 {
		t.Errorf("a number has %d elements", n)
	}
}

// TestDistinct drops what is there twice from sets small and large.
func TestDistinct(t *testing.T) {
	var texts []string
	var numbers []int64
	for i := range 500 {
		texts, numbers = append(texts, strconv.Itoa(i%100)), append(numbers, int64(i%100))
	}
	for _, n := range []int{0, 1, 20, 120, 500} {
		a, b := NewColumn("f", StringSet, 1), NewColumn("f", Int64Set, 1)
		if err := errors.Join(SetList(a, 0, texts[:n]), SetList(b, 0, numbers[:n])); err != nil {
			t.Fatal(err)
		}
		if !deepEqual(a.Any(0), texts[:min(n, 100)]) || !deepEqual(b.Any(0), numbers[:min(n, 100)]) {
			t.Errorf("of %d: %v, %v", n, a.Any(0), b.Any(0))
		}
	}
}

// FuzzSetNative stores JSON text as every type, as text and as what it holds. What is stored is what the protobuf library
// reads, and reads back as it was.
func FuzzSetNative(f *testing.F) {
	for _, tc := range golden[[]struct {
		ValueType string `json:"value_type"`
		Input     []any
	}](f, "value_conversion.json") {
		typ, _ := ParseType(tc.ValueType)
		for _, in := range tc.Input {
			if text, err := json.Marshal(in); err == nil {
				f.Add(uint8(typ), text)
			}
		}
	}
	for _, text := range []string{`[[1],[null]]`, `{"a":{"b":[{"c":null}]}}`, `"1e5"`, `1e400`, `-0`, `[]`, `"\ud800"`, "\xff"} {
		f.Add(uint8(Map), []byte(text))
		f.Add(uint8(ValueList), []byte(text))
	}
	f.Fuzz(func(t *testing.T, typ uint8, text []byte) {
		values := []any{string(text), text, json.RawMessage(text)}
		var v any
		if parseJSON(text, &v) == nil {
			values = append(values, v)
		}
		for _, v := range values {
			c := NewColumn("f", Type(typ), 1)
			if err := c.SetNative(0, v); err != nil {
				if c.states()[0] != 0 {
					t.Fatalf("an error left something in the cell: %v", err)
				}
				continue
			}
			raw := c.AppendValue(nil, 0)
			if err := proto.Unmarshal(raw, new(pb.Value)); err != nil {
				t.Fatalf("%v is stored as %x: %v", v, raw, err)
			}
			back := NewColumn("f", Type(typ), 1)
			if err := back.SetValue(0, raw); err != nil || back.Mixed() || !bytes.Equal(back.AppendValue(nil, 0), raw) {
				t.Fatalf("%v is stored as %x, which reads back as %x, %v", v, raw, back.AppendValue(nil, 0), err)
			}
		}
	})
}
