package feast

import (
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// joinedView computes an on-demand view from batches of joined rows.
type joinedView struct {
	plan   *plan.HistoricalComputed
	at     []int            // columns of the rows, by input
	fields []types.Field    // of the inputs
	types  []arrow.DataType // of the answers

	inputs types.Block
	frame  types.Frame
	out    types.Builder
}

// computed adds what on-demand views compute to the rows of r, to which it takes over the reference.
func (j *RetrievalJob) computed(ctx context.Context, r array.RecordReader) (array.RecordReader, error) {
	views := make([]joinedView, len(j.plan.Computed))
	fields := slices.Clone(r.Schema().Fields())
	for i := range views {
		v := &views[i]
		if err := v.bind(&j.plan.Computed[i], r.Schema()); err != nil {
			r.Release()
			return nil, err
		}
		for k, a := range v.plan.Answers {
			fields = append(fields, arrow.Field{Name: a.Name, Type: v.types[k], Nullable: true})
		}
	}
	schema, first := arrow.NewSchema(fields, nil), 0
	return newMapped(r, schema, func(b arrow.RecordBatch) (arrow.RecordBatch, error) {
		columns := slices.Clone(b.Columns())
		defer func() {
			for _, c := range columns[b.NumCols():] {
				c.Release()
			}
		}()
		for i := range views {
			answers, err := j.compute(ctx, &views[i], b)
			columns = append(columns, answers...)
			if err != nil {
				return nil, inRows(err, first)
			}
		}
		first += int(b.NumRows())
		return array.NewRecordBatch(schema, columns, b.NumRows()), nil
	}), nil
}

// inRows moves the row that an error names from a batch to all rows, of which the batch begins with number first.
func inRows(err error, first int) error {
	switch e := err.(type) { //nolint:errorlint // as they were made just now
	case *feasterr.TransformError:
		if e.Row >= 0 {
			e.Row += first
		}
	case *feasterr.RequestError:
		if e.Row >= 0 {
			e.Row += first
		}
	}
	return err
}

// bind finds the inputs among the columns of the rows.
func (v *joinedView) bind(c *plan.HistoricalComputed, rows *arrow.Schema) error {
	v.plan = c
	for i, in := range c.Inputs {
		at := slices.IndexFunc(rows.Fields(), func(f arrow.Field) bool { return f.Name == c.Columns[i] })
		if at < 0 {
			return &feasterr.RequestError{Column: c.Columns[i], Row: -1, Msg: "on-demand feature view " + c.View + " reads this column, and the rows have no such column"}
		}
		typ := in.Type
		if typ == types.Invalid {
			typ = arrowconv.TypeOf(rows.Field(at).Type)
		}
		v.at, v.fields = append(v.at, at), append(v.fields, types.Field{Name: in.Name, Type: typ})
	}
	for _, a := range c.Answers {
		dt, err := arrowconv.DataType(c.Outputs[a.Output].Type, a.Inner)
		if err != nil {
			return err
		}
		v.types = append(v.types, dt)
	}
	return nil
}

// compute runs a view's function on a batch. The caller releases what it returns, also beside an error.
func (j *RetrievalJob) compute(ctx context.Context, v *joinedView, b arrow.RecordBatch) (answers []arrow.Array, err error) {
	v.inputs.Reset(v.fields, int(b.NumRows()))
	v.frame.Reset(int(b.NumRows()))
	m := importers.Get().(*arrowconv.Importer)
	m.KeepNaN = true // as retrieval does
	defer func() {
		m.KeepNaN = false
		importers.Put(m)
	}()
	columns := v.inputs.Columns()
	for i := range columns {
		if err := m.Import(&columns[i], 0, b.Column(v.at[i])); err != nil {
			return nil, err
		}
		v.frame.Append(v.fields[i].Name, &columns[i])
	}
	if err := j.fs.transform(ctx, v.plan.Computed, &v.frame, &v.out); err != nil {
		return nil, err
	}
	for i, a := range v.plan.Answers {
		c, err := arrowconv.Array(v.out.At(a.Output), v.types[i], memory.DefaultAllocator)
		if err != nil {
			return answers, err
		}
		answers = append(answers, c)
	}
	return answers, nil
}
