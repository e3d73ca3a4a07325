// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package lab holds what the end-to-end tests share: the real binary, real
// memory cgroups, processes of known size, and a scrape to look things up in.
// Everything that it makes goes away with the test that asked for it.
package lab

import (
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Root skips the test unless it runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// Need skips the test unless all the programs are installed.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs the program %s", p)
		}
	}
}

// CacheDir is where built programs and kernels are kept between runs:
// OOM_E2E_CACHE, or a directory under /var/cache.
func CacheDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("OOM_E2E_CACHE")
	if dir == "" {
		dir = "/var/cache/oom_exporter-e2e"
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Repository is the top of the source tree.
func Repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}

// Command runs a program of the test's set-up to its end and returns its
// standard output; a failure ends the test with all that was printed.
func Command(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}

// Quiet runs a program that cleans up; a failure is told but does not end the test.
func Quiet(t testing.TB, name string, args ...string) {
	t.Helper()
	if err := quiet("", name, args...); err != nil {
		t.Error(err)
	}
}

// Eventually polls until the condition holds, and fails the test if that
// takes longer than the timeout.
func Eventually(t testing.TB, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	if !poll(timeout, condition) {
		t.Fatalf("waited %v in vain: %s", timeout, what)
	}
}

func poll(timeout time.Duration, condition func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(timeout); ; <-tick.C {
		if condition() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// FreePort returns a TCP port of the loopback that nobody listens on now.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// LastingPort is FreePort for a program that ends and starts again: no connection
// gets this port for its own end in the meantime, not even one to itself.
func LastingPort(t testing.TB) int {
	t.Helper()
	const first, ports = 20_000, 10_000 // below the kernel's default range for connections.
	for i := range ports {
		port := first + (os.Getpid()+i)%ports
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// built remembers what this test process has built already.
type built struct {
	once sync.Once
	path string
	err  error
}

var binary, guard, hog built

// Binary builds the exporter as the image has it and returns its path.
// OOM_E2E_BINARY names a ready-made one instead.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OOM_E2E_BINARY"); path != "" {
		return path
	}
	return goProgram(t, &binary, "oom_exporter", "./cmd/oom_exporter")
}

// Guard builds oom_guard and returns its path. OOM_E2E_GUARD names a ready-made
// one instead.
func Guard(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OOM_E2E_GUARD"); path != "" {
		return path
	}
	return goProgram(t, &guard, "oom_guard", "./cmd/oom_guard")
}

// Hog compiles e2e/hog and returns its path. OOM_E2E_HOG names a ready-made one
// instead.
func Hog(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("OOM_E2E_HOG"); path != "" {
		return path
	}
	src := filepath.Join(Repository(t), "e2e", "hog", "hog.c")
	return hog.get(t, "hog", func(out string) *exec.Cmd {
		return exec.Command("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", out, src)
	})
}

func goProgram(t testing.TB, b *built, name, pkg string) string {
	t.Helper()
	repository := Repository(t)
	return b.get(t, name, func(out string) *exec.Cmd {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
		cmd.Dir = repository
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return cmd
	})
}

// get builds once a test process. The result is renamed into place: another
// test process may run the previous one. Each checkout has its own: another
// one's tests may run at the same time.
func (b *built) get(t testing.TB, name string, build func(out string) *exec.Cmd) string {
	t.Helper()
	checkout := crc32.ChecksumIEEE([]byte(Repository(t)))
	bin := filepath.Join(CacheDir(t), "bin", fmt.Sprintf("%08x", checkout))
	b.once.Do(func() {
		if b.err = os.MkdirAll(bin, 0o755); b.err != nil {
			return
		}
		b.path = filepath.Join(bin, name)
		tmp := fmt.Sprintf("%s.%d", b.path, os.Getpid())
		if out, err := build(tmp).CombinedOutput(); err != nil {
			b.err = fmt.Errorf("build %s: %w\n%s", name, err, out)
			return
		}
		b.err = os.Rename(tmp, b.path)
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}
