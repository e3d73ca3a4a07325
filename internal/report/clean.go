// SPDX-License-Identifier: Apache-2.0

// Package report presents kills and OOM reports: as text for people, as one
// versioned JSON schema, as a table and as fields of a log line.
package report

import "github.com/oom-exporter/oom_exporter/internal/text"

// The longest texts that are passed on. The kernel's comm has 15 bytes, each of
// up to four characters when escaped.
const (
	maxComm = 64
	maxPath = 4096
	maxMask = 256
)

// Clean makes a text of the kernel's safe to show, in at most limit characters.
func Clean(s string, limit int) string { return text.Short(s, limit) }
