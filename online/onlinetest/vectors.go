package onlinetest

import (
	"context"
	"errors"
	"slices"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// rowTimes: a table of a plan without features is answered with the event times of its rows, beside a table that has some. A
// store that does not promise that has nothing to show.
func rowTimes(b *bed) {
	if !b.store.Info().RowTimes {
		b.Skip("the store does not declare RowTimes")
	}
	left := b.created("left", driverID, ints("a", "b")...)
	right := b.created("right", driverID, ints("a")...)
	alone := b.created("alone", driverID, ints("a")...)
	b.put(left, Row{Key: id(1), Event: at(1), Values: []any{int64(11), nil}}, Row{Key: id(2), Event: at(2), Values: []any{int64(12), int64(1)}})
	b.put(right, Row{Key: id(2), Event: at(3), Values: []any{int64(13)}}, Row{Key: id(3), Event: types.Timestamp{}, Values: []any{nil}})
	l, r, a := Pick(left, "a"), Pick(right), Pick(alone)
	r.Features, a.Features = nil, nil
	res := b.read(online.NewReadPlan([]*online.Table{l, r, a}), 4, online.NewKeys(KeysOf(id(1), id(2), id(3), id(4))))
	b.cells(res, l, 0, int64(11))
	b.cells(res, l, 1, int64(12))
	b.cells(res, l, 2, absent{})
	b.event(res, l, 0, at(1))
	b.event(res, r, 1, at(3))
	b.event(res, r, 2, types.Timestamp{})
	for row, found := range []bool{false, true, true, false} {
		if res.Found(r, row) != found {
			b.Errorf("row %d of right: found is %v", row, !found)
		}
		if res.Found(a, row) {
			b.Errorf("row %d of alone: found", row)
		}
	}
}

// lister returns the store as one that lists keys, where it is.
func (b *bed) lister() online.KeyLister {
	b.Helper()
	l, ok := online.As[online.KeyLister](b.store)
	if !ok {
		if b.store.Info().RowTimes {
			b.Fatal("the store declares RowTimes, so that vectors are made of its rows, and is no online.KeyLister")
		}
		b.Skip("the store is no online.KeyLister")
	}
	return l
}

// listedKeys: every key with a row in one of the tables is listed, and none of other join keys or projects.
func listedKeys(b *bed) {
	l := b.lister()
	stats, profile := b.created("stats", driverID, ints("a")...), b.created("profile", driverID, ints("a")...)
	other := b.created("customers", []string{"customer_id"}, ints("a")...)
	pairs := b.created("pairs", []string{"customer_id", "driver_id"}, ints("a")...)
	global := b.created("global", []string{online.DummyJoinKey}, ints("a")...)
	keys := func(tables ...*online.Table) []string {
		b.Helper()
		var got []string
		for key, err := range l.Keys(b.Context(), tables) {
			if err != nil {
				b.Fatalf("Keys: %v", err)
			}
			got = append(got, string(key))
		}
		slices.Sort(got)
		return slices.Compact(got)
	}
	if got := keys(stats, profile); got != nil {
		b.Errorf("keys of empty tables: %q", got)
	}
	if got := keys(global); got != nil {
		b.Errorf("keys of an empty table without entities: %q", got)
	}
	var want []string
	var rows [2][]Row
	for i := range 2500 {
		want = append(want, string(id(i)))
		rows[i%2] = append(rows[i%2], Row{Key: id(i), Event: at(1), Values: []any{int64(i)}})
	}
	b.put(stats, rows[0]...)
	b.put(profile, append(rows[1], Row{Key: id(2), Event: at(1), Values: []any{int64(1)}})...)
	b.put(other, Row{Key: Key("customer_id", int64(1)), Event: at(1), Values: []any{int64(1)}})
	b.put(pairs, Row{Key: Key("customer_id", int64(1), "driver_id", int64(1)), Event: at(1), Values: []any{int64(1)}})
	b.put(global, Row{Key: Key(online.DummyJoinKey, ""), Event: at(1), Values: []any{int64(1)}})
	slices.Sort(want)
	if got := keys(stats, profile); !slices.Equal(got, want) {
		b.Errorf("%d keys, want %d", len(got), len(want))
	}
	if got := keys(pairs); !slices.Equal(got, []string{string(Key("customer_id", int64(1), "driver_id", int64(1)))}) {
		b.Errorf("keys of pairs: %q", got)
	}
	if got := keys(global); !slices.Equal(got, []string{string(Key(online.DummyJoinKey, ""))}) {
		b.Errorf("keys of a table without entities: %q", got)
	}
	seen := 0
	for _, err := range l.Keys(b.Context(), []*online.Table{stats}) {
		if seen++; err != nil || seen == 2 {
			break
		}
	}
	if seen != 2 {
		b.Errorf("%d keys came, want 2", seen)
	}
	// The store can be used meanwhile.
	seen = 0
	for key, err := range l.Keys(b.Context(), []*online.Table{stats}) {
		if err != nil {
			b.Fatal(err)
		}
		if seen++; seen%1000 == 1 {
			b.put(stats, Row{Key: slices.Clone(key), Event: at(2), Values: []any{int64(1)}})
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	for key, err := range l.Keys(ctx, []*online.Table{stats}) {
		if !errors.Is(err, context.Canceled) {
			b.Errorf("with a cancelled context: key %q, error %v", key, err)
		}
	}
}
