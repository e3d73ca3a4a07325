// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelClock asks the kernel how good its clock is.
func kernelClock() (clockState, error) {
	var tx unix.Timex // with no modes set it only reads.
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return clockState{}, err
	}
	unsynchronized := state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0
	return clockState{synchronized: !unsynchronized, maxError: time.Duration(tx.Maxerror) * time.Microsecond}, nil
}
