// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// report66 is a whole report of a memory cgroup, without prefixes.
const report66 = `x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
CPU: 1 PID: 701 Comm: x Not tainted 6.6.1 #1
memory: usage 524288kB, limit 524288kB, failcnt 31
Memory cgroup stats for /shop:
anon 500000000
file 1000000
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    700]     0   700   200000   100000   901120       10           100 batch
[    701]     0   701    20000    20000    90112        0             0 x
` + choiceLine + "\n" + batchLine + "\n"

// prefixed puts something before each line, N standing for its number.
func prefixed(prefix, text string) string {
	var b strings.Builder
	n := 10
	for line := range strings.Lines(text) {
		n++
		b.WriteString(strings.ReplaceAll(prefix, "NN", string(rune('0'+n/10))+string(rune('0'+n%10))) + line)
	}
	return b.String()
}

func linesOf(text string, from, to int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[from:min(to, len(all))], "")
}

const (
	oldHead   = "Task in /docker/a killed as a result of limit of /docker/a\n"
	oldTail   = "Memory cgroup out of memory: Kill process 9 (app) score 300 or sacrifice child\nKilled process 9 (app) total-vm:40000kB, anon-rss:30000kB, file-rss:0kB\n"
	nodeHead  = "[    1.000000] app invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
	panicTail = "[    1.500000] Kernel panic - not syncing: "
)

// What was made up after the kinds of the files: other spellings of the same.
func TestWildSpellings(t *testing.T) {
	for _, tc := range []struct {
		name, in  string
		dead      []string
		want, not []string
	}{
		// Kills without a report.
		{
			"grep -i killed, two kinds", "[    1.0] " + batchLine + "\n[    9.0] " + strings.Replace(nodeLine, "700 (batch)", "7 (cron)", 1) + "\n",
			[]string{"batch", "cron"},
			[]string{"batch (pid 700, uid 0, oom_score_adj 0): 390.6 MiB resident because a memory cgroup", "cron (pid 7, uid 0, oom_score_adj 0): 390.6 MiB resident because the node"},
			[]string{"5 s"},
		},
		{"the allocating task", strings.Replace(nodeLine, "memory:", "memory (oom_kill_allocating_task):", 1) + "\n", []string{"batch"}, []string{"just as it asked for some"}, []string{"5 s"}},
		{"silenced", "[    1.0] " + batchLine + "\n[    7.0] oom_kill_process: 3 callbacks suppressed\n", []string{"batch"}, []string{"the kernel prints at most 10 reports in 5 s"}, nil},
		{"grep on the first and the last line", prefixed("[    1.0] ", linesOf(report66, 0, 1)+batchLine+"\n"), []string{"batch"}, []string{"Trigger x", "which the log does not name"}, nil},

		// The head is lost.
		{"from the stats on", prefixed("[    1.0] ", linesOf(report66, 3, 99)), []string{"batch"}, []string{"/shop reached its memory limit", "anonymous 476.8 MiB", "100000 rss + 10 swap"}, []string{"no task table"}},
		{"from the rows on", prefixed("[    1.0] ", linesOf(report66, 8, 99)), []string{"batch"}, []string{"100000 rss + 10 swap + 220 page tables", "/shop"}, []string{"no task table"}},
		{"from the second row on", prefixed("[    1.0] ", linesOf(report66, 9, 99)), []string{"batch"}, []string{"the victim is not in the task table"}, nil},
		{"rows alone", prefixed("Nov 24 10:00:NN web1 kernel: ", linesOf(report66, 8, 10)), nil, []string{"The log does not say who was killed", "390.6 0.0 0.9 100"}, nil},

		// The node's memory.
		{
			"each line with a prefix of docker", prefixed("2026-11-24T10:00:00.123456789Z stdout F ", "active_anon:500 inactive_anon:1000 isolated_anon:0\n active_file:100 inactive_file:200 isolated_file:0\n"+
				" slab_reclaimable:5000 slab_unreclaimable:700000\n free:10000 free_pcp:0 free_cma:0\n1000000 pages RAM\n"+nodeLine+"\n"),
			[]string{"batch"},
			[]string{"page cache 1.2 MiB", "kernel slabs 2734.4 MiB", "free 39.1 MiB"},
			nil,
		},
		{
			"of an old kernel", prefixed("Nov 24 10:00:00 web1 kernel: ", "active_anon:500 inactive_anon:1000 isolated_anon:0\n active_file:100 inactive_file:200 isolated_file:0\n"+
				" unevictable:0 dirty:0 writeback:0 unstable:0\n free:10000 slab_reclaimable:5000 slab_unreclaimable:700000\n mapped:1 shmem:2 pagetables:3 bounce:0\n1000000 pages RAM\n"+nodeLine+"\n"),
			[]string{"batch web1"},
			[]string{"page cache 1.2 MiB", "kernel slabs 2734.4 MiB", "free 39.1 MiB"},
			nil,
		},
		{
			"slabs that are the largest part", prefixed("[    1.0] ", "active_anon:500 inactive_anon:1000 isolated_anon:0#012 slab_reclaimable:5000 slab_unreclaimable:700000\n1000000 pages RAM\n"+
				"Unreclaimable slab info:\nName                      Used          Total\nkmalloc-64           2400000KB    2500000KB\ndentry                  1000KB       2000KB\n"+nodeLine+"\n"),
			[]string{"batch"},
			[]string{"kernel slabs 2734.4 MiB (the largest is kmalloc-64 with 2441.4 MiB)"},
			[]string{"page cache"},
		},

		// The choice alone.
		{"of a memory cgroup", choiceLine + "\n", []string{"batch"}, []string{"batch (pid 700) was chosen to be killed because /shop reached its memory limit", "In /shop/a"}, nil},
		{"two of them", "[    1.0] " + choiceLine + "\n[    2.0] " + strings.Replace(choiceLine, "batch,pid=700", "cron,pid=7", 1) + "\n", []string{"batch", "cron"}, []string{"cron (pid 7) was chosen"}, nil},
		{"quoted", "> | kernel: " + choiceLine + "\n", []string{"batch"}, []string{"because /shop reached"}, nil},
		{"without its end", strings.TrimSuffix(choiceLine, "0,uid=0") + "\n", nil, []string{"does not say who was killed when /shop reached"}, []string{"pid 70"}},

		// Limits of cgroup v1.
		{"kernel memory", oldHead + "memory: usage 100000kB, limit 262144kB, failcnt 0\nmemory+swap: usage 100000kB, limit 524288kB, failcnt 0\nkmem: usage 65536kB, limit 65536kB, failcnt 3\n" + oldTail, []string{"app"}, []string{"reached its kernel memory limit of 64.0 MiB"}, []string{"256.0"}},
		{"memory itself", oldHead + "memory: usage 262144kB, limit 262144kB, failcnt 9\nmemory+swap: usage 270000kB, limit 524288kB, failcnt 0\nkmem: usage 0kB, limit 18014398509481983kB, failcnt 0\n" + oldTail, []string{"app"}, []string{"reached its memory limit of 256.0 MiB", "hit 9 times"}, nil},
		{"both at once", oldHead + "memory: usage 262144kB, limit 262144kB, failcnt 9\nmemory+swap: usage 262144kB, limit 262144kB, failcnt 7\n" + oldTail, []string{"app"}, []string{"reached its memory limit of 256.0 MiB"}, nil},
		{
			"a sibling used most", "Task in /p/a killed as a result of limit of /p\nmemory: usage 262144kB, limit 262144kB, failcnt 9\nMemory cgroup stats for /p: cache:0KB rss:0KB swap:0KB\n" +
				"Memory cgroup stats for /p/a: cache:0KB rss:50000KB swap:0KB\nMemory cgroup stats for /p/b: cache:0KB rss:200000KB swap:0KB\n" + oldTail,
			[]string{"app"},
			[]string{"/p reached its memory limit", "of 2 cgroups below the limit /p/b used most: 195.3 MiB anonymous"},
			nil,
		},

		// Boots and machines.
		{"a mark of journalctl", "Nov 23 10:00:00 h kernel: x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n-- Boot 0123456789abcdef0123456789abcdef --\nNov 23 10:00:01 h kernel: " + batchLine + "\n", []string{"batch h"}, []string{"boot 012345678...", "no report about it"}, []string{"not the victim"}},
		{"a mark of an old journalctl", "Nov 23 10:00:00 h kernel: x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n-- Reboot --\nNov 23 10:00:01 h kernel: " + batchLine + "\n", []string{"batch h"}, []string{"boot 2", "no report about it"}, []string{"not the victim"}},
		{"a step back", "[ 4000.0] x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[   30.0] " + batchLine + "\n", []string{"batch"}, []string{"boot 2, 30.000 s"}, []string{"was killed because /"}},
		{"a long gap", "Nov 23 10:00:00 h kernel: x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\nNov 24 12:00:00 h kernel: " + batchLine + "\n", []string{"batch h"}, []string{"no report about it is in this log"}, nil},
		{"three machines in JSON", strings.Join([]string{
			`{"_HOSTNAME":"a","_TRANSPORT":"kernel","MESSAGE":"` + choiceLine + `"}`,
			`{"_HOSTNAME":"b","_TRANSPORT":"kernel","MESSAGE":"` + strings.Replace(nodeLine, "batch", "cron", 1) + `"}`,
			`{"_HOSTNAME":"a","_TRANSPORT":"kernel","MESSAGE":"` + batchLine + `"}`,
			`{"_HOSTNAME":"c","_TRANSPORT":"kernel","MESSAGE":"` + batchLine + `"}`,
		}, "\n"), []string{"batch a", "cron b", "batch c"}, []string{"host a batch (pid 700) was killed because /shop reached", "host b"}, nil},
		{"machines in RFC 5424", "<4>1 2026-11-24T10:00:00Z a kernel - - - " + choiceLine + "\n<4>1 2026-11-24T10:00:00Z b kernel - - - " + nodeLine + "\n<4>1 2026-11-24T10:00:00Z a kernel - - - " + batchLine + "\n", []string{"batch a", "batch b"}, []string{"because /shop", "because the node"}, nil},

		// Twice the same.
		{"the journal and kern.log", prefixed("Nov 24 10:00:00 h kernel: ", report66) + prefixed("Nov 24 10:00:00 h kernel: [ 9.0000NN] ", report66), []string{"batch h"}, []string{"100000 rss"}, []string{"Summary"}},
		{"line by line", perLine(func(s string) string { return s + "\n" + s })(prefixed("Nov 24 10:00:00 h kernel: ", report66)), []string{"batch h"}, []string{"100000 rss"}, nil},
		{"the same again next day", prefixed("[ 9.0000NN] ", report66) + prefixed("[ 99999.0000NN] ", report66), []string{"batch", "batch"}, []string{"2 processes killed"}, nil},

		// Old kernels.
		{"2.6.32", "[ 1.0] Out of memory: kill process 8 (httpd) score 12345 or a child\n[ 1.1] Killed process 9 (httpd)\n", []string{"httpd"}, []string{"httpd (pid 9) was killed because the node"}, nil},
		{"3.x, the kill alone", "Killed process 9 (httpd) total-vm:40000kB, anon-rss:30000kB, file-rss:0kB\n", []string{"httpd"}, []string{"httpd (pid 9) was killed"}, []string{"node", "cgroup"}},
		{"a memory cgroup's sacrifice", "Nov 24 10:00:00 h kernel: Memory cgroup out of memory: Kill process 9 (httpd) score 253 or sacrifice child\n", []string{"httpd h"}, []string{"chosen to be killed because a memory cgroup"}, nil},
		{"RHEL 6, whole", prefixed("Mar  2 17:35:10 db1 kernel: ", "mysqld invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0, oom_score_adj=0\nPid: 12, comm: mysqld Not tainted 2.6.32-431.el6.x86_64 #1\n"+
			"[ pid ]   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name\n[   12]   498    12  1955933   635000   1     -17             0 mysqld\n"+
			"Out of memory: Kill process 12 (mysqld) score 900 or sacrifice child\nKilled process 12, UID 498, (mysqld) total-vm:7823732kB, anon-rss:2539268kB, file-rss:768kB\n"), []string{"mysqld db1"}, []string{"kernel 2.6.32-431.el6", "635000 rss", "Trigger mysqld (pid 12)"}, nil},

		{"reaped, and nothing else", "[    1.0] oom_reaper: reaped process 700 (batch), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n", []string{"batch"}, []string{"batch (pid 700) was killed by the OOM killer; the log does not say why"}, nil},
		{"killed and reaped", "[    1.0] " + nodeLine + "\n[    1.1] oom_reaper: reaped process 700 (batch), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n", []string{"batch"}, nil, []string{"Summary"}},

		// A panic in the place of a kill.
		{"compulsory", nodeHead + panicTail + "Out of memory: compulsory panic_on_oom is enabled\n", nil, []string{"The kernel panicked instead of killing because", "compulsory panic_on_oom"}, []string{"was killed"}},
		{"nothing to kill", nodeHead + panicTail + "Out of memory and no killable processes...\n", nil, []string{"panicked", "no killable processes"}, nil},
		{"a deadlock", nodeHead + "[    1.400000] Out of memory and no killable processes...\n" + panicTail + "System is deadlocked on memory\n", nil, []string{"panicked", "System is deadlocked on memory"}, []string{"Summary"}},

		// NUMA.
		{"a memory policy", strings.NewReplacer("MEMCG", "MEMORY_POLICY", "(null)", "1-2", "oom_memcg=/shop", "global_oom").Replace(choiceLine) + "\n" + nodeLine + "\n", []string{"batch"}, []string{"NUMA nodes of its memory policy", "memory policy: 1-2"}, nil},
		{"a cpuset of a container", strings.NewReplacer("MEMCG", "CPUSET", "cpuset=/", "cpuset=cri-1.scope", "mems_allowed=0", "mems_allowed=0,2-3", "oom_memcg=/shop", "global_oom").Replace(choiceLine) + "\n" + nodeLine + "\n", []string{"batch"}, []string{"cpuset cri-1.scope: 0,2-3"}, nil},
		{"a failed page fault", "x invoked oom-killer: gfp_mask=0x0(), order=0, oom_score_adj=0\n" + nodeLine + "\n", []string{"batch"}, []string{"VM_FAULT_OOM", "memory need not have been short"}, nil},

		// Group kills whose announcement is missing.
		{"the first again at once", prefixed("[    1.0000NN] ", choiceLine+"\n"+batchLine+"\n"+batchLine+"\n"), []string{"batch"}, []string{"batch (pid 700) was killed"}, []string{"2 "}},
		{"after two others", prefixed("[    1.0000NN] ", choiceLine+"\n"+batchLine+"\n"+strings.Replace(batchLine, "700", "701", 1)+"\n"+strings.Replace(batchLine, "700", "702", 1)+"\n"+batchLine+"\n"), []string{"batch", "batch", "batch"}, []string{"3 processes of /shop/a were killed together"}, nil},
		{"without any report", prefixed("[    1.0000NN] ", batchLine+"\n"+strings.Replace(batchLine, "700", "701", 1)+"\n"+batchLine+"\n"), []string{"batch", "batch"}, nil, []string{"3 "}},
		{"another one with the same pid, later", prefixed("[    NN.000000] ", strings.Repeat(batchLine+"\nx\nx\nx\n", 2)), []string{"batch", "batch"}, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, d := explained(t, tc.in)
			checkSaid(t, text, tc.want, tc.not)
			if diff := cmp.Diff(tc.dead, deadOf(d)); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, text)
			}
		})
	}
}
