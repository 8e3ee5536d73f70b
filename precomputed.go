package feast

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/internal/wire"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Tags of the fields of feast.core.PrecomputedFeatureVector.
const (
	vectorNames  = 1<<3 | wire.Bytes // feature_names, repeated
	vectorValues = 2<<3 | wire.Bytes // values, parallel to them
	vectorTimes  = 3<<3 | wire.Bytes // fv_timestamps, repeated
	vectorMade   = 4<<3 | wire.Bytes // precomputed_at
)

// Tags of the fields of feast.core.FeatureViewTimestamp.
const (
	timeView  = 1<<3 | wire.Bytes // feature_view_name
	timeEvent = 2<<3 | wire.Bytes // event_timestamp
)

// vectors is the memory of reading precomputed vectors.
type vectors struct {
	result online.Result
	keys   online.Keys
	group  [1][]online.Key // of the vectors, in order of rows
	rest   [1][]online.Key // that have no vector to use
	cells  []vectorCell
	found  []bool            // by view, whether its row is stored
	times  []types.Timestamp // by view, as the vector tells them
	order  []int             // of the values of a vector whose order is not the usual one
	seen   []bool            // columns of such a vector
	most   int               // bytes of vectors
}

// vectorCell is where a value of a vector goes.
type vectorCell struct {
	col  *types.Column // of the answer; nil: it is not asked for
	view int
}

// small drops what belongs to callers, and reports whether the memory is small enough to be kept.
func (v *vectors) small() bool {
	clear(v.cells)
	v.cells = v.cells[:0]
	return v.most <= keepVectors
}

// keepVectors is how many bytes of vectors a request may have read and still be kept for another.
const keepVectors = 8 << 20

// readPrecomputed fills dst from precomputed vectors. Each entity that has rows and whose vector is absent, older than one of
// them or not as the service has it now is read from the rows. The answer is that of the rows but for one thing: a feature
// that an existing row lacks is a null in a vector, whose format does not tell the two.
func (q *request) readPrecomputed(ctx context.Context, c *compiled, dst *online.Result) error {
	if q.vectors == nil {
		q.vectors = new(vectors)
	}
	v, p := q.vectors, c.plan.Precomputed
	v.bind(p, dst)
	all := q.groups[0]
	for from := 0; from < len(all); from += chunkKeys {
		part := all[from:min(from+chunkKeys, len(all))]
		if err := v.read(ctx, c.vectors, p, part, dst); err != nil {
			return err
		}
		if len(v.rest[0]) == 0 {
			continue
		}
		v.keys.Reset(v.rest[:])
		if err := c.reader.Read(ctx, &v.keys, dst); err != nil {
			return err
		}
	}
	return nil
}

// bind finds the columns of a vector in the answer.
func (v *vectors) bind(p *plan.Precomputed, dst *online.Result) {
	v.cells, v.found, v.times = v.cells[:0], v.found[:0], v.times[:0]
	for i := range p.Columns {
		c := &p.Columns[i]
		cell := vectorCell{view: c.View}
		if c.Feature >= 0 {
			cell.col = dst.Column(p.Views[c.View].Table, c.Feature)
		}
		v.cells = append(v.cells, cell)
	}
	for range p.Views {
		v.found, v.times = append(v.found, false), append(v.times, types.Timestamp{})
	}
}

// read reads the vectors of keys into dst, and notes the keys that have none to use.
func (v *vectors) read(ctx context.Context, r online.Reader, p *plan.Precomputed, keys []online.Key, dst *online.Result) error {
	v.group[0] = v.group[0][:0]
	for i, key := range keys {
		v.group[0] = append(v.group[0], online.Key{Bytes: key.Bytes, Row: i})
	}
	v.result.Reset(p.Read, len(keys))
	v.keys.Reset(v.group[:])
	err := r.Read(ctx, &v.keys, &v.result)
	switch {
	case errors.Is(err, feasterr.ErrInvalid), // something stored is no vector
		err == nil && v.result.Failed(): // if it is not the vectors, the rows will tell as well
		v.rest[0] = append(v.rest[0][:0], keys...)
		return nil
	case err != nil:
		return err
	}
	rest, size := v.rest[0][:0], 0
	stored := v.result.Column(p.Table, 0)
	for i, key := range keys {
		data := stored.Bytes(i)
		size += len(data)
		if len(data) == 0 && !v.stored(p, i) {
			continue
		}
		if len(data) == 0 || !v.decode(p, data, i, dst, key.Row) {
			rest = append(rest, key)
		}
	}
	v.most, v.rest[0] = max(v.most, size), rest
	return nil
}

// stored reports whether an entity has a row of any view. What has neither a vector nor a row need not be read again.
func (v *vectors) stored(p *plan.Precomputed, row int) bool {
	for i := range p.Views {
		if v.result.Found(p.Views[i].Times, row) {
			return true
		}
	}
	return false
}

// decode sets the cells of row to of dst from a vector, or none when it is not to be used. from is its row in the result of the
// vectors. data may be anything.
func (v *vectors) decode(p *plan.Precomputed, data []byte, from int, dst *online.Result, to int) bool {
	for i := range p.Views {
		t := p.Views[i].Times
		v.found[i], v.times[i] = v.result.Found(t, from), types.Timestamp{}
		// A vector says the epoch of a row that is absent: one that has this time is not told from it.
		if v.found[i] && v.result.RowEvent(t, from).IsZero() {
			return false
		}
	}
	rest, usual := bytes.CutPrefix(data, p.Names)
	if !usual {
		rest = data
		if !v.reorder(p, data) {
			return false
		}
	}
	if !v.values(p, rest, usual, to) || !v.current(p, from) {
		for _, c := range v.cells {
			if c.col != nil {
				c.col.Clear(to, types.NotFound)
			}
		}
		return false
	}
	for i := range p.Views {
		if view := &p.Views[i]; view.Table != nil && v.found[i] {
			dst.Row(view.Table, to, v.times[i])
		}
	}
	return true
}

// current reports whether the vector was made of the rows that are stored now, going by their event times.
func (v *vectors) current(p *plan.Precomputed, row int) bool {
	for i := range p.Views {
		if v.times[i] != v.result.RowEvent(p.Views[i].Times, row) { // both are zero for one that is absent
			return false
		}
	}
	return true
}

// values sets the cells of a row from the values of a vector, and notes the times. It stops at whatever is not right.
func (v *vectors) values(p *plan.Precomputed, b []byte, usual bool, to int) bool {
	n, times := 0, 0
	for len(b) > 0 {
		tag, data, size := cutField(b)
		if size == 0 {
			return false
		}
		b = b[size:]
		switch tag {
		case vectorNames:
			if usual { // more than those of the service
				return false
			}
		case vectorValues:
			if n == len(v.cells) { // as in Feast, more values than names are ignored
				continue
			}
			at := n
			if !usual {
				at = v.order[n]
			}
			n++
			if !v.value(&v.cells[at], data, to) {
				return false
			}
		case vectorTimes:
			if !v.time(p, data, times) {
				return false
			}
			times++
		}
	}
	return n == len(v.cells)
}

// value sets a cell. A value that is not of the type that the feature has now was stored before that changed.
func (v *vectors) value(c *vectorCell, data []byte, to int) bool {
	switch {
	case !v.found[c.view]:
		return len(data) == 0
	case c.col == nil:
		return true
	}
	return c.col.SetValue(to, data) == nil && !c.col.Odd(to)
}

// time notes the event time of a view's row. n is its place among those of the vector.
func (v *vectors) time(p *plan.Precomputed, b []byte, n int) bool {
	var name, event []byte
	for len(b) > 0 {
		tag, data, size := cutField(b)
		if size == 0 {
			return false
		}
		b = b[size:]
		switch tag {
		case timeView:
			name = data
		case timeEvent:
			if event != nil { // which would be one with the first
				return false
			}
			event = data
		}
	}
	at, err := types.ParseTimestamp(event)
	if err != nil {
		return false
	}
	if n < len(p.Views) && p.Views[n].Name == string(name) { // as they are usually written
		v.times[n] = at
		return true
	}
	for i := range p.Views {
		if p.Views[i].Name == string(name) {
			v.times[i] = at
		}
	}
	return true
}

// reorder finds the order of a vector's values by their names, which have to be those of the service.
func (v *vectors) reorder(p *plan.Precomputed, b []byte) bool {
	v.order = v.order[:0]
	v.seen = slices.Grow(v.seen[:0], len(p.Columns))[:len(p.Columns)]
	clear(v.seen)
	for len(b) > 0 {
		tag, data, size := cutField(b)
		if size == 0 {
			return false
		}
		b = b[size:]
		if tag != vectorNames {
			continue
		}
		at, ok := p.Index(data)
		if !ok || v.seen[at] {
			return false
		}
		v.seen[at] = true
		v.order = append(v.order, at)
	}
	return len(v.order) == len(p.Columns)
}

// cutField reads the field of a message that b begins with and its length, 0 when b is malformed. data is that of a field of
// bytes; the tags of others are none of a vector's.
func cutField(b []byte) (tag uint32, data []byte, size int) {
	if len(b) > 1 && b[0] < 0x80 && b[0]&7 == wire.Bytes && b[0] > 7 && b[1] < 0x80 && 2+int(b[1]) <= len(b) { // most are short
		size = 2 + int(b[1])
		return uint32(b[0]), b[2:size], size
	}
	tag, _, data, size = wire.Next(b)
	return tag, data, size
}
