package remote_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/remote"
)

// httpServer serves by h until the test ends and returns a client of it.
func httpServer(t testing.TB, o remote.HTTPOptions, h http.HandlerFunc) *remote.HTTP {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	o.URL = s.URL
	c, err := remote.NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

var post = remote.HTTPRequest{Method: "POST", Path: "/route", Body: []byte(`{"a":1}`), Repeatable: true}

func TestHTTP(t *testing.T) {
	c := httpServer(t, remote.HTTPOptions{Token: token{text: "secret"}}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.URL.Path, body, r.Header.Get("Content-Type"), r.Header.Get("Authorization"))
	})
	got, err := c.Do(t.Context(), post, []byte("before "))
	if want := `before POST /route {"a":1} application/json Bearer secret`; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	got, err = c.Do(t.Context(), remote.HTTPRequest{Method: "GET", Path: "/health"}, nil)
	if want := "GET /health   Bearer secret"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// What servers of Feast answer, and what it means here.
func TestHTTPErrors(t *testing.T) {
	for _, test := range []struct {
		status int
		body   string
		class  error
		text   string
	}{
		{404, `"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": \"Feature view x does not exist\"}"`,
			feasterr.ErrNotFound, "FeatureViewNotFoundException: Feature view x does not exist"},
		{404, `"{\"module\": \"feast.errors\", \"class\": \"RequestDataNotFoundInEntityRowsException\", \"message\": \"m\"}"`,
			feasterr.ErrInvalid, "RequestDataNotFoundInEntityRowsException: m"},
		{403, `"{\"module\": \"feast.errors\", \"class\": \"FeastPermissionError\", \"message\": \"Permission error:\\nno\"}"`,
			feasterr.ErrDenied, "FeastPermissionError: Permission error:\nno"},
		{422, `"{\"module\": \"feast.errors\", \"class\": \"PushSourceNotFoundException\", \"message\": \"m\"}"`, feasterr.ErrNotFound, "PushSourceNotFoundException: m"},
		{500, `"{\"module\": \"feast.errors\", \"class\": \"FeatureNameCollisionError\", \"message\": \"m\"}"`, feasterr.ErrInvalid, "FeatureNameCollisionError: m"},
		{500, `"'Feature zzz not found in projection driver_stats'"`, feasterr.ErrNotFound, "status 500 Internal Server Error: Feature zzz not found in projection driver_stats"},
		{500, `"\"Missing join key values for keys: ['a'].\""`, feasterr.ErrInvalid, "status 500 Internal Server Error: Missing join key"},
		{500, `"'pop from an empty set'"`, feasterr.ErrInvalid, "status 500 Internal Server Error: pop from"},
		{500, `"the database is gone"`, nil, "status 500 Internal Server Error: the database is gone"},
		{500, `<html>`, nil, "status 500 Internal Server Error: <html>"},
		{401, `{"detail":"Invalid or expired access token"}`, feasterr.ErrUnauthenticated, "status 401 Unauthorized: Invalid or expired access token"},
		{404, `{"detail":"Not Found"}`, feasterr.ErrNotFound, "status 404 Not Found: Not Found; is this the address of a Feast server"},
		{405, `{"detail":"Method Not Allowed"}`, feasterr.ErrUnsupported, "status 405 Method Not Allowed: Method Not Allowed"},
		{422, `{"detail":[{"type":"missing","loc":["body","entities"],"msg":"Field required","input":{"secret":1}},{"type":"string_type","loc":["body","features",0],"msg":"Input should be a valid string","input":1}]}`,
			feasterr.ErrInvalid, "status 422 Unprocessable Entity: body.entities: Field required; body.features.0: Input should be a valid string"},
		{422, `{"detail":[1,{"loc":7}]}`, feasterr.ErrInvalid, "status 422 Unprocessable Entity: : <nil>"},
		{429, ``, feasterr.ErrUnavailable, "status 429 Too Many Requests: the answer has no text"},
		{503, `busy`, feasterr.ErrUnavailable, "status 503 Service Unavailable: busy"},
		{409, `{"error":"running"}`, feasterr.ErrConflict, `status 409 Conflict: {"error":"running"}`},
		{500, `"` + strings.Repeat("x", 5000) + `"`, nil, "status 500 Internal Server Error: " + strings.Repeat("x", 2000) + "..."},
		{500, `"` + strings.Repeat("x", 1990) + `secret-token"`, nil, "status 500 Internal Server Error: " + strings.Repeat("x", 1990) + "(token)"},
		{500, `"` + strings.Repeat("x", 1996) + `secret-token"`, nil, "status 500 Internal Server Error: " + strings.Repeat("x", 1996) + "(tok..."},
		{500, `"you sent secret-token"`, nil, "status 500 Internal Server Error: you sent (token)"},
	} {
		c := httpServer(t, remote.HTTPOptions{Token: token{text: "secret-token"}}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		_, err := c.Do(t.Context(), post, nil)
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Unwrap() != test.class || e.Status != test.status { //nolint:errorlint // which one
			t.Errorf("%s: %v", test.body, err)
			continue
		}
		if want := "route of the server at " + e.Address + ": " + test.text; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// flaky answers the first requests badly.
type flaky struct {
	calls atomic.Int64
	fail  func(w http.ResponseWriter, call int64) bool // whether it was answered
}

func (f *flaky) serve(w http.ResponseWriter, r *http.Request) {
	n := f.calls.Add(1)
	body, _ := io.ReadAll(r.Body)
	if !f.fail(w, n) {
		_, _ = w.Write(body)
	}
}

func reset(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// What may pass is tried again, where that is safe, with the same body.
func TestHTTPRetries(t *testing.T) {
	busy := func(status int) func(http.ResponseWriter, int64) bool {
		return func(w http.ResponseWriter, n int64) bool {
			if n <= 2 {
				w.WriteHeader(status)
			}
			return n <= 2
		}
	}
	for name, test := range map[string]struct {
		fail    func(http.ResponseWriter, int64) bool
		retries int
		unsafe  bool
		calls   int64
		ok      bool
	}{
		"busy":         {busy(503), 3, false, 3, true},
		"too many":     {busy(429), 3, false, 3, true},
		"gateway":      {busy(502), 3, false, 3, true},
		"late gateway": {busy(504), 2, false, 3, true},
		"fewer tries":  {busy(503), 1, false, 2, false},
		"no tries":     {busy(503), 0, false, 1, false},
		"not to be":    {busy(503), 3, true, 1, false},
		"not begun":    {busy(429), 3, true, 3, true},
		"a failure":    {busy(500), 3, false, 1, false},
		"a denial":     {busy(403), 3, false, 1, false},
		"reset": {func(w http.ResponseWriter, n int64) bool {
			if n <= 2 {
				reset(w)
			}
			return n <= 2
		}, 3, false, 3, true},
		"reset, not to be": {func(w http.ResponseWriter, n int64) bool { reset(w); return true }, 3, true, 1, false},
		"cut off": {func(w http.ResponseWriter, n int64) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"a`)
			_ = http.NewResponseController(w).Flush()
			reset(w)
			return true
		}, 3, false, 2, true},
	} {
		f := &flaky{fail: test.fail}
		c := httpServer(t, remote.HTTPOptions{Retries: test.retries}, f.serve)
		r := post
		r.Repeatable = !test.unsafe
		got, err := c.Do(t.Context(), r, nil)
		if (err == nil) != test.ok || f.calls.Load() != test.calls || test.ok && string(got) != `{"a":1}` {
			t.Errorf("%s: %q, %v after %d calls", name, got, err, f.calls.Load())
		}
	}
}

// A server says when to come again; what would be after the caller's deadline is not waited for.
func TestHTTPRetryAfter(t *testing.T) {
	for _, after := range []string{"1", time.Now().Add(1500 * time.Millisecond).UTC().Format(http.TimeFormat)} {
		f := &flaky{fail: func(w http.ResponseWriter, n int64) bool {
			if n == 1 {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(503)
			}
			return n == 1
		}}
		c := httpServer(t, remote.HTTPOptions{Retries: 3}, f.serve)
		start := time.Now()
		if _, err := c.Do(t.Context(), post, nil); err != nil || f.calls.Load() != 2 {
			t.Errorf("%v after %d calls", err, f.calls.Load())
		}
		if took := time.Since(start); after == "1" && took < time.Second {
			t.Errorf("came again after %v", took)
		}
	}
	for _, after := range []string{"3600", "4294967296", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f := &flaky{fail: func(w http.ResponseWriter, _ int64) bool {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(503)
			return true
		}}
		c := httpServer(t, remote.HTTPOptions{Retries: 3}, f.serve)
		_, err := c.Do(t.Context(), post, nil) // which has a deadline of a minute
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Status != 503 || f.calls.Load() != 1 {
			t.Errorf("%s: %v after %d calls", after, err, f.calls.Load())
		}
	}
	for _, after := range []string{"-1", "1e9", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""} { // which says nothing
		f := &flaky{fail: func(w http.ResponseWriter, n int64) bool {
			if n == 1 {
				w.Header().Set("Retry-After", after)
				w.WriteHeader(503)
			}
			return n == 1
		}}
		c := httpServer(t, remote.HTTPOptions{Retries: 3}, f.serve)
		if _, err := c.Do(t.Context(), post, nil); err != nil || f.calls.Load() != 2 {
			t.Errorf("%q: %v after %d calls", after, err, f.calls.Load())
		}
	}
}

func TestHTTPDeadline(t *testing.T) {
	block := make(chan struct{})
	c := httpServer(t, remote.HTTPOptions{Retries: 3}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	defer close(block)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, post, nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "route of the server at") {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := c.Do(ctx, post, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// The memory of an answer is bounded, whether its length is announced or not, and no answer is asked for that
// grows when it is unpacked.
func TestHTTPHuge(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"announced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000000")
			_, _ = io.WriteString(w, "x")
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		c := httpServer(t, remote.HTTPOptions{MaxAnswer: 1 << 20, Retries: 3}, h)
		got, err := c.Do(t.Context(), post, nil)
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "more than 1048576 bytes") || len(got) != 0 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	c := httpServer(t, remote.HTTPOptions{MaxAnswer: 4}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "four"+r.Header.Get("Accept-Encoding"))
	})
	if got, err := c.Do(t.Context(), post, nil); err != nil || string(got) != "four" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestHTTPAnnounced: a server that announces much and sends little takes little.
func TestHTTPAnnounced(t *testing.T) {
	c := httpServer(t, remote.HTTPOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000000")
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		reset(w)
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.Do(t.Context(), post, nil); !errors.Is(err, feasterr.ErrUnavailable) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 20<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
	c = httpServer(t, remote.HTTPOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	if _, err := c.Do(t.Context(), post, nil); !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), "response headers exceeded 65536 bytes") {
		t.Error(err)
	}
	c = httpServer(t, remote.HTTPOptions{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3000000")
		_, _ = w.Write(make([]byte, 3_000_000))
	})
	if got, err := c.Do(t.Context(), post, []byte("before")); err != nil || len(got) != 3_000_006 || string(got[:7]) != "before\x00" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// A redirect is not followed: body and token are for the server that was named.
func TestHTTPRedirect(t *testing.T) {
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := httpServer(t, remote.HTTPOptions{Token: token{text: "secret"}}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/there?key=hidden", status)
		})
		_, err := c.Do(t.Context(), post, nil)
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "redirects to "+other.URL+"/there: ") || strings.Contains(err.Error(), "hidden") {
			t.Error(err)
		}
	}
	if reached.Load() {
		t.Error("the request went to another server")
	}
}

// renewing is a source of tokens that can be renewed.
type renewing struct {
	mu      sync.Mutex
	n       int
	stuck   bool
	refused []string
}

func (r *renewing) Token(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint("token", r.n), nil
}

func (r *renewing) Invalidate(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, token)
	if !r.stuck {
		r.n++
	}
}

func TestHTTPRenewedToken(t *testing.T) {
	for _, test := range []struct {
		accepted string
		stuck    bool
		calls    int64
		ok       bool
	}{{"token0", false, 1, true}, {"token1", false, 2, true}, {"token2", false, 2, false}, {"token1", true, 1, false}} {
		source := &renewing{stuck: test.stuck}
		var calls atomic.Int64
		c := httpServer(t, remote.HTTPOptions{Token: source, Retries: 3}, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			if r.Header.Get("Authorization") != "Bearer "+test.accepted {
				w.WriteHeader(401)
			}
		})
		_, err := c.Do(t.Context(), post, nil)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, feasterr.ErrUnauthenticated) || calls.Load() != test.calls {
			t.Errorf("%+v: %v after %d calls, refused %v", test, err, calls.Load(), source.refused)
		}
	}
	failed := errors.New("no token")
	c := httpServer(t, remote.HTTPOptions{Token: token{err: failed}}, func(http.ResponseWriter, *http.Request) {})
	if _, err := c.Do(t.Context(), post, nil); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// Connections are used again, after answers of all kinds, and no more are kept than the pool holds.
func TestHTTPPool(t *testing.T) {
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader([]int{200, 404, 500, 422}[opened.Load()%4])
		_, _ = w.Write(make([]byte, 100_000))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c, err := remote.NewHTTP(remote.HTTPOptions{URL: s.URL, PoolSize: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		_, _ = c.Do(t.Context(), post, nil)
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
}

// The body of a request is the caller's again when Do returns, also when the server answered before it read all.
func TestHTTPBodyIsReturned(t *testing.T) {
	c := httpServer(t, remote.HTTPOptions{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) })
	body := make([]byte, 8<<20)
	for i := range 4 {
		_, _ = c.Do(t.Context(), remote.HTTPRequest{Method: "POST", Path: "/", Body: body}, nil)
		for j := range body { // a data race if somebody read it
			body[j] = byte(i)
		}
	}
}

func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	certs, err := testserver.Certs()
	if err == nil {
		err = certs.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	clients := x509.NewCertPool()
	pem, err := os.ReadFile(file("client.crt"))
	if err != nil || !clients.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") })
	listen := func(c *tls.Config) string {
		s := httptest.NewUnstartedServer(hello)
		s.Config.ErrorLog = nil
		if s.TLS = c; c != nil {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	}
	plain := listen(nil)
	secure := listen(&tls.Config{Certificates: []tls.Certificate{certs.Server}, MinVersion: tls.VersionTLS12})
	mutual := listen(&tls.Config{Certificates: []tls.Certificate{certs.Server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	for name, test := range map[string]struct {
		options remote.HTTPOptions
		text    string
	}{
		"TLS":                   {remote.HTTPOptions{URL: secure, TLS: &remote.TLS{CA: file("server.crt")}}, ""},
		"another name":          {remote.HTTPOptions{URL: strings.Replace(secure, "localhost", "127.0.0.1", 1), TLS: &remote.TLS{CA: file("server.crt")}}, "another name"},
		"unknown authority":     {remote.HTTPOptions{URL: secure, TLS: &remote.TLS{CA: file("client.crt")}}, "cert has to name"},
		"system":                {remote.HTTPOptions{URL: secure}, "cert has to name"},
		"mutual":                {remote.HTTPOptions{URL: mutual, TLS: &remote.TLS{CA: file("server.crt"), Cert: file("client.crt"), Key: file("client.key")}}, ""},
		"mutual without a cert": {remote.HTTPOptions{URL: mutual, TLS: &remote.TLS{CA: file("server.crt")}}, "Unavailable"},
		"TLS to a plain server": {remote.HTTPOptions{URL: strings.Replace(plain, "http:", "https:", 1)}, "begin with http://"},
		"plain to a TLS server": {remote.HTTPOptions{URL: strings.Replace(secure, "https:", "http:", 1)}, "begin with https://"},
	} {
		test.options.Retries = 1
		c, err := remote.NewHTTP(test.options)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := c.Do(t.Context(), remote.HTTPRequest{Method: "GET", Path: "/", Repeatable: true}, nil)
		if test.text == "" {
			if err != nil || string(got) != "yes" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	for name, o := range map[string]remote.HTTPOptions{
		"no scheme": {URL: "host:1"}, "another scheme": {URL: "grpc://host:1"}, "no host": {URL: "http://"}, "a user": {URL: "http://me:secret@host"},
		"a query": {URL: "http://host/?secret"}, "no URL": {URL: "http://secret\x7f"}, "negative": {URL: "http://host", Retries: -1},
		"no file": {URL: secure, TLS: &remote.TLS{CA: file("none")}}, "half a client": {URL: secure, TLS: &remote.TLS{Cert: file("client.crt")}},
	} {
		if _, err := remote.NewHTTP(o); !errors.Is(err, feasterr.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHTTPUnreachable(t *testing.T) {
	c, err := remote.NewHTTP(remote.HTTPOptions{URL: "http://" + unreachable(t), Token: token{text: "secret"}, Retries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := post
	r.Repeatable = false // nothing was sent: it may be tried again all the same
	_, err = c.Do(t.Context(), r, nil)
	if !errors.Is(err, feasterr.ErrUnavailable) || !feasterr.Retryable(err) || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// What no server can have worked on is sent again, whatever it is.
func TestHTTPUntouched(t *testing.T) {
	_, dial := net.Dial("tcp", unreachable(t))
	for name, c := range map[string]struct {
		status int
		err    error
		want   bool
	}{
		"no connection": {0, fmt.Errorf("post: %w", dial), true}, "broken off": {0, &net.OpError{Op: "read", Err: io.EOF}, false},
		"end": {0, io.ErrUnexpectedEOF, false}, "too many": {429, nil, true}, "busy": {503, nil, false},
	} {
		if got := remote.Untouched(&http.Response{StatusCode: c.status}, c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
