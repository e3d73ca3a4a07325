// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// row is one line of the table.
type row struct {
	engine           engine
	names, what      string
	counted, kernels int
}

// table is what the engines' tests, which run one after the other, have seen.
var table []row

func record(e engine, names, what string, counted, kernels int) {
	table = append(table, row{e, names, what, counted, kernels})
}

const head = `# Containers of real runtimes: counted and killed

Each runtime runs containers with a limit of 64 MiB on the host. *child*: a child of PID 1 runs into the limit and is killed, PID 1 lives on.
*gone*: a container whose PID 1 is killed after 1.5 s is removed at once; three in a row with the same name. *instant*: the same, killed
a few milliseconds after it starts, so that its name must be found in the time that the runtime takes to remove it. *counted* is the exporter's ` + "`oom_container_kills_total`" + ` under the container's name, *kernel* the kernel log's "Killed process" lines with the victim's own comm.

Written by ` + "`go test -tags e2e ./e2e/containers`" + ` with OOM_E2E_EVIDENCE set.

`

// writeEvidence writes the table where the environment says so.
func writeEvidence(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString(head)
	fmt.Fprintf(&b, "Linux %s, cgroup v%d, %s.\n\n", release(t), lab.MemoryHierarchy(t).Version, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| runtime | names from | container | counted | kernel |\n|---|---|---|---|---|\n")
	for _, r := range table {
		fmt.Fprintf(&b, "| %s (%s) | %s | %s | %d | %d |\n", r.engine.name, r.engine.version, r.names, r.what, r.counted, r.kernels)
		if r.counted != r.kernels {
			t.Errorf("%s, names from %s, %s: %d kills counted, the kernel killed %d", r.engine.name, r.names, r.what, r.counted, r.kernels)
		}
	}
	t.Log(b.String())
	dir := os.Getenv("OOM_E2E_EVIDENCE")
	for _, name := range []string{"ctr", "CRI", "dockerd", "podman"} {
		if !slices.ContainsFunc(table, func(r row) bool { return r.engine.name == name }) {
			t.Logf("nothing of %s: the evidence stays as it is", name)
			return
		}
	}
	if dir == "" || t.Failed() {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "containers.md"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func release(t *testing.T) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(u.Release[:])
}
