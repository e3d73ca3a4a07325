// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// writeDocs writes docs/metrics.md from the table.
func writeDocs(w io.Writer) error {
	var b strings.Builder
	b.WriteString(docsHead)
	section := ""
	for _, f := range allFamilies() {
		if s := sectionOf(&f); s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| family | type | labels | profile | meaning | from (v2 \\| v1) |\n|---|---|---|---|---|---|\n", s)
		}
		profile := cmp.Or(f.profile, ProfileDefault)
		labels := "-"
		if names := labelNames(f.labels); len(names) > 0 {
			labels = "`" + strings.Join(names, ", ") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.name, strings.ToLower(f.typ.String()), labels, profile, f.help, strings.ReplaceAll(f.source, "|", "\\|"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func sectionOf(f *family) string {
	switch {
	case strings.HasPrefix(f.name, "oom_container_"):
		return "Containers, systemd units and other workloads"
	case strings.HasPrefix(f.name, "oom_pod_"):
		return "Pods"
	case strings.HasPrefix(f.name, "oom_slice_"):
		return "Limited groups above pods and services"
	case strings.HasPrefix(f.name, "oom_process_"), strings.HasPrefix(f.name, "oom_cgroup_"):
		return "Processes, and what scrapes read by"
	case strings.HasPrefix(f.name, "oom_next_"):
		return "Prediction"
	case strings.HasPrefix(f.name, "oom_node_"):
		return "Node"
	case strings.HasPrefix(f.name, "oom_exporter_"), strings.HasPrefix(f.name, "oom_scrape_"):
		return "The exporter itself"
	default:
		return "Kills and their sources"
	}
}

const docsHead = `<!-- Generated from the table in collector/ by "make docs"; a test holds it against the code. -->
# Metrics

Sizes are bytes, times are seconds, ratios are 0 to 1. What a kernel or a cgroup version does not have gives no series,
never a 0; an unlimited group has no limit series. ` + "`--metrics.profile`" + ` chooses the families: *minimal* is what the shipped rules need and
nothing else, *default* adds what the dashboards show and people ask for, *full* is all. ` + "`--metrics.enable`" + ` adds families to a profile and
` + "`--metrics.disable`" + ` takes some away; both take an anchored regular expression on the family's name.

Stability: until 1.0 a family may be renamed or removed in a minor release, and CHANGELOG.md says what replaces it. From 1.0 on
names, types, labels and meanings of the families of *minimal* and *default* only change with a major release, after a release that has both.
New families and new values of the labels ` + "`level`, `collector`, `source` and `kind`" + ` may come at any time.

Workload labels are always ` + "`namespace, pod, container`" + `, empty ones included. A Docker or Podman container and a systemd unit
have only ` + "`container`" + `; any other group has its path there. Every family is one level: ` + "`sum()`" + ` over ` + "`oom_container_*`" + ` and over
` + "`oom_pod_*`" + ` makes sense, over ` + "`oom_slice_*`" + ` and over margins it does not. When two groups have equal labels (the overlap of a
restart), counters add up and gauges are those of the group that came last.

A scrape gets the format that it accepts: the classic text, OpenMetrics 1.0.0 and 0.0.1 (what Prometheus asks for first), or protobuf. The counters
of kills have created timestamps (OpenMetrics), where it is certain since when they count: ` + "`oom_node_kills_total`" + ` since boot; ` + "`oom_kills_total`" + `,
` + "`oom_unattributed_kills_total`, `oom_evicted_kills_total` and `oom_kill_duplicates_total`" + ` since counting began, which the state file keeps over
restarts; ` + "`oom_container_kills_total`, `oom_container_ooms_total` and `oom_container_survived_kills_total`" + ` likewise, as long as
` + "`oom_evicted_kills_total`" + ` is 0; ` + "`oom_exporter_skipped_total`" + ` since the exporter began. Protobuf, which a Prometheus with
` + "`created-timestamp-zero-ingestion`" + ` asks for, always has them; OpenMetrics text as lines ` + "`*_created`" + ` with ` + "`--web.created-lines`" + `. That is off,
since any other Prometheus stores each such line as a series.

The exporter also has ` + "`oom_exporter_build_info`" + ` and client_golang's ` + "`go_*`, `process_*`" + ` (` + "`--no-web.exporter-metrics`" + ` drops them).
`
