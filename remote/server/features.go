package server

import (
	"context"
	"net/http"
	"os"
	"strconv"
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
	server *featureserver.Server
	own    owned
}

// WorkersVariable is the environment variable by which Feast bounds how many materializations run in the background, 2 when it
// is not set.
const WorkersVariable = "FEAST_MATERIALIZE_MAX_WORKERS"

// Features makes a feature server of a feature store, which has to stay open and is not closed by it.
func Features(fs *feast.FeatureStore, o Options) (*FeatureServer, error) {
	l, err := o.limits(limits{body: 64 << 20, rows: 1_000_000, time: time.Minute, long: time.Hour})
	if err != nil {
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
	g, own, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	return &FeatureServer{own: own, server: featureserver.New(featureserver.Config{
		Store: fs, Guard: g, Logger: g.Logger, TruthfulStatuses: o.TruthfulStatuses, Workers: workers,
		MaxBody: l.body, MaxRows: l.rows, MaxConcurrent: l.concurrent, Timeout: l.time, WriteTimeout: l.long,
	})}, nil
}

// ServeHTTP implements [http.Handler].
func (s *FeatureServer) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.server.ServeHTTP(w, r) }

// Metrics is the metrics page, in Prometheus's text form, with Feast's names. Feast serves it at a port of its own; mount it
// where only those can ask who should.
func (s *FeatureServer) Metrics() http.Handler { return s.server.Metrics() }

// Drain takes no more materializations into the background and waits for those that are there. What is left when ctx ends is
// cut off, and its error returned. Requests are stopped by [http.Server.Shutdown], before or at the same time.
func (s *FeatureServer) Drain(ctx context.Context) error { return s.server.Close(ctx) }

// Close cuts off what Drain did not wait for, and closes what the server opened: the authenticator, unless the Options had
// one. Requests must have ended. It may be repeated. The feature store is closed after it.
func (s *FeatureServer) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.server.Close(now) // that something was cut off is what Close says
	return s.own.close()
}

var _ http.Handler = (*FeatureServer)(nil)
