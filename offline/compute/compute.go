// Package compute is the contract between the feature store's front and the engines that run materializations: the
// [Engine] interface, the [Task] that it is given, and the table of engines.
//
// An engine brings the newest row of each key to the front, as Arrow record batches; what rows mean, how they are converted
// and stored, intervals and states are the front's.
package compute

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/drivers"
	"github.com/feastgo/feast/offline"
)

// Engine runs materializations. It is safe for concurrent use, and no goroutine outlives a call, except those that Close
// waits for.
type Engine interface {
	// Run hands the result of t.Plan, as [offline.Store.Latest] defines it, to t.Rows. It returns when all rows were taken,
	// or at the first error, of which that of Rows is returned as it is, once no call of Rows runs any more. Cancelling ctx
	// cancels also what runs elsewhere.
	Run(ctx context.Context, t *Task) error
	// Close releases what the engine holds, after running calls have ended. It may be repeated.
	Close() error
}

// Task is the materialization of a view over a window of time.
type Task struct {
	Plan *offline.ScanPlan // the window and the columns; an engine may divide it into shards
	// Store is where the source is, for engines that have no access of their own to it.
	Store offline.Store
	// Rows stores rows in the online store. It is safe for concurrent use, and the caller keeps the batch, which has the
	// columns of the plan and at most BatchRows rows. Rows of one key must not be handed over at the same time.
	Rows func(ctx context.Context, rows arrow.RecordBatch) error
	// BatchRows is how many rows a batch of Rows may have, at least 1.
	BatchRows int
	// Writers is how many calls of Rows may run at the same time, at least 1.
	Writers int
}

// Driver opens engines of one type.
type Driver struct {
	// Names are the type names in feature_store.yaml that select the engine: Feast's short name first, then class paths.
	Names []string
	// Open makes an engine from the batch_engine section. ctx bounds Open only.
	Open func(ctx context.Context, cfg config.Section, env Env) (Engine, error)
}

// Env is what an engine may need besides its own section.
type Env struct {
	Project string
	RepoDir string // what relative paths resolve against
}

var table drivers.Table[Driver]

// Register makes an engine known under its names. It is called from init functions and panics when a name is taken or the
// driver is incomplete.
func Register(d Driver) {
	if len(d.Names) == 0 || d.Open == nil {
		panic("compute: Register of a driver without names or Open")
	}
	if name := table.Add(d.Names, d); name != "" {
		panic("compute: Register called twice for " + name)
	}
}

// Open opens the engine that a section of type cfg.Type() describes. A type that is not linked in is a
// [*feasterr.NotLinkedError].
func Open(ctx context.Context, cfg config.Section, env Env) (Engine, error) {
	d, ok := table.Get(cfg.Type())
	if !ok {
		return nil, &feasterr.NotLinkedError{Room: "batch engine", Type: cfg.Type(), Known: table.Names()}
	}
	return d.Open(ctx, cfg, env)
}
