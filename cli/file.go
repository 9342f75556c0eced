package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/pipeline"
)

// readFile reads a file named on the command line; "-" is standard input. It
// gives up with ctx: a pipe that nobody writes to has no end.
func (a *app) readFile(ctx context.Context, name string) ([]byte, error) {
	type result struct {
		src []byte
		err error
	}
	read := make(chan result, 1)
	go func() {
		src, err := a.readAll(name)
		read <- result{src, err}
	}()
	select {
	case r := <-read:
		return r.src, r.err
	case <-ctx.Done():
		return nil, usage("%s: interrupted while reading", name)
	}
}

func (a *app) readAll(name string) ([]byte, error) {
	// One byte more than is allowed is enough to refuse the rest.
	const most = pipeline.MaxFileSize + 1
	if name == "-" {
		src, err := io.ReadAll(io.LimitReader(a.In, most))
		if err != nil {
			return nil, usage("standard input: %v", err)
		}
		return src, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("%v", err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, usage("%v", err)
	}
	return src, nil
}

func newValidateCommand(a *app) *cobra.Command {
	var flagged []string
	cmd := &cobra.Command{
		Use:   "validate [FILE…]",
		Short: "Check pipeline files, all errors in one pass",
		Long: `Validate checks pipeline files without a server: every error with its line and
column, and what was probably meant. Where a control plane answers, the regions that
are named have to be regions of it. A folder stands for the showrunner.yaml in
it, "-" for standard input; without any file, it is the one in this folder.

Exit code 0 when every file is valid, 2 when one is not.`,
		Example: "  showrunner validate showrunner.yaml\n  showrunner validate -o json pipelines/*.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			return a.validate(c.Context(), pipelineFiles(append(flagged, args...)))
		},
	}
	cmd.Flags().StringArrayVarP(&flagged, "file", "f", nil, "a pipeline file, as for apply; may be repeated")
	return cmd
}

// pipelineFiles are the pipeline files that arguments name: a folder stands for
// the showrunner.yaml in it, nothing for this folder.
func pipelineFiles(args []string) []string {
	if len(args) == 0 {
		args = []string{"."}
	}
	files := make([]string, len(args))
	for i, name := range args {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			name = filepath.Join(name, "showrunner.yaml")
		}
		files[i] = name
	}
	return files
}

// fileFindings is what validate says of one file.
type fileFindings struct {
	File        string               `json:"file"`
	Valid       bool                 `json:"valid"`
	Diagnostics pipeline.Diagnostics `json:"diagnostics"`
}

// surroundings are those of the control plane that answers here; when none answers
// soon, the language alone is checked.
func (a *app) surroundings(ctx context.Context) pipeline.Surroundings {
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	var list []control.RegionStatus
	if err := a.connect().Do(ctx, http.MethodGet, "/regions", nil, &list); err != nil {
		list = nil
	}
	around := control.Surroundings(list)
	around.Unreachable = pipeline.SeverityWarning // the file may be checked where its repository is not
	return around
}

// folderOf is the folder that relative paths in a pipeline file are relative to: the one
// it is in, or the working folder for standard input.
func folderOf(file string) string {
	base := "."
	if file != "-" {
		base = filepath.Dir(file)
	}
	if abs, err := filepath.Abs(base); err == nil {
		return abs
	}
	return base // this folder is gone; what is relative to it is refused
}

func (a *app) validate(ctx context.Context, files []string) error {
	var all []fileFindings
	around := a.surroundings(ctx)
	invalid := 0
	for _, name := range files {
		var found pipeline.Diagnostics
		if src, err := a.readFile(ctx, name); err != nil {
			// The other files are checked nevertheless: all errors in one pass.
			found = pipeline.Diagnostics{{Severity: pipeline.SeverityError, Code: pipeline.CodeUnreadable, File: name, Length: 1, Message: err.Error()}}
		} else {
			around.Repository = control.Repository(folderOf(name))
			_, found = pipeline.ParseFor(around, name, src)
		}
		f := fileFindings{File: name, Valid: !found.HasErrors(), Diagnostics: append(pipeline.Diagnostics{}, found...)}
		all = append(all, f)
		if !f.Valid {
			invalid++
		}
	}
	if a.output == "table" || a.output == "wide" {
		for _, f := range all {
			a.findings(f.Diagnostics)
			if f.Valid {
				fmt.Fprintf(a.Out, "%s: valid\n", clean(f.File))
			}
		}
	} else if err := a.print(all, func() []string { return files }, nil); err != nil {
		return err
	}
	if invalid > 0 {
		return exitError{exitUsage}
	}
	return nil
}

// findings prints diagnostics for people, on stderr.
func (a *app) findings(ds pipeline.Diagnostics) {
	if len(ds) > 0 {
		_ = ds.WriteText(a.Err) // stderr is gone when this fails
	}
}

func newSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of pipeline files",
		Long: `Schema prints the JSON Schema that editors use for completion and hover. Put this
line at the top of a file:

  # yaml-language-server: $schema=./showrunner.schema.json`,
		Example: "  showrunner schema > showrunner.schema.json",
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			schema, err := pipeline.Schema()
			if err != nil {
				return err
			}
			_, err = a.Out.Write(append(schema, '\n'))
			return err
		},
	}
}

// splitPipeline reads APP/PIPELINE.
func splitPipeline(arg string) (application, name string, err error) {
	application, name, ok := strings.Cut(arg, "/")
	if !ok || application == "" || name == "" {
		return "", "", usage("%q is not APPLICATION/PIPELINE", arg).WithHelp("such as storefront/release; `showrunner applications` lists them")
	}
	return application, name, nil
}

func newPlanCommand(a *app) *cobra.Command {
	var params []string
	cmd := &cobra.Command{
		Use:   "plan APP/PIPELINE",
		Short: "Say what a run would do and change, without doing it",
		Args:  exactArgs("APP/PIPELINE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			application, name, err := splitPipeline(args[0])
			if err != nil {
				return err
			}
			parameters, err := pairs("--param", params)
			if err != nil {
				return err
			}
			var out control.Preview
			err = a.connect().Do(cmd.Context(), http.MethodPost, "/applications/"+seg(application)+"/pipelines/"+seg(name)+"/plan", control.RunRequest{Parameters: parameters}, &out)
			if err != nil {
				return err
			}
			return a.print(out, func() []string { return []string{args[0]} }, func(w io.Writer) { planText(w, out) })
		},
	}
	cmd.Flags().StringArrayVar(&params, "param", nil, "parameter, NAME=VALUE; may be repeated")
	return cmd
}

func planText(w io.Writer, p control.Preview) {
	for _, number := range p.UnderWay {
		fmt.Fprintf(w, "▲ a run of it is under way: %s/%s#%d\n", p.Application, p.Pipeline, number)
	}
	fmt.Fprintf(w, "%s/%s would run:\n", p.Application, p.Pipeline)
	for _, st := range p.Stages {
		line := fmt.Sprintf("  %s (%s)", st.Name, st.Kind)
		if len(st.Needs) > 0 {
			line += " after " + strings.Join(st.Needs, ", ")
		}
		if st.When != "" {
			line += ", when " + st.When
		}
		fmt.Fprintln(w, clean(line))
		changesText(w, "    ", st)
	}
}

// changesText says what a stage would change, a line each.
func changesText(w io.Writer, indent string, st control.PreviewStage) {
	for _, c := range st.Changes {
		fmt.Fprintln(w, indent+"+ "+clean(c))
	}
	if st.Held != "" {
		fmt.Fprintln(w, indent+"‖ held now: "+clean(st.Held))
	}
	if st.Refused != "" {
		fmt.Fprintln(w, indent+"✕ would be refused: "+clean(st.Refused))
	}
	if st.Unknown != "" {
		fmt.Fprintln(w, indent+"? "+clean(st.Unknown))
	}
}

func newApplicationsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "applications",
		Short: "List applications and their pipelines",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out []control.Application
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/applications", nil, &out); err != nil {
				return err
			}
			names := func() []string {
				var list []string
				for _, app := range out {
					list = append(list, app.Name)
				}
				return list
			}
			return a.print(out, names, func(w io.Writer) {
				row(w, "APPLICATION", "PIPELINES", "VERSION", "UPDATED")
				for _, app := range out {
					var list []string
					for _, p := range app.Pipelines {
						list = append(list, p.Name)
					}
					row(w, app.Name, strings.Join(list, ","), app.Version, ago(app.Updated))
				}
			})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "delete APP", Short: "Forget an application's pipelines; what they deployed stays", Args: exactArgs("APP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.connect().Do(cmd.Context(), http.MethodDelete, "/applications/"+seg(args[0]), nil, nil); err != nil {
				return err
			}
			a.say("%s deleted", args[0])
			return nil
		},
	})
	return cmd
}
