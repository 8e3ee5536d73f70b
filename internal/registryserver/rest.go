package registryserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/exceptions"
)

// Prefix is where the REST form is. Its routes answer without it too.
const Prefix = "/api/v1"

// version is Feast's, which this server behaves like.
const version = "0.67.0"

// maxJSON is the size of the largest body, in bytes: of definitions, which take some twenty times as much when they are decoded.
const maxJSON = 4 << 20

// REST returns the REST form of the service. Bodies may have maxBody bytes, and no more than 4 MB.
func (s *Server) REST(maxBody int64) http.Handler { return &rest{s, min(maxBody, maxJSON)} }

type rest struct {
	*Server
	maxBody int64
}

// object is a JSON object.
type object = map[string]any

// httpError is an answer with a status of its own: Feast's HTTPException.
type httpError struct {
	status int
	detail string
}

func (e *httpError) Error() string { return e.detail }

// ServeHTTP implements http.Handler.
func (h *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments, ok := split(r.URL)
	if !ok {
		answer(w, http.StatusNotFound, object{"detail": "Not Found"})
		return
	}
	run, parameters, known := find(r.Method, segments)
	switch {
	case !known:
		answer(w, http.StatusNotFound, object{"detail": "Not Found"})
		return
	case run == nil:
		answer(w, http.StatusMethodNotAllowed, object{"detail": "Method Not Allowed"})
		return
	}
	authorization, has := "", len(r.Header["Authorization"]) > 0
	if has {
		authorization = r.Header["Authorization"][0]
	}
	ctx, err := h.guard().Enter(r.Context(), authorization, has)
	if err != nil {
		fail(w, err)
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodDelete { // an answer is of one state, however many lists it is made of
		if ctx, err = h.pinned(ctx); err != nil {
			fail(w, err)
			return
		}
	}
	c := &call{rest: h, ctx: ctx, path: parameters, query: r.URL.Query(), status: http.StatusOK}
	if r.Method == http.MethodPost {
		c.raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, h.maxBody))
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			err = &httpError{http.StatusRequestEntityTooLarge, "the body is larger than this server takes"}
			_ = tooLarge
		}
		if err != nil {
			fail(w, err)
			return
		}
		c.json = r.Header.Get("Content-Type") == "" || isJSON(r.Header.Get("Content-Type")) // as FastAPI does
	}
	v, err := run(c)
	if err == nil && len(c.problems) > 0 {
		err = errInvalidRequest
	}
	switch {
	case errors.Is(err, errInvalidRequest):
		answer(w, http.StatusUnprocessableEntity, object{
			"status_code": http.StatusUnprocessableEntity, "detail": c.validation(), "error_type": "RequestValidationError",
		})
	case err != nil:
		fail(w, err)
	case v == nil:
		w.WriteHeader(c.status)
	default:
		answer(w, c.status, v)
	}
}

// split returns the decoded segments of a path below the prefix.
func split(u *url.URL) ([]string, bool) {
	path := u.EscapedPath()
	if rest, ok := strings.CutPrefix(path, Prefix); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		var err error
		if segments[i], err = url.PathUnescape(s); err != nil || segments[i] == "" {
			return nil, false
		}
	}
	return segments, true
}

// find returns what answers a request, nil when another method is meant, and the parameters in its path.
func find(method string, segments []string) (run func(*call) (any, error), parameters []string, known bool) {
	for i := range routes {
		r := &routes[i]
		found, ok := r.match(segments)
		if !ok {
			continue
		}
		known = true
		if r.method == method || r.method == http.MethodGet && method == http.MethodHead {
			return r.run, found, true
		}
	}
	return nil, nil, known
}

// route is a method and a path, whose segments in braces are parameters.
type route struct {
	method string
	path   []string
	run    func(*call) (any, error)
}

func (r *route) match(segments []string) (parameters []string, ok bool) {
	if len(segments) != len(r.path) {
		return nil, false
	}
	for i, s := range r.path {
		switch {
		case s == "{}":
			parameters = append(parameters, segments[i])
		case s != segments[i]:
			return nil, false
		}
	}
	return parameters, true
}

func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

// answer writes JSON as Python's server does, without escapes for HTML.
func answer(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) // who asked is gone, perhaps
}

// fail writes an error as Feast does.
func fail(w http.ResponseWriter, err error) {
	status, kind, detail := http.StatusInternalServerError, "InternalServerError", "Internal server error: "+text(err)
	own, isOwn := errors.AsType[*httpError](err)
	e, isException := exceptions.Of(err)
	switch {
	case isOwn:
		status, kind, detail = own.status, "HTTPException", own.detail
	case isException && e.Class == exceptions.Permission:
		status, kind, detail = http.StatusForbidden, e.Class, e.Message
	case isException && e.Class == exceptions.PushSource:
		status, kind, detail = http.StatusUnprocessableEntity, e.Class, e.Message
	case isException && errors.Is(err, feasterr.ErrNotFound):
		status, kind, detail = http.StatusNotFound, exceptions.NotFound, e.Message
	case isException:
		detail = "Internal server error: " + e.Message
	case errors.Is(err, feasterr.ErrUnauthenticated):
		status, kind, detail = http.StatusUnauthorized, "HTTPException", "Invalid or expired access token"
	case errors.Is(err, context.DeadlineExceeded):
		status, kind, detail = http.StatusGatewayTimeout, "HTTPException", "the request took too long"
	case errors.Is(err, context.Canceled), errors.Is(err, feasterr.ErrUnavailable):
		status, kind, detail = http.StatusServiceUnavailable, "HTTPException", text(err)
	case errors.Is(err, feasterr.ErrUnsupported):
		status, kind, detail = http.StatusNotImplemented, "HTTPException", text(err)
	case errors.Is(err, feasterr.ErrConflict):
		status, kind, detail = http.StatusConflict, "HTTPException", text(err)
	case errors.Is(err, feasterr.ErrInvalid):
		status, kind, detail = http.StatusUnprocessableEntity, "ValueError", text(err)
	}
	answer(w, status, object{"status_code": status, "detail": detail, "error_type": kind})
}

// text returns the text of an error, of Feast's where it has one.
func text(err error) string {
	if e, ok := exceptions.Of(err); ok {
		return e.Message
	}
	return err.Error()
}

// dict returns a message as JSON decodes to.
func dict(m proto.Message) (object, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v object
	return v, d.Decode(&v)
}

// at looks into nested objects; nil when there is nothing of these names.
func at(v any, names ...string) any {
	for _, name := range names {
		o, _ := v.(object)
		v = o[name]
	}
	return v
}

func textAt(v any, names ...string) string {
	s, _ := at(v, names...).(string)
	return s
}

func listAt(v any, names ...string) []any {
	l, ok := at(v, names...).([]any)
	if !ok {
		return []any{}
	}
	return l
}

func objectAt(v any, names ...string) object {
	o, ok := at(v, names...).(object)
	if !ok {
		return object{}
	}
	return o
}
