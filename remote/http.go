package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
)

// HTTPOptions say how to reach a server over HTTP.
type HTTPOptions struct {
	// URL is what paths of requests are appended to, as they are: "https://host:6566".
	URL string
	// TLS is used where URL begins with https; nil: the certificates of the system, and none of the client.
	TLS *TLS
	// Token gives the bearer token of each request; nil: none. When the server refuses a token and the source has a method
	// Invalidate(token string), that is called, and the request is sent once more if the source then has another.
	Token config.TokenSource
	// PoolSize is how many idle connections are kept; there may be more while there are more requests. 0: DefaultPoolSize.
	PoolSize int
	// IdleTimeout is how long an idle connection is kept; 0: until the client is closed.
	IdleTimeout time.Duration
	// Retries is how often a request that may be repeated is sent again; 0: never.
	Retries int
	// MaxAnswer is the longest answer that is read, in bytes; 0: 256 MB.
	MaxAnswer int64
}

// The settings of Feast's own client.
const (
	DefaultPoolSize    = 50
	DefaultIdleTimeout = 5 * time.Minute
	DefaultRetries     = 3
)

// Waits between attempts: a random time up to minWait after the first, up to twice as much after each other.
const (
	minWait = 250 * time.Millisecond
	maxWait = 8 * time.Second
)

const (
	announced = 1 << 20  // bytes of an answer for which there is room before they are there
	maxHeader = 64 << 10 // bytes of the header of an answer
)

// HTTP is a client of one server, over connections that all its requests share. It is safe for concurrent use.
type HTTP struct {
	base    string
	shown   string // base without secrets
	token   config.TokenSource
	retries int
	max     int64
	tls     bool
	pool    *http.Transport
}

// NewHTTP makes a client. It connects when it is asked to. The caller closes it.
func NewHTTP(o HTTPOptions) (*HTTP, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil: // which repeats the address
		return nil, feasterr.Invalid("the server's address is no URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, feasterr.Invalid("server address %q does not begin with http:// or https:// and a host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, feasterr.Invalid("server address http(s)://%s%s must end with its path, and goes on with a query", u.Host, u.Path)
	case u.User != nil:
		return nil, feasterr.Invalid("server address %q must not hold a user: say in the auth section who calls", u.Redacted())
	case o.PoolSize < 0 || o.IdleTimeout < 0 || o.Retries < 0 || o.MaxAnswer < 0:
		return nil, feasterr.Invalid("numbers of connections, times, retries and sizes of a client cannot be negative")
	}
	if o.PoolSize == 0 {
		o.PoolSize = DefaultPoolSize
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = int64(maxMessage)
	}
	c := &HTTP{
		base: o.URL, shown: u.Redacted(), token: o.Token, retries: o.Retries, max: o.MaxAnswer, tls: u.Scheme == "https",
		pool: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			MaxIdleConnsPerHost: o.PoolSize,
			IdleConnTimeout:     o.IdleTimeout,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true, // which costs both sides more time than a network of today takes for the bytes

			MaxResponseHeaderBytes: maxHeader,
		},
	}
	if c.tls && o.TLS != nil {
		if c.pool.TLSClientConfig, err = o.TLS.config(""); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close ends idle connections. Requests must have ended.
func (c *HTTP) Close() { c.pool.CloseIdleConnections() }

// HTTPRequest is a request with a JSON body, or without one.
type HTTPRequest struct {
	Method string
	Path   string // appended to the address of the server
	Body   []byte // not kept after Do returns
	// Repeatable: the server may get the request more than once. It is then sent again, within Retries, when the server
	// could not be reached, broke off, or said that it is busy (429, 502, 503, 504); not when it failed (500), with which
	// Feast's servers answer for what is wrong with a request. What is not repeatable is sent again only when it cannot have
	// been worked on: when there was no connection, or too many requests (429).
	Repeatable bool
}

// Do sends a request and appends the body of the answer to dst. What is no success is an [*Error], or that of the context.
// A request without a deadline gets one of a minute; none is repeated when the wait before that would go beyond it.
func (c *HTTP) Do(ctx context.Context, r HTTPRequest, dst []byte) ([]byte, error) {
	bounded := ctx
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	token, err := bearer(bounded, c.token, c.shown)
	if err != nil {
		return dst, err
	}
	a := &attempt{client: c, repeatable: r.Repeatable, body: dst, from: len(dst)}
	defer a.end()
	status, leads, err := a.send(bounded, r, token)
	if err == nil && status == http.StatusUnauthorized && token != "" {
		if fresh := renewed(bounded, c.token, token); fresh != "" {
			token = fresh
			status, leads, err = a.send(bounded, r, token)
		}
	}
	what := strings.TrimPrefix(r.Path, "/")
	switch {
	case err == nil && status/100 == 2:
		return a.body, nil
	case ctx.Err() != nil:
		return a.body[:a.from], fmt.Errorf("%s of the server at %s: %w", what, c.shown, ctx.Err())
	case err != nil:
		return a.body[:a.from], c.unanswered(what, token, err)
	}
	return a.body[:a.from], c.refused(what, token, status, leads, a.body[a.from:])
}

// attempt is what the attempts of a request share. It is their http.RoundTripper: it reads answers as a whole, so that
// every connection is returned, and what breaks off in the middle can be tried again.
type attempt struct {
	client     *HTTP
	repeatable bool
	body       []byte // with the last answer behind from
	from       int
	tries      int
	wait       time.Duration // before the next

	mu    sync.Mutex
	ended bool
}

// end says that the caller gets the body of the request back.
func (a *attempt) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
}

// upload is the body of a request, which a connection may go on reading when the answer is there.
type upload struct {
	*attempt
	left []byte
}

// Len tells retryablehttp the length.
func (u *upload) Len() int { return len(u.left) }

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended || len(u.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, u.left)
	u.left = u.left[n:]
	return n, nil
}

// send sends a request until it is answered, or not to be repeated. It returns the status, and where a redirect leads.
func (a *attempt) send(ctx context.Context, r HTTPRequest, token string) (status int, leads string, err error) {
	var body any
	if r.Body != nil {
		body = retryablehttp.ReaderFunc(func() (io.Reader, error) { return &upload{a, r.Body}, nil })
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, a.client.base+r.Path, body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "*/*")
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	sender := retryablehttp.Client{
		HTTPClient: &http.Client{Transport: a, CheckRedirect: stay},
		RetryMax:   a.client.retries, CheckRetry: a.again, ErrorHandler: retryablehttp.PassthroughErrorHandler,
		Backoff: func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return a.wait },
	}
	resp, err := sender.Do(req)
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, elsewhere(resp), resp.Body.Close() // of which nothing is left
}

// stay follows no redirect: a body and a token are for the server that was named.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

var errLong = errors.New("the answer is too long")

// RoundTrip implements [http.RoundTripper].
func (a *attempt) RoundTrip(req *http.Request) (*http.Response, error) {
	a.body = a.body[:a.from]
	resp, err := a.client.pool.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > a.client.max {
		return nil, errLong
	}
	// Room for all of it, and to see the end; a longer one gets it as it comes, whatever the server announces.
	if n := a.from + int(min(resp.ContentLength, announced)) + 1; n > cap(a.body) {
		a.body = append(make([]byte, 0, n), a.body...)
	}
	for {
		if len(a.body) == cap(a.body) {
			a.body = append(a.body, 0)[:len(a.body)]
		}
		n, err := resp.Body.Read(a.body[len(a.body):cap(a.body)])
		a.body = a.body[:len(a.body)+n]
		switch {
		case int64(len(a.body)-a.from) > a.client.max:
			return nil, errLong
		case err == io.EOF:
			body := resp.Body
			resp.Body = http.NoBody
			return resp, body.Close()
		case err != nil:
			return nil, err
		}
	}
}

// again is a [retryablehttp.CheckRetry].
func (a *attempt) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	a.tries++
	if ctx.Err() != nil || a.tries > a.client.retries || !a.repeatable && !untouched(resp, err) || !a.passing(resp, err) {
		return false, nil //nolint:nilerr // which is the outcome
	}
	a.wait = rand.N(min(maxWait, minWait<<min(a.tries-1, 10)))
	if resp != nil {
		a.wait = max(a.wait, retryAfter(resp.Header.Get("Retry-After")))
	}
	end, limited := ctx.Deadline()
	return !limited || time.Until(end) > a.wait, nil
}

// untouched reports whether no server can have worked on a request.
func untouched(resp *http.Response, err error) bool {
	if err != nil {
		op, ok := errors.AsType[*net.OpError](err)
		return ok && op.Op == "dial"
	}
	return resp.StatusCode == http.StatusTooManyRequests
}

// passing reports whether what went wrong may be over when it is tried again.
func (a *attempt) passing(resp *http.Response, err error) bool {
	if err != nil {
		return !errors.Is(err, errLong) && hintOf(a.client.tls, err.Error()) == ""
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header of this name, seconds or a date. More seconds than a duration has are for ever.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return math.MaxInt64
	case err == nil:
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 0
}
