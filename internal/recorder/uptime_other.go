// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package recorder

import "time"

// uptime is for systems without cgroups, where nothing is recorded.
func uptime() time.Duration { return time.Duration(time.Now().UnixNano()) }
