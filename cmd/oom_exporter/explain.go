// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// explain reports what kernel logs say about OOMs. It reads the logs in the given
// files, the log on standard input, or that of this host. The exit code is 0 if an OOM
// was found, 1 if none was, and 2 if something could not be read.
func explain(ctx context.Context, c *config, std streams) error {
	o := report.Options{
		Format: c.format, Color: c.color(std.out), Top: c.explainTop, PageSize: pageSize(),
		Name: ownerOf, Select: c.selection,
	}
	if c.format == "json" {
		namer := workload.NewNamer(c.nameOptions(nil))
		o.Complete = func(kills []oom.Kill) { nameKills(kills, namer) }
	}
	inputs, err := logInputs(c.logFiles, std.in)
	switch {
	case err != nil:
	case len(inputs) > 0:
		// The machine that wrote a log may have another page size than this one.
		o.PageSize = 0
		err = report.ExplainAll(inputs, std.out, o)
	default:
		return explainHost(ctx, c, std, o)
	}
	if _, ok := errors.AsType[report.UnreadableError](err); ok {
		return cli.UsageError{Err: err} // and so the exit code is 2.
	}
	return err
}

func explainHost(ctx context.Context, c *config, std streams, o report.Options) error {
	records, err := killfeed.ReadLog(ctx, c.kmsg)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	if c.kmsg == killfeed.DefaultKmsg { // else this host's exporter reads another log.
		o.Why = recordedCauses(ctx)
	}
	return report.ExplainRecords(records, std.out, o)
}

// recordedCauses asks the exporter of this host, if one runs, why its kills came
// about. No answer is no error: the log alone is enough for the rest of the report.
func recordedCauses(ctx context.Context) func(*oom.Kill) *report.Verdict {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	doc, err := ask(ctx, defaultURL, killsPath, nil)
	if err != nil {
		return nil
	}
	return matchCauses(doc.Kills)
}

// matchCauses finds the verdict of a kill in the log by the victim's pid and the
// sequence number of the log record.
func matchCauses(kills []report.Kill) func(*oom.Kill) *report.Verdict {
	type key struct {
		pid int
		seq uint64
	}
	known := make(map[key]*report.Verdict, len(kills))
	for i := range kills {
		known[key{kills[i].Victim.PID, kills[i].Seq}] = kills[i].Verdict
	}
	return func(k *oom.Kill) *report.Verdict { return known[key{k.Victim.PID, k.Seq}] }
}

// people is what people call a workload; empty where only the path is known.
func people(id oom.Identity) string {
	w := id.Workload
	switch {
	case id.StandIn && id.PodUID != "":
		return strings.TrimSuffix(fmt.Sprintf("pod %s container %s", w.Pod, w.Container), " container ")
	case w.Pod != "":
		return strings.TrimSuffix(w.Namespace+"/"+w.Pod+"/"+w.Container, "/")
	case id.Runtime != "":
		return w.Container
	default:
		return ""
	}
}

// nameKills sets the levels and workloads of kills. The first round asks for the names
// and waits for the answers, the second one fills them in.
func nameKills(kills []oom.Kill, namer *workload.Namer) {
	for range 2 {
		for i := range kills {
			k := &kills[i]
			k.Level = levelOf(k)
			if k.VictimPath != "" {
				id, _ := namer.Lookup(k.VictimPath)
				k.Workload = id.Workload
			}
		}
		namer.Settle()
	}
}

// levelOf tells whose limit was hit, as far as the log alone says it.
func levelOf(k *oom.Kill) oom.Level {
	switch {
	case k.Constraint == oom.ConstraintCPUSet || k.Constraint == oom.ConstraintPolicy:
		return oom.LevelNUMA
	case k.Global || k.Constraint == oom.ConstraintNone:
		return oom.LevelNode
	case k.LimitPath == "":
		return oom.LevelUnknown
	}
	switch kind := workload.ParsePath(k.LimitPath).Kind; {
	case kind == oom.KindPod:
		return oom.LevelPod
	case kind == oom.KindPart, k.LimitPath == k.VictimPath:
		return oom.LevelContainer
	default:
		return oom.LevelSlice
	}
}

// color tells whether the output is a terminal that wants colours.
func (c *config) color(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
