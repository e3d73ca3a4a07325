// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e tests the real binary on real kernels: on this host, in
// containers and in virtual machines. Run it as root by make e2e.
package e2e
