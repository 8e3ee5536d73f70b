package s3_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/internal/testserver/s3server"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/registrytest"
	"github.com/feastgo/feast/registry/s3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newBackend(t testing.TB, client *awss3.Client, key string, opts s3.Options) *s3.Backend {
	t.Helper()
	b, err := s3.New(client, s3server.Bucket, key, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// upload writes an object as another program would.
func upload(t testing.TB, client *awss3.Client, key string, data []byte) {
	t.Helper()
	in := &awss3.PutObjectInput{Bucket: aws.String(s3server.Bucket), Key: &key, Body: strings.NewReader(string(data))}
	if _, err := client.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	client := s3server.Client(t, s3server.Start(t, nil))
	registries, applies := 0, 0
	if os.Getenv("FEAST_TEST_FULL") != "" {
		applies = 200
	}
	registrytest.Run(t, registrytest.Harness{Applies: applies, New: func(t *testing.T) registrytest.Place {
		registries++
		key, version := fmt.Sprintf("conformance/%d/registry.db", registries), 0
		return registrytest.Place{
			Open: func(t *testing.T) registry.Backend { return newBackend(t, client, key, s3.Options{}) },
			Write: func(t *testing.T, records []registry.Record) {
				version++
				upload(t, client, key, registrytest.File(fmt.Sprint(version), records))
			},
		}
	}})
}

// golden returns the registry that Feast wrote.
func golden(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "registrytest", "testdata", "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func entity(t testing.TB) registry.Record {
	t.Helper()
	r, err := registry.Encode("demo", &registry.Entity{Name: "new"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// repo parses a feature_store.yaml with the given registry section.
func repo(t *testing.T, section string) *config.RepoConfig {
	t.Helper()
	cfg, err := config.Parse([]byte("project: demo\nregistry: "+section+"\n"), "", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// clean takes from the environment what the AWS SDK looks for.
func clean(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// The driver takes what Feast takes, and parameters of PutObject arrive.
func TestOpen(t *testing.T) {
	clean(t)
	var header atomic.Pointer[http.Header] // of the first write
	t.Setenv("FEAST_S3_ENDPOINT_URL", s3server.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				header.CompareAndSwap(nil, &r.Header)
			}
			next.ServeHTTP(w, r)
		})
	}))
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	cfg := repo(t, "{path: 's3://bucket/a b/registry.db', s3_additional_kwargs: {ServerSideEncryption: aws:kms, SSEKMSKeyId: key, BucketKeyEnabled: \"True\", ACL: private}}")
	b, err := registry.Open(t.Context(), cfg, registry.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrNotFound) || !strings.Contains(err.Error(), `"s3://bucket/a b/registry.db"`) {
		t.Error(err)
	}
	if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) }); err != nil {
		t.Fatal(err)
	}
	h := *header.Load()
	for name, want := range map[string]string{
		"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key",
		"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true", "X-Amz-Acl": "private", "If-None-Match": "*",
	} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	if state, _, err := b.Load(t.Context(), ""); err != nil || len(state.Records) != 1 {
		t.Error(state, err)
	}
}

// Close leaves no connection to the store, and a redirect is followed without the token of a session.
func TestClose(t *testing.T) {
	clean(t)
	closed := make(chan struct{})
	var tokens []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("X-Amz-Security-Token"))
		w.WriteHeader(http.StatusNotFound)
	}))
	defer elsewhere.Close()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("X-Amz-Security-Token"))
		http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	t.Setenv("FEAST_S3_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	t.Setenv("AWS_SESSION_TOKEN", "of a session")
	b, err := registry.Open(t.Context(), repo(t, "s3://bucket/registry.db"), registry.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrNotFound) {
		t.Error(err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still there")
	}
	if !slices.Equal(tokens, []string{"of a session", ""}) {
		t.Errorf("%q", tokens)
	}
}

func TestOpenErrors(t *testing.T) {
	clean(t)
	for section, want := range map[string]string{
		"s3://bucket":                                        "registry.path must be a bucket and a path in it, s3://bucket/path, and no more",
		"s3:///registry.db":                                  "registry.path must be",
		"s3://id:hunter2@bucket/registry.db":                 "registry.path must be",
		"s3://bucket/registry.db?versionId=5":                "registry.path must be",
		"{path: r.db, registry_store_type: S3RegistryStore}": "registry.path must be",
		"{path: s3://b/k, s3_additional_kwargs: {Bucket: x, Colour: red}}": "registry.s3_additional_kwargs.Bucket is no parameter that may be set; " +
			"these are: ACL, BucketKeyEnabled, ",
		"{path: s3://b/k, s3_additional_kwargs: {BucketKeyEnabled: maybe}}": "registry.s3_additional_kwargs.BucketKeyEnabled must be true or false",
	} {
		_, err := registry.Open(t.Context(), repo(t, section), registry.Env{})
		if !errors.Is(err, feasterr.ErrInvalid) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", section, err)
		}
	}
	for _, endpoint := range []string{"127.0.0.1:9000", "http://id:hunter2@127.0.0.1:9000", "%"} {
		t.Setenv("FEAST_S3_ENDPOINT_URL", endpoint)
		_, err := registry.Open(t.Context(), repo(t, "s3://b/k"), registry.Env{})
		if !errors.Is(err, feasterr.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	t.Setenv("FEAST_S3_ENDPOINT_URL", "")
	t.Setenv("AWS_PROFILE", "nosuch")
	if _, err := registry.Open(t.Context(), repo(t, "s3://b/k"), registry.Env{}); !errors.Is(err, feasterr.ErrInvalid) {
		t.Error(err)
	}
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("FEAST_S3_ENDPOINT_URL", "http://127.0.0.1:1")
	b, err := registry.Open(t.Context(), repo(t, "s3://b/k"), registry.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrUnauthenticated) || !strings.Contains(err.Error(), "no credentials for AWS: set AWS_ACCESS_KEY_ID") {
		t.Error(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	if b, err = registry.Open(t.Context(), repo(t, "s3://b/k"), registry.Env{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Error("nobody listens there:", err)
	}
}

// A store that ignores conditions would lose updates: it is found out before anything is changed, or, where there is
// nothing yet, with the first change.
func TestIgnoredConditions(t *testing.T) {
	data := golden(t)
	whole, err := registry.ParseState(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ignored []string
		exists  bool
		first   string // of the errors of the first update and the next; empty: none
		next    string
		records int // that are there afterwards
		puts    int32
		again   string // of the update by another backend
	}{
		"both, existing": {
			ignored: []string{"If-Match", "If-None-Match"}, exists: true, first: "was not changed: the store ignores the condition of a write (If-Match of",
			next: "was not changed: the store ignores the condition of a write (If-Match of", records: len(whole.Records), puts: 1,
			again: "was not changed: the store ignores the condition of a write (If-Match of",
		},
		"both, none": {
			ignored: []string{"If-Match", "If-None-Match"}, first: "holds the change, but: the store ignores the condition of a write (If-None-Match of",
			next: "was not changed: the store ignores the condition of a write (If-Match of", records: 1, puts: 4,
			again: "was not changed: the store ignores the condition of a write (If-Match of",
		},
		"If-Match, none": {
			ignored: []string{"If-Match"}, first: "holds the change, but: the store ignores the condition of a write (If-Match of",
			next: "was not changed: the store ignores the condition of a write (If-Match of", records: 1, puts: 3,
			again: "was not changed: the store ignores the condition of a write (If-Match of",
		},
		"If-None-Match, existing": {ignored: []string{"If-None-Match"}, exists: true, records: len(whole.Records) + 2, puts: 3},
		"If-None-Match, none": {
			ignored: []string{"If-None-Match"}, first: "holds the change, but: the store ignores the condition of a write (If-None-Match of",
			records: 2, puts: 5,
		},
		"none, existing": {exists: true, records: len(whole.Records) + 2, puts: 3},
		"none, none":     {records: 2, puts: 4},
	} {
		t.Run(name, func(t *testing.T) {
			var puts atomic.Int32
			client := s3server.Client(t, s3server.Start(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut {
						puts.Add(1)
						for _, header := range c.ignored {
							r.Header.Del(header)
						}
					}
					next.ServeHTTP(w, r)
				})
			}))
			if c.exists {
				upload(t, client, "registry.db", data)
				puts.Store(0)
			}
			update := func(b *s3.Backend, entity, want string) {
				t.Helper()
				r, err := registry.Encode("demo", &registry.Entity{Name: entity})
				if err != nil {
					t.Fatal(err)
				}
				_, err = b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), r) })
				if want == "" && err != nil || want != "" && (!errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), want)) {
					t.Error(entity, err)
				}
			}
			b := newBackend(t, client, "registry.db", s3.Options{})
			update(b, "one", c.first)
			update(b, "two", c.next)
			if puts.Load() != c.puts {
				t.Errorf("%d writes", puts.Load())
			}
			state, _, err := b.Load(t.Context(), "")
			if err != nil || len(state.Records) != c.records {
				t.Errorf("%v records, %v", state, err)
			}
			update(newBackend(t, client, "registry.db", s3.Options{}), "three", c.again)
		})
	}
}

// Many updates at once try a condition once.
func TestTriedOnce(t *testing.T) {
	var forbidden atomic.Int32
	client := s3server.Client(t, s3server.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && r.Header.Get("If-Match") == `"00000000000000000000000000000000"` {
				forbidden.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}))
	upload(t, client, "registry.db", golden(t))
	b := newBackend(t, client, "registry.db", s3.Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := forbidden.Load(); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

// While it is found out whether a new registry may be relied on, somebody removes it.
func TestRemovedWhileTried(t *testing.T) {
	var client *awss3.Client
	var once sync.Once
	client = s3server.Client(t, s3server.Start(t, func(next http.Handler) http.Handler {
		var puts atomic.Int32
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && puts.Add(1) == 2 {
				once.Do(func() {
					if err := newBackend(t, client, "registry.db", s3.Options{}).Teardown(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			next.ServeHTTP(w, r)
		})
	}))
	b := newBackend(t, client, "registry.db", s3.Options{})
	for range 2 {
		if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) }); err != nil {
			t.Error(err)
		}
	}
}

// A store that refuses conditions as such says so, and nothing is written.
func TestNoConditions(t *testing.T) {
	var puts atomic.Int32
	client := s3server.Client(t, s3server.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				puts.Add(1)
				w.WriteHeader(http.StatusNotImplemented)
				_, _ = w.Write([]byte("<Error><Code>NotImplemented</Code></Error>"))
				return
			}
			next.ServeHTTP(w, r)
		})
	}))
	b := newBackend(t, client, "registry.db", s3.Options{})
	_, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) })
	if !errors.Is(err, feasterr.ErrUnsupported) || !strings.Contains(err.Error(), "was not changed: the store does not know the condition of a write (If-None-Match of PutObject)") {
		t.Error(err)
	}
	if puts.Load() != 1 {
		t.Errorf("%d writes", puts.Load())
	}
}

// Amazon answers with the region of a bucket that is elsewhere; what follows goes there.
func TestRegion(t *testing.T) {
	var elsewhere atomic.Int32
	client := s3server.Client(t, s3server.Start(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/s3/") {
				elsewhere.Add(1)
				w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
				w.WriteHeader(http.StatusMovedPermanently)
				return
			}
			next.ServeHTTP(w, r)
		})
	}))
	b := newBackend(t, client, "registry.db", s3.Options{})
	if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) }); err != nil {
		t.Fatal(err)
	}
	if elsewhere.Load() != 1 {
		t.Errorf("%d requests to the wrong region", elsewhere.Load())
	}
	for _, call := range []func() error{
		func() error {
			_, _, err := newBackend(t, client, "registry.db", s3.Options{}).Load(t.Context(), "")
			return err
		},
		func() error { return newBackend(t, client, "registry.db", s3.Options{}).Teardown(t.Context()) },
	} {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
}

// A registry that has not changed costs one request without a body.
func TestPollSize(t *testing.T) {
	var meter testserver.Meter
	client := s3server.Client(t, s3server.Start(t, meter.Wrap))
	upload(t, client, "registry.db", golden(t))
	b := newBackend(t, client, "registry.db", s3.Options{})
	_, token, err := b.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	meter.Reset()
	if state, now, err := b.Load(t.Context(), token); state != nil || now != token || err != nil {
		t.Errorf("%v, %q, %v", state, now, err)
	}
	requests, in, out := meter.Requests.Load(), meter.In.Load(), meter.Out.Load()
	t.Logf("%d bytes there, %d back", in, out)
	if requests != 1 || in > 1000 || out > 1000 {
		t.Errorf("%d requests, %d bytes there, %d back", requests, in, out)
	}
}
