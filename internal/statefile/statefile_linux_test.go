// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// obstacle is something other than a regular file.
type obstacle struct {
	name string
	make func(path string) error
}

// obstacles are what stands where a file should be; victim is the file that a
// link leads to.
func obstacles(victim string) []obstacle {
	return []obstacle{
		{"symbolic link", func(path string) error { return os.Symlink(victim, path) }},
		{"dangling link", func(path string) error { return os.Symlink(victim+".new", path) }},
		{"link to a device", func(path string) error { return os.Symlink("/dev/full", path) }},
		{"FIFO", func(path string) error { return unix.Mkfifo(path, 0o600) }},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"socket", func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		}},
		{"device", func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }},
	}
}

// inTime fails the test where something waits for ever.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s still waits", what)
	}
}

// What is no regular file is neither opened nor renamed nor replaced, wherever
// it stands.
func TestObstaclesAreLeftAlone(t *testing.T) {
	for i := range obstacles("") {
		for _, suffix := range []string{"", ".tmp", ".old", ".lock"} {
			dir := t.TempDir()
			victim := filepath.Join(dir, "victim")
			o := obstacles(victim)[i]
			t.Run(o.name+suffix, func(t *testing.T) {
				path := filepath.Join(dir, "state")
				for _, name := range []string{victim, path} {
					if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if suffix == "" {
					os.Remove(path)
				}
				if err := o.make(path + suffix); err != nil {
					if errors.Is(err, unix.EPERM) && o.name == "device" {
						return // only root makes devices; CI runs as root, too.
					}
					t.Fatal(err)
				}
				before, err := os.Lstat(path + suffix)
				if err != nil {
					t.Fatal(err)
				}
				inTime(t, "something", func() { checkObstacle(t, path, suffix) })
				after, err := os.Lstat(path + suffix)
				if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
					t.Errorf("the %s became %v, %v", o.name, after, err)
				}
				if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
					t.Errorf("the file that a link leads to became %q, %v", b, err)
				}
				if _, err := os.Lstat(victim + ".new"); err == nil {
					t.Error("a file was made through a dangling link")
				}
			})
		}
	}
}

// checkObstacle tries everything with something in the way of path+suffix.
func checkObstacle(t *testing.T, path, suffix string) {
	lock, err := Acquire(path)
	if refused := errors.Is(err, ErrNotRegular); refused != (suffix == ".lock") {
		t.Errorf("Acquire: %v", err)
	}
	defer lock.Release()
	b, err := Load(path, 100)
	if suffix == "" && !errors.Is(err, ErrNotRegular) || suffix != "" && string(b) != "precious" {
		t.Errorf("Load = %q, %v", b, err)
	}
	err = Save(path, []byte("new"))
	if refused := errors.Is(err, ErrNotRegular); refused != (suffix == "" || suffix == ".tmp") {
		t.Errorf("Save: %v", err)
	}
	_, err = SetAside(path)
	if refused := errors.Is(err, ErrNotRegular); refused != (suffix == "" || suffix == ".old") {
		t.Errorf("SetAside: %v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, err := Load(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, content := range []string{"one", "", "second"} {
		if err := Save(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := Load(path, 6); err != nil || string(b) != content {
			t.Errorf("Load = %q, %v, want %q", b, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	aside, err := SetAside(path)
	if b, readErr := os.ReadFile(aside); err != nil || readErr != nil || string(b) != "second" {
		t.Errorf("set aside: %q, %v, %v", b, err, readErr)
	}
	if _, err := Load(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was set aside: %v", err)
	}
}

// A sparse file of any size costs nothing.
func TestLargeFilesAreNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	if b, err := Load(path, 1<<20); !errors.Is(err, ErrTooLarge) || b != nil {
		t.Errorf("Load = %d bytes, %v", len(b), err)
	}
}

// What a crash has left is no obstacle, nor is a hard link to another file
// overwritten.
func TestLeftTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "state"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(other, path+".tmp"); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(other); string(b) != "precious" {
		t.Errorf("the other file became %q", b)
	}
	if b, _ := os.ReadFile(path); string(b) != "new" {
		t.Errorf("the file is %q", b)
	}
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := Save(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	err := replace(path, func(w io.Writer) error {
		_, _ = w.Write([]byte("ne"))
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(path); !bytes.Equal(b, []byte("old")) {
		t.Errorf("the file became %q", b)
	}
	if _, err := os.Lstat(path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file: %v", err)
	}
}

// TestOneProcess runs this test's program again, which must not get the file.
func TestOneProcess(t *testing.T) {
	if path := os.Getenv("STATEFILE_LOCK"); path != "" {
		_, err := Acquire(path)
		_, _ = os.Stdout.WriteString(errorText(err))
		return
	}
	path := filepath.Join(t.TempDir(), "state")
	other := func() string {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcess$")
		cmd.Env = append(os.Environ(), "STATEFILE_LOCK="+path)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	lock, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if out := other(); !bytes.Contains([]byte(out), []byte(ErrLocked.Error())) {
		t.Errorf("the other process says %q", out)
	}
	if err := Save(path, []byte("new")); err != nil { // replaces the file; the lock stays.
		t.Fatal(err)
	}
	if out := other(); !bytes.Contains([]byte(out), []byte(ErrLocked.Error())) {
		t.Errorf("after a save the other process says %q", out)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if out := other(); !bytes.Contains([]byte(out), []byte("got it")) {
		t.Errorf("after the release the other process says %q", out)
	}
	if err := (*Lock)(nil).Release(); err != nil {
		t.Error(err)
	}
}

func errorText(err error) string {
	if err == nil {
		return "got it"
	}
	return err.Error()
}
