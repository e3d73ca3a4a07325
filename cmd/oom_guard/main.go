// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command oom_guard acts before the kernel's OOM killer must: it watches cgroups with
// a memory limit and, only if told to, has the cache of one near its limit reclaimed,
// kills a process or ends a container, and leaves a trace of it. It is a program of its
// own, so that the exporter can stay read-only.
package main

import (
	"context"
	"io"
	"os"

	"github.com/oom-exporter/oom_exporter/internal/cli"
)

func main() {
	os.Exit(cli.Main("oom_guard", func(ctx context.Context) error {
		return run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	}))
}

// streams are the standard streams, so that tests can have their own.
type streams struct{ out, err io.Writer }

// run is the whole program.
func run(ctx context.Context, args []string, std streams) error {
	c, err := parseArgs(args, std)
	if err != nil || c == nil {
		return err
	}
	if c.check {
		return check(c, std)
	}
	return serve(ctx, c, std)
}
