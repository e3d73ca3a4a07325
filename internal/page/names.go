// SPDX-License-Identifier: Apache-2.0

package page

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/text"
)

// absent stands for an empty part of a workload's name in an address: no
// namespace, pod or container of Kubernetes has this name.
const absent = "-"

// label returns the workload as it stands in the labels of metrics, so that an
// alert's labels lead to it.
func label(w oom.Workload) oom.Workload {
	return oom.Workload{Namespace: text.Label(w.Namespace), Pod: text.Label(w.Pod), Container: text.Label(w.Container)}
}

// fullName is a workload on one line.
func fullName(w oom.Workload) string {
	w = label(w)
	if w.Namespace == "" && w.Pod == "" {
		return w.Container
	}
	return w.Namespace + "/" + w.Pod + "/" + w.Container
}

// workloadLink is the address of a workload's page below the root:
// workloads/NAMESPACE/POD/CONTAINER, or workloads/CONTAINER where there is no
// pod. A cgroup's path is one segment, its slashes escaped. Names that a
// browser or a proxy would take for part of the path go into the query.
func workloadLink(w oom.Workload) string {
	if w == (oom.Workload{}) {
		return ""
	}
	w = label(w)
	for _, part := range []string{w.Namespace, w.Pod, w.Container} {
		if part == absent || part == "." || part == ".." || part == "/" {
			q := url.Values{"namespace": {w.Namespace}, "pod": {w.Pod}, "container": {w.Container}}
			return "workloads?" + q.Encode()
		}
	}
	if w.Namespace == "" && w.Pod == "" {
		return "workloads/" + url.PathEscape(w.Container)
	}
	return "workloads/" + segment(w.Namespace) + "/" + segment(w.Pod) + "/" + segment(w.Container)
}

func segment(part string) string {
	if part == "" {
		part = absent
	}
	return url.PathEscape(part)
}

// workloadOf is the workload that a request asks for, as labels have it.
func workloadOf(r *http.Request) oom.Workload {
	if q := r.URL.Query(); q.Has("container") {
		return oom.Workload{Namespace: q.Get("namespace"), Pod: q.Get("pod"), Container: q.Get("container")}
	}
	part := func(name string) string {
		if value := r.PathValue(name); value != absent {
			return value
		}
		return ""
	}
	return oom.Workload{Namespace: part("namespace"), Pod: part("pod"), Container: part("container")}
}

// killID identifies a kill's page. Without an id of the ledger it is made of the
// time and the victim's pid.
func killID(k *oom.Kill) string {
	if k.ID != "" {
		return k.ID
	}
	at := k.Uptime.Microseconds()
	if at == 0 {
		at = k.Time.UnixMicro()
	}
	return strconv.FormatInt(at, 36) + "-" + strconv.Itoa(k.Victim.PID)
}

// process prints a process for people.
func process(comm string, pid int) string {
	switch {
	case comm == "" && pid == 0:
		return "a process"
	case comm == "":
		return "pid " + strconv.Itoa(pid)
	case pid == 0:
		return text.Label(comm)
	default:
		return text.Label(comm) + " (pid " + strconv.Itoa(pid) + ")"
	}
}

// amount prints a number of bytes for people.
func amount(a oom.Amount) string {
	n, ok := a.Get()
	switch {
	case a.IsUnlimited():
		return "no limit"
	case !ok:
		return "not known"
	default:
		return text.Bytes(n)
	}
}

// clock prints a moment with its zone.
func clock(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") }

func machineTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// upper begins a sentence.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
