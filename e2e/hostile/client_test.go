// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package hostile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// dialSmall connects with a receive buffer that holds little.
func dialSmall(ctx context.Context, address string) (net.Conn, error) {
	// Set before the connection is made, a small buffer makes a small window.
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	return small.DialContext(ctx, "tcp", address)
}

// stall sends a request on a separate connection, and never reads.
func stall(t *testing.T, e *lab.Exporter, path string) {
	t.Helper()
	c, err := dialSmall(t.Context(), strings.TrimPrefix(e.URL, "http://"))
	if err != nil {
		return // the exporter is dead; the honest scrapes will tell.
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
}

// scrape scrapes as Prometheus does, on a new connection.
func scrape(e *lab.Exporter, path, timeout string) (code int, body string) {
	req, err := http.NewRequest(http.MethodGet, e.URL+path, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	if timeout != "" {
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// honest scrapes so many times and returns how many scrapes were whole.
func honest(e *lab.Exporter, n int, path string) (whole int) {
	for range n {
		want := "oom_process_badness_bytes{"
		if path != "/metrics" {
			want = `"schema"`
		}
		if code, body := scrape(e, path, "10"); code == http.StatusOK && strings.Contains(body, want) {
			whole++
		}
	}
	return whole
}

// recorded writes a kernel log with so many kills.
func recorded(t *testing.T, kills int) string {
	t.Helper()
	var b strings.Builder
	for i := range kills {
		path := fmt.Sprintf("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%08d_0000_4000_8000_000000000000.slice", i)
		fmt.Fprintf(&b, "6,%d,%d,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%s,task=hog,pid=%d,uid=0\n", 2*i+1, 1000*i, path, path, 1000+i)
		fmt.Fprintf(&b, "3,%d,%d,-;Memory cgroup out of memory: Killed process %d (hog) total-vm:4096kB, anon-rss:2048kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:0\n", 2*i+2, 1000*i, 1000+i)
	}
	file := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs a binary with the chart's memory limit.
func start(t *testing.T, binary string, args ...string) *lab.Exporter {
	t.Helper()
	g := lab.NewGroup(t, fmt.Sprintf("hostile/%s-%d", filepath.Base(binary), time.Now().UnixNano()), 128<<20)
	return lab.StartExporterIn(t, g, binary, []string{"GOMEMLIMIT=115MiB"}, args...)
}

// state says how the exporter fares.
func state(t *testing.T, e *lab.Exporter) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.PID))
	if err != nil || !strings.Contains(string(b), "VmHWM") {
		return fmt.Sprintf("**the exporter is dead** (signal %v)", e.Wait(t, time.Minute).Signal())
	}
	return fmt.Sprintf("peak RSS %d MiB", e.Status(t)["VmHWM"]>>20)
}

// attack is what a client does, and what comes of it.
type attack struct {
	name string
	run  func(t *testing.T, binary string) (result string, survived bool)
	full bool // CI has no time for it.
}

// TestClients attacks the exporter as a client on the network, within the
// chart's memory limit.
func TestClients(t *testing.T) {
	lab.Root(t)
	raiseFileLimit(t)
	report := newReport()
	for _, a := range []attack{
		{"150 connections ask for `/api/v1/kills` (1,000 records) and never read", unreadKills, false},
		{"8,000 idle keep-alive connections", idleCrowd, false},
		{"40 connections ask for `/metrics` and never read", unreadMetrics, false},
		{"10 clients scrape without pause with a timeout of 4 ms", shortTimeouts, false},
		{"a scrape with a timeout of 1 ns", tinyTimeout, false},
		{"one client scrapes without pause", func(t *testing.T, b string) (string, bool) { return busyClients(t, b, 1, plainly) }, false},
		{"50 clients scrape without pause", func(t *testing.T, b string) (string, bool) { return busyClients(t, b, 50, plainly) }, false},
		{"50 clients scrape without pause, in all forms", func(t *testing.T, b string) (string, bool) { return busyClients(t, b, 50, inAnyForm) }, false},
		{"50 clients ask for pages without pause", func(t *testing.T, b string) (string, bool) { return busyClients(t, b, 50, pages) }, true},
	} {
		if a.full && os.Getenv("OOM_E2E_FULL") == "" {
			continue // unit tests of internal/web have the same.
		}
		t.Run(a.name, func(t *testing.T) {
			report.row(t, a)
		})
	}
	report.write(t, "TestClients", "hostile-client.md", "An attack by a client on the network",
		"The exporter runs in a memory cgroup with the chart's limit of 128 MiB, on a small machine. An honest scrape is on a "+
			"connection of its own, with a timeout of 10 s, and whole when it has the families of processes.")
}

func unreadKills(t *testing.T, binary string) (string, bool) {
	e := start(t, binary, "--path.kmsg="+recorded(t, 1000))
	for range 150 {
		stall(t, e, "/api/v1/kills")
	}
	metrics, kills := honest(e, 20, "/metrics"), honest(e, 20, "/api/v1/kills")
	return fmt.Sprintf("%d of 20 honest scrapes and %d of 20 readers of kills answered; %s", metrics, kills, state(t, e)),
		metrics == 20 && kills == 20 && !e.Ended()
}

func idleCrowd(t *testing.T, binary string) (string, bool) {
	e := start(t, binary)
	address := strings.TrimPrefix(e.URL, "http://")
	whole, asked := 0, 0
	for i := range 8000 {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = fmt.Fprint(c, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil && e.Ended() {
			break
		}
		if i%400 == 399 {
			asked++
			whole += honest(e, 1, "/metrics")
		}
	}
	whole += honest(e, 20-asked, "/metrics")
	return fmt.Sprintf("%d of 20 honest scrapes whole; %s", whole, state(t, e)), whole == 20 && !e.Ended()
}

func unreadMetrics(t *testing.T, binary string) (string, bool) {
	// Larger than what the kernel buffers, so that a client that does not read
	// holds the exporter up.
	tree := lab.MakeTree(t, 1000, 10_000)
	e := start(t, binary, "--path.procfs="+tree.Procfs, "--path.sysfs="+tree.Sysfs, "--process.top=10000")
	for range 40 {
		stall(t, e, "/metrics")
	}
	<-time.After(time.Second) // the slots are taken.
	whole := honest(e, 20, "/metrics")
	return fmt.Sprintf("%d of 20 honest scrapes whole; %s", whole, state(t, e)), whole == 20 && !e.Ended()
}

func shortTimeouts(t *testing.T, binary string) (string, bool) {
	tree := lab.MakeTree(t, 300, 3000) // a pass takes longer than 4 ms.
	e := start(t, binary, "--path.procfs="+tree.Procfs, "--path.sysfs="+tree.Sysfs)
	printed := strings.Count(e.Output(), "\n")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for ctx.Err() == nil {
				scrape(e, "/metrics", "0.004")
			}
		})
	}
	whole := honest(e, 60, "/metrics")
	cancel()
	all.Wait()
	lines := strings.Count(e.Output(), "\n") - printed
	return fmt.Sprintf("%d of 60 honest scrapes whole, %d lines in the log", whole, lines), whole == 60 && lines < 10
}

func tinyTimeout(t *testing.T, binary string) (string, bool) {
	e := start(t, binary)
	code, body := scrape(e, "/metrics", "1e-9")
	whole := strings.Contains(body, "oom_process_badness_bytes{")
	result := fmt.Sprintf("status %d with %d bytes, but without processes", code, len(body))
	if whole {
		result = fmt.Sprintf("status %d with everything in it", code)
	}
	return result, code == http.StatusServiceUnavailable || code == http.StatusOK && whole
}

// plainly asks for the metrics, as everybody does.
func plainly(int) (path, accept string) { return "/metrics", "" }

// inAnyForm asks for the metrics in each way that there is.
func inAnyForm(i int) (path, accept string) {
	formats := [...]string{
		"text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text",
	}
	escapings := [...]string{"allow-utf-8", "underscores", "dots", "values"}
	return "/metrics", formats[i%len(formats)] + ";escaping=" + escapings[i/len(formats)%len(escapings)]
}

// pages asks for the pages that people look at.
func pages(i int) (path, accept string) {
	return [...]string{"/", "/workloads", "/kills", "/doctor", "/nowhere"}[i%5], ""
}

// busyClients measures which share of a CPU the clients take, each of which asks
// in its way, and how fast an honest scrape is beside them.
func busyClients(t *testing.T, binary string, clients int, way func(i int) (path, accept string)) (string, bool) {
	tree := lab.MakeTree(t, 300, 3000)
	e := start(t, binary, "--path.procfs="+tree.Procfs, "--path.sysfs="+tree.Sysfs)
	one := e.CPUTime(t)
	honest(e, 5, "/metrics")
	one = (e.CPUTime(t) - one) / 5
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var answers atomic.Int64
	for i := range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			path, accept := way(i)
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+path, http.NoBody)
				if accept != "" {
					req.Header.Set("Accept", accept)
				}
				resp, err := client.Do(req)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				answers.Add(1)
			}
		})
	}
	began, before := time.Now(), e.CPUTime(t)
	<-time.After(3 * time.Second)
	share := float64(e.CPUTime(t)-before) / float64(time.Since(began))
	answered := answers.Load()
	scraped := time.Now()
	whole := honest(e, 10, "/metrics")
	took := time.Since(scraped) / 10
	cancel()
	all.Wait()
	// 100 ms is the default rest; half as much again is for what the answers cost.
	bound := 1.5 * float64(one) / float64(one+100*time.Millisecond)
	return fmt.Sprintf("%.0f %% of a CPU (%d answers; one scrape costs %.0f ms); an honest scrape takes %d ms", share*100, answered, one.Seconds()*1000, took.Milliseconds()),
		whole == 10 && (share < bound || share < 0.3)
}

// raiseFileLimit lets the test have 8,000 connections.
func raiseFileLimit(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = max(limit.Cur, 20000)
	limit.Max = max(limit.Max, limit.Cur)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}
