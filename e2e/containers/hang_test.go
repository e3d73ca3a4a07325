// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// prompt is what a scrape may take at most where a source hangs: 50 ms are
// waited for names, and the machine may be busy. A source is given up after 5 s.
const prompt = time.Second

// TestHangingSources has a container runtime that takes questions and never
// answers: containers and kills are told by the ids, and no scrape waits.
func TestHangingSources(t *testing.T) {
	socket := hangingSocket(t)
	e := lab.StartExporter(t, "--path.rootfs="+t.TempDir(), "--cri.socket="+socket, "--docker.socket="+socket)
	scrape := func() lab.Metrics {
		start := time.Now()
		m := e.Scrape(t)
		if took := time.Since(start); took > prompt {
			t.Errorf("a scrape took %v", took)
		}
		return m
	}
	scrape()
	log := lab.NewKernelLog(t)
	comm := victim("hang", "h")
	for i, digit := range []string{"a", "b", "c"} {
		id := strings.Repeat(digit, 64)
		g := lab.NewGroup(t, id, limit)
		labels := plainName(id[:12])
		if !scrape().Has("oom_container_memory_usage_bytes", labels...) {
			t.Errorf("%s is not told by its id", id[:12])
		}
		lab.StartHog(t, g, "comm:"+comm, "anon:200M")
		lab.Eventually(t, late, "the kernel kills", func() bool { return log.Kills(t, comm) == i+1 })
		lab.Eventually(t, late, "the kill is counted", func() bool { return scrape().Sum("oom_container_kills_total", labels...) == 1 })
	}
}

// hangingSocket is a socket of somebody who listens and never says a word.
func hangingSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "oom-e2e-") // a test's own name is too long for a socket.
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "hang"))
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	return listener.Addr().String()
}
