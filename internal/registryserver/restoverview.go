package registryserver

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/feastgo/feast/internal/protos/feast/registry"
	"github.com/feastgo/feast/internal/pyrepr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/registry"
)

func registryLineage(c *call) (any, error) {
	r := &pb.GetRegistryLineageRequest{
		Project: c.required("project"), FilterObjectType: c.text("filter_object_type"), FilterObjectName: c.text("filter_object_name"),
		Pagination: c.pagination(), Sorting: c.sorting(),
	}
	c.flag("allow_cache", true)
	found, err := ask(c, c.GetRegistryLineage, r)
	return object{
		"relationships": listAt(found, "relationships"), "indirect_relationships": listAt(found, "indirectRelationships"),
		"relationships_pagination":          objectAt(found, "relationshipsPagination"),
		"indirect_relationships_pagination": objectAt(found, "indirectRelationshipsPagination"),
	}, err
}

func registryLineageAll(c *call) (any, error) {
	c.flag("allow_cache", true)
	names, err := c.projectNames()
	if err != nil {
		return nil, err
	}
	direct, indirect := []any{}, []any{}
	for _, project := range names {
		found, err := ask(c, c.GetRegistryLineage, &pb.GetRegistryLineageRequest{
			Project: project, FilterObjectType: c.text("filter_object_type"), FilterObjectName: c.text("filter_object_name"),
		})
		if err != nil {
			return nil, err
		}
		direct = append(direct, inProject(listAt(found, "relationships"), project)...)
		indirect = append(indirect, inProject(listAt(found, "indirectRelationships"), project)...)
	}
	return object{"relationships": direct, "indirect_relationships": indirect}, nil
}

// inProject says of objects in which project they are.
func inProject(list []any, project string) []any {
	for _, o := range list {
		o.(object)["project"] = project
	}
	return list
}

func objectLineage(c *call) (any, error) {
	r := &pb.GetObjectRelationshipsRequest{
		Project: c.required("project"), ObjectType: c.path[0], ObjectName: c.path[1], IncludeIndirect: c.flag("include_indirect", false),
		Pagination: c.pagination(), Sorting: c.sorting(),
	}
	c.flag("allow_cache", true)
	valid := []string{ofDataSource, ofEntity, ofView, ofService, ofFeature, ofSavedDataset}
	if c.valid() == nil && !slices.Contains(valid, r.ObjectType) {
		return nil, invalid("Invalid object_type. Must be one of: " + strings.Join(valid, ", "))
	}
	return ask(c, c.GetObjectRelationships, r)
}

// content are the lists of a project that overviews show, by the name of the list.
var content = []struct {
	name string
	list func(c *call, l listing) (object, error)
	in   string // where the service answers the list
}{
	{"entities", func(c *call, l listing) (object, error) {
		return ask(c, c.ListEntities, &pb.ListEntitiesRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "entities"},
	{"dataSources", func(c *call, l listing) (object, error) {
		return ask(c, c.ListDataSources, &pb.ListDataSourcesRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "dataSources"},
	{"featureViews", func(c *call, l listing) (object, error) {
		return ask(c, c.ListAllFeatureViews, &pb.ListAllFeatureViewsRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "featureViews"},
	{"labelViews", func(c *call, l listing) (object, error) {
		return ask(c, c.ListLabelViews, &pb.ListLabelViewsRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "labelViews"},
	{"features", func(c *call, l listing) (object, error) {
		return ask(c, c.ListFeatures, &pb.ListFeaturesRequest{Project: l.project, Pagination: l.pagination, Sorting: l.sorting})
	}, "features"},
	{"labels", func(c *call, l listing) (object, error) {
		return ask(c, c.ListFeatures, &pb.ListFeaturesRequest{Project: l.project, Kind: kindLabel, Pagination: l.pagination, Sorting: l.sorting})
	}, "features"},
	{"featureServices", func(c *call, l listing) (object, error) {
		return ask(c, c.ListFeatureServices, &pb.ListFeatureServicesRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "featureServices"},
	{"savedDatasets", func(c *call, l listing) (object, error) {
		return ask(c, c.ListSavedDatasets, &pb.ListSavedDatasetsRequest{Project: l.project, Tags: l.tags, Pagination: l.pagination, Sorting: l.sorting})
	}, "savedDatasets"},
}

// searched are what Feast says it could not search when a list fails.
var searched = map[string]string{
	"entities": "entities", "dataSources": "data sources", "featureViews": "feature views", "labelViews": "label views", "features": "features",
	"labels": "labels", "featureServices": "feature services", "savedDatasets": "saved datasets",
}

// lists returns the lists of a project that can be had, their paginations, and what went wrong.
func (c *call) lists(l listing) (lists map[string][]any, paginations object, errs []string) {
	lists, paginations = map[string][]any{}, object{}
	for _, k := range content {
		found, err := k.list(c, l)
		if err != nil {
			errs = append(errs, "Error searching "+searched[k.name]+" in project '"+l.project+"'")
		}
		lists[k.name], paginations[k.name] = listAt(found, k.in), objectAt(found, "pagination")
	}
	return lists, paginations, errs
}

func completeLineage(c *call) (any, error) {
	l := listing{project: c.required("project"), pagination: c.pagination(), sorting: c.sorting()}
	c.flag("allow_cache", true)
	found, err := ask(c, c.GetRegistryLineage, &pb.GetRegistryLineageRequest{Project: l.project, Pagination: l.pagination, Sorting: l.sorting})
	if err != nil {
		return nil, err
	}
	lists, paginations, _ := c.lists(l)
	paginations["relationships"] = objectAt(found, "relationshipsPagination")
	paginations["indirectRelationships"] = objectAt(found, "indirectRelationshipsPagination")
	return object{
		"project": l.project, "objects": lists, "relationships": listAt(found, "relationships"),
		"indirectRelationships": listAt(found, "indirectRelationships"), "pagination": paginations,
	}, nil
}

func completeLineageAll(c *call) (any, error) {
	c.flag("allow_cache", true)
	names, err := c.projectNames()
	if err != nil {
		return nil, err
	}
	projects := []any{}
	for _, project := range names {
		found, err := ask(c, c.GetRegistryLineage, &pb.GetRegistryLineageRequest{Project: project})
		if err != nil {
			return nil, err
		}
		lists, _, _ := c.lists(listing{project: project})
		for _, list := range lists {
			inProject(list, project)
		}
		projects = append(projects, object{
			"project": project, "objects": lists, "relationships": listAt(found, "relationships"),
			"indirectRelationships": listAt(found, "indirectRelationships"),
		})
	}
	return object{"projects": projects}, nil
}

// option returns a parameter that has to be one of some words.
func (c *call) option(name, otherwise string, valid ...string) (string, error) {
	v := c.text(name)
	switch {
	case v == "":
		return otherwise, nil
	case !slices.Contains(valid, v):
		return "", &httpError{http.StatusBadRequest, "Invalid " + name + " parameter: '" + v + "'. Valid options are: " + pyrepr.Value(valid)}
	}
	return v, nil
}

// bounded returns a number as the search reads it.
func (c *call) bounded(name string, otherwise, most int) (int, error) {
	if len(c.query[name]) == 0 {
		return otherwise, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(c.text(name)))
	switch {
	case err != nil:
		return c.number(name, otherwise, most), errInvalidRequest
	case n < 1:
		return 0, &httpError{http.StatusBadRequest, "Invalid " + name + " parameter: '" + strconv.Itoa(n) + "'. Must be greater than or equal to 1"}
	case most > 0 && n > most:
		return 0, &httpError{http.StatusBadRequest, "Invalid " + name + " parameter: '" + strconv.Itoa(n) + "'. Must be less than or equal to " + strconv.Itoa(most)}
	}
	return n, nil
}

// Scores of what a search finds, by where. Likeness of less than enough is none.
const (
	inName        = 100.0
	inDescription = 80.0
	inTags        = 60.0
	enough        = 0.75
)

func search(c *call) (any, error) {
	text := c.required("query")
	c.flag("allow_cache", true)
	if err := c.valid(); err != nil {
		return nil, err
	}
	by, err := c.option("sort_by", "match_score", "match_score", "name", "type")
	if err != nil {
		return nil, err
	}
	order, err := c.option("sort_order", "desc", "asc", "desc")
	if err != nil {
		return nil, err
	}
	page, err := c.bounded("page", 1, 0)
	if err != nil {
		return nil, err
	}
	limit, err := c.bounded("limit", 50, maxLimit)
	if err != nil {
		return nil, err
	}
	projects, errs := c.searchedProjects()
	answer := object{"query": text, "projects_searched": projects, "results": []any{}, "pagination": object{}, "errors": errs}
	if len(projects) == 0 {
		return answer, nil
	}
	var found []any
	for _, project := range projects {
		lists, _, failed := c.lists(listing{project: project, tags: c.tags(), sorting: &pb.SortingParams{SortBy: by, SortOrder: order}})
		errs = append(errs, failed...)
		for _, o := range candidates(lists, project) {
			if matches(o, strings.ToLower(text)) {
				found = append(found, o)
			}
		}
	}
	sortValues(found, by, order == "desc")
	list, pagination := pageOf(found, page, limit)
	for _, o := range list {
		delete(o.(object), "tags")
	}
	answer["results"], answer["pagination"], answer["errors"] = list, pagination, errs
	return answer, nil
}

// searchedProjects returns those that are to be searched and that the caller may see.
func (c *call) searchedProjects() (projects, errs []string) {
	projects, errs = []string{}, []string{}
	names, err := c.projectNames()
	switch {
	case err != nil:
		return projects, append(errs, "Error searching all projects")
	case len(names) == 0:
		return projects, append(errs, "No projects found")
	}
	var unknown, wanted []string
	for _, p := range c.query["projects"] {
		if strings.TrimSpace(p) != "" && !slices.Contains(wanted, p) {
			wanted = append(wanted, p)
		}
	}
	if len(wanted) == 0 {
		return names, errs
	}
	for _, p := range wanted {
		if slices.Contains(names, p) {
			projects = append(projects, p)
		} else {
			unknown = append(unknown, p)
		}
	}
	if len(unknown) > 0 {
		errs = append(errs, "Following projects do not exist: "+strings.Join(unknown, ", "))
	}
	return projects, errs
}

// candidates returns what a search may find in a project.
func candidates(lists map[string][]any, project string) []object {
	types := map[string]string{
		"entities": ofEntity, "dataSources": ofDataSource, "featureViews": ofView, "labelViews": ofLabelView, "features": ofFeature,
		"labels": "label", "featureServices": ofService, "savedDatasets": ofSavedDataset,
	}
	var all []object
	for _, k := range content {
		for _, v := range lists[k.name] {
			o := v.(object)
			if k.name == "featureViews" {
				o = flatView(o)
			}
			about := o
			if spec, ok := o["spec"].(object); ok {
				about = spec
			}
			one := object{
				"type": types[k.name], "name": textAt(about, "name"), "description": textAt(about, "description"), "project": project,
				"tags": objectAt(about, "tags"),
			}
			switch k.name {
			case "features":
				one["featureView"] = textAt(o, "featureView")
			case "labels":
				one["labelView"] = textAt(o, "featureView")
			}
			all = append(all, one)
		}
	}
	return all
}

// matches reports whether a search finds an object, and notes how well and by which tags.
func matches(o object, text string) bool {
	tags, matched := objectAt(o, "tags"), object{}
	o["matched_tags"] = matched
	if text == "" {
		o["matched_tags"] = tags
		return true
	}
	exact, best := false, 0.0
	for k, v := range tags {
		value, _ := v.(string)
		combined := strings.ToLower(k) + "=" + strings.ToLower(value)
		if strings.Contains(combined, text) {
			exact, matched[k] = true, v
		} else if l := likeness(text, combined); l >= enough {
			matched[k], best = v, max(best, l)
		}
	}
	name := strings.ToLower(textAt(o, "name"))
	var score float64
	switch {
	case strings.Contains(name, text):
		score = inName
	case strings.Contains(strings.ToLower(textAt(o, "description")), text):
		score = inDescription
	case exact:
		score = inTags
	case best >= enough:
		score = best * 100
	default:
		l := likeness(text, name)
		if l < enough {
			return false
		}
		score = l * 100
	}
	o["match_score"] = score
	return true
}

// likeness returns the share of characters that both texts have.
func likeness(a, b string) float64 {
	letters := map[rune]int{}
	for _, r := range a {
		letters[r] |= 1
	}
	for _, r := range b {
		letters[r] |= 2
	}
	both := 0
	for _, in := range letters {
		if in == 3 {
			both++
		}
	}
	if len(letters) == 0 {
		return 0
	}
	return float64(both) / float64(len(letters))
}

func resourceCounts(c *call) (any, error) {
	c.flag("allow_cache", true)
	if err := c.valid(); err != nil {
		return nil, err
	}
	st, err := c.rest.Server.state(c.ctx)
	if err != nil {
		return nil, err
	}
	var updated any
	if !st.LastUpdated.IsZero() {
		updated = timeText(st.LastUpdated)
	}
	count := func(project string) (counts map[string]int, services, views []any) {
		lists, _, _ := c.lists(listing{project: project})
		counts, services, views = map[string]int{}, []any{}, []any{}
		for _, name := range []string{"entities", "dataSources", "savedDatasets", "features", "featureViews", "featureServices"} {
			counts[name] = len(lists[name])
		}
		for _, o := range lists["featureServices"] {
			services = append(services, object{"name": textAt(o, "spec", "name"), "project": project})
		}
		for _, o := range lists["featureViews"] {
			v := flatView(o.(object))
			views = append(views, object{
				"name": textAt(v, "spec", "name"), "project": project, "type": v["type"], "featureCount": len(listAt(v, "spec", "features")),
			})
		}
		return counts, services, views
	}
	if project := c.text("project"); project != "" {
		counts, services, views := count(project)
		return object{
			"project": project, "counts": counts, "featureServices": services, "featureViews": views,
			"projects": []any{object{"name": project}}, "registryLastUpdated": updated,
		}, nil
	}
	found, err := ask(c, c.ListProjects, &pb.ListProjectsRequest{})
	if err != nil {
		return nil, err
	}
	total := map[string]int{"entities": 0, "dataSources": 0, "savedDatasets": 0, "features": 0, "featureViews": 0, "featureServices": 0}
	each, services, views, projects := object{}, []any{}, []any{}, []any{}
	for _, p := range listAt(found, "projects") {
		name := textAt(p, "spec", "name")
		counts, s, v := count(name)
		each[name] = counts
		for k, n := range counts {
			total[k] += n
		}
		services, views = append(services, s...), append(views, v...)
		projects = append(projects, object{"name": name, "description": textAt(p, "spec", "description")})
	}
	return object{
		"total": total, "perProject": each, "featureServices": services, "featureViews": views, "projects": projects, "registryLastUpdated": updated,
	}, nil
}

// popularTag is a tag with the views that have it.
type popularTag struct {
	Key   string `json:"tag_key"`
	Value string `json:"tag_value"`
	Views []any  `json:"feature_views"`
	Total int    `json:"total_feature_views"`
}

func popularTags(c *call) (any, error) {
	c.flag("allow_cache", true)
	limit := c.number("limit", 4, 0)
	if err := c.valid(); err != nil {
		return nil, err
	}
	names := []string{c.text("project")}
	if names[0] == "" {
		var err error
		if names, err = c.projectNames(); err != nil {
			return nil, err
		}
	}
	type tag struct{ key, value string }
	var tags []*popularTag
	byTag, views := map[tag]*popularTag{}, 0
	for _, project := range names {
		found, err := ask(c, c.ListAllFeatureViews, &pb.ListAllFeatureViewsRequest{Project: project})
		if err != nil {
			return nil, err
		}
		for _, o := range listAt(found, "featureViews") {
			views++
			v := flatView(o.(object))
			for key, value := range objectAt(v, "spec", "tags") {
				text, _ := value.(string)
				t := byTag[tag{key, text}]
				if t == nil {
					t = &popularTag{Key: key, Value: text}
					byTag[tag{key, text}], tags = t, append(tags, t)
				}
				t.Views, t.Total = append(t.Views, object{"name": textAt(v, "spec", "name"), "project": project}), t.Total+1
			}
		}
	}
	slices.SortFunc(tags, func(a, b *popularTag) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(b.Key, a.Key), cmp.Compare(a.Value, b.Value))
	})
	return object{
		"popular_tags": append([]*popularTag{}, tags[:min(limit, len(tags))]...),
		"metadata":     object{"totalFeatureViews": views, "totalTags": len(tags), "limit": limit},
	}, nil
}

// recentlyVisited answers that nobody visited anything: this server does not write into the registry who reads what.
func recentlyVisited(c *call) (any, error) {
	page, sorting := c.pagination(), c.sorting()
	_ = sorting
	if err := c.valid(); err != nil {
		return nil, err
	}
	if project := c.text("project"); project != "" {
		_, _, err := c.rest.Server.find(c.ctx, project, project, permissions.Describe, registry.KindProject)
		if ignoreNotFound(err) != nil {
			return nil, err
		}
	}
	if page.GetPage() == 0 && page.GetLimit() == 0 {
		return object{"visits": []any{}, "pagination": object{"totalCount": 0}}, nil
	}
	list, pagination := pageOf(nil, max(int(page.GetPage()), 1), int(cmp.Or(page.GetLimit(), 50)))
	return object{"visits": list, "pagination": pagination}, nil
}

// timeText writes a time as JSON of messages has it.
func timeText(t time.Time) string {
	text := t.UTC().Format("2006-01-02T15:04:05")
	switch n := t.Nanosecond(); {
	case n == 0:
	case n%1e6 == 0:
		text += t.Format(".000")
	case n%1e3 == 0:
		text += t.Format(".000000")
	default:
		text += t.Format(".000000000")
	}
	return text + "Z"
}

// parseTime reads a time of ISO 8601; one without a zone is in UTC.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
