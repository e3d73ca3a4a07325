// SPDX-License-Identifier: Apache-2.0

// Command results sums up what `go test -json` has printed, or is printing. It
// shows the end of what each failed test said, and fails where a test failed, a
// package broke, or a test was skipped for no reason that the list of allowed
// skips gives.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	allowed := flag.String("allowed", "", "file with the skips that are allowed: a line each, \"TEST: reason\"")
	follow := flag.Bool("follow", false, "read standard input, and print at once how long each package took and what each failed test said")
	flag.Parse()
	ok, err := sumUp(os.Stdin, os.Stdout, *allowed, *follow, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "results:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// sumUp reads the logs, or follows what is coming in, and prints what is to be
// known of them; it tells whether all is well.
func sumUp(in io.Reader, w io.Writer, allowedFile string, follow bool, logs []string) (bool, error) {
	allowed, err := readAllowed(allowedFile)
	if err != nil {
		return false, err
	}
	s := newSummary(io.Discard)
	if follow {
		s = newSummary(w)
		if err := s.read(in); err != nil {
			return false, err
		}
	}
	for _, name := range logs {
		if err := s.readFile(name); err != nil {
			return false, err
		}
	}
	return s.print(w, allowed), nil
}

// readAllowed returns the tests that may be skipped, with the reason of each.
func readAllowed(name string) (map[string]string, error) {
	allowed := map[string]string{}
	if name == "" {
		return allowed, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		test, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: want \"TEST: reason\", have %q", name, n, line)
		}
		allowed[test] = reason
	}
	return allowed, lines.Err()
}
