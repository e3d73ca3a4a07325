// SPDX-License-Identifier: Apache-2.0

package causes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	version = 1
	// maxFile bounds what is read.
	maxFile = 16 << 20
	// saveGap is the least time between two saves.
	saveGap = 500 * time.Millisecond
)

// state is what the file has.
type state struct {
	Version int     `json:"version"`
	Boot    string  `json:"boot"`
	Counts  []count `json:"counts"`
	Kills   []entry `json:"kills"`
}

type count struct {
	Workload oom.Workload `json:"workload"`
	Cause    oom.Cause    `json:"cause"`
	Grew     oom.Memory   `json:"grew"`
	Kills    uint64       `json:"kills"`
}

// load reads the file. One that is not of this boot, or can't be read, is as
// good as none: the ledger's records are then judged again.
func (s *Store) load() {
	if s.o.File == "" {
		return
	}
	st, err := readState(s.o.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		_ = level.Warn(s.o.Logger).Log("msg", "ignoring the file of verdicts; the recorded kills are judged again", "err", err)
		return
	case st.Boot != s.o.BootID:
		return
	}
	for _, c := range st.Counts {
		s.counts[key{c.Workload, c.Cause, c.Grew}] += c.Kills
	}
	for _, e := range st.Kills {
		if _, twice := s.place[e.ID]; !twice {
			s.append(e)
		}
	}
}

func readState(path string) (state, error) {
	f, err := os.Open(path)
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	var st state
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(&st); err != nil {
		return state{}, fmt.Errorf("read %s: %w", path, err)
	}
	if st.Version != version {
		return state{}, fmt.Errorf("read %s: version is %d, want %d", path, st.Version, version)
	}
	return st, nil
}

// Run saves after changes until ctx is done, and a last time then.
func (s *Store) Run(ctx context.Context) error {
	if s.o.File == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.dirty:
			s.save()
			pause := time.NewTimer(saveGap)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
	s.save()
	return ctx.Err()
}

// save writes what is there, and shows it then.
func (s *Store) save() {
	s.mu.Lock()
	st := state{Version: version, Boot: s.o.BootID, Kills: slices.Clone(s.kills)}
	for k, n := range s.counts {
		st.Counts = append(st.Counts, count{k.Workload, k.Cause, k.Grew, n})
	}
	counts := maps.Clone(s.counts)
	s.mu.Unlock()
	err := writeState(s.o.File, &st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed := err != nil; failed != s.failed {
		s.failed = failed
		if failed {
			_ = level.Warn(s.o.Logger).Log("msg", "cannot write the file of verdicts; causes are shown unsaved and a restart may lose them", "err", err)
		} else {
			_ = level.Info(s.o.Logger).Log("msg", "file of verdicts is writable again")
		}
	}
	if err != nil {
		s.changed()
		return
	}
	s.show(counts, st.Kills)
}

func writeState(path string, st *state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	temporary := path + ".tmp" // always the same, so that crashes leave only one.
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(temporary) // a full disk has better use for it.
		return err
	}
	return os.Rename(temporary, path)
}
