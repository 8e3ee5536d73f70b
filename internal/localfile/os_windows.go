package localfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const (
	errorSharingViolation = syscall.Errno(32)
	errorLockViolation    = syscall.Errno(33)
)

// tryLock takes the lock that the file at name stands for, errLocked when another writer has it: the file is open for
// one at a time. The system closes it when the process ends in whatever way. The file stays.
func tryLock(name string) (unlock func(), err error) {
	p, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(p, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS,
		syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case errors.Is(err, errorSharingViolation):
		return nil, errLocked
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return func() { _ = syscall.CloseHandle(h) }, nil
}

// Busy reports whether an error may pass when other programs close the file: a file that is open without
// FILE_SHARE_DELETE, as Go and Python open it, cannot be replaced, and one that is being replaced cannot be opened.
func Busy(err error) bool {
	return errors.Is(err, errorSharingViolation) || errors.Is(err, errorLockViolation) ||
		errors.Is(err, syscall.ERROR_ACCESS_DENIED)
}

// TakeOwner leaves the owner to the folder's rules.
func TakeOwner(*os.File, fs.FileInfo) {}

// SyncDir has nothing to do: the journal of the file system keeps renames in order.
func SyncDir(string) error { return nil }
