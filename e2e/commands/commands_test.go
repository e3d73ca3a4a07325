// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestBlocks(t *testing.T) {
	page := "Text\n\n```\n$ one \\\n  two\noutput\n$ three\n```\n\n```yaml\na: b\n```\n```\nfour \\\n  five\n\nsix\n```\n"
	blocks := Blocks("page", page)
	var got [][]string
	for _, b := range blocks {
		got = append(got, b.Commands())
	}
	want := [][]string{{"one \\\n  two", "three"}, {"a: b"}, {"four \\\n  five", "six"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAllCommands: each command of the pages is run by a test that exists, or has
// a reason why not; and nothing in the list is on no page.
func TestAllCommands(t *testing.T) {
	pages, err := Pages(root)
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages %v: %v", pages, err)
	}
	trials, shown := Trials(), Shown()
	met := map[Trial]bool{}
	for _, page := range pages {
		blocks, err := Read(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if i := slices.Index(shown, b.First()); i >= 0 {
				shown = slices.Delete(shown, i, i+1)
				continue
			}
			for _, command := range b.Commands() {
				i := slices.IndexFunc(trials, func(tr Trial) bool { return tr.Page == page && strings.HasPrefix(command, tr.Begin) })
				if i < 0 {
					t.Errorf("%s: nobody says whether this is tried: %s", page, command)
					continue
				}
				met[trials[i]] = true
			}
		}
	}
	for _, trial := range trials {
		if !met[trial] {
			t.Errorf("%s has no command %s", trial.Page, trial.Begin)
		}
		if (trial.Test == "") == (trial.Not == "") {
			t.Errorf("%s: %s has both a test and a reason, or neither", trial.Page, trial.Begin)
		}
	}
	if len(shown) != 0 {
		t.Errorf("no page has %q", shown)
	}
}

// TestTestsExist: the tests that the list names are there and ask for the commands by their words.
func TestTestsExist(t *testing.T) {
	for _, trial := range Trials() {
		if trial.Test == "" {
			continue
		}
		dir, name, _ := strings.Cut(trial.Test, " ")
		files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var sources strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(b)
		}
		if text := sources.String(); !strings.Contains(text, "\nfunc "+name+"(t *testing.T)") || !strings.Contains(text, `"`+trial.Page+`", "`+trial.Begin) {
			t.Errorf("%s: %q is not run by %s", trial.Page, trial.Begin, trial.Test)
		}
	}
}

// TestMakeTargets: what the pages tell to make is what the tests run. `make test`
// runs this one; what `make release` makes is installed by e2e/release.
func TestMakeTargets(t *testing.T) {
	find := func(page, begin string) string {
		command, err := Find(root, page, begin)
		if err != nil {
			t.Fatal(err)
		}
		return command
	}
	for command, want := range map[string]string{
		find("README.md", "make test"):                 "go test  ./...\n",
		find("docs/install/README.md", "make release"): ".ci/release dist\n",
	} {
		cmd := exec.Command("sh", "-c", command+" --dry-run --no-print-directory")
		cmd.Dir = root
		// As in a shell of its own: make test may have been given flags.
		cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
			return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") || strings.HasPrefix(v, "TESTFLAGS=")
		})
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s runs %s (%v), want %s", command, out, err, want)
		}
	}
}
