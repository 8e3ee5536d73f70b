package onlinetest

import (
	"errors"
	"slices"
	"strings"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// drop removes tables.
func (b *bed) drop(tables ...*online.Table) {
	b.Helper()
	if err := b.store.Update(b.Context(), nil, tables); err != nil {
		b.Fatalf("Update: %v", err)
	}
}

// teardown removes all of a project's tables.
func (b *bed) teardown(tables ...*online.Table) {
	b.Helper()
	if err := b.store.Teardown(b.Context(), tables); err != nil {
		b.Fatalf("Teardown: %v", err)
	}
}

// gone checks that a table has no rows for these keys, after creating it again.
func (b *bed) gone(t *online.Table, keys ...[]byte) {
	b.Helper()
	b.update(t)
	read := Pick(t)
	res := b.get(read, keys...)
	for row := range keys {
		for f := range read.Features {
			if s := res.Column(read, f).Status(row); s != types.NotFound {
				b.Errorf("%s.%s, row %d: %s after its table was removed", t.StoredView(), read.Features[f].Name, row, s)
			}
		}
	}
}

// odd are names that need quoting somewhere: in SQL, in patterns, in paths, in file names.
var odd = []string{
	"with space", `double "quoted"`, "it's", "back`tick", `back\slash`, "100%", "a.b", "a:b", "a/b", "a;b", "a--b", "a,b",
	"[brackets]", "{braces}", "star*", "what?", "$1", ":name", "@at", "#hash", "naïve", "日本語", "😀",
	"select", "__init__", "1st", "value", "entity_key", "_ts:x",
}

// unusualNames: views, features, join keys and entities may have any name.
func unusualNames(b *bed) {
	odd, joinKey := odd, func(name string) string { return name }
	if b.h.JSON { // to servers that know views, names with a colon or @ are references, and a join key is no feature
		odd = slices.DeleteFunc(slices.Clone(odd), func(name string) bool { return strings.ContainsAny(name, ":@") })
		joinKey = func(name string) string { return "key " + name }
	}
	for _, name := range odd {
		table := b.table(name, []string{joinKey(name)}, ints(odd...)...)
		table.Entities = []string{name}
		b.update(table)
		row := Row{Key: Key(joinKey(name), "x"), Event: at(1)}
		for i := range odd {
			row.Values = append(row.Values, int64(i))
		}
		b.put(table, row)
	}
	for i, table := range b.tables {
		read := Pick(table, odd[i], odd[(i+1)%len(odd)])
		b.cells(b.get(read, Key(joinKey(odd[i]), "x")), read, 0, int64(i), int64((i+1)%len(odd)))
	}
	b.drop(b.tables[1:]...)
	b.teardown() // which leaves every table
	b.cells(b.get(Pick(b.tables[0]), Key(joinKey(odd[0]), "x")), b.tables[0], 0, int64(0))
	for i, table := range b.tables {
		if i > 0 {
			b.gone(table, Key(joinKey(odd[i]), "x"))
		}
	}
}

// versions: the rows of a view's versions are kept apart, and removed apart.
func versions(b *bed) {
	if !b.store.Info().Versioned {
		b.Skip("the store keeps no versions of views")
	}
	var tables []*online.Table
	for v := range 3 {
		t := b.table("stats", driverID, ints("a", "b")...)
		t.Version = v
		tables = append(tables, t)
	}
	b.update(tables...)
	for v, t := range tables {
		b.put(t, Row{Key: id(1), Event: at(int64(10 - v)), Values: []any{int64(v), int64(-v)}})
	}
	check := func(present ...int) {
		b.Helper()
		var picked []*online.Table
		for _, v := range present {
			picked = append(picked, Pick(tables[v]))
		}
		res := b.read(online.NewReadPlan(picked), 1, online.NewKeys(KeysOf(id(1))))
		for i, v := range present {
			b.cells(res, picked[i], 0, int64(v), int64(-v))
			b.event(res, picked[i], 0, at(int64(10-v)))
		}
	}
	check(2, 0, 1)
	b.drop(tables[1])
	check(0, 2)
	b.gone(tables[1], id(1))
	b.drop(tables[0])
	check(2)
	b.gone(tables[0], id(1))
}

// updates: creating a table again changes nothing, and a table may get more features.
func updates(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	b.put(table, Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
	b.update(table)
	b.update(Pick(table), Pick(table))
	b.cells(b.get(table, id(1)), table, 0, int64(1))

	wider := b.created("stats", driverID, append(ints("b"), ints("a")...)...)
	b.cells(b.get(wider, id(1)), wider, 0, absent{}, int64(1))
	b.put(wider, Row{Key: id(1), Event: at(2), Values: []any{int64(22), int64(11)}})
	b.put(wider, Row{Key: id(2), Event: at(2), Values: []any{int64(222), nil}})
	res := b.get(wider, id(1), id(2))
	b.cells(res, wider, 0, int64(22), int64(11))
	b.cells(res, wider, 1, int64(222), nil)
	if err := b.store.Update(b.Context(), nil, nil); err != nil {
		b.Errorf("Update of nothing: %v", err)
	}
}

// oldReaders: a reader goes on while its table is created, gets more features, is removed and created again.
func oldReaders(b *bed) {
	table := b.table("stats", driverID, ints("a", "b", "c")...)
	other := b.created("other", driverID, ints("a")...)
	read, beside := Pick(table, "c", "a"), Pick(other)
	plan := online.NewReadPlan([]*online.Table{read, beside})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	b.put(other, Row{Key: id(1), Event: at(1), Values: []any{int64(7)}})
	check := func(want ...any) {
		b.Helper()
		res := online.NewResult(plan, 1)
		err := reader.Read(b.Context(), online.NewKeys(KeysOf(id(1))), res)
		if err = errors.Join(err, res.Err(read), res.Err(beside)); err != nil {
			b.Errorf("Read: %v", err)
			return
		}
		b.cells(res, read, 0, want...)
		b.cells(res, beside, 0, int64(7))
	}
	b.update(Pick(table, "a"))
	check(absent{}, absent{})
	b.put(Pick(table, "a"), Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
	check(absent{}, int64(1))
	b.update(table)
	b.put(Pick(table, "b", "c"), Row{Key: id(1), Event: at(2), Values: []any{int64(2), int64(3)}})
	check(int64(3), int64(1))
	b.drop(table)
	b.update(table)
	check(absent{}, absent{})
	b.put(Pick(table, "c", "b", "a"), Row{Key: id(1), Event: at(3), Values: []any{int64(33), int64(22), int64(11)}})
	check(int64(33), int64(11))
	b.drop(table)
	b.update(table)
	b.put(Pick(table, "b", "a", "c"), Row{Key: id(1), Event: at(4), Values: []any{int64(222), int64(111), int64(333)}})
	check(int64(333), int64(111))
}

// drops: removing a table removes all its rows and nothing of other tables, of the same entities or others. It may be
// repeated, and done to a table that never was.
func drops(b *bed) {
	// Lengths and characters of join keys that mean something in patterns.
	strange := strings.Repeat("[", int('['))
	stats := b.created("stats", driverID, ints("a", "b")...)
	statsToo := b.created("stats_too", driverID, ints("a")...)
	pair := b.created("pair", []string{"customer_id", "driver_id"}, ints("a")...)
	named := b.created("named", []string{strange}, ints("a")...)
	rest := b.created("rest", []string{strange}, ints("a")...)
	pairKey, namedKey := Key("driver_id", int64(1), "customer_id", "x"), Key(strange, "x")
	b.put(stats,
		Row{Key: id(1), Event: at(1), Values: []any{int64(1), int64(2)}},
		Row{Key: id(2), Event: at(1), Values: []any{int64(3), int64(4)}})
	b.put(statsToo, Row{Key: id(1), Event: at(1), Values: []any{int64(5)}})
	b.put(pair, Row{Key: pairKey, Event: at(1), Values: []any{int64(6)}})
	b.put(named, Row{Key: namedKey, Event: at(1), Values: []any{int64(7)}})
	b.put(rest, Row{Key: namedKey, Event: at(1), Values: []any{int64(8)}})

	b.drop(stats, named, b.table("never_created", driverID, ints("a")...))
	b.drop(stats, named)
	b.cells(b.get(Pick(statsToo), id(1)), statsToo, 0, int64(5))
	b.cells(b.get(Pick(pair), pairKey), pair, 0, int64(6))
	b.cells(b.get(Pick(rest), namedKey), rest, 0, int64(8))
	b.gone(stats, id(1), id(2))
	b.gone(named, namedKey)

	// A removed table starts anew: nothing older stands against its rows.
	b.put(stats, Row{Key: id(1), Event: at(0), Values: []any{int64(9), nil}})
	b.cells(b.get(Pick(stats), id(1), id(2)), stats, 0, int64(9), nil)

	// Keep and drop in one call.
	if err := b.store.Update(b.Context(), []*online.Table{statsToo, named}, []*online.Table{pair}); err != nil {
		b.Fatalf("Update: %v", err)
	}
	b.cells(b.get(Pick(statsToo), id(1)), statsToo, 0, int64(5))
	b.gone(pair, pairKey)

	for range 2 {
		b.teardown(b.tables...)
	}
	b.gone(stats, id(1), id(2))
	b.gone(statsToo, id(1))
	b.gone(pair, pairKey)
	b.gone(named, namedKey)
	b.gone(rest, namedKey)
}

// projects: a store touches no rows of other projects, whatever their names have in common.
func projects(b *bed) {
	name := b.project
	beds := []*bed{b}
	for _, project := range []string{
		"my_" + name, name + "_2",
		name[:4] + "*" + name[5:], name[:4] + "?" + name[5:], name[:4] + "[!x]" + name[5:], name[:4] + "%" + name[5:],
		name + `\`, name + `"'`, name + " é",
	} {
		beds = append(beds, newBedFor(b.T, b.h, project))
	}
	for i, p := range beds {
		t := p.created("stats", driverID, ints("a")...)
		p.put(t, Row{Key: id(1), Event: at(int64(-i)), Values: []any{int64(i)}})
	}
	check := func(from int) {
		b.Helper()
		for i, p := range beds[from:] {
			t := p.tables[0]
			p.cells(p.get(Pick(t), id(1)), t, 0, int64(from+i))
		}
	}
	check(0)
	for i, p := range beds {
		if i%2 == 0 {
			p.teardown(p.tables...)
		} else {
			p.drop(p.tables...)
		}
		check(i + 1)
		p.gone(p.tables[0], id(1))
	}
}
