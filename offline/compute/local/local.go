// Package local is Feast's local engine: it reads in this process, through the offline store, while other goroutines
// convert and store what was read. The root package imports it, so that it is always there, as type "local".
package local

import (
	"context"
	"errors"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline/compute"
)

func init() {
	compute.Register(compute.Driver{
		Names: []string{"local", "feast.infra.compute_engines.local.compute.LocalComputeEngine"},
		Open: func(_ context.Context, section config.Section, _ compute.Env) (compute.Engine, error) {
			var cfg struct {
				Backend string `yaml:"backend,nullable"` // of Python's data frames: nothing here
			}
			if err := section.Decode(&cfg); err != nil {
				return nil, err
			}
			if cfg.Backend != "" && cfg.Backend != "pandas" && cfg.Backend != "polars" {
				return nil, feasterr.Invalid("batch_engine.backend: %q is none of pandas, polars", cfg.Backend)
			}
			return New(), nil
		},
	})
}

// Engine is the local engine.
type Engine struct{}

// New returns an engine. It holds nothing.
func New() *Engine { return &Engine{} }

// Close implements [compute.Engine].
func (*Engine) Close() error { return nil }

// Run implements [compute.Engine]. Memory is bounded by what the store's reader holds and one batch for each writer.
func (*Engine) Run(outer context.Context, t *compute.Task) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	job, err := t.Store.Latest(ctx, t.Plan)
	if err != nil {
		return feasterr.InStore(t.Store.Info().Name, "read", err)
	}
	defer job.Close() //nolint:errcheck // has nothing to say after what was read
	r, err := job.Read(ctx)
	if err != nil {
		return feasterr.InStore(t.Store.Info().Name, "read", err)
	}
	defer r.Release()

	pieces := make(chan arrow.RecordBatch)
	var writers sync.WaitGroup
	for range t.Writers {
		writers.Go(func() {
			for piece := range pieces {
				if ctx.Err() == nil {
					if err := t.Rows(ctx, piece); err != nil {
						cancel(err) // the first one counts
					}
				}
				piece.Release()
			}
		})
	}
	for ctx.Err() == nil && r.Next() {
		rows := r.RecordBatch()
		for from := int64(0); from < rows.NumRows(); from += int64(t.BatchRows) {
			piece := rows.NewSlice(from, min(from+int64(t.BatchRows), rows.NumRows()))
			select {
			case pieces <- piece:
			case <-ctx.Done():
				piece.Release()
			}
		}
	}
	close(pieces)
	writers.Wait()
	if err := context.Cause(ctx); err != nil {
		if outer.Err() != nil && errors.Is(err, context.Cause(outer)) {
			return outer.Err()
		}
		return err
	}
	return feasterr.InStore(t.Store.Info().Name, "read", r.Err())
}
