// SPDX-License-Identifier: Apache-2.0

// Command oom_exporter tells Prometheus which container is about to be
// OOM-killed, who the kernel will kill next, and who it did kill and why.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/oom-exporter/oom_exporter/internal/cli"
	"github.com/oom-exporter/oom_exporter/internal/rights"
)

func main() {
	os.Exit(cli.Main("oom_exporter", func(ctx context.Context) error {
		err := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr, rights.Drop})
		if err != nil && wantsJSONLog(os.Args[1:]) {
			return cli.JSONError{Err: err}
		}
		return err
	}))
}

// wantsJSONLog tells whether the log is to be JSON, even if the rest of the command
// line can't be parsed.
func wantsJSONLog(args []string) bool {
	for i, a := range args {
		if a == "--log.format=json" || a == "json" && i > 0 && args[i-1] == "--log.format" {
			return true
		}
	}
	return false
}

// streams are the standard streams and what else belongs to the process, so that
// tests can have their own.
type streams struct {
	in         io.Reader
	out, err   io.Writer
	dropRights func(rights.Options) (rights.Result, error) // nil: they are kept.
}

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
		{"why", why},
		{"advise", advise},
		{"top", showTop},
		{"doctor", doctor},
		{"completion", completion},
	}
}
