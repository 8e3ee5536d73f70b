package plan

import (
	"testing"

	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
)

// TestNames: a plan says by which names a server finds a view, where names lead to it.
func TestNames(t *testing.T) {
	b := memory.New()
	source := &registry.DataSource{Name: "s", TimestampField: "ts", Options: registry.FileOptions{Path: "s.parquet"}}
	fields := []registry.Field{{Name: "f", Type: types.Int64}}
	view := &registry.FeatureView{Name: "v", Entities: []string{"e"}, EntityColumns: []registry.Field{{Name: "k", Type: types.Int64}}, Schema: fields, Source: source}
	err := b.Put(t.Context(), "p", &registry.Entity{Name: "e", JoinKey: "k", ValueType: types.Int64}, source, view,
		&registry.FeatureService{Name: "mapped", Features: []registry.FeatureViewProjection{{Name: "v", Features: fields, JoinKeyMap: map[string]string{"k": "o"}}}},
		&registry.FeatureService{Name: "alias", Features: []registry.FeatureViewProjection{{Name: "v", Alias: "a", Features: fields, JoinKeyMap: map[string]string{"k": "o"}}}})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := registry.New(b, "p", registry.Options{}).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		query                     Query
		view, alias, key, feature string
	}{
		"reference":                     {Query{Features: []string{"v:f"}}, "v", "", "k", "f"},
		"a map without an alias":        {Query{Service: "mapped"}, "", "", "o", "f"},
		"an alias":                      {Query{Service: "alias", FullNames: true}, "v", "a", "o", "a__f"},
		"a reference to the projection": {Query{Features: []string{"a:f"}, FullNames: true, Projections: []registry.FeatureViewProjection{{Name: "v", Alias: "a", JoinKeyMap: map[string]string{"k": "o"}}}}, "v", "a", "o", "a__f"},
	} {
		p, err := ResolveHistorical(snap, test.query, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if v := p.Views[0]; v.View != test.view || v.Alias != test.alias || v.Keys[0].Entity != test.key || v.Features[0].Name != test.feature || p.FullNames != test.query.FullNames {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
