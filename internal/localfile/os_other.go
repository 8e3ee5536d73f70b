//go:build !windows && (!unix || aix || solaris)

package localfile

import (
	"io/fs"
	"os"
	"runtime"

	"github.com/feastgo/feast/feasterr"
)

// tryLock refuses: without a lock updates would be lost.
func tryLock(string) (unlock func(), err error) {
	return nil, feasterr.Unsupported("this cannot be written on %s, where files have no locks that end with the process", runtime.GOOS)
}

// Busy reports whether an error passes when other programs close the file.
func Busy(error) bool { return false }

// TakeOwner has nothing to do.
func TakeOwner(*os.File, fs.FileInfo) {}

// SyncDir has nothing to do.
func SyncDir(string) error { return nil }
