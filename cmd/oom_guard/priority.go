// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"golang.org/x/sys/unix"
)

// raisePriority raises the priority of all existing threads, so that a busy node does
// not hold them up; later threads inherit it. Where the kernel refuses real-time
// scheduling, as it does in a cgroup without real-time runtime (v1 with
// RT_GROUP_SCHED), the nice value remains.
func raisePriority(c *config, logger log.Logger) {
	err := forThreads(c.procfs, func(tid int) error { return setNice(tid, c.priority) })
	if c.realtime > 0 {
		realtime := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: uint32(c.realtime)}
		err = errors.Join(err, forThreads(c.procfs, func(tid int) error { return unix.SchedSetAttr(tid, &realtime, 0) }))
	}
	if err != nil {
		_ = level.Info(logger).Log("msg", "could not raise scheduling priority; the guard may react late on a busy node", "err", err,
			"remedy", "add CAP_SYS_NICE, or set --priority=0 and --realtime-priority=0")
	}
}

func setNice(tid, nice int) error {
	if nice == 0 {
		return nil
	}
	return unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
}

// forThreads calls do for each thread of this program and returns the last error.
func forThreads(procfs string, do func(tid int) error) error {
	tasks, err := os.ReadDir(filepath.Join(procfs, "self/task"))
	for _, t := range tasks {
		tid, convErr := strconv.Atoi(t.Name())
		if convErr != nil {
			continue
		}
		if e := do(tid); e != nil && !errors.Is(e, unix.ESRCH) {
			err = e
		}
	}
	return err
}
