// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestKillSwitch: one file stops the guard, wherever it runs.
func TestKillSwitch(t *testing.T) {
	const path = "/run/oom_guard/off"
	if settings := unitSettings(t, guardUnit); !strings.Contains(settings["ExecStart"], "--kill-switch="+path) || settings["RuntimeDirectory"] != "oom_guard" || settings["RuntimeDirectoryPreserve"] != "yes" {
		t.Errorf("the unit has another switch, or no directory for it: %s", settings["ExecStart"])
	}
	for _, file := range slices.Concat([]string{guardUnit, chart + "/README.md", chart + "/README.md.gotmpl", "testdata/guard.yaml"}, glob(t, "../docs/*.md"), glob(t, "../docs/runbooks/*.md")) {
		if filepath.Base(file) != "guard-reference.md" && strings.Contains(read(t, file), "/run/oom_guard.") {
			t.Errorf("%s has another switch than %s", file, path)
		}
	}
}

// TestNamespace: what people copy has one namespace.
func TestNamespace(t *testing.T) {
	pages := slices.Concat([]string{"../README.md", chart + "/README.md", chart + "/README.md.gotmpl", manifests}, glob(t, "../docs/*.md"), glob(t, "../docs/install/*.md"), glob(t, "../docs/runbooks/*.md"))
	option := regexp.MustCompile(`(?:-n|--namespace|namespace:) ([a-z0-9A-Z-]+)`)
	n := 0
	for _, page := range pages {
		for line := range strings.Lines(read(t, page)) {
			if page != manifests && !strings.Contains(line, "kubectl ") && !strings.Contains(line, "helm ") {
				continue
			}
			for _, m := range option.FindAllStringSubmatch(line, -1) {
				switch m[1] {
				case "oom-exporter":
					n++
				case "N", "NAMESPACE": // a placeholder.
				default:
					t.Errorf("%s: namespace %s", page, m[1])
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d namespaces found", n)
	}
}
