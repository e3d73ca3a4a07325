// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// victimHead is struct victim without its names.
type victimHead struct {
	BootNS, CgroupID, TotalVM  uint64
	RSS                        [4]int64
	PageTables                 uint64
	PID, TGID, UID, TriggerPID uint32
	Adj, TriggerAdj            int16
	Flags                      uint32
	Comm, TriggerComm          [commBytes]byte
}

func comm(name string) (b [commBytes]byte) {
	copy(b[:commBytes-1], name)
	return b
}

func record(t testing.TB, head victimHead, names string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, head); err != nil {
		t.Fatal(err)
	}
	b.WriteString(names)
	return b.Bytes()
}

func hog() victimHead {
	return victimHead{
		BootNS: 90e9, CgroupID: 4711, TotalVM: 1000, RSS: [4]int64{1, 500, 20, -3}, PageTables: 8192,
		PID: 43, TGID: 42, UID: 1000, TriggerPID: 77, Adj: -998, TriggerAdj: 5, Flags: pathIsWhole,
		Comm: comm("hog"), TriggerComm: comm("a\nb"),
	}
}

func at() clock {
	return clock{now: time.Unix(1_700_000_000, 0), boot: 100 * time.Second, pageSize: 4096}
}

func TestDecode(t *testing.T) {
	got, err := at().decode(record(t, hog(), "leaf\x00pod\x00kubepods\x00"))
	if err != nil {
		t.Fatal(err)
	}
	want := oom.Sighting{
		By: oom.ByBPF, Time: time.Unix(1_700_000_000-10, 0), Path: "/kubepods/pod/leaf", CgroupID: 4711,
		Victim: oom.Victim{
			PID: 43, TGID: 42, Comm: "hog", UID: oom.Of(1000), TotalVM: oom.Of(4096000), FileRSS: oom.Of(4096), AnonRSS: oom.Of(500 * 4096),
			Swap: oom.Of(20 * 4096), ShmemRSS: oom.Of(0), PageTables: oom.Of(8192), Adj: -998, AdjKnown: true,
		},
		Trigger: &oom.Trigger{PID: 77, Comm: "a\nb", Adj: 5},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(oom.Amount{})); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestDecodePaths(t *testing.T) {
	whole, cut := hog(), hog()
	cut.Flags = 0
	for _, tt := range []struct {
		name  string
		head  victimHead
		names string
		want  string
	}{
		{"the root", whole, "", "/"},
		{"one", whole, "a\x00", "/a"},
		{"odd names", whole, "b \\ c\x00\xff\n\x00", "/\xff\n/b \\ c"},
		{"deeper than the program looks", cut, "c\x00b\x00", ""},
	} {
		got, err := at().decode(record(t, tt.head, tt.names))
		if err != nil || got.Path != tt.want {
			t.Errorf("%s: path %q, %v; want %q", tt.name, got.Path, err, tt.want)
		}
	}
}

func TestDecodeShort(t *testing.T) {
	whole := record(t, hog(), "")
	for n := range len(whole) {
		if _, err := at().decode(whole[:n]); !errors.Is(err, errShort) {
			t.Fatalf("%d of %d bytes: error %v", n, len(whole), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record(f, hog(), "leaf\x00pod\x00"))
	f.Add(record(f, hog(), "no end"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := at().decode(b)
		if err != nil {
			if len(b) >= atNames {
				t.Errorf("%d bytes: %v", len(b), err)
			}
			return
		}
		if len(s.Victim.Comm) > commBytes || len(s.Trigger.Comm) > commBytes {
			t.Errorf("comm %q, %q", s.Victim.Comm, s.Trigger.Comm)
		}
		if s.Path != "" && (s.Path[0] != '/' || strings.Contains(s.Path, "\x00")) {
			t.Errorf("path %q", s.Path)
		}
	})
}
