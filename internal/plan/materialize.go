package plan

import (
	"errors"
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

// ResolveMaterialization resolves the materialization of a view. It does no I/O.
func ResolveMaterialization(snap *registry.Snapshot, v registry.View, o Options) (*Materialization, error) {
	info := v.Info()
	s := info.Source
	switch {
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
// Of the latter, those whose rows only Feast can compute are skipped: of them the names. All problems are reported together.
func Materializable(snap *registry.Snapshot, names []string) (views []registry.View, skipped []string, err error) {
	if len(names) == 0 {
		for _, kind := range []registry.Kind{registry.KindFeatureView, registry.KindStreamFeatureView, registry.KindOnDemandFeatureView} {
			for v := range snap.Views() {
				info := v.Info()
				od, onDemand := v.(*registry.OnDemandFeatureView)
				switch {
				case info.Kind != kind || info.Disabled:
				case onDemand && od.WriteToOnlineStore, !onDemand && info.Online && computed(v):
					skipped = append(skipped, info.Name)
				case !onDemand && info.Online:
					views = append(views, v)
				}
			}
		}
		return views, skipped, nil
	}
	var errs []error
	for _, name := range names {
		v, err := snap.View(name)
		if err == nil {
			err = materializable(v)
		}
		views, errs = append(views, v), append(errs, err)
	}
	return views, nil, errors.Join(errs...)
}

// materializable says why a view that was named cannot be materialized.
func materializable(v registry.View) error {
	info := v.Info()
	switch {
	case info.Kind == registry.KindLabelView:
		return feasterr.Invalid("label view %q cannot be materialized: labels are written by pushing them", info.Name)
	case info.Disabled:
		return feasterr.Invalid("feature view %q is disabled: enable it and apply it", info.Name)
	case info.Kind == registry.KindOnDemandFeatureView:
		if !v.(*registry.OnDemandFeatureView).WriteToOnlineStore {
			return feasterr.Invalid("on-demand feature view %q is computed when it is read: only one with write_to_online_store is materialized", info.Name)
		}
		return feasterr.Unsupported("on-demand feature view %q cannot be materialized here: materialize it with Feast, or write its values with WriteToOnlineStore", info.Name)
	case !info.Online:
		return feasterr.Invalid("feature view %q is not served online: set Online and apply it", info.Name)
	case computed(v):
		return feasterr.Unsupported("feature view %q is computed by a Python function or of other views: materialize it with Feast", info.Name)
	}
	return nil
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
