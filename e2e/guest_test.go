// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// TestGuestSanity scrapes a guest from the host while a process of 20 MiB is
// stopped under a limit of 64 MiB, on every kernel that can be had.
func TestGuestSanity(t *testing.T) {
	cases := []struct {
		name    string
		options guest.Options
	}{
		{"6.1-v2", guest.Options{Kernel: guest.K61, Cgroup: 2}},
		{"6.1-v1", guest.Options{Kernel: guest.K61, Cgroup: 1}},
		{"5.10-v2", guest.Options{Kernel: guest.K510, Cgroup: 2}},
		{"6.12-v2", guest.Options{Kernel: guest.K612, Cgroup: 2, SwapMB: 64}},
	}
	families := map[string]map[string]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.options.Script = "sanity.sh"
			vm := guest.Run(t, c.options)
			vm.Await(t, "ready")
			m := lab.Scrape(t, vm.URL())
			vm.Tell(t, "scraped")
			vm.Wait(t)

			memory := func(dir string) lab.Memory {
				return lab.ParseMemory(t, c.options.Cgroup, func(name string) string { return vm.File(t, dir+"/"+name) })
			}
			before := memory("before")
			if after := memory("after"); before != after {
				t.Fatalf("the group moved during the scrape: %+v, then %+v", before, after)
			}
			// Per-CPU counters may still hold back some pages (5.10).
			within(t, "the kernel's own count", before.Anon, 20*mib-mib/4, 21*mib)
			checkMemory(t, m, "/sanity/limited", before)
			families[c.name] = map[string]bool{}
			for _, name := range m.Names() {
				families[c.name][name] = m.Has(name, workload("/sanity/limited")...)
			}
		})
	}
	if t.Failed() || families["6.1-v1"] == nil || families["6.1-v2"] == nil {
		return
	}
	// The versions differ in what the kernel has, not in what a family is called.
	onlyV2 := map[string]bool{"oom_container_pressure_stalled_seconds_total": true}
	for name, v2 := range families["6.1-v2"] {
		if v1 := families["6.1-v1"][name]; v1 != v2 && !onlyV2[name] {
			t.Errorf("%s has the group on v2: %v, on v1: %v", name, v2, v1)
		}
	}
	for name, v1 := range families["6.1-v1"] {
		if v1 && !families["6.1-v2"][name] {
			t.Errorf("%s is there on v1 only", name)
		}
	}
}
