// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/e2e/commands"
	"github.com/oom-exporter/oom_exporter/e2e/lab"
)

const (
	// What the pages' commands say: the namespace, and the image.
	pagesNamespace = "oom-exporter"
	pagesImage     = "registry.example.com/team/oom-exporter"
)

// upgraded are the containers that are killed in while the exporter is replaced,
// with the kills that there are before the first rollout and after the last.
var upgraded = []victim{
	{pod: "upgrade", container: "lives", comm: "lives", kills: 3},
	{pod: "upgrade", container: "dies", comm: "dies", kills: 1}, // kubelet waits ever longer.
}

// rollout is what the change of the exporter's pod did to the counts.
type rollout struct {
	name   string
	gap    time.Duration // between the last scrape of the old pod and the first of the new.
	kills  uint64        // in that time.
	fallen []string      // counters.
}

// words runs a command as it stands on a page.
func (n *node) words(t *testing.T, helm, page, begin string) string {
	t.Helper()
	root, bin := lab.Repository(t), t.TempDir()
	command, err := commands.Find(root, page, begin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(helm, filepath.Join(bin, "helm")); err != nil {
		t.Fatal(err)
	}
	cmd := n.client("sh", "-euc", command)
	cmd.Dir, cmd.Env = root, append(cmd.Env, fmt.Sprintf("PATH=%s:%s:%s", bin, n.bin, os.Getenv("PATH")))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s of %s: %v\n%s", command, page, err, out)
	}
	return string(out)
}

// checkUpgrade installs, upgrades and rolls back the chart by the words of the
// pages, while the kernel kills without a pause: every kill is counted once.
func (n *node) checkUpgrade(t *testing.T, helm string, log *lab.KernelLog) {
	n.installByPage(t, helm)
	var before lab.Metrics
	var killed uint64
	lab.Eventually(t, late, "nothing is pending", func() bool {
		killed = lab.NodeKills(t)
		before = n.scrapePod(t, n.exporter(t, pagesNamespace))
		return before.Value(t, "oom_pending_kills") == 0 && killed == lab.NodeKills(t)
	})
	n.mustKubectl(t, "apply", "-f", n.manifest(t, "upgrade.yaml"))
	n.moreKills(t, log)
	rollouts := []rollout{
		n.rollOut(t, helm, "helm upgrade", func() { n.words(t, helm, "docs/install/upgrades.md", "helm upgrade") }),
		n.rollOut(t, helm, "helm rollback", func() { n.words(t, helm, "docs/install/upgrades.md", "helm rollback") }),
	}
	n.moreKills(t, log)
	n.mustKubectl(t, "-n", shop, "delete", "pod", "upgrade", "--wait", "--timeout="+ready.String())

	exporter := n.exporter(t, pagesNamespace)
	var m lab.Metrics
	told := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("at the end %s", told)
			t.Logf("the records are\n%s", n.get(t, fmt.Sprintf("http://%s:10137/api/v1/kills?limit=500", exporter.Status.PodIP)))
		}
	})
	lab.Eventually(t, late, "all kills are counted", func() bool {
		m = n.scrapePod(t, exporter)
		told = fmt.Sprintf("%v kills are pending", m.Value(t, "oom_pending_kills"))
		whole := m.Value(t, "oom_pending_kills") == 0
		for _, v := range upgraded {
			told += fmt.Sprintf(", %s has %d of %d", v.container, v.counted(m), log.Kills(t, v.process()))
			whole = whole && v.counted(m) >= log.Kills(t, v.process())
		}
		return whole
	})
	ours, since := 0, func(family string) int { return int(m.Sum(family) - before.Sum(family)) }
	for _, v := range upgraded {
		ours += log.Kills(t, v.process())
		if got, want := v.counted(m), log.Kills(t, v.process()); got != want || want < 2*v.kills {
			t.Errorf("%s has %d kills, the kernel killed %d", v.container, got, want)
		}
	}
	all := int(lab.NodeKills(t) - killed)
	if counted := since("oom_kills_total") + since("oom_kill_duplicates_total"); counted != all {
		t.Errorf("%d kills are counted, the kernel counts %d", counted, all)
	}
	if unnamed := since("oom_unattributed_kills_total"); unnamed != 0 && all == ours {
		t.Errorf("%d kills have no name", unnamed)
	}
	missed := uint64(0)
	for _, r := range rollouts {
		missed += r.kills
		for _, text := range r.fallen {
			t.Errorf("%s: a counter fell: %s", r.name, text)
		}
	}
	if missed == 0 {
		t.Error("nothing was killed without an exporter: the test shows nothing")
	}
	writeUpgrades(t, rollouts, m, log)
	n.reinstallByReadme(t, helm)
	n.installByManifests(t, helm)
}

// installByPage installs the chart as the page for installing says.
func (n *node) installByPage(t *testing.T, helm string) {
	t.Helper()
	const state = "/run/oom_exporter"
	if !lab.Exists(state) {
		t.Cleanup(func() { _ = os.RemoveAll(state) })
	}
	upgrade, err := commands.Find(lab.Repository(t), "docs/install/upgrades.md", "helm upgrade")
	if err != nil {
		t.Fatal(err)
	}
	_, next, _ := strings.Cut(upgrade, "image.tag=")
	now, err := os.ReadFile(filepath.Join(lab.Repository(t), "VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{strings.TrimSpace(string(now)), strings.TrimSpace(next)} {
		n.containerd.Import(t, lab.Image{
			Ref: pagesImage + ":" + tag, User: "65534:65534", Entrypoint: []string{"/oom_exporter"}, Files: map[string]string{"/oom_exporter": lab.Binary(t)},
		})
	}
	n.words(t, helm, "docs/install/README.md", "kubectl create namespace")
	n.words(t, helm, "docs/install/README.md", "kubectl label namespace")
	n.words(t, helm, "docs/install/platforms.md", "kubectl label namespace")
	n.words(t, helm, "docs/install/README.md", "helm install")
	n.words(t, helm, "docs/install/README.md", "kubectl --namespace oom-exporter rollout")
	p := n.exporter(t, pagesNamespace)
	if out := n.words(t, helm, "docs/install/README.md", "kubectl --namespace oom-exporter exec"); !strings.Contains(out, "cgroup") {
		t.Errorf("doctor says %s", out)
	}
	// What `helm test` asks, for which this cluster has no names of services.
	n.mustKubectl(t, "-n", pagesNamespace, "exec", p.Metadata.Name, "--", "/oom_exporter", "events", "--last=10", fmt.Sprintf("--url=http://%s:10137", p.Status.PodIP))
}

// reinstallByReadme removes the chart and installs it as README says.
func (n *node) reinstallByReadme(t *testing.T, helm string) {
	t.Helper()
	remove := func() {
		if out, err := n.client(helm, "uninstall", release, "--namespace", pagesNamespace, "--wait").CombinedOutput(); err != nil {
			t.Fatalf("helm uninstall: %v\n%s", err, out)
		}
		n.mustKubectl(t, "delete", "namespace", pagesNamespace, "--wait", "--timeout="+ready.String())
	}
	remove()
	n.words(t, helm, "README.md", "helm install")
	n.exporter(t, pagesNamespace)
	remove()
}

// installByManifests installs without Helm, as the page says.
func (n *node) installByManifests(t *testing.T, helm string) {
	t.Helper()
	n.words(t, helm, "docs/install/README.md", "sed ")
	if p := n.exporter(t, pagesNamespace); !n.scrapePod(t, p).Has("oom_node_kill_margin_bytes") {
		t.Error("the manifests' exporter has no margin of the node")
	}
	n.mustKubectl(t, "delete", "-f", filepath.Join(lab.Repository(t), "docs/install/kubernetes.yaml"), "--wait", "--timeout="+ready.String())
}

// moreKills waits until each container was killed in as often again.
func (n *node) moreKills(t *testing.T, log *lab.KernelLog) {
	t.Helper()
	for _, v := range upgraded {
		want := log.Kills(t, v.process()) + v.kills
		lab.Eventually(t, ready, fmt.Sprintf("%d kills in %s", want, v.container), func() bool { return log.Kills(t, v.process()) >= want })
	}
}

// rollOut changes the exporter's DaemonSet and follows the counters over it.
func (n *node) rollOut(t *testing.T, helm, name string, change func()) rollout {
	t.Helper()
	old := n.exporter(t, pagesNamespace)
	last := n.lastScrape(t, old)
	change()
	n.words(t, helm, "docs/install/upgrades.md", "kubectl --namespace oom-exporter rollout")
	p := n.exporter(t, pagesNamespace)
	if p.Metadata.UID == old.Metadata.UID {
		t.Fatalf("%s did not replace the pod", name)
	}
	first, seen := n.scrapePod(t, p), <-last
	return rollout{name, time.Since(seen.at), lab.NodeKills(t) - seen.kills, lab.Fallen(lab.ParseMetrics(t, seen.text).KillCounters(), first.KillCounters())}
}

// scraped is a scrape and what the kernel had counted before it.
type scraped struct {
	text  string
	at    time.Time
	kills uint64
}

// lastScrape scrapes the pod until it does not answer any more.
func (n *node) lastScrape(t *testing.T, p pod) <-chan scraped {
	t.Helper()
	url := fmt.Sprintf("http://%s:10137/metrics", p.Status.PodIP)
	seen := scraped{n.get(t, url), time.Now(), lab.NodeKills(t)}
	done, client := make(chan scraped, 1), n.netns.client()
	client.Timeout = 5 * time.Second
	go func() {
		for {
			kills := lab.NodeKills(t)
			text, err := lab.GetBy(client, url)
			if err != nil {
				done <- seen
				return
			}
			seen = scraped{text, time.Now(), kills}
		}
	}()
	return done
}

const upgradesHead = `# An upgrade and a rollback under kills

The chart is installed, upgraded to another image and rolled back on a real Kubernetes node, by the commands of docs/install, while the kernel kills in
two containers without a pause. There is no older release yet, so both images have the program of this version. Of the containers, one loses a child each second and lives on, one dies with its only process and is started again. *gap* is the time
between the last scrape that the old pod answered and the first of the new one, *kills in the gap* what /proc/vmstat counted in it; *fallen* are counters of
kills that were lower after the gap than before. *kernel* is the "Killed process" lines of its log, *exporter* is ` + "`oom_container_kills_total`" + `.

Written by ` + "`go test -tags e2e ./e2e/kubernetes`" + ` with OOM_E2E_EVIDENCE set.

`

func writeUpgrades(t *testing.T, rollouts []rollout, m lab.Metrics, log *lab.KernelLog) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%scgroup v%d, Kubernetes %s, %s.\n\n| | gap | kills in the gap | fallen |\n|---|---|---|---|\n", upgradesHead,
		lab.MemoryHierarchy(t).Version, version, time.Now().UTC().Format(time.DateOnly))
	for _, r := range rollouts {
		fmt.Fprintf(&b, "| %s | %.1f s | %d | %d |\n", r.name, r.gap.Seconds(), r.kills, len(r.fallen))
	}
	b.WriteString("\n| container | exporter | kernel |\n|---|---|---|\n")
	for _, v := range upgraded {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", v.container, v.counted(m), log.Kills(t, v.process()))
	}
	t.Log(b.String())
	if dir := os.Getenv("OOM_E2E_EVIDENCE"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, "upgrades.md"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
