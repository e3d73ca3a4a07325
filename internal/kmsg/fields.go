// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// fields are the fields of one log entry, by the names that its collector gave
// them; those of nested objects are joined by dots.
type fields map[string]any

// flatten adds the members of a JSON object, bounded in depth.
func (f fields) flatten(prefix string, object map[string]any, depth int) {
	for key, value := range object {
		if inner, ok := value.(map[string]any); ok && depth < 6 {
			f.flatten(prefix+key+".", inner, depth+1)
			continue
		}
		f[strings.ToLower(prefix+key)] = value
		// journald's own names, wherever a collector has put them.
		if name := strings.ToLower(key); prefix != "" && strings.HasPrefix(key, "_") && f[name] == nil {
			f[name] = value
		}
	}
}

// Names of fields, the surest first. journald's come before what others make
// of them.
const (
	hostFields = "_hostname hostname host.name host.hostname host kubernetes.host kubernetes.node_name kubernetes.node.name " +
		"source.host node nodename node_name computer computername agent.hostname beat.hostname instance_name " +
		"labels.compute.googleapis.com/resource_name labels.k8s-node-name resource.labels.node_name syslog.hostname"
	bootFields = "_boot_id boot_id"
	timeFields = "_source_realtime_timestamp __realtime_timestamp @timestamp timestamp time ts _time datetime date " +
		"eventtime event.created lasttimestamp timegenerated"
	stampFields   = "_source_monotonic_timestamp __monotonic_timestamp"
	programFields = "syslog_identifier ident appname app_name program process.name syslog.appname"
	messageFields = "message msg log _raw text textpayload jsonpayload.message json_payload.message event.original " +
		"@message body line note content logmessage renderedmessage full_message short_message data"
)

func (f fields) text(names string) string {
	for name := range strings.FieldsSeq(names) {
		if s := textOf(f[name]); s != "" {
			return s
		}
	}
	return ""
}

// textOf reads a text. journald writes one that is not UTF-8 as an array of its
// bytes.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		if s := linesIn(v); s != "" {
			return s
		}
		b := make([]byte, 0, len(v))
		for _, element := range v {
			n, ok := element.(json.Number)
			if !ok {
				return ""
			}
			code, err := strconv.ParseUint(n.String(), 10, 8)
			if err != nil {
				return ""
			}
			b = append(b, byte(code))
		}
		return string(b)
	default:
		return ""
	}
}

// linesIn reads lines in an array, or in Loki's array of pairs of a time and a
// line.
func linesIn(values []any) string {
	var lines []string
	for _, value := range values {
		if pair, ok := value.([]any); ok && len(pair) == 2 {
			value = pair[1]
		}
		line, ok := value.(string)
		if !ok {
			return ""
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// message returns the text that the entry carries: the one that has the
// kernel's words, else that of the first field that can have it.
func (f fields) message(opts LogOptions) string {
	first := ""
	for name := range strings.FieldsSeq(messageFields) {
		s := textOf(f[name])
		if s == "" {
			continue
		}
		if opts.locate(s) >= 0 {
			return s
		}
		if first == "" {
			first = s
		}
	}
	if first != "" {
		return first
	}
	for _, value := range f {
		if s := textOf(value); len(s) > 20 && opts.locate(s) >= 0 {
			return s
		}
	}
	return ""
}

// record returns what the entry says about its text, and whether a program
// other than the kernel wrote it.
func (f fields) record(opts LogOptions) (rec Record, other bool) {
	rec = Record{Priority: -1, Host: f.text(hostFields), Boot: f.text(bootFields)}
	if !isHost(rec.Host) {
		rec.Host = ""
	}
	if n, err := strconv.ParseUint(f.text("priority pri"), 10, 10); err == nil {
		facility, _ := strconv.ParseUint(f.text("syslog_facility"), 10, 8)
		rec.Priority = int(n | facility<<3)
	}
	if micros, err := strconv.ParseUint(f.text(stampFields), 10, 62); err == nil {
		rec.Stamp, rec.HasStamp = time.Duration(micros)*time.Microsecond, true
	}
	f.setTime(&rec, opts)
	if transport := f.text("_transport transport"); transport != "" {
		return rec, transport != "kernel"
	}
	program := strings.TrimSuffix(f.text(programFields), ":")
	return rec, program != "" && program != kernelTag
}

// setTime reads the time of an entry: a date, a number since 1970 in any unit,
// or dmesg's seconds since boot.
func (f fields) setTime(rec *Record, opts LogOptions) {
	for name := range strings.FieldsSeq(timeFields) {
		s := textOf(f[name])
		if s == "" {
			continue
		}
		n, err := strconv.ParseFloat(s, 64)
		switch {
		case err != nil:
			if d, _, _, ok := cutDate(s+" ", opts); ok && !d.time.IsZero() {
				p := prefix{}
				p.setDate(d)
				rec.Time, rec.NoYear, rec.NoZone, rec.Approximate = p.rec.Time, d.noYear, d.noZone, p.rec.Approximate
				return
			}
		case n < 0 || math.IsNaN(n) || math.IsInf(n, 0):
		case n < 1e8:
			if d, ok := parseSeconds(s); ok && !rec.HasStamp {
				rec.Stamp, rec.HasStamp = d, true
			}
			return
		default:
			rec.Time = sinceEpoch(s, n).In(opts.zone())
			return
		}
	}
}

// sinceEpoch tells seconds, milli-, micro- and nanoseconds apart by their size.
func sinceEpoch(s string, n float64) time.Time {
	whole, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		for n > 1e11 {
			n /= 1000
		}
		sec, frac := math.Modf(n)
		return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1000)
	}
	switch {
	case whole < 1e11:
		return time.Unix(whole, 0)
	case whole < 1e14:
		return time.UnixMilli(whole)
	case whole < 1e17:
		return time.UnixMicro(whole)
	default:
		return time.Unix(0, whole)
	}
}
