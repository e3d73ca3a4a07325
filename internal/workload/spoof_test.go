// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// The workloads that somebody would like to pass for.
const (
	idDead   = "dead00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee0000"
	idQuiet  = "ee23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" // has no name yet.
	idTenant = "77777777777777777777777777777777777777777777777777777777eeeeeeee"
	idBox    = "88888888888888888888888888888888888888888888888888888888ffffffff"
	uidGone  = "99999999-4e5f-6071-8293-a4b5c6d7e8f9"

	tenantPod = "/kubepods/besteffort/pod" + podUID2
)

// victims are the groups that are there by right, and their labels.
func victims() map[string]string {
	return map[string]string{
		podPath: "shop|cart-0|", pathA: "shop|cart-0|app", podPath + "/" + idQuiet: "shop|cart-0|" + idQuiet[:12],
		"/docker/" + idB:                    "||postgres",
		"/system.slice/kubelet.service":     "||kubelet.service",
		"/system.slice/kubelet.service/sub": "||kubelet.service",
		"/lxc.payload.web":                  "||web",
		"/machine.slice/machine-box.scope":  "||box",
		tenantPod:                           "tenants|mine-0|",
		"/user.slice/user-0.slice/user@0.service/app.slice/x.service": "||user@0.service/x.service",
		"/user.slice/user-0.slice/session-1.scope":                    "||session.scope",
		"/system.slice/slurmstepd.scope/job_77":                       "||/system.slice/slurmstepd.scope/job_77",
	}
}

func victimNames() []found {
	in := func(id, container string) found {
		return found{ID: id, Workload: oom.Workload{Namespace: "shop", Pod: "cart-0", Container: container}}
	}
	return []found{
		in(idA, "app"), in(idDead, "dead"),
		{PodUID: podUID, Workload: oom.Workload{Namespace: "shop", Pod: "cart-0"}},
		{PodUID: uidGone, Workload: oom.Workload{Namespace: "shop", Pod: "gone-0"}},
		{PodUID: podUID2, Workload: oom.Workload{Namespace: "tenants", Pod: "mine-0"}},
		{ID: idTenant, Workload: oom.Workload{Namespace: "tenants", Pod: "mine-0", Container: "shell"}},
		{ID: idB, Workload: oom.Workload{Container: "postgres"}},
		// A user's storage names what the user likes.
		{ID: idC, Rootless: true, Workload: oom.Workload{Container: "postgres"}},
	}
}

// territories are the places where others than root may make groups, with the
// labels of what stands there. Those marked with an owner are the owner's.
func territories() []territory {
	const manager = "/user.slice/user-1000.slice/user@1000.service"
	return []territory{
		{at: tenantPod + "/" + idTenant, row: "tenants|mine-0|shell"},
		{at: tenantPod + "/" + idTenant + "/init", row: "tenants|mine-0|shell"},
		{at: "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + strings.ReplaceAll(podUID2, "-", "_") + ".slice/cri-containerd-" + idTenant + ".scope", row: "tenants|mine-0|shell"},
		{at: "/docker/" + idBox, row: "||" + idBox[:12]},
		{at: "/system.slice/docker-" + idBox + ".scope/docker", row: "||" + idBox[:12]},
		{at: "/machine.slice/libpod-" + idBox + ".scope/container", row: "||" + idBox[:12]},
		{at: "/lxc.payload.tenant/lxc", row: "||tenant"},
		{at: "/lxc/tenant", row: "||tenant"},
		{at: "/machine.slice/machine-tenant.scope/payload", row: "||tenant"},
		{at: "/system.slice/slurmstepd.scope/job_78/step_0/user/task_0", row: "||/system.slice/slurmstepd.scope/job_78"},
		{at: "/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0", row: "||/system.slice/slurmstepd.scope/s5K1KKYAYG5D00"},
		{at: "/slurm/uid_1000/job_78/step_0/task_0", row: "||/slurm/uid_1000/job_78"},
		{at: "/slurm_node1/uid_1000/job_78/step_0/task_0", row: "||/slurm_node1/uid_1000/job_78"},
		{at: tenantPod + "/kata_" + idTenant, row: "tenants|mine-0|shell"},
		{at: tenantPod + "/crio-" + idTenant + ".scope/container", row: "tenants|mine-0|shell"},
		{at: "/lxc.payload.default_tenant/.lxc", row: "||default_tenant"},
		{at: "/machine.slice/systemd-nspawn@tenant.service/payload", row: "||tenant"},
		{at: "/default/tenant", row: "||tenant"},
		{at: "/ecs/task/" + idBox, row: "||" + idBox[:12]},
		{at: "/docker/buildkit/abcdefghijklmnopqrstuvwx0", row: "||/docker/buildkit/*"},
		{at: "/system.slice/web.service/libpod-payload-" + idBox, row: "||" + idBox[:12]},
		{at: "/user/tenant/0", owner: 1000}, // pam_cgfs'.
		{at: manager},
		{at: manager + "/app.slice"},
		{at: manager + "/app.slice/tenant.service"},
		{at: manager + "/user.slice/libpod-" + idC + ".scope/container", row: "||user@1000.service/postgres"},
		{at: "/user.slice/user-1000.slice/session-4.scope", row: "||session.scope", mayHold: true},
		{at: "/system.slice/tenant.service", row: "||tenant.service", owner: 1000},
		{at: "/system.slice/htcondor.service/htcondor/slot1_1@node", row: "||htcondor.service", owner: 1000},
		{at: "/tenant", owner: 1000},
		{at: "/batch/tenant/docker", owner: 1000},
		{at: "/students", owner: oom.Anybody}, // root's, with mode 0775.
		{at: "/system.slice/batch.service", row: "||batch.service", owner: oom.Anybody},
		{at: "/system.slice/k3s.service", unit: true},
	}
}

type territory struct {
	at, row string
	owner   uint32
	mayHold bool // containers of the user's: they have rows of their own.
	unit    bool // a unit that may hold containers: only kubelet's place is at stake.
}

// spellings are what a tenant may call a group.
func spellings() []string {
	under := podUnder
	gone := strings.ReplaceAll(uidGone, "-", "_")
	list := []string{
		"kubepods", "kubepods.slice", "kubelet.slice/kubelet-kubepods.slice",
		"kubepods/pod" + podUID, "kubepods/burstable/pod" + podUID, "kubepods/burstable/pod" + podUID + "/postgres",
		"pod" + podUID + "/" + idA, "burstable/pod" + podUID + "/" + idA, "kubelet/kubepods/burstable/pod" + podUID + "/" + idA,
		"kubepods-burstable-pod" + under + ".slice/postgres", "kubepods-pod" + gone + ".slice/app",
		"kubepods/burstable/pod" + uidGone + "/" + idDead,
		"kubepods-burstable-pod" + under + ".slice:cri-containerd:" + idA,
		"kubepods-burstable-pod" + gone + ".slice:cri-containerd:" + idDead,
		"kubelet.service", "system.slice/kubelet.service", "machine-postgres.scope", "machine-box.scope", "machine.slice/machine-postgres.scope",
		"systemd-nspawn@postgres.service", "postgres", "default/postgres", "lxc/web", "lxc.payload/web", "lxc.payload.web", "lxc.monitor.web",
		"lxc.payload.kubelet.service", `machine-\x2fsystem.slice\x2fkubelet.service.scope`,
		"slurm/uid_0/job_77", "slurmstepd.scope/job_77", "system.slice/slurmstepd.scope/job_77/step_0",
		"user.slice/user-0.slice/user@0.service/x.service", "user-0.slice/user@0.service/app.slice/x.service", "user@0.service/x.service",
		"user@0.service/libpod-" + idC + ".scope", "session-1.scope", "user.slice/user-0.slice/session-1.scope",
		// cgroup v1: other drivers', an ancestor's path anew, and LXC's before 4.
		"memory/kubepods/burstable/pod" + podUID + "/" + idA, "name=systemd/docker/" + idB, "docker/" + idB + "/docker/" + idA, "lxc/web/lxc/web", "lxc.monitor/web",
		// Nomad, LXD's projects, nerdctl, rkt, machined's other spellings, CRI-O's and Kata's helpers.
		"nomad/share/" + idA + ".app", "nomad.slice/share.slice/" + idA + ".app.scope", "lxc.payload.default_web", "lxc.pivot/web", "nerdctl/" + idB, "podruntime/docker/" + idB,
		"machine-web.scope/payload", `machine-qemu\x2d1\x2dbox.scope`, `machine-lxc\x2d1\x2dbox.scope`, `machine-box\x2escope.scope`, "systemd-nspawn@box.service/payload", `systemd-nspawn@\x62ox.service`,
		"kata_overhead/" + idA, "kata_" + idA + "/sub", "crio-conmon-" + idA, "machine.slice/libpod-conmon-" + idB + ".scope", "machine.slice/libpod_pod_" + idB + ".slice/libpod-" + idB + ".scope",
		"buildkit/" + idB, "buildkit/aaaaaaaaaaaaaaaaaaaaaaaaa", "user.slice/user-1000.slice/user@1000.service/x.service", "run-u1.service", "run-p1-i1.scope",
		// Of other lengths, in other cases, with blanks, and what is no path.
		idA[:63], idA + "0", idA[:12], idA + idB, strings.ToUpper(idA), "docker-" + strings.ToUpper(idB) + ".scope", "docker-" + idB + ".scope ", " docker-" + idB + ".scope",
		"docker-" + idB + ".SCOPE", "Kubepods/burstable/pod" + podUID, "kubepods /pod" + podUID, "KUBEPODS.slice", "kubepods/pod" + strings.ToUpper(podUID) + "/" + idA,
		"kubepods/burstable/POD" + podUID + "/" + idA, "kubelet.service ", "kubelet.Service", `kubelet\x2eservice`, `kubelet.servic\x65`, "kubelet.service\\x20", "...", "..kubepods", ".. /docker/" + idB,
		"-kubepods.slice", "x-kubepods.slice/x-kubepods-pod" + under + ".slice/" + idA, `kubepods-pod` + strings.ReplaceAll(under, "_", `\x2d`) + ".slice/" + idA, `kubepods-\x70od` + under + ".slice/" + idA,
		"docker:" + idB, "::" + idB, "a:b:c:" + idB, ":docker:" + idB, "kubepods-pod" + under + ".slice::" + idA, "kubepods-pod" + under + ".slice:crio:" + idA + ":x",
		"kubelet.service\xff", "kubelet.service\u200b", "\u202edocker", "postgres\u00a0", "docker/\x1b[0m" + idB,
		strings.Repeat("d/", 120) + "docker/" + idB, strings.Repeat("d/", 120) + "kubepods/pod" + podUID + "/" + idA, strings.Repeat("x", 255) + "/kubelet.service", strings.Repeat("x", 300-64) + idA, "user-0.slice/session-1.scope", "docker", "init.scope",
	}
	for _, id := range []string{idA, idB, idDead, idQuiet} {
		for _, spelling := range []string{
			"", "cri-containerd-.scope", "crio-.scope", "crio-conmon-.scope", "docker-.scope", "libpod-.scope", "libpod-conmon-.scope",
			"libpod-payload-", "nerdctl-.scope", "kata_", "newruntime-.scope", "crio-",
		} {
			base, scope := strings.CutSuffix(spelling, ".scope")
			name := base + id
			if scope {
				name += ".scope"
			}
			list = append(list, name, "docker/"+name, "system.slice/"+name,
				"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"+under+".slice/"+name,
				"kubepods/burstable/pod"+podUID+"/"+name)
		}
		list = append(list, "system.slice:docker:"+id, "k8s.io/"+id, "libpod_parent/libpod-"+id, "ecs/x/"+id)
	}
	return list
}

// No group in a tenant's territory gets the labels of anybody else, nor takes
// them from who has them, nor makes the tenant's own row vanish.
func TestSpoofing(t *testing.T) {
	t.Parallel()
	n := 0
	for _, place := range territories() {
		synctest.Test(t, func(t *testing.T) {
			for _, spelling := range spellings() {
				spoof(t, place, spelling)
				n++
			}
		})
	}
	if n < 10000 {
		t.Errorf("only %d attacks", n)
	}
}

func spoof(t *testing.T, place territory, spelling string) {
	t.Helper()
	names := newNamer(Options{}, []source{&fakeSource{names: victimNames()}})
	attack := place.at + "/" + spelling
	// The dead lives for one scrape.
	scanWith(names, nil, podPath+"/"+idDead)
	scanWith(names, nil, "/x.service")
	scanWith(names, nil, "/x.service")
	for _, first := range []bool{true, false} { // it may be there before its victims.
		if first {
			scanWith(names, place.own, attack+"/sub")
		}
		tree := scanWith(names, place.own, append(paths(victims()), attack+"/sub")...)
		check(t, tree, place, attack)
		scanWith(names, place.own, paths(victims())...) // and killed, and gone.
		for _, path := range []string{attack, attack + "/sub", attack + "/unseen"} {
			id, _ := names.Lookup(path)
			if foreign(row(&oom.Group{Identity: id}), place) {
				t.Errorf("%s, when it is gone, is %q", path, row(&oom.Group{Identity: id}))
			}
		}
	}
}

// own makes the territory's directory and what is below the tenant's.
func (p territory) own(tree *oom.Tree) {
	for i := range tree.Groups {
		if g := &tree.Groups[i]; p.owner != 0 && (g.Path == p.at || strings.HasPrefix(g.Path, p.at+"/")) {
			g.UID = p.owner
		}
	}
}

func paths(rows map[string]string) []string {
	return slices.Sorted(maps.Keys(rows))
}

func scanWith(n *Namer, prepare func(*oom.Tree), paths ...string) *oom.Tree {
	tree := treeOf(paths...)
	if prepare != nil {
		prepare(tree)
	}
	Classify(tree)
	n.Name(tree)
	return tree
}

// foreign tells whether labels are those of one of the victims.
func foreign(labels string, place territory) bool {
	if labels == place.row {
		return false
	}
	for _, want := range victims() {
		if labels == want {
			return true
		}
	}
	pod := strings.SplitN(labels, "|", 3)[1]
	own := strings.HasPrefix(place.row, "tenants|") && pod == "mine-0"
	return pod != "" && !own && !place.unit || strings.Contains(labels, "shop|")
}

func check(t *testing.T, tree *oom.Tree, place territory, attack string) {
	t.Helper()
	for path, want := range victims() {
		if got := row(find(t, tree, path)); got != want {
			t.Errorf("with %s, %s is %q, want %q", attack, path, got, want)
		}
	}
	for i := range tree.Groups {
		g := &tree.Groups[i]
		if !strings.HasPrefix(g.Path, place.at+"/") && g.Path != place.at {
			continue
		}
		if foreign(row(g), place) {
			t.Errorf("%s is %q", g.Path, row(g))
		}
		if owner := &tree.Groups[g.Owner]; foreign(row(owner), place) {
			t.Errorf("%s counts for %s, %q", g.Path, owner.Path, row(owner))
		}
		if place.row != "" && !place.mayHold && (row(g) != place.row || tree.Groups[g.Owner].Kind != oom.KindContainer) {
			t.Errorf("%s is %q, its owner of kind %v; want all of it to be %q", g.Path, row(g), tree.Groups[g.Owner].Kind, place.row)
		}
	}
}

// Of two users' groups that claim one id, the older one has it, wherever it
// stands in the tree, and also where nobody but users has containers.
func TestOlderClaimAmongUsers(t *testing.T) {
	t.Parallel()
	in := func(uid string) string {
		return "/user.slice/user-" + uid + ".slice/user@" + uid + ".service/user.slice/libpod-" + idC + ".scope"
	}
	synctest.Test(t, func(t *testing.T) {
		web := found{ID: idC, Rootless: true, Workload: oom.Workload{Container: "web"}}
		n := newNamer(Options{}, []source{&fakeSource{names: []found{web}}})
		tree := treeOf(in("1000"), in("1001"))
		find(t, tree, in("1000")).Inode = 900
		find(t, tree, in("1001")).Inode = 800
		Classify(tree)
		n.Name(tree)
		expectRow(t, tree, in("1001"), "||user@1001.service/web")
		expectRow(t, tree, in("1000"), "||/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-*.scope")
	})
}

// A user's storage may list the containers of others. It says nothing of them:
// no image, no runtime, and a container that has no name yet may still get one.
func TestRootlessStorageOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		evil := func(id string) found {
			return found{ID: id, Rootless: true, Image: "evil:1", Runtime: runtimePodman, Workload: oom.Workload{Container: "evil"}}
		}
		files := &fakeSource{names: []found{isApp(idB, "app")}, takes: 2 * time.Millisecond}
		storage := []found{evil(idA), evil(idB), evil(idC), evil(idBox)}
		for i := range 64 {
			storage = append(storage, evil(fmt.Sprintf("%064x", i)))
		}
		n := newNamer(Options{MaxNames: 16}, []source{files, &fakeSource{names: storage}})
		mine := "/user.slice/user-1000.slice/user@1000.service/libpod-" + idBox + ".scope"
		var tree *oom.Tree
		for range 2 {
			tree, _ = scan(n, pathA, pathB, "/docker/"+idC, mine)
			synctest.Wait()
		}
		expectRow(t, tree, pathA, "default|web-0|POD")
		expectRow(t, tree, pathB, "default|web-0|app")
		expectRow(t, tree, mine, "||user@1000.service/evil")
		for _, path := range []string{pathA, pathB, "/docker/" + idC} {
			if g := find(t, tree, path); g.Image != "" || g.Runtime == runtimePodman {
				t.Errorf("%s is %s's, from %q", path, g.Runtime, g.Image)
			}
		}
		if len(n.cache.containers) != 4 {
			t.Errorf("%d containers are remembered, want the 4 that there are", len(n.cache.containers))
		}
		files.set([]found{isApp(idB, "app"), {ID: idC, Workload: oom.Workload{Container: "late"}}}, nil)
		later(time.Second)
		scan(n, pathA, pathB, "/docker/"+idC, mine)
		later(time.Second)
		tree, _ = scan(n, pathA, pathB, "/docker/"+idC, mine)
		expectRow(t, tree, "/docker/"+idC, "||late")
		later(time.Second) // for what still runs.
	})
}

// What a user's storage said of a group of the user's is forgotten with it when
// the container turns up where root has put it.
func TestRootlessNameIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		evil := found{ID: idC, Rootless: true, Image: "evil:1", Runtime: runtimePodman, Workload: oom.Workload{Container: "evil"}}
		files := &fakeSource{}
		n := newNamer(Options{}, []source{files, &fakeSource{names: []found{evil}}})
		mine := "/user.slice/user-1000.slice/user@1000.service/libpod-" + idC + ".scope"
		scan(n, mine)
		synctest.Wait()
		files.set([]found{{ID: idC, Workload: oom.Workload{Container: "db"}}}, nil)
		var tree *oom.Tree
		for range 2 {
			tree, _ = scan(n, mine, "/ecs/task/"+idC)
			synctest.Wait()
		}
		expectRow(t, tree, "/ecs/task/"+idC, "||db")
		if g := find(t, tree, "/ecs/task/"+idC); g.Image != "" || g.Runtime != runtimeDocker {
			t.Errorf("it is %s's, from %q", g.Runtime, g.Image)
		}
	})
}
