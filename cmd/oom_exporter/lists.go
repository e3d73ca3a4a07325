// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/bpf"
	"github.com/oom-exporter/oom_exporter/internal/host"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
)

// openTasks has the processes listed by a program in the kernel, where --source.bpf asks
// for it; nil where they are read from /proc.
func (p *parts) openTasks(c *config, logger log.Logger) (*host.Tasks, error) {
	mode := killfeed.Mode(c.bpfMode)
	if !c.serving || mode == killfeed.Off || mode == "" {
		return nil, nil
	}
	tasks, err := p.newTasks(c, logger)
	switch {
	case err == nil:
		return tasks, nil
	case mode == killfeed.Require:
		return nil, fmt.Errorf("BPF is required and can't list the processes: %w", err)
	}
	remedy, err := bpf.Remedy(err)
	_ = level.Warn(logger).Log("msg", "BPF can't list the processes: they are read from "+c.procfs, "err", err, "remedy", killfeed.OrSilence(remedy))
	return nil, nil
}

func (p *parts) newTasks(c *config, logger log.Logger) (*host.Tasks, error) {
	list, err := bpf.OpenProcesses(bpf.Options{Kernel: p.kernel, MaxProcesses: c.maxProcesses})
	if err != nil {
		return nil, err
	}
	p.closer = append(p.closer, list.Close)
	return host.NewTasks(list, p.proc, time.Now(), func(err error) {
		_ = level.Error(logger).Log("msg", "BPF lists the processes no more: they are read from "+c.procfs, "err", err, "remedy", "restart the exporter, and report this")
	})
}

// listCgroups has the numbers of the cgroups listed by a program in the kernel, where
// --source.bpf asks for it and the kernel can: before Linux 6.1 none can, which is no
// reason not to start.
func (p *parts) listCgroups(c *config, logger log.Logger) error {
	mode := killfeed.Mode(c.bpfMode)
	if !c.serving || mode == killfeed.Off || mode == "" {
		return nil
	}
	list, err := bpf.OpenCgroups(bpf.Options{Kernel: p.kernel, MaxCgroups: c.maxGroups}, p.groups.Mount())
	p.noList = err
	switch {
	case err == nil:
		p.closer = append(p.closer, list.Close)
		p.groups.Use(list, func(err error) {
			_ = level.Error(logger).Log("msg", "BPF lists the cgroups no more: their numbers are read from "+p.groups.Mount(), "err", err)
		})
		return nil
	case errors.Is(err, bpf.ErrOldKernel): // for the rest of BPF it is new enough.
		_ = level.Info(logger).Log("msg", "the numbers of cgroups are read from "+p.groups.Mount()+": BPF can list them from Linux 6.1 on")
		return nil
	case mode == killfeed.Require:
		return fmt.Errorf("BPF is required and can't list the cgroups: %w", err)
	}
	remedy, err := bpf.Remedy(err)
	_ = level.Warn(logger).Log("msg", "BPF can't list the cgroups: their numbers are read from "+p.groups.Mount(), "err", err, "remedy", killfeed.OrSilence(remedy))
	return nil
}

// listError says why the cgroups are not listed by BPF, if they are not.
func (p *parts) listError() error {
	if p.noList != nil || p.groups == nil {
		return p.noList
	}
	return p.groups.ListError()
}
