// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// id is the place of a family in the table.
type id int

const (
	gauge   = dto.MetricType_GAUGE
	counter = dto.MetricType_COUNTER
)

// shape is a set of label names that families share.
type shape int

const (
	shapeNone shape = iota
	shapeWorkload
	shapeWorkloadLevel
	shapeWorkloadInfo
	shapeWorkloadKill
	shapeWorkloadCause
	shapePod
	shapeCgroup
	shapeProcess
	shapeVictim
	shapeLevel
	shapeSource
	shapeCollector
	shapeKind
	shapes
)

// isOpen tells whether the labels are open-ended: they name workloads, cgroups or
// processes.
func (s shape) isOpen() bool {
	return slices.ContainsFunc(labelNames(s), func(label string) bool { return label == "namespace" || label == "cgroup" })
}

// labelNames gives each shape's labels in the order of the values.
func labelNames(s shape) []string {
	workload := []string{"namespace", "pod", "container"}
	switch s {
	case shapeWorkload:
		return workload
	case shapeWorkloadLevel:
		return append(workload, "level")
	case shapeWorkloadInfo:
		return append(workload, "runtime", "qos", "image")
	case shapeWorkloadKill:
		return append(workload, "comm", "level")
	case shapeWorkloadCause:
		return append(workload, "cause", "grew")
	case shapePod:
		return workload[:2]
	case shapeCgroup:
		return []string{"cgroup"}
	case shapeProcess:
		return append(workload, "pid", "comm")
	case shapeVictim:
		return append([]string{"scope", "cgroup"}, append(workload, "pid", "comm")...)
	case shapeLevel:
		return []string{"level"}
	case shapeSource:
		return []string{"source"}
	case shapeCollector:
		return []string{"collector"}
	case shapeKind:
		return []string{"kind"}
	default:
		return nil
	}
}

// epoch says since when a counter counts: its created timestamp, in the formats
// that have one. Where that is not known for certain there is none.
type epoch int

const (
	epochUnknown   epoch = iota
	epochBoot            // of the kernel.
	epochKills           // counting of kills began; the state file keeps it over restarts.
	epochWorkloads       // the same, as long as no workload's count has been dropped.
	epochStart           // of this exporter.
	epochs               // their number.
)

// family is one metric family, as docs/metrics.md describes it.
type family struct {
	name      string
	typ       dto.MetricType
	labels    shape
	collector string
	profile   Profile // the smallest that has it; empty means ProfileDefault.
	since     epoch
	help      string
	source    string // the kernel file or formula that the value comes from, v2 | v1.
}
