// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

func TestSourcesInOrder(t *testing.T) {
	t.Parallel()
	first := &fakeSource{names: []found{isApp(idA, "app")}}
	second := &fakeSource{names: []found{
		{ID: idA, Image: "sha256:77", Workload: oom.Workload{Container: "k8s_app"}},
		{ID: idB, Sandbox: true, Workload: oom.Workload{Namespace: "default", Pod: "web-0", Container: "POD"}},
	}}
	third := &fakeSource{names: []found{
		{ID: idA, Image: "web:1", Runtime: "containerd", Workload: oom.Workload{Container: "zzz"}},
		{ID: idC, Image: "side:2", Workload: oom.Workload{Container: "si\nde"}},
	}}
	// The last is the quickest, then the slowest: what it says must not stay.
	for _, takes := range []time.Duration{0, 30 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			first.takes, second.takes, third.takes = 20*time.Millisecond, 10*time.Millisecond, takes
			n := newNamer(Options{}, []source{first, second, third})
			tree, _ := scan(n, pathA, pathB, pathC)
			expectRow(t, tree, pathA, "default|web-0|app")
			expectRow(t, tree, pathB, "default|web-0|POD")
			expectKind(t, tree, pathB, oom.KindSandbox)
			expectRow(t, tree, pathC, `default|web-0|si\x0ade`)
			if g := find(t, tree, pathA); g.Image != "web:1" || g.Runtime != "containerd" {
				t.Errorf("image %q, runtime %q", g.Image, g.Runtime)
			}
		})
	}
}

// Who may make groups must not get other people's names for them.
func TestImpostors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine := "/user.slice/user-1000.slice/user@1000.service/user.slice/"
		names := &fakeSource{names: []found{
			isApp(idA, "app"), isPod(podUID),
			{ID: idB, Workload: oom.Workload{Container: "db"}},
			{ID: idC, Rootless: true, Workload: oom.Workload{Container: "theirs"}},
		}}
		n := newNamer(Options{}, []source{names})
		tree, _ := scan(n,
			pathA, mine+"libpod-"+idA+".scope",
			"/system.slice/docker-"+idB+".scope/system.slice/docker-"+idB+".scope", "/evil/docker-"+idB+".scope",
			mine+"libpod-"+idC+".scope")
		expectRow(t, tree, pathA, "default|web-0|app")
		expectRow(t, tree, mine+"libpod-"+idA+".scope", "||"+mine+"libpod-*.scope")
		expectRow(t, tree, "/system.slice/docker-"+idB+".scope", "||db")
		expectRow(t, tree, "/evil/docker-"+idB+".scope", "||/evil/docker-*.scope")
		expectRow(t, tree, mine+"libpod-"+idC+".scope", "||user@1000.service/theirs")
		tree, _ = scan(n, "/docker/"+idC)
		if g := find(t, tree, "/docker/"+idC); !g.StandIn {
			t.Errorf("a user's name stands at %s: %q", g.Path, row(g))
		}
		if id, _ := n.Lookup("/evil/docker-" + idB + ".scope"); id.Workload.Container != "/evil/docker-*.scope" {
			t.Errorf("Lookup says %+v", id)
		}
		if id, known := n.Lookup("/system.slice/docker-" + idB + ".scope"); !known {
			t.Errorf("Lookup says %+v", id)
		}
	})
}

// A container of Docker's or Podman's may be called like one of kubelet's. It
// is one in the pod's own group only.
func TestNamesLikeKubelets(t *testing.T) {
	t.Parallel()
	const evil = "k8s_app_web-0_default_" + podUID + "_0"
	claims := func(id string) found {
		f, _ := parseKubernetesName(evil)
		f.ID, f.Runtime, f.Sandbox = id, runtimeDocker, id == idB
		return f
	}
	for _, first := range []string{pathA, "/docker/" + idB} {
		synctest.Test(t, func(t *testing.T) {
			n := newNamer(Options{}, []source{&fakeSource{names: []found{claims(idA), claims(idB), claims(idC)}}})
			scan(n, first)
			other := "/kubepods/pod" + podUID2 + "/" + idC
			tree, _ := scan(n, pathA, "/docker/"+idB, other)
			expectRow(t, tree, pathA, "default|web-0|app")
			expectRow(t, tree, podPath, "default|web-0|")
			if got := row(find(t, tree, "/docker/"+idB)); got != "||"+evil {
				t.Errorf("a container of Docker's is %q", got)
			}
			if got := row(find(t, tree, other)); got != "|"+podUID2+"|"+evil {
				t.Errorf("a container of another pod is %q", got)
			}
			expectKind(t, tree, "/docker/"+idB, oom.KindContainer)
			// Nor does it name a pod that has no name yet.
			tree, _ = scan(n, "/docker/"+idB, "/kubepods/pod"+podUID2)
			if got := row(find(t, tree, "/kubepods/pod"+podUID2)); got != "|"+podUID2+"|" {
				t.Errorf("another pod is %q", got)
			}
		})
	}
}

// Containers of one name in several places are several workloads.
func TestNamesByTerritory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		user := "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idC + ".scope"
		named := func(id, name string) found { return found{ID: id, Workload: oom.Workload{Container: name}} }
		rootless := named(idC, "web")
		rootless.Rootless = true
		n := newNamer(Options{}, []source{&fakeSource{names: []found{named(idA, "web"), named(idB, "kubelet.service"), rootless}}})
		tree, _ := scan(n, "/docker/"+idA, "/docker/"+idB, user, "/system.slice/kubelet.service", "/lxc.payload.kubelet.service")
		expectRow(t, tree, "/docker/"+idA, "||web")
		expectRow(t, tree, "/docker/"+idB, "||docker/kubelet.service")
		expectRow(t, tree, user, "||user@1000.service/web")
		expectRow(t, tree, "/system.slice/kubelet.service", "||kubelet.service")
		expectRow(t, tree, "/lxc.payload.kubelet.service", "||lxc/kubelet.service")
	})
}

// A runtime with the cgroupfs driver below kubelet with systemd's puts the pods'
// containers beside their groups, which stay empty.
func TestPodInTheNameOnly(t *testing.T) {
	t.Parallel()
	loose := "/system.slice/containerd.service/kubepods-burstable-pod" + podUnder + ".slice:cri-containerd:" + idB
	pod := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podUnder + ".slice"
	for _, tc := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"alone", nil, "|" + podUID + "|" + shortB},
		{"with the pod's empty group", []string{pod}, "|" + podUID + "|" + shortB},
		{"with a pod that has its own", []string{pod + "/cri-containerd-" + idA + ".scope"}, ""},
		{"with other pods", []string{"/kubepods.slice/kubepods-pod" + strings.ReplaceAll(podUID2, "-", "_") + ".slice"}, ""},
	} {
		tree := treeOf(append(tc.paths, loose)...)
		Classify(tree)
		g := find(t, tree, loose)
		if tc.want != "" && row(g) != tc.want || tc.want == "" && g.PodUID != "" {
			t.Errorf("%s: %q, want %q", tc.name, row(g), tc.want)
		}
	}
}

// kubelet below a systemd unit is one where there is no other.
func TestKubeletInAUnit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := "/system.slice/k3s.service" + pathA
		n := newNamer(Options{}, []source{&fakeSource{names: []found{isApp(idA, "app"), isPod(podUID), isApp(idB, "short")}}})
		tree, _ := scan(n, path, "/system.slice/k3s.service/k3s")
		expectRow(t, tree, path, "default|web-0|app")
		expectKind(t, tree, "/system.slice/k3s.service", oom.KindSlice)
		// One that no scan saw is known by where the others were.
		n.Lookup("/system.slice/k3s.service" + pathB)
		n.Settle()
		if id, _ := n.Lookup("/system.slice/k3s.service" + pathB); id.Workload.Container != "short" || id.QoS != oom.QoSBurstable {
			t.Errorf("Lookup says %+v", id)
		}
		if id, _ := n.Lookup("/system.slice/evil.service" + pathB); id.Workload.Pod != "" {
			t.Errorf("Lookup says %+v", id)
		}
	})
}

func TestBoundedNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNamer(Options{MaxNames: 16}, []source{&fakeSource{}})
		paths := func(from, to int) (list []string) {
			for i := from; i < to; i++ {
				list = append(list, fmt.Sprintf("/kubepods/pod%08x%s/%08x%s", i, podUID[8:], i, idA[8:]))
			}
			return list
		}
		for i := range 100 {
			later(time.Second)
			scan(n, paths(i, i+3)...)
			synctest.Wait()
			if len(n.cache.containers) > 16 || len(n.cache.pods) > 16 {
				t.Fatalf("%d containers, %d pods", len(n.cache.containers), len(n.cache.pods))
			}
		}
		for i := 97; i < 102; i++ { // the latest are kept.
			if _, ok := n.cache.containers[fmt.Sprintf("%08x%s", i, idA[8:])]; !ok {
				t.Errorf("container %d was forgotten", i)
			}
		}
		// More living ones than names: no more waiting for those without room.
		scan(n, paths(200, 300)...)
		later(time.Minute)
		synctest.Wait()
		if _, took := scan(n, paths(200, 300)...); took != 0 {
			t.Errorf("waited %v", took)
		}
		if len(n.cache.containers) > 16 {
			t.Errorf("%d containers", len(n.cache.containers))
		}
	})
}

func TestSourceStateIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		names := &fakeSource{called: "docker", err: errors.New("status 500 at 10:00:01")}
		n := newNamer(Options{Logger: log.NewLogfmtLogger(&out)}, []source{names})
		lookups := func(err error) {
			names.set(nil, err)
			for range 3 {
				later(2 * time.Minute)
				scan(n, pathA)
				synctest.Wait()
			}
		}
		lookups(errors.New("status 500 at 10:00:01"))
		lookups(errors.New("status 500 at 10:00:02"))
		lookups(nil)
		lookups(context.DeadlineExceeded)
		if got := strings.Count(out.String(), "\n"); got != 3 {
			t.Errorf("logged %d lines:\n%s", got, out.String())
		}
		if err := n.runners[0].err; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the source's last error is %v", err)
		}
	})
}
