// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// shells are those that completion has a script for.
func shells() []string { return []string{"bash", "zsh", "fish"} }

// completion writes the script that completes commands and flags in a shell.
func completion(_ context.Context, c *config, std streams) error {
	app := newApp(&config{}).Model()
	switch c.shell {
	case "fish":
		return fishScript(std.out, app)
	case "zsh":
		return zshScript(std.out, app)
	}
	return bashScript(std.out, app, "default")
}

// zshScript has zsh run the bash script. As a file in fpath it is run only when the
// first completion is wanted, so that it also has to give that completion.
func zshScript(w io.Writer, app *kingpin.ApplicationModel) error {
	if _, err := io.WriteString(w, "#compdef oom_exporter\nautoload -U +X bashcompinit && bashcompinit\n"); err != nil {
		return err
	}
	if err := bashScript(w, app, "nospace"); err != nil {
		return err
	}
	_, err := io.WriteString(w, "[[ ${funcstack[1]} != _oom_exporter ]] || _bash_complete -o nospace -F _oom_exporter\n")
	return err
}

// bashScript completes commands and flags from lists, and anything else as a file name.
func bashScript(w io.Writer, app *kingpin.ApplicationModel, option string) error {
	var b strings.Builder
	b.WriteString(`_oom_exporter() {
  local word="${COMP_WORDS[COMP_CWORD]}" command=serve i words
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${COMP_WORDS[i]}" in
`)
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	fmt.Fprintf(&b, "      %s) command=\"${COMP_WORDS[i]}\"; break ;;\n    esac\n  done\n  case \"$command\" in\n", strings.Join(names, "|"))
	for _, c := range app.Commands {
		fmt.Fprintf(&b, "    %s) words=\"%s\" ;;\n", c.Name, strings.Join(flagWords(c.Flags), " "))
	}
	fmt.Fprintf(&b, `  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words %s" -- "$word")) ;;
    *) if ((i == COMP_CWORD)); then COMPREPLY=($(compgen -W "%s" -- "$word")); else COMPREPLY=($(compgen -f -- "$word")); fi ;;
  esac
  # A value comes right after the =.
  [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
  return 0
}
complete -o %s -F _oom_exporter oom_exporter
`, strings.Join(flagWords(app.Flags), " "), strings.Join(names, " "), option)
	_, err := io.WriteString(w, b.String())
	return err
}

// flagWords are the flags as they are typed.
func flagWords(flags []*kingpin.FlagModel) (words []string) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		word := "--" + f.Name
		if !f.IsBoolFlag() {
			word += "="
		}
		words = append(words, word)
		if f.IsBoolFlag() && len(f.Default) == 1 && f.Default[0] == "true" {
			words = append(words, "--no-"+f.Name)
		}
	}
	return words
}

func fishScript(w io.Writer, app *kingpin.ApplicationModel) error {
	var b strings.Builder
	quote := func(s string) string {
		return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `\'`) + "'"
	}
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		fmt.Fprintf(&b, "complete -c oom_exporter -n __fish_use_subcommand -a %s -d %s\n", c.Name, quote(c.Help))
	}
	flags := func(condition string, list []*kingpin.FlagModel) {
		for _, f := range list {
			if f.Hidden {
				continue
			}
			value := ""
			if !f.IsBoolFlag() {
				value = " -r"
			}
			fmt.Fprintf(&b, "complete -c oom_exporter%s -l %s%s -d %s\n", condition, f.Name, value, quote(f.Help))
		}
	}
	flags("", app.Flags)
	for _, c := range app.Commands {
		flags(" -n '__fish_seen_subcommand_from "+c.Name+"'", c.Flags)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
