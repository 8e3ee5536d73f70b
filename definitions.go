package feast

import (
	"io"

	"github.com/feastgo/feast/registry/definitions"
)

// DefinitionError is [definitions.Error].
type DefinitionError = definitions.Error

// LoadDefinitions reads the objects that YAML files define: all files that end in .yaml or .yml in the folder dir and in
// the folders below it, but for feature_store.yaml and what begins with a dot; or the one file that dir names. The
// format is described in docs/definitions.md. [FeatureStore.Snapshot] gives what a registry holds, which
// [ExportDefinitions] writes this way.
//
// Objects come in the order of paths and of documents in a file. Everything that is wrong in any of the files is in the
// error, a joined list of [*DefinitionError]; without any definition the error is an [ErrNotFound].
func LoadDefinitions(dir string) ([]Object, error) { return definitions.Load(dir) }

// ExportDefinitions writes objects as YAML that [LoadDefinitions] reads, a document for each, in the order given:
//
//	err := feast.ExportDefinitions(file, slices.Collect(snapshot.Objects())...)
//
// Defaults and what the registry keeps about objects are left out. Data sources and views that others refer to are
// written as names when they are among the objects. Nothing is written when an object cannot be expressed; the error, an
// [ErrInvalid], says which and why.
func ExportDefinitions(w io.Writer, objects ...Object) error {
	return definitions.Export(w, objects...)
}
