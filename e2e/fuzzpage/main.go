// SPDX-License-Identifier: Apache-2.0

// Command fuzzpage makes a page of what `make fuzz` has printed: what each fuzz
// target did, and which of the targets in the source tree did nothing.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	about := flag.String("about", "", "sentence about the run")
	commit := flag.String("commit", "unknown", "what was fuzzed")
	flag.Parse()
	head := fmt.Sprintf("Commit %s, %s, %s/%s, %s. %s", *commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().UTC().Format(time.DateOnly), *about)
	if err := run(os.Stdin, os.Stdout, ".", head); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzpage:", err)
		os.Exit(1)
	}
}

// run reads what was printed and writes the page. The error says that a target of
// the source tree below root found something or did not run.
func run(in io.Reader, out io.Writer, root, head string) error {
	wanted, err := findTargets(os.DirFS(root))
	if err != nil {
		return err
	}
	results, err := readResults(in)
	if err != nil {
		return err
	}
	var sum result
	failed := 0
	fmt.Fprintf(out, "# Fuzzing\n\nWritten by `make fuzz-long`. New inputs are those that reached code that no input had reached before.\n\n%s\n\n", strings.TrimSpace(head))
	fmt.Fprint(out, "| package | target | time | executions | new inputs | inputs | result |\n|---|---|---|---|---|---|---|\n")
	for _, t := range wanted {
		r, ok := results[t]
		if !ok {
			r.verdict = "**did not run**"
		}
		if r.verdict != passed {
			failed++
		}
		fmt.Fprintf(out, "| `%s` | `%s` | %s | %d | %d | %d | %s |\n", strings.TrimPrefix(t.dir, "./"), t.name, r.took, r.executions, r.fresh, r.inputs, r.verdict)
		sum.took, sum.executions, sum.fresh, sum.inputs = sum.took+r.took, sum.executions+r.executions, sum.fresh+r.fresh, sum.inputs+r.inputs
	}
	fmt.Fprintf(out, "| all | %d | %s | %d | %d | %d | %d with findings or not run |\n", len(wanted), sum.took, sum.executions, sum.fresh, sum.inputs, failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d targets found something or did not run", failed, len(wanted))
	}
	return nil
}

// target is a fuzz target of a package.
type target struct{ dir, name string }

// result is what a target did.
type result struct {
	took                      time.Duration
	executions, fresh, inputs int
	verdict                   string
}

const passed = "nothing found"

var (
	declaration = regexp.MustCompile(`(?m)^func (Fuzz[A-Za-z0-9_]+)\(`)
	line        = regexp.MustCompile(`^(\./\S+) (Fuzz\w+) ?(.*)$`)
	progress    = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: (\d+) \(\d+/sec\), new interesting: (\d+) \(total: (\d+)\)$`)
)

// findTargets returns the fuzz targets of a source tree, in order.
func findTargets(tree fs.FS) (all []target, err error) {
	err = fs.WalkDir(tree, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(tree, path)
		for _, m := range declaration.FindAllSubmatch(text, -1) {
			all = append(all, target{"./" + filepath.ToSlash(filepath.Dir(path)), string(m[1])})
		}
		return err
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.dir+" "+a.name, b.dir+" "+b.name) })
	return all, err
}

// readResults reads lines of .ci/fuzz. A target without a result in its line has
// found something, which follows.
func readResults(r io.Reader) (map[target]result, error) {
	all := map[target]result{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		all[target{m[1], m[2]}] = parseResult(m[3])
	}
	return all, lines.Err()
}

func parseResult(text string) result {
	if text == "" {
		return result{verdict: "**found something**"}
	}
	m := progress.FindStringSubmatch(text)
	if m == nil {
		return result{verdict: "**did not get beyond the inputs that it had**"}
	}
	took, err := time.ParseDuration(m[1])
	if err != nil {
		return result{verdict: "**" + err.Error() + "**"}
	}
	r := result{took: took, verdict: passed}
	for i, n := range []*int{&r.executions, &r.fresh, &r.inputs} {
		*n, _ = strconv.Atoi(m[2+i]) // digits only.
	}
	return r
}
