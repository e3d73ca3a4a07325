// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/report"
)

// logInputs returns the logs that explain was asked to read: none if no file is given
// and nothing is piped in.
func logInputs(names []string, in io.Reader) ([]report.Input, error) {
	if len(names) == 0 {
		if r, ok := piped(in); ok {
			return []report.Input{{Open: opened(r)}}, nil
		}
		return nil, nil
	}
	var inputs []report.Input
	files, err := expand(names)
	if err != nil {
		return nil, report.UnreadableError{Err: err}
	}
	for _, name := range inOrder(files) {
		// kingpin passes a lone dash on as an empty string.
		if name == "" || name == "-" {
			inputs = append(inputs, report.Input{Open: opened(in)})
			continue
		}
		inputs = append(inputs, report.Input{Name: name, Open: func() (io.ReadCloser, error) { return os.Open(name) }})
	}
	return inputs, nil
}

func opened(r io.Reader) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

// piped tells whether something is piped in: standard input is no terminal, no
// device, and has something in it.
func piped(in io.Reader) (io.Reader, bool) {
	f, ok := in.(*os.File)
	if !ok {
		return nil, false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return nil, false
	}
	r := bufio.NewReader(f)
	_, err = r.Peek(1)
	return r, err == nil
}

// expand replaces each directory with the logs in it.
func expand(names []string) ([]string, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() {
			files = append(files, name) // an error is reported when it is opened.
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		n := len(files)
		for _, e := range entries {
			if isLogName(e.Name()) && e.Type().IsRegular() {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
		if len(files) == n {
			return nil, fmt.Errorf("%s: a directory without logs (*.log*, messages*, syslog*, dmesg*): name the files to read", name)
		}
	}
	return files, nil
}

func isLogName(name string) bool {
	for _, begin := range []string{"messages", "syslog", "dmesg", "kern"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return strings.Contains(name, ".log")
}

// rotated splits a log's name into the original name and the suffix that rotation
// added: a number that rises with age, or a date that falls with it.
var rotated = regexp.MustCompile(`^(.*?)(?:[.-](\d{1,3}|\d{8}(?:-?\d+)?))?(?:\.(?:gz|xz|bz2|zst|zstd))?$`)

// inOrder puts the files of each rotated log together, the oldest first; different
// logs stay in the order that was asked for.
func inOrder(files []string) []string {
	first := map[string]int{}
	base := func(name string) (string, string) {
		m := rotated.FindStringSubmatch(name)
		return m[1], m[2]
	}
	for i, name := range files {
		if b, _ := base(name); first[b] == 0 {
			first[b] = i + 1
		}
	}
	out := slices.Clone(files)
	slices.SortStableFunc(out, func(a, b string) int {
		baseA, ageA := base(a)
		baseB, ageB := base(b)
		return cmp.Or(cmp.Compare(first[baseA], first[baseB]), compareAges(ageA, ageB))
	})
	return out
}

// compareAges orders the suffixes that rotation adds, the oldest first; a name without
// one is the newest.
func compareAges(a, b string) int {
	switch {
	case a == "" || b == "":
		return cmp.Compare(len(b), len(a))
	case len(a) >= 8 && len(b) >= 8:
		return cmp.Compare(a, b)
	}
	n, _ := strconv.Atoi(a)
	m, _ := strconv.Atoi(b)
	return cmp.Compare(m, n)
}

// moment reads a time: a date, a date with a time of day, a time of today, or
// how long ago.
func moment(to *time.Time) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		now := time.Now()
		if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
			*to = now.Add(-ago)
			return nil
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
			if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
				*to = t
				return nil
			}
		}
		for _, layout := range []string{"15:04:05", "15:04"} {
			if t, err := time.Parse(layout, s); err == nil {
				*to = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
				return nil
			}
		}
		return errors.New("must be a time like 2026-11-24 10:00:00, 2026-11-24, 10:00 or 2h")
	}
}

// only reads pid=N, cgroup=PATH or kill=N.
func only(to *report.Selection) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		i := strings.IndexAny(s, "=: ")
		if i < 0 {
			return errors.New("must be pid=N, cgroup=PATH or kill=N")
		}
		key, value := s[:i], s[i+1:]
		n, err := strconv.Atoi(value)
		switch {
		case key == "cgroup" && value != "":
			to.Cgroup = value
		case key == "pid" && err == nil && n > 0:
			to.PID = n
		case key == "kill" && err == nil && n > 0:
			to.Kill = n
		default:
			return errors.New("must be pid=N, cgroup=PATH or kill=N, with N from 1")
		}
		return nil
	}
}
