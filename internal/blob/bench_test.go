package blob_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/registrytest"
	"github.com/feastgo/feast/types"
)

// large returns a registry of 1,000 views of 50 features, each with its source, and 200 services of five views.
func large(b *testing.B) []byte {
	b.Helper()
	objects := []registry.Object{
		&registry.Project{Name: project}, &registry.Entity{Name: "driver", JoinKey: "driver_id", ValueType: types.Int64},
	}
	schema := make([]registry.Field, 50)
	for i := range schema {
		schema[i] = registry.Field{Name: "feature_" + strconv.Itoa(i), Type: types.Float32}
	}
	for i := range 1000 {
		source := &registry.DataSource{
			Name: fmt.Sprintf("source_%d", i), TimestampField: "event_timestamp", CreatedTimestampColumn: "created",
			Options: registry.FileOptions{Path: fmt.Sprintf("data/source_%d.parquet", i)},
		}
		objects = append(objects, source, &registry.FeatureView{
			Name: fmt.Sprintf("view_%d", i), Entities: []string{"driver"}, EntityColumns: []registry.Field{{Name: "driver_id", Type: types.Int64}},
			TTL: 24 * time.Hour, Source: source, Online: true, Tags: map[string]string{"team": "core"}, Schema: schema,
		})
	}
	for i := range 200 {
		s := &registry.FeatureService{Name: fmt.Sprintf("service_%d", i)}
		for j := range 5 {
			s.Features = append(s.Features, registry.FeatureViewProjection{Name: fmt.Sprintf("view_%d", i*5+j), Features: schema[:10]})
		}
		objects = append(objects, s)
	}
	records := make([]registry.Record, len(objects))
	for i, o := range objects {
		r, err := registry.Encode(project, o)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = r
	}
	return registrytest.File("v", records)
}

// BenchmarkLoad opens a registry and takes a view of it. The floor is getting the same bytes from the same server by hand and
// decoding them with the protobuf library; bytes is getting them alone. unchanged is a refresh that finds nothing new.
func BenchmarkLoad(b *testing.B) {
	data := large(b)
	for _, s := range services {
		b.Run(s.name, func(b *testing.B) {
			var object string // URL of what was last read
			backend := s.start(b, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if url := "http://" + r.Host + r.URL.RequestURI(); object == "" && r.Method == http.MethodGet {
						object = url
					}
					next.ServeHTTP(w, r)
				})
			})("bucket")
			if _, err := registry.Import(b.Context(), backend, bytes.NewReader(data), registry.CopyOptions{}); err != nil {
				b.Fatal(err)
			}
			object = ""
			if _, _, err := backend.Load(b.Context(), ""); err != nil {
				b.Fatal(err)
			}
			for name, decode := range map[string]bool{"bytes": false, "floor": true} {
				b.Run(name, func(b *testing.B) {
					transport := &http.Transport{}
					defer transport.CloseIdleConnections()
					client := http.Client{Transport: transport}
					b.ReportAllocs()
					for b.Loop() {
						resp, err := client.Get(object)
						if err != nil {
							b.Fatal(err)
						}
						got := make([]byte, resp.ContentLength)
						if _, err := io.ReadFull(resp.Body, got); err != nil || len(got) < len(data) {
							b.Fatal(err, len(got))
						}
						_ = resp.Body.Close()
						if decode {
							if err := proto.Unmarshal(got, new(core.Registry)); err != nil {
								b.Fatal(err)
							}
						}
					}
				})
			}
			b.Run("load", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r := registry.New(backend, project, registry.Options{})
					snap, err := r.Snapshot(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					if _, err := snap.View("view_500"); err != nil {
						b.Fatal(err)
					}
					_ = r.Close()
				}
			})
			b.Run("unchanged", func(b *testing.B) {
				_, token, err := backend.Load(b.Context(), "")
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if state, _, err := backend.Load(b.Context(), token); state != nil || err != nil {
						b.Fatal(state, err)
					}
				}
			})
		})
	}
}
