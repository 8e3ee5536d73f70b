package onlinetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Row is one row for [Batch].
type Row struct {
	Key     []byte // of [Key]
	Event   types.Timestamp
	Created types.Timestamp
	Values  []any // parallel to the table's features: native values, a [Value], or nil for a null
}

// Value is a serialized feast.types.Value.
type Value []byte

// Batch makes rows of a table ready to write, with memory of their own. It panics on a value that does not fit its
// feature.
func Batch(t *online.Table, rows ...Row) *online.WriteBatch {
	b := &online.WriteBatch{Table: t}
	for _, f := range t.Features {
		b.Columns = append(b.Columns, types.NewColumn(f.Name, f.Type, len(rows)))
	}
	for i, r := range rows {
		b.Keys = append(b.Keys, slices.Clone(r.Key))
		b.Event = append(b.Event, r.Event)
		if !r.Created.IsZero() && b.Created == nil {
			b.Created = make([]types.Timestamp, len(rows))
		}
		if b.Created != nil {
			b.Created[i] = r.Created
		}
		for f, v := range r.Values {
			var err error
			switch v := v.(type) {
			case nil:
				b.Columns[f].Clear(i, types.NullValue)
			case Value:
				err = b.Columns[f].SetValue(i, v)
			default:
				err = b.Columns[f].SetScalar(i, v)
			}
			if err != nil {
				panic(fmt.Sprintf("onlinetest: feature %s, row %d: %v", t.Features[f].Name, i, err))
			}
		}
	}
	return b
}

// keyType is the type of a native value in a key.
func keyType(v any) types.Type {
	if _, ok := v.(int32); ok {
		return types.Int32
	}
	return types.Infer(v)
}

// Key serializes an entity key (version 3) from join keys and values in turn: Key("driver_id", int64(1001)). Values are
// int64, int32, string, []byte or time.Time, the seconds of which count. It panics on anything else.
func Key(namesAndValues ...any) []byte { return key(3, namesAndValues...) }

func key(version int, namesAndValues ...any) []byte {
	names := make([]string, 0, len(namesAndValues)/2)
	byName := map[string]*types.Column{}
	for i := 0; i < len(namesAndValues); i += 2 {
		name, v := namesAndValues[i].(string), namesAndValues[i+1]
		c := types.NewColumn(name, keyType(v), 1)
		if err := c.SetScalar(0, v); err != nil {
			panic(fmt.Sprintf("onlinetest: join key %s: %v", name, err))
		}
		names, byName[name] = append(names, name), c
	}
	enc, err := online.NewKeyEncoding(version, names)
	if err != nil {
		panic("onlinetest: " + err.Error())
	}
	columns := make([]*types.Column, len(names))
	for i, name := range enc.JoinKeys() {
		columns[i] = byName[name]
	}
	b, err := enc.Append(nil, columns, 0)
	if err != nil {
		panic("onlinetest: " + err.Error())
	}
	return b
}

// KeysOf makes a key set of serialized keys, which fill rows 0, 1, 2...
func KeysOf(keys ...[]byte) []online.Key {
	out := make([]online.Key, len(keys))
	for i, k := range keys {
		out[i] = online.Key{Bytes: k, Row: i}
	}
	return out
}

// Pick returns a copy of a table for a plan, or for a batch, with the named features only; unknown ones are Int64. With
// no names it has all features.
func Pick(t *online.Table, features ...string) *online.Table {
	c := *t
	if len(features) == 0 {
		return &c
	}
	c.Features = nil
	for _, name := range features {
		field := types.Field{Name: name, Type: types.Int64}
		for _, f := range t.Features {
			if f.Name == name {
				field = f
			}
		}
		c.Features = append(c.Features, field)
	}
	return &c
}

// Read prepares and runs a read of that many rows. An error ends the test.
func Read(t testing.TB, s online.Store, plan *online.ReadPlan, rows int, keys *online.Keys) *online.Result {
	t.Helper()
	return readWith(t, s, plan, rows, keys, nil)
}

// readWith is Read through a wrapper, if there is one.
func readWith(
	t testing.TB, s online.Store, plan *online.ReadPlan, rows int, keys *online.Keys, wrap wrapper,
) *online.Result {
	t.Helper()
	reader, err := s.Prepare(plan)
	if err == nil && wrap != nil {
		reader, err = wrap(s, plan, reader)
	}
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	res := online.NewResult(plan, rows)
	if err := reader.Read(t.Context(), keys, res); err != nil {
		t.Fatalf("Read: %v", err)
	}
	for _, table := range plan.Tables() {
		if err := res.Err(table); err != nil {
			t.Fatalf("Read of %s: %v", table.StoredView(), err)
		}
	}
	return res
}
