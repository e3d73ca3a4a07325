// SPDX-License-Identifier: Apache-2.0

//go:build e2e && pictures

package alerting

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// actor is a container of the scene, or another start of one.
type actor struct {
	at time.Duration
	workload
	steps []string
}

// scene is what happens on the node. Every process has a higher oom_score_adj
// than others on the host, as kubelet would give it one.
func scene(files string) []actor {
	file := func(size int, name string) string {
		return fmt.Sprintf("file:%dM:%s", size, filepath.Join(files, name))
	}
	hot := func(size int, name string) string { return fmt.Sprintf("map:%dM:%s", size, filepath.Join(files, name)) }
	pod := func(at time.Duration, qos, namespace, pod, container string, podLimit, limit int64, steps ...string) actor {
		return actor{at, workload{namespace: namespace, pod: pod, container: container, qos: qos, podLimit: podLimit * mib, limit: limit * mib}, steps}
	}
	var all []actor
	for i, at := range []time.Duration{0, 80 * time.Second, 160 * time.Second} {
		cache := fmt.Sprint("web", i)
		all = append(all, pod(at, "burstable", "shop", "web-7d4f9-x2", "app", 112, 80, "comm:java", "adj:934", "anon:26M", file(24, cache), hot(24, cache), hot(24, cache), "rate:1M", "anon:80M"))
	}
	return append(all,
		pod(0, "burstable", "shop", "web-7d4f9-x2", "envoy", 112, 64, "comm:envoy", "adj:971", "anon:18M"),
		pod(0, "burstable", "shop", "web-7d4f9-q8", "app", 112, 80, "comm:java", "adj:934", "anon:33M"),
		pod(0, "burstable", "shop", "cart-5c9b7-k8", "cart", 104, 96, "comm:node", "adj:962", "anon:48M"),
		pod(0, "burstable", "shop", "cart-5c9b7-k8", "exporter", 104, 64, "comm:sidecar", "adj:983", "anon:8M", "rate:400K", "anon:56M"),
		pod(0, "guaranteed", "shop", "db-0", "postgres", 192, 192, "comm:postgres", "adj:900", "anon:40M", "shmem:16M", file(200, "db"), hot(130, "db")),
		pod(0, "burstable", "shop", "cache-0", "redis", 128, 128, "comm:redis-server", "adj:950", "anon:70M"),
		pod(0, "burstable", "batch", "report-28xq4", "worker", 128, 96, "comm:gunicorn", "adj:944", "anon:20M", "fork:3", "comm:worker", "sleep:20000", "rate:1M", "anon:120M"),
		pod(0, "besteffort", "batch", "etl-5kd8p", "loader", 128, 128, "comm:python3", "adj:1000", "anon:106M", "rate:48K", "anon:9M"),
		pod(0, "burstable", "batch", "index-0", "indexer", 160, 160, "comm:java", "adj:925", "anon:88M", file(30, "index")),
		pod(20*time.Second, "burstable", "batch", "thumbs-9f6c", "convert", 96, 96, "comm:convert", "adj:958", "rate:4M", "anon:200M"),
		pod(0, "burstable", "monitoring", "agent-x7k2", "agent", 96, 96, "comm:agent", "adj:977", "anon:34M", file(30, "agent")),
		pod(0, "burstable", "monitoring", "logs-m4tt", "fluent-bit", 64, 64, "comm:fluent-bit", "adj:986", "anon:24M"))
}

// play runs the scene for as long as the pictures show.
func play(t *testing.T) *stack {
	t.Helper()
	rootfs := t.TempDir()
	actors := scene(t.TempDir())
	lab.NewGroup(t, "/kubepods", 2<<30)
	guarded := workload{namespace: "shop", pod: "guarded", container: "import", qos: "burstable", podLimit: 2 * limit, limit: limit}
	all := map[workload]*lab.Group{guarded: guarded.group(t, "/kubepods", rootfs)}
	for _, a := range actors {
		if all[a.workload] == nil {
			all[a.workload] = a.group(t, "/kubepods", rootfs)
		}
	}
	s := start(t, rootfs, "shop|batch|monitoring", "--process.top=10")
	begun, runs := time.Now(), map[workload]*lab.Process{}
	until := func(at time.Duration) {
		lab.Eventually(t, span, "the next act", func() bool { return time.Since(begun) >= at })
	}
	for at := time.Duration(0); at < span; at += 5 * time.Second {
		until(at)
		for _, a := range actors {
			if a.at != at {
				continue
			}
			if last := runs[a.workload]; last != nil { // kubelet removes what is dead.
				last.Wait(t, time.Minute)
				dead := all[a.workload].File("")
				lab.Eventually(t, 5*time.Second, dead+" is removed", func() bool { return os.Remove(dead) == nil })
				again := a.workload
				again.restarts = int(at.Seconds())
				all[a.workload] = again.group(t, "/kubepods", rootfs)
			}
			runs[a.workload] = lab.StartHog(t, all[a.workload], a.steps...)
		}
		if at == 130*time.Second {
			s.guardActs(t, all[guarded])
		}
	}
	until(span + 10*time.Second)
	t.Logf("\n%s", lab.Command(t, lab.Binary(t), "top", "--once", "--path.rootfs="+rootfs, "--filter=shop"))
	return s
}
