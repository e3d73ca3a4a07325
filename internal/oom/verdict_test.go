// SPDX-License-Identifier: Apache-2.0

package oom

import (
	"os"
	"regexp"
	"testing"
)

// TestKnown: every cause and kind of memory that is declared is known, and no other.
func TestKnown(t *testing.T) {
	source, err := os.ReadFile("verdict.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\t\w+\s+(Cause|Memory)\s+= "(\w+)"`).FindAllSubmatch(source, -1)
	if len(declared) < 16 {
		t.Errorf("%d declarations found", len(declared))
	}
	for _, d := range declared {
		if kind, name := string(d[1]), string(d[2]); kind == "Cause" && !Cause(name).Known() || kind == "Memory" && !Memory(name).Known() {
			t.Errorf("%s %q is not known", kind, name)
		}
	}
	if !Memory("").Known() || Memory("x").Known() || Cause("").Known() || Cause("leak\n").Known() {
		t.Error("what is not declared is known, or the unknown memory is not")
	}
}
