package registryserver

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/feastgo/feast/internal/protos/feast/core"
	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	valuepb "github.com/feastgo/feast/internal/protos/feast/types"
	"github.com/feastgo/feast/internal/pyrepr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

var routes = makeRoutes()

func makeRoutes() (routes []route) {
	add := func(method, path string, run func(*call) (any, error)) {
		routes = append(routes, route{method, strings.Split(path, "/"), run})
	}
	const read, write, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	add(read, "version", func(*call) (any, error) { return object{"version": version}, nil })
	for _, r := range resources {
		add(read, r.path, r.list)
		if r.path != "permissions" {
			add(read, r.path+"/all", r.listAll)
		}
		if r.path == "saved_datasets" {
			add(read, r.path+"/jobs", datasetJobs)
		}
		if r.get != nil {
			add(read, r.path+"/{}", r.one)
		}
		if r.apply != nil {
			add(write, r.path, r.apply)
			add(remove, r.path+"/{}", r.remove)
		}
	}
	add(read, "saved_datasets/data/{}", datasetData)
	add(read, "saved_datasets/jobs/{}", datasetJob)
	add(write, "saved_datasets/create", createDataset)
	add(read, "features/{}/{}", oneFeature)
	add(read, "projects", listProjects)
	add(read, "projects/{}", func(c *call) (any, error) {
		c.flag("allow_cache", true)
		return ask(c, c.GetProject, &pb.GetProjectRequest{Name: c.path[0]})
	})
	add(read, "lineage/registry", registryLineage)
	add(read, "lineage/registry/all", registryLineageAll)
	add(read, "lineage/objects/{}/{}", objectLineage)
	add(read, "lineage/complete", completeLineage)
	add(read, "lineage/complete/all", completeLineageAll)
	add(read, "search", search)
	add(read, "metrics/resource_counts", resourceCounts)
	add(read, "metrics/popular_tags", popularTags)
	add(read, "metrics/recently_visited", recentlyVisited)
	add(write, "registry/refresh", refresh)
	return routes
}

// listing is what a list is asked for.
type listing struct {
	project    string
	tags       map[string]string
	pagination *pb.PaginationParams
	sorting    *pb.SortingParams
}

// resourceKind is a kind of objects that has routes of its own.
type resourceKind struct {
	path   string // of its routes
	plural string // of the list in an answer
	kind   string // in relations
	tags   bool   // a list may be filtered by them
	// ask reads the filters of its own, unless the list is of all projects, and asks the service.
	ask func(c *call, l listing, all bool) (object, error)
	// in is where the service answers the list; empty: plural.
	in string
	// shape changes an object of a list; nil: nothing.
	shape func(object) object
	// finish changes the objects of a list in a project; nil: nothing.
	finish func(c *call, project string, list []any)
	get    func(c *call, project, name string) (object, error)
	// define adds what only the answer with one object has; nil: nothing.
	define func(c *call, project, name string, o object) error
	apply  func(*call) (any, error)
	delete func(c *call, project, name string) error
}

var resources = []*resourceKind{
	{
		path: "entities", plural: "entities", kind: ofEntity,
		ask: func(c *call, l listing, _ bool) (object, error) {
			return ask(c, c.ListEntities, &pb.ListEntitiesRequest{Project: l.project, Pagination: l.pagination, Sorting: l.sorting})
		},
		get: func(c *call, project, name string) (object, error) {
			return ask(c, c.GetEntity, &pb.GetEntityRequest{Project: project, Name: name})
		},
		define: defineEntity, apply: applyEntity,
		delete: func(c *call, project, name string) error {
			return none(c.DeleteEntity(c.ctx, &pb.DeleteEntityRequest{Project: project, Name: name}))
		},
	},
	{
		path: "data_sources", plural: "dataSources", kind: ofDataSource, tags: true,
		ask: func(c *call, l listing, _ bool) (object, error) {
			return ask(c, c.ListDataSources, &pb.ListDataSourcesRequest{
				Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting,
			})
		},
		get: func(c *call, project, name string) (object, error) {
			return ask(c, c.GetDataSource, &pb.GetDataSourceRequest{Project: project, Name: name})
		},
		define: func(_ *call, _, _ string, o object) error { o["featureDefinition"] = sourceCode(o); return nil },
		apply:  applyDataSource,
		delete: func(c *call, project, name string) error {
			return none(c.DeleteDataSource(c.ctx, &pb.DeleteDataSourceRequest{Project: project, Name: name}))
		},
	},
	{
		path: "feature_views", plural: "featureViews", kind: ofView, tags: true, shape: flatView, ask: listViews,
		get: func(c *call, project, name string) (object, error) {
			o, err := ask(c, c.GetAnyFeatureView, &pb.GetAnyFeatureViewRequest{Project: project, Name: name})
			return flatView(objectAt(o, "anyFeatureView")), err
		},
		define: func(_ *call, _, _ string, o object) error { o["featureDefinition"] = viewCode(o); return nil },
		apply:  applyFeatureView,
		delete: func(c *call, project, name string) error {
			return none(c.DeleteFeatureView(c.ctx, &pb.DeleteFeatureViewRequest{Project: project, Name: name}))
		},
	},
	{
		path: "feature_services", plural: "featureServices", kind: ofService, tags: true,
		ask: func(c *call, l listing, all bool) (object, error) {
			r := &pb.ListFeatureServicesRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting}
			if !all {
				r.FeatureView = c.text("feature_view")
			}
			return ask(c, c.ListFeatureServices, r)
		},
		get: func(c *call, project, name string) (object, error) {
			return ask(c, c.GetFeatureService, &pb.GetFeatureServiceRequest{Project: project, Name: name})
		},
		define: func(_ *call, _, _ string, o object) error { o["featureDefinition"] = serviceCode(o); return nil },
		apply:  applyFeatureService,
		delete: func(c *call, project, name string) error {
			return none(c.DeleteFeatureService(c.ctx, &pb.DeleteFeatureServiceRequest{Project: project, Name: name}))
		},
	},
	{path: "features", plural: "features", kind: ofFeature, ask: listFeatures(kindFeature)},
	{path: "labels", plural: "labels", in: "features", kind: ofFeature, ask: listFeatures(kindLabel)},
	{
		path: "label_views", plural: "featureViews", in: "labelViews", kind: ofView, tags: true,
		shape: func(o object) object { o["type"] = ofLabelView; return o },
		ask: func(c *call, l listing, _ bool) (object, error) {
			return ask(c, c.ListLabelViews, &pb.ListLabelViewsRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
		},
		get: func(c *call, project, name string) (object, error) {
			o, err := ask(c, c.GetLabelView, &pb.GetLabelViewRequest{Project: project, Name: name})
			if err == nil {
				o["type"] = ofLabelView
			}
			return o, err
		},
	},
	{
		path: "saved_datasets", plural: "savedDatasets", kind: ofSavedDataset, tags: true, finish: addSources,
		ask: func(c *call, l listing, _ bool) (object, error) {
			return ask(c, c.ListSavedDatasets, &pb.ListSavedDatasetsRequest{
				Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting,
				Namespace: c.text("namespace"), Collection: c.text("collection"),
			})
		},
		get: func(c *call, project, name string) (object, error) {
			return ask(c, c.GetSavedDataset, &pb.GetSavedDatasetRequest{Project: project, Name: name})
		},
		define: func(c *call, project, _ string, o object) error {
			addSources(c, project, []any{o})
			o["featureDefinition"] = datasetCode(o)
			return nil
		},
		apply: applySavedDataset,
		delete: func(c *call, project, name string) error {
			return none(c.DeleteSavedDataset(c.ctx, &pb.DeleteSavedDatasetRequest{Project: project, Name: name}))
		},
	},
	{
		path: "permissions", plural: "permissions", kind: "permission",
		ask: func(c *call, l listing, _ bool) (object, error) {
			return ask(c, c.ListPermissions, &pb.ListPermissionsRequest{Project: l.project, Pagination: l.pagination, Sorting: l.sorting})
		},
		get: func(c *call, project, name string) (object, error) {
			return ask(c, c.GetPermission, &pb.GetPermissionRequest{Project: project, Name: name})
		},
		apply: applyPermission,
		delete: func(c *call, project, name string) error {
			return none(c.DeletePermission(c.ctx, &pb.DeletePermissionRequest{Project: project, Name: name}))
		},
	},
}

func none(_ *emptypb.Empty, err error) error { return err }

// from returns where the service answers the list.
func (k *resourceKind) from() string {
	if k.in != "" {
		return k.in
	}
	return k.plural
}

// objects asks for a list and returns its objects and its pagination.
func (k *resourceKind) objects(c *call, l listing, all bool) ([]any, object, error) {
	found, err := k.ask(c, l, all)
	if err != nil {
		return nil, nil, err
	}
	list := listAt(found, k.from())
	if k.shape != nil {
		for i := range list {
			list[i] = k.shape(list[i].(object))
		}
	}
	return list, objectAt(found, "pagination"), nil
}

// list answers GET /entities and the like.
func (k *resourceKind) list(c *call) (any, error) {
	l := listing{project: c.required("project"), pagination: c.pagination(), sorting: c.sorting()}
	if k.tags {
		l.tags = c.tags()
	}
	c.flag("allow_cache", true)
	related := c.flag("include_relationships", false)
	list, pagination, err := k.objects(c, l, false)
	if err != nil {
		return nil, err
	}
	if k.finish != nil {
		k.finish(c, l.project, list)
	}
	answer := object{k.plural: list, "pagination": pagination}
	if related {
		answer["relationships"] = k.relationships(c, l.project, list)
	}
	return answer, nil
}

// listAll answers GET /entities/all and the like.
func (k *resourceKind) listAll(c *call) (any, error) {
	page, limit := c.number("page", 1, 0), c.number("limit", 50, maxLimit)
	c.flag("allow_cache", true)
	related := c.flag("include_relationships", false)
	names, err := c.projectNames()
	if err != nil {
		return nil, err
	}
	var all []any
	relationships := object{}
	for _, project := range names {
		list, _, err := k.objects(c, listing{project: project}, true)
		if err != nil {
			return nil, err
		}
		for _, o := range list {
			o.(object)["project"] = project
		}
		all = append(all, list...)
		if related {
			maps.Copy(relationships, k.relationships(c, project, list))
		}
	}
	sortValues(all, c.text("sort_by"), c.text("sort_order") == "desc")
	list, pagination := pageOf(all, page, limit)
	if k.finish != nil {
		for _, o := range list {
			k.finish(c, textAt(o, "project"), []any{o})
		}
	}
	answer := object{k.plural: list, "pagination": pagination}
	if related {
		answer["relationships"] = relationships
	}
	return answer, nil
}

// one answers GET /entities/{name} and the like.
func (k *resourceKind) one(c *call) (any, error) {
	project, name := c.required("project"), c.path[0]
	c.flag("allow_cache", true)
	related := c.flag("include_relationships", false)
	if err := c.valid(); err != nil {
		return nil, err
	}
	o, err := k.get(c, project, name)
	if err != nil {
		return nil, err
	}
	if k.define != nil {
		if err := k.define(c, project, name, o); err != nil {
			return nil, err
		}
	}
	if related {
		o["relationships"] = c.related(project)(k.kind, name)
	}
	return o, nil
}

// remove answers DELETE /entities/{name} and the like.
func (k *resourceKind) remove(c *call) (any, error) {
	project, name := c.required("project"), c.path[0]
	if err := c.valid(); err != nil {
		return nil, err
	}
	if err := k.delete(c, project, name); err != nil {
		return nil, err
	}
	if k.path == "saved_datasets" {
		return object{"status": "ok", "name": name, "project": project}, nil
	}
	return object{"name": name, "project": project, "status": "deleted"}, nil
}

func (k *resourceKind) relationships(c *call, project string, list []any) object {
	of, relationships := c.related(project), object{}
	for _, o := range list {
		name := textAt(o, "name")
		if name == "" {
			name = textAt(o, "spec", "name")
		}
		if name != "" {
			relationships[name] = of(k.kind, name)
		}
	}
	return relationships
}

// related returns what lists the relations of an object in a project, indirect ones included; none where the caller may
// not see the project.
func (c *call) related(project string) func(kind, name string) []any {
	var all []relation
	if st, _, err := c.describes(c.ctx, project); err == nil {
		if direct, indirect, err := c.lineage(c.ctx, st, project); err == nil {
			all = append(direct, indirect...)
		}
	}
	return func(kind, name string) []any {
		list := []any{}
		for _, r := range all {
			if r.touches(kind, name) {
				list = append(list, object{
					"source": object{"type": r.source.kind, "name": r.source.name}, "target": object{"type": r.target.kind, "name": r.target.name},
				})
			}
		}
		return list
	}
}

// projectNames returns the names of the projects that the caller may see.
func (c *call) projectNames() ([]string, error) {
	found, err := ask(c, c.ListProjects, &pb.ListProjectsRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range listAt(found, "projects") {
		names = append(names, textAt(p, "spec", "name"))
	}
	return names, nil
}

// sortValues sorts objects by a member of theirs, which counts when it is a text.
func sortValues(list []any, by string, descending bool) {
	if by == "" {
		return
	}
	sign := 1
	if descending {
		sign = -1
	}
	slices.SortStableFunc(list, func(a, b any) int {
		if x, ok := at(a, by).(float64); ok {
			y, _ := at(b, by).(float64)
			return sign * compareNumbers(x, y)
		}
		return sign * strings.Compare(textAt(a, by), textAt(b, by))
	})
}

func compareNumbers(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// pageOf returns a page of a list that was put together here, and what there is to know about it.
func pageOf(list []any, page, limit int) ([]any, object) {
	total := len(list)
	start := min((page-1)*limit, total)
	end := min(start+limit, total)
	pagination := object{"page": page, "limit": limit}
	if total > 0 {
		pagination["totalCount"], pagination["totalPages"] = total, (total+limit-1)/limit
	}
	if page*limit < total {
		pagination["hasNext"] = true
	}
	if page > 1 {
		pagination["hasPrevious"] = true
	}
	return append([]any{}, list[start:end]...), pagination
}

// flatView returns a view with its type beside its members.
func flatView(o object) object {
	for kind, v := range o {
		if view, ok := v.(object); ok {
			view["type"] = kind
			return view
		}
	}
	return object{}
}

func listViews(c *call, l listing, all bool) (object, error) {
	r := &pb.ListAllFeatureViewsRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting}
	if !all {
		r.Entity, r.Feature, r.FeatureService, r.DataSource = c.text("entity"), c.text("feature"), c.text("feature_service"), c.text("data_source")
		if since := c.text("updated_since"); len(c.query["updated_since"]) > 0 {
			t, ok := parseTime(since)
			if !ok && c.valid() == nil {
				return nil, &httpError{http.StatusBadRequest, "Invalid 'updated_since' value '" + since +
					"'; expected an ISO-8601 timestamp (e.g. 2024-01-01T00:00:00Z)."}
			}
			r.UpdatedSince = timestamp(t)
		}
	}
	return ask(c, c.ListAllFeatureViews, r)
}

func listFeatures(kind string) func(c *call, l listing, all bool) (object, error) {
	return func(c *call, l listing, all bool) (object, error) {
		r := &pb.ListFeaturesRequest{Project: l.project, Kind: kind, Pagination: l.pagination, Sorting: l.sorting}
		if !all {
			r.FeatureView, r.Name = c.text("feature_view"), c.text("name")
		}
		return ask(c, c.ListFeatures, r)
	}
}

func oneFeature(c *call) (any, error) {
	project := c.required("project")
	c.flag("allow_cache", true)
	related := c.flag("include_relationships", false)
	o, err := ask(c, c.GetFeature, &pb.GetFeatureRequest{Project: project, FeatureView: c.path[0], Name: c.path[1]})
	if err != nil {
		return nil, err
	}
	if related {
		o["relationships"] = c.related(project)(ofFeature, c.path[1])
	}
	o["featureDefinition"] = featureCode(o)
	return o, nil
}

// defineEntity adds the data sources of an entity's views, and its definition.
func defineEntity(c *call, project, name string, o object) error {
	found, err := ask(c, c.ListDataSources, &pb.ListDataSourcesRequest{Project: project})
	if err != nil {
		return err
	}
	sources := map[string]any{}
	for _, d := range listAt(found, "dataSources") {
		sources[textAt(d, "name")] = d
	}
	list := []any{}
	for _, r := range c.related(project)(ofEntity, name) {
		source := textAt(r, "target", "name")
		if d := sources[source]; d != nil && textAt(r, "target", "type") == ofDataSource {
			list = append(list, d)
			delete(sources, source)
		}
	}
	o["dataSources"], o["featureDefinition"] = list, entityCode(o)
	return nil
}

// addSources adds the data sources of datasets: those of the views that their features are of.
func addSources(c *call, project string, list []any) {
	found, err := ask(c, c.ListAllFeatureViews, &pb.ListAllFeatureViewsRequest{Project: project})
	if err != nil {
		return // who may not see views gets the datasets without
	}
	sources := map[string]string{}
	for _, v := range listAt(found, "featureViews") {
		view := flatView(v.(object))
		sources[textAt(view, "spec", "name")] = textAt(view, "spec", "batchSource", "name")
	}
	for _, d := range list {
		var names []string
		for _, f := range listAt(d, "spec", "features") {
			reference, _ := f.(string)
			view, _, ok := strings.Cut(reference, ":")
			if name := sources[view]; ok && name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			objectAt(d, "spec")["dataSources"] = names
		}
	}
}

func datasetJobs(c *call) (any, error) {
	_, err := ask(c, c.ListDatasetJobs, &pb.ListDatasetJobsRequest{Project: c.text("project"), StatusFilter: c.text("status")})
	return object{"jobs": []any{}}, err
}

func datasetJob(c *call) (any, error) {
	return ask(c, c.GetDatasetJobStatus, &pb.GetDatasetJobStatusRequest{JobId: c.path[0]})
}

func datasetData(c *call) (any, error) {
	r := &pb.GetDatasetDataRequest{Name: c.path[0], Project: c.required("project"), Limit: int32(c.number("limit", 10, maxLimit))}
	return ask(c, c.GetDatasetData, r)
}

func createDataset(c *call) (any, error) {
	return ask(c, c.CreateDatasetFromRetrieval, new(pb.CreateDatasetFromRetrievalRequest))
}

func listProjects(c *call) (any, error) {
	r := &pb.ListProjectsRequest{Pagination: c.pagination(), Sorting: c.sorting()}
	c.flag("allow_cache", true)
	if err := c.valid(); err != nil {
		return nil, err
	}
	found, err := ask(c, c.ListProjects, r)
	if err != nil { // as in Feast, with the status of an answer
		return object{"error": "Error searching all projects"}, nil //nolint:nilerr // the answer says it
	}
	return object{"projects": listAt(found, "projects"), "pagination": objectAt(found, "pagination")}, nil
}

func refresh(c *call) (any, error) {
	_, _, err := c.rest.Server.find(c.ctx, c.Project, c.Project, permissions.Update, registry.KindProject)
	return nil, err
}

// Members of bodies.
var (
	tagsField        = field{name: "tags", kind: tagMap}
	ownerField       = field{name: "owner", kind: aText}
	descriptionField = field{name: "description", kind: aText}
)

func named(more ...field) []field {
	return append([]field{{name: "name", kind: aText, required: true}, {name: "project", kind: aText, required: true}}, more...)
}

// applied answers a POST.
func applied(c *call, body object, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	c.status = http.StatusCreated
	return object{"name": body["name"], "project": body["project"], "status": "applied"}, nil
}

var entityBody = named(field{name: "join_key", kind: aText}, field{name: "value_type", kind: anEnum}, descriptionField, tagsField, ownerField)

func applyEntity(c *call) (any, error) {
	b, err := c.body(entityBody)
	if err != nil {
		return nil, err
	}
	spec := &core.EntitySpecV2{
		Name: member[string](b, "name"), JoinKey: member[string](b, "join_key"), ValueType: valueType(b),
		Description: member[string](b, "description"), Owner: member[string](b, "owner"), Tags: member[map[string]string](b, "tags"),
	}
	if spec.JoinKey == "" {
		spec.JoinKey = spec.Name
	}
	_, err = c.ApplyEntity(c.ctx, &pb.ApplyEntityRequest{Entity: &core.Entity{Spec: spec}, Project: member[string](b, "project"), Commit: true})
	return applied(c, b, err)
}

// valueType returns the value_type of an object, which is STRING by default.
func valueType(o object) valuepb.ValueType_Enum {
	if n, ok := o["value_type"].(int64); ok {
		return valuepb.ValueType_Enum(int32(n))
	}
	return valuepb.ValueType_STRING
}

// optionFields are the options of data sources by the members of the body, which are named as in the message.
var optionFields = []string{
	"file_options", "bigquery_options", "snowflake_options", "redshift_options", "kafka_options", "spark_options", "trino_options",
	"athena_options", "kinesis_options", "custom_options",
}

// optionMembers are those of the options that are kept, by the names of the message where they differ.
var optionMembers = map[string]string{
	"uri": "", "s3_endpoint_override": "", "table": "", "query": "", "database": "", "schema_": "schema", "kafka_bootstrap_servers": "",
	"topic": "", "path": "", "file_format": "", "date_partition_column_format": "", "data_source": "", "region": "", "stream_name": "",
	"configuration": "",
}

var dataSourceBody = func() []field {
	fields := named(
		field{name: "type", kind: anEnum}, field{name: "timestamp_field", kind: aText}, field{name: "created_timestamp_column", kind: aText},
		field{name: "date_partition_column", kind: aText}, descriptionField, tagsField, ownerField,
		field{name: "data_source_class_type", kind: aText})
	var members []field
	for name := range optionMembers {
		members = append(members, field{name: name, kind: aText})
	}
	slices.SortFunc(members, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, name := range optionFields {
		fields = append(fields, field{name: name, kind: anObject, fields: members})
	}
	return fields
}()

func applyDataSource(c *call) (any, error) {
	b, err := c.body(dataSourceBody)
	if err != nil {
		return nil, err
	}
	d := &core.DataSource{
		Name: member[string](b, "name"), Type: core.DataSource_SourceType(int32(member[int64](b, "type"))),
		TimestampField: member[string](b, "timestamp_field"), CreatedTimestampColumn: member[string](b, "created_timestamp_column"),
		DatePartitionColumn: member[string](b, "date_partition_column"), Description: member[string](b, "description"),
		Owner: member[string](b, "owner"), Tags: member[map[string]string](b, "tags"),
		DataSourceClassType: member[string](b, "data_source_class_type"),
	}
	for _, name := range optionFields {
		if o, ok := b[name].(object); ok {
			setOptions(d, name, o)
			break
		}
	}
	_, err = c.ApplyDataSource(c.ctx, &pb.ApplyDataSourceRequest{DataSource: d, Project: member[string](b, "project"), Commit: true})
	return applied(c, b, err)
}

// setOptions sets the options of a data source.
func setOptions(d *core.DataSource, name string, o object) {
	m := d.ProtoReflect()
	f := m.Descriptor().Fields().ByJSONName(camel(name))
	if f == nil {
		return
	}
	options := m.Mutable(f).Message()
	for member, v := range o {
		if as := optionMembers[member]; as != "" {
			member = as
		}
		text, _ := v.(string)
		if of := options.Descriptor().Fields().ByJSONName(camel(member)); of != nil && text != "" {
			setText(options, of, text)
		}
	}
}

// featureFields are those of a feature in the body of a feature view.
var featureFields = []field{{name: "name", kind: aText, required: true}, {name: "value_type", kind: anEnum}, descriptionField}

var featureViewBody = named(
	field{name: "entities", kind: texts}, field{name: "features", kind: objects, fields: featureFields}, field{name: "batch_source", kind: aText},
	field{name: "ttl_seconds", kind: aNumber}, field{name: "online", kind: aTruth}, descriptionField, tagsField, ownerField)

func applyFeatureView(c *call) (any, error) {
	b, err := c.body(featureViewBody)
	if err != nil {
		return nil, err
	}
	project := member[string](b, "project")
	spec := &core.FeatureViewSpec{
		Name: member[string](b, "name"), Entities: member[[]string](b, "entities"), Online: true, Description: member[string](b, "description"),
		Owner: member[string](b, "owner"), Tags: member[map[string]string](b, "tags"),
	}
	for _, f := range member[[]object](b, "features") {
		spec.Features = append(spec.Features, &core.FeatureSpecV2{
			Name: member[string](f, "name"), ValueType: valueType(f), Description: member[string](f, "description"),
		})
	}
	if online, ok := b["online"].(bool); ok {
		spec.Online = online
	}
	if seconds, ok := b["ttl_seconds"].(int64); ok {
		spec.Ttl = &durationpb.Duration{Seconds: seconds}
	}
	if source := member[string](b, "batch_source"); source != "" {
		if spec.BatchSource, err = c.GetDataSource(c.ctx, &pb.GetDataSourceRequest{Project: project, Name: source}); err != nil {
			return nil, err
		}
	}
	r := &pb.ApplyFeatureViewRequest{
		Project: project, Commit: true, BaseFeatureView: &pb.ApplyFeatureViewRequest_FeatureView{FeatureView: &core.FeatureView{Spec: spec}},
	}
	_, err = c.ApplyFeatureView(c.ctx, r)
	return applied(c, b, err)
}

var featureServiceBody = named(field{name: "features", kind: objects, required: true, fields: []field{
	{name: "feature_view_name", kind: aText, required: true}, {name: "feature_names", kind: texts},
}}, descriptionField, tagsField, ownerField)

func applyFeatureService(c *call) (any, error) {
	b, err := c.body(featureServiceBody)
	if err != nil {
		return nil, err
	}
	spec := &core.FeatureServiceSpec{
		Name: member[string](b, "name"), Description: member[string](b, "description"), Owner: member[string](b, "owner"),
		Tags: member[map[string]string](b, "tags"),
	}
	for _, f := range member[[]object](b, "features") {
		p := &core.FeatureViewProjection{FeatureViewName: member[string](f, "feature_view_name")}
		for _, name := range member[[]string](f, "feature_names") {
			p.FeatureColumns = append(p.FeatureColumns, &core.FeatureSpecV2{Name: name})
		}
		spec.Features = append(spec.Features, p)
	}
	r := &pb.ApplyFeatureServiceRequest{FeatureService: &core.FeatureService{Spec: spec}, Project: member[string](b, "project"), Commit: true}
	_, err = c.ApplyFeatureService(c.ctx, r)
	return applied(c, b, err)
}

func listOf(name string) []field { return []field{{name: name, kind: texts, required: true}} }

var permissionBody = named(
	field{name: "types", kind: texts}, field{name: "name_patterns", kind: texts}, field{name: "actions", kind: texts},
	field{name: "policy", kind: anObject, required: true, fields: []field{
		{name: "role_based_policy", kind: anObject, fields: listOf("roles")},
		{name: "group_based_policy", kind: anObject, fields: listOf("groups")},
		{name: "namespace_based_policy", kind: anObject, fields: listOf("namespaces")},
		{name: "combined_group_namespace_policy", kind: anObject, fields: append(listOf("groups"), listOf("namespaces")...)},
	}},
	tagsField, field{name: "required_tags", kind: tagMap})

// permissionTypes and permissionActions are the names that a body may have, in Feast's order.
var (
	permissionTypes = []string{
		"FEATURE_VIEW", "ON_DEMAND_FEATURE_VIEW", "BATCH_FEATURE_VIEW", "STREAM_FEATURE_VIEW", "ENTITY", "FEATURE_SERVICE", "DATA_SOURCE",
		"VALIDATION_REFERENCE", "SAVED_DATASET", "PERMISSION", "PROJECT", "LABEL_VIEW",
	}
	permissionActions = []string{
		"CREATE", "DESCRIBE", "UPDATE", "DELETE", "READ_ONLINE", "READ_OFFLINE", "WRITE_ONLINE", "WRITE_OFFLINE",
	}
)

func applyPermission(c *call) (any, error) {
	b, err := c.body(permissionBody)
	if err != nil {
		return nil, err
	}
	spec := &core.PermissionSpec{
		Name: member[string](b, "name"), NamePatterns: member[[]string](b, "name_patterns"), Tags: member[map[string]string](b, "tags"),
		RequiredTags: member[map[string]string](b, "required_tags"), Policy: new(core.Policy),
	}
	if spec.Types, err = enums[core.PermissionSpec_Type](b, "types", permissionTypes, core.PermissionSpec_Type_value); err != nil {
		return nil, err
	}
	spec.Actions, err = enums[core.PermissionSpec_AuthzedAction](b, "actions", permissionActions, core.PermissionSpec_AuthzedAction_value)
	if err != nil {
		return nil, err
	}
	policy := member[object](b, "policy")
	list := func(of, name string) []string { return member[[]string](member[object](policy, of), name) }
	switch {
	case policy["role_based_policy"] != nil:
		spec.Policy.PolicyType = &core.Policy_RoleBasedPolicy{RoleBasedPolicy: &core.RoleBasedPolicy{Roles: list("role_based_policy", "roles")}}
	case policy["group_based_policy"] != nil:
		spec.Policy.PolicyType = &core.Policy_GroupBasedPolicy{GroupBasedPolicy: &core.GroupBasedPolicy{
			Groups: list("group_based_policy", "groups"),
		}}
	case policy["namespace_based_policy"] != nil:
		spec.Policy.PolicyType = &core.Policy_NamespaceBasedPolicy{NamespaceBasedPolicy: &core.NamespaceBasedPolicy{
			Namespaces: list("namespace_based_policy", "namespaces"),
		}}
	case policy["combined_group_namespace_policy"] != nil:
		const of = "combined_group_namespace_policy"
		spec.Policy.PolicyType = &core.Policy_CombinedGroupNamespacePolicy{CombinedGroupNamespacePolicy: &core.CombinedGroupNamespacePolicy{
			Groups: list(of, "groups"), Namespaces: list(of, "namespaces"),
		}}
	}
	r := &pb.ApplyPermissionRequest{Permission: &core.Permission{Spec: spec}, Project: member[string](b, "project"), Commit: true}
	_, err = c.ApplyPermission(c.ctx, r)
	return applied(c, b, err)
}

// enums returns the numbers of names.
func enums[E ~int32](b object, field string, valid []string, numbers map[string]int32) ([]E, error) {
	var list []E
	var unknown []string
	for _, name := range member[[]string](b, field) {
		if !slices.Contains(valid, name) {
			unknown = append(unknown, name)
			continue
		}
		list = append(list, E(numbers[name]))
	}
	if len(unknown) > 0 {
		return nil, &httpError{http.StatusBadRequest, "Invalid " + field + ": " + pyrepr.Value(unknown) + ". Valid options are: " + pyrepr.Value(valid)}
	}
	return list, nil
}

var savedDatasetBody = named(
	field{name: "features", kind: texts}, field{name: "join_keys", kind: texts}, field{name: "storage_path", kind: aText},
	field{name: "storage_type", kind: aText}, field{name: "storage_file_format", kind: aText}, tagsField,
	field{name: "full_feature_names", kind: aTruth}, field{name: "feature_service_name", kind: aText},
	field{name: "allow_override", kind: aTruth}, field{name: "namespace", kind: aText}, field{name: "collection", kind: aText}, descriptionField)

func applySavedDataset(c *call) (any, error) {
	b, err := c.body(savedDatasetBody)
	if err != nil {
		return nil, err
	}
	name, project, path := member[string](b, "name"), member[string](b, "project"), strings.TrimSpace(member[string](b, "storage_path"))
	switch {
	case strings.TrimSpace(name) == "":
		return nil, &httpError{http.StatusBadRequest, "Dataset name is required."}
	case strings.TrimSpace(project) == "":
		return nil, &httpError{http.StatusBadRequest, "Project is required."}
	case path == "":
		return nil, &httpError{http.StatusBadRequest, "Storage path is required. Provide a file path or table reference."}
	}
	if !member[bool](b, "allow_override") {
		r := &pb.GetSavedDatasetRequest{Name: strings.TrimSpace(name), Project: strings.TrimSpace(project)}
		if _, err := c.GetSavedDataset(c.ctx, r); err == nil {
			return nil, &httpError{http.StatusConflict, `A dataset named "` + r.Name + `" already exists in project "` + r.Project + `". Use edit to update it.`}
		}
	}
	spec := &core.SavedDatasetSpec{
		Name: name, Features: member[[]string](b, "features"), JoinKeys: member[[]string](b, "join_keys"),
		FullFeatureNames: member[bool](b, "full_feature_names"), Storage: storage(member[string](b, "storage_type"), path, member[string](b, "storage_file_format")),
		Tags: member[map[string]string](b, "tags"), FeatureServiceName: member[string](b, "feature_service_name"),
		Namespace: member[string](b, "namespace"), Collection: member[string](b, "collection"), Description: member[string](b, "description"),
	}
	if spec.FeatureServiceName != "" {
		c.complete(spec, project)
	}
	_, err = c.ApplySavedDataset(c.ctx, &pb.ApplySavedDatasetRequest{
		SavedDataset: &core.SavedDataset{Spec: spec, Meta: new(core.SavedDatasetMeta)}, Project: project, Commit: true,
	})
	if err != nil {
		return nil, err
	}
	return object{"status": "ok", "name": name, "project": project}, nil
}

// complete adds features and join keys of a dataset from its feature service, where the caller may see that.
func (c *call) complete(spec *core.SavedDatasetSpec, project string) {
	i, st, err := c.rest.Server.find(c.ctx, project, strings.TrimSpace(spec.FeatureServiceName), permissions.Describe, registry.KindFeatureService)
	if err != nil {
		return
	}
	var features, keys []string
	for _, p := range i.object.(*registry.FeatureService).Features {
		name := p.Alias
		if name == "" {
			name = p.Name
		}
		for _, f := range p.Features {
			features = append(features, name+":"+f.Name)
		}
		v, err := st.project(project).find(p.Name, registry.KindFeatureView)
		if err != nil {
			continue
		}
		for _, column := range v.object.(registry.View).Info().EntityColumns {
			if !slices.Contains(keys, column.Name) {
				keys = append(keys, column.Name)
			}
		}
	}
	if len(spec.Features) == 0 {
		spec.Features = features
	}
	if len(spec.JoinKeys) == 0 {
		spec.JoinKeys = keys
	}
}

// storage returns where a dataset is.
func storage(kind, path, format string) *core.SavedDatasetStorage {
	custom := func(configuration string) *core.SavedDatasetStorage {
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_CustomStorage{
			CustomStorage: &core.DataSource_CustomSourceOptions{Configuration: []byte(configuration)},
		}}
	}
	switch kind {
	case "bigquery":
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_BigqueryStorage{
			BigqueryStorage: &core.DataSource_BigQueryOptions{Table: path},
		}}
	case "redshift":
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_RedshiftStorage{
			RedshiftStorage: &core.DataSource_RedshiftOptions{Table: path},
		}}
	case "snowflake":
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_SnowflakeStorage{
			SnowflakeStorage: &core.DataSource_SnowflakeOptions{Table: path},
		}}
	case "trino":
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_TrinoStorage{TrinoStorage: &core.DataSource_TrinoOptions{Table: path}}}
	case "athena":
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_AthenaStorage{AthenaStorage: &core.DataSource_AthenaOptions{Table: path}}}
	case "spark":
		if format == "" {
			format = "parquet"
		}
		return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_SparkStorage{
			SparkStorage: &core.DataSource_SparkOptions{Path: path, FileFormat: format},
		}}
	case "postgres", "clickhouse":
		return custom(`{"name": null, "query": null, "table": ` + jsonText(path) + `}`)
	case "couchbase":
		parts := append(strings.SplitN(path, ".", 3), "", "")
		return custom(`{"name": null, "query": null, "database": ` + jsonText(parts[0]) + `, "scope": ` + jsonText(parts[1]) +
			`, "collection": ` + jsonText(parts[2]) + `}`)
	case "custom":
		return custom(path)
	}
	return &core.SavedDatasetStorage{Kind: &core.SavedDatasetStorage_FileStorage{FileStorage: &core.DataSource_FileOptions{Uri: path}}}
}
