// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// stateVersion is that of the state file's form.
const stateVersion = 1

// maxPending is far above what can be pending; a state that says otherwise is
// not ours.
const maxPending = 1 << 20

// stateFile is what stands in the file: the sum guards against torn and
// altered ones.
type stateFile struct {
	Version int             `json:"version"`
	CRC32   uint32          `json:"crc32"` // IEEE, of State as it stands.
	State   json.RawMessage `json:"state"`
}

// state is all that has to outlive the process.
type state struct {
	BootID    string       `json:"boot_id"`
	Saved     time.Time    `json:"saved"`
	Counts    counts       `json:"counts"`
	Decision  uint64       `json:"decision"`
	Unlined   int64        `json:"unlined,omitempty"`
	Workloads []page       `json:"workloads"`
	Pods      []page       `json:"pods"`
	Groups    []savedGroup `json:"groups"`
	Slots     []batch      `json:"slots"`
	Debt      int64        `json:"debt,omitempty"`
	Lines     []*line      `json:"lines"`
	Survivors []survivor   `json:"survivors"`
	Records   []oom.Kill   `json:"records"`
}

// page is one workload's entry.
type page struct {
	Workload oom.Workload `json:"workload"`
	entry
}

// savedGroup is a group with kills: those without begin at 0 again.
type savedGroup struct {
	ID         oom.GroupID  `json:"id"`
	Row        oom.GroupID  `json:"row"`
	Kind       oom.Kind     `json:"kind"`
	Who        oom.Identity `json:"who"`
	Own        oom.Amount   `json:"own"`
	Tree       oom.Amount   `json:"tree"`
	OOMs       oom.Amount   `json:"ooms"`
	Groups     oom.Amount   `json:"group_kills"`
	TreeGroups oom.Amount   `json:"tree_group_kills"`
	Hits       oom.Amount   `json:"hits"`
	Claims     []claim      `json:"claims,omitempty"`
	Carry      int64        `json:"carry,omitempty"`
	Gone       int64        `json:"gone,omitempty"`
	GoneTwice  int64        `json:"gone_twice,omitempty"`
	Twice      int64        `json:"twice,omitempty"`
	Bare       int64        `json:"bare,omitempty"`
	Guessed    int64        `json:"guessed,omitempty"`
}

var (
	errVersion   = errors.New("unknown version")
	errSum       = errors.New("checksum does not match")
	errOtherBoot = errors.New("it is of another boot")
	errBalance   = errors.New("its numbers do not add up")
)

// parseState reads a state file's content. It returns an error unless the
// file is whole, of this boot, and in balance.
func parseState(b []byte, bootID string) (*state, error) {
	body, err := parseFile(b)
	if err != nil {
		return nil, fmt.Errorf("parse state: %w", err)
	}
	st, err := parseBody(body, bootID)
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

func parseBody(b []byte, bootID string) (*state, error) {
	st := &state{}
	if err := json.Unmarshal(b, st); err != nil {
		return nil, err
	}
	if st.BootID != bootID {
		return nil, errOtherBoot
	}
	if !st.valid() {
		return nil, errBalance
	}
	return st, nil
}

// valid holds the numbers against the equations of the package comment.
func (st *state) valid() bool {
	for _, ln := range st.Lines {
		if ln == nil {
			return false
		}
	}
	for _, g := range st.Groups {
		for _, c := range g.Claims {
			if c.N <= 0 {
				return false
			}
		}
	}
	c := &st.Counts
	sum := c.Unattributed + c.Evicted
	names := make(map[oom.Workload]struct{}, len(st.Workloads))
	for _, p := range st.Workloads {
		sum += p.Kills
		names[p.Workload] = struct{}{}
	}
	var byLevel uint64
	for _, n := range c.Levels {
		byLevel += n
	}
	pending := -st.Debt
	for _, b := range st.Slots {
		if b.N <= 0 || b.N > maxPending {
			return false
		}
		pending += b.N
	}
	return byLevel == sum && len(names) == len(st.Workloads) && len(st.Slots) <= maxBatches && st.Debt >= 0 && !c.Epoch.IsZero() &&
		int64(sum+c.Duplicates)+pending == c.Vmstat-c.Base
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

// snapshot copies what has to be saved; nil before the epoch.
func (l *Ledger) snapshot() *state {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts.Epoch.IsZero() {
		return nil
	}
	st := &state{
		BootID: l.o.BootID, Saved: l.o.Now(), Counts: l.counts, Decision: l.decision, Unlined: l.unlined,
		Workloads: l.workloads.pages(), Pods: l.pods.pages(),
		Slots: append([]batch(nil), l.slots.batches...), Debt: l.slots.debt,
		Survivors: append([]survivor(nil), l.survivors...),
		Records:   append([]oom.Kill(nil), l.records...),
	}
	for _, ln := range l.lines {
		saved := *ln
		st.Lines = append(st.Lines, &saved)
	}
	for id, g := range l.groups {
		if g.own.Or(0)|g.tree.Or(0) == 0 && len(g.claims) == 0 && g.carry == 0 && g.gone == 0 {
			continue
		}
		st.Groups = append(st.Groups, savedGroup{
			ID: id, Row: g.row, Kind: g.kind, Who: g.who, Own: g.own, Tree: g.tree, OOMs: g.ooms, Groups: g.groupKills, TreeGroups: g.treeGroupKills,
			Hits: g.hits, Claims: append([]claim(nil), g.claims...), Carry: g.carry, Gone: g.gone, GoneTwice: g.goneTwice, Twice: g.twice,
			Bare: g.bare, Guessed: g.guessed,
		})
	}
	return st
}

func (b book) pages() []page {
	out := make([]page, 0, len(b))
	for w, e := range b {
		out = append(out, page{w, *e})
	}
	return out
}

// restore goes on from a saved state. Reads of the groups are numbered anew:
// the claims are the next one's, so that all that is open waits for it.
func (l *Ledger) restore(st *state) {
	now := l.o.Now()
	l.began, l.done = 1, 1
	l.counts = st.Counts
	l.counts.Restored, l.counts.savedVmstat = true, st.Counts.Vmstat
	l.decision = st.Decision
	l.unlined, l.unlinedAt = st.Unlined, now
	for _, p := range st.Workloads {
		l.workloads[p.Workload] = &p.entry
	}
	for _, p := range st.Pods {
		l.pods[p.Workload] = &p.entry
	}
	l.slots = slots{batches: st.Slots, debt: st.Debt}
	for i := range st.Slots {
		st.Slots[i].read = l.done
		l.slots.n += st.Slots[i].N
	}
	for _, ln := range st.Lines {
		ln.read = l.done
	}
	l.lines, l.survivors, l.records = st.Lines, st.Survivors, st.Records
	for _, s := range st.Groups {
		g := &group{
			id: s.ID, row: s.Row, kind: s.Kind, who: s.Who, born: true, own: s.Own, tree: s.Tree, ooms: s.OOMs,
			groupKills: s.Groups, treeGroupKills: s.TreeGroups, hits: s.Hits, carry: s.Carry, twice: s.Twice, twiceAt: now, seenAt: now, claims: s.Claims,
			bare: s.Bare, guessed: s.Guessed, guessedAt: now,
		}
		for i := range g.claims {
			g.claims[i].At, g.claims[i].read = now, l.done+1
		}
		l.groups[g.id] = g
		l.byPath[g.id.Path] = g
		if len(g.claims) > 0 {
			g.listed = true
			l.claimed = append(l.claimed, g)
		}
		if s.Gone != 0 {
			l.orphans(g, s.Gone, s.GoneTwice, now)
		}
	}
}
