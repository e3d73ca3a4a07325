// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"runtime/debug"
	"testing"

	"github.com/prometheus/common/version"
)

func TestVersionOfTheModule(t *testing.T) {
	for given, want := range map[string]string{
		"v1.2.3":  "1.2.3",
		"(devel)": "devel",
		"":        "devel",
		"v0.0.0-20261129042207-532bc8cf37e9+dirty": "0.0.0-20261129042207-532bc8cf37e9+dirty",
	} {
		if got := moduleVersion(&debug.BuildInfo{Main: debug.Module{Version: given}}, true); got != want {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
	if got := moduleVersion(nil, false); got != "devel" {
		t.Errorf("a binary without build info has the version %q", got)
	}
}

// TestMainHasAVersion: a program that the linker gave no version has one all
// the same; one that it did give stays.
func TestMainHasAVersion(t *testing.T) {
	before := version.Version
	defer func() { version.Version = before }()
	for given, want := range map[string]string{"": "devel", "9.8.7": "9.8.7"} {
		version.Version = given
		var got string
		Main("test", func(context.Context) error { got = version.Version; return nil })
		if got != want {
			t.Errorf("given %q, the program runs with version %q, want %q", given, got, want)
		}
	}
}
