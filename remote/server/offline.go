package server

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/offlineserver"
)

// OfflineServer is Feast's offline server, feast serve_offline.
type OfflineServer struct {
	service *offlineserver.Server
	message int
	closing func() error
}

// Offline makes the service over fs and its offline store, which stay the caller's; it serves on-demand views too, whose functions fs
// has.
//
// Rows of an upload are held in memory while the store joins them; all that is held has no more than 2 GB, more is refused
// with RESOURCE_EXHAUSTED. Uploads of older clients, which ask for the answer by another call, are kept for ten minutes, 64 at
// most with 512 MB in all, and only their sender can ask. A stream on which nothing moves for a minute is ended. Feast's client sends the rows of
// a data frame as one message: one may have a gigabyte, or MaxBody when that is set.
func Offline(fs *feast.FeatureStore, o Options) (*OfflineServer, error) {
	g, closing, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	s := &OfflineServer{message: 1 << 30, closing: closing}
	if o.MaxBody > 0 {
		s.message = int(min(o.MaxBody, math.MaxInt32))
	}
	s.service = offlineserver.New(fs, g, g.Logger, offlineserver.Limits{
		Rows: int64(cmp.Or(o.MaxRows, 100_000_000)), Held: 2 << 30, Pending: 64, Concurrent: cmp.Or(o.MaxConcurrent, 256),
		Timeout: cmp.Or(o.Timeout, time.Hour), Idle: time.Minute, Wait: 10 * time.Minute, EntitySQL: o.EntitySQL,
	})
	return s, nil
}

// NewServer returns a gRPC server with the service, within the limits of the Options. More options, such as grpc.Creds, come
// after those that are made here. The caller serves, and stops it with Drain.
func (s *OfflineServer) NewServer(options ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(s.message), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(1000), // of a connection
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute}),
	}, options...)...)
	s.service.Register(g)
	return g
}

// Drain stops a server that NewServer made: no more calls are taken, and those that run may end. What is left when ctx ends is
// cut off, and its error returned.
func (s *OfflineServer) Drain(ctx context.Context, g *grpc.Server) error {
	done := make(chan struct{})
	go func() {
		g.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.Stop()
		<-done
		return ctx.Err()
	}
}

// Close gives back the uploads that wait, and closes what the server opened: the authenticator, unless the Options had one.
// Calls must have ended, see Drain. It may be repeated.
func (s *OfflineServer) Close() error { return errors.Join(s.service.Close(), s.closing()) }
