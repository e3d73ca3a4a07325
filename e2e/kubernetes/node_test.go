// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const nodeName = "e2e-node"

// node is a cluster of one real node: etcd, the control plane, kubelet and
// containerd, all with directories below root and in one network namespace.
type node struct {
	netns
	root, bin  string
	containerd *lab.Containerd
}

// startNode brings the cluster up; the end of the test takes it down.
func startNode(t *testing.T) *node {
	t.Helper()
	lab.Root(t)
	lab.OwnGroup(t, "kubepods")
	t.Cleanup(func() { lab.KillGroup("kubepods") })
	lab.Vacate(t, "/var/lib/kubelet")
	keepSysctls(t)
	keepLogs(t)
	n := &node{bin: binaries(t), root: lab.PrivateRoot(t)}
	etcd := lab.Debian(t, "etcd-server") + "/usr/bin/etcd"
	n.netns = newNetns(t)
	cni := n.write(t, "cni/10-e2e.conflist", fmt.Sprintf(bridge, n.root, podCIDR))
	n.containerd = lab.StartContainerd(t, lab.ContainerdOptions{Root: n.root, Netns: n.path, CNI: filepath.Dir(cni)})
	n.start(t, "etcd", "http://127.0.0.1:2379/health", etcd, "--data-dir="+n.root+"/etcd", "--unsafe-no-fsync",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn")
	n.startControlPlane(t)
	n.startKubelet(t)
	lab.Eventually(t, ready, "the node is Ready, and a service account is there", func() bool {
		out, _ := n.kubectl("get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		_, err := n.kubectl("get", "serviceaccount", "default")
		return out == "True" && err == nil
	})
	return n
}

// bridge connects the pods to the node, and to nothing else.
const bridge = `{"cniVersion": "0.4.0", "name": "e2e", "plugins": [{
  "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "dataDir": "%[1]s/ipam", "ranges": [[{"subnet": "%[2]s"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`

// tokens are the users of the cluster, by kubeconfig.
const tokens = `admin-token,admin,admin,system:masters
kubelet-token,system:node:` + nodeName + `,kubelet,system:nodes
controller-manager-token,system:kube-controller-manager,kcm
scheduler-token,system:kube-scheduler,scheduler
`

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://%[1]s:443", certificate-authority: %[2]s/pki/apiserver.crt}}]
users: [{name: user, user: {token: %[3]s-token}}]
contexts: [{name: e2e, context: {cluster: e2e, user: user}}]
current-context: e2e
`

// controllers are those that our objects need.
const controllers = "serviceaccount-controller,root-ca-certificate-publisher-controller,daemonset-controller,namespace-controller," +
	"clusterrole-aggregation-controller,node-lifecycle-controller,garbage-collector-controller,pod-garbage-collector-controller"

func (n *node) startControlPlane(t *testing.T) {
	t.Helper()
	key := n.serviceAccountKey(t)
	n.start(t, "kube-apiserver", "", n.bin+"/kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=443", "--bind-address=0.0.0.0", "--advertise-address="+nodeIP, "--cert-dir="+n.root+"/pki",
		"--service-cluster-ip-range=10.96.0.0/24", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--token-auth-file="+n.write(t, "tokens.csv", tokens), "--authorization-mode=Node,RBAC",
		"--kubelet-preferred-address-types=InternalIP", "--profiling=false")
	for _, user := range []string{"admin", "kubelet", "controller-manager", "scheduler"} {
		n.write(t, user+".kubeconfig", fmt.Sprintf(kubeconfig, serviceIP, n.root, user))
	}
	lab.Eventually(t, ready, "the API server is ready", func() bool {
		_, err := n.kubectl("get", "--raw", "/readyz")
		return err == nil
	})
	n.start(t, "kube-controller-manager", "", n.bin+"/kube-controller-manager", "--kubeconfig="+n.root+"/controller-manager.kubeconfig",
		"--service-account-private-key-file="+key, "--root-ca-file="+n.root+"/pki/apiserver.crt", "--use-service-account-credentials",
		"--leader-elect=false", "--secure-port=0", "--controllers="+controllers)
	n.start(t, "kube-scheduler", "", n.bin+"/kube-scheduler", "--kubeconfig="+n.root+"/scheduler.kubeconfig",
		"--leader-elect=false", "--secure-port=0")
}

// start runs a part of the cluster and waits until its URL answers, if it has one.
func (n *node) start(t *testing.T, name, url string, args ...string) {
	t.Helper()
	cmd := n.exec(args...)
	d := lab.StartDaemon(t, n.root, name, cmd)
	if url != "" {
		d.Await(t, name+" answers", func() bool { return n.ok(url) })
	}
}

// serviceAccountKey makes the key that signs tokens; the public one is in it.
func (n *node) serviceAccountKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	return n.write(t, "pki/sa.key", string(pem.EncodeToMemory(block)))
}

// write writes a file below the root.
func (n *node) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *node) client(program string, args ...string) *exec.Cmd {
	cmd := n.exec(append([]string{program}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+n.root+"/admin.kubeconfig", "HOME="+n.root)
	return cmd
}

func (n *node) kubectl(args ...string) (string, error) {
	out, err := n.client(n.bin+"/kubectl", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (n *node) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.kubectl(args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}
