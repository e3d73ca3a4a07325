// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHogForks(t *testing.T) {
	hog := StartHog(t, nil, "say:parent", "fork:2", "say:child", "exit:0")
	hog.WaitLine(t, "child\nchild")
	if err := syscall.Kill(hog.PID, 0); err != nil {
		t.Errorf("the parent is gone: %v", err)
	}
	if n := strings.Count(hog.Output(), "parent"); n != 1 {
		t.Errorf("%d processes did what stands before the fork", n)
	}
}

func TestKilledComm(t *testing.T) {
	for record, want := range map[string]string{
		"3,9,5,-;Memory cgroup out of memory: Killed process 42 (a b) total-vm:1kB, anon-rss:1kB\n SUBSYSTEM=x\n": "a b",
		"3,9,5,-;Out of memory: Killed process 42 (x (y)) total-vm:1kB\n":                                         "x (y)",
		"12,9,5,-;Memory cgroup out of memory: Killed process 42 (forged) total-vm:1kB\n":                         "",
		"6,9,5,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=hog,pid=42\n":                                          "",
	} {
		if got, ok := killedComm(record); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", record, got, ok, want)
		}
	}
}

// TestKernelLog counts a kill that is provoked.
func TestKernelLog(t *testing.T) {
	Root(t)
	log := NewKernelLog(t)
	before := NodeKills(t)
	hog := StartHog(t, NewGroup(t, "killed", 16<<20), "comm:lab-killed", "anon:64M")
	if status := hog.Wait(t, 30*time.Second); status.Signal() != syscall.SIGKILL {
		t.Fatalf("the hog ended with %v", status)
	}
	Eventually(t, 10*time.Second, "the log tells of it", func() bool { return log.Kills(t, "lab-killed") == 1 })
	if log.All(t) < 1 || NodeKills(t) == before {
		t.Errorf("%d kills in the log, %d on the node", log.All(t), NodeKills(t)-before)
	}
}

func TestImage(t *testing.T) {
	program := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	Image{Ref: "example.org/x:1", Files: map[string]string{"/bin/p": program}, Entrypoint: []string{"/bin/p"}}.Write(t, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, b)
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	m := manifest[0]
	if m.RepoTags[0] != "example.org/x:1" || !bytes.Contains(files[m.Config], []byte(`["/bin/p"]`)) {
		t.Errorf("%v has the configuration %s", m.RepoTags, files[m.Config])
	}
	if got := string(untar(t, files[m.Layers[0]])["bin/p"]); got != "program" {
		t.Errorf("the program is %q", got)
	}
	for name, b := range files {
		if strings.HasPrefix(name, "blobs/") && name != blob(b) {
			t.Errorf("%s has the digest %s", name, digest(b))
		}
	}
}

func untar(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrivateRootGoesAway leaves a mount, and a daemon that logs and must be killed.
func TestPrivateRootGoesAway(t *testing.T) {
	Root(t)
	var root string
	var daemon *Daemon
	t.Run("inside", func(t *testing.T) {
		root = PrivateRoot(t)
		mount := filepath.Join(root, "m")
		if err := os.Mkdir(mount, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", mount, "tmpfs", 0, ""); err != nil {
			t.Skipf("needs mount: %v", err)
		}
		daemon = StartDaemon(t, root, "hog", exec.Command(Hog(t), "say:up"))
		daemon.Await(t, "the daemon logs", func() bool {
			b, err := os.ReadFile(daemon.Log)
			return err == nil && string(b) == "up\n"
		})
	})
	if Exists(root) {
		t.Errorf("%s is still there", root)
	}
	if err := syscall.Kill(daemon.PID, 0); err == nil {
		t.Errorf("pid %d is still there", daemon.PID)
	}
}

func TestVacate(t *testing.T) {
	made, kept := filepath.Join(t.TempDir(), "made"), filepath.Join(t.TempDir(), "kept")
	there := t.TempDir()
	t.Run("inside", func(t *testing.T) {
		Vacate(t, made, kept, there)
		for _, dir := range []string{made + "/a", kept, there + "/b"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(kept+"/file", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(made+"/a/fifo", 0o644); err != nil {
			t.Fatal(err)
		}
	})
	if Exists(made) || !Exists(kept+"/file") || !Exists(there+"/b") {
		t.Errorf("made: %v, a file: %v, what was there: %v", Exists(made), Exists(kept+"/file"), Exists(there+"/b"))
	}
}

func TestOwnGroupGoesAway(t *testing.T) {
	Root(t)
	h := MemoryHierarchy(t)
	dir := filepath.Join(h.Mount, "oom-e2e-own")
	t.Run("inside", func(t *testing.T) {
		OwnGroup(t, "oom-e2e-own")
		if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
	})
	if Exists(dir) {
		t.Errorf("%s is still there", dir)
	}
}
