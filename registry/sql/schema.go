package sql

import (
	"context"
	database "database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

// table is one of the tables of Feast's SQL registry.
type table struct {
	name  string
	kind  registry.Kind
	key   string // column of names
	proto string // column of messages; empty where there are none
}

const (
	historyTable  = "feature_view_version_history"
	metadataTable = "feast_metadata"
)

// tables are in the order in which Feast makes them. It is the order, too, in which rows are locked.
var tables = []*table{
	{name: "projects", kind: registry.KindProject, key: "project_id", proto: "project_proto"},
	{name: "entities", kind: registry.KindEntity, key: "entity_name", proto: "entity_proto"},
	{name: "data_sources", kind: registry.KindDataSource, key: "data_source_name", proto: "data_source_proto"},
	{
		name: "feature_views", kind: registry.KindFeatureView, key: "feature_view_name", proto: "feature_view_proto",
	},
	{
		name: "stream_feature_views", kind: registry.KindStreamFeatureView, key: "feature_view_name",
		proto: "feature_view_proto",
	},
	{
		name: "on_demand_feature_views", kind: registry.KindOnDemandFeatureView, key: "feature_view_name",
		proto: "feature_view_proto",
	},
	{
		name: "label_views", kind: registry.KindLabelView, key: "feature_view_name", proto: "feature_view_proto",
	},
	{name: "feature_services", kind: registry.KindFeatureService, key: "feature_service_name", proto: "feature_service_proto"},
	{name: "saved_datasets", kind: registry.KindSavedDataset, key: "saved_dataset_name", proto: "saved_dataset_proto"},
	{
		name: "validation_references", kind: registry.KindValidationReference, key: "validation_reference_name",
		proto: "validation_reference_proto",
	},
	{name: "managed_infra", kind: registry.KindInfra, key: "infra_name", proto: "infra_proto"},
	{name: "permissions", kind: registry.KindPermission, key: "permission_name", proto: "permission_proto"},
	{name: historyTable, kind: registry.KindViewVersion, key: "feature_view_name", proto: "feature_view_proto"},
	{name: metadataTable, kind: registry.KindProjectMetadata, key: "metadata_key"},
}

// tableOf finds the table of a kind of record, nil when there is none.
func tableOf(kind registry.Kind) *table {
	for _, t := range tables {
		if t.kind == kind {
			return t
		}
	}
	return nil
}

// primary lists the columns of the primary key.
func (t *table) primary() string {
	switch t.kind {
	case registry.KindProject:
		return "project_id"
	case registry.KindViewVersion:
		return "feature_view_name, project_id, version_number"
	case registry.KindProjectMetadata:
		return "project_id, metadata_key"
	}
	return t.key + ", project_id"
}

// definition returns the statement that makes the table, as Feast does. The index is another unless it is made inline.
func (t *table) definition(d *Dialect) string {
	const name = " VARCHAR(255) NOT NULL"
	updated := "last_updated_timestamp BIGINT NOT NULL"
	message := t.proto + " " + d.Blob + " NOT NULL"
	var columns []string
	switch t.kind {
	case registry.KindProject:
		columns = []string{"project_id" + name, "project_name" + name, updated, message}
	case registry.KindFeatureView:
		columns = []string{t.key + name, "project_id" + name, updated, "materialized_intervals " + d.Blob, message, "user_metadata " + d.Blob}
	case registry.KindViewVersion:
		columns = []string{
			t.key + name, "project_id" + name, "version_number INTEGER NOT NULL", "feature_view_type VARCHAR(50) NOT NULL", message,
			"created_timestamp BIGINT NOT NULL", "description TEXT", "version_id VARCHAR(36) NOT NULL",
		}
	case registry.KindProjectMetadata:
		columns = []string{"project_id" + name, "metadata_key VARCHAR(50) NOT NULL", "metadata_value TEXT NOT NULL", updated}
	default:
		columns = []string{t.key + name, "project_id" + name, updated, message}
		if t.key == "feature_view_name" {
			columns = append(columns, "user_metadata "+d.Blob)
		}
	}
	columns = append(columns, "PRIMARY KEY ("+t.primary()+")")
	if d.Inline {
		columns = append(columns, "INDEX "+t.index()+" (project_id)")
	}
	return "CREATE TABLE IF NOT EXISTS " + t.name + " (" + strings.Join(columns, ", ") + ")"
}

// index returns the name of the index of projects.
func (t *table) index() string {
	if t.kind == registry.KindViewVersion {
		return "idx_fv_version_history_project_id"
	}
	return "idx_" + t.name + "_project_id"
}

// missing returns the tables that a database does not have. It is asked until all are there, with their indexes; with
// [SchemaSkip], never. Of tables that are there, unindexed are those without their index.
func (b *Backend) missing(ctx context.Context, db *pool) (missing, unindexed []*table, err error) {
	if b.schema == SchemaSkip || db.complete.Load() {
		return nil, nil, nil
	}
	found := map[string]bool{}
	s := statement{d: b.dialect}
	s.WriteString(b.dialect.Tables)
	err = each(ctx, db, &s, func(rows *database.Rows) error {
		var name string
		err := rows.Scan(&name)
		found[name] = true
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for _, t := range tables {
		if !found[t.name] {
			missing = append(missing, t)
		} else if !found[t.index()] {
			unindexed = append(unindexed, t)
		}
	}
	if missing == nil && unindexed == nil {
		db.complete.Store(true)
	}
	return missing, unindexed, nil
}

// readable returns the tables that there are to read.
func (b *Backend) readable(ctx context.Context, db *pool) ([]*table, error) {
	missing, _, err := b.missing(ctx, db)
	switch {
	case err != nil:
		return nil, db.failed("read", err)
	case missing == nil:
		return tables, nil
	case len(missing) == len(tables):
		return nil, fmt.Errorf("%w; apply the repository first, which makes the tables of the registry, or check %s in feature_store.yaml",
			&feasterr.NotFoundError{Kind: "registry", Name: db.place}, db.key)
	case b.schema == SchemaVerify:
		return nil, db.incomplete(missing)
	}
	var there []*table // made by an older Feast
	for _, t := range tables {
		if !slices.Contains(missing, t) {
			there = append(there, t)
		}
	}
	return there, nil
}

// writable makes the tables and indexes that are missing.
func (b *Backend) writable(ctx context.Context) error {
	if b.dialect.Create != nil && b.db.url != nil && b.schema == SchemaAuto {
		if err := b.dialect.Create(ctx, b.db.url); err != nil {
			return b.db.failed("create", err)
		}
	}
	for attempt := 0; ; attempt++ {
		missing, unindexed, err := b.missing(ctx, b.db)
		switch {
		case err != nil:
			return b.db.failed("read", err)
		case b.schema == SchemaVerify && missing != nil:
			return b.db.incomplete(missing)
		case b.schema == SchemaVerify || missing == nil && unindexed == nil:
			return nil
		}
		if err = b.create(ctx, missing, unindexed); err == nil {
			b.db.complete.Store(true)
			return nil
		}
		switch b.dialect.Classify(err) {
		case Conflict, Duplicate: // somebody else makes them, too
			if attempt < 10 && pause(ctx, attempt) == nil {
				continue
			}
		case Denied:
			if missing == nil {
				return nil // who may write rows need not own the tables, and is served without an index
			}
		}
		return b.db.failed("create tables", err)
	}
}

func (b *Backend) create(ctx context.Context, missing, unindexed []*table) error {
	for _, t := range missing {
		if _, err := b.db.ExecContext(ctx, t.definition(b.dialect)); err != nil {
			return err
		}
	}
	if !b.dialect.Inline {
		unindexed = slices.Concat(missing, unindexed)
	}
	for _, t := range unindexed {
		if _, err := b.db.ExecContext(ctx, "CREATE INDEX "+t.index()+" ON "+t.name+" (project_id)"); err != nil {
			return err
		}
	}
	return nil
}

// incomplete is the error for tables that [SchemaVerify] wants.
func (p *pool) incomplete(missing []*table) error {
	names := make([]string, len(missing))
	for i, t := range missing {
		names[i] = t.name
	}
	return feasterr.Invalid("registry %s lacks the tables %s: with schema_mode verify they are not made here; create them, "+
		"or set schema_mode to auto", p.place, strings.Join(names, ", "))
}
