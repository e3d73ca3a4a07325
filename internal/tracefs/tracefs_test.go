// SPDX-License-Identifier: Apache-2.0

package tracefs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// put makes a file with all directories above it.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "22055/cgroup"), "3:memory:/a/b\n")
	put(t, filepath.Join(dir, "22056/cgroup"), "3:memory:/\n")
	at := time.Unix(7, 0)
	var got []Victim
	var lost uint64
	o := Options{Proc: dir, now: func() time.Time { return at }, Lost: func(n uint64) { lost += n }}
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		done <- o.follow(r, layout{comm: true}, func(v Victim) { got = append(got, v) })
	}()
	for _, piece := range []string{
		"hog-1 [000] ...1. 1.5: mark_victim: pid=22055 comm=my app total-vm=1kB\n",
		"CPU:0 [LOST 3 EVENTS]\n",
		"hog-1 [000] ...1. 1.5: mark_vic", "tim: pid=220", "56 comm=x", " total-vm=1kB\n",
	} {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := <-done; !errors.Is(err, errEnded) {
		t.Errorf("error %v", err)
	}
	want := []Victim{{22055, "my app", "/a/b", at}, {22056, "x", "", at}}
	if diff := cmp.Diff(want, got); diff != "" || lost != 3 {
		t.Errorf("%d lost, want 3; victims (-want +got):\n%s", lost, diff)
	}
}

// TestFollowNoise makes sure that text without an end does not fill the memory.
func TestFollowNoise(t *testing.T) {
	r, w := io.Pipe()
	done := make(chan error)
	var got []Victim
	o := Options{Proc: t.TempDir(), now: time.Now}
	go func() { done <- o.follow(r, layout{}, func(v Victim) { got = append(got, v) }) }()
	for range 3 * readBytes / 1024 {
		if _, err := w.Write(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "\nx-1: mark_victim: pid=5\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	<-done
	if len(got) != 1 || got[0].PID != 5 {
		t.Errorf("victims %+v, want pid 5", got)
	}
}

func TestSweep(t *testing.T) {
	root, proc := t.TempDir(), t.TempDir()
	put(t, filepath.Join(proc, "12/cgroup"), "")
	for _, name := range []string{"oom_exporter-12", "oom_exporter-13", "oom_exporter-x", "other-13"} {
		if err := os.MkdirAll(filepath.Join(root, "instances", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Root: root, Proc: proc}
	o.sweep()
	var left []string
	list, _ := os.ReadDir(filepath.Join(root, "instances"))
	for _, e := range list {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"oom_exporter-12", "oom_exporter-x", "other-13"}, left); diff != "" {
		t.Errorf("left over (-want +got):\n%s", diff)
	}
}

func TestNotThere(t *testing.T) {
	o := Options{Root: t.TempDir(), Proc: "/proc"}
	err := Run(t.Context(), o, nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that says it does not exist", err)
	}
	put(t, filepath.Join(o.Root, event, "format"), "print fmt\n")
	if err := Run(t.Context(), o, nil); !errors.Is(err, errNoPID) {
		t.Errorf("error %v, want %v", err, errNoPID)
	}
	put(t, filepath.Join(o.Root, event, "format"), format510)
	if err := Run(t.Context(), o, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one on the instance", err)
	}
}

func TestRunEnds(t *testing.T) {
	o := Options{Root: t.TempDir(), Proc: t.TempDir()}
	put(t, filepath.Join(o.Root, event, "format"), format510)
	dir := filepath.Join(o.Root, "instances", instance+strconv.Itoa(os.Getpid()))
	put(t, filepath.Join(dir, event, "enable"), "0")
	put(t, filepath.Join(dir, "trace_pipe"), "x-1: mark_victim: pid=5\n")
	ctx, cancel := context.WithCancel(t.Context())
	var got []Victim
	err := Run(ctx, o, func(v Victim) { got = append(got, v) })
	if !errors.Is(err, errEnded) || len(got) != 1 {
		t.Errorf("victims %+v, error %v", got, err)
	}
	cancel()
	if err := Run(ctx, o, func(Victim) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, event, "enable")); string(b) != "0" {
		t.Errorf("the event is left at %q", b)
	}
}
