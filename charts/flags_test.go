// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFlagsExist holds every flag of the manifests and the unit against the
// reference of flags, which is generated from the code.
func TestFlagsExist(t *testing.T) {
	reference := read(t, "../docs/flags.md") + read(t, "../docs/guard-reference.md")
	flag := regexp.MustCompile(`(?m)(?:^\s*- "?|\s)--(no-)?([a-z]+(?:[.-][a-z]+)+)(?:=|\s|"|$)`)
	n := 0
	for _, path := range append(glob(t, "testdata/*.yaml"), manifests, unit, guardUnit) {
		for _, m := range flag.FindAllStringSubmatch(read(t, path), -1) {
			n++
			if !strings.Contains(reference, "| `--"+m[2]+"` |") {
				t.Errorf("%s: there is no flag --%s", path, m[2])
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d flags found", n)
	}
}

// TestRepeatableFlags holds the flags that extraArgs may give more than once
// against those of the programs.
func TestRepeatableFlags(t *testing.T) {
	_, line, _ := strings.Cut(read(t, chart+"/templates/_helpers.tpl"), "$repeatable := list ")
	line, _, _ = strings.Cut(line, " }}")
	known := map[string]bool{}
	for name := range strings.FieldsSeq(line) {
		known[strings.Trim(name, `"`)] = true
	}
	row := regexp.MustCompile(`(?m)^\| ` + "`--([a-z.-]+)`" + ` \|[^|]*\|.*[Rr]epeatable`)
	found := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/flags.md")+read(t, "../docs/guard-reference.md"), -1) {
		found[m[1]] = true
	}
	if diff := cmp.Diff(found, known); diff != "" || len(found) < 3 {
		t.Errorf("-flags +chart:\n%s", diff)
	}
}
