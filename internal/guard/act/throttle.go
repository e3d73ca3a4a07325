// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
)

// maxRecord bounds the record of throttled groups that is read.
const maxRecord = 1 << 20

// throttles are the cgroups whose memory.high the guard has written, each with the
// earlier value. They are kept in a file, so that a guard that is started again puts
// back what the last one could not.
type throttles struct {
	file string

	mu     sync.Mutex
	groups []throttled
}

// throttled is one of them.
type throttled struct {
	Cgroup oom.GroupID
	Was    string // the earlier value, as the kernel wrote it.
}

// add records a group before its memory.high is written.
func (t *throttles) add(id oom.GroupID, was string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.groups = append(t.groups, throttled{id, was})
	if err := t.save(); err != nil {
		t.groups = t.groups[:len(t.groups)-1]
		return err
	}
	return nil
}

// remove forgets a cgroup whose memory.high need not be put back any more.
func (t *throttles) remove(id oom.GroupID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.groups {
		if t.groups[i].Cgroup == id {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			break
		}
	}
	_ = t.save() // if it fails, the value may be put back twice.
}

func (t *throttles) save() error {
	b, err := json.Marshal(t.groups)
	if err != nil {
		return fmt.Errorf("record throttled groups: %w", err)
	}
	if err := statefile.Save(t.file, b); err != nil {
		return fmt.Errorf("record throttled groups: %w", err)
	}
	return nil
}

// Throttle implements guard.Throttler by memory.high (v2). Where that can't be
// recorded, nothing is written.
func (k *Kernel) Throttle(t *guard.Target, high uint64) (restore func(), err error) {
	if k.Version() != 2 {
		return nil, fmt.Errorf("memory.high of cgroup v1: %w", errors.ErrUnsupported)
	}
	d, err := k.open(t.GroupID)
	if err != nil {
		return nil, err
	}
	defer d.close()
	b, err := d.read("memory.high")
	if err != nil {
		return nil, gone(err)
	}
	was := strings.TrimSpace(string(b))
	if now, limited := parseLimit(b).Get(); limited && now <= high {
		return func() {}, nil // its owner has already throttled it.
	}
	if err := k.throttles.add(t.GroupID, was); err != nil {
		return nil, err
	}
	if err := d.write("memory.high", strconv.FormatUint(high, 10)); err != nil {
		k.throttles.remove(t.GroupID)
		return nil, gone(err)
	}
	return func() { _ = k.unthrottle(throttled{t.GroupID, was}) }, nil
}

// unthrottle puts back the memory.high of one group.
func (k *Kernel) unthrottle(t throttled) error {
	d, err := k.open(t.Cgroup)
	if errors.Is(err, guard.ErrGone) {
		k.throttles.remove(t.Cgroup)
		return nil
	}
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.write("memory.high", t.Was); err != nil {
		return err
	}
	k.throttles.remove(t.Cgroup)
	return nil
}

// Unthrottle puts back the memory.high of each cgroup that an earlier guard has left
// throttled.
func (k *Kernel) Unthrottle() error {
	if k.throttles.file == "" {
		return nil
	}
	b, err := statefile.Load(k.throttles.file, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read throttled groups: %w", err)
	}
	var left []throttled
	if err := json.Unmarshal(b, &left); err != nil {
		return fmt.Errorf("read throttled groups from %s: %w", k.throttles.file, err)
	}
	k.throttles.mu.Lock()
	k.throttles.groups = left
	k.throttles.mu.Unlock()
	for _, t := range append([]throttled(nil), left...) {
		err = errors.Join(err, k.unthrottle(t))
	}
	return err
}
