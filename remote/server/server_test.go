package server_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	onlinememory "github.com/feastgo/feast/online/memory"
	registrymemory "github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/remote/server"
)

// ender is what all servers have in common.
type ender interface {
	Drain(ctx context.Context) error
	Close() error
}

// all makes each of the servers.
var all = map[string]func(*feast.FeatureStore, server.Options) (ender, error){
	"features": func(fs *feast.FeatureStore, o server.Options) (ender, error) { return server.Features(fs, o) },
	"registry": func(fs *feast.FeatureStore, o server.Options) (ender, error) { return server.Registry(fs, o) },
	"offline":  func(fs *feast.FeatureStore, o server.Options) (ender, error) { return server.Offline(fs, o) },
}

// All servers refuse the same options, and end in the same way.
func TestServers(t *testing.T) {
	fs := store(t)
	cfg := config.Default("p")
	cfg.Auth = config.NewSection("ldap", nil)
	unknown, err := feast.New(t.Context(), cfg, feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(onlinememory.New()))
	if err != nil {
		t.Fatal(err)
	}
	defer unknown.Close()
	for name, construct := range all {
		t.Run(name, func(t *testing.T) {
			for limit, o := range map[string]server.Options{"body": {MaxBody: -1}, "rows": {MaxRows: -1}, "concurrent": {MaxConcurrent: -1}, "timeout": {Timeout: -1}} {
				if _, err := construct(fs.FeatureStore, o); !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "negative") {
					t.Errorf("%s: %v", limit, err)
				}
			}
			if _, err := construct(unknown, server.Options{}); !errors.Is(err, feasterr.ErrUnsupported) {
				t.Errorf("an auth type that is not linked in: %v", err)
			}
			s, err := construct(fs.FeatureStore, server.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g, overGRPC := s.(interface {
				NewServer(options ...grpc.ServerOption) *grpc.Server
			})
			served := func(g *grpc.Server) error {
				var lc net.ListenConfig
				l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				return g.Serve(l)
			}
			ended := []chan error{}
			for range 2 {
				if overGRPC {
					done := make(chan error, 1)
					ended = append(ended, done)
					server := g.NewServer()
					go func() { done <- served(server) }()
				}
			}
			for range 2 {
				if err := s.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for _, done := range ended {
				if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
					t.Error(err)
				}
			}
			if overGRPC {
				if err := served(g.NewServer()); !errors.Is(err, grpc.ErrServerStopped) {
					t.Errorf("a server made after the end: %v", err)
				}
			}
			for range 2 {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
