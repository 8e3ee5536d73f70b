package online

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// goldenKeys is testdata/entity_keys.json. Hashes and hash fields belong to the drivers that use them.
type goldenKeys struct {
	Serialize []struct {
		goldenKey
		ID           string
		Hex          string
		Deserialized []struct {
			JoinKey string `json:"join_key"`
			Value   map[string]any
		}
	} `json:"serialize_entity_key"`
	Errors []struct {
		Type    string
		Version int
	} `json:"serialize_errors"`
	Duplicates []struct {
		JoinKeys []string `json:"join_keys"`
	} `json:"duplicate_join_keys"`
	Prefixes []struct {
		JoinKeys []string `json:"join_keys"`
		Version  int
		Hex      string
	} `json:"serialize_entity_key_prefix"`
	Redis []struct {
		goldenKey
		Project string
		Hex     string `json:"redis_key_hex"`
	} `json:"redis_key"`
}

type goldenKey struct {
	JoinKeys []string `json:"join_keys"`
	Values   []struct {
		Type  string
		Value any
		Hex   string
	}
	Version int
}

func readGoldenKeys(t testing.TB) *goldenKeys {
	t.Helper()
	b, err := os.ReadFile("testdata/entity_keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldenKeys
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&g); err != nil {
		t.Fatal(err)
	}
	counts := []int{len(g.Serialize), len(g.Errors), len(g.Duplicates), len(g.Prefixes), len(g.Redis)}
	if !slices.Equal(counts, []int{80, 18, 1, 14, 36}) {
		t.Fatal("the golden data are not those that this test was written for")
	}
	return &g
}

// typeOf returns the type that a member of feast.types.Value carries.
func typeOf(t testing.TB, member string) types.Type {
	t.Helper()
	for n := range 256 {
		if typ := types.Type(n); typ.ValueField() == member {
			return typ
		}
	}
	t.Fatalf("no type is stored as %s", member)
	return types.Invalid
}

// encode serializes a key of the golden data.
func (k *goldenKey) encode(t testing.TB) []byte {
	t.Helper()
	enc, err := NewKeyEncoding(k.Version, k.JoinKeys)
	if err != nil {
		t.Fatal(err)
	}
	var columns []*types.Column
	for _, name := range enc.JoinKeys() {
		v := k.Values[slices.Index(k.JoinKeys, name)]
		c := types.NewColumn(name, typeOf(t, v.Type), 1)
		native := v.Value
		if v.Type == "bytes_val" {
			native, err = hex.DecodeString(v.Hex)
		} else if text, ok := native.(string); ok && v.Type != "string_val" {
			native = json.Number(text)
		}
		if err == nil {
			err = c.SetScalar(0, native)
		}
		if err != nil {
			t.Fatal(err)
		}
		columns = append(columns, c)
	}
	b, err := enc.Append(nil, columns, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKeyEncodingGolden(t *testing.T) {
	for _, c := range readGoldenKeys(t).Serialize {
		b := c.encode(t)
		if got := hex.EncodeToString(b); got != c.Hex {
			t.Errorf("%s: got %s, want %s", c.ID, got, c.Hex)
		}
		if c.Version != 3 {
			continue
		}
		var want []KeyPart
		for _, d := range c.Deserialized {
			for member, v := range d.Value {
				p := KeyPart{JoinKey: d.JoinKey, Type: typeOf(t, member), Value: v}
				text, _ := v.(string)
				var err error
				switch p.Type {
				case types.Int64, types.UnixTimestamp:
					p.Value, err = strconv.ParseInt(text, 10, 64)
				case types.Int32:
					var n int64
					n, err = v.(json.Number).Int64()
					p.Value = int32(n)
				case types.Bytes:
					p.Value, err = base64.StdEncoding.DecodeString(text)
				}
				if err != nil {
					t.Fatalf("%s: %v", c.ID, err)
				}
				want = append(want, p)
			}
		}
		if got, err := ParseKey(b); err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: parsed %v (%v), want %v", c.ID, got, err, want)
		}
	}
}

func TestKeyEncodingErrorsGolden(t *testing.T) {
	g := readGoldenKeys(t)
	for _, c := range g.Errors {
		enc, err := NewKeyEncoding(c.Version, []string{"k"})
		if err != nil {
			t.Fatal(err)
		}
		column, row := types.NewColumn("k", types.String, 3), 2
		if c.Type != "(unset)" {
			column, row = types.NewColumn("k", typeOf(t, c.Type), 3), -1
			if err := column.SetScalar(2, json.Number("1")); err != nil && column.Type().Elem() == types.Invalid {
				_ = column.SetString(2, "1") // JSON
			}
		}
		_, err = enc.Append(nil, []*types.Column{column}, 2)
		var request *feasterr.RequestError
		if !errors.As(err, &request) || request.Column != "k" || request.Row != row {
			t.Errorf("%s, version %d: got error %v, want one for row %d of column k", c.Type, c.Version, err, row)
		}
	}
	for _, c := range g.Duplicates {
		_, err := NewKeyEncoding(3, c.JoinKeys)
		if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != `join key "k" is listed twice` {
			t.Errorf("join keys %v: got error %v", c.JoinKeys, err)
		}
	}
	if _, err := NewKeyEncoding(1, nil); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Errorf("version 1: got error %v, want ErrUnsupported", err)
	}
}

func TestKeyPrefixGolden(t *testing.T) {
	for _, c := range readGoldenKeys(t).Prefixes {
		enc, err := NewKeyEncoding(c.Version, c.JoinKeys)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendKeyPrefix([]byte("before"), c.Version, enc.JoinKeys())
		if want := hex.EncodeToString([]byte("before")) + c.Hex; hex.EncodeToString(got) != want {
			t.Errorf("%v, version %d: got %x, want %s", c.JoinKeys, c.Version, got, want)
		}
	}
}

// A Redis key is the entity key with the project behind it.
func TestParseKeyPrefixGolden(t *testing.T) {
	for _, c := range readGoldenKeys(t).Redis {
		key := c.encode(t)
		redis := append(slices.Clone(key), c.Project...)
		if got := hex.EncodeToString(redis); got != c.Hex {
			t.Errorf("%v of %s: got %s, want %s", c.JoinKeys, c.Project, got, c.Hex)
		}
		if c.Version != 3 {
			continue
		}
		parts, rest, err := ParseKeyPrefix(redis)
		if err != nil || string(rest) != c.Project || len(parts) != len(c.JoinKeys) {
			t.Errorf("%v of %s: parsed %v, rest %q (%v)", c.JoinKeys, c.Project, parts, rest, err)
		}
	}
}

func TestParseKeyErrors(t *testing.T) {
	whole, err := hex.DecodeString("0100000002000000010000006b0200000001000000ff")
	if err != nil {
		t.Fatal(err)
	}
	key := func(change func(b []byte)) []byte {
		b := slices.Clone(whole)
		b[len(b)-1] = 'x'
		change(b)
		return b
	}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{nil, "malformed entity key: 0 bytes are too few"},
		{whole[:21], "malformed entity key: 21 bytes are too few"},
		{whole[:13], "malformed entity key: 13 bytes are too few"},
		{append(slices.Clone(whole[:21]), 'x', 'y', 'z'), "malformed entity key: 2 bytes follow its last value"},
		{key(func(b []byte) { b[0] = 0xff }), "malformed entity key: 22 bytes are too few"},
		{key(func(b []byte) { b[4] = 3 }), "malformed entity key: a join key has type 3"},
		{key(func(b []byte) { b[12] = 0xff }), "malformed entity key: a join key is not UTF-8"},
		{key(func(b []byte) { b[13] = 5 }), `malformed entity key: 1 bytes of type 5 for join key "k"`},
		{key(func(b []byte) { b[14] = 1 }), `malformed entity key: 1 bytes of type 255 for join key "k"`},
		{key(func(b []byte) { b[13] = 4 }), `malformed entity key: 1 bytes of type 4 for join key "k"`},
		{whole, `malformed entity key: 1 bytes of type 2 for join key "k"`}, // not UTF-8
	} {
		parts, err := ParseKey(c.b)
		if parts != nil || !errors.Is(err, feasterr.ErrInvalid) || err.Error() != c.want {
			t.Errorf("%x: got %v, error %v, want %s", c.b, parts, err, c.want)
		}
	}
}

// Accepted keys mean what they are encoded from: encoding the parts gives the same bytes, where the names stand in order
// and lost no NULs at their ends, as in every key that was ever written.
func FuzzParseKey(f *testing.F) {
	g := readGoldenKeys(f)
	for _, c := range g.Serialize {
		f.Add(c.encode(f))
	}
	for _, c := range g.Redis {
		f.Add(append(c.encode(f), c.Project...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, rest, err := ParseKeyPrefix(b)
		if err != nil {
			if !errors.Is(err, feasterr.ErrInvalid) {
				t.Fatalf("error %v is no ErrInvalid", err)
			}
			return
		}
		if _, err := ParseKey(b); (err == nil) != (len(rest) == 0) {
			t.Fatalf("ParseKey says %v, %d bytes follow", err, len(rest))
		}
		var names []string
		columns := map[string]*types.Column{}
		for _, p := range parts {
			names = append(names, p.JoinKey)
			c := types.NewColumn(p.JoinKey, p.Type, 1)
			if p.Type == types.UnixTimestamp || p.Type == types.Int64 {
				c.SetInt64(0, p.Value.(int64))
			} else if err := c.SetScalar(0, p.Value); err != nil {
				t.Fatal(err)
			}
			if !c.Valid(0) {
				return // -2^63 seconds: Feast's null, which our keys cannot hold
			}
			columns[p.JoinKey] = c
		}
		enc, err := NewKeyEncoding(3, names)
		if err != nil {
			return // a name stands twice
		}
		sorted := make([]*types.Column, len(names))
		for i, name := range enc.JoinKeys() {
			sorted[i] = columns[name]
		}
		again, err := enc.Append(nil, sorted, 0)
		if err != nil {
			t.Fatal(err)
		}
		used := b[:len(b)-len(rest)]
		if len(again) == len(used) && slices.IsSorted(names) && !bytes.Equal(again, used) {
			t.Fatalf("%x encodes as %x", used, again)
		}
		back, err := ParseKey(again)
		slices.SortFunc(parts, func(a, b KeyPart) int { return bytes.Compare([]byte(a.JoinKey), []byte(b.JoinKey)) })
		if err != nil || !reflect.DeepEqual(back, parts) {
			t.Fatalf("%v encodes as %v (%v)", parts, back, err)
		}
	})
}
