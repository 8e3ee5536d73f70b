// Package file keeps a registry in the file that Feast keeps it in: one serialized feast.core.Registry in a local file.
// It is the registry type "file" for paths without a scheme and file URIs.
//
// Reading takes no lock. Writers of this library take turns, those of other processes and of other machines that share
// a file system with locks included, and replace the file as a whole: whoever reads it sees the old or the new one.
// Feast takes no lock and rewrites the file in place; see [Backend.Update] for what that means. Beside registry.db a
// writer needs the names .registry.db.lock, .registry.db.new and .registry.db.old. They go when it is done; what a
// writer that was killed left behind is in nobody's way and goes with the next write.
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
	"github.com/feastgo/feast/internal/localfile"
	"github.com/feastgo/feast/internal/sleep"
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

	// Feast rewrites the file in place: for a moment it is empty or cut off. A file that may be cut off is believed when it
	// has been quiet for settle; one that is empty, for patience: on a busy machine Feast's moment takes longer than one would
	// think. One that stays empty, since Feast was killed or the disk is full, is no reason to give up what it held.
	settle   = 50 * time.Millisecond
	patience = 2 * time.Second
	pause    = 10 * time.Millisecond
	attempts = 300

	// Within racy of a modification, the file may be modified again without its time moving (some file systems count
	// in steps of two seconds): the next probe reads it rather than trust its time.
	racy = 2 * time.Second
)

// Backend is one registry file. Opening it touches nothing: a file that does not exist is an error of Load.
type Backend struct {
	path string
	seed maphash.Seed

	mu    sync.Mutex
	info  fs.FileInfo    // of the file when it was last read or written
	token registry.Token // of its content then
	racy  bool           // it had been modified just before
}

// New returns the registry in the file at path.
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
	if have != "" && b.unchanged(have) {
		return nil, have, nil
	}
	why := opening
	if have != "" || b.loaded() {
		why = polling
	}
	c, err := load(ctx, b.path, why)
	if err != nil {
		return nil, "", err
	}
	if len(c.data) == 0 && b.held() {
		return nil, "", feasterr.Invalid("registry file %q is empty, and was not: perhaps a program ended while it wrote it; apply the "+
			"repository again, or restore a backup", b.path)
	}
	token := b.remember(c.data, c.info)
	if token == have {
		return nil, have, nil
	}
	return c.state, token, nil
}

// unchanged reports whether a stat suffices to tell that the file is that of token.
func (b *Backend) unchanged(token registry.Token) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if token != b.token || b.racy {
		return false
	}
	info, err := os.Stat(b.path)
	return err == nil && same(b.info, info)
}

// loaded reports whether the file was read before, so that somebody may serve what it held.
func (b *Backend) loaded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token != ""
}

// held reports whether the file was not empty when it was last read.
func (b *Backend) held() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.info != nil && b.info.Size() > 0
}

// remember keeps what the file holds for the next probe and returns its token.
func (b *Backend) remember(data []byte, info fs.FileInfo) registry.Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info, b.racy = info, time.Since(info.ModTime()) < racy
	b.token = registry.Token(strconv.FormatUint(maphash.Bytes(b.seed, data), 16) + "-" + strconv.Itoa(len(data)))
	return b.token
}

// content is what the file held at one moment.
type content struct {
	data  []byte
	info  fs.FileInfo // nil when there was no file
	state *registry.State
}

// purpose says why the file is loaded, and so how sure its content has to be.
type purpose int

const (
	opening purpose = iota // somebody waits, and has nothing else
	polling                // what is known serves meanwhile
	writing                // a mistake would be lasting
)

// load reads the file when nobody is writing it.
func load(ctx context.Context, path string, why purpose) (content, error) {
	broken, doubtful := settle, settle // how long to be quiet for when it is no registry; when maybe cut off
	switch why {
	case opening:
		doubtful = 0
	case writing:
		broken = patience
	}
	var seen fs.FileInfo
	var since time.Time
	for attempt := 1; ; attempt++ {
		data, info, err := read(path)
		if err != nil && (!localfile.Busy(err) || attempt == attempts) {
			return content{}, err
		}
		var state *registry.State
		wait := true
		if err == nil {
			if seen == nil || !same(seen, info) {
				seen, since = info, time.Now()
			}
			quiet := time.Since(since)
			if why != writing || len(data) > 0 { // else go by what was seen: the clock of a file server may differ
				quiet = max(quiet, time.Since(info.ModTime()))
			}
			after, statErr := os.Stat(path)
			state, err = registry.ParseState(data)
			switch {
			case statErr != nil || !same(info, after) || int64(len(data)) != info.Size(): // torn
			case len(data) == 0:
				wait = quiet < patience
			case err != nil:
				wait = quiet < broken
			default:
				wait = quiet < doubtful && !state.Sealed
			}
		}
		switch {
		case wait && attempt < attempts:
			if err := sleep.For(ctx, pause); err != nil {
				return content{}, fmt.Errorf("reading registry file %q: %w", path, err)
			}
		case wait:
			return content{}, feasterr.Unavailable("registry file %q changes while it is being read", path)
		case err != nil && why == writing: // and the writer names the file
			return content{}, err
		case err != nil:
			return content{}, fmt.Errorf("registry file %q: %w", path, err)
		default:
			return content{data, info, state}, nil
		}
	}
}

// read returns the content of the file and what it was before it was read.
func read(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("%w; check registry.path in feature_store.yaml, or apply the repository first: %w",
			&feasterr.NotFoundError{Kind: "registry file", Name: path}, err)
	case err != nil:
		return nil, nil, failed("stat", err)
	case info.IsDir():
		return nil, nil, feasterr.Invalid("registry.path %q is a directory; it must name the registry file", path)
	case !info.Mode().IsRegular():
		return nil, nil, feasterr.Invalid("registry.path %q is not a regular file", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, failed("read", err)
	}
	return data, info, nil
}

func failed(op string, err error) error {
	return &feasterr.StoreError{Store: "registry/file", Op: op, Err: err}
}

// same reports whether two stats of the path show the same file, unmodified.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// PollInterval implements registry.Poller.
func (b *Backend) PollInterval() time.Duration { return pollInterval }

// Close implements registry.Backend. There is nothing to release.
func (b *Backend) Close() error { return nil }
