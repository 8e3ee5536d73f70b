// Package s3server serves the protocol of S3 from memory, in the process of the test. What it answers differently from
// Amazon: a conditional write to a missing object fails with 412, not 404; and checksums that a client sends are neither
// compared nor kept.
package s3server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Bucket is there from the start.
const Bucket = "bucket"

// Start starts a server that ends with the test and returns its URL. Requests pass through the handler that wrap returns,
// unless it is nil.
func Start(t testing.TB, wrap func(http.Handler) http.Handler) (url string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	// Signatures of requests are not checked: any credentials do.
	inner := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	handler := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header { // which would stay with the object when it is overwritten
			if strings.HasPrefix(name, "X-Amz-Checksum-") && name != "X-Amz-Checksum-Mode" {
				r.Header.Del(name)
			}
		}
		inner.ServeHTTP(w, r)
	}))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// Client returns a client for the server at a URL, whose connections end with the test.
func Client(t testing.TB, url string) *s3.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return s3.New(s3.Options{
		BaseEndpoint: &url, UsePathStyle: true, Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	})
}
