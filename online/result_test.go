package online

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Serialized values of feast.types.Value.
func intValue(n int64) []byte { return binary.AppendUvarint([]byte{4 << 3}, uint64(n)) }
func textValue(s string) []byte {
	return append(binary.AppendUvarint([]byte{2<<3 | 2}, uint64(len(s))), s...)
}

// numbersValue is an Int64List.
func numbersValue(n ...int64) []byte {
	var packed []byte
	for _, x := range n {
		packed = binary.AppendUvarint(packed, uint64(x))
	}
	list := append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(packed))), packed...)
	return append(binary.AppendUvarint([]byte{14<<3 | 2}, uint64(len(list))), list...)
}

func sec(n int64) types.Timestamp { return types.Timestamp{Seconds: n} }

// mixedTable has features of fixed and variable width.
func mixedTable(view string) *Table {
	return testTable(view,
		types.Field{Name: "n", Type: types.Int64},
		types.Field{Name: "s", Type: types.String},
		types.Field{Name: "l", Type: types.Int64List})
}

// fill writes a row of a mixedTable. Every third row has a text where a number is declared, every fourth another time for
// its last feature.
func fill(r *Result, t *Table, row int) error {
	r.Row(t, row, sec(int64(row)))
	n := intValue(int64(row))
	if row%3 == 0 {
		n = textValue(fmt.Sprint("odd ", row))
	}
	if err := errors.Join(r.Set(t, row, 0, n), r.Set(t, row, 1, textValue(fmt.Sprint("text ", row)))); err != nil {
		return err
	}
	if row%4 == 0 {
		r.Row(t, row, sec(int64(row)+100))
	}
	return r.Set(t, row, 2, numbersValue(int64(row), int64(row)*2))
}

// checkFilled checks a row as fill writes it.
func checkFilled(t *testing.T, r *Result, table *Table, row int) {
	t.Helper()
	var n any = int64(row)
	if row%3 == 0 {
		n = fmt.Sprint("odd ", row)
	}
	event, last := sec(int64(row)), sec(int64(row))
	if row%4 == 0 {
		last = sec(int64(row) + 100)
	}
	got := []any{
		r.Found(table, row), r.Column(table, 0).Any(row), r.Column(table, 1).Any(row), r.Column(table, 2).Any(row),
		r.Event(table, row, 0), r.Event(table, row, 1), r.Event(table, row, 2), r.RowEvent(table, row),
	}
	want := []any{true, n, fmt.Sprint("text ", row), []int64{int64(row), int64(row) * 2}, event, event, last, last}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s, row %d: got %v, want %v", table.View, row, got, want)
	}
}

func TestResult(t *testing.T) {
	table := testTable("stats", types.Field{Name: "a", Type: types.Int64}, types.Field{Name: "b", Type: types.Int64})
	other := testTable("other", types.Field{Name: "a", Type: types.String})
	r := NewResult(NewReadPlan([]*Table{table}, []*Table{other}), 3)
	if r.Rows() != 3 || !r.Uniform(table) || r.Failed() {
		t.Errorf("an empty result: %d rows, uniform %t, failed %t", r.Rows(), r.Uniform(table), r.Failed())
	}
	r.Row(table, 1, sec(5))
	if err := r.Set(table, 1, 0, intValue(7)); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(table, 1, 1, nil); err != nil {
		t.Fatal(err)
	}
	r.Row(other, 2, sec(6))
	for _, c := range []struct {
		table        *Table
		row, feature int
		found        bool
		status       types.Status
		value        any
		event        types.Timestamp
	}{
		{table, 0, 0, false, types.NotFound, nil, types.Timestamp{}},
		{table, 1, 0, true, types.Present, int64(7), sec(5)},
		{table, 1, 1, true, types.NullValue, nil, sec(5)},
		{table, 2, 1, false, types.NotFound, nil, types.Timestamp{}},
		{other, 1, 0, false, types.NotFound, nil, types.Timestamp{}},
		{other, 2, 0, true, types.NotFound, nil, sec(6)},
	} {
		col := r.Column(c.table, c.feature)
		if r.Found(c.table, c.row) != c.found || col.Status(c.row) != c.status || col.Any(c.row) != c.value ||
			r.Event(c.table, c.row, c.feature) != c.event || r.RowEvent(c.table, c.row) != c.event {
			t.Errorf("%s.%d, row %d: found %t, %s %v of %v, want %t, %s %v of %v", c.table.View, c.feature, c.row,
				r.Found(c.table, c.row), col.Status(c.row), col.Any(c.row), r.Event(c.table, c.row, c.feature),
				c.found, c.status, c.value, c.event)
		}
	}

	err := r.Set(table, 2, 1, []byte{0xff})
	if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), "feature b of feature view stats, row 2: ") {
		t.Errorf("a malformed value: %v", err)
	}
	if s := r.Column(table, 1).Status(2); s != types.NotFound {
		t.Errorf("status after a malformed value: %s", s)
	}

	first, second := errors.New("first"), errors.New("second")
	r.Fail(other, first)
	r.Fail(other, second)
	if !errors.Is(r.Err(other), first) || r.Err(table) != nil || !r.Failed() {
		t.Errorf("failures: %v, %v, %t", r.Err(other), r.Err(table), r.Failed())
	}

	r.Reset(r.plan, 2)
	if r.Found(table, 1) || r.Column(table, 0).Status(1) != types.NotFound || r.RowEvent(table, 1) != (types.Timestamp{}) ||
		r.Failed() || r.Err(other) != nil {
		t.Error("Reset left something")
	}
}

// A row of which every feature has a time: the row has the newest, in whatever order they come.
func TestResultFeatureTimes(t *testing.T) {
	var features []types.Field
	for _, name := range []string{"a", "b", "c", "d"} {
		features = append(features, types.Field{Name: name, Type: types.Int64})
	}
	for _, c := range []struct {
		times   [3]int64
		row     int64
		uniform bool
	}{
		{[3]int64{5, 5, 5}, 5, true},
		{[3]int64{5, 7, 5}, 7, false},
		{[3]int64{7, 5, 6}, 7, false},
		{[3]int64{5, 6, 7}, 7, false},
		{[3]int64{5, 5, 7}, 7, false},
	} {
		table := testTable("stats", features...)
		r := NewResult(NewReadPlan([]*Table{table}), 2)
		r.Row(table, 0, sec(1)) // another row, of one time
		for f, event := range c.times {
			r.Row(table, 1, sec(event))
			if err := r.Set(table, 1, f, intValue(int64(f))); err != nil {
				t.Fatal(err)
			}
		}
		for f, event := range append(c.times[:], c.row) { // d is absent and has the row's
			if got := r.Event(table, 1, f); got != sec(event) {
				t.Errorf("times %v: feature %d has %v", c.times, f, got)
			}
		}
		if r.RowEvent(table, 1) != sec(c.row) || r.RowEvent(table, 0) != sec(1) || r.Uniform(table) != c.uniform {
			t.Errorf("times %v: rows have %v, %v, uniform %t",
				c.times, r.RowEvent(table, 1), r.RowEvent(table, 0), r.Uniform(table))
		}
	}
}

// Forks and forks of forks write disjoint rows at the same time, and again into the memory of the read before.
func TestResultFork(t *testing.T) {
	a, b := mixedTable("a"), mixedTable("b")
	plan := NewReadPlan([]*Table{a}, []*Table{b})
	failure := errors.New("failure")
	var r Result
	for _, rows := range []int{40, 12, 60} {
		r.Reset(plan, rows)
		var wg sync.WaitGroup
		run := func(r *Result, from, to int, failed *Table) {
			defer wg.Done()
			for row := from; row < to; row++ {
				if err := errors.Join(fill(r, a, row), fill(r, b, row)); err != nil {
					t.Error(err)
				}
			}
			if failed != nil {
				r.Fail(failed, failure)
			}
		}
		quarter := rows / 4
		outer, leaf := r.Fork(), r.Fork()
		inner := []*Result{outer.Fork(), outer.Fork()}
		wg.Add(4)
		go run(leaf, 0, quarter, b)
		go run(outer, quarter, quarter*2, nil)
		go run(inner[0], quarter*2, quarter*3, nil)
		go run(inner[1], quarter*3, rows, nil)
		wg.Wait()
		outer.Join(inner[1])
		r.Join(leaf)
		outer.Join(inner[0])
		r.Join(outer)

		for row := range rows {
			checkFilled(t, &r, a, row)
			checkFilled(t, &r, b, row)
		}
		if !errors.Is(r.Err(b), failure) || r.Err(a) != nil || !r.Failed() {
			t.Errorf("failures: %v, %v, %t", r.Err(a), r.Err(b), r.Failed())
		}
		lists, err := types.Lists[int64](r.Column(a, 2))
		if err != nil {
			t.Fatal(err)
		}
		for row := range rows {
			if got := lists.At(row); !reflect.DeepEqual(got, []int64{int64(row), int64(row) * 2}) {
				t.Errorf("list %d: %v", row, got)
			}
		}
	}
}

// Of two attempts that read aside, the winner is taken while the loser still writes.
func TestResultAdoptWhileLoserWrites(t *testing.T) {
	a, b := mixedTable("a"), mixedTable("b")
	plan := NewReadPlan([]*Table{a, b})
	r := NewResult(plan, 20)
	winner, loser := r.Scratch(), r.Scratch()
	started, stop := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for row := 0; ; row = (row + 1) % 20 {
			loser.Row(a, row, sec(-1))
			if err := errors.Join(loser.Set(a, row, 0, intValue(-1)), loser.Set(a, row, 1, textValue("loser"))); err != nil {
				t.Error(err)
				return
			}
			if row == 1 {
				select {
				case <-started:
				default:
					close(started)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-started
	fork := winner.Fork() // a reader that forks
	for row := range 10 {
		if err := errors.Join(fill(winner, a, 2*row), fill(fork, b, 2*row+1)); err != nil {
			t.Fatal(err)
		}
	}
	winner.Join(fork)
	failure := errors.New("failure")
	winner.Fail(b, failure)
	if err := r.Adopt(winner); err != nil {
		t.Fatal(err)
	}
	// The winner's memory is used again.
	if err := fill(r.Scratch(), a, 12); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for row := range 10 {
			checkFilled(t, r, a, 2*row)
			checkFilled(t, r, b, 2*row+1)
			if r.Found(a, 2*row+1) || r.Found(b, 2*row) {
				t.Errorf("rows that the winner did not have: %d, %d", 2*row+1, 2*row)
			}
		}
	}
	check()
	close(stop)
	wg.Wait()
	check()
	if !errors.Is(r.Err(b), failure) || r.Err(a) != nil {
		t.Errorf("failures: %v, %v", r.Err(a), r.Err(b))
	}
}

// Adopt replaces rows that are there, with their times.
func TestResultAdoptReplaces(t *testing.T) {
	a := mixedTable("a")
	r := NewResult(NewReadPlan([]*Table{a}), 6)
	for row := range 6 {
		if err := fill(r, a, row); err != nil {
			t.Fatal(err)
		}
	}
	s := r.Scratch()
	s.Row(a, 4, sec(9)) // had several times and a list
	if err := s.Set(a, 4, 0, intValue(1)); err != nil {
		t.Fatal(err)
	}
	s.Row(a, 3, sec(8)) // had a value of another type
	if err := s.Set(a, 3, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Adopt(s); err != nil {
		t.Fatal(err)
	}
	for _, row := range []int{0, 1, 2, 5} {
		checkFilled(t, r, a, row)
	}
	n, text := r.Column(a, 0), r.Column(a, 1)
	if n.Any(4) != int64(1) || text.Status(4) != types.NotFound ||
		r.RowEvent(a, 4) != sec(9) || r.Event(a, 4, 0) != sec(9) || r.Event(a, 4, 2) != sec(9) {
		t.Errorf("row 4: %v, %s of %v, %v", n.Any(4), text.Status(4), r.RowEvent(a, 4), r.Event(a, 4, 0))
	}
	if n.Any(3) != nil || n.Status(3) != types.NullValue || r.RowEvent(a, 3) != sec(8) {
		t.Errorf("row 3: %v, %s of %v", n.Any(3), n.Status(3), r.RowEvent(a, 3))
	}
}

func TestResultRepeat(t *testing.T) {
	a, b, c := mixedTable("a"), mixedTable("b"), mixedTable("c")
	plan := NewReadPlan([]*Table{a, b}, []*Table{c})
	r := NewResult(plan, 20)
	for row := range 10 {
		if err := errors.Join(fill(r, a, row), fill(r, c, row)); err != nil {
			t.Fatal(err)
		}
	}
	for row := range 10 {
		r.Repeat(plan.Groups()[0], 10+row, row)
	}
	for row := range 10 {
		checkFilled(t, r, a, row)
		checkFilled(t, r, c, row)
		var n any = int64(row)
		if row%3 == 0 {
			n = fmt.Sprint("odd ", row)
		}
		for _, place := range []int{row, 10 + row} {
			if got := r.Column(a, 0).Any(place); got != n {
				t.Errorf("row %d: got %v, want %v", place, got, n)
			}
			if got := r.Column(a, 2).Any(place); !reflect.DeepEqual(got, []int64{int64(row), int64(row) * 2}) {
				t.Errorf("row %d: got %v", place, got)
			}
			for f := range a.Features {
				if got, want := r.Event(a, place, f), r.Event(a, row, f); got != want {
					t.Errorf("row %d, feature %d: event time %v, want %v", place, f, got, want)
				}
			}
			if !r.Found(a, place) || r.Found(b, place) || r.RowEvent(a, place) != r.RowEvent(a, row) {
				t.Errorf("row %d: found %t and %t, of %v", place, r.Found(a, place), r.Found(b, place), r.RowEvent(a, place))
			}
		}
		if r.Found(c, 10+row) {
			t.Errorf("row %d of another group was repeated", 10+row)
		}
	}
}

// A result used again for a request of the same shape allocates nothing, whole or through forks.
func TestResultAllocs(t *testing.T) {
	kinds := []struct {
		t     types.Type
		value []byte
	}{
		{types.Int64, intValue(1 << 40)},
		{types.Float64, append([]byte{5<<3 | 1}, make([]byte, 8)...)},
		{types.String, textValue("some text")},
		{types.Bool, []byte{7 << 3, 1}},
		{types.Int64List, numbersValue(1, 2, 3)},
	}
	fields := make([]types.Field, 50)
	for i := range fields {
		fields[i] = types.Field{Name: fmt.Sprint("f", i), Type: kinds[i%len(kinds)].t}
	}
	table := testTable("stats", fields...)
	plan := NewReadPlan([]*Table{table})
	for _, rows := range []int{1, 100} {
		var r Result
		write := func(dst *Result, from, to int) {
			for row := from; row < to; row++ {
				dst.Row(table, row, sec(5))
				for f := range fields {
					if err := dst.Set(table, row, f, kinds[f%len(kinds)].value); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if n := testing.AllocsPerRun(20, func() {
			r.Reset(plan, rows)
			write(&r, 0, rows)
		}); n != 0 {
			t.Errorf("%d rows of %d features: %v allocations, want 0", rows, len(fields), n)
		}
		if n := testing.AllocsPerRun(20, func() {
			r.Reset(plan, rows)
			f, g := r.Fork(), r.Fork()
			write(f, 0, rows/2)
			write(g, rows/2, rows)
			r.Join(f)
			r.Join(g)
		}); n != 0 {
			t.Errorf("%d rows of %d features through two forks: %v allocations, want 0", rows, len(fields), n)
		}
	}
}

// Images of rows put back, into another result and into a fork, over whatever was there.
func TestResultImages(t *testing.T) {
	a, b := mixedTable("a"), mixedTable("b")
	plan := NewReadPlan([]*Table{a}, []*Table{b})
	from, to := NewResult(plan, 20), NewResult(plan, 20)
	for row := range 20 {
		if err := errors.Join(fill(from, b, row), fill(to, a, 19-row)); err != nil {
			t.Fatal(err)
		}
	}
	fork := to.Fork()
	for row := range 20 {
		image := from.AppendRow(nil, b, row)
		own := append([]byte(nil), image...)
		dst := to
		if row%2 == 0 {
			dst = fork
		}
		if err := errors.Join(dst.PutRow(a, row, own), dst.PutRow(b, row, own)); err != nil { // a has the same features
			t.Fatal(err)
		}
		clear(own)
		for n := range image[:len(image)-1] {
			if err := from.PutRow(b, row, image[:n+1]); !errors.Is(err, feasterr.ErrInvalid) || from.Found(b, row) {
				t.Fatalf("row %d, %d of %d bytes: error %v, found %t", row, n+1, len(image), err, from.Found(b, row))
			}
		}
	}
	to.Join(fork)
	for row := range 20 {
		checkFilled(t, to, a, row)
		checkFilled(t, to, b, row)
	}
	if image := from.AppendRow(nil, a, 3); len(image) != 0 {
		t.Errorf("the image of an absent row: %x", image)
	}
	if err := to.PutRow(a, 3, nil); err != nil {
		t.Error(err)
	}
	checkFilled(t, to, a, 3)
}

func TestResultClear(t *testing.T) {
	a, b := mixedTable("a"), mixedTable("b")
	plan := NewReadPlan([]*Table{a, b})
	r := NewResult(plan, 8)
	for row := range 8 {
		if err := errors.Join(fill(r, a, row), fill(r, b, row)); err != nil {
			t.Fatal(err)
		}
	}
	failure := errors.New("failure")
	r.Fail(a, failure)
	r.Fail(b, failure)
	r.Clear(a)
	if r.Err(a) != nil || !errors.Is(r.Err(b), failure) || !r.Failed() || !r.Uniform(a) || r.Uniform(b) {
		t.Errorf("failures: %v, %v, %t; uniform: %t, %t", r.Err(a), r.Err(b), r.Failed(), r.Uniform(a), r.Uniform(b))
	}
	for row := range 8 {
		if r.Found(a, row) || r.RowEvent(a, row) != (types.Timestamp{}) {
			t.Errorf("row %d is there", row)
		}
		for f := range a.Features {
			if c := r.Column(a, f); c.Status(row) != types.NotFound || c.Any(row) != nil {
				t.Errorf("row %d, feature %d: %s %v", row, f, c.Status(row), c.Any(row))
			}
		}
		checkFilled(t, r, b, row)
	}
	r.Clear(b)
	if r.Failed() {
		t.Error("nothing is left that failed")
	}
	for row := range 8 {
		if err := fill(r, a, row); err != nil {
			t.Fatal(err)
		}
		checkFilled(t, r, a, row)
	}
}
