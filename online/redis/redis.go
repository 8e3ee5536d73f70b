// Package redis is the driver of Feast's Redis online store, "redis" in feature_store.yaml. Import it for its side
// effect, or pass a store made by [New] to feast.WithOnlineStore. It serves single servers, clusters, and masters that
// sentinels watch.
//
// One hash holds what a project stores for an entity, for all feature views with the same join keys. Its key is the
// serialized entity key followed by the name of the project. Its fields are the features, each under a hash of 32 bits
// of view and name, and the event time of each view.
//
// A write leaves a row out when the stored one is newer or of the same time, which is Feast's rule for Redis; other
// stores let the same time pass. A script decides it in the write itself; Feast, and this package where the servers
// refuse scripts, read the times first, so that of programs that write the same row at the same time any one may win.
//
// Reads have connections of their own, which go-redis makes; what is more than plain replies is left to go-redis itself.
// [Options] says how to have it all go through the client.
//
// The client is go-redis. Importing this package silences what go-redis prints on standard error about failed dials, which
// errors tell anyway; its SetLogger brings it back.
package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
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

	// Keys that Feast does not have.
	ReadCommand string `yaml:"read_command" enum:"auto|hmget|hgetall"`
	DirectReads bool   `yaml:"direct_reads"`
	SharedConns int    `yaml:"shared_connections" min:"0"`
}

func open(cfg config.Section, env online.Env) (online.Store, error) {
	set := settings{
		RedisType:           "redis",
		SentinelMaster:      "mymaster",
		ConnectionString:    "localhost:6379",
		FullScanForDeletion: true,
		ReadCommand:         string(ReadAuto),
		DirectReads:         true,
	}
	if err := cfg.Decode(&set); err != nil {
		return nil, err
	}
	at, err := findServers(set.RedisType, set.SentinelMaster, set.ConnectionString, env.RepoDir)
	if err != nil {
		return nil, cfg.Invalid("connection_string", "%v", err)
	}
	client, reads := at.clients()
	s, err := New(client, Options{
		KeyVersion:  env.KeyVersion,
		KeyTTL:      time.Duration(min(set.KeyTTLSeconds, math.MaxInt64/int64(time.Second))) * time.Second,
		SkipDedup:   set.SkipDedup,
		KeepDropped: !set.FullScanForDeletion,
		Reads:       reads,
		ReadCommand: ReadCommand(set.ReadCommand),

		NoDirectReads: !set.DirectReads,
		SharedConns:   set.SharedConns,
	})
	if err != nil {
		_ = client.Close() // they have no connections yet
		if reads != nil {
			_ = reads.Close()
		}
		return nil, err
	}
	s.owned, s.at = true, at.String()
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
	// Progress, when set, is called by Update and Teardown while they look for rows to remove, on their goroutine, with
	// the number of the project's keys that they have looked at. A scan may meet a key more than once.
	Progress func(keys int)
	// Reads is a client for reads, of replicas, which may lag behind; nil stands for the client of [New]. Everything that
	// was said of that one holds for it.
	Reads redis.UniversalClient
	// ReadCommand is how the hash of an entity is read, "" is ReadAuto. A server searches a hash of few fields from the
	// beginning for each field that it is asked for, one with many in a table: which command is cheaper depends on that, on
	// how many fields are asked for and on which and how many there are. The store looks at one hash with the first reads,
	// then once in a thousand.
	ReadCommand ReadCommand
	// NoDirectReads has all reads go through the client. Otherwise they use connections that the client's options make, but
	// not the client itself: hooks of the client do not see them, and there may be as many as its pool holds besides those
	// of its pool. Clients with a Limiter, and those with Sentinel, are always gone through.
	NoDirectReads bool
	// SharedConns is how many connections to each server are shared by reads of few entities that come at the same time, which
	// is known as automatic pipelining. 0: each read has one for itself. A read that finds none free waits for the answer to
	// those before it and is then sent together with all that wait, so that under many requests both sides do less for each.
	// It has no effect on reads through the client.
	SharedConns int
}

// Store keeps rows in Redis servers.
type Store struct {
	client redis.UniversalClient
	reads  redis.UniversalClient // may be client
	owned  bool
	at     string // what the clients connect to, for errors
	opts   Options
	direct *direct // nil: all reads go through the client

	noScripts   refusal
	writeMemory sync.Pool // of *writeMemory

	calls   calls.Calls
	running sync.WaitGroup // what calls that were cancelled left behind
}

// New returns a store that uses the caller's client, which has to outlive it: Close does not close the client, and
// waits for requests that were given up when their contexts ended until the client's own timeouts end them.
//
// It may be a client of a single server, one with failover, or one of a cluster. A cluster's client must not send reads
// to replicas, since a write may read what is stored: [Options].Reads is for that one.
func New(client redis.UniversalClient, opts Options) (*Store, error) {
	if c, ok := client.(*redis.ClusterClient); ok && c.Options().ReadOnly {
		return nil, feasterr.Invalid("redis: the client reads from replicas: pass it as Options.Reads, beside one that does not")
	}
	for _, c := range []redis.UniversalClient{client, opts.Reads} {
		if _, ok := c.(*redis.Ring); ok {
			return nil, feasterr.Unsupported("redis: a %T is not supported: keys would move unseen when it changes; a *redis.ClusterClient is", c)
		}
	}
	if opts.KeyTTL < 0 || opts.KeyTTL%time.Second != 0 {
		return nil, feasterr.Invalid("redis: KeyTTL must be whole seconds, is %v", opts.KeyTTL)
	}
	if opts.SharedConns < 0 {
		return nil, feasterr.Invalid("redis: SharedConns must not be negative, is %d", opts.SharedConns)
	}
	if err := opts.ReadCommand.check(); err != nil {
		return nil, err
	}
	switch opts.KeyVersion {
	case 0:
		opts.KeyVersion = 3
	case 2, 3:
	default:
		return nil, feasterr.Invalid("redis: KeyVersion must be 2 or 3, is %d", opts.KeyVersion)
	}
	s := &Store{client: client, reads: opts.Reads, opts: opts}
	if s.reads == nil {
		s.reads = client
	}
	switch c := client.(type) {
	case *redis.Client:
		s.at = c.Options().Addr
	case *redis.ClusterClient:
		s.at = "the cluster at " + strings.Join(c.Options().Addrs, ", ")
	}
	if !opts.NoDirectReads {
		s.direct = newDirect(s.reads, opts.SharedConns)
	}
	return s, nil
}

// Info implements [online.Store].
func (s *Store) Info() online.Info {
	return online.Info{Name: "redis", Versioned: true, RowTimes: true}
}

// Ping implements [online.Pinger]. Of a cluster it asks every master. An error says what was tried.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	err := s.ping(ctx, s.client)
	if err == nil && s.reads != s.client {
		err = s.ping(ctx, s.reads)
	}
	if err != nil && s.at != "" {
		return fmt.Errorf("%s: %w", s.at, err)
	}
	return err
}

func (s *Store) ping(ctx context.Context, client redis.UniversalClient) error {
	nodes, err := s.masters(ctx, client)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		pipe := node.Pipeline()
		pipe.Ping(ctx)
		if err := s.exec(ctx, pipe); err != nil {
			return err
		}
	}
	return nil
}

// masters returns a client for each master that a client talks to.
func (s *Store) masters(ctx context.Context, client redis.UniversalClient) ([]redis.UniversalClient, error) {
	c, ok := client.(*redis.ClusterClient)
	if !ok {
		return []redis.UniversalClient{client}, nil
	}
	var mu sync.Mutex
	var nodes []redis.UniversalClient
	err := s.await(ctx, func() error {
		return c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, node)
			return nil
		})
	})
	if err != nil {
		return nil, err // nodes may still grow
	}
	return nodes, nil
}

// Close implements [online.Store].
func (s *Store) Close() error {
	first := s.calls.Close()
	if first && s.direct != nil {
		s.direct.close()
	}
	var err error
	if first && s.owned {
		err = s.client.Close() // ends the requests that were given up
		if s.reads != s.client {
			err = errors.Join(err, s.reads.Close())
		}
	}
	s.running.Wait()
	return err
}

// enter begins a call. Close waits for it to leave.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.calls.Begin() {
		return feasterr.ErrClosed
	}
	return nil
}

func (s *Store) leave() { s.calls.End() }

// exec sends the commands of a pipeline and waits for the replies. Where it returns nil, a command has its reply or an
// error for which wrongType holds. After an error the commands must not be touched, as await says.
func (s *Store) exec(ctx context.Context, pipe redis.Pipeliner) error {
	return s.await(ctx, func() error {
		failed, err := s.attempt(ctx, pipe)
		if err == nil || !s.renew(ctx, err) || ended(ctx) != nil {
			return err
		}
		// As go-redis tries, which it has done among the servers that it knew.
		for _, cmd := range failed {
			if err := pipe.Process(ctx, cmd); err != nil {
				return err
			}
		}
		_, err = s.attempt(ctx, pipe)
		return err
	})
}

// attempt sends the commands of a pipeline and returns those without an answer, with the first error of theirs.
func (s *Store) attempt(ctx context.Context, pipe redis.Pipeliner) (failed []redis.Cmder, err error) {
	cmds := pipe.Cmds()
	if _, err = pipe.Exec(ctx); wrongType(err) {
		err = nil
	}
	for _, cmd := range cmds {
		if cmdErr := cmd.Err(); cmdErr != nil && !wrongType(cmdErr) {
			if len(failed) == 0 {
				err = cmdErr
			}
			failed = append(failed, cmd)
		}
	}
	return failed, err
}

// renew has go-redis ask a cluster anew who serves what, where an error says that a server could not be reached, and
// reports whether it does: it is about to. Else a server that has taken the place of one that is gone would be found by the
// next time that go-redis asks, after a minute. However often it is told, it asks no more than five times a second.
func (s *Store) renew(ctx context.Context, err error) bool {
	if !unreachable(err) || errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	told := false
	for _, client := range []redis.UniversalClient{s.client, s.reads} {
		if c, ok := client.(*redis.ClusterClient); ok {
			c.ReloadState(ctx)
			told = true
		}
	}
	return told
}

// await calls a function that waits for servers.
//
// go-redis does not look at cancellation while it waits. So another goroutine does the call, and when ctx ends first it is
// left to itself, together with all that the function uses.
func (s *Store) await(ctx context.Context, call func() error) error {
	replied := make(chan error, 1)
	s.running.Go(func() { replied <- call() })
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-replied:
		if err != nil {
			return serverError(ctx, err)
		}
	}
	return nil
}
