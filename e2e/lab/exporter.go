// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Exporter is a running exporter.
type Exporter struct {
	*Process
	URL string
}

// StartExporter runs the real binary with the arguments on a free port and
// waits until it is ready.
func StartExporter(t testing.TB, args ...string) *Exporter {
	t.Helper()
	return StartExporterAs(t, nil, args...)
}

// StartExporterAs is StartExporter as another user (nil: the test's own), with
// none of root's rights and groups.
func StartExporterAs(t testing.TB, user *syscall.Credential, args ...string) *Exporter {
	t.Helper()
	port := FreePort(t)
	args = append(args, "--web.listen-address=127.0.0.1:"+strconv.Itoa(port))
	cmd := exec.Command(Binary(t), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	return AwaitExporter(t, Start(t, cmd), port)
}

// StartExporterIn runs a binary of the exporter inside the group, with more of an
// environment.
func StartExporterIn(t testing.TB, g *Group, binary string, env []string, args ...string) *Exporter {
	t.Helper()
	port := FreePort(t)
	script := []string{"-c", `echo 0 > "$0" && exec "$@"`, g.File("cgroup.procs"), binary, "--web.listen-address=127.0.0.1:" + strconv.Itoa(port)}
	cmd := exec.Command("sh", append(script, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return AwaitExporter(t, Start(t, cmd), port)
}

// AwaitExporter waits until the process answers on the port of the loopback.
func AwaitExporter(t testing.TB, p *Process, port int) *Exporter {
	t.Helper()
	e := &Exporter{Process: p, URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	ready := poll(time.Minute, func() bool {
		_, err := get(e.URL + "/-/ready")
		return err == nil || p.Ended()
	})
	if !ready || p.Ended() {
		t.Fatalf("the exporter did not get ready; it printed:\n%s", p.Output())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the exporter printed:\n%s", p.Output())
		}
	})
	return e
}

// Scrape gets the exporter's metrics.
func (e *Exporter) Scrape(t testing.TB) Metrics {
	t.Helper()
	return Scrape(t, e.URL)
}

// Stop asks the exporter to end and checks that it does so with success.
func (e *Exporter) Stop(t testing.TB) {
	t.Helper()
	e.Signal(t, syscall.SIGTERM)
	if status := e.Wait(t, 30*time.Second); status.ExitStatus() != 0 {
		t.Errorf("the exporter ended with %d (signal %v); it printed:\n%s", status.ExitStatus(), status.Signal(), e.Output())
	}
}

// Status returns the numbers of /proc/PID/status, those with a unit of kB in bytes.
func (p *Process) Status(t testing.TB) map[string]uint64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]uint64)
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		f := strings.Fields(rest)
		if len(f) == 0 {
			continue
		}
		n, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			continue
		}
		if len(f) == 2 && f[1] == "kB" {
			n <<= 10
		}
		values[key] = n
	}
	return values
}
