// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// What openRegular and createNew add to their flags.
const (
	noFollow = unix.O_NOFOLLOW
	noWait   = unix.O_NONBLOCK
)

func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
