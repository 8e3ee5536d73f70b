package file

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// The join holds the entity rows and streams the source past them. The entity rows of each key are sorted by time; each
// distinct time of a key is a slot. A source row belongs to the first slot of its key that it is not later than, and a slot
// keeps the best row that came: newest event time, then newest created time, then first in the source. Once all rows have
// passed, the winner of an entity row is the best of its slot and of the earlier ones of its key: one pass over the slots.
// The ttl is looked at last, since the winner is the newest. So neither order nor skew of the source matters, and memory
// is that of the entity rows and the result.

// entities are the entity rows of a join.
type entities struct {
	schema  *arrow.Schema
	batches []arrow.RecordBatch
	rows    int
	event   string
	times   []int64 // of event, in unit; noTime for nulls
	unit    int64
}

// column returns the chunks of a column.
func (e *entities) column(name string) ([]arrow.Array, int, error) {
	at := e.schema.FieldIndices(name)
	if len(at) != 1 {
		names := func(yield func(string) bool) {
			for _, f := range e.schema.Fields() {
				if !yield(f.Name) {
					return
				}
			}
		}
		if len(at) > 1 {
			return nil, 0, &feasterr.RequestError{Column: name, Row: -1, Msg: "the entity rows have several columns of this name"}
		}
		return nil, 0, &feasterr.NotFoundError{Kind: "column", Name: name, In: "the entity rows", Near: feasterr.Near(name, names)}
	}
	chunks := make([]arrow.Array, len(e.batches))
	for i, b := range e.batches {
		chunks[i] = b.Column(at[0])
	}
	return chunks, at[0], nil
}

// setTimes reads the column of times.
func (e *entities) setTimes(ctx context.Context) error {
	chunks, at, err := e.column(e.event)
	if err != nil {
		return err
	}
	t := e.schema.Field(at).Type
	e.times = make([]int64, 0, e.rows)
	e.unit = microsecond
	if t.ID() == arrow.NULL {
		for range e.rows {
			e.times = append(e.times, noTime)
		}
		return nil
	}
	if classOf(t) != instants || t.ID() == arrow.DICTIONARY || t.ID() == arrow.EXTENSION {
		return &feasterr.TypeMismatchError{Column: e.event, Row: -1, Have: typeName(t), Want: "a timestamp or date"}
	}
	for _, a := range chunks {
		var value func(int) int64
		value, e.unit = timesOf(a)
		for i := range a.Len() {
			if err := ended(ctx, i); err != nil {
				return err
			}
			v := int64(noTime)
			if a.IsValid(i) {
				v = value(i)
			}
			e.times = append(e.times, v)
		}
	}
	return nil
}

// slots are the distinct (key, time) of the entity rows, by key, then time.
type slots struct {
	start   []int32 // of key k: start[k] to start[k+1]
	latest  []int64 // the last event time that belongs here, in the unit of event times
	lag     int64   // the ttl in the same unit, where that is exact; 0 otherwise
	oldest  []int64 // where it is not: the first event time that the ttl allows; nil without ttl
	created []int64 // the last created time that belongs here; nil unless created times are filtered
	of      []int32 // entity row: its slot, or noID
}

// units are those of a view's times: event and created times of the source.
type units struct{ event, created int64 }

func newSlots(ctx context.Context, e *entities, keys []int32, n int32, u units, ttl time.Duration, filter bool) (*slots, error) {
	s := &slots{start: make([]int32, n+1), of: make([]int32, e.rows)}
	first := make([]int32, n+1)
	for i, k := range keys {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		if e.times[i] == noTime {
			k = noID
		}
		if s.of[i] = k; k != noID {
			first[k+1]++
		}
	}
	for k := range n {
		first[k+1] += first[k]
	}
	sorted := make([]timedRow, first[n])
	at := slices.Clone(first)
	for i, k := range s.of {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		if k != noID {
			sorted[at[k]] = timedRow{e.times[i], int32(i)}
			at[k]++
		}
	}
	distinct := make([]int64, 0, len(sorted))
	var scratch []timedRow
	look := int32(0) // at the context, once so many rows are sorted
	for k := range n {
		if first[k] >= look {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			look = first[k] + endedRows
		}
		rows := sorted[first[k]:first[k+1]]
		var err error
		if scratch, err = sortByTime(ctx, rows, scratch); err != nil {
			return nil, err
		}
		s.start[k] = int32(len(distinct))
		for i, r := range rows {
			if err := ended(ctx, i+1); err != nil {
				return nil, err
			}
			if i == 0 || r.time != rows[i-1].time {
				distinct = append(distinct, r.time)
			}
			s.of[r.row] = int32(len(distinct)) - 1
		}
	}
	s.start[n] = int32(len(distinct))
	s.latest = slices.Clone(distinct)
	rescale(s.latest, e.unit, u.event)
	switch {
	case ttl <= 0:
	case e.unit == u.event && int64(ttl)%e.unit == 0:
		s.lag = int64(ttl) / e.unit
	default:
		s.oldest = make([]int64, len(distinct))
		for i, t := range distinct {
			s.oldest[i] = subtract(t, e.unit, int64(ttl), u.event)
		}
	}
	if filter {
		s.created = slices.Clone(distinct)
		rescale(s.created, e.unit, u.created)
	}
	return s, nil
}

// timedRow is an entity row among those of its key.
type timedRow struct {
	time int64
	row  int32
}

// sortByTime sorts by time, long slices half by half, to look at the context meanwhile. It returns scratch, which may have
// grown.
func sortByTime(ctx context.Context, rows, scratch []timedRow) ([]timedRow, error) {
	if len(rows) <= endedRows {
		slices.SortFunc(rows, func(a, b timedRow) int { return cmp.Compare(a.time, b.time) })
		return scratch, nil
	}
	half := len(rows) / 2
	for _, part := range [][]timedRow{rows[:half], rows[half:]} {
		var err error
		if scratch, err = sortByTime(ctx, part, scratch); err != nil {
			return scratch, err
		}
	}
	scratch = append(scratch[:0], rows[:half]...)
	low, high := scratch, rows[half:]
	for i := 0; len(low) > 0; i++ { // what is left of high is in its place
		if err := ended(ctx, i); err != nil {
			return scratch, err
		}
		if len(high) > 0 && high[0].time < low[0].time {
			rows[i], high = high[0], high[1:]
		} else {
			rows[i], low = low[0], low[1:]
		}
	}
	return scratch, nil
}

// expired reports whether an event time, which belongs to slot i or to an earlier one, is too old for it.
func (s *slots) expired(i int32, event int64) bool {
	switch {
	case s.lag > 0:
		return uint64(s.latest[i]-event) > uint64(s.lag) // the difference is not negative and may need all 64 bits
	case s.oldest != nil:
		return event < s.oldest[i]
	}
	return false
}

// subtract returns the first instant, in unit to, that is not before time t, in unit from, less ttl nanoseconds.
func subtract(t, from, ttl, to int64) int64 {
	per := second / from
	seconds := floorDiv(t, per)
	nanos := (t-seconds*per)*from - ttl%second
	seconds -= ttl / second
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+second
	}
	return addSaturated(mulSaturated(seconds, second/to), -floorDiv(-nanos, to))
}

// candidate is the best row so far of a slot.
type candidate struct {
	event, created int64
	row            int64 // of the source
}

var noCandidate = candidate{event: noTime, created: noTime, row: math.MaxInt64}

func (c *candidate) better(b *candidate) bool {
	if c.event != b.event {
		return c.event > b.event
	}
	if c.created != b.created {
		return c.created > b.created
	}
	return c.row < b.row
}

// joinedView is one view of a join: its source, and which of its rows goes to which entity row.
type joinedView struct {
	view     *offline.JoinView
	table    *table
	event    *column
	created  *column // nil: none
	units    units
	keys     []*column
	features []*column
	filter   bool

	winners *picked
	of      []int32   // entity row: number of its winner, or negative
	vectors []*vector // the features of the winners
}

// resolve finds the columns of the view.
func (v *joinedView) resolve(p *offline.JoinPlan) error {
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	var err error
	v.event, v.units.event, err = v.table.timeColumn("timestamp field", v.view.Event)
	note(err)
	if v.view.Created != "" {
		v.created, v.units.created, err = v.table.timeColumn("created timestamp column", v.view.Created)
		note(err)
		v.filter = p.FilterByCreated
	}
	for _, k := range v.view.Keys {
		c, err := v.table.column(k.Source, true)
		note(err)
		v.keys = append(v.keys, c)
	}
	for _, f := range v.view.Features {
		c, err := v.table.column(f.Source, false)
		note(err)
		v.features = append(v.features, c)
	}
	return errors.Join(errs...)
}

// join finds the winners of all entity rows, with the help of c, while so many views are joined.
func (v *joinedView) join(ctx context.Context, e *entities, c crew, abreast int) error {
	ids := make([]int32, e.rows)
	set := &keySet{n: 1}
	if len(v.keys) > 0 {
		var entity [][]arrow.Array
		var fields []arrow.Field
		for i, k := range v.view.Keys {
			chunks, at, err := e.column(k.Entity)
			if err != nil {
				return err
			}
			if err := (&keyColumn{column: v.keys[i]}).check(e.schema.Field(at)); err != nil {
				return err
			}
			entity, fields = append(entity, chunks), append(fields, e.schema.Field(at))
		}
		var err error
		if set, err = newKeySet(ctx, v.keys, entity, fields, ids); err != nil {
			return err
		}
	}
	s, err := newSlots(ctx, e, ids, set.n, v.units, v.view.TTL, v.filter)
	if err != nil {
		return err
	}
	best, err := v.scan(ctx, set, s, c, bestsBytes/abreast)
	if err != nil {
		return err
	}
	return v.resolveWinners(ctx, s, best)
}

// window is the event times that can matter to any entity row.
func (s *slots) window() (low, high int64) {
	low, high = noTime+1, noTime
	for _, t := range s.latest {
		high = max(high, t)
	}
	switch {
	case s.lag > 0:
		low = max(low, addSaturated(slices.Min(s.latest), -s.lag))
	case s.oldest != nil:
		low = slices.Min(s.oldest)
	}
	return low, high
}

// bestsBytes is how much memory the best rows of slots may take where goroutines have their own, which is faster; if that is
// not enough, they share them. Two may always have their own.
var bestsBytes = 128 << 20

// bests are the best rows so far of slots. Several goroutines may have slots of their own, or share them.
type bests struct {
	rows   []candidate
	shared *sharedBests // nil: one goroutine's own
}

// sharedBests are the locks of slots that are shared, each for many slots, neighbours in different ones.
type sharedBests [1 << 10]struct {
	sync.Mutex
	_ [56]byte // a cache line each
}

// offer offers a row to a slot that is shared.
func (b *bests) offer(slot int32, c *candidate) {
	was := &b.rows[slot]
	if atomic.LoadInt64(&was.event) > c.event {
		return // as most rows do, without a lock: event times of slots only grow
	}
	lock := &b.shared[int(slot)%len(b.shared)]
	lock.Lock()
	defer lock.Unlock()
	if c.better(was) {
		was.created, was.row = c.created, c.row
		atomic.StoreInt64(&was.event, c.event)
	}
}

func newBests(ctx context.Context, n int) (*bests, error) {
	b := &bests{rows: make([]candidate, n)}
	for i := range b.rows {
		if err := ended(ctx, i); err != nil {
			return nil, err
		}
		b.rows[i] = noCandidate
	}
	return b, nil
}

// scan streams the source past the slots. The best rows of slots take at most so many bytes, or twice that of the slots.
func (v *joinedView) scan(ctx context.Context, set *keySet, s *slots, c crew, bytes int) ([]candidate, error) {
	if len(s.latest) == 0 {
		return nil, ctx.Err()
	}
	low, high := s.window()
	var groups []*rowGroup
	for _, g := range v.table.groups {
		if !slices.ContainsFunc(set.columns, func(k *keyColumn) bool { return !g.canHold(k.column, &k.values) }) {
			groups = append(groups, g)
		}
	}
	tasks, err := stretches(ctx, groups, v.event, window{low, high, v.units.event}, scanRows)
	if err != nil || len(tasks) == 0 {
		return nil, err
	}
	scanners := make([]*scanner, workers(len(tasks)))
	var shared *bests
	if n := len(scanners); n > 2 && n*len(s.latest)*int(unsafe.Sizeof(candidate{})) > bytes {
		if shared, err = newBests(ctx, len(s.latest)); err != nil {
			return nil, err
		}
		shared.shared = new(sharedBests)
	}
	err = c.each(ctx, len(tasks), func(worker, i int) (err error) {
		defer recovered(tasks[i].group.file.path, &err)
		if scanners[worker] == nil {
			sc := &scanner{view: v, keys: set, slots: s, low: low, high: high, best: shared}
			if shared == nil {
				if sc.best, err = newBests(ctx, len(s.latest)); err != nil {
					return err
				}
			}
			scanners[worker] = sc
		}
		return inFile(tasks[i].group.file.path, scanners[worker].run(ctx, tasks[i]))
	})
	if err != nil {
		return nil, err
	}
	if shared != nil {
		return shared.rows, nil
	}
	var best []candidate
	for _, sc := range scanners {
		switch {
		case sc == nil:
		case best == nil:
			best = sc.best.rows
		default:
			for i := range best {
				if err := ended(ctx, i); err != nil {
					return nil, err
				}
				if sc.best.rows[i].better(&best[i]) {
					best[i] = sc.best.rows[i]
				}
			}
		}
	}
	return best, nil
}

// scanner is the scan of one goroutine.
type scanner struct {
	view      *joinedView
	keys      *keySet
	slots     *slots
	low, high int64
	best      *bests

	event, created []int64
	ids, scratch   []int32
}

func grown[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// run reads a part of a row group and offers its rows to the slots.
func (s *scanner) run(ctx context.Context, t stretchOf) error {
	n := t.rows.len()
	s.event = grown(s.event, n)
	if err := t.group.times(ctx, s.view.event, t.rows, s.view.units.event, s.event); err != nil {
		return err
	}
	if !slices.ContainsFunc(s.event, func(t int64) bool { return t >= s.low && t <= s.high }) {
		return nil
	}
	s.ids, s.scratch = grown(s.ids, n), grown(s.scratch, n)
	if err := s.keys.find(ctx, t.group, t.rows, s.ids, s.scratch); err != nil {
		return err
	}
	if s.view.created != nil {
		s.created = grown(s.created, n)
		if err := t.group.times(ctx, s.view.created, t.rows, s.view.units.created, s.created); err != nil {
			return err
		}
	}
	return s.offer(ctx, t.group.start+int64(t.rows.lo))
}

// offerBlock is how many rows take each step together: the steps wait for memory, and waiting together is shorter.
const offerBlock = 128

// offer offers the rows read to their slots; the first is that number of the source.
func (s *scanner) offer(ctx context.Context, first int64) error {
	start, latest, limit := s.slots.start, s.slots.latest, s.slots.created
	var rows, at, end [offerBlock]int32
	for i := 0; i < len(s.ids); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 0
		for ; i < len(s.ids) && n < offerBlock; i++ { // the rows that an entity row may want
			if e := s.event[i]; s.ids[i] != noID && e >= s.low && e <= s.high {
				rows[n] = int32(i)
				n++
			}
		}
		for k, i := range rows[:n] { // the slots of their keys
			id := s.ids[i]
			at[k], end[k] = start[id], start[id+1]
		}
		for k, i := range rows[:n] { // the first slot that is not earlier
			at[k] = firstFrom(latest, at[k], end[k], s.event[i])
		}
		fresh := 0
		for k, i := range rows[:n] { // the rows that it would take
			slot := at[k]
			if limit != nil {
				if s.created[i] == noTime { // when it was created is not known, so that it may be later
					continue
				}
				slot = firstFrom(limit, slot, end[k], s.created[i])
			}
			if slot < end[k] && !s.slots.expired(slot, s.event[i]) {
				rows[fresh], at[fresh] = i, slot
				fresh++
			}
		}
		for k, i := range rows[:fresh] {
			c := candidate{event: s.event[i], created: noTime, row: first + int64(i)}
			if s.view.created != nil {
				c.created = s.created[i]
			}
			if s.best.shared != nil {
				s.best.offer(at[k], &c)
			} else if b := &s.best.rows[at[k]]; c.better(b) {
				*b = c
			}
		}
	}
	return ctx.Err()
}

// firstFrom is the first of ascending times, from number from to before number to, that is not before t; else to.
func firstFrom(times []int64, from, to int32, t int64) int32 {
	left := to - from
	for left > 1 {
		half := left / 2
		from += half & -less(times[from+half-1], t)
		left -= half
	}
	if left == 1 {
		from += less(times[from], t)
	}
	return from
}

// less is 1 if a is less than b, else 0. It is compiled to no branch, which would be guessed wrong half the time and then
// keep the loads of the next rows waiting.
func less(a, b int64) int32 {
	if a < b {
		return 1
	}
	return 0
}

// resolveWinners says which row of the source goes to which entity row.
func (v *joinedView) resolveWinners(ctx context.Context, s *slots, best []candidate) error {
	v.winners = newPicked(v.table)
	v.of = make([]int32, len(s.of))
	rows := make([]int64, len(s.latest)) // slot: its winner, or -1
	numbers := make([]int32, len(rows))  // slot: the row group of its winner, later the winner's number
	var group *rowGroup
	for k := range len(s.start) - 1 {
		newest := noCandidate
		for i := s.start[k]; i < s.start[k+1]; i++ {
			rows[i] = -1
			if err := ended(ctx, int(i)); err != nil {
				return err
			}
			if best == nil {
				continue
			}
			if best[i].better(&newest) {
				newest = best[i]
			}
			if newest.event == noTime || s.expired(i, newest.event) {
				continue
			}
			rows[i] = newest.row
			if group == nil || !group.has(newest.row) {
				group = v.table.rowGroupAt(newest.row)
			}
			numbers[i] = int32(group.ordinal)
			v.winners.add(group, newest.row)
		}
	}
	v.winners.number()
	for i, row := range rows {
		if err := ended(ctx, i); err != nil {
			return err
		}
		if row < 0 {
			numbers[i] = noID
			continue
		}
		numbers[i] = v.winners.numberOf(v.table.groups[numbers[i]], row)
	}
	for i, slot := range s.of {
		if err := ended(ctx, i); err != nil {
			return err
		}
		if v.of[i] = noID; slot != noID {
			v.of[i] = numbers[slot]
		}
	}
	return ctx.Err()
}

func (g *rowGroup) has(row int64) bool { return row >= g.start && row < g.start+g.rows }

// gather reads the features of the winners, with the help of c.
func (v *joinedView) gather(ctx context.Context, c crew) error {
	v.vectors = make([]*vector, len(v.features))
	type task struct {
		feature int
		group   *rowGroup
		rows    []int32
		at      int
	}
	var tasks []task
	for _, g := range v.winners.order {
		rows := v.winners.groups[g.ordinal].rows()
		at := v.winners.groups[g.ordinal].first
		for len(rows) > 0 {
			n, _ := slices.BinarySearch(rows, rows[0]+int32(scanRows))
			for f := range v.features {
				tasks = append(tasks, task{f, g, rows[:n], at})
			}
			rows, at = rows[n:], at+n
		}
	}
	for i, c := range v.features {
		v.vectors[i] = newVector(c, v.winners.n)
	}
	return c.each(ctx, len(tasks), func(_, i int) (err error) {
		t := tasks[i]
		defer recovered(t.group.file.path, &err)
		return inFile(t.group.file.path, t.group.fill(ctx, v.features[t.feature], someRows(t.rows), v.vectors[t.feature], t.at))
	})
}
