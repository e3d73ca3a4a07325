// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"
)

func TestCommandFirst(t *testing.T) {
	app := newApp(&config{}).Model()
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--web.listen-address=:1 serve", "serve --web.listen-address=:1"},
		{"--web.listen-address :1 serve --log.level=warn", "serve --web.listen-address :1 --log.level=warn"},
		{"--filter serve top", "top --filter serve"},
		{"--once top --filter=x", "top --once --filter=x"},
		{"--web.listen-address=:1", "--web.listen-address=:1"},
		{"explain serve top", "explain serve top"},
		{"-h", "-h"},
		{"nothing serve", "nothing serve"},
		{"-- serve", "-- serve"},
	} {
		_, got := commandFirst(app, strings.Fields(c.args))
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

func helpOf(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if _, command, err := parseArgs(append(args, "--help"), streams{out: &out, err: &out}); err != nil || command != "" {
		t.Fatalf("%v: %q, %v", args, command, err)
	}
	return out.String()
}

// TestHelpByCommand: each command says how it is used, by two examples, with its
// own flags before those of all.
func TestHelpByCommand(t *testing.T) {
	app := newApp(&config{}).Model()
	overview := helpOf(t)
	for _, c := range app.Commands {
		if c.Name == "help" {
			continue
		}
		if !strings.Contains(overview, "\n  "+c.Name+" ") {
			t.Errorf("the overview has no %s", c.Name)
		}
		text := helpOf(t, c.Name)
		if !strings.HasPrefix(text, "usage: oom_exporter "+c.Name) || strings.Count(text, "\n  "+examples(c.Name)[0]+"\n") != 1 || len(examples(c.Name)) != 2 {
			t.Errorf("help of %s:\n%s", c.Name, text)
		}
		own, all, found := strings.Cut(text, "\nFlags of all commands:\n")
		if !found || !strings.Contains(all, "--path.procfs=") {
			t.Errorf("help of %s has no flags of all commands", c.Name)
		}
		for _, other := range app.Commands {
			for _, f := range other.Flags {
				is := slices.ContainsFunc(c.Flags, func(g *kingpin.FlagModel) bool { return g.Name == f.Name })
				if !f.Hidden && strings.Contains(own, "--"+f.Name+"=") && !is {
					t.Errorf("help of %s has --%s of %s", c.Name, f.Name, other.Name)
				}
			}
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 120 {
				t.Errorf("help of %s: a line of %d columns: %s", c.Name, n, line)
			}
		}
	}
}

func TestExamplesParse(t *testing.T) {
	for _, c := range commands() {
		for _, example := range examples(c.name) {
			_, args, found := strings.Cut(example, "oom_exporter ")
			if !found {
				t.Errorf("%s: %q", c.name, example)
			}
			args, _, _ = strings.Cut(args, " |")
			args, _, _ = strings.Cut(args, " >")
			if _, name, err := parseArgs(strings.Fields(strings.TrimSuffix(args, ")")), streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}}); err != nil || name != c.name {
				t.Errorf("%q: %q, %v", example, name, err)
			}
		}
	}
}

func TestWrapWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a b": "a b", "one two three": "one two|three", "averyverylongword x": "averyverylongword|x", "  a   b ": "a b",
	} {
		if got := strings.Join(wrapWords(text, 8), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestBashCompletes runs the script in bash as completion does.
func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	if err := completion(t.Context(), &config{shell: "bash"}, streams{out: &script, err: &script}); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"oom_exporter do":              "doctor",
		"oom_exporter top --int":       "--interval=",
		"oom_exporter --web.listen":    "--web.listen-address=",
		"oom_exporter top --path.proc": "--path.procfs=",
		"oom_exporter doctor --once":   "",
		"oom_exporter --no-web.p":      "--no-web.page",
	} {
		words := strings.Fields(line)
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", script.String()+`
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _oom_exporter; echo "${COMPREPLY[*]}"`, "bash")
		cmd.Args = append(cmd.Args, words...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

// TestZshCompletesAtOnce: zsh runs the file of its fpath when it wants the first
// answer, so that the script has to give one.
func TestZshCompletesAtOnce(t *testing.T) {
	var script bytes.Buffer
	if err := completion(t.Context(), &config{shell: "zsh"}, streams{out: &script, err: &script}); err != nil {
		t.Fatal(err)
	}
	// bash takes the place of zsh: what matters is which function is asked, and when.
	for inside, want := range map[string]string{"_oom_exporter": "asked", "(eval)": ""} {
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", `autoload() { :; }; bashcompinit() { :; }; _bash_complete() { echo asked; }; funcstack=(zero "$1")
`+script.String(), "bash", inside)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("in %s: %q, %v, want %q", inside, got, err, want)
		}
	}
}

func TestCompletionOfEachShell(t *testing.T) {
	for _, shell := range shells() {
		var b bytes.Buffer
		if err := completion(t.Context(), &config{shell: shell}, streams{out: &b, err: &b}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"doctor", "web.listen-address", "oom_exporter"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %s", shell, want)
			}
		}
	}
	if _, _, err := parseArgs([]string{"completion", "tcsh"}, streams{out: &bytes.Buffer{}, err: &bytes.Buffer{}}); err == nil {
		t.Error("tcsh is taken for a shell that is known")
	}
}
