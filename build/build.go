package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/build/buildspec"
	"showrunner/problem"
)

// Causes with which a caller ends a build early.
var (
	ErrStopped  = errors.New("the build was stopped")
	ErrTimedOut = errors.New("the build took longer than its timeout")
)

// stopGrace is how long processes have between being asked to end and being ended.
const stopGrace = 3 * time.Second

// run is one build on its way.
type run struct {
	req    Request
	host   Host
	spec   buildspec.Spec
	log    *buildLog
	result Result

	src, tmp, bin, ctl string
	inputs             map[string]string
	shell              *shell
	mark               mark
	engine             *container // nil for the process runner
	accounts           map[string]account
	cacheKey           string
	cacheHit           bool
	cacheLost          bool // there is an entry with the key, but not what it stands for
	failing            bool
	postBuilt          bool // POST_BUILD has run, so artifacts are due
}

// Run runs a build to its end and returns what became of it. It blocks. When
// ctx ends, everything of the build is ended first, and the cause says whether
// the build counts as timed out (ErrTimedOut, or a deadline) or as stopped.
// Nothing that the build started is left running, and nothing of it but
// host.Dir, which is the caller's, is left on the disk.
func Run(ctx context.Context, req Request, host Host) Result {
	if host.Now == nil {
		host.Now = time.Now
	}
	b := &run{req: req, host: host, log: newBuildLog(host.Log, host.Now), accounts: map[string]account{}}
	b.result = Result{ID: req.ID, Number: req.Number, Project: req.Project, Status: InProgress, StartedAt: host.Now(),
		Artifacts: []Artifact{}, ExportedVariables: map[string]string{}, Reports: []Report{}}
	for _, v := range host.Secrets {
		b.log.masker.Add(v)
	}
	for _, v := range host.Mask {
		b.log.masker.Add(v)
	}
	if host.Exclusive {
		adoptOrphans() //nolint:errcheck // without it, what leaves its session and hides its mark outlives the build
	}
	timeout := req.Timeout
	if timeout <= 0 {
		timeout = buildspec.DefaultTimeout
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, ErrTimedOut)
	defer cancel()
	b.all(limited)
	return b.result
}

// all goes through the phases. A phase that answers false ends the build.
func (b *run) all(ctx context.Context) {
	b.phase(ctx, Submitted, func(context.Context) error { return nil })
	b.phase(ctx, Queued, func(context.Context) error { return nil })
	defer b.finish()
	defer b.phase(context.WithoutCancel(ctx), Finalizing, b.finalize)
	if !b.phase(ctx, Provisioning, b.provision) || !b.phase(ctx, DownloadSource, b.download) {
		return
	}
	for _, p := range []struct {
		name buildspec.PhaseName
		as   PhaseType
	}{{buildspec.Install, Install}, {buildspec.PreBuild, PreBuild}, {buildspec.Build, Build}, {buildspec.PostBuild, PostBuild}} {
		if b.commands(ctx, p.as, b.spec.Phases[p.name]) || ctx.Err() != nil {
			return
		}
	}
	b.phase(ctx, UploadArtifacts, b.upload)
}

// phase runs f as a phase and records it. It answers whether f succeeded.
func (b *run) phase(ctx context.Context, name PhaseType, f func(context.Context) error) bool {
	b.enter(name)
	return b.leave(ctx, f(ctx)) == nil
}

func (b *run) enter(name PhaseType) {
	b.result.Phases = append(b.result.Phases, Phase{Name: name, Status: InProgress, StartedAt: b.host.Now()})
	b.changed()
}

// leave ends the phase under way. The first failure decides the build's status.
func (b *run) leave(ctx context.Context, err error) error {
	p := &b.result.Phases[len(b.result.Phases)-1]
	p.EndedAt = b.host.Now()
	p.DurationMs = p.EndedAt.Sub(p.StartedAt).Milliseconds()
	p.Status = Succeeded
	if err != nil {
		p.Status, p.Message = b.classify(ctx, err), err.Error()
		if !b.failing {
			b.failing = true
			b.result.Status = p.Status
		}
		b.fail(p.Name, err)
	}
	b.changed()
	switch p.Name {
	case Submitted, Queued:
	default:
		b.log.say("Phase %s: %s in %s", p.Name, p.Status, round(p.EndedAt.Sub(p.StartedAt)))
		if p.Message != "" {
			b.log.say("%s: %s", p.Name, p.Message)
		}
	}
	return err
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

func (b *run) changed() {
	if b.host.Changed != nil {
		b.host.Changed(b.result)
	}
}

// classify turns an error into a status: what ended the build comes first.
func (b *run) classify(ctx context.Context, err error) Status {
	if ctx.Err() != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ErrTimedOut) || errors.Is(cause, context.DeadlineExceeded) {
			return TimedOut
		}
		return Stopped
	}
	var failed *commandError
	if errors.As(err, &failed) {
		return Failed
	}
	switch problem.CodeOf(err) {
	case problem.Internal, problem.Unavailable:
		if b.engine == nil && !errors.As(err, new(*deliveryError)) {
			return Fault
		}
	}
	return Failed
}

// fail keeps the first failure, for whoever has to find out.
func (b *run) fail(name PhaseType, err error) {
	if b.result.Failure != nil {
		return
	}
	f := &Failure{Phase: name, Message: err.Error(), Help: problem.HelpOf(err)}
	var failed *commandError
	if errors.As(err, &failed) {
		f.Command, f.ExitCode, f.LastLines = failed.command, failed.code, failed.lines
	}
	b.result.Failure = f
}

// finish adds COMPLETED and the totals.
func (b *run) finish() {
	now := b.host.Now()
	if !b.failing {
		b.result.Status = Succeeded
	}
	b.result.Phases = append(b.result.Phases, Phase{Name: Completed, Status: Succeeded, StartedAt: now, EndedAt: now})
	b.result.EndedAt = now
	b.result.DurationMs = now.Sub(b.result.StartedAt).Milliseconds()
	b.log.say("Build %s: %s", b.result.ID, b.result.Status)
	b.changed()
}

// provision makes everything ready that does not need the source.
func (b *run) provision(ctx context.Context) error {
	spec, err := buildspec.Parse(b.req.SpecName, []byte(b.req.Spec))
	if err != nil {
		var wrong *buildspec.Error
		if errors.As(err, &wrong) {
			b.log.say("The buildspec cannot be used:\n%s", wrong.Findings.Text())
		}
		return err
	}
	b.spec = spec
	for _, w := range spec.Warnings {
		b.log.say("Warning: %s:%d:%d: %s", w.File, w.Line, w.Column, w.Message)
	}
	if missing := SecretNames(spec, merged(b.req.Env, b.host.Secrets)); len(missing) > 0 {
		var list []string
		for _, ref := range missing {
			list = append(list, fmt.Sprintf("%s (secret %s)", ref.Name, ref.SecretID))
		}
		return problem.New(problem.Invalid, "build.secrets", "no value is known for %s", strings.Join(list, ", ")).
			WithHelp("Store the secrets with `showrunner secret set`, or give the variables a value for this build.")
	}
	for _, ref := range append(slices.Clone(spec.Env.ParameterStore), spec.Env.SecretsManager...) {
		b.log.masker.Add(b.req.Env[ref.Name])
	}
	var refused []string
	for name := range b.req.Env {
		if strings.HasPrefix(name, "CODEBUILD_") || !identifier(name) {
			refused = append(refused, name)
		}
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		return problem.New(problem.Invalid, "build.env", "these variables cannot be set: %s; names are letters, digits and _, and those that begin with CODEBUILD_ are reserved", strings.Join(refused, ", "))
	}
	if err := b.folders(); err != nil {
		return err
	}
	names := []string{spec.RunAs}
	for _, phase := range spec.Phases {
		names = append(names, phase.RunAs)
	}
	lookup := func(_ context.Context, name string) (account, error) { return lookupAccount(name) }
	if b.req.Image != "" {
		if b.engine, err = startContainer(ctx, b); err != nil {
			return err
		}
		lookup = b.engine.account
	}
	for _, name := range names {
		if b.accounts[name], err = lookup(ctx, name); err != nil {
			return err
		}
	}
	if b.req.CPUs > 0 && b.engine == nil {
		b.log.say("Warning: a limit on CPUs holds in a container only (image); this build runs without one")
	}
	return nil
}

// folders makes the folders of the build. The shell's state, which holds
// secrets, lies in memory where the system has a place for that.
func (b *run) folders() error {
	b.src, b.tmp, b.bin = filepath.Join(b.host.Dir, "src"), filepath.Join(b.host.Dir, "tmp"), filepath.Join(b.host.Dir, "bin")
	b.inputs = map[string]string{}
	dirs := []string{b.src, b.tmp, b.bin}
	for _, id := range b.req.Inputs {
		b.inputs[id] = filepath.Join(b.host.Dir, "src-"+id)
		dirs = append(dirs, b.inputs[id])
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return problem.Wrap(err, problem.Unavailable, "build.provision", "folder %s", dir)
		}
	}
	if err := os.Chmod(b.tmp, 0o1777); err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.provision", "folder %s", b.tmp)
	}
	ctl, err := controlFolder(b.host.Dir)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.provision", "folder of the shell")
	}
	b.ctl = ctl
	if b.req.Image != "" {
		// Its owner inside may be another than outside; the group stays.
		if err := os.Chmod(ctl, os.ModeSetgid|0o770); err != nil {
			return problem.Wrap(err, problem.Unavailable, "build.provision", "folder of the shell")
		}
	}
	if err := os.WriteFile(filepath.Join(b.bin, "codebuild-hash-files"), []byte(hashFiles), 0o755); err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.provision", "codebuild-hash-files")
	}
	return nil
}

// controlFolder makes the folder of a shell's state. Its name follows from the
// build's folder, so that whoever cleans up after a crash finds it.
func controlFolder(dir string) (string, error) {
	ctl := ControlFolder(dir)
	if err := os.RemoveAll(ctl); err != nil {
		return "", err
	}
	return ctl, os.MkdirAll(ctl, 0o700)
}

// download lays out the source, restores the cache and starts the shell.
func (b *run) download(ctx context.Context) error {
	if b.host.Prepare != nil {
		if err := b.host.Prepare(ctx, b.src, b.inputs); err != nil {
			return err
		}
	}
	b.mark = mark{value: cmp.Or(b.host.Mark, newMark()), exclusive: b.host.Exclusive, spare: b.host.spare}
	env := b.environment()
	var launch launcher
	if b.engine != nil {
		launch = b.engine
	} else {
		p, err := newProcesses(b.spec.Env.Shell, b.src, env)
		if err != nil {
			return err
		}
		p.memory, p.mark = b.req.Memory, b.mark.value
		launch = p
	}
	if b.spec.RunAs != "" {
		if err := launch.give(ctx, b.accounts[b.spec.RunAs], b.src); err != nil {
			return problem.Wrap(err, problem.Unavailable, "build.run-as", "give the source to %s", b.spec.RunAs)
		}
	}
	shell, err := newShell(launch, b.ctl, env, b.log)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "build.shell", "prepare the shell")
	}
	b.shell = shell
	if err := b.user(ctx, buildspec.Phase{}); err != nil {
		return err
	}
	return b.restoreCache(ctx)
}

// user makes the following commands run as whom the phase asks for.
func (b *run) user(ctx context.Context, phase buildspec.Phase) error {
	name := phase.RunAs
	if name == "" {
		name = b.spec.RunAs
	}
	return b.shell.become(ctx, b.accounts[name])
}

// finalize ends what the build left running, and gives back what it held.
func (b *run) finalize(ctx context.Context) error {
	stopped := b.failing && (b.result.Status == Stopped || b.result.Status == TimedOut)
	if b.shell != nil && !stopped {
		// A trap on EXIT may do its work, but it may not hold the build up.
		limit, cancel := context.WithTimeout(ctx, 10*time.Second)
		b.shell.leave(limit) //nolint:errcheck // what does not end is ended below
		cancel()
	}
	if b.engine != nil {
		b.engine.takeBack(ctx, b.host.Dir, b.ctl)
		b.engine.remove(ctx)
	}
	if b.shell != nil {
		b.mark.sessions = b.shell.pids
		b.mark.end(stopGrace)
		b.shell.close()
	}
	if b.ctl != "" {
		os.RemoveAll(b.ctl)
	}
	return nil
}

// errSucceeding names the variable that tells commands how the build stands.
const succeeding = "CODEBUILD_BUILD_SUCCEEDING"

func (b *run) standing() map[string]string {
	if b.failing {
		return map[string]string{succeeding: "0"}
	}
	return map[string]string{succeeding: "1"}
}

func merged(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// commandError is a command that failed.
type commandError struct {
	command string
	code    int
	lines   []string
}

func (e *commandError) Error() string {
	line, _, more := strings.Cut(strings.TrimSpace(e.command), "\n")
	if more {
		line += " …"
	}
	return fmt.Sprintf("the command %q ended with exit code %d", line, e.code)
}
