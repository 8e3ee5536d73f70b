// Package feast reads and serves features from a Feast feature store, in process: from the registries, online stores and
// files that Feast (Python, 0.67) writes, without a server. It defines feature stores too, see [FeatureStore.Apply].
//
//	import (
//		"github.com/feastgo/feast"
//		_ "github.com/feastgo/feast/drivers/embedded" // SQLite, Parquet files and file registry
//	)
//
//	fs, err := feast.Open(ctx, "feature_repo/")
//	defer fs.Close()
//	resp, err := fs.GetOnlineFeatures(ctx, feast.OnlineRequest{
//		FeatureService: "driver_activity",
//		Entities:       feast.Columns{"driver_id": []int64{1001, 1002}},
//	})
//	rates, err := resp.Float32s("conv_rate")
//
// Stores and registries are linked by blank imports, one package each, or all with drivers/all; feature_store.yaml
// chooses among them. On hot paths resolve a query once with [FeatureStore.PrepareOnline] and reuse a [Batch] and an
// [OnlineResponse].
//
// A [FeatureStore] and what it hands out as immutable ([Prepared], snapshots) are safe for concurrent use; responses and
// batches are not.
package feast

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/compute"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/permissions/auth"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/telemetry"
)

// FeatureStore is an open feature store. Make one per program with [Open] or [New] and close it at the end.
type FeatureStore struct {
	cfg      *config.RepoConfig
	opts     options
	backend  registry.Backend // of registry, for writing
	registry *registry.Registry
	online   room[online.Store]
	offline  room[offline.Store]
	engine   room[compute.Engine]
	plans    plans
	writes   writes
	runs     runs
	vectors  precomputations
	tokens   *auth.TokenSource // of the auth section, nil when it is not used
	sketch   sketch
	closed   atomic.Bool
	closing  sync.Once
	closeErr error
}

// Option changes how [Open] and [New] set a feature store up.
type Option func(*options)

type options struct {
	backend      registry.Backend
	onlineStore  online.Store
	offlineStore offline.Store
	token        config.TokenSource
	hooks        telemetry.Hooks
	logger       *slog.Logger
	now          func() time.Time
	readOnly     bool
	eager        []Room
	eagerAll     bool
	functions    map[string]*plan.Function // of on-demand views
	errs         []error                   // of options
}

// Room is a part of a feature store that opens on first use.
type Room string

// The rooms.
const (
	RoomRegistry Room = "registry"
	RoomOnline   Room = "online store"
	RoomOffline  Room = "offline store"
)

// WithOnlineStore uses s instead of opening what feature_store.yaml describes. The feature store closes it, also when it
// cannot be opened.
func WithOnlineStore(s online.Store) Option {
	return func(o *options) { o.given("WithOnlineStore", s); o.onlineStore = s }
}

// WithOfflineStore uses s instead of opening what feature_store.yaml describes. The feature store closes it, also when it
// cannot be opened.
func WithOfflineStore(s offline.Store) Option {
	return func(o *options) { o.given("WithOfflineStore", s); o.offlineStore = s }
}

// WithRegistry uses b instead of opening what feature_store.yaml describes. The feature store closes it.
func WithRegistry(b registry.Backend) Option {
	return func(o *options) { o.given("WithRegistry", b); o.backend = b }
}

// WithTokenSource has t give the tokens that Feast's servers are called with, instead of what the auth section of
// feature_store.yaml describes.
func WithTokenSource(t config.TokenSource) Option {
	return func(o *options) { o.given("WithTokenSource", t); o.token = t }
}

// WithHooks calls the functions of h at the events they describe.
func WithHooks(h telemetry.Hooks) Option { return func(o *options) { o.hooks = h } }

// WithLogger logs what nobody would see otherwise: warnings of the configuration, and a registry that cannot be
// refreshed. The default logs nothing.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.given("WithLogger", l); o.logger = l }
}

// WithClock replaces time.Now where a ttl is looked at, where applied objects are stamped, and where the first incremental
// materialization of a view begins.
func WithClock(now func() time.Time) Option {
	return func(o *options) { o.given("WithClock", now); o.now = now }
}

// ReadOnly forbids every write through this feature store, to the registry and to the stores.
func ReadOnly() Option { return func(o *options) { o.readOnly = true } }

// Eager opens rooms while the feature store is opened, those that [FeatureStore.Check] opens when none is named, so that
// what is wrong with them shows there and not at the first request.
func Eager(rooms ...Room) Option {
	return func(o *options) {
		o.eager = append(o.eager, rooms...)
		o.eagerAll = o.eagerAll || len(rooms) == 0
	}
}

// given notes that an option was given a nil, also one within an interface: falling back silently would open something else.
func (o *options) given(option string, v any) {
	if isNil(v) {
		o.errs = append(o.errs, feasterr.Invalid("feast.%s is given nil: leave the option out", option))
	}
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

// Open opens a feature repository: a directory with a feature_store.yaml, or the file itself. Environment variables in
// the file are substituted as Feast does. Only the registry's driver is resolved; it is read, and the online store
// opened, on first use: see [Eager], [FeatureStore.Warm] and [FeatureStore.Check]. ctx bounds Open alone.
func Open(ctx context.Context, path string, opts ...Option) (*FeatureStore, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg, err := config.Load(path, os.LookupEnv) //nolint:forbidigo // as the documentation of Open says
	if err != nil {
		return nil, err
	}
	return New(ctx, cfg, opts...)
}

// New is [Open] with a configuration at hand: without a file, in tests, in operators. cfg must not be changed afterwards.
func New(ctx context.Context, cfg *config.RepoConfig, opts ...Option) (*FeatureStore, error) {
	fs := &FeatureStore{cfg: cfg, opts: options{now: time.Now, logger: slog.New(slog.DiscardHandler)}}
	for _, o := range opts {
		if o != nil {
			o(&fs.opts)
		}
	}
	if cfg == nil {
		fs.opts.errs = append(fs.opts.errs, feasterr.Invalid("feast.New needs a configuration, and got nil: config.Default makes one"))
	}
	if s := fs.opts.onlineStore; !isNil(s) {
		fs.online.set(s)
	}
	if s := fs.opts.offlineStore; !isNil(s) {
		fs.offline.set(s)
	}
	if err := errors.Join(fs.opts.errs...); err != nil {
		if !isNil(fs.opts.backend) {
			err = errors.Join(err, fs.opts.backend.Close())
		}
		return nil, errors.Join(err, fs.closeStores())
	}
	for _, w := range cfg.Warnings {
		fs.opts.logger.WarnContext(ctx, "feature store configuration", "file", cfg.File, "line", w.Line, "key", w.Key, "problem", w.Message)
	}
	if t := auth.Tokens(cfg.Auth, fs.authEnv()); t != nil && fs.opts.token == nil {
		fs.opts.token, fs.tokens = t, t
	}
	backend := fs.opts.backend
	if backend == nil {
		var err error
		if backend, err = registry.Open(ctx, cfg, registry.Env{Token: fs.opts.token}); err != nil {
			return nil, errors.Join(err, fs.unlinkedOnline(), fs.closeStores())
		}
	}
	fs.backend = backend
	fs.registry = registry.New(backend, cfg.Project, registry.Options{
		CacheTTL:  cfg.Registry.CacheTTL,
		CacheMode: cfg.Registry.CacheMode,
		OnRefresh: fs.refreshed,
	})
	eager := fs.opts.eager
	if fs.opts.eagerAll {
		eager = append(fs.rooms(ctx), eager...)
	}
	for _, r := range eager {
		if err := fs.open(ctx, r); err != nil {
			return nil, errors.Join(err, fs.Close())
		}
	}
	return fs, nil
}

// authEnv is what types of the auth section need.
func (fs *FeatureStore) authEnv() auth.Env {
	return auth.Env{RepoDir: fs.cfg.RepoPath, Getenv: os.Getenv, Now: fs.opts.now, Logger: fs.opts.logger} //nolint:forbidigo // where Feast looks for tokens
}

// refreshed tells hooks and log of an attempt to load the registry.
func (fs *FeatureStore) refreshed(e registry.RefreshEvent) {
	if e.Err != nil {
		fs.opts.logger.Warn("the registry could not be refreshed, the previous state serves", "error", e.Err)
	}
	if fs.opts.hooks.RegistryRefresh != nil {
		defer func() { // the goroutine may be the registry's
			if p := recover(); p != nil {
				_ = fs.panicked(context.Background(), "the hook RegistryRefresh", p)
			}
		}()
		fs.opts.hooks.RegistryRefresh(telemetry.RegistryRefresh{Took: e.Duration, Err: e.Err})
	}
}

// unlinkedOnline reports an online store type that is not linked in, so that all missing imports are named together.
func (fs *FeatureStore) unlinkedOnline() error {
	if fs.opts.onlineStore != nil || fs.cfg.OnlineStore.IsNull() {
		return nil
	}
	return online.Linked(fs.cfg.OnlineStore.Type())
}

// usable reports why no call can be made.
func (fs *FeatureStore) usable(ctx context.Context) error {
	if fs.closed.Load() {
		return feasterr.ErrClosed
	}
	return ctx.Err()
}

// resolve looks something up in the registry's current state, and once more in a fresh one when a name is not there. It
// returns the state that it looked into last.
func resolve[T any](ctx context.Context, fs *FeatureStore, find func(*registry.Snapshot) (T, error)) (T, *registry.Snapshot, error) {
	snap, err := fs.registry.Snapshot(ctx)
	if err != nil {
		var zero T
		return zero, nil, err
	}
	v, err := find(snap)
	for errors.Is(err, feasterr.ErrNotFound) {
		found, lerr := fs.registry.Lookup(ctx, snap, err)
		if lerr != nil {
			return v, snap, lerr
		}
		if found == nil {
			break
		}
		v, err = find(found)
		snap = found
	}
	if errors.Is(err, feasterr.ErrNotFound) {
		if fresh, ferr := fs.registry.RefreshOnMiss(ctx); ferr == nil && fresh != snap {
			v, err = find(fresh)
			snap = fresh
		}
	}
	return v, snap, err
}

// Writable reports why nothing can be written, for servers that write to the stores of fs: it is closed, or was opened with
// [ReadOnly].
func (fs *FeatureStore) Writable(ctx context.Context) error { return fs.writable(ctx) }

// writable reports why nothing can be written.
func (fs *FeatureStore) writable(ctx context.Context) error {
	if err := fs.usable(ctx); err != nil {
		return err
	}
	if fs.opts.readOnly {
		return feasterr.Unsupported("the feature store was opened with feast.ReadOnly(), which forbids writing")
	}
	return nil
}

// onlineStore opens the online store on first use.
func (fs *FeatureStore) onlineStore(ctx context.Context) (online.Store, error) {
	return fs.online.get(ctx, func() (online.Store, error) {
		cfg := fs.cfg.OnlineStore
		if cfg.IsNull() {
			return nil, feasterr.Unsupported("the repository has no online store: feature_store.yaml says online_store: null")
		}
		return online.Open(ctx, cfg, online.Env{
			Project: fs.cfg.Project, RepoDir: fs.cfg.RepoPath, KeyVersion: fs.cfg.EntityKeyVersion, Now: fs.opts.now,
			Token: fs.opts.token,
		})
	})
}

// open opens a room and sees that it can be reached.
func (fs *FeatureStore) open(ctx context.Context, r Room) error {
	switch r {
	case RoomRegistry:
		_, err := fs.registry.Snapshot(ctx)
		return err
	case RoomOnline:
		store, err := fs.onlineStore(ctx)
		if err != nil {
			return err
		}
		if p, ok := online.As[online.Pinger](store); ok {
			return feasterr.InStore(store.Info().Name, "ping", p.Ping(ctx))
		}
		return nil
	case RoomOffline:
		_, err := fs.offlineStore(ctx)
		return err
	}
	return feasterr.Invalid("unknown room %q", r)
}

// rooms are those that Check opens.
func (fs *FeatureStore) rooms(ctx context.Context) []Room {
	rooms := []Room{RoomRegistry, RoomOnline}
	if fs.forwarder(ctx) != nil {
		rooms = rooms[1:]
	}
	cfg := fs.cfg.OfflineStore
	if fs.opts.offlineStore != nil || !cfg.IsNull() && offline.Linked(cfg.Type()) == nil {
		rooms = append(rooms, RoomOffline)
	}
	return rooms
}

// Check opens the registry, the online store and, when it is linked in, the offline store, and reports all problems joined.
// It writes nothing. Every feature_store.yaml names or defaults an offline store, which programs that only serve do not
// link: that is no problem here, and can be made one by [Eager] with [RoomOffline]. Where requests are answered by a feature
// server the registry is left out likewise, since they do without.
func (fs *FeatureStore) Check(ctx context.Context) error {
	if err := fs.usable(ctx); err != nil {
		return err
	}
	var errs []error
	for _, r := range fs.rooms(ctx) {
		errs = append(errs, fs.open(ctx, r))
	}
	return errors.Join(errs...)
}

// Warm makes the first request as fast as the next: it opens what [FeatureStore.Check] opens and resolves every feature
// service for online reads. Services that cannot be resolved are left to the request that asks for them.
func (fs *FeatureStore) Warm(ctx context.Context) error {
	if err := fs.Check(ctx); err != nil {
		return err
	}
	snap, err := fs.snapshot(ctx)
	if err != nil || snap == nil {
		return err
	}
	for svc := range snap.FeatureServices() {
		_, _ = fs.plans.get(ctx, fs, OnlineQuery{FeatureService: svc.Name}, nil)
	}
	return ctx.Err()
}

// Refresh loads the registry now.
func (fs *FeatureStore) Refresh(ctx context.Context) error {
	if err := fs.usable(ctx); err != nil {
		return err
	}
	_, err := fs.registry.Refresh(ctx)
	return err
}

// Snapshot returns the current state of the registry, loading it when that has not happened yet.
func (fs *FeatureStore) Snapshot(ctx context.Context) (*registry.Snapshot, error) {
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	return fs.registry.Snapshot(ctx)
}

// Fresh is Snapshot with all that was written before the call, for servers, which may not decide by permissions that are
// gone. It asks whether the registry changed, which costs little with most; while that cannot be asked the last state serves.
func (fs *FeatureStore) Fresh(ctx context.Context) (*registry.Snapshot, error) {
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	return fs.registry.Fresh(ctx)
}

// View returns the view of a name, of whichever kind. Unlike a look into [FeatureStore.Snapshot], a name that is not there
// makes it look into a fresh registry before that is an error.
func (fs *FeatureStore) View(ctx context.Context, name string) (registry.View, error) {
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	v, _, err := resolve(ctx, fs, func(snap *registry.Snapshot) (registry.View, error) { return snap.View(name) })
	return v, err
}

// Config returns the configuration. It must not be changed.
func (fs *FeatureStore) Config() *config.RepoConfig { return fs.cfg }

// Backend returns where the registry is kept, for [registry.Copy] and the like, and for servers in front of it. The feature
// store closes it.
func (fs *FeatureStore) Backend() registry.Backend { return fs.backend }

// Stats is what there is to know about a feature store's state.
type Stats struct {
	Registry registry.Stats // age of the state that serves, and why it is not newer
	Plans    int            // resolved one-off queries that are kept
}

// Stats returns the current state. It does no I/O.
func (fs *FeatureStore) Stats() Stats {
	return Stats{Registry: fs.registry.Stats(), Plans: fs.plans.len()}
}

// Close ends background work, waits for it and closes the stores. It may be repeated; calls afterwards return
// [ErrClosed].
func (fs *FeatureStore) Close() error {
	fs.closed.Store(true)
	fs.closing.Do(func() { fs.closeErr = errors.Join(fs.registry.Close(), fs.closeStores()) })
	return fs.closeErr
}

func (fs *FeatureStore) closeStores() error {
	return errors.Join(
		fs.engine.close(func(e compute.Engine) error { return e.Close() }),
		fs.online.close(func(s online.Store) error { return s.Close() }),
		fs.offline.close(func(s offline.Store) error { return s.Close() }),
		fs.tokens.Close(),
	)
}
