package plan

import (
	"slices"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Append says where rows of a view go in the offline store.
type Append struct {
	View   string
	Source *offline.Source
	// Event and Created are the source's names of the times; Created is empty when there are none.
	Event, Created string
	// Keys are the source's names of the join keys, in which rows have no nulls.
	Keys []string
	// Fields are the columns that the view knows, by the source's names: keys, times, features. The source may have more. A
	// type that no view declares is [types.Invalid].
	Fields []types.Field
}

// ResolveAppend resolves a write to the batch source of a view. It does no I/O.
func ResolveAppend(snap *registry.Snapshot, v registry.View) (*Append, error) {
	info := v.Info()
	s := info.Source
	switch {
	case s == nil:
		return nil, feasterr.Unsupported("feature view %q has no batch source to which rows could be written", info.Name)
	case s.TimestampField == "":
		return nil, noTimestampField(s, info.Name)
	}
	set, err := keySet(&info, snap.Entity, 3) // of which only the names are used
	if err != nil {
		return nil, err
	}
	physical := physicalNames(s)
	source, err := DescribedSource(s)
	if err != nil {
		return nil, err
	}
	source.View = info.Name
	a := &Append{View: info.Name, Source: source, Event: physical(s.TimestampField)}
	add := func(name string, typ types.Type) {
		name = physical(name)
		if !slices.ContainsFunc(a.Fields, func(f types.Field) bool { return f.Name == name }) {
			a.Fields = append(a.Fields, types.Field{Name: name, Type: typ})
		}
	}
	for _, k := range set.Keys {
		if k.Request != "" { // not the dummy key
			a.Keys = append(a.Keys, physical(k.Stored))
			add(k.Stored, k.Type)
		}
	}
	add(s.TimestampField, types.UnixTimestamp)
	if s.CreatedTimestampColumn != "" {
		a.Created = physical(s.CreatedTimestampColumn)
		add(s.CreatedTimestampColumn, types.UnixTimestamp)
	}
	for _, f := range info.Features {
		add(f.Name, f.Type)
	}
	return a, nil
}
