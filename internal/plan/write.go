package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Write says where rows of a view go and what they must bring. It is immutable.
type Write struct {
	Table   *online.Table // with all of the view's features
	Key     *online.KeyEncoding
	Event   string // column of the event time; empty for on-demand views, whose rows are of the time they are written
	Created string // column of the created time, empty when the source has none
	Vectors []Vector
	// Computed is how the values of an on-demand view come about; nil: they are given.
	Computed *Computed

	mapped    map[string]string // column to the source's name of it
	keyFields []types.Field
}

// KeyFields returns the join keys as columns, none for a view without entities. A type that no view declares is
// [types.Invalid]. The slice must not be changed.
func (w *Write) KeyFields() []types.Field { return w.keyFields }

// Vector is a feature that is searched by, the values of which have one length.
type Vector struct {
	Feature int // of Table.Features
	Length  int // 0: that of the first row
}

// DefaultEventColumn is the event time column of views whose source names none.
const DefaultEventColumn = "event_timestamp"

// ResolveWrite resolves a write to a view. Values of an on-demand view that has a function are computed by it unless asGiven
// is set. It does no I/O.
func ResolveWrite(snap *registry.Snapshot, v registry.View, asGiven bool, o Options) (*Write, error) {
	info := v.Info()
	od, onDemand := v.(*registry.OnDemandFeatureView)
	if onDemand && !od.WriteToOnlineStore {
		return nil, feasterr.Invalid("on-demand feature view %q is computed when it is read: only one with write_to_online_store is written", info.Name)
	}
	version := 0
	if o.Versioning && o.Store.Versioned {
		version = info.CurrentVersion
	}
	w := &Write{}
	var err error
	var set KeySet
	if w.Table, set, err = StoredTable(v, version, snap.ProjectName(), snap.Entity, o.KeyVersion); err != nil {
		return nil, err
	}
	w.Key = set.Encoding
	for _, k := range set.Keys {
		if k.Request != "" { // not the dummy key
			w.keyFields = append(w.keyFields, types.Field{Name: k.Stored, Type: k.Type})
		}
	}
	for i, f := range info.Features {
		if f.VectorIndex && f.Type.Elem() != types.Invalid {
			w.Vectors = append(w.Vectors, Vector{i, f.VectorLength})
		}
	}
	if onDemand {
		if !asGiven && o.Functions[od.Name] != nil {
			w.Computed, err = ResolveComputed(snap, od, o)
		}
		return w, err
	}
	w.Event = DefaultEventColumn
	if src := info.Source; src != nil {
		if src.TimestampField != "" {
			w.Event = src.TimestampField
		}
		w.Created = src.CreatedTimestampColumn
		for from, to := range src.FieldMapping {
			if w.mapped == nil {
				w.mapped = map[string]string{}
			}
			if was, ok := w.mapped[to]; !ok || from < was {
				w.mapped[to] = from
			}
		}
	}
	w.Table.Event, w.Table.Created = w.Event, w.Created
	return w, nil
}

// WriteLayout says which column of a frame is what, for frames whose columns have the same names in the same order. It is
// immutable.
type WriteLayout struct {
	Names          []string // the frame's columns
	Keys           []int    // by join key; none for a view without entities
	Features       []int    // by feature; -1: it is computed, or null
	Inputs         []int    // by input of the function that computes features
	Computed       []int    // by output of the function: the feature
	Event, Created int      // -1: there is none
}

// Bind lays the columns of a frame out. A column that the source maps to another name is found by either, not
// both; columns that nobody needs are left out. All that are missing are named at once. With keysOnly, only the join
// keys are looked for.
func (w *Write) Bind(names []string, keysOnly bool) (*WriteLayout, error) {
	l := &WriteLayout{Names: slices.Clone(names), Event: -1, Created: -1}
	var missing []string
	var twice error
	find := func(name string) int {
		i := slices.Index(names, name)
		if from, ok := w.mapped[name]; ok {
			j := slices.Index(names, from)
			switch {
			case i < 0:
				i = j
			case j >= 0 && twice == nil && !w.needs(from):
				twice = &feasterr.RequestError{
					Column: name, Row: -1,
					Msg: fmt.Sprintf("the rows also have column %q, which the source of feature view %q maps to it: give one of the two", from, w.Table.View),
				}
			}
		}
		if i < 0 && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return i
	}
	for _, k := range w.keyFields {
		l.Keys = append(l.Keys, find(k.Name))
	}
	if !keysOnly {
		if w.Computed != nil {
			w.bindComputed(l, find)
		} else {
			for _, f := range w.Table.Features {
				l.Features = append(l.Features, find(f.Name))
			}
		}
		if w.Event != "" {
			l.Event = find(w.Event)
		}
		if w.Created != "" {
			l.Created = find(w.Created)
		}
	}
	if twice != nil {
		return nil, twice
	}
	if len(missing) == 0 {
		return l, nil
	}
	what := "columns"
	if len(missing) == 1 {
		what = "column"
	}
	return nil, &feasterr.RequestError{
		Column: missing[0], Row: -1,
		Msg: fmt.Sprintf("feature view %q needs %s %s, and the rows have no such %s (given are %s)",
			w.Table.View, what, strings.Join(missing, ", "), what, strings.Join(names, ", ")),
	}
}

// needs reports whether rows must have a column of that name.
func (w *Write) needs(name string) bool {
	named := func(f types.Field) bool { return f.Name == name }
	return name == w.Event || name == w.Created || slices.ContainsFunc(w.keyFields, named) || slices.ContainsFunc(w.Table.Features, named)
}

// bindComputed lays out what a function reads, which find looks up, and computes. Features that it does not compute are the
// rows' own, or null.
func (w *Write) bindComputed(l *WriteLayout, find func(string) int) {
	for i := range w.Computed.Inputs {
		in := &w.Computed.Inputs[i]
		at := slices.Index(l.Names, in.Name)
		if at < 0 {
			at = find(in.Bare())
		}
		l.Inputs = append(l.Inputs, at)
	}
	for _, f := range w.Table.Features {
		l.Features = append(l.Features, slices.Index(l.Names, f.Name))
	}
	for _, out := range w.Computed.Outputs {
		i := slices.IndexFunc(w.Table.Features, func(f types.Field) bool { return f.Name == out.Name })
		l.Features[i] = -1
		l.Computed = append(l.Computed, i)
	}
}
