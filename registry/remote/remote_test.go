package remote_test

import (
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/internal/registryserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/registry/registrytest"
	registryremote "github.com/feastgo/feast/registry/remote"
	"github.com/feastgo/feast/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a registry server, which ends with the test, and returns its address.
func serve(t testing.TB, s registrygrpc.RegistryServerServer, opts ...grpc.ServerOption) string {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", func(g *grpc.Server) { registrygrpc.RegisterRegistryServerServer(g, s) }, opts...)
}

// serveOnly is serve without a service.
func serveOnly(t testing.TB, opts ...grpc.ServerOption) string {
	t.Helper()
	return serveOn(t, "127.0.0.1:0", func(*grpc.Server) {}, opts...)
}

func serveOn(t testing.TB, address string, register func(*grpc.Server), opts ...grpc.ServerOption) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(opts...)
	register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// connect returns the registry at an address, which the caller closes.
func connect(t testing.TB, address, project string) *registryremote.Backend {
	t.Helper()
	conn, err := remote.Dial(remote.Options{Address: address, Idempotent: registryremote.Idempotent()})
	if err != nil {
		t.Fatal(err)
	}
	return registryremote.New(conn, project)
}

// write makes records the whole content of a registry.
func write(t testing.TB, b *memory.Backend, records []registry.Record) {
	t.Helper()
	if err := b.Teardown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		put := func(tx registry.Tx) error { return tx.Put(t.Context(), r) }
		if _, err := b.Update(t.Context(), r.Project, put); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{New: func(t *testing.T) registrytest.Place {
		b := memory.New()
		s := &registryserver.Server{Backend: b}
		address := serve(t, s)
		open := func(t *testing.T, project string) registry.Backend { return connect(t, address, project) }
		return registrytest.Place{
			Open:   func(t *testing.T) registry.Backend { return open(t, "demo") },
			For:    open,
			Behind: func(*testing.T) registry.Backend { return b },
			Clock:  func(now func() time.Time) { s.Now = now },
			Write:  func(t *testing.T, records []registry.Record) { write(t, b, records) },
		}
	}})
}
