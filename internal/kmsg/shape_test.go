// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"strings"
	"testing"
	"time"
)

// located reads a log in which KERNEL: begins what the kernel says.
func located(t *testing.T, text string) ([]Record, LogStats) {
	t.Helper()
	var recs []Record
	stats, err := ReadLog(strings.NewReader(text), LogOptions{Now: testNow, Locate: locateWord}, func(r Record) { recs = append(recs, r) })
	if err != nil {
		t.Fatal(err)
	}
	return recs, stats
}

func locateWord(s string) (int, bool) {
	i := strings.Index(s, "KERNEL:")
	return i, i >= 0
}

func textsOf(recs []Record) string {
	var texts []string
	for _, r := range recs {
		texts = append(texts, r.Text)
	}
	return strings.Join(texts, "|")
}

// What a prefix looks like is learned from one line and holds for the next,
// which has nothing else by which it is known.
func TestLearnedPrefixes(t *testing.T) {
	for _, tc := range []struct{ name, first, second string }{
		{"a word", "web1: ", "web2: "},
		{"brackets", "<2026-11-24> [  12] {a} ", "<2026-11-25> [1234] {b} "},
		{"quoted in a mail", "> Nov 21 10:00:00 h kernel: ", "> Nov 21 10:00:01 h kernel: "},
		{"the number of a line", "file.log:9:[    1.000000] ", "file.log:10:[    1.000001] "},
		{"CRI", "2026-11-24T10:00:00.1Z stdout F ", "2026-11-24T10:00:00.22Z stdout F "},
		{"klog", "E1124 10:00:00.1  12 a.go:4] ", "W1124 10:00:00.2   7 bc.go:44] "},
	} {
		recs, stats := located(t, tc.first+"KERNEL: a\n"+tc.second+"and b\n")
		if got := textsOf(recs); got != "KERNEL: a|and b" || stats.Kernel != 2 {
			t.Errorf("%s: %s, %+v", tc.name, got, stats)
		}
	}
}

func TestUnquote(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{`"a","KERNEL: x ""y""","z"`, `KERNEL: x "y"`},
		{`msg="KERNEL: \"x\" \u003c\t" level=warn`, "KERNEL: \"x\" <\t"},
		{`'KERNEL: it's'`, "KERNEL: it's"},
		{"| KERNEL: x |", "KERNEL: x"},
		{"1| KERNEL: x  ", "KERNEL: x  "},
		{`"KERNEL: \`, `KERNEL: \`},
	} {
		recs, _ := located(t, tc.in+"\n")
		if got := textsOf(recs); got != tc.want {
			t.Errorf("%s gives %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestShapesAreBounded(t *testing.T) {
	var h shapes
	for i := range 200 {
		h.learn(newShape(strings.Repeat("(", i+1), false))
	}
	if len(h) > maxShapes {
		t.Errorf("%d shapes", len(h))
	}
}

func TestWrapped(t *testing.T) {
	long := "[    1.000000] KERNEL: " + strings.Repeat("word ", 40)
	fill := strings.Repeat("[    1.000000] x\n", 3)
	var hard, soft strings.Builder
	for s := long; s != ""; {
		n := min(80, len(s))
		hard.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	for s := long; s != ""; {
		n := len(s)
		if n > 80 {
			n = strings.LastIndexByte(s[:80], ' ') + 1
		}
		soft.WriteString(strings.TrimSuffix(s[:n], " ") + "\n")
		s = s[n:]
	}
	want := "x|x|x|" + strings.TrimSpace(long[len("[    1.000000] "):]) + "|after"
	for name, text := range map[string]string{"at a column": hard.String(), "at words": soft.String()} {
		recs, _ := located(t, fill+text+"[    2.000000] after\n")
		if got := strings.ReplaceAll(textsOf(recs), " |", "|"); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDocuments(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"an array", `[{"message":"KERNEL: a"},` + "\n" + `{"message":"b"}]` + "\n[    1.000000] c\n", "KERNEL: a|b|c"},
		{"within an object", `{"next":null,"events":[{"message":"KERNEL: a","labels":{"x":[1,{"y":2}]}},{"message":"b"}]}`, "KERNEL: a|b"},
		{"over lines", "{\n \"MESSAGE\" : \"KERNEL: a\",\n \"_TRANSPORT\" : \"kernel\"\n}\n{\n \"MESSAGE\" : [ 98, 255 ]\n}\n", "KERNEL: a|b\xff"},
		{"cut", `[{"message":"KERNEL: a"},{"message":"KERNEL: b`, "KERNEL: a|KERNEL: b"},
		{"no JSON", "{\"a\" is no JSON (\n[    1.000000] KERNEL: b\n", "{\"a\" is no JSON (|KERNEL: b"},
		{"a program's", `{"_TRANSPORT":"stdout","MESSAGE":"KERNEL: a"}` + "\n" + `{"SYSLOG_IDENTIFIER":"app","MESSAGE":"KERNEL: a"}`, ""},
		{"Loki's", `{"data":{"result":[{"stream":{"job":"k"},"values":[["1795514400000000000","[    1.000000] KERNEL: a"],["1795514400000000001","[    1.000001] b"]]}]}}`, "KERNEL: a|b"},
		{"a console's", `{"InstanceId":"i-1","Output":"[    1.000000] KERNEL: a\r\n[    1.000001] b\r\n"}`, "KERNEL: a|b"},
		{"two lines in one", `{"log":"[    1.000000] KERNEL: a\n[    1.000001] b\n"}`, "KERNEL: a|b"},
	} {
		recs, _ := located(t, tc.in)
		if got := textsOf(recs); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	// A document of any size takes no more memory than an object of it.
	big := `{"events":[` + strings.Repeat(`{"message":"b"},`+"\n", 80000) + `{"message":"KERNEL: a"}]}`
	if recs, _ := located(t, big); len(recs) != 80001 || recs[80000].Text != "KERNEL: a" {
		t.Errorf("%d records", len(recs))
	}
}

func TestEntryTimes(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		`"ts":1795514400`: at, `"ts":1795514400.5`: at.Add(time.Second / 2), `"ts":1795514400000`: at, `"ts":1795514400000000`: at, `"ts":1795514400000000000`: at,
		`"time":"2026-11-24T10:00:00Z"`: at, `"@timestamp":"2026-11-24 10:00:00"`: at, `"time":"soon"`: {}, `"time":12.5`: {},
	} {
		recs, _ := located(t, `{"message":"KERNEL: a",`+in+"}\n")
		if len(recs) != 1 || !recs[0].Time.Equal(want) {
			t.Errorf("%s: %+v", in, recs)
		}
	}
}

func FuzzLearnedPrefixes(f *testing.F) {
	f.Add([]byte("> Nov 21 10:00:00 h kernel: KERNEL: a\n> \n{\"message\":\"KERNEL: b\"}\n__CURSOR=1\nMESSAGE=KERNEL: c\n"))
	f.Add([]byte("[{\"log\":\"KERNEL: a\"},\n12:x|KERNEL: b\n12:x|c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_, err := ReadLog(strings.NewReader(string(b)), LogOptions{Now: testNow, Locate: locateWord}, func(r Record) {
			n++
			if !r.Saved {
				t.Errorf("record %+v", r)
			}
		})
		if err == nil && n > len(b)+1 {
			t.Errorf("%d records out of %d bytes", n, len(b))
		}
	})
}
