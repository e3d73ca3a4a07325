// SPDX-License-Identifier: Apache-2.0

// Package rights gives up what the program no longer needs once it serves, so
// that whoever takes it over by a defect gets as little as possible.
package rights

import (
	"fmt"
	"strings"
)

// Options say what is still needed.
type Options struct {
	// Keep are the numbers of the capabilities to keep, where there are any.
	Keep []int
	// Writable are the directories below which files may be made, written and
	// removed, if they are there.
	Writable []string
	// Processes says that the files of other processes that ptrace rights guard
	// are still needed: Landlock takes them away and is left out.
	Processes bool
}

// Result is what the program is left with.
type Result struct {
	NoNewPrivs   bool
	Capabilities []string
	Landlock     int // the version of its interface; 0: not used.
}

// String says it in a line of the log.
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
