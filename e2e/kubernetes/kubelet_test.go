// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// ready is how long anything of the cluster may take on a busy machine.
const ready = 3 * time.Minute

// podsMiB is the limit of /kubepods: a pod without one is killed by that, and
// the node is never in danger.
const podsMiB = 1024

// kubeletConfig: what would disturb the machine is off, and a crash loop does
// not wait for minutes.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: %[1]s/manifests
volumePluginDir: %[1]s/volumeplugins
containerRuntimeEndpoint: unix://%[2]s
cgroupDriver: cgroupfs
oomScoreAdj: 0
failSwapOn: false
failCgroupV1: false
address: 0.0.0.0
port: 10250
readOnlyPort: 10255
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
enforceNodeAllocatable: [pods]
systemReserved: {memory: %[3]dMi}
evictionHard: {memory.available: 1Mi, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
imageGCHighThresholdPercent: 100
syncFrequency: 10s
fileCheckFrequency: 1s
nodeStatusUpdateFrequency: 4s
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 2s}
`

func (n *node) startKubelet(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	var total int
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &total); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"manifests", "volumeplugins"} {
		if err := os.MkdirAll(filepath.Join(n.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := n.write(t, "kubelet.yaml", fmt.Sprintf(kubeletConfig, n.root, n.containerd.Socket, total>>10-podsMiB))
	n.start(t, "kubelet", "http://127.0.0.1:10248/healthz", n.bin+"/kubelet", "--config="+config, "--root-dir="+n.root+"/kubelet",
		"--cert-dir="+n.root+"/pki", "--hostname-override="+nodeName, "--node-ip="+nodeIP,
		"--kubeconfig="+n.root+"/kubelet.kubeconfig", "--containerd="+n.containerd.Socket)
}

// keepSysctls puts back what kubelet sets for the whole machine. A file keeps
// the values, should this test not come to its end.
func keepSysctls(t *testing.T) {
	t.Helper()
	file := filepath.Join(lab.CacheDir(t), "sysctls."+bootID(t))
	before := map[string]string{}
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, &before); err != nil {
			t.Fatal(err)
		}
	} else {
		for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
			if b, err := os.ReadFile("/proc/sys/" + name); err == nil {
				before[name] = string(b)
			}
		}
		b, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for name, value := range before {
			if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
				t.Error(err)
			}
		}
		_ = os.Remove(file)
	})
}

func bootID(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// keepLogs removes what kubelet makes in its log directories, whose names can't
// be chosen; where another kubelet has its logs, the test is skipped.
func keepLogs(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"/var/log/containers", "/var/log/pods"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			ours := func(namespace string) bool { return strings.Contains("_"+e.Name(), "_"+namespace+"_") }
			if !ours(shop) && !ours(namespace) && !ours(pagesNamespace) {
				t.Skipf("needs %s for itself; another kubelet's logs are there", dir)
			}
		}
		there := lab.Exists(dir)
		t.Cleanup(func() {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
					t.Error(err)
				}
			}
			if !there {
				_ = os.Remove(dir)
			}
		})
	}
}
