package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/problem"
)

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
// build's folder, so that cleaning up after a crash finds it.
func controlFolder(dir string) (string, error) {
	ctl := ControlFolder(dir)
	if err := os.RemoveAll(ctl); err != nil {
		return "", err
	}
	return ctl, os.MkdirAll(ctl, 0o700)
}
