package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

// Applier is implemented by backends that are servers. They keep the times of objects and the history of views
// themselves and change one object at a time, so that there is no transaction: a [Writer] checks and completes objects
// as for every backend, and hands over what changes, instead of calling Update.
type Applier interface {
	// ApplyObjects makes the changes one after the other: first what is put, then what is deleted, except for what is in
	// the way of what is put. What cannot be done at all is refused before anything is changed. When a change fails, those
	// before it stay; the error is an [*UnfinishedError] then.
	ApplyObjects(ctx context.Context, c *ChangeSet) error
}

// ChangeSet is what an [Applier] is to change in a project.
type ChangeSet struct {
	Project string
	Put     []Record // objects and the list of infrastructure, in the order in which they refer to each other
	Delete  []ID     // objects; a project stands for all that is in it
	// Along are those of Put that nobody gave: the project, where it seems not to be there, and [DummyEntity]. An identity
	// that may not see them may find them missing; a server that refuses them (feasterr.ErrDenied) decides on the rest.
	Along []ID
	// Window, when set, is what the view that is put was materialized for. It is put for nothing else.
	Window *Interval
}

// UnfinishedError says that an [Applier] made some of the changes that it was given, and not the others.
type UnfinishedError struct {
	Done   []ID // what was put or deleted
	Failed ID   // what was not
	Left   int  // how many changes after that were not tried
	Err    error
}

// Error implements error.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s: %v; a registry server changes one object at a time: done before were %s; %d after it were not tried; "+
		"repeat the call to complete all", e.Failed, e.Err, names(e.Done, 10), e.Left)
}

// Unwrap returns the error of the change that failed.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Lookuper is implemented by backends, such as servers, that may let an identity look up objects by name which it may
// not list. The kinds it may not list are in [State].Hidden.
type Lookuper interface {
	// Lookup returns one record, a feasterr.ErrNotFound when there is none. The kinds of views share their names: id.Kind
	// may be any of them, and the record has the one that it is. What was found once is part of what Load returns from
	// then on.
	Lookup(ctx context.Context, id ID) (Record, error)
}

// applyByServer is update for backends that are servers.
func (w *Writer) applyByServer(ctx context.Context, a Applier, fn func(*draft) error) error {
	d, err := w.read(ctx)
	if err != nil {
		return err
	}
	if err := fn(d); err != nil {
		return err
	}
	return d.send(ctx, a)
}

// read returns a draft of the project as it is, outside a transaction.
func (w *Writer) read(ctx context.Context) (*draft, error) {
	state, err := loadWritten(ctx, w.Backend, w.Project)
	if errors.Is(err, feasterr.ErrNotFound) {
		state, err = new(State), nil
	}
	if err != nil {
		return nil, err
	}
	if len(state.Hidden) > 0 {
		names := make([]string, len(state.Hidden))
		for i, kind := range state.Hidden {
			names[i] = kind.String()
		}
		return nil, fmt.Errorf("%w: what changes cannot be told without seeing all objects, and this identity may not list those of kind %s",
			feasterr.ErrDenied, strings.Join(names, ", "))
	}
	d := w.draft()
	for _, rec := range state.Records {
		d.add(rec)
	}
	return d, nil
}

// send has a server make the changes of a draft.
func (d *draft) send(ctx context.Context, a Applier) error {
	c := &ChangeSet{Project: d.project, Window: d.window}
	done := map[ID]bool{}
	for _, id := range d.changed {
		if done[id] || id.Kind == KindProjectMetadata || id.Kind == KindViewVersion { // which servers keep themselves
			continue
		}
		done[id] = true
		if e := d.records[id]; e != nil {
			c.Put = append(c.Put, e.Record)
			if id.Kind == KindProject && d.given[id] == nil || id.Kind == KindEntity && id.Name == DummyEntity {
				c.Along = append(c.Along, id)
			}
		} else if d.stored[id] != nil && id.Kind != KindInfra {
			c.Delete = append(c.Delete, id)
		}
	}
	if len(c.Put)+len(c.Delete) == 0 {
		return nil
	}
	// The project comes first: objects of one that does not exist would make it without its description.
	slices.SortStableFunc(c.Put, func(a, b Record) int { return first(a.Kind) - first(b.Kind) })
	return a.ApplyObjects(ctx, c)
}

func first(kind Kind) int {
	if kind == KindProject {
		return 0
	}
	return 1
}
