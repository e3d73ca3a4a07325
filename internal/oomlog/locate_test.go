// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"
	"testing"
)

// Every line of a report is found behind any prefix; what a report does not
// have is not.
func TestLocate(t *testing.T) {
	for _, text := range []string{
		killed(7), chose("/a", 7), together("/g"), noKillable + "...", "Killed process 12, UID 0, (x) total-vm:1kB", "Kill process 12 (x) score 1 or sacrifice child",
		"Out of memory: Kill process 12 (x) score 1 or sacrifice child", "Task in /a/b killed as a result of limit of /a", "Memory limit reached of cgroup /a",
		"memory: usage 1kB, limit 1kB, failcnt 1", "memory+swap: usage 1kB, limit 1kB, failcnt 1", "kmem: usage 1kB, limit 1kB, failcnt 1", "swap: usage 1kB, limit 1kB, failcnt 1",
		"Memory cgroup stats for /a:", "Mem-Info:", "active_anon:1 inactive_anon:2 isolated_anon:3", "active_file:1 inactive_file:2", "unevictable:1 dirty:2",
		"slab_reclaimable:1 slab_unreclaimable:2", "mapped:1 shmem:2", "free:1 free_pcp:2", "free:1 slab_reclaimable:2", "131072 pages RAM", "1072 pages reserved",
		"Free swap  = 4kB", "Total swap = 4kB", tasksTitle, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
		"[    700]     0   700   200000   100000   900000        0             0 worker", "[  700]  1000   700   200   100   9        0             -998 a b",
		"CPU: 0 PID: 77 Comm: x Not tainted 6.1.0 #1", "Pid: 77, comm: x Not tainted 2.6.32 #1", "oom_kill_process: 3 callbacks suppressed",
		"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", "Linux version 6.1.0-1 (x@y)", "sysrq: Manual OOM execution",
		"oom_reaper: reaped process 1 (x), now anon-rss:0kB", "Unreclaimable slab info:",
	} {
		for _, prefix := range []string{"", "x: ", "[1] ", `"a","`, "12|", "2026-11-24T10:00:00Z "} {
			if at, sure := Locate(prefix + text + "\r"); at != len(prefix) || !sure {
				t.Errorf("%q is found at %d, %v, want %d", prefix+text, at, sure, len(prefix))
			}
		}
	}
	for _, text := range []string{
		"", "eth0: up", "Out of memory", "Out of memory: cannot allocate", "OutOfMemoryError: Killed process", "Killed", "process 12 (x) killed", "[1] 2 3 4 x",
		"Node 0 DMA free:1kB min:2kB active_anon:0kB inactive_anon:0kB x", "nr_active_anon 12 x", "memory: usage high", "CPU: 12", "[  700] 1 2 3",
	} {
		if at, _ := Locate(text); at > 0 || at == 0 && !strings.HasPrefix(text, "Node") {
			t.Errorf("%q is found at %d", text, at)
		}
	}
	if at, sure := Locate("2026-11-24 web1: my app invoked oom-killer: gfp_mask=0x0"); sure || at != len("2026-11-24 web1: ") {
		t.Errorf("a name is found at %d, %v", at, sure)
	}
}

func TestHint(t *testing.T) {
	for text, want := range map[string]int{
		killed(7): linesAfter, invoked: linesAfter, chose("/a", 7): linesOfReport, "Mem-Info:": linesOfReport, "Linux version 6.1": linesAfter, "eth0: up": 0, "": 0,
	} {
		if got := Hint([]byte(text)); got < want || want == 0 && got != 0 {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{killed(7), chose("/a", 7), invoked, "x [  7] 1 2 3 4 5 6 7 8 n", "12 pages RAM"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, sure := Locate(s)
		if at < -1 || at > len(s) || at < 0 && sure {
			t.Errorf("%q: %d, %v", s, at, sure)
		}
		if at >= 0 && sure {
			if again, _ := Locate(s[at:]); again != 0 {
				t.Errorf("%q is found at %d, and then at %d", s, at, again)
			}
		}
	})
}
