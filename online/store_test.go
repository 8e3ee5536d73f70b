package online

import (
	"bytes"
	"context"
	"testing"

	"github.com/feastgo/feast/types"
)

// fakeStore is a store of which nothing is called.
type fakeStore struct {
	Store
	env Env
}

type wrapping struct{ Store }

func (w wrapping) Unwrap() Store { return w.Store }

type pinging struct{ Store }

func (pinging) Ping(context.Context) error { return nil }

func TestAs(t *testing.T) {
	plain, inner := &fakeStore{}, pinging{}
	if _, ok := As[Pinger](plain); ok {
		t.Error("a store that cannot ping is a Pinger")
	}
	if got, ok := As[Pinger](inner); !ok || got != Pinger(inner) {
		t.Errorf("a Pinger itself: %v, %t", got, ok)
	}
	if got, ok := As[Pinger](wrapping{wrapping{inner}}); !ok || got != Pinger(inner) {
		t.Errorf("a wrapped Pinger: %v, %t", got, ok)
	}
	outer := pinging{wrapping{inner}}
	if got, ok := As[Pinger](outer); !ok || got != Pinger(outer) {
		t.Errorf("the outermost of several: %v, %t", got, ok)
	}
	if _, ok := As[Pinger](wrapping{plain}); ok {
		t.Error("a wrapped store that cannot ping is a Pinger")
	}
	if got, ok := As[Pinger](nil); ok || got != nil {
		t.Errorf("no store: %v, %t", got, ok)
	}
}

func TestWriteBatch(t *testing.T) {
	table := testTable("stats", types.Field{Name: "a", Type: types.Int64}, types.Field{Name: "b", Type: types.String})
	a, b := types.NewColumn("a", types.Int64, 2), types.NewColumn("b", types.String, 2)
	a.SetInt64(1, 7)
	b.Clear(1, types.NullValue)
	batch := WriteBatch{Table: table, Keys: [][]byte{{1}, {2}}, Columns: []*types.Column{a, b}}
	if batch.Rows() != 2 {
		t.Errorf("got %d rows, want 2", batch.Rows())
	}
	for _, c := range []struct {
		row, feature int
		want         []byte
	}{{0, 0, nil}, {1, 0, intValue(7)}, {0, 1, nil}, {1, 1, nil}} {
		if got := batch.AppendValue([]byte("x"), c.row, c.feature); !bytes.Equal(got, append([]byte("x"), c.want...)) {
			t.Errorf("row %d, feature %d: got %x, want %x", c.row, c.feature, got[1:], c.want)
		}
	}
}
