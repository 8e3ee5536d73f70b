package plan

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
)

// Materialization says how rows of a view get from its batch source to the online store. It is immutable.
type Materialization struct {
	*Write
	scan offline.ScanPlan
}

// Scan reads the newest row of each key between two event times, both included. Its columns have the names that the view
// knows them by, and so does Bind.
func (m *Materialization) Scan(start, end time.Time) *offline.ScanPlan {
	s := m.scan
	s.Start, s.End = start.UTC(), end.UTC()
	return &s
}

// ResolveMaterialization resolves the materialization of a view, or, if pinned, of a version of it. It does no I/O.
func ResolveMaterialization(snap *registry.Snapshot, v registry.View, pinned bool, o Options) (*Materialization, error) {
	info := v.Info()
	s := info.Source
	switch {
	case pinned && !o.Store.Versioned:
		return nil, oneVersion(info.Name, info.CurrentVersion, o.Store)
	case s == nil:
		return nil, feasterr.Unsupported("feature view %q has no batch source from which it could be materialized", info.Name)
	case s.TimestampField == "":
		return nil, noTimestampField(s, info.Name)
	}
	w, err := ResolveWrite(snap, v, false, o)
	if err != nil {
		return nil, err
	}
	physical := physicalNames(s)
	column := func(name string) offline.Column { return offline.Column{Source: physical(name), Name: name} }
	m := &Materialization{Write: w, scan: offline.ScanPlan{Name: info.Name, Source: OfflineSource(s), Event: column(w.Event)}}
	read := []string{w.Event}
	if w.Created != "" {
		m.scan.Created = column(w.Created)
		read = append(read, w.Created)
	}
	for _, k := range w.keyFields {
		m.scan.Keys = append(m.scan.Keys, column(k.Name))
		read = append(read, k.Name)
	}
	for _, f := range w.Table.Features {
		if !slices.Contains(read, f.Name) { // or it comes along already
			m.scan.Features = append(m.scan.Features, column(f.Name))
		}
	}
	return m, nil
}

// Materializable finds the views to materialize: those of these names, or all that are served online, feature views first.
// Of the latter, those whose rows cannot be computed here are skipped: of them the names. On-demand views come last. All
// problems are reported together. A version is that of the one view named; of the options versions and functions matter.
func Materializable(snap *registry.Snapshot, names []string, version string, o Options) (views []registry.View, skipped []string, err error) {
	switch {
	case version == "":
	case len(names) != 1:
		return nil, nil, feasterr.Invalid("version %s of %d views: give the name of the one view that is meant", version, len(names))
	case !o.Versioning:
		return nil, nil, versionsOff(fmt.Sprintf("version %s of feature view %q is to be materialized", version, names[0]))
	}
	functions := o.Functions
	if len(names) == 0 {
		for _, kind := range []registry.Kind{registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView} {
			for v := range snap.Views() {
				info := v.Info()
				od, onDemand := v.(*registry.OnDemandFeatureView)
				switch {
				case info.Kind != kind || info.Disabled:
				case onDemand && !od.WriteToOnlineStore, !onDemand && !info.Online:
				case onDemand && materializableComputed(od, functions) != nil, !onDemand && computed(v):
					skipped = append(skipped, info.Name)
				default:
					views = append(views, v)
				}
			}
		}
		return views, skipped, nil
	}
	var errs []error
	for i, name := range names {
		v, err := snap.ViewAt(name, version)
		if err == nil {
			err = materializable(v, functions)
		}
		if err == nil && slices.Contains(names[:i], name) {
			err = feasterr.Invalid("feature view %q is named twice", name)
		}
		if err == nil && version != "" && v.Info().Kind == registry.KindOnDemandFeatureView {
			err = feasterr.Unsupported("version %s of on-demand feature view %q: its Go function computes what the view is now; leave the version out", version, name)
		}
		views, errs = append(views, v), append(errs, err)
	}
	return views, nil, errors.Join(errs...)
}

// materializable says why a view that was named cannot be materialized.
func materializable(v registry.View, functions map[string]*Function) error {
	info := v.Info()
	switch {
	case info.Kind == registry.KindLabelView:
		return feasterr.Invalid("label view %q cannot be materialized: labels are written by pushing them", info.Name)
	case info.Disabled:
		return feasterr.Invalid("feature view %q is disabled: enable it and apply it", info.Name)
	case info.Kind == registry.KindOnDemandFeatureView:
		od := v.(*registry.OnDemandFeatureView)
		if !od.WriteToOnlineStore {
			return feasterr.Invalid("on-demand feature view %q is computed when it is read: only one with write_to_online_store is materialized", info.Name)
		}
		return materializableComputed(od, functions)
	case !info.Online:
		return feasterr.Invalid("feature view %q is not served online: set Online and apply it", info.Name)
	case computed(v):
		return feasterr.Unsupported("feature view %q is computed by a Python function or of other views: materialize it with Feast", info.Name)
	}
	return nil
}

// materializableComputed says why an on-demand view cannot be computed from what is stored offline.
func materializableComputed(v *registry.OnDemandFeatureView, functions map[string]*Function) error {
	switch {
	case functions[v.Name] == nil:
		return feasterr.Unsupported("on-demand feature view %q has no Go function: register one with feast.WithTransformation(%q, ...), materialize it with Feast, or write its values with WriteToOnlineStore", v.Name, v.Name)
	case len(v.RequestSources) > 0:
		return feasterr.Unsupported("on-demand feature view %q is computed of request data, which nothing stored has: write its values with WriteToOnlineStore", v.Name)
	}
	return nil
}

// ComputedMaterialization says how the rows of an on-demand view are computed of the rows of its source views. It is
// immutable.
type ComputedMaterialization struct {
	*Write
	Join    *Historical   // of the source views, with full names
	Keys    []string      // of all source views
	Columns []string      // by input of the function: the column of the joined rows
	TTL     time.Duration // the longest of the source views
}

// ResolveComputedMaterialization resolves the materialization of an on-demand view. It does no I/O.
func ResolveComputedMaterialization(snap *registry.Snapshot, v *registry.OnDemandFeatureView, o Options) (*ComputedMaterialization, error) {
	if err := materializableComputed(v, o.Functions); err != nil {
		return nil, err
	}
	w, err := ResolveWrite(snap, v, false, o)
	if err != nil {
		return nil, err
	}
	q := Query{FullNames: true}
	for _, f := range w.Computed.Outputs {
		q.Features = append(q.Features, v.Name+":"+f.Name)
	}
	h, err := ResolveHistorical(snap, q, o)
	if err != nil {
		return nil, err
	}
	m := &ComputedMaterialization{Write: w, Join: h, Columns: h.Computed[0].Columns}
	h.Computed = nil // writing computes
	for _, s := range h.Views {
		m.TTL = max(m.TTL, s.TTL)
	}
	if m.Keys, err = h.Keys(); err != nil {
		return nil, feasterr.Unsupported("on-demand feature view %q can be materialized of source views that all have the same join keys: write its values with WriteToOnlineStore", v.Name)
	}
	return m, nil
}

// computed reports whether the rows of a view are not those of its batch source.
func computed(v registry.View) bool {
	switch v := v.(type) {
	case *registry.FeatureView:
		return v.Transformation != nil || len(v.SourceViews) > 0
	case *registry.StreamFeatureView:
		return v.Transformation != nil || len(v.Aggregations) > 0
	}
	return false
}

// Intervals returns the spans of time that a view was materialized for.
func Intervals(v registry.View) []registry.Interval {
	switch v := v.(type) {
	case *registry.FeatureView:
		return v.MaterializationIntervals
	case *registry.StreamFeatureView:
		return v.MaterializationIntervals
	}
	return nil
}
