package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/chaos/document"
	"showrunner/control"
	"showrunner/importer"
	"showrunner/problem"
	"showrunner/telemetry/promapi"
)

type fisImportFlags struct {
	importer.FISOptions
	out            string
	force, partial bool
}

func newFISImportCommand(a *app) *cobra.Command {
	var f fisImportFlags
	cmd := &cobra.Command{
		Use: "fis FILE", Short: "Import an experiment template of AWS FIS as an experiment", Args: exactArgs("FILE"),
		Long: `Reads what "aws fis get-experiment-template" prints, or the file that was given to
create it, and writes an experiment for "showrunner chaos experiment run". An action keeps
its startAfter. Targets become the cluster: give its name, since tags do not say it.

An action without an equivalent is refused by name and line, and nothing is written then;
--partial writes the rest. docs/experiments.md lists what becomes what.`,
		Example: "  aws fis get-experiment-template --id EXT1 | showrunner import fis - --cluster storefront-prod --application storefront\n" +
			"  showrunner import fis template.json --cluster storefront-prod --region us-west-2 --out experiment.yaml",
		RunE: func(_ *cobra.Command, args []string) error { return a.importFIS(args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Cluster, "cluster", "", "the cluster that targets stand for (default: the service of a target of ECS tasks)")
	flags.StringVar(&f.Region, "region", "", "the region of targets without ARNs")
	flags.StringVar(&f.Application, "application", "", "the application of the cluster")
	flags.StringVar(&f.out, "out", "-", "the file that is written; - prints it")
	flags.BoolVar(&f.force, "force", false, "overwrite a file that is there")
	flags.BoolVar(&f.partial, "partial", false, "write what can be carried over, although something is refused")
	return cmd
}

func (a *app) importFIS(name string, f fisImportFlags) error {
	src, _, err := a.readDocument(name)
	if err != nil {
		return err
	}
	r, err := importer.FIS(src, f.FISOptions)
	if err != nil {
		return err
	}
	for _, c := range r.Carried {
		a.say("carried over: %s", clean(c))
	}
	for _, n := range r.Notes {
		a.say("note: %s", clean(n))
	}
	if len(r.Refused) > 0 {
		refused := document.Invalid(r.Refused)
		if !f.partial || r.YAML == nil {
			return refused
		}
		a.say("left out: %s", strings.TrimPrefix(problem.Text(refused), "the experiment cannot be run: "))
	}
	if _, err := control.ParseExperiment(r.YAML, promapi.CheckQuery); err != nil {
		return problem.Wrap(err, problem.Internal, "import.fis", "the experiment that was made")
	}
	if f.out != "-" {
		if _, err := os.Lstat(f.out); !f.force && !errors.Is(err, fs.ErrNotExist) {
			return problem.New(problem.Conflict, "import.fis", "%s is there already", f.out).WithHelp("choose another file with --out, or --force")
		}
		if err := os.WriteFile(f.out, r.YAML, 0o644); err != nil {
			return problem.Wrap(err, problem.Invalid, "import.fis", "writing %s", f.out)
		}
	}
	return a.print(struct {
		importer.FISResult
		Experiment string `json:"experiment"`
	}{r, string(r.YAML)}, func() []string { return []string{f.out} }, func(w io.Writer) {
		if f.out == "-" {
			fmt.Fprint(w, string(r.YAML))
			return
		}
		fmt.Fprintf(w, "%s: showrunner chaos experiment run %s\n", f.out, f.out)
	})
}
