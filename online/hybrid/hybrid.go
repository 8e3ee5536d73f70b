// Package hybrid is the driver of Feast's hybrid online store, "hybrid" in feature_store.yaml: several stores, and for
// every feature view the one that a tag of the view names. Import it for its side effect together with the drivers of
// its stores, or pass a store made by [New] to feast.WithOnlineStore.
//
//	online_store:
//	  type: hybrid
//	  routing_tag: tribe # the default
//	  online_stores:
//	    - type: redis
//	      conf:
//	        connection_string: localhost:6379
//	    - type: sqlite
//	      conf:
//	        path: data/online_store.db
//
// Here, a view with the tag tribe: redis has its rows in Redis. Upper and lower case are the same, and of two stores of
// one type the later counts, as in Feast. A type may also be a class path, which stands for its short name. Feast's own
// update mixes the stores up; this one creates and removes every view in its own store alone.
package hybrid

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

func init() {
	online.Register(online.Driver{
		Names: []string{
			"hybrid", "feast.infra.online_stores.hybrid_online_store.hybrid_online_store.HybridOnlineStore",
		},
		Open: func(_ context.Context, cfg config.Section, env online.Env) (online.Store, error) {
			return open(cfg, env)
		},
	})
}

// settings are the keys of the online_store section.
type settings struct {
	RoutingTag   string `yaml:"routing_tag"`
	OnlineStores []struct {
		Type string         `yaml:"type,required"`
		Conf config.Section `yaml:"conf"`
	} `yaml:"online_stores,required"`
}

func open(cfg config.Section, env online.Env) (online.Store, error) {
	set := settings{RoutingTag: "tribe"}
	if err := cfg.Decode(&set); err != nil {
		return nil, err
	}
	sections := map[string]config.Section{}
	for _, s := range set.OnlineStores {
		if !strings.Contains(s.Type, ".") { // a class path has its own case
			s.Type = strings.ToLower(s.Type)
		}
		sections[strings.ToLower(config.CanonicalOnlineType(s.Type))] = s.Conf.WithType(s.Type)
	}
	stores := map[string]online.Store{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		s, err := env.Open(sections[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		stores[name] = s
	}
	s, err := newStore(set.RoutingTag, stores, env.KeyVersion)
	if err = errors.Join(append(errs, err)...); err != nil {
		for _, opened := range stores {
			err = errors.Join(err, opened.Close())
		}
		return nil, err
	}
	return s, nil
}

// Store keeps every view in one of several stores. Of their optional abilities (see [online.As]) it has
// [online.Pinger] and [online.Deleter], and none that would have it choose between them.
type Store struct {
	tag    string
	stores map[string]online.Store
	names  []string // of stores, sorted
	info   online.Info
}

// New returns a store of stores, which it closes with itself. The names are compared with the tag's values in lower
// case. Stores that insist on different serializations of entity keys cannot serve one project and are an error.
func New(routingTag string, stores map[string]online.Store) (*Store, error) {
	return newStore(routingTag, stores, 0)
}

// newStore is New where stores that do not insist on a serialization of entity keys have the given one, if it is known.
func newStore(tag string, stores map[string]online.Store, keyVersion int) (*Store, error) {
	s := &Store{
		tag:    tag,
		stores: map[string]online.Store{},
		info:   online.Info{Name: "hybrid", Versioned: true},
	}
	if tag == "" {
		return nil, feasterr.Invalid("hybrid: the routing tag has no name")
	}
	versions := map[int]string{} // the last store of each
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		lower := strings.ToLower(name)
		if s.stores[lower] != nil {
			return nil, feasterr.Invalid("hybrid: two stores are named %q", lower)
		}
		s.stores[lower] = stores[name]
		info := stores[name].Info()
		s.info.Versioned = s.info.Versioned && info.Versioned
		if info.KeyVersion != 0 {
			s.info.KeyVersion = info.KeyVersion
			versions[info.KeyVersion] = lower
		} else if keyVersion != 0 {
			versions[keyVersion] = lower
		}
	}
	if len(versions) > 1 {
		var each []string
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			each = append(each, fmt.Sprintf("%s needs %d", versions[v], v))
		}
		return nil, feasterr.Invalid("hybrid: the stores need entity keys of one serialization version, but %s",
			strings.Join(each, " and "))
	}
	s.names = slices.Sorted(maps.Keys(s.stores))
	return s, nil
}

// Info implements [online.Store]. Versions of views are kept apart when all stores keep them apart.
func (s *Store) Info() online.Info { return s.info }

// nameOf returns the name of the store that a table's tag asks for, and whether there is one.
func (s *Store) nameOf(t *online.Table) (string, bool) {
	name := strings.ToLower(t.Tags[s.tag])
	return name, s.stores[name] != nil
}

// check returns an error for each of the tables that has no store.
func (s *Store) check(tables ...*online.Table) error {
	var errs []error
	for _, t := range tables {
		if name, ok := s.nameOf(t); name == "" {
			errs = append(errs, feasterr.Invalid("feature view %q has no tag %q, which says in which store it is: one of %s",
				t.View, s.tag, strings.Join(s.names, ", ")))
		} else if !ok {
			errs = append(errs, feasterr.Invalid("feature view %q is in no store: its tag %q is %q, and there are %s",
				t.View, s.tag, t.Tags[s.tag], strings.Join(s.names, ", ")))
		}
	}
	return errors.Join(errs...)
}

// in returns those tables that are in the store of a name.
func (s *Store) in(name string, tables []*online.Table) []*online.Table {
	var out []*online.Table
	for _, t := range tables {
		if n, _ := s.nameOf(t); n == name {
			out = append(out, t)
		}
	}
	return out
}

// Write implements [online.Store].
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if err := s.check(b.Table); err != nil {
		return online.WriteResult{}, err
	}
	name, _ := s.nameOf(b.Table)
	res, err := s.stores[name].Write(ctx, b)
	return res, feasterr.InStore(name, "write", err)
}

// Delete implements [online.Deleter]. When the view's store cannot delete rows, the error is a feasterr.ErrUnsupported.
func (s *Store) Delete(ctx context.Context, t *online.Table, keys [][]byte) error {
	if err := s.check(t); err != nil {
		return err
	}
	name, _ := s.nameOf(t)
	d, ok := online.As[online.Deleter](s.stores[name])
	if !ok {
		return feasterr.Unsupported("feature view %q: online store %q cannot delete rows by entity key", t.View, name)
	}
	return feasterr.InStore(name, "delete", d.Delete(ctx, t, keys))
}

// Update implements [online.Store]. When a table has no store, nothing is changed in any.
func (s *Store) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.check(slices.Concat(keep, drop)...); err != nil {
		return err
	}
	var errs []error
	for _, name := range s.names {
		keep, drop := s.in(name, keep), s.in(name, drop)
		if len(keep)+len(drop) > 0 {
			errs = append(errs, feasterr.InStore(name, "update", s.stores[name].Update(ctx, keep, drop)))
		}
	}
	return errors.Join(errs...)
}

// Teardown implements [online.Store]. Tables that have no store have no rows either, and are left out.
func (s *Store) Teardown(ctx context.Context, tables []*online.Table) error {
	var errs []error
	for _, name := range s.names {
		errs = append(errs, feasterr.InStore(name, "teardown", s.stores[name].Teardown(ctx, s.in(name, tables))))
	}
	return errors.Join(errs...)
}

// Ping implements [online.Pinger] with all stores that do.
func (s *Store) Ping(ctx context.Context) error {
	var errs []error
	for _, name := range s.names {
		if p, ok := online.As[online.Pinger](s.stores[name]); ok {
			errs = append(errs, feasterr.InStore(name, "ping", p.Ping(ctx)))
		}
	}
	return errors.Join(errs...)
}

// Close implements [online.Store]. It closes all stores.
func (s *Store) Close() error {
	var errs []error
	for _, name := range s.names {
		errs = append(errs, feasterr.InStore(name, "close", s.stores[name].Close()))
	}
	return errors.Join(errs...)
}

// reader reads the parts of a plan that are in different stores at the same time.
type reader []part

// part is what a plan reads of one store.
type part struct {
	name   string
	tables []*online.Table
	reader online.Reader
}

// Prepare implements [online.Store].
func (s *Store) Prepare(plan *online.ReadPlan) (online.Reader, error) {
	if err := s.check(plan.Tables()...); err != nil {
		return nil, err
	}
	var r reader
	for _, name := range s.names {
		selected := plan.Select(func(t *online.Table) bool {
			n, _ := s.nameOf(t)
			return n == name
		})
		if len(selected.Tables()) == 0 {
			continue
		}
		sub, err := s.stores[name].Prepare(selected)
		if err != nil {
			return nil, feasterr.InStore(name, "prepare", err)
		}
		r = append(r, part{name, selected.Tables(), sub})
	}
	return r, nil
}

// Read implements [online.Reader]. A store that fails, be it that it alone did not answer before the deadline, fails its
// tables; the read as a whole fails when all stores do.
func (r reader) Read(ctx context.Context, keys *online.Keys, dst *online.Result) error {
	if len(r) == 1 {
		return feasterr.InStore(r[0].name, "read", r[0].reader.Read(ctx, keys, dst))
	}
	errs, forks := make([]error, len(r)), make([]*online.Result, len(r))
	for i := range r {
		forks[i] = dst.Fork()
	}
	var wg sync.WaitGroup
	for i, p := range r {
		wg.Go(func() { errs[i] = feasterr.InStore(p.name, "read", p.reader.Read(ctx, keys, forks[i])) })
	}
	wg.Wait()
	for _, f := range forks {
		dst.Join(f)
	}
	if !slices.Contains(errs, nil) {
		return errors.Join(errs...)
	}
	for i, err := range errs {
		if err != nil {
			for _, t := range r[i].tables {
				dst.Fail(t, err)
			}
		}
	}
	return nil
}
