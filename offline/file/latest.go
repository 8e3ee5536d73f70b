package file

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
)

// Pull-latest streams key and time columns once and keeps the best row of each key, in a table divided by hash so that
// goroutines seldom meet. Then it reads the other columns of those rows, in source order. If the keys are too many for one
// table, it takes several passes, each over the keys of some hashes.

// passKeys bounds the distinct keys of a pass. A key takes about 100 bytes, texts more.
var passKeys int64 = 4 << 20

// divisions is the number of parts of the table.
const divisions = 64

// sourceKeys are the keys of some rows of the source.
type sourceKeys struct {
	hash  []uint64
	ints  []int64  // of a single key column of numbers, booleans or instants
	bytes [][]byte // otherwise, or where ints cannot hold it
	null  []bool
}

// keysOf reads and hashes the keys of rows. The hash depends on the values alone, so that shards may be read by different
// programs.
func (s *scan) keysOf(ctx context.Context, g *rowGroup, w wanted) (*sourceKeys, error) {
	n := w.len()
	k := &sourceKeys{hash: make([]uint64, n), null: make([]bool, n)}
	if len(s.keys) == 1 && classOf(s.keys[0].typ) != texts {
		k.ints = make([]int64, n)
	}
	k.bytes = make([][]byte, n)
	arena := make([]byte, 0, n*10*max(len(s.keys), 1))
	vectors := make([]*vector, len(s.keys))
	encoders := make([]func([]byte, int) []byte, len(s.keys))
	for i, c := range s.keys {
		v := newVector(c, n)
		if err := g.fill(ctx, c, w, v, 0); err != nil {
			return nil, err
		}
		vectors[i], encoders[i] = v, v.encoder()
	}
	for i := range n {
		from := len(arena)
		for c, v := range vectors {
			was := len(arena)
			if v.leaf.form == formNull || !v.valid[i] {
				k.null[i] = true
			} else if arena = encoders[c](arena, i); len(arena) == was { // equals nothing, not even itself
				k.null[i] = true
			}
		}
		key := arena[from:]
		switch {
		case k.null[i]:
			row := w.lo + i
			if w.some {
				row = int(w.rows[i])
			}
			k.hash[i] = mix(uint64(g.start) + uint64(row))
		case k.ints != nil && len(key) == 9:
			k.ints[i] = int64(binary.LittleEndian.Uint64(key[1:]))
			k.hash[i] = mix(uint64(k.ints[i]))
			arena = arena[:from]
		default:
			k.bytes[i] = slices.Clip(key)
			k.hash[i] = hashBytes(key)
		}
	}
	return k, nil
}

// encoder appends the value at i so that equal values, of whatever type, become equal bytes: a tag, then 8 bytes for an
// integer. Nothing is appended for what equals nothing.
func (v *vector) encoder() func(b []byte, i int) []byte {
	number := func(b []byte, k int64, o odd) []byte {
		if o.kind == 0 {
			return binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(k))
		}
		b = binary.LittleEndian.AppendUint64(append(b, o.kind), uint64(o.a))
		return binary.LittleEndian.AppendUint64(b, uint64(o.b))
	}
	float := func(b []byte, x float64) []byte {
		k, o, ok := ofFloat(x)
		if !ok {
			return b
		}
		return number(b, k, o)
	}
	text := func(b []byte, s string) []byte {
		return append(binary.AppendUvarint(append(b, 's'), uint64(len(s))), s...)
	}
	c := v.leaf.clock
	switch {
	case v.leaf.form == formText:
		return func(b []byte, i int) []byte { return text(b, v.text[i]) }
	case v.leaf.form == formBool:
		return func(b []byte, i int) []byte { return number(b, int64(v.data[i]), odd{}) }
	case c.int96:
		return func(b []byte, i int) []byte { return number(b, int96Nanos(v.data[12*i:]), odd{}) }
	case c.isTime() && v.leaf.width == 4:
		return func(b []byte, i int) []byte {
			k, o := ofTime(int64(valuesOf[int32](v.data)[i])*c.scale, c.unit)
			return number(b, k, o)
		}
	case c.isTime():
		return func(b []byte, i int) []byte {
			k, o := ofTime(valuesOf[int64](v.data)[i], c.unit)
			return number(b, k, o)
		}
	}
	switch v.leaf.own.ID() {
	case arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return func(b []byte, i int) []byte { return number(b, int64(valuesOf[uint32](v.data)[i]), odd{}) }
	case arrow.INT8, arrow.INT16, arrow.INT32:
		return func(b []byte, i int) []byte { return number(b, int64(valuesOf[int32](v.data)[i]), odd{}) }
	case arrow.INT64:
		return func(b []byte, i int) []byte { return number(b, valuesOf[int64](v.data)[i], odd{}) }
	case arrow.UINT64:
		return func(b []byte, i int) []byte { k, o := ofUint(valuesOf[uint64](v.data)[i]); return number(b, k, o) }
	case arrow.FLOAT16:
		return func(b []byte, i int) []byte {
			return float(b, float64(float16.FromBits(valuesOf[uint16](v.data)[i]).Float32()))
		}
	case arrow.FLOAT32:
		return func(b []byte, i int) []byte { return float(b, float64(valuesOf[float32](v.data)[i])) }
	case arrow.FLOAT64:
		return func(b []byte, i int) []byte { return float(b, valuesOf[float64](v.data)[i]) }
	}
	width := v.leaf.width
	return func(b []byte, i int) []byte { return text(b, string(v.data[i*width:(i+1)*width])) }
}

// mix is the finalizer of splitmix64, a public-domain generator by Sebastiano Vigna.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashBytes is FNV-1a, mixed.
func hashBytes(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h)
}

// mine reports whether a key of this hash belongs to the shard.
func (s *scan) mine(hash uint64) bool {
	return s.plan.Shards <= 1 || int(hash%uint64(s.plan.Shards)) == s.plan.Shard
}

// inShard leaves out the rows of other shards.
func (s *scan) inShard(ctx context.Context, g *rowGroup, w wanted) (wanted, error) {
	if w.len() == 0 {
		return w, nil
	}
	k, err := s.keysOf(ctx, g, w)
	if err != nil {
		return w, err
	}
	var rows []int32
	for i, h := range k.hash {
		if s.mine(h) {
			row := int32(w.lo + i)
			if w.some {
				row = w.rows[i]
			}
			rows = append(rows, row)
		}
	}
	return someRows(rows), nil
}

// division is a part of the table of keys.
type division struct {
	mu    sync.Mutex
	ints  intTable
	bytes map[string]int32
	best  []candidate
	nulls []int64 // rows without a key
}

// pass is one reading of the key columns: over the keys whose hash belongs to part of parts.
type pass struct {
	scan        *scan
	part, parts uint64
	divisions   [divisions]division
	keys        atomic.Int64
}

// errTooManyKeys ends a pass that needs to be divided further.
var errTooManyKeys = errors.New("too many keys for a pass")

// offer offers the rows of a stretch to the table.
func (p *pass) offer(ctx context.Context, t stretchOf) error {
	s := p.scan
	w, times, err := s.inWindow(ctx, t, nil)
	if err != nil || w.len() == 0 {
		return err
	}
	k, err := s.keysOf(ctx, t.group, w)
	if err != nil {
		return err
	}
	created := make([]int64, w.len())
	if s.created == nil {
		for i := range created {
			created[i] = noTime
		}
	} else if err := t.group.times(ctx, s.created, w, s.units.created, created); err != nil {
		return err
	}
	// The rows of each division, one after the other.
	var starts [divisions + 1]int
	division := func(h uint64) int { return int(h >> (64 - 6)) }
	skip := func(i int) bool { return !s.mine(k.hash[i]) || (k.hash[i]>>16)%p.parts != p.part }
	for i, h := range k.hash {
		if !skip(i) {
			starts[division(h)+1]++
		}
	}
	for d := range divisions {
		starts[d+1] += starts[d]
	}
	order := make([]int32, starts[divisions])
	at := starts
	for i, h := range k.hash {
		if !skip(i) {
			d := division(h)
			order[at[d]] = int32(i)
			at[d]++
		}
	}
	for d := range divisions {
		added := p.divisions[d].offer(order[starts[d]:starts[d+1]], k, func(i int32) candidate {
			row := t.rows.lo + int(i)
			if w.some {
				row = int(w.rows[i])
			}
			return candidate{event: times[row-t.rows.lo], created: created[i], row: t.group.start + int64(row)}
		})
		if p.keys.Add(int64(added)) > passKeys {
			return errTooManyKeys
		}
	}
	return ctx.Err()
}

func (d *division) offer(rows []int32, k *sourceKeys, of func(i int32) candidate) (added int) {
	if len(rows) == 0 {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range rows {
		c := of(i)
		next := int32(len(d.best))
		id := next
		switch {
		case k.null[i]:
			d.nulls = append(d.nulls, c.row)
			continue
		case k.bytes[i] == nil && k.ints != nil:
			id = d.ints.add(k.ints[i], next)
		default:
			if known, ok := d.bytes[string(k.bytes[i])]; ok {
				id = known
				break
			}
			if d.bytes == nil {
				d.bytes = map[string]int32{}
			}
			d.bytes[string(k.bytes[i])] = next
		}
		if id == next {
			d.best = append(d.best, c)
			added++
		} else if c.better(&d.best[id]) {
			d.best[id] = c
		}
	}
	return added
}

// run reads the stretches and picks the rows.
func (p *pass) run(ctx context.Context, tasks []stretchOf) (*picked, error) {
	err := each(ctx, len(tasks), func(_, i int) (err error) {
		defer recovered(tasks[i].group.file.path, &err)
		if err := p.offer(ctx, tasks[i]); !errors.Is(err, errTooManyKeys) {
			return inFile(tasks[i].group.file.path, err)
		}
		return errTooManyKeys
	})
	if err != nil {
		return nil, err
	}
	out := newPicked(p.scan.table)
	for i := range p.divisions {
		d := &p.divisions[i]
		for i, c := range d.best {
			if err := ended(ctx, i); err != nil {
				return nil, err
			}
			out.add(p.scan.table.rowGroupAt(c.row), c.row)
		}
		for _, row := range d.nulls {
			out.add(p.scan.table.rowGroupAt(row), row)
		}
	}
	out.number()
	return out, nil
}

// readLatest reads the newest rows, in passes over at most passKeys keys.
func readLatest(ctx context.Context, s *scan) (array.RecordReader, error) {
	tasks, err := s.stretches(ctx)
	if err != nil {
		return nil, err
	}
	type hashes struct{ part, parts uint64 }
	passes := []hashes{{0, 1}} // still to do
	var todo []stretchOf       // of the rows picked in the last pass
	more := func() ([]arrow.RecordBatch, error) {
		for len(todo) == 0 {
			if len(passes) == 0 {
				return nil, nil
			}
			h := passes[0]
			p := &pass{scan: s, part: h.part, parts: h.parts}
			rows, err := p.run(ctx, tasks)
			passes = passes[1:]
			if errors.Is(err, errTooManyKeys) {
				// A half each: hashes that leave part when divided by parts leave one of two rests when divided by twice that.
				passes = append([]hashes{{h.part, 2 * h.parts}, {h.part + h.parts, 2 * h.parts}}, passes...)
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, g := range rows.order {
				for chunk := range slices.Chunk(rows.groups[g.ordinal].rows(), rowsOfWidth(len(s.out))) {
					todo = append(todo, stretchOf{g, someRows(chunk)})
				}
			}
		}
		now := todo[:workers(len(todo))]
		todo = todo[len(now):]
		return some(ctx, len(now), func(i int) (arrow.RecordBatch, error) {
			return s.batch(ctx, now[i].group, now[i].rows)
		})
	}
	return newReader(s.schema, ctx.Err, more, s.table.close), nil
}
