package plan

import (
	"errors"
	"slices"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/registry"
)

// Migration is what a change of the registry asks of the online store, in views: which tables those are depends on the
// store.
type Migration struct {
	keep, drop []storedView
	services   []service
	after      *registry.Snapshot
}

// service is a feature service that may have lost its vectors.
type service struct {
	was, is *registry.FeatureService // nil: it is no more
	before  *registry.Snapshot
}

// storedView is a version of a view that has, or had, a table.
type storedView struct {
	view     registry.View // nil: it cannot be read
	name     string
	version  int // 0: none
	entities Entities
	listed   bool // see [Tables]
	past     bool // it need not be the current version
}

// Migrate finds out what a commit asks of the online store. Views that the request names and that stay as they are
// count when all is set.
func Migrate(c *registry.Commit, all bool) Migration {
	m := Migration{}
	var before *registry.Snapshot
	for _, change := range c.Diff.Changes {
		if change.Action == registry.ActionUnchanged && !all {
			continue
		}
		svc, _ := change.Old.(*registry.FeatureService)
		vectors := svc != nil && svc.PrecomputeOnline && change.Action != registry.ActionUnchanged
		if change.ID.Kind != registry.KindViewVersion && !change.ID.Kind.IsView() && !vectors {
			continue
		}
		if m.after == nil {
			before, m.after = c.Before(), c.After()
		}
		if vectors {
			is, _ := change.New.(*registry.FeatureService)
			m.services = append(m.services, service{svc, is, before})
			continue
		}
		name := change.ID.Name
		if change.ID.Kind == registry.KindViewVersion { // perhaps of a view that is not promoted
			if v, err := m.after.ViewVersion(name, change.ID.Version); err == nil && hasTable(v) {
				m.keep = append(m.keep, storedView{view: v, name: name, version: change.ID.Version, entities: m.after.Entity, past: true})
			}
			continue
		}
		was, _ := change.Old.(registry.View)
		is, _ := change.New.(registry.View)
		switch {
		case is != nil && hasTable(is):
			m.keep = append(m.keep, storedView{
				view: is, name: name, version: is.Info().CurrentVersion, entities: m.after.Entity, listed: isListed(is.Info()),
			})
		case was != nil && hasTable(was), was == nil && change.Action == registry.ActionDelete:
			m.drop = append(m.drop, allVersions(before, was, name)...)
		}
	}
	return m
}

// Remove asks for all tables of a project to go that a commit deletes.
func Remove(c *registry.Commit) Migration {
	m := Migration{after: c.After()}
	s := c.Before()
	for v := range s.Views() {
		if hasTable(v) {
			m.drop = append(m.drop, allVersions(s, v, v.Info().Name)...)
		}
	}
	for svc := range s.FeatureServices() {
		if svc.PrecomputeOnline {
			m.services = append(m.services, service{was: svc, before: s})
		}
	}
	return m
}

// allVersions returns what a view may have been stored as.
func allVersions(s *registry.Snapshot, v registry.View, name string) []storedView {
	list := []storedView{{view: v, name: name, entities: s.Entity}}
	for h := range s.Versions(name) {
		if h.Number == 0 {
			continue
		}
		old, err := s.ViewVersion(name, h.Number)
		if err != nil {
			old = v
		}
		list = append(list, storedView{view: old, name: name, version: h.Number, entities: s.Entity})
	}
	return list
}

// hasTable reports whether rows of a view are stored. As in Feast those that are not served online have a table too.
func hasTable(v registry.View) bool {
	od, ok := v.(*registry.OnDemandFeatureView)
	return !ok || od.WriteToOnlineStore
}

// isListed reports whether Feast lists the table of a view, see [Tables].
func isListed(v registry.ViewInfo) bool {
	switch v.Kind {
	case registry.KindFeatureView, registry.KindStreamFeatureView:
		return true
	case registry.KindLabelView:
		return v.Online
	}
	return false
}

// Empty reports whether nothing is asked.
func (m Migration) Empty() bool { return len(m.keep) == 0 && len(m.drop) == 0 && len(m.services) == 0 }

// Tables is a migration for one store. No table is both kept and dropped, and none is dropped that a view still uses.
type Tables struct {
	Keep, Drop []*online.Table
	// Listed are those of Keep that Feast lists in the registry where it lists tables at all: of feature views, stream
	// feature views, and label views that are online. It drops tables that are listed and that it would not list, and
	// creates those that are not listed unless they exist. So tables of views with several versions are not listed, where
	// it may name others; they are among Unlisted, with all that must not be listed any more.
	Listed, Unlisted []*online.Table
}

// Tables returns what the migration is for a store.
func (m Migration) Tables(o Options) (Tables, error) {
	var out Tables
	versioned := o.Versioning && o.Store.Versioned
	table := func(v storedView) (*online.Table, error) {
		if !versioned {
			v.version = 0
		}
		bare := &online.Table{Project: m.after.ProjectName(), View: v.name, Version: v.version}
		if v.view == nil {
			return bare, nil
		}
		t, _, err := StoredTable(v.view, v.version, bare.Project, v.entities, o.KeyVersion)
		if err != nil {
			return bare, err
		}
		return t, nil
	}
	used := map[string]bool{}
	var errs []error
	for _, v := range m.keep {
		if v.past && !versioned { // the only table is that of the current version
			continue
		}
		t, err := table(v)
		if err != nil {
			errs = append(errs, err)
		}
		if used[t.ID()] {
			continue
		}
		used[t.ID()] = true
		out.Keep = append(out.Keep, t)
		switch {
		case v.listed && t.Version == 0:
			out.Listed = append(out.Listed, t)
		case v.listed:
			out.Unlisted = append(out.Unlisted, &online.Table{Project: t.Project, View: t.View})
			fallthrough
		default:
			out.Unlisted = append(out.Unlisted, t)
		}
	}
	if len(m.drop) > 0 && versioned { // version 1 of view "a" has the table of view "a_v1"
		for v := range m.after.Views() {
			t, _ := table(storedView{view: v, name: v.Info().Name, version: v.Info().CurrentVersion, entities: m.after.Entity})
			used[t.ID()] = true
		}
	}
	for _, v := range m.drop {
		t, _ := table(v) // one whose entity is gone can be dropped by its name
		if !used[t.ID()] {
			used[t.ID()] = true
			out.Drop = append(out.Drop, t)
		}
	}
	out.Unlisted = append(out.Unlisted, out.Drop...)
	for _, s := range m.services {
		if !o.Store.RowTimes { // and so has none
			break
		}
		was, is := vectorsOf(s.before, s.was, o), vectorsOf(m.after, s.is, o)
		if was != nil && (is == nil || !slices.Equal(was.JoinKeys, is.JoinKeys)) {
			out.Drop = append(out.Drop, was)
		}
	}
	out.Unlisted = slices.DeleteFunc(out.Unlisted, m.listed(versioned, out.Unlisted))
	return out, errors.Join(errs...)
}

// listed tells which of the tables are listed because of a view that is, or stays, current: it may have no part in the
// migration, and version 1 of view "a" have its table.
func (m Migration) listed(versioned bool, tables []*online.Table) func(*online.Table) bool {
	current := map[string]bool{}
	if len(tables) > 0 {
		for v := range m.after.Views() {
			if info := v.Info(); isListed(info) && !(versioned && info.CurrentVersion > 0) {
				current[(&online.Table{Project: m.after.ProjectName(), View: info.Name}).ID()] = true
			}
		}
	}
	return func(t *online.Table) bool { return current[t.ID()] }
}
