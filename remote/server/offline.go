package server

import (
	"cmp"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/offlineserver"
)

// OfflineService is Feast's offline server, feast serve_offline, to be registered with a gRPC server that is made with the
// options of [OfflineServerOptions]. It serves on-demand views too, whose functions fs has.
type OfflineService struct {
	server  *offlineserver.Server
	closing func() error
}

// Offline makes the service over fs and its offline store, which stay the caller's. Close it after the gRPC server has
// stopped, whose GracefulStop lets running calls end.
//
// Rows of an upload are held in memory while the store joins them; all that is held has no more than 2 GB, more is refused
// with RESOURCE_EXHAUSTED. Uploads of older clients, which ask for the answer by another call, are kept for ten minutes, 64 at
// most, and only their sender can ask. A stream on which nothing moves for a minute is ended.
func Offline(fs *feast.FeatureStore, o Options) (*OfflineService, error) {
	g, closing, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	return &OfflineService{server: offlineserver.New(fs, g, g.Logger, offlineserver.Limits{
		Rows: int64(cmp.Or(o.MaxRows, 100_000_000)), Held: 2 << 30, Pending: 64, Concurrent: cmp.Or(o.MaxConcurrent, 256),
		Timeout: cmp.Or(o.Timeout, time.Hour), Idle: time.Minute, Wait: 10 * time.Minute,
	}), closing: closing}, nil
}

// Register adds the service to a gRPC server.
func (s *OfflineService) Register(r grpc.ServiceRegistrar) { s.server.Register(r) }

// Close gives back what the service holds, and refuses uploads from then on. It may be repeated.
func (s *OfflineService) Close() error { return errors.Join(s.server.Close(), s.closing()) }

// OfflineServerOptions are the options of a gRPC server with an [OfflineService]; TLS and others are added by the program.
// Feast's client sends the rows of a data frame as one message, so one of a stream may have MaxBody or, when that is not set, a gigabyte.
func OfflineServerOptions(o Options) []grpc.ServerOption {
	size := int64(1 << 30)
	if o.MaxBody > 0 {
		size = o.MaxBody
	}
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(min(size, math.MaxInt32))), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}
