// Command server serves a Feast repository to Feast's clients: features over HTTP, the registry over gRPC and REST, and the
// offline store over Arrow Flight.
//
//	server -repo feature_repo/ -http :6566 -grpc :6570 -rest :6572 -flight :8815 -metrics :8000
//
// What clients may do, and how they show who they are, says the auth section of feature_store.yaml. It prints a line that says
// ready when it listens everywhere, logs to standard error, and ends within 15 seconds of SIGTERM: requests that run may finish,
// no more are taken.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	_ "github.com/feastgo/feast/drivers/all"
	"github.com/feastgo/feast/remote/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "server:", strings.ReplaceAll(err.Error(), "\n", "; "))
		stop()
		os.Exit(1)
	}
}

const (
	// warm bounds how long the first read of the registry may take before requests are taken.
	warm = 5 * time.Second
	// refresh is how often the program looks whether the registry changed.
	refresh = time.Minute
	// drain bounds how long requests may go on after SIGTERM, and closing how long what was cut off may take to end.
	drain   = 10 * time.Second
	closing = 3 * time.Second
)

// program is all that runs.
type program struct {
	logger   *slog.Logger
	secure   *tls.Config // nil: connections are plain
	services []service
	servers  []interface { // what is served, see remote/server
		Drain(ctx context.Context) error
		Close() error
	}
}

// service is something that listens.
type service struct {
	flag  string // that has the address
	addr  string
	serve func(net.Listener) error        // until stop
	stop  func(ctx context.Context) error // lets requests finish until ctx ends
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	repo := flags.String("repo", ".", "feature repository: a `directory` with feature_store.yaml, or the file")
	httpAddr := flags.String("http", "", "`address` of the feature server")
	grpcAddr := flags.String("grpc", "", "`address` of the registry server, over gRPC")
	restAddr := flags.String("rest", "", "`address` of the registry server, in its REST form")
	flightAddr := flags.String("flight", "", "`address` of the offline server")
	metrics := flags.String("metrics", "", "`address` of the feature server's metrics page; port 8000 when feature_store.yaml switches metrics on")
	cert := flags.String("tls-cert", "", "`file` with the certificate chain, PEM; without it connections are plain")
	key := flags.String("tls-key", "", "`file` with its private key, PEM")
	clientCA := flags.String("tls-client-ca", "", "`file` with the authorities of clients, PEM; with it clients need a certificate")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("argument %q is left over: everything is a flag", flags.Arg(0))
	case *httpAddr == "" && *grpcAddr == "" && *restAddr == "" && *flightAddr == "":
		return errors.New("nothing to serve: give -http, -grpc, -rest or -flight")
	case *metrics != "" && *httpAddr == "":
		return errors.New("-metrics has a page about the feature server: give -http")
	}
	p := &program{logger: slog.New(slog.NewTextHandler(log, nil))}
	var err error
	if p.secure, err = tlsConfig(*cert, *key, *clientCA); err != nil {
		return err
	}
	fs, err := feast.Open(ctx, *repo, feast.WithLogger(p.logger))
	if err != nil {
		return err
	}
	options := server.Options{Logger: p.logger}
	err = func() error {
		if *httpAddr != "" {
			s, err := server.Features(fs, options)
			if err != nil {
				return fmt.Errorf("-http: %w", err)
			}
			p.servers = append(p.servers, s)
			p.overHTTP("http", *httpAddr, s, p.secure)
			if *metrics == "" && metricsOn(fs.Config().FeatureServer) {
				*metrics = ":8000"
			}
			if *metrics != "" {
				p.overHTTP("metrics", *metrics, s.Metrics(), nil)
			}
		}
		if *grpcAddr != "" || *restAddr != "" {
			s, err := server.Registry(fs, options)
			if err != nil {
				return fmt.Errorf("-grpc and -rest: %w", err)
			}
			p.servers = append(p.servers, s)
			if *grpcAddr != "" {
				p.overGRPC("grpc", *grpcAddr, s)
			}
			if *restAddr != "" {
				p.overHTTP("rest", *restAddr, s.Handler(), p.secure)
			}
		}
		if *flightAddr != "" {
			s, err := server.Offline(fs, options)
			if err != nil {
				return fmt.Errorf("-flight: %w", err)
			}
			p.servers = append(p.servers, s)
			p.overGRPC("flight", *flightAddr, s)
		}
		return p.serve(ctx, fs, out)
	}()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // it was told to end before it was ready
	}
	return errors.Join(err, p.close(fs))
}

// serve listens for all services, says so, and ends them when ctx does, or one of them fails.
func (p *program) serve(ctx context.Context, fs *feast.FeatureStore, out io.Writer) error {
	listeners := make([]net.Listener, len(p.services))
	for i, s := range p.services {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", s.addr)
		if err != nil {
			for _, l := range listeners[:i] {
				_ = l.Close()
			}
			return fmt.Errorf("-%s: %w", s.flag, err)
		}
		listeners[i] = l
	}
	// A registry that is not there yet, or cannot be reached, may be when requests come. /health tells.
	limit, cancel := context.WithTimeout(ctx, warm)
	if err := fs.Warm(limit); err != nil && ctx.Err() == nil {
		p.logger.Warn("the repository does not answer yet", "error", err)
	}
	cancel()
	ended := make(chan error, len(p.services))
	for i, s := range p.services {
		p.logger.Info("listening", "service", s.flag, "address", listeners[i].Addr().String())
		go func() { ended <- s.serve(listeners[i]) }()
	}
	var refreshing sync.WaitGroup
	looking, stop := context.WithCancel(ctx)
	refreshing.Go(func() { p.refresh(looking, fs) })
	defer refreshing.Wait()
	defer stop()
	fmt.Fprintln(out, "ready")
	var err error
	running := len(p.services)
	select {
	case <-ctx.Done():
	case err = <-ended: // nothing ends by itself but by a fault
		running--
	}
	p.logger.Info("draining", "for", drain)
	p.drain()
	for ; running > 0; running-- {
		err = errors.Join(err, <-ended)
	}
	return err
}

// refresh looks now and again whether the registry changed, as feast serve does, so that also changes of views and permissions
// that features are served by do not wait for cache_ttl_seconds.
func (p *program) refresh(ctx context.Context, fs *feast.FeatureStore) {
	t := time.NewTicker(refresh)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_, _ = fs.Fresh(ctx) // what fails is tried again, and logged by those who need it
		case <-ctx.Done():
			return
		}
	}
}

// drain ends all services and servers at the same time.
func (p *program) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var stopping sync.WaitGroup
	for _, s := range p.services {
		if s.stop == nil {
			continue
		}
		stopping.Go(func() {
			if err := s.stop(ctx); err != nil {
				p.logger.Warn("requests were cut off", "service", s.flag, "error", err)
			}
		})
	}
	for _, s := range p.servers {
		stopping.Go(func() {
			if err := s.Drain(ctx); err != nil {
				p.logger.Warn("work was cut off", "error", err)
			}
		})
	}
	stopping.Wait()
}

// close gives everything back. What does not end in time ends with the program.
func (p *program) close(fs *feast.FeatureStore) error {
	done := make(chan error, 1)
	go func() {
		var err error
		for _, s := range p.servers {
			err = errors.Join(err, s.Close())
		}
		done <- errors.Join(err, fs.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(closing):
		p.logger.Warn("work that was cut off did not end")
		return nil
	}
}

// overHTTP serves a handler. The timeouts are about connections without a request; the handler's are about requests.
func (p *program) overHTTP(name, addr string, h http.Handler, secure *tls.Config) {
	s := &http.Server{
		Handler: h, TLSConfig: secure.Clone(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug),
	}
	p.services = append(p.services, service{
		flag: name, addr: addr,
		serve: func(l net.Listener) error {
			serve := s.Serve
			if secure != nil {
				serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("-%s: %w", name, err)
			}
			return nil
		},
		stop: func(ctx context.Context) error {
			err := s.Shutdown(ctx)
			if err != nil {
				_ = s.Close()
			}
			return err
		},
	})
}

// overGRPC serves a service, which its own Drain stops.
func (p *program) overGRPC(name, addr string, s interface {
	NewServer(options ...grpc.ServerOption) *grpc.Server
}) {
	var options []grpc.ServerOption
	if p.secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(p.secure)))
	}
	g := s.NewServer(options...)
	p.services = append(p.services, service{flag: name, addr: addr, serve: func(l net.Listener) error {
		if err := g.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("-%s: %w", name, err)
		}
		return nil
	}})
}

// tlsConfig loads a certificate, and those of who may have signed the clients'; nil without any.
func tlsConfig(cert, key, clientCA string) (*tls.Config, error) {
	if cert == "" && key == "" && clientCA == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	if cert == "" || key == "" {
		return nil, errors.New("-tls-cert and -tls-key go together: give both or neither, and both with -tls-client-ca")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if clientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, fmt.Errorf("-tls-client-ca: %w", err)
	}
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("-tls-client-ca: %s has no certificate", clientCA)
	}
	return c, nil
}

// metricsOn reports whether feature_store.yaml switches metrics on.
func metricsOn(section config.Section) bool {
	var c struct {
		Metrics *struct {
			Enabled bool     `yaml:"enabled"`
			_       struct{} `yaml:",inline"`
		} `yaml:"metrics"`
		_ struct{} `yaml:",inline"`
	}
	return section.Decode(&c) == nil && c.Metrics != nil && c.Metrics.Enabled
}
