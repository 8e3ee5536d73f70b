// Package redis is the driver of Feast's Redis online store, "redis" in feature_store.yaml. Import it for its side
// effect, or pass a store made by [New] to feast.WithOnlineStore. It serves single servers.
//
// One hash holds what a project stores for an entity, for all feature views with the same join keys. Its key is the
// serialized entity key followed by the name of the project. Its fields are the features, each under a hash of 32 bits
// of view and name, and the event time of each view.
//
// A write leaves a row out when the stored one is newer or of the same time, which is Feast's rule for Redis; other
// stores let the same time pass. As in Feast, the times are read before rows are written: of programs that write the
// same row at the same time, any one may win.
//
// The client is go-redis. Importing this package silences what go-redis prints on standard error about failed dials, which
// errors tell anyway; its SetLogger brings it back.
package redis

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/online"
)

// silent drops what go-redis logs.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func init() {
	redis.SetLogger(silent{})
	online.Register(online.Driver{
		Names: []string{"redis", "feast.infra.online_stores.redis.RedisOnlineStore"},
		Open: func(_ context.Context, cfg config.Section, env online.Env) (online.Store, error) {
			return open(cfg, env)
		},
	})
}

// settings are the keys of the online_store section.
type settings struct {
	RedisType           string `yaml:"redis_type" enum:"redis|redis_cluster|redis_sentinel"`
	Client              string `yaml:"client" enum:"redis|glide"` // which library Feast's Python uses
	SentinelMaster      string `yaml:"sentinel_master"`
	ConnectionString    string `yaml:"connection_string"`
	KeyTTLSeconds       int64  `yaml:"key_ttl_seconds,nullable" min:"0"`
	FullScanForDeletion bool   `yaml:"full_scan_for_deletion"`
	SkipDedup           bool   `yaml:"skip_dedup"`
}

func open(cfg config.Section, env online.Env) (online.Store, error) {
	set := settings{
		RedisType:           "redis",
		ConnectionString:    "localhost:6379",
		FullScanForDeletion: true,
	}
	if err := cfg.Decode(&set); err != nil {
		return nil, err
	}
	if set.RedisType != "redis" {
		return nil, feasterr.Unsupported("%s.redis_type: %s is not supported; redis, a single server, is", cfg.Key(), set.RedisType)
	}
	opt, err := clientOptions(set.ConnectionString, env.RepoDir)
	if err != nil {
		return nil, cfg.Invalid("connection_string", "%v", err)
	}
	client := redis.NewClient(opt)
	s, err := New(client, Options{
		KeyVersion:  env.KeyVersion,
		KeyTTL:      time.Duration(min(set.KeyTTLSeconds, math.MaxInt64/int64(time.Second))) * time.Second,
		SkipDedup:   set.SkipDedup,
		KeepDropped: !set.FullScanForDeletion,
	})
	if err != nil {
		_ = client.Close() // it has no connection yet
		return nil, err
	}
	s.owned = true
	return s, nil
}

// Options say how a [Store] writes and deletes. The zero value is Feast's default.
type Options struct {
	// KeyVersion is the serialization of the entity keys that Update and Teardown look for, 2 or 3; 0 is 3.
	KeyVersion int
	// KeyTTL is how long an entity, with the rows of all its views, lives after the last write that stored something
	// for it. Whole seconds; 0 is for ever.
	KeyTTL time.Duration
	// SkipDedup stores every row without looking at the times of the stored ones, in one round trip instead of two.
	SkipDedup bool
	// KeepDropped leaves the rows of views that Update drops, which saves it a scan of the whole database.
	KeepDropped bool
}

// Store keeps rows in a Redis server.
type Store struct {
	client redis.UniversalClient
	owned  bool
	opts   Options

	mu      sync.Mutex
	closed  bool
	calls   sync.WaitGroup // none begins after closed
	running sync.WaitGroup // what calls that were cancelled left behind
}

// New returns a store that uses the caller's client, which has to outlive it: Close does not close the client, and
// waits for requests that were given up when their contexts ended until the client's own timeouts end them.
// The client may be one with failover, but not one of a cluster or a ring.
func New(client redis.UniversalClient, opts Options) (*Store, error) {
	switch client.(type) {
	case *redis.ClusterClient, *redis.Ring:
		return nil, feasterr.Unsupported("redis: a %T is not supported; a *redis.Client is", client)
	}
	if opts.KeyTTL < 0 || opts.KeyTTL%time.Second != 0 {
		return nil, feasterr.Invalid("redis: KeyTTL must be whole seconds, is %v", opts.KeyTTL)
	}
	switch opts.KeyVersion {
	case 0:
		opts.KeyVersion = 3
	case 2, 3:
	default:
		return nil, feasterr.Invalid("redis: KeyVersion must be 2 or 3, is %d", opts.KeyVersion)
	}
	return &Store{client: client, opts: opts}, nil
}

// Info implements [online.Store].
func (s *Store) Info() online.Info {
	return online.Info{Name: "redis", Versioned: true, RowTimes: true}
}

// Ping implements [online.Pinger].
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	pipe := s.client.Pipeline()
	pipe.Ping(ctx)
	return s.exec(ctx, pipe)
}

// Close implements [online.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	var err error
	if first && s.owned {
		err = s.client.Close() // ends the requests that were given up
	}
	s.running.Wait()
	return err
}

// enter begins a call. Close waits for it to leave.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return feasterr.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

// exec sends the commands of a pipeline and waits for the replies. Where it returns nil, a command has its reply or an
// error for which wrongType holds.
//
// go-redis does not look at cancellation while it waits for the server. So another goroutine waits, and when ctx ends
// first it is left to itself, together with the commands: they must not be touched after an error.
func (s *Store) exec(ctx context.Context, pipe redis.Pipeliner) error {
	cmds := pipe.Cmds()
	replied := make(chan error, 1)
	s.running.Go(func() {
		_, err := pipe.Exec(ctx)
		replied <- err
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-replied:
		if err != nil && !wrongType(err) {
			return serverError(ctx, err)
		}
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !wrongType(err) {
			return serverError(ctx, err)
		}
	}
	return nil
}
