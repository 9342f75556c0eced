package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/problem"
	"showrunner/starter"
)

func newInitCommand(a *app) *cobra.Command {
	var force bool
	var o starter.Options
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a first pipeline file for the project in a folder",
		Long: `Init looks at what is in a folder and writes a showrunner.yaml that delivers it:

  package.json     a Node service, or a website that its build script makes
  go.mod           a Go service
  index.html       a website, here or in public/, site/, www/, dist/ or docs/
  Dockerfile       is not used: instances are programs, not containers; init says what works

It says what it found and what it took for granted, and never replaces a
pipeline file without --force.`,
		Example: "  showrunner init\n  showrunner init ../shop --name shop --regions us-west-2,eu-west-1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.init(cmd.Context(), dir, o, force)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "replace the pipeline file that is there")
	f.StringVar(&o.Name, "name", "", "the application's name (default: what the project calls itself)")
	f.StringSliceVar(&o.Regions, "regions", slices.Clone(defaultRegions), "regions, the one that gets each version first before the others")
	return cmd
}

// repository is what init has to know of the folder's Git repository.
type repository struct {
	top     bool // the folder is its top
	there   bool
	commits bool
	branch  string
}

func (a *app) init(ctx context.Context, dir string, o starter.Options, force bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return usage("%v", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("%s is no folder", dir)
	}
	file := filepath.Join(dir, starter.FileName)
	if _, err := os.Stat(file); err == nil && !force {
		return problem.New(problem.Conflict, "init", "%s is there already", file).WithHelp("showrunner validate checks it; --force replaces it")
	}
	repo := inspectRepository(ctx, dir)
	if repo.there && !repo.top {
		return problem.New(problem.Precondition, "init", "%s is a folder within a repository: a source stage fetches whole repositories", dir).
			WithHelp("run init in the repository's top folder, or write the file by hand with `git: { url: .. }` and commands that begin with cd")
	}
	o.Folder, o.Branch = filepath.Base(dir), repo.branch
	s, err := starter.Inspect(os.DirFS(dir), o)
	if err != nil {
		return err
	}
	if err := writeFile(file, s.Source, force); err != nil {
		return err
	}
	return a.print(s, func() []string { return []string{s.Application} }, func(w io.Writer) { initText(w, dir, a.dataFlag(), a.runningEdge(ctx), s, repo) })
}

// writeFile does not replace a file that has come meanwhile, unless it may.
func writeFile(path, content string, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return problem.New(problem.Conflict, "init", "%s is there already", path).WithHelp("--force replaces it")
	}
	if err != nil {
		return usage("%v", err)
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

func inspectRepository(ctx context.Context, dir string) repository {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	r := repository{branch: "main"}
	prefix, err := git("rev-parse", "--show-prefix")
	if err != nil {
		return r
	}
	r.there, r.top = true, prefix == ""
	if branch, err := git("symbolic-ref", "--short", "HEAD"); err == nil && branch != "" {
		r.branch = branch
	}
	_, err = git("rev-parse", "--verify", "--quiet", "HEAD")
	r.commits = err == nil
	return r
}

// runningEdge is the address of visitors, host:port, of the control plane that
// runs on the data folder; "" where none answers.
func (a *app) runningEdge(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var v api.Version
	if err := a.connect().Do(ctx, http.MethodGet, "/version", nil, &v); err != nil {
		return ""
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(v.Edge, "http://"))
	if err != nil {
		return ""
	}
	return "localhost:" + port
}

// initText writes the next steps; edge is where visitors come in, "" where
// nothing runs yet.
func initText(w io.Writer, dir, flag, edge string, s starter.Start, repo repository) {
	fmt.Fprintf(w, "Found a %s: %s.\n", s.Kind, clean(strings.Join(s.Found, "; ")))
	fmt.Fprintf(w, "Wrote %s, application %s.\n", filepath.Join(dir, starter.FileName), s.Application)
	for _, n := range s.Notes {
		fmt.Fprintf(w, "  ▲ %s\n", clean(n))
	}
	fmt.Fprint(w, "\nNext")
	if wd, err := os.Getwd(); err == nil && wd != dir {
		fmt.Fprintf(w, ", in %s", dir)
	}
	fmt.Fprintln(w, ":")
	switch {
	case !repo.there:
		fmt.Fprintf(w, "  git init -b %s && git add -A && git commit -m \"First version\"   # what is committed is delivered\n", repo.branch)
	case !repo.commits:
		fmt.Fprintln(w, "  git add -A && git commit -m \"First version\"   # what is committed is delivered")
	default:
		fmt.Fprintf(w, "  git add %s && git commit -m \"Add the pipeline\"\n", starter.FileName)
	}
	address := edge
	if edge == "" {
		address = "localhost:8080"
		fmt.Fprintf(w, "  showrunner%s up                         # in a terminal of its own\n", flag)
	}
	fmt.Fprintf(w, `  showrunner%[5]s apply -f %[1]s
  showrunner%[5]s run %[2]s/release --watch
Then look at http://%[3]s.%[6]s/ . Each further commit on %[4]s is delivered by itself:
  showrunner%[5]s executions watch '%[2]s/release#2'

`, starter.FileName, s.Application, s.Host, repo.branch, flag, address)
	if edge == "" {
		fmt.Fprintln(w, "8080 is the edge's port, where visitors come in; showrunner up --edge 127.0.0.1:9000 takes another.")
	}
	if s.Service {
		fmt.Fprintln(w, "Nobody chooses the ports of instances: each is told the HOST and PORT to listen on (docs/service.md).")
	}
}
