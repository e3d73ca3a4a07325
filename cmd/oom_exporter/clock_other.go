// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "errors"

// kernelClock is for Linux only.
func kernelClock() (clockState, error) { return clockState{}, errors.ErrUnsupported }
