// SPDX-License-Identifier: Apache-2.0

// Command oom_exporter tells Prometheus which container is about to be
// OOM-killed, who the kernel will kill next, and who it did kill and why.
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
	err := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "oom_exporter: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// streams are the standard streams, so that tests can have their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// run is the whole program.
func run(ctx context.Context, args []string, std streams) error {
	c, command, err := parseArgs(args, std)
	if err != nil || command == "" {
		return err
	}
	for _, cmd := range commands() {
		if cmd.name == command {
			return cmd.run(ctx, c, std)
		}
	}
	return fmt.Errorf("no such command: %s", command)
}

// command is one of the program's subcommands.
type command struct {
	name string
	run  func(context.Context, *config, streams) error
}

func commands() []command {
	return []command{
		{"serve", serve},
		{"explain", explain},
		{"events", listEvents},
		{"top", showTop},
		{"doctor", doctor},
	}
}
