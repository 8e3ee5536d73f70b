package feast

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// WriteToOfflineStore adds rows to the batch source of a view, of any kind but on-demand, all or none, and returns their
// number. The rows have the source's columns, by the source's names and in any order: all of them and no other. Values are
// stored in the source's types and have to fit them exactly; []any, and what comes from JSON, is coerced by Feast's rules.
// Join keys and event times may not be null. Times may be ISO 8601 text or nanoseconds since 1970, as for
// [FeatureStore.WriteToOnlineStore]. Of rows that tie, those that were written last win.
//
// A source that does not exist yet is made where the store can, with the columns of the view.
func (fs *FeatureStore) WriteToOfflineStore(ctx context.Context, view string, rows Frame) (int, error) {
	if err := fs.writable(ctx); err != nil {
		return 0, err
	}
	to, _, err := resolve(ctx, fs, func(snap *registry.Snapshot) (*plan.Append, error) {
		v, err := snap.View(view)
		if err != nil {
			return nil, err
		}
		return plan.ResolveAppend(snap, v)
	})
	if err != nil {
		return 0, err
	}
	a, err := fs.prepareAppend(ctx, []*plan.Append{to}, rows)
	if err != nil {
		return 0, err
	}
	defer a.release()
	return a.run(ctx, 0)
}

// appends are rows that are ready to be written to the batch sources of views.
type appends struct {
	store  offline.Store
	views  []*plan.Append
	rows   map[string]arrow.RecordBatch // by source; nothing when there are no rows
	failed map[string]error             // of sources that were written to
}

func (a *appends) release() {
	for _, rb := range a.rows {
		rb.Release()
	}
}

// prepareAppend converts rows for the batch sources of views, each once. All problems with columns are reported together.
func (fs *FeatureStore) prepareAppend(ctx context.Context, views []*plan.Append, rows Frame) (*appends, error) {
	store, err := fs.offlineStore(ctx)
	if err != nil {
		return nil, err
	}
	if rows == nil {
		return nil, feasterr.Invalid("no rows: the frame is nil")
	}
	a := &appends{store: store, views: views, rows: map[string]arrow.RecordBatch{}, failed: map[string]error{}}
	frame, names, n, err := loadFrame(ctx, rows, nil, nil)
	if err != nil || n == 0 { // as in Feast, no rows need no columns
		return a, err
	}
	var errs []error
	for i, v := range views {
		if rb := a.rows[v.Source.Name]; rb != nil { // of a view before, which may have other keys
			errs = append(errs, nulls(v, rb, views[:i]))
			continue
		}
		schema, err := sourceSchema(ctx, store, v)
		if err == nil {
			err = sameColumns(v, schema, names)
		}
		var rb arrow.RecordBatch
		if err == nil {
			rb, err = sourceRows(ctx, schema, frame, names)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.rows[v.Source.Name] = rb
		errs = append(errs, nulls(v, rb, nil))
	}
	if err := errors.Join(errs...); err != nil {
		a.release()
		return nil, err
	}
	return a, nil
}

// run writes the rows to the source of a view, unless they are there because of another view.
func (a *appends) run(ctx context.Context, view int) (int, error) {
	source := a.views[view].Source
	rb := a.rows[source.Name]
	if rb == nil {
		return 0, nil
	}
	if err, done := a.failed[source.Name]; done {
		return 0, err
	}
	r, err := array.NewRecordReader(rb.Schema(), []arrow.RecordBatch{rb})
	if err != nil {
		return 0, err
	}
	defer r.Release()
	n, err := a.store.Append(ctx, source, r)
	a.failed[source.Name] = feasterr.InStore(a.store.Info().Name, "append", err)
	return int(n), a.failed[source.Name]
}

// sourceSchema returns the columns of a view's batch source: those it has, or those it will have.
func sourceSchema(ctx context.Context, store offline.Store, a *plan.Append) (*arrow.Schema, error) {
	schema, err := store.Describe(ctx, a.Source)
	if !errors.Is(err, feasterr.ErrNotFound) {
		return schema, feasterr.InStore(store.Info().Name, "describe", err)
	}
	var fields []arrow.Field
	for _, f := range a.Fields {
		if f.Type == types.Invalid {
			return nil, feasterr.InStore(store.Info().Name, "describe", err)
		}
		dt, err := arrowconv.DataType(f.Type, "")
		if err != nil {
			return nil, err
		}
		fields = append(fields, arrow.Field{Name: f.Name, Type: dt, Nullable: true})
	}
	return arrow.NewSchema(fields, nil), nil
}

// sameColumns reports columns that the source has and the rows have not, and the other way round.
func sameColumns(a *plan.Append, schema *arrow.Schema, names []string) error {
	var missing, extra []string
	for _, f := range schema.Fields() {
		if !slices.Contains(names, f.Name) {
			missing = append(missing, f.Name)
		}
	}
	for _, name := range names {
		if !schema.HasField(name) {
			extra = append(extra, name)
		}
	}
	if len(missing)+len(extra) == 0 {
		return nil
	}
	slices.Sort(missing)
	slices.Sort(extra)
	var problems []string
	if len(missing) > 0 {
		problems = append(problems, "missing are "+strings.Join(missing, ", "))
	}
	if len(extra) > 0 {
		problems = append(problems, "not in the source are "+strings.Join(extra, ", "))
	}
	return &feasterr.RequestError{
		Column: slices.Concat(missing, extra)[0], Row: -1,
		Msg: fmt.Sprintf("rows for the offline store must have the columns of data source %q of feature view %q, and no other: %s",
			a.Source.Name, a.View, strings.Join(problems, "; ")),
	}
}

// sourceRows makes a record batch of a frame, with the columns of a source in its order.
func sourceRows(ctx context.Context, schema *arrow.Schema, frame []frameColumn, names []string) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, len(frame))
	fields := slices.Clone(schema.Fields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i := range fields {
		c := &frame[slices.Index(names, fields[i].Name)]
		array, err := sourceColumn(ctx, c, fields[i].Type)
		if err != nil {
			return nil, err
		}
		fields[i].Type = array.DataType()
		columns = append(columns, array)
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(frame[0].n)), nil
}

// sourceColumn makes an array of a frame's column. The store casts it where it is of another type than its own.
func sourceColumn(ctx context.Context, c *frameColumn, dt arrow.DataType) (arrow.Array, error) {
	switch {
	case dt.ID() == arrow.TIMESTAMP && !(c.kind == colArrow && c.array().DataType().ID() == arrow.TIMESTAMP):
		return anyTimes(ctx, c)
	case c.kind != colAny && c.kind != colOther:
		return arrowOf(ctx, c)
	}
	typ := arrowconv.TypeOf(dt)
	if typ == types.Invalid {
		return nil, feasterr.Unsupported("column %q: the source has it as %s, which is made of Arrow arrays only: use feast.ArrowFrame", c.name, arrowconv.TypeText(dt))
	}
	if dt.ID() == arrow.LARGE_STRING {
		dt = arrow.BinaryTypes.String
	}
	return inParts(ctx, c, typ, dt, func(dst *types.Column, part *frameColumn) error { return fill(dst, part, true) })
}

// inParts makes an array of a column part by part, so that it can end when ctx does. fill converts a part.
func inParts(ctx context.Context, c *frameColumn, typ types.Type, dt arrow.DataType, fill func(dst *types.Column, part *frameColumn) error) (arrow.Array, error) {
	parts := make([]arrow.Array, 0, 1+c.n/lookRows)
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for from := 0; from < c.n || from == 0; from += lookRows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := c.part(from, min(lookRows, c.n-from))
		col := types.NewColumn(c.name, typ, part.n)
		if err := fill(col, &part); err != nil {
			return nil, inRows(err, from)
		}
		a, err := arrowconv.Array(col, dt, memory.DefaultAllocator)
		if err != nil {
			return nil, inRows(err, from)
		}
		parts = append(parts, a)
	}
	if len(parts) == 1 {
		parts[0].Retain()
		return parts[0], nil
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// anyTimes makes timestamps of times in any of their forms.
func anyTimes(ctx context.Context, c *frameColumn) (arrow.Array, error) {
	value := c.value
	switch c.kind {
	case colTime:
		times := slice[time.Time](c)
		return timesOf(ctx, c, func(i int) (time.Time, bool, error) { return times[i], !times[i].IsZero(), nil })
	case colArrow:
		value = c.arrowTime
	}
	return timesOf(ctx, c, func(i int) (time.Time, bool, error) {
		t, ok, err := parseTime(value(i))
		return t.Time(), ok, err
	})
}

// nulls reports the keys and the event time of a view in which the rows have a null, but for those that views before have, too.
func nulls(v *plan.Append, rb arrow.RecordBatch, before []*plan.Append) error {
	var errs []error
	report := func(name string, known func(*plan.Append) bool, refuse func(column string, row int) error) {
		at := rb.Schema().FieldIndices(name)
		if len(at) == 0 || slices.ContainsFunc(before, func(b *plan.Append) bool { return b.Source.Name == v.Source.Name && known(b) }) {
			return
		}
		row, err := firstNull(name, rb.Column(at[0]))
		if row >= 0 {
			err = refuse(name, row)
		}
		errs = append(errs, err)
	}
	for _, key := range v.Keys {
		report(key, func(b *plan.Append) bool { return slices.Contains(b.Keys, key) }, noKey)
	}
	report(v.Event, func(b *plan.Append) bool { return b.Event == v.Event }, noTime)
	return errors.Join(errs...)
}

// firstNull is the first row with a null, or what counts as one, as a NaN does; -1 when there is none.
func firstNull(name string, a arrow.Array) (int, error) {
	typ := arrowconv.TypeOf(a.DataType())
	switch {
	case a.Len() == 0:
		return -1, nil
	case a.DataType().ID() == arrow.NULL:
		return 0, nil
	case !mayBeNull(a):
		return -1, nil
	}
	has := a.IsValid
	if a.NullN() == 0 && typ != types.Invalid {
		c := types.NewColumn(name, typ, a.Len())
		if err := new(arrowconv.Importer).Import(c, 0, a); err != nil {
			return -1, err
		}
		has = c.HasValue
	}
	for row := range a.Len() {
		if !has(row) {
			return row, nil
		}
	}
	return -1, nil
}
