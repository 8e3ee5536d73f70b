package featureserver_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/featureserver"
)

// TestSlowBodiesElsewhere: what the server does not look at cannot hold a connection either.
func TestSlowBodiesElsewhere(t *testing.T) {
	fs, _ := wide(t)
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.Timeout = 200 * time.Millisecond })
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.Handle("/metrics", s.Metrics())
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]int{"/metrics": 200, "/nowhere": 404, "/health": 405, "/push/": 307, "/v1/vector_stores/x": 405} {
		c, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		in := bufio.NewReader(c)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection is held: %v", path, err)
		}
		_ = c.Close()
	}
}

// TestDeadlinesAreLifted: an answer of another handler of the connection may take longer.
func TestDeadlinesAreLifted(t *testing.T) {
	fs, refs := wide(t)
	s := newServer(t, fs.FeatureStore, func(c *featureserver.Config) { c.Timeout = 30 * time.Second })
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.Handle("/metrics", s.Metrics())
	var set writeDeadlines
	for _, r := range []*http.Request{
		request("/get-online-features", readBody(refs, 1))(), request("/nowhere", "{}")(), request("/health", "{}")(),
		request("/push/", "{}")(), request("/metrics", "")(), request("/push", "{")(),
	} {
		set = writeDeadlines{ResponseWriter: httptest.NewRecorder()}
		mux.ServeHTTP(&set, r)
		if len(set.all) != 2 || set.all[0].IsZero() || !set.all[1].IsZero() || set.reading.IsZero() || set.sent != 1 {
			t.Errorf("%s: deadlines of writing are %v, of reading %v, sent %d times before the last", r.URL.Path, set.all, set.reading, set.sent)
		}
	}
}

// writeDeadlines notes the deadlines of a connection.
type writeDeadlines struct {
	http.ResponseWriter
	all     []time.Time
	reading time.Time
	sent    int // before the last
}

func (w *writeDeadlines) SetWriteDeadline(at time.Time) error { w.all = append(w.all, at); return nil }
func (w *writeDeadlines) SetReadDeadline(at time.Time) error  { w.reading = at; return nil }
func (w *writeDeadlines) FlushError() error {
	if len(w.all) == 1 {
		w.sent++
	}
	return nil
}
