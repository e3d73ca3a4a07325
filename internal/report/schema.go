// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// Schema is the name and version of the JSON documents. Fields may be added
// within a version; docs/kills-schema.md describes them all.
const Schema = "oom_exporter/v1"

// Document is the JSON document of explain, events, why, advise and /api/v1.
type Document struct {
	Schema  string   `json:"schema"`
	Omitted int      `json:"kills_omitted,omitempty"`
	Kills   []Kill   `json:"kills"`
	Reports []Report `json:"reports,omitempty"`
	Advice  []Advice `json:"advice,omitempty"`
}

// Kill is one process that the kernel killed. Sizes are in bytes; what is not
// known is absent.
type Kill struct {
	ID          string     `json:"id,omitempty"`
	Time        *time.Time `json:"time,omitempty"`
	Approximate bool       `json:"time_approximate,omitempty"`
	Uptime      float64    `json:"uptime_seconds,omitempty"`
	Seq         uint64     `json:"seq"`
	Host        string     `json:"host,omitempty"`
	Boot        string     `json:"boot,omitempty"`
	Report      int        `json:"report,omitempty"`
	Level       string     `json:"level"`
	Constraint  string     `json:"constraint,omitempty"`
	Global      bool       `json:"global"`
	LimitPath   string     `json:"limit_cgroup,omitempty"`
	VictimPath  string     `json:"victim_cgroup,omitempty"`
	Namespace   string     `json:"namespace,omitempty"`
	Pod         string     `json:"pod,omitempty"`
	Container   string     `json:"container,omitempty"`
	Victim      Victim     `json:"victim"`
	Trigger     *Trigger   `json:"trigger,omitempty"`
	Usage       *uint64    `json:"usage_bytes,omitempty"`
	Limit       *uint64    `json:"limit_bytes,omitempty"`
	GroupKill   bool       `json:"group_kill,omitempty"`
	Duplicate   bool       `json:"duplicate,omitempty"`
	Sysrq       bool       `json:"sysrq,omitempty"`
	Allocating  bool       `json:"allocating_task,omitempty"`
	Partial     bool       `json:"partial,omitempty"`
	History     bool       `json:"history,omitempty"`
	Evidence    string     `json:"evidence,omitempty"`
	Verdict     *Verdict   `json:"verdict,omitempty"`
	Series      *Series    `json:"series,omitempty"`
}

// Victim is the process that died.
type Victim struct {
	PID        int     `json:"pid"`
	TGID       int     `json:"tgid,omitempty"`
	Comm       string  `json:"comm"`
	UID        *uint64 `json:"uid,omitempty"`
	Adj        *int    `json:"oom_score_adj,omitempty"`
	TotalVM    *uint64 `json:"total_vm_bytes,omitempty"`
	AnonRSS    *uint64 `json:"anon_rss_bytes,omitempty"`
	FileRSS    *uint64 `json:"file_rss_bytes,omitempty"`
	ShmemRSS   *uint64 `json:"shmem_rss_bytes,omitempty"`
	PageTables *uint64 `json:"page_table_bytes,omitempty"`
	Swap       *uint64 `json:"swap_bytes,omitempty"`
}

// Trigger is the task whose allocation ran into the limit.
type Trigger struct {
	Comm    string `json:"comm"`
	PID     int    `json:"pid,omitempty"`
	Adj     int    `json:"oom_score_adj"`
	GFPMask string `json:"gfp_mask,omitempty"`
	Order   int    `json:"order"`
	CPUSet  string `json:"cpuset,omitempty"`
}

// Report is the report around one or more kills, or around none.
type Report struct {
	ID          int               `json:"id"`
	Seq         uint64            `json:"seq"`
	Host        string            `json:"host,omitempty"`
	Boot        string            `json:"boot,omitempty"`
	Time        *time.Time        `json:"time,omitempty"`
	Approximate bool              `json:"time_approximate,omitempty"`
	Uptime      float64           `json:"uptime_seconds,omitempty"`
	Kernel      string            `json:"kernel,omitempty"`
	PageSize    uint64            `json:"page_size_bytes"`
	Trigger     *Trigger          `json:"trigger,omitempty"`
	Constraint  string            `json:"constraint,omitempty"`
	Global      bool              `json:"global"`
	LimitPath   string            `json:"limit_cgroup,omitempty"`
	VictimPath  string            `json:"victim_cgroup,omitempty"`
	GroupPath   string            `json:"group_cgroup,omitempty"`
	NodeMask    string            `json:"nodemask,omitempty"`
	MemsAllowed string            `json:"mems_allowed,omitempty"`
	LimitHit    string            `json:"limit_hit,omitempty"`
	Memory      *Usage            `json:"memory,omitempty"`
	Memsw       *Usage            `json:"memory_and_swap,omitempty"`
	Kmem        *Usage            `json:"kernel_memory,omitempty"`
	Swap        *Usage            `json:"swap,omitempty"`
	Stats       map[string]uint64 `json:"memory_stat,omitempty"`
	Node        *Node             `json:"node,omitempty"`
	TotalPages  uint64            `json:"total_pages,omitempty"`
	Tasks       []Task            `json:"tasks,omitempty"`
	TasksLeft   int               `json:"tasks_omitted,omitempty"`
	Exiting     []Exiting         `json:"already_exiting,omitempty"`
	Suppressed  uint64            `json:"suppressed,omitempty"`
	Headless    bool              `json:"headless,omitempty"`
	RateLimited bool              `json:"rate_limited,omitempty"`
	Panic       string            `json:"panic,omitempty"`
	Sysrq       bool              `json:"sysrq,omitempty"`
	NoKillable  bool              `json:"no_killable,omitempty"`
	Partial     bool              `json:"partial,omitempty"`
}

// Usage is one usage line of a memory cgroup.
type Usage struct {
	Usage     *uint64 `json:"usage_bytes,omitempty"`
	Limit     *uint64 `json:"limit_bytes,omitempty"`
	Unlimited bool    `json:"unlimited,omitempty"`
	Failcnt   *uint64 `json:"failcnt,omitempty"`
}

// Node is what the report says about the machine.
type Node struct {
	RAM           *uint64 `json:"ram_bytes,omitempty"`
	Reserved      *uint64 `json:"reserved_bytes,omitempty"`
	SwapTotal     *uint64 `json:"swap_total_bytes,omitempty"`
	SwapFree      *uint64 `json:"swap_free_bytes,omitempty"`
	Anon          *uint64 `json:"anon_bytes,omitempty"`
	File          *uint64 `json:"file_bytes,omitempty"`
	Shmem         *uint64 `json:"shmem_bytes,omitempty"`
	Unevictable   *uint64 `json:"unevictable_bytes,omitempty"`
	Free          *uint64 `json:"free_bytes,omitempty"`
	Slab          *uint64 `json:"slab_reclaimable_bytes,omitempty"`
	Unreclaimable *uint64 `json:"slab_unreclaimable_bytes,omitempty"`
	LargestSlab   string  `json:"largest_slab,omitempty"`
	LargestBytes  *uint64 `json:"largest_slab_bytes,omitempty"`
}

// Task is one row of the task table.
type Task struct {
	PID        int     `json:"pid"`
	TGID       int     `json:"tgid"`
	UID        *uint64 `json:"uid,omitempty"`
	Comm       string  `json:"comm"`
	Adj        int     `json:"oom_score_adj"`
	TotalVM    *uint64 `json:"total_vm_bytes,omitempty"`
	RSS        *uint64 `json:"rss_bytes,omitempty"`
	AnonRSS    *uint64 `json:"anon_rss_bytes,omitempty"`
	FileRSS    *uint64 `json:"file_rss_bytes,omitempty"`
	ShmemRSS   *uint64 `json:"shmem_rss_bytes,omitempty"`
	PageTables *uint64 `json:"page_table_bytes,omitempty"`
	Swap       *uint64 `json:"swap_bytes,omitempty"`
	Score      int64   `json:"score_pages"`
	Eligible   bool    `json:"eligible"`
}

// Exiting is a victim that was gone before it could be killed.
type Exiting struct {
	PID  int    `json:"pid"`
	Comm string `json:"comm"`
}

// JSON writes the document.
func JSON(w io.Writer, d Document) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// WriteKills writes the document of kills, as JSON does, without holding all of
// it in memory. omitted is how many older kills were left out.
func WriteKills(w io.Writer, kills []oom.Kill, omitted int, verdict func(id string) (oom.Verdict, bool)) error {
	head := fmt.Sprintf("{\n  \"schema\": %q,\n", Schema)
	if omitted > 0 {
		head += fmt.Sprintf("  \"kills_omitted\": %d,\n", omitted)
	}
	if _, err := io.WriteString(w, head+"  \"kills\": ["); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	end := "]\n}\n"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("    ", "  ")
	for i := range kills {
		b.Reset()
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		k := fromKill(&kills[i], 0)
		k.addVerdict(verdict)
		if err := enc.Encode(k); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		b.Truncate(b.Len() - 1) // Encode's newline.
		if _, err := w.Write(b.Bytes()); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		end = "\n  ]\n}\n"
	}
	if _, err := io.WriteString(w, end); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// Decode reads a document of this version.
func Decode(r io.Reader) (Document, error) {
	var d Document
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return Document{}, fmt.Errorf("read JSON: %w", err)
	}
	if d.Schema != Schema {
		return Document{}, fmt.Errorf("read JSON: schema is %q, want %q", Clean(d.Schema, maxComm), Schema)
	}
	return d, nil
}
