package sql_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/feastgo/feast/internal/cputime"
	"github.com/feastgo/feast/registry"
	registrysql "github.com/feastgo/feast/registry/sql"
	"github.com/feastgo/feast/types"
)

// repository returns views of 50 features, each with a data source of its own, entities and services.
func repository(views, entities, services int, team string) []registry.Object {
	var list []registry.Object
	for i := range entities {
		name := fmt.Sprintf("entity_%d", i)
		list = append(list, &registry.Entity{Name: name, JoinKey: name + "_id", ValueType: types.Int64})
	}
	schema := []registry.Field{{Name: "entity_0_id", Type: types.Int64}}
	for i := range 50 {
		schema = append(schema, registry.Field{Name: fmt.Sprintf("feature_%d", i), Type: types.Float32})
	}
	for i := range views {
		source := &registry.DataSource{
			Name: fmt.Sprintf("source_%d", i), TimestampField: "event_timestamp",
			Options: registry.FileOptions{Path: fmt.Sprintf("data/source_%d.parquet", i)},
		}
		list = append(list, source, &registry.FeatureView{
			Name: fmt.Sprintf("view_%d", i), Entities: []string{"entity_0"}, Source: source, Schema: schema, Online: true,
			TTL: 24 * time.Hour, Tags: map[string]string{"team": team},
		})
	}
	for i := range services {
		list = append(list, &registry.FeatureService{
			Name: fmt.Sprintf("service_%d", i), Features: []registry.FeatureViewProjection{{Name: fmt.Sprintf("view_%d", i)}},
		})
	}
	return list
}

// What it costs to load 1,000 views of 50 features and 200 services, and to ask whether they changed. The floor reads the
// same messages with the same client, table by table, and leaves it at that.
func BenchmarkLoad(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			url := s.url(b)
			backend := openURL(b, url, "demo", nil)
			w := registry.Writer{Backend: backend, Project: "demo"}
			if _, err := w.Apply(b.Context(), registry.ApplyRequest{Objects: repository(1000, 1, 200, "core")}); err != nil {
				b.Fatal(err)
			}
			b.Run("load", func(b *testing.B) { // by turns with the floor, so that load of the machine meets both alike
				var bare, loads []float64
				for b.Loop() {
					start := time.Now()
					floor(b, backend)
					between := time.Now()
					if _, _, err := backend.Load(b.Context(), ""); err != nil {
						b.Fatal(err)
					}
					bare, loads = append(bare, float64(between.Sub(start))), append(loads, float64(time.Since(between)))
				}
				slices.Sort(bare)
				slices.Sort(loads)
				b.ReportMetric(bare[len(bare)/2], "floor-ns")
				b.ReportMetric(loads[len(loads)/2], "load-ns")
				b.ReportMetric(loads[len(loads)/2]/bare[len(bare)/2], "x-floor")
			})
			b.Run("snapshot", func(b *testing.B) { // and find a view in it
				defer cputime.Report(b)()
				r := registry.New(backend, "demo", registry.Options{})
				for b.Loop() {
					s, err := r.Refresh(b.Context())
					if err == nil {
						_, err = s.View("view_500")
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("poll", func(b *testing.B) {
				defer cputime.Report(b)()
				_, token, err := backend.Load(b.Context(), "")
				if err != nil {
					b.Fatal(err)
				}
				backend.Age(time.Minute)
				if _, _, err = backend.Load(b.Context(), ""); err != nil || !backend.Trusts() {
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

func floor(b *testing.B, backend *registrysql.Backend) {
	b.Helper()
	for table, column := range map[string]string{
		"projects": "project_proto", "entities": "entity_proto", "data_sources": "data_source_proto", "feature_views": "feature_view_proto",
		"feature_services": "feature_service_proto", "feature_view_version_history": "feature_view_proto",
	} {
		read := func() error {
			rows, err := backend.DB().QueryContext(b.Context(), "SELECT "+column+" FROM "+table+" WHERE project_id = 'demo'")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var message []byte
				if err := rows.Scan(&message); err != nil {
					return err
				}
			}
			return rows.Err()
		}
		if err := read(); err != nil {
			b.Fatal(err)
		}
	}
}

// What it costs to apply 1,000 objects: new ones, equal ones, and with another tag on each of 480 views.
func BenchmarkApply(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			steps := map[string][]float64{}
			for b.Loop() {
				backend := openURL(b, s.url(b), "demo", nil)
				w := registry.Writer{Backend: backend, Project: "demo"}
				for _, step := range []struct{ name, team string }{{"new", "core"}, {"equal", "core"}, {"changed", "growth"}} {
					start := time.Now()
					if _, err := w.Apply(b.Context(), registry.ApplyRequest{Objects: repository(480, 20, 20, step.team)}); err != nil {
						b.Fatal(err)
					}
					steps[step.name] = append(steps[step.name], time.Since(start).Seconds())
				}
			}
			for name, took := range steps {
				slices.Sort(took)
				b.ReportMetric(took[len(took)/2], "s-"+name)
			}
		})
	}
}
