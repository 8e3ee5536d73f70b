package online

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Result receives what a [Reader] finds: for every table of the plan one typed column per feature and one event time per
// row. Cells nobody sets are [types.NotFound]. The methods of one Result must not run concurrently; goroutines that share
// a read write through forks of it.
type Result struct {
	plan  *ReadPlan
	rows  int
	block types.Block
	cols  []types.Column // of the block, or a fork's copies of them
	at    []rowAt        // of each row, table by table
	more  []tableMore    // by table; empty as long as no table has any

	forks []*Result // for reuse; the first forked are in use
	used  int
	fails bool // some table failed

	root   *Result      // of a fork: what it was forked from in the end; else the result itself
	forked atomic.Int32 // of a root: how many forks there are, those of forks included
}

// rowAt says whether a row of a table exists, and the newest event time of its features.
type rowAt struct {
	seconds int64
	nanos   int32
	found   bool
}

func (a *rowAt) event() types.Timestamp { return types.Timestamp{Seconds: a.seconds, Nanos: a.nanos} }

func (a *rowAt) set(event types.Timestamp) {
	*a = rowAt{seconds: event.Seconds, nanos: event.Nanos, found: true}
}

// tableMore is what few tables have.
type tableMore struct {
	mixed map[int]*rowTimes // rows whose features have different times
	err   error
}

// rowTimes are the times of a row's features.
type rowTimes struct {
	now     types.Timestamp // of the features being set
	feature []types.Timestamp
}

// NewResult returns an empty result.
func NewResult(plan *ReadPlan, rows int) *Result {
	r := new(Result)
	r.Reset(plan, rows)
	return r
}

// Reset empties the result and shapes it for a read of rows rows. Memory is reused: what columns handed out earlier
// return is overwritten.
func (r *Result) Reset(plan *ReadPlan, rows int) {
	plan = plan.all
	r.plan, r.rows = plan, rows
	r.block.Reset(plan.fields, rows)
	r.cols = r.block.Columns()
	if n := len(plan.tables) * rows; cap(r.at) < n {
		r.at = make([]rowAt, n)
	} else {
		r.at = r.at[:n]
		clear(r.at)
	}
	clear(r.more)
	r.more = r.more[:0]
	r.used, r.fails = 0, false
	r.root = r
	r.forked.Store(0)
}

// row returns what is known of a row.
func (r *Result) row(t *Table, row int) *rowAt {
	return &r.at[t.index*r.rows : (t.index+1)*r.rows][row]
}

// moreOf returns what else is known of a table, for writing.
func (r *Result) moreOf(t *Table) *tableMore {
	if len(r.more) == 0 {
		r.more = append(r.more, make([]tableMore, len(r.plan.tables))...)
	}
	return &r.more[t.index]
}

// mixed returns the times of a row whose features have different ones, else nil.
func (r *Result) mixed(t *Table, row int) *rowTimes {
	if len(r.more) == 0 {
		return nil
	}
	return r.more[t.index].mixed[row]
}

func (m *tableMore) mix(row int, times *rowTimes) {
	if m.mixed == nil {
		m.mixed = map[int]*rowTimes{}
	}
	m.mixed[row] = times
}

// Rows returns the number of rows of every column.
func (r *Result) Rows() int { return r.rows }

// Row says that a row of a table exists, with the event time of the features that are set next in it. When a row's
// features have different times, as in stores that keep a time per feature, call it before each of them: the row then
// has the newest, and each feature its own.
func (r *Result) Row(t *Table, row int, event types.Timestamp) {
	at := r.row(t, row)
	if !at.found {
		at.set(event)
		return
	}
	times := r.mixed(t, row)
	if times == nil {
		if at.event() == event {
			return
		}
		times = &rowTimes{feature: make([]types.Timestamp, len(t.Features))}
		for i := range times.feature {
			times.feature[i] = at.event()
		}
		r.moreOf(t).mix(row, times)
	}
	times.now = event
	if event.Compare(at.event()) > 0 {
		at.set(event)
	}
}

// Set decodes a stored feast.types.Value into a feature of a row that [Result.Row] announced; feature is an index of
// t.Features. value is decoded now and not kept. Malformed bytes are an error, which the reader returns.
func (r *Result) Set(t *Table, row, feature int, value []byte) error {
	if times := r.mixed(t, row); times != nil {
		times.feature[feature] = times.now
	}
	if err := r.cols[t.first+feature].SetValue(row, value); err != nil {
		return fmt.Errorf("feature %s of feature view %s, row %d: %w", t.Features[feature].Name, t.StoredView(), row, err)
	}
	return nil
}

// SetJSON is [Result.Set] for a value in the form in which Feast's feature server writes it, see [types.Column.SetJSON].
func (r *Result) SetJSON(t *Table, row, feature int, value []byte) error {
	if times := r.mixed(t, row); times != nil {
		times.feature[feature] = times.now
	}
	if err := r.cols[t.first+feature].SetJSON(row, value); err != nil {
		return fmt.Errorf("feature %s of feature view %s, row %d: %w", t.Features[feature].Name, t.StoredView(), row, err)
	}
	return nil
}

// Fail says that a table could not be read while others can.
func (r *Result) Fail(t *Table, err error) {
	if m := r.moreOf(t); m.err == nil {
		m.err, r.fails = err, true
	}
}

// Clear empties a table: no row of it exists, and it has not failed. A wrapper that reads a failed table elsewhere clears
// it in its [Result.Scratch] first.
func (r *Result) Clear(t *Table) {
	clear(r.at[t.index*r.rows : (t.index+1)*r.rows])
	for i := range t.Features {
		c := &r.cols[t.first+i]
		for row := range r.rows {
			c.Clear(row, types.NotFound)
		}
	}
	if len(r.more) == 0 {
		return
	}
	r.more[t.index] = tableMore{}
	r.fails = false
	for i := range r.more {
		r.fails = r.fails || r.more[i].err != nil
	}
}

// Forms of a row's image.
const (
	imageUniform = iota // all features have the row's time
	imageMixed          // the times of the features follow
)

// timeSize is the size of a time in an image.
const timeSize = 12

// AppendRow appends an image of a row to dst, for [Result.PutRow] of this or another result: times, statuses and values
// as they are; nothing when the row does not exist. It is larger than what a store keeps and put back many times as
// fast, since nothing is decoded. An image means nothing outside the program that made it.
func (r *Result) AppendRow(dst []byte, t *Table, row int) []byte {
	at := r.row(t, row)
	if !at.found {
		return dst
	}
	times := r.mixed(t, row)
	if times == nil {
		dst = appendTime(append(dst, imageUniform), at.event())
	} else {
		dst = appendTime(append(dst, imageMixed), at.event())
		for _, event := range times.feature {
			dst = appendTime(dst, event)
		}
	}
	return types.AppendImage(dst, r.cols[t.first:t.first+len(t.Features)], row)
}

func appendTime(dst []byte, t types.Timestamp) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(dst, uint64(t.Seconds)), uint32(t.Nanos))
}

// imageTime reads what appendTime wrote.
func imageTime(b []byte) types.Timestamp {
	return types.Timestamp{
		Seconds: int64(binary.LittleEndian.Uint64(b)), Nanos: int32(binary.LittleEndian.Uint32(b[8:])),
	}
}

// PutRow makes a row what it was when [Result.AppendRow] made the image, of a table with the same features in the same
// order. The image is not kept. An empty one changes nothing. After an error, as for an image that was cut off, the row does
// not exist.
func (r *Result) PutRow(t *Table, row int, image []byte) error {
	if len(image) == 0 {
		return nil
	}
	times := 1
	if image[0] == imageMixed {
		times += len(t.Features)
	}
	at := r.row(t, row)
	if len(image) < 1+times*timeSize {
		*at = rowAt{}
		return feasterr.Invalid("feature view %s, row %d: a cached row was cut off", t.StoredView(), row)
	}
	at.set(imageTime(image[1:]))
	if times > 1 {
		own := &rowTimes{now: at.event(), feature: make([]types.Timestamp, len(t.Features))}
		for i := range own.feature {
			own.feature[i] = imageTime(image[1+(1+i)*timeSize:])
		}
		r.moreOf(t).mix(row, own)
	} else if len(r.more) > 0 {
		delete(r.more[t.index].mixed, row)
	}
	if err := types.PutImage(r.cols[t.first:t.first+len(t.Features)], row, image[1+times*timeSize:]); err != nil {
		*at = rowAt{}
		return fmt.Errorf("feature view %s, row %d: %w", t.StoredView(), row, err)
	}
	return nil
}

// Fork returns a writer for another goroutine. The forks of a result and the result itself may be written concurrently
// as long as no two of them write the same row of the same table. When the goroutine has ended, [Result.Join] takes
// over what it wrote. Every fork has to be joined before the result is read, also one whose goroutine failed. A fork may
// be forked in turn.
func (r *Result) Fork() *Result {
	if r.used == len(r.forks) {
		r.forks = append(r.forks, new(Result))
	}
	f := r.forks[r.used]
	r.used++
	f.plan, f.rows, f.root = r.plan, r.rows, r.root
	id := int(r.root.forked.Add(1))
	if cap(f.cols) < len(r.cols) {
		f.cols = make([]types.Column, len(r.cols))
	}
	f.cols = f.cols[:len(r.cols)]
	for i := range f.cols {
		r.cols[i].Fork(&f.cols[i], id)
	}
	f.at = r.at
	clear(f.more)
	f.more = f.more[:0]
	f.used, f.fails = 0, false
	return f
}

// Join takes over what a fork of this result wrote. The fork must not be used afterwards.
func (r *Result) Join(f *Result) {
	for i := range r.cols {
		r.cols[i].Join(&f.cols[i])
	}
	for i := range f.more {
		from, to := &f.more[i], r.moreOf(r.plan.tables[i])
		for row, times := range from.mixed {
			to.mix(row, times)
		}
		if to.err == nil {
			to.err = from.err
		}
	}
	r.fails = r.fails || f.fails
}

// scratch keeps results for Scratch.
var scratch = sync.Pool{New: func() any { return new(Result) }}

// Scratch returns an empty result of the same shape with memory of its own, for an attempt that may outlive the read
// or be given up. [Result.Adopt] takes over the attempt that is wanted; others are left to the garbage collector.
func (r *Result) Scratch() *Result {
	s := scratch.Get().(*Result)
	s.Reset(r.plan, r.rows)
	return s
}

// Adopt copies every row and failure of s, a [Result.Scratch] of this result that nobody writes any more. s must not be
// used afterwards.
func (r *Result) Adopt(s *Result) error {
	for _, t := range r.plan.tables {
		if err := s.Err(t); err != nil {
			r.Fail(t, err)
		}
		for row := range r.rows {
			from := s.row(t, row)
			if !from.found {
				continue
			}
			*r.row(t, row) = *from
			if times := s.mixed(t, row); times != nil {
				r.moreOf(t).mix(row, times)
			} else if len(r.more) > 0 {
				delete(r.more[t.index].mixed, row)
			}
			for i := range t.Features {
				if err := r.cols[t.first+i].CopyFrom(&s.cols[t.first+i], row); err != nil {
					return err
				}
			}
		}
	}
	scratch.Put(s)
	return nil
}

// Repeat makes row dst of every table of a group equal to its row src: equal entities are read once.
func (r *Result) Repeat(tables []*Table, dst, src int) {
	for _, t := range tables {
		from := r.row(t, src)
		if !from.found {
			continue
		}
		*r.row(t, dst) = *from
		if times := r.mixed(t, src); times != nil {
			r.moreOf(t).mix(dst, times)
		}
		for i := range t.Features {
			r.cols[t.first+i].CopyCell(dst, src)
		}
	}
}

// Column returns the column of a feature. It belongs to the result and is overwritten by Reset.
func (r *Result) Column(t *Table, feature int) *types.Column { return &r.cols[t.first+feature] }

// Found reports whether the row exists.
func (r *Result) Found(t *Table, row int) bool { return r.row(t, row).found }

// Event returns the event time of a feature of a row: its own where the row's features have different times, else the
// row's; the zero Timestamp for a row that does not exist. A feature that is absent from the row has the row's time.
func (r *Result) Event(t *Table, row, feature int) types.Timestamp {
	if times := r.mixed(t, row); times != nil && r.cols[t.first+feature].Status(row) != types.NotFound {
		return times.feature[feature]
	}
	return r.row(t, row).event()
}

// Uniform reports whether all features of a row of a table have the row's time, for every row of the table.
func (r *Result) Uniform(t *Table) bool { return len(r.more) == 0 || len(r.more[t.index].mixed) == 0 }

// Failed reports whether some table failed.
func (r *Result) Failed() bool { return r.fails }

// Err returns why a table failed, nil when it did not.
func (r *Result) Err(t *Table) error {
	if len(r.more) == 0 {
		return nil
	}
	return r.more[t.index].err
}

// RowEvent returns the event time of a row, the newest of its features; the zero Timestamp when it does not exist.
func (r *Result) RowEvent(t *Table, row int) types.Timestamp { return r.row(t, row).event() }
