package layout

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// A rule names the packages of this module and the other modules that a package may import, tests apart. A name that
// ends in /... stands for all packages below it.
type rule struct {
	own     []string
	modules []string
}

var (
	registryDriver = []string{"registry", "permissions", "config", "types", "feasterr"}
	arrow          = "github.com/apache/arrow-go/v18"
	onlineDriver   = []string{"online", "config", "types", "feasterr"}
	public         = []string{
		".", "registry/...", "online/...", "offline/...", "remote/...", "permissions/...", "config", "types", "telemetry", "feasterr",
		"drivers/...", "feasttest",
	}
)

// rules is the order of the rooms, bottom up. A package that no line names, itself or by the nearest /... above it,
// fails the test.
var rules = map[string]rule{
	"feasterr":  {},
	"telemetry": {},
	"types":     {own: []string{"feasterr", "internal/wire"}},
	"types/arrowconv": {
		own: []string{"types", "feasterr"}, modules: []string{arrow},
	},
	"config": {own: []string{"feasterr", "internal/yamldoc"}, modules: []string{"go.yaml.in/yaml/v3"}},

	"internal/calls":       {},
	"internal/sealed":      {},
	"internal/duration":    {},
	"internal/drivers":     {},
	"internal/sleep":       {},
	"internal/localfile":   {own: []string{"feasterr", "internal/sleep"}},
	"internal/wire":        {},
	"internal/projectmeta": {},
	"internal/yamldoc":     {own: []string{"feasterr"}, modules: []string{"go.yaml.in/yaml/v3"}},
	"internal/protos/...":  {own: []string{"internal/protos/..."}, modules: []string{"google.golang.org/protobuf"}},
	"internal/protos/feast/registry/registrygrpc": {
		own: []string{"internal/protos/..."}, modules: []string{"google.golang.org/protobuf", "google.golang.org/grpc"},
	},

	"internal/pyregexp":        {},
	"internal/guard":           {own: []string{"permissions", "permissions/auth", "feasterr"}},
	"internal/guard/guardtest": {own: []string{"permissions", "feasterr"}},
	"internal/exceptions":      {own: []string{"permissions", "feasterr"}},
	"internal/pyrepr":          {},
	"permissions":              {own: []string{"feasterr", "internal/sealed", "internal/pyregexp", "internal/pyrepr"}},
	"permissions/auth":         {own: []string{"permissions", "config", "feasterr", "internal/drivers"}},
	"permissions/oidc": {
		own:     []string{"permissions", "permissions/auth", "config", "feasterr", "internal/calls"},
		modules: []string{"github.com/go-jose/go-jose/v4", "golang.org/x/oauth2", "golang.org/x/sync"},
	},

	"permissions/kubernetes": {
		own:     []string{"permissions", "permissions/auth", "config", "feasterr", "internal/calls"},
		modules: []string{"github.com/go-logr/logr", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go"},
	},

	"registry": {
		own: []string{
			"types", "config", "permissions", "feasterr", "internal/sealed", "internal/duration", "internal/drivers",
			"internal/projectmeta", "internal/protos/...",
		},
		modules: []string{"google.golang.org/protobuf"},
	},
	"registry/file":   {own: append([]string{"internal/localfile", "internal/sleep"}, registryDriver...)},
	"registry/memory": {own: registryDriver},
	"internal/blob":   {own: []string{"registry", "feasterr", "internal/sleep"}},
	"registry/s3": {
		own: append([]string{"internal/blob"}, registryDriver...),
		modules: []string{
			"github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/service/s3",
			"github.com/aws/smithy-go",
		},
	},
	"registry/gcs": {
		own: append([]string{"internal/blob"}, registryDriver...),
		modules: []string{
			"cloud.google.com/go/storage", "cloud.google.com/go/auth", "google.golang.org/api", "google.golang.org/grpc",
		},
	},
	"registry/remote": {
		own:     append([]string{"remote", "internal/protos/..."}, registryDriver...),
		modules: []string{"google.golang.org/protobuf", "google.golang.org/grpc"},
	},
	"registry/sql": {
		own:     append([]string{"internal/drivers", "internal/projectmeta", "internal/sleep", "internal/protos/..."}, registryDriver...),
		modules: []string{"google.golang.org/protobuf"},
	},
	"registry/sql/postgres": {own: []string{"registry/sql", "feasterr"}, modules: []string{"github.com/jackc/pgx/v5"}},
	"registry/sql/mysql":    {own: []string{"registry/sql", "feasterr"}, modules: []string{"github.com/go-sql-driver/mysql"}},
	"registry/sql/sqlite":   {own: []string{"registry/sql", "feasterr"}, modules: []string{"modernc.org/sqlite"}},
	"registry/registrytest": {
		own:     append([]string{"internal/sealed", "internal/protos/..."}, registryDriver...),
		modules: []string{"google.golang.org/protobuf"},
	},
	"registry/definitions": {
		own:     []string{"registry", "permissions", "config", "types", "feasterr", "internal/duration", "internal/yamldoc"},
		modules: []string{"go.yaml.in/yaml/v3"},
	},

	"remote": {
		own:     []string{"config", "feasterr"},
		modules: []string{"google.golang.org/grpc", "github.com/hashicorp/go-retryablehttp"},
	},
	"internal/grpccall": {own: []string{"feasterr", "internal/guard"}, modules: []string{"google.golang.org/grpc"}},
	"internal/featureserver": {
		own: []string{".", "registry", "permissions", "types", "feasterr", "internal/plan", "internal/guard", "internal/exceptions", "internal/pyrepr"},
	},
	"remote/server": {
		own: []string{
			".", "registry", "offline", "online", "permissions", "permissions/auth", "types", "types/arrowconv", "config", "feasterr", "telemetry",
			"internal/exceptions", "internal/guard", "internal/grpccall", "internal/registryserver", "internal/featureserver", "internal/offlineserver",
			"internal/protos/...",
		},
		modules: []string{"google.golang.org/grpc", arrow},
	},

	"online":            {own: []string{"types", "config", "feasterr", "internal/drivers"}},
	"online/memory":     {own: onlineDriver},
	"online/hedge":      {own: append([]string{"internal/calls"}, onlineDriver...)},
	"online/fallback":   {own: onlineDriver},
	"online/cache":      {own: append([]string{"internal/calls"}, onlineDriver...), modules: []string{"github.com/maypok86/otter/v2"}},
	"online/breaker":    {own: onlineDriver, modules: []string{"github.com/sony/gobreaker/v2"}},
	"online/hybrid":     {own: onlineDriver},
	"online/onlinetest": {own: onlineDriver},
	"online/redis": {
		own:     append([]string{"internal/calls"}, onlineDriver...),
		modules: []string{"github.com/redis/go-redis/v9", "github.com/twmb/murmur3"},
	},
	"online/remote": {own: append([]string{"remote", "internal/calls"}, onlineDriver...)},
	"online/sqlite": {own: onlineDriver, modules: []string{"modernc.org/sqlite", "modernc.org/libc"}},

	"offline": {own: []string{"config", "feasterr", "internal/drivers"}, modules: []string{arrow}},
	"offline/file": {
		own:     []string{"offline", "types", "config", "feasterr", "internal/calls", "internal/localfile"},
		modules: []string{arrow, "github.com/parquet-go/parquet-go"},
	},
	"offline/remote": {
		own: []string{
			"offline", "remote", "config", "feasterr", "internal/calls", "internal/sleep", "internal/flightwire", "internal/protos/...",
		},
		modules: []string{arrow, "google.golang.org/grpc", "google.golang.org/protobuf"},
	},
	"internal/flightwire": {own: []string{"feasterr"}, modules: []string{arrow}},
	"internal/offlineserver": {
		own: []string{
			".", "registry", "offline", "permissions", "types/arrowconv", "feasterr", "internal/exceptions", "internal/guard", "internal/grpccall",
			"internal/flightwire", "internal/plan", "internal/protos/...",
		},
		modules: []string{arrow, "google.golang.org/grpc", "google.golang.org/protobuf"},
	},
	"offline/offlinetest": {own: []string{"offline", "feasterr"}, modules: []string{arrow}},
	"offline/compute":     {own: []string{"offline", "config", "feasterr", "internal/drivers"}, modules: []string{arrow}},
	"offline/compute/...": {own: []string{"offline/compute", "offline", "config", "feasterr"}, modules: []string{arrow}},

	"internal/plan": {
		own: []string{"registry", "online", "offline", "permissions", "config", "types", "telemetry", "feasterr", "internal/wire"},
	},
	".": {
		own: []string{
			"registry", "registry/definitions", "online", "offline", "permissions", "config", "types", "types/arrowconv",
			"permissions/auth", "telemetry", "feasterr", "offline/compute", "offline/compute/local",
			"internal/plan", "internal/wire",
		},
		modules: []string{arrow},
	},

	"feasttest": {own: []string{".", "config", "online/memory", "registry/memory"}},

	"drivers/...":         {own: []string{"registry/...", "online/...", "offline/...", "permissions/...", "drivers/embedded"}},
	"examples/...":        {own: public},
	"examples/server":     {own: public, modules: []string{"google.golang.org/grpc"}}, // for certificates
	"internal/interop":    {},
	"internal/layout":     {},
	"internal/testserver": {},
	"internal/testserver/s3server": {
		modules: []string{"github.com/johannesboyne/gofakes3", "github.com/aws/aws-sdk-go-v2", "github.com/aws/aws-sdk-go-v2/service/s3"},
	},
	"internal/testserver/gcsserver": {
		modules: []string{"github.com/fsouza/fake-gcs-server", "cloud.google.com/go/storage", "google.golang.org/api"},
	},
	"internal/testserver/idp": {modules: []string{"github.com/go-jose/go-jose/v4"}},
	"internal/cputime":        {},
	"internal/looks":          {},
	"internal/redisbench":     {},
	"internal/registryserver": {
		own: []string{
			"registry", "permissions", "types", "feasterr", "internal/exceptions", "internal/guard", "internal/grpccall",
			"internal/protos/...", "internal/pyrepr",
		},
		modules: []string{"google.golang.org/protobuf", "google.golang.org/grpc"},
	},
}

// core lists the packages that every program links, with any driver or none.
var core = []string{
	"feasterr", "telemetry", "types", "types/arrowconv", "config", "permissions", "registry", "registry/definitions",
	"online", "offline", "offline/compute", "offline/compute/local", "internal/plan", ".",
}

// heavy lists what no core package may reach, by the beginning of import paths.
var heavy = []string{
	// cloud SDKs
	"cloud.google.com/",
	"github.com/Azure/",
	"github.com/aws/",
	"google.golang.org/api/",
	"k8s.io/",
	// database clients
	"github.com/ClickHouse/",
	"github.com/couchbase/",
	"github.com/elastic/",
	"github.com/go-sql-driver/",
	"github.com/jackc/",
	"github.com/redis/",
	"github.com/snowflakedb/",
	"modernc.org/",
	// gRPC and HTTP clients
	"github.com/hashicorp/",
	"google.golang.org/grpc",
	// telemetry
	"github.com/prometheus/",
	"go.opentelemetry.io/",
	// Parquet and Flight
	"github.com/apache/arrow-go/v18/arrow/flight",
	"github.com/apache/arrow-go/v18/parquet",
	"github.com/parquet-go/",
}

func TestImportOrder(t *testing.T) {
	packages := listPackages(t)
	for _, p := range packages {
		name, ok := p.own()
		if !ok {
			continue
		}
		r, ok := ruleOf(name)
		if !ok {
			t.Errorf("package %s has no rule: add one that says what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			if imported == "C" {
				t.Errorf("package %s uses cgo: that belongs into a module of its own", name)
				continue
			}
			dep := packages[imported]
			switch {
			case dep == nil || dep.Standard:
			case dep.Module.Main:
				if !matches(r.own, relative(imported)) {
					t.Errorf("package %s may not import %s", name, relative(imported))
				}
			case !slices.Contains(r.modules, dep.Module.Path):
				t.Errorf("package %s may not import module %s (package %s)", name, dep.Module.Path, imported)
			}
		}
	}
}

func TestCoreIsLight(t *testing.T) {
	packages := listPackages(t)
	for _, name := range core {
		p := packages[path.Join(module, name)]
		if p == nil {
			t.Errorf("core package %s does not exist", name)
			continue
		}
		for _, imported := range p.Deps {
			for _, prefix := range heavy {
				if strings.HasPrefix(imported, prefix) {
					t.Errorf("core package %s reaches %s", name, imported)
				}
			}
			if dep := packages[imported]; dep != nil && !dep.Standard && len(dep.CgoFiles) > 0 {
				t.Errorf("core package %s reaches %s, which uses cgo", name, imported)
			}
		}
	}
}

// ruleOf returns the rule for a package: its own, or that of the nearest /... above it.
func ruleOf(name string) (rule, bool) {
	if r, ok := rules[name]; ok {
		return r, true
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		if r, ok := rules[dir+"/..."]; ok {
			return r, true
		}
	}
	return rule{}, false
}

// matches reports whether one of the patterns names the package.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		dir, all := strings.CutSuffix(pattern, "/...")
		return name == dir || all && strings.HasPrefix(name, dir+"/")
	})
}
