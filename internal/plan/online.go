// Package plan resolves what a caller asks for against a registry snapshot, once: views, projections, join keys, output
// columns and the read that fetches them. Plans are immutable and shared by all requests of the same shape.
package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Query is what is asked for, without entity rows.
type Query struct {
	Features  []string // references; ignored when Service is set
	Service   string
	FullNames bool
	// Projections are views that references name by these aliases.
	Projections []registry.FeatureViewProjection
	// Promise, when set, is an earlier plan of the query: the new one has the same columns in the same places, whatever
	// else the service holds by now, or is a *feasterr.SchemaChangedError.
	Promise *Online
}

// Options are what the repository and the store say about reading and writing.
type Options struct {
	Versioning         bool // enable_online_feature_view_versioning
	WhileMaterializing bool // serve_features_while_materializing
	KeyVersion         int  // entity key serialization
	Store              online.Info
	Functions          map[string]*Function // of on-demand views, by name
}

// Online is a resolved query.
type Online struct {
	Service string
	Columns []Column // feature columns in the order of the answer
	Read    *online.ReadPlan
	TTL     []time.Duration // by table, 0: never expires
	Sets    []KeySet        // by group of Read
	Views   []ViewVersion   // distinct views that are read, in order of first mention

	Precomputed *Precomputed // vectors that are read in place of rows; nil: none are

	Computed []*Computed // on-demand views, in order of first mention
	Data     []Data      // what requests bring for them

	keys     []string // request names of all join keys that the query needs, in order of first mention
	promised *Online  // the plan whose columns this one keeps; nil: its own

	known map[string]string // request column to the join key it is answered as: all of the project, and renamed ones
}

// Column is a feature column of the answer.
type Column struct {
	Name    string // as answered
	View    string // projection it comes from
	Type    types.Type
	Inner   string        // completes Type, see registry.Field
	Table   *online.Table // nil for a feature that is computed
	Feature int           // index of Table.Features, or of the outputs of Computed

	Computed *Computed
}

// feature returns the feature's own name.
func (c *Column) feature() string {
	if c.Table == nil {
		return c.Computed.Outputs[c.Feature].Name
	}
	return c.Table.Features[c.Feature].Name
}

// ViewVersion is a view that the query reads, and the version it reads: 0 when the view has none.
type ViewVersion = online.ViewVersion

// KeySet is the entity key that the tables of a group share.
type KeySet struct {
	Encoding *online.KeyEncoding
	Keys     []JoinKey // in the order of Encoding; the dummy key of views without entities has no Request
	View     string    // the first projection that uses it, for messages
}

// JoinKey is one part of an entity key.
type JoinKey struct {
	Stored  string
	Request string     // how the request must spell it
	Type    types.Type // Invalid: inferred from the request's values
}

// use is a projection of a view that the query mentions.
type use struct {
	name    string // projection name with version suffix, as full names show it
	bare    string // without the suffix
	view    registry.View
	info    registry.ViewInfo
	version int               // table version
	shown   int               // version for metadata
	keyMap  map[string]string // stored join key to request name
	table   *online.Table

	computed *Computed // of an on-demand view with a function
	sources  []*use    // of it, those that the function reads
	err      error     // why it cannot be computed
}

// ResolveOnline resolves a query. It does no I/O. All problems of one kind are reported together.
func ResolveOnline(snap *registry.Snapshot, q Query, o Options) (*Online, error) {
	r := &resolver{snap: snap, opts: o, promised: q.Promise != nil, byName: map[string]*use{}}
	if err := r.mention(q); err != nil {
		return nil, err
	}
	uses, flat := r.uses, r.flat // of the whole service
	if q.Promise != nil {
		if err := r.keep(q.Promise.Columns); err != nil {
			return nil, err
		}
	}
	r.sources()
	if err := r.servable(); err != nil {
		return nil, err
	}
	if err := r.collisions(q.FullNames); err != nil {
		return nil, err
	}
	p, err := r.plan(q)
	if err == nil && q.Promise != nil {
		err = q.Promise.changed(p)
	}
	if err != nil {
		return nil, err
	}
	if r.svc != nil && r.svc.PrecomputeOnline && o.Store.RowTimes {
		p.Precomputed, _ = r.vector(p, uses, flat) // else rows are read
	}
	return p, nil
}

// keep drops what was not promised: other features of the service, and views that only those need.
func (r *resolver) keep(columns []Column) error {
	var flat []flatRef
	var uses []*use
	for _, c := range columns {
		ref := flatRef{r.byName[c.View], c.feature()}
		if ref.use == nil || !slices.Contains(r.flat, ref) {
			return &feasterr.SchemaChangedError{Column: c.Name, Was: c.Type.String()}
		}
		flat = append(flat, ref)
		if !slices.Contains(uses, ref.use) {
			uses = append(uses, ref.use)
		}
	}
	r.flat, r.uses = flat, uses
	return nil
}

type resolver struct {
	snap     *registry.Snapshot
	opts     Options
	promised bool
	uses     []*use
	byName   map[string]*use
	flat     []flatRef                // features in request order
	svc      *registry.FeatureService // that is asked for; nil: none is
	aliases  []registry.FeatureViewProjection
}

type flatRef struct {
	use     *use
	feature string
}

// mention looks up what a query names.
func (r *resolver) mention(q Query) error {
	if q.Service != "" {
		return r.service(q.Service)
	}
	r.aliases = q.Projections
	return r.references(q.Features)
}

func (r *resolver) references(refs []string) error {
	if len(refs) == 0 {
		return feasterr.Invalid("no features asked for: name features or a feature service")
	}
	var errs []error
	for _, ref := range refs {
		p, err := ParseReference(ref)
		if err == nil {
			err = r.reference(p)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(dedupe(errs)...)
}

func (r *resolver) reference(p Reference) error {
	name := p.name()
	if p.Version >= 0 && !r.opts.Versioning {
		return versionsOff(fmt.Sprintf("reference %s:%s names a version", name, p.Feature))
	}
	if at := slices.IndexFunc(r.aliases, func(a registry.FeatureViewProjection) bool { return a.NameInUse() == name }); at >= 0 && r.byName[name] == nil {
		a := r.aliases[at]
		a.Features = nil // references say which
		if err := r.projection("", &a); err != nil {
			return err
		}
	}
	u := r.byName[name]
	if u == nil {
		var err error
		if u, err = r.use(p.View, p.Version); err != nil {
			return err
		}
		u.name, u.bare = name, p.View
		r.add(u)
	}
	r.flat = append(r.flat, flatRef{u, p.Feature})
	return nil
}

func versionsOff(what string) error {
	return feasterr.Invalid("%s: set enable_online_feature_view_versioning: true under registry in feature_store.yaml", what)
}

// use looks a view up; version -1 is the current one.
func (r *resolver) use(view string, version int) (*use, error) {
	u := &use{}
	var err error
	if version >= 0 {
		u.view, err = r.snap.ViewVersion(view, version)
	} else {
		u.view, err = r.snap.View(view)
	}
	if err != nil {
		return nil, err
	}
	u.info = u.view.Info()
	u.shown = u.info.CurrentVersion
	if version >= 0 {
		u.shown = version
	}
	if r.opts.Versioning && r.opts.Store.Versioned {
		u.version = u.shown
	}
	od, _ := u.view.(*registry.OnDemandFeatureView)
	if computed := od != nil && !od.WriteToOnlineStore; version >= 0 && !r.opts.Store.Versioned && !computed {
		return nil, oneVersion(view, version, r.opts.Store)
	}
	return u, nil
}

func oneVersion(view string, version int, store online.Info) error {
	return feasterr.Unsupported("feature view %s@v%d: online store %q keeps one version of a view; ask for %s", view, version, store.Name, view)
}

func (r *resolver) add(u *use) {
	r.byName[u.name] = u
	r.uses = append(r.uses, u)
}

func (r *resolver) service(name string) error {
	svc, err := r.snap.FeatureService(name)
	if err != nil {
		return err
	}
	if err := r.projections(svc); err != nil {
		return err
	}
	if len(r.flat) == 0 {
		return feasterr.Invalid("feature service %q has no features", name)
	}
	return nil
}

// projections looks up the views of a service.
func (r *resolver) projections(svc *registry.FeatureService) error {
	r.svc = svc
	var errs []error
	for i := range svc.Features {
		if err := r.projection(svc.Name, &svc.Features[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(dedupe(errs)...)
}

func (r *resolver) projection(service string, p *registry.FeatureViewProjection) error {
	version := -1
	if p.Version != nil {
		version = *p.Version
		if !r.opts.Versioning {
			return versionsOff(fmt.Sprintf("feature service %q reads %s", service, p.NameInUse()))
		}
	}
	u, err := r.use(p.Name, version)
	if err != nil && service != "" {
		return fmt.Errorf("feature service %q: %w", service, err)
	}
	if err != nil {
		return err
	}
	u.bare = p.Name
	if p.Alias != "" {
		u.bare = p.Alias
	}
	u.name = u.bare
	if version >= 0 {
		u.name += "@v" + strconv.Itoa(version)
	}
	if r.byName[u.name] != nil {
		return feasterr.Invalid("feature service %q lists projection %q twice: give one of them an alias", service, u.name)
	}
	u.keyMap = p.JoinKeyMap
	r.add(u)
	for _, f := range p.Features {
		r.flat = append(r.flat, flatRef{u, f.Name})
	}
	return nil
}

// servable refuses views that must not be read: disabled, or not materialized yet where the registry says so.
func (r *resolver) servable() error {
	var errs []error
	for _, u := range r.uses {
		switch {
		case u.info.Disabled:
			errs = append(errs, feasterr.Invalid("feature view %q is disabled: enable it and apply it", u.info.Name))
		case u.info.State == registry.StateUnspecified, u.info.State == registry.StateAvailableOnline:
		case u.info.State == registry.StateMaterializing && r.opts.WhileMaterializing:
		case u.info.State == registry.StateMaterializing:
			errs = append(errs, feasterr.Unavailable("feature view %q is being materialized and serves again when that is done; serve_features_while_materializing: true under registry in feature_store.yaml lets it serve meanwhile", u.info.Name))
		default:
			errs = append(errs, feasterr.Invalid("feature view %q is in state %s and does not serve yet: materialize it", u.info.Name, u.info.State))
		}
	}
	return errors.Join(errs...)
}

// collisions refuses equal names in one answer.
func (r *resolver) collisions(full bool) error {
	seen := map[string]bool{}
	var dup []string
	for _, f := range r.flat {
		name := outputName(f, full)
		if seen[name] && !slices.Contains(dup, name) {
			dup = append(dup, name)
		}
		seen[name] = true
	}
	if len(dup) == 0 {
		return nil
	}
	hint := "ask for full feature names, or for each feature once"
	if full {
		hint = "ask for each feature once, or give one of the projections an alias"
	}
	return feasterr.Invalid("the answer would have several columns named %s: %s", strings.Join(dup, ", "), hint)
}

func outputName(f flatRef, full bool) string {
	if full {
		return f.use.name + "__" + f.feature
	}
	return f.feature
}

// plan lays out tables, key sets and columns.
func (r *resolver) plan(q Query) (*Online, error) {
	p := &Online{Service: q.Service, promised: q.Promise, known: map[string]string{}}
	r.knownKeys(p)
	var groups [][]*online.Table
	byKeys := map[string]int{}
	var errs []error
	for _, u := range r.uses {
		if od, ok := u.view.(*registry.OnDemandFeatureView); ok && !od.WriteToOnlineStore {
			errs = append(errs, r.uncomputed(u))
			continue
		}
		table, set, err := StoredTable(u.view, u.version, r.snap.ProjectName(), r.snap.Entity, r.opts.KeyVersion)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		table.Features = nil // those asked for come with the columns
		u.table = table
		set.rename(u.name, u.keyMap)
		id := set.identity()
		g, ok := byKeys[id]
		if !ok {
			g = len(groups)
			byKeys[id] = g
			groups = append(groups, nil)
			p.Sets = append(p.Sets, set)
		}
		groups[g] = append(groups[g], u.table)
		for _, k := range set.Keys {
			p.needs(k)
		}
		if !slices.ContainsFunc(p.Views, func(v ViewVersion) bool { return v.Name == u.bare }) {
			p.Views = append(p.Views, ViewVersion{Name: u.bare, Version: u.shown})
		}
	}
	for _, f := range r.flat {
		column := r.column
		switch {
		case f.use.computed != nil:
			column = r.computedColumn
		case f.use.table == nil: // which is among the errors
			continue
		}
		c, err := column(f, q.FullNames)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.Columns = append(p.Columns, c)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, u := range r.uses {
		if od, ok := u.view.(*registry.OnDemandFeatureView); ok && u.computed != nil {
			r.compute(p, u, od)
		}
	}
	p.Read = online.NewReadPlan(groups...)
	p.TTL = make([]time.Duration, 0, len(r.uses))
	for _, t := range p.Read.Tables() {
		for _, u := range r.uses {
			if u.table == t {
				p.TTL = append(p.TTL, u.info.TTL)
			}
		}
	}
	return p, nil
}

func hasFeature(fields []registry.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f registry.Field) bool { return f.Name == name })
}

func (r *resolver) noFeature(u *use, name string) error {
	names := func(yield func(string) bool) {
		for _, f := range u.info.Features {
			if !yield(f.Name) {
				return
			}
		}
	}
	return &feasterr.NotFoundError{
		Kind: "feature", Name: name, In: fmt.Sprintf("feature view %q", u.name), Project: r.snap.ProjectName(),
		Near: feasterr.Near(name, names),
	}
}

// column resolves a feature and adds it to its table.
func (r *resolver) column(f flatRef, full bool) (Column, error) {
	for _, field := range f.use.info.Features {
		if field.Name == f.feature {
			t := f.use.table
			t.Features = append(t.Features, types.Field{Name: field.Name, Type: field.Type})
			return Column{
				Name: outputName(f, full), View: f.use.name, Type: field.Type, Inner: field.Inner,
				Table: t, Feature: len(t.Features) - 1,
			}, nil
		}
	}
	return Column{}, r.noFeature(f.use, f.feature)
}

// identity is equal for views that share a key set.
func (s *KeySet) identity() string {
	var b strings.Builder
	for _, k := range s.Keys {
		fmt.Fprintf(&b, "%q=%q:%d,", k.Stored, k.Request, k.Type)
	}
	return b.String()
}

// knownKeys collects every join key and entity name of the project: such columns of a request are answered even when
// no view asked for uses them.
func (r *resolver) knownKeys(p *Online) {
	names := map[string]string{}
	for e := range r.snap.Entities() {
		if e.Name == online.DummyEntity {
			continue
		}
		p.known[e.Key()] = e.Key()
		names[e.Name] = e.Key()
	}
	for name, key := range names {
		if _, taken := p.known[name]; !taken {
			p.known[name] = key
		}
	}
}

// Keys returns the request names of the join keys that the query needs, in order of first mention.
func (p *Online) Keys() []string { return p.keys }

// Promised returns the plan of the query as it was prepared, which is this one unless the registry changed since.
func (p *Online) Promised() *Online {
	if p.promised != nil {
		return p.promised
	}
	return p
}

// KeyType returns the type of a join key that the query needs, [types.Invalid] when the values decide.
func (p *Online) KeyType(request string) types.Type {
	for _, set := range p.Sets {
		for _, k := range set.Keys {
			if k.Request == request {
				return k.Type
			}
		}
	}
	for _, d := range p.Data {
		if d.Key.Request == request {
			return d.Type
		}
	}
	return types.Invalid
}

// Index returns the position of a feature column among the feature columns.
func (p *Online) Index(name string) (int, bool) {
	i := slices.IndexFunc(p.Columns, func(c Column) bool { return c.Name == name })
	return i, i >= 0
}

// changed reports what the new plan of a query, made for this promise, does not keep of it.
func (p *Online) changed(now *Online) error {
	for i, c := range p.Columns {
		if to := now.Columns[i].Type; to != c.Type {
			return &feasterr.SchemaChangedError{Column: c.Name, Was: c.Type.String(), Now: to.String()}
		}
	}
	for i, k := range p.keys {
		if i >= len(now.keys) || now.keys[i] != k {
			return &feasterr.SchemaChangedError{Err: fmt.Errorf("it needs join keys %s now, and needed %s",
				strings.Join(now.keys, ", "), strings.Join(p.keys, ", "))}
		}
	}
	if len(now.keys) > len(p.keys) {
		return &feasterr.SchemaChangedError{Err: fmt.Errorf("it needs join key %s now", now.keys[len(p.keys)])}
	}
	for _, d := range now.Data {
		if !slices.ContainsFunc(p.Data, func(was Data) bool { return was.Name == d.Name }) {
			return &feasterr.SchemaChangedError{Err: fmt.Errorf("on-demand feature view %q needs request data %s now", d.Views[0], d.Name)}
		}
	}
	return nil
}

// dedupe drops errors whose text was there before: several features of an unknown view are one problem.
func dedupe(errs []error) []error {
	seen := map[string]bool{}
	return slices.DeleteFunc(errs, func(err error) bool {
		text := err.Error()
		if seen[text] {
			return true
		}
		seen[text] = true
		return false
	})
}
