// SPDX-License-Identifier: Apache-2.0

//go:build linux

package act

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// maxThreads bounds the threads that are looked at; with more, one of them is
// taken to be runnable.
const maxThreads = 512

// Runnable implements guard.Kernel.
func (k *Kernel) Runnable(group *oom.Group) bool {
	m, err := k.Members(group)
	if err != nil {
		return true
	}
	looked := 0
	for i := range m.Procs {
		dir := filepath.Join(k.o.Procfs, strconv.Itoa(int(m.Procs[i].PID)), "task")
		threads, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended.
		}
		if looked += len(threads); looked > maxThreads {
			return true
		}
		for _, t := range threads {
			if runs(filepath.Join(dir, t.Name(), "stat")) {
				return true
			}
		}
	}
	return false
}

// runs tells, from the stat file of a thread, whether it runs or waits for a CPU.
func runs(file string) bool {
	var buf [1024]byte
	b, err := readSmall(file, buf[:])
	if err != nil {
		return false // it has ended.
	}
	s, err := parseStat(b)
	return err != nil || s.state == 'R'
}
