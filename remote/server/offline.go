package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/offlineserver"
)

// OfflineServer is Feast's offline server, a service of Arrow Flight. It is safe for concurrent use.
type OfflineServer struct {
	service *offlineserver.Server
	own     owned
	maxBody int64
	servers grpcServers
}

// Offline makes an offline server of a feature store, which has to stay open and is not closed by it; it serves on-demand
// views too, whose functions the feature store has.
//
// Rows of an upload are held in memory while the store joins them; all that is held has no more than 2 GB, more is refused
// with RESOURCE_EXHAUSTED. Uploads of older clients, which ask for the answer by another call, are kept for ten minutes, 64 at
// most with 512 MB in all, and only their sender can ask. A stream on which nothing moves for a minute is ended.
func Offline(fs *feast.FeatureStore, o Options) (*OfflineServer, error) {
	l, err := o.limits(limits{body: 1 << 30, rows: 100_000_000, time: time.Hour})
	if err != nil {
		return nil, err
	}
	g, own, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	return &OfflineServer{own: own, maxBody: l.body, service: offlineserver.New(fs, g, offlineserver.Limits{
		Rows: int64(l.rows), Held: 2 << 30, Pending: 64, Concurrent: l.concurrent, Timeout: l.time, Idle: time.Minute, Wait: 10 * time.Minute,
		EntitySQL: o.EntitySQL,
	})}, nil
}

// NewServer returns a gRPC server with the service, within the limits of the Options. More options, such as grpc.Creds, come
// after those that are made here. The caller serves, and Drain stops it. The size of answers is not limited.
func (s *OfflineServer) NewServer(options ...grpc.ServerOption) *grpc.Server {
	g := s.servers.add(s.maxBody, options...)
	s.service.Register(g)
	return g
}

// Drain stops the servers that NewServer made: no more calls are taken, and those that run may end. What is left when ctx
// ends is cut off, and its error returned.
func (s *OfflineServer) Drain(ctx context.Context) error { return s.servers.drain(ctx) }

// Close gives back the uploads that wait, and closes what the server opened: the authenticator, unless the Options had one.
// Calls must have ended, see Drain. It may be repeated.
func (s *OfflineServer) Close() error { return errors.Join(s.service.Close(), s.own.close()) }
