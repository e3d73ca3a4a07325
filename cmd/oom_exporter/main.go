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
)

func main() {
	os.Exit(cli.Main("oom_exporter", func(ctx context.Context) error {
		return run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	}))
}

// streams are the standard streams, so that tests can have their own.
type streams struct {
	in       io.Reader
	out, err io.Writer
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
