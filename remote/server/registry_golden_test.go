package server

import (
	"bytes"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/guard/guardtest"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/permissions/auth"
	"github.com/feastgo/feast/registry"
	_ "github.com/feastgo/feast/registry/file"
	"github.com/feastgo/feast/types"
)

// recordedAt is the time of the recordings.
var recordedAt = time.Date(2024, 3, 1, 0, 0, 0, 123456000, time.UTC)

// openStore opens a feature store on a file registry with this content.
func openStore(t testing.TB, project string, content []byte) *feast.FeatureStore {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{
		"feature_store.yaml": []byte("project: " + project + "\nprovider: local\nregistry: registry.db\nonline_store: null\n"), "registry.db": content,
	}
	for name, b := range files {
		if b == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := feast.Open(t.Context(), filepath.Join(dir, "feature_store.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return fs
}

// goldenRegistry makes a server of the registry that the recordings were made with.
func goldenRegistry(t testing.TB, o Options) *RegistryServer {
	t.Helper()
	content, err := os.ReadFile("testdata/registry/registry.db")
	if err != nil {
		t.Fatal(err)
	}
	return newRegistry(t, openStore(t, "golden", content), o)
}

func newRegistry(t testing.TB, fs *feast.FeatureStore, o Options) *RegistryServer {
	t.Helper()
	s, err := Registry(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial serves until the test ends, and returns a connection.
func dial(t testing.TB, g *grpc.Server) *grpc.ClientConn {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		g.GracefulStop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

// bytesCodec leaves messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func message(t testing.TB, name string, b []byte) proto.Message {
	t.Helper()
	typ, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	m := typ.New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// recordedCall is one call of Feast's registry server.
type recordedCall struct {
	ID, Path, Note string
	Request        struct {
		Type   string
		Base64 []byte
	}
	RequestMetadata [][]string `json:"request_metadata"`
	Response        *struct {
		Type   string
		Base64 []byte
	}
	Error *struct {
		Code    string
		Number  int `json:"code_number"`
		Details string
	}
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/registry/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func recordedCalls(t testing.TB, name string) []*recordedCall {
	t.Helper()
	var recording struct{ Calls []*recordedCall }
	readJSON(t, name, &recording)
	return recording.Calls
}

// canonical returns JSON in one form, without what Feast's server makes of objects by turning them into Python's and back: it
// pickles functions anew, leaves out the class of data sources and the times of saved datasets, and writes defaults.
func canonical(t testing.TB, b []byte, ordered bool) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	b, err := json.Marshal(plain(v, ordered))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func plain(v any, ordered bool) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"dataSourceClassType", "body", "minEventTimestamp", "maxEventTimestamp"} {
			delete(v, key)
		}
		for key, otherwise := range map[string]string{"ttl": "0s", "version": "latest"} {
			if v[key] == otherwise {
				delete(v, key)
			}
		}
		for k, e := range v {
			v[k] = plain(e, ordered)
		}
	case []any:
		texts := map[int]string{}
		for i, e := range v {
			v[i] = plain(e, ordered)
			b, _ := json.Marshal(v[i])
			texts[i] = string(b)
		}
		if !ordered {
			slices.SortFunc(v, func(a, b any) int {
				x, _ := json.Marshal(a)
				y, _ := json.Marshal(b)
				return bytes.Compare(x, y)
			})
		}
	}
	return v
}

func protoText(t testing.TB, m proto.Message, ordered bool) string {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return canonical(t, b, ordered)
}

// All recorded calls without authentication, against the server. Messages that are grpc's own differ: Python has other
// words for an unknown method and for garbage.
func TestRegistryGoldenCalls(t *testing.T) {
	s := goldenRegistry(t, Options{})
	now := recordedAt.Add(time.Hour)
	s.service.Now = func() time.Time { return now }
	conn := dial(t, s.NewServer())
	for _, x := range recordedCalls(t, "grpc.json") {
		switch x.ID {
		case "apply_materialization", "apply_project":
			now = recordedAt.Add(2 * time.Hour)
		case "proto":
			continue // compared in TestRegistryProto
		}
		var answer []byte
		err := conn.Invoke(t.Context(), x.Path, &x.Request.Base64, &answer, grpc.ForceCodecV2(bytesCodec{}))
		if x.Error != nil {
			got := status.Convert(err)
			var want codes.Code
			if err := want.UnmarshalJSON([]byte(`"` + x.Error.Code + `"`)); err != nil {
				t.Fatal(err)
			}
			own := x.ID == "unknown_method" || x.ID == "garbage_request"
			if got.Code() != want || !own && got.Message() != x.Error.Details {
				t.Errorf("%s: %s %s\nwant %s %s", x.ID, got.Code(), got.Message(), want, x.Error.Details)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		got, want := protoText(t, message(t, x.Response.Type, answer), true), protoText(t, message(t, x.Response.Type, x.Response.Base64), true)
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", x.ID, got, want)
		}
	}
}

// recordedExchange is one request to Feast's REST registry server.
type recordedExchange struct {
	ID, Method, Path string
	Body             json.RawMessage
	Status           int
	ContentType      *string `json:"content_type"`
	JSON             json.RawMessage
	Text             *string
}

// All recorded exchanges of the REST form without authentication.
func TestRegistryGoldenREST(t *testing.T) {
	s := goldenRegistry(t, Options{})
	s.service.Now = func() time.Time { return recordedAt }
	h := s.Handler()
	var recording struct{ Calls []*recordedExchange }
	readJSON(t, "rest.json", &recording)
	for _, x := range recording.Calls {
		r := httptest.NewRequestWithContext(t.Context(), x.Method, x.Path, bytes.NewReader(x.Body))
		if x.Body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != x.Status {
			t.Errorf("%s: status %d, want %d: %s", x.ID, w.Code, x.Status, w.Body)
			continue
		}
		if x.JSON == nil {
			if w.Body.String() != *x.Text {
				t.Errorf("%s: %q", x.ID, w.Body)
			}
			continue
		}
		if got := w.Header().Get("Content-Type"); got != *x.ContentType {
			t.Errorf("%s: %s", x.ID, got)
		}
		got, want := canonical(t, w.Body.Bytes(), true), canonical(t, x.JSON, true)
		if x.ID == "get_posted_feature_view" { // docs/compatibility.md, Servers: join key columns are completed
			got = strings.Replace(got, `"entityColumns":[{"name":"rest_id","valueType":"INT64"}],`, "", 1)
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", x.ID, got, want)
		}
	}
}

// Users of the recording with authentication. Its token is not kept; what users are is told by notes and names of calls.
var goldenUsers = guardtest.Users{
	"reader": {Name: "reader", Roles: []string{"reader"}}, "group": {Name: "group", Groups: []string{"g1"}}, "nobody": {Name: "nobody"},
}

// All recorded calls with authentication, read as Feast reads permissions. The codes of refused tokens are those of
// docs/compatibility.md, line 17.
func TestRegistryGoldenPermissions(t *testing.T) {
	s := goldenRegistry(t, Options{Authenticator: goldenUsers, Rules: permissions.FeastCompatible()})
	conn := dial(t, s.NewServer())
	for _, x := range recordedCalls(t, "grpc_oidc.json") {
		ctx := t.Context()
		user := "reader"
		switch {
		case strings.Contains(x.ID, "group"):
			user = "group"
		case strings.Contains(x.ID, "nobody"):
			user = "nobody"
		}
		for _, pair := range x.RequestMetadata {
			value := pair[1]
			if x.ID != "expired_token" {
				value = strings.Replace(value, "<token>", user, 1)
			}
			ctx = metadata.AppendToOutgoingContext(ctx, pair[0], value)
		}
		var answer []byte
		err := conn.Invoke(ctx, x.Path, &x.Request.Base64, &answer, grpc.ForceCodecV2(bytesCodec{}))
		if x.Error == nil {
			if err != nil {
				t.Errorf("%s: %v", x.ID, err)
				continue
			}
			got, want := protoText(t, message(t, x.Response.Type, answer), true), protoText(t, message(t, x.Response.Type, x.Response.Base64), true)
			if got != want {
				t.Errorf("%s:\n%s\nwant\n%s", x.ID, got, want)
			}
			continue
		}
		wantCode, wantText := codes.PermissionDenied, x.Error.Details
		switch x.Error.Code {
		case "UNKNOWN":
			wantCode, wantText = codes.Unauthenticated, "Invalid or expired access token"
		case "NOT_FOUND":
			wantCode = codes.NotFound
		}
		if got := status.Convert(err); got.Code() != wantCode || got.Message() != wantText {
			t.Errorf("%s: %s %s\nwant %s %s", x.ID, got.Code(), got.Message(), wantCode, wantText)
		}
	}
}

// capture is one exchange of a server of either form with authentication.
type capture struct {
	Server, Method, Path, RPC string
	Token                     *string
	Request                   json.RawMessage
	Status                    int
	Body                      json.RawMessage
	Code, Details, Note       string
	Names                     map[string][]*string
}

// captureUsers are those of the captures; the other tokens are refused.
var captureUsers = guardtest.Users{
	"admin": {Name: "admin", Roles: []string{"admin"}}, "reader": {Name: "reader", Roles: []string{"reader"}},
	"writer": {Name: "writer", Roles: []string{"writer"}}, "norole": {Name: "norole"}, "group_g1": {Name: "g", Groups: []string{"g1"}},
}

// captureStore is the registry of the captures, as far as it can be told from them.
func captureStore(t testing.TB) *feast.FeatureStore {
	t.Helper()
	fs := openStore(t, "perm_demo", nil)
	source := &registry.DataSource{Name: "driver_src", TimestampField: "event_timestamp", Options: registry.FileOptions{Path: "data/driver.parquet"}}
	push := &registry.DataSource{Name: "driver_push", BatchSource: source, Options: registry.PushOptions{}}
	request := &registry.DataSource{Name: "req", Options: registry.RequestOptions{Schema: []registry.Field{{Name: "amount", Type: types.Float64}}}}
	view := func(name, feature string, d *registry.DataSource) *registry.FeatureView {
		return &registry.FeatureView{
			Name: name, Entities: []string{"driver"}, Source: d, Online: true, Schema: []registry.Field{{Name: feature, Type: types.Float32}},
			TTL: 36500 * 24 * time.Hour,
		}
	}
	role := func(name string) permissions.Policy { return permissions.RoleBased{Roles: []string{name}} }
	lists := [][]registry.Object{
		{&registry.Project{Name: "perm_demo"}, &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64}},
		{request}, {push}, {source}, {view("risky_stats", "score", source)}, {view("driver_stats", "conv_rate", push)},
		{&registry.OnDemandFeatureView{
			Name: "odfv", RequestSources: []*registry.DataSource{request}, Schema: []registry.Field{{Name: "doubled", Type: types.Float64}},
		}},
		{&registry.FeatureService{Name: "svc_risky", Features: []registry.FeatureViewProjection{{Name: "risky_stats"}}}},
		{&registry.FeatureService{Name: "svc", Features: []registry.FeatureViewProjection{{Name: "driver_stats"}}}},
		{&permissions.Permission{
			Name: "p_write", Types: []permissions.Kind{permissions.FeatureView}, NamePatterns: []string{"driver_stats"},
			Actions: permissions.WriteActions(), Policy: role("writer"),
		}},
		{&permissions.Permission{
			Name: "p_ent", Types: []permissions.Kind{permissions.Entity}, Actions: []permissions.Action{permissions.Describe},
			Policy: permissions.GroupBased{Groups: []string{"g1"}},
		}},
		{&permissions.Permission{
			Name: "p_proj", Types: []permissions.Kind{permissions.Project}, Actions: []permissions.Action{permissions.Describe}, Policy: role("reader"),
		}},
		{&permissions.Permission{
			Name: "p_read", Types: []permissions.Kind{permissions.FeatureView, permissions.FeatureService}, NamePatterns: []string{"driver_.*", "svc.*"},
			Actions: append([]permissions.Action{permissions.Describe}, permissions.ReadActions()...), Policy: role("reader"),
		}},
		{&permissions.Permission{Name: "p_admin", Actions: permissions.AllActions(), Policy: role("admin")}},
	}
	for _, list := range lists { // one after the other: in the order of the captures
		if _, err := fs.Apply(t.Context(), list...); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// authorization returns the header that a capture was made with.
func (c *capture) authorization() (string, bool) {
	if c.Token == nil {
		return "", false
	}
	if text, ok := strings.CutPrefix(*c.Token, "raw:"); ok {
		return text, true
	}
	return "Bearer " + *c.Token, true
}

// All captured exchanges with authentication, of both forms.
func TestRegistryCaptures(t *testing.T) {
	fs := captureStore(t)
	closed := newRegistry(t, fs, Options{Authenticator: captureUsers, Rules: permissions.FeastCompatible()})
	t.Setenv(auth.IntraVariable, "aW50cmE=")
	intraUsers := maps.Clone(captureUsers)
	intraUsers["intra"] = permissions.User{Name: "aW50cmE="}
	intra := newRegistry(t, fs, Options{Authenticator: intraUsers, Rules: permissions.FeastCompatible()})
	conn, intraConn, h := dial(t, closed.NewServer()), dial(t, intra.NewServer()), closed.Handler()

	var recording struct{ Captures []*capture }
	readJSON(t, "permissions.json", &recording)
	for i, c := range recording.Captures {
		if c.Server == "registry_rest" {
			if c.Path != "/openapi.json" { // docs/servers.md: not served
				c.rest(t, i, h)
			}
			continue
		}
		on := conn
		if c.Note != "" {
			on = intraConn
		}
		c.grpc(t, i, on)
	}
}

func (c *capture) rest(t *testing.T, i int, h http.Handler) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), c.Method, c.Path, bytes.NewReader(c.Request))
	r.Header.Set("Content-Type", "application/json")
	if header, ok := c.authorization(); ok {
		r.Header.Set("Authorization", header)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != c.Status {
		t.Errorf("%d %s %s: status %d, want %d: %s", i, c.Method, c.Path, w.Code, c.Status, w.Body)
		return
	}
	if strings.Contains(string(c.Body), "long body left out") || strings.Contains(string(c.Body), "<time of run>") || w.Code == http.StatusOK {
		return
	}
	if got, want := canonical(t, w.Body.Bytes(), true), canonical(t, c.Body, true); got != want {
		t.Errorf("%d %s %s as %v:\n%s\nwant\n%s", i, c.Method, c.Path, *c.Token, got, want)
	}
}

func (c *capture) grpc(t *testing.T, i int, conn *grpc.ClientConn) {
	t.Helper()
	method, requestType := "/feast.registry.RegistryServer/"+c.RPC, "feast.registry."+c.RPC+"Request"
	switch c.RPC {
	case "grpc.health.v1.Health/Check":
		method, requestType = "/"+c.RPC, "grpc.health.v1.HealthCheckRequest"
	case "Commit", "Proto":
		requestType = "google.protobuf.Empty"
	}
	ctx := t.Context()
	if header, ok := c.authorization(); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
	}
	request := message(t, requestType, nil)
	if len(c.Request) > 0 {
		if err := protojson.Unmarshal(c.Request, request); err != nil {
			t.Fatal(err)
		}
	}
	b, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var answer []byte
	err = conn.Invoke(ctx, method, &b, &answer, grpc.ForceCodecV2(bytesCodec{}))
	code, details := c.Code, c.Details
	switch {
	case code == "UNKNOWN": // docs/compatibility.md, line 17
		code, details = "UNAUTHENTICATED", "Invalid or expired access token"
	case c.Note != "" && code == "OK" && strings.HasPrefix(c.RPC, "Apply"): // line 16: nobody changes or makes projects like that
		code, details = "PERMISSION_DENIED", ""
	}
	var want codes.Code
	if err := want.UnmarshalJSON([]byte(`"` + code + `"`)); err != nil {
		t.Fatal(err)
	}
	got := status.Convert(err)
	if got.Code() != want || details != "" && got.Message() != details {
		t.Errorf("%d %s as %v: %s %s\nwant %s %s", i, c.RPC, c.Token, got.Code(), got.Message(), want, details)
		return
	}
	if err != nil || c.RPC == "grpc.health.v1.Health/Check" {
		return
	}
	m, err := protoregistry.GlobalFiles.FindDescriptorByName("feast.registry.RegistryServer")
	if err != nil {
		t.Fatal(err)
	}
	output := m.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(c.RPC)).Output()
	reply, err := protojson.Marshal(message(t, string(output.FullName()), answer))
	if err != nil {
		t.Fatal(err)
	}
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(reply, &lists); err != nil {
		t.Fatal(err)
	}
	delete(c.Names, "infraObjects") // those of Feast's online store
	for list, names := range c.Names {
		var objects []struct {
			Name string
			Spec struct{ Name string }
		}
		if err := json.Unmarshal(lists[list], &objects); err != nil && len(names) > 0 {
			t.Errorf("%d %s: %v", i, c.RPC, err)
			continue
		}
		var got, want []string
		for at, o := range objects {
			got = append(got, o.Spec.Name+o.Name)
			if at < len(names) && names[at] == nil {
				got[at] = ""
			}
		}
		for _, name := range names {
			if name == nil {
				want = append(want, "")
				continue
			}
			want = append(want, *name)
		}
		if c.RPC == "Proto" || list == "dataSources" || list == "entities" { // their order is that of a set in Python
			slices.Sort(got)
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d %s as %v: %s %q, want %q", i, c.RPC, *c.Token, list, got, want)
		}
	}
}
