package cli

import "github.com/spf13/cobra"

// commandGroup is one section of the help.
type commandGroup struct {
	id, title string
	commands  []func(*app) *cobra.Command
}

// commandGroups lists every public command, in the order of the help.
var commandGroups = []commandGroup{
	{"start", "Start", []func(*app) *cobra.Command{}},
	{"file", "Pipeline files", []func(*app) *cobra.Command{}},
}

// hiddenCommands are the processes that other commands start.
var hiddenCommands = []func(*app) *cobra.Command{}
