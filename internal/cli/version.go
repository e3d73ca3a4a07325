// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"runtime/debug"
	"strings"

	"github.com/prometheus/common/version"
)

// develVersion stands for the version of a binary that carries none: one made by
// `go run`, or built where git does not answer.
const develVersion = "devel"

// moduleVersion returns the version that the go command has put into the
// binary: with `go install ...@v1.2.3` that release, with `go build` in a checkout
// one made of the last tag and the commit.
func moduleVersion(info *debug.BuildInfo, ok bool) string {
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return develVersion
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

// setVersion gives the binary a version where the linker was not told one, so
// that build_info and --version are never empty.
func setVersion() {
	if version.Version == "" {
		version.Version = moduleVersion(debug.ReadBuildInfo())
	}
}
