// SPDX-License-Identifier: Apache-2.0

package dashboards_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrometheusParsesOpenMetrics gives what the exporter says in OpenMetrics, its
// created timestamps among it, to Prometheus' own parser. promtool has it where
// it makes blocks, for which each sample needs a time.
func TestPrometheusParsesOpenMetrics(t *testing.T) {
	var b strings.Builder
	samples := 0
	for line := range strings.Lines(string(read(t, "../collector/testdata/default.openmetrics"))) {
		if !strings.HasPrefix(line, "#") {
			line = strings.TrimSuffix(line, "\n") + " 1700000200\n"
			samples++
		}
		b.WriteString(line)
	}
	if samples < 100 {
		t.Fatalf("only %d samples", samples)
	}
	path := filepath.Join(t.TempDir(), "openmetrics")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "tsdb", "create-blocks-from", "openmetrics", path, t.TempDir())
}
