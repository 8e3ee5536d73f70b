package featureserver

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
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
	c.decode(columns, fed)
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
	c.decode(columns, []registry.View{v})
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

var bytesTypes = []types.Type{types.Bytes, types.PdfBytes, types.ImageBytes}

// decode makes bytes of base64, and times of ISO 8601 text, in features of these types: so clients of this library have them
// in JSON. Feast's server refuses both. What is neither stays, and is refused with its place.
func (c *call) decode(columns []field, views []registry.View) {
	for i := range columns {
		typ := featureType(views, columns[i].name)
		var from func(string) (any, bool)
		switch {
		case slices.Contains(bytesTypes, typ) || typ.Elem() == types.Bytes:
			from = func(s string) (any, bool) {
				b, err := base64.StdEncoding.DecodeString(s)
				return b, err == nil
			}
		case typ == types.UnixTimestamp || typ.Elem() == types.UnixTimestamp:
			from = func(s string) (any, bool) {
				t, ok := types.ParseISOTime(s)
				return t.Time(), ok
			}
		default:
			continue
		}
		for row, v := range c.columns[i].anys {
			c.columns[i].anys[row] = decoded(v, from)
		}
	}
}

func decoded(v any, from func(string) (any, bool)) any {
	switch v := v.(type) {
	case string:
		if to, ok := from(v); ok {
			return to
		}
	case []any:
		for i := range v {
			v[i] = decoded(v[i], from)
		}
	}
	return v
}

// featureType is the type of a feature of views, Invalid where they differ.
func featureType(views []registry.View, name string) (typ types.Type) {
	for _, v := range views {
		for _, f := range v.Info().Features {
			switch {
			case f.Name != name || f.Type == typ:
			case typ != types.Invalid:
				return types.Invalid
			default:
				typ = f.Type
			}
		}
	}
	return typ
}
