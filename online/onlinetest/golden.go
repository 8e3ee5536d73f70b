package onlinetest

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

//go:embed testdata/input_rows.json testdata/values.json
var testdata embed.FS

// readGolden reads a file of the golden data, which is part of the program.
func readGolden(name string, into any) {
	b, err := testdata.ReadFile("testdata/" + name)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		err = d.Decode(into)
	}
	if err != nil {
		panic("onlinetest: " + err.Error())
	}
}

// hexBytes is bytes written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode([]byte{}, text)
	return err
}

// goldenValue is a case of values.json.
type goldenValue struct {
	ID    string
	Oneof string
	Hex   hexBytes
}

// valuesByType returns the golden values of each type, of every form that Feast stores. The unset value is one of type
// Null.
func valuesByType() map[types.Type][]goldenValue {
	var file struct{ Cases []goldenValue }
	readGolden("values.json", &file)
	out := map[types.Type][]goldenValue{}
	for _, c := range file.Cases {
		if c.Oneof == "(unset)" {
			out[types.Null] = append(out[types.Null], c)
		}
		for _, t := range allTypes() {
			if t.ValueField() == c.Oneof {
				out[t] = append(out[t], c)
			}
		}
	}
	return out
}

// allTypes returns every value type.
func allTypes() []types.Type {
	var out []types.Type
	for n := range 256 {
		if t := types.Type(n); t.Valid() {
			out = append(out, t)
		}
	}
	return out
}

// goldenRow is a row of input_rows.json.
type goldenRow struct {
	EntityKey struct {
		JoinKeys []string `json:"join_keys"`
		Values   []struct{ Hex hexBytes }
	} `json:"entity_key"`
	Features map[string]struct{ Hex hexBytes }
	Event    string `json:"event_ts"`
	Created  string `json:"created_ts"`
}

// goldenEntities are the entities of the views that have others than their join keys say.
var goldenEntities = map[string][]string{
	"all_types":        {"item"},
	"customer_profile": {"customer"},
	"driver_customer":  {"driver", "customer"},
	"driver_stats":     {"driver"},
	"global_stats":     {online.DummyEntity},
	"ttl_view":         {"driver"},
}

// GoldenProject is the project of [GoldenBatches].
const GoldenProject = "golden_proj"

// GoldenBatches returns the writes by which Feast made the golden data of every store (golden/online), in order, as
// batches of their own where rows bring different features. Keys are of the given version, project and views are those of
// the data, features stand in order of their names.
//
// Rows of the view without entities come under the key of no join keys, as Feast's write_to_online_store makes it, and
// under the one that is read.
func GoldenBatches(t testing.TB, keyVersion int) []*online.WriteBatch {
	t.Helper()
	var file struct {
		Batches []struct {
			View string
			Rows []goldenRow
		}
	}
	readGolden("input_rows.json", &file)
	fieldTypes := map[string]types.Type{} // by view:feature; some rows have only nulls
	for _, b := range file.Batches {
		for _, r := range b.Rows {
			for name, v := range r.Features {
				if len(v.Hex) > 0 {
					fieldTypes[b.View+":"+name] = typeOfValue(v.Hex)
				}
			}
		}
	}
	var out []*online.WriteBatch
	for _, b := range file.Batches {
		for _, rows := range sameFeatures(b.Rows) {
			table := &online.Table{Project: GoldenProject, View: b.View, Entities: goldenEntities[b.View]}
			table.JoinKeys = slices.Sorted(slices.Values(rows[0].EntityKey.JoinKeys))
			if table.Entities[0] == online.DummyEntity {
				table.JoinKeys = []string{online.DummyJoinKey}
			}
			for _, name := range rows[0].names() {
				table.Features = append(table.Features, types.Field{Name: name, Type: fieldTypes[b.View+":"+name]})
			}
			batch := make([]Row, len(rows))
			for i, r := range rows {
				batch[i] = Row{Event: goldenTime(t, r.Event), Created: goldenTime(t, r.Created), Key: r.key(keyVersion)}
				for _, f := range table.Features {
					batch[i].Values = append(batch[i].Values, Value(r.Features[f.Name].Hex))
				}
			}
			out = append(out, Batch(table, batch...))
		}
	}
	return out
}

// names returns the features that a row brings, sorted.
func (r goldenRow) names() []string { return slices.Sorted(maps.Keys(r.Features)) }

// sameFeatures splits rows where their features change.
func sameFeatures(rows []goldenRow) [][]goldenRow {
	var out [][]goldenRow
	for i, r := range rows {
		if i == 0 || !slices.Equal(r.names(), rows[i-1].names()) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

// key serializes the row's entity key.
func (r goldenRow) key(version int) []byte {
	var parts []any
	for i, name := range r.EntityKey.JoinKeys {
		c := types.NewColumn(name, typeOfValue(r.EntityKey.Values[i].Hex), 1)
		if err := c.SetValue(0, r.EntityKey.Values[i].Hex); err != nil {
			panic(fmt.Sprintf("onlinetest: join key %s: %v", name, err))
		}
		parts = append(parts, name, c.Any(0))
	}
	return key(version, parts...)
}

// typeOfValue is the type of a serialized value that is set.
func typeOfValue(b []byte) types.Type {
	key, _ := binary.Uvarint(b)
	return types.Type(key >> 3) // the number of the member
}

// goldenTime reads a time; without an offset it is in UTC, and no time is the zero Timestamp.
func goldenTime(t testing.TB, s string) types.Timestamp {
	t.Helper()
	if s == "" {
		return types.Timestamp{}
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if err != nil {
		t.Fatalf("golden time %q: %v", s, err)
	}
	return types.TimestampOf(at)
}
