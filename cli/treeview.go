package cli

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"showrunner/execution"
)

// treeView redraws the tree in place on a terminal, never taller than the
// screen, at most five times a second, and leaves the last one in the scrollback.
type treeView struct {
	program *tea.Program
	done    chan struct{}
}

// newTreeView starts drawing. detach is called at Ctrl-C.
func newTreeView(a *app, detach func()) *treeView {
	w, h, _ := a.Terminal()
	v := &treeView{done: make(chan struct{})}
	v.program = tea.NewProgram(treeModel{a: a, detach: detach, width: w, height: h}, tea.WithOutput(a.Err), tea.WithInput(a.In), tea.WithFPS(5), tea.WithoutSignalHandler())
	go func() {
		defer close(v.done)
		_, _ = v.program.Run() // a terminal that cannot be drawn on changes no outcome
	}()
	return v
}

func (v *treeView) show(e execution.Execution) { v.program.Send(e) }

func (v *treeView) close() {
	v.program.Quit()
	<-v.done
}

type treeModel struct {
	a             *app
	detach        func()
	e             execution.Execution
	width, height int
}

type secondPassed time.Time

func everySecond() tea.Cmd {
	return tea.Tick(time.Second, func(t time.Time) tea.Msg { return secondPassed(t) })
}

// Init implements tea.Model.
func (m treeModel) Init() tea.Cmd { return everySecond() }

// Update implements tea.Model.
func (m treeModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case execution.Execution:
		m.e = msg
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case secondPassed:
		return m, everySecond()
	case tea.KeyPressMsg:
		if s := msg.String(); s == "ctrl+c" || s == "q" {
			m.detach()
		}
	}
	return m, nil
}

// View implements tea.Model.
func (m treeModel) View() tea.View {
	if m.e.ID == "" {
		return tea.NewView("")
	}
	return tea.NewView(strings.Join(fold(m.a.tree(m.e, time.Now()), m.width, m.height-1), "\n") + "\n")
}

// fold makes lines fit a screen: long ones are cut, and of too many the middle
// is left out, since what runs and what failed is told in the lines around it.
func fold(lines []string, width, height int) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		if r := []rune(l); width > 1 && len(r) > width {
			l = string(r[:width-1]) + "…"
		}
		out = append(out, l)
	}
	if height < 4 || len(out) <= height {
		return out
	}
	head := height / 2
	tail := height - head - 1
	folded := append([]string{}, out[:head]...)
	folded = append(folded, "│  …")
	return append(folded, out[len(out)-tail:]...)
}
