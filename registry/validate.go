package registry

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/permissions"
	"github.com/feastgo/feast/types"
)

// inputSchemaSource begins the names of request sources in which Feast keeps the input schema of on-demand views.
const inputSchemaSource = "__input_schema__"

// defaultHop is the size of tiles when a view does not say it.
const defaultHop = 5 * time.Minute

// checker collects what is wrong with definitions, each problem under the object that has it.
type checker struct {
	project  string
	problems []error
	object   ID   // that is being checked
	made     bool // it was made in Go, not read from a registry
}

func (c *checker) fail(format string, args ...any) {
	id := c.object
	id.Project = ""
	c.problems = append(c.problems, feasterr.Invalid("%s: "+format, append([]any{id}, args...)...))
}

// checkAll checks what can be said of definitions without looking into the registry, and returns those that are sound.
func (c *checker) checkAll(objects []Object) []Object {
	sound := make([]Object, 0, len(objects))
	seen := map[ID]bool{}
	folded := map[ID]string{} // views and data sources by lower case name
	for i, o := range objects {
		if isNil(o) {
			c.problems = append(c.problems, feasterr.Invalid("object %d is nil", i+1))
			continue
		}
		before := len(c.problems)
		c.start(o)
		if c.object.Name == "" {
			c.fail("has no name")
		}
		c.name("the name", c.object.Name)
		twice := seen[c.object]
		if twice {
			c.fail("is given twice")
		}
		seen[c.object] = true
		if group := foldGroup(c.object.Kind); group != 0 && c.object.Name != "" && !twice {
			key := ID{Kind: group, Name: strings.ToLower(c.object.Name)}
			if other, taken := folded[key]; taken && other != c.object.Name {
				c.fail("the name differs from %q, given too, only in upper and lower case", other)
			} else if taken && group == KindFeatureView {
				c.fail("the name is given to another view too")
			}
			folded[key] = c.object.Name
		}
		c.check(o)
		if len(c.problems) == before {
			sound = append(sound, o)
		}
	}
	return sound
}

func (c *checker) start(o Object) {
	c.object = ID{Kind: KindOf(o), Name: nameOf(o)}
	c.made = o.Origin().Proto == nil
}

func nameOf(o Object) string {
	if s, ok := o.(*DataSource); ok {
		return sourceName(s)
	}
	return o.Resource().Name
}

// foldGroup returns the kind that stands for all kinds whose names must differ in more than case, 0 for none.
func foldGroup(k Kind) Kind {
	switch {
	case k.IsView():
		return KindFeatureView
	case k == KindDataSource:
		return k
	}
	return 0
}

// isNil reports whether o is no object: nil, or a nil pointer.
func isNil(o Object) bool { return KindOf(o) == 0 || reflect.ValueOf(o).IsNil() }

// name refuses control characters, which hide in what people read and end keys and lines early.
func (c *checker) name(what, name string) {
	if c.made && strings.ContainsFunc(name, unicode.IsControl) {
		c.fail("%s %q has a control character", what, name)
	}
}

func (c *checker) check(o Object) {
	switch o := o.(type) {
	case *Project:
		if o.Name != c.project {
			c.fail("the project that is applied is %q, and only one can be applied at a time", c.project)
		}
	case *Entity:
		if (o.Name == DummyEntity) != (o.Key() == DummyJoinKey) {
			c.fail("entity name %q and join key %q are reserved for views without entities", DummyEntity, DummyJoinKey)
		}
		c.name("join key", o.JoinKey)
		c.keyType(o.ValueType)
	case *DataSource:
		c.source(o)
	case *FeatureView:
		c.view(o, o.Tags)
		c.state(o.State)
		c.featureView(o)
	case *StreamFeatureView:
		c.view(o, o.Tags)
		c.state(o.State)
		c.streamView(o)
	case *OnDemandFeatureView:
		c.view(o, o.Tags, trackMetricsTag)
		c.state(o.State)
		c.onDemandView(o)
	case *LabelView:
		c.view(o, o.Tags)
		if len(o.Entities) == 0 {
			c.fail("has no entities: labels are given to something")
		}
		if p := o.ConflictPolicy; c.made && (p < LastWriteWins || p > MajorityVote) {
			c.fail("ConflictPolicy %d is none of LastWriteWins (%d), LabelerPriority (%d), MajorityVote (%d)",
				p, LastWriteWins, LabelerPriority, MajorityVote)
		}
	case *FeatureService:
		for i := range o.Features {
			if o.Features[i].Name == "" {
				c.fail("feature view %d of it has no name", i+1)
			}
		}
	case *SavedDataset:
		if storage, ok := o.Storage.(SparkOptions); ok && c.made {
			spark(storage, c.fail)
		}
	case *ValidationReference:
		if len(o.Profiler) == 0 {
			c.fail("has no profiler: Feast cannot read it back")
		}
	case *permissions.Permission:
		if len(o.Actions) == 0 {
			c.fail("has no actions")
		}
		switch o.Policy.(type) {
		case nil:
			c.fail("has no policy")
		case permissions.RoleBased, permissions.GroupBased, permissions.NamespaceBased, permissions.CombinedGroupNamespace:
		default:
			c.fail("policy %T cannot be stored: give a RoleBased, GroupBased, NamespaceBased or CombinedGroupNamespace by value", o.Policy)
		}
		for _, pattern := range o.NamePatterns {
			if err := permissions.ValidatePattern(pattern); err != nil && c.made {
				c.fail("the name pattern %w", err)
			}
		}
	}
}

// view checks what all kinds of views have in common.
func (c *checker) view(v View, tags map[string]string, reserved ...string) {
	info := v.Info()
	if strings.Contains(info.Name, "@") {
		c.fail(`the name must not contain "@", which begins a version in references: "view@v2:feature"`)
	}
	if strings.Contains(info.Name, ":") {
		c.fail(`the name must not contain ":", which separates view and feature in references: "view:feature"`)
	}
	if _, _, err := parseVersion(info.Version); err != nil {
		c.fail("%w", err)
	}
	if c.made && info.TTL < 0 {
		c.fail("TTL %s is negative: 0 keeps rows for good", info.TTL)
	}
	c.tags(tags, reserved...)
	names := map[string]bool{}
	indexes := 0
	for _, f := range info.Features {
		switch {
		case f.Name == "":
			c.fail("a feature has no name")
		case names[f.Name]:
			c.fail("feature %q is there twice", f.Name)
		case f.Name == DummyJoinKey:
			c.fail("feature name %q is reserved for views without entities", DummyJoinKey)
		}
		names[f.Name] = true
		c.field("feature", f)
		if f.VectorIndex {
			indexes++
		}
	}
	for _, f := range info.EntityColumns {
		if f.Type != types.Invalid { // else it comes from the entity
			c.field("entity column", f)
		}
	}
	if indexes > 1 {
		c.fail("%d features have a vector index, and at most one can", indexes)
	}
	seen := map[string]bool{}
	for _, name := range info.Entities {
		if seen[name] {
			c.fail("entity %q is there twice", name)
		}
		seen[name] = true
	}
	if s := info.StreamSource; s != nil {
		c.source(s)
	}
	if s := info.Source; s != nil && (info.StreamSource == nil || s != info.StreamSource.BatchSource) {
		c.source(s)
	}
	if info.Source != nil {
		for _, column := range slices.Sorted(maps.Keys(info.Source.FieldMapping)) {
			if names[column] {
				c.fail("column %q is renamed to %q by the field mapping of data source %q: name it so in the schema",
					column, info.Source.FieldMapping[column], sourceName(info.Source))
			}
		}
	}
	if info.StreamSource != nil && info.Source == nil && info.Kind != KindLabelView {
		c.fail("data source %q has no BatchSource, where the history of a stream is read from", info.StreamSource.Name)
	}
}

// field checks a column, called what.
func (c *checker) field(what string, f Field) {
	c.name(what, f.Name)
	if c.made {
		switch {
		case f.Type == types.Invalid:
			c.fail("%s %q has no type", what, f.Name)
		case !f.Type.Valid():
			c.fail("%s %q has type %s, which is not one of Feast's", what, f.Name, f.Type)
		case f.Type == types.Null:
			c.fail("%s %q has type %s, which only values have: Feast cannot read it back", what, f.Name, f.Type)
		}
		if example := innerExample(f.Type); example != "" && f.Inner != "" && !validInner(f.Type, f.Inner) {
			c.fail("%s %q: Inner %q does not complete type %s in Feast's words, as %s does", what, f.Name, f.Inner, f.Type, example)
		}
	}
	if f.VectorLength < 0 {
		c.fail("%s %q: vector length %d is negative", what, f.Name, f.VectorLength)
	}
	for _, tag := range []string{structSchemaTag, nestedTypeTag} {
		if _, taken := f.Tags[tag]; taken {
			c.fail("%s %q: tag %q is reserved: set Inner", what, f.Name, tag)
		}
	}
}

// keyType checks the type of an entity. Feast accepts scalars of which it cannot store keys, too, as Bool and UUID.
func (c *checker) keyType(t types.Type) {
	switch {
	case !c.made || t == types.Invalid:
	case !t.Valid():
		c.fail("value type %s is not one of Feast's", t)
	case t == types.Null, innerTag(t) != "", t == types.Map, t == types.ScalarMap, t.Elem() != types.Invalid:
		c.fail("value type %s cannot be that of a join key: String, Bytes, Int32, Int64 and UnixTimestamp can", t)
	}
}

func (c *checker) state(s ViewState) {
	if c.made && (s < StateUnspecified || s > StateAvailableOnline) {
		c.fail("State %d is none of Feast's, %d (%s) to %d (%s)", s, StateUnspecified, StateUnspecified, StateAvailableOnline, StateAvailableOnline)
	}
}

func (c *checker) tags(tags map[string]string, reserved ...string) {
	for _, tag := range reserved {
		if _, taken := tags[tag]; taken {
			c.fail("tag %q is reserved: set the attribute", tag)
		}
	}
}

func (c *checker) featureView(v *FeatureView) {
	batch, _ := sources(v.Source, v.StreamSource)
	if len(v.SourceViews) > 0 && batch == nil {
		c.fail("it is computed from other views, so Source must say where the result goes")
	}
	c.sourceViews(v.SourceViews)
	if !v.IsBatch() || batch == nil {
		return
	}
	switch o := batch.Options.(type) {
	case FileOptions, BigQueryOptions, RedshiftOptions, SnowflakeOptions, SparkOptions, TrinoOptions, AthenaOptions:
	default:
		if o != nil && !isCustom(o.sourceType()) {
			c.fail("a batch feature view cannot read data source %q, a %s", sourceName(batch), className(o))
		}
	}
}

// sourceViews checks the columns of views that a view is computed from.
func (c *checker) sourceViews(views []FeatureView) {
	for i := range views {
		what := fmt.Sprintf("source view %q: feature", views[i].Name)
		for _, f := range views[i].Schema {
			c.field(what, f)
		}
		c.sourceViews(views[i].SourceViews)
	}
}

func (c *checker) streamView(v *StreamFeatureView) {
	_, stream := sources(v.Source, v.StreamSource)
	if stream == nil && v.Source != nil && v.Source.Options != nil && isCustom(v.Source.Options.sourceType()) {
		stream = v.Source
	}
	switch {
	case stream == nil:
		c.fail("has no stream source: a stream feature view needs a Kafka or push source")
	case stream.Options != nil:
		if _, kinesis := stream.Options.(KinesisOptions); kinesis {
			c.fail("data source %q is a Kinesis source: a stream feature view needs a Kafka or push source", stream.Name)
		}
	}
	if len(v.Aggregations) > 0 && v.TimestampField == "" {
		c.fail("aggregations need TimestampField, the event time column of the stream")
	}
	if !v.EnableTiling {
		return
	}
	hop := cmp.Or(v.TilingHopSize, defaultHop)
	for _, a := range v.Aggregations {
		switch {
		case a.TimeWindow > 0 && hop >= a.TimeWindow:
			c.fail("tiles of %s are not smaller than the window of %s of %q", hop, a.TimeWindow, a.Column)
		case a.TimeWindow%hop != 0:
			c.fail("the window of %s of %q is not a multiple of the tiles of %s", a.TimeWindow, a.Column, hop)
		}
	}
}

func (c *checker) onDemandView(v *OnDemandFeatureView) {
	switch v.Mode {
	case "", "pandas", "python", "substrait":
	default:
		if c.made {
			c.fail("mode %q is none of pandas, python, substrait", v.Mode)
		}
	}
	if v.Singleton && v.Mode != "python" {
		c.fail("a singleton transformation works in mode python only")
	}
	if len(v.Aggregations) > 0 && v.Transformation != nil {
		c.fail("it has aggregations and a transformation, and can have but one of them")
	}
	if len(v.Schema) == 0 {
		c.fail("has no features")
	}
	for i := range v.Sources {
		if v.Sources[i].Name == "" {
			c.fail("feature view %d of its sources has no name", i+1)
		}
	}
	for _, s := range v.RequestSources {
		switch {
		case s == nil:
			c.fail("a request source is nil")
			continue
		case c.made && strings.HasPrefix(s.Name, inputSchemaSource):
			c.fail("request source %q: names that begin with %q are reserved", s.Name, inputSchemaSource)
		}
		if _, ok := s.Options.(RequestOptions); !ok && s.Options != nil {
			c.fail("request source %q is a %s", s.Name, className(s.Options))
		}
		c.source(s)
	}
}

// source checks a data source, of its own or within a view, and the batch source in it.
func (c *checker) source(s *DataSource) {
	name := sourceName(s)
	fail := func(format string, args ...any) {
		if c.object.Kind == KindDataSource {
			c.fail(format, args...)
		} else {
			c.fail("data source %q: "+format, append([]any{name}, args...)...)
		}
	}
	if name == "" && c.object.Kind != KindDataSource {
		c.fail("its data source has no name")
	}
	if name != c.object.Name { // which is checked
		c.name("data source", name)
	}
	if s.TimestampField != "" && s.TimestampField == s.CreatedTimestampColumn {
		fail("column %q cannot be both event and created timestamp", s.TimestampField)
	}
	switch s.TimestampFieldType {
	case "", "TIMESTAMP", "DATE":
	default:
		fail("timestamp field type %q is neither TIMESTAMP nor DATE", s.TimestampFieldType)
	}
	table, query, path := "", "", ""
	needs := true
	switch o := s.Options.(type) {
	case nil:
		if needs = false; c.made {
			fail("has no Options: they say what kind of source it is")
		}
	case BigQueryOptions:
		table, query = o.Table, o.Query
	case RedshiftOptions:
		table, query = o.Table, o.Query
	case TrinoOptions:
		table, query = o.Table, o.Query
	case AthenaOptions:
		table, query = o.Table, o.Query
	case SnowflakeOptions:
		if table, query = o.Table, o.Query; table != "" && query != "" {
			fail("has both a table and a query")
		}
	case SparkOptions:
		table, query, path = o.Table, o.Query, o.Path
		if c.made {
			spark(o, fail)
		}
		if table != "" && (query != "" || path != "") {
			fail("has a table, so it can have neither a query nor a path")
		}
		if path != "" && o.FileFormat == "" && o.TableFormat == nil {
			fail("has a path, so it needs a FileFormat or a TableFormat")
		}
	case KafkaOptions:
		needs = false
		if c.made && o.MessageFormat.Type == "" {
			fail("has no MessageFormat, whose Type is avro, json or proto: Feast cannot read it back")
		}
	case KinesisOptions:
		needs = false
		if c.made && o.RecordFormat.Type == "" {
			fail("has no RecordFormat, whose Type is avro, json or proto: Feast cannot read it back")
		}
	case RequestOptions:
		needs = false
		for _, f := range o.Schema {
			c.field("request data", f)
		}
	case FileOptions:
		if path = o.Path; path == "" {
			fail("has no path")
		}
		needs = false
	default:
		needs = false
	}
	if needs && table == "" && query == "" && path == "" {
		fail("has neither a table nor a query")
	}
	if s.BatchSource == nil {
		return
	}
	if !s.IsStream() && s.Options != nil {
		fail("has a BatchSource, which only push, Kafka and Kinesis sources have")
	}
	if s.BatchSource.IsStream() || s.BatchSource.BatchSource != nil {
		fail("its BatchSource is a stream itself")
		return
	}
	c.source(s.BatchSource)
}

// spark checks what keeps Feast from reading a registry. Fail takes a problem.
func spark(o SparkOptions, fail func(format string, args ...any)) {
	if o.Path != "" && o.FileFormat != "" && !slices.Contains(sparkFileFormats[:], o.FileFormat) {
		fail("FileFormat %q is none of %s", o.FileFormat, strings.Join(sparkFileFormats[:], ", "))
	}
	if f := o.TableFormat; f != nil && f.Type == "lance" && f.Version != 0 && f.Tag != "" {
		fail("the lance TableFormat has Version %d and Tag %q, and can have but one of them", f.Version, f.Tag)
	}
}

var sparkFileFormats = [...]string{"csv", "json", "parquet", "avro"}

// sourceName returns the name of a source: of one without, the path or table it reads, as in Feast.
func sourceName(s *DataSource) string {
	if s.Name != "" {
		return s.Name
	}
	switch o := s.Options.(type) {
	case FileOptions:
		return o.Path
	case BigQueryOptions:
		return o.Table
	case RedshiftOptions:
		return o.Table
	case SnowflakeOptions:
		return o.Table
	case SparkOptions:
		return o.Table
	case TrinoOptions:
		return o.Table
	case AthenaOptions:
		return o.Table
	case PostgresOptions:
		return o.Table
	}
	return ""
}

// className returns the Python class of a source without its modules: "FileSource".
func className(o SourceOptions) string {
	return o.class()[strings.LastIndexByte(o.class(), '.')+1:]
}
