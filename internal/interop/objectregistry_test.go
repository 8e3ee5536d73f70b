package interop_test

import (
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/feastgo/feast/internal/testserver/gcsserver"
	"github.com/feastgo/feast/internal/testserver/s3server"
	_ "github.com/feastgo/feast/registry/gcs"
	_ "github.com/feastgo/feast/registry/s3"
)

// inObjectStores runs a test on every kind of object store that a registry may be in.
func inObjectStores(t *testing.T, test func(t *testing.T, newObjectRepo func() *repo)) {
	useFeast(t)
	for name, start := range map[string]func() (scheme string, env map[string]string){
		"S3": func() (string, map[string]string) {
			return "s3", map[string]string{
				"FEAST_S3_ENDPOINT_URL": s3server.Start(t, nil), "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
				"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
			}
		},
		"GCS": func() (string, map[string]string) {
			return "gs", map[string]string{"STORAGE_EMULATOR_HOST": "http://" + gcsserver.Start(t, nil)}
		},
	} {
		scheme, env := start()
		t.Run(name, func(t *testing.T) {
			t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
			for name, value := range env {
				t.Setenv(name, value)
			}
			test(t, func() *repo {
				t.Helper()
				r := newRepo(t, "sqlite")
				r.write("feature_store.yaml", r.withRegistry(fmt.Sprintf("{path: '%s://bucket/%d/registry.db', cache_ttl_seconds: 1}",
					scheme, projects.Add(1))))
				r.python("environment", map[string]any{"variables": maps.Clone(env)}, nil)
				return r
			})
		})
	}
}

// TestObjectRegistry applies the same definitions by Feast and here, to different objects.
func TestObjectRegistry(t *testing.T) {
	inObjectStores(t, func(t *testing.T, newObjectRepo func() *repo) {
		// Feast's definition of this view never equals what it stored.
		shareEverything(t, newObjectRepo(), newObjectRepo(), "^version stream_stats 1$")
	})
}

// TestObjectTurns lets both sides change one registry in turns.
func TestObjectTurns(t *testing.T) {
	inObjectStores(t, func(t *testing.T, newObjectRepo func() *repo) { takeTurns(t, newObjectRepo()) })
}
