package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"showrunner/cloud/localcloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Streams are what a command talks to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	// Terminal says whether Err is a terminal that can be redrawn, and its width and height.
	Terminal func() (width, height int, ok bool)
}

// System returns the process's own streams.
func System() Streams {
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Terminal: func() (int, int, bool) {
			if !term.IsTerminal(int(os.Stderr.Fd())) {
				return 0, 0, false
			}
			w, h, err := term.GetSize(int(os.Stderr.Fd()))
			return w, h, err == nil
		},
	}
}

// app is what every command shares.
type app struct {
	Streams
	data     string // data folder
	server   string // base URL of the control plane; "" until looked up
	token    string
	output   string // table, json, yaml, name
	progress string // auto, tty, plain, json, errors-only, none
	noColor  bool
	verbose  bool
}

// Main runs the command line and returns its exit code.
func Main(args []string, s Streams) int {
	localcloud.RunHelper()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{Streams: s}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	a.printError(err)
	return exitCode(err)
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "showrunner",
		Short: "Pipelines, a fleet that heals itself, chaos and verdicts, in one binary",
		Long: `Showrunner takes a commit to running software in several regions, keeps it
running, and proves that it does.

Start here:
  showrunner demo              deliver an example into three local regions
  showrunner init              write a first pipeline file for the project in this folder
  showrunner up                start the control plane, the edge and the regions
  showrunner apply -f FILE     hand over a pipeline file
  showrunner run APP/PIPELINE  start a pipeline and watch it`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.configure(cmd)
		},
	}
	root.Version = thisBuild().String()
	root.SetVersionTemplate("{{.Version}}\n") // --version is what people try first
	f := root.PersistentFlags()
	f.StringVar(&a.data, "data", "", "data folder (default: "+defaultData(a.Getenv)+")")
	f.StringVar(&a.server, "server", "", "control plane URL, or several with commas between, of which the next is asked where one is unreachable (default: the one that runs on the data folder, else http://127.0.0.1:7070)")
	f.StringVar(&a.token, "token", "", "API token (default: the one in the data folder)")
	f.StringVarP(&a.output, "output", "o", "table", "output: table, wide, json, yaml or name")
	f.StringVar(&a.progress, "progress", "auto", "progress on stderr: auto, tty, plain, json, errors-only or none")
	f.BoolVar(&a.noColor, "no-color", false, "no colours (also: NO_COLOR)")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%v", err).WithHelp("%s --help", cmd.CommandPath())
	})
	for _, group := range commandGroups {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, make := range group.commands {
			cmd := make(a)
			cmd.GroupID = group.id
			root.AddCommand(cmd)
		}
	}
	for _, make := range hiddenCommands {
		cmd := make(a)
		cmd.Hidden = true
		root.AddCommand(cmd)
	}
	refuseUnknownSubcommands(root)
	a.complete(root)
	return root
}

// refuseUnknownSubcommands has commands that only hold others refuse a word that is
// none of these, with what was probably meant; cobra does so for the root alone.
func refuseUnknownSubcommands(parent *cobra.Command) {
	for _, cmd := range parent.Commands() {
		refuseUnknownSubcommands(cmd)
		if !cmd.HasSubCommands() || cmd.Runnable() {
			continue
		}
		cmd.DisableFlagsInUseLine = true
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := usage("unknown command %q for %q", args[0], cmd.CommandPath()).WithHelp("%s --help", cmd.CommandPath())
			if meant := nearestSubcommand(cmd, args[0]); meant != "" {
				err = err.WithHelp("did you mean %s %s?", cmd.CommandPath(), meant)
			}
			return err
		}
	}
}

// nearestSubcommand is the subcommand that was probably meant, or "".
func nearestSubcommand(cmd *cobra.Command, word string) string {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return pipeline.Nearest(word, names)
}

// configure fills what no flag set: from SHOWRUNNER_*, then the nearest
// .showrunner/config.yaml upward, then the user's, then the default.
func (a *app) configure(cmd *cobra.Command) error {
	file, err := readConfig(a.Getenv)
	if err != nil {
		return err
	}
	flags := cmd.Flags()
	for _, name := range configurable(cmd) {
		flag := flags.Lookup(name)
		if flag.Changed {
			continue
		}
		value := a.Getenv("SHOWRUNNER_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		from := "environment"
		if value == "" {
			value, from = file.values[name], file.path
		}
		if value == "" {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return usage("%s from the %s: %v", name, from, err)
		}
	}
	if a.data == "" {
		a.data = defaultData(a.Getenv)
	}
	if abs, err := filepath.Abs(a.data); err == nil {
		a.data = abs
	}
	switch a.output {
	case "table", "wide", "json", "yaml", "name":
	default:
		return usage("unknown output %q", a.output).WithHelp("one of table, wide, json, yaml, name")
	}
	switch a.progress {
	case "auto", "tty", "plain", "json", "errors-only", "none":
	default:
		return usage("unknown progress %q", a.progress).WithHelp("one of auto, tty, plain, json, errors-only, none")
	}
	if a.Getenv("NO_COLOR") != "" {
		a.noColor = true
	}
	return nil
}

// defaultData is the data folder when nothing names one.
func defaultData(getenv func(string) string) string {
	if d := getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "showrunner")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "showrunner")
	}
	return ".showrunner"
}

// usage makes an error for a command line or configuration that cannot be used.
func usage(format string, args ...any) *problem.Error {
	return problem.New(problem.Invalid, "", format, args...)
}

// exactArgs is cobra.ExactArgs with an error that names what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			verb := "is"
			if len(names)-len(args) > 1 {
				verb = "are"
			}
			return usage("%s %s missing", strings.Join(names[len(args):], " and "), verb).WithHelp("usage: %s", cmd.UseLine())
		}
		if len(args) > len(names) {
			if meant := nearestSubcommand(cmd, args[len(names)]); meant != "" {
				return usage("unexpected argument %q", args[len(names)]).WithHelp("did you mean %s %s?", cmd.CommandPath(), meant)
			}
			return usage("unexpected argument %q", args[len(names)]).WithHelp("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// exclusive refuses two flags of a command when both are given.
func exclusive(cmd *cobra.Command, one, other string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed(one) && cmd.Flags().Changed(other) {
			return usage("--%s and --%s cannot be given together", one, other).WithHelp("give one of them")
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// exitError ends the command with a code of its own, after its output has said everything.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// Exit codes, as documented.
const (
	exitDone           = 0
	exitFailed         = 1
	exitUsage          = 2
	exitWaiting        = 3
	exitRolledBack     = 4
	exitDenied         = 5
	exitNotFound       = 6
	exitConflict       = 7
	exitOutcomeUnknown = 8
	exitDifferent      = 10
	exitInterrupted    = 130
)

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	var exit exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	e, ok := problem.Of(err)
	if !ok {
		// cobra's own: unknown command, wrong number of arguments.
		return exitUsage
	}
	switch e.Code {
	case problem.Invalid:
		return exitUsage
	case problem.Denied:
		return exitDenied
	case problem.NotFound:
		return exitNotFound
	case problem.Conflict, problem.Precondition: // what is there stands against it; nothing was done
		return exitConflict
	case problem.Unavailable:
		return exitOutcomeUnknown
	default:
		return exitFailed
	}
}
