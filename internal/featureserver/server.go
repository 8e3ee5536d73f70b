// Package featureserver is Feast's online feature server as an HTTP handler: its routes, bodies, statuses and errors. The
// feature store does the work; here is what HTTP adds: requests are read and checked as Feast's web framework does, callers
// pass the guard, and errors become what Feast's clients know.
package featureserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
)

// Config says what a server serves, and its limits, none of which may be zero.
type Config struct {
	Store  *feast.FeatureStore
	Guard  *guard.Guard
	Logger *slog.Logger

	TruthfulStatuses bool
	MaxBody          int64
	MaxRows          int
	MaxConcurrent    int
	Timeout          time.Duration // of requests
	WriteTimeout     time.Duration // of materializations
	Workers          int           // materializations in the background at a time
}

// Server is the handler. It is safe for concurrent use.
type Server struct {
	Config
	slots   chan struct{}
	memory  budget
	metrics metrics
	jobs    jobs
	lists   lists
}

// New makes a server.
func New(c Config) *Server {
	const bodies = 8 // of the largest size, or what else takes as much memory
	s := &Server{Config: c, slots: make(chan struct{}, c.MaxConcurrent), memory: budget{limit: bodies * c.MaxBody}}
	s.metrics.init()
	s.jobs.init(c.Workers)
	return s
}

// Close refuses more materializations in the background and waits for those that run. When ctx ends first it cancels
// them, waits, and returns the error of ctx.
func (s *Server) Close(ctx context.Context) error { return s.jobs.close(ctx) }

// content is the content type of an answer.
type content uint8

const (
	contentNone content = iota
	contentJSON
	contentHTML
)

// reply is an answer. It is an error, too, for those that are one whatever their cause.
type reply struct {
	status  int
	content content
	body    []byte
	retry   bool // the client may try again in a second
}

func (r *reply) Error() string { return "HTTP " + strconv.Itoa(r.status) }

func refuse(status int, format string, args ...any) *reply {
	return &reply{status: status, content: contentJSON, body: detail(fmt.Sprintf(format, args...)), retry: status == http.StatusServiceUnavailable}
}

// route is a method and path.
type route struct {
	method string
	path   string
	open   bool   // needs no token
	body   bool   // takes a body
	long   bool   // may take long
	metric string // its name in metrics; empty: it is not counted
	serve  func(s *Server, ctx context.Context, c *call) (*reply, error)
}

const vectorStores = "/v1/vector_stores"

// routes are those of Feast; * in a path stands for a name.
var routes []route

// A route may look at the others.
func init() {
	routes = []route{
		{method: "GET", path: "/health", open: true, serve: (*Server).health},
		{method: "POST", path: "/get-online-features", body: true, metric: "/get-online-features", serve: (*Server).read},
		{method: "POST", path: "/push", body: true, metric: "/push", serve: (*Server).push},
		{method: "POST", path: "/write-to-online-store", body: true, serve: (*Server).write},
		{method: "POST", path: "/materialize", body: true, long: true, metric: "/materialize", serve: (*Server).materialize},
		{method: "POST", path: "/materialize-incremental", body: true, long: true, metric: "/materialize-incremental", serve: (*Server).materializeIncremental},
		{method: "POST", path: "/search", body: true, metric: "/search", serve: (*Server).search},
		{method: "POST", path: "/retrieve-online-documents", body: true, metric: "/retrieve-online-documents", serve: (*Server).search},
		{method: "GET", path: vectorStores, serve: (*Server).listVectorStores},
		{method: "GET", path: vectorStores + "/*", serve: (*Server).getVectorStore},
		{method: "POST", path: vectorStores + "/*/search", body: true, metric: vectorStores + "/{vector_store_id}/search", serve: (*Server).searchVectorStore},
		{method: "POST", path: "/chat", open: true, body: true, serve: (*Server).chat},
		{method: "GET", path: "/chat", open: true, serve: (*Server).chatPage},
		{method: "GET", path: "/openapi.json", open: true, serve: (*Server).openAPI},
	}
	for i := range routes {
		if r := &routes[i]; !strings.Contains(r.path, "*") {
			byPath[r.path] = append(byPath[r.path], r)
		}
	}
}

// byPath finds the routes of the paths without a name in them.
var byPath = map[string][]*route{}

// find returns the routes of a path, and the name in it.
func find(path string) (found []*route, name string) {
	if found = byPath[path]; found != nil {
		return found, ""
	}
	rest, ok := strings.CutPrefix(path, vectorStores+"/")
	if !ok {
		return nil, ""
	}
	pattern := vectorStores + "/*"
	name, tail, more := strings.Cut(rest, "/")
	if more {
		pattern += "/" + tail
	}
	for i := range routes {
		if name != "" && routes[i].path == pattern {
			return []*route{&routes[i]}, name
		}
	}
	return nil, ""
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, name := find(r.URL.Path)
	for _, rt := range found {
		if rt.method == r.Method {
			s.call(w, r, rt, name)
			return
		}
	}
	connection := deadlines(w, s.Timeout)
	defer lift(connection) // which sends the answer, before which what is left of a body is read
	if found == nil {
		if trimmed := strings.TrimRight(r.URL.Path, "/"); trimmed != r.URL.Path {
			if other, _ := find(trimmed); other != nil {
				redirect(w, r, trimmed)
				return
			}
		}
		send(w, refuse(http.StatusNotFound, "Not Found"))
		return
	}
	w.Header().Set("Allow", found[0].method)
	send(w, refuse(http.StatusMethodNotAllowed, "Method Not Allowed"))
}

// redirect sends a client to the path without the slash at its end.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	to := *r.URL
	to.Scheme, to.Host, to.Path, to.RawPath = "http", r.Host, path, ""
	if r.TLS != nil {
		to.Scheme = "https"
	}
	w.Header().Set("Location", to.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// call is a request and the memory that it needs, which is used again.
type call struct {
	s       *Server
	request *http.Request
	name    string // in the path
	body    text
	in      []byte // the body as it came
	out     []byte // the answer
	zipped  []byte
	held    int64 // of the server's budget
	paid    int64 // of that, for the answer
	labels  labels

	fields  []field
	entries []field // of an object in the body
	columns []column
	batch   feast.Batch
	resp    feast.OnlineResponse
	large   bool // resp is, so that it is not kept
}

var calls = sync.Pool{New: func() any { return new(call) }}

// keep bounds the memory of a call that is used again, in bytes; keepCells, the values of a column; keepRows, those that
// were asked for.
const (
	keep      = 1 << 20
	keepCells = 100_000
	keepRows  = 10_000
)

// release gives the memory back.
func (c *call) release() {
	c.s.memory.free(c.held)
	clear(c.fields)
	clear(c.entries)
	c.fields, c.entries, c.body, c.request, c.s, c.held, c.paid, c.labels = c.fields[:0], c.entries[:0], nil, nil, nil, 0, 0, labels{}
	c.batch.Reset()
	for i := range c.columns {
		c.columns[i].reset()
	}
	if c.large || cap(c.in) > keep || cap(c.out) > keep || cap(c.zipped) > keep || len(c.columns) > 1000 {
		return
	}
	calls.Put(c)
}

// call answers a request to a route.
func (s *Server) call(w http.ResponseWriter, r *http.Request, rt *route, name string) {
	start := time.Now()
	c := calls.Get().(*call)
	c.s, c.request, c.name = s, r, name
	defer func() {
		// The memory of a call that panicked may still be in use somewhere.
		if p := recover(); p != nil {
			s.memory.free(c.held)
			s.panicked(w, r, rt, p)
			return
		}
		c.release()
	}()
	limit := s.Timeout
	if rt.long {
		limit = s.WriteTimeout
	}
	connection := deadlines(w, limit)
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()

	answer, err := s.answer(ctx, w, rt, c)
	if err != nil {
		answer = s.fail(ctx, rt, err)
	}
	if n := int64(len(answer.body)) - c.paid; n > smallBody && !c.reserve(n) {
		answer = busy()
	}
	if rt.metric != "" && answer.status != http.StatusUnprocessableEntity {
		s.metrics.request(rt.metric, answer.status < 400, c.labels, time.Since(start))
	}
	if len(answer.body) >= zipFrom && answer.status == http.StatusOK && acceptsGzip(r.Header) {
		if c.zip(answer.body); c.zipped != nil {
			w.Header().Set("Content-Encoding", "gzip")
			answer.body = c.zipped
		}
	}
	send(w, answer)
	lift(connection)
}

// deadlines has a connection cut off when its client sends slowly, or reads slowly. A server of a test has no connection.
func deadlines(w http.ResponseWriter, limit time.Duration) *http.ResponseController {
	connection, now := http.NewResponseController(w), time.Now()
	_ = connection.SetReadDeadline(now.Add(limit))
	_ = connection.SetWriteDeadline(now.Add(limit + grace))
	return connection
}

// lift sends what is left and lifts the deadline of writing: another handler of this connection may have its own.
func lift(connection *http.ResponseController) {
	_ = connection.Flush() // a client that went away hears nothing
	_ = connection.SetWriteDeadline(time.Time{})
}

// grace is how long sending an answer may take when the request took all its time.
const grace = 10 * time.Second

// answer lets a caller in, reads the body and serves the route when its turn comes.
func (s *Server) answer(ctx context.Context, w http.ResponseWriter, rt *route, c *call) (*reply, error) {
	if !rt.open {
		header, given := c.request.Header["Authorization"]
		if !given {
			header = []string{""}
		}
		var err error
		if ctx, err = s.Guard.Enter(ctx, header[0], given); err != nil {
			if errors.Is(err, feasterr.ErrUnavailable) {
				return nil, refuse(http.StatusServiceUnavailable, "Tokens cannot be verified at the moment")
			}
			return nil, err
		}
	}
	if rt.body {
		if err := c.receive(ctx, w); err != nil {
			return nil, err
		}
		var query []problem
		if rt.long && c.request.URL.RawQuery != "" {
			c.runFlags(&query)
		}
		t, bad := parseBody(c.request.Header.Get("Content-Type"), c.in, query)
		if bad != nil {
			return bad, nil
		}
		c.body = t
		if len(c.in) > smallBody {
			if n := int64(t.values()) * nativeSize; !c.reserve(n) {
				return nil, c.tooMuch(n)
			}
		}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.slots }()
	return rt.serve(s, ctx, c)
}

// panicked logs a panic and answers, where nothing was sent yet. Other requests go on.
func (s *Server) panicked(w http.ResponseWriter, r *http.Request, rt *route, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // the very value
		panic(p) //nolint:forbidigo // so the server ends the connection
	}
	s.Logger.ErrorContext(r.Context(), "a request panicked", "route", rt.path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	send(w, &reply{status: http.StatusInternalServerError, content: contentJSON, body: []byte(`"Internal Server Error"`)})
	lift(http.NewResponseController(w))
}

var (
	jsonType = []string{"application/json"}
	htmlType = []string{"text/html; charset=utf-8"}
	inGzip   = []string{"Accept-Encoding"}
)

// send writes an answer.
func send(w http.ResponseWriter, r *reply) {
	h := w.Header()
	switch r.content {
	case contentJSON:
		h["Content-Type"] = jsonType
	case contentHTML:
		h["Content-Type"] = htmlType
	case contentNone:
		h["Content-Type"] = nil // which keeps the server from guessing one
	}
	if len(r.body) >= zipFrom || h["Content-Encoding"] != nil {
		h["Vary"] = inGzip
	}
	if r.retry {
		h.Set("Retry-After", "1")
	}
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that went away hears nothing
}

// receive reads the body into c.in.
func (c *call) receive(ctx context.Context, w http.ResponseWriter) error {
	limit := c.s.MaxBody
	r := c.request
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	c.in = c.in[:0]
	counted := tinyBody
	for {
		// It grows by what arrived, so that who announces much and sends nothing holds nothing. Memory of an earlier request is
		// counted as new memory is.
		if len(c.in) == counted {
			counted *= 2
			if !c.reserve(int64(counted)) {
				return c.tooMuch(int64(counted))
			}
		}
		if len(c.in) == cap(c.in) {
			grown := make([]byte, len(c.in), max(4<<10, 2*cap(c.in)))
			copy(grown, c.in)
			c.in = grown
		}
		n, err := body.Read(c.in[len(c.in):min(cap(c.in), counted)])
		c.in = c.in[:len(c.in)+n]
		if err == nil {
			continue
		}
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return tooLarge(limit)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return refuse(http.StatusRequestTimeout, "The body did not arrive in time")
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return refuse(http.StatusBadRequest, "There was an error parsing the body")
	}
}

// smallBody is the size of answers that are not counted, and of bodies whose values are not; tinyBody, of bodies that are not,
// which slow clients can hold in any number.
const (
	smallBody = 64 << 10
	tinyBody  = 8 << 10
)

func tooLarge(limit int64) *reply {
	return refuse(http.StatusRequestEntityTooLarge, "The body has more than the %d bytes that this server takes", limit)
}

func busy() *reply {
	return refuse(http.StatusServiceUnavailable, "The server has too many large requests at the moment")
}

// budget counts the memory of large bodies and answers, so that all clients together cannot make the server hold more.
type budget struct {
	limit int64
	held  atomic.Int64
}

func (b *budget) free(n int64) {
	if n != 0 {
		b.held.Add(-n)
	}
}

// reserve takes n bytes of the server's budget, which release gives back; false when they are not to be had.
func (c *call) reserve(n int64) bool {
	b := &c.s.memory
	if b.held.Add(n) > b.limit {
		b.held.Add(-n)
		return false
	}
	c.held += n
	return true
}

// tooMuch is the answer to a request that needs n bytes more than there are: it is too large itself, or asks for too much, or
// others hold them.
func (c *call) tooMuch(n int64) *reply {
	if c.held+n > c.s.memory.limit {
		return refuse(http.StatusRequestEntityTooLarge, "The request has too many values")
	}
	return busy()
}

// fail makes an answer of an error.
func (s *Server) fail(ctx context.Context, rt *route, err error) *reply {
	if r, ok := errors.AsType[*reply](err); ok {
		return r
	}
	switch {
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return refuse(http.StatusUnauthorized, "Invalid or expired access token")
	case errors.Is(err, feasterr.ErrClosed):
		return refuse(http.StatusServiceUnavailable, "The server is ending")
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		s.Logger.WarnContext(ctx, "a request took too long", "route", rt.path, "error", err)
		return refuse(http.StatusGatewayTimeout, "The request took longer than this server allows")
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return refuse(http.StatusServiceUnavailable, "The request was cancelled") // nobody hears it
	}
	if r := exceptionReply(err); r != nil {
		return r
	}
	if !errors.Is(err, feasterr.ErrInvalid) && !errors.Is(err, feasterr.ErrNotFound) {
		s.Logger.ErrorContext(ctx, "a request failed", "route", rt.path, "error", err)
	}
	return &reply{status: http.StatusInternalServerError, content: contentJSON, body: appendString(nil, err.Error())}
}
