package offlineserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/types"
	"github.com/feastgo/feast/types/arrowconv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// bed is a server and a client of the generated kind.
type bed struct {
	*testing.T
	dir    string
	server *Server
	conn   *grpc.ClientConn
	client flight.FlightServiceClient
}

var generous = Limits{Rows: 1000, Held: 1 << 20, Pending: 2, Concurrent: 4, Timeout: time.Minute, Idle: time.Minute, Wait: time.Hour}

// serve starts a server with the source and the objects of Feast's recorded exchanges.
func serve(t *testing.T, project string, g *guard.Guard, l Limits, more ...registry.Object) *bed {
	t.Helper()
	b := &bed{T: t, dir: t.TempDir()}
	b.write("src.parquet", offlinetest.Table("driver_id i64, event_timestamp us, created us, trips i64, name text",
		offlinetest.R(1, day, day.Add(time.Hour), 1, "a"), offlinetest.R(1, day.AddDate(0, 0, 1), day.AddDate(0, 0, 1).Add(time.Hour), 2, "b"),
		offlinetest.R(2, day, day.Add(time.Hour), 3, "c")))
	src := &registry.DataSource{
		Name: "src", TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
		Options: registry.FileOptions{Path: filepath.Join(b.dir, "src.parquet")},
	}
	fields := []registry.Field{{Name: "trips", Type: types.Int64}, {Name: "name", Type: types.String}}
	dv := &registry.FeatureView{
		Name: "dv", Entities: []string{"driver"}, EntityColumns: []registry.Field{{Name: "driver_id", Type: types.Int64}}, TTL: 30 * 24 * time.Hour,
		Schema: fields, Source: src,
	}
	backend := memory.New()
	if err := backend.Put(t.Context(), project, append([]registry.Object{
		&registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}, src, dv,
		&registry.DataSource{Name: "sink", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: filepath.Join(b.dir, "sink.parquet")}},
		&registry.FeatureService{Name: "svc", Features: []registry.FeatureViewProjection{{Name: "dv", Alias: "renamed", Features: fields[:1]}}},
		&registry.FeatureService{
			Name: "logged", Features: []registry.FeatureViewProjection{{Name: "dv", Features: fields}},
			Logging: &registry.LoggingConfig{SampleRate: 1, Destination: registry.FileDestination{Path: filepath.Join(b.dir, "logs")}},
		},
	}, more...)...); err != nil {
		t.Fatal(err)
	}
	fs, err := feast.New(t.Context(), config.Default(project), feast.WithRegistry(backend), feast.WithOfflineStore(file.New(b.dir)))
	if err != nil {
		t.Fatal(err)
	}
	if g == nil {
		g = &guard.Guard{}
	}
	g.Logger = slog.New(slog.DiscardHandler)
	b.server = New(fs, g, l)
	s := grpc.NewServer()
	b.server.Register(s)
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		if err := s.Serve(listener); !errors.Is(err, grpc.ErrServerStopped) { // before it began
			done <- err
		}
		close(done)
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	b.conn, b.client = conn, flight.NewFlightServiceClient(conn)
	t.Cleanup(func() {
		_ = conn.Close()
		s.Stop()
		if err := errors.Join(<-done, b.server.Close(), fs.Close()); err != nil {
			t.Error(err)
		}
		if held := b.server.held.Load(); held != 0 {
			t.Errorf("the server still holds %d bytes of uploads", held)
		}
	})
	return b
}

func (b *bed) write(name string, rows arrow.RecordBatch) {
	b.Helper()
	r, err := array.NewRecordReader(rows.Schema(), []arrow.RecordBatch{rows})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	if _, err := parquet(b.T).Create(b.Context(), filepath.Join(b.dir, name), r); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) read(name string) (rows []string) {
	b.Helper()
	r, err := parquet(b.T).Open(b.Context(), filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		rows = append(rows, offlinetest.Rows(r.RecordBatch())...)
	}
	return rows
}

// exchange makes a call, with rows or the placeholder, and returns the columns and rows of the answer.
func (b *bed) exchange(ctx context.Context, command string, rows arrow.RecordBatch) (columns, out []string, err error) {
	st, err := b.client.DoExchange(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := send(ctx, st, command, rows); err != nil {
		return nil, nil, err
	}
	return answerOf(st)
}

func answerOf(st flightwire.Stream) (columns, rows []string, err error) {
	r, err := flightwire.NewReader(st, nil)
	if err != nil {
		return nil, nil, err
	}
	defer r.Release()
	for _, f := range r.Schema().Fields() {
		columns = append(columns, f.Name+" "+arrowconv.TypeText(f.Type))
	}
	for r.Next() {
		rows = append(rows, offlinetest.Rows(r.RecordBatch())...)
	}
	return columns, rows, r.Err()
}

type uploader interface {
	flightwire.DataWriter
	CloseSend() error
}

func send(ctx context.Context, st uploader, command string, rows arrow.RecordBatch) error {
	r := flightwire.NoRows()
	if rows != nil {
		var err error
		if r, err = array.NewRecordReader(rows.Schema(), []arrow.RecordBatch{rows}); err != nil {
			return err
		}
	}
	defer r.Release()
	_, err := flightwire.Write(ctx, st, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(command)}, r)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return st.CloseSend()
}

func (b *bed) put(ctx context.Context, command string, rows arrow.RecordBatch) error {
	st, err := b.client.DoPut(ctx)
	if err != nil {
		return err
	}
	if err := send(ctx, st, command, rows); err != nil {
		return err
	}
	for {
		if _, err := st.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func parquet(t *testing.T) *offline.ParquetCodec {
	t.Helper()
	c, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type column struct {
	Name string
	Type string `json:"arrow_type"`
}

type golden struct {
	Result json.RawMessage                 `json:"client_result"`
	Error  *struct{ Type, Message string } `json:"client_error"`
	Calls  []struct {
		RPC    string
		Text   string   `json:"command_text"`
		Upload []column `json:"upload_schema"`
		Ticket string   `json:"ticket_text"`
	}
}

// uploadOf makes the rows that Feast's client sent: two entity rows, or one of nulls.
func uploadOf(t *testing.T, columns []column) arrow.RecordBatch {
	t.Helper()
	if len(columns) == 1 {
		return nil
	}
	if len(columns) == 2 {
		return offlinetest.Table("driver_id i64, event_timestamp us", offlinetest.R(1, day.AddDate(0, 0, 2)), offlinetest.R(2, day.AddDate(0, 0, 2)))
	}
	known := map[string]arrow.DataType{
		"int64": arrow.PrimitiveTypes.Int64, "int32": arrow.PrimitiveTypes.Int32, "string": arrow.BinaryTypes.String, "date32[day]": arrow.FixedWidthTypes.Date32,
		"timestamp[us, tz=UTC]": arrowconv.Timestamp, "timestamp[s, tz=UTC]": &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"},
	}
	var fields []arrow.Field
	for _, c := range columns {
		if known[c.Type] == nil {
			t.Fatalf("type %q", c.Type)
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: known[c.Type], Nullable: true})
	}
	rb := array.NewRecordBuilder(arrowmemory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer rb.Release()
	for _, f := range rb.Fields() {
		f.AppendEmptyValue()
	}
	return rb.NewRecordBatch()
}

// TestGolden answers what Feast's client asked, as Feast's server did.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/flight/*.json")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b := serve(t, "golden", nil, generous)
			text = []byte(strings.ReplaceAll(string(text), "<data>", b.dir))
			var g golden
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			b.replay(&g)
		})
	}
}

func (b *bed) replay(g *golden) {
	ctx := b.Context()
	var columns, rows []string
	var err error
	for _, c := range g.Calls {
		switch c.RPC {
		case "DoExchange":
			columns, rows, err = b.exchange(ctx, c.Text, uploadOf(b.T, c.Upload))
		case "DoPut":
			err = b.put(ctx, c.Text, uploadOf(b.T, c.Upload))
		case "GetFlightInfo":
			info, ierr := b.client.GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(c.Text)})
			if ierr != nil {
				b.Fatal(ierr)
			}
			if info.GetTotalRecords() != -1 || info.GetTotalBytes() != -1 || len(info.GetEndpoint()) != 1 || !strings.HasPrefix(info.GetEndpoint()[0].GetLocation()[0].GetUri(), "grpc+tcp://127.0.0.1:") {
				b.Errorf("%v", info)
			}
		case "DoGet":
			st, gerr := b.client.DoGet(ctx, &flight.Ticket{Ticket: []byte(c.Ticket)})
			if gerr != nil {
				b.Fatal(gerr)
			}
			columns, rows, err = answerOf(st)
		}
	}
	if g.Error != nil && len(g.Calls) > 0 {
		want, _, _ := strings.Cut(g.Error.Message, ". Detail: ")
		if class, ok := strings.CutPrefix(g.Error.Type, "feast.errors."); ok {
			want = fmt.Sprintf(`Flight error: {"module": "feast.errors", "class": %q, "message": %q}`, class, want)
		}
		code := map[string]string{"pyarrow.lib.ArrowInvalid": "InvalidArgument", "pyarrow.lib.ArrowNotImplementedError": "Unimplemented"}[g.Error.Type]
		if code == "" {
			code = "Unknown"
		}
		if s := status.Convert(err); s.Message() != want || s.Code().String() != code {
			b.Errorf("%s: %s\nwant %s: %s", s.Code(), s.Message(), code, want)
		}
		return
	}
	if err != nil {
		b.Fatal(err)
	}
	var table struct {
		Columns []column
		Rows    []json.RawMessage
	}
	if json.Unmarshal(g.Result, &table) != nil || table.Columns == nil {
		return
	}
	b.compare(columns, rows, table.Columns, table.Rows)
}

// compare compares answers by the names of columns, rows in any order: both are free in Feast.
func (b *bed) compare(columns, rows []string, wantColumns []column, wantRows []json.RawMessage) {
	b.Helper()
	var want []string
	for _, c := range wantColumns {
		want = append(want, c.Name+" "+c.Type)
	}
	if strings.HasSuffix(b.Name(), "_dates") { // docs/compatibility.md, line 8: all rows of the window, not the newest as of its end
		want = []string{"event_timestamp timestamp[us, tz=UTC]", "created_timestamp timestamp[us, tz=UTC]", "driver_id int64", "trips int64"}
		if len(rows) != 3 || !slices.Equal(columns, want) {
			b.Errorf("%q, %q", columns, rows)
		}
		return
	}
	if got := slices.Sorted(slices.Values(columns)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		b.Fatalf("columns %q, want %q", columns, want)
	}
	sorted := func(columns []string, rows []string) (out []string) {
		for _, r := range rows {
			var cells []any
			if err := json.Unmarshal([]byte(r), &cells); err != nil {
				b.Fatal(err)
			}
			var named []string
			for i, c := range cells {
				named = append(named, fmt.Sprint(columns[i], "=", c))
			}
			slices.Sort(named)
			out = append(out, strings.Join(named, ", "))
		}
		slices.Sort(out)
		return out
	}
	var texts []string
	for _, r := range wantRows {
		texts = append(texts, string(r))
	}
	if got, want := sorted(columns, rows), sorted(want, texts); !slices.Equal(got, want) {
		b.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWrites looks at what the calls that write leave behind.
func TestWrites(t *testing.T) {
	b := serve(t, "golden", nil, generous)
	row := offlinetest.Table("name text, driver_id i64, event_timestamp us, created us, trips i64", offlinetest.R("d", 4, day, day, 4))
	if err := b.put(t.Context(), `{"api": "offline_write_batch", "feature_view_names": ["dv"], "progress": null, "name_aliases": [null]}`, row); err != nil {
		t.Fatal(err)
	}
	if got := b.read("src.parquet"); len(got) != 4 || got[0] != `[4,{"$ts":"2024-01-01T00:00:00Z"},{"$ts":"2024-01-01T00:00:00Z"},4,"d"]` {
		t.Errorf("%q", got)
	}
	persist := `{"api": "persist", "data_source_name": "sink", "allow_overwrite": %t, "timeout": null, "feature_view_names": ["dv"], "feature_refs": ["dv:trips"], "project": "golden", "full_feature_names": false, "name_aliases": [null], "retrieve_func": "get_historical_features"}`
	entities := offlinetest.Table("driver_id i64, event_timestamp us", offlinetest.R(2, day))
	if err := b.put(t.Context(), fmt.Sprintf(persist, false), entities); err != nil {
		t.Fatal(err)
	}
	if got := b.read("sink.parquet"); !slices.Equal(got, []string{`[2,{"$ts":"2024-01-01T00:00:00Z"},3]`}) {
		t.Errorf("%q", got)
	}
	if err := b.put(t.Context(), fmt.Sprintf(persist, false), entities); !strings.Contains(fmt.Sprint(err), "SavedDatasetLocationAlreadyExists") {
		t.Errorf("the file is there: %v", err)
	}
	if err := b.put(t.Context(), fmt.Sprintf(persist, true), entities); err != nil {
		t.Error(err)
	}
	log := offlinetest.Table("driver_id i64, dv__trips i64", offlinetest.R(1, 2))
	for range 2 {
		if err := b.put(t.Context(), `{"api": "write_logged_features", "feature_service_name": "logged"}`, log); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.read("logs"); !slices.Equal(got, []string{"[1,2]", "[1,2]"}) {
		t.Errorf("%q", got)
	}
}

// TestPermissions answers callers with and without roles as Feast does, but for the words about tokens that are refused.
func TestPermissions(t *testing.T) {
	text, err := os.ReadFile("testdata/permissions.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Captures []struct {
			Call, Note, Result, Message string
			Token                       *string
			Command                     json.RawMessage
			Rows                        int
			Columns                     []string
		}
	}
	if err := json.Unmarshal(text, &file); err != nil || len(file.Captures) != 19 {
		t.Fatal(len(file.Captures), err)
	}
	role := func(name, role string, kinds []permissions.Kind, patterns []string, actions ...permissions.Action) *permissions.Permission {
		return &permissions.Permission{Name: name, Types: kinds, NamePatterns: patterns, Actions: actions, Policy: permissions.RoleBased{Roles: []string{role}}}
	}
	views := []permissions.Kind{permissions.FeatureView}
	all := []permissions.Kind{permissions.FeatureView, permissions.DataSource, permissions.FeatureService}
	g := &guard.Guard{Authenticator: guardtest.Users{
		"norole": {Name: "norole"}, "reader": {Name: "reader", Roles: []string{"reader"}}, "writer": {Name: "writer", Roles: []string{"writer"}},
		"admin": {Name: "admin", Roles: []string{"admin"}},
	}}
	b := serve(t, "perm_demo", g, generous,
		role("p_write", "writer", views, []string{"driver_stats"}, permissions.WriteOffline, permissions.WriteOnline),
		role("p_read", "reader", append(slices.Clone(views), permissions.FeatureService), []string{"driver_.*", "svc.*"}, permissions.Describe, permissions.ReadOffline, permissions.ReadOnline),
		role("p_admin", "admin", all, nil, permissions.Describe, permissions.ReadOffline, permissions.WriteOffline),
		&registry.DataSource{Name: "driver_src", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "driver.parquet"}},
		&registry.FeatureView{
			Name: "driver_stats", Entities: []string{"driver"}, Schema: []registry.Field{{Name: "conv", Type: types.Float32}, {Name: "score", Type: types.Float32}},
			Source: &registry.DataSource{Name: "driver_src", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "driver.parquet"}},
		},
		&registry.FeatureView{
			Name: "risky_stats", Entities: []string{"driver"}, Schema: []registry.Field{{Name: "score", Type: types.Float32}},
			Source: &registry.DataSource{Name: "driver_src", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "driver.parquet"}},
		},
	)
	b.write("driver.parquet", offlinetest.Table("driver_id i64, conv f32, score f32, event_timestamp us", offlinetest.R(1, 0.5, 0.5, day), offlinetest.R(2, 0.25, 0.25, day)))
	for _, c := range file.Captures {
		ctx, token := t.Context(), "none"
		if c.Token != nil {
			token = *c.Token
			header, raw := strings.CutPrefix(token, "raw:")
			if !raw {
				header = "Bearer " + token
			}
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
		}
		entities := offlinetest.Table("driver_id i64, event_timestamp us", offlinetest.R(1, day))
		var columns, rows []string
		var err error
		switch c.Call {
		case "do_exchange":
			if c.Note == "pull_latest" {
				entities = nil
			}
			columns, rows, err = b.exchange(ctx, string(c.Command), entities)
		case "do_put":
			err = b.put(ctx, string(c.Command), offlinetest.Table("driver_id i64, conv f32, event_timestamp us", offlinetest.R(1, 0.5, day)))
		case "list_flights":
			var st flight.FlightService_ListFlightsClient
			if st, err = b.client.ListFlights(ctx, &flight.Criteria{}); err == nil {
				_, err = st.Recv()
			}
		case "list_actions":
			var st flight.FlightService_ListActionsClient
			if st, err = b.client.ListActions(ctx, &flight.Empty{}); err == nil {
				_, err = st.Recv()
			}
		case "get_flight_info":
			_, err = b.client.GetFlightInfo(ctx, &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: c.Command})
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		message := status.Convert(err).Message()
		want := c.Message
		switch { // why a token is refused is for the log, docs/compatibility.md, line 17
		case strings.HasPrefix(want, "Failed to decode token"):
			want = "Invalid token."
		case strings.HasPrefix(want, "Expected Bearer schema"):
			want = "Expected Bearer schema"
		}
		if message != want {
			t.Errorf("%s %s of %s: %q, want %q", c.Call, c.Note, token, message, want)
		}
		if err == nil && c.Call == "do_exchange" && (len(rows) != c.Rows || len(columns) != len(c.Columns)) {
			t.Errorf("%s %s of %s: %q, %q", c.Call, c.Note, token, columns, rows)
		}
	}
}
