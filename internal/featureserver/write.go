package featureserver

import (
	"context"
	"errors"
	"slices"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// pushModes are the values of the field to.
var pushModes = map[string]struct {
	mode    feast.PushMode
	actions []permissions.Action
}{
	"online":             {feast.ToOnline, []permissions.Action{permissions.WriteOnline}},
	"offline":            {feast.ToOffline, []permissions.Action{permissions.WriteOffline}},
	"online_and_offline": {feast.ToOnlineAndOffline, []permissions.Action{permissions.WriteOffline, permissions.WriteOnline}},
}

// push serves /push.
func (s *Server) push(ctx context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	source := m.text("push_source_name", true)
	df, _ := m.objectField("df")
	cached := m.flag("allow_registry_cache", true)
	to := "online"
	if _, given := m.get("to"); given {
		to = m.text("to", true)
	}
	m.flag("transform_on_write", true) // of no view that a push can feed
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	columns, err := c.frame(df)
	if err != nil {
		return nil, err
	}
	mode, ok := pushModes[to]
	if !ok {
		return nil, pythonError(to + " is not a supported push format. Please specify one of these ['online', 'offline', 'online_and_offline'].")
	}
	if !cached {
		if err := s.Store.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	fed := fedBy(snap, source)
	for _, v := range fed {
		if err := s.Guard.Check(ctx, snap, v.Resource(), mode.actions...); err != nil {
			return nil, err
		}
	}
	if source == "" || len(fed) == 0 && !s.Guard.Free(ctx) {
		// A source that feeds nothing in this state of the registry is not to feed anything in the next one, unchecked.
		return nil, &feasterr.NotFoundError{Kind: "push source", Name: source, Project: snap.ProjectName()}
	}
	if err := s.Store.Push(ctx, source, &c.batch, mode.mode); err != nil {
		return nil, s.whyWrite(ctx, fed, columns, mode.mode, err)
	}
	s.metrics.pushes.get(source, to).add(1)
	return &reply{status: 200}, nil
}

// fedBy returns the views that a push source feeds.
func fedBy(snap *registry.Snapshot, source string) (views []registry.View) {
	for v := range snap.Views() {
		if src := v.Info().StreamSource; src != nil && src.Name == source {
			if _, push := src.Options.(registry.PushOptions); push {
				views = append(views, v)
			}
		}
	}
	return views
}

// write serves /write-to-online-store.
func (s *Server) write(ctx context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	name := m.text("feature_view_name", true)
	df, _ := m.objectField("df")
	cached := m.flag("allow_registry_cache", true)
	transform := m.flag("transform_on_write", true)
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	columns, err := c.frame(df)
	if err != nil {
		return nil, err
	}
	if !cached {
		if err := s.Store.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	v, snap, err := s.view(ctx, name)
	if err != nil {
		if errors.Is(err, feasterr.ErrNotFound) {
			err = notRecognized(name)
		}
		return nil, err
	}
	if err := s.Guard.Check(ctx, snap, v.Resource(), permissions.WriteOnline); err != nil {
		return nil, err
	}
	if _, err := s.Store.WriteToOnlineStore(ctx, name, &c.batch, feast.WriteOptions{AsGiven: !transform}); err != nil {
		return nil, s.whyWrite(ctx, []registry.View{v}, columns, feast.ToOnline, err)
	}
	return nullReply(), nil
}

func nullReply() *reply { return &reply{status: 200, content: contentJSON, body: []byte("null")} }

// view looks a view up, also in a fresh registry.
func (s *Server) view(ctx context.Context, name string) (registry.View, *registry.Snapshot, error) {
	v, err := s.Store.View(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	snap, err := s.Store.Snapshot(ctx)
	return v, snap, err
}

// frame makes the batch of the field df as pandas does: arrays are columns, and what is no array is in every row.
func (c *call) frame(df text) ([]field, error) {
	c.entries = df.fields(c.entries[:0])
	columns := c.entries
	rows, lists := 0, 0
	for i := range columns {
		switch columns[i].value.kind() {
		case array:
			n := columns[i].value.len()
			if lists > 0 && n != rows {
				return nil, pythonError("All arrays must be of the same length")
			}
			rows, lists = n, lists+1
		case object:
			return nil, pythonError("Columns of the field df must be arrays")
		}
	}
	switch {
	case len(columns) > 0 && lists == 0:
		return nil, pythonError("If using all scalar values, you must pass an index")
	case rows > c.s.MaxRows:
		return nil, refuse(413, "The request has %d rows, and this server takes %d", rows, c.s.MaxRows)
	}
	c.fill(columns, false)
	for i := range columns {
		if t := columns[i].value; t.kind() != array {
			c.columns[i].anys = slices.Repeat([]any{t.native()}, rows)
			c.batch.SetAny(columns[i].name, c.columns[i].anys)
		}
	}
	return columns, nil
}
