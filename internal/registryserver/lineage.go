package registryserver

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
	"github.com/feastgo/feast/types"
)

// Types of objects in relations.
const (
	ofDataSource   = "dataSource"
	ofEntity       = "entity"
	ofView         = "featureView"
	ofLabelView    = "labelView"
	ofService      = "featureService"
	ofFeature      = "feature"
	ofSavedDataset = "savedDataset"
)

var relatedTypes = []string{ofDataSource, ofEntity, ofView, ofLabelView, ofService, ofFeature, ofSavedDataset}

// end is one end of a relation.
type end struct{ kind, name string }

// relation says that the target is made of the source.
type relation struct{ source, target end }

func (r relation) touches(kind, name string) bool {
	e := end{kind, name}
	return r.source == e || r.target == e
}

func (r relation) message() *pb.EntityRelation {
	return &pb.EntityRelation{
		Source: &pb.EntityReference{Type: r.source.kind, Name: r.source.name},
		Target: &pb.EntityReference{Type: r.target.kind, Name: r.target.name},
	}
}

func (r relation) attribute(name string) any {
	switch name {
	case "source.name":
		return r.source.name
	case "target.name":
		return r.target.name
	case "source.type.value":
		return r.source.kind
	case "target.type.value":
		return r.target.kind
	case "source.type":
		return enumName(r.source.kind)
	case "target.type":
		return enumName(r.target.kind)
	}
	return nil
}

// enumName returns the type as Python's enum spells it: what Feast sorts by.
func enumName(kind string) string {
	var b strings.Builder
	for _, c := range kind {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(c)
	}
	return "FeastObjectType." + strings.ToUpper(b.String())
}

// seen are the objects of a project that somebody may see.
type seen struct {
	*project
	only map[*item]bool // nil: all
}

// messages returns the messages of a kind, in the order of the registry.
func messages[P any](p seen, kind registry.Kind) []P {
	var list []P
	for i := range p.all(kind) {
		if p.only != nil && !p.only[i] {
			continue
		}
		if m, err := i.proto(); err == nil {
			list = append(list, m.(P))
		}
	}
	return list
}

// lineage returns what the objects of a project are made of, as far as the caller may see the objects: directly, and through
// views. What an object is made of stands in its message, so nothing is told that reading the object would not tell. Feast tells
// everything to who may see the project.
func (s *Server) lineage(ctx context.Context, st *state, project string) (direct, indirect []relation, err error) {
	p := seen{project: st.project(project)}
	if g := s.guard(); !g.Free(ctx) && g.Rules&permissions.FeastCompatible() == 0 {
		visible, err := s.visible(ctx, st, project, func(*item) bool { return true }, objectKinds...)
		if err != nil {
			return nil, nil, err
		}
		p.only = make(map[*item]bool, len(visible))
		for _, i := range visible {
			p.only[i] = true
		}
	}
	direct, indirect = lineage(p)
	return direct, indirect, nil
}

func lineage(p seen) (direct, indirect []relation) {
	relate := func(source, target end) { direct = append(direct, relation{source, target}) }
	labels := p.items(registry.KindLabelView).byName
	services := messages[*core.FeatureService](p, registry.KindFeatureService)
	for _, s := range services {
		for _, f := range s.GetSpec().GetFeatures() {
			kind := ofView
			if f.GetViewType() == ofLabelView || labels[f.GetFeatureViewName()] != nil {
				kind = ofLabelView
			}
			relate(end{kind, f.GetFeatureViewName()}, end{ofService, s.GetSpec().GetName()})
		}
	}
	made := func(view end, entities []string, features []*core.FeatureSpecV2) {
		for _, e := range entities {
			relate(end{ofEntity, e}, view)
		}
		for _, f := range features {
			relate(end{ofFeature, f.GetName()}, view)
		}
	}
	read := func(d *core.DataSource, view end) {
		if d.GetName() != "" {
			relate(end{ofDataSource, d.GetName()}, view)
		}
	}
	for _, v := range messages[*core.FeatureView](p, registry.KindFeatureView) {
		view := end{ofView, v.GetSpec().GetName()}
		made(view, v.GetSpec().GetEntities(), v.GetSpec().GetFeatures())
		read(v.GetSpec().GetBatchSource(), view)
	}
	onDemand := messages[*core.OnDemandFeatureView](p, registry.KindOnDemandFeatureView)
	for _, v := range onDemand {
		made(end{ofView, v.GetSpec().GetName()}, v.GetSpec().GetEntities(), v.GetSpec().GetFeatures())
	}
	for _, v := range onDemand {
		view := end{ofView, v.GetSpec().GetName()}
		sources := v.GetSpec().GetSources()
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			s := sources[name]
			read(s.GetRequestDataSource(), view)
			if from := s.GetFeatureViewProjection().GetFeatureViewName(); from != "" {
				relate(end{ofView, from}, view)
			}
		}
	}
	for _, v := range messages[*core.StreamFeatureView](p, registry.KindStreamFeatureView) {
		view := end{ofView, v.GetSpec().GetName()}
		read(v.GetSpec().GetStreamSource(), view)
		read(v.GetSpec().GetBatchSource(), view)
	}
	for _, v := range messages[*core.LabelView](p, registry.KindLabelView) {
		view := end{ofLabelView, v.GetSpec().GetName()}
		made(view, v.GetSpec().GetEntities(), nil)
		read(v.GetSpec().GetSource(), view)
		read(v.GetSpec().GetSource().GetBatchSource(), view)
	}
	datasets(p, relate)
	return direct, through(direct, services)
}

// datasets relates saved datasets to what they were retrieved by, and to the data sources that read where they are.
func datasets(p seen, relate func(source, target end)) {
	places := map[string]string{}
	for _, d := range messages[*core.DataSource](p, registry.KindDataSource) {
		for _, place := range placesOf(d) {
			places[place] = d.GetName()
		}
	}
	for _, d := range messages[*core.SavedDataset](p, registry.KindSavedDataset) {
		dataset := end{ofSavedDataset, d.GetSpec().GetName()}
		if s := d.GetSpec().GetFeatureServiceName(); s != "" {
			relate(end{ofService, s}, dataset)
		}
		seen := map[string]bool{}
		for _, reference := range d.GetSpec().GetFeatures() {
			view, _, ok := strings.Cut(reference, ":")
			view, _, _ = strings.Cut(view, "@")
			if ok && view != "" && !seen[view] {
				seen[view] = true
				relate(end{ofView, view}, dataset)
			}
		}
		seen = map[string]bool{}
		for _, place := range storagePlaces(d.GetSpec().GetStorage()) {
			if name := places[place]; name != "" && !seen[name] {
				seen[name] = true
				relate(end{ofDataSource, name}, dataset)
			}
		}
	}
}

// placesOf returns the files and tables that a data source reads.
func placesOf(d *core.DataSource) []string {
	places := options{
		d.GetFileOptions(), d.GetBigqueryOptions(), d.GetRedshiftOptions(), d.GetSnowflakeOptions(), d.GetSparkOptions(), d.GetTrinoOptions(),
		d.GetAthenaOptions(),
	}.places()
	if b := d.GetBatchSource(); b != nil {
		places = append(places, placesOf(b)...)
	}
	return places
}

func storagePlaces(s *core.SavedDatasetStorage) []string {
	return options{
		s.GetFileStorage(), s.GetBigqueryStorage(), s.GetRedshiftStorage(), s.GetSnowflakeStorage(), s.GetSparkStorage(), s.GetTrinoStorage(),
		s.GetAthenaStorage(),
	}.places()
}

// options are those of a data source or a dataset; all but one of them are nil.
type options struct {
	file      *core.DataSource_FileOptions
	bigQuery  *core.DataSource_BigQueryOptions
	redshift  *core.DataSource_RedshiftOptions
	snowflake *core.DataSource_SnowflakeOptions
	spark     *core.DataSource_SparkOptions
	trino     *core.DataSource_TrinoOptions
	athena    *core.DataSource_AthenaOptions
}

func (o options) places() []string {
	all := []string{
		o.file.GetUri(), o.bigQuery.GetTable(), o.redshift.GetTable(), o.snowflake.GetTable(), o.spark.GetPath(), o.spark.GetTable(),
		o.trino.GetTable(), o.athena.GetTable(),
	}
	return slices.DeleteFunc(all, func(place string) bool { return place == "" })
}

// through returns the relations of what views are made of to what is made of the views, and of entities to the data sources
// of their views.
func through(direct []relation, services []*core.FeatureService) (indirect []relation) {
	into, sources := map[string][]end{}, map[string][]string{} // by the name of a view
	for _, r := range direct {
		if r.target.kind != ofView && r.target.kind != ofLabelView {
			continue
		}
		into[r.target.name] = append(into[r.target.name], r.source)
		if r.source.kind == ofDataSource {
			sources[r.target.name] = append(sources[r.target.name], r.source.name)
		}
	}
	for _, s := range services {
		for _, f := range s.GetSpec().GetFeatures() {
			for _, source := range into[f.GetFeatureViewName()] {
				indirect = append(indirect, relation{source, end{ofService, s.GetSpec().GetName()}})
			}
		}
	}
	for _, r := range direct {
		if r.source.kind != ofEntity {
			continue
		}
		for _, name := range sources[r.target.name] {
			indirect = append(indirect, relation{r.source, end{ofDataSource, name}})
		}
	}
	return indirect
}

func relations(list []relation, s *pb.SortingParams, p *pb.PaginationParams) ([]*pb.EntityRelation, *pb.PaginationMetadata) {
	sortBy(list, s, relation.attribute)
	list, page := paged(list, p)
	answer := make([]*pb.EntityRelation, len(list))
	for i, r := range list {
		answer[i] = r.message()
	}
	return answer, page
}

// GetRegistryLineage implements registrygrpc.RegistryServerServer.
func (s *Server) GetRegistryLineage(ctx context.Context, r *pb.GetRegistryLineageRequest) (*pb.GetRegistryLineageResponse, error) {
	st, _, err := s.describes(ctx, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	direct, indirect, err := s.lineage(ctx, st, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	if kind, name := r.GetFilterObjectType(), r.GetFilterObjectName(); kind != "" && name != "" {
		other := func(r relation) bool { return !r.touches(kind, name) }
		direct, indirect = slices.DeleteFunc(direct, other), slices.DeleteFunc(indirect, other)
	}
	answer := new(pb.GetRegistryLineageResponse)
	answer.Relationships, answer.RelationshipsPagination = relations(direct, r.GetSorting(), r.GetPagination())
	answer.IndirectRelationships, answer.IndirectRelationshipsPagination = relations(indirect, r.GetSorting(), r.GetPagination())
	return answer, nil
}

// GetObjectRelationships implements registrygrpc.RegistryServerServer.
func (s *Server) GetObjectRelationships(ctx context.Context, r *pb.GetObjectRelationshipsRequest) (*pb.GetObjectRelationshipsResponse, error) {
	st, _, err := s.describes(ctx, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	if !slices.Contains(relatedTypes, r.GetObjectType()) {
		return nil, failed(feasterr.Invalid("'%s' is not a valid FeastObjectType", r.GetObjectType()))
	}
	found, indirect, err := s.lineage(ctx, st, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	if r.GetIncludeIndirect() {
		found = append(found, indirect...)
	}
	found = slices.DeleteFunc(found, func(one relation) bool { return !one.touches(r.GetObjectType(), r.GetObjectName()) })
	answer := new(pb.GetObjectRelationshipsResponse)
	answer.Relationships, answer.Pagination = relations(found, r.GetSorting(), r.GetPagination())
	return answer, nil
}

// Kinds of features.
const (
	kindFeature = "feature"
	kindLabel   = "label"
)

// ListFeatures implements registrygrpc.RegistryServerServer.
func (s *Server) ListFeatures(ctx context.Context, r *pb.ListFeaturesRequest) (*pb.ListFeaturesResponse, error) {
	found, err := s.features(ctx, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	found = slices.DeleteFunc(found, func(f *pb.Feature) bool {
		return r.GetKind() != "" && f.Kind != r.GetKind() || r.GetFeatureView() != "" && f.FeatureView != r.GetFeatureView() ||
			r.GetName() != "" && f.Name != r.GetName()
	})
	sortBy(found, r.GetSorting(), func(f *pb.Feature, name string) any {
		switch name {
		case "name":
			return f.Name
		case "feature_view":
			return f.FeatureView
		case "type":
			return f.Type
		case "description":
			return f.Description
		case "owner":
			return f.Owner
		case "kind":
			return f.Kind
		}
		return nil
	})
	found, page := paged(found, r.GetPagination())
	return &pb.ListFeaturesResponse{Features: found, Pagination: page}, nil
}

// GetFeature implements registrygrpc.RegistryServerServer.
func (s *Server) GetFeature(ctx context.Context, r *pb.GetFeatureRequest) (*pb.Feature, error) {
	found, err := s.features(ctx, r.GetProject())
	if err != nil {
		return nil, failed(err)
	}
	for _, f := range found {
		if f.FeatureView == r.GetFeatureView() && f.Name == r.GetName() {
			return f, nil
		}
	}
	return nil, failed(notFound("Feature " + r.GetName() + " not found in feature view " + r.GetFeatureView() + " in project " + r.GetProject()))
}

// features returns the features of all views that the caller may see. As in Feast they have no owners and times.
func (s *Server) features(ctx context.Context, project string) ([]*pb.Feature, error) {
	st, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	views, err := s.visible(ctx, st, project, func(*item) bool { return true }, viewKinds...)
	if err != nil {
		return nil, err
	}
	var list []*pb.Feature
	for _, i := range views {
		m, err := i.proto()
		if err != nil {
			return nil, err
		}
		kind, specs := kindFeature, []*core.FeatureSpecV2(nil)
		switch m := m.(type) {
		case *core.FeatureView:
			specs = m.GetSpec().GetFeatures()
		case *core.StreamFeatureView:
			specs = m.GetSpec().GetFeatures()
		case *core.OnDemandFeatureView:
			specs = m.GetSpec().GetFeatures()
		case *core.LabelView:
			kind, specs = kindLabel, m.GetSpec().GetFeatures()
		}
		for _, f := range specs {
			list = append(list, &pb.Feature{
				Name: f.GetName(), FeatureView: i.resource.Name, Type: typeName(f), Description: f.GetDescription(), Tags: f.GetTags(), Kind: kind,
			})
		}
	}
	return list, nil
}

// nestedTag is where Feast keeps the type of a nested collection.
const nestedTag = "feast:nested_inner_type"

// typeName returns the type of a field by Feast's name.
func typeName(f *core.FeatureSpecV2) string {
	t := types.Type(f.GetValueType())
	if inner := f.GetTags()[nestedTag]; inner != "" {
		switch t {
		case types.ValueList:
			return "Array(" + inner + ")"
		case types.ValueSet:
			return "Set(" + inner + ")"
		}
	}
	return t.String()
}
