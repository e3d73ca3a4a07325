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

	noRegistry = "needs a registry that the tests may push to or pull from"
)

// Trials are all commands of the pages.
func Trials() []Trial {
	return []Trial{
		{Page: readme, Begin: "go run ./cmd/oom_exporter", Test: quickStart},
		{Page: readme, Begin: "curl -s localhost:10137/metrics", Test: quickStart},
		{Page: readme, Begin: "make test", Test: made},
		{Page: readme, Begin: "helm install", Test: inTheLab},

		{Page: install, Begin: "make image", Not: noRegistry + ", for the base image"},
		{Page: install, Begin: "docker run", Not: "needs the image of make image, and a bridge with rules in the machine's firewall"},
		{Page: install, Begin: "curl -s localhost:10137/metrics", Test: quickStart},
		{Page: install, Begin: "docker compose", Not: noRegistry + ", for Prometheus, Alertmanager and Grafana"},
		{Page: install, Begin: "make release", Test: made},
		{Page: install, Begin: "dpkg --install", Test: "e2e/release TestDeb"},
		{Page: install, Begin: "systemctl enable", Not: "needs systemd as PID 1, which the tests' machine does not have; systemd-analyze verifies the unit"},
		{Page: install, Begin: "skopeo copy", Not: noRegistry},
		{Page: install, Begin: "kubectl create namespace", Test: inTheLab},
		{Page: install, Begin: "kubectl label namespace", Test: inTheLab},
		{Page: install, Begin: "helm install", Test: inTheLab},
		{Page: install, Begin: "kubectl --namespace oom-exporter rollout", Test: inTheLab},
		{Page: install, Begin: "kubectl --namespace oom-exporter exec", Test: inTheLab},

		{Page: platforms, Begin: "kubectl label namespace", Test: inTheLab},
		{Page: platforms, Begin: "oc apply", Not: "needs OpenShift"},
		{Page: platforms, Begin: "helm install", Not: "needs OpenShift; without SELinux it is the chart's other case"},

		{Page: upgrades, Begin: "helm upgrade", Test: inTheLab},
		{Page: upgrades, Begin: "helm rollback", Test: inTheLab},
		{Page: upgrades, Begin: "kubectl --namespace oom-exporter rollout", Test: inTheLab},
	}
}

// Shown are the first lines of blocks that are no commands.
func Shown() []string {
	return []string{
		"oom_exporter top  node1  2026-11-22 02:33:51",
		"shop/web-7d9c/app grew from 251.4 MiB to 512.0 MiB in 34 min, 7.6 MiB a minute, nearly straight, anonymous",
		"apiVersion: security.openshift.io/v1",
	}
}
