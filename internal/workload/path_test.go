// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// Shorthands for what most cases expect.
func container(runtime, id string) Path {
	return Path{Runtime: runtime, ContainerID: id, Name: id[:12], Kind: oom.KindContainer, StandIn: true}
}

func inPod(p Path, uid string, qos oom.QoS) Path {
	p.PodUID, p.QoS, p.StandIn = uid, qos, true
	return p
}

func pod(uid string, qos oom.QoS) Path {
	return Path{PodUID: uid, QoS: qos, Kind: oom.KindPod, StandIn: true}
}

func part(p Path) Path {
	p.Kind = oom.KindPart
	return p
}

func helper(p Path) Path {
	p.Kind, p.Helper = oom.KindPart, true
	return p
}

// ofUser is a user's, whose manager stands before the name.
func ofUser(p Path) Path {
	p.Name = "user@1000.service/" + p.Name
	return p
}

func unit(unit, name string) Path {
	return Path{Runtime: "systemd", Unit: unit, Name: name, Kind: oom.KindContainer}
}

func slice(path, unit string) Path {
	return Path{Unit: unit, Name: path, Kind: oom.KindSlice}
}

func other(path string) Path { return Path{Name: path, Kind: oom.KindContainer} }

func lxc(name string) Path {
	return Path{Runtime: "lxc", ContainerID: name, Name: name, Kind: oom.KindContainer}
}

type pathCase struct {
	path string
	want Path
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, group := range [][]pathCase{
		kubeletCases(), nestedKubeletCases(), runtimeCases(), machineCases(), unitCases(), otherCases(),
	} {
		for _, tc := range group {
			got := ParsePath(tc.path)
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Path{})); diff != "" {
				t.Errorf("ParsePath(%q) (-want +got):\n%s", tc.path, diff)
			}
		}
	}
}

func kubeletCases() []pathCase {
	const (
		g, b, e = oom.QoSGuaranteed, oom.QoSBurstable, oom.QoSBestEffort
		slices  = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podUnder + ".slice"
	)
	withQoS := func(p Path, qos oom.QoS) Path { p.QoS = qos; return p }
	return []pathCase{
		{"/kubepods", slice("/kubepods", "")},
		{"/kubepods/burstable", withQoS(slice("/kubepods/burstable", ""), b)},
		{"/kubepods/besteffort", withQoS(slice("/kubepods/besteffort", ""), e)},
		{"/kubepods.slice", slice("/kubepods.slice", "")},
		{"/kubepods.slice/kubepods-besteffort.slice", withQoS(slice("/kubepods.slice/kubepods-besteffort.slice", ""), e)},

		// The cgroupfs driver: kubelet on v1 of GKE, EKS with Docker, the standalone kubelet.
		{"/kubepods/pod" + podUID, pod(podUID, g)},
		{"/kubepods/burstable/pod" + podUID, pod(podUID, b)},
		{"/kubepods/besteffort/pod" + podUID, pod(podUID, e)},
		{"/kubepods/burstable/pod" + staticUID, pod(staticUID, b)},
		{"/kubepods/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, g)},
		{"/kubepods/burstable/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, b)},
		{"/kubepods/besteffort/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, e)},
		{"/kubepods/burstable/pod" + staticUID + "/" + idA, inPod(container("", idA), staticUID, b)},
		{"/kubepods/burstable/pod" + podUID + "/crio-" + idA, inPod(container("cri-o", idA), podUID, b)},
		{"/kubepods/burstable/pod" + podUID + "/crio-conmon-" + idA, inPod(helper(container("cri-o", idA)), podUID, b)},
		{"/kubepods/burstable/pod" + podUID + "/crio-" + idA + "/container", inPod(part(container("cri-o", idA)), podUID, b)},
		{"/kubepods/burstable/pod" + podUID + "/" + idA + "/init/x", inPod(part(container("", idA)), podUID, b)},
		{"/kubepods/besteffort/pod" + podUID + "/kata_" + idA, inPod(container("kata", idA), podUID, e)},
		{"/kubepods/besteffort/pod" + podUID + "/sandbox", inPod(Path{Name: "sandbox", Kind: oom.KindContainer}, podUID, e)},
		{"/custom/root/kubepods/burstable/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, b)},
		// A UID that somebody wrote into a static pod's manifest.
		{"/kubepods/burstable/podetcd-1", pod("etcd-1", b)},

		// The systemd driver.
		{"/kubepods.slice/kubepods-pod" + podUnder + ".slice", pod(podUID, g)},
		{slices, pod(podUID, b)},
		{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + staticUID + ".slice", pod(staticUID, b)},
		{
			"/kubepods.slice/kubepods-pod" + podUnder + ".slice/cri-containerd-" + idA + ".scope",
			inPod(container("containerd", idA), podUID, g),
		},
		{slices + "/cri-containerd-" + idA + ".scope", inPod(container("containerd", idA), podUID, b)},
		{slices + "/crio-" + idA + ".scope", inPod(container("cri-o", idA), podUID, b)},
		{slices + "/crio-" + idA + ".scope/container", inPod(part(container("cri-o", idA)), podUID, b)},
		{slices + "/crio-conmon-" + idA + ".scope", inPod(helper(container("cri-o", idA)), podUID, b)},
		{slices + "/docker-" + idA + ".scope", inPod(container("docker", idA), podUID, b)},
		{
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + podUnder + ".slice/docker-" + idA + ".scope",
			inPod(container("docker", idA), podUID, e),
		},
		{
			`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod` + strings.ReplaceAll(podUID, "-", `\x2d`) +
				`.slice/cri-containerd-` + idA + `.scope`,
			inPod(container("containerd", idA), podUID, b),
		},
		// systemd's driver for kubelet, cgroupfs for containerd.
		{
			"/system.slice/containerd.service/kubepods-burstable-pod" + podUnder + ".slice:cri-containerd:" + idA,
			inPod(container("containerd", idA), podUID, b),
		},
		{"/kubepods-pod" + podUnder + ".slice:cri-containerd:" + idA, inPod(container("containerd", idA), podUID, g)},
		{"/kubepods-podx\xff.slice:cri-containerd:" + idA, inPod(container("containerd", idA), `x\xff`, g)},
		// Without a pod in the path.
		{"/system.slice/crio-conmon-" + idA + ".scope", helper(container("cri-o", idA))},
		{"/k8s.io/" + idA, container("containerd", idA)},
		{"/system.slice/cri-containerd-" + idA + ".scope", container("containerd", idA)},
	}
}

// What a kubelet or a runtime inside a container makes is a part of that
// container; from inside the container it is what it is.
func nestedKubeletCases() []pathCase {
	const b = oom.QoSBurstable
	docker := part(container("docker", idB))
	podman := part(container("podman", idB))
	inPodB := inPod(part(container("", idB)), podUID, b)
	system := "/system.slice/docker-" + idB + ".scope"
	user := "/user.slice/user-1000.slice/user@1000.service"
	burst := "/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod"
	return []pathCase{
		// kind on v1: cgroupfs driver, or without a cgroup namespace.
		{"/docker/" + idB + "/kubelet", docker},
		{"/docker/" + idB + "/kubelet/kubepods", docker},
		{"/docker/" + idB + "/kubelet/kubepods/burstable/pod" + podUID, docker},
		{"/docker/" + idB + "/kubelet/kubepods/burstable/pod" + podUID + "/" + idA, docker},
		{"/docker/" + idB + "/kubepods/burstable/pod" + podUID + "/" + idA, docker},
		// kind with systemd inside.
		{system, container("docker", idB)},
		{system + "/init.scope", docker},
		{system + "/system.slice/kubelet.service", docker},
		{system + "/kubelet.slice/kubelet-kubepods.slice" + burst + podUnder + ".slice", docker},
		{system + "/kubelet.slice/kubelet-kubepods.slice" + burst + podUnder + ".slice/cri-containerd-" + idA + ".scope", docker},
		// The same as seen from inside the node's cgroup namespace.
		{
			"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + podUnder + ".slice/cri-containerd-" + idA + ".scope",
			inPod(container("containerd", idA), podUID, oom.QoSGuaranteed),
		},
		{"/kubelet/kubepods/burstable/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, b)},
		// k3s in a container, k3s rootless, Docker in a pod and in Docker.
		{"/docker/" + idB + "/k3s/kubepods/burstable/pod" + podUID + "/" + idA, docker},
		{
			user + "/app.slice/k3s-rootless.service/k3s_evac/kubepods/burstable/pod" + podUID + "/" + idA,
			ofUser(container("", idA)),
		},
		{"/kubepods/burstable/pod" + podUID + "/" + idB + "/docker/" + idA, inPodB},
		{"/docker/" + idB + "/docker/" + idA, docker},
		{"/docker/" + idB + "/docker", docker},
		// kind on v1 without a cgroup namespace of its own: the node's group twice.
		{"/docker/" + idB + "/docker/" + idB + "/kubelet/kubepods/burstable/pod" + podUID + "/" + idA, docker},
		// kind in Podman, with root and without.
		{
			"/machine.slice/libpod-" + idB + ".scope/container/kubelet.slice/kubelet-kubepods.slice" + burst + podUnder + ".slice/cri-containerd-" + idA + ".scope",
			podman,
		},
		{
			user + "/user.slice/libpod-" + idB + ".scope/container/kubelet.slice/kubelet-kubepods.slice" +
				burst + podUnder + ".slice/cri-containerd-" + idA + ".scope",
			ofUser(podman),
		},
		// A node in LXC or Incus, in nspawn; k3s as a service, with the cgroupfs driver.
		{"/lxc.payload.k8s/kubepods/burstable/pod" + podUID + "/" + idA, part(lxc("k8s"))},
		{"/lxc/k8s/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podUnder + ".slice/crio-" + idA + ".scope", part(lxc("k8s"))},
		{
			"/machine.slice/machine-k8s.scope/payload/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podUnder + ".slice/crio-" + idA + ".scope/container",
			part(Path{Runtime: "nspawn", Unit: "machine-k8s.scope", Name: "k8s"}),
		},
		{"/system.slice/k3s.service/kubepods/burstable/pod" + podUID + "/" + idA, inPod(container("", idA), podUID, b)},
	}
}

func runtimeCases() []pathCase {
	user := "/user.slice/user-1000.slice/user@1000.service"
	return []pathCase{
		{"/docker", slice("/docker", "")},
		{"/docker/" + idA, container("docker", idA)},
		{"/docker/" + idA + "/init", part(container("docker", idA))},
		{"/system.slice/docker-" + idA + ".scope", container("docker", idA)},
		{"/machine.slice/docker-" + idA + ".scope", container("docker", idA)},
		{"/system.slice:docker:" + idA, container("docker", idA)},
		{"/actions_job/" + idA, container("", idA)},
		{user + "/user.slice/docker-" + idA + ".scope", ofUser(container("docker", idA))},
		{user + "/app.slice/docker.service", unit("docker.service", "user@1000.service/docker.service")},
		{"/ecs", slice("/ecs", "")},
		{"/ecs/1f0c5b7a9d3e4f60/" + idA, container("docker", idA)},
		{"/ecs/cluster/1f0c5b7a-9d3e-4f60-8a7b-6c5d4e3f2a1b/" + idA, container("docker", idA)},
		{"/ecstasks.slice/ecstasks-1f0c5b7a9d3e4f60.slice/docker-" + idA + ".scope", container("docker", idA)},

		{"/machine.slice/libpod-" + idA + ".scope", container("podman", idA)},
		{"/machine.slice/libpod-" + idA + ".scope/container", part(container("podman", idA))},
		{"/machine.slice/libpod-" + idA + ".scope/container/init.scope", part(container("podman", idA))},
		{"/machine.slice/libpod-conmon-" + idA + ".scope", helper(container("podman", idA))},
		{"/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", container("podman", idA)},
		{"/libpod_parent", slice("/libpod_parent", "")},
		{"/libpod_parent/libpod-" + idA, container("podman", idA)},
		{"/libpod_parent/" + idB + "/libpod-" + idA, container("podman", idA)},
		{"/libpod_parent/conmon", other("/libpod_parent/conmon")},
		{user + "/user.slice/libpod-" + idA + ".scope", ofUser(container("podman", idA))},
		{user + "/user.slice/libpod-" + idA + ".scope/container", ofUser(part(container("podman", idA)))},
		{user + "/user.slice/user-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", ofUser(container("podman", idA))},
		{"/system.slice/web.service/libpod-payload-" + idA, container("podman", idA)},
		{"/system.slice/web.service/runtime", part(unit("web.service", "web.service"))},

		{"/default", slice("/default", "")},
		{"/default/redis", Path{Runtime: "containerd", ContainerID: "redis", Name: "redis", Kind: oom.KindContainer}},
		{"/default/" + idA, container("containerd", idA)},
		{"/system.slice/nerdctl-" + idA + ".scope", container("containerd", idA)},
		{"/x/default/redis", other("/x/default/redis")},
		{"/system.slice/newruntime-" + idA + ".scope", container("", idA)},

		// Nearly an id.
		{"/docker/" + idA[1:], other("/docker/" + idA[1:])},
		{"/docker/" + strings.ToUpper(idA), other("/docker/" + strings.ToUpper(idA))},
		{"/system.slice/docker-compose.service", unit("docker-compose.service", "docker-compose.service")},
		{"/x/prefix" + idA, other("/x/prefix" + idA)},
	}
}

func machineCases() []pathCase {
	nspawn := func(unit, name string) Path {
		return Path{Runtime: "nspawn", Unit: unit, Name: name, Kind: oom.KindContainer}
	}
	return []pathCase{
		{"/machine.slice/machine-deb12.scope", nspawn("machine-deb12.scope", "deb12")},
		{`/machine.slice/machine-my\x2dbox.scope/payload/system.slice/ssh.service`, part(nspawn(`machine-my\x2dbox.scope`, "my-box"))},
		{"/machine.slice/systemd-nspawn@deb12.service/payload", part(nspawn("systemd-nspawn@deb12.service", "deb12"))},
		{
			`/machine.slice/machine-qemu\x2d3\x2dweb\x2d01.scope/libvirt/vcpu0`,
			part(Path{Runtime: "libvirt", Unit: `machine-qemu\x2d3\x2dweb\x2d01.scope`, Name: "web-01"}),
		},
		{"/lxc/web", lxc("web")},
		{"/lxc/101/ns", part(lxc("101"))},
		{"/lxc.payload.web", lxc("web")},
		{"/lxc.payload.web/system.slice/nginx.service", part(lxc("web"))},
		{"/lxc.payload/web", lxc("web")},
		{"/lxc.monitor.web", helper(lxc("web"))},
		{"/lxc.monitor/web", helper(lxc("web"))},
		{"/lxc.payload.project_web/lxc.payload.inner", part(lxc("project_web"))},
		{"/lxc.payload.kubelet.service", Path{Runtime: "lxc", ContainerID: "kubelet.service", Name: "lxc/kubelet.service", Kind: oom.KindContainer}},
		{"/system.slice/web.service/lxc.payload.db", part(unit("web.service", "web.service"))},
		{"/user.slice/user-1000.slice/session-4.scope/lxc.payload.web", ofUser(lxc("web"))},
		{"/lxc.payload.", other("/lxc.payload.")},
		{"/lxc.payload.web/docker/" + idA, part(lxc("web"))},
	}
}

func unitCases() []pathCase {
	manager := "/user.slice/user-1000.slice/user@1000.service"
	return []pathCase{
		{"/init.scope", unit("init.scope", "init.scope")},
		{"/system.slice", slice("/system.slice", "system.slice")},
		{"/system.slice/system-getty.slice", slice("/system.slice/system-getty.slice", "system-getty.slice")},
		{"/system.slice/ssh.service", unit("ssh.service", "ssh.service")},
		{"/system.slice/system-postgresql.slice/postgresql@15-main.service", unit("postgresql@15-main.service", "postgresql@15-main.service")},
		{`/system.slice/dev-disk-by\x2dlabel-x.swap`, unit(`dev-disk-by\x2dlabel-x.swap`, `dev-disk-by\x2dlabel-x.swap`)},
		{"/system.slice/docker.socket", unit("docker.socket", "docker.socket")},
		{"/system.slice/tmp.mount", unit("tmp.mount", "tmp.mount")},
		{"/system.slice/foo.service/workers/3", part(unit("foo.service", "foo.service"))},
		{"/system.slice/snap.microk8s.daemon-kubelite.service", unit("snap.microk8s.daemon-kubelite.service", "snap.microk8s.daemon-kubelite.service")},
		{"/user.slice/user-1000.slice/session-3.scope", unit("session-3.scope", "session.scope")},
		{"/user.slice/user-120.slice/session-c1.scope", unit("session-c1.scope", "session.scope")},
		{manager, unit("user@1000.service", "user@1000.service")},
		{manager + "/init.scope", unit("init.scope", "user@1000.service/init.scope")},
		{manager + "/app.slice", slice(manager+"/app.slice", "app.slice")},
		{manager + "/app.slice/dbus.service", unit("dbus.service", "user@1000.service/dbus.service")},
		{manager + "/app.slice/app-gnome-firefox-4711.scope", unit("app-gnome-firefox-4711.scope", "user@1000.service/app-gnome-firefox-*.scope")},
		{"/system.slice/run-u77.service", unit("run-u77.service", "run-*.service")},
		{"/system.slice/user@root.service", unit("user@root.service", "user@root.service")},
	}
}

func otherCases() []pathCase {
	job := func(path string) Path { return Path{Runtime: "slurm", Name: path, Kind: oom.KindContainer} }
	buildah := func(name string) Path { return Path{Runtime: "buildah", Name: name, Kind: oom.KindContainer} }
	build := func(name string) Path { return Path{Runtime: "buildkit", Name: name, Kind: oom.KindContainer} }
	const nomad = "/nomad.slice/share.slice/8d3c0a2e-1f4b-4c5d-9e6f-7a8b9c0d1e2f.web.scope"
	return []pathCase{
		{"/", Path{Name: "/", Kind: oom.KindRoot}},
		{"", Path{Name: "/", Kind: oom.KindRoot}},
		{"/batch/job", other("/batch/job")},
		{"/../../kubepods", slice("/../../kubepods", "")},
		{"/slurm/uid_1000/job_12", job("/slurm/uid_1000/job_12")},
		{"/slurm/uid_1000/job_12/step_0/task_0", part(job("/slurm/uid_1000/job_12"))},
		{"/system.slice/slurmstepd.scope/job_12/step_0/user", part(job("/system.slice/slurmstepd.scope/job_12"))},
		{"/elsewhere/job_12", other("/elsewhere/job_12")},
		// Slurm 26 names jobs by their SLUID; slurmstepd's own group is none.
		{"/system.slice/slurmstepd.scope/s5K1KKYAYG5D00", job("/system.slice/slurmstepd.scope/s5K1KKYAYG5D00")},
		{"/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0", part(job("/system.slice/slurmstepd.scope/s5K1KKYAYG5D00"))},
		{"/system.slice/node7_slurmstepd.scope/s5K1KKYAYG5D00/step_extern", part(job("/system.slice/node7_slurmstepd.scope/s5K1KKYAYG5D00"))},
		{"/system.slice/slurmstepd.scope/system", other("/system.slice/slurmstepd.scope/system")},
		{"/slurm/uid_1000/s5K1KKYAYG5D00/step_0/task_0", part(job("/slurm/uid_1000/s5K1KKYAYG5D00"))},
		{"/slurm_node7/uid_1000/job_12/step_batch", part(job("/slurm_node7/uid_1000/job_12"))},
		// Jobs of HTCondor and OpenPBS below their unit, and beside it.
		{"/system.slice/condor.service/htcondor/condor_var_lib_condor_execute_slot1_1@node7", part(unit("condor.service", "condor.service"))},
		{"/htcondor/condor_var_lib_condor_execute_slot1_1@node7", other("/htcondor/condor_var_lib_condor_execute_slot1_1@node7")},
		{"/pbs_jobs.service/jobid/4711.pbs", part(unit("pbs_jobs.service", "pbs_jobs.service"))},
		// The steps of an image's build, by BuildKit on its own and in dockerd.
		{"/system.slice/system.slice:docker:k3p0xu0jx4m7dk2y0d3bq5u8w", build("/system.slice/system.slice:docker:*")},
		{"/system.slice/system.slice:docker:abcdefghijklmnopqrstuvwxy/init", part(build("/system.slice/system.slice:docker:*"))},
		{"/system.slice:docker:k3p0xu0jx4m7dk2y0d3bq5u8w", build("/system.slice:docker:*")},
		{"/docker/buildkit/k3p0xu0jx4m7dk2y0d3bq5u8w", build("/docker/buildkit/*")},
		{"/system.slice/docker.service/system.slice:docker:k3p0xu0jx4m7dk2y0d3bq5u8w", part(unit("docker.service", "docker.service"))},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/user.slice:docker:k3p0xu0jx4m7dk2y0d3bq5u8w", build("user@1000.service/buildkit")},
		{"/buildah-buildah2184739104", buildah("/buildah-*")},
		{"/machine.slice/buildah-buildah2184739104.scope/x", part(buildah("/machine.slice/buildah-*"))},
		{"/system.slice/buildah-buildah.scope", unit("buildah-buildah.scope", "buildah-buildah.scope")},
		{"/batch/k3p0xu0jx4m7dk2y0d3bq5u8w", other("/batch/k3p0xu0jx4m7dk2y0d3bq5u8w")},
		{"/system.slice:docker:web", other("/system.slice:docker:web")},
		{nomad, unit("8d3c0a2e-1f4b-4c5d-9e6f-7a8b9c0d1e2f.web.scope", "*.web.scope")},
		{"/pod" + podUID, other("/pod" + podUID)},
		{"/podruntime/kubelet", other("/podruntime/kubelet")},
		{"/evil\n/x\xff", other(`/evil\x0a/x\xff`)},
	}
}

func FuzzParsePath(f *testing.F) {
	for _, group := range [][]pathCase{kubeletCases(), nestedKubeletCases(), runtimeCases(), machineCases(), unitCases(), otherCases()} {
		for _, tc := range group {
			f.Add(tc.path)
		}
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := ParsePath(path)
		id := p.Identity()
		for _, label := range []string{id.Workload.Pod, id.Workload.Container} {
			if !utf8.ValidString(label) || len(label) > text.MaxLabel {
				t.Errorf("ParsePath(%q) has the label %q", path, label)
			}
		}
		if id.Workload == (oom.Workload{}) {
			t.Errorf("ParsePath(%q) has no name", path)
		}
		// A group below a container, a unit or a part is never a unit of its
		// own; but LXC's may have any name.
		below := ParsePath(path + "/x.service")
		if p.anchored() && below.Kind != oom.KindPart && below.Runtime != runtimeLXC {
			t.Errorf("ParsePath(%q) is %v below %v", path+"/x.service", below.Kind, p.Kind)
		}
		// What is below a container is a part of it, and a user claims no pod.
		if inner := ParsePath("/docker/" + idA + "/x/" + path); inner.Kind != oom.KindPart || inner.ContainerID != idA || inner.PodUID != "" {
			t.Errorf("%q below a container is %+v", path, inner)
		}
		const manager = "user@1000.service"
		user := ParsePath("/user.slice/user-1000.slice/" + manager + "/" + path)
		if own := strings.HasPrefix(user.Name, manager) || strings.HasPrefix(user.Name, "/user.slice/"); user.PodUID != "" || !own {
			t.Errorf("%q of a user is %+v", path, user)
		}
		if p.class == classHelper && !p.Helper {
			t.Errorf("ParsePath(%q) is a helper that does not say so", path)
		}
	})
}
