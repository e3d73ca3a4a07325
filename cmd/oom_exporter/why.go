// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/causes"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/verdict"
)

// recordings is what whys needs of the flight recorder.
type recordings interface {
	Freeze(k oom.Kill)
	Recording(id string) (oom.Recording, bool)
	Current(cgroup string) (oom.Track, bool)
	Tracks() []oom.Track
	Growing() []oom.Track
}

// whys judges why each kill came about, and keeps the verdicts.
type whys struct {
	recorder recordings // nil: it is off.
	store    *causes.Store
	records  func() []oom.Kill
	logger   log.Logger

	mu      sync.Mutex
	advised time.Time // when advice was made.
	advice  []oom.Advice
	leaksAt time.Time // when leaks were looked for.
	leaks   []oom.Leak
}

// verdictsSuffix, after the state file's name, is the name of the file of verdicts.
const verdictsSuffix = ".verdicts"

func newWhys(c *config, p *parts, boot string, logger log.Logger) *whys {
	o := causes.Options{BootID: boot, Logger: logger}
	if c.stateFile != "" {
		o.File = c.stateFile + verdictsSuffix
	}
	w := &whys{store: causes.New(o), logger: logger}
	if p.record != nil {
		w.recorder = p.record
	}
	return w
}

// begin takes the ledger's records. Kills that an earlier exporter did not get round to
// judging are judged now.
func (w *whys) begin(records func() []oom.Kill) {
	w.records = records
	for _, k := range w.store.Missing(records()) {
		w.store.Add(&k, w.judge(&k, "the exporter was restarted before it could say why"))
	}
}

// onKill is told of each kill: what was recorded of it is frozen and judged, and
// it gets one structured log line.
func (w *whys) onKill(k oom.Kill) {
	if w.recorder != nil {
		w.recorder.Freeze(k)
	}
	v := w.judge(&k, "nothing was recorded of this cgroup")
	w.store.Add(&k, v)
	_ = level.Warn(w.logger).Log(append(append([]any{"msg", "OOM kill"}, report.LogFields(&k)...), report.VerdictFields(&v)...)...)
}

// judge says why a kill came about; without says why there may be no recording.
func (w *whys) judge(k *oom.Kill, without string) oom.Verdict {
	if w.recorder == nil {
		return verdict.NotRecorded("the flight recorder is off or has no cgroups to record")
	}
	rec, ok := w.recorder.Recording(k.ID)
	if !ok {
		return verdict.NotRecorded(without)
	}
	return verdict.Judge(&rec, k)
}

// explain returns the document of one kill with all that is known of it.
func (w *whys) explain(k *oom.Kill) report.Document {
	doc := report.FromKills([]oom.Kill{*k})
	doc.AddVerdicts(w.store.Of)
	if w.recorder == nil {
		return doc
	}
	if rec, ok := w.recorder.Recording(k.ID); ok {
		of, points := verdict.Series(&rec, k)
		doc.Kills[0].AddSeries(of, math.Round(rec.Gap.Seconds()*1000)/1000, points)
	}
	return doc
}

// find returns the last kill that a person means by NAMESPACE/POD/CONTAINER (or
// the end of it), a process id, or an id of a kill; the last of all if empty.
func find(records []oom.Kill, what string) (*oom.Kill, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("no OOM kill is recorded on this node")
	}
	pid, err := strconv.Atoi(what)
	isPID := err == nil
	for _, matches := range []func(k *oom.Kill) bool{
		func(k *oom.Kill) bool { return what == "" || k.ID == what },
		func(k *oom.Kill) bool { return isPID && (k.Victim.PID == pid || k.Victim.TGID == pid) },
		func(k *oom.Kill) bool {
			name := report.Workload(k)
			return name == what || strings.HasSuffix(name, "/"+what) || k.VictimPath == what
		},
	} {
		for i := len(records) - 1; i >= 0; i-- {
			if matches(&records[i]) {
				return &records[i], nil
			}
		}
	}
	return nil, fmt.Errorf("no kill of %q is recorded: %d kills are, see oom_exporter events; give NAMESPACE/POD/CONTAINER, a process id or the id of a kill",
		report.Clean(what, 100), len(records))
}

// adviceAge is how long advice and leaks are reused: they are about hours.
const adviceAge = time.Minute

// Leaks returns the containers that leak, and when each will reach its limit.
func (w *whys) Leaks() []oom.Leak {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.recorder == nil || !w.leaksAt.IsZero() && time.Since(w.leaksAt) < adviceAge {
		return w.leaks
	}
	w.leaks, w.leaksAt = nil, time.Now()
	for _, t := range w.recorder.Growing() {
		if l, ok := verdict.LeakAhead(&t, w.leaksAt); ok {
			w.leaks = append(w.leaks, l)
		}
	}
	return w.leaks
}

// Advice returns what the limits of the containers should be.
func (w *whys) Advice() []oom.Advice {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.recorder == nil || !w.advised.IsZero() && time.Since(w.advised) < adviceAge {
		return w.advice
	}
	w.advice = verdict.Advise(w.recorder.Tracks(), w.records(), w.store.Of)
	w.advised = time.Now()
	return w.advice
}
