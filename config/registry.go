package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// Registry says where the registry is and how long what was read of it may serve.
type Registry struct {
	Type      string `yaml:"registry_type"` // "file", "sql", "snowflake.registry", "remote"; here also "memory"
	StoreType string `yaml:"registry_store_type,nullable"`
	// Path is as written: a path, a URI, a SQLAlchemy URL or host:port, by type. It may hold a password.
	Path string `yaml:"path"`
	// CacheTTL is how long a loaded registry serves; 0 or less: it never expires.
	CacheTTL time.Duration `yaml:"cache_ttl_seconds,strict"`
	// CacheMode is "sync" or "thread"; any other text means the same as "sync".
	CacheMode string `yaml:"cache_mode"`
	// S3Kwargs are additional parameters of the PutObject request.
	S3Kwargs                map[string]string `yaml:"s3_additional_kwargs"`
	PurgeMetadata           bool              `yaml:"purge_feast_metadata,strict"`
	OnlineVersioning        bool              `yaml:"enable_online_feature_view_versioning,strict"`
	ServeWhileMaterializing bool              `yaml:"serve_features_while_materializing,strict"`
	// Section is the whole of the registry's configuration, for the keys of its driver. Null in a Registry built
	// without a file.
	Section Section  `yaml:"-"`
	_       struct{} `yaml:",inline"`
}

func defaultRegistry() Registry {
	return Registry{Type: "file", CacheTTL: 600 * time.Second, CacheMode: "sync"}
}

// String is the type. The path is left out, since it may hold a password.
func (g Registry) String() string { return g.Type }

// Driver is the name under which the registry's driver is looked up: the type, and for type "file" the store that
// StoreType names or else the scheme of Path means: "file", "s3", "gcs", "hdfs", "azure", or the class path of a
// plug-in. The error is a [feasterr.ErrInvalid].
func (g Registry) Driver() (string, error) {
	name, wrong := g.driver()
	if wrong.Key != "" {
		return "", feasterr.Invalid("registry.%s", wrong.String())
	}
	return name, nil
}

var (
	registryTypes = []string{"file", "memory", "remote", "snowflake.registry", "sql"}

	// The store of a file registry, by the scheme of its path and by the class that registry_store_type names.
	storeOfScheme = map[string]string{"": "file", "file": "file", "s3": "s3", "gs": "gcs", "hdfs": "hdfs"}
	storeOfClass  = map[string]string{
		"AzBlobRegistryStore": "azure",
		"AzureRegistryStore":  "azure",
		"FileRegistryStore":   "file",
		"GCSRegistryStore":    "gcs",
		"HDFSRegistryStore":   "hdfs",
		"S3RegistryStore":     "s3",
	}
)

// driver is [Registry.Driver]. The problem, if any, names the key within the registry's section.
func (g Registry) driver() (string, Problem) {
	switch {
	case !slices.Contains(registryTypes, g.Type):
		return "", Problem{Key: "registry_type", Message: fmt.Sprintf("unknown registry type %q%s", g.Type,
			suggest(g.Type, registryTypes, ""))}
	case g.Type != "file":
		return g.Type, Problem{}
	case g.StoreType != "":
		return g.storeOfType()
	}
	scheme := schemeOf(g.Path)
	store, ok := storeOfScheme[scheme]
	if !ok {
		return "", Problem{Key: "path", Message: fmt.Sprintf("scheme %q is not supported: give a path, a file://, "+
			"s3://, gs:// or hdfs:// URI, or the store in registry_store_type", scheme)}
	}
	return store, Problem{}
}

func (g Registry) storeOfType() (string, Problem) {
	dot := strings.LastIndexByte(g.StoreType, '.')
	store, ok := storeOfClass[g.StoreType[dot+1:]]
	switch {
	case ok && (dot < 0 || strings.HasPrefix(g.StoreType, "feast.infra.registry.")):
		return store, Problem{}
	case dot > 0 && strings.HasSuffix(g.StoreType, "RegistryStore"):
		return g.StoreType, Problem{}
	}
	return "", Problem{Key: "registry_store_type", Message: fmt.Sprintf("unknown registry store %q%s", g.StoreType,
		suggest(g.StoreType, slices.Sorted(maps.Keys(storeOfClass)), "RegistryStore"))}
}

// decodeSection reads the two forms of a registry: a path alone, and a map.
func (g *Registry) decodeSection(r *report, s Section) {
	*g = defaultRegistry()
	g.Section = s
	before := len(r.problems)
	switch s.node.Kind {
	case yamldoc.Text:
		r.decode(s.node, s.key, reflect.ValueOf(&g.Path).Elem(), options{})
	case yamldoc.Map:
		r.fields(s.node, s.key, reflect.ValueOf(g).Elem(), false)
	default:
		r.mismatch(s.node, s.key, "a path or a map")
	}
	g.Section.typ = g.Type // and not the path, in the short form
	if _, wrong := g.driver(); wrong.Key != "" && len(r.problems) == before {
		key := s.key
		if s.node.Kind == yamldoc.Map {
			key = yamldoc.Join(key, wrong.Key)
		}
		r.problem(s.at(wrong.Key).Line, key, "%s", wrong.Message)
	}
}

// schemeOf is the scheme of a URI in lower case, and empty for a plain path, a Windows drive included.
func schemeOf(path string) string {
	scheme, _, ok := strings.Cut(path, "://")
	odd := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')
	}
	if !ok || len(scheme) < 2 || strings.ContainsFunc(scheme, odd) {
		return ""
	}
	return strings.ToLower(scheme)
}
