// SPDX-License-Identifier: Apache-2.0

// Package collector turns what the host and the ledger know into Prometheus
// metrics. It reads no kernel file: every number comes from the model in
// package oom. There is one file a collector, one explicit list of them, and
// one table of all families, a line for each, which says how a family takes its
// value from the model and from which docs/metrics.md is made.
package collector
