// SPDX-License-Identifier: Apache-2.0

package killfeed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-kit/log/level"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
)

// DefaultKmsg is the device that syslog(2) can replace.
const DefaultKmsg = "/dev/kmsg"

// LogRemedy says how to be allowed to read the kernel log.
const LogRemedy = "grant CAP_SYSLOG (a container: capabilities.add: [SYSLOG]; systemd: AmbientCapabilities=CAP_SYSLOG), or sysctl kernel.dmesg_restrict=0"

// readTimeout bounds how long a device may take to hand out its ring.
const readTimeout = 30 * time.Second

// kernelLog is how the kernel log is read.
type kernelLog struct {
	state    oom.LogState // the initial state.
	numbered bool         // its records have the kernel's own numbers.

	syslog  *kmsg.Syslog  // nil: it is read by the device, or not at all.
	first   []kmsg.Record // what syslog(2) returned when opened, until the first poll.
	begun   bool
	failing bool
}

// access is a way to the kernel log: exactly one of device and syslog is set.
type access struct {
	device *kmsg.Device
	syslog *kmsg.Syslog
	first  []kmsg.Record // what syslog(2) has returned.
	why    error         // why it is not the device.
}

// openLog opens the device or, where that is refused, syslog(2).
func openLog(ctx context.Context, path string) (access, error) {
	device, err := kmsg.OpenDevice(path)
	if err == nil {
		return access{device: device}, nil
	}
	if path != DefaultKmsg {
		return access{}, err
	}
	reader := kmsg.NewSyslog()
	first, _, syslogErr := reader.Poll(ctx)
	if syslogErr != nil {
		return access{}, errors.Join(err, syslogErr)
	}
	return access{syslog: reader, first: first, why: err}, nil
}

// LogAccess says in words how the kernel log of this host can be read.
func LogAccess(ctx context.Context, path string) (string, error) {
	log, err := openLog(ctx, path)
	switch {
	case err != nil:
		return "", errors.New(onOneLine(err))
	case log.syslog != nil:
		return "by syslog(2), since " + onOneLine(log.why), nil
	}
	return path, log.device.Close()
}

// ReadLog returns what the kernel log of this host still has.
func ReadLog(ctx context.Context, path string) ([]kmsg.Record, error) {
	log, err := openLog(ctx, path)
	switch {
	case err != nil && path == DefaultKmsg:
		return nil, fmt.Errorf("read this host's kernel log: %s; %s", onOneLine(err), LogRemedy)
	case err != nil:
		return nil, err
	case log.syslog != nil:
		return log.first, nil
	}
	return drain(ctx, log.device)
}

func drain(ctx context.Context, d *kmsg.Device) ([]kmsg.Record, error) {
	ctx, stop := context.WithTimeout(ctx, readTimeout)
	defer stop()
	drained := false
	d.Drained = func() {
		drained = true
		stop()
	}
	var records []kmsg.Record
	err := d.Run(ctx, func(r kmsg.Record) { records = append(records, r) })
	if drained {
		return records, nil
	}
	return nil, err
}

// openLog decides how the kernel log is read: by the device, by syslog(2), or
// not at all.
func (f *Feed) openLog() {
	if f.o.KmsgMode == Off {
		return
	}
	log, err := openLog(context.Background(), f.o.Kmsg)
	switch {
	case err == nil && log.device != nil:
		_ = log.device.Close()
		f.log = kernelLog{state: oom.LogBacklog, numbered: true}
		f.setSource("kmsg", true)
		f.tasks = append(f.tasks, f.readDevice)
		return
	case err == nil:
		f.log = kernelLog{state: oom.LogBacklog, syslog: log.syslog, first: log.first}
		f.setSource("syslog", true)
		_ = level.Info(f.o.Logger).Log("msg", "reading the kernel log by syslog(2)", "why", log.why)
		return
	}
	_ = level.Warn(f.o.Logger).Log("msg", "no kernel log: kills are counted by the kernel's counters, without pid, comm and sizes",
		"err", onOneLine(err), "remedy", LogRemedy+"; --events.kmsg=off if it is not wanted")
	if f.o.KmsgMode == Require {
		f.log.numbered = true
		f.setSource("kmsg", false)
		f.tasks = append(f.tasks, f.readDevice)
	}
}

// readDevice keeps reading the device until the context ends.
func (f *Feed) readDevice(ctx context.Context) error {
	return kmsg.Supervise(ctx, kmsg.Supervisor{
		Open: func() (kmsg.Source, error) {
			d, err := kmsg.OpenDevice(f.o.Kmsg)
			if err != nil {
				return nil, err
			}
			d.Drained = f.drained
			return d, nil
		},
		Changed: func(up bool, err error) {
			f.setSource("kmsg", up)
			if up {
				_ = level.Info(f.o.Logger).Log("msg", "reading the kernel log", "path", f.o.Kmsg)
				return
			}
			_ = level.Error(f.o.Logger).Log("msg", "cannot read the kernel log", "err", err, "remedy", LogRemedy)
			f.sink.SetLog(oom.LogAbsent)
		},
	}, f.record)
}

// drained says that the log has been read to its end for the first time since it was
// opened.
func (f *Feed) drained() {
	f.sink.SetLog(oom.LogLive)
	f.sink.Wake()
}

// record takes one record of the log.
func (f *Feed) record(r kmsg.Record) {
	f.mu.Lock()
	found := f.parser.Add(r)
	f.mu.Unlock()
	if r.Lost > 0 {
		f.sink.Lost(r.Lost)
	}
	for i := range found {
		switch e := &found[i]; e.Kind {
		case oomlog.KindKill:
			if !f.log.numbered {
				e.Kill.Seq = 0
			}
			if path := e.Kill.VictimPath; path != "" && !r.Backlog && f.o.Reported != nil {
				f.o.Reported(path)
			}
			f.sink.Log(e.Kill)
		case oomlog.KindGroup:
			f.sink.Group(e.Group)
		}
	}
}

// pollSyslog looks for new lines in the log.
func (f *Feed) pollSyslog() {
	records, wrapped, err := f.log.first, false, error(nil)
	if f.log.begun {
		records, wrapped, err = f.log.syslog.Poll(context.Background())
	}
	if failed := err != nil; failed != f.log.failing {
		f.log.failing = failed
		f.setSource("syslog", !failed)
		if failed {
			_ = level.Error(f.o.Logger).Log("msg", "cannot read the kernel log by syslog(2)", "err", err, "remedy", LogRemedy)
		} else {
			_ = level.Info(f.o.Logger).Log("msg", "reading the kernel log by syslog(2) again")
		}
	}
	if wrapped {
		_ = level.Warn(f.o.Logger).Log("msg", "kernel ring buffer wrapped; reports may be lost, kill counts are not affected")
		f.sink.Lost(1)
	}
	for _, r := range records {
		f.record(r)
	}
	if !f.log.begun {
		f.log.begun, f.log.first = true, nil
		f.sink.SetLog(oom.LogLive)
	}
}
