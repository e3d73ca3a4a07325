// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartSyslogOnly starts an exporter that may read the kernel's log, but by
// syslog(2) only: as nobody with CAP_SYSLOG, and with a file without any
// permission in the place of /dev/kmsg. So it is in an unprivileged container.
func StartSyslogOnly(t testing.TB, port int, args ...string) *Exporter {
	t.Helper()
	Need(t, "unshare", "setpriv", "mount")
	empty := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(empty, nil, 0); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$0" /dev/kmsg && exec setpriv --reuid 65534 --regid 65534 --clear-groups ` +
		`--bounding-set -all,+syslog --inh-caps -all,+syslog --ambient-caps -all,+syslog --no-new-privs "$@"`
	cmd := exec.Command("unshare", append([]string{
		"--mount", "--propagation", "private", "sh", "-c", script, empty,
		Binary(t), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port),
	}, args...)...)
	return AwaitExporter(t, Start(t, cmd), port)
}

// Capable returns the way to run the exporter as nobody with these capabilities (such
// as bpf) and no other, and without a way to more.
func Capable(t testing.TB, port int, capabilities []string, args ...string) *exec.Cmd {
	t.Helper()
	Need(t, "setpriv")
	set := strings.Join(append([]string{"-all"}, capabilities...), ",+")
	return exec.Command("setpriv", append([]string{
		"--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", set, "--inh-caps", set, "--ambient-caps", set, "--no-new-privs",
		Binary(t), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port),
	}, args...)...)
}
