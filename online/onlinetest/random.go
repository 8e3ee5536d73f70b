package onlinetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// model is what a store has to hold, by the rules that its harness declares.
type model struct {
	h    Harness
	rows map[string]*modelRow // by stored view and key
}

type modelRow struct {
	event types.Timestamp // where the row has one
	cells map[string]modelCell
}

type modelCell struct {
	value []byte
	event types.Timestamp // where features have their own
}

// row returns a row, an empty one where nothing is stored.
func (m *model) row(t *online.Table, key []byte) *modelRow {
	name := t.StoredView() + "\x00" + string(key)
	r := m.rows[name]
	if r == nil {
		r = &modelRow{cells: map[string]modelCell{}}
		m.rows[name] = r
	}
	return r
}

// write does what Write has to do.
func (m *model) write(b *online.WriteBatch) (res online.WriteResult) {
	for i, key := range b.Keys {
		row := m.row(b.Table, key)
		stored, exists, wrote := row.event, len(row.cells) > 0, false
		for f, field := range b.Table.Features {
			if m.h.FeatureTimes {
				c, ok := row.cells[field.Name]
				stored, exists = c.event, ok
			}
			order := b.Event[i].Compare(stored)
			if exists && !b.Overwrite && (order < 0 || order == 0 && m.h.EqualSkipped) {
				continue
			}
			row.cells[field.Name] = modelCell{b.AppendValue(nil, i, f), b.Event[i]}
			wrote = true
		}
		if wrote {
			row.event = b.Event[i]
			res.Written++
		} else {
			res.Older++
		}
	}
	return res
}

// delete does what Delete has to do.
func (m *model) delete(t *online.Table, keys [][]byte) {
	for _, key := range keys {
		delete(m.rows, t.StoredView()+"\x00"+string(key))
	}
}

// check compares a result with what the plan has to find. Where features have times of their own, a store need not know
// of a row of which nothing was asked for.
func (m *model) check(plan *online.ReadPlan, keys *online.Keys, res *online.Result) string {
	var d differences
	for g, tables := range plan.Groups() {
		byRow := make([][]byte, res.Rows())
		for _, k := range keys.Group(g) {
			byRow[k.Row] = k.Bytes
		}
		for _, t := range tables {
			for row, key := range byRow {
				want := m.row(t, key)
				asked := false
				for f, field := range t.Features {
					cell, ok := want.cells[field.Name]
					asked = asked || ok
					event := want.event
					if m.h.FeatureTimes {
						event = cell.event
					}
					exp := types.NewColumn(field.Name, field.Type, 1)
					if ok {
						if err := exp.SetValue(0, cell.value); err != nil {
							panic("onlinetest: " + err.Error())
						}
					}
					got := res.Column(t, f)
					w, g := exp.AppendValue(nil, 0), got.AppendValue(nil, row)
					if exp.Status(0) != got.Status(row) || !bytes.Equal(w, g) {
						d.add("%s.%s, row %d: got %s %x, want %s %x",
							t.View, field.Name, row, got.Status(row), g, exp.Status(0), w)
					}
					if g := res.Event(t, row, f); g != event && (ok || !m.h.FeatureTimes) {
						d.add("%s.%s, row %d: got event time %v, want %v", t.View, field.Name, row, g, event)
					}
				}
				exists := len(want.cells) > 0
				if found := res.Found(t, row); found != exists && (asked || found || !m.h.FeatureTimes) {
					d.add("%s, row %d: found %t, want %t", t.View, row, found, exists)
				}
			}
		}
	}
	return d.String()
}

// generator makes random tables, batches and plans, the same in every run.
type generator struct {
	*rand.Rand
	values map[types.Type][]goldenValue
	types  []types.Type
	// declared: values and keys are of the declared types, and every batch has one.
	declared bool
	sets     []keySet
}

// keySet is entities, and the tables that they are keys of.
type keySet struct {
	tables []*online.Table
	keys   [][]byte
}

func newGenerator(b *bed) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(0, 67)), values: valuesByType(), types: allTypes()}
	if b.h.JSON {
		g.types = []types.Type{types.Int64, types.String, types.Bool, types.StringList, types.Int64List}
		g.declared = true
	}
	var drivers, customers, pairs [][]byte
	for i := range 8 {
		drivers = append(drivers, id(i))
		customers = append(customers, Key("customer_id", fmt.Sprint("c", i)))
		pairs = append(pairs, Key("driver_id", int64(i/2), "customer_id", fmt.Sprint("c", i%2)))
	}
	customerID, pairIDs := []string{"customer_id"}, []string{"customer_id", "driver_id"}
	dummyID := []string{online.DummyJoinKey}
	g.sets = []keySet{
		{[]*online.Table{g.table(b, "stats", driverID), g.table(b, "trips", driverID), g.table(b, "cars", driverID)}, drivers},
		{[]*online.Table{g.table(b, "profile", customerID)}, customers},
		{[]*online.Table{g.table(b, "pair", pairIDs), g.table(b, "rides", pairIDs)}, pairs},
		{[]*online.Table{g.table(b, "global", dummyID)}, [][]byte{Key(online.DummyJoinKey, "")}},
	}
	return g
}

func (g *generator) table(b *bed, view string, joinKeys []string) *online.Table {
	var fields []types.Field
	for i := range 1 + g.IntN(8) {
		fields = append(fields, types.Field{Name: fmt.Sprint("f", i), Type: g.types[g.IntN(len(g.types))]})
	}
	return b.created(view, joinKeys, fields...)
}

// some returns a random part of n things, in random order.
func (g *generator) some(n int) []int { return g.Perm(n)[:g.IntN(n+1)] }

// pick returns some features of a table, at least one.
func (g *generator) pick(t *online.Table, names ...string) *online.Table {
	for _, i := range g.some(len(t.Features)) {
		names = append(names, t.Features[i].Name)
	}
	if len(names) == 0 {
		names = append(names, t.Features[0].Name)
	}
	return Pick(t, names...)
}

// batch returns rows of some features of some table.
func (g *generator) batch() *online.WriteBatch {
	set := g.sets[g.IntN(len(g.sets))]
	t := g.pick(set.tables[g.IntN(len(set.tables))])
	var rows []Row
	for range 1 + g.IntN(6) {
		row := Row{Key: set.keys[g.IntN(len(set.keys))], Event: at(g.Int64N(20))}
		for _, f := range t.Features {
			typ := f.Type
			if g.IntN(10) == 0 && !g.declared {
				typ = g.types[g.IntN(len(g.types))]
			}
			var v any
			if golden := g.values[typ]; g.IntN(6) > 0 || g.declared && len(rows)+len(row.Values) == 0 {
				v = Value(golden[g.IntN(len(golden))].Hex)
			}
			row.Values = append(row.Values, v)
		}
		rows = append(rows, row)
	}
	b := Batch(t, rows...)
	b.Overwrite = g.IntN(8) == 0
	return b
}

// deletion returns some keys of some table.
func (g *generator) deletion() (t *online.Table, keys [][]byte) {
	set := g.sets[g.IntN(len(g.sets))]
	for _, i := range g.some(len(set.keys)) {
		keys = append(keys, set.keys[i])
	}
	return set.tables[g.IntN(len(set.tables))], keys
}

// plan returns a read of some tables, its keys, and how many rows they need.
func (g *generator) plan() (*online.ReadPlan, *online.Keys, int) {
	var groups [][]*online.Table
	var keys [][]online.Key
	rows := 1 + g.IntN(12)
	for range g.IntN(5) {
		set := g.sets[g.IntN(len(g.sets))] // maybe again: a view may be read by two keys of an entity
		var tables []*online.Table
		for _, i := range g.some(len(set.tables)) {
			if g.IntN(4) == 0 {
				tables = append(tables, g.pick(set.tables[i], "never_written"))
			} else {
				tables = append(tables, g.pick(set.tables[i]))
			}
		}
		places := g.Perm(rows)
		var group []online.Key
		for i, k := range g.some(len(set.keys)) {
			if i < rows {
				group = append(group, online.Key{Bytes: set.keys[k], Row: places[i]})
			}
		}
		if len(group) < rows && g.IntN(2) == 0 {
			nobody := any("nobody")
			if g.declared {
				nobody = int64(-1)
			}
			group = append(group, online.Key{Bytes: Key("driver_id", nobody), Row: places[len(group)]})
		}
		groups, keys = append(groups, tables), append(keys, group)
	}
	return online.NewReadPlan(groups...), online.NewKeys(keys...), rows
}

// random: after random batches and deletions, reads answer as a model of the store does.
func random(b *bed) {
	g := newGenerator(b)
	m := &model{h: b.h, rows: map[string]*modelRow{}}
	for round := range 60 {
		for range g.IntN(4) {
			batch := g.batch()
			b.write(batch, m.write(batch))
		}
		if !b.h.NoDelete && g.IntN(4) == 0 {
			t, keys := g.deletion()
			b.delete(t, keys...)
			m.delete(t, keys)
		}
		plan, keys, rows := g.plan()
		if diff := m.check(plan, keys, b.read(plan, rows, keys)); diff != "" {
			b.Errorf("round %d: %s", round, diff)
		}
		if b.Failed() {
			b.Fatalf("stopped in round %d", round)
		}
	}
}
