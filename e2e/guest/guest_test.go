// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package guest

import (
	"slices"
	"strings"
	"testing"
)

func TestNewestPackage(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-9-cloud-amd64-unsigned",
		"linux-image-6.1.0-56-cloud-amd64-unsigned",
		"linux-image-6.1.0-56-cloud-amd64",
		"linux-image-6.1.0-47-cloud-amd64-unsigned",
	}
	if got := slices.MaxFunc(names, compareVersions); got != names[1] {
		t.Errorf("the newest is %s, want %s", got, names[1])
	}
	if compareVersions("6.12.107+deb12", "6.12.99+deb12") <= 0 {
		t.Error("107 must be newer than 99")
	}
}

// TestCPIO checks the archive against the format's definition: magic, thirteen
// hexadecimal fields of eight digits, name with a NUL, padding to four bytes.
func TestCPIO(t *testing.T) {
	var b strings.Builder
	if err := writeCPIO(&b, map[string][]byte{"/bin/x": []byte("hello"), "/init": nil}); err != nil {
		t.Fatal(err)
	}
	entry := func(inode, mode, size, namesize, name, data string) string {
		zero := "00000000"
		return "070701" + inode + mode + zero + zero + "00000001" + zero + size + zero + zero + zero + zero + namesize + zero + name + data
	}
	want := entry("00000001", "000041ED", "00000000", "00000004", "bin\x00\x00\x00", "") +
		entry("00000002", "000081ED", "00000005", "00000006", "bin/x\x00", "hello\x00\x00\x00") +
		entry("00000003", "000081ED", "00000000", "00000005", "init\x00\x00", "") +
		entry("00000004", "00000000", "00000000", "0000000B", "TRAILER!!!\x00\x00\x00\x00", "")
	// 110 bytes of head and the name together are padded: "bin\0" needs 2 bytes,
	// "bin/x\0" none, "init\0" 1, the trailer 3.
	if got := b.String(); got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestParseDepends(t *testing.T) {
	const text = `podman
  Depends: libc6
 |Depends: crun
  Depends: runc
  Depends: <mail-transport-agent>
    exim4
libc6
  Depends: libgcc-s1
<mail-transport-agent>
debconf
runc
libc6
`
	if got, want := parseDepends(text), []string{"libc6", "podman", "runc"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSigns has a machine of which only the kernel's watchdog still speaks.
func TestSigns(t *testing.T) {
	alive := "=== RUN   TestGuest\n24.81\n"
	if stuck := alive + "[  188.48] watchdog: BUG: soft lockup - CPU#0 stuck for 45s! [oom_exporter:4818]\n"; signs(stuck) != signs(alive) {
		t.Errorf("%d signs of life, %d before it was stuck", signs(stuck), signs(alive))
	}
	if signs(alive+"44.86\n") != signs(alive)+1 {
		t.Error("a sign of life does not count")
	}
}

// TestIsTrap has the two forms in which a kernel says so.
func TestIsTrap(t *testing.T) {
	for _, line := range []string{"[    2.577813] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", "[   12.5] int3: 0000 [#1] PREEMPT SMP PTI"} {
		if !isTrap("booting\n" + line + "\n") {
			t.Errorf("%q is none", line)
		}
	}
	if isTrap("[  1.0] general protection fault: 0000 [#1] SMP\n") {
		t.Error("another fault is one")
	}
}
