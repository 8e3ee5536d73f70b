// Package offline is the contract between the feature store's front and the stores that keep the history of features: the
// [Store] and [Job] interfaces that drivers implement, the plans that pass between them, and the table of drivers.
//
// Plans speak of columns of a source and of columns of the result: field mappings, aliases, join key maps and full feature
// names are the front's. Rows travel as Arrow record batches. Package offlinetest is the suite that every driver passes.
package offline

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Store reads and appends history. It is safe for concurrent use, every method honours ctx and returns its error wrapped,
// and no goroutine outlives a call or the reader it returned, except those that Close waits for.
type Store interface {
	// Info describes the store. It does no I/O and always returns the same.
	Info() Info
	// Historical joins entity rows with the rows of views that were the newest at their time. See [JoinPlan].
	Historical(ctx context.Context, p *JoinPlan, e EntityRows) (Job, error)
	// Latest returns the newest row of each key in the window of p, by the rule of [JoinView], rows in any order. A row with
	// a null in a key is its own: all of them come, so that the front can count them.
	Latest(ctx context.Context, p *ScanPlan) (Job, error)
	// All returns every row in the window of p, in source order where the store has one.
	All(ctx context.Context, p *ScanPlan) (Job, error)
	// Append adds rows to a source, all of them or none, and returns their number. The columns are the source's, in any
	// order. It does not release rows.
	Append(ctx context.Context, dst *Source, rows array.RecordReader) (int64, error)
	// Describe returns the columns of a source in their order. The types are those that Historical and All answer,
	// timestamps apart, which keep their unit and zone, and text, which may be a LargeString: definitions are inferred from it.
	Describe(ctx context.Context, s *Source) (*arrow.Schema, error)
	// Close releases what the store holds, after running calls have ended. It may be repeated; other calls afterwards
	// return feasterr.ErrClosed.
	Close() error
}

// Info is what the front needs to know of a store.
type Info struct {
	Name string // Feast's type name: "duckdb"
	// EntitySQL: entity rows may be given as a query.
	EntitySQL bool
}

// Job is a query that has not run: nothing is read or billed before Read.
type Job interface {
	// Read runs the query. Rows come in batches, each valid until the next is asked for, unless it is retained. ctx has to
	// last until the reader is released: when it ends, the reader ends with its error, and the query is cancelled.
	// Releasing the reader gives back everything, also what the store keeps elsewhere (temporary tables). A job may be read
	// again after its reader was released, unless its entity rows are an [array.RecordReader], which is read once.
	Read(ctx context.Context) (array.RecordReader, error)
	// Close gives up the job. It may be repeated.
	Close() error
}

// JoinPlan says what to join with entity rows. The result has every entity row exactly once, in the order given unless
// AnyOrder is set: first all columns of the entity rows, then the features of the views. Timestamps, also those of the entity
// rows, come as microseconds with zone UTC, rounded down. Plans are never changed.
type JoinPlan struct {
	Views []JoinView
	// FilterByCreated leaves out source rows that were created after the entity row's time, and those whose created time
	// is null: nobody knows whether they were there. It means nothing to views without created times.
	FilterByCreated bool
	AnyOrder        bool
	// FullNames: every feature is named View.Name + "__" + its name in the view; else by the latter alone. For stores that
	// ask a server by names.
	FullNames bool
}

// JoinView is one view of a join. For an entity row of time T a source row is a candidate when its keys are equal, its event
// time e is not null, e <= T, and, with a TTL, e >= T - TTL. Of the candidates the one with the newest event time is taken as
// a whole, of those the one that was created last (a null is the oldest), of those the first in source order: path, bytewise,
// then row number. No candidate: nulls. All comparisons are of instants, at the full resolution of the source; times without
// a zone are UTC. A null key equals nothing. Integers are equal to integers of any width and to floats that are integral;
// a text key and a number are an error that names both types. A UUID equals its text. NaN equals nothing, as a null.
type JoinView struct {
	Name string // the projection, for messages
	// View is the registered view, and Alias the name by which a feature service has it, if that is another: together they
	// lead to the same columns as the rest of the plan. Empty where they do not, as for a version of a view.
	View, Alias string
	Source      *Source
	Keys        []JoinKey // none: every source row is a candidate for every entity row
	Features    []Column
	Event       string        // source column of event times
	Created     string        // source column of created times, or ""
	TTL         time.Duration // 0: no limit
}

// JoinKey says which column of a source has to equal which column of the entity rows.
type JoinKey struct {
	Source string
	Entity string
}

// Column is a column of a source and its name in the result.
type Column struct {
	Source string
	Name   string
}

// EntityRows are the rows to join features to: exactly one of Rows and SQL is set.
type EntityRows struct {
	Rows  array.RecordReader // the store releases it when the job is closed
	SQL   string             // a query of the store, where [Info].EntitySQL
	Event string             // the column of times
}

// ScanPlan is a read of one source. The result has the keys, the features, the event time and, where there is one, the
// created time, in this order and under their names. Rows with a null event time are left out. Plans are never changed.
type ScanPlan struct {
	Name       string // the view, for messages
	Source     *Source
	Keys       []Column
	Features   []Column
	Event      Column
	Created    Column    // the zero Column when the source has none
	Start, End time.Time // of the event time, both ends included; the zero time is no limit
	// Shard is the part of the result that is asked for, of Shards parts; every row is in one of them, and rows of equal
	// keys are in the same. Shards 0 and 1 ask for everything.
	Shard, Shards int
}

// Source says where rows are. What a store does not know it ignores or refuses, as documented there.
type Source struct {
	Name string
	Kind string // Feast's class without its modules: "FileSource"

	Path             string // files: a path or URI of a file, a directory or a pattern; relative to the repository
	Format           string // of Path: "parquet" or "delta"; "" is Parquet
	EndpointOverride string // of the object storage of Path

	Table, Query              string
	Catalog, Database, Schema string

	DatePartitionColumn string
	DatePartitionFormat string // as in strftime
	DateOnly            bool   // event times are dates

	Custom []byte // configuration of a plug-in's source

	// For stores that are servers: a view of which this is the batch source, where rows are appended, and the registry's
	// message (feast.core.DataSource), where columns are asked for. Others do not look at them.
	View       string
	Definition []byte
}
