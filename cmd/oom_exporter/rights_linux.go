// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/rights"
)

// neededRights is what the exporter needs while it serves.
func (c *config) neededRights() rights.Options {
	// CAP_DAC_READ_SEARCH reads files whose modes deny it: cgroups that a tenant hides,
	// runtimes' files, certificates.
	o := rights.Options{Keep: []int{unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH}}
	if hidesProcesses(c.procfs) {
		o.Keep, o.Processes = append(o.Keep, unix.CAP_SYS_PTRACE), true
	}
	if c.bpfMode != "" && c.bpfMode != string(killfeed.Off) && !release().AtLeast(6, 0) {
		// Before 6.0 (c8644cd0efe7), even starting a pass of a loaded program needs CAP_BPF.
		o.Keep = append(o.Keep, unix.CAP_BPF)
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

// release is that of the running kernel.
func release() oom.Release {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return oom.Release{}
	}
	return oom.ParseRelease(unix.ByteSliceToString(u.Release[:]))
}

// ownerMayWrite tells whether no capability is needed to write to a directory.
func ownerMayWrite(dir string) bool {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return true
	}
	return st.Mode&0o002 != 0 || int(st.Uid) == os.Geteuid() && st.Mode&0o200 != 0
}

// hidesProcesses tells whether a proc file system is mounted with hidepid: then a
// process is visible only to those who may trace it.
func hidesProcesses(procRoot string) bool {
	fs, err := procfs.NewFS(procRoot)
	if err != nil {
		return false
	}
	mounts, err := fs.GetMounts()
	if err != nil {
		return false
	}
	for _, m := range mounts {
		hidepid, set := m.SuperOptions["hidepid"]
		if m.FSType == "proc" && set && hidepid != "0" && hidepid != "off" {
			return true
		}
	}
	return false
}
