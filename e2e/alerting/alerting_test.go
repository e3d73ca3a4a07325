// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package alerting

import (
	"crypto/sha256"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	namespace = "e2e-alerting"
	mib       = 1 << 20
	limit     = 64 * mib
	// slack is for a busy machine: processes that wait for a CPU.
	slack = 5 * time.Second
)

// workload is a container, and the pod that it is in.
type workload struct {
	namespace, pod, container, qos string
	podLimit, limit                int64
	restarts                       int
}

// container is a workload with a pod of its own.
func container(name string) workload {
	return workload{namespace: namespace, pod: name, container: name, qos: "burstable", podLimit: 2 * limit, limit: limit}
}

// group makes the groups of the pod and the container below kubepods, as kubelet
// would have them, and the log files that tell their names.
func (w workload) group(t *testing.T, kubepods, rootfs string) *lab.Group {
	t.Helper()
	sum := sha256.Sum256([]byte(w.namespace + "/" + w.pod))
	uid := fmt.Sprintf("%x-%x-4000-8000-%x", sum[:4], sum[4:6], sum[6:12])
	id := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, w)))
	put(t, filepath.Join(rootfs, "var/log/pods", w.namespace+"_"+w.pod+"_"+uid, w.container, strconv.Itoa(w.restarts)+".log"), "")
	put(t, filepath.Join(rootfs, "var/log/containers", w.pod+"_"+w.namespace+"_"+w.container+"-"+id+".log"), "")
	parent := path.Join(kubepods, w.qos)
	if w.qos == "guaranteed" {
		parent = kubepods
	}
	pod := lab.NewGroup(t, parent+"/pod"+uid, w.podLimit)
	return lab.NewGroup(t, pod.Path+"/"+id, w.limit)
}

// ownLimit is how a notification says that a container's own limit ran out.
var ownLimit = regexp.MustCompile(`The OOM killer killed \S+ in \S+ on .*The limit that ran out: container\. It is 64MiB\. The process had \d+`)

// TestPages tells that a kill pages and the page ends (after five minutes: only
// with OOM_E2E_FULL), that a leak pages before it is killed, that page cache
// never does, that a rollout changes nothing, and that every query of the
// dashboards and rules has something to show.
func TestPages(t *testing.T) {
	lab.Root(t)
	rootfs := t.TempDir()
	lab.NewGroup(t, "kubepods", 16*limit)
	killed := container("killed").group(t, "kubepods", rootfs)
	spare := []*lab.Group{container("spare").group(t, "kubepods", rootfs), container("other").group(t, "kubepods", rootfs)}
	outage := container("outage").group(t, "kubepods", rootfs)
	leaking := container("leaking").group(t, "kubepods", rootfs)
	cache := container("cache").group(t, "kubepods", rootfs)
	guarded := container("guarded").group(t, "kubepods", rootfs)
	s := start(t, rootfs, namespace)

	file := filepath.Join(t.TempDir(), "cache")
	// kubelet would have given a burstable container less.
	filled := lab.StartHog(t, cache, "adj:1000", "anon:8M", "file:100M:"+file, "map:56M:"+file, "stop")
	filled.WaitStopped(t)
	lab.Eventually(t, time.Minute, "Prometheus has scraped what runs", func() bool {
		return len(s.ask(t, `up == 1`)) == 2 && s.one(t, `oom_container_kills_total{container="killed"}`) == "0"
	})
	second := s.startIncidents(t)
	lab.Eventually(t, time.Minute, "the second Prometheus has scraped what runs", func() bool {
		return second.one(t, `oom_container_kills_total{container="outage"}`) == "0" && len(second.ask(t, `kube_node_info`)) == 2
	})
	second.stop(t)
	missed := s.kill(t, outage)
	at := s.kill(t, killed)
	first := s.page(t, "OOMContainerKilled", "killed")
	t.Log(first.text)
	delay := s.pageDelay(t, first.at.Sub(at), spare)
	// Nine tenths of the limit at once, then 64 KiB a second: about 100 s more.
	leak := lab.StartHog(t, leaking, "anon:58700K", "say:leaking", "rate:64K", "anon:64M")
	leak.WaitLine(t, "leaking")
	if !full() {
		second.restart(t, missed)
	}
	if first.labels["namespace"] != namespace || first.labels["pod"] != "killed" || first.labels["instance"] != nodeName || !ownLimit.MatchString(first.text) {
		t.Errorf("the page is about %v: %s", first.labels, first.text)
	}

	warned := s.page(t, "OOMContainerNearLimit", "leaking")
	if first.to != "chat" || warned.to != "chat" {
		t.Errorf("a kill goes to %q and a limit that is near to %q; README says to a chat", first.to, warned.to)
	}
	t.Log(warned.text)
	if leak.Ended() {
		t.Error("the leak was killed before it paged")
	}
	var told time.Time
	if !full() {
		told = second.check(t, s.pages)
	}
	s.replaceExporter(t)
	s.guardActs(t, guarded)
	leak.Wait(t, 5*time.Minute)
	if full() { // the leak does not wait for so long.
		second.restart(t, missed)
		told = second.check(t, s.pages)
	}
	ends := time.Duration(0)
	if full() {
		var end page
		lab.Eventually(t, 12*time.Minute, "the page of the kill ends", func() (ok bool) {
			end, ok = s.pages.find("resolved", "OOMContainerKilled", "killed")
			return ok
		})
		ends = end.at.Sub(at)
		s.guardActs(t, guarded)
	}
	// A fresh kill, so that what shows recent ones has one to show.
	s.kill(t, killed)
	lead := s.lastKill(t, "leaking").Sub(warned.at)
	lab.Eventually(t, time.Minute, "Prometheus and its rules have the second kill", func() bool {
		return s.one(t, `oom_container_kills_total{container="killed"}`) == "2" && len(s.ask(t, `container:oom_container_killed:recent{container="killed"}`)) > 0
	})
	queries := s.tryQueries(t)
	if pages := s.pages.about("cache"); len(pages) > 0 {
		t.Errorf("page cache paged: %+v", pages)
	}
	if u := cache.ReadMemory(t); u.Usage < limit*8/10 || filled.Ended() {
		t.Errorf("the cache takes %d bytes only, so that it proves nothing", u.Usage)
	}
	evidence(t, delay, second.down, told.Sub(second.back), ends, lead, len(s.pages.about("cache")), queries)
}

// pageDelay is how long after a kill its page comes. One that is late, maybe for
// what else the machine did, is measured again by kills in other containers.
func (s *stack) pageDelay(t *testing.T, delay time.Duration, spare []*lab.Group) time.Duration {
	t.Helper()
	const allowed = 2*interval + groupWait + slack
	for i, g := range spare {
		if delay <= allowed {
			return delay
		}
		t.Logf("the page came %v after the kill", delay)
		at := s.kill(t, g)
		delay = s.page(t, "OOMContainerKilled", []string{"spare", "other"}[i]).at.Sub(at)
	}
	if delay > allowed {
		t.Errorf("the page came %v after the kill, and no sooner before, want at most %v", delay, allowed)
	}
	return delay
}

// kill has the kernel kill in the group, and returns when it had.
func (s *stack) kill(t *testing.T, g *lab.Group) time.Time {
	t.Helper()
	lab.StartHog(t, g, "anon:128M").Wait(t, time.Minute)
	return time.Now()
}

// page waits for the page about a container.
func (s *stack) page(t *testing.T, alert, container string) (found page) {
	t.Helper()
	lab.Eventually(t, 3*time.Minute, alert+" pages", func() (ok bool) {
		found, ok = s.pages.find("firing", alert, container)
		return ok
	})
	return found
}

// lastKill is the kernel's time of the last kill in a container.
func (s *stack) lastKill(t *testing.T, container string) time.Time {
	t.Helper()
	var at time.Time
	lab.Eventually(t, time.Minute, "Prometheus has the kill of "+container, func() bool {
		seconds, err := strconv.ParseFloat(s.one(t, `oom_container_last_kill_timestamp_seconds{container="`+container+`"}`), 64)
		at = time.UnixMilli(int64(seconds * 1000))
		return err == nil
	})
	return at
}
