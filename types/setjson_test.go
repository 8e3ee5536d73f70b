package types

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// Every stored form of the golden data, written as JSON and read again into a column of its type, is the same JSON again;
// where JSON tells all of the value, the bytes are the same, too.
func TestSetJSONGolden(t *testing.T) {
	// What the form of the feature server does not carry.
	lost := func(typ Type) bool {
		switch typ {
		case Map, Struct, MapList, StructList, ValueList, ValueSet: // types within
			return true
		case ScalarMap, Null: // null
			return true
		case ZonedTimestamp: // the name of the zone
			return true
		}
		return false
	}
	for _, tc := range goldenValues(t) {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			t.Fatal(err)
		}
		typ := typeOfField(t, tc.OneOf)
		was, c := NewColumn("f", typ, 1), NewColumn("f", typ, 1)
		if err := was.SetValue(0, raw); err != nil {
			t.Fatal(tc.ID, err)
		}
		text := was.AppendJSON(nil, 0)
		if err := c.SetJSON(0, text); err != nil {
			t.Errorf("%s: %s: %v", tc.ID, text, err)
			continue
		}
		if got := c.AppendJSON(nil, 0); !reflect.DeepEqual(decodeJSON(t, got), decodeJSON(t, text)) {
			t.Errorf("%s: %s, want %s", tc.ID, got, text)
		}
		if c.Odd(0) {
			t.Errorf("%s: %s is of another type", tc.ID, text)
		}
		want := was.AppendValue(nil, 0)
		if got := c.AppendValue(nil, 0); !lost(typ) && string(got) != string(want) {
			t.Errorf("%s: stored as %x, want %x", tc.ID, got, want)
		}
	}
}

func TestSetJSON(t *testing.T) {
	for _, test := range []struct {
		typ  Type
		json string
		want any
		odd  bool
	}{
		{Int64, `9223372036854775807`, int64(math.MaxInt64), false},
		{Int64, `-9223372036854775808`, int64(math.MinInt64), false},
		{Int64, `9223372036854775808`, float64(1 << 63), true},
		{Int64, `1.0`, 1.0, true},
		{Int64, `1e3`, 1000.0, true},
		{Int64, `"7"`, "7", true},
		{Int64, `null`, nil, false},
		{Int32, `-2147483648`, int32(math.MinInt32), false},
		{Int32, `2147483648`, int64(1 << 31), true},
		{Float64, `4`, 4.0, false},
		{Float64, `-0.0`, math.Copysign(0, -1), false},
		{Float64, `"-Infinity"`, math.Inf(-1), false},
		{Float64, `"inf"`, "inf", true},
		{Float32, `0.10000000149011612`, float32(0.1), false},
		{Float32, `0.1`, float32(0.1), false},
		{Float32, `1e300`, 1e300, true},
		{Bool, `true`, true, false},
		{Bool, `1`, int64(1), true},
		{String, `"a\u00e9\ud83d\ude00\n\/\\"`, "aé😀\n/\\", false},
		{String, `""`, "", false},
		{String, `7`, int64(7), true},
		{String, `{"a":[1,null]}`, map[string]any{"a": []int64{1, 0}}, true},
		{Bytes, `"AAH/"`, []byte{0, 1, 0xff}, false},
		{Bytes, `"AAH\/"`, []byte{0, 1, 0xff}, false},
		{Bytes, `"no base64"`, "no base64", true},
		{UnixTimestamp, `-9223372036854775808`, int64(NullUnixTimestamp), false},
		{Int64List, `[ 1 , -2 ]`, []int64{1, -2}, false},
		{Int64List, `[]`, []int64{}, false},
		{Int64List, `[1,2.5]`, []float64{1, 2.5}, true},
		{Int32List, `[2147483648]`, []int64{1 << 31}, true},
		{Float32List, `[0.5,"NaN","Infinity"]`, nil, false}, // see below
		{BoolList, `[true,false]`, []bool{true, false}, false},
		{StringSet, `["a","\"b"]`, []string{"a", `"b`}, false},
		{StringList, `["a",1]`, nil, false},
		{BytesList, `["AAH/",""]`, [][]byte{{0, 1, 0xff}, {}}, false},
		{Map, `{"k":"1","n":{"x":1.5}}`, map[string]any{"k": "1", "n": map[string]any{"x": 1.5}}, false},
		{StructList, `[{"a":1},{}]`, []map[string]any{{"a": int64(1)}, {}}, false},
		{ValueList, `[[1,1],null]`, []any{[]int64{1, 1}, nil}, false},
		{ZonedTimestamp, `"2024-07-01T12:00:00-04:00"`, time.Date(2024, 7, 1, 12, 0, 0, 0, time.FixedZone("UTC-04:00", -4*3600)), false},
		{ZonedTimestamp, `"soon"`, "soon", true},
		{ScalarMap, `null`, nil, false},
		{Invalid, `[]`, []any{}, true},
		{Invalid, `["NaN",1]`, nil, false},
	} {
		c := NewColumn("f", test.typ, 1)
		err := c.SetJSON(0, []byte(test.json))
		switch {
		case test.json == `["a",1]`:
			if !errors.Is(err, feasterr.ErrInvalid) || c.Status(0) != NotFound {
				t.Errorf("%s: %v", test.json, err)
			}
			continue
		case err != nil:
			t.Errorf("%s %s: %v", test.typ, test.json, err)
			continue
		case test.typ == Float32List:
			l, err := Lists[float32](c)
			if v := l.At(0); err != nil || len(v) != 3 || v[0] != 0.5 || v[1] == v[1] || !math.IsInf(float64(v[2]), 1) {
				t.Errorf("%s: %v %v", test.json, v, err)
			}
			continue
		case test.json == `["NaN",1]`:
			if v, ok := c.Any(0).([]float64); !ok || v[0] == v[0] || v[1] != 1 {
				t.Errorf("%s: %v", test.json, c.Any(0))
			}
			continue
		}
		got := c.Any(0)
		if at, ok := got.(time.Time); ok && !at.Equal(test.want.(time.Time)) || !ok && !reflect.DeepEqual(got, test.want) || c.Odd(0) != test.odd {
			t.Errorf("%s %s: %#v, want %#v (odd %v)", test.typ, test.json, got, test.want, c.Odd(0))
		}
		if want := Present; test.want != nil && test.want != any(int64(NullUnixTimestamp)) && c.Status(0) != want {
			t.Errorf("%s %s: status %v", test.typ, test.json, c.Status(0))
		}
	}
	for _, bad := range []string{
		"", "nul", "nope", "01", "1.", "--1", "+1", ".5", "1e", "tru", `"`, `"a`, `"\x"`, `"\ud800"`, `"\u12"`, "\"\xff\"", "\"\n\"", `"a"b"`, "[1", "[1,]",
		"[,]", "[1 2]", "]", "{", `{"a"}`, "[[1}]", "NaN", "Infinity", "1e999",
	} {
		for _, typ := range everyType() {
			c := NewColumn("f", typ, 1)
			if err := c.SetJSON(0, []byte(bad)); err == nil || c.Status(0) != NotFound || c.Any(0) != nil {
				t.Errorf("%s took %q: %#v, %v", typ, bad, c.Any(0), err)
			}
		}
	}
}

func TestJSONGuess(t *testing.T) {
	for _, test := range []struct {
		want   Type
		values []string
	}{
		{Invalid, nil},
		{Invalid, []string{"null"}},
		{Int64, []string{"null", "1", "-5"}},
		{Float64, []string{"1", "2.5"}},
		{Float64, []string{`"NaN"`, "2.5"}},
		{Float64, []string{`"NaN"`, "2"}},
		{String, []string{`"NaN"`}},
		{String, []string{`"NaN"`, `"x"`}},
		{Bool, []string{"true"}},
		{Map, []string{"{}"}},
		{Int64List, []string{"[]", "[1]", "null"}},
		{Float64List, []string{"[1]", "[1.5]"}},
		{StringList, []string{`["a"]`}},
		{BoolList, []string{"[true]"}},
		{MapList, []string{"[{}]"}},
		{ValueList, []string{"[[1],null]"}},
		{ValueList, []string{"[]"}},
		{Invalid, []string{"1", `"a"`}},
		{Invalid, []string{"[1", "2"}},
	} {
		var g JSONGuess
		for _, v := range test.values {
			g.Add([]byte(v))
		}
		if got := g.Type(); got != test.want {
			t.Errorf("%q: %v, want %v", test.values, got, test.want)
		}
	}
}

// A value costs no allocation, whatever its type, once the column has grown.
func TestSetJSONAllocates(t *testing.T) {
	for typ, text := range map[Type]string{
		Int64: "1001", Float32: "0.10000000149011612", Float64: "0.1", Bool: "true", String: `"a\nb"`, Bytes: `"AAH/"`,
		Float32List: "[0.1,0.2]", StringList: `["a","b"]`, UnixTimestamp: "null",
	} {
		var b Block
		fields, value := []Field{{"f", typ}}, []byte(text)
		set := func() {
			b.Reset(fields, 1)
			if err := b.Columns()[0].SetJSON(0, value); err != nil {
				t.Fatal(err)
			}
		}
		set()
		if n := testing.AllocsPerRun(100, set); n != 0 {
			t.Errorf("%s: %v allocations", typ, n)
		}
	}
}

// FuzzJSON: hostile text is an error or a value that can be written and read again.
func FuzzJSON(f *testing.F) {
	for _, tc := range goldenValues(f) {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			f.Fatal(err)
		}
		typ := typeOfField(f, tc.OneOf)
		c := NewColumn("f", typ, 1)
		if err := c.SetValue(0, raw); err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(typ), c.AppendJSON(nil, 0))
		f.Add(uint8(Int64), c.AppendJSON(nil, 0))
	}
	f.Fuzz(func(t *testing.T, typ uint8, text []byte) {
		c := NewColumn("f", Type(typ), 1)
		if err := c.SetJSON(0, text); err != nil {
			if c.Status(0) != NotFound || c.Any(0) != nil {
				t.Fatal("an error left something in the cell")
			}
			return
		}
		if c.Status(0) == NotFound {
			t.Fatal("no status")
		}
		again := NewColumn("f", Type(typ), 1)
		out := c.AppendJSON(nil, 0)
		if err := again.SetJSON(0, out); err != nil {
			t.Fatalf("%s became %s: %v", text, out, err)
		}
		if !again.Odd(0) && !c.Odd(0) && !c.HasValue(0) != !again.HasValue(0) {
			t.Fatalf("%s became %s", text, out)
		}
		raw := NewColumn("f", Type(typ), 1)
		if err := raw.SetValue(0, c.AppendValue(nil, 0)); err != nil {
			t.Fatalf("%s was stored as what cannot be read: %v", text, err)
		}
	})
}
