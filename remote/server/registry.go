package server

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/grpccall"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/registry"
)

// RegistryServer is Feast's registry server, as a gRPC service and as a REST handler. It serves all projects of the registry,
// whatever the project of the feature store is; that is the one whose permissions decide where a call names no project. It
// sees what others write at the next call, and is safe for concurrent use.
type RegistryServer struct {
	service *registryserver.Server
	gate    *grpccall.Gate
	own     owned
	health  *health.Server
	maxBody int64
	servers grpcServers
}

// Registry makes a registry server of a feature store, which has to stay open and is not closed by it. Of the feature store
// only the configuration and the registry are used. A registry that is behind a server itself is a feasterr.ErrUnsupported.
func Registry(fs *feast.FeatureStore, o Options) (*RegistryServer, error) {
	backend := fs.Backend()
	if _, remote := backend.(registry.Applier); remote {
		return nil, feasterr.Unsupported("the registry of this feature store is behind a server already: serve the registry that it serves")
	}
	if w, ok := backend.(registry.Whole); ok {
		backend = w.All()
	}
	l, err := o.limits(limits{body: 64 << 20, time: time.Minute})
	if err != nil {
		return nil, err
	}
	g, own, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	return &RegistryServer{
		service: &registryserver.Server{
			Backend: backend, Guard: g, Project: fs.Config().Project, PurgeMetadata: fs.Config().Registry.PurgeMetadata,
		},
		gate: &grpccall.Gate{
			Turns: grpccall.NewTurns(l.concurrent, l.time), Guard: g,
			Header:  func(headers []string) string { return headers[len(headers)-1] }, // as in Feast, whose metadata is a dictionary
			Refusal: func(string, bool) string { return "Invalid or expired access token" },
		},
		own: own, health: health.NewServer(), maxBody: l.body,
	}, nil
}

// NewServer returns a gRPC server with the service, within the limits of the Options, and with the health service and
// reflection that Feast has. All of them need a token where calls do. More options, such as grpc.Creds, come after those
// that are made here. The caller serves, and Drain stops it. As in Feast the size of answers is not limited.
func (s *RegistryServer) NewServer(options ...grpc.ServerOption) *grpc.Server {
	g := s.servers.add(s.maxBody, append([]grpc.ServerOption{grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream)}, options...)...)
	registrygrpc.RegisterRegistryServerServer(g, s.service)
	grpc_health_v1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	return g
}

// Handler returns the REST form: Feast's routes under /api/v1, and without that prefix.
func (s *RegistryServer) Handler() http.Handler {
	rest := s.service.REST(s.maxBody, s.gate.Turns)
	limit := s.gate.Time()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(limit))                   // not every ResponseWriter has deadlines
		_ = c.SetWriteDeadline(time.Now().Add(limit + 10*time.Second)) // also for saying that the body did not come
		defer func() {
			// An answer is sent when what is left of the body was read, which takes a deadline. That of writing is lifted then, since
			// another handler of this connection may have its own.
			_ = c.Flush()
			_ = c.SetWriteDeadline(time.Time{})
		}()
		rest.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Drain stops the servers that NewServer made: those who ask for their health learn that they are going, no more calls are
// taken, and those that run may end. What is left when ctx ends is cut off, and its error returned; who watches the health
// stays until then. Those that serve Handler are stopped by [http.Server.Shutdown].
func (s *RegistryServer) Drain(ctx context.Context) error {
	s.health.Shutdown()
	return s.servers.drain(ctx)
}

// Close closes what the server opened: the authenticator, unless the Options had one. Requests must have ended, see Drain. It may
// be repeated.
func (s *RegistryServer) Close() error { return s.own.close() }

func (s *RegistryServer) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	err = s.gate.Do(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		answer, err = next(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// stream is for reflection and for watching the health: a stream waits without working, so it takes no turn and no time.
func (s *RegistryServer) stream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	known, err := s.gate.EnterStream(stream)
	if err != nil {
		return err
	}
	return next(server, known)
}
