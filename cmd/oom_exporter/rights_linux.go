// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/rights"
)

// neededRights is what the exporter needs while it serves.
func (c *config) neededRights() rights.Options {
	// CAP_DAC_READ_SEARCH reads what its owner has closed: the cgroups of a tenant
	// who hides them, runtimes' files, certificates.
	o := rights.Options{Keep: []int{unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH}}
	if hidesProcesses(filepath.Join(c.procfs, "self", "mounts")) {
		o.Keep, o.Processes = append(o.Keep, unix.CAP_SYS_PTRACE), true
	}
	if c.stateFile != "" {
		dir := filepath.Dir(c.stateFile)
		if !ownerMayWrite(dir) {
			o.Keep = append(o.Keep, unix.CAP_DAC_OVERRIDE)
		}
		o.Writable = append(o.Writable, dir)
	}
	if c.tracefsMode != string(killfeed.Off) {
		o.Writable = append(o.Writable, filepath.Join(c.sysfs, "kernel", "tracing"))
	}
	return o
}

// ownerMayWrite tells whether no capability is needed to write to a directory.
func ownerMayWrite(dir string) bool {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return true
	}
	return st.Mode&0o002 != 0 || int(st.Uid) == os.Geteuid() && st.Mode&0o200 != 0
}

// hidesProcesses tells whether a proc is mounted in which only who may trace a
// process sees it.
func hidesProcesses(mounts string) bool {
	b, err := os.ReadFile(mounts)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "proc" {
			continue
		}
		for option := range strings.SplitSeq(f[3], ",") {
			if value, ok := strings.CutPrefix(option, "hidepid="); ok && value != "0" && value != "off" {
				return true
			}
		}
	}
	return false
}
