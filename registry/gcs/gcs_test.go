package gcs_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/storage"
	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/internal/testserver/gcsserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/gcs"
	"github.com/feastgo/feast/registry/registrytest"
)

func TestMain(m *testing.M) {
	// The census library, which the emulator links, has a worker from its start.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// upload writes an object as another program would.
func upload(t testing.TB, client *storage.Client, name string, data []byte) {
	t.Helper()
	w := client.Bucket(gcsserver.Bucket).Object(name).NewWriter(t.Context())
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	client := gcsserver.Client(t, gcsserver.Start(t, nil))
	registries, applies := 0, 0
	if os.Getenv("FEAST_TEST_FULL") != "" {
		applies = 200
	}
	registrytest.Run(t, registrytest.Harness{Applies: applies, New: func(t *testing.T) registrytest.Place {
		registries++
		name, version := fmt.Sprintf("conformance/%d/registry.db", registries), 0
		return registrytest.Place{
			Open: func(*testing.T) registry.Backend { return gcs.New(client, gcsserver.Bucket, name) },
			Write: func(t *testing.T, records []registry.Record) {
				version++
				upload(t, client, name, registrytest.File(fmt.Sprint(version), records))
			},
		}
	}})
}

func repo(t *testing.T, section string) *config.RepoConfig {
	t.Helper()
	cfg, err := config.Parse([]byte("project: demo\nregistry: "+section+"\n"), "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestOpen(t *testing.T) {
	t.Setenv("STORAGE_EMULATOR_HOST", gcsserver.Start(t, nil))
	b, err := registry.Open(t.Context(), repo(t, "gs://bucket/a b/registry.db"), registry.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), `"gs://bucket/a b/registry.db"`) {
		t.Error(err)
	}
	r, err := registry.Encode("demo", &registry.Entity{Name: "new"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), r) }); err != nil {
		t.Fatal(err)
	}
	if state, _, err := b.Load(t.Context(), ""); err != nil || len(state.Records) != 1 {
		t.Error(state, err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for _, section := range []string{
		"gs://bucket", "gs:///registry.db", "gs://id:hunter2@bucket/registry.db", "gs://bucket/registry.db?generation=5",
		"{path: r.db, registry_store_type: GCSRegistryStore}",
	} {
		_, err := registry.Open(t.Context(), repo(t, section), registry.Env{})
		if !errors.Is(err, feasterr.ErrInvalid) || err.Error() != "registry.path must be a bucket and a path in it, gs://bucket/path, and no more" {
			t.Errorf("%s: %v", section, err)
		}
	}
	key := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(key, []byte(`{"type": "service_account", "private_key": "hunter2"`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", key)
	_, err := registry.Open(t.Context(), repo(t, "gs://bucket/r.db"), registry.Env{})
	if !errors.Is(err, feasterr.ErrUnauthenticated) || !strings.HasPrefix(err.Error(), "no credentials for Google Cloud: ") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

// A registry that has not changed costs one small request: Google answers that nothing changed, the emulator with the
// attributes of the object.
func TestPollSize(t *testing.T) {
	var notModified atomic.Bool
	var meter testserver.Meter
	client := gcsserver.Client(t, gcsserver.Start(t, func(next http.Handler) http.Handler {
		return meter.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if generation := r.URL.Query().Get("ifGenerationNotMatch"); notModified.Load() && generation != "" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			next.ServeHTTP(w, r)
		}))
	}))
	data, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	upload(t, client, "registry.db", data)
	b := gcs.New(client, gcsserver.Bucket, "registry.db")
	_, token, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []bool{false, true} {
		notModified.Store(as)
		meter.Reset()
		if state, now, err := b.Load(t.Context(), token); state != nil || now != token || err != nil {
			t.Errorf("%v, %q, %v", state, now, err)
		}
		requests, in, out := meter.Requests.Load(), meter.In.Load(), meter.Out.Load()
		t.Logf("%d bytes there, %d back", in, out)
		if requests != 1 || in > 1000 || out > 1500 {
			t.Errorf("%d requests, %d bytes there, %d back", requests, in, out)
		}
	}
}
