// SPDX-License-Identifier: Apache-2.0

package bpf

import "errors"

// Access tells whether all programs can be loaded here; the error is an
// *UnavailableError. cgroups is false where the kernel is too old to list those of the
// hierarchy that is mounted at dir, or dir is empty.
func Access(o Options, dir string) (cgroups bool, err error) {
	v, err := OpenVictims(o)
	if err != nil {
		return false, err
	}
	p, err := OpenProcesses(o)
	if err != nil {
		return false, errors.Join(err, v.Close())
	}
	err = errors.Join(p.Close(), v.Close())
	if dir == "" || err != nil {
		return false, err
	}
	c, err := OpenCgroups(o, dir)
	switch {
	case errors.Is(err, ErrOldKernel):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, c.Close()
}
