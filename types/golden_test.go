package types

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/serving"
)

// The files in testdata were written by Feast 0.67.

// golden decodes a file of testdata, numbers as text.
func golden[T any](t testing.TB, name string) (out T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

type goldenValue struct {
	ID      string
	OneOf   string
	Hex     string
	Python  any     `json:"python_value"`
	SQLText *string `json:"sql_value_text"`
	SQLNum  any     `json:"sql_value_num"`
}

func goldenValues(t testing.TB) []goldenValue {
	return golden[struct{ Cases []goldenValue }](t, "values.json").Cases
}

// everyType lists all valid types.
func everyType() (out []Type) {
	for t := range maxType + 1 {
		if t.Valid() {
			out = append(out, t)
		}
	}
	return out
}

// typeOfField returns the type that a member of feast.types.Value carries; the unset Value counts as Int64.
func typeOfField(t testing.TB, field string) Type {
	if field == "(unset)" {
		return Int64
	}
	for _, typ := range everyType() {
		if typ.ValueField() == field {
			return typ
		}
	}
	t.Fatalf("no type has the field %q", field)
	return Invalid
}

// TestGoldenValues sends every stored form through a column of every type, so that each but one or two is mixed.
func TestGoldenValues(t *testing.T) {
	cases := goldenValues(t)
	if len(cases) != 131 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, tc := range cases {
		raw, err := hex.DecodeString(tc.Hex)
		if err != nil {
			t.Fatal(err)
		}
		own := typeOfField(t, tc.OneOf)
		ref := NewColumn("ref", own, 1)
		if err := ref.SetValue(0, raw); err != nil {
			t.Errorf("%s: %v", tc.ID, err)
			continue
		}
		wantJSON := ref.AppendJSON(nil, 0)
		null := tc.OneOf == "(unset)" || tc.OneOf == "null_val" || tc.OneOf == "unix_timestamp_val" && tc.Python == nil
		if tc.OneOf == "null_val" {
			tc.Python = nil // departure 1: null_val is a null, not Python's number of the enum
		}
		for _, typ := range everyType() {
			name := fmt.Sprintf("%s %s in %s", tc.ID, tc.OneOf, typ)
			c := NewColumn("f", typ, 2)
			if err := c.SetValue(0, raw); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			wantRaw, widened := raw, false
			switch { // departure 38
			case typ == Int64 && own == Int32:
				wantRaw, widened = append([]byte{4 << 3}, raw[1:]...), true
			case typ == Float64 && own == Float32:
				wide := NewColumn("f", Float64, 1)
				f, _ := ref.Number(0)
				wide.f64()[0], wide.states()[0] = f, byte(Present)
				wantRaw, widened = wide.AppendValue(nil, 0), true
			}
			if got := c.AppendValue([]byte("x"), 0); string(got) != "x"+string(wantRaw) {
				t.Errorf("%s: AppendValue = %x, want %x", name, got[1:], wantRaw)
			}
			wantStatus := Present
			if null {
				wantStatus = NullValue
			}
			if got := c.Status(0); got != wantStatus || c.Valid(0) == null {
				t.Errorf("%s: status %s", name, got)
			}
			if mixed := own.member() != typ.member() && tc.Hex != "" && !widened; c.Mixed() != mixed {
				t.Errorf("%s: Mixed = %t", name, !mixed)
			}
			if got := c.Any(0); !samePython(got, tc.Python, hex.DecodeString) {
				t.Errorf("%s: Any = %#v, want %v", name, got, tc.Python)
			}
			if got := c.AppendJSON(nil, 0); !bytes.Equal(got, wantJSON) || !json.Valid(got) {
				t.Errorf("%s: JSON %s, want %s", name, got, wantJSON)
			}
			if got, ok := c.AppendText(nil, 0); ok != (tc.SQLText != nil) || ok && string(got) != *tc.SQLText {
				t.Errorf("%s: text %q, %t", name, got, ok)
			}
			if got, ok := c.Number(0); ok != (tc.SQLNum != nil) || ok && !samePython(got, tc.SQLNum, nil) {
				t.Errorf("%s: number %v, %t, want %v", name, got, ok, tc.SQLNum)
			}

			c.CopyCell(1, 0)
			copied := NewColumn("g", typ, 1)
			if err := copied.CopyFrom(c, 0); err != nil {
				t.Error(err)
			}
			if got := c.AppendValue(nil, 1); !bytes.Equal(got, wantRaw) || c.states()[1] != c.states()[0] {
				t.Errorf("%s: CopyCell = %x", name, got)
			}
			if got := copied.AppendValue(nil, 0); !bytes.Equal(got, wantRaw) || copied.states()[0] != c.states()[0] {
				t.Errorf("%s: CopyFrom = %x", name, got)
			}
		}
	}
}

func TestGoldenValueConversion(t *testing.T) {
	cases := golden[[]struct {
		ValueType string   `json:"value_type"`
		Hex       []string `json:"values_hex"`
		Back      []any
	}](t, "value_conversion.json")
	n := 0
	for i, tc := range cases {
		for row, text := range tc.Hex {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			typ, ok := ParseType(tc.ValueType)
			if !ok { // UNKNOWN: Feast infers the type
				typ = String
			}
			c := NewColumn("f", typ, 1)
			if err := c.SetValue(0, raw); err != nil {
				t.Errorf("case %d, row %d: %v", i, row, err)
			}
			if got := c.Any(0); !samePython(got, tc.Back[row], base64.StdEncoding.DecodeString) {
				t.Errorf("case %d, row %d: %s %s is %#v, want %v", i, row, tc.ValueType, text, got, tc.Back[row])
			}
			if got := c.AppendValue(nil, 0); !bytes.Equal(got, raw) {
				t.Errorf("case %d, row %d: AppendValue = %x, want %s", i, row, got, text)
			}
			n++
		}
	}
	if n != 102 {
		t.Errorf("%d values", n)
	}
}

// TestGoldenJSON renders every value that Feast's server answered.
func TestGoldenJSON(t *testing.T) {
	cases := golden[[]struct {
		ID       string
		Response *struct {
			HTTP struct {
				Results []struct{ Values []any }
			} `json:"http_json"`
			Proto []byte `json:"proto_base64"`
		}
	}](t, "online_features.json")
	n := 0
	for _, tc := range cases {
		if tc.Response == nil {
			continue
		}
		var resp serving.GetOnlineFeaturesResponse
		if err := proto.Unmarshal(tc.Response.Proto, &resp); err != nil {
			t.Fatal(err)
		}
		for i, result := range resp.Results {
			for row, v := range result.Values {
				raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				typ := parseValue(raw).typ
				for _, typ := range []Type{typ, JSONList} { // and mixed
					c := NewColumn("f", typ, 1)
					if err := c.SetValue(0, raw); err != nil {
						t.Fatal(err)
					}
					got, want := decodeJSON(t, c.AppendJSON(nil, 0)), tc.Response.HTTP.Results[i].Values[row]
					if !reflect.DeepEqual(got, want) {
						t.Errorf("%s: column %d, row %d: %v, want %v", tc.ID, i, row, got, want)
					}
					if got := c.AppendValue(nil, 0); !bytes.Equal(got, raw) {
						t.Errorf("%s: column %d, row %d: AppendValue = %x, want %x", tc.ID, i, row, got, raw)
					}
				}
				n++
			}
		}
	}
	if n != 537 {
		t.Errorf("%d values", n)
	}
}

func decodeJSON(t testing.TB, b []byte) (out any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return out
}

func TestGoldenTypeTables(t *testing.T) {
	tables := golden[struct {
		Numbers    map[string]Type `json:"value_type_numbers"`
		Primitives []struct {
			String    string
			ValueType string `json:"value_type"`
		} `json:"primitive_feast_types"`
		Fields     map[string]string `json:"value_type_to_proto_field"`
		FeastTypes []struct {
			FeastType string `json:"feast_type"`
			ValueType string `json:"value_type"`
		} `json:"feast_type_to_value_type_and_arrow"`
		ValueTypes map[string]struct {
			FeastType string `json:"feast_type"`
		} `json:"value_type_to"`
	}](t, "type_tables.json")

	if got, want := len(everyType()), len(tables.Numbers)-1; got != want {
		t.Errorf("%d types, want %d", got, want)
	}
	for name, typ := range tables.Numbers {
		if typ.EnumName() != name {
			t.Errorf("%d is named %s, want %s", typ, typ.EnumName(), name)
		}
		if got, ok := ParseType(name); ok != (typ != Invalid) || got != typ {
			t.Errorf("ParseType(%s) = %s, %t", name, got, ok)
		}
	}
	for _, p := range tables.Primitives {
		if typ := tables.Numbers[p.ValueType]; typ.String() != p.String {
			t.Errorf("%s is named %s, want %s", p.ValueType, typ, p.String)
		}
	}
	for name, field := range tables.Fields {
		if got := tables.Numbers[name].ValueField(); got != field {
			t.Errorf("%s: field %s, want %s", name, got, field)
		}
	}
	for _, f := range tables.FeastTypes {
		got, ok := ParseType(f.FeastType)
		if f.ValueType == "" {
			f.ValueType = "UNKNOWN"
		}
		if want := tables.Numbers[f.ValueType]; got != want || ok != (want != Invalid) {
			t.Errorf("ParseType(%s) = %s, %t, want %s", f.FeastType, got, ok, want)
		}
	}
	for name, v := range tables.ValueTypes {
		if name == "UNKNOWN" || name == "NULL" {
			continue
		}
		if got, ok := ParseType(v.FeastType); !ok || got != tables.Numbers[name] {
			t.Errorf("ParseType(%s) = %s, %t, want %s", v.FeastType, got, ok, name)
		}
	}
}

func TestGoldenTimestamps(t *testing.T) {
	cases := golden[struct {
		Timestamps []struct {
			ISO     string
			Seconds int64 `json:",string"`
			Nanos   int32
			Hex     string
		} `json:"timestamp_proto"`
	}](t, "entity_keys.json").Timestamps
	if len(cases) != 9 {
		t.Errorf("%d cases", len(cases))
	}
	for _, tc := range cases {
		at, err := time.Parse("2006-01-02T15:04:05Z07:00", tc.ISO)
		if err != nil {
			if at, err = time.Parse("2006-01-02T15:04:05", tc.ISO); err != nil { // without zone: UTC
				t.Fatal(err)
			}
		}
		want := Timestamp{tc.Seconds, tc.Nanos}
		if got := TimestampOf(at); got != want || !got.Time().Equal(at) {
			t.Errorf("%s is %d, want %d", tc.ISO, got, want)
		}
		if got := hex.EncodeToString(want.AppendProto(nil)); got != tc.Hex {
			t.Errorf("%s: proto %s, want %s", tc.ISO, got, tc.Hex)
		}
		raw, _ := hex.DecodeString(tc.Hex)
		if got, err := ParseTimestamp(raw); got != want || err != nil {
			t.Errorf("%s: parsed as %d, %v", tc.Hex, got, err)
		}
	}
}

// samePython reports whether a value of [Column.Any] is what Feast's Python answers, in the tagged forms of the golden
// files. Sets and maps compare without order.
func samePython(got, want any, decodeBytes func(string) ([]byte, error)) bool {
	same := func(got, want any) bool { return samePython(got, want, decodeBytes) }
	tagged := func(name string) (text string, ok bool) {
		m, _ := want.(map[string]any)
		text, ok = m[name].(string)
		return text, ok
	}
	switch got := got.(type) {
	case nil, bool, json.Number:
		return got == want
	case string:
		if text, ok := tagged("$decimal"); ok {
			return text == got
		}
		return want == got
	case int32:
		return same(int64(got), want)
	case int64:
		if text, ok := tagged("$datetime"); ok {
			at, err := time.Parse(time.RFC3339, text)
			return err == nil && at.Unix() == got
		}
		if text, ok := tagged("$int"); ok {
			want = json.Number(text)
		}
		return want == json.Number(strconv.FormatInt(got, 10)) ||
			want == nil && got == NullUnixTimestamp // departure 33
	case float32:
		return same(float64(got), want)
	case float64:
		text, ok := tagged("$float")
		if n, isNumber := want.(json.Number); isNumber {
			text, ok = string(n), true
		}
		f, err := strconv.ParseFloat(text, 64)
		return ok && err == nil && (math.Float64bits(f) == math.Float64bits(got) || f != f && got != got)
	case []byte:
		text, ok := tagged("$bytes")
		b, err := decodeBytes(text)
		return ok && err == nil && bytes.Equal(b, got)
	case [16]byte:
		text, ok := tagged("$uuid")
		return ok && text == fmt.Sprintf("%x-%x-%x-%x-%x", got[:4], got[4:6], got[6:8], got[8:10], got[10:])
	case json.RawMessage: // Python parses where it can
		var v any
		d := json.NewDecoder(bytes.NewReader(got))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return want == string(got)
		}
		return same(v, want)
	case time.Time:
		text, _ := tagged("$datetime")
		at, err := time.Parse(time.RFC3339, text)
		_, gotOffset := got.Zone()
		_, wantOffset := at.Zone()
		return err == nil && at.Equal(got) && gotOffset == wantOffset
	case map[string]any:
		entries := []MapEntry{}
		for k, v := range got {
			entries = append(entries, MapEntry{k, v})
		}
		return same(entries, want)
	case MapEntry:
		pair, ok := want.([]any)
		return ok && len(pair) == 2 && same(got.Key, pair[0]) && same(got.Value, pair[1])
	}

	list := reflect.ValueOf(got)
	if list.Kind() != reflect.Slice || list.IsNil() {
		return false
	}
	wants, ordered := want.([]any)
	if m, ok := want.(map[string]any); ok {
		switch _, isEntries := got.([]MapEntry); {
		case m["$set"] != nil:
			wants = m["$set"].([]any)
		case m["$dict"] != nil:
			wants = m["$dict"].([]any)
		case m["$map"] != nil:
			wants = m["$map"].([]any)
		case isEntries: // a plain object
			for k, v := range m {
				wants = append(wants, []any{k, v})
			}
		default:
			return false
		}
	} else if !ordered {
		return false
	}
	if list.Len() != len(wants) {
		return false
	}
	rest := slices.Clone(wants)
	for i := range list.Len() {
		v := list.Index(i).Interface()
		at := slices.IndexFunc(rest, func(w any) bool { return same(v, w) })
		if at < 0 || ordered && at != 0 {
			return false
		}
		rest = slices.Delete(rest, at, at+1)
	}
	return true
}
