// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// Options says what to report, and how.
type Options struct {
	Format   string // "text" (also if empty) or "json".
	Color    bool   // text: emphasis by terminal codes.
	Top      int    // text: rows of a task table; 10 if 0.
	Location *time.Location
	Now      time.Time // for dates without a year; now if zero.
	PageSize uint64    // of the kernel that wrote the log; 4096 if 0.
	// Name, if set, returns the name of the workload of a memory cgroup; empty if
	// it does not know.
	Name   func(path string) string
	Select Selection // which reports to tell; all if empty.
	// Why, if set, says why a kill of this host came about; nil if it does
	// not know.
	Why func(k *oom.Kill) *Verdict
	// Complete, if set, fills in the level and the workload of kills for JSON.
	Complete func(kills []oom.Kill)
	// NoHeading leaves the heading of a table out.
	NoHeading bool

	unread string // what could not be read.
}

// What ExplainAll says when there is nothing to explain.
var (
	ErrNoKernelLog = errors.New("no kernel log in the input: " +
		"give it the output of dmesg, of journalctl -k, or a syslog file such as /var/log/kern.log")
	ErrNoOOM = errors.New("no OOM in the kernel log")
)

// ExplainRecords is ExplainAll for records that have been read already.
func ExplainRecords(records []kmsg.Record, w io.Writer, opts Options) error {
	if err := opts.check(); err != nil {
		return err
	}
	c := newCollector(opts)
	for _, r := range records {
		c.add(r)
	}
	reports := opts.Select.keep(c.finish())
	if len(reports) == 0 {
		return fmt.Errorf("%w (%d records read)", ErrNoOOM, len(records))
	}
	return tell(w, reports, opts)
}

func (o *Options) why(k *oom.Kill) *Verdict {
	if o.Why == nil {
		return nil
	}
	return o.Why(k)
}

// check refuses an unknown format, and completes the options.
func (o *Options) check() error {
	if o.Format != "" && o.Format != "text" && o.Format != "json" {
		return fmt.Errorf("unknown format %q: want text or json", o.Format)
	}
	if o.Location == nil {
		o.Location = time.Local
	}
	return nil
}

func tell(w io.Writer, reports []oomlog.Report, opts Options) error {
	if opts.Format == "json" {
		if opts.Complete != nil {
			for i := range reports {
				opts.Complete(reports[i].Kills)
			}
		}
		d := FromReports(reports)
		for i := range d.Kills {
			kill := d.Kills[i].OOM()
			d.Kills[i].Verdict = opts.why(&kill)
		}
		return JSON(w, d)
	}
	return Text(w, reports, opts)
}

// deaths counts the processes that a report killed: a group kill's first
// victim has two lines.
func deaths(kills []oom.Kill) int {
	n := 0
	for _, k := range kills {
		if !k.Duplicate {
			n++
		}
	}
	return n
}
