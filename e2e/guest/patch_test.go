// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// patching switches tracepoints of the page and slab allocators on and off for 8 s,
// for which the kernel patches code that both CPUs are running.
const patching = `
mount | grep -q tracefs || mount -t tracefs tracefs /sys/kernel/tracing
now() { cut -d. -f1 /proc/uptime; }
(while :; do /bin/true; done) 3>&- &
(while :; do cat /proc/meminfo >/dev/null; done) 3>&- &
n=0
end=$(($(now) + 8))
while [ "$(now)" -lt $end ]; do
  echo 1 >/sys/kernel/tracing/events/kmem/enable
  echo 0 >/sys/kernel/tracing/events/kmem/enable
  n=$((n + 1))
done
echo $n >/out/times
`

// TestPatchedCode has kernels patch their code while it runs, which an exporter that
// attaches BPF programs or reads tracefs has them do, too. A guest must live through it.
func TestPatchedCode(t *testing.T) {
	lab.Root(t)
	for name, kernel := range map[string]Kernel{"6.1": K61, "6.12": K612} {
		t.Run(name, func(t *testing.T) {
			vm := Run(t, Options{Kernel: kernel, Script: patching})
			vm.Wait(t)
			if n, err := strconv.Atoi(strings.TrimSpace(vm.File(t, "times"))); err != nil || n == 0 {
				t.Errorf("switched on and off %d times, %v", n, err)
			}
		})
	}
}
