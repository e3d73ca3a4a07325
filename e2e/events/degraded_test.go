// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package events_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// nobody is a user without any rights.
const nobody = 65534

// syslogOnly is an exporter that has the kernel's log by syslog(2) only.
func syslogOnly(t *testing.T) *lab.Exporter {
	t.Helper()
	return lab.StartSyslogOnly(t, lab.FreePort(t))
}

// TestDegraded repeats the storm of 200 where the kernel's log can be read by
// syslog(2) only, and where it can't be read at all.
func TestDegraded(t *testing.T) {
	b := newBench(t)
	var rows strings.Builder
	for _, c := range []struct {
		name, what string
		source     string // of the log, if there is one.
		start      func(t *testing.T) *lab.Exporter
	}{
		{"kmsg", "/dev/kmsg, as root", "kmsg", func(t *testing.T) *lab.Exporter { return lab.StartExporter(t) }},
		{"syslog", "syslog(2), as nobody with CAP_SYSLOG", "syslog", syslogOnly},
		{"none", "none, as nobody", "", func(t *testing.T) *lab.Exporter {
			return lab.StartExporterAs(t, &syscall.Credential{Uid: nobody, Gid: nobody})
		}},
	} {
		if c.name == "kmsg" && !full() {
			continue // that is the storm of 200 of TestStorms.
		}
		t.Run(c.name, func(t *testing.T) {
			e := c.start(t)
			b.baseline(t, e)
			m := e.Scrape(t)
			for _, source := range []string{"kmsg", "syslog"} {
				if has := m.Sum("oom_event_source_up", "source", source) == 1; has != (source == c.source) {
					t.Errorf("source %s is up: %v; want %q", source, has, c.source)
				}
			}
			o := b.outcome(t, e, 200, 2*time.Second)
			o.check(t)
			rows.WriteString(o.row(c.what))
		})
	}
	b.evidence(t, "degraded", "# Storms with less to see\n\n"+
		"200 kills in 2 s in 64 containers, as in the table of storms, by exporters that see less of the kernel's log.\n\n"+
		b.by("TestDegraded")+strings.Replace(outcomeHead, "storm", "kernel log", 1)+rows.String())
}
