package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
		Short: "Write a file from CodePipeline, CloudFormation, Terraform, Spinnaker, Chaos Monkey or AWS FIS",
		Long: `Reads a document of another system and writes the equivalent showrunner.yaml,
with copies of its inline buildspecs beside it. The file is valid as it is
written: what the original has and Showrunner has not is left out of it.

Every member of the document is accounted for, with its path in the document:
  carried over   in the file; the summary says where
  adapted        in the file, and may behave differently (warning)
  left out       not in the file; the pipeline does less (error)
  without meaning here, such as roles and encryption keys (info; with -v)

The summary goes to stderr, and as comments to the head of the file. With
-o json it is the result, for programs: carried, notCarried, secrets, outputs.

Terraform's own language (HCL) is not read; give its JSON: see
` + "`showrunner import terraform --help`" + `.`,
		Example: "  showrunner import cdk cdk.out/Stack.template.json --out imported\n" +
			"  aws codepipeline get-pipeline --name web | showrunner import codepipeline - --out imported\n" +
			"  showrunner import spinnaker pipeline.json --out - -o json",
	}
	cmd.AddCommand(
		newImporterCommand(a, "cdk", "a CloudFormation template, such as `cdk synth` writes (JSON or YAML)", importer.CDK),
		newImporterCommand(a, "codepipeline", "what `aws codepipeline get-pipeline` prints", importer.CodePipeline),
		newImporterCommand(a, "terraform", "what `terraform show -json` prints of a state or a plan", importer.Terraform),
		newImporterCommand(a, "spinnaker", "a Spinnaker pipeline's JSON, or a list of them", importer.Spinnaker),
		newChaosImportCommand(a),
		newFISImportCommand(a),
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
	wrong := []error{err}
	opts := importer.Options{File: name, Application: f.application}
	opts.Parameters, err = pairs("--parameter", f.parameters)
	wrong = append(wrong, err)
	opts.SourceOverrides, err = pairs("--source-override", f.overrides)
	wrong = append(wrong, err)
	for name, url := range opts.SourceOverrides {
		// A folder is meant from here, not from where the file will lie.
		if _, err := os.Stat(url); err == nil {
			if opts.SourceOverrides[name], err = filepath.Abs(url); err != nil {
				wrong = append(wrong, usage("--source-override %s: %v", name, err))
			}
		}
	}
	opts.Projects, err = readProjectFiles(f.projectAt)
	if err := problem.Together(append(wrong, err)...); err != nil {
		return err
	}
	r, err := run(src, opts)
	if err != nil {
		return err
	}
	written := []string{}
	if f.out != "-" {
		if written, err = writeImport(f.out, f.force, r); err != nil {
			return err
		}
	}
	return a.sayImport(r, f.out, written)
}

// readProjectFiles reads NAME=FILE flags; the error names every file that cannot be read.
func readProjectFiles(flags []string) (map[string][]byte, error) {
	files, err := pairs("--project", flags)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	var wrong []error
	for _, project := range slices.Sorted(maps.Keys(files)) {
		raw, err := os.ReadFile(files[project])
		if err != nil {
			wrong = append(wrong, usage("--project %s: %v", project, err))
			continue
		}
		out[project] = raw
	}
	return out, problem.Together(wrong...)
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

// accountOfImport says on stderr what became of the document: what was carried
// over, what was adapted, what was left out, and what to do next.
func (a *app) accountOfImport(r importer.Result, out string, written []string) {
	for _, path := range written {
		a.say("wrote %s", path)
	}
	count := map[importer.Severity]int{}
	for _, n := range r.NotCarried {
		count[n.Severity]++
	}
	a.say("\n%s carried over, %d adapted, %d left out, %d without meaning here", parts(len(r.Carried)), count[importer.Warning], count[importer.Error], count[importer.Info])
	if len(r.Carried) > 0 {
		a.say("\ncarried over:")
	}
	for _, c := range r.Carried {
		a.say("  %s/%s  %s  from %s", clean(c.Pipeline), clean(cmp.Or(c.Stage, c.To)), c.Kind, clean(c.What))
	}
	a.notesOfImport(r, importer.Error, "left out: the pipeline does less than the original did")
	a.notesOfImport(r, importer.Warning, "adapted: it may behave differently; look at each")
	if a.verbose {
		a.notesOfImport(r, importer.Info, "without meaning here: nothing is lost")
	} else if n := count[importer.Info]; n > 0 {
		a.say("\n%s without meaning here, with which nothing is lost; -v or -o json lists them", parts(n))
	}
	if len(r.Outputs) > 0 {
		a.say("\noutputs, after a run:")
		for _, o := range r.Outputs {
			a.say("  %s = %s", clean(o.Name), clean(o.Value))
		}
	}
	a.nextAfterImport(r, out)
}

func parts(n int) string {
	if n == 1 {
		return "1 part"
	}
	return fmt.Sprintf("%d parts", n)
}

// notesOfImport lists the notes of one severity under a title.
func (a *app) notesOfImport(r importer.Result, severity importer.Severity, title string) {
	for _, n := range r.NotCarried {
		if n.Severity != severity {
			continue
		}
		if title != "" {
			a.say("\n%s", title)
			title = ""
		}
		a.say("  %-7s %s\n          %s: %s", n.Severity, clean(n.Path), clean(n.What), clean(n.Why))
	}
}

// nextAfterImport says which commands come next.
func (a *app) nextAfterImport(r importer.Result, out string) {
	if out == "-" && len(r.Secrets) == 0 {
		return
	}
	a.say("\nnext:")
	for _, s := range r.Secrets {
		a.say("  showrunner secret set %s   # %s", clean(s.Name), clean(s.Source))
	}
	if out == "-" {
		return
	}
	a.say("  showrunner apply -f %s", filepath.Join(out, "showrunner.yaml"))
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
