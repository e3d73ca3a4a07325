// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// place is what Find found.
type place struct {
	version     int
	dir         string // of the memory hierarchy.
	cpuset      string // v1: of the cpuset hierarchy, empty if there is none.
	localEvents bool   // v2 is mounted with memory_localevents.
}

// finder looks for the memory hierarchy and remembers where it has looked.
type finder struct {
	sysfs, procfs string
	proc          *procfs.FS // nil: there is none at procfs.
	looked        []string
	why           []string // why the hierarchy was not found there.
	mounts        []candidate
}

// candidate is a mount of a cgroup hierarchy, with the directory where this
// process may find it. A lower rank is the better guess.
type candidate struct {
	mount
	dir  string
	rank int
}

// find first looks for known files in the usual places, since a copy of the tree
// has no mount table, and then wherever mountinfo says that cgroups are mounted.
func find(o Options, proc *procfs.FS) (place, error) {
	f := finder{sysfs: filepath.Clean(o.Sysfs), procfs: filepath.Clean(o.Procfs), proc: proc}
	f.readMounts()
	p, ok := f.usual()
	if !ok {
		p, ok = f.mounted()
	}
	if !ok {
		return place{}, f.err()
	}
	if p.version == 1 {
		p.cpuset = f.cpuset(p.dir)
	}
	// There is only one v2 hierarchy, so every mount of it shows the option.
	for _, m := range f.mounts {
		p.localEvents = p.localEvents || m.fstype == "cgroup2" && m.has("memory_localevents")
	}
	return p, nil
}

// usual looks where systemd and the distributions mount cgroups.
func (f *finder) usual() (place, bool) {
	base := filepath.Join(f.sysfs, "fs/cgroup")
	dirs := []string{base}
	entries, err := os.ReadDir(base)
	if err != nil {
		f.why = append(f.why, err.Error())
	}
	for _, e := range entries {
		if slices.Contains(strings.Split(e.Name(), ","), "memory") {
			dirs = append(dirs, filepath.Join(base, e.Name()))
		}
	}
	dirs = append(dirs, filepath.Join(base, "unified"))
	for _, dir := range dirs {
		if v := f.probe(dir); v != 0 {
			return place{version: v, dir: dir}, true
		}
	}
	return place{}, false
}

// mounted looks where the mount tables of this process and of pid 1 point to.
func (f *finder) mounted() (place, bool) {
	for _, m := range f.mounts {
		if m.fstype == "cgroup" && !m.has("memory") {
			continue
		}
		if v := f.probe(m.dir); v != 0 {
			return place{version: v, dir: m.dir}, true
		}
	}
	return place{}, false
}

// probe tells which version of the memory controller is at dir, 0 for none.
func (f *finder) probe(dir string) int {
	if slices.Contains(f.looked, dir) {
		return 0
	}
	f.looked = append(f.looked, dir)
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	switch {
	case err == nil && slices.Contains(strings.Fields(string(b)), "memory"):
		return 2
	case err == nil:
		f.why = append(f.why, fmt.Sprintf("the cgroup2 hierarchy at %s has no memory controller (it has %q)",
			dir, strings.TrimSpace(string(b))))
		return 0
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		f.why = append(f.why, err.Error())
	}
	for _, name := range []string{"memory.usage_in_bytes", "memory.stat"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return 1
		}
	}
	return 0
}

// readMounts fills f.mounts, best first, from the mount tables of this process
// and of pid 1.
func (f *finder) readMounts() {
	if f.proc == nil {
		f.why = append(f.why, "no proc file system at "+f.procfs)
		return
	}
	ofPID1 := func() ([]*procfs.MountInfo, error) { return f.proc.GetProcMounts(1) }
	for i, table := range []func() ([]*procfs.MountInfo, error){f.proc.GetMounts, ofPID1} {
		mounts, err := table()
		if err != nil {
			f.why = append(f.why, err.Error())
			continue
		}
		f.looked = append(f.looked, filepath.Join(f.procfs, []string{"self", "1"}[i], "mountinfo"))
		for _, m := range cgroupMounts(mounts) {
			f.mounts = append(f.mounts, f.locate(m, i == 1))
		}
	}
	slices.SortStableFunc(f.mounts, func(a, b candidate) int { return a.rank - b.rank })
}

// locate says where to look for a mount. A mount below /sys is looked for below
// Sysfs: in a container, Sysfs is the host's and /sys our own. Other mounts of
// pid 1 can only be reached through its root directory.
func (f *finder) locate(m mount, foreign bool) candidate {
	c := candidate{mount: m, dir: m.point}
	rest, inSys := below("/sys", m.point)
	_, inSysfs := below(f.sysfs, m.point)
	switch {
	case inSysfs && !foreign:
	case inSys:
		c.dir, c.rank = filepath.Join(f.sysfs, rest), 1
	case foreign:
		c.dir, c.rank = filepath.Join(f.procfs, "1/root", m.point), 4
	default:
		c.rank = 2
	}
	if m.root != "/" { // a part of the hierarchy: the last resort.
		c.rank += 8
	}
	return c
}

// cpuset finds the v1 cpuset hierarchy beside the memory hierarchy at dir.
func (f *finder) cpuset(dir string) string {
	dirs := []string{dir} // mounted together.
	parent := filepath.Dir(dir)
	entries, _ := os.ReadDir(parent) // a failure only means that nothing is found here.
	for _, e := range entries {
		if slices.Contains(strings.Split(e.Name(), ","), "cpuset") {
			dirs = append(dirs, filepath.Join(parent, e.Name()))
		}
	}
	for _, m := range f.mounts {
		if m.fstype == "cgroup" && m.has("cpuset") {
			dirs = append(dirs, m.dir)
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "cpuset.mems")); err == nil {
			return d
		}
	}
	return ""
}

func (f *finder) err() error {
	text := "; looked at " + strings.Join(f.looked, ", ")
	if len(f.why) > 0 {
		text += "; " + strings.Join(f.why, "; ")
	}
	return fmt.Errorf("%w%s; in a container, mount the host's /sys (or /sys/fs/cgroup) read-only and name it with --path.sysfs; "+
		"on the host, mount a cgroup hierarchy with the memory controller, "+
		"which some kernels switch on only with the boot parameter cgroup_enable=memory", ErrNoHierarchy, text)
}

// below returns path relative to dir, and whether it is dir or lies in it.
func below(dir, path string) (string, bool) {
	if dir == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
