// SPDX-License-Identifier: Apache-2.0

package report

import (
	"io"
	"os"
	"strings"
	"testing"
)

// repeated is a log that goes on and on, without being kept.
type repeated struct {
	block string
	at    int
	left  int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	r.left -= int64(n)
	return n, nil
}

// kernLog is a kern.log with one OOM in so many lines.
func kernLog(tb testing.TB, lines int) string {
	tb.Helper()
	oom, err := os.ReadFile("testdata/wild/kernlog-meminfo.log")
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Repeat("May 10 14:48:19 web1 kernel: [ 4219.089984] audit: type=1400 audit(1600000000.123:45): apparmor=\"DENIED\" name=\"/x\"\n"+
		"May 10 14:48:19 web1 sshd[1234]: Accepted publickey for root from 10.0.0.1 port 2222 ssh2\n", lines/2) + string(oom)
}

// A log of any size takes the memory of its reports.
func BenchmarkExplainKernLog(b *testing.B) {
	block := kernLog(b, 20000)
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		c := newCollector(testOptions())
		in := Input{Open: func() (io.ReadCloser, error) { return io.NopCloser(&repeated{block: block, left: size}), nil }}
		if _, err := in.read(c, testOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
