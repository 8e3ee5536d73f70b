package remote_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/feastgo/feast/feasterr"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/remote"
)

// exchange is one recorded call of Feast's registry server.
type exchange struct {
	ID, Path string
	Request  struct {
		Type   string
		Base64 []byte
	}
	Response *struct {
		Type   string
		Base64 []byte
	}
	Error *struct {
		Code    string
		Details string
	}
}

func (x *exchange) method() string { return path.Base(x.Path) }

// request returns the recorded request as a message.
func (x *exchange) request(t *testing.T) proto.Message {
	t.Helper()
	return message(t, x.Request.Type, x.Request.Base64)
}

func message(t *testing.T, name string, b []byte) proto.Message {
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

func (x *exchange) status(t *testing.T) error {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + x.Error.Code + `"`)); err != nil {
		t.Fatal(err)
	}
	return status.Error(code, x.Error.Details)
}

// exchanges reads the recording. What Feast answered to Proto is not recorded whole, and left out.
func exchanges(t *testing.T) []*exchange {
	t.Helper()
	b, err := os.ReadFile("testdata/no_auth.json")
	if err != nil {
		t.Fatal(err)
	}
	var recording struct{ Calls []*exchange }
	if err := json.Unmarshal(b, &recording); err != nil {
		t.Fatal(err)
	}
	calls := slices.DeleteFunc(recording.Calls, func(x *exchange) bool { return x.ID == "proto" })
	if len(calls) < 88 {
		t.Fatalf("%d exchanges", len(calls))
	}
	return calls
}

// player answers every call as recorded, whatever the request, and keeps the request.
type player struct {
	mu       sync.Mutex
	playing  *exchange
	answer   func(method string) ([]byte, error) // when nothing plays
	received [][]byte
}

// raw is a codec of both sides that leaves messages as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (p *player) handle(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(stream)
	p.mu.Lock()
	p.received = append(p.received, request)
	x, answer := p.playing, p.answer
	p.mu.Unlock()
	var b []byte
	switch {
	case x == nil:
		var err error
		if b, err = answer(path.Base(method)); err != nil {
			return err
		}
	case x.Error != nil:
		var code codes.Code
		if err := code.UnmarshalJSON([]byte(`"` + x.Error.Code + `"`)); err != nil {
			return err
		}
		return status.Error(code, x.Error.Details)
	default:
		b = x.Response.Base64
	}
	return stream.SendMsg(&b)
}

func servePlayer(t *testing.T, p *player) string {
	t.Helper()
	return serveOnly(t, grpc.UnknownServiceHandler(p.handle), grpc.ForceServerCodecV2(raw{}))
}

// Every recorded answer, read by the connection that all clients share: results as they came, errors with their class.
func TestGoldenAnswers(t *testing.T) {
	p := new(player)
	address := servePlayer(t, p)
	conn, err := remote.Dial(remote.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	classes := map[string]error{
		"EntityNotFoundException": feasterr.ErrNotFound, "DataSourceObjectNotFoundException": feasterr.ErrNotFound,
		"FeatureViewNotFoundException": feasterr.ErrNotFound, "FeatureServiceNotFoundException": feasterr.ErrNotFound,
		"SavedDatasetNotFound": feasterr.ErrNotFound, "ValidationReferenceNotFound": feasterr.ErrNotFound,
		"PermissionObjectNotFoundException": feasterr.ErrNotFound, "ProjectObjectNotFoundException": feasterr.ErrNotFound,
		"FeastObjectNotFoundException": feasterr.ErrNotFound, "ConflictingFeatureViewNames": feasterr.ErrInvalid,
	}
	failures := 0
	for _, x := range exchanges(t) {
		p.playing = x
		var answer []byte
		request := x.Request.Base64
		err := conn.Invoke(t.Context(), x.Path, &request, &answer, grpc.ForceCodecV2(raw{}))
		if x.Error == nil {
			if err != nil || !bytes.Equal(answer, x.Response.Base64) {
				t.Errorf("%s: %v, %d bytes", x.ID, err, len(answer))
			}
			continue
		}
		failures++
		e, ok := errors.AsType[*remote.Error](err)
		if !ok {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		var details struct{ Class, Message string }
		if strings.HasPrefix(x.Error.Details, "{") {
			if err := json.Unmarshal([]byte(x.Error.Details), &details); err != nil {
				t.Fatal(err)
			}
		} else {
			details.Message = strings.TrimPrefix(x.Error.Details, "Exception calling application: ")
		}
		class := classes[details.Class]
		switch x.ID {
		case "unknown_method":
			class = feasterr.ErrUnsupported
		case "garbage_request":
			class = feasterr.ErrInvalid
		}
		if e.Class != details.Class || e.Message != details.Message || e.Method != x.method() || e.Address != address {
			t.Errorf("%s: %+v", x.ID, e)
		}
		if class != nil && !errors.Is(err, class) || class == nil && errors.Unwrap(e) != nil {
			t.Errorf("%s: %v, want class %v", x.ID, err, class)
		}
	}
	if failures < 20 {
		t.Errorf("%d errors", failures)
	}
}

// What is sent equals what Feast's client sent for the same, and what Feast answered is read.
func TestGoldenRequests(t *testing.T) {
	gets := map[string]registry.Kind{
		"GetEntity": registry.KindEntity, "GetDataSource": registry.KindDataSource, "GetAnyFeatureView": registry.KindFeatureView,
		"GetFeatureService": registry.KindFeatureService, "GetSavedDataset": registry.KindSavedDataset,
		"GetValidationReference": registry.KindValidationReference, "GetPermission": registry.KindPermission,
		"GetProject": registry.KindProject,
	}
	type named interface {
		GetName() string
	}
	p := new(player)
	address := servePlayer(t, p)
	checked := map[string]int{}
	for _, x := range exchanges(t) {
		p.playing, p.received = x, nil
		b := connect(t, address, "golden")
		sent, err := "", error(nil)
		switch kind, isGet := gets[x.method()]; {
		case isGet && !strings.HasSuffix(x.ID, "_cached") && x.ID != "garbage_request":
			request := x.request(t).(named)
			project := "golden"
			if of, ok := request.(interface{ GetProject() string }); ok {
				project = of.GetProject()
			}
			var r registry.Record
			r, err = b.Lookup(t.Context(), registry.ID{Kind: kind, Project: project, Name: request.GetName()})
			if x.Error != nil {
				if missing, ok := errors.AsType[*feasterr.NotFoundError](err); !ok || missing.Name != request.GetName() {
					t.Errorf("%s: %v", x.ID, err)
				}
				err = nil
			} else if err == nil {
				o, derr := registry.Decode(r)
				if derr != nil || r.Name != request.GetName() || o.Resource().Name != r.Name || o.Resource().Project != "golden" {
					t.Errorf("%s: %v, %+v", x.ID, derr, r.ID)
				}
			}
			sent = "lookup"
		case strings.HasPrefix(x.method(), "Apply") && x.ID != "apply_feature_view_empty_oneof":
			c := changeOf(t, x)
			if err = b.ApplyObjects(t.Context(), c); x.Error != nil && err != nil {
				err = nil
			}
			sent = "apply"
		case strings.HasPrefix(x.method(), "Delete"):
			request := x.request(t).(named)
			kind := map[string]registry.Kind{
				"DeleteEntity": registry.KindEntity, "DeleteFeatureView": registry.KindStreamFeatureView, "DeleteProject": registry.KindProject,
			}[x.method()]
			err = b.ApplyObjects(t.Context(), &registry.ChangeSet{Project: "golden", Delete: []registry.ID{{Kind: kind, Name: request.GetName()}}})
			sent = "delete"
		}
		if cerr := b.Close(); err != nil || cerr != nil {
			t.Errorf("%s: %v, %v", x.ID, err, cerr)
		}
		if sent == "" {
			continue
		}
		checked[sent]++
		if len(p.received) != 1 {
			t.Errorf("%s: %d requests", x.ID, len(p.received))
			continue
		}
		if got := message(t, x.Request.Type, p.received[0]); !proto.Equal(got, x.request(t)) {
			t.Errorf("%s: sent %v\nwant %v", x.ID, got, x.request(t))
		}
	}
	if want := (map[string]int{"lookup": 22, "apply": 14, "delete": 5}); fmt.Sprint(checked) != fmt.Sprint(want) {
		t.Errorf("checked %v, want %v", checked, want)
	}
}

// changeOf returns a recorded request to apply something as the change that it makes.
func changeOf(t *testing.T, x *exchange) *registry.ChangeSet {
	t.Helper()
	c := &registry.ChangeSet{Project: "golden"}
	add := func(kind registry.Kind, m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r, err := registry.ReadRecord(kind, "golden", b)
		if err != nil {
			t.Fatal(err)
		}
		c.Put = append(c.Put, r)
	}
	switch m := x.request(t).(type) {
	case *pb.ApplyEntityRequest:
		add(registry.KindEntity, m.GetEntity())
	case *pb.ApplyDataSourceRequest:
		add(registry.KindDataSource, m.GetDataSource())
	case *pb.ApplyFeatureViewRequest:
		add(registry.KindFeatureView, m.GetFeatureView())
	case *pb.ApplyFeatureServiceRequest:
		add(registry.KindFeatureService, m.GetFeatureService())
	case *pb.ApplyPermissionRequest:
		add(registry.KindPermission, m.GetPermission())
	case *pb.ApplyProjectRequest:
		add(registry.KindProject, m.GetProject())
	case *pb.ApplyMaterializationRequest:
		add(registry.KindFeatureView, m.GetFeatureView())
		c.Window = &registry.Interval{Start: m.GetStartDate().AsTime(), End: m.GetEndDate().AsTime()}
	default:
		t.Fatalf("%s: %T", x.ID, m)
	}
	return c
}

// The lists that Feast answered become a snapshot, and the requests are those of Feast's client.
func TestGoldenLists(t *testing.T) {
	lists := map[string]*exchange{}
	for _, x := range exchanges(t) {
		switch x.ID {
		case "list_entities", "list_permissions", "list_projects", "list_project_metadata", "get_infra":
			lists[x.method()] = x
		}
	}
	var p player
	p.answer = func(method string) ([]byte, error) {
		if x := lists[method]; x != nil {
			return x.Response.Base64, nil
		}
		return nil, nil
	}
	r := registry.New(connect(t, servePlayer(t, &p), "golden"), "golden", registry.Options{})
	defer r.Close()
	s, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for e := range s.Entities() {
		names = append(names, e.Name+" "+e.Key()+" "+e.Project)
	}
	slices.Sort(names)
	if want := []string{
		"__dummy __dummy_id golden", "customer customer_id golden", "driver driver_id golden", "merchant merchant golden", "untyped untyped_id golden",
	}; !slices.Equal(names, want) {
		t.Errorf("entities %q", names)
	}
	project, err := s.Project()
	if err != nil || project.Description != "golden project ✓" {
		t.Error(project, err)
	}
	if list, err := s.Permissions(); err != nil || len(list) != 4 {
		t.Error(list, err)
	}
	if len(s.Bad()) > 0 {
		t.Error(s.Bad())
	}
	sent := map[string]bool{}
	for _, request := range p.received {
		sent[string(request)] = true
	}
	for _, x := range lists {
		if !sent[string(x.Request.Base64)] {
			t.Errorf("%s: no such request was sent", x.ID)
		}
	}
}

// The server of internal/registryserver answers as Feast did, where it answers.
func TestGoldenServer(t *testing.T) {
	data, err := os.ReadFile("../registrytest/testdata/registry.db")
	if err != nil {
		t.Fatal(err)
	}
	state, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	b := memory.New()
	write(t, b, slices.DeleteFunc(state.Records, func(r registry.Record) bool { return r.Project != "golden" }))
	now := time.Date(2024, 3, 1, 1, 0, 0, 123456000, time.UTC)
	address := serve(t, &registryserver.Server{Backend: b, Now: func() time.Time { return now }})
	conn, err := remote.Dial(remote.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	filters := []string{
		"pagination", "sorting", "tags", "featureView", "entity", "feature", "dataSource", "namespace", "updatedSince",
	}
	answered := 0
	for _, x := range exchanges(t) {
		if x.Request.Type == "" {
			continue
		}
		if x.ID == "apply_materialization" {
			now = now.Add(time.Hour)
		}
		request := x.request(t)
		if strings.HasPrefix(x.method(), "List") && slices.ContainsFunc(filters, func(name string) bool {
			f := request.ProtoReflect().Descriptor().Fields().ByJSONName(name)
			return f != nil && request.ProtoReflect().Has(f)
		}) {
			continue
		}
		var answer []byte
		err := conn.Invoke(t.Context(), x.Path, &x.Request.Base64, &answer, grpc.ForceCodecV2(raw{}))
		if errors.Is(err, feasterr.ErrUnsupported) {
			continue
		}
		answered++
		if x.Error != nil {
			e, ok := errors.AsType[*remote.Error](err)
			if want := status.Code(x.status(t)); !ok || e.Code != want && x.ID != "apply_feature_view_conflict" {
				t.Errorf("%s: %v, want %s", x.ID, err, x.Error.Details)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.ID, err)
			continue
		}
		got, want := message(t, x.Response.Type, answer), message(t, x.Response.Type, x.Response.Base64)
		if text := difference(t, got, want); text != "" {
			t.Errorf("%s: %s", x.ID, text)
		}
	}
	if answered < 50 {
		t.Errorf("%d exchanges were answered", answered)
	}
}

// difference compares messages, except for what the server makes of objects by turning them into Python's and back: it
// pickles functions anew, leaves out the class of data sources, and the times of saved datasets, and writes defaults (a ttl
// of 0 and no ttl are the same: spec 6.5).
func difference(t *testing.T, got, want proto.Message) string {
	t.Helper()
	texts := make([]string, 2)
	for i, m := range []proto.Message{got, want} {
		b, err := protojson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		b, err = json.Marshal(plain(v))
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(b)
	}
	if texts[0] == texts[1] {
		return ""
	}
	return "answered " + texts[0] + "\nwant " + texts[1]
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"dataSourceClassType", "body", "minEventTimestamp", "maxEventTimestamp"} {
			delete(v, key)
		}
		if v["ttl"] == "0s" {
			delete(v, "ttl")
		}
		if v["version"] == "latest" {
			delete(v, "version")
		}
		for k, e := range v {
			v[k] = plain(e)
		}
	case []any:
		for i, e := range v {
			v[i] = plain(e)
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v
}
