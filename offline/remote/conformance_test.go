package remote_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"go.uber.org/goleak"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/offline/file"
	"github.com/feastgo/feast/offline/offlinetest"
	offlineremote "github.com/feastgo/feast/offline/remote"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/registry/memory"
	"github.com/feastgo/feast/remote"
	"github.com/feastgo/feast/remote/server"
	"github.com/feastgo/feast/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const project = "golden"

// served is a store behind a server, both of this library, over Parquet files. What plans speak of is registered before
// the server is asked, since it goes by names.
type served struct {
	offline.Store // the client
	t             testing.TB
	fs            *feast.FeatureStore
	registry      *memory.Backend
	stop          func()
}

var names atomic.Int64

// serve starts a server over a registry in memory.
func serve(t testing.TB, o server.Options) (fs *feast.FeatureStore, backend *memory.Backend, address string, stop func()) {
	t.Helper()
	backend = memory.New()
	fs, err := feast.New(t.Context(), config.Default(project), feast.WithRegistry(backend), feast.WithOfflineStore(file.New(".")))
	if err != nil {
		t.Fatal(err)
	}
	svc, err := server.Offline(fs, o)
	if err != nil {
		t.Fatal(err)
	}
	g := svc.NewServer()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	return fs, backend, l.Addr().String(), func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	}
}

func open(t testing.TB) offline.Store {
	t.Helper()
	s := &served{t: t}
	var address string
	s.fs, s.registry, address, s.stop = serve(t, server.Options{})
	conn, err := remote.DialFlight(remote.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	s.Store = offlineremote.New(conn, project, 0)
	t.Cleanup(s.stop)
	return s
}

// put registers objects.
func (s *served) put(objects ...registry.Object) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	if err := s.registry.Put(ctx, project, objects...); err != nil {
		s.t.Fatal(err)
	}
	if err := s.fs.Refresh(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// source registers a source under a name of its own.
func (s *served) source(src *offline.Source) *registry.DataSource {
	d := &registry.DataSource{Name: fmt.Sprint("source", names.Add(1)), Options: registry.FileOptions{Path: src.Path}, TimestampField: "e"}
	s.put(d)
	return d
}

// Historical implements [offline.Store].
func (s *served) Historical(ctx context.Context, p *offline.JoinPlan, e offline.EntityRows) (offline.Job, error) {
	named := *p
	named.Views = nil
	for i, v := range p.Views {
		d := s.source(v.Source)
		d.FieldMapping = map[string]string{}
		logical := func(from, to string) string {
			if from != to {
				d.FieldMapping[from] = to
			}
			return to
		}
		rv := &registry.FeatureView{Name: fmt.Sprintf("%s_%d_%d", v.Name, names.Add(1), i), TTL: v.TTL, Source: d}
		keyMap := map[string]string{}
		for _, k := range v.Keys {
			entity := &registry.Entity{Name: fmt.Sprint("entity", names.Add(1)), JoinKey: k.Source}
			s.put(entity)
			rv.Entities = append(rv.Entities, entity.Name)
			rv.EntityColumns = append(rv.EntityColumns, registry.Field{Name: k.Source, Type: types.String})
			if k.Source != k.Entity {
				keyMap[k.Source] = k.Entity
			}
		}
		name := rv.Name
		if len(keyMap) > 0 {
			name += "_alias"
			v.Alias = name
		}
		v.Features = append([]offline.Column(nil), v.Features...)
		for j, f := range v.Features {
			rv.Schema = append(rv.Schema, registry.Field{Name: logical(f.Source, f.Name), Type: types.String})
			v.Features[j].Name = name + "__" + f.Name
		}
		d.TimestampField, d.CreatedTimestampColumn = v.Event, v.Created
		for name := range map[string]bool{v.Event: true, v.Created: true} {
			if to := d.FieldMapping[name]; to != "" && name == v.Event {
				d.TimestampField = to
			} else if to != "" {
				d.CreatedTimestampColumn = to
			}
		}
		s.put(d, rv)
		if v.Alias != "" {
			s.put(&registry.FeatureService{Name: fmt.Sprint("service", names.Add(1)), Features: []registry.FeatureViewProjection{{
				Name: rv.Name, Alias: v.Alias, JoinKeyMap: keyMap, Features: rv.Schema,
			}}})
		}
		v.Name, v.View = name, rv.Name
		named.Views = append(named.Views, v)
	}
	named.FullNames = true
	return s.Store.Historical(ctx, &named, e)
}

func (s *served) scan(p *offline.ScanPlan) *offline.ScanPlan {
	named, src := *p, *p.Source
	src.Name = s.source(p.Source).Name
	named.Source = &src
	return &named
}

// Latest implements [offline.Store].
func (s *served) Latest(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.Store.Latest(ctx, s.scan(p))
}

// All implements [offline.Store].
func (s *served) All(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.Store.All(ctx, s.scan(p))
}

// Append implements [offline.Store].
func (s *served) Append(ctx context.Context, dst *offline.Source, rows array.RecordReader) (int64, error) {
	d := s.source(dst)
	v := &registry.FeatureView{Name: fmt.Sprint("view", names.Add(1)), Source: d}
	s.put(v)
	named := *dst
	named.Name, named.View = d.Name, v.Name
	return s.Store.Append(ctx, &named, rows)
}

// Describe implements [offline.Store].
func (s *served) Describe(ctx context.Context, src *offline.Source) (*arrow.Schema, error) {
	r, err := registry.Encode(project, s.source(src))
	if err != nil {
		return nil, err
	}
	named := *src
	named.Definition = r.Proto
	return s.Store.Describe(ctx, &named)
}

func TestConformance(t *testing.T) {
	offlinetest.Run(t, offlinetest.Harness{
		Open: open,
		Source: func(t testing.TB, _ offline.Store, rows ...arrow.RecordBatch) *offline.Source {
			return files(t, rows...)
		},
		NoFilterByCreated: true,
	})
}

// files writes rows to a new file, several batches to several files of a directory.
func files(t testing.TB, rows ...arrow.RecordBatch) *offline.Source {
	t.Helper()
	codec, err := offline.Parquet()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := ""
	for i, b := range rows {
		path = filepath.Join(dir, fmt.Sprint("part", i, ".parquet"))
		r, err := array.NewRecordReader(b.Schema(), []arrow.RecordBatch{b})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := codec.Create(t.Context(), path, r); err != nil {
			t.Fatal(err)
		}
		r.Release()
	}
	if len(rows) > 1 {
		path = dir
	}
	return &offline.Source{Name: "source", Kind: "FileSource", Path: path}
}
