// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func readLog(t *testing.T, text string) ([]Record, LogStats) {
	t.Helper()
	var recs []Record
	stats, err := ReadLog(strings.NewReader(text), LogOptions{Now: testNow}, func(r Record) { recs = append(recs, r) })
	if err != nil {
		t.Fatal(err)
	}
	return recs, stats
}

// The same record in every form in which people keep it.
func TestReadLogForms(t *testing.T) {
	const text = "memory: usage 64kB, limit 64kB, failcnt 1"
	stamp := 2513*time.Second + 716506*time.Microsecond
	wall := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	micro := wall.Add(123456 * time.Microsecond)
	for _, tc := range []struct {
		name, prefix string
		priority     int
		stamp        bool
		time         time.Time
	}{
		{"kmsg", "6,1,2513716506,-;", 6, true, time.Time{}},
		{"kmsg with a caller", "6,1,2513716506,-,caller=T1;", 6, true, time.Time{}},
		{"dmesg", "[ 2513.716506] ", -1, true, time.Time{}},
		{"dmesg with a caller", "[ 2513.716506][  T123] ", -1, true, time.Time{}},
		{"dmesg with an interrupt", "[ 2513.716506][    C0] ", -1, true, time.Time{}},
		{"dmesg -d", "[ 2513.716506 <    0.000010>] ", -1, true, time.Time{}},
		{"dmesg -r", "<6>[ 2513.716506] ", 6, true, time.Time{}},
		{"dmesg -x", "kern  :info  : [ 2513.716506] ", 6, true, time.Time{}},
		{"dmesg -T", "[Sat Nov 21 10:00:00 2026] ", -1, false, wall},
		{"dmesg -T, one digit", "[Sat Nov  7 10:00:00 2026] ", -1, false, wall.AddDate(0, 0, -14)},
		{"dmesg -xT", "kern  :info  : [Sat Nov 21 10:00:00 2026] ", 6, false, wall},
		{"dmesg -H, first", "[Nov21 10:00] ", -1, false, time.Time{}},
		{"dmesg -H, then", "[  +0.000010] ", -1, false, time.Time{}},
		{"dmesg --time-format=iso", "2026-11-21T10:00:00,123456+00:00 ", -1, false, micro},
		{"dmesg -x --time-format=iso", "kern  :info  : 2026-11-21T10:00:00,123456+00:00 ", 6, false, micro},
		{"dmesg --color", "\x1b[32m[ 2513.716506] \x1b[0m", -1, true, time.Time{}},
		{"journalctl -k", "Nov 21 10:00:00 node-1 kernel: ", -1, false, wall},
		{"journalctl -o short-precise", "Nov 21 10:00:00.123456 node-1 kernel: ", -1, false, micro},
		{"journalctl -o short-iso", "2026-11-21T10:00:00+0000 node-1 kernel: ", -1, false, wall},
		{"journalctl -o short-iso, newer", "2026-11-21T12:00:00+02:00 node-1 kernel: ", -1, false, wall},
		{"journalctl -o short-iso-precise", "2026-11-21T10:00:00.123456+00:00 node-1 kernel: ", -1, false, micro},
		{"journalctl -o short-full", "Sat 2026-11-21 10:00:00 UTC node-1 kernel: ", -1, false, wall},
		{"journalctl -o short-unix", "1795255200.123456 node-1 kernel: ", -1, false, micro},
		{"journalctl -o short-monotonic", "[ 2513.716506] node-1 kernel: ", -1, true, time.Time{}},
		{"rsyslog", "Nov 21 10:00:00 node.example.org kernel: [ 2513.716506] ", -1, true, wall},
		{"rsyslog, ISO", "2026-11-21T10:00:00.123456+00:00 node-1 kernel: [ 2513.716506] ", -1, true, micro},
		{"syslog on the wire", "<6>Nov 21 10:00:00 node-1 kernel: ", 6, false, wall},
		{"of last year", "Dec 24 10:00:00 node-1 kernel: ", -1, false, time.Date(2025, 12, 24, 10, 0, 0, 0, time.UTC)},
		{"printk.time=0", "", -1, false, time.Time{}},
		{"dmesg -r, printk.time=0", "<6>", 6, false, time.Time{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recs, stats := readLog(t, tc.prefix+text+"\r\n"+tc.prefix+" <TASK>\n"+tc.prefix+"\n")
			if len(recs) != 3 || recs[1].Text != " <TASK>" || recs[2].Text != "" {
				t.Fatalf("records %+v", recs)
			}
			r := recs[0]
			if r.Text != text || r.Priority != tc.priority || r.HasStamp != tc.stamp || !r.Time.Equal(tc.time) {
				t.Errorf("record %+v", r)
			}
			if tc.stamp && r.Stamp != stamp {
				t.Errorf("stamp %v, want %v", r.Stamp, stamp)
			}
			if device := strings.HasPrefix(tc.name, "kmsg"); r.Split == device {
				t.Errorf("split %v", r.Split)
			}
			if kernel := tc.prefix != ""; (stats.Kernel > 0) != kernel || (stats.Plain > 0) == kernel {
				t.Errorf("stats %+v", stats)
			}
		})
	}
}

// What programs log is not the kernel's, whatever it looks like.
func TestReadLogOthers(t *testing.T) {
	for _, line := range []string{
		"Nov 21 10:00:00 node-1 kubelet[12]: Out of memory: Killed process 1 (x)",
		"Nov 21 10:00:00 node-1 app[1]: x kernel: Out of memory: Killed process 1 (x)",
		"2026-11-21T10:00:00+0000 node-1 systemd[1]: Started.",
		"2026-11-21T10:00:00.1+00:00 node-1 kernel-x: text",
		"Sat 2026-11-21 10:00:00 UTC node-1 sshd[1]: text",
		"1795255200.123456 node-1 sshd[1]: text",
		"<6>Nov 21 10:00:00 node-1 app: text",
	} {
		recs, stats := readLog(t, line+"\n")
		if len(recs) != 0 || stats.Other != 1 {
			t.Errorf("%q gives %+v, %+v", line, recs, stats)
		}
	}
}

func TestReadLogFolds(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{
			name: "dmesg indents what follows a newline",
			in:   "[    1.000000] anon 1\n               file 2\n               shmem 3\n[    1.000001] next\n",
			want: []string{"anon 1\nfile 2\nshmem 3", "next"},
		},
		{
			name: "and keeps deeper indents",
			in:   "[    1.000000] active_anon:1\n                active_file:2\n",
			want: []string{"active_anon:1\n active_file:2"},
		},
		{
			name: "journalctl likewise",
			in:   "Nov 21 10:00:00 h kernel: anon 1\n                          file 2\n",
			want: []string{"anon 1\nfile 2"},
		},
		{
			name: "a smaller indent is a line of its own",
			in:   "[    1.000000] one\n  two\n",
			want: []string{"one", "  two"},
		},
		{
			name: "without prefixes nothing is folded",
			in:   "Call Trace:\n <TASK>\n           dump_stack\n",
			want: []string{"Call Trace:", " <TASK>", "           dump_stack"},
		},
		{
			name: "properties of a device record",
			in:   "6,1,1,-;one\n SUBSYSTEM=pci\n DEVICE=+pci:0\n6,2,1,-;two\n",
			want: []string{"one", "two"},
		},
		{
			name: "a line of a program ends what is folded",
			in:   "Nov 21 10:00:00 h kernel: anon 1\nNov 21 10:00:00 h app[1]: x\n                          file 2\n",
			want: []string{"anon 1", "                          file 2"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			recs, _ := readLog(t, tc.in)
			var got []string
			for _, r := range recs {
				got = append(got, r.Text)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReadLogLosses(t *testing.T) {
	recs, _ := readLog(t, "6,1,1,-;a\n6,5,1,-;b\n[    1.0] c\n6,6,1,-;d\n")
	var lost []uint64
	for _, r := range recs {
		lost = append(lost, r.Lost)
	}
	if diff := cmp.Diff([]uint64{0, 3, 0, 0}, lost); diff != "" {
		t.Errorf("lost: %s", diff)
	}
}

func TestReadLogLongLines(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	recs, stats := readLog(t, "[    1.000000] "+long+"\n[    1.000001] after")
	if len(recs) != 2 || stats.Cut != 1 || len(recs[0].Text) > maxLine || recs[1].Text != "after" {
		t.Errorf("%d records, %+v", len(recs), stats)
	}
	// Endless continuation lines don't grow one record for ever.
	recs, _ = readLog(t, "[    1.000000] a\n"+strings.Repeat("               "+strings.Repeat("b", 1000)+"\n", 200))
	for _, r := range recs {
		if len(r.Text) > maxFolded+2000 {
			t.Errorf("a record of %d bytes", len(r.Text))
		}
	}
}

func TestReadLogEncodings(t *testing.T) {
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write([]byte("[    1.000000] text\n")); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{"gzip": zipped.String(), "byte order mark": "\xef\xbb\xbf[    1.000000] text"} {
		if recs, _ := readLog(t, in); len(recs) != 1 || recs[0].Text != "text" || !recs[0].HasStamp {
			t.Errorf("%s: %+v", name, recs)
		}
	}
	if _, err := ReadLog(strings.NewReader("\x1f\x8bbroken"), LogOptions{}, func(Record) {}); err == nil {
		t.Error("broken gzip: no error")
	}
}

func TestReadLogEmpty(t *testing.T) {
	if recs, stats := readLog(t, ""); len(recs) != 0 || stats != (LogStats{}) {
		t.Errorf("%v, %+v", recs, stats)
	}
}

func TestCleanLine(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[33mwarn\x1b[0m: \x1b[1;31mx\x1b[m": "warn: x",
		"\x1b[2Kx":                               "x",
		"\x1b[24;1Hx\x1b(B":                      "x",
		"\x1b]0;title\ax":                        "x",
		"#033[1mx#033[0m":                        "x",
		"^[[0;33mx^[[0m":                         "x",
		"\x1b[":                                  "\x1b[",
		"\x00\x00x":                              "x",
		"\rx\r":                                  "x",
		"&lt;4&gt;it&#39;s &quot;x&quot;":        "<4>it's \"x\"",
		"a\u00a0b":                               "a b",
		"<td>x</td><br/>":                        "x",
		" <TASK>":                                " <TASK>",
		"a && b;":                                "a && b;",
	} {
		if got := cleanLine([]byte(in)); got != want {
			t.Errorf("cleanLine(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte("6,1,2,-;a\n K=v\n[    1.0] b\n<3>[ 1.0][ T1] c\nNov 21 10:00:00 h kernel: [ 1.0] d\n               e\n"))
	f.Add([]byte("kern  :info  : [Sat Nov 21 10:00:00 2026] x\n2026-11-21T10:00:00,1+00:00 y\n\x1b[1mz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, lines := 0, uint64(0)
		stats, err := ReadLog(bytes.NewReader(b), LogOptions{Now: testNow}, func(r Record) {
			size += len(r.Text)
			if r.Split && r.Seq <= lines {
				t.Errorf("line %d after %d", r.Seq, lines)
			}
			if r.Split {
				lines = r.Seq
			}
		})
		if err != nil {
			return // compressed.
		}
		most := len(b)
		if !utf8.Valid(b) { // UTF-16 and Latin-1 grow as UTF-8, and a byte that is neither becomes three.
			most *= 3
		}
		if _, ok := packed(bufio.NewReader(bytes.NewReader(b))); !ok && !bytes.Contains(b, []byte{0}) && (size > most || stats.Lines > len(b)) {
			t.Errorf("%d bytes and %d lines out of %d", size, stats.Lines, len(b))
		}
	})
}
