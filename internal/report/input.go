// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"io"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// Input is one log. Several are read one after the other, the oldest first.
type Input struct {
	Name string // for errors; empty if it has none.
	Open func() (io.ReadCloser, error)
}

// UnreadableError says that a log could not be read.
type UnreadableError struct{ Err error }

// Error implements error.
func (e UnreadableError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e UnreadableError) Unwrap() error { return e.Err }

// ExplainAll reads logs in any form and explains every OOM in them. What could be
// read is explained even where other parts could not be.
func ExplainAll(inputs []Input, w io.Writer, opts Options) error {
	if err := opts.check(); err != nil {
		return err
	}
	c := newCollector(opts)
	var total kmsg.LogStats
	var failed error
	for _, in := range inputs {
		stats, err := in.read(c, opts)
		total = sum(total, stats)
		failed = errors.Join(failed, err)
	}
	all := c.finish()
	reports := opts.Select.keep(all)
	if c.unread > 0 {
		opts.unread = fmt.Sprintf("%s a kill, but can't be read, like: %s",
			count(c.unread, "line looks like", "lines look like"), Clean(c.example, 160))
	}
	if len(reports) > 0 {
		return errors.Join(tell(w, reports, opts), failed)
	}
	switch {
	case failed != nil:
		return failed
	case len(all) > 0:
		return inputs[0].wrap(fmt.Errorf("%w that was asked for (%d others left out)", ErrNoOOM, len(all)), inputs)
	default:
		return inputs[0].wrap(nothing(total, opts.unread), inputs)
	}
}

// read reads one log.
func (in Input) read(c *collector, opts Options) (kmsg.LogStats, error) {
	r, err := in.Open()
	if err != nil {
		return kmsg.LogStats{}, UnreadableError{err}
	}
	defer func() { _ = r.Close() }()
	log := kmsg.LogOptions{Location: opts.Location, Now: opts.Now, Locate: oomlog.Locate, Hint: oomlog.Hint}
	stats, err := kmsg.ReadLog(r, log, c.add)
	c.end()
	switch {
	case err != nil:
		return stats, UnreadableError{in.wrap(err, nil)}
	case stats.Truncated:
		return stats, UnreadableError{in.wrap(errors.New("the compressed log breaks off: what follows is not read"), nil)}
	default:
		return stats, nil
	}
}

// wrap names the log that an error is about, unless it is about several.
func (in Input) wrap(err error, all []Input) error {
	if in.Name == "" || len(all) > 1 {
		return err
	}
	return fmt.Errorf("%s: %w", in.Name, err)
}

func sum(a, b kmsg.LogStats) kmsg.LogStats {
	if a.Example == "" {
		a.Example = b.Example
	}
	a.Lines += b.Lines
	a.Kernel += b.Kernel
	a.Refused += b.Refused
	a.Truncated = a.Truncated || b.Truncated
	return a
}

// nothing says why no OOM was found in a log.
func nothing(stats kmsg.LogStats, unread string) error {
	what := ErrNoOOM
	if stats.Kernel == 0 {
		what = ErrNoKernelLog
	}
	switch {
	case unread != "":
		return fmt.Errorf("%w (%d lines read); %s", what, stats.Lines, unread)
	case stats.Refused == 0:
		return fmt.Errorf("%w (%d lines read)", what, stats.Lines)
	default:
		return fmt.Errorf("%w (%d lines read); %s the kernel's, but a program logged them, like: %s", what, stats.Lines,
			count(stats.Refused, "line looks like", "lines look like"), Clean(stats.Example, 160))
	}
}
