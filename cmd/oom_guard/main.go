// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command oom_guard acts before the kernel's OOM killer must: it watches groups
// near their memory limit, has their cache reclaimed, and, only if told so,
// kills a process or ends a container and leaves a trace of it. It is a program
// of its own, so that the exporter can stay read-only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as shells and service managers read them.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(mainExit())
}

// mainExit keeps deferred calls out of main, which os.Exit would skip.
func mainExit() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "oom_guard: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// streams are the standard streams, so that tests can have their own.
type streams struct{ out, err io.Writer }

// usageError is a mistake on the command line.
type usageError struct{ error }

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
