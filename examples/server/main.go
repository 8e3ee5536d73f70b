// Command server serves a Feast repository to Feast's clients.
//
//	server -repo feature_repo/ -http :6566 -metrics :8000
//
// What clients may do, and how they show who they are, says the auth section of feature_store.yaml; the tokens of oidc and
// kubernetes need an import of that package of permissions. It prints a line that says ready when it listens everywhere, logs to
// standard error, and ends within 15 seconds of SIGTERM: requests that run may finish, no more are taken.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	_ "github.com/feastgo/feast/drivers/all"
	"github.com/feastgo/feast/remote/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		stop()
		os.Exit(1)
	}
}

// drain bounds how long requests may go on after SIGTERM.
const drain = 10 * time.Second

// service is something that listens.
type service struct {
	name  string
	addr  string
	serve func(net.Listener) error        // until stop
	stop  func(ctx context.Context) error // lets requests finish until ctx ends
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	repo := flags.String("repo", ".", "feature repository: a `directory` with feature_store.yaml, or the file")
	httpAddr := flags.String("http", "", "`address` of the feature server")
	metrics := flags.String("metrics", "", "`address` of the metrics page; port 8000 when feature_store.yaml switches metrics on")
	cert := flags.String("tls-cert", "", "`file` with the certificate chain, PEM; without it connections are plain")
	key := flags.String("tls-key", "", "`file` with its private key, PEM")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("argument %q is left over: everything is a flag", flags.Arg(0))
	}
	secure, err := tlsConfig(*cert, *key)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	fs, err := feast.Open(ctx, *repo, feast.WithLogger(logger))
	if err != nil {
		return err
	}
	defer fs.Close()
	options := server.Options{Logger: logger}

	var services []service
	var closing []func(context.Context) error
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // who still runs is cancelled
		for _, c := range closing {
			_ = c(ctx)
		}
	}()
	if *httpAddr != "" {
		features, err := server.Features(fs, options)
		if err != nil {
			return err
		}
		closing = append(closing, features.Close)
		services = append(services, overHTTP("http", *httpAddr, features, secure, logger))
		if *metrics == "" && metricsOn(fs.Config().FeatureServer) {
			*metrics = ":8000"
		}
		if *metrics != "" {
			services = append(services, overHTTP("metrics", *metrics, features.Metrics(), nil, logger))
		}
	}
	if len(services) == 0 {
		return errors.New("nothing to serve: give -http")
	}
	// A registry that is not there yet, or cannot be reached, may be when requests come. /health tells.
	if err := fs.Warm(ctx); err != nil && ctx.Err() == nil {
		logger.Warn("the repository does not answer yet", "error", err)
	}
	return serve(ctx, services, closing, out, logger)
}

// serve listens for all services, says so, and ends them in order when ctx does, or one of them fails.
func serve(ctx context.Context, services []service, closing []func(context.Context) error, out io.Writer, logger *slog.Logger) error {
	listeners := make([]net.Listener, len(services))
	for i, s := range services {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", s.addr)
		if err != nil {
			for _, l := range listeners[:i] {
				_ = l.Close()
			}
			return fmt.Errorf("-%s: %w", s.name, err)
		}
		listeners[i] = l
		logger.Info("listening", "service", s.name, "address", l.Addr().String())
	}
	ended := make(chan error, len(services))
	for i, s := range services {
		go func() { ended <- s.serve(listeners[i]) }()
	}
	fmt.Fprintln(out, "ready")
	var err error
	running := len(services)
	select {
	case <-ctx.Done():
	case err = <-ended: // nothing ends by itself but by a fault
		running--
	}
	logger.Info("draining", "for", drain)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	var stopping sync.WaitGroup
	for _, s := range services {
		stopping.Go(func() {
			if err := s.stop(limit); err != nil {
				logger.Warn("requests were cut off", "service", s.name, "error", err)
			}
		})
	}
	stopping.Wait()
	for ; running > 0; running-- {
		err = errors.Join(err, <-ended)
	}
	for _, c := range closing {
		if cerr := c(limit); cerr != nil {
			logger.Warn("work in the background was cut off", "error", cerr)
		}
	}
	return err
}

// overHTTP serves a handler. The timeouts are about connections without a request; the handler's are about requests.
func overHTTP(name, addr string, h http.Handler, secure *tls.Config, logger *slog.Logger) service {
	s := &http.Server{
		Handler: h, TLSConfig: secure, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	return service{
		name: name, addr: addr,
		serve: func(l net.Listener) error {
			serve := s.Serve
			if secure != nil {
				serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("%s: %w", name, err)
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
	}
}

// tlsConfig loads a certificate; nil without one.
func tlsConfig(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	if cert == "" || key == "" {
		return nil, errors.New("-tls-cert and -tls-key go together: give both or neither")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
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
