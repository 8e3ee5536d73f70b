package types

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
)

// TestSetScalar holds Feast's coercions of entity values.
func TestSetScalar(t *testing.T) {
	at := time.Date(1969, 12, 31, 23, 59, 58, 500_000_000, time.UTC)
	for _, tc := range []struct {
		typ  Type
		in   any
		want any // what Any answers; an error text
	}{
		{Int64, 5, int64(5)},
		{Int64, int8(-5), int64(-5)},
		{Int64, uint16(5), int64(5)},
		{Int64, uint64(math.MaxUint64), errors.New("18446744073709551615 is out of range for Int64")},
		{Int64, true, int64(1)},
		{Int64, false, int64(0)},
		{Int64, 1002.9, int64(1002)},
		{Int64, float32(-1.5), int64(-1)},
		{Int64, math.Inf(1), errors.New("+Inf does not convert to a whole number")},
		{Int64, 9.3e18, errors.New("9.3e+18 is out of range for Int64")},
		{Int64, "1001", int64(1001)},
		{Int64, " -1_000 ", int64(-1000)},
		{Int64, "abc", errors.New(`text "abc" is no whole number`)},
		{Int64, "+-1", errors.New(`text "+-1" is no whole number`)},
		{Int64, "9223372036854775808", errors.New("9223372036854775808 is out of range for Int64")},
		{Int64, json.Number("9223372036854775807"), int64(math.MaxInt64)},
		{Int64, json.Number("1.9"), int64(1)},
		{Int64, json.Number("1e400"), errors.New("number 1e400 is out of range")},
		{Int64, []any{1}, errors.New("a list does not convert to Int64")},
		{Int64, nil, errNull},
		{Int32, json.Number("-2147483648"), int32(math.MinInt32)},
		{Int32, int64(1) << 31, errors.New("2147483648 is out of range for Int32")},
		{Int32, "x", errors.New(`text "x" is no whole number`)},
		{UnixTimestamp, at, int64(-1)},
		{UnixTimestamp, at.Add(2 * time.Second), int64(0)},
		{UnixTimestamp, json.Number("7"), int64(7)},
		{UnixTimestamp, "7", int64(7)},
		{UnixTimestamp, 7.5, errors.New("a float64 does not convert to UnixTimestamp")},
		{UnixTimestamp, json.Number("7.5"), errors.New("a number does not convert to UnixTimestamp")},
		{UnixTimestamp, "x", errors.New(`text "x" is no whole number`)},
		{String, "é", "é"},
		{String, 5, "5"},
		{String, true, "True"},
		{String, false, "False"},
		{String, 1e16, "1e+16"},
		{String, float32(0.1), "0.10000000149011612"},
		{String, json.Number("5"), "5"},
		{String, json.Number("5.50"), "5.5"},
		{String, json.Number("1e400"), errors.New("a number does not convert to String")},
		{String, "\xff", errUTF8},
		{String, map[string]any{}, errors.New("a map does not convert to String")},
		{UUID, "x", "x"},
		{Decimal, "1.10", "1.10"},
		{Bytes, []byte{0xff}, []byte{0xff}},
		{Bytes, "x", errors.New("a string does not convert to Bytes")},
		{Bool, true, true},
		{Bool, json.Number("2"), true},
		{Bool, 0.0, errors.New("a float64 does not convert to Bool")},
		{Float64, 0.5, 0.5},
		{Float64, json.Number("0.5"), 0.5},
		{Float64, json.Number("1e400"), errors.New("number 1e400 is out of range")},
		{Float64, 3, 3.0},
		{Float64, "0.5", errors.New("a string does not convert to Float64")},
		{Float32, 0.1, float32(0.1)},
		{Int64List, []any{1}, errors.New("a list does not convert to Array(Int64)")},
	} {
		c := NewColumn("f", tc.typ, 1)
		err := c.SetScalar(0, tc.in)
		if want, ok := tc.want.(error); ok {
			if err == nil || err.Error() != want.Error() || c.Status(0) != NotFound {
				t.Errorf("%v as %s: %v, want %v", tc.in, tc.typ, err, want)
			}
			continue
		}
		if got := c.Any(0); err != nil || !c.Valid(0) || !equalAny(got, tc.want) {
			t.Errorf("%v as %s is %#v, %v, want %#v", tc.in, tc.typ, got, err, tc.want)
		}
	}
	c := column(t, Int64, stored(String, "odd"))
	c.SetInt64(0, 5)
	if c.Mixed() || c.Any(0) != int64(5) {
		t.Errorf("%v over an odd value", c.Any(0))
	}
	c = NewColumn("f", UnixTimestamp, 1)
	if c.SetInt64(0, NullUnixTimestamp); c.Status(0) != NullValue {
		t.Error("the stored null is no null")
	}
	if err := NewColumn("f", String, 1).SetString(0, "\xff"); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
}

func equalAny(a, b any) bool {
	if a, ok := a.([]byte); ok {
		return bytes.Equal(a, b.([]byte))
	}
	return a == b
}

func TestInfer(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want Type
	}{
		{1, Int64}, {uint8(1), Int64}, {json.Number("1"), Int64}, {json.Number("1.0"), Float64}, {json.Number("1E2"), Float64},
		{1.5, Float64}, {float32(1), Float64}, {"x", String}, {[]byte{}, Bytes}, {true, Bool}, {time.Time{}, UnixTimestamp},
		{nil, Invalid}, {[]any{}, Invalid},
	} {
		if got := Infer(tc.in); got != tc.want {
			t.Errorf("%T %v is %s, want %s", tc.in, tc.in, got, tc.want)
		}
	}
}

// TestGoldenKeyValues checks the values with which Feast's entity keys end.
func TestGoldenKeyValues(t *testing.T) {
	cases := golden[struct {
		Keys []struct {
			ID       string
			JoinKeys []string `json:"join_keys"`
			Values   []struct {
				Type  string
				Value any // a string where JSON has no such number
				Hex   string
			}
			Hex string
		} `json:"serialize_entity_key"`
	}](t, "entity_keys.json").Keys
	if len(cases) != 80 {
		t.Errorf("%d cases", len(cases))
	}
	for _, tc := range cases {
		order := make([]int, len(tc.JoinKeys))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(tc.JoinKeys[a], tc.JoinKeys[b]) })
		var got []byte
		for _, i := range order {
			v := tc.Values[i]
			c := NewColumn(tc.JoinKeys[i], typeOfField(t, v.Type), 1)
			if c.Type() == Bytes {
				b, err := hex.DecodeString(v.Hex)
				if err != nil {
					t.Fatal(err)
				}
				v.Value = b
			}
			if err := c.SetScalar(0, v.Value); err != nil {
				t.Fatal(err)
			}
			var ok bool
			if got, ok = c.AppendKeyValue(got, 0); !ok || !c.Type().CanBeKey() {
				t.Errorf("%s: %s cannot be a key", tc.ID, c.Type())
			}
		}
		if want, err := hex.DecodeString(tc.Hex); err != nil || !bytes.HasSuffix(want, got) {
			t.Errorf("%s: %x does not end in %x", tc.ID, want, got)
		}
	}
	for _, s := range samples {
		c := column(t, s.typ, stored(s.typ, s.value))
		if b, ok := c.AppendKeyValue(nil, 0); ok != s.typ.CanBeKey() || ok != (len(b) > 0) {
			t.Errorf("%s as a key: %x, %t", s.typ, b, ok)
		}
	}
	for _, c := range []*Column{NewColumn("f", Int64, 1), column(t, Int64, []byte{}), column(t, Int64, stored(String, "x"))} {
		if b, ok := c.AppendKeyValue(nil, 0); ok || len(b) > 0 {
			t.Errorf("a cell that is %s becomes %x", c.Status(0), b)
		}
	}
}
