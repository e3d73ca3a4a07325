// SPDX-License-Identifier: Apache-2.0

package oomlog

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestParseChoice(t *testing.T) {
	const head = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cs,mems_allowed=0-1,"
	memcg := func(limit, victim, comm string) choice {
		return choice{constraint: "MEMCG", cpuset: "cs", memsAllowed: "0-1", limitPath: limit, victimPath: victim, comm: comm, pid: 7, uid: oom.Of(8), whole: true}
	}
	for _, tc := range []struct {
		name, in string
		want     choice
	}{
		{"memcg", head + "oom_memcg=/a,task_memcg=/a/b,task=x,pid=7,uid=8", memcg("/a", "/a/b", "x")},
		{"the root's limit", head + "oom_memcg=/,task_memcg=/a/b,task=x,pid=7,uid=8", memcg("/", "/a/b", "x")},
		{"comm holds a choice", head + "oom_memcg=/a,task_memcg=/a,task=,task=x,pid=1,pid=7,uid=8", memcg("/a", "/a", ",task=x,pid=1")},
		{"no comm", head + "oom_memcg=/a,task_memcg=/a,task=,pid=7,uid=8", memcg("/a", "/a", "")},
		{
			"path holds a task", head + "oom_memcg=/a,task=long name of a group,task_memcg=/a,task=long name of a group,task=x,pid=7,uid=8",
			memcg("/a,task=long name of a group", "/a,task=long name of a group", "x"),
		},
		{
			"path holds a separator", head + "oom_memcg=/a,task_memcg=/z,task_memcg=/a,task_memcg=/z/c,task=x,pid=7,uid=8",
			memcg("/a,task_memcg=/z", "/a,task_memcg=/z/c", "x"),
		},
		{
			"path holds the global word", head + "oom_memcg=/a,global_oom,task_memcg=/a,global_oom/b,task=x,pid=7,uid=8",
			memcg("/a,global_oom", "/a,global_oom/b", "x"),
		},
		{
			"global", "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/gl,task=x,pid=7,uid=8",
			choice{constraint: "NONE", cpuset: "/", memsAllowed: "0", global: true, victimPath: "/gl", comm: "x", pid: 7, uid: oom.Of(8), whole: true},
		},
		{
			"global, path holds a limit",
			"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/g,oom_memcg=/x,task=x,pid=7,uid=8",
			choice{constraint: "NONE", cpuset: "/", memsAllowed: "0", global: true, victimPath: "/g,oom_memcg=/x", comm: "x", pid: 7, uid: oom.Of(8), whole: true},
		},
		{
			"a constraint of the future", "oom-kill:constraint=CONSTRAINT_BPF,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=x,pid=7,uid=8",
			choice{constraint: "BPF", cpuset: "/", memsAllowed: "0", global: true, victimPath: "/", comm: "x", pid: 7, uid: oom.Of(8), whole: true},
		},
		{"cut at the limit", head + "oom_memcg=/a", choice{constraint: "MEMCG", cpuset: "cs", memsAllowed: "0-1", limitPath: "/a"}},
		{"cut at the victim", head + "oom_memcg=/a,task_memcg=/a/b", choice{constraint: "MEMCG", cpuset: "cs", memsAllowed: "0-1", limitPath: "/a", victimPath: "/a/b"}},
		{"cut early", "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)", choice{constraint: "MEMCG"}},
		{"old", "Task in /a/b killed as a result of limit of /a", choice{constraint: "MEMCG", limitPath: "/a", victimPath: "/a/b", whole: true}},
		{
			"old, path holds the words", "Task in /a killed as a result of limit of /b killed as a result of limit of /a killed as a result of limit of /b",
			choice{constraint: "MEMCG", limitPath: "/a killed as a result of limit of /b", victimPath: "/a killed as a result of limit of /b", whole: true},
		},
		{"old, cut", "Task in /a/b", choice{constraint: "MEMCG"}},
	} {
		if got := parseChoice(tc.in); got != tc.want {
			t.Errorf("%s:\n%+v, want\n%+v", tc.name, got, tc.want)
		}
	}
}

// Every way in which a choice can be broken: at any border between the pieces
// in which the kernel prints it.
func TestContinues(t *testing.T) {
	for _, pieces := range [][]string{
		{
			"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)", ",cpuset=", "cs", ",mems_allowed=0", ",oom_memcg=", "/a b",
			",task_memcg=", "/a b/c", ",task=x y,pid=7,uid=8",
		},
		{
			"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)", ",cpuset=", "/", ",mems_allowed=0", ",global_oom", ",task_memcg=", "/",
			",task=,pid=7,uid=8",
		},
		{"Task in ", "/a/b", " killed as a result of limit of ", "/a"},
		{"Task in /a/b killed", " as a result of limit of /a"},
	} {
		for mask := range 1 << (len(pieces) - 1) {
			text, chunk := "", pieces[0]
			check := func() {
				if text != "" && (wholeChoice(text) || !continues(text, chunk, true)) {
					t.Fatalf("%q does not continue %q", chunk, text)
				}
				text += chunk
			}
			for i, piece := range pieces[1:] {
				if mask>>i&1 == 1 {
					check()
					chunk = ""
				}
				chunk += piece
			}
			check()
			if !wholeChoice(text) {
				t.Fatalf("%q is not whole", text)
			}
		}
	}
	for _, foreign := range []string{"eth0: link up", "[UFW BLOCK] IN=eth0", ",unknown=1", "/dev/sda: read error", " more"} {
		if continues("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=", foreign, false) {
			t.Errorf("%q is taken for a path", foreign)
		}
		if continues("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)", foreign, true) {
			t.Errorf("%q is taken for a piece", foreign)
		}
	}
}
