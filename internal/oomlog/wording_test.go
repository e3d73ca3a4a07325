// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func kb(n uint64) oom.Amount { return oom.Of(n << 10) }

// Reports in the wordings of kernels of which there is no capture, written
// from the formats of mm/oom_kill.c and mm/memcontrol.c of these versions.
const (
	centos7Memcg = `
[11686.043641] java invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=936
[11686.043647] java cpuset=docker-4a9c.scope mems_allowed=0-1
[11686.043651] CPU: 0 PID: 13992 Comm: java Not tainted 3.10.0-1160.el7.x86_64 #1
[11686.043655] Call Trace:
[11686.043658]  [<ffffffff81636431>] dump_stack+0x19/0x1b
[11686.043706] Task in /kubepods/pod1/4a9c killed as a result of limit of /kubepods/pod1
[11686.043710] memory: usage 1048576kB, limit 1048576kB, failcnt 1054
[11686.043711] memory+swap: usage 1048576kB, limit 9007199254740988kB, failcnt 0
[11686.043712] kmem: usage 100kB, limit 9007199254740988kB, failcnt 0
[11686.043714] Memory cgroup stats for /kubepods/pod1: cache:0KB rss:0KB rss_huge:0KB mapped_file:0KB swap:0KB unevictable:0KB
[11686.043730] Memory cgroup stats for /kubepods/pod1/4a9c: cache:28KB rss:1048548KB rss_huge:0KB mapped_file:4KB swap:0KB unevictable:0KB
[11686.043748] [ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name
[11686.043750] [13992]  1000 13992   513021   261108     560       12           936 java
[11686.043752] [14011]  1000 14011     4441     1028      14        0           936 sh
[11686.043757] Memory cgroup out of memory: Kill process 13992 (java) score 1937 or sacrifice child
[11686.043760] Killed process 13992 (java), UID 1000, total-vm:2052084kB, anon-rss:1044428kB, file-rss:4kB, shmem-rss:0kB
`
	kernel414Global = `
[  512.000000] stress invoked oom-killer: gfp_mask=0x14280ca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), nodemask=(null),  order=0, oom_score_adj=0
[  512.000001] stress cpuset=/ mems_allowed=0
[  512.000002] CPU: 3 PID: 77 Comm: stress Tainted: G        W       4.14.177-139.253.amzn2.x86_64 #1
[  512.000003] Mem-Info:
[  512.000004] active_anon:100000 inactive_anon:20 isolated_anon:0
                active_file:10 inactive_file:20 isolated_file:2
                unevictable:3 dirty:0 writeback:0 unstable:0
                slab_reclaimable:5 slab_unreclaimable:6
                free:7 free_pcp:0 free_cma:0
[  512.000005] Free swap  = 4kB
[  512.000006] Total swap = 1048572kB
[  512.000007] 131072 pages RAM
[  512.000008] 1072 pages reserved
[  512.000009] [ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name
[  512.000010] [   77]     0    77   300000   100000     200      4     1000             0 stress
[  512.000011] Out of memory: Kill process 77 (stress) score 900 or sacrifice child
[  512.000012] Killed process 78 (stress) total-vm:1200000kB, anon-rss:400000kB, file-rss:0kB, shmem-rss:0kB
`
	kernel50 = `
[   50.000000] hog invoked oom-killer: gfp_mask=0x6000c0(GFP_KERNEL), order=0, oom_score_adj=0
[   50.000001] CPU: 0 PID: 700 Comm: hog Not tainted 5.0.1 #1
[   50.000002] memory: usage 65536kB, limit 65536kB, failcnt 3
[   50.000003] swap: usage 0kB, limit 0kB, failcnt 0
[   50.000004] Memory cgroup stats for /x: cache:0KB rss:65000KB rss_huge:0KB shmem:0KB
[   50.000005] Tasks state (memory values in pages):
[   50.000006] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[   50.000007] [    700]     0   700    51493    16300   167936        0             0 hog
[   50.000008] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x,task_memcg=/x,task=hog,pid=700,uid=0
[   50.000009] Memory cgroup out of memory: Kill process 700 (hog) score 1000 or sacrifice child
[   50.000010] Killed process 701 (child) total-vm:205972kB, anon-rss:65100kB, file-rss:0kB, shmem-rss:0kB
`
	kernel52CPUSet = `
[   52.000000] hog invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=2, oom_score_adj=-5
[   52.000001] oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=0,cpuset=part,mems_allowed=1,global_oom,task_memcg=/y,task=hog,pid=9,uid=65534
[   52.000002] Out of memory: Killed process 9 (hog) total-vm:205972kB, anon-rss:65100kB, file-rss:0kB, shmem-rss:8kB
`
	// A process whose main thread has exited: the choice names the process,
	// the Killed line a thread.
	kernel73Thread = `
[   73.000000] worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[   73.000001] CPU: 0 UID: 0 PID: 103 Comm: worker Not tainted 7.3.4+deb14-cloud-amd64 #1
[   73.000002] memory: usage 65536kB, limit 65536kB, failcnt 3
[   73.000003] Memory cgroup min protection 0kB -- low protection 0kB
[   73.000004] Tasks state (memory values in pages):
[   73.000005] [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[   73.000006] [    103]     0   100    51493    16531    16352      179         0   167936        0             0 worker
[   73.000007] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/t,task_memcg=/t,task=main,pid=100,uid=0
[   73.000008] Memory cgroup out of memory: Killed process 103 (worker) total-vm:205972kB, anon-rss:65408kB, file-rss:716kB, shmem-rss:0kB, UID:0 pgtables:164kB oom_score_adj:0
`
)

func TestWordings(t *testing.T) {
	for _, tc := range []struct {
		name, log string
		want      oom.Kill
		check     func(*testing.T, *Report)
	}{
		{
			name: "3.10 memcg", log: centos7Memcg,
			want: oom.Kill{
				Constraint: "MEMCG", LimitPath: "/kubepods/pod1", VictimPath: "/kubepods/pod1/4a9c", Evidence: "report",
				Usage: kb(1048576), Limit: kb(1048576),
				Victim: oom.Victim{
					PID: 13992, Comm: "java", UID: oom.Of(1000), TotalVM: kb(2052084), AnonRSS: kb(1044428),
					FileRSS: kb(4), ShmemRSS: kb(0), PageTables: kb(560 * 4), Swap: kb(12 * 4), Adj: 936, AdjKnown: true,
				},
				Trigger: &oom.Trigger{Comm: "java", PID: 13992, GFPMask: "0xd0", Adj: 936, CPUSetPath: "docker-4a9c.scope"},
			},
			check: func(t *testing.T, r *Report) {
				if r.Stat("rss") != oom.Of(1048548<<10) || len(r.Tasks) != 2 || !r.Release.AtLeast(3, 10) || !r.Memsw.Limit.IsUnlimited() {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name: "4.14 global, a child is sacrificed", log: kernel414Global,
			want: oom.Kill{
				Global: true,
				Victim: oom.Victim{PID: 78, Comm: "stress", TotalVM: kb(1200000), AnonRSS: kb(400000), FileRSS: kb(0), ShmemRSS: kb(0)},
				Trigger: &oom.Trigger{
					Comm: "stress", PID: 77, GFPMask: "0x14280ca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO)",
					CPUSetPath: "/",
				},
			},
			check: func(t *testing.T, r *Report) {
				n := r.Node
				if n.RAM != oom.Of(131072*4096) || n.Reserved != oom.Of(1072*4096) || n.SwapTotal != kb(1048572) || n.SwapFree != kb(4) ||
					n.Anon != oom.Of(100020*4096) || n.File != oom.Of(32*4096) || n.Free != oom.Of(7*4096) {
					t.Errorf("node %+v", n)
				}
				if row := r.Tasks[0]; row.PageTables != oom.Of(204*4096) || row.Swap != oom.Of(1000*4096) || !row.OldTables {
					t.Errorf("row %+v", row)
				}
				if r.Release.Major != 4 || r.Release.Minor != 14 {
					t.Errorf("release %+v", r.Release)
				}
			},
		},
		{
			name: "5.0, with both wordings", log: kernel50,
			want: oom.Kill{
				Constraint: "MEMCG", LimitPath: "/x", VictimPath: "/x", Evidence: "report", Usage: kb(65536), Limit: kb(65536),
				Victim: oom.Victim{
					PID: 701, TGID: 700, Comm: "child", UID: oom.Of(0), TotalVM: kb(205972), AnonRSS: kb(65100),
					FileRSS: kb(0), ShmemRSS: kb(0), PageTables: oom.Of(167936), Swap: kb(0), AdjKnown: true,
				},
				Trigger: &oom.Trigger{Comm: "hog", PID: 700, GFPMask: "0x6000c0(GFP_KERNEL)", CPUSetPath: "/"},
			},
			check: func(*testing.T, *Report) {},
		},
		{
			name: "5.2 cpuset", log: kernel52CPUSet,
			want: oom.Kill{
				Constraint: "CPUSET", Global: true, Level: oom.LevelNUMA, VictimPath: "/y", Evidence: "report",
				Victim: oom.Victim{
					PID: 9, TGID: 9, Comm: "hog", UID: oom.Of(65534), TotalVM: kb(205972), AnonRSS: kb(65100),
					FileRSS: kb(0), ShmemRSS: kb(8),
				},
				Trigger: &oom.Trigger{Comm: "hog", GFPMask: "0x100cca(GFP_HIGHUSER_MOVABLE)", Order: 2, Adj: -5, CPUSetPath: "part"},
			},
			check: func(*testing.T, *Report) {},
		},
		{
			name: "7.3, a thread for its process", log: kernel73Thread,
			want: oom.Kill{
				Constraint: "MEMCG", LimitPath: "/t", VictimPath: "/t", Evidence: "report", Usage: kb(65536), Limit: kb(65536),
				Victim: oom.Victim{
					PID: 103, TGID: 100, Comm: "worker", UID: oom.Of(0), TotalVM: kb(205972), AnonRSS: kb(65408),
					FileRSS: kb(716), ShmemRSS: kb(0), PageTables: kb(164), Swap: kb(0), AdjKnown: true,
				},
				Trigger: &oom.Trigger{Comm: "worker", PID: 103, GFPMask: "0xcc0(GFP_KERNEL)", CPUSetPath: "/"},
			},
			check: func(*testing.T, *Report) {},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parse(t, strings.TrimPrefix(tc.log, "\n"))
			if len(got.kills) != 1 || len(got.reports) != 1 {
				t.Fatalf("%d kills, %d reports", len(got.kills), len(got.reports))
			}
			k := got.kills[0]
			if k.Uptime == 0 || k.Seq == 0 {
				t.Errorf("uptime %v, number %d", k.Uptime, k.Seq)
			}
			k.Uptime, k.Seq = 0, 0
			if *k.Trigger != *tc.want.Trigger {
				t.Errorf("trigger %+v, want %+v", *k.Trigger, *tc.want.Trigger)
			}
			k.Trigger, tc.want.Trigger = nil, nil
			if k != tc.want {
				t.Errorf("kill\n%+v, want\n%+v", k, tc.want)
			}
			tc.check(t, got.reports[0])
			if got.reports[0].Partial {
				t.Error("the report is partial")
			}
		})
	}
}

// The size of a page follows from the victim's size in both units.
func TestPageSize(t *testing.T) {
	log := strings.NewReplacer("total-vm:205972kB", "total-vm:3295552kB").Replace(kernel73Thread)
	r := parse(t, log).reports[0]
	if r.PageSize != 64<<10 {
		t.Fatalf("page size %d, want 64 KiB", r.PageSize)
	}
	row := r.Tasks[0]
	if row.RSS != oom.Of(16531<<16) || row.RSSAnon != oom.Of(16352<<16) || row.PageTables != oom.Of(167936) {
		t.Errorf("row %+v", row)
	}
}

func TestParseKilled(t *testing.T) {
	const sizes = "total-vm:4kB, anon-rss:3kB, file-rss:2kB, shmem-rss:1kB, UID:5 pgtables:6kB oom_score_adj:-7"
	for _, tc := range []struct {
		in    string
		comm  string
		ok    bool
		whole bool
	}{
		{"Out of memory: Killed process 12 (x) " + sizes, "x", true, true},
		{"Memory cgroup out of memory: Killed process 12 (a) (b) " + sizes, "a) (b", true, true},
		{"Memory cgroup out of memory: Killed process 12 (a) total-vm:1) " + sizes, "a) total-vm:1", true, true},
		{"Killed process 12 () " + sizes, "", true, true},
		{"Killed process 12 (x), UID 5, total-vm:4kB, anon-rss:3kB, file-rss:2kB", "x", true, true},
		{"Killed process 12 (x) total-vm:4kB, anon-rss:3kB, file-rss:2kB", "x", true, true},
		{"Killed process 12 (x) total-vm:4kB, anon-rss:3kB, new-rss:2kB", "x", true, true},
		{"Killed process 12 (x) total-vm:4kB, anon-", "x", true, false},
		{"Killed process 12 (x) total-vm:4kB, anon-rss:3kB, UID:x", "x", true, false},
		{"Killed process 12 (x) total-vm:4", "", false, false},
		{"Killed process 12 (x)", "", false, false},
		{"Killed process 0 (x) " + sizes, "", false, false},
		{"Killed process -1 (x) " + sizes, "", false, false},
		{"Killed process 99999999999 (x) " + sizes, "", false, false},
		{"Killed process 12 (sixteen bytes ..) " + sizes, "", false, false},
		{"x: Killed process 12 (x) " + sizes, "", false, false},
		{"evil Out of memory: Killed process 12 (x) " + sizes, "", false, false},
		{"EXT4-fs: option \"Out of memory: Killed process 12 (x) " + sizes, "", false, false},
		{" Out of memory: Killed process 12 (x) " + sizes, "", false, false},
	} {
		k, ok := parseKilled(tc.in)
		if ok != tc.ok || ok && (k.victim.Comm != tc.comm || k.whole != tc.whole || k.victim.PID != 12) {
			t.Errorf("parseKilled(%q) = %+v, %v", tc.in, k, ok)
		}
	}
	k, _ := parseKilled("Out of memory (oom_kill_allocating_task): Killed process 12 (x) " + sizes)
	want := oom.Victim{
		PID: 12, Comm: "x", UID: oom.Of(5), TotalVM: kb(4), AnonRSS: kb(3), FileRSS: kb(2), ShmemRSS: kb(1),
		PageTables: kb(6), Adj: -7, AdjKnown: true,
	}
	if k.message != messageAllocating || k.victim != want {
		t.Errorf("%+v, want %+v", k, want)
	}
}
