// SPDX-License-Identifier: Apache-2.0

package top

import (
	"encoding/json"
	"io"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// Schema is the version of the JSON that top prints.
const Schema = "oom_exporter.top/v1"

type document struct {
	Schema     string          `json:"schema"`
	Time       time.Time       `json:"time"`
	Host       string          `json:"host"`
	Node       nodeJSON        `json:"node"`
	Containers []containerJSON `json:"containers"`
	Processes  []processJSON   `json:"processes"`
}

type nodeJSON struct {
	Capacity   oom.Amount  `json:"capacity_bytes"`
	Margin     *marginJSON `json:"kill_margin"`
	Kills      oom.Amount  `json:"kills_total"`
	Unkillable oom.Amount  `json:"unkillable_bytes"`
	Next       *victimJSON `json:"next_victim"`
}

type marginJSON struct {
	Bytes  uint64  `json:"bytes"`
	Ratio  float64 `json:"ratio"`
	Level  string  `json:"level"`
	Cgroup string  `json:"cgroup,omitempty"`
}

type containerJSON struct {
	Namespace     string      `json:"namespace"`
	Pod           string      `json:"pod"`
	Container     string      `json:"container"`
	Cgroup        string      `json:"cgroup"`
	Usage         oom.Amount  `json:"usage_bytes"`
	WorkingSet    oom.Amount  `json:"working_set_bytes"`
	Unreclaimable oom.Amount  `json:"unreclaimable_bytes"`
	Limit         oom.Amount  `json:"limit_bytes"`
	Margin        *marginJSON `json:"kill_margin"`
	Next          *victimJSON `json:"next_victim"`
	QoS           string      `json:"qos,omitempty"`
	AdjMax        *int        `json:"oom_score_adj_max"`
	Mismatch      *bool       `json:"oom_score_adj_mismatch"`
}

type processJSON struct {
	PID       int32      `json:"pid"`
	Comm      string     `json:"comm"`
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	Container string     `json:"container"`
	Score     oom.Amount `json:"oom_score"`
	Adj       int16      `json:"oom_score_adj"`
	RSS       uint64     `json:"rss_bytes"`
	Swap      uint64     `json:"swap_bytes"`
	Badness   int64      `json:"badness_bytes"`
}

type victimJSON struct {
	PID       int32  `json:"pid"` // 0: nobody can be killed.
	Comm      string `json:"comm"`
	Container string `json:"container"`
	Badness   int64  `json:"badness_bytes"`
	Processes int    `json:"processes"`
	Tie       bool   `json:"tie"`
}

// JSON writes a frame; what is not known is null.
func JSON(w io.Writer, f *Frame, o Options) error {
	victims := f.victims()
	d := document{Schema: Schema, Time: f.Time.UTC(), Host: f.Host, Containers: []containerJSON{}, Processes: []processJSON{}}
	if f.Node != nil {
		d.Node = nodeJSON{Capacity: f.Node.Total, Kills: f.Node.OOMKills, Margin: marginOf(&f.Node.Margin), Next: victimOf(victims[""])}
	}
	if f.Processes != nil {
		d.Node.Unkillable = f.Processes.Unkillable
	}
	for _, r := range f.containers(o) {
		d.Containers = append(d.Containers, containerOf(r, victims))
	}
	for _, p := range f.processes(o) {
		d.Processes = append(d.Processes, processJSON{
			PID: p.PID, Comm: text.Escape(p.Comm), Namespace: p.Workload.Namespace, Pod: p.Workload.Pod, Container: p.Workload.Container,
			Score: p.Score, Adj: p.Adj, RSS: p.RSS, Swap: p.Swap, Badness: p.Badness,
		})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}

func containerOf(r *oom.Row, victims map[string]*oom.NextVictim) containerJSON {
	c := containerJSON{
		Namespace: r.Workload.Namespace, Pod: r.Workload.Pod, Container: r.Workload.Container, Cgroup: r.Path,
		Usage: r.Usage, WorkingSet: r.WorkingSet(), Unreclaimable: r.Unreclaimable, Limit: r.Limit, QoS: string(r.QoS),
		Margin: marginOf(&r.Margin),
	}
	if r.Margin.Known {
		c.Next = victimOf(victims[r.Margin.Cgroup])
	}
	if r.Processes.Adj {
		c.AdjMax = &r.Processes.AdjMax
	}
	if v, ok := r.Processes.Mismatch.Get(); ok {
		wrong := v != 0
		c.Mismatch = &wrong
	}
	return c
}

func marginOf(m *oom.Margin) *marginJSON {
	if !m.Known {
		return nil
	}
	return &marginJSON{m.Bytes, m.Ratio, m.Level.String(), m.Cgroup}
}

func victimOf(v *oom.NextVictim) *victimJSON {
	if v == nil {
		return nil
	}
	return &victimJSON{v.Process.PID, text.Escape(v.Process.Comm), name(v.Process.Workload), v.Badness, v.All, v.Tie}
}
