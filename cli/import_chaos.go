package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/importer"
	"showrunner/pipeline"
	"showrunner/problem"
)

type chaosImportFlags struct {
	out, into, application string
	force                  bool
}

func newChaosImportCommand(a *app) *cobra.Command {
	var f chaosImportFlags
	cmd := &cobra.Command{
		Use: "chaosmonkey FILE…", Short: "Import Chaos Monkey's own settings as chaos blocks of pipeline files",
		Long: `Reads the settings of applications (what Spinnaker's GET /applications/NAME answers,
or a list of such) and chaosmonkey.toml, and writes the chaos block of each application:
into its pipeline file with --into, else beside it as NAME.chaos.yaml, to be put there.
Without chaosmonkey.toml the hours and the zone are its defaults.

Each setting is accounted for on stderr, as for the other imports.`,
		Example: "  showrunner import chaosmonkey storefront.json chaosmonkey.toml --into showrunner.yaml\n  showrunner import chaosmonkey applications.json --out -",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("FILE is missing").WithHelp("usage: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.importChaosMonkey(args, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", ".", "folder for NAME.chaos.yaml; - prints the blocks instead")
	flags.StringVar(&f.into, "into", "", "a pipeline file that gets the block")
	flags.StringVar(&f.application, "application", "", "name of the application (default: from the document)")
	flags.BoolVar(&f.force, "force", false, "overwrite files that are there")
	exclusive(cmd, "out", "into")
	return cmd
}

// chaosImportResult is what -o json prints.
type chaosImportResult struct {
	importer.ChaosResult
	Files []string `json:"files"` // written
}

func (a *app) importChaosMonkey(names []string, f chaosImportFlags) error {
	var files []importer.ChaosFile
	for _, name := range names {
		src, shown, err := a.readDocument(name)
		if err != nil {
			return err
		}
		files = append(files, importer.ChaosFile{Name: shown, Src: src})
	}
	r, found, err := importer.ChaosMonkey(files, f.application)
	if found.HasErrors() {
		return &findingsError{found}
	}
	if err != nil {
		return err
	}
	written := []string{}
	switch {
	case f.into != "":
		if err := insertBlock(f.into, r.Blocks); err != nil {
			return err
		}
		written = append(written, f.into)
	case f.out != "-":
		if written, err = writeBlocks(f.out, f.force, r.Blocks); err != nil {
			return err
		}
	}
	if a.output != "table" && a.output != "wide" {
		return a.print(chaosImportResult{r, written}, func() []string { return written }, nil)
	}
	if f.out == "-" && f.into == "" {
		for i, b := range r.Blocks {
			if i > 0 {
				b.YAML = append([]byte("---\n"), b.YAML...)
			}
			if _, err := a.Out.Write(b.YAML); err != nil {
				return err
			}
		}
	}
	if text := r.Diagnostics.Text(); text != "" {
		a.say("%s", strings.TrimSuffix(text, "\n"))
	}
	a.accountOfSettings(r, written)
	return nil
}

// accountOfSettings says what became of each setting, as accountOfImport does.
func (a *app) accountOfSettings(r importer.ChaosResult, written []string) {
	for _, path := range written {
		a.say("wrote %s", path)
	}
	count := map[importer.Severity]int{}
	for _, n := range r.NotCarried {
		count[n.Severity]++
	}
	a.say("\n%s carried over, %d adapted, %d left out, %d without meaning here", parts(len(r.Carried)), count[importer.Warning], count[importer.Error], count[importer.Info])
	shown := importer.Result{NotCarried: r.NotCarried}
	a.notesOfImport(shown, importer.Error, "left out: less is ended, or more, than the original did")
	a.notesOfImport(shown, importer.Warning, "adapted: it may behave differently; look at each")
	if a.verbose {
		a.notesOfImport(shown, importer.Info, "without meaning here: nothing is lost")
	}
	a.say("\nnext:")
	for _, path := range written {
		a.say("  showrunner chaos monkey simulate --config %s", clean(path))
	}
	if len(written) == 0 || strings.HasSuffix(written[0], ".chaos.yaml") {
		a.say("  put each block chaos into the pipeline file of its application; --into FILE does so")
	} else {
		a.say("  showrunner apply -f %s", clean(written[0]))
	}
}

func blockHead(application string) []byte {
	return []byte("# Imported by `showrunner import chaosmonkey`: the block belongs into the pipeline file of " + application + ".\n")
}

// writeBlocks writes a file for each application, all or none.
func writeBlocks(dir string, force bool, blocks []importer.ChaosBlock) ([]string, error) {
	var paths []string
	for _, b := range blocks {
		name := regexp.MustCompile(`[^A-Za-z0-9._-]`).ReplaceAllString(b.Application, "_")
		path := filepath.Join(dir, strings.TrimLeft(name, ".")+".chaos.yaml")
		if _, err := os.Lstat(path); err == nil && !force {
			return nil, problem.New(problem.Conflict, "import", "%s is there already", path).WithHelp("name another folder with --out, or overwrite with --force")
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, usage("%v", err)
		}
		paths = append(paths, path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage("%v", err)
	}
	for i, b := range blocks {
		if err := os.WriteFile(paths[i], append(blockHead(b.Application), b.YAML...), 0o644); err != nil {
			return nil, usage("%v", err)
		}
	}
	return paths, nil
}

var applicationLine = regexp.MustCompile(`(?m)^application:.*\n?`)

// insertBlock puts the block of the file's application behind the line that names
// it, and leaves the rest of the file as it is.
func insertBlock(path string, blocks []importer.ChaosBlock) error {
	src, err := os.ReadFile(path)
	if err != nil {
		return usage("%v", err)
	}
	doc, found := pipeline.Parse(path, src)
	if found.HasErrors() {
		return &findingsError{found}
	}
	if doc.Chaos != nil {
		return problem.New(problem.Conflict, "import", "%s has a chaos block already", path).WithHelp("remove it first, or print the new one with --out -")
	}
	for _, b := range blocks {
		if b.Application != doc.Application {
			continue
		}
		_, block, _ := bytes.Cut(b.YAML, []byte("\n"))
		at := applicationLine.FindIndex(src)
		if at == nil {
			return usage("%s has no line `application:` of its own", path).WithHelp("print the block with --out -, and put it into the file")
		}
		head := src[:at[1]]
		if !bytes.HasSuffix(head, []byte("\n")) {
			head = append(bytes.Clone(head), '\n')
		}
		out := append(append(bytes.Clone(head), block...), src[at[1]:]...)
		if doc, found := pipeline.Parse(path, out); found.HasErrors() || doc.Chaos == nil {
			return problem.New(problem.Internal, "import", "%s would not be valid with the block", path).WithHelp("print the block with --out -, and put it into the file")
		}
		return os.WriteFile(path, out, 0o644)
	}
	var names []string
	for _, b := range blocks {
		names = append(names, b.Application)
	}
	return problem.New(problem.Invalid, "import", "%s is the file of application %s, and the documents have %s", path, doc.Application, strings.Join(names, ", ")).
		WithHelp("give the settings of that application, or name it with --application")
}
