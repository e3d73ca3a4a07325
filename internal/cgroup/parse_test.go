// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
)

// amounts lets cmp look at what an Amount is.
func amounts() cmp.Option {
	return cmp.Comparer(func(a, b oom.Amount) bool { return a == b })
}

func unset() oom.Amount { return oom.Amount{} }

func TestParseNumber(t *testing.T) {
	f := func(in string, want oom.Amount) {
		t.Helper()
		if got := parseNumber([]byte(in)); got != want {
			t.Errorf("parseNumber(%q) = %v, want %v", in, got, want)
		}
	}
	f("0\n", oom.Of(0))
	f("4096\n", oom.Of(4096))
	f("4096", oom.Of(4096))
	f("max\n", oom.Unlimited())
	f("18446744073709551615\n", oom.Of(1<<64-1))
	f("18446744073709551616\n", unset())
	f("18446744073709551620\n", unset())
	f("99999999999999999999999\n", unset())
	f("", unset())
	f("\n", unset())
	f("-1\n", unset())
	f("12 \n", unset())
	f("1e9\n", unset())
	f("maximum\n", unset())
	f("\x00\xff\n", unset())
}

func TestParseLimitV1(t *testing.T) {
	f := func(in string, page int, want oom.Amount) {
		t.Helper()
		if got := parseLimitV1([]byte(in), page); got != want {
			t.Errorf("parseLimitV1(%q, %d) = %v, want %v", in, page, got, want)
		}
	}
	f("9223372036854771712\n", 4096, oom.Unlimited())  // (LONG_MAX/4096)*4096.
	f("9223372036854759424\n", 16384, oom.Unlimited()) // with 16 KiB pages.
	f("9223372036854710272\n", 65536, oom.Unlimited()) // with 64 KiB pages.
	f("9223372036854775807\n", 4096, oom.Unlimited())  // before 3.19.
	f("4611686018427387904\n", 4096, oom.Unlimited())  // 2^62.
	f("4611686018427387903\n", 4096, oom.Of(1<<62-1))  // the largest that limits.
	f("8796093018112\n", 4096, oom.Unlimited())        // a 32-bit kernel.
	f("8796093018112\n", 65536, oom.Of(8796093018112)) // an ordinary limit there.
	f("8796093014016\n", 4096, oom.Of(8796093014016))  // one page less.
	f("67108864\n", 4096, oom.Of(67108864))
	f("0\n", 4096, oom.Of(0))
}

func TestParseStatV1OfARealKernel(t *testing.T) {
	b, err := os.ReadFile("testdata/stat-v1-6.18")
	if err != nil {
		t.Fatal(err)
	}
	var got oom.Stat
	parseStatV1(b, &got)
	want := oom.Stat{ // the total_ lines of the file.
		Anon: oom.Of(342589440), AnonHuge: oom.Of(0), File: oom.Of(850968576), Shmem: oom.Of(9068544), Swap: oom.Of(0),
		InactiveFile: oom.Of(446603264), ActiveFile: oom.Of(395296768), Unevictable: oom.Of(22360064),
	}
	if d := cmp.Diff(want, got, amounts()); d != "" {
		t.Error(d)
	}
}

func TestParseStatV2(t *testing.T) {
	f := func(in string, want oom.Stat) {
		t.Helper()
		var got oom.Stat
		parseStatV2([]byte(in), &got)
		if d := cmp.Diff(want, got, amounts()); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
	f("", oom.Stat{})
	f("anon 1\nfile 2\nkernel 3\nshmem 4\ninactive_file 5\nactive_file 6\nunevictable 7\nslab_reclaimable 8\nanon_thp 9\n", oom.Stat{
		Anon: oom.Of(1), AnonHuge: oom.Of(9), File: oom.Of(2), Kernel: oom.Of(3), Shmem: oom.Of(4),
		InactiveFile: oom.Of(5), ActiveFile: oom.Of(6), Unevictable: oom.Of(7), SlabReclaimable: oom.Of(8),
	})
	// Where there is a kernel key, the parts don't count.
	f("kernel 100\nkernel_stack 1\nslab 2\npercpu 4\nsock 8\npagetables 16\n", oom.Stat{Kernel: oom.Of(100)})
	f("kernel_stack 1\nslab 2\npercpu 4\nsock 8\npagetables 16\n", oom.Stat{Kernel: oom.Of(31)})
	f("kernel_stack 1\nslab 2\nsock 8\n", oom.Stat{Kernel: oom.Of(11)})
	// Similar keys are other keys.
	f("inactive_anon 1\nfile_mapped 2\nfile_thp 3\nswapcached 4\nkernel_misc 5\n", oom.Stat{})
	// A cut last line has a wrong number; so has one beyond 2^64.
	f("anon 1\nfile 23", oom.Stat{Anon: oom.Of(1)})
	f("anon 18446744073709551616\nfile 2\n", oom.Stat{File: oom.Of(2)})
	f("anon\nfile \nshmem x\n\n \nunevictable 7\n", oom.Stat{Unevictable: oom.Of(7)})
	f("file 2\x00\nanon 1\n", oom.Stat{Anon: oom.Of(1)})
}

func TestParseEvents(t *testing.T) {
	f := func(in string, want oom.Events) {
		t.Helper()
		if d := cmp.Diff(want, parseEvents([]byte(in)), amounts()); d != "" {
			t.Errorf("%q: %s", in, d)
		}
	}
	f("", oom.Events{})
	f("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\n",
		oom.Events{High: oom.Of(2), Max: oom.Of(3), OOMs: oom.Of(4), OwnKills: oom.Of(5)})
	f("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\nsock_throttled 7\n",
		oom.Events{High: oom.Of(2), Max: oom.Of(3), OOMs: oom.Of(4), OwnKills: oom.Of(5), GroupKills: oom.Of(6)})
	f("oom_kill 5\noom 4\n", oom.Events{OOMs: oom.Of(4), OwnKills: oom.Of(5)})
	f("max -1\noom_kill max\n", oom.Events{})
}

func TestParseOOMControl(t *testing.T) {
	f := func(in string, disabled, under, kills oom.Amount) {
		t.Helper()
		d, u, k := parseOOMControl([]byte(in))
		if d != disabled || u != under || k != kills {
			t.Errorf("%q: got %v %v %v, want %v %v %v", in, d, u, k, disabled, under, kills)
		}
	}
	f("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", oom.Of(0), oom.Of(0), oom.Of(3))
	f("oom_kill_disable 1\nunder_oom 1\n", oom.Of(1), oom.Of(1), unset()) // 3.10.
	f("oom_kill_disable 1\nunder_oom 1\noom_kill 3", oom.Of(1), oom.Of(1), unset())
	f("", unset(), unset(), unset())
}

func TestParsePressure(t *testing.T) {
	f := func(in string, some, full oom.Amount) {
		t.Helper()
		got := parsePressure([]byte(in))
		if got.WaitingMicros != some || got.StalledMicros != full {
			t.Errorf("%q: got %v, want %v %v", in, got, some, full)
		}
	}
	f("some avg10=0.00 avg60=1.50 avg300=0.25 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7890\n",
		oom.Of(123456), oom.Of(7890))
	f("some avg10=0.00 avg60=1.50 avg300=0.25 total=1\n", oom.Of(1), unset())
	f("some avg10=0.00\nfull total=\n", unset(), unset())
	f("other total=5\n", unset(), unset())
	f("", unset(), unset())
}

func TestParsePIDs(t *testing.T) {
	f := func(in string, want []int32, wantRest string) {
		t.Helper()
		got, rest := parsePIDs(nil, []byte(in))
		if !slices.Equal(got, want) || string(rest) != wantRest {
			t.Errorf("%q: got %v and %q, want %v and %q", in, got, rest, want, wantRest)
		}
	}
	f("", nil, "")
	f("1\n4194304\n", []int32{1, 4194304}, "")
	f("12\n34", []int32{12}, "34")
	f("0\n7\n", []int32{7}, "") // 0 is a process of another pid namespace.
	f("2147483647\n2147483648\n-1\nx\n\n9\n", []int32{2147483647, 9}, "")
}

func TestParseNodes(t *testing.T) {
	f := func(in string, want []int, wantOK bool) {
		t.Helper()
		got, ok := parseNodes(nil, []byte(in))
		if ok != wantOK || ok && !slices.Equal(got, want) {
			t.Errorf("%q: got %v %v, want %v %v", in, got, ok, want, wantOK)
		}
	}
	f("\n", nil, true)
	f("0\n", []int{0}, true)
	f("0-3,5,7-8\n", []int{0, 1, 2, 3, 5, 7, 8}, true)
	f("3-1\n", nil, false)
	f("0-99999999999\n", nil, false)
	f("a\n", nil, false)
	f("0,,1\n", nil, false)
}

func TestUnescape(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
	f("/plain", "/plain")
	f(`/a\040b\011c\012d\134e`, "/a b\tc\nd\\e")
	f(`\040`, " ")
	f(`/x\04`, `/x\04`)
	f(`/x\0409`, "/x 9")
	f(`/x\999`, `/x\999`)
	f(`/x\777`, `/x\777`) // no byte.
	f(`/x\`, `/x\`)
}
