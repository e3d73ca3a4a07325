// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const allGreen = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB/one"}
{"Action":"output","Package":"p","Test":"TestB/one","Output":"  guest: --- FAIL: TestOfAGuest (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestB/one"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.100s\n"}
{"Action":"pass","Package":"p"}
`

func TestSummary(t *testing.T) {
	for name, c := range map[string]struct {
		logs    []string
		allowed string
		ok      bool
		want    []string // each is in what is printed
		not     []string
	}{
		"green":                   {logs: []string{allGreen}, ok: true, want: []string{"2 passed, 0 failed, 0 skipped"}},
		"a log that is not there": {logs: []string{allGreen, ""}, ok: true, want: []string{"2 passed, 0 failed, 0 skipped"}},
		"a failed test, with what it said": {
			logs: []string{`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: got 1\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}
`},
			want: []string{"failed: p#TestA", "a_test.go:7: got 1", "0 passed, 1 failed"}, not: []string{"failed: p\n"},
		},
		"a test that never ended": {
			logs: []string{`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out after 1s\n"}
{"Action":"fail","Package":"p"}
`},
			want: []string{"failed: p#TestA", "timed out", "0 passed, 1 failed"},
		},
		"a package that does not build": {
			logs: []string{`{"ImportPath":"p [p.test]","Action":"build-output","Output":"a.go:1: undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"fail","Package":"q","FailedBuild":"p [p.test]"}
`},
			want: []string{"failed: p\n", "undefined: x", "failed: q\n", "0 passed, 2 failed"},
		},
		"a log that was cut off": {logs: []string{`{"Action":"run","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pa`}, want: []string{"0 passed, 1 failed"}},
		"a skip":                 {logs: []string{`{"Action":"skip","Package":"p","Test":"TestA"}`}, want: []string{"skipped without a reason in the list of allowed skips: p#TestA", "0 passed, 0 failed, 1 skipped"}},
		"a skip with a reason": {
			logs: []string{`{"Action":"skip","Package":"p","Test":"TestA"}`}, allowed: "# why\nTestA: this kernel has no swap\n",
			ok: true, want: []string{"0 passed, 0 failed, 1 skipped"}, not: []string{"without a reason"},
		},
		"a skip of another test of which the name is a part": {
			logs: []string{`{"Action":"skip","Package":"p","Test":"TestA"}`}, allowed: "TestAll: why\n", want: []string{"without a reason"},
		},
		"a skip in one log of what ran in another": {logs: []string{`{"Action":"skip","Package":"p","Test":"TestA"}`, allGreen}, ok: true, want: []string{"2 passed, 0 failed, 0 skipped"}},
		"a machine that was booted once more":      {logs: []string{`{"Action":"output","Package":"p","Test":"TestA","Output":"the machine hung and is booted once more\n"}` + "\n" + allGreen}, ok: true, want: []string{"is booted once more"}},
		"text between the events":                  {logs: []string{"make: entering\n" + allGreen + "make: leaving\n"}, ok: true, want: []string{"2 passed"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var files []string
			for i, text := range c.logs {
				file := filepath.Join(dir, string(rune('a'+i)))
				if text != "" {
					write(t, file, text)
				}
				files = append(files, file)
			}
			list := filepath.Join(dir, "allowed")
			write(t, list, c.allowed)
			var out bytes.Buffer
			ok, err := sumUp(nil, &out, list, false, files)
			if err != nil || ok != c.ok {
				t.Errorf("ok is %v, %v; want %v", ok, err, c.ok)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, &out)
				}
			}
			for _, not := range c.not {
				if strings.Contains(out.String(), not) {
					t.Errorf("%q is too much in:\n%s", not, &out)
				}
			}
		})
	}
}

// A run that is cut off has told by then what it knew.
func TestFollow(t *testing.T) {
	in, feed := io.Pipe()
	out, told := io.Pipe()
	go func() {
		ok, err := sumUp(in, told, "", true, nil)
		if ok || err != nil {
			t.Errorf("ok is %v, %v", ok, err)
		}
		told.Close()
	}()
	lines := bufio.NewScanner(out)
	for _, c := range []struct{ fed, want string }{
		{"make: *** broken\n", "make: *** broken"},
		{`{"Action":"output","Package":"p","Output":"ok  \tp\t0.100s\n"}` + "\n", "ok  \tp\t0.100s"},
		{`{"Action":"fail","Package":"q","Test":"TestA"}` + "\n", "failed: q#TestA"},
	} {
		if _, err := io.WriteString(feed, c.fed); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != c.want {
			t.Errorf("%q has it say %q; want %q", c.fed, lines.Text(), c.want)
		}
	}
	feed.Close()
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	if last != "0 passed, 1 failed, 0 skipped" {
		t.Errorf("the last line is %q", last)
	}
}

func TestAllowedSkipsNeedAReason(t *testing.T) {
	list := filepath.Join(t.TempDir(), "allowed")
	for _, text := range []string{"TestA\n", "TestA:\n", "TestA:  \n"} {
		write(t, list, text)
		if _, err := readAllowed(list); err == nil || !strings.Contains(err.Error(), ":1: want") {
			t.Errorf("%q: the error is %v", text, err)
		}
	}
	if _, err := readAllowed(list + "not there"); err == nil {
		t.Error("a list that is not there is taken for an empty one")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
