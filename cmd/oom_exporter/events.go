// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/killfeed"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
	"github.com/oom-exporter/oom_exporter/internal/report"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// followEvery is how often events -f asks again.
const followEvery = time.Second

// answerWithin is how long an exporter may take to answer if --url does not name it.
const answerWithin = 2 * time.Second

// eventFilter says which kills events lists.
type eventFilter struct {
	since                     time.Time
	last                      int
	namespace, pod, container string
	follow                    bool
}

// query is the part of the filter that the exporter applies; keep applies all of it.
func (f *eventFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"namespace": f.namespace, "pod": f.pod} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if !f.since.IsZero() {
		q.Set("since", f.since.UTC().Format(time.RFC3339))
	}
	if f.last > 0 && f.container == "" { // else the exporter would count those of other containers.
		q.Set("limit", strconv.Itoa(f.last))
	}
	return q
}

// keep returns the kills that are wanted, the newest last. A kill without a time is
// never too old.
func (f *eventFilter) keep(kills []report.Kill) []report.Kill {
	kept := slices.DeleteFunc(slices.Clone(kills), func(k report.Kill) bool {
		return f.namespace != "" && k.Namespace != f.namespace || f.pod != "" && k.Pod != f.pod ||
			f.container != "" && k.Container != f.container || k.Time != nil && k.Time.Before(f.since)
	})
	sortByTime(kept)
	if f.last > 0 && len(kept) > f.last {
		kept = kept[len(kept)-f.last:]
	}
	return kept
}

// sortByTime sorts kills by their time. One without a time stays behind the kill before it.
func sortByTime(kills []report.Kill) {
	type timed struct {
		kill report.Kill
		at   time.Time
	}
	all := make([]timed, 0, len(kills))
	var last time.Time
	for _, k := range kills {
		if k.Time != nil {
			last = *k.Time
		}
		all = append(all, timed{k, last})
	}
	slices.SortStableFunc(all, func(a, b timed) int { return a.at.Compare(b.at) })
	for i := range all {
		kills[i] = all[i].kill
	}
}

// killSource is where the recorded kills come from: its name, and how to read it.
type killSource struct {
	name string
	read func(context.Context) (report.Document, error)
}

// listEvents lists the recorded kills: those of a running exporter, or else those in
// this host's kernel log. It says on standard error which of the two it was.
func listEvents(ctx context.Context, c *config, std streams) error {
	source, doc, err := c.recorded(ctx)
	if err != nil {
		return err
	}
	doc.Kills = c.events.keep(doc.Kills)
	fmt.Fprintf(std.err, "%d kills from %s\n", len(doc.Kills), source.name)
	if err := c.writeKills(std, doc, true); err != nil || !c.events.follow {
		return err
	}
	return c.followKills(ctx, std, source, doc)
}

// followKills writes each new kill until the context ends.
func (c *config) followKills(ctx context.Context, std streams, source killSource, doc report.Document) error {
	seen := map[string]bool{}
	for _, k := range doc.Kills {
		seen[identity(&k)] = true
	}
	first := len(doc.Kills) == 0
	// --last bounds only the kills that are there at first.
	filter := c.events
	filter.last = 0
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		next, err := source.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if failing != err.Error() {
				failing = err.Error()
				fmt.Fprintf(std.err, "%v; trying again\n", err)
			}
			continue
		}
		failing = ""
		next.Kills = slices.DeleteFunc(filter.keep(next.Kills), func(k report.Kill) bool { return seen[identity(&k)] })
		for _, k := range next.Kills {
			seen[identity(&k)] = true
		}
		if len(next.Kills) == 0 {
			continue
		}
		if err := c.writeKills(std, next, first); err != nil {
			return err
		}
		first = false
	}
}

// identity is what a kill is recognised by: it stays the same if more is found out
// about the kill later.
func identity(k *report.Kill) string {
	if k.ID != "" {
		return k.ID
	}
	return fmt.Sprint(k.Seq, " ", k.Uptime, " ", k.Victim.PID)
}

// writeKills writes kills in the format that was asked for; heading says whether a
// table gets a heading.
func (c *config) writeKills(std streams, doc report.Document, heading bool) error {
	switch {
	case c.format == "json" && c.events.follow:
		for i := range doc.Kills { // one document a line, for programs that read along.
			if err := json.NewEncoder(std.out).Encode(doc.Kills[i]); err != nil {
				return err
			}
		}
		return nil
	case c.format == "json":
		return report.JSON(std.out, doc)
	case len(doc.Kills) == 0 && c.events.follow:
		return nil
	case len(doc.Kills) == 0:
		_, err := fmt.Fprintln(std.out, "No OOM kill is recorded.")
		return err
	}
	return report.Table(std.out, doc.Kills, report.Options{Color: c.color(std.out), NoHeading: !heading})
}

// recorded asks the exporter at --url. Without --url it asks the exporter at the default
// address, which remembers more than the kernel's ring buffer holds, and reads the kernel
// log if that fails; if --path.kmsg names another kernel log, it only reads that.
func (c *config) recorded(ctx context.Context) (killSource, report.Document, error) {
	exporter := func(base string, query url.Values) killSource {
		return killSource{"the exporter at " + base, func(ctx context.Context) (report.Document, error) {
			return ask(ctx, base, killsPath, query)
		}}
	}
	named := c.eventsURL != ""
	if named || c.kmsg == killfeed.DefaultKmsg {
		base := c.eventsURL
		if !named {
			base = defaultURL
		}
		within, cancel := context.WithTimeout(ctx, answerWithin)
		if named {
			cancel()
			within, cancel = context.WithCancel(ctx)
		}
		defer cancel()
		doc, err := exporter(base, c.events.query()).read(within)
		if err == nil || named {
			return exporter(base, nil), doc, err
		}
	}
	source := killSource{"the kernel log (" + c.kmsg + ")", func(ctx context.Context) (report.Document, error) {
		kills, err := c.logged(ctx)
		return report.FromKills(kills), err
	}}
	if c.kmsg == killfeed.DefaultKmsg {
		source.name += "; no exporter answers at " + defaultURL
	}
	doc, err := source.read(ctx)
	return source, doc, err
}

// logged are the kills that this host's kernel log still has.
func (c *config) logged(ctx context.Context) ([]oom.Kill, error) {
	records, err := killfeed.ReadLog(ctx, c.kmsg)
	if err != nil {
		return nil, err
	}
	parser := oomlog.New(oomlog.Options{PageSize: pageSize()})
	var kills []oom.Kill
	for _, r := range records {
		for _, e := range parser.Add(r) {
			if e.Kind == oomlog.KindKill && !e.Kill.Duplicate {
				kills = append(kills, e.Kill)
			}
		}
	}
	nameKills(kills, workload.NewNamer(c.nameOptions(nil)))
	return kills, nil
}
