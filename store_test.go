package feast_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/registry"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

const project = "demo"

// newStore opens a feature store over registry objects and an online store in memory.
func newStore(t testing.TB, objects []feast.Object, opts ...feast.Option) (*feast.FeatureStore, *memory.Store, *registrymemory.Backend) {
	t.Helper()
	backend := registrymemory.New()
	put(t, backend, objects...)
	store := memory.New()
	cfg := config.Default(project)
	fs, err := feast.New(t.Context(), cfg, append([]feast.Option{feast.WithRegistry(backend), feast.WithOnlineStore(store)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return fs, store, backend
}

// put writes objects to a registry as they are.
func put(t testing.TB, b registry.Backend, objects ...feast.Object) {
	t.Helper()
	putIn(t, b, project, objects...)
}

// putIn is put for any project.
func putIn(t testing.TB, b registry.Backend, project string, objects ...feast.Object) {
	t.Helper()
	_, err := b.Update(context.Background(), project, func(tx registry.Tx) error {
		for _, o := range objects {
			r, err := registry.Encode(project, o)
			if err != nil {
				return err
			}
			if err := tx.Put(context.Background(), r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// driver is the entity of most tests, and driverView a view on it.
var driver = &feast.Entity{Name: "driver", JoinKey: "driver_id", ValueType: feast.Int64}

func driverView(name string, ttl time.Duration, fields ...feast.Field) *feast.FeatureView {
	return &feast.FeatureView{
		Name: name, Entities: []string{"driver"}, TTL: ttl, Schema: fields,
		EntityColumns: []feast.Field{{Name: "driver_id", Type: feast.Int64}},
	}
}

// row is a row to write: values by feature.
type row struct {
	key    []any // by sorted join key
	event  time.Time
	values map[string]any
}

// write stores rows of a view in the order given.
func write(t testing.TB, s online.Store, v registry.View, keys []feast.Field, rows ...row) {
	t.Helper()
	info := v.Info()
	for _, r := range rows {
		names := make([]string, len(keys))
		cols := make([]*types.Column, len(keys))
		for i, k := range keys {
			names[i] = k.Name
			cols[i] = types.NewColumn(k.Name, k.Type, 1)
			if err := cols[i].SetScalar(0, r.key[i]); err != nil {
				t.Fatal(err)
			}
		}
		enc, err := online.NewKeyEncoding(3, names)
		if err != nil {
			t.Fatal(err)
		}
		key, err := enc.Append(nil, cols, 0)
		if err != nil {
			t.Fatal(err)
		}
		table := &online.Table{Project: project, View: info.Name, Version: info.CurrentVersion, Entities: info.Entities, JoinKeys: names, Tags: info.Tags}
		b := &online.WriteBatch{Table: table, Keys: [][]byte{key}, Event: []types.Timestamp{types.TimestampOf(r.event)}}
		for _, f := range info.Features {
			v, ok := r.values[f.Name]
			if !ok {
				continue
			}
			c, ready := v.(*types.Column)
			if !ready {
				c = types.NewColumn(f.Name, f.Type, 1)
			}
			if v != nil && !ready {
				if err := c.SetScalar(0, v); err != nil {
					t.Fatal(err)
				}
			}
			table.Features = append(table.Features, types.Field{Name: f.Name, Type: f.Type})
			b.Columns = append(b.Columns, c)
		}
		if _, err := s.Write(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
}

var driverKey = []feast.Field{{Name: "driver_id", Type: feast.Int64}}

// wide returns n features f0..., of type Int64, and the values of a row.
func wide(n int) (fields []feast.Field, values map[string]any) {
	values = map[string]any{}
	for i := range n {
		name := fmt.Sprintf("f%d", i)
		fields = append(fields, feast.Field{Name: name, Type: feast.Int64})
		values[name] = int64(i)<<33 + 7
	}
	return fields, values
}
