// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/cgroup"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/recorder"
	"github.com/oom-exporter/oom_exporter/internal/statefile"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// addRecorder switches the flight recorder on, if it is wanted and there are
// cgroups to record.
func (p *parts) addRecorder(c *config, namer *workload.Namer, logger log.Logger) error {
	if !c.record || p.groups == nil {
		return nil
	}
	node, err := p.proc.Node()
	if err != nil {
		return err
	}
	sampler, err := p.groups.Sampler(cgroup.SamplerOptions{})
	if err != nil {
		_ = level.Error(logger).Log("msg", "flight recorder unavailable", "err", err)
		return nil
	}
	p.closer = append(p.closer, sampler.Close)
	p.record = recorder.New(recorder.Options{
		Source: sampler, Node: p.proc.NodeMemory, Processes: p.proc,
		Names: func(tree *oom.Tree) {
			workload.Classify(tree)
			workload.FoldCrowds(tree, c.rowLimits())
			namer.NameKnown(tree)
		},
		MaxRecordings: c.recordings, Store: recorderStore(c.stateFile), BootID: node.BootID, Logger: logger,
	})
	p.tasks = append(p.tasks, p.record.Run)
	return nil
}

// store keeps the recorder's files beside the state file.
type store struct{ stateFile string }

// recorderStore returns nil where there is no state file.
func recorderStore(stateFile string) recorder.Store {
	if stateFile == "" {
		return nil
	}
	return store{stateFile}
}

// maxRecorderFile is far more than the size of any file within the recorder's bounds.
const maxRecorderFile = 128 << 20

func (s store) path(name string) string { return s.stateFile + "." + name }

func (s store) Load(name string) ([]byte, error) {
	return statefile.Load(s.path(name), maxRecorderFile)
}

func (s store) Save(name string, content []byte) error {
	return statefile.Save(s.path(name), content)
}

func (s store) SetAside(name string) (string, error) { return statefile.SetAside(s.path(name)) }
