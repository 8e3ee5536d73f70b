// Package remote is the driver of Feast's remote online store, "remote" in feature_store.yaml: a feature server of Feast,
// over HTTP. Import it for its side effect, or pass a store made by [New] to feast.WithOnlineStore.
//
//	online_store:
//	  type: remote
//	  path: https://features.example.com # the default is http://localhost:6566
//	  cert: server.crt                   # what signs the server's certificate; the default is what the system trusts
//	  connection_pool_size: 50           # idle connections that are kept
//	  connection_idle_timeout: 300       # seconds; 0: for ever
//	  connection_retries: 3              # for requests that could not be answered
//
// As the store of a feature store it hands whole requests over: the server resolves them by its own registry, checks
// permissions, and computes its on-demand views. Below other stores, as in a hybrid one, it is asked for the features of views.
// docs/remote.md says what passes and what does not.
package remote

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/remote"
)

func init() {
	online.Register(online.Driver{
		Names: []string{"remote", "feast.infra.online_stores.remote.RemoteOnlineStore"},
		Open: func(_ context.Context, cfg config.Section, env online.Env) (online.Store, error) {
			return open(cfg, env)
		},
	})
}

// settings are the keys of the online_store section.
type settings struct {
	Path        string `yaml:"path"`
	Cert        string `yaml:"cert"`
	PoolSize    int    `yaml:"connection_pool_size"`
	IdleTimeout int    `yaml:"connection_idle_timeout"`
	Retries     int    `yaml:"connection_retries"`
}

func open(cfg config.Section, env online.Env) (online.Store, error) {
	set := settings{
		Path: "http://localhost:6566", PoolSize: remote.DefaultPoolSize,
		IdleTimeout: int(remote.DefaultIdleTimeout / time.Second), Retries: remote.DefaultRetries,
	}
	if err := cfg.Decode(&set); err != nil {
		return nil, err
	}
	var errs []error
	if set.PoolSize < 1 {
		errs = append(errs, cfg.Invalid("connection_pool_size", "%d connections are too few", set.PoolSize))
	}
	for key, n := range map[string]int{"connection_idle_timeout": set.IdleTimeout, "connection_retries": set.Retries} {
		if n < 0 {
			errs = append(errs, cfg.Invalid(key, "%d is negative", n))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o := remote.HTTPOptions{
		URL: set.Path, Token: env.Token, PoolSize: set.PoolSize, IdleTimeout: time.Duration(set.IdleTimeout) * time.Second,
		Retries: set.Retries,
	}
	if set.Cert != "" {
		if !filepath.IsAbs(set.Cert) {
			set.Cert = filepath.Join(env.RepoDir, set.Cert)
		}
		o.TLS = &remote.TLS{CA: set.Cert}
	}
	return New(o)
}

// Store is a feature server. It is an [online.Forwarder], and takes rows and materializes as one, too.
type Store struct {
	http  *remote.HTTP
	calls calls.Calls
}

// New returns a store that is the feature server of an address.
func New(o remote.HTTPOptions) (*Store, error) {
	c, err := remote.NewHTTP(o)
	if err != nil {
		return nil, err
	}
	return &Store{http: c}, nil
}

// Info implements [online.Store]. The server has an encoding of keys of its own; that of version 3 can be read here.
func (s *Store) Info() online.Info { return online.Info{Name: "remote", KeyVersion: 3} }

// Update implements [online.Store]. The tables are the server's, which makes them when its own registry is applied.
func (s *Store) Update(ctx context.Context, _, _ []*online.Table) error { return s.idle(ctx) }

// Teardown implements [online.Store], and leaves the tables to the server as Update does.
func (s *Store) Teardown(ctx context.Context, _ []*online.Table) error { return s.idle(ctx) }

// idle is a call that does nothing.
func (s *Store) idle(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.calls.End()
	return nil
}

// Ping implements [online.Pinger].
func (s *Store) Ping(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.End()
	_, err := s.http.Do(ctx, remote.HTTPRequest{Method: "GET", Path: "/health", Repeatable: true}, nil)
	return err
}

// Close implements [online.Store].
func (s *Store) Close() error {
	s.calls.Close()
	s.http.Close()
	return nil
}

// begin begins a call, which Close waits for.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.calls.Begin() {
		return feasterr.ErrClosed
	}
	return nil
}

// buffers are the memory of a call.
type buffers struct {
	request, answer []byte
	parsed          answer
	from, to        int // the rows of a request that are asked for
	cells           cells
	rows            rows
	seen            []bool // by feature of a request
}

// keepBytes is how large memory may grow and still be kept for another call.
const keepBytes = 4 << 20

var pool = sync.Pool{New: func() any { return new(buffers) }}

func (b *buffers) release() {
	b.cells = cells{}
	if cap(b.request)+cap(b.answer)+cap(b.rows.buf) <= keepBytes {
		pool.Put(b)
	}
}

// ask posts b.request and reads the answer into b.answer. Reads are repeated; a write that arrives late once more could
// replace a newer row in Feast's server, which does not compare times.
func (s *Store) ask(ctx context.Context, b *buffers, path string, read bool) (err error) {
	b.answer, err = s.http.Do(ctx, remote.HTTPRequest{Method: "POST", Path: path, Body: b.request, Repeatable: read}, b.answer[:0])
	return err
}

// read has /get-online-features answer b.request.
func (s *Store) read(ctx context.Context, b *buffers) error {
	if err := s.ask(ctx, b, "/get-online-features", true); err != nil {
		return err
	}
	b.cells = cells{}
	return b.parsed.parse(b.answer)
}
