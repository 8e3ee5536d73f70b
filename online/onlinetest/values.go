package onlinetest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// typeTable makes a table with one feature of every type, and rows that hold every golden value of the feature's type
// (or of the one that is shift places further), nulls where there are no more.
func (b *bed) typeTable(view string, shift int) (*online.Table, []Row) {
	var fields []types.Field
	values := valuesByType()
	for _, t := range allTypes() {
		if b.h.JSON {
			if values[t] = slices.DeleteFunc(slices.Clone(values[t]), func(v goldenValue) bool { return unlikeJSON(t, v) }); len(values[t]) == 0 {
				continue
			}
		}
		fields = append(fields, types.Field{Name: t.EnumName(), Type: t})
	}
	var rows []Row
	for i, more := 0, true; more; i++ {
		row := Row{Key: id(i), Event: at(int64(i))}
		more = false
		for f := range fields {
			var v any
			if golden := values[fields[(f+shift)%len(fields)].Type]; i < len(golden) {
				v, more = Value(golden[i].Hex), true
			}
			row.Values = append(row.Values, v)
		}
		rows = append(rows, row)
	}
	return b.created(view, driverID, fields...), rows
}

// unlikeJSON reports whether JSON, in the form that feature servers have, has no value that is this one byte by byte.
func unlikeJSON(t types.Type, v goldenValue) bool {
	c, back := types.NewColumn("", t, 1), types.NewColumn("", t, 1)
	if t == types.Null || t == types.ZonedTimestamp || c.SetValue(0, Value(v.Hex)) != nil || !c.HasValue(0) {
		return true
	}
	text := c.AppendJSON(nil, 0)
	if bytes.Contains(text, []byte(`"NaN"`)) || bytes.Contains(text, []byte(`Infinity"`)) {
		return true
	}
	return back.SetNative(0, c.Any(0)) != nil || back.SetJSON(0, text) != nil || !bytes.Equal(back.AppendValue(nil, 0), Value(v.Hex))
}

// keysOf returns the keys of rows.
func keysOf(rows []Row) [][]byte {
	out := make([][]byte, len(rows))
	for i, r := range rows {
		out[i] = r.Key
	}
	return out
}

// cellsAs checks that every cell is what a column of its type makes of the value written.
func (b *bed) cellsAs(t *online.Table, rows []Row, res *online.Result) {
	b.Helper()
	want := Batch(t, rows...)
	for f, c := range want.Columns {
		got := res.Column(t, f)
		for row := range rows {
			w, g := c.AppendValue(nil, row), got.AppendValue(nil, row)
			if got.Status(row) != c.Status(row) || !bytes.Equal(w, g) {
				b.Errorf("%s %s, row %d: got %s %x, want %s %x",
					t.View, t.Features[f].Name, row, got.Status(row), g, c.Status(row), w)
			}
		}
	}
}

// everyType: what is stored of a type is read as it was, byte by byte.
func everyType(b *bed) {
	table, rows := b.typeTable("types", 0)
	b.put(table, rows...)
	res := b.get(table, keysOf(rows)...)
	b.cellsAs(table, rows, res)
	for f := range table.Features {
		for row := range rows {
			var want []byte
			if v, ok := rows[row].Values[f].(Value); ok {
				want = v
			}
			if got := res.Column(table, f).AppendValue(nil, row); !bytes.Equal(got, want) {
				b.Errorf("%s, row %d: got %x, stored %x", table.Features[f].Name, row, got, want)
			}
		}
	}

	long := b.created("long", driverID,
		types.Field{Name: "text", Type: types.String}, types.Field{Name: "bytes", Type: types.Bytes})
	row := Row{Key: id(1), Event: at(0), Values: []any{
		strings.Repeat("long \x00 text ", 10_000), bytes.Repeat([]byte("\xfflong bytes"), 10_000),
	}}
	b.put(long, row)
	b.cellsAs(long, []Row{row}, b.get(long, id(1)))
}

// otherTypes: a stored value whose type is not the declared one is read as it is, whether the batch already held it or
// the declaration changed later.
func otherTypes(b *bed) {
	for _, shift := range []int{1, 7} {
		table, rows := b.typeTable("shifted", shift)
		for i := range rows {
			rows[i].Event = at(int64(100 * shift))
		}
		b.put(table, rows...)
		b.cellsAs(table, rows, b.get(table, keysOf(rows)...))
	}

	table, rows := b.typeTable("redeclared", 0)
	b.put(table, rows...)
	redeclared := Pick(table)
	redeclared.Features = append([]types.Field(nil), table.Features...)
	for f := range redeclared.Features {
		redeclared.Features[f].Type = table.Features[(f+1)%len(table.Features)].Type
	}
	b.cellsAs(redeclared, rows, b.get(redeclared, keysOf(rows)...))
}

// absentCells: no row, nothing stored for a feature, and a stored null are three things.
func absentCells(b *bed) {
	table := b.created("stats", driverID, ints("a", "b", "null")...)
	b.put(Pick(table, "a", "null"), Row{Key: id(1), Event: at(1), Values: []any{int64(10), nil}})
	b.put(Pick(table, "b"), Row{Key: id(2), Event: at(2), Values: []any{int64(20)}})

	read := Pick(table, "null", "never", "a", "b")
	res := b.get(read, id(1), id(2), id(3))
	b.cells(res, read, 0, nil, absent{}, int64(10), absent{})
	b.cells(res, read, 1, absent{}, absent{}, absent{}, int64(20))
	b.cells(res, read, 2, absent{}, absent{}, absent{}, absent{})
	b.event(res, read, 0, at(1))
	b.event(res, read, 1, at(2))
	if got := res.Event(read, 0, 1); got != at(1) {
		b.Errorf("event time of an absent feature: got %v, want that of the row, %v", got, at(1))
	}
	if res.Found(read, 2) || res.RowEvent(read, 2) != (types.Timestamp{}) || res.Event(read, 2, 0) != (types.Timestamp{}) {
		b.Errorf("a row that does not exist: found %t, event time %v", res.Found(read, 2), res.RowEvent(read, 2))
	}
}
