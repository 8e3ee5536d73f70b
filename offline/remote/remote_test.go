package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	gen "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/offlinetest"
	offlineremote "github.com/feastgo/feast/offline/remote"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/types/arrowconv"
)

// fake is a server that answers as a test says.
type fake struct {
	flight.BaseFlightServer
	exchange func(flight.FlightService_DoExchangeServer) error
	put      func(flight.FlightService_DoPutServer) error
}

func (f *fake) DoExchange(st flight.FlightService_DoExchangeServer) error { return f.exchange(st) }
func (f *fake) DoPut(st flight.FlightService_DoPutServer) error           { return f.put(st) }

func (f *fake) serve(t testing.TB) offline.Store {
	t.Helper()
	g := grpc.NewServer()
	gen.RegisterFlightServiceServer(g, f)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	conn, err := remote.DialFlight(remote.Options{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	store := offlineremote.New(conn, project, 0)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return store
}

var day = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func entities() arrow.RecordBatch {
	return offlinetest.Table("driver_id i64, event_timestamp us", offlinetest.R(1, day), offlinetest.R(2, day))
}

func readerOf(t testing.TB, b arrow.RecordBatch) array.RecordReader {
	t.Helper()
	r, err := array.NewRecordReader(b.Schema(), []arrow.RecordBatch{b})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// plan is what the front makes of references to view dv.
func plan(full bool, alias string, features ...string) *offline.JoinPlan {
	v := offline.JoinView{Name: "dv", View: "dv", Alias: alias, Event: "event_timestamp", Source: &offline.Source{Name: "src"}}
	if alias != "" {
		v.Name = alias
	}
	for _, f := range features {
		name := f
		if full {
			name = v.Name + "__" + f
		}
		v.Features = append(v.Features, offline.Column{Source: f, Name: name})
	}
	return &offline.JoinPlan{Views: []offline.JoinView{v}, FullNames: full}
}

// TestGolden: what is sent is what Feast's client sent, but for the identity of the command.
func TestGolden(t *testing.T) {
	scan := &offline.ScanPlan{
		Source: &offline.Source{Name: "src"}, Keys: []offline.Column{{Source: "driver_id", Name: "k"}},
		Features: []offline.Column{{Source: "trips", Name: "trips"}, {Source: "name", Name: "n"}}, Event: offline.Column{Source: "event_timestamp", Name: "e"},
		Start: day, End: day.AddDate(0, 0, 4),
	}
	withCreated := *scan
	withCreated.Created = offline.Column{Source: "created", Name: "c"}
	history := func(p *offline.JoinPlan, sql string) func(context.Context, offline.Store) error {
		return func(ctx context.Context, s offline.Store) error {
			e := offline.EntityRows{Event: "event_timestamp", SQL: sql}
			if sql == "" {
				e.Rows = readerOf(t, entities())
			}
			job, err := s.Historical(ctx, p, e)
			if err == nil {
				_, err = job.Read(ctx)
				err = errors.Join(err, job.Close())
			}
			return err
		}
	}
	for name, call := range map[string]func(context.Context, offline.Store) error{
		"get_historical_features_df":            history(plan(false, "", "trips", "name"), ""),
		"get_historical_features_full_names":    history(plan(true, "", "trips"), ""),
		"get_historical_features_service_alias": history(plan(true, "renamed", "trips"), ""),
		"get_historical_features_sql":           history(plan(false, "", "trips"), "SELECT 1 AS driver_id, now() AS event_timestamp"),
		"pull_latest_from_table_or_query": func(ctx context.Context, s offline.Store) error {
			job, err := s.Latest(ctx, &withCreated)
			if err == nil {
				_, err = job.Read(ctx)
			}
			return err
		},
		"pull_all_from_table_or_query": func(ctx context.Context, s offline.Store) error {
			job, err := s.All(ctx, scan)
			if err == nil {
				_, err = job.Read(ctx)
			}
			return err
		},
		"offline_write_batch": func(ctx context.Context, s offline.Store) error {
			rows := readerOf(t, offlinetest.Table("driver_id i64, event_timestamp us, created us, trips i64, name text", offlinetest.R(1, day, day, 1, "a")))
			defer rows.Release()
			_, err := s.Append(ctx, &offline.Source{Name: "src", View: "dv"}, rows)
			return err
		},
		"get_table_column_names_and_types_from_data_source": func(ctx context.Context, s offline.Store) error {
			at := time.Date(2026, 11, 23, 9, 42, 19, 978603000, time.UTC)
			r, err := registry.Encode("", &registry.DataSource{
				Name: "src", TimestampField: "event_timestamp", CreatedTimestampColumn: "created", Options: registry.FileOptions{Path: "<data>/src.parquet"},
				Created: at, LastUpdated: time.Date(2026, 11, 23, 9, 42, 20, 13427000, time.UTC),
			})
			if err != nil {
				return err
			}
			_, err = s.Describe(ctx, &offline.Source{Name: "src", Definition: r.Proto})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/flight/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var g struct {
				Calls []struct {
					RPC     string
					Command map[string]any
					Upload  []struct {
						Name string
						Type string `json:"arrow_type"`
					} `json:"upload_schema"`
				}
			}
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			var rpc string
			var command map[string]any
			var upload []string
			refusal := status.Error(codes.Unimplemented, "enough was seen")
			see := func(name string, st flightwire.Stream) error {
				rpc = name
				r, err := flight.NewRecordReader(st)
				if err != nil {
					return err
				}
				defer r.Release()
				for _, f := range r.Schema().Fields() {
					upload = append(upload, f.Name+" "+arrowconv.TypeText(f.Type))
				}
				d := r.LatestFlightDescriptor()
				for r.Next() {
				}
				if d.GetType() != flight.DescriptorCMD {
					return errors.New("no command")
				}
				return errors.Join(r.Err(), json.Unmarshal(d.GetCmd(), &command), refusal)
			}
			f := &fake{
				exchange: func(st flight.FlightService_DoExchangeServer) error { return see("DoExchange", st) },
				put:      func(st flight.FlightService_DoPutServer) error { return see("DoPut", st) },
			}
			if err := call(t.Context(), f.serve(t)); !strings.Contains(fmt.Sprint(err), "enough was seen") {
				t.Fatal(err)
			}
			want := g.Calls[0]
			if id, _ := command["command_id"].(string); len(id) != 36 {
				t.Errorf("command_id %q", id)
			}
			command["command_id"] = want.Command["command_id"]
			for _, c := range []map[string]any{command, want.Command} { // JSON within JSON
				if text, ok := c["data_source_proto"].(string); ok {
					var source any
					if err := json.Unmarshal([]byte(text), &source); err != nil {
						t.Fatal(err)
					}
					c["data_source_proto"] = source
				}
			}
			if rpc != want.RPC || !reflect.DeepEqual(command, want.Command) {
				t.Errorf("%s %v\nwant %s %v", rpc, command, want.RPC, want.Command)
			}
			var columns []string
			for _, c := range want.Upload {
				columns = append(columns, c.Name+" "+c.Type)
			}
			if !reflect.DeepEqual(upload, columns) {
				t.Errorf("upload %q, want %q", upload, columns)
			}
		})
	}
}

// answering makes a server that reads the upload and then answers.
func answering(answer func(w *flight.Writer, st flight.FlightService_DoExchangeServer) error) *fake {
	return &fake{exchange: func(st flight.FlightService_DoExchangeServer) error {
		for {
			if _, err := st.Recv(); err != nil {
				break
			}
		}
		return answer(flight.NewRecordWriter(st, ipc.WithSchema(good().Schema())), st)
	}}
}

func good() arrow.RecordBatch {
	return offlinetest.Table("driver_id i64, event_timestamp us, trips i64", offlinetest.R(1, day, 5))
}

func history(ctx context.Context, t testing.TB, s offline.Store) ([]string, error) {
	t.Helper()
	return offlinetest.Join(ctx, t, s, plan(false, "", "trips"), "event_timestamp", entities())
}

// TestHostileServers: each ends with an error, and nothing is left running.
func TestHostileServers(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(w *flight.Writer, st flight.FlightService_DoExchangeServer) error
		class  error
		text   string
	}{
		"nothing": {func(*flight.Writer, flight.FlightService_DoExchangeServer) error { return nil }, feasterr.ErrInvalid, "answered nothing"},
		"noise": {func(_ *flight.Writer, st flight.FlightService_DoExchangeServer) error {
			return st.Send(&flight.FlightData{DataHeader: []byte("noise noise noise noise noise")})
		}, feasterr.ErrInvalid, "message"},
		"an error in the middle": {func(w *flight.Writer, _ flight.FlightService_DoExchangeServer) error {
			return errors.Join(w.Write(good()), status.Error(codes.InvalidArgument, "no more"))
		}, feasterr.ErrInvalid, "no more"},
		"another schema": {func(_ *flight.Writer, st flight.FlightService_DoExchangeServer) error {
			return flight.NewRecordWriter(st, ipc.WithSchema(entities().Schema())).Write(entities())
		}, feasterr.ErrInvalid, `"trips"`},
		"a batch without its values": {func(w *flight.Writer, st flight.FlightService_DoExchangeServer) error {
			var all recorder
			o := flight.NewRecordWriter(&all, ipc.WithSchema(good().Schema()))
			if err := o.Write(good()); err != nil {
				return err
			}
			all[1].DataBody = nil
			return errors.Join(st.Send(all[0]), st.Send(all[1]))
		}, feasterr.ErrInvalid, "batch"},
		"an exception of Feast": {func(*flight.Writer, flight.FlightService_DoExchangeServer) error {
			return status.Error(codes.Unknown, `Flight error: {"module": "feast.errors", "class": "FeatureViewNotFoundException", "message": "Feature view x does not exist"}. Detail: Python exception: {}`)
		}, feasterr.ErrNotFound, "FeatureViewNotFoundException: Feature view x does not exist"},
		"a refusal": {func(*flight.Writer, flight.FlightService_DoExchangeServer) error {
			return status.Error(codes.Unknown, `Flight error: {"module": "feast.errors", "class": "FeastPermissionError", "message": "Permission error: {no}"}`)
		}, feasterr.ErrDenied, "Permission error: {no}"},
		"no token": {func(*flight.Writer, flight.FlightService_DoExchangeServer) error {
			return status.Error(codes.Unknown, "Missing authorization header. Detail: Python exception: Traceback")
		}, feasterr.ErrUnauthenticated, "Unknown: Missing authorization header"},
		"a token of nobody, in Kubernetes": {func(*flight.Writer, flight.FlightService_DoExchangeServer) error {
			return status.Error(codes.Unknown, "Could not extract username from token. Detail: Python exception: Traceback")
		}, feasterr.ErrUnauthenticated, "Unknown: Could not extract username"},
	} {
		_, err := history(t.Context(), t, answering(test.answer).serve(t))
		if !errors.Is(err, test.class) || !strings.Contains(fmt.Sprint(err), test.text) || strings.Contains(fmt.Sprint(err), "Python exception") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type recorder []*flight.FlightData

func (r *recorder) Send(d *flight.FlightData) error {
	*r = append(*r, &flight.FlightData{DataHeader: append([]byte(nil), d.DataHeader...), DataBody: append([]byte(nil), d.DataBody...)})
	return nil
}

// TestEndless: an answer without an end is read as far as somebody wants, and releasing the reader ends the call.
func TestEndless(t *testing.T) {
	ended := make(chan error, 1)
	store := answering(func(w *flight.Writer, _ flight.FlightService_DoExchangeServer) error {
		for {
			if err := w.Write(good()); err != nil {
				ended <- err
				return err
			}
		}
	}).serve(t)
	job, err := store.Historical(t.Context(), plan(false, "", "trips"), offline.EntityRows{Rows: readerOf(t, entities()), Event: "event_timestamp"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := job.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if !r.Next() {
			t.Fatal(r.Err())
		}
	}
	r.Release()
	if err := <-ended; err == nil {
		t.Error("the server was not told")
	}
	if err := job.Close(); err != nil {
		t.Error(err)
	}
}

// TestSilent: a server that never answers holds nobody whose context ends.
func TestSilent(t *testing.T) {
	store := (&fake{exchange: func(st flight.FlightService_DoExchangeServer) error {
		<-st.Context().Done()
		return st.Context().Err()
	}}).serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := history(ctx, t, store); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// bad are rows that end with an error.
type bad struct{ array.RecordReader }

var errBad = errors.New("the rows end here")

func (b bad) Err() error { return errBad }

// TestBadRows: an error of the rows ends the call, so that nothing is added, and is what the caller sees.
func TestBadRows(t *testing.T) {
	complete := make(chan bool, 1)
	store := (&fake{put: func(st flight.FlightService_DoPutServer) error {
		for {
			if _, err := st.Recv(); err != nil {
				complete <- err.Error() == "EOF"
				return err
			}
		}
	}}).serve(t)
	rows := bad{readerOf(t, entities())}
	defer rows.Release()
	if n, err := store.Append(t.Context(), &offline.Source{View: "dv"}, rows); n != 0 || !errors.Is(err, errBad) {
		t.Error(n, err)
	}
	if <-complete {
		t.Error("the server saw a whole upload")
	}
}

func TestUnsupported(t *testing.T) {
	store := new(fake).serve(t)
	p := plan(false, "", "trips")
	p.Views[0].View = ""
	if _, err := store.Historical(t.Context(), p, offline.EntityRows{SQL: "x"}); !errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), "dv") {
		t.Error(err)
	}
	if _, err := store.Append(t.Context(), &offline.Source{Name: "src"}, nil); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := store.Describe(t.Context(), &offline.Source{Name: "src"}); !errors.Is(err, feasterr.ErrUnsupported) {
		t.Error(err)
	}
}

// TestConfiguration: the keys of the section are Feast's, and no other.
func TestConfiguration(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "none.pem")
	for section, want := range map[string]string{
		"host: localhost": "",
		"host: localhost, port: 8815, connection_retries: 0": "",
		"host: localhost, port: null, scheme: https":         "",
		"port: 1":                                       "host",
		"host: localhost, scheme: ftp":                  "scheme",
		"host: localhost, cert: " + cert:                "cert",
		"host: localhost, scheme: https, cert: " + cert: "certificates",
		"host: localhost, connection_retries: -1":       "connection_retries",
		"host: localhost, port: 70000":                  "port",
		"host: localhost, timeout: 1":                   "timeout",
		"host: \"grpc://localhost\"":                    "host:port",
	} {
		dir := t.TempDir()
		text := "project: p\nprovider: local\nregistry: registry.db\noffline_store: {type: remote, " + section + "}\n"
		if err := os.WriteFile(filepath.Join(dir, "feature_store.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(dir, os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		store, err := offline.Open(t.Context(), cfg.OfflineStore, offline.Env{Project: "p"})
		switch {
		case want == "" && err == nil:
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		case want == "" || err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v", section, err)
		}
	}
}

// BenchmarkHistorical joins a million entity rows through client and server, and in process, in the same run.
func BenchmarkHistorical(b *testing.B) {
	const n, keys = 1_000_000, 50_000
	var source, rows [][]any
	for i := range n {
		source = append(source, offlinetest.R(i%keys, day.Add(time.Duration(i)*time.Second), i, float64(i)))
		rows = append(rows, offlinetest.R((i*7)%keys, day.Add(time.Duration(i)*time.Second)))
	}
	store := open(b).(*served)
	defer store.Close()
	src := files(b, offlinetest.Table("k i64, e us, v i64, f f64", source...))
	entities := offlinetest.Table("k i64, t us", rows...)
	p := &offline.JoinPlan{Views: []offline.JoinView{{
		Name: "v", Source: src, Event: "e", Keys: []offline.JoinKey{{Source: "k", Entity: "k"}},
		Features: []offline.Column{{Source: "v", Name: "v"}, {Source: "f", Name: "f"}},
	}}}
	read := func(s offline.Store) time.Duration {
		began := time.Now()
		job, err := s.Historical(b.Context(), p, offline.EntityRows{Rows: readerOf(b, entities), Event: "t"})
		if err != nil {
			b.Fatal(err)
		}
		r, err := job.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		got := int64(0)
		for r.Next() {
			got += r.RecordBatch().NumRows()
		}
		if r.Err() != nil || got != n {
			b.Fatal(got, r.Err())
		}
		r.Release()
		if err := job.Close(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	inProcess, err := store.fs.OfflineStore(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var here, there time.Duration
	for b.Loop() {
		here += read(inProcess)
		there += read(store)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(n*float64(b.N)/here.Seconds(), "rows/s-in-process")
	b.ReportMetric(n*float64(b.N)/there.Seconds(), "rows/s")
	b.ReportMetric(there.Seconds()/here.Seconds(), "x")
}
