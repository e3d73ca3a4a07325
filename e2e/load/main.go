// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Load is a process whose memory a test shapes step by step. It reads commands
// from standard input, one a line, and answers each with "ok" or "error: ...".
// It needs no cgo, so that it runs in any guest; its own runtime takes one to
// three MiB, which the test measures.
//
// With "enter FILE..." as arguments it first puts itself into the cgroups of
// these cgroup.procs files and starts anew, so that all it has is charged there.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(3)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) > 0 && args[0] == "enter" {
		for _, file := range args[1:] {
			if err := os.WriteFile(file, []byte("0"), 0); err != nil {
				return err
			}
		}
		return syscall.Exec("/proc/self/exe", []string{"load"}, os.Environ())
	}
	debug.SetGCPercent(-1) // a collection would change what was measured.
	l := load{full: true}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		c, err := parseCommand(lines.Text())
		if err == nil {
			err = l.do(c)
		}
		if err != nil {
			_, err = fmt.Fprintln(stdout, "error:", err)
		} else {
			_, err = io.WriteString(stdout, "ok\n")
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
