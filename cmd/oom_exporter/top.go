// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/go-kit/log"
	"golang.org/x/term"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/top"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// allNear makes the host predict the victim of every limit, not only of those
// that are near: people want to see all of them.
const allNear = 1e9

// topProcesses is how many processes top ranks.
const topProcesses = 100

// showTop shows the host: live on a terminal, else once.
func showTop(ctx context.Context, c *config, std streams) error {
	c.nearRatio, c.unlimitedUnits, c.processTop = allNear, true, topProcesses
	c.refresh = 1 // whoever watches wants current values.
	p, err := assemble(c, log.NewNopLogger())
	if err != nil {
		return err
	}
	defer p.close()
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "?"
	}
	source := func() (top.Frame, error) {
		s := p.host.Scrape(time.Time{})
		f := top.Frame{Time: time.Now(), Host: hostname}
		f.Request = func(r *oom.Row) oom.Amount { return impliedRequest(r, f.Node) }
		var nodeErr, groupsErr, procErr error
		f.Node, nodeErr = s.Node()
		f.Processes, procErr = s.Processes()
		f.Groups, groupsErr = s.Groups()
		return f, errors.Join(nodeErr, groupsErr, procErr)
	}
	out, isFile := std.out.(*os.File)
	live := isFile && term.IsTerminal(int(out.Fd())) && !c.once && c.format != "json"
	if live {
		return top.Run(ctx, source, std.in, std.out, c.interval, c.color(std.out))
	}
	f, err := source()
	if f.Node == nil && f.Groups == nil {
		return err
	}
	o := top.Options{Filter: c.topFilter, Color: c.color(std.out), Width: onceWidth(std.out, os.Getenv("COLUMNS"))}
	if c.format == "json" {
		return top.JSON(std.out, &f, o)
	}
	_, err = std.out.Write([]byte(top.Once(&f, o)))
	return err
}

// onceWidth is the width of the terminal, or else what COLUMNS says; 0, which cuts
// nothing, if neither is known.
func onceWidth(out io.Writer, columns string) int {
	if width := terminalWidth(out); width > 0 {
		return width
	}
	width, err := strconv.Atoi(columns)
	if err != nil || width < 0 {
		return 0
	}
	return width
}

// impliedRequest is the memory request that kubelet computed a burstable container's
// oom_score_adj from, in bytes, accurate to a thousandth of the node.
func impliedRequest(r *oom.Row, node *oom.NodeState) oom.Amount {
	adj := r.Processes.AdjMax
	class := workload.QoSOf(workload.Path{PodUID: r.PodUID, QoS: r.QoS}, adj) // by adj where the path has none.
	if node == nil || class != oom.QoSBurstable || !r.Processes.Adj {
		return oom.Amount{}
	}
	request, _ := workload.ImpliedRequest(adj, node.Total.Or(0))
	return request
}
