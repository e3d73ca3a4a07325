// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a source tree with three fuzz targets.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a_test.go":   "package a\n\nfunc FuzzTwo(f *testing.F) {}\n\nfunc FuzzOne(f *testing.F) {}\n",
		"b/c/c_test.go": "package c\n\nfunc FuzzThree(f *testing.F) {}\n\n// func FuzzNot(f *testing.F)\n",
		"b/c/c.go":      "package c\n\nfunc FuzzNoTest(f int) {}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPage(t *testing.T) {
	const one = "./a FuzzOne fuzz: elapsed: 30m0s, execs: 74263 (2012/sec), new interesting: 26 (total: 249)\n"
	const two = "./a FuzzTwo fuzz: elapsed: 30m1s, execs: 1 (0/sec), new interesting: 0 (total: 3)\n"
	const three = "./b/c FuzzThree fuzz: elapsed: 1s, execs: 10 (10/sec), new interesting: 1 (total: 1)\n"
	for _, c := range []struct {
		name, in, want string
		fails          bool
	}{
		{
			"all is well", three + "make: noise\n" + one + two,
			"| `a` | `FuzzOne` | 30m0s | 74263 | 26 | 249 | nothing found |\n" +
				"| `a` | `FuzzTwo` | 30m1s | 1 | 0 | 3 | nothing found |\n" +
				"| `b/c` | `FuzzThree` | 1s | 10 | 1 | 1 | nothing found |\n" +
				"| all | 3 | 1h0m2s | 74274 | 27 | 253 | 0 with findings or not run |\n", false,
		},
		{
			"one found something", one + "./a FuzzTwo\n--- FAIL: FuzzTwo\n    panic\n" + three,
			"| `a` | `FuzzTwo` | 0s | 0 | 0 | 0 | **found something** |\n", true,
		},
		{
			"one had no time to begin", one + three + "./a FuzzTwo fuzz: elapsed: 0s, gathering baseline coverage: 0/13 completed\n",
			"| `a` | `FuzzTwo` | 0s | 0 | 0 | 0 | **did not get beyond the inputs that it had** |\n", true,
		},
		{"one did not run", two + three, "| `a` | `FuzzOne` | 0s | 0 | 0 | 0 | **did not run** |\n", true},
		{"nothing ran", "", "| all | 3 | 0s | 0 | 0 | 0 | 3 with findings or not run |\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			err := run(strings.NewReader(c.in), &out, tree(t), "Commit x.")
			if (err != nil) != c.fails || !strings.Contains(out.String(), c.want) || !strings.Contains(out.String(), "Commit x.") {
				t.Errorf("%v, page:\n%s", err, out.String())
			}
		})
	}
}

// TestTargets: the page and the Makefile see the same targets.
func TestTargets(t *testing.T) {
	all, err := findTargets(os.DirFS("../.."))
	if err != nil || len(all) < 40 {
		t.Errorf("%d targets, %v", len(all), err)
	}
}
