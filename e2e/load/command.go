// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// command is one line: a verb, a path where it takes one, and a number.
type command struct {
	verb string
	path string
	n    int64
}

// parseCommand reads VERB NUMBER or VERB PATH NUMBER.
func parseCommand(line string) (command, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return command{}, errors.New("empty command")
	}
	c := command{verb: words[0]}
	want := 2
	switch c.verb {
	case "map", "write", "sync", "read", "count", "files", "names", "kibs", "links", "dentries":
		want = 3
	case "anon", "shmem", "mlock", "threads", "grow", "adj", "pipes", "sockets", "tables", "thp", "hugetlb":
	default:
		return command{}, fmt.Errorf("unknown command %q", c.verb)
	}
	if len(words) != want {
		return command{}, fmt.Errorf("%s takes %d words", c.verb, want)
	}
	if want == 3 {
		c.path = words[1]
	}
	n, err := strconv.ParseInt(words[want-1], 10, 64)
	if err != nil {
		return command{}, fmt.Errorf("%s: %w", c.verb, err)
	}
	if n < 0 && c.verb != "adj" {
		return command{}, fmt.Errorf("%s: negative size", c.verb)
	}
	c.n = n
	return c, nil
}
