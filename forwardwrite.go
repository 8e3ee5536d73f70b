package feast

import (
	"bytes"
	"context"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/telemetry"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

// elsewhere returns the feature server that resolves what nobody here can, since the registry cannot be read; nil: there is
// a registry.
func (fs *FeatureStore) elsewhere(ctx context.Context) (online.Forwarder, error) {
	snap, err := fs.snapshot(ctx)
	if err != nil || snap != nil {
		return nil, err
	}
	return fs.forwarder(ctx), nil
}

// pushElsewhere has a feature server write rows. It returns their number.
func (fs *FeatureStore) pushElsewhere(ctx context.Context, to online.Forwarder, rows Frame, p *online.Push) (n int, err error) {
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return 0, err
	}
	name := store.Info().Name
	pusher, ok := to.(online.Pusher)
	if !ok {
		return 0, feasterr.Unsupported("the registry cannot be read, and online store %q takes no rows without it", name)
	}
	w := writers.Get().(*writer)
	defer w.release()
	if err := w.load(ctx, rows); err != nil {
		return 0, err
	}
	var errs []error
	for i := range w.frame {
		text, err := appendColumnJSON(ctx, nil, &w.frame[i])
		errs = append(errs, err)
		p.Columns = append(p.Columns, online.JSONColumn{Name: w.frame[i].name, Values: text})
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	start := time.Now()
	n = w.rows
	if err = pusher.Push(ctx, p); err != nil {
		n, err = 0, feasterr.InStore(name, "push", err)
	}
	if hook := fs.opts.hooks.OnlineWrite; hook != nil && p.View != "" {
		hook(ctx, telemetry.OnlineWrite{Store: name, View: p.View, Rows: w.rows, Written: n, Start: start, Took: time.Since(start), Err: err})
	}
	return n, err
}

// materializeElsewhere has a feature server materialize views.
func (fs *FeatureStore) materializeElsewhere(ctx context.Context, to online.Forwarder, r MaterializeRequest) (res MaterializeResult, err error) {
	store, err := fs.onlineStore(ctx)
	if err != nil {
		return res, err
	}
	name := store.Info().Name
	m, ok := to.(online.Materializer)
	if !ok {
		return res, feasterr.Unsupported("the registry cannot be read, and online store %q materializes nothing by itself", name)
	}
	var errs []error
	for _, o := range []struct {
		set  bool
		name string
	}{{r.Overwrite, "Overwrite"}, {r.Strict, "Strict"}, {r.Refuse, "Refuse"}, {r.Progress != nil, "Progress"}} {
		if o.set {
			errs = append(errs, feasterr.Unsupported("%s cannot be told to the feature server, which materializes since there is no registry or no offline store here", o.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return res, err
	}
	err = m.Materialize(ctx, &online.Materialization{Start: r.Start, End: r.End, Views: r.Views, Version: r.Version})
	if err != nil {
		return res, feasterr.InStore(name, "materialize", err)
	}
	return res, nil
}

// materializesElsewhere returns the feature server that materializes in place of this program, which has no registry or
// reaches no offline store; else nil.
func (fs *FeatureStore) materializesElsewhere(ctx context.Context) (online.Forwarder, error) {
	to, err := fs.elsewhere(ctx)
	if err != nil || to != nil {
		return to, err
	}
	if to = fs.forwarder(ctx); to == nil {
		return nil, nil //nolint:nilnil // documented
	}
	if _, can := to.(online.Materializer); !can {
		return nil, nil //nolint:nilnil // documented
	}
	_, failed := fs.offlineStore(ctx)
	_, missing := errors.AsType[*feasterr.NotLinkedError](failed)
	if !missing && (failed == nil || !fs.cfg.OfflineStore.IsNull()) {
		to = nil // what failed is the error of materializing here
	}
	return to, nil
}

// appendColumnJSON appends a column as [online.JSONColumn] has it.
func appendColumnJSON(ctx context.Context, dst []byte, c *frameColumn) ([]byte, error) {
	value := func(dst []byte, i int) ([]byte, error) { return appendNative(dst, c.value(i), 0, false) }
	switch c.kind {
	case colAny, colOther:
		value = func(dst []byte, i int) ([]byte, error) { return appendNative(dst, c.native(i), 0, false) }
	case colBytes:
		if c.elem == reflect.TypeFor[json.RawMessage]() {
			value = func(dst []byte, i int) ([]byte, error) {
				return appendNative(dst, json.RawMessage(slice[[]byte](c)[i]), 0, false)
			}
		}
	case colArrow:
		var err error
		if value, err = arrowJSON(c); err != nil {
			return dst, err
		}
	}
	dst = append(dst, '[')
	for i := range c.n {
		err := ended(ctx, i)
		if err != nil {
			return dst, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = value(dst, i); err != nil {
			return dst, &feasterr.RequestError{Column: c.name, Row: i, Err: err}
		}
	}
	return append(dst, ']'), nil
}

// arrowJSON returns what appends a value of a column of kind colArrow.
func arrowJSON(c *frameColumn) (func(dst []byte, i int) ([]byte, error), error) {
	if stamps, ok := c.array().(*array.Timestamp); ok {
		unit := stamps.DataType().(*arrow.TimestampType).Unit
		return func(dst []byte, i int) ([]byte, error) {
			if stamps.IsNull(c.from + i) {
				return append(dst, "null"...), nil
			}
			return appendNative(dst, stamps.Value(c.from+i).ToTime(unit), 0, false)
		}, nil
	}
	typ := arrowconv.TypeOf(c.array().DataType())
	column := types.NewColumn(c.name, typ, c.n)
	if err := fillArrow(column, c, true); err != nil {
		return nil, err
	}
	return func(dst []byte, i int) ([]byte, error) {
		switch {
		case !column.HasValue(i):
			return append(dst, "null"...), nil
		case typ == types.Map || typ == types.Struct:
			return types.AppendJSONString(dst, column.AppendJSON(nil, i)), nil
		}
		from := len(dst)
		dst = column.AppendJSON(dst, i)
		if (typ.Numeric() || typ.Elem().Numeric()) && bytes.IndexByte(dst[from:], '"') >= 0 {
			return dst, errNoNumber
		}
		return dst, nil
	}, nil
}

var errNoNumber = feasterr.Invalid("a NaN or an infinity cannot be sent to a feature server: JSON has none")

// timeForm is that of times in rows that are sent: Feast's server wants all of a column in one.
const timeForm = "2006-01-02T15:04:05.000000"

// appendNative appends a Go value as [online.JSONColumn] has it. depth is how deep it is in others, listed whether in a list.
func appendNative(dst []byte, v any, depth int, listed bool) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendText(dst, v)
	case time.Time:
		if v.IsZero() {
			return append(dst, "null"...), nil
		}
		if v = v.UTC(); !types.TimestampOf(v).Valid() {
			return dst, feasterr.Invalid("%v is outside the years 1 to 9999, which times can be of", v)
		}
		return append(v.AppendFormat(append(dst, '"'), timeForm), '"'), nil
	case json.Number:
		if f, err := v.Float64(); !json.Valid([]byte(v)) || err != nil && !errors.Is(err, strconv.ErrRange) || f != f {
			return dst, feasterr.Invalid("%q is no number", string(v))
		}
		return append(dst, v...), nil
	case json.RawMessage: // which Feast has as text
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendText(dst, string(v))
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return dst, feasterr.Invalid("%T has no text: %w", v, err)
		}
		return appendText(dst, string(text))
	}
	return appendReflected(dst, reflect.ValueOf(v), depth, listed)
}

func appendReflected(dst []byte, v reflect.Value, depth int, listed bool) (_ []byte, err error) {
	if depth > maxPointers {
		return dst, feasterr.Invalid("a value nests deeper than %d", maxPointers)
	}
	switch k := v.Kind(); {
	case v.CanInt():
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case v.CanUint():
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case v.CanFloat():
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, errNoNumber
		}
		from := len(dst)
		dst = strconv.AppendFloat(dst, f, 'g', -1, 64)
		for _, b := range dst[from:] {
			if b == '.' || b == 'e' {
				return dst, nil
			}
		}
		return append(dst, ".0"...), nil // to stay a float
	case k == reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case k == reflect.String:
		return appendText(dst, v.String())
	case k == reflect.Pointer || k == reflect.Slice || k == reflect.Map:
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return appendNative(dst, v.Elem().Interface(), depth+1, listed)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if u, ok := reflect.TypeAssert[[16]byte](v); ok {
				return append(types.AppendUUID(append(dst, '"'), u), '"'), nil
			}
			if v.Kind() == reflect.Array {
				break
			}
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Bytes()), '"'), nil
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendNative(dst, v.Index(i).Interface(), depth+1, true); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case reflect.Map:
		text, err := json.Marshal(v.Interface()) // in which maps are objects all the way down
		if err != nil {
			return dst, feasterr.Invalid("a map cannot be sent to a feature server: %w", err)
		}
		if listed {
			return append(dst, text...), nil
		}
		return appendText(dst, string(text))
	}
	return dst, feasterr.Invalid("%s", feasterr.A(fmt.Sprintf("%s cannot be sent to a feature server: JSON has none", v.Type())))
}

func appendText(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return dst, feasterr.Invalid("text is no UTF-8")
	}
	return types.AppendJSONString(dst, []byte(s)), nil
}
