// SPDX-License-Identifier: Apache-2.0

// Package scale measures what a scrape costs at scale, beside a floor program
// and other exporters, and how an exporter fares under churn for long.
package scale
