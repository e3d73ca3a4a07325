// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/logging"
	"github.com/oom-exporter/oom_exporter/internal/predict"
	"github.com/oom-exporter/oom_exporter/internal/report"
)

// config is the command line, parsed.
type config struct {
	procfs, sysfs, rootfs, kmsg string
	logLevel, logFormat         string
	criSocket, dockerSocket     string
	podmanRoots, rootlessRoots  []string

	web           *toolkit.FlagConfig
	telemetryPath string
	selfMetrics   bool
	webPage       bool
	createdLines  bool
	maxRequests   int
	minInterval   time.Duration
	connections   int
	dropRights    bool
	timeoutOffset time.Duration

	collectors      map[string]*bool
	enable, disable *regexp.Regexp
	profile         string
	filter          collector.Filter

	processTop     int
	nearRatio      float64
	kubelet        predict.Kubelet
	unlimitedUnits bool
	serving        bool // the serve command runs: events are wanted.

	format, eventsURL, topFilter string
	askURL, whyKill              string
	logFiles                     []string
	explainTop                   int
	selection                    report.Selection
	once                         bool
	shell                        string
	events                       eventFilter
	interval                     time.Duration

	kmsgMode, tracefsMode, bpfMode string
	stateFile                      string
	deadKeep                       int
	deadAge                        time.Duration
	record                         bool
	recordings                     int

	maxProcesses int
	maxGroups    int
	maxSeries    int
	refresh      int
	openGroups   int
}

// newApp declares every flag and command of the program; docs/flags.md is generated
// from it.
func newApp(c *config) *kingpin.Application {
	app := kingpin.New("oom_exporter", "Tells Prometheus which container is about to be OOM-killed, who the kernel will kill next, and who it did kill and why.")
	app.Version(version.Print("oom_exporter"))
	app.HelpFlag.Short('h')
	commonFlags(app, c)
	serve := app.Command("serve", "Serve metrics. This is the default command.").Default()
	webFlags(serve, c)
	collectorFlags(serve, c)
	eventFlags(serve, c)
	recorderFlags(serve, c)
	explain := app.Command("explain", "Turn a kernel log into a report: who was killed, by whose limit, why this one, what would have been next.")
	explainFlags(explain, c)
	events := app.Command("events", "List the recorded kills of this host, the newest last: those of the running exporter, else those that the kernel log still has. It says on standard error which.")
	listFlags(events, c)
	formatFlag(events, c)
	why := app.Command("why", "Say why a kill came about, as far as the running exporter has recorded it: what grew, in which process, and what would have helped.")
	why.Arg("kill", "NAMESPACE/POD/CONTAINER or the end of it, the victim's process id, or the id of the kill; without it, the last kill.").StringVar(&c.whyKill)
	askFlags(why, c)
	advise := app.Command("advise", "Say what the memory limits of this host's containers should be, by what the running exporter has recorded.")
	askFlags(advise, c)
	top := app.Command("top", "Show containers by kill margin and processes by badness: live on a terminal, else once.")
	top.Flag("once", "Print once and end.").BoolVar(&c.once)
	formatFlag(top, c)
	cli.Set(top.Flag("interval", "Between two looks.").PlaceHolder("2s"), "2s", cli.Duration(&c.interval, 100*time.Millisecond))
	top.Flag("filter", "Show only what has this text in its name.").StringVar(&c.topFilter)
	doctor := app.Command("doctor", "Say what this host lets the exporter see, source by source, and how to fix what is missing. Exit codes: 0 nothing required is missing, 3 a source is seen only in part, 4 a source is missing.")
	formatFlag(doctor, c)
	completion := app.Command("completion", "Print the script that completes commands and flags in a shell.")
	completion.Arg("shell", strings.Join(shells(), ", ")+".").Required().EnumVar(&c.shell, shells()...)
	return app
}

func explainFlags(cmd *kingpin.CmdClause, c *config) {
	cmd.Arg("file", "Saved logs in any form (dmesg, journalctl, syslog, JSON, a paste), compressed or not, a directory of them, or - for standard input; without it, what is piped in, else this host's kernel log.").StringsVar(&c.logFiles)
	formatFlag(cmd, c)
	cli.Set(cmd.Flag("top", "Rows of a task table to show.").PlaceHolder("10"), "10", cli.Int(&c.explainTop, 1, 1000))
	cli.Set(cmd.Flag("since", "Only OOMs from then on: 2026-11-24, 2026-11-24 10:00:00, 10:00, or how long ago, like 2h.").PlaceHolder("TIME"), "", moment(&c.selection.Since))
	cli.Set(cmd.Flag("until", "Only OOMs up to then.").PlaceHolder("TIME"), "", moment(&c.selection.Until))
	cmd.Flag("host", "Only OOMs of the machine with this name, where a log has several.").PlaceHolder("NAME").StringVar(&c.selection.Host)
	cli.Set(cmd.Flag("only", "Only the OOMs that killed a process (pid=700), that concern a cgroup (cgroup=/shop, a part of its path), or that have the kill of this number (kill=2).").PlaceHolder("pid=N"), "", only(&c.selection))
}

func listFlags(cmd *kingpin.CmdClause, c *config) {
	cmd.Flag("url", "Ask the exporter at this address only. Default: "+defaultURL+", if an exporter answers there and --path.kmsg is not given.").PlaceHolder("URL").StringVar(&c.eventsURL)
	cmd.Flag("follow", "Go on and list each new kill; with --format=json one a line.").Short('f').BoolVar(&c.events.follow)
	cli.Set(cmd.Flag("since", "Only kills from then on: 2026-11-24, 2026-11-24 10:00:00, 10:00, or how long ago, like 2h.").PlaceHolder("TIME"), "", moment(&c.events.since))
	cli.Set(cmd.Flag("last", "Only the last N kills; 0: all.").PlaceHolder("0"), "0", cli.Int(&c.events.last, 0, 1<<20))
	cmd.Flag("namespace", "Only kills in this namespace.").PlaceHolder("NAME").StringVar(&c.events.namespace)
	cmd.Flag("pod", "Only kills in this pod.").PlaceHolder("NAME").StringVar(&c.events.pod)
	cmd.Flag("container", "Only kills in this container or unit.").PlaceHolder("NAME").StringVar(&c.events.container)
}

func formatFlag(cmd *kingpin.CmdClause, c *config) {
	cli.Set(cmd.Flag("format", "text or json.").PlaceHolder("text"), "text", cli.OneOf(&c.format, "text", "json"))
}

// askFlags are those of commands that ask a running exporter.
func askFlags(cmd *kingpin.CmdClause, c *config) {
	cli.Set(cmd.Flag("url", "Ask the exporter at this address.").PlaceHolder(defaultURL), defaultURL, cli.Text(&c.askURL, "an address"))
	formatFlag(cmd, c)
}

func commonFlags(app *kingpin.Application, c *config) {
	cli.Set(app.Flag("path.procfs", "The proc file system.").PlaceHolder("/proc"), "/proc", cli.Text(&c.procfs, "a directory"))
	cli.Set(app.Flag("path.sysfs", "The sys file system, below which cgroups are looked for.").PlaceHolder("/sys"), "/sys", cli.Text(&c.sysfs, "a directory"))
	cli.Set(app.Flag("path.rootfs", "The host's root, below which the names of containers are looked for.").PlaceHolder("/"), "/", cli.Text(&c.rootfs, "a directory"))
	cli.Set(app.Flag("path.kmsg", "The kernel log's device, or a file with its records.").PlaceHolder(killfeed.DefaultKmsg), killfeed.DefaultKmsg, cli.Text(&c.kmsg, "a file"))
	app.Flag("cri.socket", "The container runtime's CRI socket, for the names of pods and containers that the kubelet's log directories do not tell; not used unless given.").StringVar(&c.criSocket)
	app.Flag("docker.socket", "Docker's socket, for the names of containers; not used unless given: it grants more than reading.").StringVar(&c.dockerSocket)
	app.Flag("podman.root", "A containers/storage directory that names Podman's containers; repeatable. Default: /var/lib/containers/storage below --path.rootfs.").StringsVar(&c.podmanRoots)
	app.Flag("podman.rootless-root", "A containers/storage directory of a user without root, like /home/NAME/.local/share/containers/storage; repeatable. It names that user's containers only.").StringsVar(&c.rootlessRoots)
	cli.Set(app.Flag("log.level", "Lines below this level are not logged: debug, info, warn or error.").PlaceHolder("info"), "info", cli.OneOf(&c.logLevel, logging.Levels()...))
	cli.Set(app.Flag("log.format", "The log's format: logfmt or json.").PlaceHolder("logfmt"), "logfmt", cli.OneOf(&c.logFormat, logging.Formats()...))
	cli.Set(app.Flag("limits.processes", "Processes to read in one pass at most; what is over it is counted.").PlaceHolder("100000"), "100000", cli.Int(&c.maxProcesses, 1, 4<<20))
	cli.Set(app.Flag("limits.groups", "Memory cgroups to read in one pass at most. Where there are more, each subtree gets a fair share, what is inside of containers and units comes last, and the rest is counted.").PlaceHolder("10000"), "10000", cli.Int(&c.maxGroups, 1, 1<<20))
	cli.Set(app.Flag("limits.series", "Maximum number of series of workloads, cgroups and processes in one scrape; the cgroups that one user can make get at most a twentieth of it. Where there are more, workloads of users are shown as one; the rest is left out, and both are counted. 0: no bound.").PlaceHolder("100000"), "100000", cli.Int(&c.maxSeries, 0, 1<<30))
	cli.Set(app.Flag("limits.refresh", "Number of scrapes within which each process and each cgroup is read in full at least once, even if the little that is read of it in between shows no change; 1: read in full in every scrape.").PlaceHolder("8"), "8", cli.Int(&c.refresh, 1, 1000))
	cli.Set(app.Flag("limits.open-groups", "Maximum number of memory cgroups kept open between scrapes, so that reading them costs less: three descriptors and some 10 KiB of kernel memory each, and never more than half of the descriptors that the process may have (ulimit -n); 0: none.").PlaceHolder("384"), "384", cli.Int(&c.openGroups, 0, 1<<16))
	cli.Set(app.Flag("eviction.threshold", "kubelet's memory.available eviction threshold, in bytes or in percent of the node: 100Mi, 5%.").PlaceHolder("100Mi"), "100Mi", thresholdOf(&c.kubelet.Threshold))
	cli.Set(app.Flag("eviction.usage", "What the node's usage is for kubelet on cgroup v2: stat (anon + file) or free (MemTotal - MemFree, kubelets before 1.33).").PlaceHolder("stat"), "stat", modeOf(&c.kubelet.Usage))
	cli.Set(app.Flag("eviction.hugepages", "Whether kubelet takes the node's hugepages off memory.available: on (since 1.37), off (before, or without the feature gate HugepageAwareEviction), auto (on, unless --eviction.usage is free).").PlaceHolder("auto"), "auto", hugepagesOf(&c.kubelet.Hugepages))
	cli.Set(app.Flag("near.ratio", "A limit is near, and its next victim is named, below this kill margin ratio.").PlaceHolder("0.10"), "0.10", cli.Ratio(&c.nearRatio))
}

func webFlags(cmd *kingpin.CmdClause, c *config) {
	c.web = kingpinflag.AddFlags(cmd, ":10137")
	cli.Set(cmd.Flag("web.telemetry-path", "Path of the metrics.").PlaceHolder("/metrics"), "/metrics", cli.Path(&c.telemetryPath))
	cmd.Flag("web.exporter-metrics", "Expose the exporter's own go_* and process_* metrics.").Default("true").BoolVar(&c.selfMetrics)
	cmd.Flag("web.created-lines", "Add the created timestamps of counters to the OpenMetrics text, as _created lines. A Prometheus that makes use of them asks for the protobuf format, which always has them; one that does not would store each line as a series.").BoolVar(&c.createdLines)
	cmd.Flag("web.page", "Serve human-readable pages about the node, its workloads and its kills at /; if off, / is a page of links.").Default("true").BoolVar(&c.webPage)
	cli.Set(cmd.Flag("web.max-requests", "Maximum number of scrapes of a part of the metrics (collect[], exclude[], name[]) to work on at one time; scrapes of everything share one pass and are not limited; 0: no bound.").PlaceHolder("40"), "40", cli.Int(&c.maxRequests, 0, 1<<20))
	cli.Set(cmd.Flag("web.min-interval", "Rest between two passes over the host; scrapes that come earlier wait and share the next pass. A client that scrapes without pause costs C/(C + interval) of a CPU, C being what one scrape costs.").PlaceHolder("100ms"), "100ms", cli.Duration(&c.minInterval, 0))
	cli.Set(cmd.Flag("web.max-connections", "Maximum number of open connections; to make room for a new one, the least used connection of the address that has the most is closed; 0: no bound.").PlaceHolder("256"), "256", cli.Int(&c.connections, 0, 1<<20))
	cmd.Flag("rights.drop", "Once it listens, set no_new_privs, give up every capability except CAP_SYSLOG and CAP_DAC_READ_SEARCH and, where the kernel has Landlock, give up the rights to write outside the directory of --state.file, to run programs, to open TCP connections and to read other processes' memory; for exceptions see docs/security.md.").Default("true").BoolVar(&c.dropRights)
	cli.Set(cmd.Flag("web.timeout-offset", "Taken off the scrape timeout that Prometheus names, so that a late answer still arrives.").PlaceHolder("500ms"), "500ms", cli.Duration(&c.timeoutOffset, 0))
}

func collectorFlags(cmd *kingpin.CmdClause, c *config) {
	c.collectors = map[string]*bool{}
	for _, name := range collector.Names() {
		on := new(bool)
		cmd.Flag("collector."+name, fmt.Sprintf("Run the %s collector.", name)).Default("true").BoolVar(on)
		c.collectors[name] = on
	}
	cmd.Flag("metrics.profile", "Families to expose: minimal (what the shipped rules need), default, or full; docs/metrics.md has the profile of each.").Default("default").EnumVar(&c.profile, collector.Profiles()...)
	cli.Set(cmd.Flag("metrics.enable", "Regular expression, anchored: families to switch on that the profile leaves out.").PlaceHolder("REGEXP"), "", cli.Regexp(&c.enable))
	cli.Set(cmd.Flag("metrics.disable", "Regular expression, anchored: families to switch off.").PlaceHolder("REGEXP"), "", cli.Regexp(&c.disable))
	for _, f := range []struct {
		what             string
		include, exclude **regexp.Regexp
	}{
		{"namespace", &c.filter.IncludeNamespace, &c.filter.ExcludeNamespace},
		{"pod", &c.filter.IncludePod, &c.filter.ExcludePod},
		{"container", &c.filter.IncludeContainer, &c.filter.ExcludeContainer},
	} {
		cli.Set(cmd.Flag("include."+f.what, fmt.Sprintf("Regular expression, anchored: show only workloads with such a %s.", f.what)).PlaceHolder("REGEXP"), "", cli.Regexp(f.include))
		cli.Set(cmd.Flag("exclude."+f.what, fmt.Sprintf("Regular expression, anchored: hide workloads with such a %s.", f.what)).PlaceHolder("REGEXP"), "", cli.Regexp(f.exclude))
	}
	cli.Set(cmd.Flag("process.top", "Processes to expose, by badness; 0: none.").PlaceHolder("20"), "20", cli.Int(&c.processTop, 0, 10000))
	cmd.Flag("units.unlimited", "Expose systemd units that have no limit of their own, too.").Default("false").BoolVar(&c.unlimitedUnits)
}

func eventFlags(cmd *kingpin.CmdClause, c *config) {
	cli.Set(cmd.Flag("events.kmsg", "The kernel log, for the names and sizes of kills: auto, require (oom_event_source_up is 0 without it) or off.").PlaceHolder("auto"), "auto", cli.OneOf(&c.kmsgMode, sourceModes()...))
	cli.Set(cmd.Flag("events.tracefs", "The tracefs event oom:mark_victim, which names kills in groups that live for milliseconds; needs root and writes an instance of its own: off, auto or require.").PlaceHolder("off"), "off", cli.OneOf(&c.tracefsMode, sourceModes()...))
	cli.Set(cmd.Flag("source.bpf", "BPF programs in the kernel, which name the victim of each kill however short its container lived, and list all processes in one pass; takes CAP_BPF and CAP_PERFMON until it serves: off, auto (without them as with off) or require (do not start without them); see docs/bpf.md.").PlaceHolder("off"), "off", cli.OneOf(&c.bpfMode, sourceModes()...))
	cmd.Flag("state.file", "File that keeps the totals of this boot over restarts; best below /run. Not used unless given.").StringVar(&c.stateFile)
	cli.Set(cmd.Flag("dead.keep", "Workloads that are gone and keep the series of their kills.").PlaceHolder("1000"), "1000", cli.Int(&c.deadKeep, 1, 1<<20))
	cli.Set(cmd.Flag("dead.age", "How long workloads that are gone keep the series of their kills.").PlaceHolder("24h"), "24h", cli.Duration(&c.deadAge, time.Second))
}

// recorderFlags are those of the flight recorder.
func recorderFlags(cmd *kingpin.CmdClause, c *config) {
	cmd.Flag("recorder", "Sample every memory cgroup each second, and more often when it is near its limit, so that it can be told what went before a kill; needs the event collector.").Default("true").BoolVar(&c.record)
	cli.Set(cmd.Flag("recorder.keep", "Recordings of the time before a kill to keep; with --state.file they are saved beside it.").PlaceHolder("200"), "200", cli.Int(&c.recordings, 1, 10000))
}

// parseArgs reads the command line. An empty command means that help or the
// version was asked for and printed.
func parseArgs(args []string, std streams) (*config, string, error) {
	c := &config{}
	app := newApp(c)
	named, args := commandFirst(app.Model(), args)
	app.UsageFuncs(template.FuncMap{"help": func(m *kingpin.ApplicationModel, width int) string { return helpText(m, named, width) }})
	app.UsageTemplate(helpTemplate)
	stopped := false
	app.Terminate(func(int) { stopped = true })
	app.UsageWriter(std.out)
	app.ErrorWriter(std.err)
	command, err := app.Parse(args)
	if stopped {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", cli.UsageError{Err: fmt.Errorf("%w; see oom_exporter --help", err)}
	}
	return c, command, c.complete()
}
