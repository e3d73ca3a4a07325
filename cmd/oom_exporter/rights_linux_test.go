// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNeededRights(t *testing.T) {
	procfs, state := t.TempDir(), t.TempDir()
	for _, tt := range []struct {
		name, mounts string
		c            config
		keep         []int
		writable     int
		processes    bool
	}{
		{"defaults", "22 1 0:5 / /proc rw,nosuid - proc proc rw\n", config{tracefsMode: "off"}, nil, 0, false},
		{"hidepid off", "22 1 0:5 / /proc rw - proc proc rw,hidepid=off\n", config{tracefsMode: "off"}, nil, 0, false},
		{"hidepid", "22 1 0:5 / /proc rw - proc proc rw,hidepid=invisible\n", config{tracefsMode: "off"}, []int{unix.CAP_SYS_PTRACE}, 0, true},
		{"state", "", config{tracefsMode: "off", stateFile: filepath.Join(state, "s")}, nil, 1, false},
		{"tracefs", "", config{tracefsMode: "auto"}, nil, 1, false},
	} {
		if err := os.MkdirAll(filepath.Join(procfs, "self"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(procfs, "self", "mountinfo"), []byte(tt.mounts), 0o600); err != nil {
			t.Fatal(err)
		}
		tt.c.procfs = procfs
		o := tt.c.neededRights()
		want := append([]int{unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH}, tt.keep...)
		if !slices.Equal(o.Keep, want) || len(o.Writable) != tt.writable || o.Processes != tt.processes {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
	if err := os.Chmod(state, 0o500); err != nil { // it may be read, not written.
		t.Fatal(err)
	}
	c := config{tracefsMode: "off", procfs: procfs, stateFile: filepath.Join(state, "s")}
	if o := c.neededRights(); !slices.Contains(o.Keep, unix.CAP_DAC_OVERRIDE) {
		t.Errorf("a directory that its owner may not write: %+v", o)
	}
}
