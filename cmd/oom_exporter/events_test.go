// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
	"github.com/oom-exporter/oom_exporter/internal/ledger"
	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/oomlog"
	"github.com/oom-exporter/oom_exporter/internal/workload"
)

// stillCounters never tell anything, as if the ledger had not come to read them.
type stillCounters struct{}

func (stillCounters) Vmstat() (oom.Amount, error) { return oom.Of(0), nil }
func (stillCounters) Groups() (oom.Tree, error)   { return oom.Tree{}, nil }
func (stillCounters) Populated(oom.GroupID) bool  { return false }

// TestNamesAreLookedUpAtTheKill wants the name of a container that its runtime
// forgets while the ledger is still busy.
func TestNamesAreLookedUpAtTheKill(t *testing.T) {
	for _, backlog := range []bool{false, true} {
		id := strings.Repeat("5a", 32)
		root := t.TempDir()
		dir := filepath.Join(root, "containers", id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(`{"Name":"/brief"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		namer := workload.NewNamer(workload.Options{DockerRoot: root, Wait: 10 * time.Second})
		book, err := ledger.New(ledger.Options{Counters: stillCounters{}})
		if err != nil {
			t.Fatal(err)
		}
		e := &events{logger: log.NewNopLogger(), namer: namer, book: book, parser: oomlog.New(oomlog.Options{PageSize: 4096})}
		path := "/docker/" + id
		for i, text := range []string{
			"hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
			"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=" + id + ",mems_allowed=0,oom_memcg=" + path + ",task_memcg=" + path + ",task=hog,pid=42,uid=0",
			"Memory cgroup out of memory: Killed process 42 (hog) total-vm:65536kB, anon-rss:65000kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:100kB oom_score_adj:0",
		} {
			e.record(kmsg.Record{Priority: 6, Seq: uint64(i), Text: text, Backlog: backlog})
		}
		namer.Settle()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		who, known := namer.Lookup(path)
		if known == backlog || known && who.Workload.Container != "brief" {
			t.Errorf("backlog %v: known %v as %+v", backlog, known, who.Workload)
		}
	}
}
