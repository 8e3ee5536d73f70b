package online

import (
	"strconv"
	"strings"

	"github.com/feastgo/feast/types"
)

// Table is one stored feature view as a read or write sees it. It is immutable once it is part of a plan.
type Table struct {
	Project  string
	View     string            // the view's own name, never a projection's alias
	Version  int               // 0: the bare name
	Entities []string          // entity names, as the view lists them
	JoinKeys []string          // stored join keys, sorted by code point
	Features []types.Field     // read: those requested; write: those present; Update, Delete: all
	Tags     map[string]string // the view's tags

	// Event and Created are the columns of times in the view's batch source, for stores that are fed as the source is. Only
	// tables that are written have them; Event is empty for an on-demand view, Created where the source has none.
	Event, Created string

	group, index int // place in the plan
	first        int // number of the first feature among all the plan's
}

// VectorPrefix begins the name of the view under which the precomputed vectors of a feature service are stored. The name of the
// service follows.
const VectorPrefix = "__precomputed__"

// HasVectors reports whether the table holds precomputed vectors. They are made of other rows of the same entities: where a
// write prolongs the life of all that is stored of an entity, a write of vectors does not.
func (t *Table) HasVectors() bool { return strings.HasPrefix(t.View, VectorPrefix) }

// StoredView is the name under which the view's rows are kept: its own, with "_vN" for a version N > 0.
func (t *Table) StoredView() string {
	if t.Version > 0 {
		return t.View + "_v" + strconv.Itoa(t.Version)
	}
	return t.View
}

// ID is the table name that Feast's SQL stores use: project, underscore, stored view.
func (t *Table) ID() string { return t.Project + "_" + t.StoredView() }

// Group returns the number of the table's key set in its plan.
func (t *Table) Group() int { return t.group }

// ReadPlan is one read of several tables. The tables of a group share a key set. A plan is immutable.
type ReadPlan struct {
	tables []*Table
	groups [][]*Table
	fields []types.Field // all features, table by table
	all    *ReadPlan     // the plan that this one selects from, itself when it is whole
}

// NewReadPlan makes a plan of groups of tables. The tables must be part of no other plan.
func NewReadPlan(groups ...[]*Table) *ReadPlan {
	p := &ReadPlan{groups: groups}
	p.all = p
	for g, tables := range groups {
		for _, t := range tables {
			t.group, t.index, t.first = g, len(p.tables), len(p.fields)
			p.tables = append(p.tables, t)
			p.fields = append(p.fields, t.Features...)
		}
	}
	return p
}

// Tables returns the tables of all groups. The slice must not be changed.
func (p *ReadPlan) Tables() []*Table { return p.tables }

// Groups returns the tables by key set; a group may be empty. The slices must not be changed.
func (p *ReadPlan) Groups() [][]*Table { return p.groups }

// Select returns the plan of those tables for which keep is true. Groups keep their numbers, so that the same keys serve,
// and tables their columns, so that the same result does.
func (p *ReadPlan) Select(keep func(*Table) bool) *ReadPlan {
	s := &ReadPlan{groups: make([][]*Table, len(p.groups)), all: p.all}
	for g, tables := range p.groups {
		for _, t := range tables {
			if keep(t) {
				s.groups[g] = append(s.groups[g], t)
				s.tables = append(s.tables, t)
			}
		}
	}
	return s
}

// Key is one distinct entity of a key set.
type Key struct {
	Bytes []byte // serialized entity key
	Row   int    // the row of the result that it fills
}

// Keys are the entities of a read: for each key set the distinct ones, in order of first appearance.
type Keys struct {
	groups [][]Key
}

// NewKeys makes keys from the entities of each key set, which it keeps.
func NewKeys(groups ...[]Key) *Keys { return &Keys{groups} }

// Reset makes k the keys of these key sets, which it keeps.
func (k *Keys) Reset(groups [][]Key) { k.groups = groups }

// Group returns the entities of key set g. They must not be changed and are valid during the read.
func (k *Keys) Group(g int) []Key { return k.groups[g] }

// Len returns the number of entities of all key sets.
func (k *Keys) Len() int {
	n := 0
	for _, g := range k.groups {
		n += len(g)
	}
	return n
}

// Clone returns a copy that shares no memory with k, for reads that outlive the call.
func (k *Keys) Clone() *Keys {
	size, n := 0, 0
	for _, g := range k.groups {
		for _, key := range g {
			size += len(key.Bytes)
		}
		n += len(g)
	}
	buf, keys := make([]byte, 0, size), make([]Key, 0, n)
	c := &Keys{groups: make([][]Key, len(k.groups))}
	for i, g := range k.groups {
		from := len(keys)
		for _, key := range g {
			start := len(buf)
			buf = append(buf, key.Bytes...)
			keys = append(keys, Key{buf[start:len(buf):len(buf)], key.Row})
		}
		c.groups[i] = keys[from:len(keys):len(keys)]
	}
	return c
}
