// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"regexp"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/logging"
	"github.com/oom-exporter/oom_exporter/internal/predict"
)

// config is the command line, parsed.
type config struct {
	check bool

	procfs, sysfs, rootfs string
	logLevel, logFormat   string
	criSocket             string
	maxGroups             int
	priority, realtime    int

	web           *toolkit.FlagConfig
	telemetryPath string

	policy                 string
	marginRatio            float64
	marginMin, marginMax   predict.Threshold
	filter                 guard.Filter
	preferences            guard.Preferences
	share                  float64
	timeToLimit            time.Duration
	coolDown               time.Duration
	killsPerMinute         int
	killsPerNamespace      int
	killSwitch             string
	adjBelow               int
	protect                *regexp.Regexp
	pollMin, pollMax, scan time.Duration
	stages                 guard.Stages
	warnURL, warnSignal    string
	throttleFile           string

	events                               bool
	kubeAPI, kubeToken, kubeCA, nodeName string
}

// protected are the programs that a node can't do without. The kernel cuts their names
// (comm) to 15 characters.
const protected = `oom_(exporter|guard)|kubelet|containerd(-shim.*)?|dockerd|docker-proxy|crio|conmon(rs)?|podman|runc|crun|systemd(-.*)?|init|dbus-daemon|sshd|etcd|kube-.*|k3s-.*|rke2|k0s`

// newApp declares every flag; docs/guard-reference.md is generated from it.
func newApp(c *config) *kingpin.Application {
	app := kingpin.New("oom_guard", "Acts before the kernel's OOM killer must: reclaims, and if told so kills, in groups near their memory limit. By default it only says what it would do.")
	app.Version(version.Print("oom_guard"))
	app.HelpFlag.Short('h')
	app.Flag("check", "Print what is watched, with thresholds and what would be done now, and end.").BoolVar(&c.check)
	policyFlags(app, c)
	stageFlags(app, c)
	filterFlags(app, c)
	preferenceFlags(app, c)
	safetyFlags(app, c)
	traceFlags(app, c)
	hostFlags(app, c)
	return app
}

func policyFlags(app *kingpin.Application, c *config) {
	cli.Set(app.Flag("policy", "What to do about a group that is about to reach its limit, when reclaim does not help: noop (say what would be done), process (kill the process that the kernel would choose), container (end the container that it is in)."), string(guard.PolicyNoop), cli.OneOf(&c.policy, guard.Policies()...))
	cli.Set(app.Flag("margin-ratio", "Margin below a limit, as a part of it: the threshold is the limit less the margin."), "0.02", cli.Ratio(&c.marginRatio))
	cli.Set(app.Flag("min-margin", "The least margin. A group whose margin would take more than a quarter of its limit is not watched. On a node with more than two CPUs it is about 768 KiB a CPU, but no more than an eighth of the limit, since usage includes what the CPUs have charged ahead."), "1Mi", bytesOf(&c.marginMin))
	cli.Set(app.Flag("max-margin", "The largest margin that the ratio gives."), "50Mi", bytesOf(&c.marginMax))
	cli.Set(app.Flag("reclaimable-share", "Nothing is killed where reclaim could still free more than this part of the limit."), "0.05", cli.Ratio(&c.share))
	cli.Set(app.Flag("time-to-limit", "Nothing is killed unless the group would reach its limit within this time, at the growth seen."), "250ms", cli.Duration(&c.timeToLimit, time.Millisecond))
	var unused time.Duration // reclaim is asked for only where a kill is next, so there is nothing to space out.
	cli.Set(app.Flag("reclaim-interval", "Not used any more.").Hidden(), "1m", cli.Duration(&unused, 0))
	cli.Set(app.Flag("poll.min", "Shortest time between two looks at a group."), "2ms", cli.Duration(&c.pollMin, time.Millisecond))
	cli.Set(app.Flag("poll.max", "Longest time between two looks at a group for which the kernel sends no notices."), "5s", cli.Duration(&c.pollMax, 10*time.Millisecond))
	cli.Set(app.Flag("scan.interval", "Time between two passes over all groups; what is new is found sooner where the kernel tells of it."), "10m", cli.Duration(&c.scan, time.Second))
}

// stageFlags are those of the stages before a kill.
func stageFlags(app *kingpin.Application, c *config) {
	cli.Set(app.Flag("warn-ahead", "Warn a workload when it would reach its limit within this time, at the growth seen; that is how long it has. Needs --warn.url or --warn.signal."), "10s", cli.Duration(&c.stages.WarnAhead, 0))
	app.Flag("warn.url", "Warn by an HTTP POST of JSON to this URL. Redirects are not followed, answers are not waited for.").PlaceHolder("URL").StringVar(&c.warnURL)
	cli.Set(app.Flag("warn.signal", "Warn by this signal to the processes that would be killed, those that have a handler for it: none, SIGUSR1, SIGUSR2, SIGHUP or SIGQUIT."), "none", cli.OneOf(&c.warnSignal, "none", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT"))
	cli.Set(app.Flag("throttle-ahead", "Throttle a cgroup by memory.high (v2) when it would reach its limit within this time, at the growth seen. This writes a limit, which is put back. 0: never."), "0s", cli.Duration(&c.stages.ThrottleAhead, 0))
	cli.Set(app.Flag("throttle-time", "How long a cgroup is throttled at most; then its own memory.high is put back."), "10s", cli.Duration(&c.stages.ThrottleTime, time.Millisecond))
	cli.Set(app.Flag("throttle-file", "File that records which cgroups are throttled, so that a guard that is restarted puts their memory.high back. Where it can't be written, nothing is throttled."), "/run/oom_guard/throttled", cli.Text(&c.throttleFile, "a file"))
	cli.Set(app.Flag("term-ahead", "Send SIGTERM instead of SIGKILL when the limit would be reached within this time, but not within --time-to-limit; SIGKILL follows then. 0: never."), "0s", cli.Duration(&c.stages.TermAhead, 0))
}

func filterFlags(app *kingpin.Application, c *config) {
	for _, f := range []struct {
		what string
		to   *guard.Match
	}{
		{"namespace", &c.filter.Namespace},
		{"pod", &c.filter.Pod},
		{"container", &c.filter.Container},
		{"unit", &c.filter.Unit},
		{"qos", &c.filter.QoS},
	} {
		cli.Set(app.Flag("include."+f.what, fmt.Sprintf("Regular expression, anchored: watch only workloads with such a %s.", f.what)).PlaceHolder("REGEXP"), "", cli.Regexp(&f.to.Include))
		cli.Set(app.Flag("exclude."+f.what, fmt.Sprintf("Regular expression, anchored: do not watch workloads with such a %s.", f.what)).PlaceHolder("REGEXP"), "", cli.Regexp(&f.to.Exclude))
	}
}

// preferenceFlags are those that choose between workloads that share a limit.
func preferenceFlags(app *kingpin.Application, c *config) {
	for _, class := range []struct {
		name, help, standard string
		to                   *guard.Filter
	}{
		{"prefer", "Regular expression, anchored: where workloads share a limit, those with such a %s are hit before others.", "", &c.preferences.Prefer},
		{"avoid", "Regular expression, anchored: where workloads share a limit, those with such a %s are hit after all others.", "kube-system", &c.preferences.Avoid},
		{"never", "Regular expression, anchored: workloads with such a %s are never hit.", "", &c.preferences.Never},
	} {
		for _, f := range []struct {
			what string
			to   *guard.Match
		}{
			{"namespace", &class.to.Namespace},
			{"pod", &class.to.Pod},
			{"container", &class.to.Container},
			{"unit", &class.to.Unit},
			{"qos", &class.to.QoS},
		} {
			standard := ""
			if f.what == "namespace" {
				standard = class.standard
			}
			cli.Set(app.Flag(class.name+"."+f.what, fmt.Sprintf(class.help, f.what)).PlaceHolder("REGEXP"), standard, cli.Regexp(&f.to.Include))
		}
	}
}

func safetyFlags(app *kingpin.Application, c *config) {
	cli.Set(app.Flag("protect.adj-below", "Processes with an oom_score_adj below this are never killed, nor containers that hold one. The default spares Guaranteed pods and system-node-critical ones, which kubelet gives -997."), "-900", cli.Int(&c.adjBelow, -1000, 1000))
	cli.Set(app.Flag("protect.comm", "Regular expression, anchored: processes with such a name are never killed, if they run in no container; what shares a group with one is killed without it.").PlaceHolder("REGEXP"), protected, cli.Regexp(&c.protect))
	cli.Set(app.Flag("cool-down", "Time after a kill in which nothing is killed in that group, above or below it, unless its usage has fallen below the threshold and rises again."), "10s", cli.Duration(&c.coolDown, 0))
	cli.Set(app.Flag("kills-per-minute", "Kills on this node in any minute; the end of a container is one. In its first minute the guard works up to it, so that one that restarts over and over kills little."), "6", cli.Int(&c.killsPerMinute, 0, 1<<20))
	cli.Set(app.Flag("kills-per-minute-per-namespace", "Kills in one namespace in any minute; outside Kubernetes of one user, unit or container. 0: half of those on the node."), "0", cli.Int(&c.killsPerNamespace, 0, 1<<20))
	cli.Set(app.Flag("kill-switch", "While this file is there, nothing is killed."), "/run/oom_guard/off", cli.Text(&c.killSwitch, "a file"))
	cli.Set(app.Flag("priority", "Nice value to run at, so that a busy node does not hold the guard up; needs CAP_SYS_NICE below 0."), "-10", cli.Int(&c.priority, -20, 19))
	cli.Set(app.Flag("realtime-priority", "Real-time priority (SCHED_RR) to run at, 1 to 99, so that processes that never wait do not delay the guard; needs CAP_SYS_NICE. 0: only --priority."), "1", cli.Int(&c.realtime, 0, 99))
}

func traceFlags(app *kingpin.Application, c *config) {
	c.web = kingpinflag.AddFlags(app, ":10138")
	cli.Set(app.Flag("web.telemetry-path", "Path of the metrics."), "/metrics", cli.Path(&c.telemetryPath))
	cli.Set(app.Flag("log.level", "Lines below this level are not logged: debug, info, warn or error."), "info", cli.OneOf(&c.logLevel, logging.Levels()...))
	cli.Set(app.Flag("log.format", "The log's format: logfmt or json."), "logfmt", cli.OneOf(&c.logFormat, logging.Formats()...))
	app.Flag("kubernetes-events", "Write an Event on the pod for what was killed, or would have been.").BoolVar(&c.events)
	app.Flag("kubernetes.api", "Address of the API server; default: what kubelet tells each pod.").StringVar(&c.kubeAPI)
	app.Flag("kubernetes.token-file", "The service account's token; default: where kubelet puts it.").StringVar(&c.kubeToken)
	app.Flag("kubernetes.ca-file", "The API server's CA; default: where kubelet puts it.").StringVar(&c.kubeCA)
	app.Flag("kubernetes.node", "This node's name, in events; default: $NODE_NAME.").StringVar(&c.nodeName)
}

func hostFlags(app *kingpin.Application, c *config) {
	cli.Set(app.Flag("path.procfs", "The proc file system."), "/proc", cli.Text(&c.procfs, "a directory"))
	cli.Set(app.Flag("path.sysfs", "The sys file system, below which cgroups are looked for."), "/sys", cli.Text(&c.sysfs, "a directory"))
	cli.Set(app.Flag("path.rootfs", "The host's root, below which the names of containers are looked for."), "/", cli.Text(&c.rootfs, "a directory"))
	app.Flag("cri.socket", "The container runtime's CRI socket: containers are ended through it, and named by it. Without it the kernel ends them.").StringVar(&c.criSocket)
	cli.Set(app.Flag("limits.groups", "Memory cgroups to read in one pass at most."), "20000", cli.Int(&c.maxGroups, 1, 1<<20))
}

// bytesOf reads a size such as 50Mi; a percentage makes no sense here.
func bytesOf(to *predict.Threshold) func(string) error {
	return func(s string) error {
		t, err := predict.ParseThreshold(s)
		if err != nil || t.Bytes(0) == 0 {
			return fmt.Errorf("must be a size in bytes, like 1Mi or 52428800")
		}
		*to = t
		return nil
	}
}

// parseArgs reads the command line. No config means that help or the version
// was asked for and printed.
func parseArgs(args []string, std streams) (*config, error) {
	c := &config{}
	app := newApp(c)
	stopped := false
	app.Terminate(func(int) { stopped = true })
	app.UsageWriter(std.out)
	app.ErrorWriter(std.err)
	_, err := app.Parse(args)
	switch {
	case stopped:
		return nil, nil
	case err != nil:
		return nil, cli.UsageError{Err: fmt.Errorf("%w; see oom_guard --help", err)}
	case c.marginMin.Bytes(0) > c.marginMax.Bytes(0):
		return nil, cli.UsageError{Err: fmt.Errorf("--min-margin=%s is above --max-margin=%s", c.marginMin, c.marginMax)}
	case c.stages.TermAhead > 0 && c.stages.TermAhead <= c.timeToLimit:
		return nil, cli.UsageError{Err: fmt.Errorf("--term-ahead=%v leaves no time before --time-to-limit=%v", c.stages.TermAhead, c.timeToLimit)}
	case c.pollMin > c.pollMax:
		return nil, cli.UsageError{Err: fmt.Errorf("--poll.min=%v is above --poll.max=%v", c.pollMin, c.pollMax)}
	}
	return c, nil
}
