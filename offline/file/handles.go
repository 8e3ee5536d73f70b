package file

import (
	linked "container/list"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/feastgo/feast/feasterr"
)

// openMost is about how many files of sources a process holds open. Of those that are not being read, the ones that were
// read longest ago are closed, and opened again when they are wanted, so that a source may have any number of files.
var openMost = 256

// handles are the open files of all sources, those read last in front.
var handles struct {
	sync.Mutex
	open linked.List // of *handle
}

// handle is a file that is open when it is read.
type handle struct {
	path string
	info fs.FileInfo // when it was opened first

	// Guarded by handles.
	file    *os.File
	at      *linked.Element // in handles.open, while file is open
	readers int
}

// openHandle opens a file.
func openHandle(path string) (*handle, error) {
	h := &handle{path: path}
	f, err := h.take()
	if err != nil {
		return nil, err
	}
	defer h.give()
	h.info, err = f.Stat()
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

// take returns the file, open until give is called.
func (h *handle) take() (*os.File, error) {
	handles.Lock()
	defer handles.Unlock()
	if h.file != nil {
		handles.open.MoveToFront(h.at)
		h.readers++
		return h.file, nil
	}
	for e := handles.open.Back(); e != nil && handles.open.Len() >= openMost; {
		old := e.Value.(*handle)
		if e = e.Prev(); old.readers == 0 {
			old.shut()
		}
	}
	f, err := os.Open(h.path)
	if err != nil {
		return nil, err
	}
	if h.info != nil {
		if now, err := f.Stat(); err != nil || !sameFile(now, h.info) {
			_ = f.Close()
			return nil, fmt.Errorf("%w: the file was replaced while it was read: read the source again", feasterr.ErrConflict)
		}
	}
	h.file, h.at = f, handles.open.PushFront(h)
	h.readers++
	return f, nil
}

func (h *handle) give() {
	handles.Lock()
	defer handles.Unlock()
	h.readers--
}

// shut closes the file, of which nothing is lost: it was only read.
func (h *handle) shut() {
	if h.file != nil {
		_ = h.file.Close()
		handles.open.Remove(h.at)
		h.file, h.at = nil, nil
	}
}

// ReadAt implements [io.ReaderAt].
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	f, err := h.take()
	if err != nil {
		return 0, err
	}
	defer h.give()
	return f.ReadAt(p, off)
}

// Close implements [io.Closer].
func (h *handle) Close() error {
	handles.Lock()
	defer handles.Unlock()
	h.shut()
	return nil
}
