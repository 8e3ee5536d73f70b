//go:build !windows && (!unix || aix || solaris)

package file

import (
	"io/fs"
	"os"
	"runtime"

	"github.com/feastgo/feast/feasterr"
)

// tryLock refuses: without a lock updates would be lost.
func tryLock(string) (unlock func(), err error) {
	return nil, feasterr.Unsupported("file registries cannot be written on %s, where files have no locks that end with "+
		"the process", runtime.GOOS)
}

func busy(error) bool { return false }

func keep(string, string) bool { return false }

func takeOwner(*os.File, fs.FileInfo) {}

func syncDir(string) error { return nil }
