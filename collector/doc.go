// SPDX-License-Identifier: Apache-2.0

// Package collector turns what the host and the ledger know into Prometheus
// metrics. It reads no kernel file: every number comes from the model in
// package oom. Set.all lists the collectors. One table has all families, a line for
// each, which says how the family takes its value from the model; docs/metrics.md is
// generated from the table.
package collector
