package registryserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// cache keeps the registry as it was last read. Every call asks the backend whether that is still so; calls that come
// while one is asking share the next answer.
type cache struct {
	mu      sync.Mutex
	current *state
	running *flight
	next    *flight // that waits for running to end, since it may have begun before the call came
}

type flight struct {
	done  chan struct{}
	state *state
	err   error
}

// get returns the registry as it is.
func (c *cache) get(ctx context.Context, b registry.Backend) (*state, error) {
	for {
		c.mu.Lock()
		f := c.next
		if f == nil {
			f = &flight{done: make(chan struct{})}
			c.next = f
			running := c.running
			c.mu.Unlock()
			c.fly(ctx, b, f, running)
			return f.state, f.err
		}
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if ended := errors.Is(f.err, context.Canceled) || errors.Is(f.err, context.DeadlineExceeded); !ended || ctx.Err() != nil {
			return f.state, f.err
		} // else it was the other call that ended
	}
}

// fly asks the backend, after running.
func (c *cache) fly(ctx context.Context, b registry.Backend, f, running *flight) {
	defer close(f.done)
	if running != nil {
		select {
		case <-running.done:
		case <-ctx.Done():
			f.err = ctx.Err()
			c.mu.Lock()
			c.next = nil
			c.mu.Unlock()
			return
		}
	}
	c.mu.Lock()
	c.next, c.running = nil, f
	was := c.current
	c.mu.Unlock()
	f.state, f.err = load(ctx, b, was)
	c.mu.Lock()
	c.running = nil
	if f.err == nil {
		c.current = f.state
	}
	c.mu.Unlock()
}

func load(ctx context.Context, b registry.Backend, was *state) (*state, error) {
	var have registry.Token
	if was != nil {
		have = was.token
	}
	loaded, token, err := b.Load(ctx, have)
	switch {
	case errors.Is(err, feasterr.ErrNotFound): // nothing was written yet
		return newState(new(registry.State), "", was), nil
	case err != nil:
		return nil, err
	case loaded == nil:
		return was, nil
	}
	return newState(loaded, token, was), nil
}

// state is a registry at one moment.
type state struct {
	*registry.State

	token    registry.Token
	digest   string // of the token
	projects map[string]*project
	names    []string // of those that the registry has a record of, in its order
}

// newState groups the records by project. Projects of which nothing changed stay, with what was decoded of them.
func newState(loaded *registry.State, token registry.Token, was *state) *state {
	sum := sha256.Sum256([]byte(token))
	s := &state{State: loaded, token: token, digest: hex.EncodeToString(sum[:8]), projects: map[string]*project{}}
	at := func(name string) *project {
		p := s.projects[name]
		if p == nil {
			p = &project{state: registry.State{VersionID: loaded.VersionID, LastUpdated: loaded.LastUpdated}, name: name, token: token}
			if was != nil && was.projects[name] != nil {
				p.prev = was.projects[name].latest()
			}
			s.projects[name] = p
		}
		return p
	}
	var shared []registry.Record // the infrastructure of all projects
	for _, r := range loaded.Records {
		if r.Project == "" {
			shared = append(shared, r)
			continue
		}
		if r.Kind == registry.KindProject {
			s.names = append(s.names, r.Name)
		}
		p := at(r.Project)
		p.state.Records = append(p.state.Records, r)
	}
	for _, b := range loaded.Bad {
		if b.ID.Project != "" {
			at(b.ID.Project)
		}
	}
	for _, p := range s.projects {
		p.state.Records = append(p.state.Records, shared...)
		p.state.Bad = loaded.Bad
	}
	return s
}

// project returns a project, an empty one when there is none of the name.
func (s *state) project(name string) *project {
	if p := s.projects[name]; p != nil {
		return p
	}
	return &project{name: name, token: s.token, state: registry.State{Bad: s.Bad}}
}

// has reports whether there is a project of the name: old registries have no record of it, but of what is in it.
func (s *state) has(name string) bool { return s.projects[name] != nil }

// project is a project at one moment. What is asked for is made once, on first use.
type project struct {
	name  string
	token registry.Token

	mu    sync.Mutex
	state registry.State // until there is a snapshot
	prev  *project       // an older one, until there is a snapshot
	snap  *registry.Snapshot
	kinds map[registry.Kind]*items
}

// items are the objects of a kind.
type items struct {
	list   []*item
	byName map[string]*item
}

// latest returns the project, or the older one that it would take objects from.
func (p *project) latest() *project {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.snap == nil {
		return p.prev
	}
	p.prev = nil // or each would keep all before it
	return p
}

func (p *project) snapshot() *registry.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index()
	return p.snap
}

// index makes the snapshot. p.mu is held.
func (p *project) index() {
	if p.snap != nil {
		return
	}
	var was *registry.Snapshot
	if p.prev != nil {
		was = p.prev.snap
	}
	p.snap, p.kinds = registry.NewSnapshot(p.name, &p.state, p.token, was), map[registry.Kind]*items{}
	p.state.Records = nil
}

func (p *project) items(kind registry.Kind) *items {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index()
	found := p.kinds[kind]
	if found != nil {
		return found
	}
	var was *items
	if p.prev != nil {
		p.prev.mu.Lock()
		was = p.prev.kinds[kind]
		p.prev.mu.Unlock()
	}
	found = &items{byName: map[string]*item{}}
	for o := range p.snap.Kind(kind) {
		i := &item{object: o, resource: o.Resource()}
		if was != nil {
			if old := was.byName[i.resource.Name]; old != nil && old.object == o {
				i = old
			}
		}
		found.list = append(found.list, i)
		if found.byName[i.resource.Name] == nil {
			found.byName[i.resource.Name] = i
		}
	}
	p.kinds[kind] = found
	return found
}

// all returns the objects of some kinds, one kind after the other.
func (p *project) all(kinds ...registry.Kind) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, kind := range kinds {
			for _, i := range p.items(kind).list {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// find returns the first object of that name of the kinds.
func (p *project) find(name string, kinds ...registry.Kind) (*item, error) {
	for _, kind := range kinds {
		if i := p.items(kind).byName[name]; i != nil {
			return i, nil
		}
	}
	for _, kind := range kinds { // one that cannot be read is an error of its own
		if _, err := p.snapshot().Object(kind, name); err != nil && !errors.Is(err, feasterr.ErrNotFound) {
			return nil, err
		}
	}
	missing := &feasterr.NotFoundError{Kind: kinds[0].String(), Name: name, Project: p.name}
	if kinds[0] == registry.KindProject {
		missing.Project = ""
	}
	return nil, missing
}

// item is an object. It never changes.
type item struct {
	object   registry.Object
	resource permissions.Resource

	once    sync.Once
	message proto.Message
	err     error
}

// proto returns the message of the object as it is answered: without its project, as in Feast. It must not be changed.
func (i *item) proto() (proto.Message, error) {
	i.once.Do(func() {
		m := newMessage(registry.KindOf(i.object))
		if err := proto.Unmarshal(i.object.Origin().Proto, m); err != nil {
			i.err = feasterr.Invalid("%s %q cannot be read: %w", registry.KindOf(i.object), i.resource.Name, err)
			return
		}
		withoutProject(m)
		i.message = m
	})
	return i.message, i.err
}

// newMessage returns an empty message of a kind.
func newMessage(kind registry.Kind) proto.Message {
	switch kind {
	case registry.KindProject:
		return new(core.Project)
	case registry.KindEntity:
		return new(core.Entity)
	case registry.KindDataSource:
		return new(core.DataSource)
	case registry.KindFeatureView:
		return new(core.FeatureView)
	case registry.KindStreamFeatureView:
		return new(core.StreamFeatureView)
	case registry.KindOnDemandFeatureView:
		return new(core.OnDemandFeatureView)
	case registry.KindLabelView:
		return new(core.LabelView)
	case registry.KindFeatureService:
		return new(core.FeatureService)
	case registry.KindSavedDataset:
		return new(core.SavedDataset)
	case registry.KindValidationReference:
		return new(core.ValidationReference)
	}
	return new(core.Permission)
}

func withoutProject(message proto.Message) {
	m := message.ProtoReflect()
	if spec := m.Descriptor().Fields().ByName("spec"); spec != nil && m.Has(spec) {
		m = m.Mutable(spec).Message()
	}
	if f := m.Descriptor().Fields().ByName("project"); f != nil && f.Kind() == protoreflect.StringKind {
		m.Clear(f)
	}
}
