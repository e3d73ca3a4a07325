// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package containers_test

import (
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// The workloads that the tenants of this test try to pass for.
const (
	shop      = "e2e-spoofed" // the namespace.
	database  = "e2e-postgres"
	unit      = "e2e-billing.service"
	tenants   = "e2e-tenants"
	appID     = "a1a1a1a1a1a10000000000000000000000000000000000000000000000000001"
	deadID    = "d2d2d2d2d2d20000000000000000000000000000000000000000000000000002"
	dbID      = "b3b3b3b3b3b30000000000000000000000000000000000000000000000000003"
	shellID   = "5454545454540000000000000000000000000000000000000000000000000004"
	boxID     = "6565656565650000000000000000000000000000000000000000000000000005"
	appUID    = "5d5b6a3e-e2e1-4d0f-9b0a-2b8f5c1d7e9f"
	goneUID   = "99999999-e2e1-6071-8293-a4b5c6d7e8f9"
	shellUID  = "0a1b2c3d-e2e1-6071-8293-a4b5c6d7e8f9"
	small     = 8 * mib
	ownKills  = 1 // that each victim has before.
	userUnits = "user.slice/user-1000.slice/user@1000.service"
)

// spoof is the stage: an exporter, and victims that have one kill each.
type spoof struct {
	*lab.Exporter
	root    string // of all groups of the test in the hierarchy.
	victims []victimRow
}

// victimRow is a workload with what its series must stay at.
type victimRow struct {
	labels []string
	gone   bool
}

// place is where a tenant may make groups, and the labels of all that it
// makes there; without any, they are labels that begin with own.
type place struct {
	what, at string
	inner    string // where in it the groups are made.
	labels   []string
	own      string
}

// TestSpoofing makes groups with other people's names, with a limit of their
// own and a kill in each, in all the places where tenants may make groups.
func TestSpoofing(t *testing.T) {
	lab.Root(t)
	s := setSpoofStage(t)
	before := s.Scrape(t)
	rows := []string{}
	for _, p := range s.places() {
		t.Run(p.what, func(t *testing.T) { rows = append(rows, s.attack(t, p)) })
	}
	lab.Eventually(t, late, "no kill waits for evidence", func() bool { return s.Scrape(t).Sum("oom_pending_kills") == 0 })
	s.checkVictims(t, before, s.Scrape(t))
	writeSpoofEvidence(t, rows)
}

func setSpoofStage(t *testing.T) *spoof {
	t.Helper()
	s := &spoof{root: fmt.Sprintf("/oom-e2e-%d/spoof", os.Getpid())}
	rootfs := t.TempDir()
	for file, text := range map[string]string{
		"var/log/containers/app-0_" + shop + "_app-" + appID + ".log":         "",
		"var/log/containers/app-0_" + shop + "_dead-" + deadID + ".log":       "",
		"var/log/containers/mine-0_" + tenants + "_shell-" + shellID + ".log": "",
		"var/log/pods/" + shop + "_app-0_" + appUID + "/app/0.log":            "",
		"var/log/pods/" + shop + "_gone-0_" + goneUID + "/app/0.log":          "",
		"var/log/pods/" + tenants + "_mine-0_" + shellUID + "/shell/0.log":    "",
		"var/lib/docker/containers/" + dbID + "/config.v2.json":               `{"Name":"/` + database + `"}`,
		"var/lib/docker/containers/" + boxID + "/config.v2.json":              `{"Name":"/e2e-box"}`,
		"home/containers/overlay-containers/containers.json":                  `[{"id":"` + dbID + `","names":["` + database + `"]}]`,
	} {
		file = filepath.Join(rootfs, file)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(text), 0o644))
	}
	pod := s.root + "/kubepods/burstable/pod" + appUID
	s.Exporter = lab.StartExporter(t, "--path.rootfs="+rootfs, "--podman.rootless-root="+rootfs+"/home/containers", "--dead.age=1h")
	s.victim(t, pod+"/"+appID, "namespace", shop, "pod", "app-0", "container", "app")
	s.victim(t, s.root+"/docker/"+dbID, "namespace", "", "pod", "", "container", database)
	s.victim(t, s.root+"/system.slice/"+unit, "namespace", "", "pod", "", "container", unit)
	dead := s.victim(t, pod+"/"+deadID, "namespace", shop, "pod", "app-0", "container", "dead")
	s.victims[len(s.victims)-1].gone = true
	lab.Eventually(t, late, "the kills of the victims are counted", func() bool {
		m := s.Scrape(t)
		return !slices.ContainsFunc(s.victims, func(v victimRow) bool { return m.Sum("oom_container_kills_total", v.labels...) != ownKills })
	})
	for _, pid := range dead.pids(t) {
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	lab.Eventually(t, late, "the dead is removed", func() bool { return os.Remove(dead.File("")) == nil })
	lab.Eventually(t, late, "the dead has no memory any more", func() bool {
		return !s.Scrape(t).Has("oom_container_memory_usage_bytes", s.victims[len(s.victims)-1].labels...)
	})
	return s
}

type victimGroup struct{ *lab.Group }

func (g victimGroup) pids(t *testing.T) (pids []int) {
	t.Helper()
	b, err := os.ReadFile(g.File("cgroup.procs"))
	must(t, err)
	for line := range strings.FieldsSeq(string(b)) {
		var pid int
		if _, err := fmt.Sscan(line, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// victim makes a workload with a child that the kernel has killed.
func (s *spoof) victim(t *testing.T, at string, labels ...string) victimGroup {
	t.Helper()
	g := lab.NewGroup(t, at, limit)
	lab.StartHog(t, g, "anon:4M", "fork:1", "anon:200M")
	s.victims = append(s.victims, victimRow{labels: labels})
	return victimGroup{g}
}

func (s *spoof) places() []place {
	in := func(namespace, pod, container string) []string {
		return []string{"namespace", namespace, "pod", pod, "container", container}
	}
	shell := in(tenants, "mine-0", "shell")
	manager := "user@1000.service/"
	return []place{
		{what: "a pod's container", at: "kubepods/besteffort/pod" + shellUID + "/" + shellID, labels: shell},
		{what: "a pod's container, further down", at: "kubepods/besteffort/pod" + shellUID + "/" + shellID, inner: "docker/x", labels: shell},
		{what: "a Docker container", at: "docker/" + boxID, labels: in("", "", "e2e-box")},
		{what: "an LXC container", at: "lxc.payload.e2e-lxc", inner: "lxc", labels: in("", "", "e2e-lxc")},
		{what: "an nspawn machine", at: "machine.slice/machine-e2ebox.scope", inner: "payload", labels: in("", "", "e2ebox")},
		{what: "a Slurm job", at: "system.slice/slurmstepd.scope/s5K1KKYAYG5D00", inner: "step_0/user/task_0", labels: in("", "", s.root+"/system.slice/slurmstepd.scope/s5K1KKYAYG5D00")},
		{what: "a user's manager", at: userUnits, own: manager},
		{what: "a user's app.slice", at: userUnits + "/app.slice", own: manager},
		{what: "a user's session", at: "user.slice/user-1000.slice/session-4.scope", own: manager},
		{what: "a user's unit", at: userUnits + "/app.slice/e2e-x.service", own: manager},
	}
}

// spoofedNames are the names of the victims in the spelling of each runtime and
// driver.
func spoofedNames() []string {
	under := strings.ReplaceAll(appUID, "-", "_")
	slice := "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under + ".slice/"
	names := []string{
		"kubepods/burstable/pod" + appUID + "/postgres", "kubepods-burstable-pod" + under + ".slice/postgres",
		"kubepods-burstable-pod" + under + ".slice/cri-containerd-" + appID + ".scope", "pod" + appUID + "/" + appID,
		"kubepods/pod" + goneUID + "/" + deadID, "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + strings.ReplaceAll(goneUID, "-", "_") + ".slice/app",
		"kubepods-burstable-pod" + under + ".slice:cri-containerd:" + appID, unit, "system.slice/" + unit, "lxc.payload." + unit, "lxc.payload." + database,
		"lxc/" + database, "machine-" + database + ".scope", "machine.slice/machine-" + database + ".scope", "systemd-nspawn@" + database + ".service", "default/" + database,
		"slurmstepd.scope/job_1", "lxc.payload.e2e-lxc",
	}
	for _, id := range []string{appID, deadID, dbID} {
		for _, spelling := range []string{"%s", "docker/%s", "docker-%s.scope", "libpod-%s.scope", "libpod-conmon-%s.scope", "crio-%s.scope", "crio-conmon-%s.scope", "nerdctl-%s.scope", "kata_%s", "system.slice:docker:%s"} {
			names = append(names, fmt.Sprintf(spelling, id))
		}
		names = append(names, slice+"cri-containerd-"+id+".scope", "kubepods/burstable/pod"+appUID+"/"+id)
	}
	return names
}

// attack makes all the groups in one place, has a kill in each, and looks at
// what the exporter says of the victims meanwhile and then.
func (s *spoof) attack(t *testing.T, p place) (row string) {
	t.Helper()
	before := s.Scrape(t)
	at := path.Join(s.root, p.at)
	lab.NewGroup(t, at, limit)
	names := spoofedNames()
	foreign := 0
	for i, name := range names {
		g := lab.NewGroup(t, path.Join(at, p.inner, name), small)
		hog := lab.StartHog(t, g, "anon:16M")
		if !hog.Wait(t, time.Minute).Signaled() {
			t.Fatalf("nobody was killed in %s", g.Path)
		}
		if i%8 == 0 {
			foreign += s.checkVictims(t, before, s.Scrape(t))
		}
	}
	counted := 0
	lab.Eventually(t, 2*late, fmt.Sprintf("%d kills count for %s", len(names), p.what), func() bool {
		m := s.Scrape(t)
		counted = s.counted(m, p) - s.counted(before, p)
		return counted >= len(names)
	})
	s.vanish(t, path.Join(at, p.inner), names)
	after := s.Scrape(t)
	foreign += s.checkVictims(t, before, after)
	if p.labels != nil && after.Value(t, "oom_container_memory_limit_bytes", p.labels...) != limit {
		t.Errorf("the tenant's own limit has changed")
	}
	return fmt.Sprintf("| %s | `%s` | %d | %d | %s | %d |", p.what, path.Join(p.at, p.inner), len(names), counted, p.counts(), foreign)
}

// vanish makes groups with a kill that are gone before any scan can see them, so
// that nothing but their path in the kernel's log tells who they were.
func (s *spoof) vanish(t *testing.T, at string, names []string) {
	t.Helper()
	for i := 0; i < len(names); i += 6 {
		g := lab.NewGroup(t, path.Join(at, "gone", names[i]), small)
		lab.StartHog(t, g, "anon:16M").Wait(t, time.Minute)
		must(t, os.Remove(g.File("")))
	}
}

func (p place) counts() string {
	if p.labels != nil {
		return strings.Trim(strings.Join([]string{p.labels[1], p.labels[3], path.Base(p.labels[5])}, "/"), "/")
	}
	return p.own + "..., its path"
}

// counted adds up the kills of the tenant.
func (s *spoof) counted(m lab.Metrics, p place) (kills int) {
	if p.labels != nil {
		return int(m.Sum("oom_container_kills_total", p.labels...))
	}
	for _, series := range m.Find("oom_container_kills_total", "namespace", "", "pod", "") {
		name := lab.Label(series, "container")
		if strings.HasPrefix(name, p.own) || name == "session.scope" || strings.HasPrefix(name, s.root+"/user.slice/") {
			kills += int(lab.Number(series))
		}
	}
	return kills
}

// checkVictims looks for series that changed, and for labels that are nobody's
// but a victim's. It returns how many there are.
func (s *spoof) checkVictims(t *testing.T, before, now lab.Metrics) (foreign int) {
	t.Helper()
	fault := func(format string, args ...any) {
		t.Helper()
		foreign++
		t.Errorf(format, args...)
	}
	for _, v := range s.victims {
		if got := now.Sum("oom_container_kills_total", v.labels...); got != ownKills {
			fault("%v has %.0f kills", v.labels, got)
		}
		if v.gone {
			if now.Has("oom_container_memory_usage_bytes", v.labels...) {
				fault("the dead %v has memory", v.labels)
			}
			continue
		}
		if got := now.Sum("oom_container_memory_limit_bytes", v.labels...); got != limit {
			fault("%v has a limit of %.0f", v.labels, got)
		}
		for family, slack := range map[string]float64{
			// The kernel charges and uncharges in batches, for itself too.
			"oom_container_memory_usage_bytes": mib, "oom_container_processes": 0, "oom_container_limit_hits_total": 0,
		} {
			if was, is := before.Sum(family, v.labels...), now.Sum(family, v.labels...); math.Abs(is-was) > slack {
				fault("%s of %v was %.0f and is %.0f", family, v.labels, was, is)
			}
		}
	}
	for name, family := range now {
		for _, series := range family.GetMetric() {
			if s.isForeign(series) && !hasSeries(before, name, series) {
				fault("%s%v is new", name, series.GetLabel())
			}
		}
	}
	return foreign
}

// isForeign tells whether the series has a label by which only a victim goes.
func (s *spoof) isForeign(series *dto.Metric) bool {
	if lab.Label(series, "namespace") == shop {
		return true
	}
	switch lab.Label(series, "pod") {
	case appUID, goneUID:
		return true
	}
	switch lab.Label(series, "container") {
	case database, unit, appID[:12], deadID[:12], dbID[:12]:
		return true
	}
	return false
}

func hasSeries(m lab.Metrics, family string, series *dto.Metric) bool {
	labels := []string{}
	for _, pair := range series.GetLabel() {
		labels = append(labels, pair.GetName(), pair.GetValue())
	}
	return m.Has(family, labels...)
}

const spoofHead = `# Groups that go by other people's names

Tenants who may make cgroups make some that are called like other people's pods, containers and units, in the spelling of each runtime and
driver, with ids and UIDs of the living and of the dead; each has a limit of 8 MiB and one process that is killed by it. *groups* is how many
were made in that place, *counted* how many kills the exporter counted and for whom: every sixth group is made once more and removed right after its
kill, which is counted for the tenant where the kernel's log names the group (it prints ten reports in 5 s) and for nobody otherwise. *foreign* is how many times a victim's series
(limit, usage, processes, limit hits, kills) was another than before (usage: by more than 1 MiB of 4), or a series appeared with a label by which only a victim goes, in a scrape
after every eighth group and after the last. The victims are a container of a pod, one of that pod that is gone, a Docker container, and a systemd unit, each with one kill of its own.

Written by ` + "`go test -tags e2e -run TestSpoofing ./e2e/containers`" + ` with OOM_E2E_EVIDENCE set.

`

func writeSpoofEvidence(t *testing.T, rows []string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(spoofHead)
	fmt.Fprintf(&b, "Linux %s, cgroup v%d, %s.\n\n", release(t), lab.MemoryHierarchy(t).Version, time.Now().UTC().Format(time.DateOnly))
	b.WriteString("| below | path | groups | counted | for | foreign |\n|---|---|---|---|---|---|\n")
	b.WriteString(strings.Join(rows, "\n") + "\n")
	t.Log(b.String())
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		must(t, os.WriteFile(filepath.Join(dir, "spoofing.md"), []byte(b.String()), 0o644))
	}
}
