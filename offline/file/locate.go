package file

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/offline"
)

// located is a file of a source, with the columns that its directories stand for.
type located struct {
	path  string
	parts []part
}

// part is a directory name=value, as Hive names partitions: a column of text.
type part struct {
	name, value string
	null        bool
}

// location is the place of a source.
type location struct {
	path      string // absolute
	pattern   bool
	directory bool // the path ends as that of a directory
}

// locate says where the files of a source are. Paths are relative to dir.
func locate(dir string, s *offline.Source) (location, error) {
	switch strings.ToLower(s.Format) {
	case "", "parquet":
	default:
		return location{}, feasterr.Unsupported("source %q: format %q cannot be read by offline store %q, which reads Parquet", s.Name, s.Format, name)
	}
	p := s.Path
	if scheme, _, ok := strings.Cut(p, "://"); ok {
		if !strings.EqualFold(scheme, "file") {
			return location{}, feasterr.Unsupported("source %q: %s: offline store %q reads local files", s.Name, p, name)
		}
		u, err := url.Parse(p)
		if err != nil || u.Host != "" && u.Host != "localhost" {
			return location{}, feasterr.Invalid("source %q: %s names no local file", s.Name, p)
		}
		p = filepath.FromSlash(u.Path)
	}
	if p == "" || strings.ContainsRune(p, 0) {
		return location{}, feasterr.Invalid("source %q: path %q names no file", s.Name, s.Path)
	}
	l := location{path: p, directory: os.IsPathSeparator(p[len(p)-1])}
	if !filepath.IsAbs(p) {
		l.path = filepath.Join(dir, p)
	}
	l.path = filepath.Clean(l.path)
	if strings.ContainsAny(p, "*?[") {
		_, err := os.Lstat(l.path) // a file may be named like a pattern
		l.pattern = err != nil
	}
	return l, nil
}

// files finds the files at a location, sorted by path, bytewise.
func (l location) files() ([]located, error) {
	var out []located
	var err error
	root := l.path
	if l.pattern {
		root, out, err = l.matches()
	} else {
		out, err = walk(root, true)
	}
	if err != nil {
		return nil, inFile(l.path, err)
	}
	if len(out) == 0 {
		if info, err := os.Stat(l.path); err == nil && info.IsDir() {
			return nil, fmt.Errorf("%s is a directory that holds no Parquet file: %w", l.path, feasterr.ErrNotFound)
		}
		return nil, &feasterr.NotFoundError{Kind: "Parquet file", Name: l.path}
	}
	slices.SortFunc(out, func(a, b located) int { return cmp.Compare(a.path, b.path) })
	out = slices.CompactFunc(out, func(a, b located) bool { return a.path == b.path })
	for i := range out {
		out[i].parts = partsOf(root, out[i].path)
	}
	return out, nil
}

// walk returns the file at root, or the Parquet files of the directory and of those below it. Names that begin with a dot
// or an underscore are no data: by this convention writers leave notes there. Links are followed, but not to a directory
// that the link is in. Without a root there are no files.
func walk(root string, data bool) ([]located, error) {
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []located{{path: root}}, nil
	}
	w := walker{data: data}
	err = w.directory(root, info)
	return w.out, err
}

type walker struct {
	data  bool // only what looks like Parquet
	above []fs.FileInfo
	out   []located
}

func (w *walker) directory(dir string, info fs.FileInfo) error {
	if slices.ContainsFunc(w.above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return nil
	}
	w.above = append(w.above, info)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if strings.ContainsAny(d.Name()[:1], "._") {
			continue
		}
		path := filepath.Join(dir, d.Name())
		if !d.IsDir() && d.Type()&fs.ModeSymlink == 0 {
			if d.Type().IsRegular() && (!w.data || isParquet(d.Name())) {
				w.out = append(w.out, located{path: path})
			}
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil && (!w.data || isParquet(d.Name())):
			return err
		case err != nil: // a link to nothing, which is no data
		case info.IsDir():
			err = w.directory(path, info)
		case info.Mode().IsRegular() && (!w.data || isParquet(d.Name())):
			w.out = append(w.out, located{path: path})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isParquet(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".parq", ".pq", "":
		return true
	}
	return false
}

// matches finds the files that fit a pattern: each part of its path is one of [path.Match], and ** is any number of
// directories. A directory that fits stands for its files. The root is the part of the path before the first wildcard.
func (l location) matches() (string, []located, error) {
	sep := string(filepath.Separator)
	segments := strings.Split(l.path, sep)
	fixed := slices.IndexFunc(segments, func(s string) bool { return strings.ContainsAny(s, "*?[") })
	root := cmp.Or(strings.Join(segments[:fixed], sep), sep)
	pattern := segments[fixed:]
	for _, s := range pattern {
		if _, err := path.Match(s, ""); err != nil {
			return "", nil, feasterr.Invalid("%s: %q is no pattern", l.path, s)
		}
	}
	all, err := walk(root, false)
	if err != nil {
		return root, nil, err
	}
	out := all[:0]
	for _, f := range all {
		rel, err := filepath.Rel(root, f.path)
		if err != nil {
			return root, nil, err
		}
		if matchPath(pattern, strings.Split(rel, sep)) {
			out = append(out, f)
		}
	}
	return root, out, nil
}

// matchPath reports whether a path, or a directory that it is in, fits a pattern; files in directories have to look like
// Parquet.
func matchPath(pattern, segments []string) bool {
	switch {
	case len(pattern) == 0:
		return len(segments) == 0 || isParquet(segments[len(segments)-1])
	case pattern[0] == "**" && len(pattern) == 1:
		return len(segments) > 0 && isParquet(segments[len(segments)-1])
	case pattern[0] == "**":
		for i := range len(segments) + 1 {
			if matchPath(pattern[1:], segments[i:]) {
				return true
			}
		}
		return false
	case len(segments) == 0:
		return false
	}
	ok, _ := path.Match(pattern[0], segments[0])
	return ok && matchPath(pattern[1:], segments[1:])
}

// noValue is how Hive names the directory of rows without a value.
const noValue = "__HIVE_DEFAULT_PARTITION__"

func partsOf(root, file string) []part {
	rel, err := filepath.Rel(root, filepath.Dir(file))
	if err != nil {
		return nil
	}
	var out []part
	for s := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		column, value, ok := strings.Cut(s, "=")
		if !ok || column == "" {
			continue
		}
		if unescaped, err := url.PathUnescape(value); err == nil {
			value = unescaped
		}
		out = append(out, part{name: column, value: value, null: value == noValue})
	}
	return out
}
