package testserver

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
)

// Meter counts the requests of HTTP that pass through it, and about how many bytes they and their answers have, bodies of
// requests aside.
type Meter struct{ Requests, In, Out atomic.Int64 }

// Reset begins anew.
func (m *Meter) Reset() {
	m.Requests.Store(0)
	m.In.Store(0)
	m.Out.Store(0)
}

// Wrap returns a handler that counts and passes on to next.
func (m *Meter) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		var size strings.Builder
		_ = r.Header.Write(&size)
		m.In.Add(int64(size.Len() + len(r.Method+r.RequestURI+r.Host) + 20))
		size.Reset()
		_ = whole.Header().Write(&size)
		m.Out.Add(int64(size.Len() + whole.Body.Len() + 40))
		m.Requests.Add(1)
		maps.Copy(w.Header(), whole.Header())
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes())
	})
}
