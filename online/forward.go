package online

import (
	"context"
	"slices"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/types"
)

// Forwarder is implemented by stores that can have whole requests answered elsewhere: by a feature server, which knows
// services, on-demand views and a registry of its own. Only the feature store's own store is asked to, never one that
// another wraps, below which there are only tables.
type Forwarder interface {
	// Forward sends a request and puts the answer into dst, which must not be touched after Forward returned.
	Forward(ctx context.Context, q *Request, dst *Response) error
}

// Request is an online request as the caller made it.
type Request struct {
	Features     []string // references, or
	Service      string
	FullNames    bool
	ViewVersions bool
	// Entities are the columns of the entity rows, of equal length: join keys and request data. There is at least one row.
	Entities []*types.Column
	// TypeOf returns the type of a column of the answer, [types.Invalid] when only its values can tell.
	TypeOf func(name string) types.Type
}

// Response receives the answer to a [Request].
type Response struct {
	// Entities and Result are where the columns go, set by the caller: entity columns into one, each feature into a table of
	// its own in the other.
	Entities *types.Block
	Result   *Result
	// Views are the views that were read with their versions, when the request asked for them.
	Views []ViewVersion

	fields []types.Field
	keys   int
	plan   *ReadPlan
}

// ViewVersion is a view that was read, and the version of it: 0 when it has none.
type ViewVersion struct {
	Name    string
	Version int
}

// Reset shapes the answer to a request: columns in the order of the answer, entity columns first.
func (r *Response) Reset(q *Request, fields []types.Field, rows int) error {
	if want := q.Entities[0].Len(); rows != want {
		return feasterr.Invalid("the answer has %d rows, and the request has %d", rows, want)
	}
	r.Views = r.Views[:0]
	keys := 0
	if q.Service == "" { // each reference is a column, and no more are
		keys = max(0, len(fields)-len(q.Features))
	} else {
		for keys < len(fields) && slices.ContainsFunc(q.Entities, func(c *types.Column) bool { return c.Name() == fields[keys].Name }) {
			keys++
		}
	}
	if r.plan == nil || r.keys != keys || !slices.Equal(r.fields, fields) {
		r.fields, r.keys = slices.Clone(fields), keys
		tables := make([]*Table, len(fields)-keys)
		for i := range tables {
			tables[i] = &Table{Features: r.fields[keys+i : keys+i+1 : keys+i+1]}
		}
		r.plan = NewReadPlan(tables)
	}
	r.Entities.Reset(r.fields[:r.keys:r.keys], rows)
	r.Result.Reset(r.plan, rows)
	return nil
}

// Fields returns the columns. The slice must not be changed.
func (r *Response) Fields() []types.Field { return r.fields }

// Keys returns how many of the columns are entity columns.
func (r *Response) Keys() int { return r.keys }

// Plan returns the plan of [Response.Result]: a table for each column of a feature.
func (r *Response) Plan() *ReadPlan { return r.plan }

// Set sets a cell: its status as the server says, its event time, and the value as JSON (see [types.Column.SetJSON]). A null
// is no [types.Present] value, whatever the server says (docs/compatibility.md, line 1).
func (r *Response) Set(column, row int, status types.Status, event types.Timestamp, value []byte) error {
	if column < r.keys {
		return r.named(column, row, r.Entities.Columns()[column].SetJSON(row, value))
	}
	t := r.plan.tables[column-r.keys]
	c := r.Result.Column(t, 0)
	switch {
	case status == types.NotFound:
		if !event.IsZero() { // the row is there, this feature of it is not
			r.Result.Row(t, row, event)
		}
		return nil
	case status == types.Failed:
		c.Clear(row, types.Failed)
		return nil
	}
	r.Result.Row(t, row, event)
	if err := c.SetJSON(row, value); err != nil {
		return r.named(column, row, err)
	}
	if status == types.OutsideMaxAge {
		c.SetStatus(row, status)
	}
	return nil
}

func (r *Response) named(column, row int, err error) error {
	if err == nil {
		return nil
	}
	return feasterr.Invalid("column %s, row %d of the answer: %w", r.fields[column].Name, row, err)
}

// Pusher is implemented by a [Forwarder] that has rows written, too, for a program that cannot read the registry: what the
// rows hold is found out by who knows views.
type Pusher interface {
	// Push has rows written, or refused, as a whole. It does not keep them.
	Push(ctx context.Context, p *Push) error
}

// Push are rows as the caller gave them: for a view, or for the views of a push source.
type Push struct {
	View    string
	AsGiven bool // the values of an on-demand view are written as they are, not computed

	Source string
	To     string // Feast's name of the push mode: "online", "offline", "online_and_offline"

	Columns []JSONColumn // of equal length
}

// JSONColumn are values as a JSON array, in the form in which Feast's feature server takes them in rows that are written:
// bytes in base64, maps as the text of their JSON, times as ISO 8601 text in UTC with microseconds.
type JSONColumn struct {
	Name   string
	Values []byte
}

// Materializer is implemented by a [Forwarder] that has views materialized elsewhere, for a program that reaches no registry
// or no offline store.
type Materializer interface {
	// Materialize returns when all is materialized.
	Materialize(ctx context.Context, m *Materialization) error
}

// Materialization says what to materialize.
type Materialization struct {
	Start, End time.Time // Start is zero where each view goes on from where it was materialized to
	Views      []string  // empty: all
	Version    string    // of the one view; empty: as it is
}
