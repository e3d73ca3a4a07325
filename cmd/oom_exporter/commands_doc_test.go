// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const commandsPage = "../../docs/commands.md"

// pane is what a command prints, on a fixture host or of a made-up exporter.
type pane struct {
	title, about string
	shown        string   // the command line as a person types it.
	args         []string // the one that is run.
}

// TestCommandPanes makes docs/commands.md out of what the commands print, so that
// it stays true.
func TestCommandPanes(t *testing.T) {
	t.Setenv("COLUMNS", "100")
	root := unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")
	w, _, kills := shelved(deaths())
	url := serveWhys(t, w, kills)
	tight, _, _ := shelved(deaths()[2:3])
	advised := serveWhys(t, tight, nil)
	var page strings.Builder
	page.WriteString("<!-- Made by TestCommandPanes in cmd/oom_exporter; run make docs. -->\n# Commands\n\n" +
		"What each command prints, on a small made-up Kubernetes node. `oom_exporter COMMAND --help` has its flags and two examples; all flags are\n" +
		"in [flags.md](flags.md). Times are UTC here. Commands that ask about kills ask the exporter that runs on this host (`--url` for\n" +
		"another), and where none does, `events` reads the kernel's log itself.\n")
	for _, p := range []pane{
		{
			"top", "Which container is nearest to a kill, and who would be killed. Live on a terminal (`?` for its keys), once in a pipe.",
			"oom_exporter top | cat", onTree(root, "top", "--once"),
		},
		{
			"why", "Why a kill came about, and what to change: [why.md](why.md) has five causes.",
			"oom_exporter why 3c9d2b1e-1",
			[]string{"why", "3c9d2b1e-1", "--url=" + url},
		},
		{
			"advise", "What the limits of the containers should be, out of what was recorded of them.",
			"oom_exporter advise",
			[]string{"advise", "--url=" + advised},
		},
		{
			"events", "The recorded kills; `-f` goes on with new ones.",
			"oom_exporter events",
			[]string{"events", "--path.kmsg=testdata/kill.kmsg"},
		},
		{
			"explain", "A kernel log, of any machine and in any form, as a report.",
			"dmesg -x | oom_exporter explain",
			[]string{"explain", "testdata/kill.kmsg"},
		},
		{
			"doctor", "What this host lets the exporter see, and how to give it what is missing. Exit code 0: all; 3: in part; 4: something required is missing.",
			"oom_exporter doctor", onTree(root, "doctor"),
		},
	} {
		var out strings.Builder
		err := run(t.Context(), p.args, streams{in: strings.NewReader(""), out: &out, err: &out})
		if err != nil && p.title != "doctor" { // which ends with what it found.
			t.Errorf("%s: %v", p.title, err)
		}
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n```\n$ %s\n%s```\n", p.title, p.about, p.shown, settle(out.String(), root))
	}
	if *update {
		if err := os.WriteFile(commandsPage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), page.String()); diff != "" {
		t.Errorf("docs/commands.md is not what the commands print; run make docs (-have +made):\n%s", diff)
	}
}

// settle takes out what differs from run to run: the host, the user, the time, and
// where the fixture is.
func settle(text, root string) string {
	if host, err := os.Hostname(); err == nil {
		text = strings.ReplaceAll(text, "oom_exporter top  "+host, "oom_exporter top  node1")
	}
	text = regexp.MustCompile(`(oom_exporter top  node1  )\S+ \S+`).ReplaceAllString(text, "${1}2026-11-29 06:00:00")
	// The zone is that of whoever runs it, and so is the width of its column.
	text = regexp.MustCompile(`killed at \S+ \S+,`).ReplaceAllString(text, "killed at 2026-11-21 10:41:00,")
	text = regexp.MustCompile(`~\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ +`).ReplaceAllString(text, "~2026-11-29 06:00:00 UTC  ")
	text = regexp.MustCompile(`(?m)^TIME +`).ReplaceAllString(text, "TIME                      ")
	text = regexp.MustCompile(`as uid \d+:`).ReplaceAllString(text, "as uid 0:")
	return strings.ReplaceAll(text, root, "")
}
