// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]command{
		"anon 4096":          {verb: "anon", n: 4096},
		" adj  -1000 ":       {verb: "adj", n: -1000},
		"sync /tmp/file 1":   {verb: "sync", path: "/tmp/file", n: 1},
		"count /dev/shm/c 0": {verb: "count", path: "/dev/shm/c"},
	} {
		if got, err := parseCommand(line); err != nil || got != want {
			t.Errorf("%q is %+v (%v), want %+v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "eat 1", "anon", "anon -1", "anon 1 2", "map 1", "anon 1M", "anon 99999999999999999999"} {
		if got, err := parseCommand(line); err == nil {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	counter := filepath.Join(dir, "count")
	if err := os.WriteFile(counter, make([]byte, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	script := strings.Join([]string{
		"grow 4096",
		"count " + counter + " 0",
		"grow 1050000",
		"anon 1000000",
		"shmem 5000",
		"anon 0",
		"threads 2",
		"sync " + data + " 100000",
		"read " + data + " 100000",
		"map " + data + " 100000",
		"map " + data + " 100001",
		"read " + data + " 200000",
		"dance 1",
	}, "\n")
	var out strings.Builder
	if err := run(nil, strings.NewReader(script), &out); err != nil {
		t.Fatal(err)
	}
	want := []string{"error: grow without count", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "error: the file is too short", "error: EOF", `error: unknown command "dance"`}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	b, err := os.ReadFile(counter)
	if err != nil {
		t.Fatal(err)
	}
	pages := (1050000 + os.Getpagesize() - 1) / os.Getpagesize()
	// 1050000 is one chunk and a rest: no page is counted twice.
	if got, want := int(b[0])|int(b[1])<<8|int(b[2])<<16, pages*os.Getpagesize(); got != want {
		t.Errorf("grew by %d, want %d", got, want)
	}
}

// TestRunKernelMemory: small files never have each other's names, and what is in
// pipes and sockets may be more than one of them holds.
func TestRunKernelMemory(t *testing.T) {
	dir := t.TempDir()
	script := []string{
		"files " + dir + " 3", "names " + dir + " 2", "kibs " + dir + " 2", "links " + dir + " 2", "links " + dir + " 2", "dentries " + dir + " 5",
		"pipes 200000", "sockets 1000000", "pipes 1", "tables 8192", "thp 2097152",
	}
	var out strings.Builder
	if err := run(nil, strings.NewReader(strings.Join(script, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("ok\n", len(script)); out.String() != want {
		t.Errorf("got %q", out.String())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	long, kib := 0, 0
	for _, e := range entries {
		if len(e.Name()) == longName {
			long++
		}
		if info, err := e.Info(); err == nil && info.Size() == 1024 {
			kib++
		}
	}
	if len(entries) != 3+2+2+4+1 || long != 6 || kib != 2 {
		t.Errorf("%d files, %d with long names, %d of 1 KiB", len(entries), long, kib)
	}
}
