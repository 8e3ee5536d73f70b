//go:build unix

package file

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes what happened to names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, syscall.EINVAL) { // a file system that has no need of it
		err = nil
	}
	return errors.Join(err, d.Close())
}
