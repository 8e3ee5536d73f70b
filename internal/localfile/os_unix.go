//go:build unix && !aix && !solaris

package localfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// tryLock takes the lock that the file at name stands for, errLocked when another writer has it. The system lets go of
// it when the process ends in whatever way. The file goes with the lock.
func tryLock(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	// The writer who had it may have removed the file after it was opened here: then the lock is on nothing.
	mine, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(name); err == nil && os.SameFile(mine, there) {
			return func() {
				_ = os.Remove(name)
				_ = f.Close()
			}, nil
		}
	}
	_ = f.Close()
	return nil, errLocked
}

// Busy reports whether an error passes when other programs close the file: not on this system.
func Busy(error) bool { return false }

// TakeOwner gives f the owner and group of the file that it replaces, or at least the group, as far as the process may.
func TakeOwner(f *os.File, was fs.FileInfo) {
	if s, ok := was.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
			_ = f.Chown(-1, int(s.Gid))
		}
	}
}

// SyncDir makes what happened to names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, syscall.EINVAL) { // a file system that has no need of it
		err = nil
	}
	return errors.Join(err, d.Close())
}
