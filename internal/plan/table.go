package plan

import (
	"fmt"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Entities finds an entity by its name: [registry.Snapshot.Entity], or what finds it among objects being applied.
type Entities func(name string) (*registry.Entity, error)

// StoredTable returns the table that keeps the rows of a version of a view, with all its features, and the entity key of
// its rows, whose request names are the stored ones. keyVersion is the entity key serialization.
func StoredTable(v registry.View, version int, project string, entities Entities, keyVersion int) (*online.Table, KeySet, error) {
	info := v.Info()
	set, err := keySet(&info, entities, keyVersion)
	if err != nil {
		return nil, set, fmt.Errorf("feature view %q: %w", info.Name, err)
	}
	t := &online.Table{
		Project: project, View: info.Name, Version: version,
		Entities: info.Entities, JoinKeys: set.Encoding.JoinKeys(), Tags: info.Tags,
		Features: make([]types.Field, len(info.Features)),
	}
	if len(t.Entities) == 0 {
		t.Entities = []string{online.DummyEntity}
	}
	for i, f := range info.Features {
		t.Features[i] = types.Field{Name: f.Name, Type: f.Type}
	}
	return t, set, nil
}

// keySet resolves the join keys of a view.
func keySet(info *registry.ViewInfo, entities Entities, keyVersion int) (KeySet, error) {
	set := KeySet{View: info.Name}
	var err error
	if len(info.Entities) == 0 {
		set.Encoding, err = online.NewKeyEncoding(keyVersion, []string{online.DummyJoinKey})
		set.Keys = []JoinKey{{Stored: online.DummyJoinKey, Type: types.String}}
		return set, err
	}
	var stored []string
	typeOf := map[string]types.Type{}
	for _, name := range info.Entities {
		e, err := entities(name)
		if err != nil {
			return set, err
		}
		stored = append(stored, e.Key())
		typeOf[e.Key()] = e.ValueType
	}
	for _, c := range info.EntityColumns {
		if _, ok := typeOf[c.Name]; ok && c.Type != types.Invalid {
			typeOf[c.Name] = c.Type
		}
	}
	if set.Encoding, err = online.NewKeyEncoding(keyVersion, stored); err != nil {
		return set, err
	}
	for _, k := range set.Encoding.JoinKeys() {
		set.Keys = append(set.Keys, JoinKey{Stored: k, Request: k, Type: typeOf[k]})
	}
	return set, nil
}

// rename makes the key set that of a projection: its name, and its names of the join keys.
func (s *KeySet) rename(projection string, keyMap map[string]string) {
	s.View = projection
	for i := range s.Keys {
		if to, ok := keyMap[s.Keys[i].Stored]; ok && s.Keys[i].Request != "" {
			s.Keys[i].Request = to
		}
	}
}
