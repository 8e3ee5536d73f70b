package registry

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
)

// Snapshot is the registry of one project at one moment. It never changes and is safe for concurrent use. Objects are
// decoded when they are first asked for and then shared by all callers, also by later snapshots as long as their
// records stay the same: they must not be modified; change a [Clone].
//
// A lookup of a name that does not exist answers a [*feasterr.NotFoundError] with near names. A record that cannot be
// read answers a feasterr.ErrInvalid when it is looked up, is left out where objects are listed, and is reported by
// [Snapshot.Bad].
type Snapshot struct {
	project     string
	token       Token
	lastUpdated time.Time
	kinds       [numKinds]index
	versions    map[string][]*entry // by view, ascending
	bad         []BadRecord
	projects    []string  // of the whole registry, for near names
	enforcers   *sync.Map // permissions.Option -> *permissions.Enforcer
	hidden      [numKinds]bool
}

// index holds the records of one kind, in the order of the registry.
type index struct {
	list   []*entry
	byName map[string]*entry
}

// entry is a record and what it decodes to.
type entry struct {
	Record
	result atomic.Pointer[result]
}

type result struct {
	value any
	err   error
}

// value decodes the record on first use. All callers get the same object.
func (e *entry) value() (any, error) {
	r := e.result.Load()
	if r == nil {
		r = new(result)
		r.value, r.err = decode(e.Record)
		if v, ok := r.value.(*ViewVersion); ok {
			r.value = newVersionValue(v)
		}
		if !e.result.CompareAndSwap(nil, r) {
			r = e.result.Load()
		}
	}
	return r.value, r.err
}

// versionValue is what a record of KindViewVersion decodes to: the record, and the view in it.
type versionValue struct {
	*ViewVersion
	view View
	err  error
}

func newVersionValue(v *ViewVersion) *versionValue {
	o, err := Decode(Record{ID: ID{Kind: v.Kind, Project: v.Project, Name: v.View}, Proto: v.Proto})
	if err != nil {
		return &versionValue{v, nil, fmt.Errorf("version %d: %w", v.Number, err)}
	}
	switch o := o.(type) {
	case *FeatureView:
		o.CurrentVersion = v.Number
	case *StreamFeatureView:
		o.CurrentVersion = v.Number
	case *OnDemandFeatureView:
		o.CurrentVersion = v.Number
	}
	return &versionValue{v, o.(View), nil}
}

// newSnapshot indexes the records of project. Entries of prev whose records are the same are taken over, and with them
// the objects that were decoded.
func newSnapshot(project string, state *State, token Token, prev *Snapshot) *Snapshot {
	s := &Snapshot{project: project, token: token, lastUpdated: state.LastUpdated, versions: map[string][]*entry{}, enforcers: new(sync.Map)}
	var counts [numKinds]int
	for i := range state.Records {
		if r := &state.Records[i]; s.holds(r.ID) {
			counts[r.Kind]++
		}
	}
	for kind, n := range counts {
		s.kinds[kind] = index{make([]*entry, 0, n), make(map[string]*entry, n)}
	}
	projects := map[string]bool{}
	for i := range state.Records {
		r := state.Records[i]
		if r.Kind == KindProject || r.Kind == KindProjectMetadata {
			projects[r.Project] = true
		}
		if !s.holds(r.ID) {
			continue
		}
		e := prev.entry(r)
		if e == nil {
			if e = (&entry{Record: r}); prev != nil {
				e.Proto = bytes.Clone(r.Proto) // or the few records that changed would hold all of state in memory
			}
		}
		s.insert(e)
	}
	for _, list := range s.versions {
		slices.SortStableFunc(list, func(a, b *entry) int { return cmp.Compare(a.Version, b.Version) })
	}
	for _, b := range state.Bad {
		if b.ID.Project == "" || s.holds(b.ID) {
			s.bad = append(s.bad, b)
		}
	}
	s.projects = slices.Sorted(maps.Keys(projects))
	for _, kind := range state.Hidden {
		s.hidden[kind] = true
	}
	return s
}

// with returns the snapshot with a record more, or another one in its place.
func (s *Snapshot) with(r Record) *Snapshot {
	c := *s
	if r.Kind == KindPermission {
		c.enforcers = new(sync.Map)
	}
	ix := &c.kinds[r.Kind]
	e := s.entry(r)
	if e == nil {
		e = &entry{Record: r}
	}
	ix.list = slices.DeleteFunc(slices.Clone(ix.list), func(e *entry) bool { return e.ID == r.ID })
	ix.byName = maps.Clone(ix.byName)
	delete(ix.byName, r.Name)
	c.insert(e)
	return &c
}

func (s *Snapshot) insert(e *entry) {
	if e.Kind == KindViewVersion {
		s.versions[e.Name] = append(s.versions[e.Name], e)
		return
	}
	ix := &s.kinds[e.Kind]
	ix.list = append(ix.list, e)
	if _, twice := ix.byName[e.Name]; !twice { // Feast takes the first
		ix.byName[e.Name] = e
	}
}

// holds reports whether a record belongs to the snapshot.
func (s *Snapshot) holds(id ID) bool {
	return id.Project == s.project || id.Project == "" && id.Kind == KindInfra
}

// entry returns the entry that keeps exactly r, nil when there is none.
func (s *Snapshot) entry(r Record) *entry {
	if s == nil {
		return nil
	}
	e := s.kinds[r.Kind].byName[r.Name]
	if r.Kind == KindViewVersion {
		list := s.versions[r.Name]
		i, found := slices.BinarySearchFunc(list, r.Version, func(e *entry, n int) int { return cmp.Compare(e.Version, n) })
		if !found {
			return nil
		}
		e = list[i]
	}
	if e == nil || e.ID != r.ID || !e.Updated.Equal(r.Updated) || !bytes.Equal(e.Proto, r.Proto) {
		return nil
	}
	return e
}

// ProjectName returns the name of the project that the snapshot is of.
func (s *Snapshot) ProjectName() string { return s.project }

// Token returns the token of the state that the snapshot was made from.
func (s *Snapshot) Token() Token { return s.token }

// LastUpdated returns when the registry was last written, as far as it says; else the zero time.
func (s *Snapshot) LastUpdated() time.Time { return s.lastUpdated }

// Hidden returns the kinds of objects that this identity may not list. Of these, the snapshot has what was looked up by
// name, see [Registry.Lookup].
func (s *Snapshot) Hidden() []Kind {
	var kinds []Kind
	for kind, hidden := range s.hidden {
		if hidden {
			kinds = append(kinds, Kind(kind))
		}
	}
	return kinds
}

// Project returns the project. One that the registry knows only by its metadata, as old versions of Feast wrote it,
// has nothing but a name.
func (s *Snapshot) Project() (*Project, error) {
	p, err := get[Project](s, KindProject, s.project)
	if err != nil && len(s.kinds[KindProject].list) == 0 && len(s.kinds[KindProjectMetadata].list) > 0 {
		return &Project{Name: s.project}, nil
	}
	return p, err
}

// Entity returns the named entity. [Entity.Key] is its join key.
func (s *Snapshot) Entity(name string) (*Entity, error) { return get[Entity](s, KindEntity, name) }

// Entities returns all entities, [DummyEntity] included.
func (s *Snapshot) Entities() iter.Seq[*Entity] { return all[Entity](s, KindEntity) }

// DataSource returns the named data source.
func (s *Snapshot) DataSource(name string) (*DataSource, error) {
	return get[DataSource](s, KindDataSource, name)
}

// DataSources returns all data sources.
func (s *Snapshot) DataSources() iter.Seq[*DataSource] { return all[DataSource](s, KindDataSource) }

// FeatureView returns the named feature view, batch feature views included, other kinds not.
func (s *Snapshot) FeatureView(name string) (*FeatureView, error) {
	return get[FeatureView](s, KindFeatureView, name)
}

// FeatureViews returns all feature views, batch feature views included, other kinds not.
func (s *Snapshot) FeatureViews() iter.Seq[*FeatureView] { return all[FeatureView](s, KindFeatureView) }

// StreamFeatureView returns the named stream feature view.
func (s *Snapshot) StreamFeatureView(name string) (*StreamFeatureView, error) {
	return get[StreamFeatureView](s, KindStreamFeatureView, name)
}

// StreamFeatureViews returns all stream feature views.
func (s *Snapshot) StreamFeatureViews() iter.Seq[*StreamFeatureView] {
	return all[StreamFeatureView](s, KindStreamFeatureView)
}

// OnDemandFeatureView returns the named on-demand feature view.
func (s *Snapshot) OnDemandFeatureView(name string) (*OnDemandFeatureView, error) {
	return get[OnDemandFeatureView](s, KindOnDemandFeatureView, name)
}

// OnDemandFeatureViews returns all on-demand feature views.
func (s *Snapshot) OnDemandFeatureViews() iter.Seq[*OnDemandFeatureView] {
	return all[OnDemandFeatureView](s, KindOnDemandFeatureView)
}

// LabelView returns the named label view.
func (s *Snapshot) LabelView(name string) (*LabelView, error) {
	return get[LabelView](s, KindLabelView, name)
}

// LabelViews returns all label views.
func (s *Snapshot) LabelViews() iter.Seq[*LabelView] { return all[LabelView](s, KindLabelView) }

// View returns the view of that name, of whichever kind: a feature view before a stream, an on-demand and a label view.
func (s *Snapshot) View(name string) (View, error) {
	for _, kind := range viewKinds {
		if e := s.kinds[kind].byName[name]; e != nil {
			v, err := e.value()
			if err != nil {
				return nil, err
			}
			return v.(View), nil
		}
	}
	return nil, s.notFound("feature view", name, viewKinds[:]...)
}

// Views returns all views: feature views, then stream, on-demand and label views.
func (s *Snapshot) Views() iter.Seq[View] {
	return func(yield func(View) bool) {
		for _, kind := range viewKinds {
			for _, e := range s.kinds[kind].list {
				if v, err := e.value(); err == nil && !yield(v.(View)) {
					return
				}
			}
		}
	}
}

// FeatureService returns the named feature service.
func (s *Snapshot) FeatureService(name string) (*FeatureService, error) {
	return get[FeatureService](s, KindFeatureService, name)
}

// FeatureServices returns all feature services.
func (s *Snapshot) FeatureServices() iter.Seq[*FeatureService] {
	return all[FeatureService](s, KindFeatureService)
}

// SavedDataset returns the named saved dataset.
func (s *Snapshot) SavedDataset(name string) (*SavedDataset, error) {
	return get[SavedDataset](s, KindSavedDataset, name)
}

// SavedDatasets returns all saved datasets.
func (s *Snapshot) SavedDatasets() iter.Seq[*SavedDataset] {
	return all[SavedDataset](s, KindSavedDataset)
}

// ValidationReference returns the named validation reference.
func (s *Snapshot) ValidationReference(name string) (*ValidationReference, error) {
	return get[ValidationReference](s, KindValidationReference, name)
}

// ValidationReferences returns all validation references.
func (s *Snapshot) ValidationReferences() iter.Seq[*ValidationReference] {
	return all[ValidationReference](s, KindValidationReference)
}

// Permission returns the named permission.
func (s *Snapshot) Permission(name string) (*permissions.Permission, error) {
	return get[permissions.Permission](s, KindPermission, name)
}

// Permissions returns all permissions. Unlike other lists it fails when one of them cannot be read: without it, a
// project could seem to have none, which lets everybody in. [Snapshot.Enforcer] decides all the same.
func (s *Snapshot) Permissions() ([]*permissions.Permission, error) {
	if s.hidden[KindPermission] {
		return nil, s.hiddenPermissions()
	}
	for _, b := range s.bad {
		if b.ID.Kind == KindPermission {
			return nil, b.Err
		}
	}
	list := make([]*permissions.Permission, 0, len(s.kinds[KindPermission].list))
	for _, e := range s.kinds[KindPermission].list {
		v, err := e.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v.(*permissions.Permission))
	}
	return list, nil
}

func (s *Snapshot) hiddenPermissions() error {
	return fmt.Errorf("%w: this identity may not list the permissions of project %q", feasterr.ErrDenied, s.project)
}

// Enforcer returns what decides by the permissions of the project. It is made once for each combination of options. A
// permission that cannot be read covers everything and admits nobody ([permissions.Unreadable]), so that the others
// decide as before; so do permissions that a remote registry does not list to this identity. One that lists some of
// them, or tells that there are none, is believed: who enforces should be let see all.
func (s *Snapshot) Enforcer(options ...permissions.Option) *permissions.Enforcer {
	var rules permissions.Option
	for _, o := range options {
		rules |= o
	}
	if e, ok := s.enforcers.Load(rules); ok {
		return e.(*permissions.Enforcer)
	}
	var list []*permissions.Permission
	unreadable := func(name string, err error) {
		list = append(list, &permissions.Permission{
			Name: name, Project: s.project, Actions: permissions.AllActions(), Policy: permissions.Unreadable{Err: err},
		})
	}
	for _, e := range s.kinds[KindPermission].list {
		if v, err := e.value(); err != nil {
			unreadable(e.Name, err)
		} else {
			list = append(list, v.(*permissions.Permission))
		}
	}
	for _, b := range s.bad {
		if b.ID.Kind == KindPermission {
			unreadable(b.ID.Name, b.Err)
		}
	}
	if s.hidden[KindPermission] {
		unreadable("", s.hiddenPermissions())
	}
	e, _ := s.enforcers.LoadOrStore(rules, permissions.NewEnforcer(list, rules))
	return e.(*permissions.Enforcer)
}

// Objects returns all objects, [DummyEntity] included, in the order of kinds and then names: what definitions are
// exported from. Like other lists it leaves out what cannot be read, which [Snapshot.Bad] tells.
func (s *Snapshot) Objects() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for kind := KindProject; kind <= KindPermission; kind++ {
			ix := &s.kinds[kind]
			for _, name := range slices.Sorted(maps.Keys(ix.byName)) {
				if v, err := ix.byName[name].value(); err == nil && !yield(v.(Object)) {
					return
				}
			}
		}
	}
}

// Infra returns what Feast created outside the registry; in a file registry, for all its projects.
func (s *Snapshot) Infra() (*Infra, error) {
	if len(s.kinds[KindInfra].list) == 0 {
		return new(Infra), nil
	}
	return get[Infra](s, KindInfra, InfraName)
}

// Versions returns the version history of a view, oldest first; none when there is no history.
func (s *Snapshot) Versions(view string) iter.Seq[*ViewVersion] {
	return func(yield func(*ViewVersion) bool) {
		for _, e := range s.versions[view] {
			if v, err := e.value(); err == nil && !yield(v.(*versionValue).ViewVersion) {
				return
			}
		}
	}
}

// ViewVersion returns a view as it was in version n of its history; its CurrentVersion is n.
func (s *Snapshot) ViewVersion(view string, n int) (View, error) {
	list := s.versions[view]
	i, found := slices.BinarySearchFunc(list, n, func(e *entry, n int) int { return cmp.Compare(e.Version, n) })
	if !found {
		if _, err := s.View(view); err != nil {
			return nil, err
		}
		versions := func(yield func(string) bool) {
			for _, e := range list {
				if !yield(fmt.Sprintf("v%d", e.Version)) {
					return
				}
			}
		}
		name := fmt.Sprintf("v%d", n)
		return nil, &feasterr.NotFoundError{Kind: "version", Name: name, Project: s.project,
			In: fmt.Sprintf("feature view %q", view), Near: feasterr.Near(name, versions)}
	}
	v, err := list[i].value()
	if err != nil {
		return nil, err
	}
	version := v.(*versionValue)
	return version.view, version.err
}

// ViewAt finds a view as it was in a version of its history, named as Feast does: "v2" or "version2", in any case. "" and
// "latest" stand for the view as it is.
func (s *Snapshot) ViewAt(name, version string) (View, error) {
	n, pinned, err := parseVersion(version)
	switch {
	case err != nil:
		return nil, err
	case pinned:
		return s.ViewVersion(name, n)
	}
	return s.View(name)
}

// Bad returns the records that cannot be read. It decodes everything that was not decoded yet.
func (s *Snapshot) Bad() []BadRecord {
	bad := slices.Clone(s.bad)
	check := func(e *entry) {
		if e.Kind == KindProjectMetadata {
			return
		}
		v, err := e.value()
		if version, ok := v.(*versionValue); ok {
			err = version.err
		}
		if err != nil {
			bad = append(bad, BadRecord{e.ID, e.Proto, err})
		}
	}
	for kind := range s.kinds {
		for _, e := range s.kinds[kind].list {
			check(e)
		}
	}
	for _, view := range slices.Sorted(maps.Keys(s.versions)) {
		for _, e := range s.versions[view] {
			check(e)
		}
	}
	return bad
}

func get[T any](s *Snapshot, kind Kind, name string) (*T, error) {
	e := s.kinds[kind].byName[name]
	if e == nil {
		return nil, s.notFound(kind.String(), name, kind)
	}
	v, err := e.value()
	if err != nil {
		return nil, err
	}
	return v.(*T), nil
}

func all[T any](s *Snapshot, kind Kind) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, e := range s.kinds[kind].list {
			if v, err := e.value(); err == nil && !yield(v.(*T)) {
				return
			}
		}
	}
}

// empty reports whether nothing is known of the project, which then does not exist.
func (s *Snapshot) empty() bool {
	if len(s.bad) > 0 || len(s.versions) > 0 {
		return false
	}
	for kind := range s.kinds {
		if len(s.kinds[kind].list) > 0 && Kind(kind) != KindInfra || s.hidden[kind] {
			return false
		}
	}
	return true
}

func (s *Snapshot) notFound(what, name string, kinds ...Kind) error {
	unknown := &feasterr.NotFoundError{
		Kind: KindProject.String(), Name: s.project, Near: feasterr.Near(s.project, slices.Values(s.projects)),
	}
	if kinds[0] == KindProject {
		return unknown
	}
	if s.empty() && len(s.projects) > 0 {
		return fmt.Errorf("%s %q: unknown project: %w", what, name, unknown)
	}
	names := func(yield func(string) bool) {
		for _, kind := range kinds {
			for _, e := range s.kinds[kind].list {
				if !yield(e.Name) {
					return
				}
			}
		}
	}
	return &feasterr.NotFoundError{Kind: what, Name: name, Project: s.project, Near: feasterr.Near(name, names)}
}
