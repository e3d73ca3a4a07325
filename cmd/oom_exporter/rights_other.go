// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "github.com/oom-exporter/oom_exporter/internal/rights"

// neededRights is for Linux only.
func (c *config) neededRights() rights.Options { return rights.Options{} }
