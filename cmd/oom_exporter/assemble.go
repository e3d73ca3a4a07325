// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/collector"
	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/host"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/proc"
	"github.com/oom-exporter/oom_exporter/internal/recorder"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// parts is the assembled program without its web server.
type parts struct {
	proc   *proc.FS
	kernel *bpf.Kernel       // for those who load programs at the start.
	groups *cgroup.Hierarchy // nil: no memory hierarchy can be read.
	noList error             // why BPF could not begin to list its cgroups.
	host   *host.Host
	kills  *kills             // nil: nothing is served, or the event collector is off.
	record *recorder.Recorder // nil: the flight recorder is off.
	tasks  []func(context.Context) error
	closer []func() error
}

func (p *parts) close() {
	for _, f := range p.closer {
		_ = f()
	}
}

// assemble opens the sources and puts the host on top of them.
func assemble(c *config, logger log.Logger) (*parts, error) {
	fs, err := proc.New(proc.Options{Root: c.procfs, MaxProcesses: c.maxProcesses, Refresh: c.refresh})
	if err != nil {
		return nil, err
	}
	p := &parts{proc: fs, kernel: bpf.NewKernel(c.btf()), closer: []func() error{fs.Close}}
	o := host.Options{
		Proc: fs, Top: c.processTop, NearRatio: c.nearRatio, UnlimitedUnits: c.unlimitedUnits,
		Kubelet: c.kubelet, MaxVictims: c.maxSeries / 50,
	}
	if o.Tasks, err = p.openTasks(c, logger); err != nil {
		return nil, errors.Join(err, fs.Close())
	}
	p.groups, o.HierarchyErr = cgroup.Find(cgroup.Options{
		Sysfs: c.sysfs, Procfs: c.procfs, MaxGroups: c.maxGroups, Parts: c.groupParts(), Refresh: c.refresh, KeepOpen: c.openGroups,
		IsWorkload: func(path string) bool { return workload.ParsePath(path).IsWorkload() },
	})
	if o.HierarchyErr != nil {
		// Without cgroups, the node and its processes can still be shown.
		_ = level.Error(logger).Log("msg", "memory cgroups can't be read: no container, pod and slice metrics", "err", o.HierarchyErr)
	} else {
		o.Hierarchy = p.groups
		if err := p.listCgroups(c, logger); err != nil {
			return nil, errors.Join(err, fs.Close())
		}
	}
	namer := workload.NewNamer(c.nameOptions(logger))
	o.Names = names{namer, c.rowLimits()}
	o.Mismatch = mismatch
	p.tasks = append(p.tasks, func(ctx context.Context) error {
		namer.Run(ctx)
		return nil
	})
	if on := c.collectors["event"]; c.serving && on != nil && *on {
		if err := p.addRecorder(c, namer, logger); err != nil {
			return nil, err
		}
		if p.kills, err = newKills(c, p, namer, logger); err != nil {
			return nil, err
		}
		p.closer = append(p.closer, p.kills.lock.Release)
		p.tasks = append(p.tasks, p.kills.tasks()...)
		o.Scanned = func(procs []oom.Process, tree *oom.Tree) { p.kills.ledger.SeeProcesses(procs, *tree) }
	}
	p.kernel.Forget()
	p.host = host.New(o)
	notice(fs, logger)
	return p, nil
}

// names classifies the cgroups and then names them.
type names struct {
	*workload.Namer
	limits workload.Limits
}

func (n names) Name(tree *oom.Tree) {
	workload.Classify(tree)
	workload.FoldCrowds(tree, n.limits)
	n.Namer.Name(tree)
}

// seriesOfRow is how many series a workload has at most, kills included.
const seriesOfRow = 20

// rowLimits bounds the rows by the series that they make.
func (c *config) rowLimits() workload.Limits {
	if c.maxSeries == 0 {
		return workload.Limits{}
	}
	rows := max(c.maxSeries/seriesOfRow, 1)
	return workload.Limits{Rows: rows, Share: max(rows/20, 1)}
}

// mismatch is 1 if an oom_score_adj is not what the QoS class implies, else 0; it is
// unset where the class implies nothing.
func mismatch(id *oom.Identity, adj int) oom.Amount {
	wrong, known := workload.Mismatch(*id, adj)
	switch {
	case !known:
		return oom.Amount{}
	case wrong:
		return oom.Of(1)
	default:
		return oom.Of(0)
	}
}

// nameOptions says where the names of containers are looked for.
func (c *config) nameOptions(logger log.Logger) workload.Options {
	o := workload.DefaultOptions(c.rootfs)
	o.CRISocket, o.DockerSocket = c.criSocket, c.dockerSocket
	if len(c.podmanRoots) > 0 {
		o.PodmanRoots = c.podmanRoots
	}
	o.RootlessRoots = c.rootlessRoots
	o.Logger = logger
	return o
}

// groupParts are the files of a cgroup that the enabled families need.
func (c *config) groupParts() cgroup.Parts {
	parts := cgroup.PartProcs | cgroup.PartProtection | cgroup.PartSwap | cgroup.PartPressure
	for family, part := range map[string]cgroup.Parts{
		"oom_container_memory_peak_bytes":  cgroup.PartPeak,
		"oom_container_start_time_seconds": cgroup.PartStartTime,
	} {
		if c.profile == string(collector.ProfileFull) || c.enable != nil && c.enable.MatchString(family) {
			parts |= part
		}
	}
	return parts
}

// notice logs in one line what this user can't see, and how to change that.
func notice(fs *proc.FS, logger log.Logger) {
	if fs.Hidepid() {
		_ = level.Warn(logger).Log("msg", "processes of other users are hidden: no prediction for them",
			"err", errors.New("/proc is mounted with hidepid"),
			"remedy", "run as root, or mount /proc with gid=GROUP and add this user to GROUP")
	}
}

// pageSize is this machine's page size; the kernel log counts in pages.
func pageSize() uint64 { return uint64(os.Getpagesize()) }
