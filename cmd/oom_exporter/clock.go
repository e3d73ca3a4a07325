// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/page"
)

// clockState is what the kernel knows of the quality of its clock.
type clockState struct {
	synchronized bool
	maxError     time.Duration // at most, as grown since the last correction.
}

// maxClockError is from where on doctor speaks of it: times of kills are shown
// in seconds.
const maxClockError = time.Second

// bootID names a boot of a machine.
const bootID = "sys/kernel/random/boot_id"

// examineClock tells whether times of kills can be believed. It has nothing to
// say of another machine than this one, whose files --path.procfs may name.
func (c *config) examineClock() []page.Finding {
	here, err1 := os.ReadFile(filepath.Join("/proc", bootID))
	there, err2 := os.ReadFile(filepath.Join(c.procfs, bootID))
	if err1 != nil || err2 != nil || !bytes.Equal(here, there) {
		return nil
	}
	state, err := kernelClock()
	return []page.Finding{judgeClock(time.Now(), state, err)}
}

// judgeClock: no other clock is on the node to compare with, so by how much it
// is off is for an alert. Nothing is missing with a wrong one: kills are counted,
// and alerts go by the counters.
func judgeClock(now time.Time, state clockState, err error) page.Finding {
	const remedy = "run chronyd or systemd-timesyncd on the node; the alert OOMNodeClockSkew tells by how much it differs from Prometheus' clock"
	told := now.Format(time.RFC3339)
	switch {
	case err != nil:
		return finding("clock", page.StateOK, fmt.Sprintf("%s; whether it is synchronized is not known: %v", told, err), "")
	case !state.synchronized:
		return finding("clock", page.StateOptional, told+"; not synchronized: times of kills may be wrong", remedy)
	case state.maxError > maxClockError:
		return finding("clock", page.StateOptional, fmt.Sprintf("%s; synchronized, off by up to %v: times of kills may be wrong", told, state.maxError.Round(100*time.Millisecond)), remedy)
	}
	return finding("clock", page.StateOK, fmt.Sprintf("%s; synchronized, off by %v at most", told, state.maxError.Round(time.Millisecond)), "")
}
