// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// by says how a table came about.
func (b *bench) by(test string) string {
	text := fmt.Sprintf("Written by `go test -tags e2e -run %s ./e2e/events` with OOM_E2E_EVIDENCE set.\n\nLinux %s, cgroup v%d, %s, seed %d",
		test, kernelRelease(), b.Version, time.Now().UTC().Format(time.DateOnly), b.seed)
	if b.stretch != 1 {
		text += fmt.Sprintf(", storms %g times slower: an emulated machine", b.stretch)
	}
	return text + ".\n\n"
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// evidence logs a table, and writes it where the environment says so; not one
// of a test that failed.
func (b *bench) evidence(t *testing.T, name, text string) {
	t.Helper()
	_, table, _ := strings.Cut(text, "\n\n")
	t.Log(table)
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	if dir == "" || t.Failed() {
		return
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s.md", name, b.machine()))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
