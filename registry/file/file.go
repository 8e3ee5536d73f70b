// Package file reads the file registry that Feast writes: one serialized feast.core.Registry in a local file. It is
// the registry type "file" for paths without a scheme and file URIs.
package file

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/feastgo/feast/config"
	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/registry"
)

func init() {
	registry.Register(registry.Driver{
		Names: []string{"file"},
		Open: func(_ context.Context, cfg *config.RepoConfig, _ registry.Env) (registry.Backend, error) {
			if cfg.Registry.Path == "" {
				return nil, feasterr.Invalid("registry.path is not set: it names the registry file")
			}
			return New(cfg.ResolvePath(cfg.Registry.Path)), nil
		},
	})
}

const (
	pollInterval = time.Second

	// Feast rewrites the file in place: for a moment it is empty or cut off. Within settle of a modification such a
	// file is looked at again before it is believed.
	settle   = 50 * time.Millisecond
	pause    = 10 * time.Millisecond
	attempts = 50

	// Within racy of a modification, the file may be modified again without its time moving (some file systems count
	// in steps of two seconds): the next probe reads it rather than trust its time.
	racy = 2 * time.Second
)

// Backend reads one registry file. Opening it touches nothing: a file that does not exist is an error of Load.
type Backend struct {
	path string
	seed maphash.Seed

	mu    sync.Mutex
	info  fs.FileInfo    // of the file when it was last read
	token registry.Token // of its content then
	racy  bool           // it had been modified just before
}

// New returns a backend that reads the file at path.
func New(path string) *Backend {
	return &Backend{path: path, seed: maphash.MakeSeed()}
}

// Path returns the path of the file.
func (b *Backend) Path() string { return b.path }

// Load implements registry.Backend. The probe is a stat.
func (b *Backend) Load(ctx context.Context, have registry.Token) (*registry.State, registry.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("reading registry file %q: %w", b.path, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()

	if have != "" && have == b.token && !b.racy {
		if info, err := os.Stat(b.path); err == nil && same(b.info, info) {
			return nil, have, nil
		}
	}
	for attempt := 1; ; attempt++ {
		data, info, err := b.read()
		if err != nil {
			return nil, "", err
		}
		after, err := os.Stat(b.path)
		torn := err != nil || !same(info, after) || int64(len(data)) != info.Size()
		state, err := registry.ParseState(data)
		// What looks whole may still be cut off between two records; a load that has a token can wait to be sure.
		age := time.Since(info.ModTime())
		young := 0 <= age && age < settle && (err != nil || len(data) == 0 || have != "")
		switch {
		case young, torn && attempt < attempts:
			if err := sleep(ctx, pause); err != nil {
				return nil, "", fmt.Errorf("reading registry file %q: %w", b.path, err)
			}
			continue
		case torn:
			return nil, "", feasterr.Unavailable("registry file %q changes while it is being read", b.path)
		case err != nil:
			return nil, "", fmt.Errorf("registry file %q: %w", b.path, err)
		}
		b.info, b.racy = info, age < racy
		sum := maphash.Bytes(b.seed, data)
		b.token = registry.Token(strconv.FormatUint(sum, 16) + "-" + strconv.Itoa(len(data)))
		if b.token == have {
			return nil, have, nil
		}
		return state, b.token, nil
	}
}

// read returns the content of the file and what it was before it was read.
func (b *Backend) read() ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(b.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w; check registry.path in feature_store.yaml, or apply the repository first: %w",
			&feasterr.NotFoundError{Kind: "registry file", Name: b.path}, err)
	case err != nil:
		return nil, nil, &feasterr.StoreError{Store: "registry/file", Op: "stat", Err: err}
	case info.IsDir():
		return nil, nil, feasterr.Invalid("registry.path %q is a directory; it must name the registry file", b.path)
	case !info.Mode().IsRegular():
		return nil, nil, feasterr.Invalid("registry.path %q is not a regular file", b.path)
	}
	data, err := os.ReadFile(b.path)
	if err != nil {
		return nil, nil, &feasterr.StoreError{Store: "registry/file", Op: "read", Err: err}
	}
	return data, info, nil
}

// same reports whether two stats of the path show the same file, unmodified.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PollInterval implements registry.Poller.
func (b *Backend) PollInterval() time.Duration { return pollInterval }

// Update implements registry.Backend. This version reads file registries and does not write them.
func (b *Backend) Update(context.Context, string, func(registry.Tx) error) (registry.Token, error) {
	return "", feasterr.Unsupported("registry file %q: this version of the library reads file registries and does not "+
		"write them; apply with Feast", b.path)
}

// Teardown implements registry.Backend: it removes the file.
func (b *Backend) Teardown(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("removing registry file %q: %w", b.path, err)
	}
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &feasterr.StoreError{Store: "registry/file", Op: "remove", Err: err}
	}
	return nil
}

// Close implements registry.Backend. There is nothing to release.
func (b *Backend) Close() error { return nil }
