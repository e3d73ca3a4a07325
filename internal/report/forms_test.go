// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/oom-exporter/oom_exporter/internal/kmsg"
)

// booted is when the machines of the captures have booted, by decree.
var booted = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

// form is one way in which people have a kernel log.
type form struct {
	name string
	// render writes records. Each line of a record is a line of its own, but
	// where a form can hold records with newlines.
	render func([]kmsg.Record) string
	// lossy says that bytes which are no UTF-8, or control characters, do not
	// survive, whoever reads it.
	lossy bool
	// clockless forms have no time, so that what was printed long after a
	// report can't be told from what was printed with it.
	clockless bool
}

// lines makes a form of a prefix to each line.
func lines(name string, prefix func(kmsg.Record) string) form {
	return form{name: name, render: func(recs []kmsg.Record) string {
		var b strings.Builder
		for _, r := range recs {
			for line := range strings.SplitSeq(r.Text, "\n") {
				b.WriteString(prefix(r) + line + "\n")
			}
		}
		return b.String()
	}}
}

// indented is lines, but with a prefix for the first line of a record only.
func indented(name string, prefix func(kmsg.Record) string) form {
	return form{name: name, render: func(recs []kmsg.Record) string {
		var b strings.Builder
		for _, r := range recs {
			p := prefix(r)
			b.WriteString(p + strings.ReplaceAll(r.Text, "\n", "\n"+strings.Repeat(" ", utf8.RuneCountInString(p))) + "\n")
		}
		return b.String()
	}}
}

// around passes another form's text on.
func around(name string, f form, change func(string) string) form {
	inner := f.render
	f.name = name
	f.render = func(recs []kmsg.Record) string { return change(inner(recs)) }
	return f
}

func perLine(change func(string) string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
			b.WriteString(change(line) + "\n")
		}
		return b.String()
	}
}

func wall(r kmsg.Record) time.Time { return booted.Add(r.Stamp) }

func stamp(r kmsg.Record) string { return fmt.Sprintf("[%12.6f] ", r.Stamp.Seconds()) }

func at(layout string) func(kmsg.Record) string {
	return func(r kmsg.Record) string { return wall(r).Format(layout) }
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// journalText is how journald writes a text in JSON.
func journalText(s string) string {
	if utf8.ValidString(s) {
		return quoteJSON(s)
	}
	var codes []string
	for _, c := range []byte(s) {
		codes = append(codes, fmt.Sprint(c))
	}
	return "[ " + strings.Join(codes, ", ") + " ]"
}

func journalFields(r kmsg.Record) []string {
	return []string{
		`"__REALTIME_TIMESTAMP" : "` + fmt.Sprint(wall(r).UnixMicro()) + `"`,
		`"_SOURCE_MONOTONIC_TIMESTAMP" : "` + fmt.Sprint(r.Stamp.Microseconds()) + `"`,
		`"_HOSTNAME" : "web1"`, `"_TRANSPORT" : "kernel"`, `"SYSLOG_IDENTIFIER" : "kernel"`,
		`"PRIORITY" : "` + fmt.Sprint(r.Priority&7) + `"`,
		`"MESSAGE" : ` + journalText(r.Text),
	}
}

// objects makes a form of one object a record.
func objects(name, before, between, after string, object func(kmsg.Record) string) form {
	return form{name: name, render: func(recs []kmsg.Record) string {
		var all []string
		for _, r := range recs {
			all = append(all, object(r))
		}
		return before + strings.Join(all, between) + after + "\n"
	}}
}

func jsonForms() []form {
	lossy := func(f form) form {
		f.lossy = true
		return f
	}
	return []form{
		objects("journalctl -o json", "", "\n", "", func(r kmsg.Record) string { return "{" + strings.Join(journalFields(r), ",") + "}" }),
		objects("journalctl -o json-pretty", "", "\n", "", func(r kmsg.Record) string { return "{\n\t" + strings.Join(journalFields(r), ",\n\t") + "\n}" }),
		objects("journalctl -o json-sse", "", "\n\n", "\n", func(r kmsg.Record) string { return "data: {" + strings.Join(journalFields(r), ",") + "}" }),
		lossy(objects("dmesg -J", "{\n   \"dmesg\": [\n      ", ",", "\n   ]\n}", func(r kmsg.Record) string {
			return fmt.Sprintf("{\n         \"pri\": %d,\n         \"time\": %12.6f,\n         \"msg\": %s\n      }", r.Priority&7, r.Stamp.Seconds(), quoteJSON(r.Text))
		})),
		lossy(objects("aws logs get-log-events", `{"events":[`, ",", `],"nextForwardToken":"f/1"}`, func(r kmsg.Record) string {
			return fmt.Sprintf(`{"timestamp":%d,"message":%s,"ingestionTime":1}`, wall(r).UnixMilli(), quoteJSON(stamp(r)+r.Text))
		})),
		lossy(objects("gcloud logging read", "[\n  ", ",\n  ", "\n]", func(r kmsg.Record) string {
			return fmt.Sprintf("{\n    \"insertId\": \"x\",\n    \"jsonPayload\": {\n      \"message\": %s\n    },\n    \"labels\": {\"k8s-node-name\": \"web1\"},\n    \"timestamp\": %q\n  }",
				quoteJSON(r.Text), wall(r).Format(time.RFC3339Nano))
		})),
		lossy(around("docker json-file", lines("", stamp), perLine(func(s string) string {
			return `{"log":` + quoteJSON(s+"\n") + `,"stream":"stdout","time":"2026-11-24T10:00:00.5Z"}`
		}))),
		lossy(around("Elastic", lines("", func(r kmsg.Record) string { return "<4>" + at("Jan _2 15:04:05 node kernel: ")(r) }), perLine(func(s string) string {
			return `{"@timestamp":"2026-11-24T10:00:00.5Z","host":{"name":"web1"},"event":{"original":` + quoteJSON(s) + `}}`
		}))),
	}
}

func entryForms() []form {
	return []form{
		{name: "journalctl -o export", lossy: true, render: func(recs []kmsg.Record) string {
			var b strings.Builder
			for _, r := range recs {
				for line := range strings.SplitSeq(r.Text, "\n") {
					fmt.Fprintf(&b, "__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=%d\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_HOSTNAME=web1\n_TRANSPORT=kernel\nMESSAGE=%s\n\n",
						wall(r).UnixMicro(), line)
				}
			}
			return b.String()
		}},
		{name: "journalctl -o verbose", lossy: true, render: func(recs []kmsg.Record) string {
			var b strings.Builder
			for _, r := range recs {
				fmt.Fprintf(&b, "%s [s=1;i=2;b=0123456789abcdef0123456789abcdef;m=3;t=4;x=5]\n    PRIORITY=4\n    _TRANSPORT=kernel\n    _HOSTNAME=web1\n    MESSAGE=%s\n",
					wall(r).Format("Mon 2006-01-02 15:04:05.000000 MST"), strings.ReplaceAll(r.Text, "\n", "\n            "))
			}
			return b.String()
		}},
	}
}

func lineForms() []form {
	german := strings.NewReplacer("Sat", "Sa", "Nov", "Nov.")
	return []form{
		{name: "/dev/kmsg", render: func(recs []kmsg.Record) string {
			var b strings.Builder
			for _, r := range recs {
				fmt.Fprintf(&b, "%d,%d,%d,-;", r.Priority, r.Seq, r.Stamp.Microseconds())
				for _, c := range []byte(r.Text) {
					if c < ' ' || c >= 0x7f || c == '\\' {
						fmt.Fprintf(&b, `\x%02x`, c)
						continue
					}
					b.WriteByte(c)
				}
				b.WriteByte('\n')
			}
			return b.String()
		}},
		indented("dmesg", stamp),
		lines("dmesg, each line with its time", stamp),
		lines("dmesg -r", func(r kmsg.Record) string { return fmt.Sprintf("<%d>%s", r.Priority, stamp(r)) }),
		indented("dmesg -x", func(r kmsg.Record) string {
			return fmt.Sprintf("kern  :%-6s: %s", strings.Fields("emerg alert crit err warn notice info debug")[r.Priority&7], stamp(r))
		}),
		indented("dmesg -d", func(r kmsg.Record) string { return fmt.Sprintf("[%12.6f <    0.000010>] ", r.Stamp.Seconds()) }),
		indented("dmesg with a caller", func(r kmsg.Record) string { return stamp(r) + "[  T23337] " }),
		indented("dmesg -T", at("[Mon Jan _2 15:04:05 2006] ")),
		lines("dmesg -T, German", func(r kmsg.Record) string { return german.Replace(at("[Mon Jan _2 15:04:05 2006] ")(r)) }),
		lines("dmesg -T, Russian", func(r kmsg.Record) string {
			return "[Сб ноя " + at("_2 15:04:05 2006] ")(r)
		}),
		indented("dmesg --time-format=iso", at("2006-01-02T15:04:05,000000+00:00 ")),
		{name: "dmesg -t", clockless: true, render: lines("", func(kmsg.Record) string { return "" }).render},
		indented("journalctl", at("Jan 02 15:04:05 node kernel: ")),
		indented("journalctl, Portuguese", func(r kmsg.Record) string { return "out " + at("02 15:04:05 node kernel: ")(r) }),
		indented("journalctl -o short-precise", at("Jan 02 15:04:05.000000 node kernel: ")),
		indented("journalctl -o short-iso", at("2006-01-02T15:04:05-0700 node kernel: ")),
		indented("journalctl -o short-full", at("Mon 2006-01-02 15:04:05 MST node kernel: ")),
		indented("journalctl -o short-unix", func(r kmsg.Record) string {
			return fmt.Sprintf("%d.%06d node kernel: ", wall(r).Unix(), wall(r).Nanosecond()/1000)
		}),
		indented("journalctl -o short-monotonic", func(r kmsg.Record) string { return stamp(r) + "node kernel: " }),
		indented("journalctl --no-hostname", at("Jan 02 15:04:05 kernel: ")),
		lines("kern.log", func(r kmsg.Record) string { return at("Jan _2 15:04:05 node kernel: ")(r) + stamp(r) }),
		lines("rsyslog", at("2006-01-02T15:04:05.000000-07:00 node kernel: ")),
		{name: "rsyslog with #012", render: func(recs []kmsg.Record) string {
			var b strings.Builder
			for _, r := range recs {
				b.WriteString(at("Jan _2 15:04:05 node kernel: ")(r) + strings.ReplaceAll(r.Text, "\n", "#012") + "\n")
			}
			return b.String()
		}},
		lines("RFC 5424", func(r kmsg.Record) string { return "<4>1 " + at("2006-01-02T15:04:05.000000Z node kernel - - - ")(r) }),
		lines("OpenWrt logread", func(r kmsg.Record) string { return at("Mon Jan _2 15:04:05 2006 kern.warn kernel: ")(r) + stamp(r) }),
		lines("CRI", func(r kmsg.Record) string { return at("2006-01-02T15:04:05.000000000Z stderr F ")(r) + stamp(r) }),
		lines("klog", func(r kmsg.Record) string { return at("I0102 15:04:05.000000")(r) + "      12 kmsg.go:44] " }),
	}
}

func pastedForms() []form {
	dmesg := lines("", stamp)
	kernLog := lines("", func(r kmsg.Record) string { return at("Jan _2 15:04:05 node kernel: ")(r) + stamp(r) })
	n := 0
	return []form{
		around("quoted in a mail", dmesg, perLine(func(s string) string { return "> " + s })),
		around("indented", kernLog, perLine(func(s string) string { return "    " + s })),
		around("grep -n, with a file", kernLog, perLine(func(s string) string {
			n++
			return fmt.Sprintf("/var/log/kern.log:%d:%s", n, s)
		})),
		{name: "CSV", lossy: true, render: around("", lines("", func(kmsg.Record) string { return "" }), perLine(func(s string) string {
			return `"2026-11-24T10:00:00Z","web1","kern","` + strings.ReplaceAll(s, `"`, `""`) + `"`
		})).render, clockless: true},
		around("HTML", dmesg, html.EscapeString),
		around("a serial console", dmesg, func(s string) string { return strings.ReplaceAll(s, "\n", "\x1b[0m\r\n") }),
		around("Windows line ends", kernLog, func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }),
		around("wrapped at 80", kernLog, wrapAt(80)),
		around("wrapped at 132", dmesg, wrapAt(132)),
		around("folded at words", dmesg, foldAtWords(100)),
		around("folded at words, in a mail", kernLog, func(s string) string {
			return perLine(func(s string) string { return "> " + s })(foldAtWords(90)(s))
		}),
		around("newest first", lines("", stamp), func(s string) string {
			all := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
			slices.Reverse(all)
			return strings.Join(all, "\n") + "\n"
		}),
		around("every line twice", kernLog, perLine(func(s string) string { return s + "\n" + s })),
		around("two logs of the same", kernLog, func(s string) string { return s + s }),
	}
}

func encodedForms() []form {
	kernLog := lines("", func(r kmsg.Record) string { return at("Jan _2 15:04:05 node kernel: ")(r) + stamp(r) })
	lossy := kernLog
	lossy.lossy = true
	return []form{
		around("gzip", kernLog, func(s string) string {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write([]byte(s))
			_ = w.Close()
			return b.String()
		}),
		around("xz", kernLog, func(s string) string {
			var b bytes.Buffer
			w, _ := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&b)
			_, _ = w.Write([]byte(s))
			_ = w.Close()
			return b.String()
		}),
		around("zstd", kernLog, func(s string) string {
			w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
			return string(w.EncodeAll([]byte(s), nil))
		}),
		around("UTF-16", lossy, func(s string) string { return inUTF16(s, binary.LittleEndian, true) }),
		around("UTF-16, big-endian, unmarked", lossy, func(s string) string { return inUTF16(s, binary.BigEndian, false) }),
		around("a byte order mark", kernLog, func(s string) string { return "\ufeff" + s }),
	}
}

func inUTF16(s string, order binary.AppendByteOrder, mark bool) string {
	var b []byte
	if mark {
		b = order.AppendUint16(b, 0xfeff)
	}
	for _, c := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, c)
	}
	return string(b)
}

func wrapAt(width int) func(string) string {
	return perLine(func(s string) string {
		var parts []string
		for len(s) > width {
			parts, s = append(parts, s[:width]), s[width:]
		}
		return strings.Join(append(parts, s), "\n")
	})
}

// foldAtWords is fold -s.
func foldAtWords(width int) func(string) string {
	return perLine(func(s string) string {
		var parts []string
		for len(s) > width {
			n := strings.LastIndexByte(s[:width], ' ') + 1
			if n == 0 {
				n = width
			}
			parts, s = append(parts, s[:n]), s[n:]
		}
		return strings.Join(append(parts, s), "\n")
	})
}

func allForms() []form {
	return slices.Concat(lineForms(), jsonForms(), entryForms(), pastedForms(), encodedForms())
}

func TestFormsAreMany(t *testing.T) {
	names := map[string]bool{}
	for _, f := range allForms() {
		names[f.name] = true
	}
	if len(names) < 25 || len(names) != len(allForms()) {
		t.Errorf("%d forms of %d", len(names), len(allForms()))
	}
}
