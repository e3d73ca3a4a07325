// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseRecord(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     Record
	}{
		{
			name: "plain",
			in:   "6,5818,2513716506,-;memory: usage 65536kB, limit 65536kB, failcnt 19\n",
			want: Record{
				Priority: 6, Seq: 5818, Stamp: 2513716506 * time.Microsecond, HasStamp: true,
				Text: "memory: usage 65536kB, limit 65536kB, failcnt 19",
			},
		},
		{
			name: "properties are dropped",
			in:   "6,1,2,-;text\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n",
			want: Record{Priority: 6, Seq: 1, Stamp: 2 * time.Microsecond, HasStamp: true, Text: "text"},
		},
		{
			name: "continuation, with a caller",
			in:   "4,2,3,c,caller=T123;,task=a",
			want: Record{Priority: 4, Seq: 2, Stamp: 3 * time.Microsecond, HasStamp: true, Cont: true, Text: ",task=a"},
		},
		{
			name: "continuation of old kernels",
			in:   "4,2,3,+;more",
			want: Record{Priority: 4, Seq: 2, Stamp: 3 * time.Microsecond, HasStamp: true, Cont: true, Text: "more"},
		},
		{
			name: "semicolon and leading space belong to the text",
			in:   "4,1,0,-; <TASK>; x",
			want: Record{Priority: 4, Seq: 1, HasStamp: true, Text: " <TASK>; x"},
		},
		{
			name: "escapes are undone once",
			in:   `3,1,0,-;nl\x0aS \xff\xfe \xc3\xa9 back\x5cx5cslash \x4 \y \`,
			want: Record{Priority: 3, Seq: 1, HasStamp: true, Text: "nl\nS \xff\xfe é back\\x5cslash \\x4 \\y \\"},
		},
		{
			name: "user space",
			in:   "12,9,1,-;marker",
			want: Record{Priority: 12, Seq: 9, Stamp: time.Microsecond, HasStamp: true, Text: "marker"},
		},
		{
			name: "empty text",
			in:   "4,1,0,-;",
			want: Record{Priority: 4, Seq: 1, HasStamp: true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseRecord([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for _, in := range []string{
		"", "text", ";", "x,1,2,-;t", "1,x,2,-;t", "1,2,x,-;t", "1,2;t", "-1,2,3,-;t", "1,+2,3,-;t",
		"99999999,2,3,-;t", "1,99999999999999999999,3,-;t", "1,2,18446744073709551615,-;t",
	} {
		if got, err := ParseRecord([]byte(in)); err == nil {
			t.Errorf("ParseRecord(%q) = %+v, want an error", in, got)
		}
	}
}

func TestFacility(t *testing.T) {
	for _, tc := range []struct {
		priority, facility, level int
		kernel                    bool
	}{
		{0, 0, 0, true}, {6, 0, 6, true}, {7, 0, 7, true}, {8, 1, 0, false}, {12, 1, 4, false}, {-1, -1, -1, true},
	} {
		r := Record{Priority: tc.priority}
		if r.Facility() != tc.facility || r.Level() != tc.level || r.FromKernel() != tc.kernel {
			t.Errorf("priority %d: facility %d, level %d, kernel %v, want %+v",
				tc.priority, r.Facility(), r.Level(), r.FromKernel(), tc)
		}
	}
}

func TestSequence(t *testing.T) {
	var s sequence
	for _, tc := range []struct{ seq, lost uint64 }{
		{100, 0}, {101, 0}, {105, 3}, {106, 0}, {3, 0}, {4, 0}, {10, 5},
	} {
		r := Record{Seq: tc.seq}
		if s.mark(&r); r.Lost != tc.lost {
			t.Errorf("before %d: %d lost, want %d", tc.seq, r.Lost, tc.lost)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("6,5818,2513716506,-;memory: usage\n SUBSYSTEM=x\n"))
	f.Add([]byte(`4,1,2,c,caller=C0;a\x0ab\`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if r.Priority < 0 || r.Stamp < 0 || len(r.Text) > len(b) {
			t.Errorf("ParseRecord(%q) = %+v", b, r)
		}
	})
}
