package remote

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/registry"
)

// parallel is how many calls one load makes at a time. A server of Feast works on ten in all.
const parallel = 4

// Load implements registry.Backend. Whether anything changed shows only when all is read: the token is a digest of it.
//
// The lists are calls of their own. A server of this library says with each which state of the registry it is of, so that
// lists of several states are read again; what a server of Feast changes between them shows in some of them.
//
// A kind of objects that the server lets nobody of this identity list is in State.Hidden, and a kind that a server older
// than the kind does not know has no objects.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	for left := attempts - 1; ; left-- {
		var w witness
		state, err := b.load(context.WithValue(ctx, witnessKey{}, &w))
		if err != nil {
			return nil, "", err
		}
		if w.mixed() && left > 0 {
			continue
		}
		token := b.token(state)
		if token == have {
			return nil, have, nil
		}
		return state, token, nil
	}
}

// attempts is how often lists of one state are asked for. Several servers behind one address may have names of their own for
// the same state, so that there is no end to it.
const attempts = 3

// stateHeader is metadata of the answers of a server of this library: it stands for the state of the registry.
const stateHeader = "feast-registry-state"

// witness collects the states that answers are of.
type witness struct {
	mu     sync.Mutex
	states []string
}

type witnessKey struct{}

func (w *witness) note(states []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range states {
		if !slices.Contains(w.states, s) {
			w.states = append(w.states, s)
		}
	}
}

func (w *witness) mixed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.states) > 1
}

// load reads everything once.
func (b *Backend) load(ctx context.Context) (*registry.State, error) {
	projects, err := b.projects(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{b.project}
	if b.project == "" {
		names = nil
		for _, r := range projects.records {
			names = append(names, r.Name)
		}
	}

	var calls []func(context.Context) (listed, error)
	for _, project := range names {
		for _, k := range kinds[:len(kinds)-1] { // all but projects
			calls = append(calls, func(ctx context.Context) (listed, error) { return b.list(ctx, k, project) })
		}
		calls = append(calls,
			func(ctx context.Context) (listed, error) { return b.infra(ctx, project) },
			func(ctx context.Context) (listed, error) { return b.metadata(ctx, project) },
		)
	}
	lists, err := all(ctx, calls)
	if err != nil {
		return nil, err
	}

	state := new(registry.State)
	lists = append(lists, projects)
	n := 0
	for _, l := range lists {
		n += len(l.records)
	}
	state.Records = make([]registry.Record, 0, n)
	for _, l := range lists {
		state.Records = append(state.Records, l.records...)
		state.Bad = append(state.Bad, l.bad...)
		if l.hidden != 0 && !slices.Contains(state.Hidden, l.hidden) {
			state.Hidden = append(state.Hidden, l.hidden)
		}
	}
	return state, nil
}

// all makes calls, some at a time, and returns their results in order. The first error ends it.
func all(ctx context.Context, calls []func(context.Context) (listed, error)) ([]listed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]listed, len(calls))
	room := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, call := range calls {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if ctx.Err() != nil {
				return
			}
			var err error
			if results[i], err = call(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results, nil
}

// listed is the answer to one call.
type listed struct {
	records []registry.Record
	bad     []registry.BadRecord
	hidden  registry.Kind // that may not be listed; 0: none
}

// list reads the objects of a kind.
func (b *Backend) list(ctx context.Context, k methods, project string) (l listed, err error) {
	answer, err := b.raw(ctx, k.list, k.request(project))
	switch {
	case errors.Is(err, feasterr.ErrUnsupported):
		return l, nil
	case errors.Is(err, feasterr.ErrDenied):
		return b.hidden(ctx, k, project)
	case err != nil:
		return l, err
	}
	n := 0
	if err := each(answer, func([]byte) { n++ }); err != nil {
		return l, fmt.Errorf("%s: %w", k.list, err)
	}
	l.records = make([]registry.Record, 0, n)
	err = each(answer, func(message []byte) {
		r, err := registry.ReadRecord(k.kind, project, message)
		if err != nil {
			l.bad = append(l.bad, registry.BadRecord{ID: r.ID, Proto: message, Err: err})
			return
		}
		l.records = append(l.records, r)
	})
	return l, err
}

// each calls f for the messages in field 1 of an answer.
func each(answer []byte, f func(message []byte)) error {
	for len(answer) > 0 {
		num, typ, n := protowire.ConsumeField(answer)
		if n < 0 {
			return feasterr.Invalid("the answer of the registry server cannot be read: %w", protowire.ParseError(n))
		}
		if num == 1 && typ == protowire.BytesType {
			_, _, head := protowire.ConsumeTag(answer)
			message, _ := protowire.ConsumeBytes(answer[head:n])
			f(message)
		}
		answer = answer[n:]
	}
	return nil
}

// projects reads the projects. The server does not list those that are protected, which can still be looked up.
func (b *Backend) projects(ctx context.Context) (listed, error) {
	k := methodsOf(registry.KindProject)
	l, err := b.list(ctx, k, "")
	there := func(r registry.Record) bool { return r.Name == b.project }
	if err != nil || b.project == "" || slices.ContainsFunc(l.records, there) {
		return l, err
	}
	r, err := b.get(ctx, registry.ID{Kind: registry.KindProject, Project: b.project, Name: b.project})
	switch {
	case err == nil:
		l.records = append(l.records, r)
	case !errors.Is(err, feasterr.ErrNotFound) && !errors.Is(err, feasterr.ErrDenied):
		return l, err
	}
	return l, nil
}

// hidden looks up those objects of a kind that may not be listed which were asked for before.
func (b *Backend) hidden(ctx context.Context, k methods, project string) (listed, error) {
	l := listed{hidden: k.kind}
	b.mu.Lock()
	var wanted []registry.ID
	for id := range b.wanted {
		if id.Kind == k.kind && (id.Project == project || k.kind == registry.KindProject) {
			wanted = append(wanted, id)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(wanted, func(a, b registry.ID) int { return strings.Compare(a.Name, b.Name) })
	for _, id := range wanted {
		r, err := b.get(ctx, id)
		switch {
		case errors.Is(err, feasterr.ErrNotFound), errors.Is(err, feasterr.ErrDenied):
			b.mu.Lock()
			delete(b.wanted, id)
			b.mu.Unlock()
		case err != nil:
			return l, err
		default:
			l.records = append(l.records, r)
		}
	}
	return l, nil
}

// infra reads the list of infrastructure. Nothing that is read needs it: a server that does not show it is one with none.
func (b *Backend) infra(ctx context.Context, project string) (listed, error) {
	answer, err := b.raw(ctx, registrygrpc.RegistryServer_GetInfra_FullMethodName, &pb.GetInfraRequest{Project: project})
	if optional(err) || err == nil && len(answer) == 0 {
		return listed{}, nil
	}
	id := registry.ID{Kind: registry.KindInfra, Project: project, Name: registry.InfraName}
	return listed{records: []registry.Record{{ID: id, Proto: answer}}}, err
}

// metadata reads what the server keeps about the project, by which it is known before it has objects.
func (b *Backend) metadata(ctx context.Context, project string) (l listed, err error) {
	answer, err := b.raw(ctx, registrygrpc.RegistryServer_ListProjectMetadata_FullMethodName, &pb.ListProjectMetadataRequest{Project: project})
	if optional(err) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	err = each(answer, func(message []byte) {
		if r, err := registry.ReadRecord(registry.KindProjectMetadata, project, message); err == nil && r.Name == project {
			l.records = append(l.records, r)
		}
	})
	return l, err
}

// optional reports whether an error means that the server has nothing of what was asked for.
func optional(err error) bool {
	return errors.Is(err, feasterr.ErrUnsupported) || errors.Is(err, feasterr.ErrDenied) || errors.Is(err, feasterr.ErrNotFound)
}

// token returns what stands for a state, whatever the order of its records.
func (b *Backend) token(s *registry.State) registry.Token {
	var sum, product uint64 = 0, 1
	add := func(id registry.ID, message []byte) {
		const prime = 0x9e3779b97f4a7c15
		h := maphash.Bytes(b.seed, message)
		h = h*prime ^ maphash.String(b.seed, id.Name)
		h = h*prime ^ maphash.String(b.seed, id.Project)
		h = h*prime ^ uint64(id.Kind)
		sum += h
		product *= h | 1
	}
	for _, r := range s.Records {
		add(r.ID, r.Proto)
	}
	for _, r := range s.Bad {
		add(r.ID, r.Proto)
	}
	return registry.Token(fmt.Sprintf("%x-%x-%d-%d", sum, product, len(s.Records), s.Hidden))
}

// Lookup implements registry.Lookuper.
func (b *Backend) Lookup(ctx context.Context, id registry.ID) (registry.Record, error) {
	r, err := b.get(ctx, id)
	if err == nil {
		b.mu.Lock()
		b.wanted[r.ID] = true
		b.mu.Unlock()
	}
	return r, err
}

// get reads one object.
func (b *Backend) get(ctx context.Context, id registry.ID) (registry.Record, error) {
	method, request := registrygrpc.RegistryServer_GetAnyFeatureView_FullMethodName,
		proto.Message(&pb.GetAnyFeatureViewRequest{Project: id.Project, Name: id.Name})
	view := id.Kind.IsView()
	if !view {
		k := methodsOf(id.Kind)
		if k.get == "" {
			return registry.Record{}, feasterr.Unsupported("a registry server cannot look up a %s", id)
		}
		method, request = k.get, k.named(id.Project, id.Name)
	}
	answer, err := b.raw(ctx, method, request)
	if errors.Is(err, feasterr.ErrNotFound) {
		e := &feasterr.NotFoundError{Kind: id.Kind.String(), Name: id.Name, Project: id.Project}
		if view {
			e.Kind = registry.KindFeatureView.String()
		}
		if id.Kind == registry.KindProject {
			e.Project = ""
		}
		return registry.Record{}, e
	}
	if err != nil {
		return registry.Record{}, err
	}
	if view {
		if id.Kind, answer, err = anyView(answer); err != nil {
			return registry.Record{}, fmt.Errorf("%s: %w", id, err)
		}
	}
	return registry.ReadRecord(id.Kind, id.Project, answer)
}

// viewFields are the kinds of views by their fields in AnyFeatureView.
var viewFields = map[protowire.Number]registry.Kind{
	1: registry.KindFeatureView, 2: registry.KindOnDemandFeatureView, 3: registry.KindStreamFeatureView, 4: registry.KindLabelView,
}

// anyView takes the view out of a GetAnyFeatureViewResponse.
func anyView(answer []byte) (registry.Kind, []byte, error) {
	var kind registry.Kind
	var view []byte
	err := each(answer, func(message []byte) {
		num, typ, head := protowire.ConsumeTag(message)
		if head < 0 || typ != protowire.BytesType {
			return
		}
		if v, n := protowire.ConsumeBytes(message[head:]); n >= 0 {
			kind, view = viewFields[num], v
		}
	})
	if err == nil && kind == 0 {
		err = feasterr.Unsupported("the registry server answers with a kind of view that this library does not know")
	}
	return kind, view, err
}

// raw calls a method and returns the answer as it came.
func (b *Backend) raw(ctx context.Context, method string, request proto.Message) ([]byte, error) {
	var answer []byte
	var header metadata.MD
	err := b.conn.Invoke(ctx, method, request, &answer, grpc.ForceCodecV2(codec{}), grpc.Header(&header))
	if w, ok := ctx.Value(witnessKey{}).(*witness); ok {
		w.note(header.Get(stateHeader))
	}
	return answer, err
}

// codec is gRPC's, with answers as they came: objects are decoded when they are used, which for most is never.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
