// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package hostile attacks the real binary.
package hostile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// report is the table of attacks. OOM_E2E_BEFORE names an earlier binary, which
// is attacked first: without one there is no table to write.
type report struct {
	before string
	rows   []string
}

func newReport() *report { return &report{before: os.Getenv("OOM_E2E_BEFORE")} }

// row makes the attack, which today's binary has to survive.
func (r *report) row(t *testing.T, a attack) {
	t.Helper()
	before := ""
	if r.before != "" {
		before, _ = a.run(t, r.before)
	}
	after, survived := a.run(t, lab.Binary(t))
	t.Logf("before: %s\nafter: %s", before, after)
	if !survived {
		t.Errorf("the attack succeeded: %s", after)
	}
	r.rows = append(r.rows, fmt.Sprintf("| %s | %s | %s |", a.name, before, after))
}

// write writes the table, if there is an earlier binary to compare with.
func (r *report) write(t *testing.T, test, file, title, about string) {
	t.Helper()
	if r.before == "" {
		return
	}
	writeTable(t, test, file, title, about, "| attack | before | after |\n|---|---|---|\n"+strings.Join(r.rows, "\n")+"\n")
}

// writeTable writes a page where the environment says so; not one of a test that
// failed.
func writeTable(t *testing.T, test, file, title, about, table string) {
	t.Helper()
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("# %s\n\nWritten by `go test -tags e2e -run %s ./e2e/hostile` with OOM_E2E_EVIDENCE set, on Linux %s, %s.\n\n%s\n\n%s",
		title, test, unix.ByteSliceToString(u.Release[:]), time.Now().UTC().Format(time.DateOnly), about, table)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
