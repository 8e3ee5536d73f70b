// Package gcsserver serves the protocol of Google Cloud Storage from memory, in the process of the test. What it answers
// differently from Google: a question about an object under a condition is answered without looking at the condition.
package gcsserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// Bucket is there from the start.
const Bucket = "bucket"

// Start starts a server that ends with the test and returns its host:port, as STORAGE_EMULATOR_HOST takes it. Requests
// pass through the handler that wrap returns, unless it is nil.
func Start(t testing.TB, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	listening := httptest.NewUnstartedServer(nil)
	host = listening.Listener.Addr().String()
	storage, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true, Scheme: "http", PublicHost: host, ExternalURL: "http://" + host,
	})
	if err != nil {
		t.Fatal(err)
	}
	storage.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: Bucket})
	handler := storage.HTTPHandler()
	if wrap != nil {
		handler = wrap(handler)
	}
	listening.Config.Handler = handler
	listening.Start()
	t.Cleanup(func() {
		listening.Close()
		storage.Stop()
	})
	return strings.TrimPrefix(listening.URL, "http://")
}
