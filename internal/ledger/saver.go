// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
)

const (
	// minSaveGap and maxSaveGap are the least and the greatest time that we
	// let pass between two saves by our own choice: in between, saving costs
	// a twentieth of a CPU.
	minSaveGap = 100 * time.Millisecond
	maxSaveGap = time.Second
	// syncWait is how long a scrape waits for a save.
	syncWait = 250 * time.Millisecond
	// slowSave is when a disk is said to be slow, and holdBack how long
	// numbers are held back for it.
	slowSave = 5 * time.Second
	holdBack = time.Minute
	// maxState bounds the size of a state file: room for maxSaved entries.
	maxState = 64 << 20
)

// saver keeps the state file up to date, and holds what may be shown: what the
// file has. The zero value is for a ledger without a state file.
type saver struct {
	path  string
	write func(path string, content []byte) error
	dirty chan struct{} // something waits to be saved.

	// Guarded by the ledger's lock.
	shown   *View
	changes uint64        // number of the last change.
	saved   uint64        // number of the last change that is saved.
	exposed uint64        // number of the last change that was shown unsaved.
	waiting time.Time     // when the oldest change was made that no save has taken yet.
	saving  time.Time     // the same for the save that has begun; zero: none.
	failing bool          // the last save failed: all is shown unsaved.
	done    chan struct{} // is closed when a save has ended.

	// Guarded by whoever saves.
	cannotWrite, slow trouble
}

func newSaver(path string) saver {
	return saver{
		path: path, write: statefile.Save, dirty: make(chan struct{}, 1), done: make(chan struct{}),
		cannotWrite: trouble{
			msg:     "cannot write the state file; kills are shown unsaved and a restart may lose them",
			remedy:  "give --state.file a writable directory with free space",
			resumed: "state file is writable again",
		},
		slow: trouble{
			msg:     "the disk of the state file is slow: kills are shown only when they are saved",
			remedy:  "put --state.file on a faster disk",
			resumed: "state file is saved in time again",
		},
	}
}

// note notes a change.
func (s *saver) note(now time.Time) {
	if s.path == "" {
		return
	}
	s.changes++
	if s.waiting.IsZero() {
		s.waiting = now
	}
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// holds tells whether what is not saved yet must not be shown.
func (s *saver) holds(now time.Time) bool {
	return s.path != "" && !s.failing && s.unsavedFor(now) < holdBack
}

// unsavedFor returns the age of the oldest change that is not saved.
func (s *saver) unsavedFor(now time.Time) time.Duration {
	since := s.saving
	if since.IsZero() {
		since = s.waiting
	}
	if since.IsZero() {
		return 0
	}
	return now.Sub(since)
}

// takeUnsaved returns the published kills that need not wait for a save.
func (l *Ledger) takeUnsaved() []oom.Kill {
	if l.saver.holds(l.o.Now()) {
		return nil
	}
	out := l.outbox
	l.outbox = nil
	return out
}

// keepSaved saves after each change until ctx is done, and then once more. A
// disk that hangs holds up nothing else.
func (l *Ledger) keepSaved(ctx context.Context) {
	if l.saver.path == "" {
		return
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-l.saver.dirty:
			pause.Reset(l.save())
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	}
	l.save()
}

// save saves the state, shows it, and returns when to save again at the
// earliest.
func (l *Ledger) save() time.Duration {
	started := time.Now()
	st, out := l.beginSave()
	if st == nil {
		return minSaveGap
	}
	b, err := st.bytes()
	cost := time.Since(started)
	if err == nil {
		err = l.saver.write(l.saver.path, b)
	}
	took := time.Since(started)
	l.saver.cannotWrite.report(l.o.Logger, err)
	if err == nil {
		l.saver.slow.report(l.o.Logger, tooSlow(took))
	}
	l.endSave(st, err)
	l.tell(out)
	if err != nil {
		return maxSaveGap
	}
	return min(max(20*cost, minSaveGap), maxSaveGap)
}

func tooSlow(took time.Duration) error {
	if took < slowSave {
		return nil
	}
	return fmt.Errorf("saving took %v", took.Round(time.Millisecond))
}

// beginSave copies what is to be saved, and takes the kills that are passed to
// OnKill after the save; nil before the epoch, or when there is nothing new.
func (l *Ledger) beginSave() (*state, []oom.Kill) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.saver
	if l.counts.Epoch.IsZero() || s.changes == s.saved {
		return nil, nil
	}
	st := l.snapshot()
	st.view, st.changes = l.draw(), s.changes
	st.view.records = st.Records
	s.saving, s.waiting = s.waiting, time.Time{}
	out := l.outbox
	l.outbox = nil
	return st, out
}

// endSave shows what has been saved.
func (l *Ledger) endSave(st *state, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.saver
	if s.failing = err != nil; s.failing {
		s.waiting = s.saving
		select {
		case s.dirty <- struct{}{}:
		default:
		}
	} else {
		s.saved = st.changes
		if s.saved >= s.exposed { // else more has been shown already.
			s.shown = st.view
		}
	}
	s.saving = time.Time{}
	close(s.done)
	s.done = make(chan struct{})
}

// awaitSave waits until what has changed up to now is saved, or for a while.
func (l *Ledger) awaitSave(most time.Duration) {
	l.mu.Lock()
	wanted := l.saver.changes
	l.mu.Unlock()
	var timeout <-chan time.Time // made only if there is something to wait for.
	for {
		ended, ready := l.saveState(wanted)
		if ready {
			return
		}
		if timeout == nil {
			timer := time.NewTimer(most)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-ended:
		case <-timeout:
			return
		}
	}
}

// saveState tells whether the changes up to this number are saved or need not be,
// and returns a channel that is closed when the next save ends.
func (l *Ledger) saveState(wanted uint64) (ended <-chan struct{}, ready bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.saver
	return s.done, s.saved >= wanted || !s.holds(l.o.Now()) || l.counts.Epoch.IsZero()
}

// readState reads the state file. It returns nil where there is none.
func readState(path, bootID string, now time.Time) (*state, error) {
	b, err := statefile.Load(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseState(b, bootID, now)
}

// setAside moves an unusable state file away, so that it is not lost.
func (l *Ledger) setAside(reason error) {
	aside, err := statefile.SetAside(l.o.StateFile)
	if err != nil {
		_ = level.Warn(l.o.Logger).Log("msg", "ignoring the state file; counters start from zero",
			"file", l.o.StateFile, "reason", reason, "err", err)
		return
	}
	_ = level.Warn(l.o.Logger).Log("msg", "ignoring the state file (moved to "+aside+"); counters start from zero",
		"file", l.o.StateFile, "reason", reason)
}
