// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// commandFirst puts the command before the flags, which may stand on both of
// its sides: else those of the default command would choose that. It returns
// the command's name, which is empty where none is given.
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
			i++ // the next is its value.
		case strings.HasPrefix(a, "-"):
		case slices.ContainsFunc(app.Commands, func(c *kingpin.CmdModel) bool { return c.Name == a }):
			return a, slices.Concat([]string{a}, args[:i], args[i+1:])
		default:
			return "", args
		}
	}
	return "", args
}
