package onlinetest

import (
	"strings"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// featureSubsets: a plan reads any features of a table, in any order.
func featureSubsets(b *bed) {
	table := b.created("stats", driverID,
		types.Field{Name: "a", Type: types.Int64}, types.Field{Name: "b", Type: types.String},
		types.Field{Name: "c", Type: types.Float64}, types.Field{Name: "d", Type: types.Bool})
	b.put(table,
		Row{Key: id(1), Event: at(1), Values: []any{int64(1), "one", 1.5, true}},
		Row{Key: id(2), Event: at(2), Values: []any{int64(2), "two", 2.5, false}})
	for _, c := range []struct {
		features string
		one, two []any
	}{
		{"a b c d", []any{int64(1), "one", 1.5, true}, []any{int64(2), "two", 2.5, false}},
		{"d c b a", []any{true, 1.5, "one", int64(1)}, []any{false, 2.5, "two", int64(2)}},
		{"c a", []any{1.5, int64(1)}, []any{2.5, int64(2)}},
		{"b", []any{"one"}, []any{"two"}},
	} {
		read := Pick(table, strings.Fields(c.features)...)
		res := b.get(read, id(2), id(1))
		b.cells(res, read, 0, c.two...)
		b.cells(res, read, 1, c.one...)
		b.event(res, read, 0, at(2))
		b.event(res, read, 1, at(1))
	}
}

// groups: one read of several tables in several key sets, of which one has no tables and one no keys; tables of a key
// set share its keys, features of the same name are kept apart, and rows that no key names stay empty.
func groups(b *bed) {
	stats := b.created("stats", driverID, ints("a", "b")...)
	trips := b.created("trips", driverID, ints("a")...)
	profile := b.created("profile", []string{"customer_id"}, types.Field{Name: "a", Type: types.String})
	unused := b.created("unused", []string{"item_id"}, ints("a")...)
	customer := func(name string) []byte { return Key("customer_id", name) }
	b.put(stats,
		Row{Key: id(1), Event: at(1), Values: []any{int64(1), int64(10)}},
		Row{Key: id(2), Event: at(2), Values: []any{int64(2), int64(20)}})
	b.put(trips, Row{Key: id(2), Event: at(3), Values: []any{int64(200)}})
	b.put(profile,
		Row{Key: customer("x"), Event: at(4), Values: []any{"ann"}},
		Row{Key: customer("y"), Event: at(5), Values: []any{"bob"}})
	b.put(unused, Row{Key: Key("item_id", int64(1)), Event: at(6), Values: []any{int64(1)}})

	s, tr, p, u := Pick(stats, "b", "a"), Pick(trips), Pick(profile), Pick(unused)
	plan := online.NewReadPlan([]*online.Table{s, tr}, nil, []*online.Table{p}, []*online.Table{u})
	keys := online.NewKeys(
		[]online.Key{{Bytes: id(2), Row: 3}, {Bytes: id(1), Row: 0}, {Bytes: id(7), Row: 1}},
		[]online.Key{{Bytes: id(1), Row: 2}},
		[]online.Key{{Bytes: customer("x"), Row: 3}, {Bytes: customer("y"), Row: 2}},
		nil,
	)
	res := b.read(plan, 5, keys)
	none := []any{absent{}, absent{}}
	for row, want := range [][4][]any{
		{{int64(10), int64(1)}, none[:1], none[:1], none[:1]},
		{none, none[:1], none[:1], none[:1]},
		{none, none[:1], {"bob"}, none[:1]},
		{{int64(20), int64(2)}, {int64(200)}, {"ann"}, none[:1]},
		{none, none[:1], none[:1], none[:1]},
	} {
		for i, t := range plan.Tables() {
			b.cells(res, t, row, want[i]...)
			if found := want[i][0] != any(absent{}); res.Found(t, row) != found {
				b.Errorf("%s, row %d: found %t, want %t", t.View, row, res.Found(t, row), found)
			}
		}
	}
	b.event(res, s, 3, at(2))
	b.event(res, tr, 3, at(3))
	b.event(res, p, 3, at(4))

	// No tables at all, and no keys at all.
	b.read(online.NewReadPlan(nil, nil), 1, online.NewKeys(KeysOf(id(1)), nil))
	b.read(online.NewReadPlan([]*online.Table{Pick(stats)}), 1, online.NewKeys(nil))
}

// severalPlans: the readers of a store do not disturb each other, and each may be used again, into the same result.
func severalPlans(b *bed) {
	stats := b.created("stats", driverID, ints("a", "b")...)
	trips := b.created("trips", driverID, types.Field{Name: "a", Type: types.String})
	b.put(stats,
		Row{Key: id(1), Event: at(1), Values: []any{int64(1), int64(10)}},
		Row{Key: id(2), Event: at(2), Values: []any{int64(2), int64(20)}})
	b.put(trips, Row{Key: id(1), Event: at(3), Values: []any{"text"}})

	s, tr := Pick(stats, "b"), Pick(trips)
	first := online.NewReadPlan([]*online.Table{s})
	second := online.NewReadPlan([]*online.Table{tr, Pick(stats)})
	var readers []online.Reader
	for _, plan := range []*online.ReadPlan{first, second} {
		r, err := b.store.Prepare(plan)
		if err != nil {
			b.Fatalf("Prepare: %v", err)
		}
		readers = append(readers, r)
	}
	var res online.Result
	for range 3 {
		res.Reset(first, 2)
		if err := readers[0].Read(b.Context(), online.NewKeys(KeysOf(id(2), id(1))), &res); err != nil {
			b.Fatalf("Read: %v", err)
		}
		b.cells(&res, s, 0, int64(20))
		b.cells(&res, s, 1, int64(10))

		res.Reset(second, 1)
		if err := readers[1].Read(b.Context(), online.NewKeys(KeysOf(id(1))), &res); err != nil {
			b.Fatalf("Read: %v", err)
		}
		b.cells(&res, tr, 0, "text")
		b.cells(&res, second.Tables()[1], 0, int64(1), int64(10))
	}
}

// selectTables: a selection of a plan is read with the keys of the whole plan, into a result of the whole plan.
func selectTables(b *bed) {
	stats := b.created("stats", driverID, ints("a", "b")...)
	trips := b.created("trips", driverID, ints("c")...)
	profile := b.created("profile", []string{"customer_id"}, ints("d")...)
	customer := Key("customer_id", "x")
	b.put(stats, Row{Key: id(1), Event: at(1), Values: []any{int64(1), int64(2)}})
	b.put(trips, Row{Key: id(1), Event: at(2), Values: []any{int64(3)}})
	b.put(profile, Row{Key: customer, Event: at(3), Values: []any{int64(4)}})

	s, tr, p := Pick(stats), Pick(trips), Pick(profile)
	plan := online.NewReadPlan([]*online.Table{s, tr}, []*online.Table{p})
	keys := online.NewKeys(KeysOf(id(1)), KeysOf(customer))
	res := online.NewResult(plan, 1)
	for _, want := range []struct {
		keep        *online.Table
		stats, trip []any
		profile     any
	}{
		{tr, []any{absent{}, absent{}}, []any{int64(3)}, absent{}},
		{p, []any{absent{}, absent{}}, []any{int64(3)}, int64(4)},
		{s, []any{int64(1), int64(2)}, []any{int64(3)}, int64(4)},
	} {
		reader, err := b.store.Prepare(plan.Select(func(t *online.Table) bool { return t == want.keep }))
		if err != nil {
			b.Fatalf("Prepare: %v", err)
		}
		if err := reader.Read(b.Context(), keys, res); err != nil {
			b.Fatalf("Read: %v", err)
		}
		b.cells(res, s, 0, want.stats...)
		b.cells(res, tr, 0, want.trip...)
		b.cells(res, p, 0, want.profile)
	}
}

// missingTable: a table that nobody created has no rows, or is an error that names it.
func missingTable(b *bed) {
	stats := b.created("stats", driverID, ints("a")...)
	b.put(stats, Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
	s, missing := Pick(stats), Pick(b.table("never_created", driverID, ints("a")...))
	plan := online.NewReadPlan([]*online.Table{missing, s})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	res := online.NewResult(plan, 1)
	err = reader.Read(b.Context(), online.NewKeys(KeysOf(id(1))), res)
	if err == nil { // the other table is read all the same
		b.cells(res, s, 0, int64(1))
		b.cells(res, missing, 0, absent{})
		err = res.Err(missing)
	}
	switch {
	case !b.h.Tables && err != nil:
		b.Errorf("read of a table that was never created: %v", err)
	case b.h.Tables && (err == nil || !strings.Contains(err.Error(), missing.View)):
		b.Errorf("read of a table that was never created: got error %v, want one that names %s", err, missing.View)
	}
}
