// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package units_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// live are the unit tests of the machine that they run on; others read fixtures, which a
// guest does not have.
var live = []struct {
	name, of, run string
	skips         []string // they are about cgroup v1.
}{
	{"cgroups", "../../internal/cgroup", "Live|Held|Open|KeptOpen|DescriptorsAre|Numbers|AList|Listed|Sampler", []string{"TestHeldGroups", "TestOpenGroupsAreRenamed"}},
	{"bpf", "../../internal/bpf", "Cgroups$", nil},
	{"list", "../../cmd/oom_exporter", "TestListed", nil},
}

// TestUnitsGuest runs them on cgroup v2.
func TestUnitsGuest(t *testing.T) {
	lab.Root(t)
	for _, kernel := range []guest.Kernel{guest.K61, guest.K612} {
		for _, tests := range live {
			t.Run(kernel.Name+"-"+tests.name, func(t *testing.T) {
				vm := guest.RunTests(t, guest.Options{Kernel: kernel}, guest.Tests{
					Of: tests.of, Run: tests.run, Timeout: 5 * time.Minute,
					Before: "echo +memory >/sys/fs/cgroup/cgroup.subtree_control",
				})
				log := vm.File(t, "test.log")
				if !strings.Contains(log, "--- PASS") {
					t.Error("no test passed")
				}
				for _, skip := range regexp.MustCompile(`(?m)^ *--- SKIP: (\S+)`).FindAllStringSubmatch(log, -1) {
					if !slices.Contains(tests.skips, skip[1]) {
						t.Errorf("%s was skipped", skip[1])
					}
				}
			})
		}
	}
}
