// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package kmsg

import (
	"errors"
	"time"
)

func (d *Device) runDevice(func([]byte, bool)) error { return errors.ErrUnsupported }

func readFD(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func uptime() (time.Duration, bool) { return 0, false }

func readRing([]byte) (int, error) { return 0, errors.ErrUnsupported }

func ringSize() (int, error) { return 0, errors.ErrUnsupported }
