// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
)

// model is the state of the live view.
type model struct {
	source   Source
	interval time.Duration
	frame    Frame
	err      error
	o        Options
	typing   bool // keys go into the filter.
	paused   bool
}

// frameMsg is a new look at the host.
type frameMsg struct {
	frame Frame
	err   error
}

// tickMsg says that it is time for the next look.
type tickMsg struct{}

// Run shows the host until the user quits or the context ends.
func Run(ctx context.Context, source Source, in io.Reader, out io.Writer, interval time.Duration, color bool) error {
	m := model{source: source, interval: interval, o: Options{Color: color}}
	m.frame, m.err = source()
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.tick() }

func (m model) tick() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return tickMsg{} })
}

// look makes a frame outside the event loop: keys stay quick on a slow host.
func (m model) look() tea.Cmd {
	return func() tea.Msg {
		f, err := m.source()
		return frameMsg{f, err}
	}
}

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.o.Width, m.o.Height = msg.Width, msg.Height
	case tickMsg:
		if m.paused {
			return m, m.tick()
		}
		return m, m.look()
	case frameMsg:
		m.frame, m.err = msg.frame, msg.err
		return m, m.tick()
	case tea.KeyPressMsg:
		if m.typing {
			return m.typed(msg), nil
		}
		return m.key(msg.String())
	}
	return m, nil
}

// typed edits the filter.
func (m model) typed(k tea.KeyPressMsg) model {
	switch k.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.o.Filter = false, ""
	case "backspace":
		if r := []rune(m.o.Filter); len(r) > 0 {
			m.o.Filter = string(r[:len(r)-1])
		}
	default:
		m.o.Filter += k.Text
	}
	m.o.Offset = 0
	return m
}

// key does what a key stands for.
func (m model) key(k string) (tea.Model, tea.Cmd) {
	switch k {
	case "q", "ctrl+c", "esc":
		return m, tea.Quit
	case "tab":
		m.o.Pane, m.o.Offset = (m.o.Pane+1)%panes, 0
	case "1", "2", "3":
		m.o.Pane, m.o.Offset = Pane(k[0]-'1'), 0
	case "s":
		m.o.Order, m.o.Offset = (m.o.Order+1)%orders, 0
	case "/":
		m.typing = true
	case "space":
		m.paused = !m.paused
	case "down", "j":
		m.o.Offset++
	case "up", "k":
		m.o.Offset = max(0, m.o.Offset-1)
	case "pgdown":
		m.o.Offset += max(1, m.o.Height-8)
	case "pgup":
		m.o.Offset = max(0, m.o.Offset-max(1, m.o.Height-8))
	case "home":
		m.o.Offset = 0
	}
	return m, nil
}

// View implements tea.Model.
func (m model) View() tea.View {
	o := m.o
	o.Status = m.status()
	v := tea.NewView(Render(&m.frame, o))
	v.AltScreen = true
	return v
}

func (m model) status() string {
	switch {
	case m.typing:
		return "/" + m.o.Filter + "_   enter: keep  esc: drop"
	case m.err != nil:
		return "incomplete: " + m.err.Error()
	}
	text := fmt.Sprintf("%s by %s%s  tab: pane  s: sort  /: filter  space: pause  q: quit", m.o.Pane, m.o.Order, filtered(m.o))
	if m.o.Pane != Containers {
		text = fmt.Sprintf("%s%s  tab: pane  /: filter  space: pause  q: quit", m.o.Pane, filtered(m.o))
	}
	if m.paused {
		text = "PAUSED  " + text
	}
	return text
}
