package remote

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/offline"
)

// eventTimestamp is where Feast's server looks for the times of entity rows.
const eventTimestamp = "event_timestamp"

// Historical implements [offline.Store].
func (s *Store) Historical(ctx context.Context, p *offline.JoinPlan, e offline.EntityRows) (offline.Job, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	command := &flightwire.HistoricalCommand{API: flightwire.Historical, Project: s.project, FullNames: p.FullNames, SQL: e.SQL}
	var features []wanted
	for i := range p.Views {
		v := &p.Views[i]
		switch {
		case v.View == "":
			return nil, feasterr.Unsupported("feature view %q cannot be read by its name, as the offline server does: it is a version, or has a join key map without an alias", v.Name)
		case p.FilterByCreated && v.Created != "":
			return nil, feasterr.Unsupported("the offline server cannot leave out rows by their created time: FilterByCreatedTimestamp is not supported")
		}
		alias := (*string)(nil)
		if v.Alias != "" {
			alias = &v.Alias
		}
		command.Views, command.Aliases = append(command.Views, v.View), append(command.Aliases, alias)
		for _, f := range v.Features {
			feature := f.Name
			if p.FullNames {
				feature = strings.TrimPrefix(feature, v.Name+"__")
			}
			command.Features = append(command.Features, v.Name+":"+feature)
			features = append(features, wanted{from: f.Name, name: f.Name})
		}
	}
	if e.Rows == nil {
		return &job{store: s, read: func(ctx context.Context) (array.RecordReader, error) {
			command.ID = newID()
			a, err := s.exchange(ctx, command, nil)
			if err != nil {
				return nil, err
			}
			return selected(a, append(others(a.Schema(), features), features...))
		}}, nil
	}
	rows, event, err := eventFirst(e)
	if err != nil {
		return nil, err
	}
	var columns []wanted
	for i, f := range rows.Schema().Fields() {
		name := f.Name
		if i == event {
			name = e.Event
		}
		columns = append(columns, wanted{f.Name, name, f.Type})
	}
	columns = append(columns, features...)
	var begun atomic.Bool
	return &job{store: s, close: e.Rows.Release, read: func(ctx context.Context) (array.RecordReader, error) {
		if begun.Swap(true) {
			return nil, feasterr.Invalid("the entity rows were read already, and come once")
		}
		c := *command
		c.ID = newID()
		a, err := s.exchange(ctx, &c, rows)
		if err != nil {
			return nil, err
		}
		return selected(a, columns)
	}}, nil
}

// renamed is a reader whose column of times goes by the name that the server looks for.
type renamed struct {
	array.RecordReader
	schema *arrow.Schema
}

func (r *renamed) Schema() *arrow.Schema { return r.schema }
func (r *renamed) RecordBatch() arrow.RecordBatch {
	b := r.RecordReader.RecordBatch()
	return array.NewRecordBatch(r.schema, b.Columns(), b.NumRows())
}
func (r *renamed) Record() arrow.RecordBatch { return r.RecordBatch() }

// eventFirst has the server find the column of times: it takes event_timestamp, or else the only one with times. It returns
// which column that is.
func eventFirst(e offline.EntityRows) (array.RecordReader, int, error) {
	schema := e.Rows.Schema()
	at := schema.FieldIndices(e.Event)
	if len(at) == 0 {
		return nil, 0, &feasterr.NotFoundError{Kind: "column", Name: e.Event, In: "the entity rows"}
	}
	times := 0
	for _, f := range schema.Fields() {
		if f.Type.ID() == arrow.TIMESTAMP {
			times++
		}
	}
	if e.Event == eventTimestamp || times == 1 && schema.Field(at[0]).Type.ID() == arrow.TIMESTAMP && !flightwire.IsPlaceholder(schema) {
		return e.Rows, at[0], nil
	}
	if schema.HasField(eventTimestamp) {
		return nil, 0, feasterr.Unsupported("the times of the entity rows are in column %q, and the offline server takes them from %q: rename the latter", e.Event, eventTimestamp)
	}
	fields := slices.Clone(schema.Fields())
	fields[at[0]].Name = eventTimestamp
	return &renamed{e.Rows, arrow.NewSchema(fields, nil)}, at[0], nil
}

// others are the columns that are no features, in their order.
func others(s *arrow.Schema, features []wanted) (columns []wanted) {
	for _, f := range s.Fields() {
		if !slices.ContainsFunc(features, func(w wanted) bool { return w.from == f.Name }) {
			columns = append(columns, wanted{from: f.Name, name: f.Name})
		}
	}
	return columns
}

// Latest implements [offline.Store].
func (s *Store) Latest(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.scan(ctx, flightwire.Latest, p)
}

// All implements [offline.Store].
func (s *Store) All(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.scan(ctx, flightwire.All, p)
}

// scan asks for rows of a source. Columns have the names of the source on the wire, as in Feast. A window without an end
// reaches as far as nanoseconds do, since the server needs both; what is shorter than a microsecond at its ends is lost.
func (s *Store) scan(ctx context.Context, api string, p *offline.ScanPlan) (offline.Job, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if p.Shard < 0 || p.Shard >= max(p.Shards, 1) {
		return nil, feasterr.Invalid("shard %d of %d", p.Shard, p.Shards)
	}
	if p.Source.Name == "" {
		return nil, feasterr.Unsupported("the data source of %q has no name, by which the offline server could read it", p.Name)
	}
	command := &flightwire.ScanCommand{
		API: api, Source: p.Source.Name, Keys: []string{}, Features: []string{}, Event: p.Event.Source,
		Start: flightwire.Date(bounded(p.Start.Add(999*time.Nanosecond), p.Start.IsZero(), flightwire.Earliest)),
		End:   flightwire.Date(bounded(p.End, p.End.IsZero(), flightwire.Furthest)),
	}
	if p.Shard > 0 { // everything is in the first: there is no dividing what the server reads
		command.Start, command.End = flightwire.Date(time.Unix(1, 0)), flightwire.Date(time.Unix(0, 0))
	}
	var columns []wanted
	for _, k := range p.Keys {
		columns = append(columns, wanted{from: k.Source, name: k.Name})
		if !slices.Contains(command.Keys, k.Source) {
			command.Keys = append(command.Keys, k.Source)
		}
	}
	for _, f := range p.Features {
		columns = append(columns, wanted{from: f.Source, name: f.Name})
		if !slices.Contains(command.Features, f.Source) && !slices.Contains(command.Keys, f.Source) && f.Source != p.Event.Source && f.Source != p.Created.Source {
			command.Features = append(command.Features, f.Source)
		}
	}
	columns = append(columns, wanted{from: p.Event.Source, name: p.Event.Name})
	if p.Created.Source != "" {
		columns = append(columns, wanted{from: p.Created.Source, name: p.Created.Name})
		if api == flightwire.Latest {
			command.Created = &p.Created.Source
		} else if !slices.Contains(slices.Concat(command.Keys, command.Features), p.Created.Source) && p.Created.Source != p.Event.Source {
			command.Features = append(command.Features, p.Created.Source) // where stores differ in whether they answer it
		}
	}
	return &job{store: s, read: func(ctx context.Context) (array.RecordReader, error) {
		c := *command
		c.ID = newID()
		a, err := s.exchange(ctx, &c, nil)
		if err != nil {
			return nil, err
		}
		return selected(a, columns)
	}}, nil
}

// bounded is t, or limit where there is none, within what all stores can compare with.
func bounded(t time.Time, none bool, limit time.Time) time.Time {
	switch {
	case none:
		return limit
	case t.Before(flightwire.Earliest):
		return flightwire.Earliest
	case t.After(flightwire.Furthest):
		return flightwire.Furthest
	}
	return t
}

// job is a call that was not made yet.
type job struct {
	store *Store
	read  func(context.Context) (array.RecordReader, error)
	close func()
	once  sync.Once
}

// Read implements [offline.Job].
func (j *job) Read(ctx context.Context) (array.RecordReader, error) {
	end, err := j.store.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return j.read(ctx)
}

// Close implements [offline.Job].
func (j *job) Close() error {
	j.once.Do(func() {
		if j.close != nil {
			j.close()
		}
	})
	return nil
}

// wanted is a column of the answer and its name in the result.
type wanted struct {
	from, name string
	sent       arrow.DataType // of a column of the entity rows, which comes back; else nil
}

// result is an answer with its columns in order.
type result struct {
	refs    atomic.Int64
	answer  *answer
	schema  *arrow.Schema
	at      []int
	current arrow.RecordBatch
	err     error
}

// selected takes over the answer.
func selected(a *answer, columns []wanted) (array.RecordReader, error) {
	r := &result{answer: a}
	r.refs.Store(1)
	var fields []arrow.Field
	for _, c := range columns {
		at := a.Schema().FieldIndices(c.from)
		if len(at) != 1 {
			a.close()
			return nil, feasterr.Invalid("the offline server answered %d columns %q, and one was asked for", len(at), c.from)
		}
		f := a.Schema().Field(at[0])
		f.Name, f.Type, f.Nullable, f.Metadata = c.name, restoredType(resultType(f.Type), c.sent), true, arrow.Metadata{}
		fields, r.at = append(fields, f), append(r.at, at[0])
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r, nil
}

// Retain implements [array.RecordReader].
func (r *result) Retain() { r.refs.Add(1) }

// Release implements [array.RecordReader]. It ends the call.
func (r *result) Release() {
	if r.refs.Add(-1) == 0 {
		r.drop()
		r.answer.close()
	}
}

func (r *result) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}

// Schema implements [array.RecordReader].
func (r *result) Schema() *arrow.Schema { return r.schema }

// Next implements [array.RecordReader].
func (r *result) Next() bool {
	r.drop()
	if r.err != nil || !r.answer.Next() {
		return false
	}
	b := r.answer.RecordBatch()
	columns := make([]arrow.Array, len(r.at))
	for i, at := range r.at {
		c := converted(b.Column(at), resultType(b.Column(at).DataType()))
		columns[i], r.err = restored(c, r.schema.Field(i))
		c.Release()
		if r.err != nil {
			for _, c := range columns[:i] {
				c.Release()
			}
			return false
		}
	}
	r.current = array.NewRecordBatch(r.schema, columns, b.NumRows())
	for _, c := range columns {
		c.Release()
	}
	return true
}

// RecordBatch implements [array.RecordReader].
func (r *result) RecordBatch() arrow.RecordBatch { return r.current }

// Record implements [array.RecordReader].
func (r *result) Record() arrow.RecordBatch { return r.current }

// Err implements [array.RecordReader].
func (r *result) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.answer.Err()
}
