package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
)

// EventTimestamp is the column of the entity rows that tells their time, whatever others there are.
const EventTimestamp = "event_timestamp"

// createdTimestamp is how the created time is named where no entity rows are given, as Feast's PostgreSQL store does.
const createdTimestamp = "created_timestamp"

// noTTL is how far back rows are taken without entity rows when no view has a ttl.
const noTTL = 30 * 24 * time.Hour

// Historical is a resolved query for training data.
type Historical struct {
	// Views are those that are read, in order of first mention, each with its features in order of mention. Views that
	// only on-demand views need come last, with all features that those declare, which are answered too, as in Feast.
	Views     []offline.JoinView
	Computed  []HistoricalComputed // on-demand views, in order of first mention
	Features  []string             // references in order of mention, by projection: "renamed:conv_rate"
	FullNames bool
	names     []string // of feature columns
}

// HistoricalComputed is an on-demand view that is computed from joined rows.
type HistoricalComputed struct {
	*Computed
	Columns []string // by input of the function: the column of the rows
	Answers []HistoricalAnswer
	data    []string // columns of request data, which the entity rows have to have
}

// HistoricalAnswer is a computed column that is answered.
type HistoricalAnswer struct {
	Name   string
	Output int    // of the function
	Inner  string // completes its type, see registry.Field
}

// ResolveHistorical resolves a query for training data; of the options versions, key version and functions matter. It does no
// I/O. All problems of one kind are reported together.
func ResolveHistorical(snap *registry.Snapshot, q Query, o Options) (*Historical, error) {
	o.Store = online.Info{Versioned: true} // no store keeps a view from having its versions here
	r := &resolver{snap: snap, byName: map[string]*use{}, opts: o}
	if err := r.mention(q); err != nil {
		return nil, err
	}
	p := &Historical{FullNames: q.FullNames}
	var errs []error
	for _, u := range slices.Clone(r.uses) {
		if od, ok := u.view.(*registry.OnDemandFeatureView); ok {
			errs = append(errs, r.historicalSources(u, od))
		}
	}
	for _, u := range r.uses {
		if u.info.Kind == registry.KindOnDemandFeatureView {
			continue
		}
		view, err := r.joinView(u, q.FullNames)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.Views = append(p.Views, view)
		for _, f := range view.Features {
			p.names = append(p.names, f.Name)
		}
	}
	for _, u := range r.uses {
		if od, ok := u.view.(*registry.OnDemandFeatureView); ok && u.computed != nil {
			c, err := r.historicalComputed(u, od, q.FullNames)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			p.Computed = append(p.Computed, c)
			for _, a := range c.Answers {
				p.names = append(p.names, a.Name)
			}
		}
	}
	for _, f := range r.flat {
		p.Features = append(p.Features, f.use.name+":"+f.feature)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, r.collisions(q.FullNames)
}

// historicalSources resolves an on-demand view, which is computed here whether or not it is stored online, and adds the
// features of its sources that are not asked for.
func (r *resolver) historicalSources(u *use, od *registry.OnDemandFeatureView) (err error) {
	for _, f := range r.flat {
		if f.use == u && !hasFeature(u.info.Features, f.feature) {
			return r.noFeature(u, f.feature)
		}
	}
	if u.computed, err = ResolveComputed(r.snap, od, r.opts); err != nil {
		return err
	}
	for i := range od.Sources {
		p := &od.Sources[i]
		s, err := r.sourceUse(od, p, r.uses)
		if err != nil {
			return err
		}
		if !slices.Contains(r.uses, s) {
			r.uses = append(r.uses, s)
		}
		u.sources = append(u.sources, s)
		features := p.Features
		if len(features) == 0 {
			features = s.info.Features
		}
		for _, f := range features {
			if ref := (flatRef{s, f.Name}); !slices.Contains(r.flat, ref) {
				r.flat = append(r.flat, ref)
			}
		}
	}
	return nil
}

// historicalComputed says which columns a function reads and which it answers.
func (r *resolver) historicalComputed(u *use, od *registry.OnDemandFeatureView, full bool) (HistoricalComputed, error) {
	c := HistoricalComputed{Computed: u.computed}
	for _, in := range u.computed.Inputs {
		switch {
		case in.Source >= 0:
			c.Columns = append(c.Columns, outputName(flatRef{u.sources[in.Source], in.Feature}, full))
		case in.Key.Request != "":
			c.Columns = append(c.Columns, in.Key.Request)
		default:
			c.Columns = append(c.Columns, in.Feature)
		}
	}
	for _, s := range od.RequestSources { // all of it has to be there, as in Feast
		for _, f := range requestSchema(s) {
			c.data = append(c.data, f.Name)
		}
	}
	var errs []error
	for _, f := range r.flat {
		if f.use != u {
			continue
		}
		column, err := r.computedColumn(f, full)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		at := slices.IndexFunc(od.Schema, func(x registry.Field) bool { return x.Name == f.feature })
		c.Answers = append(c.Answers, HistoricalAnswer{Name: column.Name, Output: column.Feature, Inner: od.Schema[at].Inner})
	}
	return c, errors.Join(errs...)
}

// joinView says where the features of a projection come from.
func (r *resolver) joinView(u *use, full bool) (offline.JoinView, error) {
	v := offline.JoinView{Name: u.name, TTL: max(u.info.TTL, 0)}
	if renamed := u.bare != u.info.Name; u.name == u.bare && (renamed || len(u.keyMap) == 0) {
		v.View = u.info.Name
		if renamed {
			v.Alias = u.bare
		}
	}
	s := u.info.Source
	if s == nil {
		return v, feasterr.Unsupported("feature view %q has no batch source, from which its history could be read", u.info.Name)
	}
	v.Source = OfflineSource(s)
	physical := physicalNames(s)
	if s.TimestampField == "" {
		return v, noTimestampField(s, u.info.Name)
	}
	v.Event = physical(s.TimestampField)
	if s.CreatedTimestampColumn != "" {
		v.Created = physical(s.CreatedTimestampColumn)
	}
	for _, name := range u.info.Entities {
		e, err := r.snap.Entity(name)
		if err != nil {
			return v, fmt.Errorf("feature view %q: %w", u.info.Name, err)
		}
		k := offline.JoinKey{Source: physical(e.Key()), Entity: e.Key()}
		if to, ok := u.keyMap[e.Key()]; ok {
			k.Entity = to
		}
		v.Keys = append(v.Keys, k)
	}
	var errs []error
	for _, f := range r.flat {
		if f.use != u {
			continue
		}
		if !hasFeature(u.info.Features, f.feature) {
			errs = append(errs, r.noFeature(u, f.feature))
			continue
		}
		v.Features = append(v.Features, offline.Column{Source: physical(f.feature), Name: outputName(f, full)})
	}
	return v, errors.Join(errs...)
}

// physicalNames returns what says how a source names a view's columns.
func physicalNames(s *registry.DataSource) func(name string) string {
	reversed := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(s.FieldMapping)) {
		reversed[s.FieldMapping[from]] = from
	}
	return func(name string) string {
		if from, ok := reversed[name]; ok {
			return from
		}
		return name
	}
}

func noTimestampField(s *registry.DataSource, view string) error {
	return feasterr.Invalid("data source %q of feature view %q names no timestamp field: set TimestampField and apply it", s.Name, view)
}

// OfflineSource says to an offline store what a data source is.
func OfflineSource(d *registry.DataSource) *offline.Source {
	s := &offline.Source{
		Name: d.Name, DatePartitionColumn: d.DatePartitionColumn, DateOnly: d.TimestampFieldType == "DATE",
	}
	switch o := d.Options.(type) {
	case registry.FileOptions:
		s.Kind, s.Path, s.Format, s.EndpointOverride = "FileSource", o.Path, string(o.Format), o.S3EndpointOverride
	case registry.BigQueryOptions:
		s.Kind, s.Table, s.Query = "BigQuerySource", o.Table, o.Query
	case registry.RedshiftOptions:
		s.Kind, s.Table, s.Query, s.Schema, s.Database = "RedshiftSource", o.Table, o.Query, o.Schema, o.Database
	case registry.SnowflakeOptions:
		s.Kind, s.Table, s.Query, s.Schema, s.Database = "SnowflakeSource", o.Table, o.Query, o.Schema, o.Database
	case registry.TrinoOptions:
		s.Kind, s.Table, s.Query = "TrinoSource", o.Table, o.Query
	case registry.AthenaOptions:
		s.Kind, s.Table, s.Query, s.Database, s.Catalog = "AthenaSource", o.Table, o.Query, o.Database, o.DataSource
	case registry.SparkOptions:
		s.Kind, s.Table, s.Query, s.Path, s.Format = "SparkSource", o.Table, o.Query, o.Path, o.FileFormat
		s.DatePartitionFormat = o.DatePartitionColumnFormat
	case registry.IcebergOptions:
		s.Kind, s.Catalog, s.Schema, s.Table = "IcebergSource", o.CatalogName, o.Namespace, o.Table
	case registry.PostgresOptions:
		s.Kind, s.Table, s.Query = "PostgreSQLSource", o.Table, o.Query
	case registry.MsSQLOptions:
		s.Kind, s.Table = "MsSqlServerSource", o.TableRef
	case registry.CustomOptions:
		s.Kind, s.Custom = o.Class[strings.LastIndexByte(o.Class, '.')+1:], o.Configuration
	}
	return s
}

// DescribedSource is OfflineSource with the registry's message, for stores that ask a server for the columns.
func DescribedSource(d *registry.DataSource) (*offline.Source, error) {
	r, err := registry.Encode(d.Project, d)
	if err != nil {
		return nil, err
	}
	s := OfflineSource(d)
	s.Definition = r.Proto
	return s, nil
}

// CheckEntities reports join keys that the entity rows lack, and columns that are named like a feature. names are all columns.
func (p *Historical) CheckEntities(names []string) error {
	var errs []error
	for _, v := range p.Views {
		var missing []string
		for _, k := range v.Keys {
			if !slices.Contains(names, k.Entity) {
				missing = append(missing, k.Entity)
			}
		}
		if len(missing) > 0 {
			errs = append(errs, missingKeys(v.Name, missing, names))
		}
	}
	for _, c := range p.Computed {
		var missing []string
		for _, name := range c.data {
			if !slices.Contains(names, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			errs = append(errs, missingData([]string{c.View}, missing, names))
		}
	}
	for i, name := range names {
		switch {
		case slices.Contains(p.names, name):
			errs = append(errs, &feasterr.RequestError{Column: name, Row: -1, Msg: "the entity rows and the features both have a column of this name: ask for full feature names, or rename it in the entity rows"})
		case slices.Contains(names[:i], name):
			errs = append(errs, &feasterr.RequestError{Column: name, Row: -1, Msg: "the entity rows have several columns of this name"})
		}
	}
	return errors.Join(errs...)
}

// Keys returns the join keys that all views share, by the names of the entity rows, in the first view's order. Views with
// different keys cannot do without entity rows: that is an error.
func (p *Historical) Keys() ([]string, error) {
	if len(p.Views) == 0 {
		return nil, feasterr.Invalid("the features are computed from entity rows alone: give entity rows")
	}
	var all [][]string
	for _, v := range p.Views {
		var keys []string
		for _, k := range v.Keys {
			keys = append(keys, k.Entity)
		}
		all = append(all, keys)
	}
	for i, keys := range all {
		if slices.Equal(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(all[0]))) {
			continue
		}
		return nil, feasterr.Invalid("without entity rows all feature views must have the same join keys, and %s has %s while %s has %s: give entity rows",
			p.Views[0].Name, keyList(all[0]), p.Views[i].Name, keyList(keys))
	}
	return all[0], nil
}

func keyList(keys []string) string {
	if len(keys) == 0 {
		return "none"
	}
	return strings.Join(keys, ", ")
}

// Window completes the range of event times that is read without entity rows: it ends now, and reaches back as far as the
// longest ttl, or 30 days without any.
func (p *Historical) Window(start, end, now time.Time) (time.Time, time.Time) {
	if end.IsZero() {
		end = now
	}
	if start.IsZero() {
		var ttl time.Duration
		for _, v := range p.Views {
			ttl = max(ttl, v.TTL)
		}
		if ttl == 0 {
			ttl = noTTL
		}
		start = end.Add(-ttl)
	}
	return start.UTC(), end.UTC()
}

// Scan reads the rows of a view in a range of event times: its keys and, where features is set, these and the created time.
func (p *Historical) Scan(view int, features bool, start, end time.Time) *offline.ScanPlan {
	v := &p.Views[view]
	s := &offline.ScanPlan{
		Name: v.Name, Source: v.Source, Event: offline.Column{Source: v.Event, Name: EventTimestamp}, Start: start, End: end,
	}
	for _, k := range v.Keys {
		s.Keys = append(s.Keys, offline.Column{Source: k.Source, Name: k.Entity})
	}
	if features {
		s.Features = v.Features
		if v.Created != "" {
			s.Created = offline.Column{Source: v.Created, Name: createdTimestamp}
		}
	}
	return s
}

// ScanColumns returns the columns of Scan with features, in the order in which they are answered.
func (p *Historical) ScanColumns(view int) []string {
	s := p.Scan(view, true, time.Time{}, time.Time{})
	names := []string{s.Event.Name}
	if s.Created.Name != "" {
		names = append(names, s.Created.Name)
	}
	for _, c := range slices.Concat(s.Keys, s.Features) {
		names = append(names, c.Name)
	}
	return names
}
