package onlinetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/feastgo/feast/online"
)

// maxDiff bounds the lines of a comparison.
const maxDiff = 20

// Diff compares two results of a plan, or of selections of it: the rows that exist and their event times, and for every
// cell its status, event time and serialized value. It returns "" when they are equal, else a line for each difference.
func Diff(plan *online.ReadPlan, want, got *online.Result) string {
	var d differences
	if want.Rows() != got.Rows() {
		d.add("got %d rows, want %d", got.Rows(), want.Rows())
		return d.String()
	}
	for _, t := range plan.Tables() {
		if w, g := want.Err(t), got.Err(t); (w == nil) != (g == nil) {
			d.add("%s: got error %v, want %v", t.StoredView(), g, w)
		}
		for row := range want.Rows() {
			if w, g := want.Found(t, row), got.Found(t, row); w != g {
				d.add("%s, row %d: found %t, want %t", t.StoredView(), row, g, w)
				continue
			}
			if w, g := want.RowEvent(t, row), got.RowEvent(t, row); w != g {
				d.add("%s, row %d: event time %v, want %v", t.StoredView(), row, g, w)
			}
			for f := range t.Features {
				if w, g := cellOf(want, t, row, f), cellOf(got, t, row, f); w != g {
					d.add("%s.%s, row %d: got %s, want %s", t.StoredView(), t.Features[f].Name, row, g, w)
				}
			}
		}
	}
	return d.String()
}

// cellOf is all there is to know of a cell, as text.
func cellOf(r *online.Result, t *online.Table, row, feature int) string {
	c := r.Column(t, feature)
	return fmt.Sprintf("%s %x (%v) of %v", c.Status(row), c.AppendValue(nil, row), c.Any(row), r.Event(t, row, feature))
}

// differences are the lines of a comparison.
type differences struct {
	lines []string
	more  int
}

func (d *differences) add(format string, args ...any) {
	if len(d.lines) < maxDiff {
		d.lines = append(d.lines, fmt.Sprintf(format, args...))
	} else {
		d.more++
	}
}

func (d *differences) String() string {
	text := strings.Join(d.lines, "\n")
	if d.more > 0 {
		text += fmt.Sprintf("\nand %d more", d.more)
	}
	return text
}

// wrapper makes a reader of a plan that reads through inner, or through other readers of the plan.
type wrapper func(s online.Store, plan *online.ReadPlan, inner online.Reader) (online.Reader, error)

// wrappers are the ways in which stores that wrap others call their readers.
var wrappers = []struct {
	name string
	wrap wrapper
}{
	{"through forks, one for each table", forkTables},
	{"through forks of forks, half of the keys each", forkKeys},
	{"through a scratch", readAside},
	{"through images of its rows", readImages},
}

// readerFunc is a Reader of one function.
type readerFunc func(ctx context.Context, keys *online.Keys, dst *online.Result) error

func (f readerFunc) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	return f(ctx, keys, dst)
}

func forkTables(s online.Store, plan *online.ReadPlan, _ online.Reader) (online.Reader, error) {
	var readers []online.Reader
	for _, t := range plan.Tables() {
		r, err := s.Prepare(plan.Select(func(o *online.Table) bool { return o == t }))
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
	}
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		var wg sync.WaitGroup
		forks, errs := make([]*online.Result, len(readers)), make([]error, len(readers))
		for i, r := range readers {
			forks[i] = dst.Fork()
			wg.Go(func() { errs[i] = r.Read(ctx, keys, forks[i]) })
		}
		wg.Wait()
		for _, f := range forks {
			dst.Join(f)
		}
		return errors.Join(errs...)
	}), nil
}

func forkKeys(_ online.Store, plan *online.ReadPlan, inner online.Reader) (online.Reader, error) {
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		var first, second [][]online.Key
		for g := range plan.Groups() {
			group := keys.Group(g)
			first, second = append(first, group[:len(group)/2]), append(second, group[len(group)/2:])
		}
		outer := []*online.Result{dst.Fork(), dst.Fork()}
		errs := make([]error, len(outer))
		var wg sync.WaitGroup
		for i, half := range []*online.Keys{online.NewKeys(first...), online.NewKeys(second...)} {
			wg.Go(func() {
				f := outer[i].Fork()
				errs[i] = inner.Read(ctx, half, f)
				outer[i].Join(f)
			})
		}
		wg.Wait()
		for _, f := range outer {
			dst.Join(f)
		}
		return errors.Join(errs...)
	}), nil
}

func readImages(_ online.Store, plan *online.ReadPlan, inner online.Reader) (online.Reader, error) {
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		var read online.Result
		read.Reset(plan, dst.Rows())
		if err := inner.Read(ctx, keys, &read); err != nil {
			return err
		}
		var image []byte
		for _, t := range plan.Tables() {
			for row := range dst.Rows() {
				image = read.AppendRow(image[:0], t, row)
				if err := dst.PutRow(t, row, image); err != nil {
					return err
				}
			}
		}
		return nil
	}), nil
}

func readAside(_ online.Store, plan *online.ReadPlan, inner online.Reader) (online.Reader, error) {
	return readerFunc(func(ctx context.Context, keys *online.Keys, dst *online.Result) error {
		s, own := dst.Scratch(), keys.Clone()
		if err := inner.Read(ctx, own, s); err != nil {
			return err
		}
		for g := range plan.Groups() {
			for _, k := range own.Group(g) {
				clear(k.Bytes) // a reader is done with them
			}
		}
		return dst.Adopt(s)
	}), nil
}
