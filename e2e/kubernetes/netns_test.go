// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

// Addresses inside the network namespace; outside they may be somebody's.
const (
	nodeIP    = "10.99.0.1"
	serviceIP = "10.96.0.1"
	podCIDR   = "10.244.0.0/24"
)

// netns is a network namespace with all of the cluster's addresses, so that
// nothing of it is to be seen on this host's network.
type netns struct{ path string }

func newNetns(t *testing.T) netns {
	t.Helper()
	lab.Need(t, "ip", "nsenter")
	const prefix = "oom-e2e-"
	left, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, path := range left {
		_, pid, _ := strings.Cut(path, prefix)
		if !lab.Exists("/proc/" + pid) { // that test could not clean up.
			lab.Quiet(t, "ip", "netns", "del", filepath.Base(path))
		}
	}
	name := fmt.Sprintf("%s%d", prefix, os.Getpid())
	lab.Command(t, "ip", "netns", "add", name)
	t.Cleanup(func() { lab.Quiet(t, "ip", "netns", "del", name) })
	n := netns{"/run/netns/" + name}
	n.command(t, "ip", "link", "set", "lo", "up")
	// kubelet wants a node's address to be on an interface that is no loopback.
	n.command(t, "ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1")
	for _, ip := range []string{nodeIP + "/24", serviceIP + "/32"} {
		n.command(t, "ip", "addr", "add", ip, "dev", "node0")
	}
	for _, link := range []string{"node0", "node1"} {
		n.command(t, "ip", "link", "set", link, "up")
	}
	return n
}

// args is a command line to run in the namespace. `ip netns exec` would do, but
// it hides /sys/fs/cgroup.
func (n netns) args(args ...string) []string {
	return append([]string{"nsenter", "--net=" + n.path}, args...)
}

func (n netns) exec(args ...string) *exec.Cmd {
	args = n.args(args...)
	return exec.Command(args[0], args[1:]...)
}

func (n netns) command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := n.exec(args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// client is an HTTP client inside the namespace.
func (n netns) client() *http.Client {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: n.dial}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// dial makes the socket on a thread that is in the namespace; sockets stay
// where they were made. The thread comes back: it may be the one that started
// a daemon, which would die with it.
func (n netns) dial(ctx context.Context, network, address string) (net.Conn, error) {
	there, err := os.Open(n.path)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // no thread may go on in the wrong place.
	}
	return conn, err
}

// ok tells whether the URL answers with success.
func (n netns) ok(url string) bool {
	_, err := lab.GetBy(n.client(), url)
	return err == nil
}

func (n netns) get(t *testing.T, url string) string {
	t.Helper()
	body, err := lab.GetBy(n.client(), url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (n netns) scrape(t *testing.T, url string) lab.Metrics {
	t.Helper()
	// cAdvisor's page has a comment that is none.
	return lab.ParseMetrics(t, strings.TrimSpace(n.get(t, url))+"\n")
}
