package offlineserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/feastgo/feast"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/flightwire"
	"github.com/feastgo/feast/internal/plan"
	"github.com/feastgo/feast/internal/protos/feast/core"
	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types/arrowconv"
)

// read answers a call that reads.
func (s *Server) read(ctx context.Context, c command, u *up, to flightwire.DataWriter) error {
	if !c.hasAPI {
		return assertion("api parameter is mandatory")
	}
	u.hold = true
	rows, err := u.open()
	if err != nil {
		return err
	}
	defer rows.Release()
	r, done, err := s.query(ctx, c, c.api, rows)
	if err != nil {
		return err
	}
	defer done()
	_, err = flightwire.Write(ctx, to, nil, r)
	return err
}

// open waits for the schema of an upload.
func (u *up) open() (*flightwire.Reader, error) {
	r, err := flightwire.NewReader(u, u.take)
	if errors.Is(err, io.EOF) {
		return nil, feasterr.Invalid("the upload has no schema")
	}
	return r, err
}

// query starts a query with rows that were uploaded, which it does not release. done ends it.
func (s *Server) query(ctx context.Context, c command, api string, rows array.RecordReader) (r array.RecordReader, done func(), err error) {
	switch api {
	case flightwire.Historical:
		return s.historical(ctx, c, rows)
	case flightwire.Latest, flightwire.All:
		return s.scan(ctx, c, api)
	case flightwire.Describe:
		return s.describe(ctx, c)
	}
	return nil, nil, status.Error(codes.Unimplemented, "Unknown read API: "+api)
}

// check asks whether the caller may do something with an object.
func (s *Server) check(ctx context.Context, snap *registry.Snapshot, o registry.Object, action permissions.Action) error {
	r, ok := o.(interface{ Resource() permissions.Resource })
	if !ok {
		return fmt.Errorf("%w: %s", feasterr.ErrDenied, o)
	}
	return s.guard.Check(ctx, snap, r.Resource(), action)
}

// view looks up a view that has rows of its own.
func view(snap *registry.Snapshot, name, project string) (registry.View, error) {
	if project == snap.ProjectName() {
		v, err := snap.View(name)
		if err != nil && !errors.Is(err, feasterr.ErrNotFound) {
			return nil, err
		}
		if err == nil && v.Info().Kind != registry.KindOnDemandFeatureView {
			return v, nil
		}
	}
	return nil, missing("FeatureViewNotFoundException", "Feature view", name, project)
}

// historical starts a point-in-time join.
func (s *Server) historical(ctx context.Context, c command, rows array.RecordReader) (array.RecordReader, func(), error) {
	if err := c.require("mandatory", "feature_view_names", "name_aliases", "feature_refs", "project", "full_feature_names"); err != nil {
		return nil, nil, err
	}
	names, err1 := get[[]string](c, "feature_view_names")
	aliases, err2 := get[[]*string](c, "name_aliases")
	refs, err3 := get[[]string](c, "feature_refs")
	project, err4 := get[string](c, "project")
	full, err5 := get[bool](c, "full_feature_names")
	start, err6 := c.dateOrNone("start_date")
	end, err7 := c.dateOrNone("end_date")
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, nil, err
	}
	if len(aliases) != len(names) {
		return nil, nil, feasterr.Invalid("the command has %d feature views and %d aliases", len(names), len(aliases))
	}
	snap, err := s.fs.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	req := feast.HistoricalRequest{Features: refs, FullFeatureNames: full, Start: start, End: end}
	known := map[string]bool{} // names that references may begin with, true for those that may have a version: aliases have none
	var read []registry.View
	for i, name := range names {
		v, err := view(snap, name, project)
		if err != nil {
			return nil, nil, err
		}
		known[name] = true
		read = append(read, v)
		if aliases[i] == nil {
			continue
		}
		if p, ok := projection(snap, name, *aliases[i]); ok {
			if !known[*aliases[i]] {
				known[*aliases[i]] = false
			}
			req.Projections = append(req.Projections, p)
		}
	}
	more, err := viewsOf(snap, refs, known)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range append(read, more...) {
		if err := s.check(ctx, snap, v, permissions.ReadOffline); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case !flightwire.IsPlaceholder(rows.Schema()):
		req.Entities = feast.ArrowReader(withoutIndex(rows))
	case c.has("entity_df_sql"):
		query, err := get[string](c, "entity_df_sql")
		if err != nil {
			return nil, nil, err
		}
		if !s.limits.EntitySQL && !s.guard.Free(ctx) {
			return nil, nil, fmt.Errorf("%w: this server runs no queries of its callers: send the entity rows", feasterr.ErrDenied)
		}
		if req.Entities = feast.SQL(query); !s.takesSQL(ctx) {
			return nil, nil, feasterr.Invalid("Please provide an entity_df of type pd.DataFrame or dask.dataframe.DataFrame instead of type <class 'str'>")
		}
	}
	job, err := s.fs.GetHistoricalFeatures(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	r, err := job.RecordReader(ctx)
	if err != nil {
		return nil, nil, err
	}
	return r, r.Release, nil
}

func (s *Server) takesSQL(ctx context.Context) bool {
	store, err := s.fs.OfflineStore(ctx)
	return err != nil || store.Info().EntitySQL
}

// projection finds how feature services have a view under an alias: as in Feast, the last that does counts.
func projection(snap *registry.Snapshot, view, alias string) (p registry.FeatureViewProjection, ok bool) {
	for svc := range snap.FeatureServices() {
		for _, f := range svc.Features {
			if f.Alias == alias && f.Name == view {
				p, ok = f, true
			}
		}
	}
	return p, ok
}

// viewsOf returns the views that are read for references besides those that the command names: on-demand views compute of
// them. What is neither named nor on demand is refused, since it was not checked.
func viewsOf(snap *registry.Snapshot, refs []string, known map[string]bool) (more []registry.View, err error) {
	for _, ref := range refs {
		r, err := plan.ParseReference(ref)
		if err != nil {
			return nil, err
		}
		if named, ok := known[r.View]; ok && (named || r.Version < 0) {
			continue
		}
		od, err := snap.OnDemandFeatureView(r.View)
		if err != nil {
			return nil, feasterr.Invalid("feature %q is of none of the feature views that the command names", ref)
		}
		for _, p := range od.Sources {
			v, err := snap.View(p.Name)
			if err != nil {
				return nil, err
			}
			more = append(more, v)
		}
	}
	return more, nil
}

// withoutIndex leaves out the columns that pandas makes of the index of a data frame.
func withoutIndex(r array.RecordReader) array.RecordReader {
	meta := r.Schema().Metadata()
	text, _ := meta.GetValue("pandas")
	var pandas struct {
		Index []json.RawMessage `json:"index_columns"`
	}
	_ = json.Unmarshal([]byte(text), &pandas)
	var dropped []string
	for _, raw := range pandas.Index {
		var name string
		if json.Unmarshal(raw, &name) == nil && strings.HasPrefix(name, "__index_level_") {
			dropped = append(dropped, name)
		}
	}
	c := &chosen{RecordReader: r}
	var fields []arrow.Field
	for i, f := range r.Schema().Fields() {
		if !slices.Contains(dropped, f.Name) {
			fields, c.at = append(fields, f), append(c.at, i)
		}
	}
	c.schema = arrow.NewSchema(fields, nil)
	r.Retain() // whoever reads c releases it
	return c
}

// chosen reads some columns.
type chosen struct {
	array.RecordReader
	schema *arrow.Schema
	at     []int
}

func (c *chosen) Schema() *arrow.Schema { return c.schema }

func (c *chosen) RecordBatch() arrow.RecordBatch {
	b := c.RecordReader.RecordBatch()
	columns := make([]arrow.Array, 0, len(c.at))
	for _, i := range c.at {
		columns = append(columns, b.Column(i))
	}
	return array.NewRecordBatch(c.schema, columns, b.NumRows())
}

func (c *chosen) Record() arrow.RecordBatch { return c.RecordBatch() }

// source looks up a data source.
func (s *Server) source(ctx context.Context, name string, action permissions.Action) (*registry.DataSource, error) {
	snap, err := s.fs.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	d, err := snap.DataSource(name)
	if errors.Is(err, feasterr.ErrNotFound) {
		return nil, missing("DataSourceObjectNotFoundException", "Data source", name, snap.ProjectName())
	}
	if err != nil {
		return nil, err
	}
	return d, s.check(ctx, snap, d, action)
}

// scan starts a read of a source. Columns have the source's names.
func (s *Server) scan(ctx context.Context, c command, api string) (array.RecordReader, func(), error) {
	if err := c.require("a mandatory parameter", "data_source_name", "join_key_columns", "feature_name_columns", "timestamp_field", "start_date", "end_date"); err != nil {
		return nil, nil, err
	}
	name, err := get[string](c, "data_source_name")
	if err != nil {
		return nil, nil, err
	}
	d, err := s.source(ctx, name, permissions.ReadOffline)
	if err != nil {
		return nil, nil, err
	}
	keys, err1 := get[[]string](c, "join_key_columns")
	features, err2 := get[[]string](c, "feature_name_columns")
	event, err3 := get[string](c, "timestamp_field")
	created, err4 := get[*string](c, "created_timestamp_column")
	start, err5 := c.date("start_date")
	end, err6 := c.date("end_date")
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, nil, err
	}
	p := &offline.ScanPlan{Name: name, Source: plan.OfflineSource(d), Event: offline.Column{Source: event, Name: event}, Start: start, End: end}
	if start.Equal(flightwire.Earliest) { // which stands for no beginning
		p.Start = time.Time{}
	}
	if end.Equal(flightwire.Furthest) {
		p.End = time.Time{}
	}
	seen := map[string]bool{event: true}
	if created != nil && *created != "" && *created != event {
		p.Created = offline.Column{Source: *created, Name: *created}
		seen[*created] = true
	}
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			p.Keys = append(p.Keys, offline.Column{Source: k, Name: k})
		}
	}
	for _, f := range features {
		if !seen[f] {
			seen[f] = true
			p.Features = append(p.Features, offline.Column{Source: f, Name: f})
		}
	}
	store, err := s.fs.OfflineStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	of := store.Latest
	if api == flightwire.All {
		of = store.All
	}
	job, err := of(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	r, err := job.Read(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, job.Close())
	}
	done := func() {
		r.Release()
		_ = job.Close() // after everything was read, or an error that says more
	}
	if len(keys) == 0 {
		return withDummy(r), done, nil
	}
	return r, done, nil
}

// dummyKey is the join key of views without entities, which Feast's clients expect to be answered.
const dummyKey = "__dummy_id"

// dummied reads rows with a column of dummy keys: empty texts.
type dummied struct {
	array.RecordReader
	schema *arrow.Schema
}

func withDummy(r array.RecordReader) array.RecordReader {
	fields := append(slices.Clone(r.Schema().Fields()), arrow.Field{Name: dummyKey, Type: arrow.BinaryTypes.String, Nullable: true})
	return &dummied{r, arrow.NewSchema(fields, nil)}
}

func (d *dummied) Schema() *arrow.Schema { return d.schema }

func (d *dummied) RecordBatch() arrow.RecordBatch {
	b := d.RecordReader.RecordBatch()
	keys := array.NewStringBuilder(memory.DefaultAllocator)
	defer keys.Release()
	for range b.NumRows() {
		keys.Append("")
	}
	column := keys.NewArray()
	defer column.Release()
	return array.NewRecordBatch(d.schema, append(slices.Clone(b.Columns()), column), b.NumRows())
}

func (d *dummied) Record() arrow.RecordBatch { return d.RecordBatch() }

// checkSent decides on a data source whose definition is the caller's. Feast asks for READ_OFFLINE on it by the name and the tags that
// the caller gives it, and so lets everybody who may read one source look at any file or table, and have a query of theirs
// run. Here that is asked of the registered source, too; and who sends another than that has to be somebody who may register
// it.
func (s *Server) checkSent(ctx context.Context, snap *registry.Snapshot, d *registry.DataSource) error {
	if err := s.check(ctx, snap, d, permissions.ReadOffline); err != nil {
		return err
	}
	registered, err := snap.DataSource(d.Name)
	switch {
	case errors.Is(err, feasterr.ErrNotFound):
		return s.guard.CheckApply(ctx, snap, nil, d.Resource())
	case err != nil:
		return err
	}
	if err := s.check(ctx, snap, registered, permissions.ReadOffline); err != nil {
		return err
	}
	if reflect.DeepEqual(plan.OfflineSource(registered), plan.OfflineSource(d)) {
		return nil
	}
	return s.guard.CheckApply(ctx, snap, new(registered.Resource()), d.Resource())
}

// sent is the data source that a command holds, registered or not.
func (s *Server) sent(ctx context.Context, c command) (*offline.Source, error) {
	text, err := get[string](c, "data_source_proto")
	if err != nil {
		return nil, err
	}
	var m core.DataSource
	if err := protojson.Unmarshal([]byte(text), &m); err != nil {
		return nil, feasterr.Invalid("the data source of the command cannot be read: %w", err)
	}
	b, err := proto.Marshal(&m)
	if err != nil {
		return nil, feasterr.Invalid("the data source of the command: %w", err)
	}
	o, err := registry.Decode(registry.Record{ID: registry.ID{Kind: registry.KindDataSource, Name: m.GetName()}, Proto: b})
	if err != nil {
		return nil, feasterr.Invalid("the data source of the command: %w", err)
	}
	d, ok := o.(*registry.DataSource)
	if !ok {
		return nil, feasterr.Invalid("the command has no data source")
	}
	snap, err := s.fs.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkSent(ctx, snap, d); err != nil {
		return nil, err
	}
	return plan.DescribedSource(d)
}

// describe answers the columns of a source as a table of names and types.
func (s *Server) describe(ctx context.Context, c command) (array.RecordReader, func(), error) {
	src, err := s.sent(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	store, err := s.fs.OfflineStore(ctx)
	if err != nil {
		return nil, nil, err
	}
	columns, err := store.Describe(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "type", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, f := range columns.Fields() {
		b.Field(0).(*array.StringBuilder).Append(f.Name)
		b.Field(1).(*array.StringBuilder).Append(arrowconv.TypeText(f.Type))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{batch})
	if err != nil {
		return nil, nil, err
	}
	return r, r.Release, nil
}
