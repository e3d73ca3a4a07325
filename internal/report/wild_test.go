// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// explained is a log as text and as a document.
func explained(t *testing.T, in string) (string, Document) {
	t.Helper()
	var text, doc bytes.Buffer
	opts := testOptions()
	if err := explainLog(strings.NewReader(in), &text, opts); err != nil {
		t.Fatalf("%v\n%.400s", err, in)
	}
	opts.Format = "json"
	if err := explainLog(strings.NewReader(in), &doc, opts); err != nil {
		t.Fatal(err)
	}
	d, err := Decode(&doc)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(text.String()), " "), d
}

// deadOf lists who was killed: pid, name, host, without second lines.
func deadOf(d Document) []string {
	var dead []string
	for _, k := range d.Kills {
		if !k.Duplicate {
			dead = append(dead, strings.TrimSpace(strings.Join([]string{k.Victim.Comm, k.Host}, " ")))
		}
	}
	return dead
}

const (
	batchLine = "Memory cgroup out of memory: Killed process 700 (batch) total-vm:800000kB, anon-rss:390000kB, file-rss:10000kB, " +
		"shmem-rss:0kB, UID:0 pgtables:880kB oom_score_adj:0"
	nodeLine   = "Out of memory: Killed process 700 (batch) total-vm:800000kB, anon-rss:390000kB, file-rss:10000kB, shmem-rss:0kB, UID:0 pgtables:880kB oom_score_adj:0"
	choiceLine = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/shop,task_memcg=/shop/a,task=batch,pid=700,uid=0"
)

// Each file is a kind of log that people have pasted.
func TestWildKinds(t *testing.T) {
	const notInLog = "which the log does not name"
	for file, tc := range map[string]struct {
		dead      []string
		want, not []string
	}{
		"caller-column":  {dead: []string{"batch"}, want: []string{"batch (pid 700) was killed", notInLog, "4219.090 s after boot"}},
		"ctime-german":   {dead: []string{"batch"}, want: []string{"2026-11-24 10:00:00"}, not: []string{"UTC"}},
		"journal-german": {dead: []string{"batch web1"}, want: []string{"Okt 24 10:00:00", "host web1"}, not: []string{"2026", "UTC"}},
		"openwrt-logread": {
			dead: []string{"batch"}, want: []string{"because the node ran out of memory", "2026-11-24 10:00:00"}, not: []string{"cgroup"},
		},
		"journal-json":   {dead: []string{"batch"}, want: []string{"2026-11-24 10:00:00 UTC"}},
		"rfc5424":        {dead: []string{"batch web1"}, want: []string{"host web1", "2026-11-24 09:00:00 UTC"}},
		"no-hostname":    {dead: []string{"batch"}, want: []string{"2026-11-24 10:00:00 UTC"}, not: []string{"host"}},
		"quoted":         {dead: []string{"batch web1"}, want: []string{"Nov 24 10:00:00", "neither year nor time zone"}, not: []string{"2026"}},
		"headless-memcg": {dead: []string{"batch"}, want: []string{notInLog, "no report about it is in this log"}, not: []string{"10 in 5 s"}},
		"headless-node":  {dead: []string{"batch"}, want: []string{"because the node ran out of memory"}, not: []string{"cgroup", "5 s"}},
		"head-lost": {
			dead: []string{"indexer"},
			want: []string{"46910 rss + 1240 swap + 92 page tables", "the highest score of 2", "4.8 MiB swapped", "-250 2289 journald"},
			not:  []string{"no task table"},
		},
		"kernlog-meminfo": {
			dead: []string{"worker web1"}, want: []string{"page cache 1.2 MiB", "kernel slabs 2734.4 MiB", "free 39.1 MiB", "anonymous 392.6 MiB"},
		},
		"rsyslog-012-meminfo": {
			dead: []string{"worker web1"}, want: []string{"page cache 1.2 MiB", "kernel slabs 2734.4 MiB", "free 39.1 MiB", "anonymous 392.6 MiB"},
		},
		"choice-only": {
			dead: []string{"java"},
			want: []string{"java (pid 7134) was chosen to be killed because the node ran out of memory", "/system.slice/w.service", "uid 1000"},
			not:  []string{"breaks off"},
		},
		"memsw-limit": {
			dead: []string{"erlang-vm"}, want: []string{"reached its memory+swap limit of 512.0 MiB", "swap 287.8 MiB"}, not: []string{"256.0 MiB"},
		},
		"two-boots": {
			dead: []string{"batch"},
			want: []string{"boot 2, 55.000 s after boot, kernel 6.8.0-40-generic batch (pid 700) was killed", "kernel 5.15.0-91-generic"},
		},
		"two-hosts": {
			dead: []string{"redis node-a", "java node-b"},
			want: []string{"redis (pid 700) was killed because the node ran out", "java (pid 900) was killed because /shop reached its memory limit of 512.0 MiB"},
		},
		"unit-in-lxc":    {dead: []string{"collector hv"}, want: []string{"/lxc/703/ns/system.slice/collector.service"}},
		"rhel6":          {dead: []string{"mysqld db1"}, want: []string{"mysqld (pid 11726)", "uid 498", "2480.5 MiB"}},
		"kill-line-only": {dead: []string{"server"}, want: []string{"server (pid 2758734) was chosen", "the node ran out of memory"}},
		"panic-on-oom": {
			want: []string{"The kernel panicked instead of killing because the node ran out of memory", "usable RAM 3828.1 MiB"},
			not:  []string{"not whole"},
		},
		"numa-nodes":             {dead: []string{"runtime"}, want: []string{"cpuset pinned: 4", "NUMA nodes of its cpuset"}},
		"group-kill-unannounced": {dead: []string{"runner node1", "tini node1"}, want: []string{"2 processes of", "killed together (memory.oom.group)"}, not: []string{"3 processes"}},
	} {
		t.Run(file, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join("testdata", "wild", file+".log"))
			if err != nil {
				t.Fatal(err)
			}
			text, d := explained(t, string(b))
			checkSaid(t, text, tc.want, tc.not)
			if diff := cmp.Diff(tc.dead, deadOf(d)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	files, err := filepath.Glob("testdata/wild/*.log")
	if err != nil || len(files) != 23 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func checkSaid(t *testing.T, text string, want, not []string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			t.Errorf("no %q in\n%s", s, text)
		}
	}
	for _, s := range not {
		if strings.Contains(text, s) {
			t.Errorf("%q in\n%s", s, text)
		}
	}
}

// One line, as the world's tools and people hand it on. TEXT stands for it.
func TestWildPrefixes(t *testing.T) {
	for _, tc := range []struct{ name, form, host, at string }{
		{"caller, -x", "kern  :err   : [ 4219.090305] [  T23337] TEXT", "", ""},
		{"caller, -T", "[Tue Nov 24 10:00:00 2026] [  T23337] TEXT", "", "2026-11-24T10:00:00Z"},
		{"caller, -d", "[ 4219.090305 <    0.000010>] [    C3] TEXT", "", ""},
		{"klogd", "Nov 24 10:00:00 hv klogd: [ 4219.090305] TEXT", "hv", ""},
		{"host without a tag", "Nov 24 2026 10:00:00.123 hv : TEXT", "hv", ""},
		{"a date that ends in its year", "Tue Nov 24 10:00:00 CET 2026: TEXT", "", ""},
		{"MediaTek, spaces", "<6>[ 4219.090305]  (0)[123:kswapd0]TEXT", "", ""},
		{"caller, syslog with the kernel's priority", "Nov 24 10:00:00 hv kernel: <4>[ 4219.090305][ T23337] TEXT", "hv", ""},
		{"syslog with the kernel's priority", "2026-11-24T10:00:00+01:00 hv kernel: <4>[ 4219.090305] TEXT", "hv", "2026-11-24T09:00:00Z"},
		{"caller, --time-format=iso", "2026-11-24T10:00:00,123456+01:00 [  T23337] TEXT", "", "2026-11-24T09:00:00.123456Z"},
		{"dmesg -T -d", "[Tue Nov 24 10:00:00 2026 <    0.000010>] TEXT", "", "2026-11-24T10:00:00Z"},
		{"dmesg -H, first", "[Nov24 10:00] TEXT", "", ""},
		{"dmesg -H, next", "[  +0.000010] TEXT", "", ""},
		{"dmesg, delta alone", "[<    0.000010>] TEXT", "", ""},
		{"dmesg -T, French", "[mar. nov. 24 10:00:00 2026] TEXT", "", "2026-11-24T10:00:00Z"},
		{"dmesg -T, Spanish", "[mié ago 24 10:00:00 2026] TEXT", "", ""},
		{"dmesg -T, Japanese", "[火 11月 24 10:00:00 2026] TEXT", "", ""},
		{"dmesg -T, Russian", "[Вт ноя 24 10:00:00 2026] TEXT", "", ""},
		{"journalctl, Portuguese", "out 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"journalctl, Chinese", "11月 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"journalctl, Czech", "lis 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"journalctl, Finnish", "marras 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"journalctl -o short-delta", "[ 4219.090305 <    0.000010 >] web1 kernel: TEXT", "web1", ""},
		{"journalctl -o short-monotonic --no-hostname", "[ 4219.090305] kernel: TEXT", "", ""},
		{"journalctl -o short-iso --no-hostname", "2026-11-24T10:00:00+00:00 kernel: TEXT", "", "2026-11-24T10:00:00Z"},
		{"journalctl --no-hostname", "Nov 24 10:00:00 kernel: TEXT", "", ""},
		{"journalctl -o with-unit", "Tue 2026-11-24 10:00:00 UTC web1 kernel: TEXT", "web1", "2026-11-24T10:00:00Z"},
		{"journalctl -o short-full, a zone's name", "Tue 2026-11-24 10:00:00 CET web1 kernel: TEXT", "web1", ""},
		{"journalctl -o short-unix", "1795514400.123456 web1 kernel: TEXT", "web1", "2026-11-24T10:00:00.123456Z"},
		{"OpenWrt", "Tue Nov 24 10:00:00 2026 kern.warn kernel: [ 4219.090305] TEXT", "", "2026-11-24T10:00:00Z"},
		{"OpenWrt, remote", "Nov 24 10:00:00 router kern.err kernel: [ 4219.090305] TEXT", "router", ""},
		{"busybox syslogd", "Nov 24 10:00:00 box kern.err kernel: TEXT", "box", ""},
		{"RFC 5424 without a priority", "2026-11-24T10:00:00.123456+00:00 web1 kernel - - - TEXT", "web1", "2026-11-24T10:00:00.123456Z"},
		{"RFC 5424 with data", `<3>1 2026-11-24T10:00:00Z web1 kernel - - [meta sequenceId="7"] TEXT`, "web1", "2026-11-24T10:00:00Z"},
		{"RFC 5424 with a mark", "<3>1 2026-11-24T10:00:00Z web1 kernel - - - \ufeffTEXT", "web1", "2026-11-24T10:00:00Z"},
		{"RFC 5424, no host", "<3>1 2026-11-24T10:00:00Z - kernel - - - TEXT", "", "2026-11-24T10:00:00Z"},
		{"syslog-ng", "2026-11-24T10:00:00+00:00 web1 kernel: [ 4219.090305] TEXT", "web1", "2026-11-24T10:00:00Z"},
		{"rsyslog, a space in the date", "2026-11-24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"a mail", "> > Nov 24 10:00:00 web1 kernel: [ 4219.090305] TEXT", "web1", ""},
		{"a code block of a ticket", "        [ 4219.090305] TEXT", "", ""},
		{"a table", "| Nov 24 10:00:00 web1 kernel: TEXT |", "web1", ""},
		{"a list", "* [ 4219.090305] TEXT", "", ""},
		{"a diff", "+[ 4219.090305] TEXT", "", ""},
		{"cat -n", "    12\t[ 4219.090305] TEXT", "", ""},
		{"nl", "    17\tMay 10 10:00:00 web1 kernel: TEXT", "web1", "2026-05-10T10:00:00Z"},
		{"newlines spelled out", `a\nMay 10 10:00:00 web1 kernel: TEXT\nb\nc`, "web1", "2026-05-10T10:00:00Z"},
		{"grep with a file", "/var/log/kern.log:Nov 24 10:00:00 web1 kernel: [ 4219.090305] TEXT", "web1", ""},
		{"grep -n", "12:[ 4219.090305] TEXT", "", ""},
		{"grep -n with a file", "kern.log.1:12:Nov 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"grep -A", "kern.log-Nov 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"grep on a log without prefixes", "console.txt:TEXT", "", ""},
		{"ansible", "web1 | [ 4219.090305] TEXT", "", ""},
		{"CRI", "2026-11-24T10:00:00.123456789Z stderr F [ 4219.090305] TEXT", "", ""},
		{"klog", "E1124 10:00:00.123456      12 oom.go:44] TEXT", "", ""},
		{"a chat", "bob  [10:23 AM] [ 4219.090305] TEXT", "", ""},
		{"kubectl get events", "2m15s       Warning   OOMKilling   node/web1   TEXT", "", ""},
		{"kubectl describe node", "  Warning  OOMKilling  3m (x2 over 5m)  kernel-monitor  TEXT", "", ""},
		{"HTML", "&lt;3&gt;[ 4219.090305] TEXT<br>", "", ""},
		{"an HTML table", "<tr><td>Nov 24 10:00:00 web1 kernel: TEXT</td></tr>", "web1", ""},
		{"a serial console", "\r\x1b[0m[ 4219.090305] TEXT\r", "", ""},
		{"a BMC", "\x1b[24;1H\x1b[K[ 4219.090305] TEXT\x1b[0m", "", ""},
		{"a crash", "\x00\x00\x00Nov 24 10:00:00 web1 kernel: TEXT", "web1", ""},
		{"CSV", `"2026-11-24T10:00:00Z","web1","kern","TEXT","x, y"`, "", "2026-11-24T10:00:00Z"},
		{"Splunk", `11/24/2026 10:00:00.000,"Nov 24 10:00:00 web1 kernel: TEXT"`, "web1", ""},
		{"logfmt", `time="2026-11-24T10:00:00Z" host=web1 msg="TEXT"`, "", "2026-11-24T10:00:00Z"},
		{"logcli", `2026-11-24T10:00:00Z {job="kern", host="web1"} [ 4219.090305] TEXT`, "", ""},
		{"Android, a vendor's", "<3>[ 4219.090305] (0)[700:batch]TEXT", "", ""},
		{"Android, another vendor's", "<3>[ 4219.090305] c0    700 TEXT", "", ""},
		{"Android, a third vendor's", "[ 4219.090305] C1 TEXT", "", ""},
		{"a colon", "[ 4219.090305]: TEXT", "", ""},
		{"Talos", "172.20.0.2: kern:     err: [2026-11-24T10:00:00.123456789Z]: TEXT", "", "2026-11-24T10:00:00.123456Z"},
		{"Vector", "[2026-11-24T10:00:00.123Z] web1 kern.err: TEXT", "", "2026-11-24T10:00:00.123Z"},
		{"IRC", "[10:23:45] <bob> TEXT", "", ""},
		{"compose", "kernel_1  | [ 4219.090305] TEXT", "", ""},
		{"a host without a tag", "Nov 24 2026 10:00:00 web1 [ 4219.090305] TEXT", "", "2026-11-24T10:00:00Z"},
		{"GCP, journald's fields", `{"jsonPayload":{"MESSAGE":"TEXT","_HOSTNAME":"web1"},"timestamp":"2026-11-24T10:00:00Z"}`, "web1", "2026-11-24T10:00:00Z"},
		{"Windows", "[ 4219.090305] TEXT\r\n", "", ""},
		{"no-break spaces", "[\u00a04219.090305]\u00a0TEXT", "", ""},
		{"journald's JSON", `{"_HOSTNAME":"web1","_TRANSPORT":"kernel","__REALTIME_TIMESTAMP":"1795514400000000","MESSAGE":"TEXT"}`, "web1", "2026-11-24T10:00:00Z"},
		{"journald's events", `data: {"_HOSTNAME":"web1","_TRANSPORT":"kernel","MESSAGE":"TEXT"}`, "web1", ""},
		{"docker's JSON", `{"log":"[ 4219.090305] TEXT\n","stream":"stdout","time":"2026-11-24T10:00:00.5Z"}`, "", "2026-11-24T10:00:00.5Z"},
		{"fluentd", `{"ident":"kernel","host":"web1","message":"TEXT","@timestamp":"2026-11-24T10:00:00Z"}`, "web1", "2026-11-24T10:00:00Z"},
		{"Elastic", `{"@timestamp":"2026-11-24T10:00:00.000Z","host":{"name":"web1"},"event":{"original":"<3>Nov 24 10:00:00 web1 kernel: TEXT"}}`, "web1", "2026-11-24T10:00:00Z"},
		{"GCP", `{"jsonPayload":{"message":"TEXT"},"timestamp":"2026-11-24T10:00:00Z","labels":{"k8s-node-name":"web1"}}`, "web1", "2026-11-24T10:00:00Z"},
		{"GCP, text", `{"textPayload":"[ 4219.090305] TEXT","timestamp":"2026-11-24T10:00:00Z"}`, "", "2026-11-24T10:00:00Z"},
		{"CloudWatch", `{"timestamp":1795514400000,"message":"Nov 24 10:00:00 web1 kernel: TEXT"}`, "web1", "2026-11-24T10:00:00Z"},
		{"Splunk's JSON", `{"result":{"_raw":"Nov 24 10:00:00 web1 kernel: TEXT","host":"web1"}}`, "web1", ""},
		{"a field of any name", `{"when":"2026-11-24","what":"[ 4219.090305] TEXT"}`, "", ""},
		{"dmesg -J", "{\n   \"dmesg\": [\n      {\n         \"pri\": 3,\n         \"time\": 4219.090305,\n         \"msg\": \"TEXT\"\n      }\n   ]\n}", "", ""},
		{"gcloud", "[\n  {\n    \"jsonPayload\": {\n      \"message\": \"TEXT\"\n    },\n    \"timestamp\": \"2026-11-24T10:00:00Z\"\n  }\n]", "", "2026-11-24T10:00:00Z"},
		{"aws logs", `{"events":[{"timestamp":1795514400000,"message":"x"},{"timestamp":1795514400000,"message":"TEXT"}],"next":"f/1"}`, "", "2026-11-24T10:00:00Z"},
		{"JSON that is cut", `{"_HOSTNAME":"web1","MESSAGE":"TEXT","_TRANS`, "", ""},
		{"export", "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795514400000000\n_HOSTNAME=web1\n_TRANSPORT=kernel\nMESSAGE=TEXT\n", "web1", "2026-11-24T10:00:00Z"},
		{"verbose", "Tue 2026-11-24 10:00:00.000000 UTC [s=1;i=2;b=0f;m=3;t=4;x=5]\n    _HOSTNAME=web1\n    _TRANSPORT=kernel\n    MESSAGE=TEXT\n", "web1", "2026-11-24T10:00:00Z"},
	} {
		for _, line := range []string{batchLine, nodeLine} {
			text, d := explained(t, "some words before it\n"+strings.ReplaceAll(tc.form, "TEXT", line)+"\n")
			if len(d.Kills) != 1 {
				t.Errorf("%s: %d kills", tc.name, len(d.Kills))
				continue
			}
			k := d.Kills[0]
			v := k.Victim
			if v.PID != 700 || v.Comm != "batch" || v.AnonRSS == nil || *v.AnonRSS != 390000<<10 || v.Adj == nil || *v.Adj != 0 || v.UID == nil {
				t.Errorf("%s: victim %+v", tc.name, v)
			}
			if k.Host != tc.host {
				t.Errorf("%s: host %q, want %q", tc.name, k.Host, tc.host)
			}
			if at := k.Time; tc.at != "" && (at == nil || at.UTC().Format("2006-01-02T15:04:05.999999Z") != tc.at) {
				t.Errorf("%s: time %v, want %s", tc.name, at, tc.at)
			}
			if node := strings.Contains(text, "because the node ran out"); node != (line == nodeLine) || k.Global != node {
				t.Errorf("%s: %s", tc.name, text)
			}
		}
	}
}

// What programs say about memory is no kill of the kernel's.
func TestWildNoKill(t *testing.T) {
	for _, in := range []string{
		"Nov 24 10:00:00 web1 earlyoom[12]: sending SIGTERM to process 700 uid 0 \"batch\": badness 900, VmRSS 400 MiB",
		"Nov 24 10:00:00 web1 systemd-oomd[12]: Killed /system.slice/a.service due to memory pressure for /system.slice being 60% > 50% for > 20s",
		"Nov 24 10:00:00 web1 systemd[1]: a.service: A process of this unit has been killed by the OOM killer.",
		"11-24 10:00:00.000   500   500 I lowmemorykiller: Kill 'com.app' (700), uid 10001, oom_score_adj 900 to free 40000kB rss",
		"Nov 24 10:00:00 web1 nohang[12]: Sending SIGKILL to batch (pid 700)",
		"web1: {\"level\":\"warn\",\"msg\":\"sending SIGKILL to cgroup\",\"component\":\"OOMController\"}",
		"java.lang.OutOfMemoryError: Java heap space",
		"Out of memory: cannot allocate 4096 bytes",
		"Nov 24 10:00:00 web1 mysqld[12]: Out of memory (Needed 1000 bytes)",
		"Nov 24 10:00:00 web1 app[12]: " + batchLine,
		"> Nov 24 10:00:00 web1 app[12]: " + batchLine,
		"[ 4219.090305] EXT4-fs: option \"" + batchLine,
		`{"_TRANSPORT":"stdout","SYSLOG_IDENTIFIER":"app","MESSAGE":"` + batchLine + `"}`,
		"<6>Nov 24 10:00:00 web1 app: " + batchLine,
	} {
		var out bytes.Buffer
		if err := explainLog(strings.NewReader(in+"\n"), &out, testOptions()); err == nil {
			t.Errorf("%s\ngives\n%s", in, out.String())
		}
	}
	const unread = "[    1.0] Out of memory: Killed process x (batch)\n"
	if text, _ := explained(t, unread+"[    2.0] "+nodeLine+"\n"); !strings.Contains(text, "1 line looks like a kill, but can't be read, like: Out of memory: Killed process x") {
		t.Error(text)
	}
	var out bytes.Buffer
	if err := explainLog(strings.NewReader(unread), &out, testOptions()); err == nil || !strings.Contains(err.Error(), "1 line looks like a kill") {
		t.Error(err)
	}
	err := explainLog(strings.NewReader("Nov 24 10:00:00 web1 app[12]: "+batchLine+"\n"), &out, testOptions())
	if err == nil || !strings.Contains(err.Error(), "1 line looks like the kernel's, but a program logged") {
		t.Error(err)
	}
}
