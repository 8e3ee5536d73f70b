package feast

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// OnlineResponse is the answer of an online read: columns of equal length, first the join keys, then the features in the
// order in which they were asked for. The zero value is ready for [Prepared.GetInto]. It belongs to the caller, must not be
// copied, and is not safe for concurrent use while it is being filled.
type OnlineResponse struct {
	_        noCopy
	rows     int
	plan     *plan.Online // of the answer; nil: there is none
	layout   *plan.Layout
	cols     []Column           // all of them, or none: then they are made when they are asked for
	views    []plan.ViewVersion // set when asked for
	partial  *feasterr.PartialError
	req      *request  // kept between calls of GetInto
	computed *computed // kept likewise; nil as long as there are no on-demand views
	answer   *answer   // kept likewise; nil as long as nothing is forwarded
	entities types.Block
	fields   []types.Field // of entities; never changed
	result   online.Result
}

// noCopy lets vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Column is a column of an [OnlineResponse] and shares its memory.
type Column struct {
	data   *types.Column
	of     *plan.Column   // nil for join keys
	result *online.Result // nil for join keys
}

// reset empties the response.
func (r *OnlineResponse) reset() {
	r.rows, r.cols, r.plan, r.views, r.partial = 0, r.cols[:0], nil, nil, nil
}

// finish makes the columns of what was read, and reports the views that failed.
func (r *OnlineResponse) finish(p *plan.Online, l *plan.Layout, views bool) error {
	r.rows, r.views, r.partial = r.result.Rows(), nil, nil
	if views {
		r.views = p.Views
	}
	if r.plan != p || r.layout != l {
		r.plan, r.layout, r.cols = p, l, r.cols[:0]
	}
	if !r.result.Failed() {
		return nil
	}
	failed, answered := map[string]error{}, false
	for i := range p.Columns {
		c := &p.Columns[i]
		if err := r.failure(c); err != nil {
			failed[c.View] = err
			column := r.column(l.Echo + i)
			for row := range r.rows { // a part may have been read
				column.data.Clear(row, Failed)
			}
		} else {
			answered = true
		}
	}
	partial := &feasterr.PartialError{Views: failed}
	if !answered {
		return errors.Join(partial.Unwrap()...) // nothing to use
	}
	r.partial = partial
	return partial
}

// Err returns the [*PartialError] that says which views could not be read while others were, nil when all were.
func (r *OnlineResponse) Err() error {
	if r.partial == nil {
		return nil
	}
	return r.partial
}

// failure returns why a feature column could not be read.
func (r *OnlineResponse) failure(c *plan.Column) error {
	if c.Table == nil {
		return failedSource(c.Computed, &r.result)
	}
	return r.result.Err(c.Table)
}

// allPresent reports the first feature that has no value.
func (r *OnlineResponse) allPresent() error {
	for i := range r.plan.Columns {
		c := r.column(r.layout.Echo + i)
		if c.AllValid() {
			continue
		}
		for row := range c.Len() {
			if s := c.Status(row); s != Present {
				return &feasterr.MissingValueError{Column: c.Name(), Row: row, Status: s.String()}
			}
		}
	}
	return nil
}

// keepColumns makes all columns, for a response that is used again: asking for one then costs nothing.
func (r *OnlineResponse) keepColumns() {
	n := r.width()
	if cap(r.cols) < n {
		r.cols = make([]Column, 0, n)
	}
	r.cols = r.cols[:0]
	for i := range n {
		r.cols = append(r.cols, r.column(i))
	}
}

// width is the number of columns.
func (r *OnlineResponse) width() int {
	if r.plan == nil {
		return 0
	}
	return r.layout.Echo + len(r.plan.Columns)
}

// column makes a column.
func (r *OnlineResponse) column(i int) Column {
	if i < r.layout.Echo {
		return Column{data: &r.entities.Columns()[i]}
	}
	c := &r.plan.Columns[i-r.layout.Echo]
	if c.Table == nil {
		return Column{data: r.computed.column(r.plan, c), of: c, result: &r.result}
	}
	return Column{data: r.result.Column(c.Table, c.Feature), of: c, result: &r.result}
}

// at returns a column: a kept one, or one made for the caller.
func (r *OnlineResponse) at(i int) *Column {
	if len(r.cols) > 0 {
		return &r.cols[i]
	}
	c := r.column(i)
	return &c
}

// columns iterates over the names and views of all columns.
func (r *OnlineResponse) columns() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range r.width() {
			view := ""
			if i >= r.layout.Echo {
				view = r.plan.Columns[i-r.layout.Echo].View
			}
			if !yield(r.name(i), view) {
				return
			}
		}
	}
}

// name returns the name of a column.
func (r *OnlineResponse) name(i int) string {
	if i < r.layout.Echo {
		return r.layout.Columns[i].Name
	}
	return r.plan.Columns[i-r.layout.Echo].Name
}

// Len returns the number of rows: one for each entity row, in their order.
func (r *OnlineResponse) Len() int { return r.rows }

// Columns iterates over all columns with their positions.
func (r *OnlineResponse) Columns() iter.Seq2[int, *Column] {
	return func(yield func(int, *Column) bool) {
		for i := range r.width() {
			if !yield(i, r.at(i)) {
				return
			}
		}
	}
}

// At returns the column at a position, as [Prepared.Index] gives it. It panics when there is none.
func (r *OnlineResponse) At(i int) *Column { return r.at(i) }

// Column returns a column by name; an unknown one is a [*NotFoundError].
func (r *OnlineResponse) Column(name string) (*Column, error) {
	for i := range r.width() {
		if r.name(i) == name {
			return r.at(i), nil
		}
	}
	names := func(yield func(string) bool) {
		for i := range r.width() {
			if !yield(r.name(i)) {
				return
			}
		}
	}
	return nil, &feasterr.NotFoundError{Kind: "column", Name: name, In: "the response", Near: feasterr.Near(name, names)}
}

// AppendRow sets the columns of row i in dst, by name, as [Column.Any] returns them, and returns dst; nil makes a new map.
func (r *OnlineResponse) AppendRow(dst map[string]any, i int) map[string]any {
	if dst == nil {
		dst = make(map[string]any, r.width())
	}
	for k := range r.width() {
		c := r.column(k)
		dst[c.Name()] = c.Any(i)
	}
	return dst
}

// The following read a whole column, by name. See [Values].

// Float32s returns a Float32 column.
func (r *OnlineResponse) Float32s(name string) ([]float32, error) { return valuesOf[float32](r, name) }

// Float64s returns a Float64, Float32 or Int32 column.
func (r *OnlineResponse) Float64s(name string) ([]float64, error) { return valuesOf[float64](r, name) }

// Int64s returns an Int64, Int32 or UnixTimestamp (seconds) column.
func (r *OnlineResponse) Int64s(name string) ([]int64, error) { return valuesOf[int64](r, name) }

// Int32s returns an Int32 column.
func (r *OnlineResponse) Int32s(name string) ([]int32, error) { return valuesOf[int32](r, name) }

// Bools returns a Bool column.
func (r *OnlineResponse) Bools(name string) ([]bool, error) { return valuesOf[bool](r, name) }

// Strings returns a String, JSON, Decimal or UUID column.
func (r *OnlineResponse) Strings(name string) ([]string, error) { return valuesOf[string](r, name) }

func valuesOf[T types.Native](r *OnlineResponse, name string) ([]T, error) {
	c, err := r.Column(name)
	if err != nil {
		return nil, err
	}
	return Values[T](c)
}

// Values returns a scalar column as a Go slice with one element per row. **Rows without a value hold zeros**: look at
// [Column.AllValid] or [Column.Status] before a model sees them. Numbers, booleans and []byte alias the response and are
// valid until it is reused; strings are copies. A type that does not fit without loss is a [*TypeMismatchError].
func Values[T types.Native](c *Column) ([]T, error) {
	v, err := types.Values[T](c.data)
	return v, c.named(err)
}

// Lists returns a column of lists or sets; see [types.List].
func Lists[T types.Native](c *Column) (types.List[T], error) {
	l, err := types.Lists[T](c.data)
	return l, c.named(err)
}

// named puts the column's name in the answer into a type error.
func (c *Column) named(err error) error {
	if m, ok := err.(*feasterr.TypeMismatchError); ok { //nolint:errorlint // made by types just now
		m.Column = c.Name()
	}
	return err
}

// Float32Matrix appends the rows as a dense matrix to dst, row after row: the given columns (positions for
// [OnlineResponse.At]), or all feature columns, in float32, with missing where a value is not [Present]. float64 and
// whole numbers are rounded. A column that is not numeric is a
// [*TypeMismatchError], a position without a column an [ErrInvalid].
func (r *OnlineResponse) Float32Matrix(dst []float32, missing float32, cols ...int) ([]float32, error) {
	width := len(cols)
	first := 0
	if width == 0 {
		if r.plan != nil {
			first = r.layout.Echo
		}
		width = r.width() - first
	}
	from := len(dst)
	for range r.rows * width {
		dst = append(dst, 0)
	}
	for k := range width {
		at := first + k
		if len(cols) > 0 {
			at = cols[k]
		}
		if at < 0 || at >= r.width() {
			return dst[:from], feasterr.Invalid("Float32Matrix: there is no column %d, the response has %d", at, r.width())
		}
		c := r.column(at)
		if !c.Type().Numeric() {
			return dst[:from], &feasterr.TypeMismatchError{Column: c.Name(), Want: "float32", Have: c.Type().String(), Row: -1}
		}
		if r.rows > 0 {
			c.data.Or(dst[from+k:], width, missing)
		}
	}
	return dst, nil
}

// Name returns the column's name in the answer.
func (c *Column) Name() string {
	if c.of == nil {
		return c.data.Name()
	}
	return c.of.Name
}

// View returns the name of the projection that the column comes from, "" for join keys.
func (c *Column) View() string {
	if c.of == nil {
		return ""
	}
	return c.of.View
}

// Type returns the declared type.
func (c *Column) Type() types.Type { return c.data.Type() }

// Len returns the number of rows.
func (c *Column) Len() int { return c.data.Len() }

// Status returns the status of a row.
func (c *Column) Status(i int) Status { return c.data.Status(i) }

// Valid reports whether a row has a value that is no null and not too old.
func (c *Column) Valid(i int) bool { return c.data.Valid(i) }

// AllValid reports whether every row is valid.
func (c *Column) AllValid() bool { return c.data.AllValid() }

// Mixed reports whether some row holds a stored value of another type than the declared one.
func (c *Column) Mixed() bool { return c.data.Mixed() }

// EventTime returns the event time of a row's value, in UTC: the epoch where nothing is stored, for join keys, what is
// computed on demand, and views that failed.
func (c *Column) EventTime(i int) time.Time { return c.event(i).Time() }

func (c *Column) event(i int) types.Timestamp {
	if c.result == nil || c.of.Table == nil || c.result.Failed() && c.result.Err(c.of.Table) != nil {
		return types.Timestamp{}
	}
	return c.result.Event(c.of.Table, i, c.of.Feature)
}

// Err returns why the column's view could not be read while others were, nil when it was.
func (c *Column) Err() error {
	switch {
	case c.result == nil:
		return nil
	case c.of.Table == nil:
		return failedSource(c.of.Computed, c.result)
	}
	return c.result.Err(c.of.Table)
}

// Any returns a row's value as a Go value, nil when there is none or it is null; see [types.Column.Any] for the types.
// It is a copy.
func (c *Column) Any(i int) any { return c.data.Any(i) }

// Bytes returns the bytes of a text, bytes or nested value without copying, valid until the response is reused; see
// [types.Column.Bytes].
func (c *Column) Bytes(i int) []byte { return c.data.Bytes(i) }

// Or appends a numeric column to dst as float32, with missing where the value is not [Present]; a column that is not
// numeric is all missing.
func (c *Column) Or(dst []float32, missing float32) []float32 {
	from := len(dst)
	for range c.Len() {
		dst = append(dst, missing)
	}
	if c.Type().Numeric() && c.Len() > 0 {
		c.data.Or(dst[from:], 1, missing)
	}
	return dst
}

// String describes the column for people.
func (c *Column) String() string { return fmt.Sprintf("%s %s[%d]", c.Name(), c.Type(), c.Len()) }

// JSON says how [OnlineResponse.AppendJSON] writes.
type JSON struct {
	// FeastStatuses writes NULL_VALUE and OUTSIDE_MAX_AGE as PRESENT, as Feast's server does: its clients blank
	// every value that is not PRESENT.
	FeastStatuses bool
	// Max is about how many bytes may be appended; 0: any number. Long values that many rows share make an answer much larger
	// than the response is. What would be longer by more than a value or so is ErrTooLong.
	Max int
}

// ErrTooLong says that a response in JSON has more bytes than [JSON] allows.
var ErrTooLong = errors.New("the response in JSON is longer than it may be")

// AppendJSON appends the response in the form of Feast's feature server: its keys, their order, its forms of values. With
// an error it returns what it has appended until then.
func (r *OnlineResponse) AppendJSON(dst []byte, o JSON) ([]byte, error) {
	end := math.MaxInt
	if o.Max > 0 {
		end = len(dst) + o.Max
	}
	dst = append(dst, `{"results":[`...)
	for i := range r.width() {
		if i > 0 {
			dst = append(dst, ',')
		}
		c := r.column(i)
		if dst = c.appendJSON(dst, o, end); len(dst) > end {
			return dst, ErrTooLong
		}
	}
	dst = append(dst, `],"metadata":{"feature_names":[`...)
	for i := range r.width() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = types.AppendJSONString(dst, []byte(r.name(i)))
	}
	dst = append(dst, ']')
	if r.views != nil {
		dst = append(dst, `,"feature_view_metadata":[`...)
		for i, v := range r.views {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"name":`...)
			dst = types.AppendJSONString(dst, []byte(v.Name))
			if v.Version != 0 {
				dst = append(dst, `,"version":`...)
				dst = strconv.AppendInt(dst, int64(v.Version), 10)
			}
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, "}}"...), nil
}

// appendJSON appends a column, or the beginning of one that goes beyond end.
func (c *Column) appendJSON(dst []byte, o JSON, end int) []byte {
	dst = append(dst, `{"values":[`...)
	n := c.Len()
	for i := range n {
		if len(dst) > end {
			return dst
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = c.data.AppendJSON(dst, i)
	}
	dst = append(dst, `],"statuses":[`...)
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		s := c.Status(i)
		if o.FeastStatuses && (s == NullValue || s == OutsideMaxAge) {
			s = Present
		}
		dst = append(append(append(dst, '"'), s.String()...), '"')
	}
	dst = append(dst, `],"event_timestamps":[`...)
	var last types.Timestamp
	var from, to int // of the last in dst: rows often have equal times, and writing one costs as much as a value
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if at := c.event(i); i == 0 || at != last {
			last, from = at, len(dst)
			dst = append(at.AppendRFC3339(append(dst, '"')), '"')
			to = len(dst)
			continue
		}
		dst = append(dst, dst[from:to]...)
	}
	return append(dst, "]}"...)
}

// MarshalJSON is [OnlineResponse.AppendJSON] with the statuses as they are.
func (r *OnlineResponse) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil, JSON{}) }

// ViewVersion is a feature view that was read, and the version of it: 0 when it has none.
type ViewVersion = plan.ViewVersion

// ViewVersions returns the views that were read when [OnlineQuery].ViewVersions asked for them, in order of first
// mention.
func (r *OnlineResponse) ViewVersions() []ViewVersion { return r.views }

// AppendValue appends a row's value as a serialized feast.types.Value; nothing for a null or what is not there.
func (c *Column) AppendValue(dst []byte, i int) []byte { return c.data.AppendValue(dst, i) }
