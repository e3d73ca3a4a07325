// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/google/go-cmp/cmp"
)

const flagsHead = `<!-- Generated from the flags in cmd/oom_exporter by "make docs"; a test holds it against the code. -->
# Flags

A flag with a default of true is switched off by ` + "`--no-NAME`" + `. Flags of all commands may stand before or after the command;
with no command, ` + "`serve`" + ` runs. A wrong value ends the program with exit code 2 and one line that says what is allowed.
`

// flagsDoc is docs/flags.md.
func flagsDoc() string {
	var b strings.Builder
	b.WriteString(flagsHead)
	m := newApp(&config{}).Model()
	flagTable(&b, "All commands", m.Flags)
	for _, c := range m.Commands {
		if c.Name == "help" {
			continue
		}
		args := ""
		for _, a := range c.Args {
			args += " [" + strings.ToUpper(a.Name) + "]"
		}
		fmt.Fprintf(&b, "\n## `oom_exporter %s%s`\n\n%s\n", c.Name, args, c.Help)
		flagTable(&b, "", c.Flags)
	}
	return b.String()
}

func flagTable(b *strings.Builder, title string, flags []*kingpin.FlagModel) {
	if title != "" {
		fmt.Fprintf(b, "\n## %s\n", title)
	}
	if len(flags) == 0 {
		return
	}
	b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			continue
		}
		def := strings.Join(f.Default, ",")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(b, "| `--%s` | %s | %s |\n", f.Name, def, strings.ReplaceAll(f.Help, "|", "\\|"))
	}
}

// Each fuzz target is in the list of docs/security.md, and nothing else.
func TestFuzzTargetsAreListed(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z0-9_/]+ Fuzz[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1) {
		if listed[m[1]] {
			t.Errorf("%s is listed twice", m[1])
		}
		listed[m[1]] = true
	}
	target := regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]+)\(`)
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range target.FindAllStringSubmatch(string(text), -1) {
			name := filepath.ToSlash(dir) + " " + m[1]
			if !listed[name] {
				t.Errorf("`%s` is not in the list of docs/security.md", name)
			}
			delete(listed, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range listed {
		t.Errorf("`%s` is listed in docs/security.md, but does not exist", name)
	}
}

func TestFlagsDocIsUpToDate(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "flags.md")
	got := flagsDoc()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("docs/flags.md is not what the code says; run make docs:\n%s", d)
	}
}
