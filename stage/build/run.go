package build

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"showrunner/build"
	"showrunner/build/buildspec"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// runKind is the stage kind run: commands in an artifact's folder. It is a build
// whose buildspec has one phase and no artifacts.
type runKind struct{ *Builder }

// Name implements stage.Kind.
func (runKind) Name() string { return "run" }

// Version implements stage.Kind.
func (runKind) Version() int { return 1 }

// Tasks implements stage.Kind.
func (k runKind) Tasks() []stage.Task {
	return []stage.Task{{Name: "execute",
		Run: func(ctx context.Context, in *stage.Input) (stage.Result, error) {
			return k.execute(ctx, in, k.work())
		},
		Resume: func(ctx context.Context, in *stage.Input) (stage.Result, error) {
			return k.resume(ctx, in, k.work())
		},
		Cancel: func(ctx context.Context, in *stage.Input) error { return k.cancel(ctx, in, false) },
	}}
}

// work is a build as this kind has it: commands may have effects of any sort, so
// that only a person can say that they may be repeated.
func (k runKind) work() work { return work{prepare: k.job, outputs: runOutputs} }

func (k runKind) job(ctx context.Context, in *stage.Input) (build.Job, map[string]string, error) {
	c, ok := in.Config.(pipeline.Run)
	if !ok {
		return build.Job{}, nil, problem.New(problem.Internal, "run", "the configuration is a %T", in.Config)
	}
	env, secrets, err := expandEnv(ctx, in, c.Env)
	if err != nil {
		return build.Job{}, nil, err
	}
	spec, err := runSpec(c)
	if err != nil {
		return build.Job{}, nil, err
	}
	if _, err := buildspec.Parse("commands", spec); err != nil {
		return build.Job{}, nil, err
	}
	source := ""
	job := k.newJob(in, in.Application+"-"+in.Key.Stage, source)
	if c.Artifact != "" {
		if source, job.Source, err = sourceOf(in, c.Artifact); err != nil {
			return build.Job{}, nil, err
		}
		ref := job.Source
		job = k.newJob(in, in.Application+"-"+in.Key.Stage, source)
		job.Source = ref
	}
	job.SpecName, job.Spec, job.Env, job.Image = "commands", string(spec), env, c.Image
	return job, secrets, nil
}

// runSpec writes the commands as a buildspec; JSON is one of its forms.
func runSpec(c pipeline.Run) ([]byte, error) {
	return json.Marshal(map[string]any{
		"version": "0.2",
		"env":     map[string]any{"shell": cmp.Or(c.Shell, "sh"), "exported-variables": c.Outputs},
		"phases":  map[string]any{"build": map[string]any{"commands": c.Commands}},
	})
}

// runOutputs is what later stages see of a run.
func runOutputs(r build.Result) map[string]any {
	out := map[string]any{"exitCode": 0}
	if r.Failure != nil {
		out["exitCode"] = cmp.Or(r.Failure.ExitCode, 1)
	}
	for name, value := range r.ExportedVariables {
		out[name] = value
	}
	return out
}

func timeoutOf(d pipeline.Duration) time.Duration { return time.Duration(d) }

var sizePattern = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?$`)

// bytesOf reads a size such as 512MiB or 2GB; empty is 0. Errors: invalid.
func bytesOf(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	m := sizePattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, problem.New(problem.Invalid, "build.memory", "%q is no size; write 512MiB or 2GiB", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, problem.New(problem.Invalid, "build.memory", "%q is no size", s)
	}
	unit := 1000.0
	if m[3] == "i" {
		unit = 1024
	}
	for range strings.Index(" KMGT", cmp.Or(m[2], " ")) {
		n *= unit
	}
	return int64(n), nil
}
