// Package remote holds what every client of a Feast server shares: how a connection is made, who it says is calling, how
// often a call is tried, and what the errors mean that servers answer with. Drivers import it, never the root package.
package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
)

// Options say how to reach a server over gRPC.
type Options struct {
	// Address is host:port.
	Address string
	// TLS, when set, encrypts; nil: plain text, over which a token is sent too, as Feast does.
	TLS *TLS
	// Authority replaces the name in Address where the server is asked for and, with TLS, where its certificate is checked.
	Authority string
	// Token gives the bearer token of each call; nil: none. When the server refuses a token and the source has a method
	// Invalidate(token string), that is called, and a call that is no stream is made once more if the source then has another.
	Token config.TokenSource
	// Idempotent are the full names of the methods that may be called again when the server could not be reached.
	Idempotent []string
}

// TLS names PEM files.
type TLS struct {
	CA        string // certificates that sign the server's; empty: those of the system, which SSL_CERT_FILE may replace
	Cert, Key string // the client's certificate for mutual TLS, both or neither
}

const (
	// callTime bounds a call whose context has no deadline: a server that hangs must not hold up refreshes for ever.
	callTime = time.Minute

	// A server refuses clients that ask for signs of life too often; Python's allows one in five minutes. That a
	// connection is dead while it is used shows earlier, when what was sent is not acknowledged within pingTimeout.
	pingInterval = 6 * time.Minute
	pingTimeout  = 20 * time.Second

	attempts = 4 // of an idempotent call
)

// maxMessage is the longest answer that is read, in bytes; gRPC's own limit, 4 MB, is less than the views of a large
// project.
var maxMessage = 256 << 20

// Dial prepares a connection, which is made by the first call and again when it breaks. A call without a deadline gets
// one of a minute. Errors of calls are [*Error]s, or those of the context. The caller closes the connection.
func Dial(o Options) (*grpc.ClientConn, error) { return dial(o) }

func dial(o Options, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	if err := checkAddress(o.Address); err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		c, err := o.TLS.config(o.Authority)
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(c)
	}
	service, err := serviceConfig(o.Idempotent)
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithChainUnaryInterceptor(client{o.Address, o.TLS != nil, o.Token}.call),
		grpc.WithDefaultServiceConfig(service),
		grpc.WithDisableServiceConfig(), // the server's, which would be looked for in the DNS
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
	if o.Authority != "" {
		opts = append(opts, grpc.WithAuthority(o.Authority))
	}
	conn, err := grpc.NewClient(o.Address, append(opts, more...)...)
	if err != nil {
		return nil, feasterr.Invalid("server address %q: %w", o.Address, err)
	}
	return conn, nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || strings.ContainsAny(address, "/@") {
		return feasterr.Invalid("server address %q is not host:port: give no scheme and no path", address)
	}
	return nil
}

func (t *TLS) config(name string) (*tls.Config, error) {
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, feasterr.Invalid("certificates of the server: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, feasterr.Invalid("certificates of the server: %s holds none in PEM form", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, feasterr.Invalid("a client's certificate and its key go together, and only one of them is set")
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, feasterr.Invalid("the client's certificate %s and key %s: %w", t.Cert, t.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// serviceConfig has idempotent methods called again, within the deadline of the call, when a server cannot be reached.
func serviceConfig(methods []string) (string, error) {
	type name struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	names := make([]name, len(methods))
	for i, full := range methods {
		service, method, ok := strings.Cut(strings.TrimPrefix(full, "/"), "/")
		if !ok {
			return "", feasterr.Invalid("%q is not the full name of a method", full)
		}
		names[i] = name{service, method}
	}
	if len(names) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(map[string]any{"methodConfig": []any{map[string]any{
		"name": names,
		"retryPolicy": map[string]any{ // the waits vary by a fifth
			"maxAttempts": attempts, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 3,
			"retryableStatusCodes": []string{"UNAVAILABLE"},
		},
	}}})
	return string(b), err
}

// client is one connection: who is called, and by whom.
type client struct {
	address string
	tls     bool
	token   config.TokenSource // may be nil
}

// call is a grpc.UnaryClientInterceptor.
func (c client) call(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption) error {
	bounded := ctx
	_, limited := ctx.Deadline()
	if !limited {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	token, err := bearer(bounded, c.token, c.address)
	if err != nil {
		return err
	}
	err = invoke(withToken(bounded, token), method, req, reply, cc, opts...)
	if err != nil && token != "" && errors.Is(c.failed(method, err), feasterr.ErrUnauthenticated) {
		if fresh := renewed(bounded, c.token, token); fresh != "" {
			err = invoke(withToken(bounded, fresh), method, req, reply, cc, opts...)
		}
	}
	if err == nil {
		return nil
	}
	ended := ctx.Err()
	if limited && status.Code(err) == codes.DeadlineExceeded {
		ended = context.DeadlineExceeded // which the server may have noticed first
	}
	if ended != nil {
		return fmt.Errorf("%s of the server at %s: %w", method[strings.LastIndexByte(method, '/')+1:], c.address, ended)
	}
	return c.failed(method, err)
}

// withToken returns the context of a call with a token; empty: without.
func withToken(ctx context.Context, token string) context.Context {
	if token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// bearer returns the token of a call to a server, empty when source is nil.
func bearer(ctx context.Context, source config.TokenSource, address string) (string, error) {
	if source == nil {
		return "", nil
	}
	token, err := source.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("token for the server at %s: %w", address, err)
	}
	return token, nil
}

// invalidate tells a source that a server refused its token, and reports whether the source wants to know.
func invalidate(source config.TokenSource, refused string) bool {
	s, ok := source.(interface{ Invalidate(token string) })
	if ok {
		s.Invalidate(refused)
	}
	return ok
}

// renewed returns another token in place of one that a server refused, empty when there is none.
func renewed(ctx context.Context, source config.TokenSource, refused string) string {
	if !invalidate(source, refused) {
		return ""
	}
	token, err := source.Token(ctx)
	if err != nil || token == refused {
		return ""
	}
	return token
}
