// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestOwnerOf(t *testing.T) {
	const id = "aaaabbbbccccddddeeeeffff00001111aaaabbbbccccddddeeeeffff00001111"
	for path, want := range map[string]string{
		"/":                                  "",
		"/shop":                              "",
		"/system.slice/redis.service":        "redis.service",
		"/lxc/703":                           "/lxc/703",
		"/lxc/703/ns/system.slice/c.service": "c.service in /lxc/703",
		"/lxc.payload.web/system.slice/a.service": "a.service in /lxc.payload.web",
		"/docker/" + id: "aaaabbbbcccc",
		"/docker/" + id + "/system.slice/a.service": "a.service in aaaabbbbcccc",
		"/docker/" + id + "/docker/bbbb" + id[4:]:   "bbbbbbbbcccc in aaaabbbbcccc",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_2aed_4fa2_a60f_f006ab94b3df.slice": "pod 0a1b2c3d-2aed-4fa2-a60f-f006ab94b3df",
	} {
		if got := ownerOf(path); got != want {
			t.Errorf("ownerOf(%q) = %q, want %q", path, got, want)
		}
	}
}
