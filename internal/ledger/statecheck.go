// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"reflect"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

const (
	// maxSaved bounds the entries of a state file, in all of its lists.
	maxSaved = 200_000
	// maxCount bounds each count of a state file, so that no sum of maxSaved of
	// them wraps. At a million kills a second it would take twelve days to reach.
	maxCount = 1 << 40
	// maxAhead is by how much a time may be ahead of the clock. A clock that was
	// set back since the save is no reason to lose the counts of a boot; a time
	// more than a day ahead means that somebody else made the file.
	maxAhead = 24 * time.Hour
)

var (
	errEntries = errors.New("too many entries")
	errCount   = errors.New("a count is out of range")
	errFuture  = errors.New("a time is in the future")
)

// check returns an error where a count could make a sum wrap, or a time has not
// come yet.
func (st *state) check(now time.Time) error {
	if !inRange(st.counts()...) {
		return errCount
	}
	if latestIn(reflect.ValueOf(st).Elem()).After(now.Add(maxAhead)) {
		return errFuture
	}
	return nil
}

// counts returns the counts that must be in range: those that may be below 0 by
// their size, the others as unsigned, so that one below 0 is out of range.
func (st *state) counts() []uint64 {
	c := &st.Counts
	all := append(c.Levels[:len(c.Levels):len(c.Levels)], c.Unattributed, c.Evicted, c.Duplicates, c.Estimated, c.Lost,
		c.Forged, c.Late, c.Unbacked, c.Published, uint64(c.Vmstat), uint64(c.Base), uint64(st.Debt), st.Decision)
	for _, table := range [][]savedTotal{st.Workloads, st.Pods} {
		for i := range table {
			all = append(all, table[i].Kills, table[i].OOMs, table[i].Survived)
		}
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		for _, a := range []oom.Amount{g.Own, g.Tree, g.OOMs, g.GroupKills, g.TreeGroupKills} {
			all = append(all, a.Or(0))
		}
		for _, n := range []int64{g.Behind, g.Removed, g.RemovedGroupKills, g.GroupKillsOpen, g.Estimated} {
			all = append(all, uint64(max(n, -n)))
		}
		for _, s := range g.Steps {
			all = append(all, uint64(s.N))
		}
	}
	for _, o := range st.Open {
		all = append(all, uint64(o.N))
	}
	return all
}

func inRange(counts ...uint64) bool {
	for _, n := range counts {
		if n > maxCount {
			return false
		}
	}
	return true
}

// latestIn returns the latest time in a value. It looks at every exported field,
// so that fields added later are checked, too.
func latestIn(v reflect.Value) (last time.Time) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return latestIn(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			last = latest(last, latestIn(v.Index(i)))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			t, _ := reflect.TypeAssert[time.Time](v)
			return t
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
				last = latest(last, latestIn(v.Field(i)))
			}
		}
	}
	return last
}
