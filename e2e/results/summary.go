// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// keptLines is how much of what a failed test said is shown.
const keptLines = 25

// notable marks a line that is shown though its test passed: a machine that hung
// and was booted anew is no failure of the test, and must be seen all the same.
const notable = "is booted once more"

// event is one line of `go test -json` (`go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// outcome is what became of one test, or of a package as a whole.
type outcome struct {
	action string // run until it has ended; then pass, fail or skip.
	said   []string
}

// summary is what the tests of one or more logs came to. A test that ran in
// several logs passed where it passed in one, unless it failed in another.
type summary struct {
	passed, skipped map[string]bool
	failed          []failure
	notes           []string
	live            io.Writer // what is known at once goes here.
}

func newSummary(live io.Writer) *summary {
	return &summary{passed: map[string]bool{}, skipped: map[string]bool{}, live: live}
}

type failure struct {
	name string
	said []string
}

// readFile adds one log. A log that is not there is of a step that did not run.
func (s *summary) readFile(name string) error {
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.read(f); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func (s *summary) read(r io.Reader) error {
	tests := map[string]*outcome{}
	of := func(name string) *outcome {
		if tests[name] == nil {
			tests[name] = &outcome{action: "run"}
		}
		return tests[name]
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case json.Unmarshal(line, &e) == nil:
			s.note(of(nameOf(e)), e)
		default: // of make, or of the compiler.
			fmt.Fprintf(s.live, "%s\n", bytes.TrimRight(line, "\n"))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	s.settle(tests)
	return nil
}

// nameOf names what an event is about: a test, or a package.
func nameOf(e event) string {
	if e.Package == "" { // the output of a build
		e.Package, _, _ = strings.Cut(e.ImportPath, " ")
	}
	if e.Test == "" {
		return e.Package
	}
	return e.Package + "#" + e.Test
}

func (s *summary) note(o *outcome, e event) {
	switch e.Action {
	case "output", "build-output":
		text := strings.TrimRight(e.Output, "\n")
		if strings.Contains(text, notable) {
			s.notes = append(s.notes, text)
		}
		if e.Test == "" && (strings.HasPrefix(text, "ok ") || strings.HasPrefix(text, "FAIL\t")) {
			fmt.Fprintln(s.live, text)
		}
		if o.said = append(o.said, text); len(o.said) > keptLines {
			o.said = o.said[1:]
		}
	case "pass", "fail", "skip":
		o.action = e.Action
		if e.Action == "fail" && e.Test != "" {
			fmt.Fprintln(s.live, strings.Join(append([]string{"failed: " + nameOf(e)}, o.said...), "\n"))
		}
	case "build-fail":
		o.action = "fail"
	}
}

// settle counts the tests of one log. A test that never ended has failed, and so
// has a package that failed without a failed test: it did not build, or was ended.
func (s *summary) settle(tests map[string]*outcome) {
	blamed := map[string]bool{}
	names := slices.Sorted(maps.Keys(tests))
	for _, name := range names {
		o := tests[name]
		pkg, _, isTest := strings.Cut(name, "#")
		switch {
		case !isTest:
		case o.action == "pass":
			s.passed[name] = true
		case o.action == "skip":
			s.skipped[name] = true
		default:
			s.failed = append(s.failed, failure{name, o.said})
			blamed[pkg] = true
		}
	}
	for _, name := range names {
		if o := tests[name]; !strings.Contains(name, "#") && o.action == "fail" && !blamed[name] {
			s.failed = append(s.failed, failure{name, o.said})
		}
	}
}

// print shows what went wrong and closes with the counts; it tells whether
// nothing did.
func (s *summary) print(w io.Writer, allowed map[string]string) bool {
	for _, text := range s.notes {
		fmt.Fprintln(w, text)
	}
	for _, f := range s.failed {
		fmt.Fprintln(w, "failed:", f.name)
		for _, line := range f.said {
			fmt.Fprintln(w, line)
		}
	}
	skipped, unexplained := 0, 0
	for _, name := range slices.Sorted(maps.Keys(s.skipped)) {
		if s.passed[name] {
			continue
		}
		skipped++
		_, test, _ := strings.Cut(name, "#")
		if allowed[test] == "" {
			unexplained++
			fmt.Fprintln(w, "skipped without a reason in the list of allowed skips:", name)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", len(s.passed), len(s.failed), skipped)
	return len(s.failed) == 0 && unexplained == 0
}
