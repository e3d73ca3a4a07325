// SPDX-License-Identifier: Apache-2.0

package bpf

import "errors"

// Access tells what can be loaded here: cgroups is the error of the program that lists the
// cgroups of the hierarchy mounted at dir, and err that of the others. Each is an
// *UnavailableError.
func Access(o Options, dir string) (cgroups, err error) {
	v, err := OpenVictims(o)
	if err != nil {
		return err, err
	}
	p, err := OpenProcesses(o)
	if err != nil {
		return err, errors.Join(err, v.Close())
	}
	if err := errors.Join(p.Close(), v.Close()); err != nil {
		return err, err
	}
	c, cgroups := OpenCgroups(o, dir)
	if cgroups != nil {
		return cgroups, nil
	}
	return c.Close(), nil
}
