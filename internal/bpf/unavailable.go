// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

const (
	grantRights = "grant CAP_BPF and CAP_PERFMON (a container: capabilities.add: [BPF, PERFMON]; systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON)"
	allowCalls  = "let the container's seccomp profile allow bpf(2) (Kubernetes: seccompProfile RuntimeDefault of containerd 1.7 or later does with CAP_BPF)"
	newKernel   = "a kernel of 5.8 or later with CONFIG_DEBUG_INFO_BTF and CONFIG_BPF_SYSCALL"

	lockdownFile = "/sys/kernel/security/lockdown"
)

// unavailable adds a remedy to an error.
func unavailable(err error) *UnavailableError {
	lockdown, _ := os.ReadFile(lockdownFile)
	return explain(err, missingCapabilities(), string(lockdown))
}

// explain is unavailable with its inputs as arguments: the capabilities that the
// process lacks, and the text of the lockdown file.
func explain(err error, missing []string, lockdown string) *UnavailableError {
	var refused *ebpf.VerifierError
	switch {
	case errors.Is(err, ErrOldKernel):
		return &UnavailableError{err, "Linux 6.1 or later"}
	case errors.As(err, &refused):
		return &UnavailableError{fmt.Errorf("the kernel's verifier refuses the program: %w", err), "report it with the output of uname -a; " + newKernel}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		switch {
		case len(missing) > 0:
			return &UnavailableError{fmt.Errorf("%s missing: %w", strings.Join(missing, " and "), err), grantRights}
		case strings.Contains(lockdown, "[confidentiality]"):
			return &UnavailableError{fmt.Errorf("kernel lockdown is on: %w", err), "boot with lockdown=integrity or without"}
		}
		return &UnavailableError{err, allowCalls}
	case errors.Is(err, unix.ENOSYS):
		return &UnavailableError{err, newKernel + ", and " + allowCalls}
	case errors.Is(err, os.ErrNotExist):
		return &UnavailableError{fmt.Errorf("the kernel does not describe its types (BTF): %w", err), newKernel}
	case errors.Is(err, btf.ErrNotFound), errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL):
		return &UnavailableError{fmt.Errorf("the kernel lacks something that the program needs: %w", err), newKernel}
	}
	return &UnavailableError{err, newKernel}
}

// missingCapabilities returns which of the two needed capabilities the process
// lacks. CAP_SYS_ADMIN includes both.
func missingCapabilities() (missing []string) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return nil
	}
	has := func(c int) bool { return have[c/32].Effective&(1<<(c%32)) != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	if !has(unix.CAP_BPF) {
		missing = append(missing, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) {
		missing = append(missing, "CAP_PERFMON")
	}
	return missing
}
