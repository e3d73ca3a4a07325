// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
)

// stateVersion is the version of the state file's format.
const stateVersion = 1

// stateFile is the content of the file: the checksum guards against torn and
// altered files.
type stateFile struct {
	Version int             `json:"version"`
	CRC32   uint32          `json:"crc32"` // IEEE, of State as it stands.
	State   json.RawMessage `json:"state"`
}

// state is all that has to outlive the process.
type state struct {
	BootID    string        `json:"boot_id"`
	Saved     time.Time     `json:"saved"`
	Counts    counts        `json:"counts"`
	Decision  uint64        `json:"decision"`
	Workloads []savedTotal  `json:"workloads"`
	Pods      []savedTotal  `json:"pods"`
	Groups    []savedCgroup `json:"groups"`
	Open      []savedOpen   `json:"slots"`
	Closed    []savedClosed `json:"closed,omitempty"`
	Debt      int64         `json:"debt,omitempty"`
	Lines     []*line       `json:"lines"`
	Survivors []survivor    `json:"survivors"`
	Records   []oom.Kill    `json:"records"`

	view    *View // of the same moment.
	changes uint64
}

type savedTotal struct {
	Workload oom.Workload `json:"workload"`
	total
}

// savedOpen is the open cases of one read of vmstat.
type savedOpen struct {
	N  int64     `json:"n"`
	At time.Time `json:"at"`
}

// savedClosed is a closed case that late evidence may still belong to.
type savedClosed struct {
	Closed   time.Time    `json:"closed"`
	ID       oom.GroupID  `json:"id"` // of the cgroup, the inode 0 where it was not read.
	Path     string       `json:"path,omitempty"`
	Workload oom.Workload `json:"workload"`
	Decision uint64       `json:"decision,omitempty"`
	PID      int          `json:"pid,omitempty"` // of its witness.
	Comm     string       `json:"comm,omitempty"`
	Line     *line        `json:"line,omitempty"` // that was guessed.
	Removed  bool         `json:"removed,omitempty"`
}

// savedCgroup is a cgroup with kills: those without begin at 0 again.
type savedCgroup struct {
	ID                oom.GroupID  `json:"id"`
	Row               oom.GroupID  `json:"row"`
	Kind              oom.Kind     `json:"kind"`
	Who               oom.Identity `json:"who"`
	Own               oom.Amount   `json:"own"`
	Tree              oom.Amount   `json:"tree"`
	OOMs              oom.Amount   `json:"ooms"`
	GroupKills        oom.Amount   `json:"group_kills"`
	TreeGroupKills    oom.Amount   `json:"tree_group_kills"`
	Hits              oom.Amount   `json:"hits"`
	Steps             []step       `json:"claims,omitempty"`
	Behind            int64        `json:"carry,omitempty"`
	Removed           int64        `json:"gone,omitempty"`
	RemovedGroupKills int64        `json:"gone_twice,omitempty"`
	GroupKillsOpen    int64        `json:"twice,omitempty"`
	Estimated         int64        `json:"estimated,omitempty"`
}

var (
	errVersion   = errors.New("unknown version")
	errSum       = errors.New("checksum does not match")
	errOtherBoot = errors.New("it is of another boot")
	errBalance   = errors.New("its numbers do not add up")
)

// parseState reads a state file's content. It returns an error unless the
// file is whole, of this boot, in balance, and within its bounds.
func parseState(b []byte, bootID string, now time.Time) (*state, error) {
	body, err := parseFile(b)
	if err != nil {
		return nil, fmt.Errorf("parse state: %w", err)
	}
	st, err := parseBody(body, bootID, now)
	if err != nil {
		return nil, fmt.Errorf("parse state: %w", err)
	}
	return st, nil
}

// parseFile takes the state out of the file and checks its sum.
func parseFile(b []byte) (json.RawMessage, error) {
	var f stateFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, err
	}
	if f.Version != stateVersion {
		return nil, fmt.Errorf("%w %d", errVersion, f.Version)
	}
	if crc32.ChecksumIEEE(f.State) != f.CRC32 {
		return nil, errSum
	}
	return f.State, nil
}

func parseBody(b []byte, bootID string, now time.Time) (*state, error) {
	if n := statefile.CountElements(b); n > maxSaved {
		return nil, fmt.Errorf("%w: %d, want at most %d", errEntries, n, maxSaved)
	}
	st := &state{}
	if err := json.Unmarshal(b, st); err != nil {
		return nil, err
	}
	if st.BootID != bootID {
		return nil, errOtherBoot
	}
	if err := st.check(now); err != nil {
		return nil, err
	}
	if !st.valid() {
		return nil, errBalance
	}
	return st, nil
}

// valid checks the numbers against the equations of the package comment.
func (st *state) valid() bool {
	for _, ln := range st.Lines {
		if ln == nil {
			return false
		}
	}
	for _, g := range st.Groups {
		for _, s := range g.Steps {
			if s.N <= 0 {
				return false
			}
		}
	}
	c := &st.Counts
	sum := c.Unattributed + c.Evicted
	names := make(map[oom.Workload]struct{}, len(st.Workloads))
	for _, t := range st.Workloads {
		sum += t.Kills
		names[t.Workload] = struct{}{}
	}
	var byLevel uint64
	for _, n := range c.Levels {
		byLevel += n
	}
	var pending int64
	for _, o := range st.Open {
		if pending += o.N; o.N <= 0 || o.N > maxOpen || pending > maxOpen {
			return false
		}
	}
	return byLevel == sum && len(names) == len(st.Workloads) && len(st.Closed) <= maxClosed && st.Debt >= 0 &&
		!c.Epoch.IsZero() && int64(sum+c.Duplicates)+pending-st.Debt == c.Vmstat-c.Base
}

// bytes returns the file's content.
func (st *state) bytes() ([]byte, error) {
	body, err := json.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	b, err := json.Marshal(stateFile{Version: stateVersion, CRC32: crc32.ChecksumIEEE(body), State: body})
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return append(b, '\n'), nil
}

// snapshot copies what has to be saved.
func (l *Ledger) snapshot() *state {
	st := &state{
		BootID: l.o.BootID, Saved: l.o.Now(), Counts: l.counts, Decision: l.evidence.decision,
		Workloads: l.totals.workloads.saved(), Pods: l.totals.pods.saved(),
		Debt:      l.cases.debt,
		Survivors: append([]survivor(nil), l.totals.survivors...),
		Records:   l.totals.copyRecords(),
	}
	st.addCases(&l.cases)
	for _, ln := range l.evidence.lines {
		saved := *ln
		st.Lines = append(st.Lines, &saved)
	}
	for id, g := range l.cgroups.byID {
		if g.own.Or(0)|g.tree.Or(0) == 0 && len(g.steps) == 0 && g.behind == 0 && g.removed.kills == 0 {
			continue
		}
		st.Groups = append(st.Groups, savedCgroup{
			ID: id, Row: g.row, Kind: g.kind, Who: g.who, Own: g.own, Tree: g.tree, OOMs: g.ooms,
			GroupKills: g.groupKills, TreeGroupKills: g.treeGroupKills, Hits: g.hits,
			Steps: append([]step(nil), g.steps...), Behind: g.behind,
			Removed: g.removed.kills, RemovedGroupKills: g.removed.groupKills, GroupKillsOpen: g.group.kills, Estimated: g.group.estimated,
		})
	}
	return st
}

func (t killTable) saved() []savedTotal {
	out := make([]savedTotal, 0, len(t))
	for w, e := range t {
		out = append(out, savedTotal{w, *e})
	}
	return out
}

// addCases saves the open cases, and the closed ones that have no line yet or
// only a guessed one.
func (st *state) addCases(cs *cases) {
	for _, c := range cs.open {
		if last := len(st.Open) - 1; last >= 0 && st.Open[last].At.Equal(c.opened) {
			st.Open[last].N++
			continue
		}
		st.Open = append(st.Open, savedOpen{N: 1, At: c.opened})
	}
	for _, c := range cs.closed {
		if c.line != nil && !c.guessed {
			continue
		}
		saved := savedClosed{
			Closed: c.closed, Path: c.path, Workload: c.workload, Decision: c.decision, Removed: c.removed,
		}
		if c.cgroup != nil {
			saved.ID = c.cgroup.id
		}
		if c.witness != nil {
			saved.PID, saved.Comm = c.witness.Victim.PID, c.witness.Victim.Comm
		}
		if c.line != nil {
			ln := *c.line
			saved.Line = &ln
		}
		st.Closed = append(st.Closed, saved)
	}
}

// restore goes on from a saved state. The reads of the cgroups are numbered anew,
// and the saved steps count as the next read's, so that everything open waits for
// it. Times in the future, from before the clock was set back, are taken for now.
func (l *Ledger) restore(st *state) {
	now := l.o.Now()
	l.reads.begun, l.reads.done = 1, 1
	l.counts = st.Counts
	l.counts.Restored, l.counts.linesRead = true, st.Counts.Vmstat-max(st.pending()-int64(len(st.Lines)), 0)
	for _, ln := range st.Lines {
		ln.read, ln.At = l.reads.done, earliest(ln.At, now)
	}
	l.evidence.lines, l.evidence.decision = st.Lines, st.Decision
	l.totals.restore(st, now)
	for i := range st.Groups {
		l.restoreCgroup(&st.Groups[i], now)
	}
	l.restoreCases(st, now)
}

func (t *totals) restore(st *state, now time.Time) {
	for _, s := range st.Workloads {
		s.Seen = earliest(s.Seen, now)
		t.workloads[s.Workload] = &s.total
	}
	for _, s := range st.Pods {
		s.Seen = earliest(s.Seen, now)
		t.pods[s.Workload] = &s.total
	}
	t.survivors = st.Survivors
	for i := range st.Records {
		t.records = append(t.records, &st.Records[i])
	}
}

func (l *Ledger) restoreCgroup(s *savedCgroup, now time.Time) {
	g := &cgroup{
		id: s.ID, row: s.Row, kind: s.Kind, who: s.Who, born: true, own: s.Own, tree: s.Tree, ooms: s.OOMs,
		groupKills: s.GroupKills, treeGroupKills: s.TreeGroupKills, hits: s.Hits, behind: s.Behind,
		group: groupKills{kills: s.GroupKillsOpen, estimated: s.Estimated, at: now}, seenAt: now, steps: s.Steps,
	}
	for i := range g.steps {
		g.steps[i].At, g.steps[i].read = now, l.reads.done+1
	}
	l.cgroups.add(g)
	if len(g.steps) > 0 {
		l.cgroups.stepped = append(l.cgroups.stepped, g)
	}
	if s.Removed != 0 {
		l.cgroups.addRemoved(g, s.Removed, s.RemovedGroupKills, now)
	}
}

// pending returns how many cases are open.
func (st *state) pending() (n int64) {
	for _, o := range st.Open {
		n += o.N
	}
	return n
}

func (l *Ledger) restoreCases(st *state, now time.Time) {
	for _, o := range st.Open {
		for range o.N {
			l.cases.open = append(l.cases.open, &killCase{opened: earliest(o.At, now), read: l.reads.done})
		}
	}
	l.cases.debt = st.Debt
	for _, s := range st.Closed {
		c := &killCase{
			closed: earliest(s.Closed, now), workload: s.Workload,
			finding: finding{
				line: s.Line, guessed: s.Line != nil, path: s.Path, decision: s.Decision,
				cgroup: l.cgroups.byID[s.ID], removed: s.Removed,
			},
		}
		if s.PID != 0 {
			c.witness = &witness{Sighting: oom.Sighting{Victim: oom.Victim{PID: s.PID, Comm: s.Comm}}}
		}
		l.cases.closed = append(l.cases.closed, c)
	}
}
