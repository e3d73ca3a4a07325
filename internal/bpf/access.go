// SPDX-License-Identifier: Apache-2.0

package bpf

import "errors"

// Access tells whether all programs can be loaded here; the error is an
// *UnavailableError.
func Access(o Options) error {
	v, err := OpenVictims(o)
	if err != nil {
		return err
	}
	p, err := OpenProcesses(o)
	if err != nil {
		return errors.Join(err, v.Close())
	}
	return errors.Join(p.Close(), v.Close())
}
