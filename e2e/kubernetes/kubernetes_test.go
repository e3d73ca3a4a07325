// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package kubernetes_test installs the chart on a real Kubernetes node on this
// host, lets the kernel kill in pods of all kinds, and compares what the
// exporter says with what the kernel and kubelet say.
//
// The node lives in a network namespace and a directory of its own; its pods
// have a limit in all, so the host is not in danger. The first run builds
// Kubernetes into OOM_E2E_CACHE. With OOM_E2E_EVIDENCE set to a directory, the
// table is written there.
package kubernetes_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// syslogOnly is CAP_SYSLOG, number 34.
const syslogOnly = "0000000400000000"

func TestKubernetes(t *testing.T) {
	lab.Root(t)
	helm := helm(t)
	n := startNode(t)
	n.importImages(t)
	exporter := n.install(t, helm)
	nobody := lab.StartExporterAs(t, &syscall.Credential{Uid: 65534, Gid: 65534}, "--path.rootfs=/")
	log := lab.NewKernelLog(t)
	nodeKills := lab.NodeKills(t)
	stop := n.keepScraping(exporter)
	r := results{log: log, statuses: n.runVictims(t, log)}
	stop()

	t.Run("kills", func(t *testing.T) { r.exporter = n.checkKills(t, exporter, log, nodeKills) })
	t.Run("gauges", func(t *testing.T) { n.checkGauges(t, n.scrapePod(t, exporter)) })
	t.Run("nobody", func(t *testing.T) { r.nobody = n.checkNobody(t, nobody, log) })
	r.write(t, n.containerd.Version(t))
	t.Run("rights", func(t *testing.T) {
		checkRights(t, exporter, rights{uid: "0", capabilities: syslogOnly, seccomp: "2", noNewPrivs: "1"})
		n.checkReadOnly(t, exporter, "/run/oom_exporter")
		// The source called kmsg would be the device.
		if up := n.scrapePod(t, exporter).Value(t, "oom_event_source_up", "source", "syslog"); up != 1 {
			t.Errorf("the kernel's log is not read by syslog(2): %v", up)
		}
	})
	t.Run("podsecurity", func(t *testing.T) { n.checkPodSecurity(t, helm) })
	t.Run("upgrade", func(t *testing.T) { n.checkUpgrade(t, helm, log) })
	t.Run("unprivileged", func(t *testing.T) { n.checkUnprivileged(t, helm, log) })
	t.Run("guard", func(t *testing.T) { n.checkGuard(t, helm, log) })
}

// checkKills waits until the exporter's counts are the kernel's, one by one and
// in all.
func (n *node) checkKills(t *testing.T, exporter pod, log *lab.KernelLog, before uint64) lab.Metrics {
	var m lab.Metrics
	t.Cleanup(func() { logKills(t, m) })
	lab.Eventually(t, late, "all kills are counted", func() bool {
		m = n.scrapePod(t, exporter)
		for _, v := range victims {
			if v.counted(m) < log.Kills(t, v.process()) {
				return false
			}
		}
		return m.Value(t, "oom_pending_kills") == 0
	})
	ours := 0
	for _, v := range victims {
		want := log.Kills(t, v.process())
		ours += want
		if got := v.counted(m); got != want {
			t.Errorf("%s/%s has %d kills, the kernel killed %d", v.pod, v.container, got, want)
		}
	}
	n.ownCounts(t, log)
	if all, node := log.All(t), int(lab.NodeKills(t)-before); all != node {
		t.Errorf("the kernel counts %d kills, its log tells of %d", node, all)
	}
	if counted := int(m.Sum("oom_container_kills_total", "namespace", shop)); counted != ours {
		t.Errorf("%d kills are counted in the namespace, the kernel killed %d", counted, ours)
	}
	if log.All(t) == ours && m.Value(t, "oom_unattributed_kills_total") != 0 {
		t.Errorf("%v kills have no name", m.Value(t, "oom_unattributed_kills_total"))
	}
	lab.Eventually(t, late, "kills that PID 1 survived are told", func() bool {
		m = n.scrapePod(t, exporter)
		for _, v := range victims {
			survived := m.Sum("oom_container_survived_kills_total", v.labels()...)
			if v.lives && int(survived) != log.Kills(t, v.process()) {
				return false
			}
		}
		return true
	})
	return m
}

// logKills shows what was counted if the test failed.
func logKills(t *testing.T, m lab.Metrics) {
	if !t.Failed() {
		return
	}
	for _, family := range m.Names() {
		if !strings.Contains(family, "kill") || strings.Contains(family, "margin") {
			continue
		}
		for _, metric := range m.Find(family) {
			if lab.Number(metric) != 0 && !strings.HasPrefix(lab.Label(metric, "container"), "/") {
				t.Log(family, metric)
			}
		}
	}
}

// checkGauges looks at what lives still: each QoS class by its name.
func (n *node) checkGauges(t *testing.T, m lab.Metrics) {
	for _, qos := range []string{"guaranteed", "burstable", "besteffort"} {
		labels := []string{"namespace", shop, "pod", qos, "container", "calm"}
		if got := m.Value(t, "oom_container_memory_anon_bytes", labels...); got < 8<<20 || got > 16<<20 {
			t.Errorf("%s: anon is %.0f, want a little more than 8 MiB", qos, got)
		}
		limits := m.Find("oom_container_memory_limit_bytes", labels...)
		if qos == "besteffort" && len(limits) != 0 || qos != "besteffort" && (len(limits) != 1 || lab.Number(limits[0]) != 32<<20) {
			t.Errorf("%s: the limit is %v", qos, limits)
		}
		if !m.Has("oom_container_info", append(labels, "qos", qos)...) {
			t.Errorf("%s: the info is %v", qos, m.Find("oom_container_info", labels...))
		}
		// Guaranteed would be below 0, which not every machine's root may set.
		if qos != "guaranteed" && m.Value(t, "oom_container_oom_score_adj_mismatch", labels...) != 0 {
			t.Errorf("%s: oom_score_adj is not what kubelet sets", qos)
		}
	}
	if m.Has("oom_container_memory_usage_bytes", "container", "POD") {
		t.Error("sandboxes have gauges")
	}
	for _, p := range n.pods(t, "-A") {
		if found := m.Find("oom_container_memory_usage_bytes", "pod", p.Metadata.UID); len(found) != 0 {
			t.Errorf("the name of %s is missing: %v", p.Metadata.Name, found)
		}
	}
}

// checkNobody compares an exporter without any right, on the host: it has the
// names of the log directories and the counters of the groups that live.
func (n *node) checkNobody(t *testing.T, e *lab.Exporter, log *lab.KernelLog) lab.Metrics {
	m := e.Scrape(t)
	n.checkGauges(t, m)
	for _, v := range victims {
		if got, want := v.counted(m), log.Kills(t, v.process()); v.lives && got != want {
			t.Errorf("without rights %s/%s has %d kills, the kernel killed %d", v.pod, v.container, got, want)
		}
	}
	return m
}

// checkUnprivileged upgrades to the profile without any capability.
func (n *node) checkUnprivileged(t *testing.T, helm string, log *lab.KernelLog) {
	values := filepath.Join(lab.Repository(t), "charts", "oom-exporter", "ci", "unprivileged-values.yaml")
	exporter := n.install(t, helm, "--values", values)
	checkRights(t, exporter, rights{uid: "65534", capabilities: "0000000000000000", seccomp: "2", noNewPrivs: "1"})
	n.checkReadOnly(t, exporter, "/run/oom_exporter")
	n.mustKubectl(t, "apply", "-f", n.manifest(t, "later.yaml"))
	later := victim{"later", "main", "later", 1, true}
	lab.Eventually(t, ready, "the kernel kills", func() bool { return log.Kills(t, later.process()) == 1 })
	lab.Eventually(t, late, "the kill is counted", func() bool { return later.counted(n.scrapePod(t, exporter)) == 1 })
	n.checkGauges(t, n.scrapePod(t, exporter))
}
