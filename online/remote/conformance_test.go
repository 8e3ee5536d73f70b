package remote_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/remote"
	client "github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a feature server for tables in memory: the two routes that rows go through, as Feast's server answers them.
type served struct {
	store  *memory.Store
	mu     sync.Mutex
	tables map[string]*online.Table // by view, with all features that anybody wrote

	// What the wire does not carry: whether to overwrite, and how many rows were left out.
	overwrite bool
	older     int
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var out []byte
	switch {
	case r.URL.Path == "/health":
		return
	case r.Header.Get("Content-Type") != "application/json":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case r.URL.Path == "/write-to-online-store":
		out, err = []byte("null"), s.write(r.Context(), body)
	case r.URL.Path == "/get-online-features":
		out, err = s.read(r.Context(), body)
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		out, _ = json.Marshal(err.Error())
	}
	_, _ = w.Write(out)
}

// note learns what a table is: a server has a registry for that.
func (s *served) note(t *online.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.tables[t.View]
	all := &online.Table{Project: t.Project, View: t.View, Entities: t.Entities, JoinKeys: t.JoinKeys, Tags: t.Tags}
	if known != nil {
		all.Features = append(all.Features, known.Features...)
	}
	for _, f := range t.Features {
		found := false
		for i := range all.Features {
			if all.Features[i].Name == f.Name {
				all.Features[i], found = f, true
			}
		}
		if !found {
			all.Features = append(all.Features, f)
		}
	}
	s.tables[t.View] = all
}

func (s *served) table(view string) (*online.Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[view]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no view %s", view)
}

func (s *served) write(ctx context.Context, body []byte) error {
	var req struct {
		View string                       `json:"feature_view_name"`
		DF   map[string][]json.RawMessage `json:"df"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return err
	}
	t, err := s.table(req.View)
	if err != nil {
		return err
	}
	w := &online.WriteBatch{Table: &online.Table{Project: t.Project, View: t.View, Entities: t.Entities, JoinKeys: t.JoinKeys}}
	rows := len(req.DF["event_timestamp"])
	for row := range rows {
		key, err := keyOf(t, req.DF, row)
		if err != nil {
			return err
		}
		w.Keys = append(w.Keys, key)
		for name, times := range map[string]*[]types.Timestamp{"event_timestamp": &w.Event, "created": &w.Created} {
			text := strings.Trim(string(req.DF[name][row]), `"`)
			at, ok := types.ParseISOTime(text)
			if !ok && text != "null" {
				return fmt.Errorf("%s is no time", text)
			}
			*times = append(*times, at)
		}
	}
	for _, f := range t.Features {
		cells, ok := req.DF[f.Name]
		if !ok {
			continue
		}
		c := types.NewColumn(f.Name, f.Type, rows)
		for row, text := range cells {
			if f.Type == types.Map || f.Type == types.Struct {
				var inner string
				if json.Unmarshal(text, &inner) == nil && inner != "" {
					text = json.RawMessage(inner)
				}
			}
			if err := c.SetJSON(row, text); err != nil {
				return err
			}
		}
		w.Table.Features, w.Columns = append(w.Table.Features, f), append(w.Columns, c)
	}
	s.mu.Lock()
	w.Overwrite = s.overwrite
	s.mu.Unlock()
	res, err := s.store.Write(ctx, w)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.older += res.Older
	return err
}

// keyOf serializes the key of a row. Numbers are Int64 where the view was not written with others.
func keyOf(t *online.Table, df map[string][]json.RawMessage, row int) ([]byte, error) {
	e, err := online.NewKeyEncoding(3, t.JoinKeys)
	if err != nil {
		return nil, err
	}
	var columns []*types.Column
	for _, k := range e.JoinKeys() {
		typ := types.Int64
		if df[k] == nil {
			return nil, fmt.Errorf("Missing join key values for keys: ['%s']", k)
		}
		if df[k][row][0] == '"' {
			typ = types.String
		}
		c := types.NewColumn(k, typ, 1)
		if err := c.SetJSON(0, df[k][row]); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return e.Append(nil, columns, 0)
}

func (s *served) read(ctx context.Context, body []byte) ([]byte, error) {
	var req struct {
		Features []string                     `json:"features"`
		Entities map[string][]json.RawMessage `json:"entities"`
		Full     bool                         `json:"full_feature_names"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, err
	}
	rows := 0
	for _, c := range req.Entities {
		rows = len(c)
	}
	type column struct {
		name    string
		table   *online.Table
		feature int
	}
	var tables []*online.Table
	var columns []column
	for _, ref := range req.Features {
		view, feature, _ := strings.Cut(ref, ":")
		known, err := s.table(view)
		if err != nil {
			return nil, err
		}
		var t *online.Table
		for _, have := range tables {
			if have.View == view {
				t = have
			}
		}
		if t == nil {
			t = &online.Table{Project: known.Project, View: view, Entities: known.Entities, JoinKeys: known.JoinKeys}
			tables = append(tables, t)
		}
		for _, f := range known.Features {
			if f.Name == feature {
				t.Features = append(t.Features, f)
			}
		}
		columns = append(columns, column{view + "__" + feature, t, len(t.Features) - 1})
	}
	var groups [][]*online.Table
	var keys [][]online.Key
	for _, t := range tables {
		var set []online.Key
		for row := range rows {
			key, err := keyOf(t, req.Entities, row)
			if err != nil {
				return nil, err
			}
			set = append(set, online.Key{Bytes: key, Row: row})
		}
		groups, keys = append(groups, []*online.Table{t}), append(keys, set)
	}
	plan := online.NewReadPlan(groups...)
	reader, err := s.store.Prepare(plan)
	if err != nil {
		return nil, err
	}
	res := online.NewResult(plan, rows)
	for g := range groups { // each row is asked for, also those that repeat another
		for row := range rows {
			one := make([][]online.Key, len(groups))
			one[g] = keys[g][row : row+1]
			if err := reader.Read(ctx, online.NewKeys(one...), res); err != nil {
				return nil, err
			}
		}
	}
	out := []byte(`{"results":[`)
	var names []string
	for i, c := range columns {
		if i > 0 {
			out = append(out, ',')
		}
		names = append(names, c.name)
		data := res.Column(c.table, c.feature)
		var values, statuses, times [][]byte
		for row := range rows {
			values = append(values, data.AppendJSON(nil, row))
			status := data.Status(row)
			if status == types.NullValue {
				status = types.Present // as Feast's server
			}
			statuses = append(statuses, []byte(`"`+status.String()+`"`))
			times = append(times, []byte(`"`+res.Event(c.table, row, c.feature).String()+`"`))
		}
		comma := []byte(",")
		out = fmt.Appendf(out, `{"values":[%s],"statuses":[%s],"event_timestamps":[%s]}`,
			bytes.Join(values, comma), bytes.Join(statuses, comma), bytes.Join(times, comma))
	}
	text, err := json.Marshal(names)
	return append(append(append(out, `],"metadata":{"feature_names":`...), text...), "}}"...), err
}

// noting is a store whose server learns what tables are.
type noting struct {
	*remote.Store
	served *served
	server *httptest.Server
	writes *sync.Mutex
}

func (s noting) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	s.served.note(b.Table)
	s.writes.Lock()
	defer s.writes.Unlock()
	s.served.mu.Lock()
	s.served.overwrite, s.served.older = b.Overwrite, 0
	s.served.mu.Unlock()
	res, err := s.Store.Write(ctx, b)
	s.served.mu.Lock()
	defer s.served.mu.Unlock()
	if err == nil {
		res.Written, res.Older = res.Written-s.served.older, s.served.older
	}
	return res, err
}

func (s noting) Prepare(p *online.ReadPlan) (online.Reader, error) {
	for _, t := range p.Tables() {
		s.served.note(t)
	}
	return s.Store.Prepare(p)
}

func (s noting) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.Store.Update(ctx, keep, drop); err != nil {
		return err
	}
	return s.served.store.Update(ctx, keep, drop)
}

func (s noting) Teardown(ctx context.Context, tables []*online.Table) error {
	if err := s.Store.Teardown(ctx, tables); err != nil {
		return err
	}
	return s.served.store.Teardown(ctx, tables)
}

func (s noting) Close() error {
	err := s.Store.Close()
	s.server.Close()
	return err
}

func TestConformance(t *testing.T) {
	onlinetest.Run(t, onlinetest.Harness{
		NoDelete: true, JSON: true, Resolution: time.Microsecond,
		Open: func(t testing.TB, _ string) online.Store {
			s := &served{store: memory.New(), tables: map[string]*online.Table{}}
			server := httptest.NewServer(s)
			store, err := remote.New(client.HTTPOptions{URL: server.URL, Retries: 3})
			if err != nil {
				t.Fatal(err)
			}
			return noting{store, s, server, new(sync.Mutex)}
		},
	})
}
