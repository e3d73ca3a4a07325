// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oom-exporter/oom_exporter/internal/oom"
	"github.com/oom-exporter/oom_exporter/internal/report"
)

var killsNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// someKills are ten kills, one an hour up to now; the first has no time.
func someKills() (all []oom.Kill) {
	for i := range 10 {
		k := oom.Kill{
			Time:     killsNow.Add(time.Duration(i-9) * time.Hour),
			Workload: oom.Workload{Namespace: fmt.Sprint("ns", i%2), Pod: fmt.Sprint("pod", i%3), Container: "c"},
			Victim:   oom.Victim{PID: i, Comm: "<hog>"},
		}
		if i == 0 {
			k.Time = time.Time{}
		}
		all = append(all, k)
	}
	return all
}

func TestKillsQuery(t *testing.T) {
	for query, want := range map[string]struct {
		pids    []int
		omitted int
	}{
		"":                                {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
		"limit=&since=&namespace=&pod=":   {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
		"limit=3":                         {[]int{7, 8, 9}, 7},
		"limit=10":                        {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
		"limit=1000000":                   {[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 0},
		"since=2h":                        {[]int{7, 8, 9}, 0},
		"since=2026-11-24T11:00:00Z":      {[]int{8, 9}, 0},
		"since=2026-11-24T12:00:00+01:00": {[]int{8, 9}, 0},
		"since=2h&limit=1":                {[]int{9}, 2},
		"namespace=ns1":                   {[]int{1, 3, 5, 7, 9}, 0},
		"pod=pod2&namespace=ns1":          {[]int{5}, 0},
		"pod=nobody":                      {nil, 0},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := parseKillsQuery(values, killsNow)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		kept, omitted := q.choose(someKills())
		var pids []int
		for i := range kept {
			pids = append(pids, kept[i].Victim.PID)
		}
		if diff := cmp.Diff(want.pids, pids); diff != "" || omitted != want.omitted {
			t.Errorf("%s: %d omitted, want %d; pids (-want +got):\n%s", query, omitted, want.omitted, diff)
		}
	}
}

func TestBadKillsQuery(t *testing.T) {
	for query, want := range map[string]string{
		"limit=0":                    "from 1 to 1000000",
		"limit=-1":                   "from 1",
		"limit=1000001":              "from 1",
		"limit=ten":                  "limit=\"ten\"",
		"limit=99999999999999999999": "from 1",
		"limit=1&limit=2":            "given 2 times",
		"since=yesterday":            "2026-11-24T10:00:00Z",
		"since=-2h":                  "how long ago",
		"since=2026-11-24":           "must be a time",
		"namespce=shop":              "this page takes limit, since, namespace, pod",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseKillsQuery(values, killsNow); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", query, err, want)
		}
	}
}

// FuzzKillsQuery asks for kills with a query of a client's choice.
func FuzzKillsQuery(f *testing.F) {
	f.Add("limit=3&since=2h&namespace=shop&pod=web")
	f.Add("since=2026-11-24T12:00:00+01:00")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := parseKillsQuery(values, killsNow)
		if err != nil {
			return
		}
		q.records = someKills
		var b bytes.Buffer
		if err := q.Write(&b); err != nil {
			t.Fatal(err)
		}
		d, err := report.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Kills)+d.Omitted > 10 || q.limit > 0 && len(d.Kills) > q.limit {
			t.Errorf("%d kills, %d omitted, limit %d", len(d.Kills), d.Omitted, q.limit)
		}
	})
}
