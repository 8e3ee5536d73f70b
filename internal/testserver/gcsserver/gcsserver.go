// Package gcsserver serves the protocol of Google Cloud Storage from memory, in the process of the test. What it answers
// differently from Google: a question about an object under a condition is answered without looking at the condition.
package gcsserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"google.golang.org/api/option"
)

// Bucket is there from the start.
const Bucket = "bucket"

// Start starts a server that ends with the test and returns its host:port, as STORAGE_EMULATOR_HOST takes it. Requests
// pass through the handler that wrap returns, unless it is nil.
func Start(t testing.TB, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	listening := httptest.NewUnstartedServer(nil)
	host = listening.Listener.Addr().String()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, Scheme: "http", PublicHost: host, ExternalURL: "http://" + host,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: Bucket})
	handler := server.HTTPHandler()
	if wrap != nil {
		handler = wrap(handler)
	}
	listening.Config.Handler = handler
	listening.Start()
	t.Cleanup(func() {
		listening.Close()
		server.Stop()
	})
	return strings.TrimPrefix(listening.URL, "http://")
}

// Client returns a client for the server at host:port, whose connections end with the test. STORAGE_EMULATOR_HOST names that
// server from here on.
func Client(t testing.TB, host string) *storage.Client {
	t.Helper()
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := storage.NewClient(t.Context(), option.WithoutAuthentication(), option.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}
