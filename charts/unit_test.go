// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const unit = "../docs/install/oom_exporter.service"

// unitSettings are those of a systemd unit.
func unitSettings(t *testing.T, path string) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for line := range strings.Lines(strings.ReplaceAll(read(t, path), "\\\n", " ")) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	return settings
}

// TestUnit holds the systemd unit against what it promises.
func TestUnit(t *testing.T) {
	settings := unitSettings(t, unit)
	for key, want := range map[string]string{
		"OOMScoreAdjust": "-900", "CapabilityBoundingSet": "CAP_SYSLOG", "AmbientCapabilities": "CAP_SYSLOG", "NoNewPrivileges": "yes",
		"RuntimeDirectory": "oom_exporter", "RuntimeDirectoryPreserve": "yes", "ProtectSystem": "strict", "ProtectControlGroups": "yes",
		"DevicePolicy": "closed", "DeviceAllow": "/dev/kmsg r", "DynamicUser": "yes", "Restart": "always",
		"ProtectKernelLogs": "no", // yes would take CAP_SYSLOG and /dev/kmsg.
	} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
	// These would hide what the exporter is there to see.
	for _, key := range []string{"PrivateDevices", "ProtectProc", "ProcSubset", "PrivateUsers", "PrivateNetwork"} {
		if value, ok := settings[key]; ok {
			t.Errorf("%s=%s", key, value)
		}
	}
	if dir := "/run/" + settings["RuntimeDirectory"] + "/"; !strings.Contains(settings["ExecStart"], "--state.file="+dir) {
		t.Errorf("the state file is not in %s: %s", dir, settings["ExecStart"])
	}
}

// TestUnitVerifies gives the units to systemd's own checker.
func TestUnitVerifies(t *testing.T) {
	for name, path := range map[string]string{"oom_exporter": unit, "oom_guard": guardUnit} {
		t.Run(name, func(t *testing.T) { verify(t, name, path) })
	}
}

func verify(t *testing.T, name, unit string) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on PATH")
	}
	// verify wants the program to exist.
	dir := t.TempDir()
	program := filepath.Join(dir, name)
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name+".service")
	text := strings.ReplaceAll(read(t, unit), "/usr/local/bin/"+name, program)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, name) { // what it says of other units is not ours.
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Skipf("systemd-analyze can't run here: %v", err)
	}
}
