// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"oom_exporter": main})
}

// TestScripts runs the program as a user would: real processes, real signals.
// $HOST is a fixture host, $ADDR a free address.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Setenv("ADDR", l.Addr().String())
			env.Setenv("HOST", unpack(t, "testdata/hosts/k8s-v2-systemd.txtar"))
			return l.Close()
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mkfifo": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(unix.Mkfifo(args[0], 0o600))
			},
			"isfifo": func(ts *testscript.TestScript, _ bool, args []string) {
				if info, err := os.Lstat(args[0]); err != nil || info.Mode().Type() != os.ModeNamedPipe {
					ts.Fatalf("%s: %v, %v", args[0], info, err)
				}
			},
			"until": func(ts *testscript.TestScript, _ bool, args []string) {
				for range 200 {
					if err := ts.Exec(args[0], args[1:]...); err == nil {
						return
					}
				}
				ts.Fatalf("%v never worked", args)
			},
			"exitcode": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				if err == nil || err.Error() != "exit status "+args[0] {
					ts.Fatalf("%v: %v, want exit status %s", args[1:], err, args[0])
				}
			},
		},
		UpdateScripts: *update,
	})
}
