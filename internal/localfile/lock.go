// Package localfile is what the writers of local files share: a lock that counts between processes, and names and owners
// of files that take the place of others.
package localfile

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/feastgo/feast/feasterr"
	"github.com/feastgo/feast/internal/sleep"
)

// errLocked says that another writer has the lock.
var errLocked = errors.New("locked")

// Lock takes the lock that the file of that name stands for, and makes that file. It waits for another writer, of this
// process or another one, until ctx ends, and if wait is not 0 at most so long: then the error is a
// feasterr.ErrUnavailable. The system lets go of the lock when the process ends in whatever way. Errors of the system are
// fs.PathErrors.
func Lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	for start := time.Now(); ; {
		if unlock, err = tryLock(name); !errors.Is(err, errLocked) {
			return unlock, err
		}
		if wait != 0 && time.Since(start) > wait {
			return nil, feasterr.Unavailable("another writer has held %q for %s", name, wait)
		}
		if err := sleep.For(ctx, time.Millisecond+rand.N(4*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}
