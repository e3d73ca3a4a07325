// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package rights

import "errors"

// Drop is for Linux only.
func Drop(Options) (Result, error) { return Result{}, errors.ErrUnsupported }

// LandlockVersion is 0: there is none.
func LandlockVersion() int { return 0 }
