package onlinetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// deleter returns the store as one that deletes rows. A test of a store that declares that it does not ends here.
func (b *bed) deleter() online.Deleter {
	b.Helper()
	if b.h.NoDelete {
		b.Skip("the store cannot delete rows by entity key")
	}
	d, ok := online.As[online.Deleter](b.store)
	if !ok {
		b.Fatal("the store is no online.Deleter; the harness of one that cannot delete rows declares NoDelete")
	}
	return d
}

// delete deletes rows. The keys are spoiled afterwards, as a caller that uses its memory again does.
func (b *bed) delete(t *online.Table, keys ...[]byte) {
	b.Helper()
	own := make([][]byte, len(keys))
	for i, key := range keys {
		own[i] = slices.Clone(key)
	}
	if err := b.deleter().Delete(b.Context(), t, own); err != nil {
		b.Fatalf("Delete from %s: %v", t.StoredView(), err)
	}
	for _, key := range own {
		clear(key)
	}
}

// numbered writes a row for each key, the cells of which count up.
func (b *bed) numbered(t *online.Table, keys ...[]byte) {
	b.Helper()
	rows := make([]Row, len(keys))
	for i, key := range keys {
		rows[i] = Row{Key: key, Event: at(int64(i))}
		for f := range t.Features {
			rows[i].Values = append(rows[i].Values, int64(i*len(t.Features)+f))
		}
	}
	b.put(t, rows...)
}

// numbersLeft checks that of the rows of [bed.numbered] those for which left is true are as they were written, and that
// the others are gone.
func (b *bed) numbersLeft(t *online.Table, left func(i int) bool, keys ...[]byte) {
	b.Helper()
	read := Pick(t)
	res := b.get(read, keys...)
	for i := range keys {
		var want []any
		for f := range t.Features {
			if left(i) {
				want = append(want, int64(i*len(t.Features)+f))
			} else {
				want = append(want, absent{})
			}
		}
		b.cells(res, read, i, want...)
		if left(i) {
			b.event(res, read, i, at(int64(i)))
		} else if res.Found(read, i) {
			b.Errorf("%s, row %d: found after it was deleted", t.StoredView(), i)
		}
	}
}

func all(int) bool { return true }

func none(int) bool { return false }

// deletedRows: the rows of the keys go, with all their features, and no others. Keys without a row change nothing.
func deletedRows(b *bed) {
	table := b.created("stats", driverID, ints("a", "b", "c")...)
	b.delete(table, id(1))
	keys := [][]byte{id(0), id(1), id(2), id(3), id(4)}
	b.numbered(table, keys...)
	b.write(Batch(Pick(table, "a", "b"), Row{Key: id(5), Event: at(1), Values: []any{int64(1), nil}}), online.WriteResult{Written: 1})
	b.delete(table)
	b.delete(table, id(99))
	b.numbersLeft(table, all, keys...)
	b.delete(table, id(3), id(1))
	b.numbersLeft(table, func(i int) bool { return i != 1 && i != 3 }, keys...)
	b.delete(table, id(98), id(3), id(0), id(99))
	b.numbersLeft(table, func(i int) bool { return i == 2 || i == 4 }, keys...)
	read := Pick(table)
	res := b.get(read, id(5))
	b.cells(res, read, 0, int64(1), nil, absent{})
	b.event(res, read, 0, at(1))

	b.delete(table, append(keys, id(5))...)
	b.numbersLeft(table, none, append(keys, id(5))...)
	b.numbered(table, keys...)
	b.numbersLeft(table, all, keys...)
}

// largeDelete: as many keys as there are in a large batch.
func largeDelete(b *bed) {
	table := b.created("stats", driverID, ints("a", "b")...)
	const n, deleted = 2600, 2500
	var keys, gone [][]byte
	left := func(i int) bool { return i%(n/(n-deleted)) == 0 }
	for i := range n {
		keys = append(keys, id(i))
		if !left(i) {
			gone = append(gone, keys[i])
		}
	}
	if len(gone) != deleted {
		b.Fatalf("%d keys, want %d", len(gone), deleted)
	}
	b.numbered(table, keys...)
	slices.Reverse(gone)
	b.delete(table, gone...)
	b.numbersLeft(table, left, keys...)
}

// deletedKeys: keys of every type and kind, and of several join keys, go alone.
func deletedKeys(b *bed) {
	one, two := b.created("one", []string{"k"}, ints("n")...), b.created("two", []string{"a", "b"}, ints("n")...)
	for _, c := range []struct {
		table  *online.Table
		keys   [][]byte
		absent []byte
	}{
		{one, keysOfTypes(), Key("k", "unknown")},
		{two, pairs(), Key("a", "x")},
	} {
		b.numbered(c.table, c.keys...)
		b.delete(c.table, c.absent)
		b.numbersLeft(c.table, all, c.keys...)
		for _, half := range []int{0, 1} {
			var keys [][]byte
			for i := half; i < len(c.keys); i += 2 {
				keys = append(keys, c.keys[i])
			}
			b.delete(c.table, keys...)
			b.numbersLeft(c.table, func(i int) bool { return half == 0 && i%2 == 1 }, c.keys...)
		}
	}
}

// deletedEntityless: the row of a view without entities.
func deletedEntityless(b *bed) {
	dummy := Key(online.DummyJoinKey, "")
	var tables []*online.Table
	for _, view := range []string{"global", "globals"} {
		t := b.table(view, []string{online.DummyJoinKey}, ints("a", "b")...)
		t.Entities = []string{online.DummyEntity}
		b.update(t)
		b.numbered(t, dummy)
		tables = append(tables, t)
	}
	b.delete(tables[0], dummy)
	b.numbersLeft(tables[0], none, dummy)
	b.numbersLeft(tables[1], all, dummy)
}

// deletesOfViews: the same entities' rows of other views stay, whatever the names have in common.
func deletesOfViews(b *bed) {
	keys := [][]byte{id(0), id(1), id(2)}
	var tables []*online.Table
	for _, view := range []string{"stats", "stats_too", "stat", "my_stats", "STATS_", "%", "s*"} {
		t := b.created(view, driverID, ints("a", "b")...)
		b.numbered(t, keys...)
		tables = append(tables, t)
	}
	for last, t := range tables {
		b.delete(t, id(1))
		for i, t := range tables {
			b.numbersLeft(t, func(row int) bool { return row != 1 || i > last }, keys...)
		}
	}
}

// deletesOfVersions: the rows of a view's other versions stay.
func deletesOfVersions(b *bed) {
	if !b.store.Info().Versioned {
		b.Skip("the store keeps no versions of views")
	}
	keys := [][]byte{id(0), id(1)}
	var tables []*online.Table
	for _, v := range []int{1, 0, 2, 11} {
		t := b.table("stats", driverID, ints("a", "b")...)
		t.Version = v
		b.update(t)
		b.numbered(t, keys...)
		tables = append(tables, t)
	}
	for last, t := range tables {
		b.delete(t, id(1))
		for i, t := range tables {
			b.numbersLeft(t, func(row int) bool { return row != 1 || i > last }, keys...)
		}
	}
}

// deletesOfProjects: the rows of the same view in other projects stay.
func deletesOfProjects(b *bed) {
	keys := [][]byte{id(0), id(1)}
	beds := []*bed{b}
	for _, project := range []string{"my_" + b.project, b.project + "_2", b.project[:4] + "*" + b.project[5:], b.project + "%"} {
		beds = append(beds, newBedFor(b.T, b.h, project))
	}
	for _, p := range beds {
		p.numbered(p.created("stats", driverID, ints("a", "b")...), keys...)
	}
	for last, p := range beds {
		p.delete(p.tables[0], id(1))
		for i, p := range beds {
			p.numbersLeft(p.tables[0], func(row int) bool { return row != 1 || i > last }, keys...)
		}
	}
}

// rewritesOfDeleted: nothing of a deleted row counts any more: not its time against an older row, not its features beside
// those of a new one.
func rewritesOfDeleted(b *bed) {
	table := b.created("stats", driverID, ints("a", "b", "c")...)
	row := func(event int64, values ...any) Row { return Row{Key: id(1), Event: at(event), Values: values} }
	b.put(table, row(10, int64(1), int64(2), int64(3)))
	b.delete(table, id(1))
	some := Pick(table, "b")
	b.put(some, row(5, int64(22)))
	read := Pick(table)
	res := b.get(read, id(1))
	b.cells(res, read, 0, absent{}, int64(22), absent{})
	b.event(res, read, 0, at(5))

	b.write(Batch(some, row(4, int64(222))), online.WriteResult{Older: 1})
	b.put(table, row(6, int64(11), nil, int64(33)))
	res = b.get(read, id(1))
	b.cells(res, read, 0, int64(11), nil, int64(33))
	b.event(res, read, 0, at(6))
}

// deletedMeanwhile: while rows are written and deleted, every answer has a row either whole or not at all.
func deletedMeanwhile(b *bed) {
	d := b.deleter()
	const rows, rounds, readers = 3, 30, 8
	table := b.created("stats", driverID, ints("a", "b", "c", "d")...)
	stays := id(rows)
	b.numbered(table, stays)
	keys := [][]byte{id(0), id(1), id(2)}
	read := Pick(table)
	plan := online.NewReadPlan([]*online.Table{read})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	readKeys := online.NewKeys(KeysOf(append(keys, stays)...))

	ctx, stop := context.WithCancel(b.Context()) // ends with the first error, else after the last round
	defer stop()
	var reads atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop()
		await := func() { // a read that begins now
			for n := reads.Load() + readers; reads.Load() <= n && ctx.Err() == nil; {
				runtime.Gosched()
			}
		}
		for k := range rounds {
			var batch []Row
			for row := range rows {
				v := int64(k*rows + row)
				batch = append(batch, Row{Key: id(row), Event: at(int64(-k)), Values: []any{v, v, v, v}})
			}
			_, err := b.store.Write(b.Context(), Batch(table, batch...))
			await()
			if err = errors.Join(err, d.Delete(b.Context(), table, [][]byte{id(0), id(1), id(2)})); err != nil {
				b.Errorf("round %d: %v", k, err)
				return
			}
			await()
		}
	})
	readOnce := func(res *online.Result) bool {
		res.Reset(plan, rows+1)
		if err := errors.Join(reader.Read(b.Context(), readKeys, res), res.Err(read)); err != nil {
			b.Errorf("Read: %v", err)
			return false
		}
		b.cells(res, read, rows, int64(0), int64(1), int64(2), int64(3))
		for row := range rows {
			if !res.Found(read, row) {
				b.cells(res, read, row, absent{}, absent{}, absent{}, absent{})
				continue
			}
			v, _ := res.Column(read, 0).Any(row).(int64)
			b.cells(res, read, row, v, v, v, v)
			b.event(res, read, row, at(-v/rows))
		}
		return !b.Failed()
	}
	for range readers {
		wg.Go(func() {
			var res online.Result
			for ctx.Err() == nil {
				if !readOnce(&res) {
					stop()
				}
				reads.Add(1)
			}
		})
	}
	wg.Wait()
	res := b.get(Pick(table), append(keys, stays)...)
	for row := range keys {
		b.cells(res, read, row, absent{}, absent{}, absent{}, absent{})
	}
}

// cancelledDeletes: a call whose context ends meanwhile either succeeds or says so, touches nothing of the caller's
// afterwards, and may be repeated.
func cancelledDeletes(b *bed) {
	d := b.deleter()
	table := b.created("stats", driverID, ints("a", "b")...)
	var keys [][]byte
	for i := range 200 {
		keys = append(keys, id(i))
	}
	for round := range 20 {
		b.numbered(table, keys...)
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 * round { // later in every round
				runtime.Gosched()
			}
			cancel()
		})
		own := online.NewKeys(KeysOf(keys...)).Clone().Group(0)
		given := make([][]byte, len(own))
		for i, k := range own {
			given[i] = k.Bytes
		}
		err := d.Delete(ctx, table, given)
		for _, key := range given {
			clear(key)
		}
		wg.Wait()
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				b.Errorf("Delete: got error %v, want %v", err, context.Canceled)
			}
			b.delete(table, keys...)
		}
		b.numbersLeft(table, none, keys...)
		if b.Failed() {
			b.Fatalf("stopped in round %d", round)
		}
	}
}

// unsupportedDelete: a store that declares that it cannot delete rows has no such ability or says so, and deletes nothing.
func unsupportedDelete(b *bed) {
	if !b.h.NoDelete {
		b.deleter()
		return
	}
	d, ok := online.As[online.Deleter](b.store)
	if !ok {
		return
	}
	table := b.created("stats", driverID, ints("a")...)
	b.numbered(table, id(0))
	if err := d.Delete(b.Context(), table, [][]byte{id(0)}); !errors.Is(err, feasterr.ErrUnsupported) {
		b.Errorf("Delete: got error %v, want %v", err, feasterr.ErrUnsupported)
	}
	b.numbersLeft(table, all, id(0))
}
