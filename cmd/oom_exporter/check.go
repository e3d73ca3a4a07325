// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/cli"
)

// complete makes the roots absolute, since they are compared with paths that the
// system reports, and checks that --metrics.enable and --metrics.disable each match
// a metric.
func (c *config) complete() error {
	for flag, path := range map[string]*string{"path.procfs": &c.procfs, "path.sysfs": &c.sysfs, "path.rootfs": &c.rootfs} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return cli.UsageError{Err: fmt.Errorf("--%s=%s: %w", flag, *path, err)}
		}
		*path = absolute
	}
	families := collector.Families()
	for _, f := range []struct {
		flag    string
		pattern *regexp.Regexp
	}{{"metrics.enable", c.enable}, {"metrics.disable", c.disable}} {
		if f.pattern == nil || slices.ContainsFunc(families, f.pattern.MatchString) {
			continue
		}
		text := strings.TrimSuffix(strings.TrimPrefix(f.pattern.String(), "^(?s:"), ")$")
		return cli.UsageError{Err: fmt.Errorf("--%s=%s matches no metric; the nearest names are %s", f.flag, text, strings.Join(nearest(text, families, 3), ", "))}
	}
	return nil
}

// nearest returns the n names that are most like a text.
func nearest(text string, names []string, n int) []string {
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(distance(text, a), distance(text, b)) })
	return sorted[:min(n, len(sorted))]
}

// distance is how many characters have to be added, left out or changed to make
// one text of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
