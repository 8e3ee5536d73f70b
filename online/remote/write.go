package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

// Columns of times of views whose source is not known here: those that Feast's client sends.
const (
	eventColumn   = "event_timestamp"
	createdColumn = "created"
)

// Write implements [online.Store]. Which of two rows is newer is decided by the server and its store: the result counts all
// rows as written, and Overwrite changes nothing. The rows are those of the version of the view that the server has.
func (s *Store) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	if err := s.begin(ctx); err != nil {
		return online.WriteResult{}, err
	}
	defer s.calls.End()
	buf := pool.Get().(*buffers)
	defer buf.release()
	res := online.WriteResult{}
	step := max(1, maxCells/(len(b.Columns)+len(b.Table.JoinKeys)+2))
	for _, send := range []bool{false, true} { // first see that all can be sent
		for from := 0; from < b.Rows(); from += step {
			to := min(from+step, b.Rows())
			if !send && from == 0 && to == b.Rows() {
				break // which is seen when it is sent
			}
			var err error
			if buf.request, err = buf.appendWrite(buf.request[:0], b, from, to); err != nil {
				return res, err
			}
			if !send {
				continue
			}
			if err := s.ask(ctx, buf, "/write-to-online-store", false); err != nil {
				return res, err
			}
			res.Written += to - from
		}
	}
	return res, nil
}

// Push implements [online.Pusher]: the rows are one request, which the server takes or refuses as a whole. One that was not
// answered is not sent again: in the offline store its rows would be twice.
func (s *Store) Push(ctx context.Context, p *online.Push) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	b := pool.Get().(*buffers)
	defer b.release()
	path := "/push"
	dst := append(b.request[:0], '{')
	if p.View != "" {
		path = "/write-to-online-store"
		dst = types.AppendJSONString(append(dst, `"feature_view_name":`...), []byte(p.View))
	} else {
		dst = types.AppendJSONString(append(dst, `"push_source_name":`...), []byte(p.Source))
		dst = types.AppendJSONString(append(dst, `,"to":`...), []byte(p.To))
	}
	if p.AsGiven {
		dst = append(dst, `,"transform_on_write":false`...)
	}
	dst = append(dst, `,"df":{`...)
	for i, c := range p.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(types.AppendJSONString(dst, []byte(c.Name)), ':'), c.Values...)
	}
	b.request = append(dst, "}}"...)
	return s.ask(ctx, b, path, false)
}

// materializeTime bounds a materialization for which the caller has no deadline: as long as a server of this library lets
// one run.
const materializeTime = time.Hour

// Materialize implements [online.Materializer]. It waits for the server, for an hour at most, and is not repeated.
func (s *Store) Materialize(ctx context.Context, m *online.Materialization) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, materializeTime)
		defer cancel()
	}
	body := struct {
		Start   string   `json:"start_ts,omitempty"`
		End     string   `json:"end_ts"`
		Views   []string `json:"feature_views,omitempty"`
		Version string   `json:"version,omitempty"`
	}{End: m.End.UTC().Format(time.RFC3339Nano), Views: m.Views, Version: m.Version}
	path := "/materialize-incremental"
	if !m.Start.IsZero() {
		path, body.Start = "/materialize", m.Start.UTC().Format(time.RFC3339Nano)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = s.http.Do(ctx, remote.HTTPRequest{Method: "POST", Path: path, Body: text}, nil)
	return err
}

// appendWrite appends the body of a request that writes rows. The values of an on-demand view are written as they are: they
// were computed here.
func (b *buffers) appendWrite(dst []byte, batch *online.WriteBatch, from, to int) ([]byte, error) {
	t := batch.Table
	dst = types.AppendJSONString(append(dst, `{"feature_view_name":`...), []byte(t.View))
	dst = append(dst, `,"allow_registry_cache":false,"transform_on_write":false,"df":{`...)
	g := readGroup{joinKeys: t.JoinKeys, prefix: online.AppendKeyPrefix(nil, 3, t.JoinKeys)}
	for i, name := range t.JoinKeys {
		dst = append(types.AppendJSONString(dst, []byte(name)), ":["...)
		for row := from; row < to; row++ {
			if err := b.rows.split(&g, batch.Keys[row]); err != nil {
				return dst, err
			}
			dst = append(append(dst, b.rows.part[i]...), ',')
		}
		dst = closed(dst)
	}
	for i, f := range t.Features {
		dst = append(types.AppendJSONString(dst, []byte(f.Name)), ":["...)
		for row := from; row < to; row++ {
			var err error
			if dst, err = appendCell(dst, batch.Columns[i], row); err != nil {
				return dst, &feasterr.RequestError{Column: f.Name, Row: row, Err: err}
			}
			dst = append(dst, ',')
		}
		dst = closed(dst)
	}
	event, created := t.Event, t.Created
	if event == "" {
		event, created = eventColumn, createdColumn
	}
	dst = append(types.AppendJSONString(dst, []byte(event)), ":["...)
	for _, at := range batch.Event[from:to] {
		dst = append(appendTime(dst, at), ',')
	}
	dst = closed(dst)
	if created != "" {
		dst = append(types.AppendJSONString(dst, []byte(created)), ":["...)
		for row := from; row < to; row++ {
			if batch.Created == nil || batch.Created[row].IsZero() {
				dst = append(dst, "null,"...)
			} else {
				dst = append(appendTime(dst, batch.Created[row]), ',')
			}
		}
		dst = closed(dst)
	}
	return append(bytes.TrimSuffix(dst, []byte(",")), "}}"...), nil
}

// closed ends a list of elements that a comma follows each.
func closed(dst []byte) []byte {
	return append(bytes.TrimSuffix(dst, []byte(",")), "],"...)
}

// appendTime appends a time. Feast's server wants all of a request in one form.
func appendTime(dst []byte, t types.Timestamp) []byte {
	return append(t.Time().AppendFormat(append(dst, '"'), "2006-01-02T15:04:05.000000"), '"')
}

// appendCell appends a value in the form in which Feast's client sends it: maps as the text of their JSON.
func appendCell(dst []byte, c *types.Column, row int) ([]byte, error) {
	if !c.HasValue(row) {
		return append(dst, "null"...), nil
	}
	switch t := c.Type(); t {
	case types.ScalarMap, types.ZonedTimestamp:
		return dst, feasterr.Unsupported("a %s cannot be sent to a feature server: JSON has nothing that tells all of it", t)
	case types.Map, types.Struct:
		return types.AppendJSONString(dst, c.AppendJSON(nil, row)), nil
	case types.Float32, types.Float64, types.Float32List, types.Float64List, types.Float32Set, types.Float64Set:
		from := len(dst)
		if dst = c.AppendJSON(dst, row); bytes.IndexByte(dst[from:], '"') >= 0 {
			return dst, feasterr.Invalid("a NaN or an infinity cannot be sent to a feature server: JSON has none")
		}
		return dst, nil
	}
	return c.AppendJSON(dst, row), nil
}
