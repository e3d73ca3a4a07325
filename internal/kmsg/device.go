// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Source is a live source of records.
type Source interface {
	// Run calls emit for each record until ctx is done or the source fails.
	// The reader waits for emit, so emit must be quick.
	Run(ctx context.Context, emit func(Record)) error
}

// readBytes is the size of a read: the kernel cuts a record's escaped text at
// 8192 bytes up to 6.1 and at 2048 since 6.6, and refuses a smaller buffer.
const readBytes = 8192

// maxRefused is how many reads in a row may fail with EINVAL or EPIPE before
// the device is given up: each such read skips records, so if there are more
// of them than the largest ring has records, this is no kernel log.
const maxRefused = 1 << 20

// Device is an open /dev/kmsg, or a plain file or pipe that holds what was
// read from one.
type Device struct {
	// Drained, if set before Run, is called once when all that was there
	// already has been read.
	Drained func()

	path   string
	file   *os.File
	device bool
	read   func(fd int, p []byte) (int, error)
	now    func() time.Time
	uptime func() (time.Duration, bool)
	live   liveClock
}

// OpenDevice opens path at the oldest record that the kernel still has.
func OpenDevice(path string) (*Device, error) {
	// O_NONBLOCK puts the file on the runtime's poller, so that Close ends
	// a waiting read.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open kernel log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open kernel log: %w", err)
	}
	if info.IsDir() {
		_ = f.Close()
		return nil, fmt.Errorf("open kernel log: %s: is a directory", path)
	}
	return &Device{
		path:   path,
		file:   f,
		device: info.Mode()&os.ModeCharDevice != 0,
		read:   readFD,
		now:    time.Now,
		uptime: uptime,
	}, nil
}

// Close closes the device without running it.
func (d *Device) Close() error { return d.file.Close() }

// Run emits every record. It ends with ctx's error, or with the error of a
// read; a malformed record is skipped. At the end of a plain file it waits for
// ctx.
func (d *Device) Run(ctx context.Context, emit func(Record)) error {
	stop := context.AfterFunc(ctx, func() { _ = d.file.Close() })
	defer stop()
	defer d.file.Close()

	var seq sequence
	deliver := func(raw []byte, backlog bool) {
		rec, err := ParseRecord(raw)
		if err != nil {
			return // its number is then missing, so it counts as lost.
		}
		seq.mark(&rec)
		d.date(&rec, backlog)
		emit(rec)
	}
	run := d.runStream
	if d.device {
		run = d.runDevice
	}
	err := run(deliver)
	if errors.Is(err, io.EOF) {
		d.drained()
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("read kernel log %s: %w", d.path, err)
}

// drained tells of the end of the backlog.
func (d *Device) drained() {
	if d.Drained != nil {
		d.Drained()
	}
}

// runStream reads one record per line. Lines of KEY=value begin with a space
// and are not records.
func (d *Device) runStream(deliver func(raw []byte, backlog bool)) error {
	br := bufio.NewReaderSize(d.file, readBytes)
	var line []byte
	for {
		var err error
		line, _, err = readLine(br, line[:0])
		if err != nil {
			return err
		}
		if len(line) > 0 && line[0] != ' ' {
			deliver(line, true)
		}
	}
}

// date says when a record was printed. A live one was printed a moment ago, see
// liveClock; the age of an older one comes from the kernel's clock, which drifts and
// stands still in suspend.
func (d *Device) date(r *Record, backlog bool) {
	now := d.now()
	r.ReadAt, r.Time, r.Backlog = now, now, backlog
	if !backlog {
		if r.HasStamp {
			r.Time = d.live.printed(r.Stamp, now)
		}
		return
	}
	r.Approximate = true
	if up, ok := d.uptime(); ok && r.HasStamp && r.Stamp < up {
		r.Time = now.Add(r.Stamp - up)
	}
}
