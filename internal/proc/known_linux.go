// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// known is what a scan leaves to the next. A process directory's inode is new
// with each process: with the PID it says that a process is the same one.
type known struct {
	inode    uint64
	score    oom.Amount
	pid      int32
	adj      int16
	noMemory bool
	scans    uint8 // that have seen it, up to settled.
}

// settled is after how many scans a process may be at rest: who starts one sets
// its oom_score_adj a moment later.
const settled = 4

// begin makes what the last scan found the known processes.
func (s *scanner) begin(still []int32) {
	s.turn++
	s.still = still
	s.fresh, s.at = s.fresh[:0], 0
}

func (s *scanner) end() { s.known, s.fresh, s.still = s.fresh, s.known, nil }

// rests tells whether nothing need be read of a process: its group is at rest
// and it is not its turn.
func (s *scanner) rests(k *known) bool {
	for len(s.still) > 0 && s.still[0] < k.pid {
		s.still = s.still[1:]
	}
	at := len(s.still) > 0 && s.still[0] == k.pid
	return at && k.scans >= settled && (uint64(k.pid)+s.turn)%max(s.refresh/2, 1) != 0
}

// recall returns what the last scan knew of the process. Both go through the
// PIDs in ascending order, so the place is behind where the last one was found.
func (s *scanner) recall(pid int32, inode uint64) *known {
	for s.at < len(s.known) && s.known[s.at].pid < pid {
		s.at++
	}
	if s.at == len(s.known) || s.known[s.at].pid != pid || s.known[s.at].inode != inode {
		return nil
	}
	return &s.known[s.at]
}

// glance reads the score of a process and, where that does not show that it is
// as it was, or it is its turn, the rest.
func (f *FS) glance(pid int32, name []byte, inode uint64) (oom.Process, error) {
	s := &f.scan
	s.path = append(append(s.path[:0], name...), '/')
	if s.refresh <= 1 {
		return f.process(pid, s.score())
	}
	scans := uint8(1)
	k := s.recall(pid, inode)
	if k != nil {
		if s.rests(k) {
			return f.asKnown(k)
		}
		scans = min(k.scans+1, settled)
	}
	score := s.score()
	if k != nil && (uint64(pid)+s.turn)%s.refresh != 0 && k.holds(score) {
		k.scans = scans
		return f.asKnown(k)
	}
	p, err := f.first(pid, score)
	if err == nil || errors.Is(err, errNoMemory) {
		s.fresh = append(s.fresh, known{
			inode: inode, score: score, pid: pid, adj: p.Adj, noMemory: err != nil, scans: scans,
		})
	}
	return p, err
}

// first reads what a scan needs of a process. A score above 0 says since 5.9
// that it has memory, and bounds how much: its RSS is left for who needs it.
func (f *FS) first(pid int32, score oom.Amount) (oom.Process, error) {
	if score.Or(0) == 0 {
		return f.process(pid, score)
	}
	adj, err := f.scan.adj()
	if err != nil {
		return oom.Process{}, err
	}
	return oom.Process{PID: pid, Group: -1, Adj: adj, Init: pid == 1 && f.initNS, Score: score, Stale: true}, nil
}

// asKnown returns a process as it was in the last scan.
func (f *FS) asKnown(k *known) (oom.Process, error) {
	f.scan.fresh = append(f.scan.fresh, *k)
	if k.noMemory {
		return oom.Process{}, errNoMemory
	}
	return oom.Process{
		PID: k.pid, Group: -1, Adj: k.adj, Init: k.pid == 1 && f.initNS, Score: k.score, Stale: true,
	}, nil
}

// holds tells whether the score shows that the rest is as it was. A score of 0
// shows nothing but for those that had no memory or can't be killed: such small
// numbers are cut off.
func (k *known) holds(score oom.Amount) bool {
	n, ok := score.Get()
	return ok && score == k.score && (n > 0 || k.noMemory || k.adj == -1000)
}

// Refresh reads again what a scan left as it was. The error wraps
// fs.ErrNotExist or unix.ESRCH where the process has gone.
func (f *FS) Refresh(p *oom.Process) error {
	s := &f.scan
	s.mu.Lock()
	defer s.mu.Unlock()
	defer runtime.KeepAlive(f.root)
	s.path = append(strconv.AppendInt(s.path[:0], int64(p.PID), 10), '/')
	now, err := f.process(p.PID, s.score())
	if err != nil {
		return fmt.Errorf("read process %d in %s: %w", p.PID, f.path, err)
	}
	p.Score, p.Adj, p.RSS, p.Anon, p.Stale = now.Score, now.Adj, now.RSS, now.Anon, false
	return nil
}
