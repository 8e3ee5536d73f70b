package feast

import (
	"context"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types/arrowconv"
)

// HistoricalRequest says which training data to retrieve.
type HistoricalRequest struct {
	// Features are references view:feature or view@v2:feature. Ignored when FeatureService is set.
	Features       []string
	FeatureService string
	// Projections are views that Features name by the alias of the projection, and whose join key map holds, as it does in
	// a feature service. What features they have does not matter.
	Projections []registry.FeatureViewProjection
	// FullFeatureNames names feature columns view__feature.
	FullFeatureNames bool

	// Entities are the rows to which features are joined: join keys, a column of times and any others, which come back as
	// they are. The times stand in the column event_timestamp, which may also be dates or ISO 8601 text, or else in the only
	// timestamp column; without a zone they are in UTC.
	//
	// Without Entities the rows of the views themselves are answered, those between Start and End: all rows of one view as
	// they are; for several views, which then must have the same join keys, the values of all views at each time and key
	// that any of them has.
	Entities EntitySource
	// Start and End bound event times when there are no Entities, both included. A zero End is now, a zero Start is End
	// less the longest ttl of the views, or less 30 days when none has one.
	Start, End time.Time

	// FilterByCreatedTimestamp leaves out rows that were created after the time of the entity row, for views whose source
	// has a created timestamp. It needs Entities.
	FilterByCreatedTimestamp bool
	// AnyOrder allows rows in another order than that of Entities, where that is faster.
	AnyOrder bool
}

// GetHistoricalFeatures prepares the retrieval of training data: for each entity row the features as they were at its time,
// those of the newest row of the view with these keys that is not later than the time, nor older by more than the view's ttl.
// Of rows of the same time the one that was created last counts. Every entity row comes back exactly once, with nulls where
// a view has no such row.
//
// On-demand views are computed by their functions ([WithTransformation]), a batch of rows at a time, also where their values
// are stored online; request data comes from columns of the entity rows.
//
// Names, entity columns and the linked stores are checked now; sources are read when the job is. The registry and the offline
// store are opened when that has not happened yet.
func (fs *FeatureStore) GetHistoricalFeatures(ctx context.Context, r HistoricalRequest) (*RetrievalJob, error) {
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	if r.Entities != nil && !(r.Start.IsZero() && r.End.IsZero()) {
		return nil, feasterr.Invalid("Entities and Start or End exclude each other: entity rows carry their own times")
	}
	if r.Entities == nil && r.FilterByCreatedTimestamp {
		return nil, feasterr.Invalid("FilterByCreatedTimestamp compares with the times of entity rows: set Entities")
	}
	resolved, err := fs.resolveHistorical(ctx, r)
	if err != nil {
		return nil, err
	}
	store, err := fs.offlineStore(ctx)
	if err != nil {
		return nil, err
	}
	job := &RetrievalJob{
		fs: fs, store: store, plan: resolved, anyOrder: r.AnyOrder, filter: r.FilterByCreatedTimestamp,
		meta: RetrievalMetadata{Features: resolved.Features},
	}
	if r.Entities == nil {
		if job.keys, err = resolved.Keys(); err != nil {
			return nil, err
		}
		start, end := resolved.Window(r.Start, r.End, fs.opts.now())
		if start.After(end) {
			return nil, feasterr.Invalid("Start %s is after End %s", start.Format(time.RFC3339Nano), end.Format(time.RFC3339Nano))
		}
		if err := resolved.CheckEntities(job.ownColumns()); err != nil {
			return nil, err
		}
		job.meta.MinEventTimestamp, job.meta.MaxEventTimestamp = start, end
		return job, nil
	}
	if job.rows, err = openEntities(ctx, r.Entities); err != nil {
		return nil, err
	}
	if job.rows.sql != "" {
		if info := store.Info(); !info.EntitySQL {
			return nil, feasterr.Unsupported("offline store %q takes no entity rows as SQL: give them as a table, a Parquet file or an Arrow reader", info.Name)
		}
		return job, nil
	}
	if job.event, err = eventColumn(job.rows.schema); err != nil {
		return nil, err
	}
	var names []string
	for i, f := range job.rows.schema.Fields() {
		names = append(names, f.Name)
		if i != job.event {
			job.meta.Keys = append(job.meta.Keys, f.Name)
		}
	}
	if err := resolved.CheckEntities(names); err != nil {
		return nil, err
	}
	return job, nil
}

// resolveHistorical resolves a query.
func (fs *FeatureStore) resolveHistorical(ctx context.Context, r HistoricalRequest) (*plan.Historical, error) {
	query := plan.Query{Features: r.Features, Service: r.FeatureService, FullNames: r.FullFeatureNames, Projections: r.Projections}
	resolved, _, err := resolve(ctx, fs, func(snap *registry.Snapshot) (*plan.Historical, error) {
		return plan.ResolveHistorical(snap, query, plan.Options{
			Versioning: fs.cfg.Registry.OnlineVersioning, KeyVersion: fs.cfg.EntityKeyVersion, Functions: fs.opts.functions,
		})
	})
	return resolved, err
}

// OfflineStore opens the offline store and returns it, for servers in front of it. The feature store closes it.
func (fs *FeatureStore) OfflineStore(ctx context.Context) (offline.Store, error) {
	if err := fs.usable(ctx); err != nil {
		return nil, err
	}
	return fs.offlineStore(ctx)
}

// offlineStore opens the offline store on first use.
func (fs *FeatureStore) offlineStore(ctx context.Context) (offline.Store, error) {
	return fs.offline.get(ctx, func() (offline.Store, error) {
		cfg := fs.cfg.OfflineStore
		if cfg.IsNull() {
			return nil, feasterr.Unsupported("the repository has no offline store: feature_store.yaml says offline_store: null")
		}
		return offline.Open(ctx, cfg, offline.Env{Project: fs.cfg.Project, RepoDir: fs.cfg.RepoPath, Now: fs.opts.now, Token: fs.opts.token})
	})
}

// eventColumn finds the column of times among those of the entity rows.
func eventColumn(s *arrow.Schema) (int, error) {
	found, stamps := -1, 0
	for i, f := range s.Fields() {
		isTime := f.Type.ID() == arrow.TIMESTAMP
		if f.Name == plan.EventTimestamp {
			if isTime || isArrowText(f.Type) || isDate(f.Type) || f.Type.ID() == arrow.NULL {
				return i, nil
			}
			return 0, &feasterr.TypeMismatchError{Column: f.Name, Row: -1, Want: "a timestamp, date or ISO 8601 text", Have: arrowconv.TypeText(f.Type)}
		}
		if isTime {
			found = i
			stamps++
		}
	}
	switch stamps {
	case 1:
		return found, nil
	case 0:
		return 0, &feasterr.RequestError{Column: plan.EventTimestamp, Row: -1, Msg: "the entity rows have no column of this name, and no timestamp column that could tell their times"}
	}
	return 0, &feasterr.RequestError{Column: plan.EventTimestamp, Row: -1, Msg: "the entity rows have no column of this name, and several timestamp columns: name the one that tells their times so"}
}

func isArrowText(dt arrow.DataType) bool {
	return dt.ID() == arrow.STRING || dt.ID() == arrow.LARGE_STRING || dt.ID() == arrow.STRING_VIEW
}

func isDate(dt arrow.DataType) bool { return dt.ID() == arrow.DATE32 || dt.ID() == arrow.DATE64 }
