package onlinetest

import (
	"time"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// eventTimes: microseconds, times before 1970 and the epoch itself, and times that do not fit into nanoseconds.
func eventTimes(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	times := []types.Timestamp{
		{Seconds: 1704164645, Nanos: 678901000},
		{Seconds: 1704164645},
		{Seconds: 1},
		{},
		{Seconds: -1, Nanos: 500_000_000},
		{Seconds: -18489600, Nanos: 250_000_000},
		{Seconds: -11676096000},                    // year 1600
		{Seconds: 16725225600, Nanos: 999_999_000}, // year 2500
	}
	var rows []Row
	for i, event := range times {
		rows = append(rows, Row{Key: id(i), Event: event, Created: at(5), Values: []any{int64(i)}})
	}
	b.put(table, rows...)
	res := b.get(table, keysOf(rows)...)
	for i, event := range times {
		b.cells(res, table, i, int64(i))
		b.event(res, table, i, event)
		if got := res.Event(table, i, 0); !b.h.sameTime(got, event) {
			b.Errorf("event time of the feature, row %d: got %v, want %v", i, got, event)
		}
	}
}

// equal is the result of writing n rows that are as old as the stored ones.
func (h Harness) equal(n int) online.WriteResult {
	if h.EqualSkipped {
		return online.WriteResult{Older: n}
	}
	return online.WriteResult{Written: n}
}

// rewrites: a newer row replaces the stored one, an older one is left out and counted, an equal one goes by the rule of
// the store; rows of other keys are as they were.
func rewrites(b *bed) {
	table := b.created("stats", driverID, ints("a", "b")...)
	row := func(n int, event types.Timestamp, v int64) Row {
		return Row{Key: id(n), Event: event, Values: []any{v, -v}}
	}
	b.put(table, row(1, at(10), 1), row(2, at(10), 2), row(3, at(10), 3), row(4, at(10), 4))
	b.write(Batch(table, row(1, at(11), 11)), online.WriteResult{Written: 1})
	b.write(Batch(table, row(2, at(9), 12)), online.WriteResult{Older: 1})
	b.write(Batch(table, row(3, at(10), 13)), b.h.equal(1))
	b.write(Batch(table, row(1, at(12), 21), row(2, at(1), 22), row(5, at(1), 5)), online.WriteResult{Written: 2, Older: 1})

	res := b.get(table, id(1), id(2), id(3), id(4), id(5))
	want := []int64{21, 2, 13, 4, 5}
	if b.h.EqualSkipped {
		want[2] = 3
	}
	for i, event := range []types.Timestamp{at(12), at(10), at(10), at(10), at(1)} {
		b.cells(res, table, i, want[i], -want[i])
		b.event(res, table, i, event)
	}
}

// resolution: rows are compared at the resolution at which times are kept.
func resolution(b *bed) {
	if b.h.Resolution == 0 {
		b.Skip("the store keeps exact event times")
	}
	table := b.created("stats", driverID, ints("a")...)
	later := at(10)
	later.Nanos = int32(min(b.h.Resolution/4, time.Second-1))
	b.put(table, Row{Key: id(1), Event: later, Values: []any{int64(1)}})
	b.write(Batch(table, Row{Key: id(1), Event: at(10), Values: []any{int64(2)}}), b.h.equal(1))
	want := int64(2)
	if b.h.EqualSkipped {
		want = 1
	}
	b.cells(b.get(table, id(1)), table, 0, want)
}

// withinBatch: the same rule holds between the rows of a batch, in their order.
func withinBatch(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	row := func(n int, event types.Timestamp, v int64) Row {
		return Row{Key: id(n), Event: event, Values: []any{v}}
	}
	b.write(Batch(table,
		row(1, at(1), 1), row(2, at(2), 2), row(1, at(2), 11), row(2, at(1), 12),
	), online.WriteResult{Written: 3, Older: 1})
	equal := b.h.equal(1)
	equal.Written++
	b.write(Batch(table, row(3, at(1), 3), row(3, at(1), 13)), equal)

	res := b.get(table, id(1), id(2), id(3))
	b.cells(res, table, 0, int64(11))
	b.cells(res, table, 1, int64(2))
	if b.h.EqualSkipped {
		b.cells(res, table, 2, int64(3))
	} else {
		b.cells(res, table, 2, int64(13))
	}
	b.event(res, table, 0, at(2))
	b.event(res, table, 1, at(2))
}

// overwrite: every row is stored, in order, also over newer ones.
func overwrite(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	row := func(n int, event types.Timestamp, v int64) Row {
		return Row{Key: id(n), Event: event, Values: []any{v}}
	}
	b.put(table, row(1, at(10), 1), row(2, at(10), 2))
	batch := Batch(table, row(1, at(5), 11), row(2, at(12), 12), row(2, at(7), 22))
	batch.Overwrite = true
	b.write(batch, online.WriteResult{Written: 3})

	res := b.get(table, id(1), id(2))
	b.cells(res, table, 0, int64(11))
	b.cells(res, table, 1, int64(22))
	b.event(res, table, 0, at(5))
	b.event(res, table, 1, at(7))
	// What was overwritten counts from now on.
	b.write(Batch(table, row(1, at(6), 31), row(2, at(6), 32)), online.WriteResult{Written: 1, Older: 1})
	res = b.get(table, id(1), id(2))
	b.cells(res, table, 0, int64(31))
	b.cells(res, table, 1, int64(22))
}

// partialWrites: features that a batch does not name keep their values and, where the store keeps them, their times.
func partialWrites(b *bed) {
	table := b.created("stats", driverID, ints("a", "b", "c")...)
	one := func(name string, event types.Timestamp, v any) *online.WriteBatch {
		return Batch(Pick(table, name), Row{Key: id(1), Event: event, Values: []any{v}})
	}
	b.put(table, Row{Key: id(1), Event: at(1), Values: []any{int64(1), int64(2), nil}})
	b.write(one("b", at(5), int64(22)), online.WriteResult{Written: 1})
	b.write(one("a", at(0), int64(11)), online.WriteResult{Older: 1})

	read := func(want [3]any, rowTimes, featureTimes [3]types.Timestamp) {
		b.Helper()
		res := b.get(table, id(1))
		b.cells(res, table, 0, want[:]...)
		b.event(res, table, 0, at(5))
		times := rowTimes
		if b.h.FeatureTimes {
			times = featureTimes
		}
		for f, w := range times {
			if got := res.Event(table, 0, f); got != w {
				b.Errorf("event time of feature %s: got %v, want %v", table.Features[f].Name, got, w)
			}
		}
	}
	row := [3]types.Timestamp{at(5), at(5), at(5)}
	read([3]any{int64(1), int64(22), nil}, row, [3]types.Timestamp{at(1), at(5), at(1)})

	// Between the times of the features: a row with one time is newer than this write, some of the features are not.
	between := Batch(table, Row{Key: id(1), Event: at(3), Values: []any{int64(13), int64(23), int64(33)}})
	if b.h.FeatureTimes {
		b.write(between, online.WriteResult{Written: 1})
		read([3]any{int64(13), int64(22), int64(33)}, row, [3]types.Timestamp{at(3), at(5), at(3)})
	} else {
		b.write(between, online.WriteResult{Older: 1})
		read([3]any{int64(1), int64(22), nil}, row, row)
	}

	// A null replaces a value.
	if b.h.JSON {
		return // servers leave out rows of nothing else
	}
	b.write(one("b", at(6), nil), online.WriteResult{Written: 1})
	b.cells(b.get(Pick(table, "b"), id(1)), Pick(table, "b"), 0, nil)
}

// largeBatch: as many rows as a materialization hands over at a time, and as many keys as a large request asks for.
func largeBatch(b *bed) {
	table := b.created("stats", driverID, ints("a", "b")...)
	const n, stored = 2500, 2000
	for from := 0; from < stored; from += 1000 {
		var rows []Row
		for i := from; i < from+1000; i++ {
			row := Row{Key: id(i), Event: at(int64(i)), Values: []any{int64(i), nil}}
			if i%2 == 1 {
				row.Created = at(1)
			}
			rows = append(rows, row)
		}
		b.put(table, rows...)
	}
	for _, count := range []int{1, 100, n} {
		// Keys stand in the order opposite to the rows they fill; every fifth does not exist.
		var keys []online.Key
		for row := count - 1; row >= 0; row-- {
			keys = append(keys, online.Key{Bytes: id(n - count + row - 500), Row: row})
		}
		read := Pick(table)
		res := b.read(online.NewReadPlan([]*online.Table{read}), count, online.NewKeys(keys))
		for row := range count {
			k := n - count + row - 500
			if k < 0 {
				b.cells(res, read, row, absent{}, absent{})
				continue
			}
			b.cells(res, read, row, int64(k), nil)
			b.event(res, read, row, at(int64(k)))
		}
	}
}
