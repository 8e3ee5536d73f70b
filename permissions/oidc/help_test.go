package oidc

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var discard = slog.New(slog.DiscardHandler)

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// showsNoSecret looks for secrets of at least four characters in what is printed of a value.
func showsNoSecret(t testing.TB, v any, secrets ...string) {
	t.Helper()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
	for _, text := range []string{fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), log.String()} {
		for _, s := range secrets {
			if len(s) >= 4 && strings.Contains(text, s) {
				t.Errorf("a secret is in %q", text)
			}
		}
	}
}

// clock is a time that tests move.
type clock struct {
	once  sync.Once
	start time.Time
	past  atomic.Int64
}

func (c *clock) now() time.Time {
	c.once.Do(func() { c.start = time.Now() })
	return c.start.Add(time.Duration(c.past.Load()))
}

func (c *clock) pass(by time.Duration) { c.past.Add(int64(by)) }

// transport answers requests in the place of a network.
type transport func(*http.Request) (status int, body string, err error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func (f transport) client() *http.Client { return &http.Client{Transport: f} }

// hang waits until the request is given up.
func hang(r *http.Request) (int, string, error) {
	<-r.Context().Done()
	return 0, "", context.Cause(r.Context())
}

const testDiscovery = `{"issuer":"https://idp","authorization_endpoint":"https://idp/a","token_endpoint":"https://idp/token","jwks_uri":"https://idp/certs"}`
