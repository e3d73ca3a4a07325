// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"os"
	"strings"
	"testing"
)

// QuietConsole keeps what the kernel logs from its console until the test ends. A
// serial one of a virtual machine takes 20 ms of a CPU for each line of a kill,
// which would be measured with all else. The log itself stays as it is. Where the
// level cannot be set nothing is changed.
func QuietConsole(t testing.TB) {
	t.Helper()
	const file = "/proc/sys/kernel/printk"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Logf("the console stays as it is: %v", err)
		return
	}
	levels := strings.Fields(string(before))
	levels[0] = "1" // emergencies only.
	if err := os.WriteFile(file, []byte(strings.Join(levels, " ")), 0); err != nil {
		t.Logf("the console stays as it is: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Errorf("restore the console's level: %v", err)
		}
	})
}
