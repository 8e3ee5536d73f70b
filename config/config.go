// Package config reads feature_store.yaml, the configuration file of a Feast repository: environment variables,
// defaults and short forms as Feast 0.67 has them, every problem reported at once with its line and key.
//
// The keys that all stores share become fields of [RepoConfig]. What belongs to one driver stays a [Section], which
// the driver decodes strictly into a struct of its own when it is opened.
//
// Values of this package are safe for concurrent reading.
package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
)

// FileName is the name of the file that makes a directory a Feast repository.
const FileName = "feature_store.yaml"

// RepoConfig is a feature_store.yaml, resolved. [Load] and [Parse] read one; programs without a file start from
// [Default].
type RepoConfig struct {
	Project            string `yaml:"project,required"`
	ProjectDescription string `yaml:"project_description,nullable,literal"`
	// Provider is kept for interchange: it changes no default and no behaviour.
	Provider string `yaml:"provider,literal"`

	// File is the name of the document in messages, RepoPath the absolute path of its directory, against which
	// [RepoConfig.ResolvePath] resolves.
	File     string `yaml:"-"`
	RepoPath string `yaml:"-"`

	Registry Registry `yaml:"registry,required"`
	// The stores and the engine. Their Type is the name as written; a null section means that there is none.
	OnlineStore  Section `yaml:"online_store"`
	OfflineStore Section `yaml:"offline_store"`
	BatchEngine  Section `yaml:"batch_engine"`
	// Auth has type no_auth, kubernetes or oidc, or is null.
	Auth Section `yaml:"auth"`
	// FeatureServer has type local or mcp, or is null.
	FeatureServer         Section                `yaml:"feature_server"`
	EmbeddingModel        *EmbeddingModel        `yaml:"embedding_model"` // nil when absent
	Materialization       Materialization        `yaml:"materialization"`
	DataQualityMonitoring *DataQualityMonitoring `yaml:"data_quality_monitoring"` // nil when absent
	OpenLineage           Section                `yaml:"openlineage"`
	MLflow                Section                `yaml:"mlflow"`

	// EntityKeyVersion is the serialization version of entity keys: 3, or the deprecated 2.
	EntityKeyVersion int `yaml:"entity_key_serialization_version,strict"`
	// CoerceTZAware makes the timestamps of entity rows UTC in retrieval for training.
	CoerceTZAware bool `yaml:"coerce_tz_aware,nullable"`

	// Extra holds the top-level keys that Feast does not know. They are no error.
	Extra map[string]Section `yaml:",inline"`
	// Warnings are what is doubtful but not wrong, in the order of the file: undefined variables, deprecated keys,
	// keys given twice, probable misspellings.
	Warnings []Problem `yaml:"-"`
}

// Materialization holds the defaults of materialization runs.
type Materialization struct {
	PullLatestFeatures bool `yaml:"pull_latest_features,strict"`
	// OnlineWriteBatchSize is the number of rows per write to the online store, 0 for all at once.
	OnlineWriteBatchSize int      `yaml:"online_write_batch_size,nullable" min:"1"`
	_                    struct{} `yaml:",inline"`
}

// EmbeddingModel names the model that turns a text query into a vector.
type EmbeddingModel struct {
	Provider string `yaml:"provider,literal"`
	Model    string `yaml:"model,required,literal"`
}

func (m *EmbeddingModel) setDefaults() { m.Provider = "sentence_transformers" }

// DataQualityMonitoring holds the settings of data quality monitoring.
type DataQualityMonitoring struct {
	AutoBaseline bool `yaml:"auto_baseline,strict"`
}

func (m *DataQualityMonitoring) setDefaults() { m.AutoBaseline = true }

// TokenSource gives the bearer token of outgoing calls. Token is called for every call or connection, from several
// goroutines; implementations keep what is still valid.
type TokenSource interface {
	Token(ctx context.Context) (string, error)
}

// Default is the configuration of a file that holds nothing but a project and a registry: SQLite online, files
// offline, the registry still without its path. Programs without a feature_store.yaml change it to their needs.
func Default(project string) *RepoConfig {
	typed := func(key, typ string) Section {
		return Section{key: key}.WithType(typ)
	}
	return &RepoConfig{
		Project:          project,
		Provider:         "local",
		Registry:         defaultRegistry(),
		OnlineStore:      typed("online_store", "sqlite"),
		OfflineStore:     typed("offline_store", "dask"),
		BatchEngine:      typed("batch_engine", "local"),
		Auth:             typed("auth", "no_auth"),
		EntityKeyVersion: 3,
		CoerceTZAware:    true,
	}
}

// Load reads a feature_store.yaml. path is the file, or the directory that holds it; empty, it is what the variable
// FEAST_FS_YAML_FILE_PATH says, or else the working directory. lookup gives the values of environment variables:
// [os.LookupEnv], or a function over a map; nil defines none.
//
// A file that is not there is a [feasterr.ErrNotFound] and an [fs.ErrNotExist]; a wrong one is an [*Error].
func Load(path string, lookup func(string) (string, bool)) (*RepoConfig, error) {
	if path == "" {
		path = "."
		if lookup != nil {
			if p, ok := lookup("FEAST_FS_YAML_FILE_PATH"); ok {
				path = p
			}
		}
	}
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, FileName)
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing(path, err)
	case err != nil:
		return nil, fmt.Errorf("reading the feature store configuration: %w", err)
	}
	return Parse(data, file, filepath.Dir(file), lookup)
}

// Parse is [Load] on the bytes of a file. file names the document in messages; repoPath is the directory that
// relative paths resolve against, itself relative to the working directory.
//
// The environment is substituted in the whole text before it is parsed, as Feast does: $NAME and ${NAME}, once, no
// escapes and no default values; names that lookup does not define stay as they are written, with a warning. It is
// an error only when such a variable is the whole of a value that is needed.
func Parse(data []byte, file, repoPath string, lookup func(string) (string, bool)) (*RepoConfig, error) {
	repoPath, err := filepath.Abs(repoPath)
	if err != nil {
		return nil, fmt.Errorf("the feature repository's directory: %w", err)
	}
	r := &report{file: file}
	root := parseDocument(r, data, lookup)
	if root == nil {
		return nil, r.err()
	}
	c := Default("")
	c.File, c.RepoPath = file, repoPath
	r.fields(root, "", reflect.ValueOf(c).Elem(), false)
	c.check(r, Section{file: file, node: root})
	if err := r.err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.warnings, byLine)
	c.Warnings = r.warnings
	return c, nil
}

// ResolvePath makes p absolute: relative paths are relative to the repository, file:// URIs lose their scheme. A
// tilde is not expanded. URIs of other schemes are returned as they are.
func (c *RepoConfig) ResolvePath(p string) string {
	switch schemeOf(p) {
	case "":
	case "file":
		p = strings.TrimPrefix(p[len("file://"):], "localhost")
		if unescaped, err := url.PathUnescape(p); err == nil {
			p = unescaped
		}
		if len(p) > 2 && p[0] == '/' && p[2] == ':' { // file:///C:/data
			p = p[1:]
		}
		p = filepath.FromSlash(p)
	default:
		return p
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(c.RepoPath, p)
}

// String names the project and the types of its stores, and no values: those may be secrets.
func (c *RepoConfig) String() string {
	return fmt.Sprintf("project %q (registry %q, online store %q, offline store %q)", c.Project, c.Registry,
		c.OnlineStore.typ, c.OfflineStore.typ)
}

// check applies the rules that go beyond the type of a value, and fills in the types of sections that name none.
func (c *RepoConfig) check(r *report, root Section) {
	if n := root.node.Get("project"); n != nil && n.Kind == yamldoc.Text && n.Undefined == "" {
		checkProject(r, n)
	}
	c.checkTypes(r)

	const version = "entity_key_serialization_version"
	switch c.EntityKeyVersion {
	case 3:
	case 2:
		r.warning(root.at(version).Line, version, "version 2 is deprecated; 3 is the current one")
	default:
		r.problem(root.at(version).Line, version, "must be 3, or 2 for old stores, is %d", c.EntityKeyVersion)
	}

	if flags, ok := c.Extra["flags"]; ok && !flags.IsNull() {
		r.warning(flags.Line(), flags.key, "is deprecated and has no effect")
	}
	delete(c.Extra, "flags")
	delete(c.Extra, "repo_path") // Feast overwrites it with the place of the file
	keys := slices.Values(layoutOf(reflect.TypeFor[RepoConfig]()).keys())
	for _, key := range slices.Sorted(maps.Keys(c.Extra)) {
		s := c.Extra[key]
		if near := feasterr.Near(key, keys); len(near) > 0 {
			r.warning(s.Line(), s.key, "is no key of Feast and has no effect here; did you mean %s?", yamldoc.Alternatives(near))
		}
	}
}

// checkProject applies Feast's rule for project names. The hyphen, which Feast's message permits without SQLite, it
// refuses always.
func checkProject(r *report, n *yamldoc.Node) {
	odd := func(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsNumber(c) }
	switch {
	case strings.ContainsFunc(n.Text, odd):
		r.problem(n.Line, "project", "%q must consist of letters, digits and underscores", n.Text)
	case strings.HasPrefix(n.Text, "_"):
		r.problem(n.Line, "project", "%q must not begin with an underscore", n.Text)
	}
}

// checkTypes looks at the type names of the sections that have one. An unknown engine is only a warning, since Feast
// accepts the file and engines have come and gone: a program that reads features must start all the same.
func (c *RepoConfig) checkTypes(r *report) {
	if s := &c.OnlineStore; s.typed(r, "sqlite") {
		name := strings.ToLower(s.typ)
		switch {
		case s.typeNode().Undefined != "":
			r.unset(s.typeNode(), s.typeKey())
		case s.node.Kind == yamldoc.Text && (name == "none" || name == "null"):
			r.warning(s.Line(), s.key, "is the text %q, which no store is called; without quotes, null is no online store", s.typ)
		case !onlineTypes.known(s.typ):
			r.problem(s.typeNode().Line, s.typeKey(), "%s", onlineTypes.unknown(s.typ))
		}
	}
	if s := &c.OfflineStore; s.typed(r, "dask") && s.typeNode().Undefined == "" && !offlineTypes.known(s.typ) {
		r.problem(s.typeNode().Line, s.typeKey(), "%s", offlineTypes.unknown(s.typ))
	}
	if s := &c.BatchEngine; s.typed(r, "") && s.typeNode().Undefined == "" {
		switch {
		case s.typ == "":
			r.warning(s.Line(), s.typeKey(), "is missing, so no engine can be chosen")
		case !engineTypes.known(s.typ):
			r.warning(s.typeNode().Line, s.typeKey(), "%s", engineTypes.unknown(s.typ))
		}
	}
	if s := &c.Auth; s.typed(r, "") {
		s.typeAmong(r, "no_auth", "kubernetes", "oidc")
	}
	if s := &c.FeatureServer; s.typed(r, "local") {
		s.typeAmong(r, "local", "mcp")
	}
}
