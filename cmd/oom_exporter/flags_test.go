// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/oom-exporter/oom_exporter/internal/cli"
)

func runWith(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &errs})
	return out.String(), err
}

func TestBadFlagsNameFlagValueAndWhatIsAllowed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--log.level=loud"}, []string{"--log.level", "loud", "debug, info, warn, error"}},
		{[]string{"--log.format", "xml"}, []string{"--log.format", "xml", "logfmt, json"}},
		{[]string{"--process.top=-1"}, []string{"--process.top", "-1", "0 to 10000"}},
		{[]string{"--process.top=many"}, []string{"--process.top", "many", "whole number"}},
		{[]string{"--near.ratio=2"}, []string{"--near.ratio", "2", "0 to 1"}},
		{[]string{"--near.ratio=NaN"}, []string{"--near.ratio", "NaN", "0 to 1"}},
		{[]string{"--limits.groups=0"}, []string{"--limits.groups", "0", "1 to"}},
		{[]string{"--eviction.threshold=lots"}, []string{"--eviction.threshold", "lots", "Mi or Gi"}},
		{[]string{"--eviction.usage=x"}, []string{"--eviction.usage", "stat or free"}},
		{[]string{"--metrics.enable=("}, []string{"--metrics.enable", "(", "regular expression"}},
		{[]string{"--web.telemetry-path=metrics"}, []string{"--web.telemetry-path", "metrics", "slash"}},
		{[]string{"--web.timeout-offset=-1s"}, []string{"--web.timeout-offset", "-1s", "at least"}},
		{[]string{"--path.procfs="}, []string{"--path.procfs", "directory"}},
		{[]string{"--web.config.file=/does/not/exist"}, []string{"--web.config.file", "/does/not/exist"}},
		{[]string{"--no-such-flag"}, []string{"no-such-flag", "--help"}},
		{[]string{"no-such-command"}, []string{"no-such-command"}},
	} {
		_, err := runWith(t, c.args...)
		if _, ok := errors.AsType[cli.UsageError](err); !ok {
			t.Errorf("%v: %v is no usage error", c.args, err)
			continue
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: more than one line: %q", c.args, err)
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: %q does not say %q", c.args, err, w)
			}
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "--web.listen-address", "--version": "oom_exporter, version"} {
		out, err := runWith(t, arg)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s printed %q, %v; want %q", arg, out, err, want)
		}
	}
}

func TestNoProcIsNamed(t *testing.T) {
	_, err := runWith(t, "--path.procfs=/does/not/exist")
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist") || !strings.Contains(err.Error(), "--path.procfs") {
		t.Errorf("err = %v, want one that names the path and the flag", err)
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	root := unpack(t, "testdata/hosts/docker-hybrid.txtar")
	_, err = runWith(t, onTree(root, "--web.listen-address="+l.Addr().String())...)
	if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("err = %v, want one that names the address", err)
	}
}
