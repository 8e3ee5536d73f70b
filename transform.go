package feast

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Transform is a Go function that computes an on-demand feature view, in place of the Python function in the registry, which
// cannot run here. [RowWise] makes one of a function of one row.
type Transform struct {
	// Inputs are the columns that the function reads: features of the view's sources, request data, or join keys of its
	// sources, each by its own name or as "source__name", where source is the view's or request source's name; a name that
	// has several meanings must be given that way. A type has to be that of the registry; without one, any is taken.
	Inputs []types.Field
	// Outputs are the features that the function computes, all of which the view declares. Types are as those of Inputs.
	Outputs []types.Field
	// Apply reads the columns of in, in the order of Inputs, and sets the cells of out, in the order of Outputs; rows
	// correspond. It is given all rows of a request at once. Cells that it does not set, and NaNs, are null.
	//
	// Inputs have the statuses with which they were read: a value that is older than its view's ttl is there with
	// [OutsideMaxAge], unless the query has it blanked. Apply must be safe for concurrent use and keep neither in nor
	// out. Its error or panic is the request's: a [*TransformError].
	Apply func(ctx context.Context, in *types.Frame, out *types.Builder) error

	takes, gives func(i int, t types.Type) error // see [plan.Function]
	err          error                           // what is wrong with the types of RowWise
}

// WithTransformation computes an on-demand feature view with t wherever its features are needed. What t reads and computes
// is compared with the registry when a query is resolved: an error of the first request, of [FeatureStore.PrepareOnline] and
// of [Bind]. A view of this name need not exist.
func WithTransformation(view string, t Transform) Option {
	return func(o *options) {
		if _, taken := o.functions[view]; taken {
			o.errs = append(o.errs, feasterr.Invalid("on-demand feature view %q is given two transformations", view))
			return
		}
		if err := t.check(); err != nil {
			o.errs = append(o.errs, fmt.Errorf("transformation of on-demand feature view %q: %w", view, err))
			return
		}
		if o.functions == nil {
			o.functions = map[string]*plan.Function{}
		}
		o.functions[view] = &plan.Function{
			Inputs: slices.Clone(t.Inputs), Outputs: slices.Clone(t.Outputs), Takes: t.takes, Gives: t.gives, Apply: t.Apply,
		}
	}
}

// check reports what is wrong with a transformation by itself.
func (t *Transform) check() error {
	switch {
	case t.err != nil:
		return t.err
	case t.Apply == nil:
		return feasterr.Invalid("it has no Apply function")
	case len(t.Outputs) == 0:
		return feasterr.Invalid("it has no outputs")
	}
	for what, fields := range map[string][]types.Field{"inputs": t.Inputs, "outputs": t.Outputs} {
		for i, f := range fields {
			if slices.ContainsFunc(fields[:i], func(g types.Field) bool { return g.Name == f.Name }) {
				return feasterr.Invalid("two of its %s are named %q", what, f.Name)
			}
		}
	}
	return nil
}

// transform runs the function of an on-demand view on rows. in has a column for each of the function's inputs, in their
// order and of the types of c.Inputs; out is given one for each of c.Outputs. It is the one place where such functions are
// called, and where a panic of theirs ends.
func (fs *FeatureStore) transform(ctx context.Context, c *plan.Computed, in *types.Frame, out *types.Builder) (err error) {
	out.Reset(c.Outputs, in.Rows())
	defer func() {
		if p := recover(); p != nil {
			cause := fs.panicked(ctx, "the function of an on-demand feature view", p, "view", c.View)
			err = &feasterr.TransformError{View: c.View, Row: -1, Err: fmt.Errorf("the function panicked: %w", cause)}
		}
	}()
	if err := c.Func.Apply(ctx, in, out); err != nil {
		if at, ok := err.(*rowFailure); ok { //nolint:errorlint // as RowWise made it
			return &feasterr.TransformError{View: c.View, Row: at.row, Err: at.err}
		}
		return &feasterr.TransformError{View: c.View, Row: -1, Err: err}
	}
	out.Finish()
	return nil
}

// panicked makes an error of what a function of the user panicked with, and logs where it did. attrs say more.
func (fs *FeatureStore) panicked(ctx context.Context, what string, p any, attrs ...any) error {
	fs.opts.logger.ErrorContext(ctx, what+" panicked", append(attrs, "panic", p, "stack", string(debug.Stack()))...)
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("%v", p)
}

// computed is the memory of on-demand views in a response.
type computed struct {
	views []computedView
}

type computedView struct {
	in  types.Frame
	out types.Builder
}

// column returns the column of a computed feature.
func (c *computed) column(p *plan.Online, of *plan.Column) *types.Column {
	return c.views[slices.Index(p.Computed, of.Computed)].out.At(of.Feature)
}

// compute runs the functions of the on-demand views of a plan on what was read. A view of which a source failed is left
// out: its columns fail with the source.
func (fs *FeatureStore) compute(ctx context.Context, p *plan.Online, l *plan.Layout, out *OnlineResponse) error {
	if out.computed == nil {
		out.computed = new(computed)
	}
	for len(out.computed.views) < len(p.Computed) {
		out.computed.views = append(out.computed.views, computedView{})
	}
	entities := out.entities.Columns()
	for i, c := range p.Computed {
		v := &out.computed.views[i]
		v.in.Reset(out.result.Rows())
		for k := range c.Inputs {
			in := &c.Inputs[k]
			if in.Table != nil {
				v.in.Append(in.Name, out.result.Column(in.Table, in.Column))
			} else {
				v.in.Append(in.Name, &entities[l.Data[in.Column]])
			}
		}
		if out.result.Failed() && failedSource(c, &out.result) != nil {
			v.out.Reset(c.Outputs, out.result.Rows())
			continue
		}
		if err := fs.transform(ctx, c, &v.in, &v.out); err != nil {
			return err
		}
	}
	return nil
}

// failedSource returns why a source of an on-demand view could not be read.
func failedSource(c *plan.Computed, r *online.Result) error {
	for i := range c.Inputs {
		if t := c.Inputs[i].Table; t != nil {
			if err := r.Err(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowFailure is an error of one row of RowWise.
type rowFailure struct {
	row int
	err error
}

func (e *rowFailure) Error() string { return fmt.Sprintf("row %d: %v", e.row, e.err) }
func (e *rowFailure) Unwrap() error { return e.err }

// RowWise makes a [Transform] of a function of one row. In and Out are structs; the fields of In name inputs by their tags,
// `feast:"conv_rate"` or, where a source has to be named, `feast:"driver_stats:conv_rate"`, and are filled by the rules of
// [Scan]: a value that is missing is zero, or nil or invalid in a pointer or [database/sql.Null], or an error with the
// option `required`. The fields of Out name outputs, without options: nil pointers, invalid [database/sql.Null]s and NaNs
// are null. Whole numbers go to features of whole numbers and timestamps, floats to floats, and so on; lists, maps and any are
// converted by [types.Column.SetNative].
//
// Reading and writing scalars allocates nothing, but for text and pointers. fn must be safe for concurrent use.
func RowWise[In, Out any](fn func(In) (Out, error)) Transform {
	ins, err := rowFields[In](true)
	outs, outErr := rowFields[Out](false)
	if err = errors.Join(err, outErr); err == nil && fn == nil {
		err = feasterr.Invalid("it has no function")
	}
	if err != nil {
		return Transform{err: err}
	}
	t := Transform{
		takes: func(i int, t types.Type) error { return ins.fields[i].fits(ins.fields[i].name, t) },
		gives: func(i int, t types.Type) error {
			if f := &outs.fields[i]; !givesType(f.typ, t) {
				return feasterr.Invalid("field %s is %s, which is not stored as %s", f.field, f.typ, t)
			}
			return nil
		},
	}
	for i := range ins.fields {
		t.Inputs = append(t.Inputs, types.Field{Name: ins.fields[i].inputName()})
	}
	for i := range outs.fields {
		t.Outputs = append(t.Outputs, types.Field{Name: outs.fields[i].name})
	}
	pool := sync.Pool{New: func() any {
		m := new(rowMemory[In, Out])
		m.ins, m.outs = fieldsOf(&m.in, ins), fieldsOf(&m.out, outs)
		m.cols = make([]Column, len(ins.fields))
		for i := range outs.fields {
			m.own = append(m.own, ownText(outs.fields[i].typ))
		}
		return m
	}}
	t.Apply = func(_ context.Context, in *types.Frame, out *types.Builder) error {
		m := pool.Get().(*rowMemory[In, Out]) // left to the garbage collector when fn panics
		err := m.apply(fn, ins, in, out)
		m.in, m.out = *new(In), *new(Out)
		clear(m.cols)
		pool.Put(m)
		return err
	}
	return t
}

// inputName is the name of an input of a transformation.
func (f *scanField) inputName() string {
	if f.view != "" {
		return f.view + "__" + f.name
	}
	return f.name
}

// rowFields returns the fields of a struct of RowWise.
func rowFields[T any](in bool) (*scanPlan, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, feasterr.Invalid("feast.RowWise takes functions of structs, not of %s", t)
	}
	p, err := scanPlanOf(t)
	if err != nil {
		return nil, err
	}
	for i := range p.fields {
		f := &p.fields[i]
		switch {
		case in && f.time:
			return nil, p.named(i, feasterr.Invalid("a transformation knows no event times"))
		case !in && (f.required || f.status || f.time || f.fallback != nil):
			return nil, p.named(i, feasterr.Invalid("an output of a transformation has no options"))
		case !in && f.view != "":
			return nil, p.named(i, feasterr.Invalid("an output of a transformation is named without a view"))
		}
	}
	return p, nil
}

// rowMemory is the memory of one run of RowWise.
type rowMemory[In, Out any] struct {
	in        In
	out       Out
	ins, outs []reflect.Value // their fields
	cols      []Column        // of ins
	own       []bool          // of outs: see ownText
}

func fieldsOf[T any](s *T, p *scanPlan) []reflect.Value {
	out := make([]reflect.Value, len(p.fields))
	for i := range p.fields {
		out[i] = reflect.ValueOf(s).Elem().FieldByIndex(p.fields[i].index)
	}
	return out
}

func (m *rowMemory[In, Out]) apply(fn func(In) (Out, error), ins *scanPlan, in *types.Frame, out *types.Builder) (err error) {
	for i := range m.cols {
		m.cols[i] = Column{data: in.At(i)}
	}
	for row := range in.Rows() {
		m.in = *new(In)
		for i := range m.ins {
			if err := ins.fields[i].scan(m.ins[i], &m.cols[i], row); err != nil {
				return &rowFailure{row, ins.named(i, err)}
			}
		}
		if m.out, err = fn(m.in); err != nil {
			return &rowFailure{row, err}
		}
		for i, v := range m.outs {
			if err := setCell(out.At(i), row, v, m.own[i]); err != nil {
				return &rowFailure{row, fmt.Errorf("output %q: %w", out.At(i).Name(), err)}
			}
		}
	}
	return nil
}

var timeType = reflect.TypeFor[time.Time]()

// ownText reports whether values of a type, or what they point to, make their own text.
func ownText(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t != timeType && t.Kind() != reflect.Interface && (t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler))
}

// givesType reports whether values of a Go type are stored as t, as setCell does.
func givesType(goType reflect.Type, t types.Type) bool {
	switch k := goType.Kind(); {
	case isSQLNull(goType):
		return givesType(goType.Field(0).Type, t)
	case ownText(goType):
		return isText(t)
	case goType == timeType:
		return t == types.UnixTimestamp || t == types.ZonedTimestamp
	case k == reflect.Slice && goType.Elem().Kind() == reflect.Uint8:
		return t.ValueField() == types.Bytes.ValueField() || takesJSON(t)
	case k == reflect.Pointer:
		return givesType(goType.Elem(), t)
	case k >= reflect.Int && k <= reflect.Uint64:
		return isWhole(t)
	case k == reflect.Float32 || k == reflect.Float64:
		return t == types.Float32 || t == types.Float64
	case k == reflect.Bool:
		return t == types.Bool
	case k == reflect.String:
		return isText(t)
	case k == reflect.Interface:
		return true
	case k == reflect.Slice:
		return types.NewColumn("", t, 1).SetNative(0, reflect.MakeSlice(goType, 1, 1).Interface()) == nil
	case k == reflect.Map:
		return types.NewColumn("", t, 1).SetNative(0, reflect.MakeMap(goType).Interface()) == nil
	}
	return types.NewColumn("", t, 1).SetNative(0, reflect.New(goType).Elem().Interface()) == nil
}

// setCell stores a field's value, whose type givesType has seen. own: the type makes its own text.
func setCell(c *types.Column, row int, v reflect.Value, own bool) error {
	k := v.Kind()
	if k == reflect.Pointer && v.IsNil() {
		c.Clear(row, types.NullValue)
		return nil
	}
	if own {
		if k != reflect.Pointer {
			v = v.Addr()
		}
		return c.SetNative(row, v.Interface())
	}
	switch k {
	case reflect.Pointer:
		return setCell(c, row, v.Elem(), false)
	case reflect.Bool:
		c.SetBool(row, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := v.Int()
		switch {
		case c.Type() != types.Int32:
			c.SetInt64(row, n)
		case n == int64(int32(n)):
			c.SetInt32(row, int32(n))
		default:
			return c.SetScalar(row, n) // which says what is wrong
		}
	case reflect.Float32, reflect.Float64:
		if c.Type() == types.Float64 {
			c.SetFloat64(row, v.Float())
		} else {
			c.SetFloat32(row, float32(v.Float()))
		}
	case reflect.String:
		return c.SetText(row, v.String())
	case reflect.Slice:
		if b, ok := reflect.TypeAssert[[]byte](v); ok && b != nil && c.Type() == types.Bytes {
			return c.SetBytes(row, b)
		}
		return c.SetNative(row, v.Interface())
	case reflect.Struct:
		switch {
		case isSQLNull(v.Type()) && !v.Field(1).Bool():
			c.Clear(row, types.NullValue)
		case isSQLNull(v.Type()):
			return setCell(c, row, v.Field(0), false)
		case v.Type() == timeType && c.Type() == types.UnixTimestamp:
			at, _ := reflect.TypeAssert[*time.Time](v.Addr())
			c.SetTime(row, *at)
		default:
			return c.SetNative(row, v.Interface())
		}
	default:
		return c.SetNative(row, v.Interface())
	}
	return nil
}
