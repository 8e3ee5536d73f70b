package feast

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Fields of feast.core.PrecomputedFeatureVector, with their wire type.
const (
	vectorNames  = 1<<3 | 2 // feature_names, repeated
	vectorValues = 2<<3 | 2 // values, parallel to them
	vectorTimes  = 3<<3 | 2 // fv_timestamps, repeated
	vectorMade   = 4<<3 | 2 // precomputed_at
)

// Fields of feast.core.FeatureViewTimestamp.
const (
	timeView  = 1<<3 | 2 // feature_view_name
	timeEvent = 2<<3 | 2 // event_timestamp
)

// vectors is the memory of reading precomputed vectors.
type vectors struct {
	result online.Result
	keys   online.Keys
	group  [1][]online.Key // of the vectors, in order of rows
	rest   [1][]online.Key // that have no vector to use
	cols   []*types.Column // of the answer, by column of a vector; nil: not asked for
	order  []int           // of the values of a vector whose order is not the usual one
	seen   []bool          // columns of such a vector
	times  []types.Timestamp
	most   int // bytes of vectors
}

// small drops what belongs to callers, and reports whether the memory is small enough to be kept.
func (v *vectors) small() bool {
	clear(v.cols)
	v.cols = v.cols[:0]
	return v.most <= keepVectors
}

// keepVectors is how many bytes of vectors a request may have read and still be kept for another.
const keepVectors = 8 << 20

// readPrecomputed fills dst from precomputed vectors. Each entity whose vector is absent, older than one of its rows or not as
// the service has it now is read from the rows, so that the answer is that of the rows in any case.
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
	v.cols, v.times = v.cols[:0], v.times[:0]
	for i := range p.Columns {
		var col *types.Column
		if c := &p.Columns[i]; c.Feature >= 0 {
			col = dst.Column(p.Views[c.View].Table, c.Feature)
		}
		v.cols = append(v.cols, col)
	}
	for range p.Views {
		v.times = append(v.times, types.Timestamp{})
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
		if len(data) == 0 || !v.decode(p, data, i, dst, key.Row) {
			rest = append(rest, key)
		}
	}
	v.most, v.rest[0] = max(v.most, size), rest
	return nil
}

// decode sets the cells of row to of dst from a vector, or none when it is not to be used. from is its row in the result of the
// vectors. data may be anything.
func (v *vectors) decode(p *plan.Precomputed, data []byte, from int, dst *online.Result, to int) bool {
	for i := range p.Views {
		t := p.Views[i].Times
		// A vector says the epoch of a row that is absent: one that has this time is not told from it.
		if v.result.Found(t, from) && v.result.RowEvent(t, from).IsZero() {
			return false
		}
		v.times[i] = types.Timestamp{}
	}
	rest, usual := bytes.CutPrefix(data, p.Names)
	if !usual {
		rest = data
		if !v.reorder(p, data) {
			return false
		}
	}
	if !v.values(p, rest, usual, from, to) || !v.current(p, from) {
		for _, c := range v.cols {
			if c != nil {
				c.Clear(to, types.NotFound)
			}
		}
		return false
	}
	for i := range p.Views {
		view := &p.Views[i]
		if view.Table != nil && v.result.Found(view.Times, from) {
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
func (v *vectors) values(p *plan.Precomputed, b []byte, usual bool, from, to int) bool {
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
			if n == len(p.Columns) { // as in Feast, more values than names are ignored
				continue
			}
			at := n
			if !usual {
				at = v.order[n]
			}
			n++
			if c := v.cols[at]; c != nil && !v.value(c, &p.Columns[at], p, data, from, to) {
				return false
			}
		case vectorTimes:
			if !v.time(p, data, times) {
				return false
			}
			times++
		}
	}
	return n == len(p.Columns)
}

// value sets a cell.
func (v *vectors) value(c *types.Column, col *plan.PrecomputedColumn, p *plan.Precomputed, data []byte, from, to int) bool {
	if len(data) > 0 && !bytes.HasPrefix(data, col.Key) {
		return false // of a type that the feature had once
	}
	if !v.result.Found(p.Views[col.View].Times, from) {
		return len(data) == 0
	}
	return c.SetValue(to, data) == nil && !c.Odd(to)
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
func cutField(b []byte) (tag uint64, data []byte, size int) {
	if len(b) > 1 && b[1] < 0x80 && b[0] < 0x80 && b[0]&7 == 2 && b[0]>>3 > 0 && 2+int(b[1]) <= len(b) { // most are short
		size = 2 + int(b[1])
		return uint64(b[0]), b[2:size], size
	}
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return 0, nil, 0
	}
	m := protowire.ConsumeFieldValue(num, typ, b[n:])
	if m < 0 {
		return 0, nil, 0
	}
	if typ == protowire.BytesType {
		data, _ = protowire.ConsumeBytes(b[n:])
	}
	return protowire.EncodeTag(num, typ), data, n + m
}
