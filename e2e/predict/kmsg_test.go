// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package predict_test

import (
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// kernelLog reads what the kernel says from now on.
type kernelLog struct {
	f     *os.File
	quiet time.Duration // without a record, after which a group kill has ended.
}

func openKernelLog(t *testing.T) *kernelLog {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("needs the kernel log: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	l := &kernelLog{f, 2 * time.Millisecond}
	l.skip(t)
	return l
}

// skip forgets what has been said so far.
func (l *kernelLog) skip(t *testing.T) {
	t.Helper()
	if _, err := l.f.Seek(0, 2); err != nil {
		t.Fatal(err)
	}
}

// task is a row of the task table of an OOM report, in pages.
type task struct {
	rss, tables, swap uint64
	adj               int
}

// report is what the kernel said of the OOMs in one case.
type report struct {
	killed []int        // in order.
	tasks  map[int]task // of the first kill; empty where the report was suppressed.
	global bool         // the first kill was for the node's sake.
	slab   uint64       // pages that were reclaimable slab at the first kill.
	usage  []string     // the report's lines on the limited group's memory and swap.
}

var (
	killedLine = regexp.MustCompile(`: Killed process (\d+) \(`)
	slabWords  = regexp.MustCompile(`\bslab_reclaimable:(\d+) `)
	// pid uid tgid total_vm rss [rss_anon rss_file rss_shmem] pgtables_bytes swapents adj name.
	taskLine = regexp.MustCompile(`^\[ *(\d+)\] +\d+ +\d+ +\d+ +(\d+)(?: +\d+ +\d+ +\d+)? +(\d+) +(\d+) +(-?\d+) `)
)

// collect reads records until one of the pids is killed, and then what is
// there already.
func (l *kernelLog) collect(pids map[int]bool, timeout time.Duration) report {
	r := report{tasks: map[int]task{}}
	buf := make([]byte, 8192)
	_ = l.f.SetReadDeadline(time.Now().Add(timeout))
	for {
		n, err := l.f.Read(buf)
		switch {
		case errors.Is(err, syscall.EPIPE): // overwritten: go on with the oldest.
			continue
		case err != nil:
			return r
		}
		prefix, text, _ := strings.Cut(string(buf[:n]), ";")
		priority, _, _ := strings.Cut(prefix, ",")
		if p, err := strconv.Atoi(priority); err != nil || p >= 8 {
			continue // not the kernel's.
		}
		if m := killedLine.FindStringSubmatch(text); m != nil {
			pid, _ := strconv.Atoi(m[1])
			if pids[pid] {
				r.global = r.global || len(r.killed) == 0 && strings.HasPrefix(text, "Out of memory: ")
				r.killed = append(r.killed, pid)
				_ = l.f.SetReadDeadline(time.Now().Add(l.quiet))
			}
		}
		if len(r.killed) == 0 && strings.Contains(text, ": usage ") {
			r.usage = append(r.usage, text)
		}
		if m := slabWords.FindStringSubmatch(text); m != nil && r.slab == 0 {
			r.slab, _ = strconv.ParseUint(m[1], 10, 64)
		}
		if m := taskLine.FindStringSubmatch(text); m != nil && len(r.killed) == 0 {
			r.add(m)
		}
	}
}

func (r *report) add(m []string) {
	var n [5]int64
	for i := range n {
		n[i], _ = strconv.ParseInt(m[i+1], 10, 64)
	}
	r.tasks[int(n[0])] = task{rss: uint64(n[1]), tables: uint64(n[2]) / page, swap: uint64(n[3]), adj: int(n[4])}
}

func TestTaskLine(t *testing.T) {
	for text, want := range map[string]task{
		"[  14571]     0 14571     5770     5328     5133      195         0    81920        0           900 hog": {5328, 20, 0, 900},
		"[    152]     0   152     2815     2681    57344       7         -500 hog":                               {2681, 14, 7, -500},
	} {
		r := report{tasks: map[int]task{}}
		m := taskLine.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%q does not match", text)
			continue
		}
		r.add(m)
		for _, got := range r.tasks {
			if got != want {
				t.Errorf("%q: %+v, want %+v", text, got, want)
			}
		}
	}
}

func TestSlabWords(t *testing.T) {
	// The device escapes the line breaks within a record.
	const text = `active_anon:1040 inactive_anon:110237 isolated_anon:0\x0a unevictable:0 dirty:10 writeback:0\x0a slab_reclaimable:2592 slab_unreclaimable:2150\x0a mapped:52453`
	if m := slabWords.FindStringSubmatch(text); m == nil || m[1] != "2592" {
		t.Errorf("got %q", m)
	}
}
