// SPDX-License-Identifier: Apache-2.0

// Package statefile reads and replaces the files that the program keeps for
// itself. Whoever may write to the directory may have put anything there: a
// symbolic link to somebody else's file, a device, a FIFO that blocks whoever
// opens it, a file of any size. Only regular files are opened, renamed or
// replaced; a link is never followed in the last element of a path; nothing
// waits.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	// ErrNotRegular says that a directory, link, device, FIFO or socket stands
	// where the file should be.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge says that a file is larger than its reader allows.
	ErrTooLarge = errors.New("file is too large")
	// ErrLocked says that another process holds the lock.
	ErrLocked = errors.New("another process uses the file")
)

// Lock holds a file for one process. The lock is a file of its own, PATH.lock,
// since each Save replaces the file itself; it stays there when the lock is
// released. The kernel releases the locks of a process that dies.
type Lock struct{ file *os.File }

// Acquire locks path for this process. It does not wait: where another process
// holds the lock, the error is ErrLocked.
func Acquire(path string) (*Lock, error) {
	path += ".lock"
	f, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock state file: %w", err)
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock state file: %s: %w", path, err), f.Close())
	}
	return &Lock{f}, nil
}

// Release releases the lock. It may be called on nil.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// Load reads a file of at most limit bytes. If there is none, the error wraps
// fs.ErrNotExist.
func Load(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("read state file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read state file: %w", err)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read state file: %s: %w: %d bytes, want at most %d", path, ErrTooLarge, info.Size(), limit)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read state file: %w", err)
	}
	return b, nil
}

// Save replaces the file atomically: whoever reads it finds the old or the new
// content, even after a crash. The new content is on the disk when it returns.
func Save(path string, content []byte) error {
	return replace(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

func replace(path string, write func(io.Writer) error) error {
	if err := mayReplace(path); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	temporary := path + ".tmp" // always the same, so that crashes leave only one.
	f, err := createNew(temporary)
	if err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // the disk may be full.
		return fmt.Errorf("write state file: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	return nil
}

// SetAside moves an unusable file to PATH.old instead of losing it, and returns
// the new name.
func SetAside(path string) (string, error) {
	aside := path + ".old"
	for _, name := range []string{path, aside} {
		if err := mayReplace(name); err != nil {
			return "", fmt.Errorf("set state file aside: %w", err)
		}
	}
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("set state file aside: %w", err)
	}
	return aside, nil
}

// mayReplace returns an error unless path is a regular file or does not exist.
func mayReplace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w (%v)", path, ErrNotRegular, info.Mode().Type())
	}
	return nil
}

// createNew makes a file that was not there before. What a crash has left is
// removed, never opened: it may be a link to another file.
func createNew(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL | noFollow
	f, err := os.OpenFile(path, flags, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := mayReplace(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, flags, 0o600)
}

// openRegular opens a regular file without following a link and without
// waiting for the other end of a FIFO. It is checked before the open, since
// opening a device can have effects of its own, and after it, since the file may
// have been replaced in between.
func openRegular(path string, flags int) (*os.File, error) {
	if err := mayReplace(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flags|noFollow|noWait, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w (%v)", path, ErrNotRegular, info.Mode().Type())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
