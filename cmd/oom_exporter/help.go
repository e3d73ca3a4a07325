// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/oom-exporter/oom_exporter/internal/top"
)

// helpTemplate hands all of the help to helpText.
const helpTemplate = `{{help .App .Width}}`

// examples are two uses of each command.
func examples(command string) []string {
	return map[string][]string{
		"serve":      {"oom_exporter serve --web.listen-address=127.0.0.1:10137", "oom_exporter serve --state.file=/run/oom_exporter/state --events.tracefs=auto"},
		"explain":    {"oom_exporter explain --since=2h", "dmesg | oom_exporter explain"},
		"events":     {"oom_exporter events --last=20", "oom_exporter events -f --namespace=shop"},
		"why":        {"oom_exporter why", "oom_exporter why shop/web-7d4f9-x2/app"},
		"advise":     {"oom_exporter advise", "oom_exporter advise --format=json"},
		"top":        {"oom_exporter top", "oom_exporter top --once --filter=shop/ | grep java"},
		"doctor":     {"oom_exporter doctor", "oom_exporter doctor --format=json"},
		"completion": {"source <(oom_exporter completion bash)", "oom_exporter completion fish > ~/.config/fish/completions/oom_exporter.fish"},
	}[command]
}

// notes are what the help of a command says after its flags.
func notes(command string) (title string, rows [][2]string) {
	if command == "top" {
		return "Keys:", top.Keys()
	}
	return "", nil
}

// helpText is the help of one command, or of all where none is named.
func helpText(app *kingpin.ApplicationModel, command string, width int) string {
	h := help{width: min(max(width, 40), 120)}
	i := slices.IndexFunc(app.Commands, func(c *kingpin.CmdModel) bool { return c.Name == command })
	if i < 0 {
		h.overview(app)
	} else {
		h.command(app, app.Commands[i])
	}
	h.group("Flags of all commands:", flagRows(app.Flags))
	return h.b.String()
}

type help struct {
	b     strings.Builder
	width int
}

func (h *help) overview(app *kingpin.ApplicationModel) {
	h.paragraph("usage: "+app.Name+" [COMMAND] [FLAGS]", "  ")
	h.paragraph(app.Help, "")
	var rows [][2]string
	for _, c := range app.Commands {
		if c.Hidden || c.Name == "help" {
			continue
		}
		short, _, _ := strings.Cut(c.Help, ": ")
		short, _, _ = strings.Cut(short, ". ")
		rows = append(rows, [2]string{c.Name, strings.TrimSuffix(short, ".") + "."})
	}
	h.group("Commands (oom_exporter COMMAND --help says more):", rows)
	for _, c := range app.Commands {
		if c.Default {
			h.group("Flags of "+c.Name+":", flagRows(c.Flags))
		}
	}
}

func (h *help) command(app *kingpin.ApplicationModel, c *kingpin.CmdModel) {
	usage := []string{"usage:", app.Name, c.Name, "[FLAGS]"}
	var args [][2]string
	for _, a := range c.Args {
		name := strings.ToUpper(a.Name)
		args = append(args, [2]string{name, a.Help})
		if !a.Required {
			name = "[" + name + "]"
		}
		usage = append(usage, name)
	}
	h.paragraph(strings.Join(usage, " "), "  ")
	h.paragraph(c.Help, "")
	h.group("Examples:", commandRows(examples(c.Name)))
	h.group("Arguments:", args)
	h.group("Flags of "+c.Name+":", flagRows(c.Flags))
	if title, rows := notes(c.Name); title != "" {
		h.group(title, rows)
	}
}

func commandRows(lines []string) (rows [][2]string) {
	for _, l := range lines {
		rows = append(rows, [2]string{l, ""})
	}
	return rows
}

// flagRows are flags with what they take and what they do.
func flagRows(flags []*kingpin.FlagModel) (rows [][2]string) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		switch {
		case f.IsBoolFlag() && slices.Equal(f.Default, []string{"true"}):
			name = "--[no-]" + f.Name
		case !f.IsBoolFlag():
			name += "=" + f.FormatPlaceHolder()
		}
		if f.Short != 0 {
			name = fmt.Sprintf("-%c, %s", f.Short, name)
		}
		does := f.Help
		if f.Name == "help" {
			does = "Show this help."
		}
		rows = append(rows, [2]string{name, does})
	}
	return rows
}

// group prints a title and two columns below it; what does not fit into the
// first has a line of its own.
func (h *help) group(title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(&h.b, "%s\n", title)
	const widest = 30
	first := 0
	for _, r := range rows {
		if len(r[0]) <= widest {
			first = max(first, len(r[0]))
		}
	}
	indent := strings.Repeat(" ", first+4)
	for _, r := range rows {
		lines := wrapWords(r[1], h.width-len(indent))
		if len(r[0]) > first && r[1] != "" {
			fmt.Fprintf(&h.b, "  %s\n%s%s\n", r[0], indent, lines[0])
		} else {
			fmt.Fprintf(&h.b, "%s\n", strings.TrimRight(fmt.Sprintf("  %-*s  %s", first, r[0], lines[0]), " "))
		}
		for _, l := range lines[1:] {
			fmt.Fprintf(&h.b, "%s%s\n", indent, l)
		}
	}
	h.b.WriteByte('\n')
}

func (h *help) paragraph(text, indent string) {
	h.b.WriteString(strings.Join(wrapWords(text, h.width-len(indent)), "\n"+indent) + "\n\n")
}

// wrapWords folds a text between words into lines of at most width characters;
// a word that is longer stands on a line of its own. There is at least one
// line.
func wrapWords(text string, width int) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len([]rune(*last))+1+len([]rune(word)) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
