// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// archived returns one file of testdata/host.txtar.
func archived(tb testing.TB, name string) []byte {
	tb.Helper()
	archive, err := txtar.ParseFile("testdata/host.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range archive.Files {
		if file.Name == name {
			return file.Data
		}
	}
	tb.Fatalf("no %s in testdata/host.txtar", name)
	return nil
}

func TestParseZoneinfo(t *testing.T) {
	const page = 4096
	want := []oom.Zone{
		{
			NUMANode: 0, Name: "DMA", Free: 3840 * page, Min: 42 * page, Present: 3998 * page, Managed: oom.Of(3840 * page), Protection: 5963 * page,
			ActiveFile: 1 * page, InactiveFile: 2 * page, SlabReclaimable: 700 * page,
		},
		{
			NUMANode: 0, Name: "Normal", Free: 100000 * page, Min: 500 * page, Present: 262144 * page, Managed: oom.Of(250000 * page), Protection: 128 * page,
			ActiveFile: 499 * page, InactiveFile: 598 * page,
		},
		{NUMANode: 0, Name: "Movable", Min: 32 * page, Managed: oom.Of(0)},
		{
			NUMANode: 1, Name: "Normal", Free: 200000 * page, Min: 600 * page, Present: 262100 * page, Managed: oom.Of(250000 * page),
			ActiveFile: 33 * page, InactiveFile: 44 * page, SlabReclaimable: 900 * page,
		},
	}
	if diff := cmp.Diff(want, parseZoneinfo(archived(t, "zoneinfo"), page), amounts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// oldZoneinfo has the format of 3.10: all counters in their zone, and
// protection after them. Pages are 64 KiB here.
const oldZoneinfo = `Node 0, zone      DMA
  pages free     3977
        min      67
        low      83
        high     100
        scanned  0
        spanned  4095
        present  3998
        managed  3977
    nr_free_pages 3977
    nr_inactive_file 5
    nr_active_file 6
    nr_slab_reclaimable 7
        protection: (0, 2831, 15861, 15861)
  pagesets
    cpu: 0
              count: 0
              high:  0
              batch: 1
  vm stats threshold: 6
  all_unreclaimable: 1
  start_pfn:         1
  inactive_ratio:    1
Node 0, zone   Normal
  pages free     50
        min      60
        low      83
        high     100
        scanned  0
        spanned  4095
        present  70
        managed  3977
    nr_free_pages 50
    nr_inactive_file 8
    nr_active_file 9
    nr_slab_reclaimable 10
        protection: (0, 0, 0, 0)
  pagesets
`

func TestParseZoneinfoOld(t *testing.T) {
	const page = 65536
	want := []oom.Zone{
		{
			Name: "DMA", Free: 3977 * page, Min: 67 * page, Present: 3998 * page, Managed: oom.Of(3977 * page), Protection: 15861 * page,
			ActiveFile: 6 * page, InactiveFile: 5 * page, SlabReclaimable: (7 + 10) * page,
		},
		{Name: "Normal", Free: 50 * page, Min: 60 * page, Present: 70 * page, Managed: oom.Of(3977 * page), ActiveFile: 9 * page, InactiveFile: 8 * page},
	}
	if diff := cmp.Diff(want, parseZoneinfo([]byte(oldZoneinfo), page), amounts); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseZoneinfoDamaged(t *testing.T) {
	const whole = "  pages free     1\n        min      2\n        present  3\n        protection: (4)\n"
	good := oom.Zone{NUMANode: 3, Name: "Normal", Free: 1, Min: 2, Present: 3, Protection: 4}
	managed := good
	managed.Managed = oom.Of(2)
	for name, c := range map[string]struct {
		text string
		want []oom.Zone
	}{
		"whole":               {"Node 3, zone Normal\n" + whole, []oom.Zone{good}},
		"no head":             {whole, nil},
		"head without name":   {"Node 3, zone \n" + whole, nil},
		"node no number":      {"Node x, zone Normal\n" + whole, nil},
		"node far too large":  {"Node 18446744073709551616, zone Normal\n" + whole, nil},
		"bad one, then whole": {"Node 1, zone DMA\n  pages free 1\nNode 3, zone Normal\n" + whole, []oom.Zone{good}},
		"no free":             {"Node 3, zone Normal\n" + whole[len("  pages free     1\n"):], nil},
		"cut in protection":   {"Node 3, zone Normal\n" + whole[:len(whole)-3], nil},
		"open protection":     {"Node 3, zone Normal\n" + whole[:len(whole)-2] + "\n", nil},
		"size beyond 2^64":    {"Node 3, zone Normal\n" + whole + "        min      18446744073709551616\n", []oom.Zone{good}},
		"managed":             {"Node 3, zone Normal\n" + whole + "        managed  2\n", []oom.Zone{managed}},
		"managed too large":   {"Node 3, zone Normal\n" + whole + "        managed  18446744073709551616\n", []oom.Zone{good}},
		"garbage":             {"\x7fELF\nNode \xff\n\x00", nil},
		"empty":               {"", nil},
	} {
		if diff := cmp.Diff(c.want, parseZoneinfo([]byte(c.text), 1), amounts); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	text := "Node 3, zone Normal\n" + whole + "  pages free     18446744073709551615\n"
	if got := parseZoneinfo([]byte(text), 4096); got != nil {
		t.Errorf("bytes beyond 2^64: got %+v, want no zone", got)
	}
}

func FuzzZoneinfo(f *testing.F) {
	f.Add(archived(f, "zoneinfo"), uint64(4096))
	f.Add([]byte(oldZoneinfo), uint64(65536))
	f.Add([]byte("Node 0, zone DMA\n  pages free 18446744073709551615\n"), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, b []byte, page uint64) {
		slabOf := map[int]bool{}
		for _, z := range parseZoneinfo(b, page) {
			if z.Name == "" || z.NUMANode < 0 {
				t.Errorf("zone without a name or node: %+v", z)
			}
			if slabOf[z.NUMANode] && z.SlabReclaimable != 0 {
				t.Errorf("slab on a second zone of the node: %+v", z)
			}
			slabOf[z.NUMANode] = true
			for _, n := range []uint64{z.Free, z.Min, z.Present, z.Protection, z.ActiveFile, z.InactiveFile, z.Managed.Or(0)} {
				if page != 0 && n%page != 0 {
					t.Errorf("%d is no multiple of the page size %d: %+v", n, page, z)
				}
			}
		}
	})
}
