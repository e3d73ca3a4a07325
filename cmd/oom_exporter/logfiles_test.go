// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/report"
)

func TestInOrder(t *testing.T) {
	for _, tc := range []struct{ in, want []string }{
		{[]string{"kern.log", "kern.log.1", "kern.log.10.gz", "kern.log.2.gz"}, []string{"kern.log.10.gz", "kern.log.2.gz", "kern.log.1", "kern.log"}},
		{[]string{"messages", "messages-20261117.xz", "messages-20261124"}, []string{"messages-20261117.xz", "messages-20261124", "messages"}},
		{[]string{"b/kern.log", "a/kern.log", "b/kern.log.1"}, []string{"b/kern.log.1", "b/kern.log", "a/kern.log"}},
		{[]string{"dmesg.zst", "-", "x.bz2"}, []string{"dmesg.zst", "-", "x.bz2"}},
		{[]string{"node-1.log", "node-2.log"}, []string{"node-1.log", "node-2.log"}},
	} {
		if diff := cmp.Diff(tc.want, inOrder(tc.in)); diff != "" {
			t.Errorf("%v: %s", tc.in, diff)
		}
	}
}

func TestMoment(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-24":           "2026-11-24 00:00:00",
		"2026-11-24 10:00":     "2026-11-24 10:00:00",
		"2026-11-24 10:00:05":  "2026-11-24 10:00:05",
		"2026-11-24T10:00:05Z": time.Date(2026, 11, 24, 10, 0, 5, 0, time.UTC).Local().Format(time.DateTime),
		"10:00":                time.Now().Format(time.DateOnly) + " 10:00:00",
	} {
		var got time.Time
		if err := moment(&got)(in); err != nil || got.Local().Format(time.DateTime) != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	var got time.Time
	if err := moment(&got)("2h"); err != nil || time.Since(got).Round(time.Minute) != 2*time.Hour {
		t.Errorf("2h: %v, %v", got, err)
	}
	for _, in := range []string{"yesterday", "-2h", "25:00"} {
		if err := moment(&got)(in); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
}

func TestOnly(t *testing.T) {
	for in, want := range map[string]report.Selection{
		"": {}, "pid=700": {PID: 700}, "pid:700": {PID: 700}, "kill 2": {Kill: 2}, "cgroup=/a=b": {Cgroup: "/a=b"},
	} {
		var got report.Selection
		if err := only(&got)(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"700", "pid=0", "pid=x", "kill=-1", "cgroup=", "host=x"} {
		if err := only(&report.Selection{})(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}
