// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime is the time since boot, sleep included.
func uptime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
