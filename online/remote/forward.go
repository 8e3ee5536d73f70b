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
// client: Int64, Float64, String, Bool, maps, and lists of these. A large request goes in several parts.
func (s *Store) Forward(ctx context.Context, q *online.Request, dst *online.Response) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	var parts []*buffers // all are needed before types can be guessed
	defer func() {
		for _, b := range parts {
			b.release()
		}
	}()
	rows, width := q.Entities[0].Len(), len(q.Features)
	for from := 0; from < rows || len(parts) == 0; {
		step := max(1, maxCells/(width+len(q.Entities)))
		if width == 0 { // of a service, of which the first answer tells it
			step = firstRows
		}
		b := pool.Get().(*buffers)
		parts = append(parts, b)
		b.from, b.to = from, min(from+step, rows)
		if err := b.appendForward(q); err != nil {
			return err
		}
		if err := s.read(ctx, b); err != nil {
			return err
		}
		if width = len(b.parsed.columns); len(parts) > 1 {
			if err := b.order(parts[0]); err != nil {
				return err
			}
		}
		from = b.to
	}
	first := parts[0]
	fields, err := fieldsOf(q, parts)
	if err != nil {
		return err
	}
	if len(parts) == 1 {
		rows = first.parsed.rows() // which the response compares
	}
	if err := dst.Reset(q, fields, rows); err != nil {
		return err
	}
	for _, b := range parts {
		if err := b.fill(dst, fields, min(b.to, rows)); err != nil {
			return err
		}
	}
	if q.ViewVersions && first.parsed.views != nil {
		if err := json.Unmarshal(first.parsed.views, &dst.Views); err != nil {
			return malformed("feature_view_metadata is none")
		}
	}
	return nil
}

// firstRows is how many rows of a service are asked for at first.
const firstRows = 10_000

// order puts the columns of a part in the order of those of the first: Feast's servers answer in any.
func (b *buffers) order(first *buffers) error {
	have, want := &b.parsed, &first.parsed
	if len(have.columns) != len(want.columns) {
		return malformed("parts of it have not the same columns")
	}
	for i, name := range want.names {
		j := i
		for ; j < len(have.names) && !bytes.Equal(have.names[j], name); j++ {
		}
		if j == len(have.names) {
			return malformed("parts of it have not the same columns")
		}
		have.names[i], have.names[j] = have.names[j], have.names[i]
		have.columns[i], have.columns[j] = have.columns[j], have.columns[i]
	}
	return nil
}

// fill sets the cells of rows from b.from to to.
func (b *buffers) fill(dst *online.Response, fields []types.Field, to int) error {
	for i, c := range b.parsed.columns {
		b.cells.reset(c)
		for row := b.from; ; row++ {
			more, err := b.cells.next()
			switch {
			case err != nil:
				return fmt.Errorf("column %s: %w", fields[i].Name, err)
			case more != (row < to):
				return feasterr.Invalid("the answer of the feature server is malformed: column %s has not the %d rows of the others", fields[i].Name, to-b.from)
			}
			if !more {
				break
			}
			if err := dst.Set(i, row, b.cells.status, b.cells.event, b.cells.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendForward makes the body of a request for the rows from b.from to b.to.
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
		for row := b.from; row < b.to; row++ {
			if row > b.from {
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

// fieldsOf returns the columns of the answer with their types.
func fieldsOf(q *online.Request, parts []*buffers) ([]types.Field, error) {
	first := &parts[0].parsed
	fields := make([]types.Field, len(first.columns))
	for i := range fields {
		text, err := first.name(i)
		if err != nil {
			return nil, err
		}
		name := string(text)
		fields[i] = types.Field{Name: name, Type: q.TypeOf(name)}
		if fields[i].Type != types.Invalid {
			continue
		}
		var guess types.JSONGuess
		for _, b := range parts {
			for a := types.NewJSONArray(b.parsed.columns[i].values); a.Next(); {
				guess.Add(a.Value())
			}
		}
		fields[i].Type = guess.Type()
	}
	return fields, nil
}
