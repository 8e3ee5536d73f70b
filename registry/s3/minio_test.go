package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/registrytest"
	"github.com/feastgo/feast/registry/s3"
)

// minio returns a client of a MinIO server, whose requests are signed by a secret, and counts them.
func minio(t *testing.T, secret string) (client *awss3.Client, meter *counter) {
	t.Helper()
	u, err := url.Parse(testserver.MinIO(t))
	if err != nil {
		t.Fatal(err)
	}
	if secret == "" {
		secret, _ = u.User.Password()
	}
	user := u.User.Username()
	u.User = nil
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	meter = &counter{next: transport}
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(u.String()), UsePathStyle: true, Region: "us-east-1", HTTPClient: &http.Client{Transport: meter},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: user, SecretAccessKey: secret}, nil
		}),
	}), meter
}

// counter counts requests by method and status.
type counter struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.seen == nil {
			c.seen = map[string]int{}
		}
		c.seen[r.Method+" "+strconv.Itoa(answer.StatusCode)]++
	}
	return answer, err
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = nil
}

func (c *counter) expect(t *testing.T, want string) {
	t.Helper()
	c.mu.Lock()
	got := fmt.Sprint(c.seen)
	c.mu.Unlock()
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c.reset()
}

var minioBucket = sync.OnceValue(func() string { return fmt.Sprintf("feast-%d", os.Getpid()) })

func minioBackend(t *testing.T, client *awss3.Client, key string) *s3.Backend {
	t.Helper()
	b, err := s3.New(client, minioBucket(), key, s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMinIO(t *testing.T) {
	client, meter := minio(t, "")
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(minioBucket())}); err != nil {
		t.Fatal(err)
	}
	put := func(b *s3.Backend, name string) error {
		r, err := registry.Encode("demo", &registry.Entity{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), r) })
		return err
	}

	t.Run("conformance", func(t *testing.T) {
		registries, applies := 0, 0
		if os.Getenv("FEAST_TEST_FULL") != "" {
			applies = 200
		}
		registrytest.Run(t, registrytest.Harness{Applies: applies, New: func(*testing.T) registrytest.Place {
			registries++
			key, version := fmt.Sprintf("conformance/%d/registry.db", registries), 0
			return registrytest.Place{
				Open: func(t *testing.T) registry.Backend { return minioBackend(t, client, key) },
				Write: func(t *testing.T, records []registry.Record) {
					version++
					in := &awss3.PutObjectInput{
						Bucket: aws.String(minioBucket()), Key: &key, Body: strings.NewReader(string(registrytest.File(fmt.Sprint(version), records))),
					}
					if _, err := client.PutObject(t.Context(), in); err != nil {
						t.Fatal(err)
					}
				},
			}
		}})
	})

	// What is sent, and what the server answers, for a registry that is new, one that is there, and one that went.
	t.Run("requests", func(t *testing.T) {
		meter.reset()
		b := minioBackend(t, client, "requests/registry.db")
		if err := put(b, "one"); err != nil {
			t.Fatal(err)
		}
		meter.expect(t, "map[GET 404:1 PUT 200:1 PUT 412:2]")
		if err := put(b, "two"); err != nil {
			t.Fatal(err)
		}
		meter.expect(t, "map[GET 200:1 PUT 200:1]")
		other := minioBackend(t, client, "requests/registry.db")
		if err := put(other, "three"); err != nil {
			t.Fatal(err)
		}
		meter.expect(t, "map[GET 200:1 PUT 200:1 PUT 412:1]")
		_, token, err := b.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if state, now, err := b.Load(t.Context(), token); state != nil || now != token || err != nil {
			t.Errorf("%v, %q, %v", state, now, err)
		}
		meter.expect(t, "map[GET 200:1 GET 304:1]")

		gone := false
		r, err := registry.Encode("demo", &registry.Entity{Name: "four"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Update(t.Context(), "demo", func(tx registry.Tx) error {
			if !gone {
				gone = true
				if err := other.Teardown(t.Context()); err != nil {
					return err
				}
			}
			return tx.Put(t.Context(), r)
		})
		if err != nil {
			t.Error(err)
		}
		meter.expect(t, "map[DELETE 204:1 GET 200:1 GET 404:1 PUT 200:1 PUT 404:1]")
		state, _, err := b.Load(t.Context(), "")
		if err != nil || len(state.Records) != 1 {
			t.Errorf("%v, %v", state, err)
		}
	})

	t.Run("refused", func(t *testing.T) {
		wrong, _ := minio(t, "not the secret")
		b := minioBackend(t, wrong, "registry.db")
		if _, _, err := b.Load(t.Context(), ""); !errors.Is(err, feasterr.ErrUnauthenticated) || strings.Contains(err.Error(), "not the secret") {
			t.Error(err)
		}
		if err := put(b, "one"); !errors.Is(err, feasterr.ErrUnauthenticated) {
			t.Error(err)
		}
		none, err := s3.New(client, "feast-no-such-bucket", "registry.db", s3.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var missing *feasterr.NotFoundError
		if _, _, err := none.Load(t.Context(), ""); !errors.As(err, &missing) || missing.Kind != "bucket" {
			t.Error(err)
		}
		if err := put(none, "one"); !errors.As(err, &missing) || missing.Kind != "bucket" {
			t.Error(err)
		}
	})

	// As a feature store opens it.
	t.Run("open", func(t *testing.T) {
		clean(t)
		u, err := url.Parse(testserver.MinIO(t))
		if err != nil {
			t.Fatal(err)
		}
		secret, _ := u.User.Password()
		t.Setenv("AWS_ACCESS_KEY_ID", u.User.Username())
		t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
		t.Setenv("FEAST_S3_ENDPOINT_URL", "http://"+u.Host)
		b, err := registry.Open(t.Context(), repo(t, "s3://"+minioBucket()+"/a b/registry.db"), registry.Env{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.Update(t.Context(), "demo", func(tx registry.Tx) error { return tx.Put(t.Context(), entity(t)) }); err != nil {
			t.Fatal(err)
		}
		if state, _, err := b.Load(t.Context(), ""); err != nil || len(state.Records) != 1 {
			t.Error(state, err)
		}
		if err := b.Teardown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
