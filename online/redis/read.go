package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// reader reads with one command for each key, for all tables of its group, all in one round trip.
type reader struct {
	store     *Store
	groups    []group
	scratches sync.Pool // of *scratch
}

// group is the tables that share a key set, and with it one hash for each key.
type group struct {
	tables  []*online.Table
	fields  []field
	index   fieldIndex
	head    []byte // of the HMGET as it is sent, up to the key
	tail    []byte // and after the key
	args    []any  // the HMGET for go-redis, with nil in place of the key
	learned *learned
}

// field is a field of the hash. Those of a table follow each other: its event time, then its features.
type field struct {
	name    string
	table   int // index of group.tables
	feature int // index of the table's features; -1: the event time
	same    int // another field of this name, -1: none
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	r := &reader{store: s}
	for _, tables := range plan.Groups() {
		r.groups = append(r.groups, newGroup(tables))
	}
	r.scratches.New = func() any { return newScratch(r.groups) }
	return r, nil
}

func newGroup(tables []*online.Table) group {
	g := group{tables: tables, args: []any{"hmget", nil}, learned: new(learned)}
	for i, t := range tables {
		g.fields = append(g.fields, field{name: timeField(t), table: i, feature: -1})
		for f, name := range featureFields(t) {
			g.fields = append(g.fields, field{name: name, table: i, feature: f})
		}
	}
	g.index = newFieldIndex(g.fields)
	g.head = appendHeader(nil, '*', len(g.fields)+2)
	g.head = appendText(g.head, "HMGET")
	for _, f := range g.fields {
		g.args = append(g.args, f.name)
		g.tail = appendText(g.tail, f.name)
	}
	return g
}

// fieldIndex finds fields by name: an open hash table of indices, one more than the field's, 0 where there is none.
// Feature fields are hashes already.
type fieldIndex struct {
	places []uint32
	shift  uint8
}

func newFieldIndex(fields []field) fieldIndex {
	x := fieldIndex{shift: 32}
	for size := 1; size < 2*len(fields); size *= 2 {
		x.shift--
	}
	x.places = make([]uint32, 1<<(32-x.shift))
	for i := range fields {
		fields[i].same = -1
		at := x.place(fields[i].name)
		for x.places[at] != 0 && fields[x.places[at]-1].name != fields[i].name {
			at = x.next(at)
		}
		if x.places[at] != 0 {
			fields[i].same = int(x.places[at] - 1)
		}
		x.places[at] = uint32(i + 1)
	}
	return x
}

// place is where the search for a name begins.
func (x fieldIndex) place(name string) uint32 {
	var h uint32
	if len(name) >= 4 {
		h = uint32(name[len(name)-4]) | uint32(name[len(name)-3])<<8 | uint32(name[len(name)-2])<<16 | uint32(name[len(name)-1])<<24
	}
	h = (h + uint32(len(name))) * 0x9E3779B1
	return uint32(uint64(h) >> x.shift)
}

func (x fieldIndex) next(at uint32) uint32 { return (at + 1) & uint32(len(x.places)-1) }

// find returns the index of a field, or -1.
func (x fieldIndex) find(fields []field, name []byte) int {
	for at := x.placeOf(name); ; at = x.next(at) {
		i := int(x.places[at]) - 1
		if i < 0 || fields[i].name == string(name) {
			return i
		}
	}
}

func (x fieldIndex) placeOf(name []byte) uint32 {
	if len(name) != 4 {
		return x.place(string(name)) // which does not escape
	}
	h := (binary.LittleEndian.Uint32(name) + 4) * 0x9E3779B1
	return uint32(uint64(h) >> x.shift)
}

// The protocol's way to write what a command consists of.

func appendHeader(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}

func appendText(dst []byte, s string) []byte {
	dst = appendHeader(dst, '$', len(s))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// scratch is the memory of one read.
type scratch struct {
	all, ask []bool // of each group: keys are read with HGETALL; the first is, and its shape noted
	rows     []row  // of the tables of a group, for one key
	seen     shape  // of the last hash read with HGETALL
	longest  int    // value of it
	one      replies
}

// row is what a reply said of a key's row in a table.
type row struct {
	event types.Timestamp
	found bool  // there is an event time
	set   bool  // some feature was set
	err   error // the first problem
}

func newScratch(groups []group) *scratch {
	most := 0
	for i := range groups {
		most = max(most, len(groups[i].tables))
	}
	return &scratch{all: make([]bool, len(groups)), ask: make([]bool, len(groups)), rows: make([]row, most)}
}

// Read implements [online.Reader]. What is stored and is no row fails the tables that it is a row of, and no others.
func (r *reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if err := r.store.enter(ctx); err != nil {
		return err
	}
	defer r.store.leave()
	s := r.scratches.Get().(*scratch)
	defer r.scratches.Put(s)
	for i := range r.groups {
		r.choose(s, i)
	}
	return r.read(ctx, keys, dst, s)
}

// read reads over connections of the store's own, and what that does not answer through go-redis.
func (r *reader) read(ctx context.Context, keys *online.Keys, dst *online.Result, s *scratch) error {
	d := r.store.direct
	if d == nil {
		return r.pipelined(ctx, keys, dst, s)
	}
	rest, err := d.read(ctx, r, keys, dst, s)
	if err == nil || rest == nil {
		return err
	}
	return r.instead(ctx, err, rest, dst, s)
}

// instead reads through go-redis what an error has left, unless there is no time or no connection for it or the server sends
// what no Redis server does.
func (r *reader) instead(ctx context.Context, err error, rest *online.Keys, dst *online.Result, s *scratch) error {
	r.store.renew(ctx, err)
	if done := ended(ctx); done != nil {
		return done
	}
	if err == errNoPlace { //nolint:errorlint // as get returned it
		return feasterr.Unavailable("%w", err)
	}
	if errors.Is(err, errGarbage) { // go-redis takes memory for whatever lengths it is told
		return feasterr.Unavailable("the server sent %w", err)
	}
	return r.pipelined(ctx, rest, dst, s)
}

// keys returns the keys that a group is asked for: none where the plan is a part of another one and has no table of the group.
func (r *reader) keys(keys *online.Keys, i int) []online.Key {
	if len(r.groups[i].tables) == 0 {
		return nil
	}
	return keys.Group(i)
}

// name returns the name of a key's hash.
func (g *group) name(key online.Key) string { return string(key.Bytes) + g.tables[0].Project }

// hmget returns the HMGET for a hash.
func (g *group) hmget(name string) []any {
	args := slices.Clone(g.args)
	args[1] = name
	return args
}

// reset makes s that of a part of the read of another one; only one part looks at hashes.
func (s *scratch) reset(of *scratch, ask bool) {
	copy(s.all, of.all)
	clear(s.ask)
	if ask {
		copy(s.ask, of.ask)
	}
}

// whole reports whether a key is read with HGETALL.
func (s *scratch) whole(group, key int) bool { return s.all[group] || key == 0 && s.ask[group] }

// choose decides how a group is read.
func (r *reader) choose(s *scratch, i int) {
	g := &r.groups[i]
	s.all[i], s.ask[i] = false, false
	switch r.store.opts.ReadCommand {
	case ReadFields:
	case ReadHash:
		s.all[i] = !g.learned.denied.holds()
	default:
		s.all[i], s.ask[i] = g.learned.choose()
	}
}

// pipelined reads through go-redis. Of replies it hands out only the bytes, so that an error among them would not be
// followed: what could not be read in this way is read again by an ordinary command.
func (r *reader) pipelined(ctx context.Context, keys *online.Keys, dst *online.Result, s *scratch) error {
	pipe := r.store.reads.Pipeline()
	var cmds []*redis.RawCmd
	add := func(args []any) error {
		cmd := redis.NewRawCmd(ctx, args...)
		cmds = append(cmds, cmd)
		return pipe.Process(ctx, cmd)
	}
	for i := range r.groups {
		g := &r.groups[i]
		for n, key := range r.keys(keys, i) {
			name := g.name(key)
			args := []any{"hgetall", name}
			if !s.whole(i, n) {
				args = g.hmget(name)
			}
			err := add(args)
			if n == 0 && s.ask[i] {
				err = errors.Join(err, add([]any{"object", "encoding", name}))
			}
			if err != nil {
				return err
			}
		}
	}
	if err := r.store.exec(ctx, pipe); err != nil {
		return err
	}
	next := func() *replies {
		s.one.reset(cmds[0].Val())
		cmds = cmds[1:]
		return &s.one
	}
	again := make([][]online.Key, len(r.groups))
	some := false
	for i := range r.groups {
		g := &r.groups[i]
		for n, key := range r.keys(keys, i) {
			said := cmds[0].Val()
			if err := g.scan(next(), key.Row, s.whole(i, n), dst, s); err != nil {
				if text, ok := bytes.CutPrefix(said, []byte("-")); ok && s.whole(i, n) && refusesCommand(string(text), "hgetall") {
					g.learned.denied.came()
				}
				again[i], some = append(again[i], key), true
			}
			if n == 0 && s.ask[i] {
				_ = g.answered(next(), s)
			}
		}
	}
	if !some {
		return nil
	}
	return r.commanded(ctx, online.NewKeys(again...), dst)
}

// answered notes the shape of a hash, of which its fields and then how it is kept have come.
func (g *group) answered(r *replies, s *scratch) error {
	name, _, err := r.line()
	if err != nil {
		return err
	}
	if s.seen.listed = guessed(s.seen.fields, s.longest); name != nil {
		s.seen.listed = listed(name)
	}
	g.learned.saw(s.seen, len(g.fields))
	return nil
}

// scan hands the reply about a key to dst. An error says that it is none about a hash; then nothing is left of it in dst.
func (g *group) scan(r *replies, at int, all bool, dst *online.Result, s *scratch) error {
	rows := s.rows[:len(g.tables)]
	clear(rows)
	var err error
	if all {
		err = g.scanAll(r, at, dst, s)
	} else {
		err = g.scanFields(r, at, dst, rows)
	}
	for i, t := range g.tables {
		row := &rows[i]
		switch {
		case err == nil && row.found && row.err == nil:
			dst.Row(t, at, row.event)
			continue
		case err == nil && row.found:
			dst.Fail(t, row.err)
		}
		// Features without an event time are no row; of half a reply nothing may stay.
		for f := range t.Features {
			if !row.set {
				break
			}
			dst.Column(t, f).Clear(at, types.NotFound)
		}
	}
	return err
}

// scanFields scans a reply to HMGET.
func (g *group) scanFields(r *replies, at int, dst *online.Result, rows []row) error {
	if err := r.values(len(g.fields)); err != nil {
		return err
	}
	for i, t := range g.tables {
		row := &rows[i]
		event, ok, err := r.text()
		if err != nil {
			return err
		}
		if ok {
			row.time(t, at, event)
		}
		for f := range t.Features {
			value, ok, err := r.text()
			if err != nil {
				return err
			}
			if ok && row.found {
				row.feature(dst, t, at, f, value)
			}
		}
	}
	return nil
}

// scanAll scans a reply to HGETALL.
func (g *group) scanAll(r *replies, at int, dst *online.Result, s *scratch) error {
	n, err := r.pairs()
	if err != nil {
		return err
	}
	rows, found, steps, unasked, longest := s.rows, 0, 0, 0, 0
	for pair := range n {
		name, ok, err := r.text()
		if err != nil {
			return err
		}
		i := -1
		if ok {
			i = g.index.find(g.fields, name)
		}
		value, valueOK, err := r.text()
		if err != nil {
			return err
		}
		if !ok || !valueOK {
			return errGarbage
		}
		if longest = max(longest, len(value)); i < 0 {
			unasked += len(value)
		}
		for ; i >= 0; i = g.fields[i].same {
			found++
			steps += pair
			f := &g.fields[i]
			if f.feature < 0 {
				rows[f.table].time(g.tables[f.table], at, value)
			} else {
				rows[f.table].feature(dst, g.tables[f.table], at, f.feature, value)
			}
		}
	}
	s.seen = shape{fields: n, steps: steps + (len(g.fields)-found)*n, unasked: unasked}
	s.longest = longest
	return nil
}

// time notes the event time of a row, which makes it one.
func (r *row) time(t *online.Table, at int, stored []byte) {
	r.found = true
	event, err := types.ParseTimestamp(stored)
	if err != nil {
		r.fail(t, feasterr.Invalid("row %d: event time: %w", at, err))
	}
	r.event = event
}

// feature stores a feature. The row is announced when all of it has come.
func (r *row) feature(dst *online.Result, t *online.Table, at, feature int, value []byte) {
	r.set = true
	if err := dst.Set(t, at, feature, value); err != nil {
		r.fail(t, err)
	}
}

func (r *row) fail(t *online.Table, err error) {
	if r.err == nil {
		r.err = tableError("read", t, err)
	}
}

// commanded reads through go-redis with commands that it understands, so that it follows redirects and tries again.
func (r *reader) commanded(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	pipe := r.store.reads.Pipeline()
	var cmds []*redis.SliceCmd
	for i := range r.groups {
		g := &r.groups[i]
		for _, key := range keys.Group(i) {
			cmd := redis.NewSliceCmd(ctx, g.hmget(g.name(key))...)
			cmds = append(cmds, cmd)
			if err := pipe.Process(ctx, cmd); err != nil {
				return err
			}
		}
	}
	if err := r.store.exec(ctx, pipe); err != nil {
		return err
	}
	var buf []byte
	for i := range r.groups {
		for _, key := range keys.Group(i) {
			buf = r.groups[i].fill(dst, key.Row, cmds[0], buf)
			cmds = cmds[1:]
		}
	}
	return nil
}

// fill hands what was read of an entity to dst. buf is for reuse.
func (g *group) fill(dst *online.Result, at int, cmd *redis.SliceCmd, buf []byte) []byte {
	values := cmd.Val()
	switch {
	case cmd.Err() != nil:
		g.fail(dst, feasterr.Invalid("row %d: %w", at, errNoHash))
		return buf
	case len(values) != len(g.fields):
		g.fail(dst, feasterr.Invalid("row %d: %d values came for %d fields", at, len(values), len(g.fields)))
		return buf
	}
	for _, t := range g.tables {
		var row row
		if stored, ok := values[0].(string); ok {
			buf = append(buf[:0], stored...)
			row.time(t, at, buf)
		}
		if row.found && row.err == nil {
			dst.Row(t, at, row.event)
			for i, v := range values[1 : 1+len(t.Features)] {
				if v, ok := v.(string); ok {
					buf = append(buf[:0], v...)
					row.feature(dst, t, at, i, buf)
				}
			}
		}
		if row.err != nil {
			dst.Fail(t, row.err)
		}
		values = values[1+len(t.Features):]
	}
	return buf
}

// fail fails all tables of the group.
func (g *group) fail(dst *online.Result, err error) {
	for _, t := range g.tables {
		dst.Fail(t, tableError("read", t, err))
	}
}
