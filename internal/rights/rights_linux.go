// SPDX-License-Identifier: Apache-2.0

package rights

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lastCapability is beyond what any kernel has; unknown ones answer EINVAL.
const lastCapability = 63

// names of the capabilities that are worth keeping.
var names = map[int]string{
	unix.CAP_SYSLOG: "CAP_SYSLOG", unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE",
	unix.CAP_DAC_READ_SEARCH: "CAP_DAC_READ_SEARCH", unix.CAP_DAC_OVERRIDE: "CAP_DAC_OVERRIDE",
}

// Drop gives up everything else, for good and for all threads. What can't be
// given up is in the error; the rest is given up all the same. The program must
// be built without cgo.
func Drop(o Options) (Result, error) {
	var r Result
	var errs []error
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		errs = append(errs, fmt.Errorf("set no_new_privs: %w", err))
	} else {
		r.NoNewPrivs = true
	}
	kept, err := dropCapabilities(o.Keep)
	if err != nil {
		errs = append(errs, fmt.Errorf("give up capabilities: %w", err))
	}
	r.Capabilities = kept
	if !o.Processes {
		if r.Landlock, err = restrictFiles(o.Writable); err != nil {
			errs = append(errs, fmt.Errorf("restrict by Landlock: %w", err))
		}
	}
	return r, errors.Join(errs...)
}

func prctl(option, arg2, arg3 uintptr) error {
	return allThreads(unix.SYS_PRCTL, option, arg2, arg3)
}

// allThreads makes a system call in every thread: rights are each thread's own.
func allThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// dropCapabilities leaves those to keep in the permitted and effective sets, and
// returns the names of those that the program has.
func dropCapabilities(keep []int) ([]string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return nil, err
	}
	var errs []error
	// Without CAP_SETPCAP the bounding set stays; no_new_privs makes it moot.
	for c := range lastCapability + 1 {
		if err := prctl(unix.PR_CAPBSET_READ, uintptr(c), 0); err == nil && !slices.Contains(keep, c) &&
			have[0].Effective&(1<<unix.CAP_SETPCAP) != 0 {
			if err := prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0); err != nil && !errors.Is(err, unix.EINVAL) {
				errs = append(errs, err)
			}
		}
	}
	var want [2]unix.CapUserData
	var kept []string
	for _, c := range keep {
		word, bit := c/32, uint32(1)<<(c%32)
		want[word].Effective |= have[word].Effective & bit
		want[word].Permitted |= have[word].Permitted & bit
		if have[word].Effective&bit != 0 {
			kept = append(kept, names[c])
		}
	}
	if want != have { // else the call may be forbidden, and is not needed.
		if err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, err)
		}
		// The pointers must be made in this very call, so that what they point to
		// stays where it is.
		if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&want[0])), 0); errno != 0 {
			errs = append(errs, errno)
		}
	}
	return kept, errors.Join(errs...)
}

// restrictions are Landlock's rights that are given up, by the version of its
// interface that brought them.
var restrictions = []struct {
	version           int
	files, net, scope uint64
}{
	{version: 1, files: unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM},
	{version: 3, files: unix.LANDLOCK_ACCESS_FS_TRUNCATE},
	{version: 4, net: unix.LANDLOCK_ACCESS_NET_CONNECT_TCP | unix.LANDLOCK_ACCESS_NET_BIND_TCP},
	{version: 5, files: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
	// Version 6 has these, too, but refuses the signals that Go's scheduler sends
	// from one thread of the program to another.
	{version: 7, scope: unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET},
}

// mayWrite are the rights in the directories that are written to; tracefs needs
// directories, too.
const mayWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
	unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_TRUNCATE

// LandlockVersion returns the version of the kernel's Landlock, 0 where there is
// none, or it is not active.
func LandlockVersion() int {
	version, err := landlockVersion()
	if err != nil {
		return 0
	}
	return version
}

func landlockVersion() (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(version), nil
	case unix.ENOSYS, unix.EOPNOTSUPP:
		return 0, nil
	default:
		return 0, errno
	}
}

// ruleset returns what is given up, and the size of the part that the version knows.
func ruleset(version int) (attr unix.LandlockRulesetAttr, size uintptr) {
	size = unsafe.Offsetof(attr.Handled_access_net)
	for _, r := range restrictions {
		if version < r.version {
			break
		}
		attr.Handled_access_fs |= r.files
		attr.Handled_access_net |= r.net
		attr.Scoped |= r.scope
	}
	if attr.Handled_access_net != 0 {
		size = unsafe.Offsetof(attr.Scoped)
	}
	if attr.Scoped != 0 {
		size = unsafe.Sizeof(attr)
	}
	return attr, size
}

// restrictFiles forbids writing outside of the directories, executing anything and,
// as far as the kernel's version goes, connecting or binding TCP sockets, ioctl on
// devices, and signals to other processes. As a process in a Landlock domain has no
// ptrace rights over those outside, their memory, environment and root directory are
// closed to it, too. It returns the version, 0 where the kernel has no Landlock.
func restrictFiles(writable []string) (int, error) {
	version, err := landlockVersion()
	if version == 0 {
		return 0, err
	}
	attr, size := ruleset(version)
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return 0, errno
	}
	defer func() { _ = unix.Close(int(set)) }()
	for _, dir := range writable {
		err := allow(set, dir, attr.Handled_access_fs&mayWrite)
		if err != nil && !errors.Is(err, unix.ENOENT) { // what is not there needs no rule.
			return 0, fmt.Errorf("%s: %w", dir, err)
		}
	}
	if err := allThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); err != nil {
		return 0, err
	}
	return version, nil
}

func allow(set uintptr, dir string, rights uint64) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, set, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
