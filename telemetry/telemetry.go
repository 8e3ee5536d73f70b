// Package telemetry is how the library tells what it does: functions that the core calls when they are set. The core
// itself writes no logs, metrics or spans.
package telemetry

import (
	"context"
	"time"
)

// Hooks are called by the core after the event they describe. Nil members cost a nil check. They are called on the
// goroutine of the event, several at a time, and should return quickly.
type Hooks struct {
	// OnlineRead follows every online request whose query was resolved, also one whose entity rows are refused.
	OnlineRead func(ctx context.Context, e OnlineRead)
	// OnlineWrite follows every write of rows to a view in the online store, several for a push that feeds several. Rows that
	// are refused before anything is written have none.
	OnlineWrite func(ctx context.Context, e OnlineWrite)
	// RegistryRefresh follows every load of the registry, in the background or not, that found something new or
	// failed. Its panics are logged.
	RegistryRefresh func(e RegistryRefresh)
	// Apply follows every Apply and ApplyAll, dry runs apart.
	Apply func(ctx context.Context, e Apply)
	// Materialize follows every view that a materialization began. Its batches cause no OnlineWrite.
	Materialize func(ctx context.Context, e Materialize)
}

// OnlineRead describes an online request.
type OnlineRead struct {
	Store   string // name of the store, "redis"
	Service string // feature service, empty for lists of features
	Rows    int    // entity rows given
	Keys    int    // distinct entity keys looked up, over all key sets
	Columns int    // feature columns
	Start   time.Time
	Took    time.Duration
	Err     error // of the request, also a PartialError that the caller accepts
}

// OnlineWrite describes a write of rows to a view in the online store.
type OnlineWrite struct {
	Store   string // name of the store, "redis"
	View    string
	Rows    int // given
	Written int // stored
	Older   int // left out because newer ones are stored
	Start   time.Time
	Took    time.Duration
	Err     error // of the store; Written rows were stored before
}

// RegistryRefresh describes a load of the registry.
type RegistryRefresh struct {
	Took time.Duration
	Err  error // the previous state keeps serving; nil: a newer state serves from now on
}

// Apply describes a change of the registry.
type Apply struct {
	Created, Updated, Deleted int // objects, and versions of views
	Start                     time.Time
	Took                      time.Duration
	Err                       error
}

// Materialize describes the materialization of a view.
type Materialize struct {
	View                           string
	WindowStart, WindowEnd         time.Time // of event times; zero when it failed before they were known
	Read, NullKeys, Older, Written int       // rows, as in feast.MaterializedView
	Start                          time.Time
	Took                           time.Duration
	Err                            error // Written rows were stored before
}
