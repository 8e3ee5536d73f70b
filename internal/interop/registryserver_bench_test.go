package interop_test

import (
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/internal/cputime"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/protos/feast/registry/registrygrpc"
	"github.com/feastgo/feast/remote/server"
)

// BenchmarkRegistryGets gets views and entities one by one, by eight clients at a time, from our registry server and from
// Feast's, which both serve the same registry. The processor time of ours has that of the clients in it.
func BenchmarkRegistryGets(b *testing.B) {
	useFeast(b)
	for _, kind := range []string{"file", "SQLite"} {
		r := newRepo(b, "sqlite")
		if kind == "SQLite" {
			r.write("feature_store.yaml", r.withRegistry(fmt.Sprintf("{registry_type: sql, path: \"sqlite:///%s/registry.db\"}", b.TempDir())))
		}
		d := definition{project: r.project, ttl: 1, team: "a", features: "a b", other: true}
		r.define(d.python())
		r.python("apply", nil, nil)
		fs, err := feast.Open(b.Context(), filepath.Join(r.dir, "feature_store.yaml"))
		if err != nil {
			b.Fatal(err)
		}
		s, err := server.Registry(fs, server.Options{})
		if err != nil {
			b.Fatal(err)
		}
		var lc net.ListenConfig
		l, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		g := s.NewServer()
		go func() { _ = g.Serve(l) }()
		for _, c := range []struct{ name, address string }{{"ours", l.Addr().String()}, {"Feast", r.serveRegistry("")}} {
			for _, cached := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/cached=%t", kind, c.name, cached), func(b *testing.B) { benchmarkGets(b, c.address, r.project, cached) })
			}
		}
		g.Stop()
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		if err := fs.Close(); err != nil {
			b.Error(err)
		}
	}
}

func benchmarkGets(b *testing.B, address, project string, cached bool) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	c := registrygrpc.NewRegistryServerClient(conn)
	var n atomic.Int64
	b.SetParallelism(8)
	done := cputime.Report(b)
	start := time.Now()
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			var err error
			if n.Add(1)%2 == 0 {
				_, err = c.GetFeatureView(b.Context(), &pb.GetFeatureViewRequest{Project: project, Name: "stats", AllowCache: cached})
			} else {
				_, err = c.GetEntity(b.Context(), &pb.GetEntityRequest{Project: project, Name: "driver", AllowCache: cached})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "gets/s")
	done()
}
