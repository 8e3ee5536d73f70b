package onlinetest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// calls makes every call of a store that takes a context, and returns their errors by name.
func (b *bed) calls(ctx context.Context, t *online.Table) map[string]error {
	b.Helper()
	out := map[string]error{}
	_, out["Write"] = b.store.Write(ctx, Batch(t, Row{Key: id(1), Event: at(2), Values: []any{int64(2)}}))
	out["Update"] = b.store.Update(ctx, []*online.Table{t}, []*online.Table{t})
	out["Teardown"] = b.store.Teardown(ctx, []*online.Table{t})
	if d, ok := online.As[online.Deleter](b.store); ok && !b.h.NoDelete {
		out["Delete"] = d.Delete(ctx, t, [][]byte{id(1)})
	}
	plan := online.NewReadPlan([]*online.Table{Pick(t)})
	reader, err := b.store.Prepare(plan)
	if err == nil { // Prepare does no I/O, so that it need not see that the store is closed
		err = reader.Read(ctx, online.NewKeys(KeysOf(id(1))), online.NewResult(plan, 1))
	}
	out["Read"] = err
	if p, ok := online.As[online.Pinger](b.store); ok {
		out["Ping"] = p.Ping(ctx)
	}
	return out
}

// contexts: no call does anything once its context has ended, and says so.
func contexts(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	b.put(table, Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
	cancelled, cancel := context.WithCancel(b.Context())
	cancel()
	expired, cancel := context.WithDeadline(b.Context(), time.Now())
	defer cancel()
	<-expired.Done()
	for _, ctx := range []context.Context{cancelled, expired} {
		for call, err := range b.calls(ctx, table) {
			if !errors.Is(err, ctx.Err()) {
				b.Errorf("%s: got error %v, want %v", call, err, ctx.Err())
			}
		}
	}
	b.cells(b.get(Pick(table), id(1)), table, 0, int64(1))
}

// cancelling: a call whose context ends meanwhile either succeeds or says so, and touches nothing of the caller's
// afterwards, which the race detector would see.
func cancelling(b *bed) {
	table := b.created("stats", driverID, ints("a", "b")...)
	var rows []Row
	for i := range 200 {
		rows = append(rows, Row{Key: id(i), Event: at(0), Values: []any{int64(i), nil}})
	}
	b.put(table, rows...)
	read := Pick(table)
	plan := online.NewReadPlan([]*online.Table{read})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	res := online.NewResult(plan, len(rows))
	for round := range 20 {
		for name, call := range map[string]func(ctx context.Context) error{
			"Read": func(ctx context.Context) error {
				own := online.NewKeys(KeysOf(keysOf(rows)...)).Clone()
				res.Reset(plan, len(rows))
				err := reader.Read(ctx, own, res)
				for _, k := range own.Group(0) {
					clear(k.Bytes)
				}
				if err == nil {
					last := len(rows) - 1
					b.cells(res, read, last, int64(last), nil)
				}
				return err
			},
			"Write": func(ctx context.Context) error {
				batch := Batch(table, rows...)
				_, err := b.store.Write(ctx, batch)
				for _, key := range batch.Keys {
					clear(key)
				}
				clear(batch.Event)
				return err
			},
		} {
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				for range 100 * round { // later in every round
					runtime.Gosched()
				}
				cancel()
			})
			if err := call(ctx); err != nil && !errors.Is(err, context.Canceled) {
				b.Errorf("%s: got error %v, want %v", name, err, context.Canceled)
			}
			wg.Wait()
		}
	}
	// Storing the batch again is safe, and the store goes on.
	if _, err := b.store.Write(b.Context(), Batch(table, rows...)); err != nil {
		b.Errorf("Write after a cancelled one: %v", err)
	}
	read = Pick(table) // a store may be at the plan of a cancelled read for a moment yet
	res = b.get(read, keysOf(rows)...)
	for i := range rows {
		b.cells(res, read, i, int64(i), nil)
	}
}

// closing: a closed store answers ErrClosed, also through readers prepared before, and may be closed again.
func closing(b *bed) {
	table := b.created("stats", driverID, ints("a")...)
	b.put(table, Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
	plan := online.NewReadPlan([]*online.Table{Pick(table)})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	b.teardown(table)
	for range 2 {
		if err := b.store.Close(); err != nil {
			b.Fatalf("Close: %v", err)
		}
	}
	errs := b.calls(b.Context(), table)
	errs["Read of a reader made before"] = reader.Read(b.Context(), online.NewKeys(KeysOf(id(1))), online.NewResult(plan, 1))
	for call, err := range errs {
		if !errors.Is(err, feasterr.ErrClosed) {
			b.Errorf("%s after Close: got error %v, want %v", call, err, feasterr.ErrClosed)
		}
	}
	if b.store.Info().Name == "" {
		b.Error("Info after Close has no name")
	}
}

// concurrent: while a writer rewrites rows, every answer of readers that share a Reader is a state that was written, whole
// and never older than one seen before.
func concurrent(b *bed) {
	const rows, states, readers = 3, 100, 8
	table := b.created("stats", driverID, ints("a", "b", "c", "d")...)
	state := func(k int) *online.WriteBatch {
		var batch []Row
		for row := range rows {
			v := int64(k*rows + row)
			batch = append(batch, Row{Key: id(row), Event: at(int64(k)), Values: []any{v, v, v, v}})
		}
		return Batch(table, batch...)
	}
	b.write(state(0), online.WriteResult{Written: rows})
	read := Pick(table)
	plan := online.NewReadPlan([]*online.Table{read})
	reader, err := b.store.Prepare(plan)
	if err != nil {
		b.Fatalf("Prepare: %v", err)
	}
	keys := online.NewKeys(KeysOf(id(0), id(1), id(2)))

	ctx, stop := context.WithCancel(b.Context()) // ends with the first error, else after the last write
	defer stop()
	var reads atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		defer stop()
		for k := 1; k <= states; k++ {
			for reads.Load() < int64(k*readers/2) && ctx.Err() == nil { // so that reads happen at the same time
				runtime.Gosched()
			}
			if _, err := b.store.Write(b.Context(), state(k)); err != nil {
				b.Errorf("Write: %v", err)
				return
			}
		}
	})
	// readOnce checks an answer and returns the state of each row.
	readOnce := func(res *online.Result, last [rows]int64) (now [rows]int64, ok bool) {
		res.Reset(plan, rows)
		if err := reader.Read(b.Context(), keys, res); err != nil {
			b.Errorf("Read: %v", err)
			return now, false
		}
		for row := range rows {
			v, _ := res.Column(read, 0).Any(row).(int64)
			b.cells(res, read, row, v, v, v, v)
			now[row] = v / rows
			if v%rows != int64(row) || now[row] < last[row] || res.RowEvent(read, row) != at(now[row]) {
				b.Errorf("row %d: read %d with event time %v after state %d", row, v, res.RowEvent(read, row), last[row])
				return now, false
			}
		}
		return now, !b.Failed()
	}
	for range readers {
		wg.Go(func() {
			var res online.Result
			var state [rows]int64
			for ctx.Err() == nil {
				var ok bool
				if state, ok = readOnce(&res, state); !ok {
					stop()
				}
				reads.Add(1)
			}
			if state, ok := readOnce(&res, state); ok && state != [rows]int64{states, states, states} {
				b.Errorf("after the last write: got states %v, want %d", state, states)
			}
		})
	}
	wg.Wait()
}

// goroutines: none that a store started outlives Close. They are known by a label, which goroutines inherit.
func goroutines(b *bed) {
	use := func(ctx context.Context) {
		second := &bed{T: b.T, h: b.h, project: b.project, store: b.h.Open(b.T, b.project)}
		table := second.created("stats", driverID, ints("a")...)
		second.put(table, Row{Key: id(1), Event: at(1), Values: []any{int64(1)}})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				plan := online.NewReadPlan([]*online.Table{Pick(table)})
				r, err := second.store.Prepare(plan)
				if err == nil {
					err = r.Read(ctx, online.NewKeys(KeysOf(id(1))), online.NewResult(plan, 1))
				}
				if err != nil {
					b.Errorf("read: %v", err)
				}
			})
		}
		wg.Wait()
		second.teardown(table)
		if err := second.store.Close(); err != nil {
			b.Errorf("Close: %v", err)
		}
	}
	use(b.Context()) // starts what is shared by all stores of a program
	pprof.Do(b.Context(), pprof.Labels("onlinetest", b.project), use)
	// Goroutines that were told to end may need a moment.
	var profile bytes.Buffer
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		profile.Reset()
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			b.Fatal(err)
		}
		if !strings.Contains(profile.String(), b.project) {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("goroutines that outlive Close, with label %s:\n%s", b.project, profile.String())
		}
	}
}
