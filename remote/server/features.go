package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/featureserver"
)

// FeatureServer is Feast's online feature server as a handler to mount: /get-online-features, /push and the other routes at
// the paths that Feast's clients know. It is safe for concurrent use.
//
// It answers what it is asked; connections are the program's. An [http.Server] should set ReadHeaderTimeout and
// IdleTimeout. From the end of the header on, the handler sets the deadlines of the connection itself.
type FeatureServer struct {
	server   *featureserver.Server
	closing  func() error
	once     sync.Once
	closeErr error
}

// WorkersVariable is the environment variable by which Feast bounds how many materializations run in the background, 2 when it
// is not set.
const WorkersVariable = "FEAST_MATERIALIZE_MAX_WORKERS"

// Features makes the feature server of a feature store, which stays the caller's.
func Features(fs *feast.FeatureStore, o Options) (*FeatureServer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	workers := 2
	if v := os.Getenv(WorkersVariable); v != "" { //nolint:forbidigo // as in Feast; the caller makes a server
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return nil, feasterr.Invalid("the environment variable %s is %q: give a whole number from 1 on", WorkersVariable, v)
		}
		workers = n
	}
	g, closing, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	return &FeatureServer{closing: closing, server: featureserver.New(featureserver.Config{
		Store: fs, Guard: g, Logger: g.Logger, TruthfulStatuses: o.TruthfulStatuses, Workers: workers,
		MaxBody: cmp.Or(o.MaxBody, 64<<20), MaxRows: cmp.Or(o.MaxRows, 1_000_000), MaxConcurrent: cmp.Or(o.MaxConcurrent, 256),
		Timeout: cmp.Or(o.Timeout, time.Minute), WriteTimeout: cmp.Or(o.Timeout, time.Hour),
	})}, nil
}

// check refuses limits that make no sense.
func (o Options) check() error {
	if o.MaxBody < 0 || o.MaxRows < 0 || o.MaxConcurrent < 0 || o.Timeout < 0 {
		return feasterr.Invalid("a limit of the server is negative: give 0 for its default")
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (s *FeatureServer) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.server.ServeHTTP(w, r) }

// Metrics is the metrics page, in Prometheus's text form, with Feast's names. Feast serves it at a port of its own; mount it
// where only those can ask who should.
func (s *FeatureServer) Metrics() http.Handler { return s.server.Metrics() }

// Close waits for materializations in the background and cancels those that still run when ctx ends, which is the error
// then. It may be repeated. Call it when no more requests come, after [http.Server.Shutdown], and before the feature store is closed.
func (s *FeatureServer) Close(ctx context.Context) error {
	err := s.server.Close(ctx)
	s.once.Do(func() { s.closeErr = s.closing() })
	return errors.Join(err, s.closeErr)
}

var _ http.Handler = (*FeatureServer)(nil)
