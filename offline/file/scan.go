package file

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// scan is a read of one source: what a plan says, resolved.
type scan struct {
	plan      *offline.ScanPlan
	table     *table
	schema    *arrow.Schema
	out       []*column // of the result
	event     *column
	created   *column // nil: none
	units     units
	keys      []*column
	low, high int64 // of event times, both included
}

func (s *Store) openScan(ctx context.Context, p *offline.ScanPlan) (*scan, error) {
	t, err := openTable(ctx, s.dir, p.Source)
	if err != nil {
		return nil, err
	}
	sc := &scan{plan: p, table: t}
	if err := sc.resolve(); err != nil {
		t.close()
		return nil, err
	}
	return sc, nil
}

func (s *scan) resolve() error {
	var errs []error
	var fields []arrow.Field
	add := func(c offline.Column, found *column, err error) *column {
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		s.out = append(s.out, found)
		fields = append(fields, found.field(c.Name, found.typ))
		return found
	}
	for _, c := range s.plan.Keys {
		found, err := s.table.keyColumn(c.Source)
		k := add(c, found, err)
		if k != nil && (!k.flat || classOf(k.typ) == noClass && k.typ.ID() != arrow.NULL) {
			errs = append(errs, feasterr.Unsupported("view %q: column %q is %s, which cannot be a join key", s.plan.Name, c.Source, typeName(k.own)))
		}
		s.keys = append(s.keys, k)
	}
	for _, c := range s.plan.Features {
		found, err := s.table.column(c.Source, false)
		add(c, found, err)
	}
	var err error
	times := func(role string, c offline.Column) (*column, int64) {
		found, unit, timeErr := s.table.timeColumn(role, c.Source)
		if err = timeErr; err != nil {
			errs = append(errs, err)
			return nil, 0
		}
		// Whatever the files have, one column of timestamps comes of it.
		found.leaf, found.typ, found.flat = timestamp(clock{unit: microsecond, scale: 1}, 8, true, nil), resultTime, true
		s.out = append(s.out, found)
		fields = append(fields, arrow.Field{Name: c.Name, Type: resultTime, Nullable: true})
		return found, unit
	}
	s.event, s.units.event = times("timestamp field", s.plan.Event)
	if s.plan.Created.Source != "" {
		s.created, s.units.created = times("created timestamp column", s.plan.Created)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.schema = arrow.NewSchema(fields, nil)
	s.low, s.high = noTime+1, math.MaxInt64
	if t := s.plan.Start; !t.IsZero() {
		s.low = ceilTime(t, s.units.event)
	}
	if t := s.plan.End; !t.IsZero() {
		s.high = floorTime(t, s.units.event)
	}
	return nil
}

// floorTime is a time in a unit, rounded down.
func floorTime(t time.Time, unit int64) int64 {
	return addSaturated(mulSaturated(t.Unix(), second/unit), int64(t.Nanosecond())/unit)
}

// ceilTime is a time in a unit, rounded up.
func ceilTime(t time.Time, unit int64) int64 {
	return addSaturated(mulSaturated(t.Unix(), second/unit), -floorDiv(-int64(t.Nanosecond()), unit))
}

// stretches are the parts of the source that may have rows in the window.
func (s *scan) stretches(ctx context.Context) ([]stretchOf, error) {
	return stretches(ctx, s.table.groups, s.event, window{s.low, s.high, s.units.event}, rowsOfWidth(len(s.out)))
}

// inWindow finds the rows of a stretch whose event time is in the window, and returns the times of all.
func (s *scan) inWindow(ctx context.Context, t stretchOf, times []int64) (wanted, []int64, error) {
	times = grown(times, t.rows.len())
	if err := t.group.times(ctx, s.event, t.rows, s.units.event, times); err != nil {
		return wanted{}, times, err
	}
	in := 0
	for _, e := range times {
		if e >= s.low && e <= s.high {
			in++
		}
	}
	switch in {
	case 0:
		return someRows(nil), times, nil
	case len(times):
		return t.rows, times, nil
	}
	rows := make([]int32, 0, in)
	for i, e := range times {
		if e >= s.low && e <= s.high {
			rows = append(rows, int32(t.rows.lo+i))
		}
	}
	return someRows(rows), times, nil
}

// batch reads the columns of the result for some rows.
func (s *scan) batch(ctx context.Context, g *rowGroup, w wanted) (_ arrow.RecordBatch, err error) {
	defer recovered(g.file.path, &err)
	arrays := make([]arrow.Array, 0, len(s.out))
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for _, c := range s.out {
		v := newVector(c, w.len())
		if err := g.fill(ctx, c, w, v, 0); err != nil {
			return nil, inFile(g.file.path, err)
		}
		a, err := v.whole()
		if err != nil {
			return nil, inFile(g.file.path, err)
		}
		arrays = append(arrays, a)
	}
	return array.NewRecordBatch(s.schema, arrays, int64(w.len())), nil
}

// some makes the batches of several tasks on all processors; a task may come to none.
func some(ctx context.Context, n int, do func(i int) (arrow.RecordBatch, error)) ([]arrow.RecordBatch, error) {
	out := make([]arrow.RecordBatch, n)
	err := each(ctx, n, func(_, i int) (err error) {
		out[i], err = do(i)
		return err
	})
	kept := out[:0]
	for _, b := range out {
		switch {
		case b == nil:
		case err != nil:
			b.Release()
		default:
			kept = append(kept, b)
		}
	}
	return kept, err
}

func readAll(ctx context.Context, s *scan) (array.RecordReader, error) {
	tasks, err := s.stretches(ctx)
	if err != nil {
		return nil, err
	}
	more := func() ([]arrow.RecordBatch, error) {
		for len(tasks) > 0 {
			now := tasks[:workers(len(tasks))]
			tasks = tasks[len(now):]
			batches, err := some(ctx, len(now), func(i int) (_ arrow.RecordBatch, err error) {
				defer recovered(now[i].group.file.path, &err)
				w, _, err := s.inWindow(ctx, now[i], nil)
				if err == nil && s.plan.Shards > 1 {
					w, err = s.inShard(ctx, now[i].group, w)
				}
				if err != nil || w.len() == 0 {
					return nil, inFile(now[i].group.file.path, err)
				}
				return s.batch(ctx, now[i].group, w)
			})
			if err != nil || len(batches) > 0 {
				return batches, err
			}
		}
		return nil, nil
	}
	return newReader(s.schema, ctx.Err, more, s.table.close), nil
}
