package remote_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/remote"
	client "github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types"
)

// goldenCase is a call of Feast's own client with what went over the wire.
type goldenCase struct {
	Call struct {
		API       string
		View      string
		Requested []string        `json:"requested_features"`
		DriverID  []int64         `json:"driver_id"`
		ItemID    json.RawMessage `json:"item_id"`
		Event     string          `json:"event_ts"`
		Created   string          `json:"created_ts"`
		Entities  json.RawMessage `json:"entity_rows"`
		Features  json.RawMessage `json:"features"`
	}
	Exchanges []struct {
		Path         string
		RequestBody  string `json:"request_body"`
		Status       int
		ResponseBody string `json:"response_body"`
	}
	Result     json.RawMessage `json:"client_result"`
	ErrorClass string          `json:"client_error_class"`
}

type hexCell struct{ Hex string }

func goldenCases(t testing.TB) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []goldenCase }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 134 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	return file.Cases
}

// replay is a server that gives one answer, and keeps what it was asked.
type replay struct {
	mu     sync.Mutex
	status int
	answer string
	path   string
	asked  []byte
	header http.Header
}

func (r *replay) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var body bytes.Buffer
	_, _ = body.ReadFrom(q.Body)
	r.path, r.asked, r.header = q.URL.Path, body.Bytes(), q.Header
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(r.answer))
}

// serve returns a store whose server is r.
func serve(t testing.TB, r http.Handler) *remote.Store {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	s, err := remote.New(client.HTTPOptions{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func object(t testing.TB, text string) (m map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(text, err)
	}
	return m
}

// Whole requests as Feast's client sends them, and what is made of Feast's answers: the values that Feast's client is given,
// those of lists and empty ones, too, for which its own conversion fails.
func TestGoldenForward(t *testing.T) {
	answered := 0
	for i, c := range goldenCases(t) {
		if c.Call.API != "get_online_features" || len(c.Exchanges) != 1 {
			continue
		}
		x := c.Exchanges[0]
		sent := object(t, x.RequestBody)
		r := &replay{status: x.Status, answer: x.ResponseBody}
		s := serve(t, r)
		q := &online.Request{TypeOf: func(string) types.Type { return types.Invalid }}
		if service, ok := sent["feature_service"].(string); ok {
			q.Service = service
		}
		if features, ok := sent["features"].([]any); ok {
			for _, f := range features {
				q.Features = append(q.Features, f.(string))
			}
		}
		q.FullNames = sent["full_feature_names"].(bool)
		entities := sent["entities"].(map[string]any)
		for name, values := range entities {
			list := values.([]any)
			typ := types.Int64
			if len(list) > 0 {
				if _, text := list[0].(string); text {
					typ = types.String
				}
			}
			col := types.NewColumn(name, typ, len(list))
			for row, v := range list {
				if err := col.SetNative(row, v); err != nil {
					t.Fatal(err)
				}
			}
			q.Entities = append(q.Entities, col)
		}
		if len(q.Entities) == 0 {
			continue // which the front does not let through
		}
		var block types.Block
		dst := &online.Response{Entities: &block, Result: new(online.Result)}
		err := s.Forward(t.Context(), q, dst)
		asked := object(t, string(r.asked))
		for _, optional := range []string{"full_feature_names", "include_feature_view_version_metadata"} {
			if asked[optional] == nil {
				asked[optional] = false
			}
		}
		if !reflect.DeepEqual(asked, sent) || r.path != x.Path || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("case %d: asked %s %s, want %s", i, r.path, r.asked, x.RequestBody)
		}
		if x.Status != 200 {
			if err == nil {
				t.Errorf("case %d: no error for %s", i, x.ResponseBody)
			}
			continue
		}
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		answered++
		want := object(t, x.ResponseBody)
		names := want["metadata"].(map[string]any)["feature_names"].([]any)
		for n, f := range dst.Fields() {
			result := want["results"].([]any)[n].(map[string]any)
			var col *types.Column
			if n < dst.Keys() {
				col = &block.Columns()[n]
			} else {
				col = dst.Result.Column(dst.Plan().Tables()[n-dst.Keys()], 0)
			}
			if f.Name != names[n] {
				t.Fatalf("case %d: column %d is %s, want %s", i, n, f.Name, names[n])
			}
			for row, value := range result["values"].([]any) {
				var got any
				d := json.NewDecoder(bytes.NewReader(col.AppendJSON(nil, row)))
				d.UseNumber()
				if err := d.Decode(&got); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(f.Name, "_of_list") && value != nil { // an empty inner list has no type, and is a null as where Feast writes one
					for n, inner := range value.([]any) {
						if list, ok := inner.([]any); ok && len(list) == 0 {
							value.([]any)[n] = nil
						}
					}
				}
				if !reflect.DeepEqual(got, value) {
					t.Errorf("case %d, %s, row %d: %v, want %v", i, f.Name, row, got, value)
				}
				status := result["statuses"].([]any)[row].(string)
				if value == nil && status == "PRESENT" { // docs/compatibility.md, line 1
					status = "NULL_VALUE"
				}
				if got := col.Status(row).String(); got != status {
					t.Errorf("case %d, %s, row %d: status %s, want %s", i, f.Name, row, got, status)
				}
				if n < dst.Keys() {
					continue
				}
				event := dst.Result.Event(dst.Plan().Tables()[n-dst.Keys()], row, 0).String()
				if want := result["event_timestamps"].([]any)[row]; event != want {
					t.Errorf("case %d, %s, row %d: event time %s, want %s", i, f.Name, row, event, want)
				}
			}
		}
	}
	if answered != 35 {
		t.Errorf("%d answers", answered)
	}
}

// One feature at a time, of every type that Feast's client can send: the same bodies, but for the form of times, which Feast's
// client varies and its server then refuses (departures of the driver), and for maps in lists; and what it reads back.
func TestGoldenTypes(t *testing.T) {
	wrote, read := 0, 0
	for i, c := range goldenCases(t) {
		name, single := strings.CutPrefix(c.Call.View, "one_")
		if !single || len(c.Exchanges) == 0 {
			continue
		}
		x := c.Exchanges[0]
		r := &replay{status: x.Status, answer: x.ResponseBody}
		s := serve(t, r)
		typ := typeOf(t, name)
		table := &online.Table{
			View: c.Call.View, Entities: []string{"item"}, JoinKeys: []string{"item_id"}, Features: []types.Field{{Name: name, Type: typ}},
		}
		key := onlinetest.Key("item_id", int64(50))
		if c.Call.API == "online_write_batch" {
			if name == "f_scalar_map" {
				continue // refused before it is sent
			}
			var raw struct {
				Call struct{ Features map[string]hexCell }
			}
			raw.Call.Features = featuresOf(t, i)
			value, err := hex.DecodeString(raw.Call.Features[name].Hex)
			if err != nil {
				t.Fatal(err)
			}
			event, _ := types.ParseISOTime(c.Call.Event)
			created, _ := types.ParseISOTime(c.Call.Created)
			batch := onlinetest.Batch(table, onlinetest.Row{Key: key, Event: event, Values: []any{onlinetest.Value(value)}})
			batch.Created = []types.Timestamp{created}
			_, err = s.Write(t.Context(), batch)
			if (err == nil) != (x.Status == 200) {
				t.Errorf("case %d: %v", i, err)
			}
			got, want := object(t, string(r.asked)), object(t, x.RequestBody)
			if got["transform_on_write"] != false {
				t.Errorf("case %d: transform_on_write is %v", i, got["transform_on_write"])
			}
			delete(got, "transform_on_write")
			df := got["df"].(map[string]any)
			df["created"] = []any{strings.TrimSuffix(df["created"].([]any)[0].(string), ".000000")}
			if name == "f_map_list" || name == "f_struct_list" { // sent as objects: Feast's server refuses its own client's text
				df[name] = want["df"].(map[string]any)[name]
			}
			if name == "f_map" || name == "f_struct" { // spaces
				df[name] = []any{strings.ReplaceAll(df[name].([]any)[0].(string), `":"`, `": "`)}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("case %d: wrote %s, want %s", i, r.asked, x.RequestBody)
			}
			wrote++
			continue
		}
		plan := online.NewReadPlan([]*online.Table{table})
		reader, err := s.Prepare(plan)
		if err != nil {
			t.Fatal(err)
		}
		res := online.NewResult(plan, 1)
		// Full names make the columns of several views one answer.
		r.answer = strings.Replace(r.answer, `"item_id","`+name+`"`, `"item_id","`+c.Call.View+"__"+name+`"`, 1)
		if err := reader.Read(t.Context(), online.NewKeys([]online.Key{{Bytes: key, Row: 0}}), res); err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		got, want := object(t, string(r.asked)), object(t, x.RequestBody)
		delete(got, "full_feature_names")
		if !reflect.DeepEqual(got, want) {
			t.Errorf("case %d: asked %s, want %s", i, r.asked, x.RequestBody)
		}
		var result [][]any
		if err := json.Unmarshal(c.Result, &result); err != nil {
			t.Fatal(err)
		}
		value := result[0][1].(map[string]any)[name].(string)
		if stored := hex.EncodeToString(res.Column(table, 0).AppendValue(nil, 0)); stored != value {
			t.Errorf("case %d: %s is %s, want %s", i, name, stored, value)
		}
		if at := res.RowEvent(table, 0).String(); at != "2024-01-02T03:04:05Z" {
			t.Errorf("case %d: event time %s", i, at)
		}
		read++
	}
	if wrote != 29 || read != 27 {
		t.Errorf("%d writes and %d reads", wrote, read)
	}
}

func typeOf(t *testing.T, feature string) types.Type {
	t.Helper()
	for typ := types.Bytes; typ <= types.ZonedTimestamp; typ++ {
		if name := strings.TrimSuffix(typ.ValueField(), "_val"); "f_"+name == feature {
			return typ
		}
	}
	name := map[string]types.Type{
		"f_float64": types.Float64, "f_float32": types.Float32, "f_float64_list": types.Float64List, "f_float32_list": types.Float32List,
		"f_list_of_list": types.ValueList, "f_set_of_list": types.ValueSet,
	}[feature]
	if name == types.Invalid {
		t.Fatalf("no type for %s", feature)
	}
	return name
}

// featuresOf are the values that a golden write is given.
func featuresOf(t *testing.T, i int) map[string]hexCell {
	t.Helper()
	b, err := os.ReadFile("testdata/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Call struct{ Features json.RawMessage }
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	var features map[string]hexCell
	if err := json.Unmarshal(file.Cases[i].Call.Features, &features); err != nil {
		t.Fatal(err)
	}
	return features
}
