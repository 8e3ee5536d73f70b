package featureserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

// search serves /search and its older name /retrieve-online-documents. Nothing is searched yet: a request that is right gets the
// answer of a store that is not set up for it.
func (s *Server) search(ctx context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	q := query{service: m.text("feature_service", false)}
	c.features(&m, &q)
	q.fullNames = m.flag("full_feature_names", false)
	q.versions = m.flag("include_feature_view_version_metadata", false)
	m.integer("top_k", true, 0)
	vector := m.numbers("query")
	words := m.text("query_string", false)
	m.text("distance_metric", false)
	version := m.integer("api_version", true, 1)
	if t, ok := m.get("filters"); ok && t.kind() != null {
		m.filter(t, 0, "filters")
	}
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	var err error
	if c.labels, err = s.admitRead(ctx, &q); err == nil {
		// A name that is not there is an error before anything else.
		_, err = s.Store.PrepareOnline(ctx, q.online())
	}
	if err != nil {
		return nil, s.whyRead(ctx, &q, nil, false, err)
	}
	store := s.Store.Config().OnlineStore.Type()
	switch {
	case version == 2 && !vector && words == "":
		return nil, pythonError("Must provide either query (text embedding), query_image_bytes, or query_string")
	case version != 2 && q.views > 1:
		return nil, pythonError("Document retrieval only supports a single feature view.")
	case store != "sqlite":
		return nil, pythonError("Online store " + store + " does not support online retrieval")
	case version == 2:
		return nil, pythonError("You must enable either vector search or text search in the online store config")
	}
	return nil, pythonError("sqlite-vss is not enabled in the online store config")
}

// vectorStore is the object that stands for a view with a vector in the interface of OpenAI.
func appendVectorStore(b []byte, v registry.View, project string) []byte {
	info := v.Info()
	b = appendString(append(b, `{"id":`...), vectorStoreID(project, info.Name))
	b = appendString(append(b, `,"object":"vector_store","name":`...), info.Name)
	b = append(b, `,"status":"completed","created_at":`...)
	var created time.Time
	if fv, ok := v.(*registry.FeatureView); ok {
		created = fv.Created
	}
	seconds := int64(0)
	if !created.IsZero() {
		seconds = created.Unix()
	}
	return append(strconv.AppendInt(b, seconds, 10), '}')
}

func vectorStoreID(project, view string) string {
	const digits = 24
	sum := sha256.Sum256([]byte(project + ":" + view))
	return "vs_" + hex.EncodeToString(sum[:])[:digits]
}

// vectorViews returns the feature views with a vector.
func vectorViews(snap *registry.Snapshot) (views []registry.View) {
	for v := range snap.FeatureViews() {
		if slices.ContainsFunc(v.Info().Features, func(f registry.Field) bool { return f.VectorIndex }) {
			views = append(views, v)
		}
	}
	return views
}

// listVectorStores serves GET /v1/vector_stores: those that the caller may see.
func (s *Server) listVectorStores(ctx context.Context, _ *call) (*reply, error) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	views, err := guard.Filter(ctx, s.Guard, snap, vectorViews(snap), registry.View.Resource, permissions.Describe)
	if err != nil && !errors.Is(err, feasterr.ErrDenied) {
		return nil, err
	}
	b := []byte(`{"object":"list","data":[`)
	for i, v := range views {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendVectorStore(b, v, snap.ProjectName())
	}
	return &reply{status: 200, content: contentJSON, body: append(b, "]}"...)}, nil
}

// vectorView finds a view by the id of its vector store.
func (s *Server) vectorView(ctx context.Context, id string, action permissions.Action) (registry.View, *registry.Snapshot, error) {
	snap, err := s.Store.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range vectorViews(snap) {
		if vectorStoreID(snap.ProjectName(), v.Info().Name) == id {
			return v, snap, s.Guard.Check(ctx, snap, v.Resource(), action)
		}
	}
	b := appendString([]byte(`{"error":{"message":`), "No vector store found with id '"+id+"'")
	return nil, nil, &reply{status: 404, content: contentJSON, body: append(b, `,"type":"not_found_error"}}`...)}
}

// getVectorStore serves GET /v1/vector_stores/{id}.
func (s *Server) getVectorStore(ctx context.Context, c *call) (*reply, error) {
	v, snap, err := s.vectorView(ctx, c.name, permissions.Describe)
	if err != nil {
		return nil, err
	}
	return &reply{status: 200, content: contentJSON, body: appendVectorStore(nil, v, snap.ProjectName())}, nil
}

// searchVectorStore serves POST /v1/vector_stores/{id}/search.
func (s *Server) searchVectorStore(ctx context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	if t, ok := m.need("query"); ok && t.kind() != str && t.kind() != array {
		m.wrong("string_type", "Input should be a valid string", t, "query", "str")
		m.wrong("list_type", "Input should be a valid list", t, "query", "list[str]")
	}
	if t, ok := m.get("filters"); ok && t.kind() != null {
		m.filter(t, 0, "filters")
	}
	m.integer("max_num_results", true, 0)
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	if _, _, err := s.vectorView(ctx, c.name, permissions.ReadOnline); err != nil {
		return nil, err
	}
	return nil, pythonError("This server has no model that makes vectors of text")
}

// health serves GET /health.
func (s *Server) health(ctx context.Context, _ *call) (*reply, error) {
	if _, err := s.Store.Snapshot(ctx); err != nil {
		s.Logger.ErrorContext(ctx, "the server is not healthy", "error", err)
		return &reply{status: 503}, nil
	}
	return &reply{status: 200}, nil
}

// chat serves POST /chat, which answers everything alike, as Feast's does.
func (s *Server) chat(_ context.Context, c *call) (*reply, error) {
	var problems []problem
	m, ok := c.model(&problems)
	if !ok {
		return unprocessable(problems), nil
	}
	if list, ok := m.need("messages"); ok && list.kind() != array {
		m.wrong("list_type", "Input should be a valid list", list, "messages")
	} else if ok {
		e, end, more := list.first()
		for i := 0; more; i++ {
			message := model{object: e, loc: append(append([]any(nil), m.loc...), "messages", i), problems: &problems}
			if e.kind() != object {
				message.notObject(e)
			} else {
				message.fields = e.fields(nil)
				message.text("role", true)
				message.text("content", true)
			}
			e, end, more = list.next(end)
		}
	}
	if len(problems) > 0 {
		return unprocessable(problems), nil
	}
	return &reply{status: 200, content: contentJSON, body: []byte(`{"response":"This is a dummy response from the Feast feature server."}`)}, nil
}

// chatPage serves GET /chat.
func (s *Server) chatPage(context.Context, *call) (*reply, error) {
	return &reply{status: 200, content: contentHTML, body: []byte(chatHTML)}, nil
}

const chatHTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Feast</title></head>
<body><h1>Feast feature server</h1><p>Messages sent to POST /chat are answered with a fixed text.</p></body></html>
`

// openAPI serves GET /openapi.json: which routes there are.
func (s *Server) openAPI(context.Context, *call) (*reply, error) {
	paths := map[string]map[string]any{}
	for p, found := range byPath {
		paths[p] = operations(found)
	}
	const id = vectorStores + "/{vector_store_id}"
	for path, like := range map[string]string{id: vectorStores + "/id", id + "/search": vectorStores + "/id/search"} {
		found, _ := find(like)
		paths[path] = operations(found)
	}
	b, err := json.Marshal(map[string]any{
		"openapi": "3.1.0", "info": map[string]string{"title": "FastAPI", "version": "0.1.0"}, "paths": paths,
	})
	return &reply{status: 200, content: contentJSON, body: b}, err
}

func operations(found []*route) map[string]any {
	m := map[string]any{}
	for _, r := range found {
		m[strings.ToLower(r.method)] = map[string]any{"responses": map[string]any{"200": map[string]string{"description": "Successful Response"}}}
	}
	return m
}
