package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

// maxCells bounds how many cells are asked for at once, so that neither side holds one enormous answer.
const maxCells = 200_000

// reader runs a read: one request for all tables, unless two of them would have the same columns.
type reader struct {
	store    *Store
	requests []*request
}

// request are the tables that one request asks for.
type request struct {
	tables []readTable
	groups []readGroup         // those of tables
	column map[string]readCell // by name in the answer
}

type readTable struct {
	*online.Table
	group int    // of request.groups
	refs  []byte // its references in JSON, with commas between
}

// readCell is a feature of one of the tables; index numbers them all.
type readCell struct{ table, feature, index int }

// readGroup is a key set.
type readGroup struct {
	number   int      // in the plan
	joinKeys []string // sorted
	prefix   []byte   // of the serialized keys
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s}
	for _, t := range plan.Tables() {
		if len(t.Features) == 0 {
			continue
		}
		i := slices.IndexFunc(r.requests, func(q *request) bool { return q.fits(t) })
		if i < 0 {
			i = len(r.requests)
			r.requests = append(r.requests, &request{column: map[string]readCell{}})
		}
		r.requests[i].add(t)
	}
	return r, nil
}

// reference is how the server is asked for a table: versions are its own matter unless one is named.
func reference(t *online.Table) string {
	if t.Version > 0 {
		return t.View + "@v" + strconv.Itoa(t.Version)
	}
	return t.View
}

func columnName(t *online.Table, feature int) string {
	return reference(t) + "__" + t.Features[feature].Name
}

// fits reports whether the columns of a table have names that no other has.
func (q *request) fits(t *online.Table) bool {
	for f := range t.Features {
		if _, taken := q.column[columnName(t, f)]; taken {
			return false
		}
	}
	return true
}

func (q *request) add(t *online.Table) {
	table := readTable{Table: t}
	for f, field := range t.Features {
		q.column[columnName(t, f)] = readCell{len(q.tables), f, len(q.column)}
		if f > 0 {
			table.refs = append(table.refs, ',')
		}
		table.refs = types.AppendJSONString(table.refs, []byte(reference(t)+":"+field.Name))
	}
	table.group = slices.IndexFunc(q.groups, func(g readGroup) bool { return g.number == t.Group() })
	if table.group < 0 {
		table.group = len(q.groups)
		q.groups = append(q.groups, readGroup{
			number: t.Group(), joinKeys: t.JoinKeys, prefix: online.AppendKeyPrefix(nil, 3, t.JoinKeys),
		})
	}
	q.tables = append(q.tables, table)
}

// Read implements [online.Reader].
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if err := r.store.begin(ctx); err != nil {
		return err
	}
	defer r.store.calls.End()
	b := pool.Get().(*buffers)
	defer b.release()
	for _, q := range r.requests {
		if err := r.store.readAll(ctx, b, q, keys, dst); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads the tables of a request. When the server refuses it for one of them, each is asked for alone.
func (s *Store) readAll(ctx context.Context, b *buffers, q *request, keys *online.Keys, dst *online.Result) error {
	err := s.readRows(ctx, b, q, keys, dst)
	refusal, refused := errors.AsType[*remote.Error](err)
	if !refused || refusal.Status == 0 || len(q.tables) == 1 || errors.Is(err, feasterr.ErrUnavailable) || errors.Is(err, feasterr.ErrUnauthenticated) {
		return err
	}
	failed := 0
	for _, t := range q.tables {
		alone := &request{column: map[string]readCell{}}
		alone.add(t.Table)
		if err := s.readRows(ctx, b, alone, keys, dst); err != nil {
			if ctx.Err() != nil {
				return err
			}
			failed++
			dst.Fail(t.Table, err)
		}
	}
	if failed == len(q.tables) {
		return err
	}
	return nil
}

// readRows reads all keys of a request, so many at once as may be.
func (s *Store) readRows(ctx context.Context, b *buffers, q *request, keys *online.Keys, dst *online.Result) error {
	if err := b.rows.place(q, keys, dst.Rows()); err != nil {
		return err
	}
	width := 0
	for _, t := range q.tables {
		if b.rows.has(t.group) {
			width += len(t.Features)
		}
	}
	if width == 0 {
		return nil
	}
	step := max(1, maxCells/width)
	for from := 0; from < b.rows.n; from += step {
		to := min(from+step, b.rows.n)
		b.request = b.appendRequest(b.request[:0], q, from, to)
		if err := s.read(ctx, b); err != nil {
			return err
		}
		if err := b.take(q, width, from, to, dst); err != nil {
			return err
		}
	}
	return nil
}

// appendRequest appends the body of a request for rows.
func (b *buffers) appendRequest(dst []byte, q *request, from, to int) []byte {
	dst = append(dst, `{"features":[`...)
	first := true
	for _, t := range q.tables {
		if !b.rows.has(t.group) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, t.refs...)
	}
	dst = append(dst, `],"full_feature_names":true,"entities":{`...)
	for i := range b.rows.columns {
		c := &b.rows.columns[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(types.AppendJSONString(dst, []byte(c.name)), ':', '[')
		for row := from; row < to; row++ {
			if row > from {
				dst = append(dst, ',')
			}
			dst = append(dst, b.rows.text(c.cells[row])...)
		}
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

// take puts the answer for rows into the result.
func (b *buffers) take(q *request, width, from, to int, dst *online.Result) error {
	b.seen = slices.Grow(b.seen[:0], len(q.column))[:len(q.column)]
	clear(b.seen)
	for i := range b.parsed.columns {
		name, err := b.parsed.name(i)
		if err != nil {
			return err
		}
		at, asked := q.column[string(name)]
		if !asked {
			continue // a join key
		}
		if b.seen[at.index] {
			continue // reported below, since another is missing
		}
		b.seen[at.index] = true
		width--
		t := q.tables[at.table]
		b.cells.reset(b.parsed.columns[i])
		for row := from; ; row++ {
			more, err := b.cells.next()
			switch {
			case err != nil:
				return fmt.Errorf("column %s: %w", name, err)
			case more != (row < to):
				return feasterr.Invalid("the answer of the feature server is malformed: column %s has not the %d rows of the request", name, to-from)
			}
			if !more {
				break
			}
			to := b.rows.of[t.group][row]
			if to < 0 {
				continue
			}
			if err := b.set(t.Table, int(to), at.feature, dst); err != nil {
				return err
			}
		}
	}
	if width != 0 {
		return feasterr.Invalid("the answer of the feature server is malformed: it has not the columns that were asked for, each once")
	}
	return nil
}

// set puts the current cell into the result. Statuses are made of what is stored: ttls are looked at by the front.
func (b *buffers) set(t *online.Table, row, feature int, dst *online.Result) error {
	c := &b.cells
	null := string(c.value) == "null"
	switch {
	case c.status == types.Failed:
		dst.Fail(t, feasterr.Unavailable("the feature server could not read %s", t.Features[feature].Name))
		return nil
	case c.status == types.NotFound, null && c.event.IsZero(): // so Feast's server answers for what Redis does not have
		if !c.event.IsZero() { // the row is there, this feature of it is not
			dst.Row(t, row, c.event)
		}
		return nil
	}
	dst.Row(t, row, c.event)
	return dst.SetJSON(t, row, feature, c.value)
}

// rows are the entity rows of a request, which all key sets share: in a row each set has the key for the same row of the
// result. A key that does not go with what is in that row already, since a projection takes its join keys from other
// columns, has a row of its own; what is left empty is filled with any value, and not looked at in the answer.
type rows struct {
	n       int
	columns []keyColumn // by join key
	of      [][]int32   // by group and row: the row of the result, -1 where there is none
	slot    []int32     // by row of the result: a row here, -1 where there is none yet
	buf     []byte      // of the values
	part    [][]byte    // the values of a key
}

type keyColumn struct {
	name  string
	cells []cell
}

// cell is a value in JSON.
type cell struct{ from, to int32 }

func (c cell) empty() bool { return c.to == 0 }

func (r *rows) text(c cell) []byte { return r.buf[c.from:c.to] }

// has reports whether a key set has a key.
func (r *rows) has(group int) bool { return len(r.of[group]) > 0 }

// place lays out the keys of a request.
func (r *rows) place(q *request, keys *online.Keys, results int) error {
	r.n, r.columns, r.buf = 0, r.columns[:0], r.buf[:0]
	for len(r.of) < len(q.groups) {
		r.of = append(r.of, nil)
	}
	r.slot = r.slot[:0]
	for range results {
		r.slot = append(r.slot, -1)
	}
	for g := range q.groups {
		group := &q.groups[g]
		r.of[g] = r.of[g][:0]
		set := keys.Group(group.number)
		if !slices.ContainsFunc(set, func(k online.Key) bool { return bytes.HasPrefix(k.Bytes, group.prefix) }) {
			continue
		}
		at := r.columnsOf(group)
		for _, k := range set {
			if !bytes.HasPrefix(k.Bytes, group.prefix) {
				continue // of other join keys, so that it has no row
			}
			if err := r.split(group, k.Bytes); err != nil {
				return err
			}
			slot := int(r.slot[k.Row])
			if slot < 0 || !r.agrees(at, slot) {
				slot = r.n
				r.n++
				if r.slot[k.Row] < 0 {
					r.slot[k.Row] = int32(slot)
				}
			}
			for i, c := range at {
				cells := &r.columns[c].cells
				for len(*cells) <= slot {
					*cells = append(*cells, cell{})
				}
				if (*cells)[slot].empty() {
					from := len(r.buf)
					r.buf = append(r.buf, r.part[i]...)
					(*cells)[slot] = cell{int32(from), int32(len(r.buf))}
				}
			}
			for len(r.of[g]) <= slot {
				r.of[g] = append(r.of[g], -1)
			}
			r.of[g][slot] = int32(k.Row)
		}
	}
	r.fill()
	return nil
}

// fill gives every column a value in every row.
func (r *rows) fill() {
	for i := range r.columns {
		cells := &r.columns[i].cells
		for len(*cells) < r.n {
			*cells = append(*cells, cell{})
		}
		some := slices.IndexFunc(*cells, func(c cell) bool { return !c.empty() })
		for j, c := range *cells {
			if c.empty() && some >= 0 {
				(*cells)[j] = (*cells)[some]
			}
		}
	}
	for g := range r.of {
		for r.has(g) && len(r.of[g]) < r.n {
			r.of[g] = append(r.of[g], -1)
		}
	}
}

// columnsOf returns the columns of a group's join keys.
func (r *rows) columnsOf(g *readGroup) []int {
	var at []int
	for _, k := range g.joinKeys {
		i := slices.IndexFunc(r.columns, func(c keyColumn) bool { return c.name == k })
		if i < 0 {
			i = len(r.columns)
			if i < cap(r.columns) {
				r.columns = r.columns[:i+1]
				r.columns[i] = keyColumn{k, r.columns[i].cells[:0]}
			} else {
				r.columns = append(r.columns, keyColumn{name: k})
			}
		}
		at = append(at, i)
	}
	return at
}

// agrees reports whether a key fits into a row.
func (r *rows) agrees(at []int, slot int) bool {
	for i, c := range at {
		cells := r.columns[c].cells
		if slot < len(cells) && !cells[slot].empty() && !bytes.Equal(r.text(cells[slot]), r.part[i]) {
			return false
		}
	}
	return true
}

// split makes JSON of the values of a serialized key.
func (r *rows) split(g *readGroup, key []byte) error {
	rest, ok := bytes.CutPrefix(key, g.prefix)
	if !ok {
		return feasterr.Invalid("malformed entity key for join keys %q", g.joinKeys)
	}
	for len(r.part) < len(g.joinKeys) {
		r.part = append(r.part, nil)
	}
	for i, name := range g.joinKeys {
		if len(rest) < 8 || uint64(binary.LittleEndian.Uint32(rest[4:])) > uint64(len(rest)-8) {
			return feasterr.Invalid("malformed entity key for join keys %q", g.joinKeys)
		}
		typ, size := types.Type(rest[0]), binary.LittleEndian.Uint32(rest[4:])
		value := rest[8 : 8+size]
		rest = rest[8+size:]
		out := r.part[i][:0]
		switch {
		case (typ == types.Int64 || typ == types.UnixTimestamp) && size == 8:
			out = strconv.AppendInt(out, int64(binary.LittleEndian.Uint64(value)), 10)
		case typ == types.Int32 && size == 4:
			out = strconv.AppendInt(out, int64(int32(binary.LittleEndian.Uint32(value))), 10)
		case typ == types.String:
			out = types.AppendJSONString(out, value)
		case typ == types.Bytes:
			return noBytes(name)
		default:
			return feasterr.Invalid("malformed entity key for join keys %q", g.joinKeys)
		}
		r.part[i] = out
	}
	if len(rest) > 0 {
		return feasterr.Invalid("malformed entity key for join keys %q", g.joinKeys)
	}
	return nil
}

func noBytes(name string) error {
	return feasterr.Unsupported("join key %s is of bytes, which a feature server takes for text: JSON has none", name)
}
