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

// clockState is what the kernel knows about the quality of its clock.
type clockState struct {
	synchronized bool
	maxError     time.Duration // upper bound; it grows until the next correction.
}

// maxClockError is the largest error that doctor does not warn of: times of kills are
// shown in seconds.
const maxClockError = time.Second

// bootID is the file below /proc that identifies this boot of this machine.
const bootID = "sys/kernel/random/boot_id"

// examineClock tells whether times of kills can be trusted. It returns nothing if
// --path.procfs holds the files of another machine, whose clock it can't ask.
func (c *config) examineClock() []page.Finding {
	here, err1 := os.ReadFile(filepath.Join("/proc", bootID))
	there, err2 := os.ReadFile(filepath.Join(c.procfs, bootID))
	if err1 != nil || err2 != nil || !bytes.Equal(here, there) {
		return nil
	}
	state, err := kernelClock()
	return []page.Finding{judgeClock(time.Now(), state, err)}
}

// judgeClock turns the clock's state into a finding. How far the clock is off is for an
// alert to tell: the node has no other clock to compare it with. A wrong clock is no
// missing source: kills are still counted, and alerts use the counters.
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
