// SPDX-License-Identifier: Apache-2.0

package commands

// Trial says of a command of a page by which test it is run as it stands there,
// or why by none.
type Trial struct {
	Page, Begin string // of the command.
	Test        string // directory and name.
	Not         string
}

const (
	readme    = "README.md"
	install   = "docs/install/README.md"
	platforms = "docs/install/platforms.md"
	upgrades  = "docs/install/upgrades.md"

	quickStart = "e2e/release TestQuickStart"
	inTheLab   = "e2e/kubernetes TestKubernetes"
	made       = "e2e/commands TestMakeTargets"
	inAGuest   = "e2e/release TestSystemd" // of make e2e-full.

	noRegistry = "needs a registry that the tests may push to or pull from"
)

// Trials are all commands of the pages.
func Trials() []Trial {
	return []Trial{
		{Page: readme, Begin: "go run ./cmd/oom_exporter", Test: quickStart},
		{Page: readme, Begin: "curl -s localhost:10137/metrics", Test: quickStart},
		{Page: readme, Begin: "make test", Test: made},
		{Page: readme, Begin: "helm install", Test: inTheLab},

		{Page: install, Begin: "make image", Not: noRegistry + ", for the base image; e2e TestImage builds the Dockerfile by buildah on another one"},
		{Page: install, Begin: "docker run", Test: "e2e/release TestDockerRun"},
		{Page: install, Begin: "curl -s localhost:10137/metrics", Test: quickStart},
		{Page: install, Begin: "docker compose", Not: noRegistry + ", for Prometheus, Alertmanager and Grafana; promtool and amtool check what it mounts"},
		{Page: install, Begin: "make release", Test: made},
		{Page: install, Begin: "dpkg --install", Test: "e2e/release TestDeb"},
		{Page: install, Begin: "rpm --install", Not: "Debian's rpm knows of no installed package, so that it misses /bin/sh; TestRPM installs into an empty root with --nodeps"},
		{Page: install, Begin: "systemctl enable", Test: inAGuest},
		{Page: install, Begin: "skopeo copy", Test: "e2e/release TestRegistry"},
		{Page: install, Begin: "kind load", Not: "needs kind and its node image, from a registry"},
		{Page: install, Begin: "k3s ctr", Not: "needs k3s, whose program is to be had from its own site only"},
		{Page: install, Begin: "ctr --namespace k8s.io images import", Test: "e2e/release TestImages"},
		{Page: install, Begin: "kubectl create namespace", Test: inTheLab},
		{Page: install, Begin: "kubectl label namespace", Test: inTheLab},
		{Page: install, Begin: "helm install", Test: inTheLab},
		{Page: install, Begin: "kubectl --namespace oom-exporter rollout", Test: inTheLab},
		{Page: install, Begin: "kubectl --namespace oom-exporter exec", Test: inTheLab},
		{Page: install, Begin: "sed ", Test: inTheLab},

		{Page: platforms, Begin: "kubectl label namespace", Test: inTheLab},
		{Page: platforms, Begin: "oc apply", Not: "needs OpenShift"},
		{Page: platforms, Begin: "helm install", Not: "needs OpenShift; without SELinux it is the chart's other case"},

		{Page: upgrades, Begin: "helm upgrade", Test: inTheLab},
		{Page: upgrades, Begin: "helm rollback", Test: inTheLab},
		{Page: upgrades, Begin: "kubectl --namespace oom-exporter rollout", Test: inTheLab},
		{Page: upgrades, Begin: "systemctl restart", Test: inAGuest},
	}
}

// Shown are the first lines of blocks that are no commands.
func Shown() []string {
	return []string{
		"oom_exporter top  node1  2026-11-22 02:33:51",
		"shop/web-7d9c/app grew from 251.4 MiB to 512.0 MiB in 34 min, 7.6 MiB a minute, nearly straight, anonymous",
		"apiVersion: security.openshift.io/v1",
		"scrape_configs:",
	}
}
