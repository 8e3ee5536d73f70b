package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/guard"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/registry"
)

// Limits of connections of a registry server. Clients of Feast send no pings; those of this library every few minutes.
const (
	streamsPerConnection = 100
	minPingInterval      = 30 * time.Second
	handshakeTimeout     = 20 * time.Second
	// deadAfter is how long an idle connection may be silent until the server asks whether the client is there.
	deadAfter = 10 * time.Minute
)

// RegistryServer is Feast's registry server, as a gRPC service and as a REST handler. It serves all projects of the registry,
// whatever the project of the feature store is; that is the one whose permissions decide where a call names no project. It
// sees what others write at the next call, and is safe for concurrent use.
type RegistryServer struct {
	service *registryserver.Server
	guard   *guard.Guard
	closing func() error
	health  *health.Server
	maxBody int64
	timeout time.Duration
	slots   chan struct{} // one for each request that is worked on
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
	g, closing, err := o.guard(fs)
	if err != nil {
		return nil, err
	}
	s := &RegistryServer{
		service: &registryserver.Server{
			Backend: backend, Guard: g, Project: fs.Config().Project, PurgeMetadata: fs.Config().Registry.PurgeMetadata,
		},
		guard: g, closing: closing, health: health.NewServer(), maxBody: o.MaxBody, timeout: o.Timeout,
	}
	if s.maxBody <= 0 {
		s.maxBody = 64 << 20
	}
	if s.timeout <= 0 {
		s.timeout = time.Minute
	}
	slots := o.MaxConcurrent
	if slots <= 0 {
		slots = 256
	}
	s.slots = make(chan struct{}, slots)
	return s, nil
}

// NewServer returns a gRPC server with the service, within the limits of the Options, and with the health service and
// reflection that Feast has. All of them need a token where calls do. More options, such as grpc.Creds, come after those
// that are made here. The caller serves, and stops it with Drain. As in Feast the size of answers is not limited.
func (s *RegistryServer) NewServer(options ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(s.maxBody)),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: deadAfter}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	}, options...)...)
	registrygrpc.RegisterRegistryServerServer(g, s.service)
	grpc_health_v1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	return g
}

// Handler returns the REST form: Feast's routes under /api/v1, and without that prefix.
func (s *RegistryServer) Handler() http.Handler {
	rest := s.service.REST(s.maxBody)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(s.timeout)) // not every ResponseWriter has deadlines
		_ = c.SetWriteDeadline(time.Now().Add(s.timeout + 10*time.Second)) // also for saying that the body did not come
		defer func() {
			// An answer is sent when what is left of the body was read, which takes a deadline. That of writing is lifted then, since
			// another handler of this connection may have its own.
			_ = c.Flush()
			_ = c.SetWriteDeadline(time.Time{})
		}()
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
		defer cancel()
		end, err := s.begin(ctx)
		if err != nil {
			http.Error(w, "the server is busy", http.StatusServiceUnavailable)
			return
		}
		defer end()
		rest.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Drain stops a server that NewServer made: those who ask for its health learn that it is going, no more calls are taken, and
// those that run may end. What is left when ctx ends is cut off, and its error returned; who watches the health stays until
// then.
func (s *RegistryServer) Drain(ctx context.Context, g *grpc.Server) error {
	s.health.Shutdown()
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

// Close closes what the server opened: the authenticator, unless the Options had one. Calls must have ended, see Drain and
// http.Server.Shutdown.
func (s *RegistryServer) Close() error { return s.closing() }

// begin waits until a request may be worked on.
func (s *RegistryServer) begin(ctx context.Context) (end func(), err error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *RegistryServer) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	end, err := s.begin(ctx)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	defer end()
	defer func() {
		if cause := recover(); cause != nil {
			s.guard.Logger.ErrorContext(ctx, "a call panicked", "method", info.FullMethod, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
			answer, err = nil, status.Error(codes.Internal, "Exception calling application: internal error")
		}
	}()
	if ctx, err = enter(ctx, s.guard); err != nil {
		return nil, err
	}
	answer, err = next(ctx, request)
	if code := status.Code(err); code == codes.Unknown || code == codes.Internal || code == codes.Unavailable {
		s.guard.Logger.WarnContext(ctx, "a call failed", "method", info.FullMethod, "error", err)
	}
	return answer, err
}

// stream is for reflection and for watching the health: a stream waits without working, so it takes no slot and no time.
func (s *RegistryServer) stream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := enter(stream.Context(), s.guard)
	if err != nil {
		return err
	}
	return next(server, &entered{stream, ctx})
}

// entered is a stream of somebody who is known.
type entered struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that of the stream
}

// Context implements grpc.ServerStream.
func (e *entered) Context() context.Context { return e.ctx }

// enter verifies the token of a gRPC call. The error is a status as docs/compatibility.md, line 17, has it.
func enter(ctx context.Context, g *guard.Guard) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	header, list := "", md.Get("authorization")
	if len(list) > 0 {
		header = list[len(list)-1] // as in Feast, whose metadata is a dictionary
	}
	known, err := g.Enter(ctx, header, len(list) > 0)
	switch {
	case err == nil:
		return known, nil
	case errors.Is(err, feasterr.ErrUnauthenticated):
		return nil, status.Error(codes.Unauthenticated, "Invalid or expired access token")
	case errors.Is(err, feasterr.ErrUnavailable):
		return nil, status.Error(codes.Unavailable, strings.TrimPrefix(err.Error(), "unavailable: "))
	}
	return nil, status.FromContextError(err).Err()
}
