package oidc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
)

const (
	// defaultTimeout bounds what an identity provider may take for an answer.
	defaultTimeout = 10 * time.Second
	// maxAnswer is how much of an answer is read. Discovery documents and sets of keys have some kilobytes.
	maxAnswer = 1 << 20
)

// newClient returns a client that talks to an identity provider. A secret that was posted is not sent on to where a
// redirect points, and what began with TLS does not go on without.
func newClient(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{ // and not that of net/http, which a program may have replaced by anything
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: defaultTimeout, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			switch {
			case via[0].Method != http.MethodGet:
				return http.ErrUseLastResponse
			case len(via) > 3:
				return errors.New("redirected more than 3 times")
			case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
				return errors.New("redirected from https to " + req.URL.Scheme)
			}
			return nil
		},
	}
}

// requests are those to a provider. One serves all who wait for what it brings, also when the one who made it gives up.
type requests struct {
	client *http.Client
	own    bool // the client was made here
	flight singleflight.Group
	calls  calls.Calls
	end    sync.Once
	ended  chan struct{} // closed by close
}

// with sets the client, which is made here when it is nil.
func (r *requests) with(client *http.Client, config *tls.Config) {
	r.ended = make(chan struct{})
	if r.client = client; client == nil {
		r.client, r.own = newClient(config), true
	}
}

// close ends what is asked for, and waits for that. Whoever waits gets a feasterr.ErrClosed.
func (r *requests) close() {
	r.end.Do(func() { close(r.ended) })
	r.calls.Close()
	if r.own {
		r.client.CloseIdleConnections()
	}
}

// start begins a request, unless there is one, which may take a time.
func (r *requests) start(ctx context.Context, timeout time.Duration, do func(context.Context) (any, error)) <-chan singleflight.Result {
	return r.flight.DoChan("", func() (any, error) {
		if !r.calls.Begin() {
			return nil, feasterr.ErrClosed
		}
		defer r.calls.End()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		go func() {
			select {
			case <-r.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
		v, err := do(ctx)
		select {
		case <-r.ended:
			return nil, feasterr.ErrClosed
		default:
			return v, err
		}
	})
}

// wait waits for what start begins.
func wait[T any](ctx context.Context, done <-chan singleflight.Result) (result T, err error) {
	select {
	case r := <-done:
		if r.Err != nil {
			return result, r.Err
		}
		return r.Val.(T), nil //nolint:forcetypeassert // as who starts it says
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

// fetch decodes the JSON that a URL answers. Its errors are feasterr.ErrUnavailable, also when the time is up.
func fetch(ctx context.Context, client *http.Client, from string, into any) error {
	failed := func(err error) error {
		return feasterr.Unavailable("identity provider: %s: %v", redacted(from), plain(err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return failed(err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case res.StatusCode != http.StatusOK:
		return failed(fmt.Errorf("status %d", res.StatusCode))
	case err != nil:
		return failed(err)
	case len(b) > maxAnswer:
		return failed(errors.New("the answer is larger than 1 MB"))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return failed(fmt.Errorf("not the JSON that is expected: %w", err))
	}
	return nil
}

// plain is an error without the URL that net/http puts in front.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// redacted is a URL for messages.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL that cannot be parsed"
	}
	return u.Redacted()
}

// document is what is used of a discovery document.
type document struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Keys          string `json:"jwks_uri"`
}

func discover(ctx context.Context, client *http.Client, from string) (document, error) {
	var d document
	err := fetch(ctx, client, from, &d)
	return d, err
}

// checkURL says what is wrong with a URL that is to be asked.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("is no URL of http or https")
	}
	return nil
}

// checkEndpoint says what is wrong with a URL of the discovery document that a URL answered: as for redirects, what began with
// TLS does not go on without.
func checkEndpoint(discovery, text string) error {
	if err := checkURL(text); err != nil {
		return err
	}
	isSecure := func(text string) bool {
		u, err := url.Parse(text)
		return err == nil && u.Scheme == "https"
	}
	if isSecure(discovery) && !isSecure(text) {
		return errors.New("is no URL of https, as that of the discovery document is")
	}
	return nil
}

// limiter lets something happen burst times, and then once in an interval.
type limiter struct {
	burst    int
	interval time.Duration

	mu   sync.Mutex
	full time.Time // when all of the burst is there again
}

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Before(now) {
		l.full = now
	}
	next := l.full.Add(l.interval)
	if next.Sub(now) > time.Duration(l.burst)*l.interval {
		return false
	}
	l.full = next
	return true
}
