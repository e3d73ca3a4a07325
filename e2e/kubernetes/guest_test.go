// SPDX-License-Identifier: Apache-2.0

//go:build e2e && full

package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/guest"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// guestContainerd and guestKubelet are those of nodes with systemd: the runtime
// and kubelet let systemd make the groups.
const guestContainerd = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + lab.PauseImage + `"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
`

const guestKubelet = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/manifests
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: systemd
resolvConf: ""
readOnlyPort: 10255
address: 127.0.0.1
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
enforceNodeAllocatable: [pods]
systemReserved: {memory: %dMi}
evictionHard: {memory.available: 1Mi, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
imageGCHighThresholdPercent: 100
fileCheckFrequency: 1s
`

const (
	guestMiB     = 1536
	guestPodsMiB = 320 // of all pods together.
)

// guestVictims are the containers of testdata/guest.yaml that the kernel kills in.
var guestVictims = []victim{
	{"guaranteed-" + nodeName, "main", "guar", 1, false},
	{"burstable-" + nodeName, "main", "burst", 1, false},
	{"besteffort-" + nodeName, "main", "best", 1, false},
	{"group-" + nodeName, "main", "group", 2, false},
}

// TestGuest does it where memory is on cgroup v2 and systemd makes the groups:
// a node of kubelet and containerd in a virtual machine. It has no API server,
// which would take an emulated machine several minutes more, so that its pods
// are static. It takes minutes on a busy machine, so that only make e2e-full has
// it.
func TestGuest(t *testing.T) {
	lab.Root(t)
	vm := guest.Run(t, guest.Options{
		Kernel: guest.K61, Cgroup: 2, MemoryMB: guestMiB, Timeout: 6 * time.Minute, Script: guestScript(t), Files: guestFiles(t),
		Packages: []string{"systemd", "mount", "containerd", "runc"},
	})
	r := guestResults{systemd: vm.Await(t, "systemd"), vm: vm}
	vm.Await(t, "kubelet")
	r.exporter = r.awaitKills(t)
	vm.Tell(t, "unit")
	unit := []string{"namespace", "", "pod", "", "container", "memhog.service"}
	lab.Eventually(t, ready, "the kill in a service is counted", func() bool {
		r.exporter = lab.Scrape(t, vm.URL())
		return r.exporter.Sum("oom_container_kills_total", unit...) == 1
	})
	checkGuestGauges(t, r.exporter)
	vm.Tell(t, "save")
	vm.Wait(t)
	r.compare(t)
	r.write(t)
}

func guestScript(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/guest.sh")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// guestFiles are the images, the programs and the configuration of the node.
func guestFiles(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"/oom/kubelet": binaries(t) + "/kubelet"}
	put := func(name, text string) {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files[name] = path
	}
	put("/etc/containerd/config.toml", guestContainerd)
	put("/oom/kubelet.yaml", fmt.Sprintf(guestKubelet, guestMiB-guestPodsMiB))
	for name, image := range map[string]lab.Image{"hog": lab.HogImage(t), "pause": lab.Pause(t)} {
		file := filepath.Join(dir, name+".tar")
		image.Write(t, file)
		files["/oom/"+name+".tar"] = file
	}
	b, err := os.ReadFile("testdata/guest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, doc := range strings.Split(string(b), "\n---\n") { // kubelet takes one a file.
		put(fmt.Sprintf("/oom/pods/%d.yaml", i), doc)
	}
	return files
}

// awaitKills waits until the exporter has counted all kills, and the containers
// beside the victims have started.
func (r guestResults) awaitKills(t *testing.T) lab.Metrics {
	t.Helper()
	var m lab.Metrics
	tick := time.NewTicker(2 * time.Second) // an emulated machine has better things to do.
	defer tick.Stop()
	lab.Eventually(t, 5*time.Minute, "all kills are counted, and the other containers run", func() bool {
		<-tick.C
		m = lab.Scrape(t, r.vm.URL())
		for _, v := range guestVictims {
			calm := []string{"namespace", shop, "pod", v.pod, "container", "calm"}
			if v.counted(m) < v.kills || m.Sum("oom_container_memory_anon_bytes", calm...) < 8<<20 {
				return false
			}
		}
		return m.Value(t, "oom_pending_kills") == 0
	})
	return m
}

// checkGuestGauges looks at what lives still, each QoS class by its name.
func checkGuestGauges(t *testing.T, m lab.Metrics) {
	t.Helper()
	for _, qos := range []string{"guaranteed", "burstable", "besteffort"} {
		labels := []string{"namespace", shop, "pod", qos + "-" + nodeName, "container", "calm"}
		if got := m.Value(t, "oom_container_memory_anon_bytes", labels...); got < 8<<20 || got > 16<<20 {
			t.Errorf("%s: anon is %.0f, want a little more than 8 MiB", qos, got)
		}
		if !m.Has("oom_container_info", append(labels, "qos", qos, "runtime", "containerd")...) {
			t.Errorf("%s: the info is %v", qos, m.Find("oom_container_info", labels...))
		}
		if m.Value(t, "oom_container_oom_score_adj_mismatch", labels...) != 0 {
			t.Errorf("%s: oom_score_adj is not what kubelet sets", qos)
		}
	}
	if m.Has("oom_container_memory_usage_bytes", "container", "POD") {
		t.Error("sandboxes have gauges")
	}
}
