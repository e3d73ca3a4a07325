// SPDX-License-Identifier: Apache-2.0

// Package rights gives up what the program no longer needs once it serves, so that
// whoever takes it over through a vulnerability gets as little as possible.
package rights

import (
	"fmt"
	"strings"
)

// Options say what is still needed.
type Options struct {
	// Keep are the numbers of the capabilities to keep, if the program has them.
	Keep []int
	// Writable are the directories below which files may be made, written and
	// removed, if they are there.
	Writable []string
	// Processes says that those files of other processes are still needed that ask
	// for ptrace rights: Landlock would take these away, so it is left out.
	Processes bool
}

// Result is what the program is left with.
type Result struct {
	NoNewPrivs   bool
	Capabilities []string
	Landlock     int // the version of its interface; 0: not used.
}

// String returns the result as text for a line of the log.
func (r Result) String() string {
	landlock := "none"
	if r.Landlock > 0 {
		landlock = fmt.Sprint("version ", r.Landlock)
	}
	kept := "none"
	if len(r.Capabilities) > 0 {
		kept = strings.Join(r.Capabilities, ",")
	}
	return fmt.Sprintf("capabilities %s, no_new_privs %v, Landlock %s", kept, r.NoNewPrivs, landlock)
}
