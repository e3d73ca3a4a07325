// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestAbortedScrapeLogsALine at most: a client that goes away while it is answered
// is no news, and least of all in as many lines as it was sent pieces.
func TestAbortedScrapeLogsALine(t *testing.T) {
	root := unpack(t, "testdata/hosts/k8s-v2-systemd.txtar")
	e := start(t, onTree(root, "serve", "--metrics.enable=.*")...)
	before := strings.Count(e.log.String(), "\n")
	const aborted = 5
	for range aborted {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		_ = c.(*net.TCPConn).SetLinger(0) // the answer meets a reset.
		_ = c.Close()
	}
	for range 3 { // passes after it, so that all of those have ended.
		resp, err := http.Get(e.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if more := strings.Count(e.log.String(), "\n") - before; more > aborted {
		t.Errorf("%d aborted scrapes logged %d lines:\n%s", aborted, more, e.log)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
}
