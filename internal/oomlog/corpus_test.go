// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// capture is a real log of a kernel, and what other witnesses saw: pids and
// comms are those of the tracepoint oom:mark_victim, which fires once a
// victim; vmstat is the step of oom_kill in /proc/vmstat, which counts a group
// kill's first victim twice. Paths are those of the experiment; a star stands
// for one group a victim.
type capture struct {
	file       string
	pids       string
	comms      []string // one for all, one each, or unknown.
	vmstat     int
	limit      string
	victim     string
	limitKB    uint64
	reports    int // with a kill; 0: one each.
	noKillable int
	cut        bool // the file ends in a report.
}

var captures = []capture{
	{file: "5.10-v2-adj", pids: "146 156", vmstat: 2, limit: "/a", victim: "/a", limitKB: 65536},
	{
		file: "5.10-v2-burst", reports: 10, limitKB: 4096,
		pids: "367 375 370 372 379 382 385 388 390 394 397 400 403 405 409 412 414 420 418 426 424 433 430 436 439 442 444 451 " +
			"448 454 460 457 466 463 468 475 472 478 484 481 487 499 490 495 493",
		vmstat: 45, limit: "/b*", victim: "/b*",
	},
	{
		file: "5.10-v2-comm", pids: "181 183 185 187", comms: []string{"my app", "a) (b)", "nl\nSecond", "\xff\xfe\x80b"},
		vmstat: 4, limit: "/cm", victim: "/cm", limitKB: 4096,
	},
	{file: "5.10-v2-global", pids: "282", vmstat: 1, victim: "/gl"},
	{file: "5.10-v2-global_adj", pids: "303 305", vmstat: 2, victim: "/"},
	{file: "5.10-v2-group", pids: "213 204 205", vmstat: 4, limit: "/g", victim: "/g", limitKB: 49152, reports: 1},
	{file: "5.10-v2-nested", pids: "122", vmstat: 1, limit: "/p", victim: "/p/c", limitKB: 24576},
	{file: "5.10-v2-nokill_fault", noKillable: 13, cut: true},
	{file: "5.10-v2-single", pids: "97", vmstat: 1, limit: "/s", victim: "/s", limitKB: 24576},
	{file: "5.10-v2-sysrq", pids: "343", vmstat: 1, victim: "/sq"},
	{file: "6.1-v1-adj", pids: "156 167", comms: []string{"adj500", "trigger"}, vmstat: 2, limit: "/a", victim: "/a", limitKB: 65536},
	{
		file: "6.1-v1-burst", reports: 10, limitKB: 4096,
		pids: "354 360 357 363 366 369 380 372 374 384 378 389 386 393 396 398 402 404 411 408 417 420 414 427 423 430 436 433 " +
			"442 445 439 448 451 459 454 463 457 466 469 472 475 478 483 481 487",
		comms: []string{"burst"}, vmstat: 45, limit: "/b*", victim: "/b*",
	},
	{
		file: "6.1-v1-comm", pids: "192 194 196 198", comms: []string{"my app", "a) (b)", "nl\nSecond", "\xff\xfe\x80b"},
		vmstat: 4, limit: "/cm", victim: "/cm", limitKB: 4096,
	},
	{file: "6.1-v1-global", pids: "268", comms: []string{"globalhog"}, vmstat: 1, victim: "/gl"},
	{file: "6.1-v1-global_adj", pids: "289 291", comms: []string{"small900", "bighung"}, vmstat: 2, victim: "/"},
	{file: "6.1-v1-nested", pids: "133", comms: []string{"hog"}, vmstat: 1, limit: "/p", victim: "/p/c", limitKB: 24576},
	{file: "6.1-v1-nokill_syscall", noKillable: 1},
	{file: "6.1-v1-single", pids: "108", comms: []string{"hog"}, vmstat: 1, limit: "/s", victim: "/s", limitKB: 24576},
	{file: "6.1-v1-sysrq", pids: "330", comms: []string{"sysrqvic"}, vmstat: 1, victim: "/sq"},
	{file: "6.1-v2-adj", pids: "154 165", comms: []string{"adj500", "trigger"}, vmstat: 2, limit: "/a", victim: "/a", limitKB: 65536},
	{
		file: "6.1-v2-burst", reports: 10, limitKB: 4096,
		pids: "378 381 387 384 389 393 396 399 405 402 408 411 414 417 420 423 429 426 432 435 438 441 451 448 454 460 457 445 " +
			"462 466 469 475 472 486 481 478 493 490 505 484 498 495 502 509 512",
		comms: []string{"burst"}, vmstat: 45, limit: "/b*", victim: "/b*",
	},
	{
		file: "6.1-v2-comm", pids: "190 192 194 196", comms: []string{"my app", "a) (b)", "nl\nSecond", "\xff\xfe\x80b"},
		vmstat: 4, limit: "/cm", victim: "/cm", limitKB: 4096,
	},
	{file: "6.1-v2-global", pids: "290", comms: []string{"globalhog"}, vmstat: 1, victim: "/gl"},
	{file: "6.1-v2-global_adj", pids: "312 314", comms: []string{"small900", "bighung"}, vmstat: 2, victim: "/"},
	{file: "6.1-v2-global_alloc", pids: "335", comms: []string{"allocate"}, vmstat: 1, victim: "/"},
	{
		file: "6.1-v2-group", pids: "222 214 213", comms: []string{"biggest", "member2", "member1"}, vmstat: 4,
		limit: "/g", victim: "/g", limitKB: 49152, reports: 1,
	},
	{file: "6.1-v2-nested", pids: "131", comms: []string{"hog"}, vmstat: 1, limit: "/p", victim: "/p/c", limitKB: 24576},
	{file: "6.1-v2-nokill_fault", noKillable: 12, cut: true},
	{file: "6.1-v2-nokill_syscall", noKillable: 1},
	{file: "6.1-v2-single", pids: "106", comms: []string{"hog"}, vmstat: 1, limit: "/s", victim: "/s", limitKB: 24576},
	{file: "6.1-v2-sysrq", pids: "354", comms: []string{"sysrqvic"}, vmstat: 1, victim: "/sq"},
	{file: "6.12-v2-adj", pids: "208 218", comms: []string{"adj500", "trigger"}, vmstat: 2, limit: "/a", victim: "/a", limitKB: 65536},
	{
		file: "6.12-v2-burst", reports: 10, limitKB: 4096,
		pids: "430 437 428 434 440 443 446 449 452 455 461 458 464 467 478 473 476 470 481 485 488 491 494 497 500 503 507 510 " +
			"515 513 525 519 522 528 531 534 540 543 537 549 546 552 555 561 558",
		comms: []string{"burst"}, vmstat: 45, limit: "/b*", victim: "/b*",
	},
	{
		file: "6.12-v2-comm", pids: "243 245 247 249", comms: []string{"my app", "a) (b)", "nl\nSecond", "\xff\xfe\x80b"},
		vmstat: 4, limit: "/cm", victim: "/cm", limitKB: 4096,
	},
	{file: "6.12-v2-global", pids: "342", comms: []string{"globalhog"}, vmstat: 1, victim: "/gl"},
	{file: "6.12-v2-global_adj", pids: "363 365", comms: []string{"small900", "bighung"}, vmstat: 2, victim: "/"},
	{file: "6.12-v2-global_alloc", pids: "385", comms: []string{"allocate"}, vmstat: 1, victim: "/"},
	{
		file: "6.12-v2-group", pids: "275 266 268", comms: []string{"biggest", "member1", "member2"}, vmstat: 4,
		limit: "/g", victim: "/g", limitKB: 49152, reports: 1,
	},
	{file: "6.12-v2-nested", pids: "184", comms: []string{"hog"}, vmstat: 1, limit: "/p", victim: "/p/c", limitKB: 24576},
	{file: "6.12-v2-nokill_fault", noKillable: 8, cut: true},
	{file: "6.12-v2-nokill_syscall", noKillable: 2},
	{file: "6.12-v2-seek"},
	{file: "6.12-v2-single", pids: "159", comms: []string{"hog"}, vmstat: 1, limit: "/s", victim: "/s", limitKB: 24576},
	{file: "6.12-v2-sysrq", pids: "404", comms: []string{"sysrqvic"}, vmstat: 1, victim: "/sq"},
	{file: "6.18-v1-01-single", pids: "10711", comms: []string{"hog"}, vmstat: 1, limit: "/h2-single", victim: "/h2-single", limitKB: 65536},
	{file: "6.18-v1-02-adj", pids: "14571", comms: []string{"small-adj900"}, vmstat: 1, limit: "/h2-adj", victim: "/h2-adj", limitKB: 131072},
	{
		file: "6.18-v1-03-score-order", pids: "14604", comms: []string{"p1-big-adj0"}, vmstat: 1,
		limit: "/h2-order", victim: "/h2-order", limitKB: 131072,
	},
	{
		file: "6.18-v1-04-nested-parent-limit", pids: "13292", comms: []string{"nested"}, vmstat: 1,
		limit: "/h2-nest", victim: "/h2-nest/child", limitKB: 65536,
	},
	{
		file: "6.18-v1-05-nested-sibling-victim", pids: "13327", comms: []string{"sib-a-big"}, vmstat: 1,
		limit: "/h2-sib", victim: "/h2-sib/a", limitKB: 98304,
	},
	{file: "6.18-v1-06-shmem", pids: "13360", comms: []string{"shm-hog"}, vmstat: 1, limit: "/h2-shmem", victim: "/h2-shmem", limitKB: 65536},
	{file: "6.18-v1-07-thread", pids: "13382", comms: []string{"leader-name"}, vmstat: 1, limit: "/h2-thr", victim: "/h2-thr", limitKB: 65536},
	{
		file: "6.18-v1-11-burst-60-over-9s", reports: 20, limitKB: 16384,
		pids: "14883 14884 14885 14886 14887 14888 14889 14890 14891 14892 14893 14894 14895 14896 14897 14898 14899 14900 14901 " +
			"14902 14903 14904 14905 14906 14907 14908 14909 14910 14911 14912 14913 14914 14915 14916 14917 14918 14919 14920 " +
			"14921 14922 14924 14925 14926 14927 14928 14929 14930 14931 14932 14933 14934 14935 14936 14937 14938 14939 14940 " +
			"14941 14942 14943",
		vmstat: 60, limit: "/h2-b*", victim: "/h2-b*",
	},
	{
		file: "6.18-v1-20-comm-oddities",
		pids: "22054 22055 22056 22057 22058 22059 22061 22062 22107 22108 22109 22110 22111 22112 22113 22114",
		comms: []string{
			"my app", "a) (b) x", "nl\nSecond", "\xff\xfe\x80bin", "é日本", "back\\x5cslash", "tab\there", "",
			"\"quo,te\"=1,", "trail ", "Killed process ", ",task=x,pid=1", "\x01c_cont", "\x010lvl0", "end\n", "a; b",
		},
		vmstat: 16, limit: "/h2-comm", victim: "/h2-comm", limitKB: 16384,
	},
	{
		file: "6.18-v1-30-oom-kill-disable-eventfd", pids: "22173", comms: []string{"sleeper"}, vmstat: 1,
		limit: "/h2-disabled", victim: "/h2-disabled", limitKB: 32768,
	},
	{
		file: "6.18-v1-31-oom-eventfd-on-kill", pids: "22222", comms: []string{"efd-kill"}, vmstat: 1,
		limit: "/h2-efd", victim: "/h2-efd", limitKB: 32768,
	},
	{
		file: "6.18-v1-32-long-path", pids: "23512 23513 23514 23515 23516 23517",
		comms:  []string{"long0", "long1", "long2", "long3", "long4", "longboth"},
		vmstat: 6, limit: "/h2-long*", victim: "/h2-long*",
	},
}

func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.kmsg.txt")
	if err != nil || len(files) != len(captures) {
		t.Fatalf("%d files, %d expectations, %v", len(files), len(captures), err)
	}
	for _, c := range captures {
		t.Run(c.file, func(t *testing.T) {
			got := parse(t, readCapture(t, c.file))
			c.checkKills(t, got)
			c.checkReports(t, got)
		})
	}
}

func readCapture(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".kmsg.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parsed is all that the parser made of a log.
type parsed struct {
	kills   []oom.Kill
	reports []*Report
	events  []Event
	stats   Stats
}

func parse(t *testing.T, text string) parsed {
	t.Helper()
	return parseRecords(records(t, text))
}

func records(t *testing.T, text string) []kmsg.Record {
	t.Helper()
	var recs []kmsg.Record
	if _, err := kmsg.ReadLog(strings.NewReader(text), kmsg.LogOptions{}, func(r kmsg.Record) { recs = append(recs, r) }); err != nil {
		t.Fatal(err)
	}
	return recs
}

func parseRecords(recs []kmsg.Record) parsed {
	p := New(Options{})
	var got parsed
	for _, r := range recs {
		got.events = append(got.events, p.Add(r)...)
	}
	got.events = append(got.events, p.Flush()...)
	got.stats = p.Stats()
	for _, e := range got.events {
		switch e.Kind {
		case KindKill:
			got.kills = append(got.kills, e.Kill)
		case KindReport:
			got.reports = append(got.reports, e.Report)
		}
	}
	return got
}

// checkKills compares with the witnesses.
func (c capture) checkKills(t *testing.T, got parsed) {
	t.Helper()
	var pids []string
	withReport := 0
	for i, k := range got.kills {
		if k.Duplicate {
			continue
		}
		pids = append(pids, strconv.Itoa(k.Victim.PID))
		if len(c.comms) == 1 && k.Victim.Comm != c.comms[0] || len(c.comms) > 1 && k.Victim.Comm != c.comms[len(pids)-1] {
			t.Errorf("kill %d: comm %q, want one of %q", i, k.Victim.Comm, c.comms)
		}
		if k.Partial && c.reports == 0 {
			t.Errorf("kill %d is partial", i)
		}
		if k.Evidence == "" {
			if k.VictimPath != "" || k.LimitPath != "" || !k.Partial {
				t.Errorf("kill %d has paths without evidence: %+v", i, k)
			}
			continue
		}
		withReport++
		c.checkKill(t, k)
	}
	if s := strings.Join(pids, " "); s != c.pids {
		t.Errorf("pids %s\nwant %s", s, c.pids)
	}
	if len(got.kills) != c.vmstat {
		t.Errorf("%d kills with duplicates, vmstat counted %d", len(got.kills), c.vmstat)
	}
	if want := max(c.reports, 1); c.reports > 1 && withReport != want {
		t.Errorf("%d kills have evidence, want %d", withReport, want)
	}
}

// checkKill compares one kill that has a report.
func (c capture) checkKill(t *testing.T, k oom.Kill) {
	t.Helper()
	global := c.limit == ""
	wantConstraint, wantLevel := oom.ConstraintMemcg, oom.LevelUnknown
	if global {
		wantConstraint, wantLevel = oom.ConstraintNone, oom.LevelNode
	}
	if k.Constraint != wantConstraint || k.Global != global || k.Level != wantLevel {
		t.Errorf("pid %d: constraint %s, global %v, level %v", k.Victim.PID, k.Constraint, k.Global, k.Level)
	}
	if !pathFits(c.limit, k.LimitPath) || !pathFits(c.victim, k.VictimPath) {
		t.Errorf("pid %d: limit of %q, victim in %q, want %q, %q", k.Victim.PID, k.LimitPath, k.VictimPath, c.limit, c.victim)
	}
	if !strings.Contains(c.file, "long") && strings.HasSuffix(c.limit, "*") && k.LimitPath != k.VictimPath {
		t.Errorf("pid %d: limit of %q, victim in %q", k.Victim.PID, k.LimitPath, k.VictimPath)
	}
	if name, ok := strings.CutPrefix(k.Victim.Comm, "burst-"); ok && k.LimitPath != "/h2-b"+name {
		t.Errorf("%s was killed in %s", k.Victim.Comm, k.LimitPath)
	}
	if c.limitKB != 0 && k.Limit != oom.Of(c.limitKB<<10) {
		t.Errorf("pid %d: limit %v, want %d kB", k.Victim.PID, k.Limit, c.limitKB)
	}
	if k.Sysrq != strings.HasSuffix(c.file, "sysrq") || k.Allocating != strings.HasSuffix(c.file, "alloc") {
		t.Errorf("pid %d: sysrq %v, allocating %v", k.Victim.PID, k.Sysrq, k.Allocating)
	}
	v := k.Victim
	if k.Trigger == nil || k.Trigger.PID == 0 || !v.UID.IsSet() || !v.Swap.IsSet() || !v.PageTables.IsSet() || !v.AdjKnown {
		t.Errorf("pid %d is not complete: %+v, %+v", v.PID, v, k.Trigger)
	}
}

func pathFits(want, got string) bool {
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(got, prefix) && len(got) > len(prefix)
	}
	return got == want
}

// checkReports compares the reports around the kills.
func (c capture) checkReports(t *testing.T, got parsed) {
	t.Helper()
	want := c.reports
	if want == 0 && c.pids != "" {
		want = len(strings.Fields(c.pids))
	}
	kills, noKillable, cut := 0, 0, 0
	release, _, _ := strings.Cut(c.file, "-")
	for i, r := range got.reports {
		switch {
		case r.Headless:
			continue
		case r.NoKillable:
			noKillable++
		case len(r.Kills) > 0:
			kills++
		default:
			cut++
			if !r.Partial || i != len(got.reports)-1 {
				t.Errorf("report %d has no end, partial %v", i, r.Partial)
			}
			continue
		}
		if !strings.HasPrefix(r.Release.Text, release+".") || r.Trigger == nil || len(r.Tasks) == 0 || r.Partial {
			t.Errorf("report %d: %+v", i, r)
		}
		if (len(r.Stats) > 30) == r.Global || r.Global != r.Node.RAM.IsSet() {
			t.Errorf("report %d: %d stats, node %+v", i, len(r.Stats), r.Node)
		}
	}
	if kills != want || noKillable != c.noKillable || (cut == 1) != c.cut {
		t.Errorf("%d reports with a kill, %d without, %d cut, want %d, %d, %v", kills, noKillable, cut, want, c.noKillable, c.cut)
	}
}

// The tracepoint's witness: what the report says about one victim in full.
func TestCaptureInFull(t *testing.T) {
	got := parse(t, readCapture(t, "6.18-v1-05-nested-sibling-victim"))
	k, r := got.kills[0], got.reports[0]
	kb := func(n uint64) oom.Amount { return oom.Of(n << 10) }
	want := oom.Victim{
		PID: 13327, TGID: 13327, Comm: "sib-a-big", UID: oom.Of(0),
		TotalVM: kb(62612), AnonRSS: kb(61440), FileRSS: kb(716), ShmemRSS: kb(0), PageTables: kb(156),
		Swap: kb(0), AdjKnown: true,
	}
	if k.Victim != want {
		t.Errorf("victim\n%+v, want\n%+v", k.Victim, want)
	}
	trigger := oom.Trigger{Comm: "sib-b-trig", PID: 13340, GFPMask: "0xcc0(GFP_KERNEL)", CPUSetPath: "/"}
	if *k.Trigger != trigger || *r.Trigger != trigger {
		t.Errorf("trigger %+v, want %+v", *k.Trigger, trigger)
	}
	if r.Memory.Failcnt != oom.Of(45) || r.Memory.Usage != kb(98304) || !r.Memsw.Limit.IsUnlimited() || r.Kmem.Usage.Or(0) == 0 {
		t.Errorf("usage %+v, %+v, %+v", r.Memory, r.Memsw, r.Kmem)
	}
	names := []string{r.Tasks[0].Comm, r.Tasks[1].Comm}
	slices.Sort(names)
	if !slices.Equal(names, []string{"sib-a-big", "sib-b-trig"}) {
		t.Errorf("tasks %q", names)
	}
	if r.Stat("total_rss").Or(0) < 90<<20 || r.Stat("hierarchical_memory_limit") != kb(98304) {
		t.Errorf("stats %+v", r.Stats)
	}
}
