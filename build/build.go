package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
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

// fail keeps the first failure, for the result.
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

// succeeding names the variable that tells commands whether the build succeeds so far.
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
