package online

import (
	"reflect"
	"testing"

	"github.com/feastgo/feast/types"
)

func testTable(view string, features ...types.Field) *Table {
	return &Table{Project: "proj", View: view, JoinKeys: []string{"id"}, Features: features}
}

func TestTableNames(t *testing.T) {
	for _, c := range []struct {
		version  int
		view, id string
	}{{0, "stats", "proj_stats"}, {1, "stats_v1", "proj_stats_v1"}, {12, "stats_v12", "proj_stats_v12"}} {
		table := Table{Project: "proj", View: "stats", Version: c.version}
		if table.StoredView() != c.view || table.ID() != c.id {
			t.Errorf("version %d: got %s, %s, want %s, %s", c.version, table.StoredView(), table.ID(), c.view, c.id)
		}
	}
}

func TestReadPlan(t *testing.T) {
	a := testTable("a", types.Field{Name: "x", Type: types.Int64})
	b := testTable("b")
	c := testTable("c", types.Field{Name: "y", Type: types.String})
	p := NewReadPlan([]*Table{a, b}, nil, []*Table{c})
	if got := p.Tables(); !reflect.DeepEqual(got, []*Table{a, b, c}) {
		t.Errorf("tables: %v", got)
	}
	for _, table := range []struct {
		t     *Table
		group int
	}{{a, 0}, {b, 0}, {c, 2}} {
		if table.t.Group() != table.group {
			t.Errorf("group of %s: got %d, want %d", table.t.View, table.t.Group(), table.group)
		}
	}

	s := p.Select(func(t *Table) bool { return t != a })
	if got := s.Tables(); !reflect.DeepEqual(got, []*Table{b, c}) {
		t.Errorf("selected tables: %v", got)
	}
	if got := s.Groups(); !reflect.DeepEqual(got, [][]*Table{{b}, nil, {c}}) {
		t.Errorf("selected groups: %v", got)
	}
	// A result of a selection, also of one of a selection, has the columns of the whole plan.
	last := s.Select(func(t *Table) bool { return t == c })
	res := NewResult(last, 1)
	res.Row(c, 0, types.Timestamp{Seconds: 1})
	if err := res.Set(c, 0, 0, []byte("\x12\x02ok")); err != nil {
		t.Fatal(err)
	}
	if res.Column(a, 0).Name() != "x" || res.Column(c, 0).Any(0) != "ok" || res.Found(a, 0) || !res.Found(c, 0) {
		t.Errorf("result of a selection: %v, %v", res.Column(a, 0), res.Column(c, 0).Any(0))
	}
	if got := p.Tables(); !reflect.DeepEqual(got, []*Table{a, b, c}) {
		t.Errorf("tables after Select: %v", got)
	}
}

func TestKeys(t *testing.T) {
	buf := []byte("onetwothree")
	keys := NewKeys([]Key{{buf[:3], 2}, {buf[3:6], 0}}, nil, []Key{{buf[6:], 1}})
	clone := keys.Clone()
	for i := range buf {
		buf[i] = '-'
	}
	want := [][]Key{{{[]byte("one"), 2}, {[]byte("two"), 0}}, {}, {{[]byte("three"), 1}}}
	for g := range want {
		if got := clone.Group(g); !reflect.DeepEqual(got, want[g]) {
			t.Errorf("group %d of the clone: got %v, want %v", g, got, want[g])
		}
		for _, k := range clone.Group(g) {
			_ = append(k.Bytes, "spilled over"...)
		}
		_ = append(clone.Group(g), Key{Row: 99})
	}
	for g := range want {
		if got := clone.Group(g); !reflect.DeepEqual(got, want[g]) {
			t.Errorf("group %d of the clone after appending to others: got %v, want %v", g, got, want[g])
		}
	}
	if keys.Len() != 3 || clone.Len() != 3 {
		t.Errorf("lengths: %d, %d, want 3", keys.Len(), clone.Len())
	}
	keys.Reset([][]Key{{{[]byte("new"), 0}}})
	if keys.Len() != 1 || clone.Len() != 3 || string(keys.Group(0)[0].Bytes) != "new" {
		t.Errorf("after Reset: %d, %d keys", keys.Len(), clone.Len())
	}
	var none Keys
	if none.Len() != 0 || none.Clone().Len() != 0 {
		t.Error("no keys have a length")
	}
}
