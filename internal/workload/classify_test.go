// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// render prints one line a group: kind, path, owner if another, and labels.
func render(tree *oom.Tree) string {
	kinds := map[oom.Kind]string{
		oom.KindRoot: "root", oom.KindSlice: "slice", oom.KindPod: "pod",
		oom.KindContainer: "container", oom.KindPart: "part", oom.KindSandbox: "sandbox",
	}
	replace := strings.NewReplacer(idA, "A", idB, "B", idC, "C", shortA, "a", shortB, "b", idC[:12], "c", podUID, "U", podUnder, "U", podUID2, "V")
	var b strings.Builder
	for i, g := range tree.Groups {
		owner := ""
		if g.Owner != i {
			owner = " of " + tree.Groups[g.Owner].Path
		}
		fmt.Fprintf(&b, "%s %s%s = %s\n", kinds[g.Kind], g.Path, owner, row(&g))
	}
	return replace.Replace(b.String())
}

func TestClassify(t *testing.T) {
	t.Parallel()
	slices := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podUnder + ".slice"
	manager := "/user.slice/user-1000.slice/user@1000.service"
	for _, tc := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"an empty machine", nil, "root / = ||/\n"},
		{
			"kubelet with cgroupfs",
			[]string{"/kubepods/besteffort", "/kubepods/burstable/pod" + podUID + "/" + idA, "/kubepods/burstable/pod" + podUID + "/" + idB},
			`root / = ||/
slice /kubepods = ||/kubepods
slice /kubepods/besteffort = ||/kubepods/besteffort
slice /kubepods/burstable = ||/kubepods/burstable
pod /kubepods/burstable/podU = |U|
container /kubepods/burstable/podU/A = |U|a
container /kubepods/burstable/podU/B = |U|b
`,
		},
		{
			"CRI-O: conmon before its container, crun's child, a conmon alone",
			[]string{
				slices + "/crio-conmon-" + idA + ".scope", slices + "/crio-" + idA + ".scope/container",
				slices + "/crio-conmon-" + idB + ".scope", "/system.slice/crio-conmon-" + idC + ".scope",
			},
			`root / = ||/
slice /kubepods.slice = ||/kubepods.slice
slice /kubepods.slice/kubepods-burstable.slice = ||/kubepods.slice/kubepods-burstable.slice
pod /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice = |U|
part /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-conmon-A.scope of /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-A.scope = |U|a
container /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-A.scope = |U|a
part /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-A.scope/container of /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-A.scope = |U|a
part /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice/crio-conmon-B.scope of /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU.slice = |U|
slice /system.slice = ||/system.slice
container /system.slice/crio-conmon-C.scope = ||c
`,
		},
		{
			"kind",
			[]string{
				"/docker/" + idB + "/init.scope", "/docker/" + idB + "/system.slice/containerd.service",
				"/docker/" + idB + "/kubelet.slice/kubelet.service",
				"/docker/" + idB + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + podUnder + ".slice/cri-containerd-" + idA + ".scope",
				"/docker/" + idC + "/system.slice/x.service",
			},
			`root / = ||/
slice /docker = ||/docker
container /docker/B = ||b
part /docker/B/init.scope of /docker/B = ||b
part /docker/B/system.slice of /docker/B = ||b
part /docker/B/system.slice/containerd.service of /docker/B = ||b
part /docker/B/kubelet.slice of /docker/B = ||b
part /docker/B/kubelet.slice/kubelet.service of /docker/B = ||b
part /docker/B/kubelet.slice/kubelet-kubepods.slice of /docker/B = ||b
part /docker/B/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU.slice of /docker/B = ||b
part /docker/B/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU.slice/cri-containerd-A.scope of /docker/B = ||b
container /docker/C = ||c
part /docker/C/system.slice of /docker/C = ||c
part /docker/C/system.slice/x.service of /docker/C = ||c
`,
		},
		{
			"Docker in a pod",
			[]string{"/kubepods/pod" + podUID + "/" + idA + "/docker/" + idB, "/kubepods/pod" + podUID + "/" + idA + "/init"},
			`root / = ||/
slice /kubepods = ||/kubepods
pod /kubepods/podU = |U|
container /kubepods/podU/A = |U|a
part /kubepods/podU/A/docker of /kubepods/podU/A = |U|a
part /kubepods/podU/A/docker/B of /kubepods/podU/A = |U|a
part /kubepods/podU/A/init of /kubepods/podU/A = |U|a
`,
		},
		{
			"systemd: units, their sub-groups, users, sessions",
			[]string{
				"/init.scope", "/system.slice/system-getty.slice", "/system.slice/web.service/workers/1",
				"/user.slice/user-1000.slice/session-1.scope", "/user.slice/user-1000.slice/session-2.scope",
				manager + "/init.scope", manager + "/app.slice/app-x-12.scope/sub",
				"/user.slice/user-1001.slice/user@1001.service",
			},
			`root / = ||/
container /init.scope = ||init.scope
slice /system.slice = ||/system.slice
slice /system.slice/system-getty.slice = ||/system.slice/system-getty.slice
container /system.slice/web.service = ||web.service
part /system.slice/web.service/workers of /system.slice/web.service = ||web.service
part /system.slice/web.service/workers/1 of /system.slice/web.service = ||web.service
slice /user.slice = ||/user.slice
slice /user.slice/user-1000.slice = ||/user.slice/user-1000.slice
container /user.slice/user-1000.slice/session-1.scope = ||session.scope
container /user.slice/user-1000.slice/session-2.scope = ||session.scope
slice /user.slice/user-1000.slice/user@1000.service = ||user@1000.service
container /user.slice/user-1000.slice/user@1000.service/init.scope = ||user@1000.service/init.scope
slice /user.slice/user-1000.slice/user@1000.service/app.slice = ||/user.slice/user-1000.slice/user@1000.service/app.slice
container /user.slice/user-1000.slice/user@1000.service/app.slice/app-x-12.scope = ||user@1000.service/app-x-*.scope
part /user.slice/user-1000.slice/user@1000.service/app.slice/app-x-12.scope/sub of /user.slice/user-1000.slice/user@1000.service/app.slice/app-x-12.scope = ||user@1000.service/app-x-*.scope
slice /user.slice/user-1001.slice = ||/user.slice/user-1001.slice
container /user.slice/user-1001.slice/user@1001.service = ||user@1001.service
`,
		},
		{
			"units that hold containers: quadlet, a misconfigured containerd",
			[]string{
				"/system.slice/web.service/libpod-payload-" + idA, "/system.slice/web.service/runtime",
				"/system.slice/containerd.service/kubepods-pod" + podUnder + ".slice:cri-containerd:" + idB,
			},
			`root / = ||/
slice /system.slice = ||/system.slice
slice /system.slice/web.service = ||web.service
container /system.slice/web.service/libpod-payload-A = ||a
part /system.slice/web.service/runtime of /system.slice/web.service = ||web.service
slice /system.slice/containerd.service = ||containerd.service
container /system.slice/containerd.service/kubepods-podU.slice:cri-containerd:B = |U|b
`,
		},
		{
			"LXC, Podman's conmon, nspawn, Slurm",
			[]string{
				"/lxc.monitor.web", "/lxc.payload.web/system.slice/x.service", "/lxc.monitor.gone",
				"/machine.slice/libpod-conmon-" + idA + ".scope", "/machine.slice/libpod-" + idA + ".scope/container/y",
				"/machine.slice/machine-deb.scope/payload/system.slice/z.service",
				"/system.slice/slurmstepd.scope/system", "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0",
			},
			`root / = ||/
part /lxc.monitor.web of /lxc.payload.web = ||web
container /lxc.payload.web = ||web
part /lxc.payload.web/system.slice of /lxc.payload.web = ||web
part /lxc.payload.web/system.slice/x.service of /lxc.payload.web = ||web
container /lxc.monitor.gone = ||gone
slice /machine.slice = ||/machine.slice
part /machine.slice/libpod-conmon-A.scope of /machine.slice/libpod-A.scope = ||a
container /machine.slice/libpod-A.scope = ||a
part /machine.slice/libpod-A.scope/container of /machine.slice/libpod-A.scope = ||a
part /machine.slice/libpod-A.scope/container/y of /machine.slice/libpod-A.scope = ||a
container /machine.slice/machine-deb.scope = ||deb
part /machine.slice/machine-deb.scope/payload of /machine.slice/machine-deb.scope = ||deb
part /machine.slice/machine-deb.scope/payload/system.slice of /machine.slice/machine-deb.scope = ||deb
part /machine.slice/machine-deb.scope/payload/system.slice/z.service of /machine.slice/machine-deb.scope = ||deb
slice /system.slice = ||/system.slice
slice /system.slice/slurmstepd.scope = ||/system.slice/slurmstepd.scope
container /system.slice/slurmstepd.scope/system = ||/system.slice/slurmstepd.scope/system
container /system.slice/slurmstepd.scope/job_7 = ||/system.slice/slurmstepd.scope/job_7
part /system.slice/slurmstepd.scope/job_7/step_0 of /system.slice/slurmstepd.scope/job_7 = ||/system.slice/slurmstepd.scope/job_7
part /system.slice/slurmstepd.scope/job_7/step_0/user of /system.slice/slurmstepd.scope/job_7 = ||/system.slice/slurmstepd.scope/job_7
part /system.slice/slurmstepd.scope/job_7/step_0/user/task_0 of /system.slice/slurmstepd.scope/job_7 = ||/system.slice/slurmstepd.scope/job_7
`,
		},
		{
			"groups that nobody knows",
			[]string{"/batch/one", "/batch/two/three", "/empty", "/default/redis"},
			`root / = ||/
slice /batch = ||/batch
container /batch/one = ||/batch/one
slice /batch/two = ||/batch/two
container /batch/two/three = ||/batch/two/three
container /empty = ||/empty
slice /default = ||/default
container /default/redis = ||redis
`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tree := treeOf(tc.paths...)
			Classify(tree)
			if diff := gocmp.Diff(tc.want, render(tree)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again := treeOf(tc.paths...)
			copy(again.Groups, tree.Groups) // a tree that was classified before.
			Classify(again)
			if diff := gocmp.Diff(render(tree), render(again)); diff != "" {
				t.Errorf("a second pass changed it:\n%s", diff)
			}
		})
	}
}

// The same groups in an order that is no pre-order come out the same, and a
// tree whose parents are nonsense does no harm.
func TestClassifyAnyOrder(t *testing.T) {
	t.Parallel()
	tree := &oom.Tree{Groups: []oom.Group{
		{GroupID: oom.GroupID{Path: "/"}, Parent: -1},
		{GroupID: oom.GroupID{Path: "/docker"}, Parent: 0},
		{GroupID: oom.GroupID{Path: "/system.slice"}, Parent: 0},
		{GroupID: oom.GroupID{Path: "/docker/" + idA}, Parent: 1},
		{GroupID: oom.GroupID{Path: "/system.slice/x.service"}, Parent: 2},
		{GroupID: oom.GroupID{Path: "/docker/" + idA + "/sub"}, Parent: 3},
	}}
	Classify(tree)
	want := `root / = ||/
slice /docker = ||/docker
slice /system.slice = ||/system.slice
container /docker/A = ||a
container /system.slice/x.service = ||x.service
part /docker/A/sub of /docker/A = ||a
`
	if diff := gocmp.Diff(want, render(tree)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	broken := treeOf("/a/b", "/docker/"+idA+"/sub")
	for i := range broken.Groups {
		broken.Groups[i].Parent = 99
	}
	Classify(broken)
	Classify(&oom.Tree{})
}

// What Lookup says of a dead group must be what Classify said of it alive.
func TestClassifyAgreesWithParsePath(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, group := range [][]pathCase{kubeletCases(), nestedKubeletCases(), runtimeCases(), machineCases(), unitCases()} {
		for _, tc := range group {
			paths = append(paths, tc.path)
		}
	}
	for _, path := range paths {
		tree := treeOf(path)
		Classify(tree)
		g := find(t, tree, cmp.Or(path, "/"))
		if g.Kind == oom.KindPart {
			continue
		}
		if diff := gocmp.Diff(ParsePath(path).Identity(), g.Identity); diff != "" {
			t.Errorf("%s (-ParsePath +Classify):\n%s", path, diff)
		}
	}
}

// bigTree has about so many groups: pods of two containers, and units.
func bigTree(groups int) *oom.Tree {
	pods := groups * 8 / 25
	var paths []string
	for i := range pods {
		uid := fmt.Sprintf("%08x_8a3c_4d0f_9b0a_2b8f5c1d7e9f", i)
		pod := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid + ".slice"
		id := func(n int) string { return fmt.Sprintf("%08x%s", n*1_000_000+i, idA[8:]) }
		paths = append(paths, pod, pod+"/cri-containerd-"+id(1)+".scope", pod+"/cri-containerd-"+id(2)+".scope")
	}
	for i := range pods / 8 {
		paths = append(paths, fmt.Sprintf("/system.slice/app-%d.service", i))
	}
	return treeOf(paths...)
}

func BenchmarkClassify(b *testing.B) {
	tree := bigTree(3000)
	b.ReportAllocs()
	for b.Loop() {
		Classify(tree)
	}
	b.ReportMetric(float64(len(tree.Groups)), "groups")
}
