// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tests says which tests run in a guest.
type Tests struct {
	Of      string            // the package whose they are [the one in the working directory].
	Run     string            // the pattern of their names, as go test has it.
	Env     map[string]string // their environment.
	Before  string            // lines of script that run first.
	Timeout time.Duration     // what hangs for longer ends with a dump of its goroutines.
	Tags    string            // of the build [e2e].
	Keep    map[string]string // what they leave: file in /out, file on the host.
}

// testScript runs the tests. Their output goes to a file, since the emulated
// console would take minutes for all of it; what runs and how it ended goes to
// the console too, and a sign of life: a guest that hangs says where.
const testScript = `
export TMPDIR=/tmp OOM_E2E_BINARY=/bin/oom_exporter OOM_E2E_EVIDENCE=/out
%s
set -o pipefail
export %s
(echo -1000 >/proc/self/oom_score_adj; while :; do sleep 20 || :; cut -d' ' -f1 /proc/uptime || :; done) 3>&- &
guest.test -test.v -test.timeout %v -test.run '%s' 2>&1 3>&- | tee /out/test.log | grep -E '^ *(=== RUN|--- )'
`

// silence is after how long without a sign of life a guest is taken to hang.
const silence = 3 * time.Minute

// boot is how long a guest may take for all but its tests.
const boot = 4 * time.Minute

// RunTests builds the tests of the package in the working directory, runs them
// in a guest to the end, and fails as they do. Their output is in the test's
// log, and File has what they left in /out. Tests that hang end by their own
// timeout; where the whole machine hangs, sign of life and all, or traps (see
// isTrap), it is the emulator's doing, and it is booted once more.
func RunTests(t *testing.T, o Options, tests Tests) *VM {
	t.Helper()
	setDefault(&tests.Tags, "e2e")
	setDefault(&tests.Of, ".")
	binary := filepath.Join(t.TempDir(), "guest.test")
	cmd := exec.Command("go", "test", "-c", "-tags", tests.Tags, "-trimpath", "-ldflags=-s -w", "-o", binary, tests.Of)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the tests: %v\n%s", err, out)
	}
	o.Files = maps.Clone(o.Files)
	if o.Files == nil {
		o.Files = map[string]string{}
	}
	o.Files["/bin/guest.test"] = binary
	deadline, bound := t.Deadline()
	if left := time.Until(deadline) - 2*time.Minute; bound { // else the guest's log is lost.
		tests.Timeout = max(time.Minute, min(tests.Timeout, left-boot))
	}
	o.Script, o.Timeout = tests.script(), tests.Timeout+boot
	vm := Run(t, o)
	if vm.hangs(t) || isTrap(vm.Console()) {
		if strings.Contains(vm.Console(), "--- FAIL") || bound && time.Until(deadline) < o.Timeout {
			t.Fatalf("the emulated machine hung or trapped after %v", time.Since(vm.started).Round(time.Second))
		}
		t.Logf("the emulated machine hung or trapped after %v and is booted once more; it had printed:\n%s", time.Since(vm.started).Round(time.Second), vm.Console())
		vm = Run(t, o)
	}
	t.Cleanup(func() {
		if log, err := vm.file("test.log"); err == nil {
			t.Logf("in the guest:\n%s", log)
		}
	})
	vm.Wait(t)
	for name, path := range tests.Keep {
		if err := os.WriteFile(path, []byte(vm.File(t, name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return vm
}

// hangs waits for the end of the guest. One that hangs it ends, and is true.
func (vm *VM) hangs(t *testing.T) bool {
	t.Helper()
	printed, since := 0, time.Now()
	for ; !vm.Ended() && vm.left() > 0; <-time.After(time.Second) {
		if n := signs(vm.Console()); n != printed {
			printed, since = n, time.Now()
		}
		if time.Since(since) > silence {
			vm.Signal(t, syscall.SIGKILL)
			vm.Process.Wait(t, time.Minute)
			return true
		}
	}
	return false
}

// signs counts the lines of a console, without those in which the kernel's watchdog says
// that a CPU is stuck.
func signs(console string) int {
	return strings.Count(console, "\n") - strings.Count(console, "BUG: soft lockup")
}

// isTrap tells whether a kernel has died of a breakpoint. It sets them while it patches its
// own code, and a CPU that is emulated in parallel may run into one that is no longer there.
func isTrap(console string) bool { return strings.Contains(console, "int3: 0000 [#1]") }

func (tests *Tests) script() string {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(tests.Env)) {
		env = append(env, fmt.Sprintf("%s='%s'", name, tests.Env[name]))
	}
	return fmt.Sprintf(testScript, tests.Before, strings.Join(env, " "), tests.Timeout, tests.Run)
}

// FileSystem is a script that makes the second disk, which Options.SwapMB gives
// a guest, a file system at /data: page cache needs one. Shared memory needs
// the other.
const FileSystem = `
swapoff /dev/vdb
mke2fs /dev/vdb >/dev/null 2>&1
mkdir /data /dev/shm
mount -t ext4 /dev/vdb /data
mount -t tmpfs tmpfs /dev/shm
`
