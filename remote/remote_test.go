package remote_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/testserver"
	"github.com/feastgo/feast/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const method = "/feast.test.Server/Ask"

// handler answers a call.
type handler func(ctx context.Context) (string, error)

// serve starts a server that answers all calls by h, until the test ends, and returns its address.
func serve(t *testing.T, h handler, opts ...grpc.ServerOption) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(opts, grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		var request wrapperspb.StringValue
		if err := s.RecvMsg(&request); err != nil {
			return err
		}
		text, err := h(s.Context())
		if err != nil {
			return err
		}
		return s.SendMsg(wrapperspb.String(text))
	}))...)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port // as in the certificates
}

// ask makes a call.
func ask(ctx context.Context, t *testing.T, o remote.Options) (string, error) {
	t.Helper()
	conn, err := remote.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var answer wrapperspb.StringValue
	err = conn.Invoke(ctx, method, wrapperspb.String("?"), &answer)
	return answer.GetValue(), err
}

func yes(context.Context) (string, error) { return "yes", nil }

// unreachable returns an address at which nobody listens.
func unreachable(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		answer error
		class  error
		text   string
	}{
		{status.Error(codes.NotFound, `{"module": "feast.errors", "class": "EntityNotFoundException", "message": "Entity x does not exist"}`),
			feasterr.ErrNotFound, "EntityNotFoundException: Entity x does not exist"},
		{status.Error(codes.Internal, `{"module": "feast.errors", "class": "PermissionNotFoundException", "message": "m"}`),
			feasterr.ErrNotFound, "PermissionNotFoundException: m"},
		{status.Error(codes.PermissionDenied, `{"module": "feast.errors", "class": "FeastPermissionError", "message": "no"}`),
			feasterr.ErrDenied, "FeastPermissionError: no"},
		{status.Error(codes.Internal, `{"module": "feast.errors", "class": "FeatureViewPinConflict", "message": "m"}`),
			feasterr.ErrInvalid, "FeatureViewPinConflict: m"},
		{status.Error(codes.Internal, `{"module": "feast.errors", "class": "SomethingNew", "message": "m"}`), nil, "SomethingNew: m"},
		{status.Error(codes.Unauthenticated, `{"module": "feast.errors", "class": "X", "message": "m"}`), feasterr.ErrUnauthenticated, "X: m"},
		{status.Error(codes.Unknown, "Error in service handler!"), feasterr.ErrUnauthenticated, "Unknown: the server refused the credentials"},
		{status.Error(codes.Unknown, "Exception calling application: bad name"), nil, "Unknown: bad name"},
		{status.Error(codes.Unauthenticated, "no"), feasterr.ErrUnauthenticated, "Unauthenticated: no"},
		{status.Error(codes.PermissionDenied, "no"), feasterr.ErrDenied, "PermissionDenied: no"},
		{status.Error(codes.NotFound, "no"), feasterr.ErrNotFound, "NotFound: no"},
		{status.Error(codes.Unavailable, "no"), feasterr.ErrUnavailable, "Unavailable: no"},
		{status.Error(codes.DeadlineExceeded, "slow"), feasterr.ErrUnavailable, "DeadlineExceeded: slow"},
		{status.Error(codes.ResourceExhausted, "busy"), feasterr.ErrUnavailable, "ResourceExhausted: busy"},
		{status.Error(codes.InvalidArgument, "no"), feasterr.ErrInvalid, "InvalidArgument: no"},
		{status.Error(codes.Aborted, "no"), feasterr.ErrConflict, "Aborted: no"},
		{status.Error(codes.Unimplemented, "no"), feasterr.ErrUnsupported, "Unimplemented: no"},
		{status.Error(codes.Internal, "Exception deserializing request!"), feasterr.ErrInvalid, "Internal: Exception deserializing request!"},
		{status.Error(codes.Internal, `{"class": "X"}`), nil, `Internal: {"class": "X"}`},
	} {
		address := serve(t, func(context.Context) (string, error) { return "", test.answer })
		_, err := ask(t.Context(), t, remote.Options{Address: address})
		want := "Ask of the server at " + address + ": " + test.text
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if e, ok := errors.AsType[*remote.Error](err); !ok || e.Unwrap() != test.class { //nolint:errorlint // which one
			t.Errorf("%v: want class %v", err, test.class)
		}
	}
}

func TestUnreachable(t *testing.T) {
	address := unreachable(t)
	_, err := ask(t.Context(), t, remote.Options{Address: address, Idempotent: []string{method}})
	if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), address) || !feasterr.Retryable(err) {
		t.Error(err)
	}
}

// Idempotent calls are tried four times, others once.
func TestRetry(t *testing.T) {
	for _, test := range []struct {
		idempotent []string
		failures   int64
		calls      int64
		ok         bool
	}{{nil, 1, 1, false}, {[]string{method}, 2, 3, true}, {[]string{method}, 9, 4, false}} {
		var calls atomic.Int64
		address := serve(t, func(context.Context) (string, error) {
			if calls.Add(1) <= test.failures {
				return "", status.Error(codes.Unavailable, "busy")
			}
			return "yes", nil
		})
		_, err := ask(t.Context(), t, remote.Options{Address: address, Idempotent: test.idempotent})
		if (err == nil) != test.ok || calls.Load() != test.calls {
			t.Errorf("%v: %v after %d calls", test, err, calls.Load())
		}
	}
	// Not beyond the caller's deadline.
	address := serve(t, func(context.Context) (string, error) { return "", status.Error(codes.Unavailable, "busy") })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := ask(ctx, t, remote.Options{Address: address, Idempotent: []string{method}})
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, feasterr.ErrUnavailable) {
		t.Error(err)
	}
}

// A server that does not answer, or answers half: the caller's context ends the call, under its own error.
func TestDeadline(t *testing.T) {
	address := serve(t, func(ctx context.Context) (string, error) {
		if _, ok := ctx.Deadline(); !ok {
			return "", status.Error(codes.Internal, "the call has no deadline")
		}
		<-ctx.Done()
		return "", ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, t, remote.Options{Address: address}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), address) {
		t.Error(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := ask(ctx, t, remote.Options{Address: address}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	bounded := serve(t, func(ctx context.Context) (string, error) {
		at, ok := ctx.Deadline()
		if left := time.Until(at); !ok || left < 30*time.Second || left > 61*time.Second {
			return "", status.Errorf(codes.Internal, "%v left", left)
		}
		return "yes", nil
	})
	if _, err := ask(t.Context(), t, remote.Options{Address: bounded}); err != nil {
		t.Error("a call without a deadline:", err)
	}
}

// A server that breaks the connection in the middle of an answer.
func TestHalfAnAnswer(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // settings, and nothing after them
			buffer := make([]byte, 4096)
			for range 2 {
				_, _ = c.Read(buffer)
			}
			_ = c.Close()
		}
	}()
	_, err = ask(t.Context(), t, remote.Options{Address: l.Addr().String()})
	if !errors.Is(err, feasterr.ErrUnavailable) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

func TestHugeAnswer(t *testing.T) {
	defer remote.SetMaxMessage(1 << 20)()
	address := serve(t, func(context.Context) (string, error) { return strings.Repeat("x", 2<<20), nil })
	_, err := ask(t.Context(), t, remote.Options{Address: address})
	if !errors.Is(err, feasterr.ErrInvalid) || !strings.Contains(err.Error(), "larger than max") {
		t.Error(err)
	}
}

// token is a source of one token, or of an error.
type token struct {
	text string
	err  error
}

func (s token) Token(context.Context) (string, error) { return s.text, s.err }

func TestToken(t *testing.T) {
	address := serve(t, func(ctx context.Context) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return strings.Join(md.Get("authorization"), "|"), nil
	})
	for want, source := range map[string]*token{"Bearer secret": {text: "secret"}, "": nil} {
		o := remote.Options{Address: address}
		if source != nil {
			o.Token = source
		}
		if got, err := ask(t.Context(), t, o); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	failed := errors.New("no token")
	if _, err := ask(t.Context(), t, remote.Options{Address: address, Token: token{err: failed}}); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// A token that is refused is replaced: once within a call, and for the next one where the call is a stream.
func TestRenewedToken(t *testing.T) {
	for name, refusal := range map[string]error{
		"Feast's registry": status.Error(codes.Unknown, "Error in service handler!"), "here": status.Error(codes.Unauthenticated, "expired"),
		"Feast's offline server": status.Error(codes.Unknown, "Invalid token."), "offline here": status.Error(codes.Unauthenticated, "expired"),
	} {
		for _, test := range []struct {
			accepted string
			stuck    bool
			calls    int64
			ok       bool
		}{{"token0", false, 1, true}, {"token1", false, 2, true}, {"token2", false, 2, false}, {"token1", true, 1, false}} {
			var calls atomic.Int64
			address := serve(t, func(ctx context.Context) (string, error) {
				calls.Add(1)
				md, _ := metadata.FromIncomingContext(ctx)
				if got := md.Get("authorization"); !slices.Equal(got, []string{"Bearer " + test.accepted}) {
					return "", refusal
				}
				return "yes", nil
			})
			source := &renewing{stuck: test.stuck}
			o := remote.Options{Address: address, Token: source}
			var err error
			if strings.Contains(name, "offline") {
				for range test.calls {
					err = exchange(t, o)
				}
			} else {
				_, err = ask(t.Context(), t, o)
			}
			if (err == nil) != test.ok || err != nil && !errors.Is(err, feasterr.ErrUnauthenticated) || calls.Load() != test.calls {
				t.Errorf("%s, %+v: %v after %d calls, refused %v", name, test, err, calls.Load(), source.refused)
			}
		}
	}
}

// exchange makes a stream and takes one answer.
func exchange(t *testing.T, o remote.Options) error {
	t.Helper()
	conn, err := remote.DialFlight(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if err := errors.Join(s.SendMsg(wrapperspb.String("?")), s.CloseSend()); err != nil {
		return err
	}
	return s.RecvMsg(new(wrapperspb.StringValue))
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certs, err := testserver.Certs()
	if err == nil {
		err = certs.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	clients := x509.NewCertPool()
	pem, err := os.ReadFile(file("client.crt"))
	if err != nil || !clients.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	plain := serve(t, yes)
	secure := serve(t, yes, grpc.Creds(credentials.NewServerTLSFromCert(&certs.Server)))
	mutual := serve(t, yes, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certs.Server}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	})))
	by := func(address string) string { return strings.Replace(address, "localhost", "127.0.0.1", 1) }
	for name, test := range map[string]struct {
		options remote.Options
		text    string // of the error
	}{
		"TLS":                   {remote.Options{Address: secure, TLS: &remote.TLS{CA: file("server.crt")}}, ""},
		"authority":             {remote.Options{Address: by(secure), TLS: &remote.TLS{CA: file("server.crt")}, Authority: "localhost"}, ""},
		"another name":          {remote.Options{Address: by(secure), TLS: &remote.TLS{CA: file("server.crt")}}, "127.0.0.1"},
		"unknown authority":     {remote.Options{Address: secure, TLS: &remote.TLS{CA: file("client.crt")}}, "cert has to name"},
		"system":                {remote.Options{Address: secure, TLS: &remote.TLS{}}, "cert has to name"},
		"mutual":                {remote.Options{Address: mutual, TLS: &remote.TLS{CA: file("server.crt"), Cert: file("client.crt"), Key: file("client.key")}}, ""},
		"mutual without a cert": {remote.Options{Address: mutual, TLS: &remote.TLS{CA: file("server.crt")}}, "Unavailable"},
		"TLS to a plain server": {remote.Options{Address: plain, TLS: &remote.TLS{CA: file("server.crt")}}, "leave out is_tls and cert"},
		"plain to a TLS server": {remote.Options{Address: secure}, "set is_tls"},
	} {
		got, err := ask(t.Context(), t, test.options)
		if test.text == "" {
			if err != nil || got != "yes" {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		} else if !errors.Is(err, feasterr.ErrUnavailable) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]remote.Options{
		"no file":       {Address: secure, TLS: &remote.TLS{CA: file("none")}},
		"no PEM":        {Address: secure, TLS: &remote.TLS{CA: file("../../../../../../../../../../dev/null")}},
		"half a client": {Address: secure, TLS: &remote.TLS{Cert: file("client.crt")}},
		"wrong key":     {Address: secure, TLS: &remote.TLS{Cert: file("client.crt"), Key: file("server.key")}},
		"a scheme":      {Address: "grpc://host:1"},
		"no port":       {Address: "host"},
		"no host":       {Address: ":6570"},
		"a method":      {Address: secure, Idempotent: []string{"Get"}},
	} {
		if conn, err := remote.Dial(o); !errors.Is(err, feasterr.ErrInvalid) || conn != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
