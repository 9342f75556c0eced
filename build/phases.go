package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/problem"
	"showrunner/secret"
)

// commands runs a phase of the buildspec with its retries, and answers whether
// the build ends here (see the rules in the package's description).
func (b *run) commands(ctx context.Context, name PhaseType, phase buildspec.Phase) (stop bool) {
	before := b.failing
	b.enter(name)
	err := b.once(ctx, name, phase)
	for try := 1; err != nil && ctx.Err() == nil && phase.OnFailure.Action == buildspec.Retry && try <= phase.OnFailure.Retries; try++ {
		if !b.matches(phase.OnFailure, err) {
			b.log.say("Phase %s is not tried again: the failure does not match %q", name, phase.OnFailure.Match)
			break
		}
		b.log.say("Phase %s failed (%v); try %d of %d more", name, err, try, phase.OnFailure.Retries)
		b.failing = before
		err = b.once(ctx, name, phase)
	}
	b.failing = before // leave decides, so that the first failed phase gives the status
	err = b.leave(ctx, err)
	if name == PostBuild && ctx.Err() == nil {
		b.postBuilt = true
		b.exportVariables(ctx)
	}
	if err == nil {
		return false
	}
	switch phase.OnFailure.Action {
	case buildspec.Abort:
		return true
	case buildspec.Continue:
		b.log.say("Phase %s failed; the build goes on, as on-failure asks, and ends as FAILED", name)
		return false
	}
	return name == Install || name == PreBuild
}

// once runs a phase's commands up to the first that fails, then all of finally.
func (b *run) once(ctx context.Context, name PhaseType, phase buildspec.Phase) error {
	if err := b.user(ctx, phase); err != nil {
		return err
	}
	if name == Install {
		b.checkRuntimes(ctx, phase.Runtimes)
	}
	var first error
	for _, c := range phase.Commands {
		if first = b.command(ctx, c); first != nil {
			break
		}
	}
	if first != nil {
		b.failing = true // what finally sees; the caller decides about the status
	}
	for _, c := range phase.Finally {
		if ctx.Err() != nil {
			break
		}
		if err := b.command(ctx, c); err != nil && first == nil {
			first = err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return first
}

// command runs one command and shows it.
func (b *run) command(ctx context.Context, text string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b.log.say("Running command: %s", text)
	b.log.mark()
	code, err := b.shell.run(ctx, text, b.standing())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return problem.Wrap(err, "", "build.command", "%q could not be run", text)
	}
	if code != 0 {
		lines := lastLines(b.log.since(), 20)
		b.log.say("Command failed with exit code %d: %s", code, text)
		return &commandError{command: strings.TrimSuffix(text, "\n"), code: code, lines: lines}
	}
	return nil
}

// matches tells whether RETRY applies to a failure.
func (b *run) matches(on buildspec.OnFailure, err error) bool {
	if on.Match == nil {
		return true
	}
	var failed *commandError
	if errors.As(err, &failed) && on.Match.MatchString(strings.Join(failed.lines, "\n")) {
		return true
	}
	return on.Match.MatchString(err.Error()) || on.Match.MatchString(fmt.Sprintf("exit status %d", exitOf(err)))
}

func exitOf(err error) int {
	var failed *commandError
	if errors.As(err, &failed) {
		return failed.code
	}
	return 0
}

// exportVariables reads exported-variables as the shell has them now.
func (b *run) exportVariables(ctx context.Context) {
	for _, name := range b.spec.Env.Exported {
		out, err := b.shell.capture(ctx, fmt.Sprintf(`if [ "${%[1]s+x}" ]; then command printf 's%%s' "$%[1]s"; fi`, name))
		if err != nil || out == "" {
			b.log.say("Warning: the exported variable %s is not set", name)
			continue
		}
		if b.holdsSecret(name, out[1:]) {
			b.log.say("Warning: the variable %s holds a secret and is not exported", name)
			continue
		}
		b.result.ExportedVariables[name] = out[1:]
	}
}

// holdsSecret tells whether a variable is one of the secrets, or contains one:
// what is exported is recorded for everybody who may read the execution.
func (b *run) holdsSecret(name, value string) bool {
	if _, ok := b.host.Secrets[name]; ok {
		return true
	}
	for _, s := range b.host.Secrets {
		if len(s) >= secret.MinMasked && strings.Contains(value, s) {
			return true
		}
	}
	return false
}
