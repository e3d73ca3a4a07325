// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// printed is a record as the kernel printed it: its lines come one by one, with
// the same prefix.
type printed struct {
	level int
	text  string
}

// split makes records of lines, 10 us apart; a record that has none takes no
// time.
func split(all ...printed) (recs []kmsg.Record) {
	stamp := time.Minute
	for _, p := range all {
		for line := range strings.SplitSeq(p.text, "\n") {
			recs = append(recs, kmsg.Record{
				Priority: p.level, Seq: uint64(len(recs)), Stamp: stamp, HasStamp: true, Split: true, Text: line,
				Time: time.Unix(0, 0).Add(stamp), ReadAt: time.Unix(0, 0).Add(stamp),
			})
		}
		stamp += 10 * time.Microsecond
	}
	return recs
}

// report is what the kernel prints for a kill in path.
func genuine(path string, pid int, comm string) []printed {
	return []printed{
		{levelWarning, comm + " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"},
		{levelInfo, "memory: usage 8192kB, limit 8192kB, failcnt 9"},
		{levelInfo, "Memory cgroup stats for " + path + ":"},
		{levelInfo, "anon 8000000\nfile 0\nkernel 100"},
		{levelInfo, tasksTitle},
		{levelInfo, "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name"},
		{levelInfo, fmt.Sprintf("[%7d]     0 %5d     1000      900      800      100        0    45056        0             0 %s", pid, pid, comm)},
		{levelInfo, strings.Replace(chose(path, pid), "task=x", "task="+comm, 1)},
		{levelErr, strings.Replace(killed(pid), "(x)", "("+comm+")", 1)},
	}
}

// forgeries are texts with which a user can have the kernel begin a record of
// several lines, as kernels print them.
var forgeries = []printed{
	{levelErr, "overlayfs: failed to resolve '/x\n%s': -2"},
	{levelErr, "tmpfs: Unknown parameter 'a\n%s'"},
	{levelErr, "fuse: Unknown parameter '\n%s\n'"},
	{levelErr, "cgroup: Unknown subsys name 'a\n\n\n%s'"},
	{levelWarning, "a\n%s"},
	{levelInfo, "x: y\n%s"},
}

// forged are reports about a kill in /victim that never was: 4242.
func forged() []string {
	one := strings.Replace(killed(4242), "(x)", "(forged)", 1)
	all := []string{
		one,
		chose("/victim", 4242) + "\n" + one,
		invoked + "\n" + chose("/victim", 4242) + "\n" + one,
		"Memory cgroup out of memory: Kill process 4242 (forged) score 999 or sacrifice child\nKilled process 4242 (forged)" + sizes,
		"Task in /victim killed as a result of limit of /victim\n" + one,
		one + "\nTasks in /victim are going to be killed due to memory.oom.group set\n" + one,
	}
	// A record of several lines may end with whatever; a long one may be cut.
	for _, s := range all {
		all = append(all, strings.Repeat("filler\n", 20)+s, s+"\n"+s, "anon 1\n"+s, "memory: usage 1kB, limit 1kB, failcnt 1\n"+s)
	}
	return all
}

// kills returns the kills of the records, and the paths of groups.
func killsOf(o Options, recs []kmsg.Record) (list []string) {
	p := New(o)
	for _, r := range recs {
		for _, e := range p.Add(r) {
			switch e.Kind {
			case KindKill:
				list = append(list, fmt.Sprintf("%d %s %s %s", e.Kill.Victim.PID, e.Kill.Victim.Comm, e.Kill.VictimPath, e.Kill.Evidence))
			case KindGroup:
				list = append(list, "group "+e.Group)
			}
		}
	}
	return list
}

// No text inside a record makes a kill, wherever between genuine lines it is
// printed, and the genuine ones stay what they are.
func TestForgedLinesMakeNoKill(t *testing.T) {
	modern := Options{Release: oom.ParseRelease("6.18.44")}
	first, second := genuine("/real", 77, "hog"), genuine("/other", 78, "pig")
	want := fmt.Sprint(killsOf(modern, split(append(append([]printed(nil), first...), second...)...)))
	if want != "[77 hog /real report 78 pig /other report]" {
		t.Fatalf("the genuine log reads %s", want)
	}
	for _, form := range forgeries {
		for _, text := range forged() {
			record := printed{form.level, fmt.Sprintf(form.text, text)}
			for at := range len(first) + 1 {
				var all []printed
				all = append(append(append(append(all, first[:at]...), record), first[at:]...), record)
				all = append(append(all, second...), record, record)
				for _, o := range []Options{modern, {}} {
					if got := fmt.Sprint(killsOf(o, split(all...))); got != want {
						t.Fatalf("before line %d, level %d, %q:\n%s, want\n%s", at, record.level, record.text, got, want)
					}
				}
			}
		}
	}
}

// Records of their own that the kernel prints in the same microsecond stay so.
func TestSameMicrosecond(t *testing.T) {
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"a storm": {[]string{killed(1), killed(2), killed(3)}, "[1 x   2 x   3 x  ]"},
		"a group": {
			[]string{killed(1), together("/g"), killed(1), killed(2)}, "[1 x   group /g 1 x /g report 2 x /g report]",
		},
		"a table before the choice": {[]string{
			invoked, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
			"[      7]     0     7     1000      900    45056        0             0 x", chose("/g", 7), killed(7),
		}, "[7 x /g report]"},
		"a comm with a newline": {[]string{strings.Replace(killed(1), "(x)", "(a\nb)", 1), killed(2)}, "[1 a\nb   2 x  ]"},
		"a comm with a newline in the choice": {[]string{
			invoked, strings.Replace(chose("/g", 7), "task=x", "task=a\nb", 1), strings.Replace(killed(7), "(x)", "(a\nb)", 1),
		}, "[7 a\nb /g report]"},
		"somebody else in between": {[]string{killed(1), "eth0: link is up", killed(2)}, "[1 x  ]"},
	} {
		recs := split(printed{levelErr, strings.Join(tc.lines, "\n")})
		if got := fmt.Sprint(killsOf(Options{}, recs)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A kernel's words are believed if it is that kernel's.
func TestWordingsOfOtherKernels(t *testing.T) {
	const (
		old      = "Killed process 5 (x) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
		centos   = "Killed process 5 (x), UID 0, total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
		prefixed = "Memory cgroup out of memory: " + old
	)
	for _, tc := range []struct {
		release string
		level   int
		text    string
		ok      bool
	}{
		{"6.18.44", levelErr, killed(5), true},
		{"5.10.223", levelErr, killed(5), true},
		{"5.4.0-150-generic", levelErr, killed(5), true},
		{"5.4.0-150-generic", levelErr, prefixed, true},
		{"4.18.0-553.el8", levelErr, killed(5), true},
		{"4.18.0-553.el8", levelErr, old, true},
		{"3.10.0-1160.el7", levelErr, centos, true},
		{"", levelInfo, old, true}, // nobody knows which kernel.
		{"6.18.44", levelInfo, killed(5), false},
		{"6.18.44", levelWarning, killed(5), false},
		{"6.18.44", levelErr, old, false},
		{"6.18.44", levelErr, centos, false},
		{"6.18.44", levelErr, prefixed, false},
		{"6.18.44", levelErr, strings.TrimSuffix(killed(5), " oom_score_adj:0"), false},
		{"5.10.223", levelErr, old, false},
	} {
		o := Options{Release: oom.ParseRelease(tc.release)}
		if got := len(killsOf(o, split(printed{tc.level, tc.text}))) == 1; got != tc.ok {
			t.Errorf("%q at level %d by %q: believed %v, want %v", tc.text, tc.level, tc.release, got, tc.ok)
		}
	}
	// What an impossible line says is not taken for a part of a genuine report.
	for _, text := range []string{
		"Task in /victim killed as a result of limit of /victim",
		"Memory cgroup out of memory: Kill process 5 (x) score 9 or sacrifice child",
	} {
		recs := split(printed{levelWarning, invoked}, printed{levelInfo, text}, printed{levelErr, killed(5)})
		if got := fmt.Sprint(killsOf(Options{Release: oom.ParseRelease("6.1.0")}, recs)); got != "[5 x  ]" {
			t.Errorf("with %q: %s", text, got)
		}
	}
}

// FuzzForgedRecord puts whatever text into one record of the kernel's log.
func FuzzForgedRecord(f *testing.F) {
	for _, form := range forgeries {
		for _, text := range forged()[:6] {
			f.Add(fmt.Sprintf(form.text, text), uint8(form.level), uint8(3))
		}
	}
	first := genuine("/real", 77, "hog")
	f.Fuzz(func(t *testing.T, text string, level, at uint8) {
		head, _, _ := strings.Cut(text, "\n")
		if isOwn(head) || continues(chose("/", 1), head, true) || strings.Contains(text, "\x00") {
			t.Skip("nothing that a user can have the kernel begin a record with")
		}
		n := int(at) % (len(first) + 1)
		all := append(append(append([]printed(nil), first[:n]...), printed{int(level) % 8, text}), first[n:]...)
		for _, kill := range killsOf(Options{Release: oom.ParseRelease("6.18.44")}, split(all...)) {
			if !strings.HasPrefix(kill, "77 hog ") {
				t.Errorf("%q before line %d makes %q", text, n, kill)
			}
		}
	})
}
