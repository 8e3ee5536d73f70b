package remote_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/online"
	"github.com/feastgo/feast/online/memory"
	"github.com/feastgo/feast/online/onlinetest"
	"github.com/feastgo/feast/online/remote"
	registrymemory "github.com/feastgo/feast/registry/memory"
	client "github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is the online store of a server. It knows what the wire does not carry: whether to overwrite, and how many rows were
// left out.
type kept struct {
	*memory.Store
	mu        sync.Mutex // a server may be at a write whose caller is gone
	overwrite bool
	older     int
}

func (k *kept) Write(ctx context.Context, b *online.WriteBatch) (online.WriteResult, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b.Overwrite = k.overwrite
	res, err := k.Store.Write(ctx, b)
	k.older += res.Older
	return res, err
}

// begin begins a write, and left tells how many rows it left out.
func (k *kept) begin(overwrite bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.overwrite, k.older = overwrite, 0
}

func (k *kept) left() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.older
}

// served is the store under test: a client of this library's feature server, whose registry has a view for each table, as
// somebody who applies would see to.
type served struct {
	*remote.Store
	t        testing.TB
	fs       *feast.FeatureStore
	kept     *kept
	features *server.FeatureServer
	http     *httptest.Server

	mu    sync.Mutex
	views map[string][]types.Field // all features that anybody wrote or asked for, by view
}

func newServed(t testing.TB, project string) *served {
	s := &served{t: t, kept: &kept{Store: memory.New()}, views: map[string][]types.Field{}}
	var err error
	s.fs, err = feast.New(t.Context(), config.Default(project), feast.WithRegistry(registrymemory.New()), feast.WithOnlineStore(s.kept))
	if err != nil {
		t.Fatal(err)
	}
	if s.features, err = server.Features(s.fs, server.Options{}); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(s.features)
	if s.Store, err = remote.New(client.HTTPOptions{URL: s.http.URL, Retries: 3}); err != nil {
		t.Fatal(err)
	}
	return s
}

// apply makes a view of a table. The types of join keys are those of the values.
func (s *served) apply(t *online.Table, features []types.Field) error {
	view := &feast.FeatureView{Name: t.View, Online: true}
	for _, f := range features {
		view.Schema = append(view.Schema, feast.Field{Name: f.Name, Type: f.Type})
	}
	var objects []feast.Object
	if !slices.Equal(t.JoinKeys, []string{online.DummyJoinKey}) {
		for i, e := range t.Entities {
			objects = append(objects, &feast.Entity{Name: e, JoinKey: t.JoinKeys[i]})
			view.Entities = append(view.Entities, e)
		}
	}
	_, err := s.fs.Apply(context.WithoutCancel(s.t.Context()), append(objects, view)...)
	return err
}

// note adds the features of a table to its view. The caller holds mu.
func (s *served) note(t *online.Table) (all []types.Field, err error) {
	all = s.views[t.View]
	for _, f := range t.Features {
		if !slices.Contains(all, f) {
			all = append(slices.DeleteFunc(slices.Clone(all), func(have types.Field) bool { return have.Name == f.Name }), f)
		}
	}
	if known, ok := s.views[t.View]; ok && slices.Equal(known, all) {
		return all, nil
	}
	s.views[t.View] = all
	return all, s.apply(t, all)
}

// Write writes to a view that has the features of the batch and no more at that moment, since rows are written as a whole.
func (s *served) Write(ctx context.Context, b *online.WriteBatch) (res online.WriteResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.note(b.Table)
	if err != nil {
		return res, err
	}
	if len(b.Table.Features) < len(all) {
		if err := s.apply(b.Table, b.Table.Features); err != nil {
			return res, err
		}
		defer func() {
			if err := s.apply(b.Table, all); err != nil {
				s.t.Error(err)
			}
		}()
	}
	s.kept.begin(b.Overwrite)
	res, err = s.Store.Write(ctx, b)
	if err == nil {
		res.Older = s.kept.left()
		res.Written -= res.Older
	}
	return res, err
}

func (s *served) Prepare(p *online.ReadPlan) (online.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range p.Tables() {
		if _, err := s.note(t); err != nil {
			return nil, err
		}
	}
	return s.Store.Prepare(p)
}

func (s *served) Update(ctx context.Context, keep, drop []*online.Table) error {
	if err := s.Store.Update(ctx, keep, drop); err != nil {
		return err
	}
	return s.kept.Update(ctx, keep, drop)
}

func (s *served) Teardown(ctx context.Context, tables []*online.Table) error {
	if err := s.Store.Teardown(ctx, tables); err != nil {
		return err
	}
	return s.kept.Teardown(ctx, tables)
}

func (s *served) Close() error {
	err := s.Store.Close()
	s.http.Close()
	if err := errors.Join(s.features.Drain(context.Background()), s.features.Close()); err != nil {
		s.t.Error(err)
	}
	if err := s.fs.Close(); err != nil {
		s.t.Error(err)
	}
	return err
}

func TestConformance(t *testing.T) {
	onlinetest.Run(t, onlinetest.Harness{
		NoDelete: true, JSON: true, Resolution: time.Microsecond,
		Open: func(t testing.TB, project string) online.Store { return newServed(t, project) },
	})
}
