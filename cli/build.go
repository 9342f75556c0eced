package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/build/buildspec"
	"showrunner/build/report"
	"showrunner/problem"
)

// buildFlags are the flags of the build command.
type buildFlags struct {
	spec      string
	artifacts string
	env       []string
	timeout   time.Duration
	image     string
}

func newBuildCommand(a *app) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build [flags] DIR",
		Short: "Run a buildspec here, as a pipeline would",
		Long: `Runs the buildspec of a folder outside any pipeline, on a copy: the folder
itself does not change. The log goes to stderr, the artifacts into --artifacts
(secondary ones into a folder of their identifier, or of the identifier and a
number where another artifact holds that name), the result to stdout.

Exit code 0: succeeded, 1: failed, 2: the buildspec or the command line is wrong.`,
		Example: `  showrunner build .
  showrunner build --artifacts out --env STAGE=test -o json site`,
		Args: exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.build(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.spec, "spec", "", "buildspec (default: buildspec.yml in DIR)")
	cmd.Flags().StringVar(&f.artifacts, "artifacts", "", "folder to lay the artifacts into")
	cmd.Flags().StringArrayVar(&f.env, "env", nil, "variable NAME=VALUE, which beats the buildspec's; may be repeated")
	cmd.Flags().DurationVar(&f.timeout, "timeout", buildspec.DefaultTimeout, "how long the build may take")
	cmd.Flags().StringVar(&f.image, "image", "", "run the commands in a container of this image")
	return cmd
}

// newBuildSupervisorCommand makes the process that keeps one build alive while
// the control plane comes and goes.
func newBuildSupervisorCommand(_ *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "build-supervisor", Short: "Keep one build alive", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return build.Supervise(cmd.Context(), dir) },
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder of the build")
	return cmd
}

// newBuildGuardCommand makes the process that cleans up when build is killed.
func newBuildGuardCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "build-guard DIR MARK", Short: "Clean up after a build that was killed", Args: cobra.ExactArgs(2),
		Run: func(_ *cobra.Command, args []string) {
			signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			build.Stand(a.In, args[0], args[1])
		},
	}
}

func startGuard(host *build.Host) (*build.Guard, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "build.guard", "this program's path")
	}
	return build.StartGuard([]string{self, "build-guard"}, host)
}

func (a *app) build(ctx context.Context, dir string, f buildFlags) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return usage("%v", err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usage("%s is no folder", dir)
	}
	name, text, err := readSpec(dir, f.spec)
	if err != nil {
		return err
	}
	spec, err := buildspec.Parse(name, text)
	if err != nil {
		return a.specError(err)
	}
	env, err := variables(f.env)
	if err != nil {
		return err
	}
	if err := secretsGiven(name, build.SecretNames(spec, env)); err != nil {
		return err
	}
	work, err := workFolder(spec)
	if err != nil {
		return err
	}
	defer build.RemoveAll(work) //nolint:errcheck // a temporary folder
	host := a.buildHost(dir, work, f.artifacts)
	remote := build.ReadRemote(ctx, dir)
	host.Mask = remote.Credentials
	if guard, err := startGuard(&host); err == nil {
		defer guard.Dismiss()
	} else {
		a.say("warning: %v; what the build starts outlives this command if that is killed", err)
	}
	project := projectName(dir)
	result := build.Run(ctx, build.Request{
		ID: build.NewID(project), Number: 1, Project: project, Initiator: cmp.Or(a.Getenv("USER"), "showrunner"),
		SpecName: name, Spec: string(text), Env: env, Inherit: build.OwnEnvironment(os.Environ()),
		Origin: build.Origin{ResolvedVersion: build.ResolvedVersion(dir), SourceVersion: build.ResolvedVersion(dir), RepositoryURL: remote.URL},
		Image:  f.image, Timeout: f.timeout,
	}, host)
	if err := a.print(buildView(result), func() []string { return []string{result.ID} }, func(w io.Writer) { buildTable(w, result) }); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return exitError{exitInterrupted}
	}
	if result.Status != build.Succeeded {
		if h := result.Failure; h != nil && h.Help != "" {
			a.say("help: %s", h.Help)
		}
		return exitError{exitFailed}
	}
	return nil
}

func (a *app) buildHost(dir, work, out string) build.Host {
	host := build.Host{
		Dir: work, Log: a.Err, Exclusive: true,
		Prepare: func(ctx context.Context, to string, _ map[string]string) error {
			skip := []string{work}
			if abs, err := filepath.Abs(out); err == nil && out != "" && abs != dir {
				skip = append(skip, abs) // what an earlier build laid out is no source
			}
			return build.CopyTree(ctx, dir, to, skip...)
		},
	}
	if out != "" {
		host.Deliver = deliverTo(out, a.say)
	}
	return host
}

// deliverTo lays the artifacts of a build into a folder: the primary one into the
// folder itself, a secondary one into a folder of its identifier. Where another
// artifact of the build holds a file or folder of that name, the identifier gets
// a number, so that no artifact overwrites another.
func deliverTo(out string, say func(string, ...any)) func(context.Context, string, []artifact.File) (build.Delivery, error) {
	taken := map[string]bool{} // names directly below out, as file systems that ignore case see them
	return func(ctx context.Context, id string, files []artifact.File) (build.Delivery, error) {
		name := id
		for n := 2; id != "" && taken[strings.ToLower(name)]; n++ {
			name = fmt.Sprintf("%s-%d", id, n)
		}
		if name != id {
			say("warning: another artifact of this build holds %s, so the secondary artifact %s is laid into %s", filepath.Join(out, id), id, filepath.Join(out, name))
		}
		if id == "" {
			for _, f := range files {
				first, _, _ := strings.Cut(f.Path, "/")
				taken[strings.ToLower(first)] = true
			}
		} else {
			taken[strings.ToLower(name)] = true
		}
		to := filepath.Join(out, name)
		return build.Delivery{Location: to}, build.LayOut(ctx, files, to)
	}
}

// secretsGiven refuses a build that lacks values of secrets, and names them all.
func secretsGiven(spec string, missing []buildspec.Reference) error {
	if len(missing) == 0 {
		return nil
	}
	var list, flags []string
	for _, m := range missing {
		list = append(list, fmt.Sprintf("%s:%d:%d: %s is the secret %s", spec, m.Position.Line, m.Position.Column, m.Name, m.SecretID))
		flags = append(flags, "--env "+m.Name+"=…")
	}
	return usage("secrets are known in pipelines only\n  %s", strings.Join(list, "\n  ")).
		WithHelp("give the values for this build, with %s; they are masked in the log", strings.Join(flags, " "))
}

// specError shows every finding, and ends with exit code 2.
func (a *app) specError(err error) error {
	var e *buildspec.Error
	if !errors.As(err, &e) {
		return err
	}
	if a.output == "json" {
		return err
	}
	fmt.Fprint(a.Err, e.Findings.Text())
	return exitError{exitUsage}
}

// readSpec reads the buildspec: the one named, as seen from the working folder
// or else from dir, or the buildspec in dir.
func readSpec(dir, name string) (string, []byte, error) {
	candidates := []string{filepath.Join(dir, "buildspec.yml"), filepath.Join(dir, "buildspec.yaml"), filepath.Join(dir, "buildspec.json")}
	if name != "" {
		candidates = []string{name, filepath.Join(dir, name)}
	}
	for _, c := range candidates {
		text, err := os.ReadFile(c)
		if err == nil {
			return shortPath(c), text, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", nil, usage("%v", err)
		}
	}
	return "", nil, usage("no buildspec: %s is not there", shortPath(candidates[0])).WithHelp("write one, or name it with --spec FILE")
}

// shortPath is a path as seen from the working folder when that is shorter.
func shortPath(p string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, p); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return p
}

func variables(list []string) (map[string]string, error) {
	env := map[string]string{}
	for _, e := range list {
		name, value, ok := strings.Cut(e, "=")
		switch {
		case !ok || name == "":
			return nil, usage("--env %s is not NAME=VALUE", e)
		case strings.HasPrefix(name, "CODEBUILD_"):
			return nil, usage("--env %s: names that begin with CODEBUILD_ are reserved", name)
		}
		env[name] = value
	}
	return env, nil
}

// workFolder makes the build's folder. Another user must be able to pass
// through it when the buildspec asks for one.
func workFolder(spec buildspec.Spec) (string, error) {
	work, err := os.MkdirTemp("", "showrunner-build-")
	if err == nil {
		work, err = filepath.EvalSymlinks(work)
	}
	if err != nil {
		return "", problem.Wrap(err, problem.Unavailable, "build", "working folder")
	}
	if spec.SwitchesUser() {
		err = os.Chmod(work, 0o711)
	}
	return work, err
}

func projectName(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, filepath.Base(dir))
	return cmp.Or(strings.Trim(name, "-"), "build")
}

// buildResult is a result as JSON: durations in seconds, and cases of reports
// only where something failed.
type buildResult struct {
	build.Result
	Phases   []buildPhase `json:"phases"`
	Duration float64      `json:"duration"`
	Millis   *int64       `json:"durationMs,omitempty"` // takes the place of the embedded one, and stays empty
}

type buildPhase struct {
	Name      build.PhaseType `json:"name"`
	Status    build.Status    `json:"status"`
	StartedAt time.Time       `json:"startedAt"`
	EndedAt   time.Time       `json:"endedAt,omitzero"`
	Duration  float64         `json:"duration"`
	Message   string          `json:"message,omitempty"`
}

func buildView(r build.Result) buildResult {
	for i := range r.Reports {
		r.Reports[i].Cases = r.Reports[i].Failing()
	}
	v := buildResult{Result: r, Phases: make([]buildPhase, len(r.Phases)), Duration: float64(r.DurationMs) / 1000}
	for i, p := range r.Phases {
		v.Phases[i] = buildPhase{p.Name, p.Status, p.StartedAt, p.EndedAt, p.EndedAt.Sub(p.StartedAt).Seconds(), p.Message}
	}
	return v
}

func buildTable(w io.Writer, r build.Result) {
	row(w, "PHASE", "STATUS", "DURATION")
	for _, p := range r.Phases {
		row(w, p.Name, p.Status, time.Duration(p.DurationMs)*time.Millisecond)
	}
	for _, art := range r.Artifacts {
		row(w, "artifact "+cmp.Or(art.ID, "(primary)"), fmt.Sprintf("%d files, %d bytes", art.Files, art.Bytes), art.Location)
	}
	for _, rep := range r.Reports {
		row(w, "report "+rep.Group, rep.Status, fmt.Sprintf("%d cases, %d failed", rep.Total, rep.Counts[report.Failed]+rep.Counts[report.Errored]))
	}
	row(w, "build", r.Status, time.Duration(r.DurationMs)*time.Millisecond)
	if r.Failure != nil {
		row(w, "cause", r.Failure.Phase, r.Failure.Message)
	}
}
