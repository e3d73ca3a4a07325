// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

// hostLogTimeout bounds how long a device may take to hand out its ring.
const hostLogTimeout = 30 * time.Second

// readHostLog returns what the kernel's log of this host still has, by the
// device or, where that is refused, by syslog(2).
func readHostLog(ctx context.Context, path string) ([]kmsg.Record, error) {
	records, err := drainDevice(ctx, path)
	if err == nil || path != defaultKmsg {
		return records, err
	}
	records, _, syslogErr := kmsg.NewSyslog().Poll(ctx)
	if syslogErr != nil {
		return nil, fmt.Errorf("read this host's kernel log: %s; %s", flat(errors.Join(err, syslogErr)), kmsgRemedy)
	}
	return records, nil
}

func drainDevice(ctx context.Context, path string) ([]kmsg.Record, error) {
	d, err := kmsg.OpenDevice(path)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, hostLogTimeout)
	defer stop()
	drained := false
	d.Drained = func() {
		drained = true
		stop()
	}
	var records []kmsg.Record
	err = d.Run(ctx, func(r kmsg.Record) { records = append(records, r) })
	if drained {
		return records, nil
	}
	return nil, err
}
