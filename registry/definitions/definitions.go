// Package definitions reads and writes the objects of a registry as YAML. docs/definitions.md describes the format: a
// document for each object, its kind named as the class in Feast's Python, its keys as there or in Feast's messages.
//
//	kind: FeatureView
//	name: driver_stats
//	entities: [driver]
//	ttl: 1d
//	schema:
//	  - {name: conv_rate, type: Float32}
//	source: driver_file
//
// A definition is what people write: what the registry keeps about objects (when they were applied, what was
// materialized, states, versions made, copies of features in services) is none, and neither is the project.
package definitions

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/yamldoc"
	"github.com/feastgo/feast/registry"
)

// maxFileSize bounds what is read of one file.
const maxFileSize = 64 << 20

// Load reads the definitions in a file, or in all files below a folder that end in .yaml or .yml, in the order of their
// paths. feature_store.yaml and what begins with a dot is left out below a folder; links are followed to files, not to
// folders. The objects come in the order of their documents.
//
// Together the files are complete: the data sources, entities and views that they name, they define. The error lists all
// problems of all files; each is an [*Error]. Without any definition, Load is a [feasterr.ErrNotFound].
func Load(path string) ([]registry.Object, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("definitions: %w: %w", feasterr.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filesBelow(path, nil); err != nil {
			return nil, fmt.Errorf("definitions: %w", err)
		}
	}
	r := new(reader)
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			return nil, fmt.Errorf("definitions: %w", err)
		}
		r.parse(file, data)
	}
	objects, err := r.finish()
	if err == nil && len(objects) == 0 {
		return nil, fmt.Errorf("%w: no definitions in %s: %d files that end in .yaml or .yml, and nothing in them",
			feasterr.ErrNotFound, path, len(files))
	}
	return objects, err
}

// Parse is [Load] of the bytes of one file, which may also be without definitions. file names it in messages.
func Parse(file string, data []byte) ([]registry.Object, error) {
	r := new(reader)
	r.parse(file, data)
	return r.finish()
}

// filesBelow appends the files with definitions in dir, those of folders in it included.
func filesBelow(dir string, files []string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		ext := filepath.Ext(name)
		switch {
		case strings.HasPrefix(name, "."):
		case e.IsDir():
			if files, err = filesBelow(path, files); err != nil {
				return nil, err
			}
		case name == config.FileName || ext != ".yaml" && ext != ".yml":
		default:
			if info, err := os.Stat(path); err != nil {
				return nil, err
			} else if !info.IsDir() {
				files = append(files, path)
			}
		}
	}
	return files, nil
}

func readFile(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = feasterr.Invalid("%s: larger than %d MiB", path, maxFileSize>>20)
	}
	return data, err
}

// parse reads the documents of a file.
func (r *reader) parse(file string, data []byte) {
	r.file, r.object = file, ""
	if line := yamldoc.InvalidLine(data); line > 0 {
		r.problem(line, 0, "", "is not UTF-8 text")
		return
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	expanded := 0
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		r.object = ""
		if err != nil {
			line, msg := yamldoc.SyntaxError(string(data), err)
			r.problem(line, 0, "", "%s", msg)
			return
		}
		if len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null" {
			continue
		}
		b := yamldoc.Builder{
			Problem:   func(line, column int, key, msg string) { r.problem(line, column, key, "%s", msg) },
			Duplicate: func(line, column int, key string) { r.problem(line, column, key, "is given twice") },
		}
		r.object = titleOf(doc.Content[0])
		n := b.Build(doc.Content[0], "")
		if expanded += n.Size - b.Built; n.Size > yamldoc.MaxValues || expanded > yamldoc.MaxValues {
			r.problem(n.Line, n.Column, "", "stands for more than %d values; aliases count where they stand", yamldoc.MaxValues)
			return
		}
		r.define(n)
	}
}

// titleOf is how messages name the object of a document, as far as it says.
func titleOf(n *yaml.Node) string {
	var kind, name string
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i < len(n.Content); i += 2 {
		if v := n.Content[i+1]; v.Kind == yaml.ScalarNode {
			switch n.Content[i].Value {
			case "kind":
				kind = v.Value
			case "name":
				name = v.Value
			}
		}
	}
	return title(kind, name)
}

func title(kind, name string) string {
	switch {
	case kind == "":
		return ""
	case name == "":
		return kind
	}
	return fmt.Sprintf("%s %q", kind, name)
}
