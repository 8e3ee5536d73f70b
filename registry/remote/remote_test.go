package remote_test

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/feastgo/feast/feasterr"
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

// A server shows too little for a copy: neither versions nor, in what it lists, other projects.
func TestCopyRefused(t *testing.T) {
	behind, other := memory.New(), memory.New()
	records := []registry.Record{encode(t, "demo", &registry.Entity{Name: "driver"}), encode(t, "other", &registry.Entity{Name: "kept"})}
	write(t, behind, records)
	write(t, other, records)
	b := connect(t, serve(t, &registryserver.Server{Backend: behind}), "demo")
	defer b.Close()
	_, from := registry.Copy(t.Context(), other, b, registry.CopyOptions{Overwrite: true})
	_, to := registry.Copy(t.Context(), b, other, registry.CopyOptions{Overwrite: true})
	var out bytes.Buffer
	for what, err := range map[string]error{"from": from, "to": to, "export": registry.Export(t.Context(), b, &out)} {
		if !errors.Is(err, feasterr.ErrUnsupported) {
			t.Errorf("%s a server: %v", what, err)
		}
	}
	for _, b := range []*memory.Backend{behind, other} {
		state, _, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, r := range state.Records {
			if r.Kind == registry.KindEntity {
				found++
			}
		}
		if found != 2 || out.Len() > 0 {
			t.Errorf("%d entities are left, and %d bytes were exported", found, out.Len())
		}
	}
}

func encode(t testing.TB, project string, o registry.Object) registry.Record {
	t.Helper()
	r, err := registry.Encode(project, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
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
