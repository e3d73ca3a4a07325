// SPDX-License-Identifier: Apache-2.0

package tracefs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const format510 = `name: mark_victim
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:int pid;	offset:8;	size:4;	signed:1;

print fmt: "pid=%d", REC->pid
`

func TestParseFormat(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       layout
		ok         bool
	}{
		{"6.18", string(read(t, "format-6.18.txt")), layout{comm: true}, true},
		{"5.10", format510, layout{}, true},
		{"empty", "", layout{}, false},
		{"only common_pid", strings.Replace(format510, "int pid;", "int tgid;", 1), layout{}, false},
	} {
		got, err := parseFormat([]byte(tt.text))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
}

// names618 is what the processes of the capture had set as their names.
func names618() (all []Victim) {
	for i, comm := range []string{
		"my app", "a) (b) x", "nl\nSecond", "\xff\xfe\x80bin", "\u00e9\u65e5\u672c", `back\x5cslash`,
	} {
		all = append(all, Victim{PID: 22054 + i, Comm: comm})
	}
	all = append(all, Victim{PID: 22061, Comm: "tab\there"}, Victim{PID: 22062})
	for i, comm := range []string{
		`"quo,te"=1,`, "trail ", "Killed process ", ",task=x,pid=1", "\x01c_cont", "\x010lvl0", "end\n", "a; b",
	} {
		all = append(all, Victim{PID: 22107 + i, Comm: comm})
	}
	return all
}

func TestParseCaptures(t *testing.T) {
	var burst []Victim
	for line := range strings.Lines(string(read(t, "burst-5.10.txt"))) {
		v := Victim{}
		if _, err := fmt.Sscanf(line[strings.LastIndexByte(line, '=')+1:], "%d", &v.PID); err != nil {
			t.Fatal(err)
		}
		burst = append(burst, v)
	}
	if len(burst) != 45 { // so many processes were killed.
		t.Fatalf("the capture has %d lines", len(burst))
	}
	for _, tt := range []struct {
		name   string
		layout layout
		want   []Victim
	}{
		{"burst-5.10.txt", layout{}, burst},
		{"comm-6.1.txt", layout{comm: true}, []Victim{
			{PID: 192, Comm: "my app"}, {PID: 194, Comm: "a) (b)"}, {PID: 196, Comm: "nl\nSecond"}, {PID: 198, Comm: "\xff\xfe\x80b"},
		}},
		{"comm-6.18.txt", layout{comm: true}, names618()},
	} {
		b := read(t, tt.name)
		got, lost, _ := tt.layout.parse(b)
		if diff := cmp.Diff(tt.want, got); diff != "" || lost != 0 {
			t.Errorf("%s: %d lost, (-want +got):\n%s", tt.name, lost, diff)
		}
	}
}

// TestParsePieces cuts a trace in two at each byte: the kernel hands out whole
// lines, but an event may be several.
func TestParsePieces(t *testing.T) {
	b := append(read(t, "comm-6.1.txt"), "CPU:1 [LOST 12 EVENTS]\n"...)
	l := layout{comm: true}
	want, _, _ := l.parse(b)
	for cut := range len(b) {
		var got []Victim
		victims, lost, rest := l.parse(b[:cut])
		got = append(got, victims...)
		victims, more, _ := l.parse(append(bytes.Clone(rest), b[cut:]...))
		got = append(got, victims...)
		pids := func(all []Victim) (p []int) {
			for _, v := range all {
				p = append(p, v.PID)
			}
			return p
		}
		if diff := cmp.Diff(pids(want), pids(got)); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
		if lost+more != 12 {
			t.Fatalf("cut at %d: %d lost, want 12", cut, lost+more)
		}
	}
}

func TestGroup(t *testing.T) {
	const v1 = "4:cpu,cpuacct:/other\n3:memory:/kubepods/pod1/abc\n0::/init.scope\n"
	const v2 = "0::/kubepods.slice/cri-containerd-abc.scope\n"
	for _, tt := range []struct {
		name, text string
		unified    bool
		namespace  string
		want       string
	}{
		{"v1", v1, false, "", "/kubepods/pod1/abc"},
		{"v1 with a second controller", "3:hugetlb,memory:/a\n", false, "", "/a"},
		{"hybrid, memory on v2", v1, true, "", "/init.scope"},
		{"v2", v2, true, "", "/kubepods.slice/cri-containerd-abc.scope"},
		{"v2, asked for v1", v2, false, "", ""},
		{"the root, where the dying are seen", "3:memory:/\n", false, "", ""},
		{"nothing", "", false, "", ""},
		{"no path", "3:memory:\n", false, "", ""},
		{"removed", "0::/a/b (deleted)\n", true, "", "/a/b"},
		{"with colons", "0::/a:b/c\n", true, "", "/a:b/c"},
		{"in our namespace", "0::/a\n", true, "/pod/own", "/pod/own/a"},
		{"beside our namespace", "0::/../../pod2/x\n", true, "/pod/own", "/pod2/x"},
		{"beside a namespace unknown", "0::/../../pod2/x\n", true, "", ""},
		{"beside a namespace that is the root", "0::/../../pod2/x\n", true, "/", ""},
	} {
		o := Options{Proc: t.TempDir(), Unified: tt.unified, Namespace: tt.namespace}
		put(t, filepath.Join(o.Proc, "7/cgroup"), tt.text)
		if got := o.group(7); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"burst-5.10.txt", "comm-6.1.txt", "comm-6.18.txt"} {
		f.Add(read(f, name), true)
		f.Add(read(f, name), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, comm bool) {
		l := layout{comm: comm}
		victims, _, rest := l.parse(b)
		if len(victims) > bytes.Count(b, marker) {
			t.Errorf("%d victims of %d markers", len(victims), bytes.Count(b, marker))
		}
		if !bytes.HasSuffix(b, rest) {
			t.Errorf("the rest %q is not the end of %q", rest, b)
		}
		for _, v := range victims {
			if v.PID <= 0 || !comm && v.Comm != "" || len(v.Comm) > maxComm {
				t.Errorf("%+v", v)
			}
		}
	})
}
