// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/go-kit/log"
	"golang.org/x/sys/unix"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/guard"
	"github.com/oom-exporter/oom_exporter/internal/guard/act"
	"github.com/oom-exporter/oom_exporter/internal/guard/hook"
	"github.com/oom-exporter/oom_exporter/internal/guard/kube"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// parts is the assembled program without its web server.
type parts struct {
	guard  *guard.Guard
	kernel *act.Kernel
	names  names
	events *kube.Sender // nil: no events.
	warner *hook.Sender // nil: no warnings by HTTP.
	closer []func()
}

func (p *parts) close() {
	for _, f := range p.closer {
		f()
	}
}

// assemble opens the kernel and puts the guard on top of it.
func assemble(c *config, logger log.Logger) (*parts, error) {
	o := workload.DefaultOptions(c.rootfs)
	o.CRISocket, o.Logger = c.criSocket, logger
	p := &parts{names: names{workload.NewNamer(o)}}
	ko := act.Options{Procfs: c.procfs, Sysfs: c.sysfs, MaxGroups: c.maxGroups, Names: p.names, KillSwitch: c.killSwitch, ThrottleFile: c.throttleFile}
	if c.criSocket != "" {
		runtime, closeRuntime, err := act.NewCRI(c.criSocket)
		if err != nil {
			return nil, err
		}
		p.closer = append(p.closer, func() { _ = closeRuntime() })
		ko.Runtime = runtime
	}
	var err error
	if p.kernel, err = act.New(ko); err != nil {
		return nil, err
	}
	p.closer = append(p.closer, func() { _ = p.kernel.Close() })
	bell, err := act.NewBell(p.kernel)
	if err != nil {
		return nil, err
	}
	p.closer = append(p.closer, bell.Close)
	var reporter guard.Reporter
	if c.events && !c.check {
		if p.events, err = kube.New(c.kubeOptions(logger)); err != nil {
			return nil, err
		}
		reporter = eventReporter{p.events}
	}
	stages, err := p.stages(c, logger)
	if err != nil {
		return nil, err
	}
	p.guard, err = guard.New(guard.Options{
		Stages: stages, Signaler: p.kernel, Throttler: p.kernel,
		Kernel: p.kernel, Bell: bell, Tops: bell, Reclaimer: p.kernel, Killer: p.kernel, Reporter: reporter, Logger: logger,
		Policy: guard.Policy(c.policy), Filter: c.filter, Preferences: c.preferences,
		Margin:           guard.Margin{Ratio: c.marginRatio, Min: c.marginMin.Bytes(0), Max: c.marginMax.Bytes(0)},
		Protection:       guard.Protection{Self: int32(os.Getpid()), AdjBelow: c.adjBelow, Comm: c.protect},
		ReclaimableShare: c.share, TimeToLimit: c.timeToLimit,
		CoolDown: c.coolDown, KillsPerMinute: c.killsPerMinute, KillsPerTenant: c.killsPerNamespace, ScanInterval: c.scan,
		Pace: guard.Pace{Min: c.pollMin, Max: c.pollMax},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// stages returns the stages that the flags ask for. A warning that would go nowhere
// is left out; throttling on cgroup v1 is an error.
func (p *parts) stages(c *config, logger log.Logger) (guard.Stages, error) {
	s := c.stages
	if c.warnSignal != "none" {
		s.WarnSignal = unix.SignalNum(c.warnSignal)
	}
	if c.warnURL != "" {
		var err error
		if p.warner, err = hook.New(c.warnURL, logger); err != nil {
			return s, cli.UsageError{Err: fmt.Errorf("--warn.url: %w", err)}
		}
		s.Warner = p.warner
	}
	if s.WarnSignal == 0 && s.Warner == nil {
		s.WarnAhead = 0
	}
	if s.ThrottleAhead > 0 && p.kernel.Version() != 2 {
		return s, cli.UsageError{Err: fmt.Errorf("--throttle-ahead=%v: memory.high needs cgroup v2, this host has v%d", s.ThrottleAhead, p.kernel.Version())}
	}
	return s, nil
}

func (c *config) kubeOptions(logger log.Logger) kube.Options {
	o := kube.Usual(os.Getenv)
	for to, given := range map[*string]string{&o.API: c.kubeAPI, &o.TokenFile: c.kubeToken, &o.CAFile: c.kubeCA, &o.Node: c.nodeName} {
		if given != "" {
			*to = given
		}
	}
	o.Timeout, o.Logger = 5*time.Second, logger
	return o
}

// names classifies the cgroups and then names them.
type names struct{ *workload.Namer }

func (n names) Name(tree *oom.Tree) {
	workload.Classify(tree)
	n.Namer.Name(tree)
}

func (n names) Identify(path string) (oom.Identity, bool) { return n.Lookup(path) }

// eventReporter turns the guard's actions into Kubernetes Events.
type eventReporter struct{ sender *kube.Sender }

func (r eventReporter) Report(a guard.Action) {
	reason := "OomGuardKillProcess"
	switch {
	case a.Outcome == guard.OutcomeWouldKill:
		reason = "OomGuardWouldKill"
	case a.Outcome == guard.OutcomeTerminated:
		reason = "OomGuardTerminate"
	case a.Container.Path != "":
		reason = "OomGuardKillContainer"
	}
	id := a.Identity
	if id.StandIn {
		return // an id is not the name of a pod.
	}
	r.sender.Send(kube.Event{
		Namespace: id.Workload.Namespace, Pod: id.Workload.Pod, PodUID: id.PodUID, Container: id.Workload.Container,
		Reason: reason, Message: guard.Headline(&a), Time: a.Time,
	})
}
