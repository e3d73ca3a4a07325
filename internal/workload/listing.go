// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"hash/maphash"
	"os"
	"slices"
	"strings"
	"time"
)

// wantedSet has the ids and the pods' UIDs that are asked for.
type wantedSet map[string]bool

func newWantedSet(want []wanted) wantedSet {
	set := make(wantedSet, 2*len(want))
	for _, w := range want {
		if w.ID != "" {
			set[w.ID] = true
		}
		if w.PodUID != "" {
			set[w.PodUID] = true
		}
	}
	return set
}

// logKey returns the key of a name in kubelet's log directories: the container's
// id or the pod's UID. It is false where the name does not tell.
func logKey(name string) (key string, ok bool) {
	if base, isLog := strings.CutSuffix(name, ".log"); isLog {
		key = base[max(len(base)-idDigits, 0):]
		return key, isID(key) && len(base) > idDigits && base[len(base)-idDigits-1] == '-'
	}
	end := strings.LastIndexByte(name, '_')
	return name[end+1:], end >= 0
}

// settled is how old a change of a directory must be for its time to tell it from
// one that comes right after: file system timestamps are as coarse as a clock tick.
const settled = 2 * time.Second

// listing is what a directory contained when it was listed, in 8 bytes a name.
type listing struct {
	changed time.Time // the directory's modification time,
	settled bool      // which was old enough already.
	seed    maphash.Seed
	keys    []uint64 // hashes, ascending once it is complete.
	unclear bool     // there are names that may be of any container.
}

// newListing begins to list a directory. Its time is taken first: what changes
// meanwhile shows as a change.
func newListing(dir string) *listing {
	l := &listing{seed: maphash.MakeSeed()}
	if info, err := os.Stat(dir); err == nil {
		l.changed = info.ModTime()
		l.settled = time.Since(l.changed) > settled
	}
	return l
}

func (l *listing) add(name string) {
	key, ok := logKey(name)
	if !ok {
		_, _, isCut := parseLogName(name)
		l.unclear = l.unclear || isCut
		return
	}
	l.keys = append(l.keys, maphash.String(l.seed, key))
}

func (l *listing) sort() { slices.Sort(l.keys) }

// holds tells whether the directory is still as it was listed.
func (l *listing) holds(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && l.settled && info.ModTime().Equal(l.changed)
}

// mayHave tells whether the directory may have had a name for any of want.
func (l *listing) mayHave(want wantedSet) bool {
	if l.unclear {
		return true
	}
	for key := range want {
		if _, ok := slices.BinarySearch(l.keys, maphash.String(l.seed, key)); ok {
			return true
		}
	}
	return false
}
