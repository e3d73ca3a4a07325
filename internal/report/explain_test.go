// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

var update = flag.Bool("update", false, "write the golden files anew")

const corpus = "../oomlog/testdata/"

func testOptions() Options {
	return Options{Location: time.UTC, Now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
}

// opener opens a log that is a text.
func opener(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

func explain(t *testing.T, file string, opts Options) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	if err := explainLog(f, &out, opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", file, diff)
	}
}

func TestExplainGolden(t *testing.T) {
	for name, file := range map[string]string{
		"score-order":      corpus + "6.18-v1-03-score-order.kmsg.txt",
		"sibling":          corpus + "6.18-v1-05-nested-sibling-victim.kmsg.txt",
		"burst":            corpus + "6.12-v2-burst.kmsg.txt",
		"global":           corpus + "6.1-v2-global_adj.kmsg.txt",
		"sysrq":            corpus + "6.12-v2-sysrq.kmsg.txt",
		"allocating":       corpus + "6.12-v2-global_alloc.kmsg.txt",
		"no-killable":      corpus + "6.1-v2-nokill_fault.kmsg.txt",
		"centos7":          "testdata/centos7-memcg.log",
		"kubernetes-group": "testdata/kubernetes-group.log",
	} {
		t.Run(name, func(t *testing.T) { golden(t, name+".txt", explain(t, file, testOptions())) })
	}
}

// What a person needs is in the text, by the numbers of the experiments: see
// the captures' other witnesses.
func TestExplainSays(t *testing.T) {
	for _, tc := range []struct {
		file string
		want []string
	}{
		{corpus + "6.18-v1-03-score-order.kmsg.txt", []string{
			"p1-big-adj0 (pid 14604) was killed because /h2-order reached its memory limit of 128.0 MiB.",
			"trigger (pid 14606), not the victim",
			"= 18112 pages",
			"p2-small-adj10 (pid 14605) with 8203 pages", // 7883 + 10 x 32
		}},
		{corpus + "6.12-v2-group.kmsg.txt", []string{
			"3 processes of /g were killed together (memory.oom.group)",
			"nobody: nothing else could have been killed there",
			"-1000          -  protected",
		}},
		{corpus + "6.18-v1-20-comm-oddities.kmsg.txt", []string{`nl\x0aSecond (pid 22056)`, `\xff\xfe\x80bin`, "é日本", `\x01c_cont`}},
		{"testdata/centos7-memcg.log", []string{
			// (261108 + 0 + 560) less 3 %, and 936 x (1 GiB in pages / 1000).
			"261108 rss + 0 swap + 560 page tables - 7850 (root's 3 %) + 936 oom_score_adj x 262 = 499050",
			"Nov 21 10:00:00", "neither year nor time zone", "kernel 3.10.0-1160.el7",
		}},
	} {
		text := strings.Join(strings.Fields(explain(t, tc.file, testOptions())), " ")
		for _, want := range tc.want {
			if want = strings.Join(strings.Fields(want), " "); !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", tc.file, want, text)
			}
		}
	}
}

// No line is wider than a terminal, and no text of the kernel's reaches it
// unescaped.
func TestExplainShape(t *testing.T) {
	files, err := filepath.Glob(corpus + "*.kmsg.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "testdata/centos7-memcg.log", "testdata/kubernetes-group.log") {
		if strings.Contains(file, "seek") {
			continue // no OOM in it.
		}
		text := explain(t, file, testOptions())
		checkShape(t, text)
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%s: %d columns: %s", file, n, line)
			}
			if strings.HasSuffix(line, " \n") {
				t.Errorf("%s: space at the end of %q", file, line)
			}
		}
	}
}

func checkShape(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("not UTF-8: %q", text)
	}
	for _, r := range text {
		if r < ' ' && r != '\n' || r == 0x7f {
			t.Errorf("control character %q in %q", r, text)
		}
	}
}

func TestExplainErrors(t *testing.T) {
	for _, tc := range []struct {
		name, in, format string
		want             error
		say              string
	}{
		{"nothing", "", "", ErrNoKernelLog, "dmesg"},
		{"no log", "Hello\nworld\n", "", ErrNoKernelLog, "2 lines"},
		{"programs only", "Nov 21 10:00:00 h sshd[1]: Out of memory: Killed process 1 (x) total-vm:1kB\n", "", ErrNoKernelLog, "journalctl -k"},
		{"no OOM", "[    1.000000] Linux version 6.1\n[    2.000000] eth0: up\n", "json", ErrNoOOM, "2 lines"},
		{"format", "[    1.000000] Linux version 6.1\n", "xml", nil, `unknown format "xml"`},
	} {
		var out bytes.Buffer
		opts := testOptions()
		opts.Format = tc.format
		err := explainLog(strings.NewReader(tc.in), &out, opts)
		if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if out.Len() != 0 {
			t.Errorf("%s: output %q", tc.name, out.String())
		}
	}
}

// A log without prefixes (printk.time=0) is known by what it says.
func TestExplainPlainText(t *testing.T) {
	in := "Out of memory: Killed process 12 (x) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB\n"
	var out bytes.Buffer
	if err := explainLog(strings.NewReader(in), &out, testOptions()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "x (pid 12)") {
		t.Error(out.String())
	}
}

func TestExplainRecords(t *testing.T) {
	records := []kmsg.Record{{Priority: 3, Text: "Out of memory: Killed process 12 (x) total-vm:8kB, anon-rss:4kB"}}
	for format, want := range map[string]string{"text": "x (pid 12)", "json": `"pid": 12`} {
		opts := testOptions()
		opts.Format = format
		var out bytes.Buffer
		if err := ExplainRecords(records, &out, opts); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, %s", format, err, out.String())
		}
		records[0].Priority = 12
		if err := ExplainRecords(records, &out, opts); !errors.Is(err, ErrNoOOM) {
			t.Errorf("%s, forged: %v", format, err)
		}
		records[0].Priority = 3
	}
	opts := testOptions()
	opts.Format = "xml"
	if err := ExplainRecords(records, &bytes.Buffer{}, opts); err == nil {
		t.Error("format xml: no error")
	}
}

func TestExplainOptions(t *testing.T) {
	opts := testOptions()
	opts.Color = true
	opts.Top = 1
	opts.Name = func(path string) string { return "name of " + path }
	text := explain(t, corpus+"6.18-v1-02-adj.kmsg.txt", opts)
	for _, want := range []string{"\x1b[1mOOM", "/h2-adj (name of /h2-adj)", "and 3 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteErrors(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		opts := testOptions()
		opts.Format = format
		in := "Out of memory: Killed process 12 (x) total-vm:8kB, anon-rss:4kB\n"
		if err := explainLog(strings.NewReader(in), failingWriter{}, opts); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %v", format, err)
		}
	}
	if err := Table(failingWriter{}, nil, testOptions()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("table: %v", err)
	}
}

func FuzzExplain(f *testing.F) {
	for _, file := range []string{"testdata/centos7-memcg.log", "testdata/kubernetes-group.log", corpus + "6.12-v2-group.kmsg.txt"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var text, doc bytes.Buffer
		opts := testOptions()
		err := explainLog(bytes.NewReader(b), &text, opts)
		opts.Format = "json"
		err2 := explainLog(bytes.NewReader(b), &doc, opts)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("text: %v, JSON: %v", err, err2)
		}
		if err != nil {
			return
		}
		checkShape(t, text.String())
		if _, err := Decode(&doc); err != nil {
			t.Error(err)
		}
	})
}

// explainLog reads a kernel log in any form and tells every OOM in it.
func explainLog(r io.Reader, w io.Writer, opts Options) error {
	open := func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
	return ExplainAll([]Input{{Open: open}}, w, opts)
}
