// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-kit/log/level"
)

const (
	// saveGap is the least time between two saves.
	saveGap = time.Second
	// maxState bounds what is read of a state file.
	maxState = 256 << 20
)

// readState reads the state file. It returns nil where there is none.
func readState(path, bootID string) (*state, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return parseState(b, bootID)
}

// setAside moves a state file away that is of no use, so that it is not lost.
func (l *Ledger) setAside(reason error) {
	aside := l.o.StateFile + ".old"
	err := os.Rename(l.o.StateFile, aside)
	_ = level.Warn(l.o.Logger).Log("msg", "the state file is set aside; counting begins anew",
		"file", l.o.StateFile, "reason", reason, "moved_to", aside, "err", err)
}

// keepSaved saves the state a little after each change, until ctx is done and
// a last time then. A disk that hangs holds up nothing else.
func (l *Ledger) keepSaved(ctx context.Context) {
	if l.o.StateFile == "" {
		return
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.save:
			pause.Reset(max(saveGap, 100*l.trySave())) // a hundredth of a CPU is enough.
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
	l.trySave()
}

// trySave saves the state and returns what it cost besides the disk. A failure
// is told once.
func (l *Ledger) trySave() time.Duration {
	started := time.Now()
	st := l.snapshot()
	if st == nil {
		return 0
	}
	b, err := st.bytes()
	cost := time.Since(started)
	if err == nil {
		err = writeState(l.o.StateFile, b)
	}
	if err != nil {
		l.mu.Lock()
		l.unsaved()
		l.mu.Unlock()
	}
	l.once(&l.saveErr, err, "the state can't be saved; a restart will begin anew",
		"give --state.file a writable directory with free space")
	return cost
}

// writeState replaces the file at once: whoever reads it finds the old or the
// new content, also after a crash.
func writeState(path string, b []byte) error {
	temporary := path + ".tmp" // always the same, so that crashes leave only one.
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(temporary) // a full disk has better use for it.
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
