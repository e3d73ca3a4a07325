// SPDX-License-Identifier: Apache-2.0

package oom

// LogState says what can be expected of the kernel log.
type LogState uint8

// The states of the kernel log.
const (
	LogAbsent  LogState = iota // there is no log: do not wait for its lines.
	LogBacklog                 // what comes now was printed some time ago.
	LogLive                    // the reader has caught up.
)
