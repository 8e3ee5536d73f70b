package server

import (
	"context"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// Limits of connections. Clients of Feast send no pings; those of this library every few minutes.
const (
	streamsPerConnection = 100
	minPingInterval      = 30 * time.Second
	handshakeTimeout     = 20 * time.Second
	// deadAfter is how long an idle connection may be silent until the server asks whether the client is there.
	deadAfter = 2 * time.Minute
)

// grpcServers are those that were made of a service, and end with it.
type grpcServers struct {
	mu      sync.Mutex
	made    []*grpc.Server
	drained bool
}

// add makes one. Handlers end before the server does, since they use what is closed then.
func (s *grpcServers) add(maxBody int64, options ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(min(maxBody, math.MaxInt32))),
		grpc.MaxConcurrentStreams(streamsPerConnection),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: deadAfter}),
		grpc.WaitForHandlers(true),
	}, options...)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, g)
	if s.drained {
		g.Stop()
	}
	return g
}

// drain stops them: calls that run may end until ctx does, whose error it returns when something was cut off.
func (s *grpcServers) drain(ctx context.Context) error {
	s.mu.Lock()
	s.drained = true
	made := s.made
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for _, g := range made {
			all.Go(g.GracefulStop)
		}
		all.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, g := range made {
		g.Stop()
	}
	<-done
	return ctx.Err()
}
