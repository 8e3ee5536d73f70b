// Package file is Feast's file offline store, in Go: it reads Parquet files, joins them with entity rows, and appends to
// them. Import it for its side effect to use type "file" (or "dask", Feast's name of today) in feature_store.yaml, or pass
// [New] to feast.WithOfflineStore. It also registers the codec with which the front reads and writes Parquet.
//
// A source is a file, a directory with all Parquet files in it and below, or a pattern (* ? [] and ** for any number of
// directories). Directories named column=value are columns of text. Names that begin with a dot or an underscore are no
// data. Links are followed. The files of a source have one schema, but for the units of times and the widths of integers that
// are join keys. Source order, which decides ties, is path, bytewise, then row.
//
// The join holds the entity rows and the result in memory and streams the source, in any order, on all processors: see
// join.go. Row groups and pages that statistics rule out are not read. Compression LZ4_RAW is refused: it cannot be read
// reliably yet.
//
// Files are written beside their place, as .NAME.*.tmp, and get their name when they are complete. What a process that was
// killed left goes when the file is next written, once it is a day old. Appenders lock .NAME.lock beside a file, .append.lock in
// a directory; see [Store.Append].
package file

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/calls"
	"github.com/feastgo/feast/offline"
)

const name = "file"

func init() {
	offline.Register(offline.Driver{
		Names: []string{name, "dask", "feast.infra.offline_stores.dask.DaskOfflineStore"},
		Open: func(_ context.Context, section config.Section, env offline.Env) (offline.Store, error) {
			if err := section.Decode(&struct{}{}); err != nil { // there are no keys
				return nil, err
			}
			return New(env.RepoDir), nil
		},
	})
	offline.RegisterParquet(offline.ParquetCodec{Open: openCodec, Check: checkPath, Create: create, Schema: schemaOf})
}

// Store is an offline store of Parquet files.
type Store struct {
	dir string

	calls calls.Calls
}

// New returns a store that resolves relative paths against dir. It touches no file yet.
func New(dir string) *Store {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return &Store{dir: dir}
}

// Info implements [offline.Store].
func (s *Store) Info() offline.Info { return offline.Info{Name: name} }

// Close implements [offline.Store].
func (s *Store) Close() error {
	s.calls.Close()
	return nil
}

// begin notes a call, until end is called.
func (s *Store) begin(ctx context.Context) (end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.calls.Begin() {
		return nil, feasterr.ErrClosed
	}
	return sync.OnceFunc(s.calls.End), nil
}

// Describe implements [offline.Store]. Text is a LargeString where the Arrow schema of a file says so.
func (s *Store) Describe(ctx context.Context, src *offline.Source) (*arrow.Schema, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	t, err := openTable(ctx, s.dir, src)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return t.schema(func(c *column) arrow.DataType {
		if c.leaf.large && c.own.ID() == arrow.STRING {
			return arrow.BinaryTypes.LargeString
		}
		return c.own
	})
}

// schema describes the columns of the first file, which all others have to have too.
func (t *table) schema(typ func(*column) arrow.DataType) (*arrow.Schema, error) {
	columns, err := t.columns(t.files[0].names())
	if err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.field(c.name, typ(c))
	}
	return arrow.NewSchema(fields, nil), nil
}

// job is a query that has not run.
type job struct {
	store *Store
	read  func(ctx context.Context) (array.RecordReader, error)
	close func()
}

// Read implements [offline.Job].
func (j *job) Read(ctx context.Context) (array.RecordReader, error) {
	end, err := j.store.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return j.read(ctx)
}

// Close implements [offline.Job].
func (j *job) Close() error {
	if j.close != nil {
		j.close()
	}
	return nil
}

// Historical implements [offline.Store].
func (s *Store) Historical(ctx context.Context, p *offline.JoinPlan, e offline.EntityRows) (offline.Job, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if e.SQL != "" || e.Rows == nil {
		return nil, feasterr.Unsupported("offline store %q takes entity rows, not a query: it has no SQL", name)
	}
	h := &historical{store: s, plan: p, source: e}
	return &job{store: s, read: h.read, close: h.close}, nil
}

// Latest implements [offline.Store].
func (s *Store) Latest(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.scan(ctx, p, readLatest)
}

// All implements [offline.Store].
func (s *Store) All(ctx context.Context, p *offline.ScanPlan) (offline.Job, error) {
	return s.scan(ctx, p, readAll)
}

func (s *Store) scan(ctx context.Context, p *offline.ScanPlan, read func(context.Context, *scan) (array.RecordReader, error)) (offline.Job, error) {
	end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if p.Shard < 0 || p.Shard >= max(p.Shards, 1) {
		return nil, feasterr.Invalid("shard %d of %d", p.Shard, p.Shards)
	}
	return &job{store: s, read: func(ctx context.Context) (array.RecordReader, error) {
		sc, err := s.openScan(ctx, p)
		if err != nil {
			return nil, err
		}
		r, err := read(ctx, sc)
		if err != nil {
			sc.table.close()
		}
		return r, err
	}}, nil
}
