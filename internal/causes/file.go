// SPDX-License-Identifier: Apache-2.0

package causes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
)

const (
	version = 1
	// maxFile bounds what is read, maxEntries the entries of all of its lists.
	maxFile    = 16 << 20
	maxEntries = 100_000
	// maxCount bounds each count, so that no sum of them wraps.
	maxCount = 1 << 40
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
	Last     bool         `json:"last"`
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
		k := key{c.Workload, c.Cause, c.Grew}
		s.counts[k] += c.Kills
		if c.Last {
			s.last[c.Workload] = k
		}
	}
	for _, e := range st.Kills {
		if _, twice := s.place[e.ID]; !twice {
			s.append(e)
		}
	}
}

func readState(path string) (state, error) {
	b, err := statefile.Load(path, maxFile)
	if err != nil {
		return state{}, err
	}
	st, err := parseState(b)
	if err != nil {
		return state{}, fmt.Errorf("read %s: %w", path, err)
	}
	return st, nil
}

var (
	errEntries = errors.New("too many entries")
	errCount   = errors.New("a count is out of range")
	errCause   = errors.New("unknown cause or kind of memory")
)

// parseState reads a file that anybody may have written.
func parseState(b []byte) (state, error) {
	// An entry of two bytes can take hundreds when it is decoded.
	if n := statefile.CountElements(b); n > maxEntries {
		return state{}, fmt.Errorf("%w: %d, want at most %d", errEntries, n, maxEntries)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return state{}, err
	}
	if st.Version != version {
		return state{}, fmt.Errorf("version is %d, want %d", st.Version, version)
	}
	for i := range st.Counts {
		c := &st.Counts[i]
		if c.Kills > maxCount {
			return state{}, errCount
		}
		if !c.Cause.Known() || !c.Grew.Known() {
			return state{}, errCause
		}
	}
	for i := range st.Kills {
		if v := &st.Kills[i].Verdict; v.Cause != "" && !v.Cause.Known() || !v.Grew.Known() {
			return state{}, errCause
		}
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

// save writes the counts and, once they are written, shows them.
func (s *Store) save() {
	s.mu.Lock()
	st := state{Version: version, Boot: s.o.BootID, Kills: slices.Clone(s.kills)}
	for k, n := range s.counts {
		st.Counts = append(st.Counts, count{k.Workload, k.Cause, k.Grew, n, s.last[k.Workload] == k})
	}
	counts, last := maps.Clone(s.counts), maps.Clone(s.last)
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
	s.show(counts, last)
}

func writeState(path string, st *state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return statefile.Save(path, b)
}
