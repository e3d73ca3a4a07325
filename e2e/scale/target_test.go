// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package scale

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// target is a program that is scraped.
type target struct {
	name   string
	p      *lab.Process
	url    string
	group  *lab.Group // its own memory cgroup.
	rounds int        // at most; 0: all.
}

// start runs a program with a shell's limits in a memory cgroup of its own; the
// arguments have the address in place of ADDR.
func start(t testing.TB, name string, rounds int, argv ...string) *target {
	t.Helper()
	port := lab.FreePort(t)
	address := "127.0.0.1:" + strconv.Itoa(port)
	g := lab.NewGroup(t, name, lab.Unlimited)
	args := []string{"-c", `echo $$ >"$1" && ulimit -n 1024 && shift && exec "$@"`, "sh", g.File("cgroup.procs")}
	for _, a := range argv {
		args = append(args, strings.ReplaceAll(strings.ReplaceAll(a, "ADDR", address), "PORT", strconv.Itoa(port)))
	}
	x := &target{name: name, url: "http://" + address + "/metrics", group: g, rounds: rounds}
	x.p = lab.Start(t, exec.Command("sh", args...))
	lab.Eventually(t, 2*time.Minute, name+" answers", func() bool {
		_, err := scrape(x.url)
		return err == nil
	})
	return x
}

// exporter is an oom_exporter with its defaults, but for the dead of others: what else is
// killed on the machine is no part of the load.
func exporter(t testing.TB, name, path string, flags ...string) *target {
	t.Helper()
	return start(t, name, 0, append([]string{path, "--web.listen-address=ADDR", "--dead.keep=1", "--web.min-interval=0s"}, flags...)...)
}

func ourselves(t testing.TB, flags ...string) *target {
	t.Helper()
	return exporter(t, "oom_exporter", lab.Binary(t), flags...)
}

// restless reads everything in each scrape: the cost where nothing is at rest.
func restless(t testing.TB) *target {
	t.Helper()
	x := exporter(t, "oom_exporter-refresh-1", lab.Binary(t), "--limits.refresh=1")
	x.name, x.rounds = "oom_exporter --limits.refresh=1", 8
	return x
}

// inKernel has programs in the kernel list the processes and cgroups.
func inKernel(t testing.TB, name string, flags ...string) *target {
	t.Helper()
	x := exporter(t, name, lab.Binary(t), append([]string{"--source.bpf=require"}, flags...)...)
	x.name, x.rounds = strings.Join(append([]string{"oom_exporter --source.bpf=require"}, flags...), " "), 8
	return x
}

// peers are the programs of others that are installed; OOM_CADVISOR names
// cAdvisor's.
func peers(t testing.TB) []*target {
	t.Helper()
	var found []*target
	if path, err := exec.LookPath("prometheus-node-exporter"); err == nil {
		found = append(found, start(t, "node_exporter", 0, path, "--collector.disable-defaults", "--collector.processes",
			"--collector.meminfo", "--collector.vmstat", "--web.listen-address=ADDR"))
	}
	if path, err := exec.LookPath("prometheus-process-exporter"); err == nil {
		config := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(config, []byte("process_names:\n  - name: \"{{.Comm}}\"\n    cmdline:\n    - '.*'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		found = append(found, start(t, "process-exporter", 4, path, "-config.path="+config, "-web.listen-address=ADDR"))
	}
	if path := os.Getenv("OOM_CADVISOR"); path != "" {
		found = append(found, start(t, "cadvisor", 0, path, "-listen_ip=127.0.0.1", "-port=PORT",
			"-enable_metrics=memory,oom_event", "-housekeeping_interval=60s", "-docker_only=false"))
	}
	return found
}

// answer is what one scrape brought.
type answer struct {
	text  []byte
	bytes int // on the wire.
	wall  time.Duration
}

func (a *answer) series() int {
	n := 0
	for line := range bytes.Lines(a.text) {
		if line[0] != '#' && line[0] != '\n' {
			n++
		}
	}
	return n
}

// scrape asks as Prometheus does, but for the classic text: there is no parser of
// OpenMetrics among the libraries, and to write it costs about the same
// (BenchmarkExpose in collector).
func scrape(url string) (*answer, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "60")
	begun := time.Now()
	res, err := (&http.Client{Timeout: 2 * time.Minute}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	wire, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{text: wire, bytes: len(wire), wall: time.Since(begun)}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", url, res.Status)
	}
	if res.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(wire))
		if err != nil {
			return nil, err
		}
		if a.text, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	for line := range bytes.Lines(a.text) {
		if bytes.HasPrefix(line, []byte("oom_scrape_collector_success{")) && bytes.HasSuffix(line, []byte("} 0\n")) {
			return nil, fmt.Errorf("get %s: a collector failed, so this is no whole answer: %s", url, line)
		}
	}
	return a, nil
}

// scraped is one scrape and what it cost the target.
func (x *target) scraped(t testing.TB) (*answer, time.Duration) {
	t.Helper()
	before := cpu(t, x.p.PID)
	a, err := scrape(x.url)
	if err != nil {
		t.Fatal(err)
	}
	return a, cpu(t, x.p.PID) - before
}

// descriptors counts the target's open files.
func (x *target) descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", x.p.PID))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// charged is what the target's cgroup holds, kernel memory included, without
// the page cache.
func (x *target) charged(t testing.TB) int64 {
	t.Helper()
	usage, cache := "memory.current", "file"
	if x.group.Version == 1 {
		usage, cache = "memory.usage_in_bytes", "total_cache"
	}
	return int64(x.group.Uint(t, usage)) - int64(x.group.Keys(t, "memory.stat")[cache])
}
