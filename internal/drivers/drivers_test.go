package drivers

import (
	"slices"
	"testing"
)

func TestTable(t *testing.T) {
	var table Table[int]
	if d, ok := table.Get("a"); ok || d != 0 || len(table.Names()) != 0 {
		t.Errorf("an empty table has %d, %t, %v", d, ok, table.Names())
	}
	for _, c := range []struct {
		names []string
		taken string
	}{
		{[]string{"b", "class.B"}, ""},
		{[]string{"a"}, ""},
		{[]string{"c", "class.B"}, "class.B"}, // and c is not known either
	} {
		if taken := table.Add(c.names, len(c.names)); taken != c.taken {
			t.Errorf("%v: %q is taken, want %q", c.names, taken, c.taken)
		}
	}
	for name, want := range map[string]int{"a": 1, "b": 2, "class.B": 2, "c": 0} {
		if d, ok := table.Get(name); d != want || ok != (want > 0) {
			t.Errorf("%s: %d, %t, want %d", name, d, ok, want)
		}
	}
	if got := table.Names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("names %v", got)
	}
	table.Remove([]string{"b", "class.B"})
	if _, ok := table.Get("class.B"); ok || !slices.Equal(table.Names(), []string{"a"}) {
		t.Errorf("b is still there: %v", table.Names())
	}
}
