// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// commandFirst moves the command in front of the flags, which may precede or follow
// it: otherwise a flag of the default command in front of it would select the default.
// It returns the command's name, empty if none is given.
func commandFirst(app *kingpin.ApplicationModel, args []string) (name string, ordered []string) {
	takesValue := map[string]bool{}
	note := func(flags []*kingpin.FlagModel) {
		for _, f := range flags {
			takesValue[f.Name] = takesValue[f.Name] || !f.IsBoolFlag()
		}
	}
	note(app.Flags)
	for _, c := range app.Commands {
		note(c.Flags)
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		flag, isFlag := strings.CutPrefix(a, "--")
		switch {
		case a == "--":
			return "", args
		case isFlag && takesValue[flag]:
			i++ // the next argument is its value.
		case strings.HasPrefix(a, "-"):
		case slices.ContainsFunc(app.Commands, func(c *kingpin.CmdModel) bool { return c.Name == a }):
			return a, slices.Concat([]string{a}, args[:i], args[i+1:])
		default:
			return "", args
		}
	}
	return "", args
}
