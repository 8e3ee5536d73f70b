package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/types"
)

// Forward implements [online.Forwarder]. Columns of which nobody says the type get that of their values, as in Feast's
// client: Int64, Float64, String, Bool, maps, and lists of these.
func (s *Store) Forward(ctx context.Context, q *online.Request, dst *online.Response) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	b := pool.Get().(*buffers)
	defer b.release()
	if err := b.appendForward(q); err != nil {
		return err
	}
	if err := s.read(ctx, b); err != nil {
		return err
	}
	fields, err := b.fields(q)
	if err != nil {
		return err
	}
	rows := 0
	if len(b.parsed.columns) > 0 {
		rows = b.parsed.columns[0].rows()
	}
	if err := dst.Reset(q, fields, rows); err != nil {
		return err
	}
	for i, c := range b.parsed.columns {
		b.cells.reset(c)
		for row := 0; ; row++ {
			more, err := b.cells.next()
			switch {
			case err != nil:
				return fmt.Errorf("column %s: %w", fields[i].Name, err)
			case more != (row < rows):
				return feasterr.Invalid("the answer of the feature server is malformed: column %s has not the %d rows of the others", fields[i].Name, rows)
			}
			if !more {
				break
			}
			if err := dst.Set(i, row, b.cells.status, b.cells.event, b.cells.value); err != nil {
				return err
			}
		}
	}
	if q.ViewVersions && b.parsed.views != nil {
		if err := json.Unmarshal(b.parsed.views, &dst.Views); err != nil {
			return malformed("feature_view_metadata is none")
		}
	}
	return nil
}

// appendForward makes the body of a request.
func (b *buffers) appendForward(q *online.Request) error {
	dst := append(b.request[:0], '{')
	if q.Service != "" {
		dst = types.AppendJSONString(append(dst, `"feature_service":`...), []byte(q.Service))
	} else {
		dst = append(dst, `"features":[`...)
		for i, f := range q.Features {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = types.AppendJSONString(dst, []byte(f))
		}
		dst = append(dst, ']')
	}
	if q.FullNames {
		dst = append(dst, `,"full_feature_names":true`...)
	}
	if q.ViewVersions {
		dst = append(dst, `,"include_feature_view_version_metadata":true`...)
	}
	dst = append(dst, `,"entities":{`...)
	for i, c := range q.Entities {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(types.AppendJSONString(dst, []byte(c.Name())), ':', '[')
		var err error
		for row := range c.Len() {
			if row > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendGiven(dst, c, row); err != nil {
				return &feasterr.RequestError{Column: c.Name(), Row: row, Err: err}
			}
		}
		dst = append(dst, ']')
	}
	b.request = append(dst, "}}"...)
	return nil
}

// appendGiven appends a value of an entity row.
func appendGiven(dst []byte, c *types.Column, row int) ([]byte, error) {
	from := len(dst)
	switch t := c.Type(); {
	case t == types.Bytes || t.Elem() == types.Bytes:
		return dst, noBytes(c.Name())
	case t.Numeric() || t.Elem().Numeric():
		if dst = c.AppendJSON(dst, row); bytes.IndexByte(dst[from:], '"') >= 0 {
			return dst, feasterr.Invalid("a NaN or an infinity cannot be sent to a feature server: JSON has none")
		}
		return dst, nil
	}
	return c.AppendJSON(dst, row), nil
}

// fields returns the columns of the answer with their types.
func (b *buffers) fields(q *online.Request) ([]types.Field, error) {
	fields := make([]types.Field, len(b.parsed.columns))
	for i := range fields {
		text, err := b.parsed.name(i)
		if err != nil {
			return nil, err
		}
		name := string(text)
		fields[i] = types.Field{Name: name, Type: q.TypeOf(name)}
		if fields[i].Type != types.Invalid {
			continue
		}
		var guess types.JSONGuess
		for a := types.NewJSONArray(b.parsed.columns[i].values); a.Next(); {
			guess.Add(a.Value())
		}
		fields[i].Type = guess.Type()
	}
	return fields, nil
}
