package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/importer"
	"showrunner/problem"
)

// newImportCommand writes pipeline files from other systems' documents.
func newImportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Write a pipeline file from CodePipeline, CDK or Spinnaker",
		Long: `Reads a document of another system and writes the equivalent showrunner.yaml,
with copies of its inline buildspecs beside it. What cannot be carried over is
listed with its path in the document.`,
	}
	cmd.AddCommand(
		newImporterCommand(a, "cdk", "a CloudFormation template, such as `cdk synth` writes (JSON or YAML)", importer.CDK),
		newImporterCommand(a, "codepipeline", "what `aws codepipeline get-pipeline` prints", importer.CodePipeline),
		newImporterCommand(a, "spinnaker", "a Spinnaker pipeline's JSON, or a list of them", importer.Spinnaker),
	)
	return cmd
}

type importFlags struct {
	out, application                 string
	force                            bool
	parameters, overrides, projectAt []string
}

func newImporterCommand(a *app, kind, what string, run func([]byte, importer.Options) (importer.Result, error)) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   kind + " FILE",
		Short: "Import " + what,
		Example: "  showrunner import " + kind + " document.json\n" +
			"  showrunner import " + kind + " document.json --out imported -o json",
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importDocument(cmd, args[0], f, run)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", ".", "folder for showrunner.yaml and buildspecs/; - prints the YAML instead")
	flags.StringVar(&f.application, "application", "", "name of the application (default: from the document)")
	flags.BoolVar(&f.force, "force", false, "overwrite files that are there")
	if kind != "spinnaker" {
		flags.StringArrayVar(&f.overrides, "source-override", nil, "NAME=URL: another Git URL for a source, by action, stage or owner/repo")
		flags.StringArrayVar(&f.projectAt, "project", nil, "NAME=FILE: a CodeBuild project as `aws codebuild batch-get-projects` prints it")
	}
	if kind == "cdk" {
		flags.StringArrayVar(&f.parameters, "parameter", nil, "NAME=VALUE: a parameter of the template, or a pseudo parameter such as AWS::Region")
	}
	return cmd
}

func (a *app) importDocument(cmd *cobra.Command, file string, f importFlags, run func([]byte, importer.Options) (importer.Result, error)) error {
	src, name, err := a.readDocument(file)
	if err != nil {
		return err
	}
	opts := importer.Options{File: name, Application: f.application}
	if opts.Parameters, err = pairs("--parameter", f.parameters); err != nil {
		return err
	}
	if opts.SourceOverrides, err = pairs("--source-override", f.overrides); err != nil {
		return err
	}
	for name, url := range opts.SourceOverrides {
		// A folder is meant from here, not from where the file will lie.
		if _, err := os.Stat(url); err == nil {
			if opts.SourceOverrides[name], err = filepath.Abs(url); err != nil {
				return usage("--source-override %s: %v", name, err)
			}
		}
	}
	projects, err := pairs("--project", f.projectAt)
	if err != nil {
		return err
	}
	for project, path := range projects {
		raw, err := os.ReadFile(path)
		if err != nil {
			return usage("--project %s: %v", project, err)
		}
		if opts.Projects == nil {
			opts.Projects = map[string][]byte{}
		}
		opts.Projects[project] = raw
	}
	r, err := run(src, opts)
	if err != nil {
		return err
	}
	var written []string
	if f.out != "-" {
		if written, err = writeImport(f.out, f.force, r); err != nil {
			return err
		}
	}
	return a.sayImport(r, f.out, written)
}

func (a *app) readDocument(file string) (src []byte, name string, err error) {
	if file == "-" {
		src, err = io.ReadAll(a.In)
		name = "stdin"
	} else {
		src, err = os.ReadFile(file)
		name = file
	}
	if err != nil {
		return nil, "", usage("%v", err)
	}
	return src, name, nil
}

// pairs reads NAME=VALUE flags.
func pairs(flag string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, p := range list {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usage("%s %q is not NAME=VALUE", flag, p)
		}
		out[name] = value
	}
	return out, nil
}

// writeImport writes all files or none: it looks before it writes.
func writeImport(dir string, force bool, r importer.Result) ([]string, error) {
	contents := map[string][]byte{filepath.Join(dir, "showrunner.yaml"): r.YAML}
	for name, content := range r.Files {
		contents[filepath.Join(dir, filepath.FromSlash(name))] = content
	}
	var paths []string
	for path := range contents {
		paths = append(paths, path)
		if _, err := os.Lstat(path); err == nil && !force {
			return nil, problem.New(problem.Conflict, "import", "%s is there already", path).
				WithHelp("name another folder with --out, or overwrite with --force")
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, usage("%v", err)
		}
	}
	sort.Strings(paths)
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, usage("%v", err)
		}
		if err := os.WriteFile(path, contents[path], 0o644); err != nil {
			return nil, usage("%v", err)
		}
	}
	return paths, nil
}

// importResult is what -o json prints.
type importResult struct {
	importer.Result
	Files []string `json:"files"`          // written
	YAML  string   `json:"yaml,omitempty"` // with --out -
}

// sayImport prints the result to stdout (as asked by -o) and the account of
// what was carried over to stderr.
func (a *app) sayImport(r importer.Result, out string, written []string) error {
	if a.output == "table" || a.output == "wide" {
		if out == "-" {
			if _, err := a.Out.Write(r.YAML); err != nil {
				return err
			}
		}
		a.accountOfImport(r, out, written)
		return nil
	}
	result := importResult{Result: r, Files: written}
	if out == "-" {
		result.YAML = string(r.YAML)
	}
	return a.print(result, func() []string { return written }, nil)
}

func (a *app) accountOfImport(r importer.Result, out string, written []string) {
	for _, path := range written {
		a.say("wrote %s", path)
	}
	a.say("\ncarried over:")
	for _, c := range r.Carried {
		a.say("  %s/%s  %s  from %s", clean(c.Pipeline), clean(c.Stage), c.Kind, clean(c.What))
	}
	info := 0
	for i, n := range r.NotCarried {
		if n.Severity == importer.Info && !a.verbose {
			info++
			continue
		}
		if i == 0 {
			a.say("\nnot carried over:")
		}
		a.say("  %-7s %s\n          %s: %s", n.Severity, clean(n.Path), clean(n.What), clean(n.Why))
	}
	if info > 0 {
		a.say("\n%d parts have no meaning here and nothing is lost with them; -v or -o json lists them", info)
	}
	if len(r.Outputs) > 0 {
		a.say("\noutputs, after a run:")
		for _, o := range r.Outputs {
			a.say("  %s = %s", clean(o.Name), clean(o.Value))
		}
	}
	a.say("\nnext:")
	for _, s := range r.Secrets {
		a.say("  showrunner secret set %s   # %s", clean(s.Name), clean(s.Source))
	}
	if out == "-" {
		return
	}
	file := filepath.Join(out, "showrunner.yaml")
	a.say("  showrunner apply -f %s", file)
	for _, p := range r.Document.Pipelines {
		params := ""
		for _, q := range p.Parameters {
			if q.Required {
				params += fmt.Sprintf(" --param %s=VALUE", q.Name)
			}
		}
		a.say("  showrunner run %s/%s%s --watch", clean(r.Document.Application), clean(p.Name), params)
	}
}
